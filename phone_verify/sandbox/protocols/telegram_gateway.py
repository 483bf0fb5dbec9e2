"""Telegram Gateway: a message in Telegram with a code that the client supplies, or that is generated
and checked here.

Responses are `{"ok": true, "result": …}` or `{"ok": false, "error": …}`. The status of a request is
also posted to its `callback_url`, signed with a key derived from the token. Two statuses are named
`expired`: that of the delivery (the message never arrived, and its price is refunded) and that of the
verification (the time for entering the code has passed).
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from phone_verify.sandbox.guard import local_site
from phone_verify.sandbox.network import Network
from phone_verify.sandbox.phones import Dispatch
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

_PRICE: Final = "0.01"
_BALANCE = 99.99
_CODE_LENGTHS: Final = range(4, 9)
_TTLS: Final = range(30, 3601)
_LONGEST_CALLBACK_URL = 256
_LONGEST_PAYLOAD = 128
_ID_LENGTH = 16
#: Neither is published: how many wrong codes end a request, and how long it lasts without `ttl`.
_MOST_WRONG = 5
_LIFE: Final = timedelta(hours=1)
#: Up to ten repetitions of a callback; their times are not published.
_REPEATED_AFTER: Final = tuple(2.0**n for n in range(10))

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_SENDER: Final = re.compile(r"@?[A-Za-z][A-Za-z0-9_]{3,31}", re.ASCII)

#: HTTP status of each error in the variant `4xx`. No list is published: the names below
#: `CODE_INVALID` are assumed, and `SOMETHING_NEW` represents unlisted ones.
_ERRORS: Final = {
    "ACCESS_TOKEN_INVALID": 401,
    "PHONE_NUMBER_NOT_AVAILABLE": 400,
    "PHONE_NUMBER_INVALID": 400,
    "PHONE_NUMBER_UNOCCUPIED": 400,
    "FLOOD_WAIT_30": 429,
    "BALANCE_NOT_ENOUGH": 402,
    "REQUEST_ID_INVALID": 400,
    "CODE_INVALID": 400,
    "CODE_LENGTH_INVALID": 400,
    "SENDER_USERNAME_INVALID": 400,
    "CALLBACK_URL_INVALID": 400,
    "PAYLOAD_INVALID": 400,
    "TTL_INVALID": 400,
    "BAD_REQUEST": 400,
    "SOMETHING_NEW": 400,
    "INTERNAL_ERROR": 500,
}

#: What is reported after a send, by variant.
_DELIVERIES: Final[Mapping[str, tuple[str, ...]]] = {
    "delivered": ("delivered",),
    "read": ("delivered", "read"),
    "sent": (),
}

_Fields = Mapping[str, object]


def check_send_ability(visit: Visit) -> Answer:
    """Return a request that makes one send to this number free; the check itself is billed."""
    fields = _admitted(visit)
    phone = _phone(visit, fields)
    return _ok(_status(visit, _opened(visit, phone, fields)))


def send_verification_message(visit: Visit) -> Answer:
    """Send a message with a code, supplied by the client or generated here."""
    fields = _admitted(visit)
    phone = _phone(visit, fields)
    code, sender, ttl = _code(visit, fields), _sender(fields), _ttl(fields)
    details = {"callback_url": _callback_url(fields), "payload": _payload(fields)}
    record = _checked_before(visit, phone, fields) or _opened(visit, phone, fields)
    dispatch = visit.send_message(phone, channel="telegram", sender=sender, text=f"Your code is {code}", code=code)
    visit.network.codes.resend(record.id, channel="telegram", code=code, ttl=ttl)
    record = visit.network.codes.update(record.id, state="open", details={**details, "dispatch": str(dispatch.id)})
    steps = _DELIVERIES[visit.variant("delivery")] if dispatch.arrived else ()
    for step in reversed(steps) if visit.variant("callbacks") == "reversed" else steps:
        _report(visit, record, step)
    _report_expiry(visit, record)
    return _ok(_status(visit, record, "sent", 0 if visit.variant("balance") == "zero" else _BALANCE))


def check_verification_status(visit: Visit) -> Answer:
    """Return the status of a request; with `code`, compare that first."""
    fields = _admitted(visit)
    record = _request(visit, fields)
    if fields.get("code") not in (None, ""):
        record = _judged(visit.network, record, fields["code"])
        _report(visit, record)
    return _ok(_status(visit, record))


def revoke_verification_message(visit: Visit) -> Answer:
    """Delete a message, unless it was read. The response does not tell whether that succeeded."""
    fields = _admitted(visit)
    record = _request(visit, fields)
    now = visit.network.now()
    if record.is_open(now) and visit.variant("revoke") == "works" and visit.variant("delivery") != "read":
        _delete(visit.network, record)
        details = {"revoked_at": str(_seconds(now))}
        _report(visit, visit.network.codes.update(record.id, state="cancelled", details=details))
    return _ok(True)


def sign(hook: Hook, now: datetime, token: str) -> Hook:
    """Return the callback with the headers of its signature."""
    timestamp = str(_seconds(now))
    key = hashlib.sha256(token.encode()).digest()
    signature = hmac.new(key, timestamp.encode() + b"\n" + hook.body, "sha256").hexdigest()
    return hook.with_headers(X_Request_Timestamp=timestamp, X_Request_Signature=signature)


def _admitted(visit: Visit) -> _Fields:
    """Read the parameters, and reject an invalid token."""
    fields = visit.fields()
    visit.admit(_token(visit, fields))
    return fields


def _token(visit: Visit, fields: _Fields) -> str:
    token = visit.scheme("Bearer") or fields.get("access_token")
    return token if isinstance(token, str) else MISSING


def _phone(visit: Visit, fields: _Fields) -> str:
    """Read the number, and apply its fault."""
    phone = fields.get("phone_number")
    if not isinstance(phone, str) or not _NUMBER.fullmatch(phone):
        raise RefusedError("PHONE_NUMBER_INVALID")
    visit.meet(phone)
    return phone


def _opened(visit: Visit, phone: str, fields: _Fields) -> RemoteCode:
    """Return a new request, whose price is charged."""
    return visit.network.codes.open(
        phone,
        provider=PROVIDER.name,
        channel="telegram",
        code="",
        ttl=_LIFE,
        details={
            "request_id": visit.draw_digits(_ID_LENGTH),
            "token": _token(visit, fields),
            "cost": "0" if visit.variant("price") == "free" else _PRICE,
        },
    )


def _request(visit: Visit, fields: _Fields) -> RemoteCode:
    """Return the request that a message was sent for, and apply the fault of its phone."""
    record = _found(visit, fields)
    visit.meet(record.phone if record else None)
    if record is None or "dispatch" not in record.details:
        raise RefusedError("REQUEST_ID_INVALID")
    return record


def _checked_before(visit: Visit, phone: str, fields: _Fields) -> RemoteCode | None:
    """Return the request of an earlier `checkSendAbility`, which is good for one send."""
    if fields.get("request_id") in (None, ""):
        return None
    record = _found(visit, fields)
    if record is None or record.phone != phone or "dispatch" in record.details:
        raise RefusedError("REQUEST_ID_INVALID")
    return record


def _found(visit: Visit, fields: _Fields) -> RemoteCode | None:
    request_id = fields.get("request_id")
    if not isinstance(request_id, str):
        return None
    return visit.network.codes.newest(PROVIDER.name, request_id=request_id)


def _judged(network: Network, record: RemoteCode, code: object) -> RemoteCode:
    """Compare a code, and return the request with the result. A right code can be checked again."""
    if not isinstance(code, str) or not _is_code(code):
        raise RefusedError("CODE_INVALID")
    checked, record = network.codes.check(record.id, code, most_wrong=_MOST_WRONG)
    now = network.now()
    if checked == "closed" and record.state == "verified":
        checked = "expired" if now >= record.expires_at else "right" if code == record.code else "wrong"
    statuses = {"right": "code_valid", "wrong": "code_invalid", "too_many": "code_max_attempts_exceeded"}
    if checked not in statuses:
        return record
    details = {"verification": statuses[checked], "verified_at": str(_seconds(now)), "code_entered": code}
    return network.codes.update(record.id, state=record.state, details=details)


def _delete(network: Network, record: RemoteCode) -> None:
    dispatch, handset = _dispatch(network, record), network.handset(record.phone)
    if dispatch is None or handset is None:
        return
    for message in handset.messages:
        if (message.provider, message.at, message.code) == (PROVIDER.name, dispatch.at, record.code):
            network.remove_item(record.phone, message.id)


def _report(visit: Visit, record: RemoteCode, reached: str = "") -> None:
    if record.details["callback_url"]:
        visit.report(_callback(visit.network, record, reached or visit.variant("delivery")))


def _report_expiry(visit: Visit, record: RemoteCode) -> None:
    """Report the end of the time, unless a right code or a revocation comes first."""
    network, reached = visit.network, visit.variant("delivery")

    def hook() -> Hook | None:
        kept = network.codes.find(PROVIDER.name, record.id)
        return _callback(network, kept, reached) if kept and kept.state in ("open", "failed") else None

    if record.details["callback_url"]:
        visit.report_later(record.expires_at - network.now(), hook)


def _callback(network: Network, record: RemoteCode, reached: str) -> Hook:
    """Return the status as it is posted: a bare object, without balance and refund."""
    hook = Hook.with_json(record.details["callback_url"], _progress(network, record, reached))
    return replace(hook.signed_by(sign, record.details["token"]), repeats=_REPEATED_AFTER)


def _status(visit: Visit, record: RemoteCode, reached: str = "", balance: float = _BALANCE) -> dict[str, object]:
    """Return the status as it is in a response."""
    status = _progress(visit.network, record, reached or visit.variant("delivery"))
    if visit.variant("fields") == "sparse":
        return {name: value for name, value in status.items() if name != "payload"}
    expired = _delivery(visit.network, record, reached)[:1] == ("expired",)
    return {**status, "is_refunded": expired and record.details["cost"] != "0", "remaining_balance": balance}


def _progress(network: Network, record: RemoteCode, reached: str) -> dict[str, object]:
    details = record.details
    status: dict[str, object] = {
        "request_id": details["request_id"],
        "phone_number": record.phone.removeprefix("+"),
        "request_cost": float(details["cost"]),
    }
    if delivery := _delivery(network, record, reached):
        status["delivery_status"] = {"status": delivery[0], "updated_at": delivery[1]}
    if verification := _verification(network, record):
        entered = {"code_entered": details["code_entered"]} if "code_entered" in details else {}
        status["verification_status"] = {"status": verification[0], "updated_at": verification[1], **entered}
    if details.get("payload"):
        status["payload"] = details["payload"]
    return status


def _delivery(network: Network, record: RemoteCode, reached: str) -> tuple[str, int] | tuple[()]:
    """Return how far the message came, and when; `reached` is the status of one that arrived."""
    dispatch = _dispatch(network, record)
    if dispatch is None:
        return ()
    if "revoked_at" in record.details:
        return "revoked", int(record.details["revoked_at"])
    if not dispatch.arrived and network.now() >= record.expires_at:
        return "expired", _seconds(record.expires_at)
    return reached if dispatch.arrived else "sent", _seconds(dispatch.at)


def _verification(network: Network, record: RemoteCode) -> tuple[str, int] | tuple[()]:
    details = record.details
    if "revoked_at" in details:
        return "expired", int(details["revoked_at"])
    if record.state == "open" and "dispatch" in details and network.now() >= record.expires_at:
        return "expired", _seconds(record.expires_at)
    return (details["verification"], int(details["verified_at"])) if "verification" in details else ()


def _dispatch(network: Network, record: RemoteCode) -> Dispatch | None:
    written = record.details.get("dispatch")
    return network.dispatch(int(written)) if written else None


def _code(visit: Visit, fields: _Fields) -> str:
    """Return the client's code; without one, generate one of `code_length` digits."""
    code = fields.get("code")
    if code not in (None, ""):
        if not isinstance(code, str) or not _is_code(code):
            raise RefusedError("CODE_INVALID")
        return code
    length = _whole(fields.get("code_length"))
    if length not in _CODE_LENGTHS:
        raise RefusedError("CODE_LENGTH_INVALID")
    return visit.draw_digits(length)


