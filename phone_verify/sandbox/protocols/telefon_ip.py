"""Telefon-IP: the user calls a line, or a code comes by flash call, SMS or Telegram.

The token is a segment of the path. Numbers are written `8` + 10 digits, lines `7` + 10 digits. A
line waits for its caller for 120 seconds.
"""

import csv
import io
from collections.abc import Iterable
from datetime import date, timedelta, timezone
from typing import Final

import segno

from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.numbers import RUSSIA
from phone_verify.sandbox.phones import Dispatch, Wait
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
from phone_verify.sandbox.webhooks import Hook

LIFE: Final = timedelta(seconds=120)
_FIRST_ID = 120_000
_PICTURE_OFFSET = 1
_CODE_LENGTH = 4
_PRICE = 0.2
_DAILY_LIMIT = 3
_MOST_BILLING_RECORDS = 100
_HIDDEN = "anonymous"
_STRANGER = "+79000000013"

#: The provider's clock: its times carry no zone.
_MOSCOW_TIME: Final = timezone(timedelta(hours=3))

#: HTTP status and `error` of each error. Only `unknown_id` is published; a bad token is recognised
#: by the word "token".
_ERRORS: Final = {
    "bad_token": (401, "token is not valid"),
    "expired_token": (401, "token has expired"),
    "inactive_token": (401, "token is switched off"),
    "no_money": (400, "not enough money on the balance"),
    "bad_phone": (400, "phone is not valid"),
    "bad_request": (400, "a parameter is missing or not valid"),
    "daily_limit": (400, "daily limit for this phone is reached"),
    "unknown_id": (400, "id record not found"),
    "server_error": (500, "internal error"),
    "error_with_200": (200, "service is not available"),
}


def reverse_auth_phone_get(visit: Visit) -> Answer:
    """Return a line for the user to call; the outcome is polled."""
    visit.admit(visit.path["token"])
    return _start(visit, visit.request.args.get("phone"), webhook=None)


def reverse_auth_phone_post(visit: Visit) -> Answer:
    """Return a line for the user to call; the outcome is also sent to a webhook."""
    visit.admit(visit.path["token"])
    fields = visit.fields()
    webhook = fields.get("webhook")
    if not isinstance(webhook, str) or not webhook.startswith(("http://", "https://")):
        raise RefusedError("bad_request")
    return _start(visit, fields.get("phone"), webhook)


def reverse_auth_phone_check(visit: Visit) -> Answer:
    """Return the caller for this id."""
    visit.admit(visit.path["token"])
    wait = visit.network.wait(_inner_id(visit.path["id"]))
    visit.meet(wait.phone if wait else None)
    if wait is None or wait.provider != PROVIDER.name:
        raise RefusedError("unknown_id")
    caller, shown_id = wait.caller, _outer_id(wait.id)
    check = visit.variant("check")
    if check == "wrong_caller":
        caller = visit.fault.foreign_caller or _STRANGER
    called = caller is not None
    over = not wait.is_open(visit.network.now()) and not wait.confirmed
    if called and not over:
        reached: dict[str, object] = {"id": shown_id, "phone": _caller(caller)}
        return _ok(reached if check == "bare" else {**reached, "status": "ok"})
    match check:
        case "not_found":
            raise RefusedError("unknown_id")
        case "bare":
            return _ok({"id": shown_id, "phone": ""})
        case "unsuccessful":
            return _error(200, "timeout" if over else "call not received")
        case _:
            return _ok({"id": shown_id, "status": "expired" if over else "pending"})


def get_code(visit: Visit) -> Answer:
    """Ring the phone, the code in the calling number; with `sms=true` send a text if the call
    fails.
    """
    visit.admit(visit.path["token"])
    phone = _phone(visit, visit.path["phone"])
    _keep_daily_limit(visit, phone)
    code = visit.draw_digits(_CODE_LENGTH)
    reachable = visit.variant("call") == "reachable"
    if not reachable and visit.request.args.get("sms", "").lower() == "true":
        dispatch = _send_code(visit, phone, code)
    else:
        dispatch = visit.place_call(phone, number=f"+7999100{code}", code=code, reachable=reachable)
    return _ok(_receipt(dispatch))


def get_sms_code(visit: Visit) -> Answer:
    """Send a code by SMS: the client's, of at most four characters, or one generated here."""
    visit.admit(visit.path["token"])
    phone = _phone(visit, visit.path["phone"])
    return _ok(_receipt(_send_code(visit, phone, _own_code(visit, range(1, _CODE_LENGTH + 1)))))


def get_tg_code(visit: Visit) -> Answer:
    """Send a code by Telegram: the client's, of four characters, or one generated here."""
    visit.admit(visit.path["token"])
    phone = _phone(visit, visit.path["phone"])
    code = _own_code(visit, range(_CODE_LENGTH, _CODE_LENGTH + 1))
    has_account = visit.variant("telegram") == "known"
    dispatch = visit.send_message(
        phone,
        channel="telegram",
        sender="Telefon-IP",
        text=f"Your code is {code}",
        code=code,
        reachable=has_account,
    )
    return _ok(
        {
            **_receipt(dispatch),
            "operator_name": "Operator",
            "channel": "telegram",
            "status": has_account,
            "status_info": "Ok" if has_account else "no telegram account",
        }
    )


