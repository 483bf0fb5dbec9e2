"""FlashCall by Ferzz (Iran): a short ring whose calling number ends in the code, which the provider
returns.

Only HTTP 200 with a code in the body is a placed call; the wording of `message` has changed over
time and decides only the kind of a refusal (provider docs, Call API; the vendor's sample programs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, HttpResponse
from ..model import Channel, CodeSource, Order, Receipt
from .base import Ability, NationalDriver
from .options import Option, path
from .reading import reference_of, trouble_of_status

#: The only published error text: a failure on the server's side.
_MESSAGES = {"درخواست دچار خطا شد": FailureKind.TRANSIENT}

#: An HTTP 400 means a bad number only if its text clearly says so (assumed: the docs publish
#: neither status nor text).
_NUMBER_WORD = re.compile(r"شماره|تلفن|موبایل|\b(phone|number|destination)\b", re.IGNORECASE)
_FAULT_WORD = re.compile(
    r"نامعتبر|معتبر نیست|اشتباه|نادرست|صحیح نیست|\b(invalid|incorrect|wrong|not valid)\b", re.IGNORECASE
)

_CALL = "/services/call/call/"
_CODE = re.compile(r"[0-9]{3,8}")  # assumed: the site sets the length in the provider's panel
_HEAD = re.compile(r"\+?[0-9]{1,15}")
_ABILITIES = {Channel.FLASH_CALL: Ability(CodeSource.PROVIDER)}


@dataclass(frozen=True)
class Ferzz(NationalDriver):
    """Flash calls through Ferzz's Call API.

    The docs mention a retry API but never published it. By default a retry is another call
    (assumed); `retry_path` is the path to request instead, with the tracking code of the previous
    call.
    """

    scheme: ClassVar[str] = "ferzz"
    provider: ClassVar[str] = "FlashCall (Ferzz)"
    default_host: ClassVar[str | None] = "flashcall-service.ferzz.ir"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("access_key",),)
    options: ClassVar[Mapping[str, Option]] = {
        **NationalDriver.options,
        "retry_path": Option(None, path, meaning="the path of the provider's request to call again"),
    }
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"98"})
    trunk: ClassVar[str] = "0"

    access_key: str = field(repr=False)
    retry_path: str | None

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Flash calls with a provider-generated code, of a length set in the provider's panel."""
        return _ABILITIES

    def start(self, order: Order) -> Exchange[Receipt]:
        """Let the phone ring."""
        return (yield from self._call(_CALL, {"destination": self.written(order.phone)}))

    def retry(self, order: Order, reference: str) -> Exchange[Receipt]:
        """Let the phone ring again, from another number."""
        if self.retry_path is None:
            return (yield from self.start(order))
        fields = {"destination": self.written(order.phone), "tracking_code": reference}
        return (yield from self._call(self.retry_path, fields))

    def _call(self, place: str, fields: Mapping[str, str]) -> Exchange[Receipt]:
        response = yield HttpRequest.post_json(self.base_url + place, {**fields, "token": self.access_key})
        document = response.json()
        message = document.get("message") if isinstance(document, dict) else None
        if not response.ok:
            raise self._refusal(response, message)
        if response.status != 200 or not isinstance(document, dict):
            raise UnclearError("ferzz: no HTTP 200 with a JSON object")
        code = document.get("code")
        if code == "" or (code is None and message):
            raise ProviderError(_kind(message), self.redact(message) or "no code")
        # A code that arrives as a number may have lost its leading zeros.
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise UnclearError("ferzz: the response has no readable code")
        return Receipt(
            reference=reference_of(document.get("tracking_code")),
            code=code,
            caller_hint=_hint(document.get("head_number"), code),
        )

    def _refusal(self, response: HttpResponse, message: object) -> ProviderError:
        error = trouble_of_status(response, self.redact(message))
        if response.status == 400 and isinstance(message, str):
            blamed = _NUMBER_WORD.search(message) and _FAULT_WORD.search(message)
            return ProviderError(FailureKind.BAD_NUMBER if blamed else error.trouble, error.detail)
        return error


def _kind(message: object) -> FailureKind:
    return _MESSAGES.get(message.strip(), FailureKind.UNKNOWN) if isinstance(message, str) else FailureKind.UNKNOWN


def _hint(head: object, code: str) -> str | None:
    """Return the leading digits of the calling number as given; None if they are not digits, or end
    in the code.
    """
    text = head.strip() if isinstance(head, str) else ""
    return text if _HEAD.fullmatch(text) and not text.endswith(code) else None


DRIVER = Ferzz
