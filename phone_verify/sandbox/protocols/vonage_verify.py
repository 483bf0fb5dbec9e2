"""Vonage Verify v2: a code by SMS, voice or WhatsApp, which Vonage generates unless the client does,
and checks.

The account is named by Basic credentials or by the application's token (RS256; its signature cannot
be checked here). A request has up to three steps; a client can start the next one early, and the
sandbox starts none by itself. E-mail and silent authentication are not simulated. Errors are
`application/problem+json`. Results are reported to the application's URL (`PUT /api/webhooks`),
with a token signed with the account's `SIGNING_KEY`.
"""

import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, cast
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
from phone_verify.sandbox.protocols.vonage import SIGNING_KEY
from phone_verify.sandbox.remote_codes import RemoteCode
from phone_verify.sandbox.webhooks import Hook, sha256_hex

_CHANNELS: Final = ("sms", "voice", "whatsapp")
_TO = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_LOCALE = re.compile(r"[a-z]{2}-[a-z]{2}", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9]{4,10}", re.ASCII)
_CODE_LENGTHS, _TIMEOUTS = range(4, 11), range(15, 901)
_DEFAULT_TIMEOUT, _DEFAULT_CODE_LENGTH = 300, 4
_LONGEST_NAME, _APP_HASH_LENGTH, _MOST_STEPS = 16, 11, 3
_MOST_WRONG = 3
#: A token of an application is valid for at most a day.
_LONGEST_TOKEN = timedelta(days=1)
_VOICE_NUMBER = "+12015550100"
_APPLICATION = "00000000-0000-4000-8000-000000000000"
_PRICE = "0.05000000"

#: HTTP status, `title` and `detail` of each error.
_ERRORS: Final = {
    "bad_request": (400, "Bad Request", "The request body could not be read."),
    "invalid_code": (400, "Invalid Code", "The code you provided does not match the expected value."),
    "unauthorized": (401, "Unauthorized", "You did not provide correct credentials."),
    "no_credit": (402, "Low balance", "This request could not be performed due to your account balance being low."),
    "forbidden": (403, "Forbidden", "Your account does not have permission to perform this action."),
    "not_found": (404, "Not Found", "The request was not found or it has been verified already."),
    "conflict": (409, "Conflict", "Concurrent verifications to the same number are not allowed"),
    "wrong_state": (409, "Conflict", "The current Verify workflow step does not support a code."),
    "no_next_step": (409, "Conflict", "There are no more events left to trigger."),
    "too_many_codes": (
        410,
        "Invalid Code",
        "An incorrect code has been provided too many times. Workflow terminated.",
    ),
    "invalid_params": (422, "Invalid params", "The value of one or more parameters is invalid."),
    "invalid_number": (422, "Invalid params", "The number is not valid."),
    "rate_limit": (429, "Rate Limit Hit", "Please wait, then retry your request"),
    "internal_error": (500, "Internal Error", "Something went wrong."),
    "unavailable": (503, "Service Unavailable", "Please retry your request later."),
}

_Step = Mapping[str, str]


def start(visit: Visit) -> Answer:
    """Start a verification, unless one for the same number is in progress."""
    key = _admitted(visit)
    body = visit.json_object()
    steps = _steps(body)
    phone = f"+{steps[0]['to']}" if steps else None
    visit.meet(phone)
    if (reasons := _reasons(body)) or phone is None:
        return _invalid(visit, reasons)
    if (open_one := visit.network.codes.newest(PROVIDER.name, phone)) and open_one.is_open(visit.network.now()):
        more = {"request_id": open_one.details["request_id"]} if visit.variant("conflict") == "with_id" else {}
        return _problem(visit, "conflict", **more)
    own_code = body.get("code")
    code = own_code if isinstance(own_code, str) else visit.draw_digits(_int(body, "code_length", _DEFAULT_CODE_LENGTH))
    timeout = _int(body, "channel_timeout", _DEFAULT_TIMEOUT)
    record = visit.network.codes.open(
        phone,
        provider=PROVIDER.name,
        channel=_channel(steps[0]),
        code=code,
        ttl=timedelta(seconds=timeout * len(steps)),
        details={
            "request_id": _new_id(visit),
            "api_key": key,
            "brand": str(body["brand"]),
            "locale": str(body.get("locale", "")),
            "client_ref": str(body.get("client_ref", "")),
            "timeout": str(timeout),
            "steps": json.dumps(steps),
        },
    )
    _send(visit, record, steps[0])
    visit.report_later(timedelta(seconds=timeout * len(steps)), partial(_expired, visit, record.id))
    if (status := visit.variant("event")) != "none":
        _report(visit, visit.network.codes.update(record.id, state="failed"), status)
    return Answer({"request_id": record.details["request_id"]}, 202, "application/json")


