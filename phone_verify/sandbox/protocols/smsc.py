"""SMSC: texts, voice calls, calls whose number ends in the code, and calls to a line.

One script sends everything: `call=1` speaks the text, and the text `code` makes SMSC choose the
code, which it returns. An expected call has no id; the caller's number is all that names it. Both
are reported to the URL in the account (`PUT /api/webhooks`), whose query chooses how: `fmt=3` posts
JSON, and `md5`, `sha1` or `crc32` adds a digest with `CALLBACK_KEY`.

Answers are JSON with `fmt=3` and texts otherwise; a request without `charset=utf-8` is read as
Windows-1251.
"""

import hashlib
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Final
from urllib.parse import parse_qs, urlsplit

from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.numbers import RUSSIA, code_in, spoken_code_in
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
from phone_verify.sandbox.protocols.sms_parts import is_gsm, parts_of
from phone_verify.sandbox.webhooks import Hook

#: The password for the digests of callbacks, in every account of the sandbox.
CALLBACK_KEY: Final = "sandbox-callback-password"

#: How long a line waits for its caller. Not published; one integration keeps it as long.
LIFE: Final = timedelta(minutes=10)
_FIRST_ID = 1000
_OWN_IDS: Final = range(1, 2**31)
_LONGEST_SENDER, _LONGEST_TEXT = 15, 1000
#: A repeated request within this time is refused by the variant that does so.
_REPEAT = timedelta(minutes=1)
_VOICE_NUMBER, _CALLER_HEAD = "+74951234567", "+7495123"
_COST, _CODE_COST, _BALANCE = "1.2", "0.5", "100.0"
_HIDDEN = "anonymous"
_MOSCOW_TIME: Final = timezone(timedelta(hours=3))

#: `error_code` and text of each error. The texts are not published.
_ERRORS: Final = {
    "parameters": (1, "parameters error"),
    "wrong_login": (2, "authorise error"),
    "ip_not_allowed": (2, "IP address is not allowed"),
    "no_money": (3, "no money"),
    "blocked": (4, "IP address is temporarily blocked"),
    "bad_date": (5, "invalid date format"),
    "bad_wait_number": (5, "invalid number"),
    "forbidden": (6, "message is denied"),
    "no_attempts": (6, "no attempts left for this number"),
    "bad_number": (7, "invalid number"),
    "undeliverable": (8, "message can't be delivered to this number"),
    "repeated": (9, "duplicate request, wait a minute"),
    "too_many": (9, "too many concurrent requests"),
}

#: `status` of a message by the variant `status`.
_STATUSES: Final = {
    "waiting": -1,
    "passed": 0,
    "delivered": 1,
    "read": 2,
    "expired": 3,
    "impossible": 20,
    "bad_number": 22,
    "forbidden": 23,
    "no_money": 24,
    "unreachable": 25,
}
_NOT_FOUND = -3


def send(visit: Visit) -> Answer:
    """Send a text, speak it, or call with a code that SMSC chooses."""
    fields = _admitted(visit)
    phone, text = _phone(fields.get("phones"), "bad_number"), fields.get("mes", "")
    visit.meet(phone)
    own_id, cost, sender = fields.get("id", ""), fields.get("cost", "0"), fields.get("sender", "")
    voice, chosen = fields.get("call") == "1", text == "code"
    if not text or cost not in ("0", "1", "2", "3") or (own_id and _whole(own_id) not in _OWN_IDS):
        raise RefusedError("parameters")
    if len(sender) > _LONGEST_SENDER or len(text) > _LONGEST_TEXT:
        raise RefusedError("forbidden")
    _check_valid(fields)
    price = _CODE_COST if chosen and voice else _COST
    parts = 1 if voice else parts_of(text, unicode=not is_gsm(text))
    if cost == "1":
        return _answer(visit, {"cost": price, "cnt": parts}, f"{price} ({parts} SMS)")
    _refuse_repeat(visit, phone, text)
    details = {"own_id": own_id, "text": hashlib.sha256(text.encode()).hexdigest()}
    if chosen and voice:
        code = visit.draw_digits(int(visit.variant("length")))
    else:
        code = spoken_code_in(text) if voice else code_in(text)
    if not voice:
        sender = sender or "SMSC.RU"
        dispatch = visit.send_message(phone, channel="sms", sender=sender, text=text, code=code, details=details)
    elif chosen and visit.variant("code_call") == "number":
        number = f"{_CALLER_HEAD}0000"[: 12 - len(code)] + code
        dispatch = visit.place_call(phone, number=number, code=code, details=details)
    else:
        spoken = f"Ваш код: {', '.join(code)}" if chosen else text
        dispatch = visit.place_call(
            phone, number=_VOICE_NUMBER, code=code, spoken=spoken, language="ru", details=details
        )
    _report(visit, dispatch)
    answer: dict[str, object] = {"id": _outer_id(dispatch), "cnt": parts}
    if cost in ("2", "3"):
        answer["cost"] = price
    if cost == "3":
        answer["balance"] = _BALANCE
    if chosen and voice:
        answer["code"] = int(code) if visit.variant("code") == "number" else code
    if fields.get("op") == "1":
        answer["phones"] = [{"phone": phone[1:], "cost": price, "status": "0"}]
    return _answer(visit, answer, f"OK - {parts} SMS, ID - {answer['id']}")


