"""Engines for the SQL store with their time-outs, and names for their errors."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from contextlib import suppress
from functools import partial
from typing import Any

import sqlalchemy as sa

from ...errors import ConfigurationError, missing_extra, quoted
from ..rows.failures import code_of, in_words
from .options import NO_POOLER, TRANSACTION, read_options

#: Time-outs for a connection, a lock and a response, in seconds.
WAIT = 5

#: How many idle connections to a server are kept, and how many there are at most.
KEPT, MOST = 5, 15

#: Seconds until the server ends a transaction without statements: its process hangs.
IDLE = 2 * WAIT

#: By scheme: SQLAlchemy's name for it and the required extras.
_SCHEMES = {
    "sqlite": ("sqlite", "sql"),
    "postgresql": ("postgresql+psycopg", "sql,postgresql"),
    "mysql": ("mysql+pymysql", "sql,mysql"),
}
#: PostgreSQL's settings of each session. A generic plan without JIT: with many rows, JIT compilation costs
#: more than it saves.
_POSTGRESQL_SETTINGS = (
    f"-c lock_timeout={WAIT}s -c statement_timeout={WAIT}s -c plan_cache_mode=force_generic_plan -c jit=off "
    rf"-c default_transaction_isolation=read\ committed -c idle_in_transaction_session_timeout={IDLE}s"
)


def engine_of(text: str) -> sa.Engine:
    """Create the engine for a store URL. Raises `ConfigurationError`."""
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        # The original text would contain the password.
        raise ConfigurationError(
            "PHONE_VERIFY_STORE is not a database URL: write sqlite:///file, postgresql://… or mysql://…"
        ) from None
    if url.drivername not in _SCHEMES:
        raise ConfigurationError(
            f"PHONE_VERIFY_STORE: unknown store {quoted(url.drivername)}; SQL stores are {', '.join(_SCHEMES)}"
        )
    scheme = url.drivername
    driver, extras = _SCHEMES[scheme]
    if scheme == "sqlite":
        url = _with_file(url)
    given = read_options(url)
    options: dict[str, Any] = {"pool_timeout": WAIT, "pool_reset_on_return": None, "hide_parameters": True}
    if scheme == "sqlite":
        options |= {
            "pool_size": 1,
            "max_overflow": 0,
            "connect_args": {"timeout": WAIT, "isolation_level": None, "check_same_thread": False},
        }
    else:
        options |= {"pool_size": KEPT, "max_overflow": MOST - KEPT}
    if scheme == "postgresql":
        limits = {"connect_timeout": WAIT, "tcp_user_timeout": WAIT * 1000}
        named = {**limits, **{name: value for name, value in given.items() if name != "pooler"}}
        options |= {"isolation_level": "AUTOCOMMIT", "connect_args": named}
        url = url.difference_update_query(given)
    elif scheme == "mysql":
        limits = {"connect_timeout": WAIT, "read_timeout": WAIT, "write_timeout": WAIT}
        named = {name: value for name, value in limits.items() if name not in given}
        options |= {"isolation_level": "AUTOCOMMIT", "connect_args": {**named, "charset": "utf8mb4"}}
    try:
        engine = sa.create_engine(url.set(drivername=driver), **options)
    except ImportError as error:
        raise missing_extra(f"PHONE_VERIFY_STORE: the driver of {scheme}", extras, error) from error
    if scheme in _PREPARATIONS:
        sa.event.listen(engine, "connect", _PREPARATIONS[scheme])
    if scheme == "sqlite":
        sa.event.listen(engine, "do_connect", partial(_make_private_file, str(url.database)))
    if scheme == "postgresql":
        from . import postgresql

        pooled = {TRANSACTION: True, NO_POOLER: False}.get(given.get("pooler", ""))
        postgresql.watch(engine, postgresql.Connector(WAIT + 1, _POSTGRESQL_SETTINGS, pooled))
    return engine


def _with_file(url: sa.URL) -> sa.URL:
    if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        raise ConfigurationError(
            "PHONE_VERIFY_STORE: SQLite needs a file, e.g. sqlite:////var/lib/site/phone_verify.sqlite3; "
            "for a store in memory write memory:"
        )
    # Resolved once: a server may change its directory after the start.
    return url.set(database=os.path.abspath(str(url.database)))


def _make_private_file(path: str, *_: object) -> None:
    """Create a missing database file with mode 0600: it holds phone numbers. SQLite copies the mode to its WAL.

    The file is created under a draft's name and linked into place: closing a descriptor of the file
    itself would drop the locks that other connections of this process hold on it. Any failure here
    is left for SQLite to report when it opens the file.
    """
    path = os.path.realpath(path)  # SQLite would create the target of a dangling link
    if os.path.exists(path):
        return
    with suppress(OSError):
        handle, draft = tempfile.mkstemp(prefix=".phone_verify-", dir=os.path.dirname(path))  # mode 0600
        try:
            os.close(handle)
            os.link(draft, path)  # if another process was first, its file stays
        finally:
            os.unlink(draft)


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # If several processes switch a new file to WAL simultaneously, all but one get "locked" without waiting.
    deadline = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = NORMAL")


def _prepare_mysql(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {WAIT - 1}")


_PREPARATIONS = {"sqlite": _prepare_sqlite, "mysql": _prepare_mysql}


def name_of(error: BaseException, *, makes_tables: str = "") -> str:
    """Describe an error of the driver, or one of SQLAlchemy, by `in_words`."""
    cause = getattr(error, "orig", None) or error
    return in_words(cause, code_of(cause), makes_tables=makes_tables)
