"""Plusofon (Russia): a call from a number that ends in our code, or a line for the user to call.

The token is the access token of a flash call in the provider's panel, not that of the panel itself,
which gives HTTP 403. The requests are documented or agreed by published clients; the responses are
those of clients, which have seen the fields inside of `data` and at the top level. The code is ours
(`pin`), so the provider's own check is not used. The unsigned webhook is the only report of a call
to a line, so such an order needs the site's public URL. One client has seen the line by a first webhook
only, which has the same fields as the report of a call. That is not supported: such an order is refused,
the log says why, and the next driver of `PHONE_VERIFY_INBOUND_CALL` gets it, or the channel has to be
left out. If the response has the line too, the announcing webhook changes nothing. Assumed: the texts
about an exhausted package, and that calls to a line are not answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import FailureKind, ProviderError
from ..exchange import Exchange, HttpRequest, WebhookRequest
from ..model import Channel, CodeSource, IncomingCall, Order, Receipt
from .base import Ability, NationalDriver
from .kinds.inbound_call import line_to_call
from .kinds.json_api import Fault, JsonDriver, part_of
from .kinds.told_code import other_code
from .reading import number_of, our_code, reference_of

_LENGTH = 4
#: The same for every account (provider docs).
_CLIENT = "10553"


@dataclass(frozen=True)
class Plusofon(NationalDriver, JsonDriver):
    """Flash calls and inbound calls through Plusofon."""

    scheme: ClassVar[str] = "plusofon"
    provider: ClassVar[str] = "Plusofon (Russia)"
    default_host: ClassVar[str | None] = "restapi.plusofon.ru"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("token",),)
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"7"})
    trunk: ClassVar[str] = "7"
    error_words: ClassVar[Mapping[str, FailureKind]] = dict.fromkeys(
        ("package", "balance", "пакет", "баланс"), FailureKind.BALANCE
    )

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        self.require_token("token")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Flash calls with our code of four digits, and lines to call."""
        return {
            Channel.FLASH_CALL: Ability(CodeSource.LOCAL, shortest=_LENGTH, longest=_LENGTH),
            Channel.INBOUND_CALL: Ability(CodeSource.NONE, webhook_url=True),
        }

    def start(self, order: Order) -> Exchange[Receipt]:
        """Ring from a number that ends in our code, or return the line to call."""
        phone = self.written(order.phone)
        if order.channel is Channel.FLASH_CALL:
            return (yield from self._flash_call(phone, our_code(order)))
        if order.webhook_url is None:
            raise ProviderError(FailureKind.CONFIGURATION, "the site has no public URL to report the call to")
        data = yield from self._data("call-to-auth", {"phone": phone, "hook_url": order.webhook_url})
        if data.get("phone") is None and reference_of(data.get("key")) is not None:
            # No user can call it, so another driver may be tried.
            raise ProviderError(
                FailureKind.CONFIGURATION,
                "this account names the line by webhook only, which is not supported: "
                "use another driver for inbound calls",
            )
        return line_to_call(data.get("phone"), data.get("key"), self.scheme)

    def parse_webhook(self, request: WebhookRequest) -> IncomingCall | None:
        """Parse the call that a webhook reports: `key` is the order's, `phone` the caller."""
        data = _data_of(request.json())
        reference, reported = reference_of(data.get("key")), data.get("phone")
        caller = number_of("+" + reported.removeprefix("+")) if isinstance(reported, str) else None
        return None if reference is None or caller is None else IncomingCall(reference, None, caller)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of `success: false`, or of a text in place of a result."""
        texts = (document.get(name) for name in ("error", "message"))
        said = next((text for text in texts if isinstance(text, str) and text), None)
        success = document.get("success")
        in_place = success is not True and said is not None and "key" not in _data_of(document)
        return Fault("", said) if success is False or in_place else None

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether `success` is true, or absent as in the flat form."""
        return document.get("success", True) is True

    def _flash_call(self, phone: str, code: str) -> Exchange[Receipt]:
        data = yield from self._data("send", {"phone": phone, "pin": code})
        reference, carried = reference_of(data.get("key")), data.get("pin")
        if reference is None:
            raise self.unclear("key")
        # The response has the code only if the account's settings say so.
        return Receipt(reference, other_code(carried, code, self.scheme))

    def _data(self, action: str, fields: Mapping[str, str]) -> Exchange[Mapping[str, Any]]:
        headers = {"Client": _CLIENT, "Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        request = HttpRequest.post_json(f"{self.base_url}/api/v1/flash-call/{action}", fields, headers)
        return _data_of((yield from self.ask(request)))


def _data_of(document: object) -> Mapping[str, Any]:
    """Return the fields of a document: those inside of `data`, or else at the top level."""
    return part_of(document, "data") or part_of(document)


DRIVER = Plusofon
