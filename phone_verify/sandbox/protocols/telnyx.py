"""Telnyx Verify: SMS, voice call, flash call and WhatsApp. Telnyx generates the code and checks it;
for SMS and voice the client may supply it.

A wrong code is an HTTP 200 with `rejected`. Webhooks go to the URL in the verify profile
(`PUT /api/webhooks`), signed by Ed25519 with a key that is the same in every sandbox; a webhook
contains the client's own code in clear text. Any verify profile exists except the UUID of zeros.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from phone_verify.sandbox.phones import Channel
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
from phone_verify.sandbox.remote_codes import RemoteCode
from phone_verify.sandbox.webhooks import Hook

#: The private key is the SHA-256 of this text.
_KEY: Final = "telnyx sandbox"
PUBLIC_KEY: Final = "b8DJzyMG2tecwRheAZBNZlDuw1V/g+hl8P9E3VoxlRE="
_LIFE: Final = 300
#: How many are accepted is not published, nor is the length of a flash call's code.
_MOST_WRONG: Final = 5
_LAST_DIGITS: Final = 4

_CHANNELS: Final[Mapping[str, Channel]] = {
    "sms": "sms",
    "call": "voice",
    "flashcall": "flash_call",
    "whatsapp": "whatsapp",
}
_WITH_OWN_CODE: Final = ("sms", "call")
_NO_PROFILE: Final = UUID(int=0)

#: What `delivery_status` says of a failure, the usual one first.
_FAILURES: Final = ("delivery_failed", "sending_failed", "delivery_unconfirmed")

#: HTTP status, code and title of each error. The codes are published; most statuses are not.
_ERRORS: Final = {
    "invalid_number": (422, "10002", "Invalid phone number"),
    "missing_parameter": (422, "10004", "Missing required parameter"),
    "not_found": (404, "10005", "Resource not found"),
    "unexpected": (500, "10007", "Unexpected error"),
    "timeout": (504, "10008", "Gateway timeout"),
    "unauthenticated": (401, "10009", "Authentication failed"),
    "unauthorized": (403, "10010", "Authorization failed"),
    "too_many": (429, "10011", "Too many requests"),
    "bad_request": (400, "10015", "Bad Request"),
    "not_e164": (422, "10016", "Phone number must be in +E.164 format"),
    "no_credit": (402, "20100", "Insufficient funds"),
}

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_OWN_CODE: Final = re.compile(r"[0-9]{4,10}", re.ASCII)
_EXTENSION: Final = re.compile(r"[0-9A-D*#wW]{1,50}", re.ASCII)


def start(visit: Visit) -> Answer:
    """Start a verification of the kind that the path names."""
    visit.admit(visit.scheme("Bearer"))
    body = visit.json_object()
    kind = visit.path["kind"]
    if kind not in _CHANNELS:
        raise RefusedError("not_found")
    phone, profile = _phone(body.get("phone_number")), _profile(body.get("verify_profile_id"))
    life = _life(body.get("timeout_secs"))
    own = _matching(body, "custom_code", _OWN_CODE) if kind in _WITH_OWN_CODE else ""
    extension = _matching(body, "extension", _EXTENSION) if kind == "call" else ""
    visit.meet(phone)
    code, arrived = _deliver(visit, kind, phone, own)
    record = visit.network.codes.open(
        phone,
        provider=PROVIDER.name,
        channel=_CHANNELS[kind],
        code=code,
        ttl=timedelta(seconds=life),
        details={
            "uuid": _uuid(visit),
            "kind": kind,
            "profile": profile,
            "own": own,
            "extension": extension,
            "life": str(life),
        },
    )
    _report(visit, record, arrived=arrived)
    return Answer({"data": _verification(visit, record)})


def verify_by_number(visit: Visit) -> Answer:
    """Check the code of a number's newest verification under this profile."""
    visit.admit(visit.scheme("Bearer"))
    body = visit.json_object()
    phone, profile = _phone(visit.path["phone"]), _profile(body.get("verify_profile_id"))
    record = visit.network.codes.newest(PROVIDER.name, phone, profile=profile)
    return _check(visit, record, _required(body, "code"))


