"""Sinch Verification: SMS, flash call, voice call ("callout") and WhatsApp. Sinch generates the code
and checks it.

Requests are signed with the application's secret, or use Basic authentication, or name the
application only; the last kind needs the site's consent. With a URL in the account
(`PUT /api/webhooks`), Sinch asks the site before each verification, and reports results and
deliveries. A wrong code is an HTTP 400, a late one an HTTP 200 with the status FAIL.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
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
from phone_verify.sandbox.protocols.sinch_questions import CODE_TYPES, Permit, read_permit, read_span
from phone_verify.sandbox.protocols.sinch_signatures import SECRET, admitted, signed
from phone_verify.sandbox.remote_codes import RemoteCode
from phone_verify.sandbox.webhooks import Hook

_MOST_WRONG: Final = 5
_LONGEST_REFERENCE: Final = 128
_LAST_DIGITS: Final = 4

#: Methods as the responses write them, with their channels.
_CHANNELS: Final[Mapping[str, Channel]] = {
    "sms": "sms",
    "flashcall": "flash_call",
    "callout": "voice",
    "whatsapp": "whatsapp",
}
#: Where a report has the answer.
_ANSWERS: Final = {
    "sms": ("sms", "code"),
    "flashcall": ("flashCall", "cli"),
    "callout": ("callout", "code"),
    "whatsapp": ("whatsapp", "code"),
}
#: Only that of a flash call is published.
_LIFE: Final = {
    "sms": timedelta(minutes=10),
    "flashcall": timedelta(seconds=75),
    "callout": timedelta(minutes=10),
    "whatsapp": timedelta(minutes=10),
}

#: HTTP status, `errorCode` and `message` of each error.
_ERRORS: Final = {
    "bad_parameter": (400, 40001, "Parameter validation error."),
    "wrong_code": (400, 40003, "Invalid identity or code."),
    "bad_header": (401, 40100, "Illegal authorization header."),
    "bad_timestamp": (401, 40101, "Illegal or stale x-timestamp header."),
    "bad_signature": (401, 40102, "Invalid signature."),
    "no_credentials": (401, 40104, "Missing authorization."),
    "wrong_credentials": (401, 40107, "Invalid credentials."),
    "no_credit": (402, 40200, "Not enough credit."),
    "blacklisted": (403, 40300, "The number is blacklisted."),
    "restricted": (403, 40303, "The verification is not allowed."),
    "not_found": (404, 40400, "Verification not found."),
    "reference_used": (409, 40900, "The reference is already used."),
    "not_enabled": (422, 42200, "The method is not enabled for this application."),
    "no_route": (422, 42201, "There is no route to this number."),
    "capacity": (429, 42900, "Capacity exceeded."),
    "too_soon": (429, 42901, "Verifications of this number follow each other too quickly."),
    "internal": (500, 50000, "Internal error."),
    "unavailable": (503, 50300, "Temporarily unavailable."),
    "overloaded": (503, 50301, "Service overloaded."),
}

#: Results of the variant `result`: status and reason.
_RESULTS: Final = {
    "no_credit": ("ERROR", "Not enough credit"),
    "internal": ("ERROR", "Internal error"),
    "destination_denied": ("FAIL", "Destination denied"),
    "unreachable": ("FAIL", "Network error or number unreachable"),
    "sms_failure": ("FAIL", "SMS delivery failure"),
    "blocked": ("DENIED", "Blocked"),
    "fraud": ("DENIED", "Fraud"),
    "denied_by_callback": ("DENIED", "Denied by callback"),
    "invalid_callback": ("DENIED", "Invalid callback"),
    "expired": ("FAIL", "Expired"),
    "failed_pending": ("FAIL", "Failed pending"),
    "hung_up": ("FAIL", "Hung up without entering valid code"),
}

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_COUNTRIES: Final = {"+98": "IR", "+7": "RU", "+1": "US", "+44": "GB"}


def start(visit: Visit) -> Answer:
    """Start a verification, if the site allows it."""
    application, secret = admitted(visit)
    body = visit.json_object()
    phone, method = _identity(body.get("identity")), _method(body.get("method"))
    reference, custom = _text(body, "reference", _LONGEST_REFERENCE), _text(body, "custom", 4096)
    options = _options(body, method)
    visit.meet(phone)
    codes = visit.network.codes
    if reference and codes.newest(PROVIDER.name, reference=reference):
        raise RefusedError("reference_used")
    details = {
        "uuid": str(UUID(int=visit.network.chance.getrandbits(128), version=4)),
        "method": method,
        "reference": reference,
        "custom": custom,
    }
    permit = _ask(visit, phone, details, application, secret)
    code, number = _code(visit, method, options, permit)
    arrived = _deliver(visit, phone, method, code, number)
    before = codes.newest(PROVIDER.name, phone)
    if before and before.is_open(visit.network.now()):
        ended = codes.update(before.id, state="cancelled")
        _report(visit, ended, application, secret)
    record = codes.open(
        phone,
        provider=PROVIDER.name,
        channel=_CHANNELS[method],
        code=code,
        ttl=permit.expiry or read_span(options.get("expiry")) or _LIFE[method],
        details={**details, "arrived": "yes" if arrived else ""},
    )
    if method == "sms":
        fields = {"smsResult": "Successful" if arrived else "Failed"}
        _send(visit, _event(record, "VerificationSmsDeliveredEvent", fields), application, secret)
    return Answer(_started(visit, record, number))


def report_by_id(visit: Visit) -> Answer:
    """Check the answer of the user to the verification with this id."""
    caller = admitted(visit)
    body = visit.json_object()
    method = _method(body.get("method"))
    record = visit.network.codes.newest(PROVIDER.name, uuid=visit.path["id"])
    return _check(visit, body, method, record, caller)


def report_by_number(visit: Visit) -> Answer:
    """Check the answer of the user to the number's newest verification by this method."""
    caller = admitted(visit)
    body = visit.json_object()
    method = _method(body.get("method"))
    phone = _phone(visit.path["endpoint"])
    return _check(visit, body, method, visit.network.codes.newest(PROVIDER.name, phone, method=method), caller)


