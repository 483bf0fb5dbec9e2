"""Twilio Verify v2: Twilio generates a code, sends it by SMS, voice or WhatsApp, and checks it.

A wrong code is a success with the status `pending`. Starting again for the same number continues
the same verification, with the same code. After approval, expiry or too many checks a verification
is unknown. Events are sent to the URL in the account (`PUT /api/webhooks`), as a JSON array.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from phone_verify.sandbox.phones import Channel, Dispatch
from phone_verify.sandbox.protocols.base import (
    EXPIRED,
    INACTIVE,
    MISSING,
    NO_CREDIT,
    WRONG,
    Answer,
    Provider,
    RefusedError,
    Route,
    Visit,
)
from phone_verify.sandbox.protocols.twilio_common import (
    admit,
    error,
    form_of,
    is_embargoed,
    number_of,
    phone_of,
    sid,
    sign,
    signing_token,
)
from phone_verify.sandbox.remote_codes import RemoteCode
from phone_verify.sandbox.webhooks import Hook

LIFE: Final = timedelta(minutes=10)
MOST_SENDS: Final = 5
MOST_CHECKS: Final = 5
_CALLER = "+15005550010"
_SENDER = "Verify"
_SERVICE = re.compile(r"VA\w+", re.ASCII)
_CUSTOM_CODE = re.compile(r"[0-9A-Za-z]{4,10}", re.ASCII)
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?", re.ASCII)
_EVENT = "com.twilio.accountsecurity.verify.verification."
_CHANNELS: Final[Mapping[str, Channel]] = MappingProxyType({"sms": "sms", "call": "voice", "whatsapp": "whatsapp"})
#: Channels that exist, but not at this service.
_OTHER_CHANNELS: Final = frozenset({"auto", "email", "rcs", "sna"})

#: HTTP status and text of each error; 0 where the status is not documented.
_ERRORS: Final = {
    "60200": (400, "Invalid parameter"),
    "60201": (0, "Verify Service not found"),
    "60202": (429, "Max check attempts reached"),
    "60203": (429, "Max send attempts reached"),
    "60204": (0, "Service does not support this feature"),
    "60205": (0, "SMS is not supported by landline phone number"),
    "60207": (429, "Max rate limits per service reached"),
    "60212": (429, "Too many concurrent requests for phone number"),
    "60217": (0, "Parameter is not supported by this service"),
    "60238": (0, "Verification blocked by Twilio"),
    "60252": (0, "Template is not valid"),
    "60410": (0, "The destination phone number has been temporarily blocked by Fraud Guard"),
    "60413": (0, "Verification blocked by device intelligence"),
    "60605": (403, "Verification delivery attempt blocked by geo permissions"),
    "20003": (401, "Authenticate"),
    "20404": (404, "The requested resource was not found"),
    "20429": (429, "Too many requests"),
    "20500": (500, "Internal Server Error"),
    "503": (503, "Service Unavailable"),
}


def create_verification(visit: Visit) -> Answer:
    """Send a code, or the same again while a verification of this number is open."""
    service = _admitted(visit)
    fields = form_of(visit)
    phone = phone_of(fields.get("To"))
    channel = _channel(fields.get("Channel"))
    if phone is None or not _LOCALE.fullmatch(fields.get("Locale", "en")):
        raise RefusedError("60200")
    for name in ("RateLimits", "TemplateCustomSubstitutions"):
        if name in fields and not _is_object(fields[name]):
            raise RefusedError("60200")
    visit.meet(phone)
    if is_embargoed(visit, phone):
        raise RefusedError("60238")
    own_code = _own_code(visit, fields.get("CustomCode"))
    record = visit.network.codes.newest(PROVIDER.name, phone, service=service)
    if record is None or not _continues(visit, record):
        record = visit.network.codes.open(
            phone,
            provider=PROVIDER.name,
            channel=channel,
            code=own_code or visit.draw_digits(int(visit.variant("length"))),
            ttl=LIFE,
            details={"service": service, "account": visit.basic()[0], "token": signing_token(visit)},
        )
    else:
        record = visit.network.codes.resend(record.id, channel=channel, code=own_code)
    _send(visit, record, fields)
    _report(visit, record, "pending")
    return Answer(_verification(visit, record, "pending"), 201)


def check_verification(visit: Visit) -> Answer:
    """Check a code. The status of the response is 2xx for a right and for a wrong one."""
    service = _admitted(visit)
    fields = form_of(visit)
    code, written, phone = fields.get("Code"), fields.get("VerificationSid"), phone_of(fields.get("To"))
    if not code or (written is None and phone is None):
        raise RefusedError("60200")
    codes = visit.network.codes
    if written is not None:
        record = codes.find(PROVIDER.name, number_of("VE", written))
    else:
        record = codes.newest(PROVIDER.name, phone, service=service)
    visit.meet(record.phone if record else phone)
    if record is None or record.details["service"] != service:
        raise RefusedError("20404")
    result, record = codes.check(record.id, code, most_wrong=MOST_CHECKS)
    match result:
        case "right":
            _report(visit, record, "approved")
        case "too_many":
            _report(visit, record, "max-attempts-reached")
            raise RefusedError("60202")
        case "expired" | "closed":
            raise RefusedError("20404")
    status = "approved" if result == "right" else "pending"
    return Answer(_verification(visit, record, status), int(visit.variant("check_status")))


def fetch_verification(visit: Visit) -> Answer:
    """Return a verification; a closed one only if the variant `closed` shows it."""
    record = _found(visit)
    status = _status(record, visit.network.now())
    if status != "pending" and visit.variant("closed") == "deleted":
        raise RefusedError("20404")
    return Answer(_verification(visit, record, status))


def update_verification(visit: Visit) -> Answer:
    """Close a verification: `canceled`, or `approved` after the client checked its own code."""
    fields = form_of(visit)
    record = _found(visit)
    status = fields.get("Status")
    if status not in ("canceled", "approved"):
        raise RefusedError("60200")
    if not record.is_open(visit.network.now()):
        raise RefusedError("20404")
    state: Final = "cancelled" if status == "canceled" else "verified"
    record = visit.network.codes.update(record.id, state=state)
    _report(visit, record, status)
    return Answer(_verification(visit, record, status))


def _admitted(visit: Visit) -> str:
    admit(visit)
    service = visit.path["service"]
    if not _SERVICE.fullmatch(service):
        raise RefusedError("20404")
    return service


def _found(visit: Visit) -> RemoteCode:
    service = _admitted(visit)
    record = visit.network.codes.find(PROVIDER.name, number_of("VE", visit.path["sid"]))
    visit.meet(record.phone if record else None)
    if record is None or record.details["service"] != service:
        raise RefusedError("20404")
    return record


def _channel(written: str | None) -> Channel:
    if written in _OTHER_CHANNELS:
        raise RefusedError("60204")
    channel = _CHANNELS.get(written or "")
    if channel is None:
        raise RefusedError("60200")
    return channel


def _own_code(visit: Visit, written: str | None) -> str | None:
    if written is None:
        return None
    if visit.variant("custom_code") == "disabled":
        raise RefusedError("60204")
    if not _CUSTOM_CODE.fullmatch(written):
        raise RefusedError("60200")
    return written


def _continues(visit: Visit, record: RemoteCode) -> bool:
    """Return whether a start continues this verification. Too many sends or checks block the number
    until the verification expires.
    """
    if visit.network.now() >= record.expires_at or record.state in ("verified", "cancelled"):
        return False
    if record.wrong >= MOST_CHECKS:
        if visit.variant("after_checks") == "new":
            return False
        raise RefusedError("60202")
    if record.sends >= MOST_SENDS:
        raise RefusedError("60203")
    return True


def _send(visit: Visit, record: RemoteCode, fields: Mapping[str, str]) -> Dispatch:
    name = fields.get("CustomFriendlyName", "Sandbox")
    if record.channel == "voice":
        digits = ", ".join(record.code)
        text = f"Your {name} verification code is: {digits}. Again, your code is: {digits}."
        return visit.place_call(record.phone, number=_CALLER, code=record.code, spoken=text, language="en-US")
    text = f"Your {name} verification code is: {record.code}"
    if app := fields.get("AppHash"):
        text = f"<#> {text}\n{app}"
    return visit.send_message(record.phone, channel=record.channel, sender=_SENDER, text=text, code=record.code)


def _status(record: RemoteCode, now: datetime) -> str:
    match record.state:
        case "verified":
            return "approved"
        case "cancelled":
            return "canceled"
        case "failed":
            return "max_attempts_reached"
        case _:
            return "pending" if now < record.expires_at else "expired"


def _verification(visit: Visit, record: RemoteCode, status: str) -> dict[str, object]:
    service, shown = record.details["service"], sid("VE", record.id)
    channel = next(name for name, channel in _CHANNELS.items() if channel == record.channel)
    attempts = [
        {"attempt_sid": sid("VL", record.id * 16 + number), "channel": channel.upper(), "time": _moment(visit)}
        for number in range(record.sends)
    ]
    return {
        "account_sid": record.details["account"],
        "amount": None,
        "channel": channel,
        "date_created": record.opened_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "date_updated": _moment(visit),
        "lookup": {},
        "payee": None,
        "send_code_attempts": attempts,
        "service_sid": service,
        "sid": shown,
        "sna": None,
        "status": status,
        "to": record.phone,
        "url": f"https://verify.twilio.com/v2/Services/{service}/Verifications/{shown}",
        "valid": status == "approved",
    }


def _report(visit: Visit, record: RemoteCode, event: str) -> None:
    """Send an event to the account's URL."""
    url = visit.network.webhooks().get(PROVIDER.name)
    if url is None:
        return
    service, shown = record.details["service"], sid("VE", record.id)
    events = [
        {
            "data": {"service_sid": service, "verification_sid": shown, "to": record.phone},
            "datacontenttype": "application/json",
            "id": sid("EZ", visit.network.version),
            "source": f"/v2/Services/{service}/Verifications/{shown}",
            "specversion": "1.0",
            "time": _moment(visit),
            "type": _EVENT + event,
        }
    ]
    visit.report(Hook.with_json(url, events).signed_by(sign, record.details["token"]))


