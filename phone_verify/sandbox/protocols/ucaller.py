"""uCaller: a flash call whose last four digits are the code, or a number for the user to call.

The code is the client's or is generated here; the response holds it in either case. Errors come with
HTTP 200. `unique` makes a repeated start harmless. A number takes four calls a minute, fifteen
seconds apart, and thirty a day; with more it is blocked for ten hours.
"""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.network import Network
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

#: How long a number waits for its caller; not published.
LIFE: Final = timedelta(minutes=5)
_FIRST_ID = 103_000
_CODE_LENGTH = 4
_LONGEST_TEXT = 64
_COST, _BALANCE = 0.3, 84.6

_PAUSE: Final = timedelta(seconds=15)
_PER_MINUTE, _PER_DAY = 4, 30
_BLOCKED_FOR: Final = timedelta(hours=10)
_FREE_REPEATS = 2
_REPEAT_FROM, _REPEAT_UNTIL = timedelta(seconds=60), timedelta(minutes=5)

#: The texts are not published.
_ERRORS: Final = {
    "0": "your IP address is blocked",
    "1": "malformed request",
    "2": "a required parameter is missing",
    "3": "wrong phone number",
    "4": "the service is switched off",
    "5": "the call could not be started",
    "9": "calls to this country are not allowed",
    "10": "unknown id",
    "11": "too late for a free repeat",
    "12": "no free repeats left",
    "13": "no free repeat is possible",
    "18": "too many calls to this number",
    "19": "wait 15 seconds before the next call to this number",
    "20": "voice calls to this country are not available",
    "401": "not authorized",
    "405": "method not allowed",
    "429": "too many requests",
    "500": "internal error",
    "1001": "the account is blocked",
    "1002": "not enough money",
    "1003": "your IP address is not allowed for this service",
    "1004": "the service is archived",
    "1005": "the account's phone is not verified",
}
#: Errors whose code is an HTTP status, which they have in the variant `http`.
_HTTP: Final = ("401", "405", "429", "500")

#: Per network and phone: the newest call when it was blocked, and until when. An entry counts as long
#: as the network still has that call, so that clearing the network lifts all blocks.
_BLOCKS: Final[WeakKeyDictionary[Network, dict[str, tuple[int, datetime]]]] = WeakKeyDictionary()
#: Held while a call is counted and placed, so that one `unique` is one call.
_START: Final = threading.Lock()

_Fields = Mapping[str, object]


def init_call(visit: Visit) -> Answer:
    """Ring the phone, or speak the code with `voice`. A known `unique` returns the earlier call."""
    fields = _admitted(visit)
    phone = _phone(visit, fields)
    code, client, unique = _code(fields), _text(fields, "client"), _text(fields, "unique")
    voice = _switch(fields, "voice")
    # Accepted, but a call that reaches the phone needs no voice call after it.
    _switch(fields, "mix")
    with _START:
        earlier = _with_unique(visit.network, unique)
        if earlier:
            return Answer({**_receipt(visit, earlier), "exists": True})
        _require_room(visit, phone)
        if code is None or visit.variant("code") == "replaced":
            code = visit.draw_digits(_CODE_LENGTH)
        dispatch = _ring(visit, phone, code, {"client": client, "unique": unique, "voice": "1" if voice else ""})
    receipt = _receipt(visit, dispatch)
    return Answer({**receipt, "exists": False} if unique else receipt)


def init_repeat(visit: Visit) -> Answer:
    """Ring again with the same code, free of charge: twice, one to five minutes after the first call."""
    fields = _admitted(visit)
    dispatch = _found(visit, fields)
    now = visit.network.now()
    with _START:
        repeats = [
            each for each in _calls(visit.network, dispatch.phone) if each.details.get("first") == str(dispatch.id)
        ]
        if now >= dispatch.at + _REPEAT_UNTIL:
            raise RefusedError("11")
        if len(repeats) >= _FREE_REPEATS:
            raise RefusedError("12")
        if now < dispatch.at + _REPEAT_FROM or "first" in dispatch.details:
            raise RefusedError("13")
        repeat = _ring(
            visit, dispatch.phone, dispatch.code, {**dispatch.details, "unique": "", "first": str(dispatch.id)}
        )
    return Answer({**_receipt(visit, repeat), "free_repeated": True})


