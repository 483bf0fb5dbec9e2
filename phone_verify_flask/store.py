"""The store in the site's Flask-SQLAlchemy database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

from phone_verify.errors import ConfigurationError
from phone_verify.stores.base import Store

#: By SQLAlchemy's backend name: the URL scheme in `PHONE_VERIFY_STORE`.
_SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}

#: What creates our tables in the site's database.
MAKES_TABLES = "flask db upgrade (or flask phone-verify init-db, without Flask-Migrate)"


@dataclass(frozen=True, slots=True)
class Database:
    """The site's database: the `url` of the store, and the functions that open it."""

    url: str = field(repr=False)
    stores: Mapping[str, Callable[[str], Store]] = field(repr=False)
    engine: Any = field(repr=False)

    def create_tables(self) -> None:
        """Create our tables for a site without migrations. Existing tables are left unchanged."""
        from phone_verify.stores.sql import metadata

        metadata.create_all(self.engine)


def bound_to(app: Flask, db: Any) -> Database:
    """Return the database of this Flask-SQLAlchemy, and add our tables to its metadata.

    The store uses its URL, not its connections: a step commits by itself and survives a rollback of the session. The
    site creates the tables with its own: by Flask-Migrate or `db.create_all()`. Raises `ConfigurationError`.
    """
    if "sqlalchemy" not in app.extensions:
        raise ConfigurationError("db: write db.init_app(app) before PhoneVerify's init_app")
    with app.app_context():
        engine = db.engine
    backend = engine.url.get_backend_name()
    if backend not in _SCHEMES:
        raise ConfigurationError(
            f"db: the store does not support {backend}; set PHONE_VERIFY_STORE to another database, and omit db"
        )
    from phone_verify.stores.sql import SqlStore, metadata

    for table in metadata.tables.values():
        if table.key not in db.metadata.tables:
            table.to_metadata(db.metadata)
    own = engine.url.set(drivername=_SCHEMES[backend])
    if backend == "sqlite":  # options of the site's connections, of which the store has none
        own = own.difference_update_query(own.query)
    url = own.render_as_string(hide_password=False)

    def open_store(text: str) -> Store:
        # PHONE_VERIFY_STORE may name another database of the same kind; there the store creates its tables.
        return SqlStore.from_url(text, create_tables=text != url, makes_tables=MAKES_TABLES)

    return Database(url, {_SCHEMES[backend]: open_store}, engine)
