"""The SSMS platform (Russia; ssms.su, sms-prosto.ru and other labels): SMS, flash call, and a call
to a line.

Each request is a POST to `/`, selected by `method`. The HTTP status is meaningless: it is 200, and
`err_code` decides, a string in most replies and an integer in some (public clients). A call cannot
be polled: its GET webhook is the only report, and the names of the webhook's parameters are
undocumented.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar
from xml.etree import ElementTree as ET

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, HttpResponse, WebhookRequest
from ..model import (
    Channel,
    CodeSource,
    DeliveryReport,
    DeliveryState,
    IncomingCall,
    Order,
    ProviderAccount,
    Receipt,
)
from ..phone import HIDDEN_CALLER_DIGITS, PhoneNumber
from .base import Ability, NationalDriver
from .options import CURRENCY, Option, flag, one_of
from .reading import amount_of, line_of, number_of, our_code, price_of, priced, reference_of, trouble_of_status

#: Every `err_code` of the labels' tables, taken together (public clients). Repeatable,
#: configuration and unreachable errors are grouped as the clients group them, the rest by meaning
#: (assumed).
_TROUBLES: Mapping[int, FailureKind] = {
    number: trouble
    for trouble, numbers in {
        FailureKind.BAD_NUMBER: (
            29,  # operator not connected
            40,  # cannot be delivered
            58,  # no message was sent
        ),
        FailureKind.BALANCE: (36,),
        FailureKind.TRANSIENT: (
            1,  # transport failure
            11,  # error while saving
            19,  # general error
            699,  # connection could not be made
        ),
        FailureKind.CONFIGURATION: (
            2,  # wrong login or password
            3,  # session idle, or API switched off for this account
            4,  # account blocked
            5,  # unknown method
            6,  # no such API version
            7,  # required parameters missing
            10,  # partner not authorised
            15,  # action forbidden
            16,  # wrong password
            18,  # session expired
            22,  # account does not exist
            39,  # sender name not allowed
            42,  # not logged in
            44,  # no preset tariff
            45,  # the account's base settings are missing
            47,  # no preset tariff
            605,  # user blocked
            625,  # API key not given
            626,  # no data for this API key
            627,  # wrong API key
        ),
        FailureKind.UNKNOWN: (
            35,  # text encoding differs from the declared one
            37,  # refused as spam
            38,  # refused as spam
            43,  # domain taken
            59,  # refused as spam
            602,  # SMS does not exist
            617,  # without text in the only table that has it
        ),
    }.items()
    for number in numbers
}

#: `state` of a message report is a bit set (public clients): 1 delivered, 2 not delivered, 4
#: accepted by the operator, 8 accepted by the centre, 16 declined by the centre, 32 undeliverable;
#: 0 is in transit.
_ACCEPTED, _FAILED, _DELIVERED = 4 | 8, 2 | 16 | 32, 1
#: Prefix of the text of a rejected message, for any accompanying state (platform's table of
#: states).
_REJECTED = "645"

#: The provider waits 60 to 300 seconds for a call (public clients); our own shorter lifetime still
#: applies.
_SHORTEST_WAIT, _LONGEST_WAIT = 60, 300

#: The text is free, a code in the calling number has three or four digits (public clients). A call to
#: a line hears "busy" (provider docs).
_ABILITIES = {
    Channel.SMS: Ability(CodeSource.LOCAL),
    Channel.FLASH_CALL: Ability(CodeSource.LOCAL, shortest=4, longest=4),
}

#: Names of the webhook's parameters, assumed: those of the reply first, then common ones.
_CALLER = ("waiting_call_from", "phone", "from", "caller")
_CALLED = ("call_to_number", "to", "called")
_ID = ("id_call", "id", "call_id")

_LONGEST_XML = 64 * 1024
_LONGEST_SENDER = 11
_LONGEST_EXTERNAL_ID = 64
_MOST_PARTS = 255  # 3GPP TS 23.040, 9.2.3.24.1
_NUMBER = re.compile(r"-?[0-9]{1,6}")
_DIGITS = re.compile(r"[0-9]{8,15}")
_NATIONAL = re.compile(r"8?([0-9]{10})")
_LINE = re.compile(r"[78]?([0-9]{10})")
_GROUPING = re.compile(r"[ ()-]")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_ROUTES = ("sms", "tg", "vb", "wp", "vk")


def _short_text(longest: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not 1 <= len(text) <= longest or not text.isprintable():
            raise ValueError(f"write 1 to {longest} characters")
        return text

    return read


def _route(text: str) -> str:
    words = text.split("-")
    if len(set(words)) < len(words) or not set(words) <= set(_ROUTES):
        raise ValueError(f"write one of {', '.join(_ROUTES)}, or several joined by -, e.g. tg-sms")
    return text


def _wait(text: str) -> int | None:
    if text == "off":
        return None
    if not re.fullmatch(r"[0-9]{2,3}", text) or not _SHORTEST_WAIT <= int(text) <= _LONGEST_WAIT:
        raise ValueError(f"write seconds, {_SHORTEST_WAIT} to {_LONGEST_WAIT}, or off")
    return int(text)


def _parameter(text: str) -> tuple[str, ...]:
    if not _NAME.fullmatch(text):
        raise ValueError("write the name of the webhook's parameter")
    return (text,)


@dataclass(frozen=True)
class Ssms(NationalDriver):
    """SMS, flash calls and inbound calls through the SSMS platform.

    `call_protection` is the provider's waiting time for a call, in seconds. It holds every SMS back
    until its phone has called a line (the code is still the proof), and is an upper limit for the
    lifetime of an inbound call. `hook_url` sends our webhook's URL with each wait, as
    one public client does; the documented way is a setting in the provider's account.
    `line_answer` is whether an announcement answers the call to a line.
    `webhook_caller`, `webhook_called` and `webhook_id` replace the assumed names.
    """

    scheme: ClassVar[str] = "ssms"
    provider: ClassVar[str] = "the SSMS platform"
    default_host: ClassVar[str | None] = "ssl.bs00.ru"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("key",), ("email", "password"))
    options: ClassVar[Mapping[str, Option]] = {
        **NationalDriver.options,
        "sender": Option(None, _short_text(_LONGEST_SENDER), meaning="the sender name of SMS"),
        "route": Option(
            None, _route, meaning="how SMS are delivered: `sms`, `tg`, `vb`, `wp`, `vk` or a cascade like `tg-sms`"
        ),
        "currency": CURRENCY,
        "format": Option("json", one_of("json", "xml"), meaning="the format of the responses"),
        "call_protection": Option(
            None, _wait, meaning="seconds, 60 to 300: hold SMS back until the phone has called; or `off`"
        ),
        "line_answer": Option(
            "announcement", one_of("announcement", "none"), meaning="what a caller of the line hears"
        ),
        "priority": Option(None, one_of("1", "2", "3", "4"), meaning="the priority of SMS, from 1 (codes) to 4"),
        "external_id": Option(None, _short_text(_LONGEST_EXTERNAL_ID), meaning="a text for the provider's own reports"),
        "hook_url": Option(False, flag, meaning="orders name our webhook's URL too"),
        "webhook_caller": Option(_CALLER, _parameter, meaning="the name of the caller in the webhook"),
        "webhook_called": Option(_CALLED, _parameter, meaning="the name of the line in the webhook"),
        "webhook_id": Option(_ID, _parameter, meaning="the name of the order's id in the webhook"),
    }
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"7"})
    trunk: ClassVar[str] = "7"

    sender: str | None
    route: str | None
    currency: str | None
    format: str
    call_protection: int | None
    line_answer: str
    priority: str | None
    external_id: str | None
    hook_url: bool
    webhook_caller: Sequence[str]
    webhook_called: Sequence[str]
    webhook_id: Sequence[str]
    key: str = field(default="", repr=False)
    email: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        names = (*self.webhook_caller, *self.webhook_called, *self.webhook_id)
        if len(set(names)) < len(names):
            raise ValueError("webhook_caller, webhook_called and webhook_id must be different names")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Three channels: two with our codes, one without a code."""
        cap = timedelta(seconds=self.call_protection or _LONGEST_WAIT)
        return {
            **_ABILITIES,
            Channel.INBOUND_CALL: Ability(
                CodeSource.NONE, cap=cap, announced=self.line_answer == "announcement", webhook_url=self.hook_url
            ),
        }

    @property
    def webhook_parameters(self) -> Sequence[Sequence[str]]:
        """The caller, and the line or the id of the wait."""
        return self.webhook_caller, (*self.webhook_called, *self.webhook_id)

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the text, ring from a number that ends in the code, or return the line to call."""
        match order.channel:
            case Channel.SMS:
                return (yield from self._message(order))
            case Channel.FLASH_CALL:
                return (yield from self._flash_call(order))
            case Channel.INBOUND_CALL:
                return (yield from self._line(order))
            case _:
                raise ValueError(f"ssms does not support {order.channel}")

    def parse_webhook(self, request: WebhookRequest) -> IncomingCall | None:
        """Parse the call that a webhook reports: the caller, and the id of the wait or else the
        line, each present once.
        """
        caller, called, id = (
            [value for name, value in request.parameters if name in names]
            for names in (self.webhook_caller, self.webhook_called, self.webhook_id)
        )
        if len(caller) != 1 or len(called) > 1 or len(id) > 1:
            return None
        phone = _caller_of(caller[0])
        line = _line_of(called[0]) if called else None
        reference = reference_of(id[0]) if id else None
        # An unreadable id is an unknown one: it is not retried as a pair of line and caller.
        if phone is None or (id and reference is None) or (reference is None and line is None):
            return None
        return IncomingCall(reference, line, phone)

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query `get_msg_report`. A message counts as delivered only if nothing indicates the
        contrary.
        """
        data = yield from self._ask("get_msg_report", {"id": reference})
        if reference_of(data.get("id", reference)) != reference:
            raise UnclearError("ssms: the report is about another message")
        state = _number_of(data.get("state"))
        if state is None or state < 0:
            raise UnclearError("ssms: the report has no readable state")
        text = data.get("state_text")
        said = f"state {state}" if state < 64 else "other state"
        words = f"{said}: {self.redact(text)}" if self.redact(text) else said
        return DeliveryReport(reference, _delivery_of(state, text), words)

    def account(self) -> Exchange[ProviderAccount]:
        """Return the balance by `get_profile`; its currency only if it is a code like RUB."""
        data = yield from self._ask("get_profile", {})
        currency = data.get("currency")
        known = currency if isinstance(currency, str) and _CURRENCY.fullmatch(currency) else None
        return ProviderAccount(amount_of(data.get("credits")), known)

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        """Send the text immediately: it is not held back until the phone calls."""
        yield from self._pushed(phone, text, None)

    def _message(self, order: Order) -> Exchange[Receipt]:
        wait = None if self.call_protection is None else str(self.call_protection)
        data = yield from self._pushed(order.phone, order.text or our_code(order), wait)
        line = _line_of(data.get("call_to_number")) if wait else None
        return replace(self._receipt_of(data), line=line)

    def _pushed(self, phone: PhoneNumber, text: str, wait: str | None) -> Exchange[Mapping[str, Any]]:
        options = {
            "sender_name": self.sender,
            "priority": self.priority,
            "external_id": self.external_id,
            "route": self.route,
            "call_protection": wait,
        }
        fields = {"phone": self.written(phone), "text": text}
        fields |= {name: value for name, value in options.items() if value is not None}
        return (yield from self._ask("push_msg", fields))

    def _flash_call(self, order: Order) -> Exchange[Receipt]:
        fields = {"phone": self.written(order.phone), "text": our_code(order), "route": "pc"}
        return self._receipt_of((yield from self._ask("push_msg", fields)))

    def _receipt_of(self, data: Mapping[str, Any]) -> Receipt:
        """Return the id, the segments and the price of a message; the currency is only in `get_profile`."""
        parts = _number_of(data.get("n_raw_sms"))
        return Receipt(
            reference=reference_of(data.get("id")),
            parts=parts if parts is not None and 0 < parts <= _MOST_PARTS else None,
            **priced(price_of(data.get("credits")), self.currency),
        )

    def _line(self, order: Order) -> Exchange[Receipt]:
        seconds = max(_SHORTEST_WAIT, math.ceil(order.ttl.total_seconds()))
        fields = {"phone": self.written(order.phone), "call_protection": str(seconds)}
        if self.hook_url and order.webhook_url is not None:
            fields["hook_url"] = order.webhook_url
        data = yield from self._ask("wait_call", fields)
        reference, line = reference_of(data.get("id_call")), _line_of(data.get("call_to_number"))
        if reference is None or line is None:
            raise UnclearError("ssms: the response has no readable call_to_number or id_call")
        return Receipt(reference=reference, line=line)

    def _ask(self, method: str, fields: Mapping[str, str]) -> Exchange[Mapping[str, Any]]:
        credentials = {"key": self.key} if self.key else {"email": self.email, "password": self.password}
        form = {"method": method, **credentials, "format": self.format, **fields}
        response = yield HttpRequest.post_form(self.base_url + "/", form)
        answer = _Answer.of(response)
        said = self.redact(answer.text)
        if not response.ok:
            raise trouble_of_status(response, said)
        if answer.err_code is None:
            raise UnclearError("ssms: the response has no readable err_code")
        number = _number_of(answer.err_code)
        if number != 0:
            trouble = FailureKind.UNKNOWN if number is None else _TROUBLES.get(number, FailureKind.UNKNOWN)
            # A code has four digits or more, so a smaller number is safe to show.
            named = str(number) if number is not None and abs(number) < 1000 else "unknown"
            raise ProviderError(trouble, f"err_code {named}: {said}" if said else f"err_code {named}")
        return answer.data


