"""The database of `PHONE_VERIFY_LEDGER`: its transactions and errors."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from ..errors import StoreError
from ..stores.rows.failures import DEADLOCKS, OUTDATED, code_of
from ..stores.sql.connections import Connections, is_pooled
from ..stores.sql.engine import WAIT, name_of
from .engine import engine_for
from .schema import Schema

T = TypeVar("T")

_MAX_TRIES = 3
#: For PostgreSQL: the commit does not wait for the disk.
RELAX = "SET LOCAL synchronous_commit = off"


class Database:
    """Runs steps on the connections of one engine; `prepare` is called before the first.

    A step is repeated if the database has certainly undone it: after a deadlock, or if the connection was
    lost before the commit, since servers end idle ones. All steps raise `StoreError` if the database fails.
    """

    def __init__(self, engine: sa.Engine, prepare: Callable[[], None] | None = None) -> None:
        self.engine, self._connections, self._prepare = engine, Connections(engine), prepare

    @classmethod
    def from_url(cls, url: str) -> Database:
        """Return the database at a URL like `sqlite:///…`, `postgresql://…` or `mysql://…`.

        Missing tables are created at the first step, and those in an SQLite file are migrated. Raises
        `ConfigurationError` for any other URL.
        """
        engine = engine_for(url)
        database = cls(engine, Schema(engine).ready)
        weakref.finalize(database, engine.dispose)
        return database

    def __repr__(self) -> str:
        return self.kind

    @property
    def kind(self) -> str:
        """The kind of database: `sqlite`, `postgresql` or `mysql`."""
        name = self.engine.dialect.name
        return "mysql" if name == "mariadb" else name

    def run(self, step: Callable[[sa.Connection], T], *, durable: bool = True) -> T:
        """Return the result of a step, which is committed as a whole or not at all.

        Without `durable`, PostgreSQL's commit does not wait for the disk.
        """
        # In one round trip with the begin.
        more = f"; {RELAX}" if self.kind == "postgresql" and not durable else ""
        return self._run(step, lambda connection: self._connections.begin(connection) + more)

    def read(self, step: Callable[[sa.Connection], T]) -> T:
        """Return the result of a step of one query, without the round trips of a transaction."""
        # Behind a pooler the server's time limits hold for one transaction only.
        return self._run(step, lambda raw: self._connections.begin(raw) if is_pooled(raw) else "")

    def _run(self, step: Callable[[sa.Connection], T], begin: Callable[[object], str]) -> T:
        try:
            with self._connections:
                if self._prepare is not None:
                    self._prepare()
                    self._prepare = None
                return self._until_done(step, begin)
        except (sa.exc.SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as error:
            # The error's own text may contain values of the statement.
            name = name_of(error, makes_tables="phone-verify schema")
            raise StoreError(f"The database of PHONE_VERIFY_LEDGER failed: {name}") from None

    def _until_done(self, step: Callable[[sa.Connection], T], begin: Callable[[object], str]) -> T:
        started, tries = time.monotonic(), 1
        while True:
            unclear = False
            try:
                with self.engine.connect() as connection:
                    try:
                        if text := begin(connection.connection.dbapi_connection):
                            connection.exec_driver_sql(text)
                        result = step(connection)
                        unclear = bool(text)
                        connection.commit()
                    except BaseException as error:
                        if self._connections.may_be_out_of_sync(error):
                            connection.invalidate()
                        if not connection.invalidated:
                            connection.rollback()
                        raise
                return result
            except sa.exc.DBAPIError as error:
                code = code_of(error.orig) if error.orig is not None else None
                if code in OUTDATED:
                    self.engine.dispose()
                undone = code in DEADLOCKS or code in OUTDATED or (error.connection_invalidated and not unclear)
                if not undone or tries == _MAX_TRIES or time.monotonic() - started > WAIT / 2:
                    raise
                tries += 1
