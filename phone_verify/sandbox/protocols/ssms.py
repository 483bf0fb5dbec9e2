"""The SSMS platform: SMS, flash calls and calls to a line, all through one URL and selected by
`method`.

Numbers are written `7` + 10 digits. Errors come with HTTP 200 and an `err_code`; without `format`
the response is XML. An expected call is reported by GET to the URL in the account (`PUT
/api/webhooks`), or to the wait's `hook_url`.

The sandbox's page is at `/`, so GET requests are served at `/ssms/` only.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from xml.sax.saxutils import escape

from phone_verify.sandbox.faults import Fault
from phone_verify.sandbox.numbers import RUSSIA, code_in
from phone_verify.sandbox.phones import Dispatch, Held, Wait
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

_FIRST_ID = 100_000
_UNKNOWN_ID = 999_999
_WAITS: Final = range(60, 301)
#: How long after its end a call is still reported by the variant that reports late ones.
_LATE = timedelta(minutes=5)
_LONGEST_SENDER = 11
_CALL_CODE = re.compile(r"(?<![0-9])[0-9]{3,4}(?![0-9])", re.ASCII)
_ROUTES: Final = frozenset({"sms", "tg", "vb", "wp", "vk", "pc"})
_HIDDEN = "anonymous"
_MOMENT = "%Y-%m-%d %H:%M:%S"

#: `err_code` and text of each error. The texts are not published.
_ERRORS: Final = {
    "wrong_login": (2, "wrong login or password"),
    "api_switched_off": (3, "API is switched off"),
    "blocked": (4, "account is blocked"),
    "unknown_method": (5, "unknown method"),
    "unknown_version": (6, "no such API version"),
    "missing_parameters": (7, "required parameters are missing"),
    "no_partner": (10, "partner is not authorised"),
    "not_saved": (11, "error while saving"),
    "forbidden": (15, "action is forbidden"),
    "wrong_password": (16, "wrong password"),
    "session_over": (18, "session has expired"),
    "general_error": (19, "general error"),
    "no_account": (22, "account does not exist"),
    "no_route": (29, "operator is not connected"),
    "wrong_encoding": (35, "text is in another encoding"),
    "no_money": (36, "balance is too low"),
    "spam": (37, "refused as spam"),
    "spam_38": (38, "refused as spam"),
    "bad_sender": (39, "sender name is not allowed"),
    "undeliverable": (40, "cannot be delivered"),
    "not_logged_in": (42, "not logged in"),
    "domain_taken": (43, "domain is taken"),
    "no_tariff": (44, "no preset tariff"),
    "no_settings": (45, "base settings are missing"),
    "no_tariff_47": (47, "no preset tariff"),
    "nothing_sent": (58, "no message was sent"),
    "spam_59": (59, "refused as spam"),
    "unknown_message": (602, "SMS does not exist"),
    "user_blocked": (605, "user is blocked"),
    "undeliverable_617": (617, "cannot be delivered"),
    "no_key": (625, "API key is not given"),
    "no_data": (626, "no data for this API key"),
    "wrong_key": (627, "wrong API key"),
    "no_connection": (699, "connection could not be made"),
}

_Data = Mapping[str, object]


def _call(visit: Visit) -> Answer:
    """Dispatch by `method`."""
    fields = visit.fields()
    # First, so that the account's variant applies to refusals too.
    visit.meet(RUSSIA.to_e164(fields.get("phone")))
    _admit(visit, fields)
    method = _METHODS.get(_text(fields, "method"))
    if method is None:
        raise RefusedError("unknown_method")
    return _ok(visit, method(visit, fields))


def _push_msg(visit: Visit, fields: _Data) -> _Data:
    """Send a text, ring with a code (`route=pc`), or hold the text back until its phone has called."""
    phone = _phone(fields)
    text, sender = _text(fields, "text"), _text(fields, "sender_name")
    route = _text(fields, "route") or "sms"
    if not text or not set(route.split("-")) <= _ROUTES:
        raise RefusedError("missing_parameters")
    if len(sender) > _LONGEST_SENDER:
        raise RefusedError("bad_sender")
    if _text(fields, "priority") not in ("", "1", "2", "3", "4"):
        raise RefusedError("missing_parameters")
    sender = sender or "user"
    code = code_in(text)
    if route == "pc":
        code = _found(_CALL_CODE, text)
        if not code:
            raise RefusedError("missing_parameters")
        return _receipt(visit, visit.place_call(phone, number=f"+7{'9993000000'[: -len(code)]}{code}", code=code).id)
    if not fields.get("call_protection"):
        sent = visit.send_message(phone, channel="sms", sender=sender, text=text, code=code)
        return {**_receipt(visit, sent.id), "sender_name": sender}
    life = _life(fields)
    at_once = visit.variant("call_protection") == "at_once"
    held = None if at_once else Held(sender, text, code, visit.fault.copies)
    wait = visit.open_wait(phone, ttl=life, webhook=None, held=held)
    id = visit.send_message(phone, channel="sms", sender=sender, text=text, code=code).id if at_once else wait.id
    return {**_receipt(visit, id), "sender_name": sender, "call_to_number": wait.line[1:]}


def _wait_call(visit: Visit, fields: _Data) -> _Data:
    """Return a line, and wait for the phone to call it."""
    phone = _phone(fields)
    life = _life(fields) + (_LATE if visit.variant("late_calls") == "reported" else timedelta(0))
    hook = _text(fields, "hook_url")
    if hook and not hook.startswith(("http://", "https://")):
        raise RefusedError("missing_parameters")
    wait = visit.open_wait(phone, ttl=life, webhook=hook or visit.network.webhooks().get(PROVIDER.name))
    data = {
        "call_to_number": wait.line[1:],
        "id_call": str(_FIRST_ID + wait.id),
        "waiting_call_from": phone[1:],
    }
    if visit.variant("reply") == "no_line":
        return {**data, "call_to_number": ""}
    return data


def _get_msg_report(visit: Visit, fields: _Data) -> _Data:
    """Return the delivery report of a message."""
    id = _text(fields, "id")
    number = int(id) - _FIRST_ID if id.isascii() and id.isdecimal() and len(id) <= 12 else -1
    found = visit.network.dispatch(number) or visit.network.wait(number)
    if found is None or found.provider != PROVIDER.name:
        raise RefusedError("unknown_message")
    if isinstance(found, Wait) and found.held is None:
        raise RefusedError("unknown_message")  # a call is expected, and no message sent
    at = found.at if isinstance(found, Dispatch) else found.opened_at
    state = _state_of(found, visit)
    report = {
        "id": number + _FIRST_ID,
        "phone": found.phone[1:],
        "type": 1,
        "n_raw_sms": 1,
        "start_time": at.strftime(_MOMENT),
        "last_update": at.strftime(_MOMENT),
        "state": state,
        "state_text": {0: "sent", 1: "delivered", 2: "not delivered", 34: "not delivered, expired"}[state],
        "id_tarifs_group": 1,
        "credits": _credits(visit),
    }
    return {name: str(value) for name, value in report.items()} if visit.variant("report") == "texts" else report


def _get_profile(visit: Visit, fields: _Data) -> _Data:
    """Return the account's owner and balance."""
    return {
        "id": 1,
        "email": "user@site.example",
        "first_name": "Sandbox",
        "last_name": "",
        "credits": "50.00" if visit.variant("credits") == "string" else 50.0,
        "credits_used": 0,
        "credits_name": "RUB",
        "currency": "RUB",
        "sender_name": "user",
    }


