"""The second connection of a thread, for steps inside a transaction of the caller.

It is opened outside Django's pool: a thread that holds one of the pool's connections never waits
for another. It closes when the thread's first connection to that database closes, and when the
thread ends, so there are never more second connections than first ones. Each of its waits has a limit: the
caller's block may hold what it waits for, like the only connection of a pooler.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from phone_verify.errors import StoreError
from phone_verify.stores.rows.waits import bounded, is_readable

from .tables import MODELS

T = TypeVar("T")

#: Configures the given connection like the connection of the request.
Setup: TypeAlias = Callable[[BaseDatabaseWrapper], object]

#: Timeout to connect in seconds, if the site's OPTIONS set none.
_CONNECT_TIMEOUT = 5
#: Timeout of a response in seconds. The second connection has no other use than our steps.
_RESPONSE_TIMEOUT = 5
#: A connection that was idle for this many seconds is tested before its next use.
_IDLE = 1.0

_UNLIKE_THE_BLOCK = (
    "Called inside transaction.atomic() on a connection whose schema, database, role or user differs from that of a "
    "new connection, and could not be given to it, so a step would use the tables of another tenant. Configure the "
    "second connection in the same way: write a function and set PHONE_VERIFY['connection_setup'] to its dotted path "
    "(see docs/stores.md), or call this outside the block."
)

#: Connections of a parent process. Closing or collecting one would end the parent's session.
_inherited: list[BaseDatabaseWrapper] = []


class SecondConnection:
    """The second connection of one thread."""

    def __init__(self, first: BaseDatabaseWrapper, setup: Setup | None) -> None:
        self.connection = first.copy()
        settings = self.connection.settings_dict
        settings["AUTOCOMMIT"] = True  # also after a reconnect
        settings["OPTIONS"].pop("pool", None)
        if first.vendor != "sqlite":
            settings["OPTIONS"].setdefault("connect_timeout", _CONNECT_TIMEOUT)
        if first.vendor == "mysql":
            for name in ("read_timeout", "write_timeout"):
                settings["OPTIONS"].setdefault(name, _RESPONSE_TIMEOUT)
        _limit_waits(self.connection)
        self._first, self._setup = first, setup
        self._pid = os.getpid()
        self._used = 0.0
        self._raw: Any = None
        self._place: Any = None
        _close_together(first, self)

    def __del__(self) -> None:
        """Close the connection: its thread has ended."""
        raw = self.connection.connection
        if raw is None:
            return
        if self._pid != os.getpid():
            _inherited.append(self.connection)
            return
        # Not by Django, which refuses inside an event loop and from another thread.
        with suppress(Exception):
            raw.close()

    def belongs_to(self, first: BaseDatabaseWrapper) -> bool:
        """Whether this process opened it for that first connection."""
        return self._first is first and self._pid == os.getpid()

    def close(self) -> None:
        """Close it, if this process opened it. `prepare` connects again."""
        if self._pid == os.getpid():
            self.connection.close()

    def prepare(self) -> None:
        """Connect, and configure the connection like that of the request.

        Call it before each attempt of a step, since the connection may be configured for another
        request. Without a setup it gets the role and the search path of the first one, or its
        database. Raises `StoreError` if the two still differ in their tables or user.
        """
        connection = self.connection
        idle = time.monotonic() - self._used > _IDLE
        if connection.connection is not None and (was_closed(connection) or (idle and not connection.is_usable())):
            connection.close()
        connection.ensure_connection()
        # Those that the site has put around the statements of this request.
        connection.execute_wrappers = self._first.execute_wrappers
        if connection.connection is not self._raw:
            self._raw, self._place = connection.connection, None
            if connection.vendor == "sqlite":
                with connection.cursor() as cursor:
                    # Its own caller may hold the lock that it waits for.
                    cursor.execute("PRAGMA busy_timeout = 500")
        if self._setup is None:
            self._compare()
        else:
            configure(connection, self._setup)
        self._used = time.monotonic()

    def _compare(self) -> None:
        if self._place is None:
            self._place = _place(self.connection)
        place = self._of_first(_place)
        if place == self._place:
            return
        try:
            _follow(self.connection, self._of_first(_session))
        except DatabaseError:
            raise StoreError(_UNLIKE_THE_BLOCK) from None
        self._place = _place(self.connection)
        if place != self._place:
            raise StoreError(_UNLIKE_THE_BLOCK)

    def _of_first(self, read: Callable[[BaseDatabaseWrapper], T]) -> T:
        first = self._first
        # A block that is marked for rollback refuses statements until the mark is removed.
        marked, first.needs_rollback = first.needs_rollback, False
        try:
            return read(first)
        finally:
            first.needs_rollback = marked


def configure(connection: BaseDatabaseWrapper, setup: Setup) -> None:
    """Configure a connection by the site's setup. One that it could not configure is closed."""
    try:
        setup(connection)
    except BaseException:
        connection.close()
        raise