@dataclass(frozen=True, slots=True)
class _Answer:
    """The envelope of every reply, JSON or XML, without unreadable parts."""

    err_code: object
    text: object = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, response: HttpResponse) -> _Answer:
        document = response.json()
        if document is None:
            document = _tree(response.body)
        envelope = _mapping(_mapping(document).get("response"))
        message = _mapping(envelope.get("msg"))
        # `data` is null, absent or empty on errors (public clients).
        return cls(message.get("err_code"), message.get("text"), _mapping(envelope.get("data")))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tree(body: bytes) -> object:
    """Convert the XML response to the shape of the JSON one; None if it is invalid, too long, or
    declares a document type.
    """
    text = body.decode("utf-8", "replace")
    # Without a document type a document has no entities except XML's five predefined ones.
    if len(body) > _LONGEST_XML or "<!DOCTYPE" in text:
        return None
    try:
        root = ET.fromstring(text)  # noqa: S314 - short, and without a document type
    except ET.ParseError:
        return None
    return {root.tag: {part.tag: {leaf.tag: leaf.text for leaf in part} for part in root}}


def _number_of(err_code: object) -> int | None:
    """Parse a code given as string or integer; one client reads non-numbers as 0, which is wrong."""
    text = str(err_code) if type(err_code) is int and abs(err_code) < 10**6 else err_code
    return int(text) if isinstance(text, str) and _NUMBER.fullmatch(text.strip()) else None


