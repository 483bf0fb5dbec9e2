"""uCaller (Russia and abroad): a call from a number that ends in our code, or a line to call.

Requests and most response fields are those of the provider's docs; the error codes, the webhook and
`call_status` those of published clients. The body decides, mostly with HTTP 200. The order's key is
the provider's idempotency key: a repeated request places no second call. The unsigned webhook is
the only report of a call to a line, so such an order needs the site's public URL. Assumed: calls to
a line are not answered. A call counts as delivered when it was placed. The provider blocks a number
for hours after more than four calls in a minute or 30 in a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import FailureKind, ProviderError
from ..exchange import Exchange, HttpRequest, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, IncomingCall, Order, ProviderAccount, Receipt
from .base import Ability
from .kinds.inbound_call import line_to_call
from .kinds.json_api import Fault, JsonDriver, by_kind, code_of
from .kinds.told_code import other_code
from .reading import amount_of, number_of, our_code, price_of, reference_of

_LENGTH = 4
_STATES = {"1": DeliveryState.DELIVERED, "0": DeliveryState.UNDELIVERED, "-1": DeliveryState.OPEN}


@dataclass(frozen=True)
class Ucaller(JsonDriver):
    """Flash calls and inbound calls through uCaller."""

    scheme: ClassVar[str] = "ucaller"
    provider: ClassVar[str] = "uCaller"
    default_host: ClassVar[str | None] = "api.ucaller.ru"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("key", "service_id"),)
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "3 9 20",
            FailureKind.CONFIGURATION: "0 1 2 4 10 401 405 1001 1003 1004 1005",
            FailureKind.BALANCE: "1002",
            FailureKind.RATE: "18 19 429",
            FailureKind.TRANSIENT: "5 500",
            FailureKind.UNKNOWN: "11 12 13",
        }
    )

    key: str = field(repr=False)
    service_id: str = field(repr=False)

    def __post_init__(self) -> None:
        self.require_token("key", "service_id")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Flash calls with our code of four digits, and lines to call."""
        return {
            Channel.FLASH_CALL: Ability(CodeSource.LOCAL, shortest=_LENGTH, longest=_LENGTH, once_by_key=True),
            Channel.INBOUND_CALL: Ability(CodeSource.NONE, webhook_url=True),
        }

    def start(self, order: Order) -> Exchange[Receipt]:
        """Ring from a number that ends in our code, or return the line to call."""
        phone = order.phone.e164[1:]
        if order.channel is Channel.FLASH_CALL:
            return (yield from self._flash_call(phone, our_code(order), order.key))
        if order.webhook_url is None:
            raise ProviderError(FailureKind.CONFIGURATION, "the site has no public URL to report the call to")
        request = self._request("inboundCallWaiting", {"phone": phone, "callback_url": order.webhook_url})
        document = yield from self.ask(request)
        return line_to_call(document.get("confirmation_number"), document.get("ucaller_id"), self.scheme)

    def parse_webhook(self, request: WebhookRequest) -> IncomingCall | None:
        """Parse the call that a webhook reports: `callId` is the order's id, `clientNumber` the caller."""
        document = request.json()
        if not isinstance(document, dict):
            return None
        reference, reported = reference_of(document.get("callId")), document.get("clientNumber")
        caller = number_of("+" + reported.removeprefix("+")) if isinstance(reported, str) else None
        return None if reference is None or caller is None else IncomingCall(reference, None, caller)

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the call; what it cost is in roubles."""
        uid = int(reference) if reference.isdecimal() else reference
        document = yield from self.ask(self._request("getInfo", {"uid": uid}))
        status = code_of(document.get("call_status"))
        if reference_of(document.get("ucaller_id")) != reference or status not in _STATES:
            raise self.unclear("call_status of this call")
        price = price_of(document.get("cost"))
        currency = None if price is None else "RUB"
        return DeliveryReport(reference, _STATES[status], f"status {status}", price=price, currency=currency)

    def account(self) -> Exchange[ProviderAccount]:
        """Return the balance, in roubles."""
        document = yield from self.ask(self._request("getBalance", {}))
        balance = amount_of(document.get("rub_balance"))
        if balance is None:
            raise self.unclear("rub_balance")
        return ProviderAccount(balance, "RUB")

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of `status: false`."""
        return Fault(code_of(document.get("code")), document.get("error")) if document.get("status") is False else None

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether `status` is true."""
        return document.get("status") is True

    def _flash_call(self, phone: str, code: str, key: str) -> Exchange[Receipt]:
        unique = {"unique": key} if key else {}
        document = yield from self.ask(self._request("initCall", {"phone": phone, "code": code, **unique}))
        # The response is right about the code if the two differ (an integrator's note).
        sent = other_code(document.get("code"), code, self.scheme)
        return Receipt(reference_of(document.get("ucaller_id")), sent)

    def _request(self, method: str, fields: Mapping[str, object]) -> HttpRequest:
        headers = {"Authorization": f"Bearer {self.key}.{self.service_id}"}
        return HttpRequest.post_json(f"{self.base_url}/v1.0/{method}", fields, headers)


DRIVER = Ucaller
