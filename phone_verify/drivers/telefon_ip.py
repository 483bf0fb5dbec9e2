"""Telefon-IP (Russia): the user calls a line, or gets a flash call, an SMS or a Telegram message.

Every response is `{"success", "error", "data"}`; a refusal is `success: false`, mostly but not
always with HTTP 400 or 401 (provider docs, Back Calls). The token is in the path of every URL. Of
the reply with the line only `auth_phone` and `id` are used: `url_link` is HTML, and its number need
not be the line's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, HttpResponse, WebhookRequest
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
from ..phone import HIDDEN_CALLER_DIGITS, PhoneNumber
from .base import Ability, NationalDriver
from .options import Option, flag, one_of
from .reading import amount_of, line_of, number_of, our_code, reference_of, trouble_of_status

#: What an error's text can add to its HTTP status; the docs publish hardly any, so the first row
#: that clearly matches counts and all others are UNKNOWN. All patterns of a row must be found.
_TEXTS = (
    (FailureKind.CONFIGURATION, (r"token|токен",)),
    (
        FailureKind.BAD_NUMBER,
        (r"\b(phone|number)\b|телефон|номер", r"\b(invalid|incorrect|wrong|not valid)\b|невер|некоррект|неправильн"),
    ),
)

#: The reply to a check has an undocumented `status`: `ok` after a call, `expired` when the time has
#: run out, any other word before (public clients). Without it, a phone in the reply is the call
#: (provider docs).
_CALLED = ("ok", "success")
_OVER = ("expire", "timeout")

#: `status` of `get_status`; True is 1 and False is 0. Any other value is open.
_STATES = {1: DeliveryState.DELIVERED, 0: DeliveryState.UNDELIVERED}

#: The provider's lifetimes: a line 120 s (Back Calls), a code in Telegram 90 s (TG Code). Its own
#: codes have any length, ours at most four digits (SMS Code), in Telegram exactly four.
_ABILITIES = {
    Channel.INBOUND_CALL: Ability(CodeSource.NONE, cap=timedelta(seconds=120), webhook_url=True),
    Channel.FLASH_CALL: Ability(CodeSource.PROVIDER),
    Channel.SMS: Ability(CodeSource.LOCAL, shortest=4, longest=4),
    Channel.TELEGRAM: Ability(CodeSource.LOCAL, shortest=4, longest=4, cap=timedelta(seconds=90)),
}

_CODE = re.compile(r"[0-9]{3,8}")
_DIGITS = re.compile(r"[0-9]{8,15}")
_NATIONAL = re.compile(r"[78]?([0-9]{10})")


@dataclass(frozen=True)
class TelefonIp(NationalDriver):
    """Inbound calls, flash calls, SMS and Telegram through Telefon-IP.

    `sms` lets the provider send its code of a flash call by SMS if the call fails;
    `telegram_prefix` is the prefix of a number in a Telegram order: the docs show 7 there and 8
    everywhere else.
    """

    scheme: ClassVar[str] = "telefon-ip"
    provider: ClassVar[str] = "Telefon-IP"
    default_host: ClassVar[str | None] = "api.telefon-ip.ru"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("token",),)
    options: ClassVar[Mapping[str, Option]] = {
        **NationalDriver.options,
        "sms": Option(
            False, flag, meaning="the provider sends the code of a flash call by SMS if the call does not get through"
        ),
        # No source says what the caller hears: we assume that the call is not answered.
        "line_answer": Option("none", one_of("announcement", "none"), meaning="what a caller of the line hears"),
        "telegram_prefix": Option("8", one_of("8", "7"), meaning="how numbers begin in Telegram orders"),
    }
    calling_codes: ClassVar[frozenset[str] | None] = frozenset({"7"})
    trunk: ClassVar[str] = "8"

    token: str = field(repr=False)
    sms: bool
    line_answer: str
    telegram_prefix: str

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Four channels, each with a different kind of code."""
        line = replace(_ABILITIES[Channel.INBOUND_CALL], announced=self.line_answer == "announcement")
        return {**_ABILITIES, Channel.INBOUND_CALL: line}

    @property
    def webhook_parameters(self) -> Sequence[Sequence[str]]:
        """Whether a call arrived, the caller, and the order."""
        return ("success",), ("phone",), ("id",)

    def start(self, order: Order) -> Exchange[Receipt]:
        """Return the line to call, place the flash call, or send our code."""
        match order.channel:
            case Channel.INBOUND_CALL:
                return (yield from self._line(order))
            case Channel.FLASH_CALL:
                return (yield from self._flash_call(order))
            case Channel.SMS | Channel.TELEGRAM:
                return (yield from self._message(order))
            case _:
                raise ValueError(f"telefon-ip does not support {order.channel}")

    def poll(self, reference: str) -> Exchange[Sighting]:
        """Query whether the call has arrived. A reply that is neither a call nor an end counts as
        waiting: the docs do not say more.
        """
        response = yield HttpRequest.get(self._url("reverse_auth_phone_check", reference))
        answer = _Answer.of(response)
        refusal = self._refusal(response, answer)
        if refusal.trouble is FailureKind.CONFIGURATION:  # e.g. "token expired", which does not end the line
            raise refusal
        status = answer.data.get("status")
        word = status.strip().lower() if isinstance(status, str) else ""
        # An open check may well be HTTP 400; a gateway's own "timeout" does not end the line.
        if response.status in (200, 400) and any(
            over in text for over in _OVER for text in (word, answer.error.lower())
        ):
            return Sighting(CallState.EXPIRED)
        called = answer.success is True and (status is None or word in _CALLED)
        if response.ok and called and reference_of(answer.data.get("id") or reference) == reference:
            reported = _text(answer.data.get("phone"))
            if reported:
                return Sighting(CallState.CALLED, self._caller(reported))
        return Sighting(CallState.WAITING)

    def parse_webhook(self, request: WebhookRequest) -> IncomingCall | None:
        """Parse the call that a webhook reports: `?success=True&phone=8…&id=…`, each present once."""
        success, phone, reference = (request.once(name) for name in ("success", "phone", "id"))
        caller = self._caller(phone) if phone else None
        known = reference_of(reference)
        if success is None or success.lower() != "true" or caller is None or known is None:
            return None
        return IncomingCall(reference=known, line=None, caller=caller)

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query `get_status`. The docs have 1 and public clients a boolean; the value for a failed
        one is assumed.
        """
        data = yield from self._ask(HttpRequest.get(self._url("get_status", reference) + "/"))
        status = data.get("status")
        if status is None or reference_of(data.get("id", reference)) != reference:
            raise UnclearError("telefon-ip: the response has no status, or is about another order")
        state = _STATES.get(status) if type(status) in (bool, int) else None
        return DeliveryReport(reference, state or DeliveryState.OPEN, self.redact(data.get("status_info")))

    def account(self) -> Exchange[ProviderAccount]:
        """Return the balance by `get_balance`. No source names the currency: roubles are assumed."""
        data = yield from self._ask(HttpRequest.get(self._url("get_balance") + "/"))
        return ProviderAccount(amount_of(data.get("balance")), "RUB")

    def _line(self, order: Order) -> Exchange[Receipt]:
        phone = self.written(order.phone)
        if order.webhook_url is None:
            data = yield from self._ask(HttpRequest.get(self._url("reverse_auth_phone_get"), {"phone": phone}))
        else:
            document = {"phone": phone, "webhook": order.webhook_url}
            data = yield from self._ask(HttpRequest.post_json(self._url("reverse_auth_phone_post"), document))
        reference, line = reference_of(data.get("id")), _line_of(data.get("auth_phone"))
        if reference is None or line is None:
            raise UnclearError("telefon-ip: the response has no readable line or id")
        return Receipt(reference=reference, line=line)

    def _flash_call(self, order: Order) -> Exchange[Receipt]:
        url = self._url("get_code", self.written(order.phone)) + "/"
        data = yield from self._ask(HttpRequest.get(url, {"sms": "true"} if self.sms else None))
        self._require_sent(data)
        code = data.get("code")
        # A code that arrives as a number may have lost its leading zeros.
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise UnclearError("telefon-ip: the response has no readable code")
        return Receipt(reference=reference_of(data.get("id")), code=code)

    def _message(self, order: Order) -> Exchange[Receipt]:
        code, phone, action = our_code(order), self.written(order.phone), "get_sms_code"
        if order.channel is Channel.TELEGRAM:
            action = "get_tg_code"
            if order.phone.calling_code == "7":
                phone = self.telegram_prefix + order.phone.national
        data = yield from self._ask(HttpRequest.get(self._url(action, phone) + "/", {"code": code}))
        self._require_sent(data)
        carried = data.get("code", "")
        if carried not in (None, "") and _text(carried).zfill(len(code)) != code:
            raise ProviderError(FailureKind.UNKNOWN, "a different code was sent")
        return Receipt(reference=reference_of(data.get("id")))

    def _require_sent(self, data: Mapping[str, Any]) -> None:
        """Refuse `success: true` with `status: false` inside, which public clients have seen."""
        if data.get("status") in (False, "false", "False"):
            raise ProviderError(FailureKind.UNKNOWN, self.redact(data.get("status_info")) or "status false")

    def _ask(self, request: HttpRequest) -> Exchange[Mapping[str, Any]]:
        response = yield request
        answer = _Answer.of(response)
        if not response.ok or answer.success is False or (answer.success is None and answer.error):
            raise self._refusal(response, answer)
        if answer.success is not True:
            raise UnclearError("telefon-ip: the response is not a JSON object with success")
        return answer.data

    def _refusal(self, response: HttpResponse, answer: _Answer) -> ProviderError:
        error = trouble_of_status(response, self.redact(answer.error))
        if response.ok or response.status == 400:
            for trouble, patterns in _TEXTS:
                if all(re.search(pattern, answer.error, re.IGNORECASE) for pattern in patterns):
                    return ProviderError(trouble, error.detail)
        return error

    def _url(self, *segments: str) -> str:
        path = "/".join(quote(segment, safe="") for segment in (self.token, *segments))
        return f"{self.base_url}/api/v1/authcalls/{path}"

    def _caller(self, reported: str) -> PhoneNumber | None:
        """Return the caller, by the Russian number plan; None for a hidden or ambiguous one."""
        reported = reported.strip()
        digits = reported.removeprefix("+")
        if not _DIGITS.fullmatch(digits) or "+" + digits in HIDDEN_CALLER_DIGITS:
            return None
        national, abroad = _NATIONAL.fullmatch(digits), number_of("+" + digits)
        if abroad and (self.foreign == "digits" or reported.startswith("+")):
            return abroad
        # "8" and ten digits is the provider's own format (provider docs). Ten digits alone may
        # equally be a complete foreign number (+961 3…), which must not be taken for the Russian
        # one (+7 961 3…).
        if national is None or (abroad and len(digits) == 10):
            return None
        return number_of("+7" + national[1])


@dataclass(frozen=True, slots=True)
class _Answer:
    """The envelope of every reply, without unreadable parts."""

    success: bool | None
    error: str = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, response: HttpResponse) -> _Answer:
        document = response.json()
        if not isinstance(document, dict):
            return cls(None, "", {})
        success, data = document.get("success"), document.get("data")
        # Some replies have `detail` or `message` in place of `error` (public clients).
        errors = [document.get(name) for name in ("error", "detail", "message")]
        return cls(
            success=success if isinstance(success, bool) else None,
            error=next((error for error in errors if isinstance(error, str) and error.strip()), ""),
            data=data if isinstance(data, dict) else {},
        )


def _text(value: object) -> str:
    return str(value) if type(value) is int else value.strip() if isinstance(value, str) else ""


def _line_of(value: object) -> PhoneNumber | None:
    """Parse the line to call. It may be virtual, so it need not be an assigned number."""
    digits = _text(value).removeprefix("+")
    if not _DIGITS.fullmatch(digits):
        return None
    national = _NATIONAL.fullmatch(digits)
    return line_of("+7" + national[1] if national else "+" + digits)


DRIVER = TelefonIp