_METHODS: Final = {
    "push_msg": _push_msg,
    "wait_call": _wait_call,
    "get_msg_report": _get_msg_report,
    "get_profile": _get_profile,
}


def _admit(visit: Visit, fields: _Data) -> None:
    """Reject the special credentials: the key, or the password with its login."""
    if "key" in fields or "email" not in fields:
        visit.admit(fields.get("key"))
        return
    if _text(fields, "password") in (MISSING, WRONG) or not _text(fields, "email"):
        raise RefusedError("wrong_login")
    visit.admit(fields["password"])


def _text(fields: _Data, name: str) -> str:
    value = fields.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**12:
        return str(value)
    return value if isinstance(value, str) else ""


def _phone(fields: _Data) -> str:
    phone = RUSSIA.to_e164(fields.get("phone"))
    if phone is None:
        raise RefusedError("missing_parameters")
    return phone


def _life(fields: _Data) -> timedelta:
    seconds = _text(fields, "call_protection")
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) <= 3 and int(seconds) in _WAITS):
        raise RefusedError("missing_parameters")
    return timedelta(seconds=int(seconds))


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[0] if match else ""


def _receipt(visit: Visit, id: int) -> dict[str, object]:
    return {"id": _FIRST_ID + id, "n_raw_sms": 1, "credits": _credits(visit)}