def _is_code(text: str) -> bool:
    return len(text) in _CODE_LENGTHS and text.isascii() and text.isdecimal()


def _sender(fields: _Fields) -> str:
    sender = fields.get("sender_username")
    if sender in (None, ""):
        return "Verification Codes"
    if not isinstance(sender, str) or not _SENDER.fullmatch(sender):
        raise RefusedError("SENDER_USERNAME_INVALID")
    return sender.removeprefix("@")


def _ttl(fields: _Fields) -> timedelta:
    if fields.get("ttl") in (None, ""):
        return _LIFE
    ttl = _whole(fields["ttl"])
    if ttl not in _TTLS:
        raise RefusedError("TTL_INVALID")
    return timedelta(seconds=ttl)


def _callback_url(fields: _Fields) -> str:
    """Return the URL for callbacks. Plain http is accepted on this machine only."""
    url = fields.get("callback_url")
    if url in (None, ""):
        return ""
    if not isinstance(url, str) or len(url.encode()) > _LONGEST_CALLBACK_URL:
        raise RefusedError("CALLBACK_URL_INVALID")
    if not url.startswith("https://") and local_site(url) is None:
        raise RefusedError("CALLBACK_URL_INVALID")
    return url


def _payload(fields: _Fields) -> str:
    payload = fields.get("payload")
    if payload is None:
        return ""
    if not isinstance(payload, str) or len(payload.encode()) > _LONGEST_PAYLOAD:
        raise RefusedError("PAYLOAD_INVALID")
    return payload