def _delivery_of(state: int, text: object) -> DeliveryState:
    rejected = isinstance(text, str) and text.strip().startswith(_REJECTED)
    if state & _FAILED or rejected:
        return DeliveryState.UNDELIVERED
    known = state & ~_ACCEPTED == _DELIVERED
    return DeliveryState.DELIVERED if known else DeliveryState.OPEN


def _caller_of(reported: str) -> PhoneNumber | None:
    """Return the caller; None for a hidden or ambiguous one.

    The provider's format is international digits without plus. 8 or nothing before ten digits,
    which it accepts from clients, is read as Russian only if the digits are not a complete foreign
    number.
    """
    reported = reported.strip()
    digits = reported.removeprefix("+")
    if not _DIGITS.fullmatch(digits) or "+" + digits in HIDDEN_CALLER_DIGITS:
        return None
    whole, national = number_of("+" + digits), _NATIONAL.fullmatch(digits)
    if whole is not None or national is None or reported.startswith("+"):
        return whole
    return number_of("+7" + national[1])


def _line_of(value: object) -> PhoneNumber | None:
    """Parse the line to call. It may be toll-free or virtual, so it need not be an assigned number."""
    text = str(value) if type(value) is int and abs(value) < 10**15 else value
    if not isinstance(text, str):
        return None
    digits = _GROUPING.sub("", text).removeprefix("+")
    if not _DIGITS.fullmatch(digits):
        return None
    national = _LINE.fullmatch(digits)
    return line_of("+7" + national[1] if national else "+" + digits)


DRIVER = Ssms