def get_info(visit: Visit) -> Answer:
    """Return what became of a call. `call_status` is -1 under way, 0 failed, 1 placed."""
    fields = _admitted(visit)
    number = _uid(fields)
    wait = visit.network.wait(number - _FIRST_ID)
    if wait and wait.provider == PROVIDER.name:
        visit.meet(wait.phone)
        if visit.variant("inbound_info") == "unknown":
            raise RefusedError("10")
        open_ = wait.is_open(visit.network.now())
        status = 1 if wait.confirmed else -1 if open_ else 0
        return Answer(_info(number, wait.opened_at, status, wait.phone, ""))
    dispatch = _found(visit, fields)
    under_way = visit.variant("call_status") == "under_way"
    status = -1 if under_way else int(dispatch.arrived)
    return Answer(_info(number, dispatch.at, status, dispatch.phone, dispatch.code))


def inbound_call_waiting(visit: Visit) -> Answer:
    """Return a number for the user to call; the call is posted to `callback_url`."""
    fields = _admitted(visit)
    url = _text(fields, "callback_url", longest=2000)
    if url and not url.startswith(("http://", "https://")):
        raise RefusedError("1")
    wait = visit.open_wait(_phone(visit, fields), ttl=LIFE, webhook=url or None)
    return Answer(
        {
            "status": True,
            "ucaller_id": _FIRST_ID + wait.id,
            "phone": _masked(wait.phone),
            "confirmation_number": wait.line.removeprefix("+"),
        }
    )


def get_service(visit: Visit) -> Answer:
    """Return the service."""
    return _account(visit, {"service_id": 1, "name": "Sandbox", "creation_time": 0, "last_request": 0})


def get_balance(visit: Visit) -> Answer:
    """Return the balance."""
    return _account(visit, {"rub_balance": _BALANCE, "bonus_balance": 0, "tariff": "startup", "tariff_name": "Start"})


def get_account(visit: Visit) -> Answer:
    """Return the account."""
    return _account(visit, {"login": "sandbox", "email_confirmed": True, "phone_confirmed": True})


def check_phone(visit: Visit) -> Answer:
    """Return what is known about a number."""
    phone = _phone(visit, _admitted(visit))
    return Answer({"status": True, "phone": phone.removeprefix("+"), "mobile": 1, **_PHONE_INFO})


def health(visit: Visit) -> Answer:
    """Return that the service is up."""
    visit.meet(None)
    return Answer({"status": True})


_PHONE_INFO: Final = {"operator": "Operator", "region": "Region", "mnp": "Operator"}


def _admitted(visit: Visit) -> _Fields:
    """Read the parameters; reject invalid credentials, in the header or as parameters."""
    fields = visit.fields()
    secret, _, service = visit.scheme("Bearer").rpartition(".")
    secret, service = secret or _text(fields, "key"), service or _text(fields, "service_id")
    visit.admit(secret)
    visit.admit(service)
    return fields


def _account(visit: Visit, body: _Fields) -> Answer:
    _admitted(visit)
    visit.meet(None)
    return Answer({"status": True, **body})


def _phone(visit: Visit, fields: _Fields) -> str:
    """Read the phone and apply its fault."""
    if fields.get("phone") in (None, ""):
        raise RefusedError("2")
    phone = RUSSIA.to_e164(fields["phone"])
    if phone is None:
        raise RefusedError("3")
    visit.meet(phone)
    return phone


def _code(fields: _Fields) -> str | None:
    code = _text(fields, "code")
    if code and (len(code) != _CODE_LENGTH or not code.isascii() or not code.isdecimal()):
        raise RefusedError("1")
    return code or None


def _text(fields: _Fields, name: str, longest: int = _LONGEST_TEXT) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int) or len(text := str(value)) > longest:
        raise RefusedError("1")
    return text


def _switch(fields: _Fields, name: str) -> bool:
    value = fields.get(name, False)
    if value not in (True, False, "true", "false", "True", "False", "1", "0", ""):
        raise RefusedError("1")
    return value in (True, "true", "True", "1")


def _uid(fields: _Fields) -> int:
    uid = _text(fields, "uid")
    if not uid:
        raise RefusedError("2")
    return int(uid) if uid.isascii() and uid.isdecimal() and len(uid) <= 12 else -1


def _found(visit: Visit, fields: _Fields) -> Dispatch:
    dispatch = visit.network.dispatch(_uid(fields) - _FIRST_ID)
    known = dispatch if dispatch and dispatch.provider == PROVIDER.name else None
    visit.meet(known.phone if known else None)
    if known is None:
        raise RefusedError("10")
    return known


def _with_unique(network: Network, unique: str) -> Dispatch | None:
    if not unique:
        return None
    sent = network.dispatches(PROVIDER.name)
    return next((dispatch for dispatch in sent if dispatch.details.get("unique") == unique), None)


def _calls(network: Network, phone: str) -> list[Dispatch]:
    return [dispatch for dispatch in network.dispatches(PROVIDER.name) if dispatch.phone == phone]