def _whole(value: object) -> int:
    """Read a whole number, also as the text that it is in a form; -1 if it is invalid."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 6:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _ok(result: object) -> Answer:
    return Answer({"ok": True, "result": result})


def _refuse(visit: Visit, name: str) -> Answer:
    status = _ERRORS[name] if name == "INTERNAL_ERROR" or visit.variant("errors") == "4xx" else 200
    return Answer({"ok": False, "error": name}, status)


PROVIDER: Final = Provider(
    name="telegram-gateway",
    title="Telegram Gateway",
    routes=tuple(
        Route(http_method, f"/{name}", handler)
        for name, handler in (
            ("checkSendAbility", check_send_ability),
            ("sendVerificationMessage", send_verification_message),
            ("checkVerificationStatus", check_verification_status),
            ("revokeVerificationMessage", revoke_verification_message),
        )
        for http_method in ("POST", "GET")
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="BAD_REQUEST",
    credentials={
        MISSING: "ACCESS_TOKEN_INVALID",
        WRONG: "ACCESS_TOKEN_INVALID",
        EXPIRED: "ACCESS_TOKEN_INVALID",
        INACTIVE: "ACCESS_TOKEN_INVALID",
        NO_CREDIT: "BALANCE_NOT_ENOUGH",
    },
    secrets=frozenset({"access_token", "callback_url", "code_entered"}),
    variants={
        "errors": ("200", "4xx"),
        "fields": ("full", "sparse"),
        "delivery": ("delivered", "read", "sent"),
        "callbacks": ("in_order", "reversed"),
        "balance": ("told", "zero"),
        "price": ("charged", "free"),
        "revoke": ("works", "ignored"),
        "digits": ("random", "leading_zero"),
    },
)
