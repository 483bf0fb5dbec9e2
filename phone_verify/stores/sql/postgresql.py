"""Connections to PostgreSQL that detect a lost server and a pooler."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

from ..rows.waits import bounded, is_readable

T = TypeVar("T")


class Connection(psycopg.Connection[Any]):
    """A connection with a client-side time-out.

    The server's own time-outs end with the server: one that is frozen, or behind a network that
    drops packets, would block a visitor until the kernel gives up. So would a pooler that has no
    free connection.
    """

    #: Response time-out, in seconds.
    patience: float = 0
    #: Whether a pooler may give each transaction another session of the server.
    pooled: bool = False

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
        return super().wait(bounded(gen, self.patience, self, psycopg.OperationalError), *arguments, **named)


class Connector:
    """Connects to a server, or to a pooler in front of it.

    `settings` are the server's settings for each session. A pooler in transaction mode keeps none
    of them, and no prepared statements: it refuses them at the connection, or drops them silently.
    `pooled` states whether there is one; None detects it.
    """

    def __init__(self, patience: float, settings: str, pooled: bool | None) -> None:
        self._patience, self._settings, self._pooled = patience, settings, pooled
        #: Whether the last connection was refused because of the settings.
        self._refuses_settings = False

    def __call__(self, _: object, __: object, arguments: Any, named: Any) -> Connection:
        """Connect, as SQLAlchemy's event `do_connect`."""
        if self._pooled or self._refuses_settings:
            return self._connected(arguments, {**named, "prepare_threshold": None}, pooled=True)
        options = f"{self._settings} {named.get('options', '')}".rstrip()
        try:
            return self._connected(arguments, {**named, "options": options}, pooled=self._pooled)
        except psycopg.OperationalError as error:
            if self._pooled is not None or "unsupported startup parameter" not in str(error):
                raise
            self._refuses_settings = True
        return self(_, __, arguments, named)

    def _connected(self, arguments: Any, named: Any, *, pooled: bool | None) -> Connection:
        connection = Connection.connect(*arguments, **{**named, "autocommit": True})
        connection.patience = self._patience
        try:
            connection.pooled = _is_pooled(connection) if pooled is None else pooled
        except BaseException:
            connection.close()
            raise
        if connection.pooled:
            connection.prepare_threshold = None
        return connection


def _is_pooled(connection: Connection) -> bool:
    """Return whether the process that runs our statements is another than the one that we connected to."""
    row = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    return row is None or row[0] != connection.info.backend_pid


def watch(engine: sa.Engine, connect: Connector) -> None:
    """Let an engine connect by this connector, and replace connections that were closed while idle."""

    def check(connection: Connection, _: object, __: object) -> None:
        # A server that closes a connection sends a message, and an idle one has no other unread
        # data.
        if connection.closed or is_readable(connection.fileno()):
            raise sa.exc.DisconnectionError

    sa.event.listen(engine, "do_connect", connect)
    sa.event.listen(engine, "checkout", check)
