"""SMS.ru (Russia, flash calls worldwide): SMS with our text, flash calls, and lines to call.

The HTTP status says little: `status` in the body is `OK` or `ERROR`, and `status_code` is the
reason. An SMS has a second pair inside, which decides (provider docs). Of a call to a line only
the number that was ordered counts: SMS.ru compares the caller itself and does not report it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, Rejected, WebhookRequest
from ..model import (
    CallState,
    Channel,
    CodeSource,
    DeliveryReport,
    DeliveryState,
    IncomingCall,
    Order,
    ProviderAccount,
    Receipt,
    Sighting,
)
from .base import Ability, Driver, ParsedWebhook
from .kinds.inbound_call import line_to_call
from .kinds.told_code import told_code
from .options import Option
from .reading import amount_of, our_code, price_of, reference_of, trouble_of_status

#: The table of published clients. 100 to 103 are successes; a code outside is UNKNOWN.
_REFUSALS: Mapping[FailureKind, Sequence[int]] = {
    FailureKind.BAD_NUMBER: (105, 106, 107, 108, 150, 202, 207, 209),
    FailureKind.CONFIGURATION: (
        *(200, 203, 204, 205, 208, 210, 211, 212, 213),
        *(300, 301, 302, 901, 902),
    ),
    FailureKind.BALANCE: (201, 206),
    FailureKind.RATE: (230, 231, 232, 233, 303, 304, 305),
    FailureKind.TRANSIENT: (104, 220, 500),
}
_TROUBLES = {str(code): trouble for trouble, codes in _REFUSALS.items() for code in codes}
_ACCEPTED = ("100", "101", "102", "103")

#: Of an SMS; all others are open. 207 and 209 never left.
_STATES = {"103": DeliveryState.DELIVERED} | dict.fromkeys(
    ("104", "105", "106", "107", "108", "150", "202", "207", "209"), DeliveryState.UNDELIVERED
)

#: 400 is assumed from clients; 402 is also a wrong id.
_CALLS = {"400": CallState.WAITING, "401": CallState.CONFIRMED, "402": CallState.EXPIRED}

_CODE_LENGTH = 4
_ABILITIES = {
    Channel.SMS: Ability(CodeSource.LOCAL),
    Channel.FLASH_CALL: Ability(CodeSource.PROVIDER, fixed_length=_CODE_LENGTH),
    Channel.INBOUND_CALL: Ability(CodeSource.NONE, cap=timedelta(minutes=5), by_reference=True),
}

_ENTRY_NAME = re.compile(r"data\[[0-9]{1,3}\]")
_TIME = re.compile(r"[0-9]{1,11}")
#: SMS.ru repeats a webhook for up to five days, with the time of the event (an integrator's note).
_OLDEST, _EARLIEST = timedelta(days=5, hours=1), timedelta(minutes=5)


@dataclass(frozen=True)
class SmsRu(Driver):
    """SMS, flash calls and inbound calls through SMS.ru.

    `sender` is an approved sender name. Webhooks are signed with `api_id`, so with a login and
    password none is accepted.
    """

    scheme: ClassVar[str] = "sms-ru"
    provider: ClassVar[str] = "SMS.ru"
    default_host: ClassVar[str | None] = "sms.ru"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("api_id",), ("login", "password"))
    options: ClassVar[Mapping[str, Option]] = {"sender": Option(None, meaning="the approved sender name of SMS")}
    signs_webhooks: ClassVar[bool] = True

    sender: str | None
    api_id: str = field(default="", repr=False)
    login: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with our code, flash calls with the provider's, and lines that are open for five minutes."""
        return _ABILITIES

    @property
    def webhook_answer(self) -> str:
        """Any other answer is taken for a failure, and the webhook is repeated."""
        return "100"

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send our text, place the flash call, or return the line to call."""
        phone = order.phone.e164[1:]
        match order.channel:
            case Channel.SMS:
                return (yield from self._message(phone, order.text or our_code(order)))
            case Channel.FLASH_CALL:
                answer = yield from self._ask("/code/call", {"phone": phone})
                # Its id is left out: it looks like that of an SMS, and cannot be queried.
                code = told_code(answer.get("code"), _CODE_LENGTH, self.scheme)
                return _priced(Receipt(code=code), answer)
            case Channel.INBOUND_CALL:
                answer = yield from self._ask("/callcheck/add", {"phone": phone})
                return line_to_call(answer.get("call_phone"), answer.get("check_id"), self.scheme)
            case _:
                raise ValueError(f"sms-ru does not support {order.channel}")

    def poll(self, reference: str) -> Exchange[Sighting]:
        """Query whether the ordered number has called the line."""
        answer = yield from self._ask("/callcheck/status", {"check_id": reference})
        state = _CALLS.get(_code_of(answer.get("check_status")))
        if state is None:
            raise UnclearError("sms-ru: the response has no readable check_status")
        return Sighting(state)

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the status of an SMS; clients have seen it at the top level and inside of `sms`."""
        answer = yield from self._ask("/sms/status", {"sms_id": reference}, _STATES.keys())
        part = _only(answer.get("sms")) if "sms" in answer else answer
        code = _code_of(part.get("status_code"))
        if code not in _STATES and part is not answer:
            self._require_ok(part)
        return self._report(reference, code, part)

    def account(self) -> Exchange[ProviderAccount]:
        """Return the balance, in roubles."""
        answer = yield from self._ask("/my/balance", {})
        return ProviderAccount(amount_of(answer.get("balance")), "RUB")

    def parse_webhook(self, request: WebhookRequest) -> ParsedWebhook:
        """Parse the entries that report something.

        A call has no caller: its reference finds the claim, and a query proves it.
        """
        entries = [(name, value) for name, value in request.parameters if _ENTRY_NAME.fullmatch(name)]
        hashes = [value for name, value in request.parameters if name == "hash"]
        if len(dict(entries)) < len(entries) or len(hashes) > 1:
            return None
        texts = [value for _, value in entries]
        digest = sha256("".join((self.api_id, *texts)).encode("utf-8", "surrogatepass")).hexdigest()
        presented = hashes[0].lower().encode("utf-8", "surrogatepass") if hashes else b""
        if not self.api_id or not texts or not hmac.compare_digest(digest.encode(), presented):
            return Rejected("the hash is missing or wrong")
        lines = [text.split("\n") for text in texts]
        reported = [line for line in lines if len(line) == 4 and line[0] in ("callcheck_status", "sms_status")]
        if any(not _is_recent(line[3], request.received_at) for line in reported):
            return Rejected("an event is too old, or in the future")
        parsed = (self._event(kind, reference_of(id), code) for kind, id, code, _ in reported)
        events = tuple(event for event in parsed if event is not None)
        if len(events) == 1:
            return events[0]
        return events or None

    def _event(self, kind: str, reference: str | None, code: str) -> IncomingCall | DeliveryReport | None:
        if reference and kind == "sms_status":
            return self._report(reference, code, {})
        if reference and _CALLS.get(code) is CallState.CONFIRMED:
            return IncomingCall(reference, line=None, caller=None)
        return None

    def _message(self, phone: str, text: str) -> Exchange[Receipt]:
        sender = {"from": self.sender} if self.sender else {}
        answer = yield from self._ask("/sms/send", {"to": phone, "msg": text, **sender})
        part = _only(answer.get("sms"))
        self._require_ok(part)
        return _priced(Receipt(reference=reference_of(part.get("sms_id"))), part)

    def _report(self, reference: str, code: str, part: Mapping[str, Any]) -> DeliveryReport:
        state = _STATES.get(code, DeliveryState.OPEN)
        price = price_of(part.get("cost"))
        return DeliveryReport(
            reference,
            state,
            self.redact(part.get("status_text")),
            price=price,
            currency=None if price is None else "RUB",
        )

    def _ask(self, place: str, fields: Mapping[str, str], also: Collection[str] = ()) -> Exchange[Mapping[str, Any]]:
        """Return the document of an outer success; `also` are other codes that answer the question."""
        # By POST, so that no key or number is in a URL.
        form = {**self.credentials, **fields, "json": "1"}
        response = yield HttpRequest.post_form(self.base_url + place, form)
        document = response.json()
        if not response.ok:
            raise trouble_of_status(response)
        if not isinstance(document, dict):
            raise UnclearError("sms-ru: the response is not a JSON object")
        if _code_of(document.get("status_code")) not in also:
            self._require_ok(document)
        return document

    def _require_ok(self, part: Mapping[str, Any]) -> None:
        """Raise unless this part of a response is a success."""
        status, code = part.get("status"), _code_of(part.get("status_code"))
        if status == "ERROR" or code in _TROUBLES:
            said = self.redact(part.get("status_text"))
            shown = f"status {code}" if code in _TROUBLES else "unknown status"
            raise ProviderError(_TROUBLES.get(code, FailureKind.UNKNOWN), f"{shown}: {said}" if said else shown)
        # A flash call that was placed has no `status_code`.
        if status != "OK" or (code and code not in _ACCEPTED):
            raise UnclearError("sms-ru: the response has no readable status")


def _only(parts: object) -> Mapping[str, Any]:
    """Return the one result of an object by number or id, whose spelling need not be ours."""
    results = list(parts.values()) if isinstance(parts, dict) else []
    if len(results) != 1 or not isinstance(results[0], dict):
        raise UnclearError("sms-ru: the response has no single result")
    return results[0]


def _code_of(value: object) -> str:
    """Return a status as text; empty if it is neither a number nor a text."""
    return str(value) if type(value) is int else value if isinstance(value, str) else ""


def _priced(receipt: Receipt, part: Mapping[str, Any]) -> Receipt:
    price = price_of(part.get("cost"))
    return receipt if price is None else replace(receipt, price=price, currency="RUB")


def _is_recent(text: str, now: datetime | None) -> bool:
    if now is None or not _TIME.fullmatch(text):
        return False
    age = now - datetime.fromtimestamp(int(text), UTC)
    return -_EARLIEST <= age <= _OLDEST


DRIVER = SmsRu
