"""SMS.ru: a text with the client's code, a flash call whose code the provider returns, and a number
for the user to call.

With `json=1` responses are JSON with a `status_code`, of the request and again of each message:
a request that succeeded can contain a message that failed. Statuses are posted to the URL in the
account as `data[0]`, `data[1]` and so on, with a hash over them, until the site responds with `100`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.guard import local_site
from phone_verify.sandbox.network import Network
from phone_verify.sandbox.numbers import RUSSIA, code_in
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
from phone_verify.sandbox.webhooks import Hook, sha256_hex

#: How long a user has for the call.
LIFE: Final = timedelta(minutes=5)
_CODE_LENGTH = 4
_BALANCE = 4122.56
_SMS_COST, _CALL_COST = "3.50", 0.4
_MOST_NUMBERS = 100
_TTLS: Final = range(1, 1441)
#: Eight parts, of one encoding or the other.
_LONGEST_ASCII, _LONGEST_TEXT = 8 * 153, 8 * 67
#: Repetitions of a callback. The provider's go on for days.
_REPEATED_AFTER: Final = tuple(2.0**n for n in range(12))

#: The provider's clock: its times carry no zone.
_MOSCOW: Final = timezone(timedelta(hours=3))

_KEYED: Final = re.compile(r"(?:multi|to)\[(?P<number>[^\]]*)\]", re.ASCII)
_ID: Final = re.compile(r"[0-9]{6}-(?P<number>[0-9]{1,12})", re.ASCII)

#: The texts are not published.
_TEXTS: Final = {
    "100": "accepted",
    "101": "being passed to the operator",
    "102": "sent",
    "103": "delivered",
    "104": "not delivered in time",
    "105": "removed by the operator",
    "106": "the handset failed",
    "107": "not delivered, reason unknown",
    "108": "rejected",
    "150": "no route to this number",
    "200": "wrong api_id",
    "201": "not enough money",
    "202": "wrong recipient",
    "203": "no text",
    "204": "the sender is not approved",
    "205": "the text is too long",
    "206": "the daily limit is reached",
    "207": "no route to this number",
    "208": "wrong time",
    "209": "the number is in your stop-list",
    "210": "use POST",
    "211": "method not found",
    "212": "the text is not UTF-8",
    "213": "more than 100 numbers",
    "220": "the service is not available, try later",
    "230": "daily limit of messages to this number",
    "231": "limit of equal messages to this number in a minute",
    "232": "limit of equal messages to this number in a day",
    "233": "limit of codes to this number",
    "300": "wrong token",
    "301": "wrong login or password",
    "302": "the account is not confirmed",
    "303": "wrong confirmation code",
    "304": "too many confirmation codes",
    "305": "too many wrong codes",
    "500": "server error",
    "901": "wrong URL of the callback",
    "902": "callback not found",
    "-1": "message not found",
}
#: Statuses of messages, which are not errors of a request.
_NO_ERRORS: Final = ("100", "101", "102", "103")
#: Errors that concern one number, so that the request itself succeeds.
_OF_A_NUMBER: Final = frozenset(
    {"104", "105", "106", "107", "108", "150", "202", "203", "204", "205", "207", "209", "230", "231", "232", "233"}
)

_Fields = Mapping[str, object]


def send(visit: Visit) -> Answer:
    """Send texts. With `test=1` nothing is sent."""
    # First, because reading the form consumes the body.
    readable = _is_utf_8(visit.request.query_string + visit.request.get_data())
    fields = _admitted(visit)
    if not readable:
        raise RefusedError("212")
    texts = _texts(fields)
    _require_options(fields)
    sent = {number: _sent(visit, fields, number, text) for number, text in texts}
    ids = [str(message.get("sms_id", message["status_code"])) for message in sent.values()]
    return _ok(visit, {"balance": _BALANCE, "sms": sent}, *ids, f"balance={_BALANCE}")


def sms_status(visit: Visit) -> Answer:
    """Return the statuses of messages."""
    fields = _admitted(visit)
    ids = [written for written in _text(fields, "sms_id").split(",") if written][:_MOST_NUMBERS]
    dispatches = {written: _dispatch(visit.network, written) for written in ids}
    visit.meet(next((dispatch.phone for dispatch in dispatches.values() if dispatch), None))
    if not ids:
        raise RefusedError("-1")
    statuses = {written: _message_status(visit, dispatch) for written, dispatch in dispatches.items()}
    first = statuses[ids[0]]
    if visit.variant("status") == "flat":
        return _ok(visit, {**first, "balance": _BALANCE}, str(first["status_code"]))
    return _ok(visit, {"balance": _BALANCE, "sms": statuses}, str(first["status_code"]))


def call(visit: Visit) -> Answer:
    """Ring the phone; the end of the calling number is the code. The response is always JSON."""
    fields = _admitted(visit)
    phone = _phone(visit, fields.get("phone"))
    code = visit.draw_digits(_CODE_LENGTH)
    dispatch = visit.place_call(phone, number=f"+7999400{code}", code=code)
    return Answer(
        {
            "status": "OK",
            "code": int(code) if visit.variant("code") == "number" else code,
            "call_id": _outer_id(dispatch.at, dispatch.id),
            "cost": _CALL_COST,
            "balance": _BALANCE,
        }
    )


def callcheck_add(visit: Visit) -> Answer:
    """Return a number for the user to call within five minutes."""
    fields = _admitted(visit)
    phone = _phone(visit, fields.get("phone"))
    url = visit.network.webhooks().get(PROVIDER.name)
    wait = visit.open_wait(phone, ttl=LIFE, webhook=url, webhook_key=_key(fields))
    network = visit.network

    def expiry() -> Hook | None:
        kept = network.wait(wait.id)
        return _call_hook(kept, "402", kept.expires_at) if kept and not kept.confirmed else None

    visit.report_later(LIFE, expiry)
    line = wait.line.removeprefix("+")
    pretty = f"+{line[0]} ({line[1:4]}) {line[4:7]}-{line[7:]}"
    check_id = _outer_id(wait.opened_at, wait.id)
    return _ok(
        visit,
        {
            "check_id": check_id,
            "call_phone": line,
            "call_phone_pretty": pretty,
            "call_phone_html": f'<a href="callto:{line}">{pretty}</a>',
        },
        check_id,
        line,
    )


def callcheck_status(visit: Visit) -> Answer:
    """Return whether the call has come. An unknown `check_id` has expired."""
    fields = _admitted(visit)
    wait = visit.network.wait(_inner_id(_text(fields, "check_id")))
    wait = wait if wait and wait.provider == PROVIDER.name else None
    visit.meet(wait.phone if wait else None)
    if wait and wait.confirmed:
        status, text = "401", "number confirmed"
    elif wait and wait.is_open(visit.network.now()):
        status, text = "400", "number not confirmed yet"
    else:
        status, text = "402", "time is over, or wrong check_id"
    shown: object = int(status) if visit.variant("check_status") == "number" else status
    return _ok(visit, {"check_status": shown, "check_status_text": text}, status)


def balance(visit: Visit) -> Answer:
    """Return the balance."""
    _admit_account(visit)
    amount: object = str(_BALANCE) if visit.variant("balance") == "string" else _BALANCE
    return _ok(visit, {"balance": amount}, _BALANCE)


def limit(visit: Visit) -> Answer:
    """Return the daily limit of messages."""
    _admit_account(visit)
    return _ok(visit, {"total_limit": 1000, "used_today": 0}, 1000, 0)


def free(visit: Visit) -> Answer:
    """Return the daily free messages."""
    _admit_account(visit)
    return _ok(visit, {"total_free": 5, "used_today": 0}, 5, 0)


def senders(visit: Visit) -> Answer:
    """Return the approved senders."""
    _admit_account(visit)
    return _ok(visit, {"senders": ["SANDBOX"]}, "SANDBOX")


def auth_check(visit: Visit) -> Answer:
    """Return whether the credentials are valid."""
    _admit_account(visit)
    return _ok(visit, {})


def callback_get(visit: Visit) -> Answer:
    """Return the URLs for callbacks."""
    _admit_account(visit)
    return _callbacks(visit)


def callback_add(visit: Visit) -> Answer:
    """Set the URL for callbacks, and send a test to it."""
    fields = _admit_account(visit)
    local = local_site(_text(fields, "url"))
    if local is None:
        raise RefusedError("901")
    visit.network.set_webhook(PROVIDER.name, local[1])
    visit.report(_hook(local[1], ["test"], _key(fields)))
    return _callbacks(visit)


def callback_del(visit: Visit) -> Answer:
    """Remove the URL for callbacks."""
    fields = _admit_account(visit)
    if not _text(fields, "url") or visit.network.webhooks().get(PROVIDER.name) != _text(fields, "url"):
        raise RefusedError("902")
    visit.network.set_webhook(PROVIDER.name, None)
    return _callbacks(visit)


def sign(hook: Hook, now: datetime, api_id: str) -> Hook:
    """Return the callback with the hash of its entries."""
    entries = [value for _, value in parse_qsl(hook.body.decode(), keep_blank_values=True)]
    digest = sha256_hex("".join([api_id, *entries]).encode())
    return replace(hook, body=hook.body + f"&hash={digest}".encode())


def _sent(visit: Visit, fields: _Fields, number: str, text: str) -> dict[str, object]:
    """Send one message, and return its entry in the response."""
    try:
        phone = _phone(visit, number, refusal="207")
        _require_text(text)
        sender = _text(fields, "from")
        if sender and visit.variant("sender") == "unapproved":
            raise RefusedError("204")
    except RefusedError as refusal:
        if visit.variant("level") == "outer" or refusal.name not in _OF_A_NUMBER:
            raise
        return {"status": "ERROR", "status_code": int(refusal.name), "status_text": _TEXTS[refusal.name]}
    if _text(fields, "test") == "1":
        return {"status": "OK", "status_code": 100, "sms_id": _outer_id(visit.network.now(), 0), "cost": "0.00"}
    dispatch = visit.send_message(phone, channel="sms", sender=sender or "SANDBOX", text=text, code=code_in(text))
    sms_id = _outer_id(dispatch.at, dispatch.id)
    _report_delivery(visit, fields, dispatch, sms_id)
    return {"status": "OK", "status_code": 100, "sms_id": sms_id, "cost": _SMS_COST}


def _report_delivery(visit: Visit, fields: _Fields, dispatch: Dispatch, sms_id: str) -> None:
    url = visit.network.webhooks().get(PROVIDER.name)
    if url is None:
        return
    entry = _entry("sms_status", sms_id, _delivery(visit, dispatch), dispatch.at)
    # An older message's entry comes first in a batch.
    other = [_entry("sms_status", "000000-1", "103", dispatch.at)] if visit.variant("callback") == "batch" else []
    visit.report(_hook(url, [*other, entry], _key(fields)))


def _message_status(visit: Visit, dispatch: Dispatch | None) -> dict[str, object]:
    if dispatch is None:
        return {"status": "ERROR", "status_code": -1, "status_text": _TEXTS["-1"]}
    code = _delivery(visit, dispatch)
    moment = dispatch.at.astimezone(_MOSCOW).strftime("%Y-%m-%d %H:%M:%S")
    return {
        "status": "OK",
        "status_code": int(code),
        "status_text": _TEXTS[code],
        "cost": _SMS_COST,
        "send_time": moment,
        "status_time": moment,
    }


def _delivery(visit: Visit, dispatch: Dispatch) -> str:
    return visit.variant("delivered" if dispatch.arrived else "lost")


def _entry(kind: str, id: str, status: str, at: datetime) -> str:
    return f"{kind}\n{id}\n{status}\n{int(at.timestamp())}"


def _hook(url: str, entries: Sequence[str], api_id: str) -> Hook:
    form = Hook.with_form(url, {f"data[{n}]": entry for n, entry in enumerate(entries)})
    return replace(form.signed_by(sign, api_id), repeats=_REPEATED_AFTER, acknowledgement=b"100")


def _call_hook(wait: Wait, status: str, at: datetime) -> Hook | None:
    if wait.webhook is None:
        return None
    entry = _entry("callcheck_status", _outer_id(wait.opened_at, wait.id), status, at)
    return _hook(wait.webhook, [entry], wait.webhook_key)


def _hook_of_call(wait: Wait, fault: Fault) -> Hook | None:
    """Report a call of the expected phone; others confirm nothing. The time is that of the start."""
    return _call_hook(wait, "401", wait.opened_at) if wait.confirmed else None


def _admitted(visit: Visit) -> _Fields:
    """Read the parameters, and reject invalid credentials: `api_id`, or login and password."""
    fields = visit.fields()
    if "login" in fields or "password" in fields:
        for name in ("login", "password"):
            if _text(fields, name) in (MISSING, WRONG):
                raise RefusedError("301")
            visit.admit(fields[name])
    else:
        visit.admit(fields.get("api_id"))
    return fields


def _key(fields: _Fields) -> str:
    """Return the key of the callbacks' hash; accounts used by login share one."""
    return _text(fields, "api_id") or "SANDBOX"


