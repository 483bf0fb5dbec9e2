"""Waits on the connections of psycopg, on the client's side."""

from __future__ import annotations

import select
import time
from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")


def bounded(
    gen: Generator[Any, Any, T], limit: float, connection: Any, error: type[Exception]
) -> Generator[Any, Any, T]:
    """Run a generator of psycopg, which waits for the server, for at most `limit` seconds.

    After that the connection is closed, and the error is raised.
    """
    deadline = time.monotonic() + limit
    try:
        wanted = next(gen)
        while True:
            # Returns several times a second even if nothing is ready.
            ready = yield wanted
            if not ready and time.monotonic() >= deadline:
                connection.close()
                raise error("the server timed out")
            wanted = gen.send(ready)
    except StopIteration as stop:
        result: T = stop.value
        return result


def is_readable(descriptor: int) -> bool:
    """Return whether a connection has unread data; one that is idle has it if the server closed it."""
    if not hasattr(select, "poll"):  # on Windows, and removed by eventlet
        return bool(select.select([descriptor], [], [], 0)[0])
    idle = select.poll()
    idle.register(descriptor, select.POLLIN)
    return bool(idle.poll(0))