def verify_by_id(visit: Visit) -> Answer:
    """Check the code of a verification, or take over the client's own result."""
    visit.admit(visit.scheme("Bearer"))
    body = visit.json_object()
    record = visit.network.codes.newest(PROVIDER.name, uuid=visit.path["id"])
    status = body.get("status")
    if status is None:
        return _check(visit, record, _required(body, "code"))
    if status not in ("accepted", "rejected"):
        raise RefusedError("bad_request")
    visit.meet(record.phone if record else None)
    if record is None:
        raise RefusedError("not_found")
    if not record.details["own"]:
        raise RefusedError("bad_request")
    if record.is_open(visit.network.now()):
        visit.network.codes.update(record.id, state="verified" if status == "accepted" else "failed")
    return _checked(record, accepted=status == "accepted")


def status_by_id(visit: Visit) -> Answer:
    """Return a verification."""
    visit.admit(visit.scheme("Bearer"))
    record = visit.network.codes.newest(PROVIDER.name, uuid=visit.path["id"])
    visit.meet(record.phone if record else None)
    if record is None:
        raise RefusedError("not_found")
    return Answer({"data": _verification(visit, record)})


def list_by_number(visit: Visit) -> Answer:
    """Return the number's verifications, newest first."""
    visit.admit(visit.scheme("Bearer"))
    phone = _phone(visit.path["phone"])
    visit.meet(phone)
    found = [_verification(visit, record) for record in visit.network.codes.all(PROVIDER.name, phone)]
    meta = {"page_number": 1, "page_size": 20, "total_pages": 1, "total_results": len(found)}
    return Answer({"data": found, "meta": meta})


def balance(visit: Visit) -> Answer:
    """Return the balance of the account."""
    visit.admit(visit.scheme("Bearer"))
    visit.meet(None)
    amounts = {"balance": "50.00", "credit_limit": "0.00", "available_credit": "50.00", "pending": "0.00"}
    return Answer({"data": {"record_type": "balance", **amounts, "currency": "USD"}})


def _deliver(visit: Visit, kind: str, phone: str, own: str) -> tuple[str, bool]:
    """Send the code; return it, and whether it arrived."""
    if kind == "flashcall":
        code = visit.draw_digits(_LAST_DIGITS)
        return code, visit.place_call(phone, number=f"+1312555{code}", code=code).arrived
    code = own or visit.draw_digits(int(visit.variant("length")))
    text = f"Your code is {code}"
    if kind == "call":
        dispatch = visit.place_call(phone, number="+13125550100", code=code, spoken=text, language="en-US")
    else:
        dispatch = visit.send_message(phone, channel=_CHANNELS[kind], sender="Telnyx", text=text, code=code)
    return code, dispatch.arrived


def _check(visit: Visit, record: RemoteCode | None, given: str) -> Answer:
    visit.meet(record.phone if record else None)
    if record is None:
        raise RefusedError("not_found")
    accepted = False
    if record.state == "open":
        checked, record = visit.network.codes.check(record.id, given, most_wrong=_MOST_WRONG)
        accepted = checked == "right"
    return _checked(record, accepted=accepted)


def _checked(record: RemoteCode, *, accepted: bool) -> Answer:
    code = "accepted" if accepted else "rejected"
    return Answer({"data": {"phone_number": record.phone, "response_code": code}})


def _status(visit: Visit, record: RemoteCode) -> str:
    if (result := visit.variant("result")) != "actual":
        return result
    match record.state:
        case "verified":
            return "accepted"
        case "failed":
            return "invalid"
        case _:
            return "pending" if record.is_open(visit.network.now()) else "expired"


def _verification(visit: Visit, record: RemoteCode) -> dict[str, object]:
    details, moment = record.details, _moment(record.opened_at)
    return {
        "id": details["uuid"],
        "type": details["kind"],
        "record_type": "verification",
        "phone_number": record.phone,
        "verify_profile_id": details["profile"],
        "custom_code": details["own"] or None,
        "timeout_secs": int(details["life"]),
        "status": _status(visit, record),
        "created_at": moment,
        "updated_at": moment,
    }


def _report(visit: Visit, record: RemoteCode, *, arrived: bool) -> None:
    """Report that the code was sent, and whether it arrived."""
    url = visit.network.webhooks().get(PROVIDER.name)
    if url is None:
        return
    outcome = "delivered" if arrived else "failed"
    order = ("sent", outcome) if visit.variant("webhooks") == "in_order" else (outcome, "sent")
    for name in order:
        visit.report(_hook(visit, record, name, url))


