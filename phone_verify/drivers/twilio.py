"""Twilio Programmable Messaging: our code by SMS, or by WhatsApp with an approved template.

The error codes are those of the vendor's dictionary; what they mean for an order is our reading. A
status callback is signed over the URL and the form with the account's auth token (the vendor's
validators), so a site that signs in with an API key names that token in an option.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest, HttpResponse, Rejected, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from ..phone import PhoneNumber
from .base import Ability, Driver
from .kinds.twilio_regions import TWILIO_UNSERVED
from .kinds.vendor_signatures import not_from_twilio
from .options import Option, secret
from .reading import amount_of, our_code, reference_of, trouble_of_status

_TROUBLES: Mapping[int, FailureKind] = {
    number: trouble
    for trouble, numbers in {
        FailureKind.BAD_NUMBER: (
            21211,  # the number is not valid
            21610,  # the recipient has opted out
            21614,  # not a mobile number
            30005,  # unknown destination
            30006,  # landline, or unreachable carrier
        ),
        FailureKind.BALANCE: (30002,),  # account suspended
        FailureKind.CONFIGURATION: (
            20003,  # authentication
            21408,  # the region is not enabled
            21606,  # the sender cannot send SMS
            21659,  # the sender is not a number of the account
            63016,  # WhatsApp: a template is required
        ),
        FailureKind.RATE: (20429,),
        FailureKind.TRANSIENT: (
            30001,  # queue full
            30003,  # handset unreachable
            30008,  # unknown error of the carrier
        ),
        FailureKind.UNKNOWN: (30007,),  # filtered by the carrier
    }.items()
    for number in numbers
}

#: The states of a message that are final; all others are in transit.
_STATES = {
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.DELIVERED,
    "failed": DeliveryState.UNDELIVERED,
    "undelivered": DeliveryState.UNDELIVERED,
    "canceled": DeliveryState.UNDELIVERED,
}
_REFUSED = ("failed", "undelivered", "canceled")

#: The fields of a status callback that are read.
_READ = ("MessageSid", "MessageStatus", "ErrorCode")

_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9][A-Za-z0-9 ]{0,10}")
_WHATSAPP_SENDER = re.compile(r"\+[1-9][0-9]{6,14}")
_WORD = re.compile(r"[a-z_]{1,32}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_CODE = re.compile(r"[0-9]{5}")
_PARTS = re.compile(r"[1-9][0-9]{0,2}")
_LONGEST_VALIDITY = 36000


def _sid(prefix: str) -> Callable[[str], str]:
    shape = re.compile(rf"{prefix}[0-9A-Za-z]{{2,64}}")

    def read(text: str) -> str:
        if not shape.fullmatch(text):
            raise ValueError(f"write the SID that begins with {prefix}")
        return text

    return read


def _sender(text: str) -> str:
    if not _SENDER.fullmatch(text):
        raise ValueError("write a number in E.164 (with + as %2B), a short code, or a name of up to 11 characters")
    return text


def _whatsapp_sender(text: str) -> str:
    if not _WHATSAPP_SENDER.fullmatch(text):
        raise ValueError("write a number in E.164, with + as %2B")
    return text


@dataclass(frozen=True)
class Twilio(Driver):
    """SMS and WhatsApp messages through Twilio's Messages resource.

    `sender` or `messaging_service` sends SMS. WhatsApp needs `whatsapp_sender` and `content_sid`, an
    approved template whose variable 1 is the code. With an API key as the credentials, `account_id`
    is the account's SID, and `webhook_token` its auth token, which signs status callbacks.
    """

    scheme: ClassVar[str] = "twilio"
    provider: ClassVar[str] = "Twilio Programmable Messaging"
    default_host: ClassVar[str | None] = "api.twilio.com"
    unserved_regions: ClassVar[frozenset[str]] = TWILIO_UNSERVED
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("account_sid", "auth_token"),)
    signs_webhooks: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Option]] = {
        "sender": Option(
            None,
            _sender,
            example="%2B15005550001",
            needed_for=(Channel.SMS,),
            meaning="the number, short code or name that sends SMS, unless `messaging_service` is set",
        ),
        "messaging_service": Option(None, _sid("MG"), meaning="a messaging service (`MG…`) that selects the sender"),
        "whatsapp_sender": Option(
            None,
            _whatsapp_sender,
            example="%2B15005550001",
            needed_for=(Channel.WHATSAPP,),
            meaning="the WhatsApp number",
        ),
        "content_sid": Option(
            None,
            _sid("HX"),
            example="HX00000000000000000000000000000000",
            needed_for=(Channel.WHATSAPP,),
            meaning="the approved WhatsApp template (`HX…`), whose variable 1 is the code",
        ),
        "account_id": Option(None, _sid("AC"), meaning="the account (`AC…`), if the credentials are an API key"),
        "webhook_token": Option(
            None, secret, meaning="the account's auth token; needed to read webhooks with an API key"
        ),
    }

    account_sid: str = field(repr=False)
    auth_token: str = field(repr=False)
    sender: str | None
    messaging_service: str | None
    whatsapp_sender: str | None
    content_sid: str | None
    account_id: str | None
    webhook_token: str | None = field(repr=False)

    def __post_init__(self) -> None:
        if self.sender and self.messaging_service:
            raise ValueError("options 'sender' and 'messaging_service' exclude each other: write one of them")
        if bool(self.whatsapp_sender) != bool(self.content_sid):
            raise ValueError("WhatsApp needs both whatsapp_sender and content_sid")
        if not (self.sender or self.messaging_service or self.whatsapp_sender):
            raise ValueError("write ?sender= or ?messaging_service= (SMS), or whatsapp_sender and content_sid")
        if not self.account_sid.startswith("AC") and not self.account_id:
            raise ValueError("option 'account_id' is required with an API key: write ?account_id=AC…")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS and WhatsApp with our code, as far as their senders are set."""
        ability = Ability(CodeSource.LOCAL, webhook_url=True)
        channels = {
            Channel.SMS: self.sender or self.messaging_service,
            Channel.WHATSAPP: self.whatsapp_sender,
        }
        return {channel: ability for channel, sender in channels.items() if sender}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the code. The message is dropped if it cannot be delivered within the code's life."""
        seconds = int(min(order.ttl.total_seconds(), _LONGEST_VALIDITY))
        fields = {"ValidityPeriod": str(max(1, seconds)), **self._message(order)}
        if order.webhook_url is not None:
            fields["StatusCallback"] = order.webhook_url
        document = yield from self._ask(HttpRequest.post_form(self._url("Messages.json"), fields, self._headers))
        reference = reference_of(document.get("sid"))
        if reference is None:
            raise UnclearError("twilio: the response has no readable sid")
        if document.get("status") in _REFUSED:
            raise ProviderError(_trouble_of(document.get("error_code")), f"status {document['status']}")
        return Receipt(reference, parts=_parts(document), **self._price(document))

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        """Send the text by SMS."""
        fields = {"To": phone.e164, "Body": text, **self._sms_sender()}
        yield from self._ask(HttpRequest.post_form(self._url("Messages.json"), fields, self._headers))

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the message."""
        request = HttpRequest.get(self._url(f"Messages/{quote(reference, safe='')}.json"), headers=self._headers)
        document = yield from self._ask(request)
        if reference_of(document.get("sid")) != reference or not isinstance(document.get("status"), str):
            raise UnclearError("twilio: the response has no status, or is about another message")
        said = self._said(document["status"], document.get("error_code"))
        state = _STATES.get(document["status"], DeliveryState.OPEN)
        return DeliveryReport(reference, state, said, parts=_parts(document), **self._price(document))

    def account(self) -> Exchange[ProviderAccount]:
        """Query the balance of the account."""
        document = yield from self._ask(HttpRequest.get(self._url("Balance.json"), headers=self._headers))
        balance = amount_of(document.get("balance"))
        if balance is None:
            raise UnclearError("twilio: the response has no readable balance")
        return ProviderAccount(balance, _currency(document.get("currency")))

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | Rejected | None:
        """Parse a status callback, after its signature."""
        if (reason := self._forged(request)) is not None:
            return Rejected(reason)
        values = [[value for name, value in request.parameters if name == read] for read in _READ]
        if any(len(found) > 1 for found in values):
            return None
        reference, status, code = (found[0] if found else None for found in values)
        if reference is None or reference_of(reference) is None or status is None:
            return None
        return DeliveryReport(reference, _STATES.get(status, DeliveryState.OPEN), self._said(status, code))

    def _message(self, order: Order) -> Mapping[str, str]:
        if order.channel is Channel.SMS:
            return {"To": order.phone.e164, "Body": order.text or our_code(order), **self._sms_sender()}
        return {
            "To": f"whatsapp:{order.phone.e164}",
            "From": f"whatsapp:{self.whatsapp_sender}",
            "ContentSid": self.content_sid or "",
            "ContentVariables": json.dumps({"1": our_code(order)}),
        }

    def _sms_sender(self) -> Mapping[str, str]:
        return (
            {"MessagingServiceSid": self.messaging_service} if self.messaging_service else {"From": self.sender or ""}
        )

    def _url(self, resource: str) -> str:
        account = quote(self.account_id or self.account_sid, safe="")
        return f"{self.base_url}/2010-04-01/Accounts/{account}/{resource}"

    @property
    def _headers(self) -> Mapping[str, str]:
        pair = f"{self.account_sid}:{self.auth_token}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    def _ask(self, request: HttpRequest) -> Exchange[Mapping[str, Any]]:
        response = yield request
        document = response.json()
        if not response.ok:
            raise self._refusal(response, document if isinstance(document, dict) else {})
        if not isinstance(document, dict):
            raise UnclearError("twilio: the response is not a JSON object")
        return document

    def _refusal(self, response: HttpResponse, document: Mapping[str, Any]) -> ProviderError:
        error = trouble_of_status(response, self.redact(document.get("message")))
        code = document.get("code")
        if type(code) is not int or code not in _TROUBLES:
            return error
        return ProviderError(_TROUBLES[code], error.detail)

    def _price(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the message costs; Twilio writes a charge as a negative amount, and late."""
        amount, currency = amount_of(document.get("price")), _currency(document.get("price_unit"))
        return {} if amount is None or currency is None else {"price": abs(amount), "currency": currency}

    def _said(self, status: str, code: object) -> str:
        """Return the state and the kind of its failure. Unknown numbers are left out: our codes have digits too."""
        number = int(code) if isinstance(code, str) and _CODE.fullmatch(code) else code
        kind = _TROUBLES.get(number) if type(number) is int else None
        known = status if _WORD.fullmatch(status) else "other state"
        return known if kind is None else f"{known}, {kind}"

    @property
    def _webhook_key(self) -> str:
        return self.webhook_token or ("" if self.account_id else self.auth_token)

    @property
    def credentials(self) -> Mapping[str, str]:
        """Return the credentials, and the token of the webhooks."""
        return {**super().credentials, **({"webhook_token": self.webhook_token} if self.webhook_token else {})}

    def _forged(self, request: WebhookRequest) -> str | None:
        """Return why this webhook is not from Twilio; None if it is."""
        if not self._webhook_key:
            return "with an API key, write the option webhook_token to check signatures"
        return not_from_twilio(self._webhook_key, request)


def _trouble_of(code: object) -> FailureKind:
    return _TROUBLES.get(code, FailureKind.UNKNOWN) if type(code) is int else FailureKind.UNKNOWN


def _parts(document: Mapping[str, Any]) -> int | None:
    parts = document.get("num_segments")
    return int(parts) if isinstance(parts, str) and _PARTS.fullmatch(parts) else None


def _currency(value: object) -> str | None:
    return value.upper() if isinstance(value, str) and _CURRENCY.fullmatch(value.upper()) else None


DRIVER = Twilio
