"""Does things later, each in a thread of its own, until it is told to stop."""

import threading
from collections.abc import Callable

MAX_TIMERS = 100

#: Does something after so many seconds.
Later = Callable[[float, Callable[[], object]], None]


class Timers:
    """What is to be done later. Safe to share between threads; what comes above the bound is dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[threading.Timer] = set()
        self._stopped = False

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do `action` in so many seconds, unless `stop` comes first."""

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
        """Let nothing more happen."""
        with self._lock:
            self._stopped = True
            for timer in self._waiting:
                timer.cancel()
            self._waiting.clear()
