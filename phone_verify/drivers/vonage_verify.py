"""Codes by SMS, voice call and WhatsApp that Vonage Verify (version 2) generates and checks.

No source says which accounts may choose the code, so it is Vonage's. Vonage carries one verification
of a number at a time and answers HTTP 409 to another: then the driver cancels the first one and asks
again, so that a resend, or a change of the channel, does send something. In this way another client's
start for the number ends the code too.

Requests and errors are those of the vendor's clients. HTTP 402 and 422, the fields of webhooks and the
claims of their token are assumed. Vonage sends webhooks to the status URL of an application; whether
it does for a key and secret is assumed too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, HttpResponse, Rejected, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, Receipt
from ..phone import PhoneNumber
from .base import Ability
from .kinds.basic_auth import basic_auth
from .kinds.json_api import Fault, by_kind, part_of
from .kinds.remote_code import RemoteCodeDriver, known
from .kinds.signed_token import require
from .kinds.vendor_signatures import not_from_vonage
from .options import CURRENCY, Option, matching, secret
from .reading import price_of, priced, reference_of

#: A right code was typed, so it was delivered; all others are open, since they may follow a delivery.
_STATES = {
    "completed": DeliveryState.DELIVERED,
    "blocked": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.UNDELIVERED,
}
_SHORTEST_TIMEOUT, _LONGEST_TIMEOUT = 15, 900
#: The name of the number in `invalid_parameters`, also inside of `workflow` (assumed).
_NUMBER = re.compile(r"(.*[.\]])?to")


def _length(text: str) -> int:
    return int(matching("[4-9]|10", "a number from 4 to 10")(text))


@dataclass(frozen=True)
class VonageVerify(RemoteCodeDriver):
    """Verifications with a workflow of one channel."""

    scheme: ClassVar[str] = "vonage-verify"
    provider: ClassVar[str] = "Vonage Verify"
    default_host: ClassVar[str | None] = "api.nexmo.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("api_key", "api_secret"),)
    signs_webhooks: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Option]] = {
        "brand": Option(
            "",
            matching("[^\x00-\x1f]{1,16}", "1 to 16 characters"),
            "Example",
            "the name of the site in the message, up to 16 characters",
            required=True,
        ),
        "code_length": Option(6, _length, meaning="the number of digits of a code, 4 to 10"),
        "locale": Option(
            None, matching("[a-z]{2,3}-[a-z]{2}", "a locale like en-us"), meaning="the language, like `en-us`"
        ),
        "sender": Option(None, matching("[0-9A-Za-z]{3,15}", "a number without +, or a name"), meaning="who sends SMS"),
        "entity_id": Option(None, meaning="the entity id of SMS to India"),
        "content_id": Option(None, meaning="the content id of SMS to India"),
        "whatsapp_sender": Option(
            None,
            matching("[1-9][0-9]{6,14}", "a number without +"),
            "15005550001",
            "the WhatsApp number, without `+`",
            needed_for=(Channel.WHATSAPP,),
        ),
        "currency": CURRENCY,
        "signature_secret": Option(None, secret, meaning="the account's signature secret; needed to read webhooks"),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind({FailureKind.RATE: "conflict"})
    wrong_codes: ClassVar[frozenset[str]] = frozenset({"invalid-code"})
    #: An unknown or expired verification, one in another state, and too many wrong codes.
    wrong_statuses: ClassVar[frozenset[int]] = frozenset({404, 409, 410})

    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    brand: str
    code_length: int
    locale: str | None
    sender: str | None
    entity_id: str | None
    content_id: str | None
    whatsapp_sender: str | None
    currency: str | None
    signature_secret: str | None = field(repr=False)

    def __post_init__(self) -> None:
        if self.signature_secret is not None:
            require("jwt", "signature_secret")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS and calls, and WhatsApp if its sender is set."""
        life = timedelta(seconds=_LONGEST_TIMEOUT)
        ability = Ability(CodeSource.REMOTE_CHECK, fixed_length=self.code_length, cap=life)
        channels = (Channel.SMS, Channel.VOICE, *([Channel.WHATSAPP] if self.whatsapp_sender else []))
        return dict.fromkeys(channels, ability)

    @property
    def credentials(self) -> Mapping[str, str]:
        """Return the credentials, and the secret of the webhooks."""
        more = {"signature_secret": self.signature_secret} if self.signature_secret else {}
        return {**super().credentials, **more}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Let Vonage send a code, in place of one that it sent to this number before."""
        request = self._verification(order)
        document = yield from self.ask(request, ("conflict",))
        if self.fault_of(document) is not None:
            yield from self._cancel(str(reference_of(document.get("request_id"))))
            document = yield from self.ask(request)
        reference = reference_of(document.get("request_id"))
        if reference is None:
            raise self.unclear("request_id")
        return Receipt(reference)

    def check_request(self, phone: PhoneNumber, code: str, reference: str | None) -> HttpRequest:
        """Return the request that asks whether the code is right."""
        return HttpRequest.post_json(self._url(known(reference)), {"code": code}, self._headers)

    def verdict(self, document: Mapping[str, Any]) -> bool | None:
        """Return True for `completed`, the only status of a success; None for any other."""
        return True if document.get("status") == "completed" else None

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | Rejected | None:
        """Parse the status of a channel or of the whole verification, after its token."""
        if self.signature_secret is None:
            return Rejected("write the option signature_secret to check signatures")
        if (reason := not_from_vonage(self.signature_secret, request)) is not None:
            return Rejected(reason)
        document = part_of(request.json())
        reference, status = reference_of(document.get("request_id")), document.get("status")
        if reference is None or not isinstance(status, str):
            return None
        state = _STATES.get(status, DeliveryState.OPEN)
        price = price_of(document.get("price"))
        return DeliveryReport(reference, state, self.redact(status), **priced(price, self.currency))

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of a problem document (RFC 7807), by its title or the end of its type.

        A conflict without the verification that it is with cannot be resolved, so it has no code.
        """
        title, kind = document.get("title"), document.get("type")
        if not isinstance(title, str):
            return None
        names = {title.lower().replace(" ", "-"), kind.rpartition("#")[2] if isinstance(kind, str) else ""}
        code = next((name for name in (*self.wrong_codes, *self.errors) if name in names), "")
        if code == "conflict" and reference_of(document.get("request_id")) is None:
            code = ""
        return Fault(code, document.get("detail") or title)

    def refusal(self, response: HttpResponse, fault: Fault) -> ProviderError:
        """Return the error of a response; HTTP 422 is a bad number if it names the number."""
        error = super().refusal(response, fault)
        if response.status != 422:
            return error
        wrong = part_of(response.json()).get("invalid_parameters")
        names = [part.get("name") for part in wrong if isinstance(part, dict)] if isinstance(wrong, list) else []
        bad = any(isinstance(name, str) and _NUMBER.fullmatch(name) for name in names)
        return ProviderError(FailureKind.BAD_NUMBER if bad else FailureKind.CONFIGURATION, error.detail)

    def _verification(self, order: Order) -> HttpRequest:
        step = {"channel": str(order.channel), "to": order.phone.e164[1:]}
        own = {
            Channel.SMS: {"from": self.sender, "entity_id": self.entity_id, "content_id": self.content_id},
            Channel.WHATSAPP: {"from": self.whatsapp_sender},
        }
        step |= {name: value for name, value in own.get(order.channel, {}).items() if value}
        document: dict[str, object] = {
            "brand": self.brand,
            "workflow": [step],
            "code_length": self.code_length,
            "channel_timeout": min(max(_SHORTEST_TIMEOUT, int(order.ttl.total_seconds())), _LONGEST_TIMEOUT),
        }
        if self.locale:
            document["locale"] = self.locale
        return HttpRequest.post_json(f"{self.base_url}/v2/verify", document, self._headers)

    def _cancel(self, reference: str) -> Exchange[None]:
        """Cancel a verification. Nothing was sent yet, so every failure here is a refusal."""
        try:
            response = yield HttpRequest("DELETE", self._url(reference), self._headers)
        except UnclearError as error:
            raise ProviderError(FailureKind.TRANSIENT, f"not cancelled: {error}") from None
        if not response.ok:
            raise self.refusal(response, self.fault_of(part_of(response.json())) or Fault(""))

    def _url(self, reference: str) -> str:
        return f"{self.base_url}/v2/verify/{quote(reference, safe='')}"

    @property
    def _headers(self) -> Mapping[str, str]:
        return basic_auth(self.api_key, self.api_secret)


DRIVER = VonageVerify
