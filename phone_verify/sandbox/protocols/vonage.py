"""Vonage's SMS API: a text with the site's code, and signed delivery receipts.

HTTP is always 200; `status` of each part decides. A long text has several parts, each with an id of
its own. The account is named by `api_key` with `api_secret` (in the body or as Basic credentials)
or with a signature (`sig`). Receipts go to the `callback` of the request, or else to the URL of the
account (`PUT /api/webhooks`), and are signed with `SIGNING_KEY`.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
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
from phone_verify.sandbox.protocols.sms_parts import gsm_text, parts_of
from phone_verify.sandbox.webhooks import Hook

#: The signature secret of every account in the sandbox.
SIGNING_KEY: Final = "sandbox-signature-secret-0123456789"

_TO = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_SENDER = re.compile(r"[A-Za-z0-9 ]{1,11}|[0-9]{1,15}", re.ASCII)
_TTLS: Final = range(20_000, 604_800_001)
_LONGEST_TEXT, _LONGEST_CALLBACK, _LONGEST_REF = 3200, 100, 100
_PARTS_PER_MESSAGE = 64
#: Requests and receipts with an older timestamp are not accepted.
_LONGEST_AGE = 300
_PRICE, _BALANCE, _NETWORK = "0.03330000", "15.50000000", "23410"
#: `status` and `error-text` of each error.
_ERRORS: Final = {
    "throttled": ("1", "Throughput Rate Exceeded - please wait and retry"),
    "missing_parameter": ("2", "Missing required parameter"),
    "invalid_parameter": ("3", "Invalid value for a parameter"),
    "invalid_credentials": ("4", "Bad Credentials"),
    "internal_error": ("5", "Internal Error"),
    "invalid_message": ("6", "Unroutable message - rejected"),
    "number_barred": ("7", "Number barred"),
    "account_barred": ("8", "Partner account barred"),
    "quota_exceeded": ("9", "Quota Exceeded - rejected"),
    "too_many_binds": ("10", "Too many existing binds"),
    "http_not_enabled": ("11", "Account not enabled for HTTP"),
    "message_too_long": ("12", "Message too long"),
    "invalid_signature": ("14", "Invalid signature"),
    "invalid_sender": ("15", "Invalid sender address"),
    "invalid_network": ("22", "Invalid network code"),
    "invalid_callback": ("23", "Invalid callback URL"),
    "not_whitelisted": ("29", "Non-whitelisted destination - rejected"),
    "signature_and_secret": ("32", "Signature and API secret are not allowed together"),
    "number_deactivated": ("33", "Number de-activated"),
}

#: `err-code` of each receipt's status.
_RECEIPTS: Final = {
    "delivered": "0",
    "accepted": "0",
    "buffered": "0",
    "failed": "1",
    "expired": "2",
    "rejected": "6",
    "unknown": "99",
}


def send(visit: Visit) -> Answer:
    """Send a text in one or more parts."""
    fields = _admitted(visit)
    to, sender, text = (_required(fields, name) for name in ("to", "from", "text"))
    if not _TO.fullmatch(to):
        raise RefusedError("invalid_parameter")
    phone = f"+{to}"
    visit.meet(phone)
    kind, callback = _checked(fields, sender)
    if kind != "unicode":
        text = gsm_text(text)
    code = code_in(text)
    dispatch = visit.send_message(phone, channel="sms", sender=sender, text=text, code=code)
    ids = _message_ids(dispatch, parts_of(text, unicode=kind == "unicode"))
    _report(visit, dispatch, fields, callback, ids)
    parts = [_accepted(to, id, fields) for id in ids]
    if len(parts) > 1 and visit.variant("parts") == "last_fails":
        parts[-1] = _refused("throttled")
    return _messages(parts)


def get_balance(visit: Visit) -> Answer:
    """Return the credit of the account."""
    _admitted(visit)
    visit.meet(None)
    return Answer({"value": float(_BALANCE), "autoReload": False})


def sign(params: Mapping[str, str], method: str, secret: str = SIGNING_KEY) -> str:
    """Return the signature of parameters by one of the account's methods; `sig` itself is left out."""
    named = sorted((name, value) for name, value in params.items() if name != "sig")
    signed = "".join(f"&{name}={value.replace('&', '_').replace('=', '_')}" for name, value in named)
    if method == "md5hash":
        return hashlib.md5(f"{signed}{secret}".encode(), usedforsecurity=False).hexdigest()
    return hmac.new(secret.encode(), signed.encode(), method).hexdigest()


def _admitted(visit: Visit) -> dict[str, str]:
    """Read the parameters, and reject missing or invalid credentials."""
    fields = {name: value for name, value in visit.fields().items() if isinstance(value, str)}
    key, secret = visit.basic()
    if not key:
        key, secret = fields.get("api_key", ""), fields.get("api_secret", "")
    visit.admit(key)
    if "sig" not in fields:
        visit.admit(secret)
    elif secret:
        raise RefusedError("signature_and_secret")
    elif not _is_signed(visit, fields):
        raise RefusedError("invalid_signature")
    return {**fields, "api_key": key}


def _is_signed(visit: Visit, fields: Mapping[str, str]) -> bool:
    stamp = fields.get("timestamp", "")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 12):
        return False
    if abs(visit.network.now().timestamp() - int(stamp)) > _LONGEST_AGE:
        return False
    # The method is a setting of the account, and each account of the sandbox has them all.
    given = fields["sig"].lower()
    return any(hmac.compare_digest(given.encode(), sign(fields, each).encode()) for each in _METHODS)