def _texts(fields: _Fields) -> list[tuple[str, str]]:
    """Return numbers and texts, from `to` and `msg` or from a text for each number."""
    keyed = [(match["number"], str(fields[name])) for name in fields if (match := _KEYED.fullmatch(name))]
    texts = keyed or [(number.strip(), _text(fields, "msg")) for number in _text(fields, "to").split(",")]
    if len(texts) > _MOST_NUMBERS:
        raise RefusedError("213")
    return texts


def _is_utf_8(quoted: bytes) -> bool:
    try:
        unquote_to_bytes(quoted).decode()
    except UnicodeDecodeError:
        return False
    return True


def _require_text(text: str) -> None:
    if not text:
        raise RefusedError("203")
    if len(text) > (_LONGEST_ASCII if text.isascii() else _LONGEST_TEXT):
        raise RefusedError("205")


def _require_options(fields: _Fields) -> None:
    for name, allowed in (("ttl", _TTLS), ("time", range(2**33))):
        if (text := _text(fields, name)) and not (text.isascii() and text.isdecimal() and int(text[:12]) in allowed):
            raise RefusedError("208")


def _phone(visit: Visit, written: object, refusal: str = "202") -> str:
    """Read a number, in digits alone, and apply its fault."""
    text = str(written) if isinstance(written, str | int) else ""
    phone = RUSSIA.to_e164(text) if text.isascii() and text.isdecimal() else None
    if phone is None:
        raise RefusedError(refusal)
    visit.meet(phone)
    return phone


