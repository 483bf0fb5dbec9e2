"""Connections to PostgreSQL that detect a lost server."""

from __future__ import annotations

import select
import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

T = TypeVar("T")


class Connection(psycopg.Connection[Any]):
    """A connection with a client-side time-out.

    The server's own time-outs end with the server: one that is frozen, or behind a network that
    drops packets, would block a visitor until the kernel gives up.
    """

    #: Response time-out, in seconds.
    patience: float = 0

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
        return super().wait(self._bounded(gen), *arguments, **named)

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        deadline = time.monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                # Returns several times a second even if nothing is ready.
                ready = yield wanted
                if not ready and time.monotonic() >= deadline:
                    self.close()
                    raise psycopg.OperationalError("the server timed out")
                wanted = gen.send(ready)
        except StopIteration as stop:
            result: T = stop.value
            return result


def watch(engine: sa.Engine, patience: float) -> None:
    """Limit the waits of an engine's connections to `patience`, and replace connections that were
    closed while idle.
    """

    def connect(_: object, __: object, arguments: Any, named: Any) -> Connection:
        connection = Connection.connect(*arguments, **named)
        connection.patience = patience
        return connection

    def check(connection: Connection, _: object, __: object) -> None:
        # A server that closes a connection sends a message, and an idle one has no other unread
        # data.
        if connection.closed:
            raise sa.exc.DisconnectionError
        idle = select.poll()
        idle.register(connection.fileno(), select.POLLIN)
        if idle.poll(0):
            raise sa.exc.DisconnectionError

    sa.event.listen(engine, "do_connect", connect)
    sa.event.listen(engine, "checkout", check)