def _required(fields: Mapping[str, str], name: str) -> str:
    if not (value := fields.get(name)):
        raise RefusedError("missing_parameter")
    return value


def _checked(fields: Mapping[str, str], sender: str) -> tuple[str, str | None]:
    """Check the optional parameters; return the type and the callback."""
    ttl, kind, callback = fields.get("ttl"), fields.get("type", "text"), fields.get("callback")
    if not _SENDER.fullmatch(sender):
        raise RefusedError("invalid_sender")
    if kind not in ("text", "unicode") or len(fields.get("client-ref", "")) > _LONGEST_REF:
        raise RefusedError("invalid_parameter")
    if ttl is not None and not (ttl.isascii() and ttl.isdecimal() and len(ttl) < 12 and int(ttl) in _TTLS):
        raise RefusedError("invalid_parameter")
    if len(fields["text"]) > _LONGEST_TEXT:
        raise RefusedError("message_too_long")
    if callback and not (callback.startswith(("http://", "https://")) and len(callback) <= _LONGEST_CALLBACK):
        raise RefusedError("invalid_callback")
    return kind, callback


def _message_ids(dispatch: Dispatch, parts: int) -> list[str]:
    return [f"0C{dispatch.id * _PARTS_PER_MESSAGE + part:014X}" for part in range(parts)]


def _accepted(to: str, id: str, fields: Mapping[str, str]) -> dict[str, str]:
    part = {
        "to": to,
        "message-id": id,
        "status": "0",
        "remaining-balance": _BALANCE,
        "message-price": _PRICE,
        "network": _NETWORK,
    }
    return {**part, "client-ref": fields["client-ref"]} if "client-ref" in fields else part


def _report(visit: Visit, dispatch: Dispatch, fields: Mapping[str, str], callback: str | None, ids: list[str]) -> None:
    url = callback or visit.network.webhooks().get(PROVIDER.name)
    if url is None or fields.get("status-report-req") in ("0", "false"):
        return
    final = "delivered" if dispatch.arrived else "failed"
    match visit.variant("receipt"):
        case "final":
            statuses = [final]
        case "stages":
            statuses = ["accepted", "buffered", final]
        case "disordered":
            statuses = [final, "buffered", "accepted"]
        case status:
            statuses = [status]
    for status in statuses:
        for id in ids:
            visit.report(_receipt(visit, url, _status_of(dispatch, fields, id, status)))


def _status_of(dispatch: Dispatch, fields: Mapping[str, str], id: str, status: str) -> dict[str, str]:
    receipt = {
        "msisdn": dispatch.phone[1:],
        "to": fields["from"],
        "network-code": _NETWORK,
        "messageId": id,
        "price": _PRICE,
        "status": status,
        "scts": f"{dispatch.at:%y%m%d%H%M}",
        "err-code": _RECEIPTS[status],
        "api-key": fields["api_key"],
        "message-timestamp": f"{dispatch.at:%Y-%m-%d %H:%M:%S}",
    }
    return {**receipt, "client-ref": fields["client-ref"]} if "client-ref" in fields else receipt


def _receipt(visit: Visit, url: str, receipt: dict[str, str]) -> Hook:
    make, method = _FORMS[visit.variant("webhook")], visit.variant("signature")
    nonce = f"{visit.network.chance.getrandbits(128):032x}"

    def signed(hook: Hook, now: datetime, key: str) -> Hook:
        fields = {**receipt, "timestamp": str(int(now.timestamp())), "nonce": nonce}
        return make(url, {**fields, "sig": sign(fields, method, key)})

    return make(url, receipt).signed_by(signed, SIGNING_KEY)


def _refused(name: str) -> dict[str, str]:
    status, text = _ERRORS[name]
    return {"status": status, "error-text": text}


def _messages(parts: list[dict[str, str]]) -> Answer:
    return Answer({"message-count": str(len(parts)), "messages": parts}, content_type="application/json")


def _refuse(visit: Visit, name: str) -> Answer:
    if visit.request.path.rstrip("/").endswith("/account/get-balance"):
        return Answer({"error-code": "401", "error-code-label": "authentication failed"}, 401)
    return _messages([_refused(name)])


_METHODS: Final = ("sha256", "sha512", "sha1", "md5", "md5hash")
_FORMS: Final[Mapping[str, Callable[[str, Mapping[str, object]], Hook]]] = {
    "query": Hook.with_query,
    "form": Hook.with_form,
    "json": Hook.with_json,
}

PROVIDER: Final = Provider(
    name="vonage",
    title="Vonage SMS",
    routes=(
        Route("POST", "/sms/json", send, exact_slash=True),
        Route("GET", "/account/get-balance", get_balance),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="missing_parameter",
    credentials={
        MISSING: "missing_parameter",
        WRONG: "invalid_credentials",
        EXPIRED: "http_not_enabled",
        INACTIVE: "account_barred",
        NO_CREDIT: "quota_exceeded",
    },
    secrets=frozenset({"api_secret", "sig", "callback"}),
    variants={
        "parts": ("all", "last_fails"),
        "receipt": ("final", "stages", "disordered", *_RECEIPTS),
        "signature": _METHODS,
        "webhook": tuple(_FORMS),
    },
    webhook_in_cabinet=True,
    keys={"signature_secret": SIGNING_KEY},
)
