"""Connections to PostgreSQL that detect a lost server and a pooler."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

from ..rows.waits import bounded, is_readable

T = TypeVar("T")

#: The name of its cursor among what is kept with a connection.
_CURSOR = "phone_verify_cursor"


class Connection(psycopg.Connection[Any]):
    """A connection with a client-side time-out.

    The server's own time-outs end with the server: one that is frozen, or behind a network that drops packets, would
    block a visitor until the kernel gives up. So would a pooler that has no free connection.
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


def is_lost(connection: Connection) -> bool:
    """Return whether an idle connection was closed by the server, which sends a message and has no other to send.

    Also if an interruption, which can come between any two instructions, has left it in a transaction or a statement.
    """
    is_idle = connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE
    return not is_idle or is_readable(connection.fileno())


def kept_cursor(connection: sa.PoolProxiedConnection) -> psycopg.RawCursor[Any]:
    """Return the cursor that is kept with a connection: to make one takes a tenth of a statement."""
    raw: Any = connection.dbapi_connection
    cursor: psycopg.RawCursor[Any] | None = connection.info.get(_CURSOR)
    if cursor is None:
        cursor = connection.info[_CURSOR] = psycopg.RawCursor(raw)
    return cursor


def watch(engine: sa.Engine, connect: Connector) -> None:
    """Let an engine connect by this connector, and replace connections that were closed while idle."""

    def check(connection: Connection, _: object, __: object) -> None:
        if is_lost(connection):
            raise sa.exc.DisconnectionError

    sa.event.listen(engine, "do_connect", connect)
    sa.event.listen(engine, "checkout", check)