def status_by_id(visit: Visit) -> Answer:
    """Return the state of the verification with this id."""
    admitted(visit)
    return _status(visit, visit.network.codes.newest(PROVIDER.name, uuid=visit.path["id"]))


def status_by_number(visit: Visit) -> Answer:
    """Return the state of the number's newest verification by this method."""
    admitted(visit)
    phone, method = _phone(visit.path["endpoint"]), _method(visit.path["method"])
    return _status(visit, visit.network.codes.newest(PROVIDER.name, phone, method=method))


def status_by_reference(visit: Visit) -> Answer:
    """Return the state of the verification with the client's reference."""
    admitted(visit)
    return _status(visit, visit.network.codes.newest(PROVIDER.name, reference=visit.path["reference"]))


def _identity(value: object) -> str:
    if not isinstance(value, dict) or value.get("type") != "number":
        raise RefusedError("bad_parameter")
    return _phone(value.get("endpoint"))


def _phone(value: object) -> str:
    if not isinstance(value, str) or not _E164.fullmatch(value):
        raise RefusedError("bad_parameter")
    return value


def _method(value: object) -> str:
    method = value.lower() if isinstance(value, str) else ""
    if method == "seamless":
        raise RefusedError("not_enabled")
    if method not in _CHANNELS:
        raise RefusedError("bad_parameter")
    return method


def _text(body: Mapping[str, object], name: str, longest: int) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest:
        raise RefusedError("bad_parameter")
    return value


def _options(body: Mapping[str, object], method: str) -> dict[str, object]:
    """Return the options of the method; those of other methods are ignored."""
    name = {"flashcall": "flashCallOptions"}.get(method, f"{method}Options")
    options = body.get(name)
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise RefusedError("bad_parameter")
    kind = options.get("codeType")
    timeouts = [options.get(each) for each in ("dialTimeout", "interceptionTimeout")]
    if (
        (kind is not None and not (isinstance(kind, str) and kind.lower() in CODE_TYPES))
        or (options.get("expiry") is not None and read_span(options["expiry"]) is None)
        or any(not (each is None or (type(each) is int and each > 0)) for each in timeouts)
    ):
        raise RefusedError("bad_parameter")
    return options


def _ask(visit: Visit, phone: str, details: Mapping[str, str], application: str, secret: str) -> Permit:
    """Ask the site, if its account has a URL. Raises RefusedError unless it allows the verification."""
    url = visit.network.application_webhook(PROVIDER.name, application)
    if url is None:
        return Permit()
    languages = visit.request.accept_languages.values()
    question = {
        "id": details["uuid"],
        "event": "VerificationRequestEvent",
        "method": details["method"],
        "identity": {"type": "number", "endpoint": phone},
        "price": _price(),
        "rate": _price(),
        "reference": details["reference"],
        "custom": details["custom"],
        "acceptLanguage": [language for language in languages if language],
    }
    reply = visit.ask(_hook(visit, url, question, application, secret))
    permit = read_permit(reply.body, details["method"]) if reply and reply.status == 200 else None
    if permit is None or not permit.allowed:
        raise RefusedError("restricted")
    return permit


