"""Plivo: our code by SMS or in a WhatsApp template, and a code that Plivo generates for a voice call.

Requests, message states and amounts are those of the vendor's docs and client; the signature of
webhooks, which has no time, is its client's. Amounts are in US dollars, as the account's credit. No
error codes are documented, so HTTP 400 is `unknown`; at the check of a voice code, 400 and 404 mean a
wrong or expired code (published clients). Calls to one number within the lifetime of a code belong to
one session of Plivo Verify: they have the same code, and share ten checks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from ..exchange import Exchange, HttpRequest, Rejected, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from ..phone import PhoneNumber
from .base import Ability
from .kinds.basic_auth import basic_auth
from .kinds.json_api import Fault, JsonDriver
from .kinds.remote_code import known
from .kinds.vendor_signatures import not_from_plivo
from .options import Option, matching
from .reading import amount_of, our_code, price_of, reference_of

_CODE_LENGTH = 6
_CURRENCY = "USD"
_RIGHT = "session validated successfully"
#: HTTP statuses of a check for a code that is wrong, and for a session that has expired.
_WRONG_CODE = (400, 404)

#: Of messages, and of the attempts of a session; all others are in transit, or not clear: a call is
#: `completed` whether or not it was answered.
_STATES = {
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.DELIVERED,
    "verified": DeliveryState.DELIVERED,
    "failed": DeliveryState.UNDELIVERED,
    "undelivered": DeliveryState.UNDELIVERED,
    "rejected": DeliveryState.UNDELIVERED,
}

#: The resources, which also begin the reference of a voice call.
_MESSAGE, _SESSION = "Message/", "Verify/Session/"
#: The parameters of a callback that are read, for either resource.
_READ = {_MESSAGE: ("MessageUUID", "Status"), _SESSION: ("SessionUUID", "ChannelStatus")}
_AMOUNTS = ("Units", "TotalAmount")
_UNITS = re.compile(r"[1-9][0-9]{0,2}")

_E164 = r"\+[1-9][0-9]{6,13}"


@dataclass(frozen=True)
class Plivo(JsonDriver):
    """SMS and WhatsApp messages with our code, and voice calls by Plivo Verify."""

    scheme: ClassVar[str] = "plivo"
    provider: ClassVar[str] = "Plivo"
    default_host: ClassVar[str | None] = "api.plivo.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("auth_id", "auth_token"),)
    signs_webhooks: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Option]] = {
        "sender": Option(
            None,
            matching(
                rf"{_E164}|[0-9]{{3,8}}|[A-Za-z0-9]{{1,11}}",
                "a number with + as %2B, a short code, or a name of up to 11 characters",
            ),
            "%2B15005550001",
            "the number, short code or name that sends SMS, unless `powerpack` is set",
            needed_for=(Channel.SMS,),
        ),
        "powerpack": Option(None, matching("[0-9A-Za-z-]{2,64}", "its UUID"), meaning="a Powerpack that sends SMS"),
        "whatsapp_sender": Option(
            None,
            matching(_E164, "a number in E.164, with + as %2B"),
            "%2B15005550001",
            "the WhatsApp number",
            needed_for=(Channel.WHATSAPP,),
        ),
        "template": Option(
            None,
            matching("[a-z0-9_]{1,512}", "its name"),
            "login_code",
            "the approved WhatsApp template of the category authentication",
            needed_for=(Channel.WHATSAPP,),
        ),
        "template_language": Option(
            "en", matching("[a-z]{2,3}(_[A-Z]{2})?", "a code like en_US"), meaning="the language of the template"
        ),
        "app": Option(
            None,
            matching("[0-9A-Za-z-]{2,64}", "its UUID"),
            meaning="the Verify application for voice calls, in place of the account's default",
        ),
        "locale": Option(
            None, matching("[a-z]{2,3}(_[A-Z]{2})?", "a code like fr_FR"), meaning="the language of voice calls"
        ),
    }

    auth_id: str = field(repr=False)
    auth_token: str = field(repr=False)
    sender: str | None
    powerpack: str | None
    whatsapp_sender: str | None
    template: str | None
    template_language: str
    app: str | None
    locale: str | None

    def __post_init__(self) -> None:
        if self.sender and self.powerpack:
            raise ValueError("options 'sender' and 'powerpack' exclude each other: write one of them")
        if bool(self.whatsapp_sender) != bool(self.template):
            raise ValueError("WhatsApp needs both whatsapp_sender and template")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """Voice with a code that Plivo checks; SMS and WhatsApp with ours, as far as their senders are set."""
        ours = Ability(CodeSource.LOCAL, webhook_url=True)
        remote = Ability(CodeSource.REMOTE_CHECK, fixed_length=_CODE_LENGTH, webhook_url=True)
        channels: dict[Channel, Ability] = {Channel.SMS: ours} if self.sender or self.powerpack else {}
        return channels | {Channel.VOICE: remote} | ({Channel.WHATSAPP: ours} if self.whatsapp_sender else {})

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send our code, or have Plivo call; a session that is open has the same code again."""
        callback = {"url": order.webhook_url, "method": "POST"} if order.webhook_url else {}
        resource = _SESSION if order.channel is Channel.VOICE else _MESSAGE
        fields = self._call(order) if order.channel is Channel.VOICE else self._message(order)
        document = yield from self.ask(self._post(resource, {**fields, **callback}))
        if resource == _SESSION:
            return Receipt(self._reference(document.get("session_uuid"), _SESSION))
        uuids = document.get("message_uuid")
        return Receipt(self._reference(uuids[0] if isinstance(uuids, list) and len(uuids) == 1 else None))

    def check(self, phone: PhoneNumber, code: str, reference: str | None = None) -> Exchange[bool]:
        """Return whether the code of this session is right. Raises `ProviderError` or `UnclearError`."""
        response = yield self._post(self._resource(known(reference)), {"otp": code})
        document = response.json()
        fields = document if isinstance(document, dict) else {}
        fault = self.fault_of(fields)
        if response.status in _WRONG_CODE and fault is not None:
            return False
        if fault is not None or not response.ok:
            raise self.refusal(response, fault or Fault(""))
        message = fields.get("message")
        if not isinstance(message, str):
            raise self.unclear("verdict")
        return message.strip(" .").lower() == _RIGHT

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        """Send the text by SMS."""
        yield from self.ask(self._post(_MESSAGE, self._sms(phone, text)))

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the message, or whether the code of the call was verified."""
        request = HttpRequest.get(self._url(self._resource(reference)), headers=self._headers)
        document = yield from self.ask(request)
        is_call = reference.startswith(_SESSION)
        uuid = document.get("session_uuid" if is_call else "message_uuid")
        status = document.get("status" if is_call else "message_state")
        if uuid != reference.removeprefix(_SESSION) or not isinstance(status, str):
            raise self.unclear("state, or is about another message")
        return self._report(reference, status, document.get("units"), document.get("total_amount"))

    def account(self) -> Exchange[ProviderAccount]:
        """Return the credit that is left."""
        document = yield from self.ask(HttpRequest.get(self._url(""), headers=self._headers))
        balance = amount_of(document.get("cash_credits"))
        if balance is None:
            raise self.unclear("cash_credits")
        return ProviderAccount(balance, _CURRENCY)

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | Rejected | None:
        """Parse a status callback of a message or a call, after its signature."""
        if (reason := not_from_plivo(self.auth_token, request)) is not None:
            return Rejected(reason)
        names = [name for name, _ in request.parameters]
        for resource, read in _READ.items():
            if any(names.count(name) > 1 for name in (*read, *_AMOUNTS)):
                return None
            uuid, status = (request.once(name) for name in read)
            reference = reference_of(f"{resource.removeprefix(_MESSAGE)}{uuid}") if uuid and status else None
            if reference is not None and status is not None:
                return self._report(reference, status, *(request.once(name) for name in _AMOUNTS))
        return None

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error that `error` describes."""
        return Fault("", document["error"]) if document.get("error") else None

    def _message(self, order: Order) -> Mapping[str, object]:
        if order.channel is Channel.SMS:
            return self._sms(order.phone, order.text or our_code(order))
        value = [{"type": "text", "text": our_code(order)}]
        components = [
            {"type": "body", "parameters": value},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": value},
        ]
        template = {"name": self.template, "language": self.template_language, "components": components}
        return {"type": "whatsapp", "src": self.whatsapp_sender, "dst": order.phone.e164, "template": template}

    def _sms(self, phone: PhoneNumber, text: str) -> Mapping[str, object]:
        sender = {"powerpack_uuid": self.powerpack} if self.powerpack else {"src": self.sender}
        return {"type": "sms", **sender, "dst": phone.e164, "text": text}

    def _call(self, order: Order) -> Mapping[str, object]:
        own = {name: value for name, value in (("app_uuid", self.app), ("locale", self.locale)) if value}
        return {"recipient": order.phone.e164, "channel": "voice", "code_length": _CODE_LENGTH, **own}

    def _report(self, reference: str, status: str, units: object, amount: object) -> DeliveryReport:
        parts = int(str(units)) if type(units) in (int, str) and _UNITS.fullmatch(str(units)) else None
        price = price_of(amount)
        state = _STATES.get(status, DeliveryState.OPEN)
        currency = None if price is None else _CURRENCY
        return DeliveryReport(reference, state, self.redact(status), parts, price, currency)

    def _reference(self, uuid: object, prefix: str = "") -> str:
        reference = reference_of(prefix + uuid) if isinstance(uuid, str) and uuid else None
        if reference is None:
            raise self.unclear("uuid")
        return reference

    @staticmethod
    def _resource(reference: str) -> str:
        kind = _SESSION if reference.startswith(_SESSION) else _MESSAGE
        return f"{kind}{quote(reference.removeprefix(_SESSION), safe='')}/"

    def _url(self, resource: str) -> str:
        return f"{self.base_url}/v1/Account/{quote(self.auth_id, safe='')}/{resource}"

    def _post(self, resource: str, fields: Mapping[str, object]) -> HttpRequest:
        return HttpRequest.post_json(self._url(resource), fields, self._headers)

    @property
    def _headers(self) -> Mapping[str, str]:
        return basic_auth(self.auth_id, self.auth_token)


DRIVER = Plivo
