"""Evand: a text with a code of five digits, which Evand generates and checks. A token for the
participant is the proof.

The site requests a token, sends with it, and exchanges the code that the user entered. The replies
are OAuth2's; no source shows them. A code is valid once, for two minutes, and only until the next
one is sent.
"""

import threading
from datetime import UTC, datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

from phone_verify.sandbox.network import Network
from phone_verify.sandbox.numbers import IRAN
from phone_verify.sandbox.protocols.base import (
    EXPIRED,
    INACTIVE,
    MISSING,
    WRONG,
    Answer,
    Provider,
    RefusedError,
    Route,
    Visit,
)

LIFE: Final = timedelta(seconds=120)
_TOKEN_LIFE: Final = timedelta(seconds=3600)
_CODE_LENGTH = 5

#: HTTP status, OAuth2's `error` if there is one, and `message` of each error. None is published.
_ERRORS: Final = {
    "wrong_client": (401, "invalid_client", "client authentication failed"),
    "expired_client": (401, "invalid_client", "the client has expired"),
    "inactive_client": (401, "invalid_client", "the client is switched off"),
    "unknown_grant": (400, "unsupported_grant_type", "the grant type is not supported"),
    "wrong_code": (400, "invalid_grant", "the verification code is wrong, used or has expired"),
    "not_in_event": (400, "invalid_grant", "the mobile belongs to no participant of the event"),
    "bad_token": (401, None, "the token is missing or has expired"),
    "bad_mobile": (422, None, "the mobile is invalid"),
    "missing_field": (422, None, "a required field is missing"),
    "too_many": (429, None, "too many attempts"),
    "server_error": (500, None, "server error"),
}

#: Ids of the dispatches whose code was exchanged, weakly keyed by network.
_EXCHANGED: Final[WeakKeyDictionary[Network, set[int]]] = WeakKeyDictionary()
_EXCHANGE = threading.Lock()


def give_token(visit: Visit) -> Answer:
    """Issue a token to the site, or the participant's for the right code."""
    body = visit.json_object()
    match body.get("grant_type"):
        case "client_credentials":
            _admit_client(visit, body)
            visit.meet(None)
            return _token(visit, "CLIENT")
        case "event_mobile_verification":
            return _exchange(visit, body)
        case _:
            _admit_client(visit, body)
            raise RefusedError("unknown_grant")


def send_code(visit: Visit) -> Answer:
    """Send a new code to a mobile number."""
    body = visit.json_object()
    _admit_token(visit)
    phone = _mobile(body)
    visit.meet(phone)
    code = visit.draw_digits(_CODE_LENGTH)
    visit.send_message(phone, channel="sms", sender="Evand", text=f"Your code is {code}", code=code)
    match visit.variant("sent"):
        case "empty":
            return Answer("", 204)
        case "text":
            return Answer("OK", 201, "text/plain; charset=utf-8")
        case _:
            return Answer({"data": {"mobile": IRAN.bare(phone)}, "meta": {}})


def _exchange(visit: Visit, body: dict[str, object]) -> Answer:
    _admit_client(visit, body)
    phone, code = _mobile(body), _code(body.get("mobile_verification_code"))
    if body.get("event_id") in (None, ""):
        raise RefusedError("missing_field")
    visit.meet(phone)
    if visit.variant("mobile") == "not_in_event":
        raise RefusedError("not_in_event")
    if not _take(visit.network, phone, code):
        raise RefusedError("wrong_code")
    if visit.variant("exchange") == "without_token":
        return Answer({"data": {}, "meta": {}})
    return _token(visit, "USER")


def _take(network: Network, phone: str, code: str) -> bool:
    """Use up the newest code that was sent to this phone, if it is this one; returns True to
    exactly one caller.
    """
    with _EXCHANGE:
        sent = network.dispatches(PROVIDER.name)
        newest = next((dispatch for dispatch in sent if dispatch.phone == phone), None)
        exchanged = _EXCHANGED.setdefault(network, set())
        exchanged &= {dispatch.id for dispatch in sent}
        if newest is None or newest.id in exchanged:
            return False
        if newest.code != code or network.now() >= newest.at + LIFE:
            return False
        exchanged.add(newest.id)
        return True


def _token(visit: Visit, kind: str) -> Answer:
    """Return a token that contains its expiry; the format of the real one is opaque to clients too."""
    now = visit.network.now()
    stale = kind == "CLIENT" and visit.variant("client_token") == "expired"
    ends_at = int((now if stale else now + _TOKEN_LIFE).timestamp())
    answer: dict[str, object] = {"access_token": f"SANDBOX.{kind}.{ends_at}.{visit.draw_digits(12)}"}
    if visit.variant("token") == "full":
        answer |= {"token_type": "Bearer", "expires_in": int(_TOKEN_LIFE.total_seconds())}
    if kind == "USER":
        answer["refresh_token"] = f"SANDBOX.REFRESH.{visit.draw_digits(12)}"
    return Answer(answer)


def _admit_token(visit: Visit) -> None:
    """Accept a token of the site or of a user, with or without a prefix, until it expires."""
    token = visit.request.headers.get("Authorization", "").rpartition(" ")[2]
    match token.split("."):
        case ["SANDBOX", "CLIENT" | "USER", ends_at, _] if ends_at.isascii() and ends_at.isdecimal():
            # Twelve digits exceed the range of any clock.
            if len(ends_at) < 12 and visit.network.now() < datetime.fromtimestamp(int(ends_at), UTC):
                return
    raise RefusedError("bad_token")


def _admit_client(visit: Visit, body: dict[str, object]) -> None:
    visit.admit(body.get("client_id"))
    visit.admit(body.get("client_secret"))


def _mobile(body: dict[str, object]) -> str:
    if body.get("mobile") in (None, ""):
        raise RefusedError("missing_field")
    phone = IRAN.to_e164(body["mobile"])
    if phone is None:
        raise RefusedError("bad_mobile")
    return phone


def _code(value: object) -> str:
    """Read a code, as text or, as the blog's sample may be interpreted, as a number."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_CODE_LENGTH:
        return f"{value:0{_CODE_LENGTH}}"
    if isinstance(value, str) and value:
        return value
    raise RefusedError("missing_field")


def _refuse(visit: Visit, name: str) -> Answer:
    status, error, message = _ERRORS[name]
    if error == "invalid_grant":
        status = int(visit.variant("wrong_code"))
    return Answer({"error": error, "message": message} if error else {"message": message}, status)


PROVIDER: Final = Provider(
    name="evand",
    title="Evand",
    routes=(
        Route("POST", "/api/oauth2/token", give_token),
        Route("POST", "/mobile/verification-codes", send_code),
    ),
    refusals=tuple(_ERRORS),
    refuse=_refuse,
    unreadable="missing_field",
    credentials={
        MISSING: "wrong_client",
        WRONG: "wrong_client",
        EXPIRED: "expired_client",
        INACTIVE: "inactive_client",
    },
    secrets=frozenset({"client_secret", "mobile_verification_code"}),
    variants={
        "client_token": ("fresh", "expired"),
        "token": ("full", "bare"),
        "sent": ("wrapped", "empty", "text"),
        "mobile": ("in_event", "not_in_event"),
        "wrong_code": ("400", "422"),
        "exchange": ("token", "without_token"),
        "digits": ("random", "leading_zero"),
    },
)
