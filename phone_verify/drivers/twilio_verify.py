"""A code that Twilio generates, sends and checks, by SMS, voice call or WhatsApp.

Requests, statuses and error codes are those of the vendor's API description and dictionary; what an
error means for an order is our reading. A verification lasts ten minutes, with five sends and five
checks; that a start is refused with 60202 until it ends is assumed. A wrong code is a 2xx that is
still `pending`. With `custom_code=on` the code is generated here and checked here, and the driver
reports to Twilio that it was right, or that the verification was cancelled: otherwise Twilio refuses the
sixth send to a number within ten minutes, with 60203.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from ..errors import FailureKind
from ..exchange import Exchange, HttpRequest
from ..model import Channel, CodeSource, Order, Receipt
from ..phone import PhoneNumber
from .base import Ability
from .kinds.basic_auth import basic_auth
from .kinds.json_api import Fault, by_kind, code_of
from .kinds.remote_code import RemoteCodeDriver
from .kinds.twilio_regions import TWILIO_UNSERVED
from .options import Option, flag, matching, one_of
from .reading import our_code, reference_of

_CHANNELS = {Channel.SMS: "sms", Channel.VOICE: "call", Channel.WHATSAPP: "whatsapp"}
_LIFE = timedelta(minutes=10)

#: The states of a verification that is not approved.
_NOT_APPROVED = ("pending", "canceled", "max_attempts_reached", "deleted", "failed", "expired")


@dataclass(frozen=True)
class TwilioVerify(RemoteCodeDriver):
    """Codes through a service of Twilio Verify. The credentials may also be an API key and its secret."""

    scheme: ClassVar[str] = "twilio-verify"
    provider: ClassVar[str] = "Twilio Verify"
    default_host: ClassVar[str | None] = "verify.twilio.com"
    unserved_regions: ClassVar[frozenset[str]] = TWILIO_UNSERVED
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("account_sid", "auth_token"),)
    options: ClassVar[Mapping[str, Option]] = {
        "service": Option(
            "",
            matching("VA[0-9A-Za-z]{2,64}", "the SID that begins with VA"),
            "VA0000",
            "the Verify service (`VA…`)",
            required=True,
        ),
        "code_length": Option(
            None,
            one_of("4", "5", "6", "7", "8", "9", "10"),
            meaning="the length of the service's codes; codes of unknown length get fewer attempts",
        ),
        "locale": Option(
            None,
            matching("[a-z]{2,3}(-[A-Za-z]{2,4})?", "a language code, like fr or pt-BR"),
            meaning="the language of the message, in place of the one of the number's country",
        ),
        "custom_code": Option(
            False, flag, meaning="`on`: send our own code, which the service must have enabled at Twilio"
        ),
    }
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {
            FailureKind.BAD_NUMBER: "60200 60205 60413",
            # 60238 also means a country that Twilio does not serve: another provider may serve it.
            FailureKind.CONFIGURATION: "20003 20404 60201 60204 60217 60238 60252 60605",
            FailureKind.RATE: "20429 60202 60203 60207 60212 60410",
            FailureKind.TRANSIENT: "20500",
        }
    )
    # Over, too many checks, and "invalid verification code" in the dictionary.
    wrong_codes: ClassVar[frozenset[str]] = frozenset({"20404", "60201", "60202"})

    account_sid: str = field(repr=False)
    auth_token: str = field(repr=False)
    service: str
    code_length: str | None
    locale: str | None
    custom_code: bool

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS, voice and WhatsApp, with a code that Twilio checks, or ours."""
        length = int(self.code_length) if self.code_length else None
        ability = Ability(CodeSource.REMOTE_CHECK, fixed_length=length, cap=_LIFE)
        if self.custom_code:
            ability = Ability(CodeSource.LOCAL, shortest=4, longest=8, cap=_LIFE)
        return dict.fromkeys(_CHANNELS, ability)

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send a code. While a verification of the number is pending, Twilio sends its code again."""
        fields = {"To": order.phone.e164, "Channel": _CHANNELS[order.channel]}
        if self.locale:
            fields["Locale"] = self.locale
        if self.custom_code:
            fields["CustomCode"] = our_code(order)
        document = yield from self.ask(self._post("Verifications", fields))
        reference = reference_of(document.get("sid"))
        if reference is None or document.get("status") != "pending":
            raise self.unclear("sid of a pending verification")
        return Receipt(reference)

    def check_request(self, phone: PhoneNumber, code: str, reference: str | None) -> HttpRequest:
        """Return the check of this verification, or of the number's if its start was unclear."""
        subject = {"VerificationSid": reference} if reference else {"To": phone.e164}
        return self._post("VerificationCheck", {**subject, "Code": code})

    def close(self, reference: str, *, verified: bool) -> Exchange[None]:
        """Close the verification of our own code. One with Twilio's code is left open: others who start
        for the same number share it, and a cancelled one would end their code.
        """
        if not self.custom_code:
            return
        status = "approved" if verified else "canceled"
        place = f"Verifications/{quote(reference, safe='')}"
        document = yield from self.ask(self._post(place, {"Status": status}))
        if document.get("status") != status:
            raise self.unclear(f"status {status}")

    def verdict(self, document: Mapping[str, Any]) -> bool | None:
        """Return whether the verification is approved."""
        status, valid = document.get("status"), document.get("valid")
        if status == "approved" and valid is True:
            return True
        return False if status in _NOT_APPROVED and valid is not True else None

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error of a `code`."""
        code = code_of(document.get("code"))
        return Fault(code, document.get("message")) if code else None

    def _post(self, resource: str, fields: Mapping[str, str]) -> HttpRequest:
        url = f"{self.base_url}/v2/Services/{quote(self.service, safe='')}/{resource}"
        return HttpRequest.post_form(url, fields, basic_auth(self.account_sid, self.auth_token))


DRIVER = TwilioVerify