def get_qr_image(visit: Visit) -> Answer:
    """Return the picture of a line: a QR code that a phone's camera offers to call."""
    wait = visit.network.wait(_inner_id(visit.path["id"]) - _PICTURE_OFFSET)
    visit.meet(wait.phone if wait else None)
    if wait is None or wait.provider != PROVIDER.name:
        raise RefusedError("unknown_id")
    file = io.BytesIO()
    segno.make(f"tel:{wait.line}", error="m", micro=False).save(file, kind="svg", scale=8, light="#fff")
    return Answer(file.getvalue().decode(), content_type="image/svg+xml")


def get_status(visit: Visit) -> Answer:
    """Return whether the order with this id was delivered."""
    visit.admit(visit.path["token"])
    dispatch = visit.network.dispatch(_inner_id(visit.path["id"]))
    visit.meet(dispatch.phone if dispatch else None)
    if dispatch is None or dispatch.provider != PROVIDER.name:
        raise RefusedError("unknown_id")
    return _ok(
        {
            "id": _outer_id(dispatch.id),
            "created_at": _moment(dispatch),
            "phone": RUSSIA.with_trunk(dispatch.phone),
            "status": dispatch.arrived if visit.variant("status") == "boolean" else int(dispatch.arrived),
            "status_info": _status_info(dispatch),
            "price": _PRICE,
        }
    )


def get_balance(visit: Visit) -> Answer:
    """Return the balance."""
    visit.admit(visit.path["token"])
    visit.meet(None)
    match visit.variant("balance"):
        case "string":
            return _ok({"balance": "5.0", "price": "0.2", "balance_limit": "0.0"})
        case "short":
            return _ok({"balance": 5.0})
        case _:
            return _ok({"balance": 5.0, "price": _PRICE, "balance_limit": 0.0})


def get_billing_record(visit: Visit) -> Answer:
    """Return the newest dispatches, at most a hundred."""
    visit.admit(visit.path["token"])
    visit.meet(None)
    count = visit.path["count"]
    if not _is_number(count) or not 1 <= int(count) <= _MOST_BILLING_RECORDS:
        raise RefusedError("bad_request")
    return _ok(_billing(visit.network.dispatches(PROVIDER.name)[: int(count)]))


def post_billing_data(visit: Visit) -> Answer:
    """Return the dispatches of a range of days, the last one included."""
    visit.admit(visit.path["token"])
    visit.meet(None)
    body = visit.json_object()
    first, last = _day(body.get("start_date")), _day(body.get("end_date"))
    kept = visit.network.dispatches(PROVIDER.name)
    return _ok(_billing(item for item in kept if first <= item.at.astimezone(_MOSCOW_TIME).date() <= last))


def get_billing_csv(visit: Visit) -> Answer:
    """Return the dispatches since a day as a CSV file."""
    visit.admit(visit.path["token"])
    visit.meet(None)
    first = _day(visit.path["first"])
    kept = visit.network.dispatches(PROVIDER.name)
    rows = _billing(item for item in kept if item.at.astimezone(_MOSCOW_TIME).date() >= first)
    file = io.StringIO()
    writer = csv.DictWriter(file, ["created_at", "phone", "code_auth", "status", "status_info", "price"])
    writer.writeheader()
    writer.writerows(rows)
    return Answer(file.getvalue(), content_type="text/csv; charset=utf-8")


def _start(visit: Visit, written: object, webhook: str | None) -> Answer:
    phone = _phone(visit, written)
    wait = visit.open_wait(phone, ttl=LIFE, webhook=webhook)
    shown_id = _outer_id(wait.id)
    data: dict[str, object] = {
        "auth_phone": wait.line.removeprefix("+"),
        "id": str(shown_id) if visit.variant("id") == "string" else shown_id,
    }
    # In the published sample the picture has a different id, the link is an HTML anchor with
    # another number, and the comma between the two is missing. A careful client uses `auth_phone`
    # and ignores these.
    image = f"{visit.request.host_url}api/v1/authcalls/get_qr_image/{shown_id + _PICTURE_OFFSET}/"
    link = "<a href='tel:89990000099'>Call to sign in</a>"
    match visit.variant("links"):
        case "absent":
            return _ok(data)
        case "null":
            return _ok({**data, "url_image": None, "url_link": None})
        case "no_comma":
            whole = _ok({**data, "url_image": image, "url_link": link}).text
            return Answer(whole.replace(', "url_link"', ' "url_link"'))
        case _:
            return _ok({**data, "url_image": image, "url_link": link})


def _send_code(visit: Visit, phone: str, code: str) -> Dispatch:
    return visit.send_message(phone, channel="sms", sender="Telefon-IP", text=f"Your code is {code}", code=code)


def _phone(visit: Visit, written: object) -> str:
    """Read the phone and apply its fault."""
    phone = RUSSIA.to_e164(written) if isinstance(written, str) else None
    if phone is None:
        raise RefusedError("bad_phone")
    visit.meet(phone)
    return phone