def _code(visit: Visit, method: str, options: Mapping[str, object], permit: Permit) -> tuple[str, str]:
    """Return the code and the calling number; the code of a flash call is that number."""
    number = f"+1815654{visit.draw_digits(_LAST_DIGITS)}"
    if method == "flashcall":
        number = permit.caller or number
        return number.removeprefix("+"), number
    if permit.code:
        return permit.code, number
    kind = (permit.code_type or str(options.get("codeType") or "numeric")).lower()
    length = int(visit.variant("length"))
    if kind == "numeric":
        return visit.draw_digits(length), number
    return "".join(visit.network.chance.choices(CODE_TYPES[kind], k=length)), number


def _deliver(visit: Visit, phone: str, method: str, code: str, number: str) -> bool:
    text = f"Your code is {code}"
    match method:
        case "flashcall":
            # Sites let the user enter the end of the number.
            return visit.place_call(phone, number=number, code=code[-_LAST_DIGITS:]).arrived
        case "callout":
            return visit.place_call(phone, number=number, code=code, spoken=text, language="en-US").arrived
        case _:
            dispatch = visit.send_message(phone, channel=_CHANNELS[method], sender="Sinch", text=text, code=code)
            return dispatch.arrived


def _check(
    visit: Visit, body: Mapping[str, object], method: str, record: RemoteCode | None, caller: tuple[str, str]
) -> Answer:
    section, name = _ANSWERS[method]
    part = body.get(section)
    given = part.get(name) if isinstance(part, dict) else None
    if not isinstance(given, str) or not given:
        raise RefusedError("bad_parameter")
    visit.meet(record.phone if record else None)
    if record is None or record.details["method"] != method:
        raise RefusedError("not_found")
    if record.state == "failed":
        return Answer(_state(visit, record))
    codes = visit.network.codes
    checked, record = codes.check(record.id, _answer(visit, record, given), most_wrong=_MOST_WRONG)
    match checked:
        case "wrong" if visit.variant("wrong_code") == "error":
            raise RefusedError("wrong_code")
        case "wrong" | "too_many":
            reason = "Invalid CLI" if method == "flashcall" else "Invalid code"
            record = codes.update(record.id, state="failed", details={"reason": reason})
        case "expired":
            record = codes.update(record.id, state="failed", details={"reason": "Expired"})
        case "closed":
            if record.state == "verified":
                _check_again(visit, record, given)
            return Answer(_state(visit, record))
        case _:
            record = codes.update(record.id, state="verified", details={"source": "manual"})
    _report(visit, record, *caller)
    return Answer(_state(visit, record))


def _check_again(visit: Visit, record: RemoteCode, given: str) -> None:
    """Raise RefusedError unless a report after the right one gets the state of the verification."""
    match visit.variant("verified_again"):
        case "not_found":
            raise RefusedError("not_found")
        case "status" if _answer(visit, record, given) != record.code:
            raise RefusedError("wrong_code")


def _answer(visit: Visit, record: RemoteCode, given: str) -> str:
    """Return the answer in the form of the code."""
    if record.details["method"] != "flashcall":
        return given
    digits = given.removeprefix("+")
    if visit.variant("cli") == "last_digits" and len(digits) >= _LAST_DIGITS and record.code.endswith(digits):
        return record.code
    return digits


def _status(visit: Visit, record: RemoteCode | None) -> Answer:
    visit.meet(record.phone if record else None)
    if record is None:
        raise RefusedError("not_found")
    return Answer(_state(visit, record))


def _outcome(visit: Visit, record: RemoteCode) -> tuple[str, str]:
    """Return status and reason of a verification."""
    if (name := visit.variant("result")) != "actual":
        return _RESULTS[name]
    match record.state:
        case "verified":
            return "SUCCESSFUL", ""
        case "cancelled":
            return "ABORTED", ""
        case "failed":
            return "FAIL", record.details["reason"]
        case _:
            return ("PENDING", "") if record.is_open(visit.network.now()) else ("FAIL", "Expired")


def _state(visit: Visit, record: RemoteCode) -> dict[str, object]:
    status, reason = _outcome(visit, record)
    details = record.details
    state: dict[str, object] = {
        "id": details["uuid"],
        "method": details["method"],
        "status": status,
        "identity": {"type": "number", "endpoint": record.phone},
        "reference": details["reference"],
        # A time in UTC that does not say so.
        "verificationTimestamp": record.opened_at.replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "price": {"verificationPrice": _price(), "terminationPrice": _price()},
    }
    country = next((name for prefix, name in _COUNTRIES.items() if record.phone.startswith(prefix)), None)
    state |= {"countryId": country} if country else {}
    state |= {"reason": reason} if reason else {}
    state |= {"source": details["source"]} if "source" in details else {}
    if details["method"] in ("flashcall", "callout"):
        reached = bool(details["arrived"])
        state |= {"callComplete": reached, "callResult": _call_result(details["method"], reached)}
    return state


