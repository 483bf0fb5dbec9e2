"""Who holds which verification: our cookie of (id, secret) pairs, and the header for clients without cookies."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..model import is_id
from .call import Call

COOKIE = "phone_verify"
#: Long enough for the longest life (600 s), the proof (300 s) and a look at the clock.
COOKIE_SECONDS = 3600
HEADER = "verification-secret"
_MOST = 5
_SECRET = re.compile(r"[A-Za-z0-9_-]{22}\Z", re.ASCII)

Pairs = Sequence[tuple[str, str]]


def pairs(cookie: str) -> Pairs:
    """The (id, secret) pairs of a cookie's value, newest first; what is malformed is left out."""
    found = []
    for entry in cookie.split("~")[:_MOST]:
        id, _, secret = entry.partition(".")
        if is_id(id) and _SECRET.match(secret):
            found.append((id, secret))
    return found


def with_pair(cookie: str, id: str, secret: str) -> str:
    """The cookie's value with this pair in front, and the last five kept."""
    return _joined([(id, secret), *(pair for pair in pairs(cookie) if pair[0] != id)][:_MOST])


def without_pair(cookie: str, id: str) -> str:
    """The cookie's value without this verification."""
    return _joined([pair for pair in pairs(cookie) if pair[0] != id])


def only_pair(cookie: str, id: str) -> str:
    """The cookie's value with nothing but this verification."""
    return _joined([pair for pair in pairs(cookie) if pair[0] == id])


def secret_for(call: Call, id: str) -> str:
    """The secret shown for this verification, or an empty text: the header's, or without one the cookie's."""
    header = call.headers.get(HEADER)
    return header if header is not None else dict(pairs(call.cookie)).get(id, "")


def secrets_shown(call: Call) -> Sequence[str]:
    """Every secret this request shows."""
    header = call.headers.get(HEADER)
    return [*([header] if header else []), *(secret for _, secret in pairs(call.cookie))]


def _joined(held: Pairs) -> str:
    return "~".join(f"{id}.{secret}" for id, secret in held)
