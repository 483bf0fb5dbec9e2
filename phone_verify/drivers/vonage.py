"""Our text by SMS through Vonage's SMS API, formerly Nexmo.

The HTTP status is always 200: the `status` of each message decides, and a long text has several of
them (Vonage's docs). What a status means for an order is our reading. The shortest lifetime of a
message, 20 seconds, is assumed.

Vonage signs delivery receipts only if signing is enabled for the account; then name the signature
secret and the account's signature method in the options. Its docs allow 100 characters for the URL
of the receipts; a longer one is left out, so set that one in the account.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest, Rejected, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, Receipt
from ..phone import PhoneNumber
from ..segments import segments
from .base import Ability
from .kinds.json_api import Fault, JsonDriver, by_kind, code_of
from .kinds.signatures import is_recent, is_same, time_of
from .options import CURRENCY, Option, matching, one_of, secret
from .reading import our_code, price_of, priced, reference_of

#: Of the docs; `accepted`, `buffered` and `unknown` are open.
_STATES = {
    "delivered": DeliveryState.DELIVERED,
    "expired": DeliveryState.UNDELIVERED,
    "failed": DeliveryState.UNDELIVERED,
    "rejected": DeliveryState.UNDELIVERED,
}
_SHORTEST_TTL = 20_000
_LONGEST_CALLBACK = 100
_IN_VALUES = str.maketrans("&=", "__")


@dataclass(frozen=True)
class Vonage(JsonDriver):
    """SMS through the request `sms/json`."""

    scheme: ClassVar[str] = "vonage"
    provider: ClassVar[str] = "Vonage SMS API"
    default_host: ClassVar[str | None] = "rest.nexmo.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("api_key", "api_secret"),)
    signs_webhooks: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Option]] = {
        "sender": Option(
            "",
            matching(
                "[0-9]{3,15}|[A-Za-z0-9][A-Za-z0-9 ]{0,10}", "a number without +, or a name of up to 11 characters"
            ),
            "Example",
            "the number, without `+`, or the name that sends",
            required=True,
        ),
        "currency": CURRENCY,
        "signature_secret": Option(None, secret, meaning="the account's signature secret; needed to read webhooks"),
        "signature_method": Option(
            "sha256",
            one_of("md5hash", "md5", "sha1", "sha256", "sha512"),
            meaning="the account's signature method: an MD5 hash, or an HMAC by the hash of this name",
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "6 7 33",
            FailureKind.CONFIGURATION: "2 3 4 8 11 12 14 15 22 23 29 32",
            FailureKind.BALANCE: "9",
            FailureKind.RATE: "1 10",
            FailureKind.TRANSIENT: "5",
        }
    )

    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    sender: str
    currency: str | None
    signature_secret: str | None = field(repr=False)
    signature_method: str

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with our code; its receipt is requested if it can be checked."""
        return {Channel.SMS: Ability(CodeSource.LOCAL, webhook_url=self.signature_secret is not None)}

    @property
    def credentials(self) -> Mapping[str, str]:
        """Return the credentials, and the secret of the webhooks."""
        more = {"signature_secret": self.signature_secret} if self.signature_secret else {}
        return {**super().credentials, **more}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the code. The message is dropped if it cannot be delivered within the code's life."""
        milliseconds = int(order.ttl.total_seconds() * 1000)
        fields = {"ttl": str(max(_SHORTEST_TTL, milliseconds))}
        if order.webhook_url is not None and len(order.webhook_url) <= _LONGEST_CALLBACK:
            fields["callback"] = order.webhook_url
        parts = _parts_of((yield from self.ask(self._message(order.phone, order.text or our_code(order), fields))))
        reference = reference_of(parts[0].get("message-id"))
        if reference is None:
            raise self.unclear("message-id")
        prices = [price_of(part.get("message-price")) for part in parts]
        known = [price for price in prices if price is not None]
        price = sum(known, Decimal()) if len(known) == len(prices) else None
        return Receipt(reference, parts=len(parts), **priced(price, self.currency))

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        """Send the text by SMS."""
        yield from self.ask(self._message(phone, text, {}))

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | Rejected | None:
        """Parse a delivery receipt, in a query, a form or a JSON object, after its signature.

        Its price is that of one part, so it is left out.
        """
        if self.signature_secret is None:
            return Rejected("write the option signature_secret to check signatures")
        fields = _fields_of(request)
        if not is_same(self.signature(fields), fields.get("sig", "").lower()):
            return Rejected("the signature is missing or wrong, or by another method")
        if not is_recent(time_of(fields.get("timestamp", "")), request.received_at):
            return Rejected("the signature has no time, is too old, or in the future")
        reference, status = reference_of(fields.get("messageId")), fields.get("status")
        if reference is None or status is None:
            return None
        return DeliveryReport(reference, _STATES.get(status, DeliveryState.OPEN), self.redact(status))

    def signature(self, fields: Mapping[str, str]) -> str:
        """Return the signature of these fields, in lower case."""
        key = (self.signature_secret or "").encode()
        signed = sorted((name, value) for name, value in fields.items() if name != "sig")
        text = "".join(f"&{name}={value.translate(_IN_VALUES)}" for name, value in signed)
        content = text.encode("utf-8", "surrogatepass")
        if self.signature_method == "md5hash":
            return hashlib.md5(content + key, usedforsecurity=False).hexdigest()
        return hmac.new(key, content, self.signature_method).hexdigest()

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of the first message; None if one was accepted: a part may be on its way."""
        parts = _parts_of(document)
        codes = [code_of(part.get("status")) for part in parts]
        if not all(codes) or not codes or "0" in codes:
            return None
        return Fault(codes[0], parts[0].get("error-text"))

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether every part was accepted."""
        parts = _parts_of(document)
        return bool(parts) and all(code_of(part.get("status")) == "0" for part in parts)

    def _message(self, phone: PhoneNumber, text: str, more: Mapping[str, str]) -> HttpRequest:
        fields = {
            "api_key": self.api_key,
            "api_secret": self.api_secret,
            "from": self.sender,
            "to": phone.e164[1:],
            "text": text,
            "type": "text" if segments(text).encoding == "gsm7" else "unicode",
        }
        return HttpRequest.post_form(f"{self.base_url}/sms/json", {**fields, **more})


def _parts_of(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the messages of a response; none if one of them is not an object."""
    parts = document.get("messages")
    return parts if isinstance(parts, list) and all(isinstance(part, dict) for part in parts) else ()


def _fields_of(request: WebhookRequest) -> Mapping[str, str]:
    """Return the fields of a receipt; none if one is repeated or is not a string."""
    document = None if request.parameters else request.json()
    pairs = list(document.items()) if isinstance(document, dict) else list(request.parameters)
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) and all(isinstance(value, str) for value in fields.values()) else {}


DRIVER = Vonage
