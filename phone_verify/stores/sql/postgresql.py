"""Connections to PostgreSQL that notice when the server is gone."""

from __future__ import annotations

import select
import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

T = TypeVar("T")


class Connection(psycopg.Connection[Any]):
    """A connection that does not wait for ever.

    The server's own time-outs end with the server: one that is frozen, or behind a network that drops packets, would
    keep a visitor waiting until the kernel gives up.
    """

    #: How long an answer may take, in seconds.
    patience: float = 0

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
        return super().wait(self._bounded(gen), *arguments, **named)

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        deadline = time.monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                # Comes back with nothing ready several times a second.
                ready = yield wanted
                if not ready and time.monotonic() >= deadline:
                    self.close()
                    raise psycopg.OperationalError("the server gave no answer in time")
                wanted = gen.send(ready)
        except StopIteration as stop:
            result: T = stop.value
            return result


def watch(engine: sa.Engine, patience: float) -> None:
    """Let an engine's connections wait no longer than `patience`, and replace those that were ended while idle."""

    def connect(_: object, __: object, arguments: Any, named: Any) -> Connection:
        connection = Connection.connect(*arguments, **named)
        connection.patience = patience
        return connection

    def check(connection: Connection, _: object, __: object) -> None:
        # A server that ends a connection says so, and an idle one has nothing else to say.
        if connection.closed:
            raise sa.exc.DisconnectionError
        idle = select.poll()
        idle.register(connection.fileno(), select.POLLIN)
        if idle.poll(0):
            raise sa.exc.DisconnectionError

    sa.event.listen(engine, "do_connect", connect)
    sa.event.listen(engine, "checkout", check)