def wait_call(visit: Visit) -> Answer:
    """Return a line, and wait for the phone to call it."""
    fields = _admitted(visit)
    phone = _phone(fields.get("phone"), "bad_wait_number")
    visit.meet(phone)
    lines = PROVIDER.lines_in(visit.network)
    wait = visit.open_wait(phone, ttl=LIFE, webhook=visit.network.webhooks().get(PROVIDER.name), any_line=True)
    answer: dict[str, object] = {"phone": wait.line[1:], "all_phones": [line[1:] for line in lines]}
    match visit.variant("all_phones"):
        case "one":
            answer["all_phones"] = [wait.line[1:]]
        case "absent":
            del answer["all_phones"]
    return _answer(visit, answer, wait.line[1:])


def status(visit: Visit) -> Answer:
    """Return the delivery status of a message."""
    fields = _admitted(visit)
    phone, id = _phone(fields.get("phone"), "parameters"), fields.get("id", "")
    visit.meet(phone)
    if not id:
        raise RefusedError("parameters")
    sent = visit.network.dispatches(PROVIDER.name)
    found = next((each for each in sent if str(_outer_id(each)) == id and each.phone == phone), None)
    if found is None:
        return _answer(visit, {"status": _NOT_FOUND, "last_date": "", "last_timestamp": 0, "err": 0}, "Status = -3")
    number, err = _status_of(visit, found)
    at = found.at.astimezone(_MOSCOW_TIME)
    answer = {
        "status": number,
        "last_date": f"{at:%d.%m.%Y %H:%M:%S}",
        "last_timestamp": int(at.timestamp()),
        "err": err,
    }
    return _answer(visit, answer, f"Status = {number}, check_time = {answer['last_date']}")


def balance(visit: Visit) -> Answer:
    """Return the balance of the account, with `cur=1` also its currency."""
    fields = _admitted(visit)
    visit.meet(None)
    answer = {"balance": _BALANCE, "currency": "RUB"} if fields.get("cur") == "1" else {"balance": _BALANCE}
    return _answer(visit, answer, _BALANCE)


def digest(kind: str, *values: str, key: str = CALLBACK_KEY) -> str:
    """Return the digest of a callback: of its main values and the key, joined by colons."""
    text = ":".join((*values, key)).encode()
    if kind == "crc32":
        return str(zlib.crc32(text))
    return hashlib.new(kind, text, usedforsecurity=False).hexdigest()


def _admitted(visit: Visit) -> dict[str, str]:
    """Read the parameters as texts, and reject invalid credentials."""
    read = visit.fields()
    fields = {name: str(value) for name, value in read.items() if isinstance(value, str | int | float)}
    if "apikey" in fields:
        visit.admit(fields["apikey"])
    else:
        visit.admit(fields.get("login"))
        visit.admit(_PASSWORDS.get(fields.get("psw", ""), fields.get("psw")))
    if "mes" in fields and fields.get("charset") != "utf-8" and not visit.request.is_json:
        fields["mes"] = fields["mes"].encode().decode("cp1251", "replace")
    return fields


def _phone(written: str | None, refusal: str) -> str:
    if not written:
        raise RefusedError("parameters")
    phone = RUSSIA.to_e164(written)
    if phone is None:
        raise RefusedError(refusal)
    return phone


def _whole(text: str) -> int:
    """Read a whole number; -1 if it is not one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else -1


def _check_valid(fields: Mapping[str, str]) -> None:
    """Check the life of the message: hours from 1 to 24, or hours and minutes."""
    valid = fields.get("valid", "")
    hours, _, minutes = valid.partition(":")
    if valid and not (_whole(hours) in range(25) and (not minutes or _whole(minutes) in range(60))):
        raise RefusedError("bad_date")


def _refuse_repeat(visit: Visit, phone: str, text: str) -> None:
    if visit.variant("repeat") == "allowed":
        return
    since, hashed = visit.network.now() - _REPEAT, hashlib.sha256(text.encode()).hexdigest()
    for each in visit.network.dispatches(PROVIDER.name):
        if each.phone == phone and each.at > since and each.details["text"] == hashed:
            raise RefusedError("repeated")


def _outer_id(dispatch: Dispatch) -> int:
    """Return the client's own id, or else the number of the dispatch."""
    return int(dispatch.details["own_id"] or _FIRST_ID + dispatch.id)


