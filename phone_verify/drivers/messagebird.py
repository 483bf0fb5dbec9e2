"""MessageBird (now Bird), the classic REST API: our code by SMS, and a code that MessageBird generates
for a voice call.

Requests, status reports and their signature are those of the vendor's docs and clients. Assumed: what
most error codes mean, and that a wrong code is an error of the parameter `token`, as a bad number is
one of `recipient`. Status reports of SMS need the option `signing_key`; calls have none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest, Rejected, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from ..phone import PhoneNumber
from .base import Ability
from .kinds.json_api import Fault, by_kind, code_of, only, part_of
from .kinds.remote_code import RemoteCodeDriver, known
from .kinds.signatures import is_same
from .kinds.signed_token import claims_of, is_within, require
from .options import Option, matching, secret
from .reading import amount_of, our_code, price_of, reference_of

_CODE_LENGTH = 6
_SHORTEST_LIFE = 30
_ALGORITHMS = ("HS256", "HS384", "HS512")
#: That of the vendor's own checkers.
_LEEWAY = timedelta(seconds=1)
#: Begins the reference of a voice call.
_VERIFY = "verify/"
#: The parameters that decide what an error means, whichever its code.
_PARAMETERS = {"recipient": "recipient", "recipients": "recipient", "token": "token"}
_CURRENCY = re.compile(r"[A-Z]{3}")

#: Of SMS, and of verifications; all others are in transit, or not clear.
_SMS_STATES = {
    "delivered": DeliveryState.DELIVERED,
    "delivery_failed": DeliveryState.UNDELIVERED,
    "expired": DeliveryState.UNDELIVERED,
}
_CALL_STATES = {"verified": DeliveryState.DELIVERED, "failed": DeliveryState.UNDELIVERED}
_NOT_VERIFIED = ("sent", "expired", "failed", "deleted")


@dataclass(frozen=True)
class MessageBird(RemoteCodeDriver):
    """SMS with our code, and voice calls whose code MessageBird checks."""

    scheme: ClassVar[str] = "messagebird"
    provider: ClassVar[str] = "MessageBird (Bird)"
    default_host: ClassVar[str | None] = "rest.messagebird.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("access_key",),)
    signs_webhooks: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Option]] = {
        "originator": Option(
            None,
            matching(
                r"\+?[1-9][0-9]{2,14}|[A-Za-z0-9][A-Za-z0-9 ]{0,10}",
                "a number with its country code, or a name of up to 11 letters and digits",
            ),
            "Example",
            "the number or name that sends SMS; a number also places the calls",
            needed_for=(Channel.SMS,),
        ),
        "language": Option(
            None, matching("[a-z]{2}-[a-z]{2}", "a code like en-gb"), meaning="the language of voice calls"
        ),
        "template": Option(
            None, matching(".*%token.*", "a text with %25token"), meaning="the text of voice calls, with `%25token`"
        ),
        "signing_key": Option(None, secret, meaning="the account's signing key; without it, all webhooks are rejected"),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "recipient",
            FailureKind.CONFIGURATION: "2 9 10 21",
            FailureKind.BALANCE: "25",
            FailureKind.TRANSIENT: "98 99",
        }
    )
    # A wrong code, and a verification that is not there (any more).
    wrong_codes: ClassVar[frozenset[str]] = frozenset({"token", "20"})

    access_key: str = field(repr=False)
    originator: str | None
    language: str | None
    template: str | None
    signing_key: str | None = field(repr=False)

    def __post_init__(self) -> None:
        self.require_token("access_key")
        if self.signing_key:
            require("jwt", "signing_key")

    @property
    def credentials(self) -> Mapping[str, str]:
        """Return the access key, and the key of the webhooks."""
        return {**super().credentials, **({"signing_key": self.signing_key} if self.signing_key else {})}

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Voice with a code that MessageBird checks, and SMS with ours if there is an originator."""
        ours = Ability(CodeSource.LOCAL, webhook_url=self.signing_key is not None)
        voice = {Channel.VOICE: Ability(CodeSource.REMOTE_CHECK, fixed_length=_CODE_LENGTH)}
        return {Channel.SMS: ours, **voice} if self.originator else voice

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send our code, or have MessageBird call."""
        if order.channel is Channel.SMS:
            # Only a message with a reference is reported.
            own = {"reference": order.key, "reportUrl": order.webhook_url}
            life = max(1, int(order.ttl.total_seconds()))
            fields = {**self._sms(order.phone, order.text or our_code(order)), "validity": life, **_set(own)}
            document = yield from self.ask(self._post("messages", fields))
            return Receipt(self._reference(document), **_price(_recipient(document)))
        document = yield from self.ask(self._post("verify", self._call(order)))
        if document.get("status") != "sent":
            raise self.unclear("status")
        return Receipt(self._reference(document, _VERIFY))

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        """Send the text by SMS."""
        yield from self.ask(self._post("messages", self._sms(phone, text)))

    def check_request(self, phone: PhoneNumber, code: str, reference: str | None) -> HttpRequest:
        """Return the check of this verification; the API takes the code in the URL only."""
        return HttpRequest.get(self._url(known(reference)), {"token": code}, self._headers)

    def verdict(self, document: Mapping[str, Any]) -> bool | None:
        """Return whether the code was verified."""
        status = document.get("status")
        return True if status == "verified" else False if status in _NOT_VERIFIED else None

    def order_in(self, document: Mapping[str, Any]) -> str | None:
        """Return the id of the verification."""
        id = document.get("id")
        return reference_of(_VERIFY + id) if isinstance(id, str) else None

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the message, or whether the code of the call was verified."""
        document = yield from self.ask(HttpRequest.get(self._url(reference), headers=self._headers))
        is_call = reference.startswith(_VERIFY)
        subject = document if is_call else _recipient(document)
        status = subject.get("status")
        if self._reference(document, _VERIFY if is_call else "") != reference or not isinstance(status, str):
            raise self.unclear("status, or is about another message")
        states = _CALL_STATES if is_call else _SMS_STATES
        state = states.get(status, DeliveryState.OPEN)
        return DeliveryReport(reference, state, self.redact(status), **_price(subject))

    def account(self) -> Exchange[ProviderAccount]:
        """Return the balance, in credits or the account's currency."""
        document = yield from self.ask(HttpRequest.get(f"{self.base_url}/balance", headers=self._headers))
        balance = amount_of(document.get("amount"))
        if balance is None:
            raise self.unclear("amount")
        return ProviderAccount(balance)

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | Rejected | None:
        """Parse the status report of an SMS, after its signature."""
        if (reason := self._forged(request)) is not None:
            return Rejected(reason)
        reference, status = reference_of(request.once("id")), request.once("status")
        if reference is None or status is None:
            return None
        return DeliveryReport(reference, _SMS_STATES.get(status, DeliveryState.OPEN), self.redact(status))

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the first of the errors: by its parameter if that decides, else by its code."""
        errors = document.get("errors")
        if not errors:
            return None
        first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
        code = _PARAMETERS.get(code_of(first.get("parameter")), code_of(first.get("code")))
        return Fault(code, first.get("description"))

    def _forged(self, request: WebhookRequest) -> str | None:
        """Return why this webhook is not from MessageBird; None if it is."""
        if not self.signing_key:
            return "write the option signing_key to check signatures"
        if not request.url:
            return "the site has no public URL, which the signature covers"
        claims = claims_of(request.headers.get("messagebird-signature-jwt", ""), self.signing_key, _ALGORITHMS)
        if claims is None or claims.get("iss") != "MessageBird":
            return "the signature is missing or wrong"
        if not {"nbf", "exp"} <= claims.keys() or not is_within(claims, request.received_at, _LEEWAY):
            return "the signature is too old, or in the future"
        digests = {"url_hash": _digest(request.url.encode("utf-8", "surrogatepass"))}
        if request.body or "payload_hash" in claims:
            digests["payload_hash"] = _digest(request.body) if request.body else ""
        if not all(is_same(right, code_of(claims.get(name))) for name, right in digests.items()):
            return "the signature is of another URL or body"
        return None

    def _sms(self, phone: PhoneNumber, text: str) -> Mapping[str, object]:
        return {"originator": self.originator, "recipients": phone.e164[1:], "body": text, "datacoding": "auto"}

    def _call(self, order: Order) -> Mapping[str, object]:
        number = self.originator if self.originator and self.originator.lstrip("+").isdigit() else None
        own = {"originator": number, "language": self.language, "template": self.template}
        life = max(_SHORTEST_LIFE, int(order.ttl.total_seconds()))
        fields = {"recipient": order.phone.e164[1:], "type": "tts", "tokenLength": _CODE_LENGTH, "timeout": life}
        return {**fields, **_set(own)}

    def _reference(self, document: Mapping[str, Any], prefix: str = "") -> str:
        id = document.get("id")
        reference = reference_of(prefix + id) if isinstance(id, str) and id else None
        if reference is None:
            raise self.unclear("id")
        return reference

    def _url(self, reference: str) -> str:
        kind = "verify" if reference.startswith(_VERIFY) else "messages"
        return f"{self.base_url}/{kind}/{quote(reference.removeprefix(_VERIFY), safe='')}"

    def _post(self, resource: str, fields: Mapping[str, object]) -> HttpRequest:
        return HttpRequest.post_json(f"{self.base_url}/{resource}", fields, self._headers)

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"AccessKey {self.access_key}"}


def _set(fields: Mapping[str, str | None]) -> Mapping[str, str]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _recipient(message: Mapping[str, Any]) -> Mapping[str, Any]:
    return only(part_of(message, "recipients").get("items"))


def _price(recipient: Mapping[str, Any]) -> Mapping[str, Any]:
    price = part_of(recipient, "price")
    amount, currency = price_of(price.get("amount")), code_of(price.get("currency"))
    return {} if amount is None or not _CURRENCY.fullmatch(currency) else {"price": amount, "currency": currency}


DRIVER = MessageBird
