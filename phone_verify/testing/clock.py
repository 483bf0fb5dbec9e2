"""A clock that moves only by `move`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class ManualClock:
    """A callable that returns the time; `move` advances it. Share one instance among everything
    that needs the time.
    """

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def move(self, seconds: float) -> None:
        """Advance by this many seconds; a negative number sets the clock back."""
        self._now += timedelta(seconds=seconds)
