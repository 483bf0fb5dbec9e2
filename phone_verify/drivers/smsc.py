"""SMSC (smsc.ru, smsc.kz, smscentre.com; Russia and CIS): SMS, calls with a code, and lines to call.

Requests and responses are documented; the error codes and states are the vendor's table as clients
have it. For a line to call, the error 5 is a bad number and 6 too many attempts. A voice call
speaks our code. A flash call carries the provider's code, which the response returns: older docs
show it in the caller's number, newer ones let a robot speak it, and clients disagree on its digits
(`code_length`). Only webhooks report delivery, since a query would need the number.

A call to a line cannot be queried: set the webhook URL in the provider's account, without `fmt` and
without a digest (`md5`, `sha1`, `crc32`). The formula of the digest is not documented, and with one
the provider may repeat a parameter: such a webhook about a call is ignored. The webhook names the
caller alone, so a phone waits for one call at a time, whatever its line. Assumed: the name of the
parameter that marks a call (`webhook_call`), and that calls to a line are not answered.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from ..errors import FailureKind, ProviderError
from ..exchange import Exchange, HttpRequest, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, IncomingCall, Order, ProviderAccount, Receipt
from ..phone import PhoneNumber
from .base import Ability
from .kinds.inbound_call import line_without_reference
from .kinds.json_api import Fault, JsonDriver, by_kind, code_of
from .kinds.told_code import told_code
from .options import CURRENCY, Option, matching, one_of
from .reading import amount_of, number_of, our_code, price_of, priced, reference_of

#: What these codes mean for a line to call; for a message they mean something else.
_LINE_ERRORS = {"5": FailureKind.BAD_NUMBER, "6": FailureKind.RATE}

_STATES = {
    **dict.fromkeys(("1", "2"), DeliveryState.DELIVERED),
    **dict.fromkeys(("3", "20", "22", "23", "24", "25"), DeliveryState.UNDELIVERED),
    **dict.fromkeys(("-3", "-1", "0"), DeliveryState.OPEN),
}

_CALL = "waitcall"
#: How long the provider waits for a call, in one integration.
_WAIT = timedelta(minutes=10)
_CURRENCY = re.compile(r"[A-Z]{3}")
_MOST_PARTS = 255  # 3GPP TS 23.040, 9.2.3.24.1


@dataclass(frozen=True)
class Smsc(JsonDriver):
    """SMS, flash calls, voice calls and inbound calls through SMSC."""

    scheme: ClassVar[str] = "smsc"
    provider: ClassVar[str] = "SMSC"
    default_host: ClassVar[str | None] = "smsc.ru"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("login", "password"), ("api_key",))
    options: ClassVar[Mapping[str, Option]] = {
        "sender": Option(None, matching(r"[ -~]{1,15}", "1 to 15 ASCII characters"), meaning="the sender name of SMS"),
        "currency": CURRENCY,
        "code_length": Option("4", one_of("4", "6"), meaning="the digits of the provider's code in a flash call"),
        "webhook_call": Option(
            _CALL,
            matching(r"(?!(?:phone|status|mes)$)[A-Za-z0-9_-]{1,40}", "a parameter other than phone, status and mes"),
            meaning="the parameter by which a webhook about a call differs from others",
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "7 8",
            FailureKind.CONFIGURATION: "1 2 5 6",
            FailureKind.BALANCE: "3",
            FailureKind.RATE: "4 9",
        }
    )

    sender: str | None
    currency: str | None
    code_length: str
    webhook_call: str
    login: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS and voice calls with our code, flash calls with the provider's, and lines to call."""
        return {
            Channel.SMS: Ability(CodeSource.LOCAL),
            Channel.FLASH_CALL: Ability(CodeSource.PROVIDER, fixed_length=int(self.code_length)),
            Channel.VOICE: Ability(CodeSource.LOCAL),
            Channel.INBOUND_CALL: Ability(CodeSource.NONE, cap=_WAIT),
        }

    @property
    def webhook_parameters(self) -> Sequence[Sequence[str]]:
        """The phone, and whether it called or a message to it has a new state."""
        return ("phone",), (self.webhook_call, "status")

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send or speak our text, place the flash call, or return the line to call."""
        match order.channel:
            case Channel.INBOUND_CALL:
                return (yield from self._line(order.phone))
            case Channel.FLASH_CALL:
                document = yield from self._send(order.phone, {"mes": "code", "call": "1"})
                code = told_code(document.get("code"), int(self.code_length), self.scheme)
                cost = price_of(document.get("cost"))
                return Receipt(reference_of(document.get("id")), code, **priced(cost, self.currency))
            case Channel.VOICE:
                code = our_code(order)
                # Without spaces the digits would be spoken as one number.
                text = (order.text or code).replace(code, " ".join(code))
                return self._sent((yield from self._send(order.phone, {"mes": text, "call": "1"})), None)
            case _:
                return (yield from self._message(order.phone, order.text or our_code(order)))

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        """Send the text by SMS."""
        yield from self._message(phone, text)

    def account(self) -> Exchange[ProviderAccount]:
        """Return the balance."""
        document = yield from self._ask("balance", {"cur": "1"})
        balance, currency = amount_of(document.get("balance")), document.get("currency")
        if balance is None:
            raise self.unclear("balance")
        known = isinstance(currency, str) and _CURRENCY.fullmatch(currency)
        return ProviderAccount(balance, currency if known else None)

    def parse_webhook(self, request: WebhookRequest) -> IncomingCall | DeliveryReport | None:
        """Parse a call or a delivery report. A report or a received SMS is not taken for a call."""
        names, phone = {name for name, _ in request.parameters}, request.once("phone")
        if phone is None:
            return None
        if "status" in names:
            reference, status = reference_of(request.once("id")), request.once("status")
            if reference is None or status is None:
                return None
            said = f"status {status}" if status in _STATES else "other status"
            return DeliveryReport(reference, _STATES.get(status, DeliveryState.OPEN), said)
        caller = number_of("+" + phone.removeprefix("+"))
        if "mes" in names or request.once(self.webhook_call) in (None, "0") or caller is None:
            return None
        return IncomingCall(None, None, caller)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of `error_code`, or of an `error` without one."""
        code, said = code_of(document.get("error_code")), document.get("error")
        named = code not in ("", "0") or (isinstance(said, str) and said != "")
        return Fault(code, said) if named else None

    def _message(self, phone: PhoneNumber, text: str) -> Exchange[Receipt]:
        document = yield from self._send(phone, {"mes": text, **({"sender": self.sender} if self.sender else {})})
        parts = document.get("cnt")
        return self._sent(document, parts if type(parts) is int and 0 < parts <= _MOST_PARTS else None)

    def _sent(self, document: Mapping[str, Any], parts: int | None) -> Receipt:
        reference = reference_of(document.get("id"))
        if reference is None:
            raise self.unclear("id")
        return Receipt(reference, parts=parts, **priced(price_of(document.get("cost")), self.currency))

    def _line(self, phone: PhoneNumber) -> Exchange[Receipt]:
        document = yield from self._ask("wait_call", {"phone": phone.e164[1:]}, _LINE_ERRORS)
        fault = self.fault_of(document)
        if fault is not None:
            said = ": ".join(filter(None, (f"code {fault.code}", self.redact(fault.said))))
            raise ProviderError(_LINE_ERRORS[fault.code], said)
        return line_without_reference(document.get("phone"), self.scheme)

    def _send(self, phone: PhoneNumber, fields: Mapping[str, str]) -> Exchange[Mapping[str, Any]]:
        return (yield from self._ask("send", {"phones": phone.e164[1:], "cost": "2", **fields}))

    def _ask(
        self, script: str, fields: Mapping[str, str], answers: Collection[str] = ()
    ) -> Exchange[Mapping[str, Any]]:
        access = {"apikey": self.api_key} if self.api_key else {"login": self.login, "psw": self.password}
        # Without a charset the provider reads windows-1251.
        form = {**access, "fmt": "3", "charset": "utf-8", **fields}
        return (yield from self.ask(HttpRequest.post_form(f"{self.base_url}/sys/{script}.php", form), answers))


DRIVER = Smsc
