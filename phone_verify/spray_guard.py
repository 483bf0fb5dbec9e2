"""Correct answers of this process, written to the site-wide tally in batches.

Only their order of magnitude matters there (a fiftieth of them), and a write for each would make
one row a bottleneck for every answer of the site. A process that ends loses less than one batch:
the tally then closes a little earlier.
"""

from __future__ import annotations

import threading

#: The size of a batch.
LOT = 16


class RightAnswers:
    """Counts correct answers, and returns how many to write with the next one. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def due(self) -> int:
        """Return how many correct answers to write with the next one: a completed batch, or none."""
        return LOT if self._count >= LOT - 1 else 0

    def add(self, written: int) -> None:
        """Count a correct answer that was stored together with `written` answers."""
        with self._lock:
            self._count += 1 - written
