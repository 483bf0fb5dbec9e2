"""Our code in a template of the panel: by SMS, in the parameter that the option `parameter` names, or spoken
in a call, in the template's first parameter.

Requests, fields and delivery states are those of the vendor's own clients; the names of fields are read
without regard to case, since both spellings are in use. The credit is in rials (provider docs). Assumed: that
costs are too, and the error codes. Webhooks of the provider are not documented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from .base import Ability
from .kinds.json_api import Fault, by_kind, code_of, only
from .kinds.template_sms import TemplateDriver
from .options import Option, matching
from .reading import amount_of, price_of, priced

_STATES = {
    **dict.fromkeys(("0", "2", "3", "4", "5", "9", "10", "11", "17"), DeliveryState.OPEN),
    "14": DeliveryState.DELIVERED,
    **dict.fromkeys(("1", "6", "7", "8", "12", "13", "15", "16"), DeliveryState.UNDELIVERED),
}
#: The ids of a status query are the provider's, not ours.
_BY_MESSAGE_ID = "1"


@dataclass(frozen=True)
class Ghasedak(TemplateDriver):
    """SMS and voice calls through the template requests of Ghasedak."""

    scheme: ClassVar[str] = "ghasedak"
    provider: ClassVar[str] = "Ghasedak (Iran)"
    default_host: ClassVar[str | None] = "gateway.ghasedak.me"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("api_key",),)
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"98"})
    trunk: ClassVar[str] = "0"
    options: ClassVar[Mapping[str, Option]] = {
        **TemplateDriver.options,
        "parameter": Option(
            "Code", matching(r"\w{1,50}", "its name"), meaning="the template's parameter for the code of an SMS"
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {FailureKind.CONFIGURATION: "401 403", FailureKind.BALANCE: "402 418", FailureKind.RATE: "429"}
    )
    error_words: ClassVar[Mapping[str, FailureKind]] = {"credit": FailureKind.BALANCE}

    api_key: str = field(repr=False)
    parameter: str

    def __post_init__(self) -> None:
        self.require_token("api_key")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS and voice calls with our code."""
        return {Channel.SMS: Ability(CodeSource.LOCAL), Channel.VOICE: Ability(CodeSource.LOCAL)}

    def template_request(self, order: Order, number: str, code: str) -> HttpRequest:
        """Return the request for a message or a call; the order's key is our reference."""
        fields = {
            "SendDate": None,
            "Receptors": [{"Mobile": number, "ClientReferenceId": order.key or None}],
            "TemplateName": self.template,
            "Udh": False,
        }
        if order.channel is Channel.VOICE:
            method, own = "SendOtpWithParams", {"Param1": code, "IsVoice": True}
        else:
            method, own = "SendOtpSMS", {"Inputs": [{"Param": self.parameter, "Value": code}]}
        return HttpRequest.post_json(self._url(method), {**fields, **own}, self._headers)

    def receipt_of(self, document: Mapping[str, Any]) -> Receipt:
        """Return the id of the message, and its cost in rials."""
        item = only(_field(_field(document, "data"), "items"))
        return Receipt(self.reference_in(_field(item, "messageid")), **priced(price_of(_field(item, "cost")), "IRR"))

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the message."""
        query = {"Type": _BY_MESSAGE_ID, "Ids": reference}
        document = yield from self.ask(HttpRequest.get(self._url("CheckSmsStatus"), query, self._headers))
        data = _field(document, "data")
        # In one client of the vendor, `data` is the list. That it may have `items`, as for a send, is assumed.
        item = only(_field(data, "items") if isinstance(data, dict) else data)
        status = code_of(_field(item, "status"))
        if self.reference_in(_field(item, "messageid")) != reference or not status:
            raise self.unclear("status of this message")
        said = f"status {status}" if status in _STATES else "other status"
        state = _STATES.get(status, DeliveryState.OPEN)
        return DeliveryReport(reference, state, said, **priced(price_of(_field(item, "price")), "IRR"))

    def account(self) -> Exchange[ProviderAccount]:
        """Return the credit that is left, in rials."""
        document = yield from self.ask(HttpRequest.get(self._url("GetAccountInformation"), headers=self._headers))
        balance = amount_of(_field(_field(document, "data"), "credit"))
        if balance is None:
            raise self.unclear("credit")
        return ProviderAccount(balance, "IRR")

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of `isSuccess: false`."""
        if _field(document, "issuccess") is not False:
            return None
        return Fault(code_of(_field(document, "statuscode")), _field(document, "message"))

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether `isSuccess` is true, and `statusCode` is 200 if it is there."""
        return _field(document, "issuccess") is True and _field(document, "statuscode") in (None, 200, "200")

    def _url(self, method: str) -> str:
        return f"{self.base_url}/Rest/api/v1/WebService/{method}"

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"ApiKey": self.api_key}


def _field(document: object, name: str) -> Any:
    """Return the field whose name in lower case is this; None if there is none, or several."""
    fields = document.items() if isinstance(document, dict) else ()
    values = [value for key, value in fields if key.lower() == name]
    return values[0] if len(values) == 1 else None


DRIVER = Ghasedak
