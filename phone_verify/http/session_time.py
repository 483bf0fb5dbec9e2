"""Moments that a session keeps, in whole seconds since 1970: when its user signed in, or proved the own number.

A session that is a cookie can be put back; an old copy holds an old moment, and gains nothing.
"""

from __future__ import annotations

import time
from datetime import timedelta

from ..errors import ConfigurationError

#: A moment further in the future is of before the clock was put back, and nobody knows how long ago it is.
_LEEWAY = 5


def now() -> int:
    """This moment, as a session keeps it."""
    return int(time.time())


def ago(kept: object) -> timedelta | None:
    """How long ago the moment is that a session kept; None for what is none."""
    if type(kept) is not int:
        return None
    age = time.time() - kept
    return timedelta(seconds=max(0.0, age)) if age >= -_LEEWAY else None


def span(max_age: timedelta | float) -> timedelta:
    """A `max_age` as a span; a number is seconds. Raises `ConfigurationError` for what is none."""
    if isinstance(max_age, (int, float)) and not isinstance(max_age, bool):
        try:
            max_age = timedelta(seconds=max_age)
        except (OverflowError, ValueError):  # infinite, or no number
            max_age = timedelta(0)
    if not isinstance(max_age, timedelta) or max_age <= timedelta(0):
        raise ConfigurationError("max_age: write a timedelta, or a number of seconds, like max_age=600")
    return max_age
