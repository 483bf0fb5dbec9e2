"""Sinch Verification generates the code and checks it, on all four channels.

Set the callback URL in the dashboard: Sinch then asks before each send, and only orders of this
site are allowed. The site must answer while it waits for its own request, so it needs threads, or
ASGI. Sinch wants the whole number of a flash call, so the option `caller` says what of it the user
types. Assumed: that `xxxx` works for some accounts, that a flash call can be answered for
75 seconds (the vendor's test data), and that the price is the sum of its two parts. Error codes and
signatures are the vendor's; what a code means for an order is our reading.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, Rejected, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, Receipt
from ..phone import PhoneNumber
from .base import Ability, OrderQuestion
from .kinds.basic_auth import basic_auth
from .kinds.json_api import Fault, by_kind, code_of, part_of
from .kinds.remote_code import RemoteCodeDriver, known
from .kinds.signatures import is_recent, is_same
from .options import Option, matching, one_of
from .reading import number_of, price_of, reference_of

_PLACE = "/verification/v1/verifications"
#: The header's whole value is signed. The vendor's clients send and sign it without a body, too.
_CONTENT_TYPE = "application/json; charset=utf-8"
_METHODS = {
    Channel.SMS: "sms",
    Channel.FLASH_CALL: "flashCall",
    Channel.VOICE: "callout",
    Channel.WHATSAPP: "whatsapp",
}
#: Webhooks write them in lower case.
_BY_LOWER_CASE = {method.lower(): method for method in _METHODS.values()}
_WHOLE = "number"
#: Before our key, in a reference without the verification's id.
_OUR_KEY = "?"
#: `reportTimeout` of a flash call in the vendor's test data.
_FLASH_CALL_LIFE = timedelta(seconds=75)

_VERDICTS = {"SUCCESSFUL": True, "FAIL": False, "DENIED": False, "ABORTED": False}
_STATES = {
    "SUCCESSFUL": DeliveryState.DELIVERED,
    "DENIED": DeliveryState.UNDELIVERED,
    "ERROR": DeliveryState.UNDELIVERED,
}
#: The reasons of a FAIL for which nothing arrived; others are the user's.
_NOT_SENT = frozenset(
    {
        "Not enough credit",
        "Internal error",
        "Destination denied",
        "Network error or number unreachable",
        "SMS delivery failure",
        "Blocked",
        "Fraud",
        "Denied by callback",
        "Invalid callback",
    }
)
_SMS_RESULTS = {"Successful": DeliveryState.DELIVERED, "Failed": DeliveryState.UNDELIVERED}

_CREDENTIALS = re.compile(r"application ([^:]+):(.+)", re.IGNORECASE)
_URL_PATH = re.compile(r"https?://[^/?#]+(/[^?#]*)")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Sinch(RemoteCodeDriver):
    """SMS, flash calls, voice calls and WhatsApp messages through Sinch Verification.

    A reference is the method and the verification's id. If the result of a start is unclear, it has
    our key in place of the id, and the id is queried before the code is checked. The code is never
    checked by the number: its newest verification may be another client's, already successful.
    """

    scheme: ClassVar[str] = "sinch"
    provider: ClassVar[str] = "Sinch Verification"
    default_host: ClassVar[str | None] = "verification.api.sinch.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("application_key", "application_secret"),)
    signs_webhooks: ClassVar[bool] = True
    wrong_codes: ClassVar[frozenset[str]] = frozenset({"40003", "40400"})
    options: ClassVar[Mapping[str, Option]] = {
        "caller": Option(
            "",
            matching(rf"(\+[1-9][0-9]{{0,9}})?x{{4,8}}|{_WHOLE}", "a number like +1815654xxxx, xxxx or number"),
            "%2B1815654xxxx",
            "the number that flash calls come from: its digits, and an `x` for each last digit that the user types "
            "(`+1815654xxxx`); without digits before them (`xxxx`), only those typed are reported; with `number` the "
            "user types the whole number with its country code",
            needed_for=(Channel.FLASH_CALL,),
        ),
        "code_length": Option(
            None,
            matching("[4-9]", "a number from 4 to 9"),
            meaning="the digits of the codes of SMS, voice calls and WhatsApp, as set in the dashboard",
        ),
        "locale": Option(
            "",
            matching("[a-z]{2,3}-[A-Z]{2}", "a language with its country, like en-US"),
            meaning="the language of SMS and voice calls, like `en-US`",
        ),
        "auth": Option(
            "signed", one_of("signed", "basic"), meaning="sign requests, or send key and secret by HTTP basic auth"
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "40001 40003 40300",
            FailureKind.CONFIGURATION: "40100 40101 40102 40104 40107 40303 40400 42200",
            FailureKind.BALANCE: "40200",
            FailureKind.RATE: "42900 42901",
            FailureKind.TRANSIENT: "50000 50300 50301",
            FailureKind.UNKNOWN: "40900 42201",
        }
    )

    application_key: str = field(repr=False)
    application_secret: str = field(repr=False)
    caller: str
    code_length: str | None
    locale: str
    auth: str

    def __post_init__(self) -> None:
        self.require_token("application_key")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """All four channels; flash calls if `caller` is set."""
        code = Ability(CodeSource.REMOTE_CHECK, fixed_length=int(self.code_length) if self.code_length else None)
        found = dict.fromkeys((Channel.SMS, Channel.VOICE, Channel.WHATSAPP), code)
        if self.caller:
            digits = self.caller.count("x") or None
            found[Channel.FLASH_CALL] = Ability(CodeSource.REMOTE_CHECK, fixed_length=digits, cap=_FLASH_CALL_LIFE)
        return found

    def start(self, order: Order) -> Exchange[Receipt]:
        """Let the provider send a code, or place a call."""
        method = _METHODS[order.channel]
        identity = {"type": "number", "endpoint": order.phone.e164}
        fields = {"identity": identity, "method": method, "reference": order.key, **self._settings(order)}
        try:
            document = yield from self.ask(self._request("POST", "", fields))
            reference = _reference(method, document.get("id"))
            if reference is None:
                raise self.unclear("id")
        except UnclearError as error:
            raise UnclearError(str(error), reference=f"{method}:{_OUR_KEY}{order.key}") from None
        hint = self.caller.rstrip("x") if order.channel is Channel.FLASH_CALL and self.caller != _WHOLE else ""
        return Receipt(reference, caller_hint=hint or None)

    def check(self, phone: PhoneNumber, code: str, reference: str | None = None) -> Exchange[bool]:
        """Return whether the code is right; see `RemoteCodeDriver.check`."""
        method, _, id = known(reference).partition(":")
        if id.startswith(_OUR_KEY):
            document = yield from self.ask(self._query(id), self.wrong_codes)
            if self.fault_of(document) is not None:
                return False
            reference = self._found(method, id, document)
        return (yield from super().check(phone, code, reference))

    def check_request(self, phone: PhoneNumber, code: str, reference: str | None) -> HttpRequest:
        """Return the report of the code, or of the number that called."""
        method, _, id = known(reference).partition(":")
        answer = {"cli": self._caller_of(code)} if method == "flashCall" else {"code": code}
        return self._request("PUT", f"/id/{quote(id, safe='')}", {"method": method, method: answer})

    def verdict(self, document: Mapping[str, Any]) -> bool | None:
        """Return what `status` says: a code that comes too late is a FAIL, with HTTP 200."""
        status = document.get("status")
        return _VERDICTS.get(status) if isinstance(status, str) else None

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the verification."""
        method, _, id = reference.partition(":")
        document = yield from self.ask(self._query(id))
        self._found(method, id, document)
        if not isinstance(document.get("status"), str):
            raise self.unclear("status of this verification")
        return self._report(reference, document)

    def parse_webhook(self, request: WebhookRequest) -> OrderQuestion | DeliveryReport | Rejected | None:
        """Parse a signed callback: a question about an order, its result, or the delivery of an SMS."""
        if (reason := self._forged(request)) is not None:
            return Rejected(reason)
        content = request.json()
        document = content if isinstance(content, dict) else {}
        if document.get("event") == "VerificationRequestEvent":
            key, endpoint = document.get("reference"), part_of(document, "identity").get("endpoint")
            phone = number_of(endpoint) if isinstance(endpoint, str) else None
            return OrderQuestion(key if isinstance(key, str) else "", phone, {"action": "allow"}, {"action": "deny"})
        reference = _reference(_BY_LOWER_CASE.get(str(document.get("method")).lower()), document.get("id"))
        result = document.get("smsResult")
        match document.get("event"):
            case "VerificationResultEvent" if reference is not None:
                return self._report(reference, document)
            case "VerificationSmsDeliveredEvent" if reference is not None and isinstance(result, str):
                return DeliveryReport(reference, _SMS_RESULTS.get(result, DeliveryState.OPEN), self.redact(result))
        return None

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of an `errorCode`."""
        code = document.get("errorCode")
        return None if code is None else Fault(code_of(code), document.get("message"))

    def signature(self, key: bytes, method: str, path: str, content_type: str, stamp: str, body: bytes | None) -> str:
        """Return the signature of a request or a callback."""
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() if body else ""
        text = f"{method}\n{digest}\n{content_type}\nx-timestamp:{stamp}\n{path}"
        signed = hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")
        return base64.b64encode(signed).decode()

    def _settings(self, order: Order) -> Mapping[str, object]:
        locale = {"locale": self.locale} if self.locale else {}
        match order.channel:
            case Channel.SMS:
                minutes, seconds = divmod(int(order.ttl.total_seconds()), 60)
                expiry = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
                return {"smsOptions": {"expiry": expiry, "codeType": "Numeric", **locale}}
            case Channel.WHATSAPP:
                return {"whatsappOptions": {"codeType": "Numeric"}}
        return {"calloutOptions": {"speech": locale}} if order.channel is Channel.VOICE and locale else {}

    def _query(self, id: str) -> HttpRequest:
        """Return the query of a verification by its id, or by our key."""
        place = f"reference/{id.removeprefix(_OUR_KEY)}" if id.startswith(_OUR_KEY) else f"id/{quote(id, safe='')}"
        return self._request("GET", f"/{place}")

    def _found(self, method: str, id: str, document: Mapping[str, Any]) -> str:
        """Return the reference of the verification in the response to `_query`. Raises `UnclearError`
        if it is another one.
        """
        name, value = ("reference", id.removeprefix(_OUR_KEY)) if id.startswith(_OUR_KEY) else ("id", id)
        found = _reference(method, document.get("id"))
        if found is None or document.get(name) != value:
            raise self.unclear(f"{name} of this verification")
        return found

    def _caller_of(self, typed: str) -> str:
        return f"+{typed}" if self.caller == _WHOLE else self.caller.rstrip("x") + typed

    def _request(self, method: str, place: str, fields: Mapping[str, object] | None = None) -> HttpRequest:
        """Return a request. Raises `ProviderError` if the secret cannot sign it."""
        url = self.base_url + _PLACE + place
        body = None if fields is None else json.dumps(fields).encode()
        headers = {"Content-Type": _CONTENT_TYPE}
        if self.auth == "basic":
            return HttpRequest(
                method, url, {**headers, **basic_auth(self.application_key, self.application_secret)}, body
            )
        key, path = self._key, urlsplit(url).path
        if key is None:
            raise ProviderError(FailureKind.CONFIGURATION, "the application secret is not Base64")

        def sign(now: datetime) -> Mapping[str, str]:
            stamp = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            signature = self.signature(key, method, path, _CONTENT_TYPE, stamp, body)
            return {"x-timestamp": stamp, "Authorization": f"Application {self.application_key}:{signature}"}

        return HttpRequest(method, url, headers, body, sign)

    @property
    def _key(self) -> bytes | None:
        try:
            return base64.b64decode(self.application_secret, validate=True)
        except ValueError:
            return None

    def _forged(self, request: WebhookRequest) -> str | None:
        """Return why this webhook is not from Sinch; None if it is."""
        key, place = self._key, _URL_PATH.match(request.url)
        if key is None:
            return "the application secret is not Base64"
        if place is None:
            return "the site has no public URL, whose path the signature covers"
        headers = request.headers
        presented = _CREDENTIALS.fullmatch(headers.get("authorization", ""))
        stamp = headers.get("x-timestamp", "")
        signature = self.signature(key, request.method, place[1], headers.get("content-type", ""), stamp, request.body)
        if presented is None or not is_same(self.application_key, presented[1]) or not is_same(signature, presented[2]):
            return "the signature is missing or wrong"
        return None if is_recent(_time_of(stamp), request.received_at) else "the signature is too old, or in the future"

    def _report(self, reference: str, document: Mapping[str, Any]) -> DeliveryReport:
        status, reason = (text if isinstance(text, str) else "" for text in map(document.get, ("status", "reason")))
        failed = status == "FAIL" and reason in _NOT_SENT
        state = DeliveryState.UNDELIVERED if failed else _STATES.get(status, DeliveryState.OPEN)
        return DeliveryReport(reference, state, self.redact(f"{status} {reason}"), **_price(document))


def _reference(method: str | None, id: object) -> str | None:
    return reference_of(f"{method}:{id}") if method and isinstance(id, str) and id else None


def _time_of(stamp: str) -> datetime | None:
    """Return the time of a stamp in ISO 8601, with `Z` or an offset; without either it is in UTC."""
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _price(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the price of a verification: for checking, and for the call."""
    parts = [part_of(document, "price", name) for name in ("verificationPrice", "terminationPrice")]
    amounts = [price_of(part.get("amount")) for part in parts if part]
    currencies = {str(part.get("currencyId")) for part in parts if part}
    currency = currencies.pop() if len(currencies) == 1 else ""
    if None in amounts or not _CURRENCY.fullmatch(currency):
        return {}
    return {"price": sum(amount for amount in amounts if amount is not None), "currency": currency}


DRIVER = Sinch
