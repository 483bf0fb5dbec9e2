"""Africa's Talking: our text by SMS.

Requests and responses are those of the vendor's client and docs. The meaning of a recipient's
`statusCode` is assumed: the vendor's table is old, and its texts differ, so texts do not decide. An
empty list of recipients is an error although the HTTP status is a success.

For the sandbox, write the host `api.sandbox.africastalking.com` and the username `sandbox`.
Delivery reports are not signed; their URL is set in the vendor's dashboard.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from ..phone import PhoneNumber
from .base import Ability
from .kinds.json_api import Fault, JsonDriver, by_kind, code_of, only, part_of
from .options import Option, matching
from .reading import amount_of, our_code, price_of, reference_of

#: Processed, sent and queued.
_ACCEPTED = ("100", "101", "102")
#: The states of a delivery that are final; all others are in transit.
_STATES = {
    "Success": DeliveryState.DELIVERED,
    "Failed": DeliveryState.UNDELIVERED,
    "Rejected": DeliveryState.UNDELIVERED,
}
#: The fields of a delivery report that are read.
_READ = ("id", "status", "failureReason")
_MONEY = re.compile(r"([A-Z]{3}) (-?[0-9.]{1,24})")


@dataclass(frozen=True)
class AfricasTalking(JsonDriver):
    """SMS through the request `messaging`."""

    scheme: ClassVar[str] = "africastalking"
    provider: ClassVar[str] = "Africa's Talking"
    default_host: ClassVar[str | None] = "api.africastalking.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("username", "api_key"),)
    options: ClassVar[Mapping[str, Option]] = {
        "sender": Option(
            None,
            matching("[0-9]{3,15}|[A-Za-z0-9][A-Za-z0-9 ]{0,10}", "a short code, or a name of up to 11 characters"),
            meaning="the registered short code or name that sends; the vendor's if absent",
        )
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "403 404 406 409",
            FailureKind.CONFIGURATION: "401 402",
            FailureKind.BALANCE: "405",
            FailureKind.TRANSIENT: "500 501 502",
            FailureKind.UNKNOWN: "407",
        }
    )
    error_words: ClassVar[Mapping[str, FailureKind]] = {"invalidsenderid": FailureKind.CONFIGURATION}

    username: str = field(repr=False)
    api_key: str = field(repr=False)
    sender: str | None

    def __post_init__(self) -> None:
        self.require_token("api_key")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with our code."""
        return {Channel.SMS: Ability(CodeSource.LOCAL)}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the code."""
        recipient = yield from self._send(order.phone, order.text or our_code(order))
        reference = reference_of(recipient.get("messageId"))
        if reference is None:
            raise self.unclear("messageId")
        currency, amount = _money(recipient.get("cost"))
        price = price_of(amount)
        return Receipt(reference, price=price, currency=None if price is None else currency)

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        """Send the text by SMS."""
        yield from self._send(phone, text)

    def account(self) -> Exchange[ProviderAccount]:
        """Return the balance; the sandbox has none."""
        request = HttpRequest.get(f"{self.base_url}/version1/user", {"username": self.username}, self._headers)
        user = part_of((yield from self.ask(request)), "UserData")
        if not user:
            raise self.unclear("UserData")
        currency, amount = _money(user.get("balance"))
        balance = amount_of(amount)
        return ProviderAccount(balance, None if balance is None else currency)

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | None:
        """Parse a delivery report."""
        values = [[value for name, value in request.parameters if name == read] for read in _READ]
        if any(len(found) > 1 for found in values):
            return None
        id, status, reason = (found[0] if found else "" for found in values)
        if reference_of(id) is None or not status:
            return None
        said = f"{status}: {reason}" if reason else status
        return DeliveryReport(id, _STATES.get(status, DeliveryState.OPEN), self.redact(said))

    @property
    def webhook_parameters(self) -> Sequence[Sequence[str]]:
        """The parameters that every report has."""
        return (("id",), ("status",))

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of the recipient, or of the whole request if none is left."""
        data = part_of(document, "SMSMessageData")
        if data.get("Recipients") == [] and isinstance(data.get("Message"), str):
            return Fault("", data["Message"])
        recipient = _recipient(document)
        code = code_of(recipient.get("statusCode"))
        return Fault(code, recipient.get("status")) if code not in ("", *_ACCEPTED) else None

    def _send(self, phone: PhoneNumber, text: str) -> Exchange[Mapping[str, Any]]:
        """Send the text, and return the one recipient of the response, who is accepted."""
        sender = {"from": self.sender} if self.sender else {}
        fields = {"username": self.username, "to": phone.e164, "message": text, "bulkSMSMode": "1", **sender}
        request = HttpRequest.post_form(f"{self.base_url}/version1/messaging", fields, self._headers)
        recipient = _recipient((yield from self.ask(request)))
        if code_of(recipient.get("statusCode")) not in _ACCEPTED:
            raise self.unclear("statusCode")
        return recipient

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"Accept": "application/json", "apiKey": self.api_key}


def _recipient(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return only(part_of(document, "SMSMessageData").get("Recipients"))


def _money(value: object) -> tuple[str | None, str | None]:
    """Return the currency and the amount of a text like `KES 0.8000`; None if it is not one."""
    found = _MONEY.fullmatch(value) if isinstance(value, str) else None
    return (found[1], found[2]) if found else (None, None)


DRIVER = AfricasTalking
