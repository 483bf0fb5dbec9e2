"""Comparison of signatures of webhooks, and their time."""

from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime, timedelta

#: Of the vendors that state a tolerance (Telnyx), and our choice for the others.
TOLERANCE = timedelta(minutes=5)

_SECONDS = re.compile(r"[0-9]{1,11}")


def is_same(right: str | bytes, presented: str) -> bool:
    """Return whether a signature is the right one, in constant time."""
    expected = right.encode() if isinstance(right, str) else right
    return hmac.compare_digest(expected, presented.encode("utf-8", "surrogatepass"))


def time_of(seconds: str) -> datetime | None:
    """Return the time of a Unix timestamp in text; None for any other."""
    return datetime.fromtimestamp(int(seconds), UTC) if _SECONDS.fullmatch(seconds) else None


def is_recent(signed_at: datetime | None, received_at: datetime | None) -> bool:
    """Return whether a webhook was signed at most five minutes before or after it was received."""
    return signed_at is not None and received_at is not None and abs(received_at - signed_at) <= TOLERANCE
