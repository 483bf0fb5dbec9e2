"""Webhooks that are signed by a JWT with a shared secret.

PyJWT checks it (the extra `webhooks`). It is imported when a webhook arrives, so that a site without
signed webhooks needs no package; `require` tells the others when they start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any

_NO_TIME_CHECK: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


def require(package: str, option: str) -> None:
    """Raise ValueError, saying what to install, if a package that this option needs is missing."""
    if find_spec(package) is None:
        raise ValueError(f"option {option!r} needs a package: pip install 'phone-verify[webhooks]'")


def claims_of(token: str, key: str, algorithms: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the claims of a JWT that this key signed by one of these algorithms; None otherwise.

    Its times are not checked here: a driver has no clock. See `is_within`.
    """
    from jwt import InvalidTokenError, decode

    try:
        claims: Mapping[str, Any] = decode(token, key, algorithms=list(algorithms), options=_NO_TIME_CHECK)
    except (InvalidTokenError, ValueError, RecursionError):
        return None
    return claims


def is_within(claims: Mapping[str, Any], received_at: datetime | None, leeway: timedelta) -> bool:
    """Return whether a token is valid at this time: after `nbf` or `iat` and before `exp`, as far as it
    has them, and it has at least one.
    """
    now = received_at.timestamp() if received_at is not None else None
    starts = [claims[name] for name in ("nbf", "iat") if name in claims]
    ends = [claims[name] for name in ("exp",) if name in claims]
    if now is None or not (starts or ends) or not all(type(time) in (int, float) for time in (*starts, *ends)):
        return False
    slack = leeway.total_seconds()
    return all(start <= now + slack for start in starts) and all(now - slack <= end for end in ends)