def _credits(visit: Visit) -> object:
    return "1.29" if visit.variant("credits") == "string" else 1.29


def _state_of(found: Dispatch | Wait, visit: Visit) -> int:
    if isinstance(found, Dispatch):
        return 1 if found.arrived else 2
    if found.confirmed:
        return 1 if found.held and found.held.copies else 2
    return 0 if found.is_open(visit.network.now()) else 34


def _hook(wait: Wait, fault: Fault) -> Hook | None:
    if wait.webhook is None:
        return None
    choice = fault.variants.get("webhook", "usual")
    caller = wait.caller[1:] if wait.caller else _HIDDEN
    id = _UNKNOWN_ID if choice == "unknown_id" else _FIRST_ID + wait.id
    fields = [("id_call", str(id)), ("waiting_call_from", caller), ("call_to_number", wait.line[1:])]
    match choice:
        case "other_names":
            fields = [("id", fields[0][1]), ("phone", caller), ("to", fields[2][1])]
        case "no_id":
            fields = fields[1:]
        case "caller_alone":
            fields = fields[1:2]
        case "repeated":
            fields = [*fields, fields[1]]
    return Hook.with_query(wait.webhook, fields)


def _ok(visit: Visit, data: _Data) -> Answer:
    return _envelope(visit, 0, "OK", "message", data)


def _refuse(visit: Visit, name: str) -> Answer:
    return _envelope(visit, *_ERRORS[name], "error", None)


def _envelope(visit: Visit, err_code: int, text: str, type: str, data: _Data | None) -> Answer:
    written = err_code if visit.variant("err_code") == "number" else str(err_code)
    message = {"err_code": written, "text": text, "type": type}
    if visit.params.get("format") == "json":
        return Answer({"response": {"msg": message, "data": data}})
    body = f"<msg>{_xml(message)}</msg><data>{_xml(data or {})}</data>"
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<response>{body}</response>'
    return Answer(document, content_type="text/xml; charset=utf-8")


def _xml(values: _Data) -> str:
    return "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in values.items())


PROVIDER: Final = Provider(
    name="ssms",
    title="SSMS",
    routes=(
        Route("POST", "/", _call),
        Route("GET", "/", _call),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="missing_parameters",
    credentials={
        MISSING: "no_key",
        WRONG: "wrong_key",
        EXPIRED: "api_switched_off",
        INACTIVE: "blocked",
        NO_CREDIT: "no_money",
    },
    secrets=frozenset({"key", "password", "email", "hook_url"}),
    variants={
        "err_code": ("string", "number"),
        "credits": ("string", "number"),
        "report": ("numbers", "texts"),
        "call_protection": ("until_called", "at_once"),
        "reply": ("full", "no_line"),
        "line": ("fresh", "same"),
        "late_calls": ("ignored", "reported"),
        "webhook": ("usual", "other_names", "no_id", "unknown_id", "caller_alone", "repeated"),
    },
    lines=tuple(f"+7800000{number:04}" for number in range(1, 51)),
    hook=_hook,
    webhook_in_cabinet=True,
)
