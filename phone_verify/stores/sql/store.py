"""The SQL store: its engine and connections."""

from __future__ import annotations

import weakref
from datetime import timedelta

import sqlalchemy as sa

from ..base import RETENTION
from ..rows.verbs import RowStore
from .engine import engine_of
from .schema import Schema
from .transactions import EngineTransactionRunner

_MAKES_TABLES = "phone-verify schema"


class SqlStore(RowStore):
    """A store in an SQL database that other processes may use as well.

    Missing tables are created at the first step, and those in an SQLite file are migrated, unless
    `create_tables` is false. Records are kept for `keep` after they expire.

    SQLite runs with `synchronous=NORMAL`: a finished step survives the death of any process. A power failure may undo
    the last few steps, together and without corruption; flushing each to the disk would cost every visitor several disk
    writes, only to prevent a few more guesses by an attacker who can cut the power.

    `makes_tables` is the command that creates and upgrades the tables; errors name it.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        keep: timedelta = RETENTION,
        create_tables: bool = True,
        makes_tables: str = _MAKES_TABLES,
    ) -> None:
        self._transactions: EngineTransactionRunner = EngineTransactionRunner(
            engine, Schema(engine).ready if create_tables else lambda: None, makes_tables
        )
        super().__init__(self._transactions, keep)

    @classmethod
    def from_url(
        cls, url: str, *, keep: timedelta = RETENTION, create_tables: bool = True, makes_tables: str = _MAKES_TABLES
    ) -> SqlStore:
        """Return a store for `sqlite:///relative`, `sqlite:////absolute`, `postgresql://…` or `mysql://…`.

        Raises `ConfigurationError` for any other URL, SQLite without a file, and a missing package.
        """
        engine = engine_of(url)
        store = cls(engine, keep=keep, create_tables=create_tables, makes_tables=makes_tables)
        # The store owns the engine and its connections: they are closed with it.
        weakref.finalize(store, store._transactions.connections.own())
        return store

    def __repr__(self) -> str:
        return f"<SqlStore on {self._transactions.engine.dialect.name}>"
