"""The event streams that this process has open: their limits, and how often each of them reads the store."""

from __future__ import annotations

import signal
import threading
from typing import Protocol
from weakref import WeakSet

#: Seconds between two comments that keep an idle connection open: less than the usual limit of proxies (30 to 60).
KEEP_ALIVE = 15.0
#: Seconds between two reads of one stream, if there are few.
READ_EVERY = 1.0
#: Reads per second of all streams together. With more streams than this, each of them reads less often.
READS_PER_SECOND = 500
#: A stream takes about 50 KB with its connection.
MAX_STREAMS = 5000


class Addressed(Protocol):
    """A stream, with the address of its client; None if it is unknown."""

    @property
    def address(self) -> str | None: ...

    def __hash__(self) -> int: ...


class OpenStreams:
    """The open event streams of one process.

    `keep_alive` and `read_every` are in seconds. Streams are held weakly: one that was dropped without
    being closed takes no place.
    """

    def __init__(
        self, *, keep_alive: float = KEEP_ALIVE, read_every: float = READ_EVERY, most: int = MAX_STREAMS
    ) -> None:
        self.keep_alive, self._read_every, self._most = keep_alive, read_every, most
        self._streams: WeakSet[Addressed] = WeakSet()
        # Flask opens streams in threads, and sends them in the event loop.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def pause(self) -> float:
        """Seconds until an open stream reads the store again."""
        return max(self._read_every, len(self._streams) / READS_PER_SECOND)

    def add(self, stream: Addressed) -> bool:
        """Add a stream; return False if there are too many, in total or from its address.

        One address gets half of the places: carriers put many people behind one, and another one must not
        be able to take all. Without an address only the total counts.
        """
        with self._lock:
            if len(self._streams) >= self._most:
                return False
            same = sum(stream.address == other.address for other in self._streams)
            if stream.address is not None and same >= self._most // 2:
                return False
            self._streams.add(stream)
            return True

    def remove(self, stream: Addressed) -> None:
        """Remove a stream, if it is open."""
        with self._lock:
            self._streams.discard(stream)


def server_is_stopping() -> bool:
    """Return whether uvicorn is shutting down.

    It waits for open responses without telling them, by default without a limit. Other servers cancel
    them. ASGI reports a shutdown only after the last response.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True
