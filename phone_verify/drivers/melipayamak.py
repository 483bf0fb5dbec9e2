"""Our code in a template of the panel (`BaseServiceNumber`), which must have one variable.

Requests and error codes are those of the vendor's own clients. Every response has a `Value`: for a message
its id of 15 digits or more, and a shorter or negative number is an error, even with HTTP 200. A `RetStatus`
of 35 ("InvalidData") comes with any of them, and is no code. Assumed: the states of a delivery, and that the
credit is a number of messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest, HttpResponse
from ..model import DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from .kinds.json_api import Fault, by_kind, code_of
from .kinds.template_sms import TemplateDriver
from .options import Option, matching
from .reading import amount_of

_ID = re.compile(r"[0-9]{15,64}")
_ERROR = re.compile(r"-?[0-9]{1,14}")
_INVALID_DATA = "35"
_STATE = re.compile(r"[0-9]{1,4}")

#: All others are open.
_STATES = {"1": DeliveryState.DELIVERED, **dict.fromkeys(("2", "16"), DeliveryState.UNDELIVERED)}


@dataclass(frozen=True)
class Melipayamak(TemplateDriver):
    """SMS through the `BaseServiceNumber` request of Melipayamak."""

    scheme: ClassVar[str] = "melipayamak"
    provider: ClassVar[str] = "Melipayamak (Iran)"
    default_host: ClassVar[str | None] = "rest.payamak-panel.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("username", "password"),)
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"98"})
    trunk: ClassVar[str] = "0"
    options: ClassVar[Mapping[str, Option]] = {
        **TemplateDriver.options,
        "template": Option(
            "",
            matching("[0-9]{1,18}", "its number"),
            "100000",
            "the number (`bodyId`) of the template in the panel, whose only variable is the code",
            required=True,
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "16 35",
            FailureKind.CONFIGURATION: "0 5 7 9 10 12 14 17 -1 -2 -3 -4 -5 -7 -10",
            FailureKind.BALANCE: "2",
            FailureKind.RATE: "3 4",
            FailureKind.TRANSIENT: "6 11 -6",
        }
    )

    username: str = field(repr=False)
    password: str = field(repr=False)

    def template_request(self, order: Order, number: str, code: str) -> HttpRequest:
        """Return the request. `text` has the values of all variables, separated by semicolons."""
        return self._request("BaseServiceNumber", text=code, to=number, bodyId=self.template)

    def receipt_of(self, document: Mapping[str, Any]) -> Receipt:
        """Return the id of the message. Raises `ProviderError` if an error is in its place."""
        value = _text(document.get("Value"))
        if _ERROR.fullmatch(value):
            raise self.refusal(HttpResponse(HTTPStatus.OK), Fault(value, document.get("StrRetStatus")))
        if not _ID.fullmatch(value):
            raise self.unclear("Value")
        return Receipt(value)

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the message."""
        state = _text((yield from self.ask(self._request("GetDeliveries2", recId=reference))).get("Value"))
        if not _STATE.fullmatch(state):
            raise self.unclear("Value")
        said = f"state {state}" if state in _STATES else ""
        return DeliveryReport(reference, _STATES.get(state, DeliveryState.OPEN), said)

    def account(self) -> Exchange[ProviderAccount]:
        """Return the credit that is left."""
        balance = amount_of((yield from self.ask(self._request("GetCredit"))).get("Value"))
        # A negative one may be an error code.
        if balance is None or balance < 0:
            raise self.unclear("Value")
        return ProviderAccount(balance)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of a `RetStatus` other than 1, by the `Value` if that is an error code."""
        status, value = code_of(document.get("RetStatus")), _text(document.get("Value"))
        # With an id, the message may be sent: that is unclear, and no error.
        if status in ("", "1") or _ID.fullmatch(value):
            return None
        # Here 35 comes with any error of `Value` (published clients), and does not mean the black list.
        known = value if value in self.errors else status if status != _INVALID_DATA else ""
        return Fault(known, document.get("StrRetStatus"))

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether `RetStatus` is 1."""
        return code_of(document.get("RetStatus")) == "1"

    def _request(self, method: str, **fields: str) -> HttpRequest:
        form = {"username": self.username, "password": self.password, **fields}
        return HttpRequest.post_form(f"{self.base_url}/api/SendSMS/{method}", form)


def _text(value: object) -> str:
    """Return a value as text; empty if it is neither a whole number nor a text."""
    return str(value) if type(value) is int else value if isinstance(value, str) else ""


DRIVER = Melipayamak
