"""New-Tel CallPassword (Russia): a call from a number that ends in our code.

All facts are those of published clients, which agree on the signature. An error is named at one of
two levels: `status` (authentication and format, counted as configuration) or `data.result` (the
number or the account). Assumed: the words of the second level that distinguish a number from the
balance. A call is delivered if the phone rang, so "busy" and "no answer" count; "cancel" is left
open. The sister host `acallapi3.telediscount.ru` takes the same requests: write it in the DSN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar

from ..errors import FailureKind, ProviderError
from ..exchange import Exchange, HttpRequest, HttpResponse
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from .base import Ability, NationalDriver
from .kinds.json_api import Fault, JsonDriver, code_of, part_of
from .kinds.told_code import other_code
from .options import Option, matching
from .reading import amount_of, our_code, reference_of, trouble_of_status

_LENGTH = 4
_CURRENCY = re.compile("[A-Z]{3}")
_REACHED, _FAILED = ("answered", "busy", "no answer"), ("no such number", "not available")
_STATES = dict.fromkeys(_REACHED, DeliveryState.DELIVERED) | dict.fromkeys(_FAILED, DeliveryState.UNDELIVERED)
#: The field of the outer level, which names the errors of the request itself.
_OUTER = "status"


@dataclass(frozen=True)
class NewTel(NationalDriver, JsonDriver):
    """Flash calls through New-Tel."""

    scheme: ClassVar[str] = "new-tel"
    provider: ClassVar[str] = "New-Tel (Russia)"
    default_host: ClassVar[str | None] = "api.new-tel.net"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("auth_key", "sign_key"),)
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"7"})
    trunk: ClassVar[str] = "7"
    options: ClassVar[Mapping[str, Option]] = {
        **NationalDriver.options,
        "ring": Option("30", matching("2[0-9]|3[0-9]|4[0-5]", "20 to 45"), meaning="seconds for which the phone rings"),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = {"isValidNumber": FailureKind.BAD_NUMBER}
    error_words: ClassVar[Mapping[str, FailureKind]] = {
        "balance": FailureKind.BALANCE,
        "баланс": FailureKind.BALANCE,
        "number": FailureKind.BAD_NUMBER,
        "номер": FailureKind.BAD_NUMBER,
    }

    auth_key: str = field(repr=False)
    sign_key: str = field(repr=False)
    ring: str

    def __post_init__(self) -> None:
        self.require_token("auth_key", "sign_key")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Flash calls with our code of four digits."""
        return {Channel.FLASH_CALL: Ability(CodeSource.LOCAL, shortest=_LENGTH, longest=_LENGTH)}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Ring from a number that ends in our code; without `async` the response comes after the call."""
        code = our_code(order)
        fields = {"dstNumber": self.written(order.phone), "pin": code, "timeout": int(self.ring), "async": 1}
        details = yield from self._details("start-password-call", fields)
        if details.get("isValidNumber") is False:
            raise ProviderError(FailureKind.BAD_NUMBER, "isValidNumber is false")
        return Receipt(reference_of(details.get("callId")), other_code(details.get("pin"), code, self.scheme))

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the call."""
        details = yield from self._details("get-password-call-status", {"callId": reference})
        status = details.get("status")
        if reference_of(details.get("callId", reference)) != reference or not isinstance(status, str | None):
            raise self.unclear("status of this call")
        return DeliveryReport(reference, _STATES.get(status or "", DeliveryState.OPEN), self.redact(status))

    def account(self) -> Exchange[ProviderAccount]:
        """Return the balance."""
        state = part_of((yield from self.ask(self._request("company/get-state", {}))), "data", "state")
        balance = amount_of(state.get("balance"))
        if balance is None:
            raise self.unclear("balance")
        currency = code_of(state.get("currency"))
        return ProviderAccount(balance, currency if _CURRENCY.fullmatch(currency) else None)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of the outer level, or else of the inner one."""
        data = part_of(document, "data")
        texts = (document.get("message"), data.get("message"))
        said = next((text for text in texts if isinstance(text, str) and text), None)
        if document.get(_OUTER) == "error":
            return Fault(_OUTER, said)
        if data.get("result") != "error":
            return None
        is_invalid = part_of(data, "callDetails").get("isValidNumber") is False
        return Fault("isValidNumber" if is_invalid else "result", said)

    def is_success(self, document: Mapping[str, Any]) -> bool:
        """Return whether the outer level is a success, and the inner one if it is there."""
        return document.get(_OUTER) == "success" and part_of(document, "data").get("result", "success") == "success"

    def refusal(self, response: HttpResponse, fault: Fault) -> ProviderError:
        """Return the error: one of the outer level is of the configuration unless the HTTP status says more."""
        error = super().refusal(response, fault)
        if fault.code != _OUTER:
            return error
        by_status = trouble_of_status(response).trouble
        return ProviderError(FailureKind.CONFIGURATION if by_status is FailureKind.UNKNOWN else by_status, error.detail)

    def _details(self, action: str, fields: Mapping[str, object]) -> Exchange[Mapping[str, Any]]:
        document = yield from self.ask(self._request(f"call-password/{action}", fields))
        details = part_of(document, "data", "callDetails")
        if not details:
            raise self.unclear("callDetails")
        return details

    def _request(self, method: str, fields: Mapping[str, object]) -> HttpRequest:
        request = HttpRequest.post_json(f"{self.base_url}/{method}", fields)

        def sign(now: datetime) -> Mapping[str, str]:
            seconds = str(int(now.timestamp()))
            signature = signature_of(method, seconds, self.auth_key, request.body or b"", self.sign_key)
            return {"Authorization": f"Bearer {self.auth_key}{seconds}{signature}"}

        return replace(request, sign=sign)


def signature_of(method: str, seconds: str, auth_key: str, body: bytes, sign_key: str) -> str:
    """Return the signature of these bytes of a body, sent at this Unix time."""
    parts = (method.encode(), seconds.encode(), auth_key.encode(), body, sign_key.encode())
    return sha256(b"\n".join(parts)).hexdigest()


DRIVER = NewTel
