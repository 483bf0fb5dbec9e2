"""Creation and migration of the tables: Alembic's revisions, in the folder `migrations`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
_COMMAND = "phone-verify schema"
#: Alembic keeps its current context in the module.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class TableSet:
    """Tables that are migrated together: the newest revision, the table that holds the current one, a table that
    is always among them, and Alembic's folder: a package and a path in it.
    """

    head: str
    version_table: str
    marker: str
    migrations: str


STORE_TABLES = TableSet(HEAD, VERSION_TABLE, PHONE.name, f"{__package__}:migrations")


def upgrade(url: str) -> tuple[str | None, str]:
    """Create or migrate the tables of a database; return the revisions before and after.

    Raises `ConfigurationError` if the URL is not an SQL store's, `StoreError` if the database fails.
    """
    return upgraded(engine_of(url), STORE_TABLES)


def upgraded(engine: sa.Engine, tables: TableSet) -> tuple[str | None, str]:
    """Create or migrate tables in the database of an engine, which is closed; return the revisions before and after.

    Raises `StoreError` if the database fails.
    """
    try:
        return Schema(engine, tables).upgrade(), tables.head
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(f"The database could not create the tables: {name_of(error)}") from None
    finally:
        engine.dispose()


class Schema:
    """The tables in one database; by default those of the store."""

    def __init__(self, engine: sa.Engine, tables: TableSet | None = None) -> None:
        self._engine, self._tables = engine, tables or STORE_TABLES

    def ready(self) -> None:
        """Make the tables usable: missing ones are created, those in an SQLite file are migrated.

        On a server the site owner runs the migration: older workers may still be running. Raises
        `StoreError`, which says so. Safe to call concurrently.
        """
        with self._engine.connect() as connection:
            if (self.revision(connection) or "") >= self._tables.head:
                return
        with self._changing() as connection:
            found = self.revision(connection)
            if found is None or self._engine.dialect.name == "sqlite":
                self._upgrade(connection, found)
            elif found < self._tables.head:
                raise StoreError(
                    f"The tables have revision {found}, but {self._tables.head} is required: run `{_COMMAND}`"
                )

    def upgrade(self) -> str | None:
        """Create or migrate the tables; return the previous revision. Safe to call concurrently."""
        with self._changing() as connection:
            found = self.revision(connection)
            self._upgrade(connection, found)
        return found

    def revision(self, connection: sa.Connection) -> str | None:
        """Return the revision of the tables; None without tables."""
        inspector = sa.inspect(connection)
        if inspector.has_table(self._tables.version_table):
            version: sa.ColumnClause[str] = sa.column("version_num")
            return connection.execute(sa.select(version).select_from(sa.table(self._tables.version_table))).scalar()
        return _FIRST if inspector.has_table(self._tables.marker) else None

    @contextmanager
    def _changing(self) -> Iterator[sa.Connection]:
        """Admit one process at a time, in a transaction if the database supports them for tables."""
        name = self._engine.dialect.name
        with _one_at_a_time, self._engine.connect() as connection:
            if name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif name == "postgresql":
                connection.exec_driver_sql("BEGIN")
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7046293817)")
            elif not connection.exec_driver_sql(f"SELECT GET_LOCK('phone_verify tables', {2 * WAIT})").scalar():
                raise StoreError("Timed out while another process was creating the tables")
            try:
                yield connection
                connection.commit()
            finally:
                connection.rollback()
                if name in ("mysql", "mariadb"):
                    connection.exec_driver_sql("SELECT RELEASE_LOCK('phone_verify tables')")

    def _upgrade(self, connection: sa.Connection, found: str | None) -> None:
        try:
            from alembic import command
            from alembic.config import Config
        except ImportError:
            raise ConfigurationError("An SQL store needs Alembic: pip install 'phone-verify[sql]'") from None
        config = Config()
        config.set_main_option("script_location", self._tables.migrations)
        config.attributes["connection"] = connection
        if found is not None and not sa.inspect(connection).has_table(self._tables.version_table):
            command.stamp(config, _FIRST)
        if found is None or found < self._tables.head:
            command.upgrade(config, self._tables.head)
