"""Telnyx Verify: our code by SMS and voice call; by flash call and WhatsApp its own, which it checks.

A Verify profile with these methods must exist. Errors and signatures are the vendor's; what an error
code means for an order is our reading. The balance request is from the vendor's own client. Assumed:
that the code of a flash call is the end of the caller's number, and the error code for no money.
Webhooks contain our code, so nothing of them but the state is ever shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest, Rejected, WebhookRequest
from ..model import Channel, CodeSource, DeliveryReport, DeliveryState, Order, ProviderAccount, Receipt
from ..phone import PhoneNumber
from .base import Ability
from .kinds.json_api import Fault, by_kind, code_of, part_of
from .kinds.remote_code import RemoteCodeDriver
from .kinds.signed_token import require
from .kinds.vendor_signatures import not_from_telnyx, telnyx_public_key
from .options import Option, matching
from .reading import amount_of, our_code, reference_of

_METHODS = {
    Channel.SMS: "sms",
    Channel.VOICE: "call",
    Channel.FLASH_CALL: "flashcall",
    Channel.WHATSAPP: "whatsapp",
}
_OURS = (Channel.SMS, Channel.VOICE)

_VERDICTS = {"accepted": True, "rejected": False}
#: Of a verification that is queried: only one that succeeded shows that its code arrived.
_STATES = {"accepted": DeliveryState.DELIVERED, "error": DeliveryState.UNDELIVERED}
#: Of a webhook: `delivery_unconfirmed` comes with `verify.failed`, and is open.
_DELIVERIES = {
    "sent": DeliveryState.OPEN,
    "delivered": DeliveryState.DELIVERED,
    "sending_failed": DeliveryState.UNDELIVERED,
    "delivery_failed": DeliveryState.UNDELIVERED,
    "delivery_unconfirmed": DeliveryState.OPEN,
}
_EVENTS = {
    "verify.sent": DeliveryState.OPEN,
    "verify.delivered": DeliveryState.DELIVERED,
    "verify.failed": DeliveryState.UNDELIVERED,
}

_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Telnyx(RemoteCodeDriver):
    """SMS, voice calls, flash calls and WhatsApp messages through Telnyx Verify."""

    scheme: ClassVar[str] = "telnyx"
    provider: ClassVar[str] = "Telnyx Verify"
    default_host: ClassVar[str | None] = "api.telnyx.com"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("api_key",),)
    signs_webhooks: ClassVar[bool] = True
    wrong_codes: ClassVar[frozenset[str]] = frozenset({"10005"})
    options: ClassVar[Mapping[str, Option]] = {
        "profile": Option(
            "",
            # An id is a UUID; a whole one makes the list of `phone-verify drivers` too wide.
            matching("[0-9A-Fa-f-]{8,36}", "the profile's id, a UUID"),
            "12ade33a-473b",
            "the id of the Verify profile, a UUID",
            required=True,
        ),
        "public_key": Option(
            None,
            telnyx_public_key,
            meaning="the account's public key, which checks webhooks: without it they are rejected",
        ),
        "flash_digits": Option(
            None,
            matching("[4-9]", "a number from 4 to 9"),
            meaning="how many of the caller's last digits are the code of a flash call",
        ),
        "whatsapp_digits": Option(
            None,
            matching("[4-9]", "a number from 4 to 9"),
            meaning="the digits of the codes of WhatsApp, as set in the profile",
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "10002 10016",
            FailureKind.CONFIGURATION: "10004 10005 10009 10010 10015",
            FailureKind.BALANCE: "20100",
            FailureKind.RATE: "10011",
            FailureKind.TRANSIENT: "10007 10008",
        }
    )

    api_key: str = field(repr=False)
    profile: str
    public_key: bytes | None
    flash_digits: str | None
    whatsapp_digits: str | None

    def __post_init__(self) -> None:
        self.require_token("api_key")
        if self.public_key:
            require("cryptography", "public_key")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS and voice calls with our code; flash calls and WhatsApp with the provider's."""
        ours = Ability(CodeSource.LOCAL)
        return {
            Channel.SMS: ours,
            Channel.VOICE: ours,
            Channel.FLASH_CALL: _checked(self.flash_digits),
            Channel.WHATSAPP: _checked(self.whatsapp_digits),
        }

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send our code, or let the provider send its own."""
        fields = {
            "phone_number": order.phone.e164,
            "verify_profile_id": self.profile,
            "timeout_secs": int(order.ttl.total_seconds()),
            **({"custom_code": our_code(order)} if order.channel in _OURS else {}),
        }
        document = yield from self.ask(self._post(_METHODS[order.channel], fields))
        reference = reference_of(part_of(document, "data").get("id"))
        if reference is None:
            raise self.unclear("id")
        return Receipt(reference)

    def check_request(self, phone: PhoneNumber, code: str, reference: str | None) -> HttpRequest:
        """Return the check of this verification, or of the number's if its start was unclear."""
        if reference is None:
            fields = {"code": code, "verify_profile_id": self.profile}
            return self._post(f"by_phone_number/{phone.e164}/actions/verify", fields)
        return self._post(f"{quote(reference, safe='')}/actions/verify", {"code": code})

    def verdict(self, document: Mapping[str, Any]) -> bool | None:
        """Return what `response_code` says; a wrong code has HTTP 200."""
        verdict = part_of(document, "data").get("response_code")
        return _VERDICTS.get(verdict) if isinstance(verdict, str) else None

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        """Query the verification."""
        request = HttpRequest.get(self._url(f"verifications/{quote(reference, safe='')}"), headers=self._headers)
        data = part_of((yield from self.ask(request)), "data")
        status = data.get("status")
        if data.get("id") != reference or not isinstance(status, str):
            raise self.unclear("status of this verification")
        return DeliveryReport(reference, _STATES.get(status, DeliveryState.OPEN), self.redact(status))

    def account(self) -> Exchange[ProviderAccount]:
        """Query the balance of the account."""
        document = yield from self.ask(HttpRequest.get(self._url("balance"), headers=self._headers))
        data = part_of(document, "data")
        balance, currency = amount_of(data.get("balance")), data.get("currency")
        if balance is None:
            raise self.unclear("balance")
        is_known = isinstance(currency, str) and _CURRENCY.fullmatch(currency)
        return ProviderAccount(balance, currency if is_known else None)

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | Rejected | None:
        """Parse a signed report of the delivery."""
        if (reason := self._forged(request)) is not None:
            return Rejected(reason)
        data = part_of(request.json(), "data")
        payload, event = part_of(data, "payload"), data.get("event_type")
        reference = reference_of(payload.get("id"))
        if reference is None or not isinstance(event, str) or event not in _EVENTS:
            return None
        status = payload.get("delivery_status")
        if isinstance(status, str) and status in _DELIVERIES:
            return DeliveryReport(reference, _DELIVERIES[status], status)
        return DeliveryReport(reference, _EVENTS[event], event)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the first of `errors`."""
        errors = document.get("errors")
        if not isinstance(errors, list) or not errors:
            return None
        first = errors[0] if isinstance(errors[0], dict) else {}
        return Fault(code_of(first.get("code")), first.get("detail") or first.get("title"))

    def _url(self, place: str) -> str:
        return f"{self.base_url}/v2/{place}"

    def _post(self, place: str, fields: Mapping[str, object]) -> HttpRequest:
        return HttpRequest.post_json(self._url(f"verifications/{place}"), fields, self._headers)

    @property
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def _forged(self, request: WebhookRequest) -> str | None:
        """Return why this webhook is not from Telnyx; None if it is."""
        if self.public_key is None:
            return "write the option public_key to check signatures"
        return not_from_telnyx(self.public_key, request)


def _checked(digits: str | None) -> Ability:
    return Ability(CodeSource.REMOTE_CHECK, fixed_length=int(digits) if digits else None)


DRIVER = Telnyx
