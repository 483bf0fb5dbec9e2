"""The store in the database that Flask-SQLAlchemy has for the site's own tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

from phone_verify.errors import ConfigurationError
from phone_verify.stores.base import Store

#: By SQLAlchemy's name of a kind of database: what its URL begins with in `PHONE_VERIFY_STORE`.
_SCHEMES = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


@dataclass(frozen=True, slots=True)
class Database:
    """The site's database: its store's `url`, and what opens a store there."""

    url: str = field(repr=False)
    stores: Mapping[str, Callable[[str], Store]] = field(repr=False)
    engine: Any = field(repr=False)

    def create_tables(self) -> None:
        """Make our tables where the site has no migrations; those that are there stay as they are."""
        from phone_verify.stores.sql import metadata

        metadata.create_all(self.engine)


def bound_to(app: Flask, db: Any) -> Database:
    """The database of this Flask-SQLAlchemy, with our tables in its metadata. Raises `ConfigurationError`.

    The store takes the address, not the connections: a step commits by itself, and survives a rollback of the
    session. The tables are made by whoever makes the site's own: Flask-Migrate, or `db.create_all()`.
    """
    if "sqlalchemy" not in app.extensions:
        raise ConfigurationError("db: write db.init_app(app) before PhoneVerify's init_app")
    with app.app_context():
        engine = db.engine
    backend = engine.url.get_backend_name()
    if backend not in _SCHEMES:
        raise ConfigurationError(
            f"db: the store knows no {backend}; set PHONE_VERIFY_STORE to a database of its own, and leave db out"
        )
    from phone_verify.stores.sql import SqlStore, metadata

    for table in metadata.tables.values():
        if table.key not in db.metadata.tables:
            table.to_metadata(db.metadata)
    url = engine.url.set(drivername=_SCHEMES[backend]).render_as_string(hide_password=False)

    def opened(text: str) -> Store:
        # Another database of the same kind, named by PHONE_VERIFY_STORE, has tables of its own making.
        return SqlStore.from_url(text, create_tables=text != url)

    return Database(url, {_SCHEMES[backend]: opened}, engine)