def _text(fields: _Fields, name: str) -> str:
    value = fields.get(name, "")
    return str(value) if isinstance(value, str | int) else ""


def _admit_account(visit: Visit) -> _Fields:
    fields = _admitted(visit)
    visit.meet(None)
    return fields


def _callbacks(visit: Visit) -> Answer:
    urls = [url for name, url in visit.network.webhooks().items() if name == PROVIDER.name]
    return _ok(visit, {"callback": urls}, *urls)


def _dispatch(network: Network, written: str) -> Dispatch | None:
    dispatch = network.dispatch(_inner_id(written))
    return dispatch if dispatch and (dispatch.provider, dispatch.channel) == (PROVIDER.name, "sms") else None


def _outer_id(at: datetime, inner: int) -> str:
    """Return an id as the provider writes it: year, week, and a number."""
    year, week, _ = at.isocalendar()
    return f"{year}{week:02}-{inner}"


def _inner_id(written: str) -> int:
    match = _ID.fullmatch(written)
    return int(match["number"]) if match else -1


def _ok(visit: Visit, body: Mapping[str, object], *lines: object) -> Answer:
    """Return the body as JSON, or the lines of text that represent it."""
    if _is_json(visit):
        return Answer({"status": "OK", "status_code": 100, **body})
    return Answer("\n".join(["100", *map(str, lines)]), content_type="text/plain; charset=utf-8")


