"""Creation and migration of the tables: Alembic's revisions, in the folder `migrations`."""

from __future__ import annotations

import sqlalchemy as sa

from ..stores.sql import schema
from .engine import engine_for
from .ledger_tables import ATTEMPT

#: The newest revision, which this version of the package requires.
HEAD = "0001"
#: The table with the current revision, separate from that of the store and of the site.
VERSION_TABLE = "phone_verify_ledger_schema"

_TABLES = schema.TableSet(HEAD, VERSION_TABLE, ATTEMPT.name, f"{__package__}:migrations")


class Schema(schema.Schema):
    """The tables of services, keys, the ledger and outgoing webhooks in one database."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine, _TABLES)


def upgrade(url: str) -> tuple[str | None, str]:
    """Create or migrate the tables of a database; return the revisions before and after.

    Raises `ConfigurationError` if the URL is not that of an SQL database, `StoreError` if the database fails.
    """
    return schema.upgraded(engine_for(url), _TABLES)