def _own_code(visit: Visit, lengths: range) -> str:
    code = visit.request.args.get("code")
    if code is None:
        return visit.draw_digits(_CODE_LENGTH)
    if len(code) not in lengths or not code.isascii() or not code.isalnum():
        raise RefusedError("bad_request")
    return code


def _keep_daily_limit(visit: Visit, phone: str) -> None:
    if visit.variant("daily_limit") == "off":
        return
    since = visit.network.now() - timedelta(days=1)
    calls = [
        item
        for item in visit.network.dispatches(PROVIDER.name)
        if item.phone == phone and item.channel == "flash_call" and item.at > since
    ]
    if len(calls) >= _DAILY_LIMIT:
        raise RefusedError("daily_limit")


def _receipt(dispatch: Dispatch) -> dict[str, object]:
    return {
        "phone": RUSSIA.with_trunk(dispatch.phone),
        "code": dispatch.code,
        "id": _outer_id(dispatch.id),
    }


def _billing(dispatches: Iterable[Dispatch]) -> list[dict[str, object]]:
    return [
        {
            "created_at": _moment(dispatch),
            "phone": RUSSIA.with_trunk(dispatch.phone),
            "code_auth": dispatch.code,
            "status": dispatch.arrived,
            "status_info": _status_info(dispatch),
            "price": _PRICE,
        }
        for dispatch in dispatches
    ]


def _moment(dispatch: Dispatch) -> str:
    return dispatch.at.astimezone(_MOSCOW_TIME).replace(tzinfo=None).isoformat(timespec="seconds")


def _status_info(dispatch: Dispatch) -> str:
    if dispatch.channel != "flash_call":
        return "Ok" if dispatch.arrived else "not delivered"
    return "Ok: SIP 200 OK" if dispatch.arrived else "Error: SIP 480 Temporarily Unavailable"


def _day(value: object) -> date:
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError as error:
        raise RefusedError("bad_request") from error


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 12


def _outer_id(inner: int) -> int:
    return _FIRST_ID + inner


def _inner_id(text: str) -> int:
    """Convert an id to the network's; -1, which matches nothing, if the text is invalid."""
    return int(text) - _FIRST_ID if _is_number(text) else -1


def _caller(caller: str | None) -> str:
    return RUSSIA.with_trunk(caller) if caller else _HIDDEN


def _hook(wait: Wait, fault: Fault) -> Hook | None:
    if wait.webhook is None:
        return None
    fields = {"success": "True", "phone": _caller(wait.caller), "id": _outer_id(wait.id)}
    return Hook.with_query(wait.webhook, fields)


def _ok(data: object) -> Answer:
    return Answer({"success": True, "error": "", "data": data})


def _error(status: int, text: str) -> Answer:
    return Answer({"success": False, "error": text, "data": {}}, status)


def _refuse(visit: Visit, name: str) -> Answer:
    return _error(*_ERRORS[name])


_BASE = "/api/v1/authcalls/<token>"

PROVIDER: Final = Provider(
    name="telefon-ip",
    title="Telefon-IP",
    routes=(
        Route("GET", f"{_BASE}/reverse_auth_phone_get", reverse_auth_phone_get),
        Route("POST", f"{_BASE}/reverse_auth_phone_post", reverse_auth_phone_post),
        Route("GET", f"{_BASE}/reverse_auth_phone_check/<id>", reverse_auth_phone_check),
        Route("GET", f"{_BASE}/get_code/<phone>/", get_code),
        Route("GET", f"{_BASE}/get_sms_code/<phone>/", get_sms_code),
        Route("GET", f"{_BASE}/get_tg_code/<phone>/", get_tg_code),
        Route("GET", "/api/v1/authcalls/get_qr_image/<id>/", get_qr_image),
        Route("GET", f"{_BASE}/get_status/<id>/", get_status),
        Route("GET", f"{_BASE}/get_balance/", get_balance),
        Route("GET", f"{_BASE}/get_billing_record/<count>/", get_billing_record),
        Route("GET", f"{_BASE}/get_billing_csv/<first>/", get_billing_csv),
        Route("POST", f"{_BASE}/post_billing_data/", post_billing_data),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="bad_request",
    credentials={
        MISSING: "bad_token",
        WRONG: "bad_token",
        EXPIRED: "expired_token",
        INACTIVE: "inactive_token",
        NO_CREDIT: "no_money",
    },
    secrets=frozenset({"token"}),
    variants={
        "check": ("status", "not_found", "bare", "wrong_caller", "unsuccessful"),
        "links": ("full", "absent", "null", "no_comma"),
        "id": ("number", "string"),
        "line": ("fresh", "same"),
        "call": ("reachable", "unreachable"),
        "telegram": ("known", "unknown"),
        "status": ("number", "boolean"),
        "balance": ("number", "string", "short"),
        "daily_limit": ("off", "on"),
        "digits": ("random", "leading_zero"),
    },
    lines=tuple(f"+7999000{number:04}" for number in range(1, 51)),
    hook=_hook,
)
