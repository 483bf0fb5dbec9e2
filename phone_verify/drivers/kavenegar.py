"""Our code in a template of the panel (`verify/lookup`), by SMS or spoken in a call.

Requests, error codes and states are those of published clients, most of them the vendor's own. The HTTP
status repeats the error code. The API key is part of the URL. Delivery webhooks need their URL in the panel.
Costs and the credit are in rials (provider docs).
Assumed: a call is queried like an SMS, and webhooks have no signature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind, ProviderError
from ..exchange import Exchange, HttpRequest, HttpResponse, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from .base import Ability
from .kinds.json_api import Fault, by_kind, code_of, only, part_of
from .kinds.template_sms import TemplateDriver
from .reading import amount_of, price_of, priced, reference_of

_STATES = {
    **dict.fromkeys(("1", "2", "4", "5"), DeliveryState.OPEN),
    "10": DeliveryState.DELIVERED,
    **dict.fromkeys(("6", "11", "13", "14"), DeliveryState.UNDELIVERED),
}


@dataclass(frozen=True)
class Kavenegar(TemplateDriver):
    """SMS and voice calls through the `verify/lookup` request of Kavenegar."""

    scheme: ClassVar[str] = "kavenegar"
    provider: ClassVar[str] = "Kavenegar (Iran)"
    default_host: ClassVar[str | None] = "api.kavenegar.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("api_key",),)
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"98"})
    trunk: ClassVar[str] = "0"
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "411",
            FailureKind.CONFIGURATION: "400 401 403 404 405 406 407 412 413 414 415 416 417 419 420 422 424 426 427 "
            "431 432 501",
            FailureKind.BALANCE: "418",
            FailureKind.RATE: "429 451",
            FailureKind.TRANSIENT: "402 409",
            # A call is not possible, but an SMS may be.
            FailureKind.UNKNOWN: "428",
        }
    )

    api_key: str = field(repr=False)

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS and voice calls with our code."""
        return {Channel.SMS: Ability(CodeSource.LOCAL), Channel.VOICE: Ability(CodeSource.LOCAL)}

    @property
    def webhook_parameters(self) -> Sequence[Sequence[str]]:
        """The message, and its state."""
        return ("messageid",), ("status",)

    def template_request(self, order: Order, number: str, code: str) -> HttpRequest:
        """Return the request for a message or a call."""
        kind = "call" if order.channel is Channel.VOICE else "sms"
        return self._request("verify/lookup", receptor=number, token=code, template=self.template, type=kind)

    def receipt_of(self, document: Mapping[str, Any]) -> Receipt:
        """Return the id of the message, and its cost in rials."""
        entry = _entry(document)
        return Receipt(self.reference_in(entry.get("messageid")), **priced(price_of(entry.get("cost")), "IRR"))

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the message."""
        entry = _entry((yield from self.ask(self._request("sms/status", messageid=reference))))
        status = code_of(entry.get("status"))
        if self.reference_in(entry.get("messageid")) != reference or not status:
            raise self.unclear("status of this message")
        return _report(reference, status)

    def account(self) -> Exchange[ProviderAccount]:
        """Return the credit that is left, in rials."""
        balance = amount_of(_entry((yield from self.ask(self._request("account/info")))).get("remaincredit"))
        if balance is None:
            raise self.unclear("remaincredit")
        return ProviderAccount(balance, "IRR")

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | None:
        """Parse the new state of a message."""
        reference, status = reference_of(request.once("messageid")), request.once("status")
        return None if reference is None or status is None else _report(reference, status)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of a `return.status` other than 200."""
        result = part_of(document, "return")
        status = code_of(result.get("status"))
        return Fault(status, result.get("message")) if status not in ("", "200") else None

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether `return.status` is 200."""
        return code_of(part_of(document, "return").get("status")) == "200"

    def refusal(self, response: HttpResponse, fault: Fault) -> ProviderError:
        """Return the error of a response, whose HTTP status is the code if the body has none."""
        return super().refusal(response, fault if fault.code else Fault(str(response.status), fault.said))

    def _request(self, method: str, **fields: str) -> HttpRequest:
        return HttpRequest.post_form(f"{self.base_url}/v1/{quote(self.api_key, safe='')}/{method}.json", fields)


def _entry(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the one entry, which is in a list or, for the account and in one client, alone."""
    entries = document.get("entries")
    return entries if isinstance(entries, dict) else only(entries)


def _report(reference: str, status: str) -> DeliveryReport:
    said = f"status {status}" if status in _STATES else "other status"
    return DeliveryReport(reference, _STATES.get(status, DeliveryState.OPEN), said)


DRIVER = Kavenegar
