"""Twilio Programmable Messaging: the client's text by SMS, or a template by WhatsApp.

Requests are forms, with Basic authentication by account and auth token or by an API key. A message
may be accepted and fail later: then the error is in the message, not in the response's status.
`StatusCallback` receives each step, signed with the auth token of the request, or with the account's
if the client has an API key.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from phone_verify.sandbox.numbers import code_in
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
from phone_verify.sandbox.protocols.twilio_common import (
    SIGNING_KEY,
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
from phone_verify.sandbox.webhooks import Hook

_WHATSAPP = "whatsapp:"
_LONGEST_BODY = 1600
_LONGEST_VALIDITY = 36_000
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}", re.ASCII)
_SERVICE = re.compile(r"MG\w+", re.ASCII)
_TEMPLATE = re.compile(r"HX\w+", re.ASCII)
_UNREACHABLE = "30003"
_OUTSIDE_SESSION = "63016"

#: Errors of a request: HTTP status and text. Only the codes of the fact sheet are classified there;
#: the others, of missing or malformed fields, are long-standing ones.
_ERRORS: Final = {
    "20003": (401, "Authenticate"),
    "20404": (404, "The requested resource was not found"),
    "20422": (400, "Invalid parameter"),
    "20429": (429, "Too Many Requests"),
    "20500": (500, "Internal Server Error"),
    "21211": (400, "Invalid 'To' Phone Number"),
    "21408": (400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"),
    "21602": (400, "Message body is required."),
    "21603": (400, "A 'From' phone number is required."),
    "21604": (400, "A 'To' phone number is required."),
    "21606": (400, "The 'From' phone number provided is not a valid message-capable Twilio phone number"),
    "21609": (400, "The 'StatusCallback' URL is not a valid URL."),
    "21610": (400, "Attempt to send to unsubscribed recipient"),
    "21614": (400, "'To' number is not a valid mobile number"),
    "21617": (400, "The concatenated message body exceeds the 1600 character limit"),
    "21659": (400, "'From' is not a Twilio phone number or Short Code country mismatch"),
}
#: Errors of an accepted message.
_FAILURES: Final = {
    "30001": "Queue overflow",
    "30002": "Account suspended",
    "30003": "Unreachable destination handset",
    "30005": "Unknown destination handset",
    "30006": "Landline or unreachable carrier",
    "30007": "Message filtered",
    "30008": "Unknown error",
    "63016": "Failed to send freeform message because you are outside the allowed window",
}


def create_message(visit: Visit) -> Answer:
    """Accept a message for delivery."""
    account = visit.path["account"]
    failure = ""
    try:
        admit(visit, account)
    except RefusedError as refusal:
        if refusal.name not in _FAILURES:
            raise
        failure = refusal.name
    fields = form_of(visit)
    whatsapp, phone = _address(fields.get("To"), "21604", "21211")
    sender = _sender(fields, whatsapp=whatsapp)
    text, code = _content(fields)
    callback = fields.get("StatusCallback", "")
    if callback and not callback.startswith(("http://", "https://")):
        raise RefusedError("21609")
    _validity(fields.get("ValidityPeriod"))
    try:
        visit.meet(phone)
    except RefusedError as refusal:
        if refusal.name not in _FAILURES:
            raise
        failure = refusal.name
    if is_embargoed(visit, phone):
        raise RefusedError("21408")
    if whatsapp and "ContentSid" not in fields:
        failure = failure or _OUTSIDE_SESSION
    if visit.variant("account") == "trial":
        text = f"Sent from your Twilio trial account - {text}"
    dispatch = visit.send_message(
        phone,
        channel="whatsapp" if whatsapp else "sms",
        sender=sender.removeprefix(_WHATSAPP) or "Twilio",
        text=text,
        code=code,
        reachable=not failure,
        details={
            "account": account,
            "from": sender,
            "service": fields.get("MessagingServiceSid", ""),
            "body": text,
            "failure": failure,
        },
    )
    if callback:
        _report(visit, dispatch, callback)
    first = "failed" if failure and visit.variant("failure") == "immediate" else _first_status(dispatch)
    return Answer(_message(visit, dispatch, first), 201)


def fetch_message(visit: Visit) -> Answer:
    """Return a message with its status."""
    _admit_query(visit)
    dispatch = visit.network.dispatch(number_of("SM", visit.path["sid"]))
    visit.meet(dispatch.phone if dispatch else None)
    account = visit.path["account"]
    if dispatch is None or dispatch.provider != PROVIDER.name or dispatch.details["account"] != account:
        raise RefusedError("20404")
    shown = visit.variant("status")
    return Answer(_message(visit, dispatch, _last_status(visit, dispatch) if shown == "final" else shown))


def fetch_balance(visit: Visit) -> Answer:
    """Return the balance."""
    _admit_query(visit)
    visit.meet(None)
    return Answer({"account_sid": visit.path["account"], "balance": "10.50", "currency": "USD"})


def _admit_query(visit: Visit) -> None:
    """Reject wrong credentials; an account without credit can still be queried."""
    try:
        admit(visit, visit.path["account"])
    except RefusedError as refusal:
        if refusal.name not in _FAILURES:
            raise


def _address(written: str | None, missing: str, invalid: str) -> tuple[bool, str]:
    """Return whether an address is one of WhatsApp, and its number."""
    if not written:
        raise RefusedError(missing)
    phone = phone_of(written.removeprefix(_WHATSAPP))
    if phone is None:
        raise RefusedError(invalid)
    return written.startswith(_WHATSAPP), phone


def _sender(fields: Mapping[str, str], *, whatsapp: bool) -> str:
    """Return the sender, empty if a messaging service selects it."""
    sender, service = fields.get("From", ""), fields.get("MessagingServiceSid", "")
    if not sender and not service:
        raise RefusedError("21603")
    if service and not _SERVICE.fullmatch(service):
        raise RefusedError("20422")
    if sender and whatsapp != sender.startswith(_WHATSAPP):
        raise RefusedError("21606")
    if sender and not _SENDER.fullmatch(sender.removeprefix(_WHATSAPP)):
        raise RefusedError("21659")
    return sender


def _content(fields: Mapping[str, str]) -> tuple[str, str]:
    """Return the text that arrives, and its code."""
    body, template = fields.get("Body", ""), fields.get("ContentSid")
    if template is None:
        if not body:
            raise RefusedError("21602")
        if len(body) > _LONGEST_BODY:
            raise RefusedError("21617")
        return body, code_in(body)
    try:
        variables = json.loads(fields.get("ContentVariables", "{}"))
    except (ValueError, RecursionError):
        variables = None
    if not _TEMPLATE.fullmatch(template) or not isinstance(variables, dict):
        raise RefusedError("20422")
    code = variables.get("1")
    if not isinstance(code, str) or not code:
        raise RefusedError("20422")
    return f"{code} is your verification code.", code


def _validity(written: str | None) -> None:
    if written is None:
        return
    if not written.isascii() or not written.isdecimal() or not 1 <= int(written[:9]) <= _LONGEST_VALIDITY:
        raise RefusedError("20422")


def _first_status(dispatch: Dispatch) -> str:
    return "accepted" if dispatch.details["service"] else "queued"


def _last_status(visit: Visit, dispatch: Dispatch) -> str:
    match dispatch.state(visit.network.now()):
        case "unknown":
            return "sent"
        case "done":
            return "delivered"
        case _:
            return "undelivered"


def _failure(dispatch: Dispatch, status: str) -> str | None:
    """Return the error code of a message in this status."""
    if status not in ("failed", "undelivered"):
        return None
    return dispatch.details["failure"] or _UNREACHABLE


def _message(visit: Visit, dispatch: Dispatch, status: str) -> dict[str, object]:
    details, failure = dispatch.details, _failure(dispatch, status)
    account, shown = details["account"], sid("SM", dispatch.id)
    is_priced = status in ("sent", "delivered", "read", "undelivered") and visit.variant("price") == "known"
    whatsapp = _WHATSAPP if dispatch.channel == "whatsapp" else ""
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": details["body"],
        "date_created": _date(dispatch.at),
        "date_sent": _date(dispatch.at) if is_priced else None,
        "date_updated": _date(dispatch.at),
        "direction": "outbound-api",
        "error_code": int(failure) if failure else None,
        "error_message": _FAILURES[failure] if failure else None,
        "from": details["from"] or None,
        "messaging_service_sid": details["service"] or None,
        "num_media": "0",
        "num_segments": "1",
        "price": "-0.00750" if is_priced else None,
        "price_unit": "USD",
        "sid": shown,
        "status": status,
        "subresource_uris": {"media": f"/2010-04-01/Accounts/{account}/Messages/{shown}/Media.json"},
        "to": whatsapp + dispatch.phone,
        "uri": f"/2010-04-01/Accounts/{account}/Messages/{shown}.json",
    }


def _report(visit: Visit, dispatch: Dispatch, url: str) -> None:
    """Report each step of a message."""
    steps = ["sent", _last_status(visit, dispatch)]
    match visit.variant("reports"):
        case "reversed":
            steps.reverse()
        case "final":
            steps = steps[1:]
        case "read" if steps[-1] == "delivered":
            steps.append("read")
    token = signing_token(visit)
    whatsapp = _WHATSAPP if dispatch.channel == "whatsapp" else ""
    for status in steps:
        failure = _failure(dispatch, status)
        fields = {
            "AccountSid": dispatch.details["account"],
            "ApiVersion": "2010-04-01",
            "From": dispatch.details["from"],
            "MessageSid": sid("SM", dispatch.id),
            "MessageStatus": status,
            "SmsSid": sid("SM", dispatch.id),
            "SmsStatus": status,
            "To": whatsapp + dispatch.phone,
            **({"ErrorCode": failure} if failure else {}),
        }
        visit.report(Hook.with_form(url, fields).signed_by(sign, token))


def _date(at: datetime) -> str:
    return format_datetime(at)


def _refuse(visit: Visit, name: str) -> Answer:
    status, text = _ERRORS.get(name) or (400, _FAILURES[name])
    return error(int(name), status, text)


_BASE = "/2010-04-01/Accounts/<account>"

PROVIDER: Final = Provider(
    name="twilio",
    title="Twilio",
    routes=(
        Route("POST", f"{_BASE}/Messages.json", create_message),
        Route("GET", f"{_BASE}/Messages/<sid>.json", fetch_message),
        Route("GET", f"{_BASE}/Balance.json", fetch_balance),
    ),
    refusals=(*_ERRORS, *_FAILURES),
    refuse=_refuse,
    unreadable="20422",
    credentials={MISSING: "20003", WRONG: "20003", EXPIRED: "20003", INACTIVE: "30002", NO_CREDIT: "30002"},
    secrets=frozenset({"statuscallback"}),
    keys={"webhook_token": SIGNING_KEY},
    variants={
        "failure": ("later", "immediate"),
        "status": ("final", "queued", "sending", "sent", "read", "canceled", "failed"),
        "reports": ("in_order", "reversed", "final", "read"),
        "price": ("known", "absent"),
        "account": ("full", "trial"),
        "embargo": ("off", "on"),
    },
)
