"""The code is put into a template of the panel, in the parameter that the option `parameter` names.

Requests and error codes are those of the provider's docs and its own client. The states of a delivery
are assumed, except that 1 is delivered. Costs and the balance are credits, which are not money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest
from ..model import DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from .kinds.json_api import Fault, by_kind, code_of, part_of
from .kinds.template_sms import TemplateDriver
from .options import Option, matching
from .reading import amount_of, price_of

#: All others are open.
_STATES = {"1": DeliveryState.DELIVERED, **dict.fromkeys(("2", "4", "6"), DeliveryState.UNDELIVERED)}


@dataclass(frozen=True)
class SmsIr(TemplateDriver):
    """SMS through the `verify` request of sms.ir."""

    scheme: ClassVar[str] = "sms-ir"
    provider: ClassVar[str] = "sms.ir (Iran)"
    default_host: ClassVar[str | None] = "api.sms.ir"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("api_key",),)
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"98"})
    trunk: ClassVar[str] = "0"
    options: ClassVar[Mapping[str, Option]] = {
        **TemplateDriver.options,
        "template": Option(
            "",
            matching("[0-9]{1,18}", "its number"),
            "100000",
            "the number of the template in the panel",
            required=True,
        ),
        "parameter": Option("CODE", matching(r"\w{1,50}", "its name"), meaning="the template's parameter for the code"),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "104 115",
            FailureKind.CONFIGURATION: "10 11 12 13 14 101 103 105 106 107 108 109 110 113 114 116 117 118 119 123",
            FailureKind.BALANCE: "102",
            FailureKind.RATE: "20",
            FailureKind.TRANSIENT: "0",
            FailureKind.UNKNOWN: "111 112",
        }
    )

    api_key: str = field(repr=False)
    parameter: str

    def __post_init__(self) -> None:
        self.require_token("api_key")

    def template_request(self, order: Order, number: str, code: str) -> HttpRequest:
        """Return the request; only a code of at most 25 characters fits, and ours are shorter."""
        parameters = [{"name": self.parameter, "value": code}]
        fields = {"mobile": number, "templateId": int(self.template), "parameters": parameters}
        return HttpRequest.post_json(f"{self.base_url}/v1/send/verify", fields, self._headers)

    def receipt_of(self, document: Mapping[str, Any]) -> Receipt:
        """Return the id of the message, and its cost in the provider's credits."""
        data = part_of(document, "data")
        return Receipt(self.reference_in(data.get("messageId")), price=price_of(data.get("cost")))

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the message."""
        request = HttpRequest.get(f"{self.base_url}/v1/send/{quote(reference, safe='')}", headers=self._headers)
        data = part_of((yield from self.ask(request)), "data")
        if self.reference_in(data.get("messageId")) != reference:
            raise self.unclear("messageId of this message")
        state = code_of(data.get("deliveryState"))
        said = f"state {state}" if state in _STATES else ""
        return DeliveryReport(reference, _STATES.get(state, DeliveryState.OPEN), said, price=price_of(data.get("cost")))

    def account(self) -> Exchange[ProviderAccount]:
        """Return the credits that are left."""
        document = yield from self.ask(HttpRequest.get(f"{self.base_url}/v1/credit", headers=self._headers))
        balance = amount_of(document.get("data"))
        if balance is None:
            raise self.unclear("credit")
        return ProviderAccount(balance)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of a `status` other than 1."""
        status = code_of(document.get("status"))
        return Fault(status, document.get("message")) if status not in ("", "1") else None

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether `status` is 1."""
        return code_of(document.get("status")) == "1"

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"X-API-KEY": self.api_key}


DRIVER = SmsIr