def was_closed(connection: BaseDatabaseWrapper) -> bool:
    """Return whether PostgreSQL has closed this idle connection; False within a transaction, and for other servers."""
    if connection.vendor != "postgresql" or connection.in_atomic_block or not connection.autocommit:
        return False
    raw: Any = connection.connection
    # Unread data may also be a notification that the site listens for.
    return bool(raw.closed or (is_readable(raw.fileno()) and not connection.is_usable()))


def _place(connection: BaseDatabaseWrapper) -> Any:
    """Return the user and the tables that statements on this connection use."""
    if connection.vendor == "postgresql":
        names = [connection.ops.quote_name(model._meta.db_table) for model in MODELS]
        statement = f"SELECT current_user, {', '.join(['to_regclass(%s)::oid'] * len(names))}"
    elif connection.vendor == "mysql":
        names, statement = [], "SELECT CURRENT_ROLE(), DATABASE()"
    else:
        return ()
    return _row(connection, statement, names)


def _session(connection: BaseDatabaseWrapper) -> Any:
    """Return what a site sets on the connection of a request, and what another connection can be given."""
    statement = "SELECT DATABASE()"
    if connection.vendor == "postgresql":
        statement = "SELECT current_setting('role'), current_setting('search_path')"
    return _row(connection, statement)


def _row(connection: BaseDatabaseWrapper, statement: str, values: Sequence[str] = ()) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()


def _follow(connection: BaseDatabaseWrapper, session: Any) -> None:
    """Give a connection the values of `_session`.

    Not behind a pooler in transaction mode, which would give them to the sessions of others: there
    another process of the server runs the statements than the one that was connected to.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_backend_pid()")
            if cursor.fetchone()[0] == connection.connection.info.backend_pid:
                cursor.execute("SELECT set_config('role', %s, false), set_config('search_path', %s, false)", session)
        elif session[0] is not None:
            cursor.execute(f"USE {connection.ops.quote_name(session[0])}")


def _limit_waits(connection: Any) -> None:
    """Limit the waits of connections of psycopg 3, from Django's first statement on.

    A server's own limits do not hold in the queue of a pooler.
    """
    connect, error = connection.get_new_connection, connection.Database.OperationalError

    def get_new_connection(parameters: Any) -> Any:
        raw = connect(parameters)
        if wait := getattr(raw, "wait", None):
            raw.wait = lambda gen, *more, **named: wait(bounded(gen, _RESPONSE_TIMEOUT, raw, error), *more, **named)
        return raw

    vars(connection)["get_new_connection"] = get_new_connection


def _close_together(first: BaseDatabaseWrapper, second: SecondConnection) -> None:
    """Make `first.close()` close the second connection too.

    Django has no signal for it, and closes connections in many places: after a request, after
    CONN_MAX_AGE, and before a test database is dropped, which an open connection prevents.
    """
    close_first, found = first.close, weakref.ref(second)

    def close() -> None:
        try:
            if (second := found()) is not None:
                second.close()
        finally:
            close_first()

    vars(first)["close"] = close
