"""Times kept in a session: of the sign-in, and of the last verification of a number.

They are in whole seconds since 1970. A session in a cookie can be replayed; an old copy holds an
old time, so an attacker gains nothing from it.
"""

from __future__ import annotations

import time
from datetime import timedelta

from ..errors import ConfigurationError

#: A time further in the future dates from before the clock was set back; its age is unknown.
_LEEWAY = 5


def now() -> int:
    """Return the current time, as a session keeps it."""
    return int(time.time())


def age_of(kept: object) -> timedelta | None:
    """Return the age of a time kept in a session; None if the value is not a valid time."""
    if type(kept) is not int:
        return None
    age = time.time() - kept
    return timedelta(seconds=max(0.0, age)) if age >= -_LEEWAY else None


def to_timedelta(max_age: timedelta | float) -> timedelta:
    """Return a `max_age` as a timedelta.

    A number is seconds. Raises `ConfigurationError` for other values.
    """
    if isinstance(max_age, (int, float)) and not isinstance(max_age, bool):
        try:
            max_age = timedelta(seconds=max_age)
        except (OverflowError, ValueError):  # infinite, or not a number
            max_age = timedelta(0)
    if not isinstance(max_age, timedelta) or max_age <= timedelta(0):
        raise ConfigurationError("max_age: use a timedelta or a positive number of seconds, like max_age=600")
    return max_age