def _require_room(visit: Visit, phone: str) -> None:
    """Refuse a call to a phone that had too many, and block the phone then."""
    if visit.variant("limits") == "off":
        return
    network, now = visit.network, visit.network.now()
    blocks = _BLOCKS.setdefault(network, {})
    newest, until = blocks.get(phone, (-1, now))
    if network.dispatch(newest) and now < until:
        raise RefusedError("18")
    times = [call for call in _calls(network, phone) if "first" not in call.details]
    minute = [call for call in times if now < call.at + timedelta(minutes=1)]
    day = [call for call in times if now < call.at + timedelta(days=1)]
    if len(minute) >= _PER_MINUTE or len(day) >= _PER_DAY:
        blocks[phone] = (times[0].id, now + _BLOCKED_FOR)
        raise RefusedError("18")
    if times and now < times[0].at + _PAUSE:
        raise RefusedError("19")


def _ring(visit: Visit, phone: str, code: str, details: Mapping[str, str]) -> Dispatch:
    spoken = f"Your code is {' '.join(code)}" if details["voice"] else ""
    return visit.place_call(
        phone, number=f"+7900500{code}", code=code, spoken=spoken, language="en" if spoken else "", details=details
    )


def _receipt(visit: Visit, dispatch: Dispatch) -> dict[str, object]:
    receipt: dict[str, object] = {
        "status": True,
        "ucaller_id": _FIRST_ID + dispatch.id,
        "phone": _masked(dispatch.phone),
        "code": int(dispatch.code) if visit.variant("code") == "number" else dispatch.code,
    }
    if dispatch.details["client"]:
        receipt["client"] = dispatch.details["client"]
    if dispatch.details["unique"]:
        receipt["unique_request_id"] = dispatch.details["unique"]
    return receipt


def _info(number: int, at: datetime, status: int, phone: str, code: str) -> dict[str, object]:
    return {
        "status": True,
        "ucaller_id": number,
        "init_time": int(at.timestamp()),
        "call_status": status,
        "phone": phone.removeprefix("+"),
        "code": code,
        "country_code": "RU" if phone.startswith("+7") else "",
        "phone_info": [_PHONE_INFO],
        "cost": _COST,
        "balance": _BALANCE,
    }


def _masked(phone: str) -> str:
    return f"{phone[1:5]}***{phone[-4:]}"


def _hook(wait: Wait, fault: Fault) -> Hook | None:
    """Report a call, whatever number called. The payload is not signed."""
    if wait.webhook is None:
        return None
    plus = "+" if fault.variants.get("callback") == "plus" else ""
    payload: dict[str, object] = {
        "callId": _FIRST_ID + wait.id,
        "callbackLink": wait.webhook,
        "clientNumber": f"{plus}{wait.caller.removeprefix('+')}" if wait.caller else "",
        "confirmationNumber": f"{plus}{wait.line.removeprefix('+')}",
        "isMnp": False,
        "operatorName": "Operator",
        "operatorNameMnp": "",
        "regionName": "Region",
    }
    if fault.variants.get("callback") == "text_id":
        payload["callId"] = str(payload["callId"])
    return Hook.with_json(wait.webhook, payload)


def _refuse(visit: Visit, name: str) -> Answer:
    status = int(name) if name in _HTTP and visit.variant("errors") == "http" else 200
    return Answer({"status": False, "error": _ERRORS[name], "code": int(name)}, status)


PROVIDER: Final = Provider(
    name="ucaller",
    title="uCaller",
    routes=tuple(
        Route(method, f"/v1.0/{name}", handler)
        for name, handler in {
            "initCall": init_call,
            "initRepeat": init_repeat,
            "getInfo": get_info,
            "inboundCallWaiting": inbound_call_waiting,
            "getService": get_service,
            "getBalance": get_balance,
            "getAccount": get_account,
            "checkPhone": check_phone,
            "health": health,
        }.items()
        for method in ("POST", "GET")
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="1",
    credentials={
        MISSING: "401",
        WRONG: "401",
        EXPIRED: "1004",
        INACTIVE: "4",
        NO_CREDIT: "1002",
    },
    secrets=frozenset({"key", "callback_url"}),
    variants={
        "code": ("requested", "replaced", "number"),
        "limits": ("off", "on"),
        "call_status": ("settled", "under_way"),
        "inbound_info": ("known", "unknown"),
        "callback": ("usual", "plus", "text_id"),
        "errors": ("200", "http"),
        "line": ("fresh", "same"),
        "digits": ("random", "leading_zero"),
    },
    lines=tuple(f"+7900600{number:04}" for number in range(1, 51)),
    hook=_hook,
)