def _moment(visit: Visit) -> str:
    return visit.network.now().isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _refuse(visit: Visit, name: str) -> Answer:
    status, text = _ERRORS[name]
    if name == "503":
        return Answer(f"<html><body><h1>503 {text}</h1></body></html>", status, "text/html; charset=utf-8")
    return error(int(name), status or int(visit.variant("block_status")), text)


_BASE = "/v2/Services/<service>"

PROVIDER: Final = Provider(
    name="twilio-verify",
    title="Twilio Verify",
    routes=(
        Route("POST", f"{_BASE}/Verifications", create_verification),
        Route("GET", f"{_BASE}/Verifications/<sid>", fetch_verification),
        Route("POST", f"{_BASE}/Verifications/<sid>", update_verification),
        Route("POST", f"{_BASE}/VerificationCheck", check_verification),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="60200",
    credentials={MISSING: "20003", WRONG: "20003", EXPIRED: "20003", INACTIVE: "20003", NO_CREDIT: "20003"},
    secrets=frozenset(),
    variants={
        "length": ("6", "4", "5", "7", "8", "9", "10"),
        "check_status": ("200", "201"),
        "closed": ("deleted", "shown"),
        "custom_code": ("enabled", "disabled"),
        "block_status": ("403", "400", "429"),
        "digits": ("random", "leading_zero"),
        "embargo": ("off", "on"),
        "after_checks": ("refused", "new"),
    },
    webhook_in_cabinet=True,
)
