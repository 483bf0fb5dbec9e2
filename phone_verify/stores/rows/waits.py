"""Waits on the connections of psycopg, on the client's side."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Generator
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


def bounded(gen: Generator[Any, Any, T], limit: float, give_up: Callable[[], NoReturn]) -> Generator[Any, Any, T]:
    """Run a generator of psycopg, which waits for the server, for at most `limit` seconds.

    After that `give_up` is called, which closes the connection and raises.
    """
    deadline = time.monotonic() + limit
    try:
        wanted = next(gen)
        while True:
            # Returns several times a second even if nothing is ready.
            ready = yield wanted
            if not ready and time.monotonic() >= deadline:
                give_up()
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
