"""Creation and migration of the tables: Alembic's revisions, in the folder `migrations`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from ...errors import ConfigurationError, StoreError
from .engine import WAIT, engine_of, name_of
from .tables import PHONE

#: The newest revision, which this version of the package requires.
HEAD = "0001"
#: The table with the current revision. A site's own Alembic has another table for that.
VERSION_TABLE = "phone_verify_schema"

#: The revision assumed for tables without one: a site may have created them by `metadata.create_all`.
_FIRST = "0001"
#: Alembic's folder: a package and a path in it.
_MIGRATIONS = f"{__package__}:migrations"
_COMMAND = "phone-verify schema"
#: Alembic keeps its current context in the module.
_one_at_a_time = threading.Lock()


def upgrade(url: str) -> tuple[str | None, str]:
    """Create or migrate the tables of a database; return the revisions before and after.

    Raises `ConfigurationError` if the URL is not an SQL store's, `StoreError` if the database
    fails.
    """
    engine = engine_of(url)
    try:
        return Schema(engine).upgrade(), HEAD
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(f"The database could not create the tables: {name_of(error)}") from None
    finally:
        engine.dispose()


class Schema:
    """The tables in one database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def ready(self) -> None:
        """Make the tables usable: missing ones are created, those in an SQLite file are migrated.

        On a server the site owner runs the migration: older workers may still be running. Raises
        `StoreError`, which says so. Safe to call concurrently.
        """
        with self._engine.connect() as connection:
            if (_revision(connection) or "") >= HEAD:
                return
        with self._changing() as connection:
            found = _revision(connection)
            if found is None or self._engine.dialect.name == "sqlite":
                _upgrade(connection, found)
            elif found < HEAD:
                raise StoreError(f"The tables have revision {found}, but {HEAD} is required: run `{_COMMAND}`")

    def upgrade(self) -> str | None:
        """Create or migrate the tables, and return the previous revision. Safe to call
        concurrently.
        """
        with self._changing() as connection:
            found = _revision(connection)
            _upgrade(connection, found)
        return found

    @contextmanager
    def _changing(self) -> Iterator[sa.Connection]:
        with _one_at_a_time, self._engine.connect() as connection, _locked(connection):
            yield connection


def _upgrade(connection: sa.Connection, found: str | None) -> None:
    try:
        from alembic import command
        from alembic.config import Config
    except ImportError:
        raise ConfigurationError("An SQL store needs Alembic: pip install 'phone-verify[sql]'") from None
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    config.attributes["connection"] = connection
    if found is not None and not sa.inspect(connection).has_table(VERSION_TABLE):
        command.stamp(config, _FIRST)
    if found is None or found < HEAD:
        command.upgrade(config, HEAD)


def _revision(connection: sa.Connection) -> str | None:
    inspector = sa.inspect(connection)
    if inspector.has_table(VERSION_TABLE):
        version: sa.ColumnClause[str] = sa.column("version_num")
        return connection.execute(sa.select(version).select_from(sa.table(VERSION_TABLE))).scalar()
    return _FIRST if inspector.has_table(PHONE.name) else None


@contextmanager
def _locked(connection: sa.Connection) -> Iterator[None]:
    """Admit one process at a time, in a transaction if the database supports them for tables."""
    name = connection.dialect.name
    if name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif name == "postgresql":
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7046293817)")
    elif not connection.exec_driver_sql(f"SELECT GET_LOCK('phone_verify tables', {2 * WAIT})").scalar():
        raise StoreError("Timed out while another process was creating the tables")
    try:
        yield
        connection.commit()
    finally:
        connection.rollback()
        if name in ("mysql", "mariadb"):
            connection.exec_driver_sql("SELECT RELEASE_LOCK('phone_verify tables')")