def _refuse(visit: Visit, name: str) -> Answer:
    status = 500 if name == "500" and visit.variant("server_error") == "500" else 200
    if not _is_json(visit):
        return Answer(name, status, "text/plain; charset=utf-8")
    return Answer({"status": "ERROR", "status_code": int(name), "status_text": _TEXTS[name]}, status)


def _is_json(visit: Visit) -> bool:
    return visit.params.get("json") in ("1", 1) or visit.request.path.rstrip("/").endswith("/code/call")


PROVIDER: Final = Provider(
    name="sms-ru",
    title="SMS.ru",
    routes=tuple(
        Route(method, path, handler)
        for path, handler in {
            "/sms/send": send,
            "/sms/status": sms_status,
            "/code/call": call,
            "/callcheck/add": callcheck_add,
            "/callcheck/status": callcheck_status,
            "/my/balance": balance,
            "/my/limit": limit,
            "/my/free": free,
            "/my/senders": senders,
            "/auth/check": auth_check,
            "/callback/get": callback_get,
            "/callback/add": callback_add,
            "/callback/del": callback_del,
        }.items()
        for method in ("POST", "GET")
    ),
    refusals=tuple(code for code in _TEXTS if code not in _NO_ERRORS),
    refuse=_refuse,
    unreadable="211",
    credentials={
        MISSING: "200",
        WRONG: "200",
        EXPIRED: "300",
        INACTIVE: "302",
        NO_CREDIT: "201",
    },
    secrets=frozenset({"api_id", "login", "password", "url", "callback"}),
    variants={
        "code": ("string", "number"),
        "check_status": ("string", "number"),
        "level": ("number", "outer"),
        "sender": ("approved", "unapproved"),
        "delivered": ("103", "102", "101", "100"),
        "lost": ("104", "105", "106", "107", "108", "150"),
        "status": ("nested", "flat"),
        "balance": ("number", "string"),
        "callback": ("single", "batch"),
        "server_error": ("200", "500"),
        "line": ("fresh", "same"),
        "digits": ("random", "leading_zero"),
    },
    lines=tuple(f"+7800500{number:04}" for number in range(1, 51)),
    hook=_hook_of_call,
    webhook_in_cabinet=True,
)
