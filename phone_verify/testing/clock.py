"""A clock that stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class ManualClock:
    """Call it for the time; `move` it by seconds. Give the same one to everything that asks for the time."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def move(self, seconds: float) -> None:
        """Let this many seconds pass; a negative number is a clock set back."""
        self._now += timedelta(seconds=seconds)