def check(visit: Visit) -> Answer:
    """Check the code that the user entered. The third wrong one ends the request."""
    _admitted(visit)
    code = visit.json_object().get("code")
    record = _open_request(visit)
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        return _invalid(visit, {"code": "Must be 4 to 10 letters or digits"})
    result, record = visit.network.codes.check(record.id, code, most_wrong=_MOST_WRONG)
    if result == "right":
        _report(visit, record, "completed")
        return Answer({"request_id": visit.path["id"], "status": "completed"}, content_type="application/json")
    if result == "wrong" and record.wrong < _MOST_WRONG:
        raise RefusedError("invalid_code")
    if result == "wrong":
        _report(visit, visit.network.codes.update(record.id, state="failed"), "failed")
        raise RefusedError("too_many_codes")
    raise RefusedError("not_found")  # another check closed it meanwhile


def cancel(visit: Visit) -> Answer:
    """End a request that is in progress."""
    _admitted(visit)
    record = _open_request(visit)
    _report(visit, visit.network.codes.update(record.id, state="cancelled"), "cancelled")
    return Answer("", 204)


def next_step(visit: Visit) -> Answer:
    """Send the code by the next channel of the request."""
    _admitted(visit)
    record = _open_request(visit)
    steps = json.loads(record.details["steps"])
    if record.sends >= len(steps):
        raise RefusedError("no_next_step")
    step = steps[record.sends]
    _send(visit, visit.network.codes.resend(record.id, channel=_channel(step)), step)
    return Answer({}, content_type="application/json")