def _call_result(method: str, reached: bool) -> str:
    if not reached:
        return "FAILED"
    return "ANSWERED" if method == "callout" else "NO_ANSWER"


def _started(visit: Visit, record: RemoteCode, number: str) -> dict[str, object]:
    uuid, method = record.details["uuid"], record.details["method"]
    host = visit.request.host_url
    if visit.variant("links") == "regional":
        host = "https://dc-euc1-std.verification.api.sinch.com/"
    href = f"{host}verification/v1/verifications/id/{uuid}"
    links = [{"rel": "status", "href": href, "method": "GET"}, {"rel": "report", "href": href, "method": "PUT"}]
    answer: dict[str, object] = {"id": uuid, "method": method}
    match method:
        case "flashcall":
            # The digits after the country code, not the last ones: they are not the code.
            answer["flashCall"] = {
                "cliFilter": f"(.*){number[2:6]}(.*)",
                "interceptionTimeout": 45,
                "reportTimeout": int(_LIFE[method].total_seconds()),
                "denyCallAfter": 0,
                "callId": uuid,
            }
        case "sms":
            answer["sms"] = {"template": "Your code is {{CODE}}", "interceptionTimeout": 198, "codeType": "Numeric"}
    return {**answer, "_links": links}


def _event(record: RemoteCode, name: str, fields: Mapping[str, object]) -> dict[str, object]:
    details = record.details
    return {
        "id": details["uuid"],
        "event": name,
        "method": details["method"],
        "identity": {"type": "number", "endpoint": record.phone},
        "reference": details["reference"],
        "custom": details["custom"],
        **fields,
    }


def _report(visit: Visit, record: RemoteCode, application: str, secret: str) -> None:
    """Report the result of a verification to the site."""
    status, reason = _outcome(visit, record)
    fields = {"status": status, "reason": reason, "source": record.details.get("source", "")}
    event = _event(record, "VerificationResultEvent", {name: value for name, value in fields.items() if value})
    _send(visit, event, application, secret)


def _send(visit: Visit, event: Mapping[str, object], application: str, secret: str) -> None:
    if (url := visit.network.application_webhook(PROVIDER.name, application)) is not None:
        visit.report(_hook(visit, url, event, application, secret))


def _hook(visit: Visit, url: str, event: Mapping[str, object], application: str, secret: str) -> Hook:
    hook = Hook.with_json(url, event)
    if visit.variant("webhook_auth") == "basic":
        return hook.with_headers(Authorization=f"Basic {b64encode(f'{application}:{secret}'.encode()).decode()}")
    sign = partial(signed, application=application, stamp=visit.variant("webhook_time"))
    return hook.signed_by(sign, secret)


def _price() -> dict[str, object]:
    return {"currencyId": "USD", "amount": 0.0127}


def _refuse(visit: Visit, name: str) -> Answer:
    status, number, message = _ERRORS[name]
    headers = {"Retry-After": "30"} if status == 429 and visit.variant("retry_after") == "present" else {}
    return Answer({"errorCode": number, "message": message, "reference": ""}, status, headers=headers)


_BASE: Final = "/verification/v1/verifications"

PROVIDER: Final = Provider(
    name="sinch",
    title="Sinch",
    routes=(
        Route("POST", _BASE, start),
        Route("PUT", f"{_BASE}/id/<id>", report_by_id),
        Route("PUT", f"{_BASE}/number/<endpoint>", report_by_number),
        Route("GET", f"{_BASE}/id/<id>", status_by_id),
        Route("GET", f"{_BASE}/<method>/number/<endpoint>", status_by_number),
        Route("GET", f"{_BASE}/reference/<reference>", status_by_reference),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="bad_parameter",
    credentials={
        MISSING: "wrong_credentials",
        WRONG: "wrong_credentials",
        EXPIRED: "wrong_credentials",
        INACTIVE: "wrong_credentials",
        NO_CREDIT: "no_credit",
    },
    secrets=frozenset({"code", "cli"}),
    variants={
        "wrong_code": ("error", "fail"),
        "verified_again": ("not_found", "status", "status_for_any_code"),
        "cli": ("full", "last_digits"),
        "length": ("4", "6"),
        "digits": ("random", "leading_zero"),
        "result": ("actual", *_RESULTS),
        "links": ("own", "regional"),
        "webhook_auth": ("signed", "basic"),
        "webhook_time": ("z", "offset"),
        "retry_after": ("absent", "present"),
    },
    webhook_in_cabinet=True,
    keys={"application_secret": SECRET},
)
