"""Notices spraying: few tries each, over very many phones, so that no phone's own limit sees it.

Three tries over ten thousand numbers hit about three codes of four digits (threat model, section 4, "Flash call").
What shows it is the share of wrong answers: people get a short code right most of the time. When too many are wrong,
short codes are off for a while, on all channels.

Of this process: each worker of a site sees its own share of the answers, and a spray falls on all of them alike.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

#: Answers are weighed over so long, and not before there are so many.
_WINDOW_SECONDS = 300.0
_LEAST_ANSWERS = 40
#: More wrong answers than this share of them is spraying.
_WRONG_SHARE = 0.6
_OFF_SECONDS = 600.0


class Spraying:
    """Counts answers to short codes, and says whether short codes are off. Safe to share between threads."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._lock = threading.Lock()
        self._since, self._answers, self._wrong = ticks(), 0, 0
        self._off_until = float("-inf")

    @property
    def off(self) -> bool:
        """Whether short codes are off now."""
        return self._ticks() < self._off_until

    def answered(self, *, right: bool) -> bool:
        """Count one answer; True if it is the one that turns short codes off."""
        with self._lock:
            now = self._ticks()
            if now - self._since >= _WINDOW_SECONDS:
                self._since, self._answers, self._wrong = now, 0, 0
            self._answers += 1
            self._wrong += not right
            if self._answers < _LEAST_ANSWERS or self._wrong <= self._answers * _WRONG_SHARE:
                return False
            turned, self._off_until = not self.off, now + _OFF_SECONDS
            self._since, self._answers, self._wrong = now, 0, 0
            return turned
