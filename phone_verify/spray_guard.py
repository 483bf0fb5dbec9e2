"""Right answers of this process, written to the site-wide tally in lots.

Only their order of size matters there (a fiftieth of them), and a write for each would make one row that every answer
of the site waits for. A process that ends takes fewer than a lot with it: the tally then closes a little earlier.
"""

from __future__ import annotations

import threading

#: How many right answers are written at once.
LOT = 16


class RightAnswers:
    """Counts right answers, and returns how many the next one should write. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def due(self) -> int:
        """Return how many right answers to write with the next one: a lot that it completes, or none."""
        return LOT if self._count >= LOT - 1 else 0

    def add(self, written: int) -> None:
        """Count a right answer, with which so many were written."""
        with self._lock:
            self._count += 1 - written