def _hook(visit: Visit, record: RemoteCode, name: str, url: str) -> Hook:
    verification = _verification(visit, record)
    event = {
        "event_type": f"verify.{name}",
        "id": _uuid(visit),
        "occurred_at": visit.network.now().isoformat(timespec="milliseconds"),
        "record_type": "event",
        "payload": {
            **{key: value for key, value in verification.items() if key != "verify_profile_id"},
            "profile_id": verification["verify_profile_id"],
            "delivery_status": visit.variant("failure") if name == "failed" else name,
            "failed_attempts": record.wrong,
            "extension": record.details["extension"] or None,
            "mccmnc": None,
        },
    }
    body = {"data": event, "meta": {"attempt": 1, "delivered_to": url}}
    return Hook.with_json(url, body).signed_by(signed, _KEY)


def signed(hook: Hook, now: datetime, key: str) -> Hook:
    """Return a webhook with its signature. Without the package `cryptography`, which also a site
    needs to check one, the webhook stays unsigned.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        return hook
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(key.encode()).digest())
    timestamp = str(int(now.timestamp()))
    signature = private.sign(f"{timestamp}|".encode() + hook.body)
    return hook.with_headers(telnyx_signature_ed25519=b64encode(signature).decode(), telnyx_timestamp=timestamp)


def _phone(value: object) -> str:
    if value in (None, ""):
        raise RefusedError("missing_parameter")
    if not isinstance(value, str) or not value.startswith("+"):
        raise RefusedError("not_e164")
    if not _E164.fullmatch(value):
        raise RefusedError("invalid_number")
    return value


def _profile(value: object) -> str:
    if value in (None, ""):
        raise RefusedError("missing_parameter")
    try:
        profile = UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise RefusedError("bad_request") from None
    if profile == _NO_PROFILE:
        raise RefusedError("not_found")
    return str(profile)


def _life(value: object) -> int:
    if value is None:
        return _LIFE
    if type(value) is not int or not 0 < value <= 86_400:
        raise RefusedError("bad_request")
    return value


def _required(body: Mapping[str, object], name: str) -> str:
    value = body.get(name)
    if value in (None, ""):
        raise RefusedError("missing_parameter")
    if not isinstance(value, str):
        raise RefusedError("bad_request")
    return value


def _matching(body: Mapping[str, object], name: str, pattern: re.Pattern[str]) -> str:
    """Return an optional text."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RefusedError("bad_request")
    return value


def _uuid(visit: Visit) -> str:
    return str(UUID(int=visit.network.chance.getrandbits(128), version=4))


def _moment(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="microseconds")


def _refuse(visit: Visit, name: str) -> Answer:
    status, code, title = _ERRORS[name]
    if status == 422:
        status = int(visit.variant("invalid"))
    headers = {"Retry-After": "30"} if status == 429 and visit.variant("retry_after") == "present" else {}
    return Answer({"errors": [{"code": code, "title": title, "detail": f"{title}."}]}, status, headers=headers)


_BASE: Final = "/v2/verifications"

PROVIDER: Final = Provider(
    name="telnyx",
    title="Telnyx",
    routes=(
        Route("POST", f"{_BASE}/<kind>", start),
        Route("POST", f"{_BASE}/by_phone_number/<phone>/actions/verify", verify_by_number),
        Route("POST", f"{_BASE}/<id>/actions/verify", verify_by_id),
        Route("GET", f"{_BASE}/by_phone_number/<phone>", list_by_number),
        Route("GET", f"{_BASE}/<id>", status_by_id),
        Route("GET", "/v2/balance", balance),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="bad_request",
    credentials={
        MISSING: "unauthenticated",
        WRONG: "unauthenticated",
        EXPIRED: "unauthenticated",
        INACTIVE: "unauthorized",
        NO_CREDIT: "no_credit",
    },
    secrets=frozenset({"code", "custom_code"}),
    variants={
        "length": ("5", "4", "6"),
        "digits": ("random", "leading_zero"),
        "result": ("actual", "error"),
        "invalid": ("422", "400"),
        "failure": _FAILURES,
        "webhooks": ("in_order", "out_of_order"),
        "retry_after": ("absent", "present"),
    },
    webhook_in_cabinet=True,
    keys={"public_key": PUBLIC_KEY},
)