def _status_of(visit: Visit, dispatch: Dispatch) -> tuple[int, int]:
    """Return `status` and `err` of a message."""
    choice = visit.variant("status")
    if choice == "final":
        choice = "delivered" if dispatch.arrived else "impossible"
    number = _STATUSES[choice]
    return number, 0 if number <= _STATUSES["read"] else 6


def _report(visit: Visit, dispatch: Dispatch) -> None:
    url = visit.network.webhooks().get(PROVIDER.name)
    if url is None:
        return
    number, err = _status_of(visit, dispatch)
    at = dispatch.at.astimezone(_MOSCOW_TIME)
    id, phone = str(_outer_id(dispatch)), dispatch.phone[1:]
    fields = {
        "id": id,
        "phone": phone,
        "status": str(number),
        "time": f"{at:%d.%m.%Y %H:%M:%S}",
        "ts": str(int(at.timestamp())),
        "err": str(err),
        "cnt": "1",
        "type": "0" if dispatch.channel == "sms" else "9",
    }
    visit.report(_callback(url, fields, (id, phone, str(number)), visit.variant("webhook")))


def _call_hook(wait: Wait, fault: Fault) -> Hook | None:
    """Return the callback for a call to a line."""
    if wait.webhook is None:
        return None
    caller = wait.caller[1:] if wait.caller else _HIDDEN
    at = wait.opened_at.astimezone(_MOSCOW_TIME)
    time = f"{at:%d.%m.%Y %H:%M:%S}"
    fields = {"phone": caller, "waitcall": "1", "time": time, "ts": str(int(at.timestamp()))}
    marker = fault.variants.get("call_digest") == "marker"
    return _callback(wait.webhook, fields, (caller, "1" if marker else time), fault.variants.get("webhook", "get"))


def _callback(url: str, fields: Mapping[str, str], values: tuple[str, ...], method: str) -> Hook:
    """Return a callback as the URL's own query asks for it."""
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    make = Hook.with_json if query.get("fmt") == ["3"] else Hook.with_form if method == "post" else Hook.with_query
    kind = next((each for each in ("md5", "sha1", "crc32") if each in query), None)
    if kind is None:
        return make(url, fields)

    def signed(hook: Hook, now: datetime, key: str) -> Hook:
        return make(url, {**fields, kind: digest(kind, *values, key=key)})

    return make(url, fields).signed_by(signed, CALLBACK_KEY)


def _answer(visit: Visit, body: Mapping[str, object], text: str) -> Answer:
    if visit.params.get("fmt") == "3" or visit.request.path.rstrip("/").endswith("/rest/send"):
        return Answer(body, content_type="application/json; charset=utf-8")
    return Answer(text, content_type="text/plain; charset=utf-8")


def _refuse(visit: Visit, name: str) -> Answer:
    number, text = _ERRORS[name]
    return _answer(visit, {"error": text, "error_code": number}, f"ERROR = {number} ({text})")


#: The special passwords, which a client may also send as MD5 digests.
_PASSWORDS: Final = {
    hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(): name
    for name in (WRONG, EXPIRED, INACTIVE, NO_CREDIT, MISSING)
}

_SCRIPTS: Final = (
    ("/sys/send.php", send),
    ("/sys/wait_call.php", wait_call),
    ("/sys/status.php", status),
    ("/sys/balance.php", balance),
)

PROVIDER: Final = Provider(
    name="smsc",
    title="SMSC",
    routes=(
        *(Route(method, path, handler, exact_slash=True) for path, handler in _SCRIPTS for method in ("GET", "POST")),
        Route("POST", "/rest/send/", send, exact_slash=True),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="parameters",
    credentials={
        MISSING: "parameters",
        WRONG: "wrong_login",
        EXPIRED: "wrong_login",
        INACTIVE: "ip_not_allowed",
        NO_CREDIT: "no_money",
    },
    secrets=frozenset({"psw", "apikey", "code"}),
    variants={
        "code_call": ("number", "spoken"),
        "length": ("4", "6"),
        "digits": ("random", "leading_zero"),
        "code": ("string", "number"),
        "all_phones": ("all", "one", "absent"),
        "line": ("fresh", "same"),
        "repeat": ("allowed", "refused"),
        "status": ("final", *_STATUSES),
        "webhook": ("get", "post"),
        "call_digest": ("time", "marker"),
    },
    lines=tuple(f"+7495000{number:04}" for number in range(10)),
    hook=_call_hook,
    webhook_in_cabinet=True,
    keys={"callback_password": CALLBACK_KEY},
)
