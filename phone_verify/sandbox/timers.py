"""Runs actions later, each in a separate thread, until stopped."""

import threading
from collections.abc import Callable

MAX_TIMERS = 100

#: Runs an action after this many seconds.
Later = Callable[[float, Callable[[], object]], None]


class Timers:
    """Pending actions. Thread-safe; actions above the limit are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[threading.Timer] = set()
        self._stopped = False

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Run `action` after this many seconds, unless `stop` is called first."""

        def act() -> None:
            with self._lock:
                self._waiting.discard(timer)
            action()

        timer = threading.Timer(seconds, act)
        timer.daemon = True
        with self._lock:
            if self._stopped or len(self._waiting) >= MAX_TIMERS:
                return
            self._waiting.add(timer)
            timer.start()

    def stop(self) -> None:
        """Cancel all pending actions."""
        with self._lock:
            self._stopped = True
            for timer in self._waiting:
                timer.cancel()
            self._waiting.clear()