def token(claims: Mapping[str, object], key: str) -> str:
    """Return a JSON Web Token of these claims, signed by HS256."""
    head, body = (
        urlsafe_b64encode(json.dumps(part, separators=(",", ":")).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    signature = urlsafe_b64encode(hmac.digest(key.encode(), head + b"." + body, "sha256")).rstrip(b"=")
    return b".".join((head, body, signature)).decode()


def sign(hook: Hook, now: datetime, key: str, *, api_key: str) -> Hook:
    """Return the webhook with a token for its body."""
    claims = {
        "iss": "Vonage",
        "iat": int(now.timestamp()),
        "jti": sha256_hex(hook.body + now.isoformat().encode())[:32],
        "payload_hash": sha256_hex(hook.body),
        "api_key": api_key,
        "application_id": _APPLICATION,
    }
    return hook.with_headers(Authorization=f"Bearer {token(claims, key)}")


def _admitted(visit: Visit) -> str:
    """Return the account's key or the application's id, if it and its secret are valid."""
    key, secret = visit.basic()
    if key:
        visit.admit(key)
        visit.admit(secret)
        return key
    claims = _claims(visit)
    application = claims.get("application_id")
    visit.admit(application)
    now, issued, ends = visit.network.now().timestamp(), claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(claims.get("jti"), str):
        raise RefusedError("unauthorized")
    if isinstance(ends, int) and not (issued < ends <= issued + _LONGEST_TOKEN.total_seconds() and now < ends):
        raise RefusedError("unauthorized")
    return str(application)


def _claims(visit: Visit) -> dict[str, Any]:
    """Read the claims of the application's token."""
    head, _, rest = visit.scheme("Bearer").partition(".")
    body, _, signature = rest.partition(".")
    header, claims = _decoded(head), _decoded(body)
    if header.get("alg") != "RS256" or not signature:
        raise RefusedError("unauthorized")
    return claims


def _decoded(part: str) -> dict[str, Any]:
    try:
        value = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _steps(body: Mapping[str, object]) -> list[dict[str, str]]:
    """Return the steps of the workflow whose number can be read."""
    workflow = body.get("workflow")
    steps = [step for step in workflow if isinstance(step, dict)] if isinstance(workflow, list) else []
    return [
        {name: str(value) for name, value in step.items()}
        for step in steps
        if isinstance(step.get("to"), str) and _TO.fullmatch(step["to"])
    ]


def _reasons(body: Mapping[str, object]) -> dict[str, str]:
    """Return what is invalid in the body of a start, by the parameter's name."""
    brand, client_ref, locale, code = (body.get(name) for name in ("brand", "client_ref", "locale", "code"))
    reasons = _workflow_reasons(body.get("workflow"))
    if not isinstance(brand, str) or not 1 <= len(brand) <= _LONGEST_NAME:
        reasons["brand"] = "Must be 1 to 16 characters"
    if client_ref is not None and not (isinstance(client_ref, str) and 1 <= len(client_ref) <= _LONGEST_NAME):
        reasons["client_ref"] = "Must be 1 to 16 characters"
    if locale is not None and not (isinstance(locale, str) and _LOCALE.fullmatch(locale)):
        reasons["locale"] = "Must be a language and a country: en-us"
    if code is not None and not (isinstance(code, str) and _CODE.fullmatch(code)):
        reasons["code"] = "Must be 4 to 10 letters or digits"
    for name, allowed in (("channel_timeout", _TIMEOUTS), ("code_length", _CODE_LENGTHS)):
        value = body.get(name)
        if value is not None and (type(value) is not int or value not in allowed):
            reasons[name] = f"Must be {allowed[0]} to {allowed[-1]}"
    return reasons


def _workflow_reasons(workflow: object) -> dict[str, str]:
    if not isinstance(workflow, list) or not 1 <= len(workflow) <= _MOST_STEPS:
        return {"workflow": "Must be a list of 1 to 3 channels"}
    for step in workflow:
        if not isinstance(step, dict) or step.get("channel") not in _CHANNELS:
            return {"channel": "Must be one of: " + ", ".join(_CHANNELS)}
        if not isinstance(step.get("to"), str) or not _TO.fullmatch(step["to"]):
            return {"to": "`to` must be an international number without + or 00"}
        sender, app_hash = step.get("from"), step.get("app_hash")
        if step["channel"] == "whatsapp" and not (isinstance(sender, str) and _TO.fullmatch(sender)):
            return {"from": "Required for WhatsApp: an international number without + or 00"}
        if app_hash is not None and (not isinstance(app_hash, str) or len(app_hash) != _APP_HASH_LENGTH):
            return {"app_hash": "Must be 11 characters"}
    return {}


def _int(body: Mapping[str, object], name: str, default: int) -> int:
    value = body.get(name)
    return value if isinstance(value, int) else default


def _channel(step: _Step) -> Channel:
    return cast("Channel", step["channel"])


def _new_id(visit: Visit) -> str:
    return str(UUID(int=visit.network.chance.getrandbits(128), version=4))


def _open_request(visit: Visit) -> RemoteCode:
    """Return the request in progress that the path names, and apply the fault of its phone."""
    record = visit.network.codes.newest(PROVIDER.name, request_id=visit.path["id"])
    visit.meet(record.phone if record else None)
    if record is None or not record.is_open(visit.network.now()):
        raise RefusedError("not_found")
    return record


def _send(visit: Visit, record: RemoteCode, step: _Step) -> None:
    phone, brand, code = f"+{step['to']}", record.details["brand"], record.code
    if step["channel"] == "voice":
        spoken = f"Your {brand} code is {', '.join(code)}."
        visit.place_call(
            phone, number=_VOICE_NUMBER, code=code, spoken=spoken, language=record.details["locale"] or "en-us"
        )
        return
    sender = f"+{step['from']}" if step["channel"] == "whatsapp" else step.get("from", brand)
    text = f"{brand} code: {code}. Valid for {int(record.details['timeout']) // 60} minutes."
    if app_hash := step.get("app_hash"):
        text = f"{text}\n\n{app_hash}"
    visit.send_message(phone, channel=_channel(step), sender=sender, text=text, code=code)


def _report(visit: Visit, record: RemoteCode, status: str) -> None:
    for hook in _hooks(visit, record, status):
        visit.report(hook)


def _expired(visit: Visit, record_id: int) -> Hook | None:
    """Return the webhook for a request that nothing has ended."""
    record = visit.network.codes.find(PROVIDER.name, record_id)
    if record is None or record.state != "open":
        return None
    return next(iter(_hooks(visit, record, "expired")), None)


def _hooks(visit: Visit, record: RemoteCode, status: str) -> list[Hook]:
    """Return the webhooks for the result of the newest step, and of the whole request."""
    url = visit.network.webhooks().get(PROVIDER.name)
    if url is None:
        return []
    now, opened = _moment(visit.network.now()), _moment(record.opened_at)
    shared = {"request_id": record.details["request_id"], "status": status}
    if client_ref := record.details["client_ref"]:
        shared["client_ref"] = client_ref
    event = {**shared, "type": "event", "channel": record.channel, "triggered_at": opened, "finalized_at": now}
    summary = {
        **shared,
        "type": "summary",
        "submitted_at": opened,
        "channel_timeout": int(record.details["timeout"]),
        "workflow": [
            {"channel": step["channel"], "initiated_at": opened, "status": _step_status(record, place, status)}
            for place, step in enumerate(json.loads(record.details["steps"]), 1)
        ],
        "price": _PRICE,
    }
    bodies = {"both": (event, summary), "swapped": (summary, event), "event": (event,), "summary": (summary,)}
    signed = partial(sign, api_key=record.details["api_key"])
    return [Hook.with_json(url, body).signed_by(signed, SIGNING_KEY) for body in bodies[visit.variant("webhook")]]


def _step_status(record: RemoteCode, place: int, status: str) -> str:
    if place == record.sends:
        return status
    return "expired" if place < record.sends else "unused"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _problem(visit: Visit, name: str, **more: object) -> Answer:
    status, title, detail = _ERRORS[name]
    body = {
        "type": f"https://developer.vonage.com/api-errors/verify#{title.lower().replace(' ', '-')}",
        "title": title,
        "detail": detail,
        "instance": f"{visit.network.chance.getrandbits(128):032x}",
        **more,
    }
    return Answer(body, status, "application/problem+json")


def _invalid(visit: Visit, reasons: Mapping[str, str]) -> Answer:
    parameters = [{"name": name, "reason": reason} for name, reason in reasons.items()]
    return _problem(visit, "invalid_params", invalid_parameters=parameters)


def _refuse(visit: Visit, name: str) -> Answer:
    match name:
        case "invalid_params" | "invalid_number":
            place = "to" if name == "invalid_number" else "brand"
            return _problem(visit, name, invalid_parameters=[{"name": place, "reason": "Is not valid"}])
        case "conflict" if visit.variant("conflict") == "with_id":
            return _problem(visit, name, request_id=_new_id(visit))
        case _:
            return _problem(visit, name)


PROVIDER: Final = Provider(
    name="vonage-verify",
    title="Vonage Verify",
    routes=(
        Route("POST", "/v2/verify", start),
        Route("POST", "/v2/verify/<id>", check),
        Route("DELETE", "/v2/verify/<id>", cancel),
        Route("POST", "/v2/verify/<id>/next_workflow", next_step),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="bad_request",
    credentials={
        MISSING: "unauthorized",
        WRONG: "unauthorized",
        EXPIRED: "unauthorized",
        INACTIVE: "forbidden",
        NO_CREDIT: "no_credit",
    },
    secrets=frozenset({"code"}),
    variants={
        "digits": ("random", "leading_zero"),
        "conflict": ("with_id", "without_id"),
        "event": ("none", "blocked", "failed", "expired", "user_rejected"),
        "webhook": ("both", "swapped", "event", "summary"),
    },
    webhook_in_cabinet=True,
    keys={"signature_secret": SIGNING_KEY},
)
