"""Zvonok (Russia, CIS): a flash call with the provider's code, a voice call with ours, or a line to
call.

Each channel needs a campaign of its own type, so give each its own DSN, with the option `name`. All
facts are those of published clients. The code of a flash call is the provider's, which need not
keep a requested one. The line is a setting of the campaign; if a response lists the lines that work
now without it, the first of them is shown. Calls to it are answered, and are polled: `pincode_ok`
means that the ordered number called. Assumed: the texts of errors, and that a spoken code may have
any length; a response with another code is a refusal. Of the dial statuses only those with one
meaning for all channels count: a flash call that was not answered may have rung.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest
from ..model import (
    CallState,
    Channel,
    CodeSource,
    DeliveryReport,
    DeliveryState,
    Order,
    ProviderAccount,
    Receipt,
    Sighting,
)
from ..phone import PhoneNumber
from .base import Ability
from .kinds.inbound_call import LINE, readable_line
from .kinds.json_api import Fault, JsonDriver, only, part_of
from .kinds.told_code import other_code, told_code
from .options import Option
from .reading import amount_of, our_code, reference_of

_CODE_LENGTH = 4
_ABILITIES = {
    Channel.FLASH_CALL: Ability(CodeSource.PROVIDER, fixed_length=_CODE_LENGTH),
    Channel.VOICE: Ability(CodeSource.LOCAL),
}
_INBOUND = Ability(CodeSource.NONE, cap=timedelta(minutes=5), announced=True)
#: 5 is an answer; 1 is a failed call, and the others are blocked numbers and calls that were not placed.
_STATES = {5: DeliveryState.DELIVERED} | dict.fromkeys((1, 11, 12, 23, 24, 25, 26, 29), DeliveryState.UNDELIVERED)
_LIFETIME_ENDED = 30


@dataclass(frozen=True)
class Zvonok(JsonDriver):
    """Flash calls, voice calls and inbound calls through Zvonok."""

    scheme: ClassVar[str] = "zvonok"
    provider: ClassVar[str] = "Zvonok"
    default_host: ClassVar[str | None] = "zvonok.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("public_key", "campaign_id"),)
    options: ClassVar[Mapping[str, Option]] = {"line": LINE}
    error_words: ClassVar[Mapping[str, FailureKind]] = {
        "balance": FailureKind.BALANCE,
        "баланс": FailureKind.BALANCE,
        "public_key": FailureKind.CONFIGURATION,
        "campaign": FailureKind.CONFIGURATION,
        "кампани": FailureKind.CONFIGURATION,
        "phone": FailureKind.BAD_NUMBER,
        "телефон": FailureKind.BAD_NUMBER,
    }

    public_key: str = field(repr=False)
    campaign_id: str = field(repr=False)
    line: PhoneNumber | None

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Flash calls with the provider's code, voice calls with ours, and a line if one is set."""
        return _ABILITIES if self.line is None else {**_ABILITIES, Channel.INBOUND_CALL: _INBOUND}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Place the call, or return the line to call."""
        match order.channel:
            case Channel.FLASH_CALL:
                data = yield from self._ordered("flashcall", order)
                code = told_code(data.get("pincode"), _CODE_LENGTH, self.scheme)
                return Receipt(reference_of(data.get("call_id")), code=code)
            case Channel.VOICE:
                return (yield from self._spoken(order))
            case Channel.INBOUND_CALL:
                data = yield from self._ordered("confirm", order)
                line = self._line_among(data.get("allowed_phones_for_call"))
                return Receipt(self._id_in(data), line=line)
            case _:
                raise ValueError(f"zvonok does not support {order.channel}")

    def poll(self, reference: str) -> Exchange[Sighting]:
        """Query whether the ordered number has called; an answer alone is not enough."""
        call = yield from self._call(reference)
        if "pincode_ok" in (call.get("status"), call.get("call_status")):
            return Sighting(CallState.CONFIRMED)
        return Sighting(CallState.EXPIRED if _dial_status(call) == _LIFETIME_ENDED else CallState.WAITING)

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the call."""
        call = yield from self._call(reference)
        status = _dial_status(call)
        if status is None:
            raise self.unclear("dial_status")
        return DeliveryReport(
            reference, _STATES.get(status, DeliveryState.OPEN), self.redact(call.get("dial_status_display"))
        )

    def account(self) -> Exchange[ProviderAccount]:
        """Return the balance; the currency is not reported."""
        document = yield from self.ask(self._query("users/balance", {}))
        balance = amount_of(document.get("balance"))
        if balance is None:
            raise self.unclear("balance")
        return ProviderAccount(balance)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error, whose text is in the place of the data."""
        return Fault("", document.get("data")) if document.get("status") == "error" else None

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether `status` is "ok", which the response with the balance lacks."""
        return document.get("status") == "ok" or "balance" in document

    def _spoken(self, order: Order) -> Exchange[Receipt]:
        code = our_code(order)
        data = yield from self._ordered("tellcode", order, {"pincode": code})
        return Receipt(self._id_in(data), other_code(data.get("pincode"), code, self.scheme))

    def _ordered(
        self, action: str, order: Order, fields: Mapping[str, str] | None = None
    ) -> Exchange[Mapping[str, Any]]:
        form = {**self.credentials, "phone": order.phone.e164, **(fields or {})}
        request = HttpRequest.post_form(self._url(f"phones/{action}"), form)
        return part_of((yield from self.ask(request)), "data")

    def _call(self, reference: str) -> Exchange[Mapping[str, Any]]:
        """Return the call, from a list of it alone; empty if the list is."""
        response = yield self._query("phones/call_by_id", {"call_id": reference})
        document = response.json()
        fault = self.fault_of(part_of(document))
        if fault is not None or not response.ok:
            raise self.refusal(response, fault or Fault(""))
        call = only(document)
        if document != [] and reference_of(call.get("call_id")) != reference:
            raise self.unclear("call of this id")
        return call

    def _query(self, place: str, fields: Mapping[str, str]) -> HttpRequest:
        # No client is known to send these two by POST.
        return HttpRequest.get(self._url(place), {"public_key": self.public_key, **fields})

    def _url(self, place: str) -> str:
        return f"{self.base_url}/manager/cabapi_external/api/v1/{place}/"

    def _id_in(self, data: Mapping[str, Any]) -> str:
        reference = reference_of(data.get("call_id"))
        if reference is None:
            raise self.unclear("call_id")
        return reference

    def _line_among(self, listed: object) -> PhoneNumber | None:
        """Return the option's line unless the provider lists others only."""
        lines = [line for text in (listed if isinstance(listed, list) else ()) if (line := readable_line(text))]
        return self.line if self.line in lines or not lines else lines[0]


def _dial_status(call: Mapping[str, Any]) -> int | None:
    status = call.get("dial_status")
    return status if type(status) is int else None


DRIVER = Zvonok
