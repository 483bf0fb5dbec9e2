"""Access keys in an SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ..keys.access_key import USE_NOTED_EVERY, AccessKey
from ..keys.rows import key_of, row_of
from ..keys.text import is_key_id
from ..stores.rows.values import micros
from .connection import Database
from .metadata import exact_text, metadata

ACCESS_KEY = sa.Table(
    "phone_verify_access_key",
    metadata,
    sa.Column("id", exact_text(12), primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("service", exact_text(32), nullable=False, index=True),
    sa.Column("name", sa.Unicode(64), nullable=False),
    sa.Column("networks", sa.String(1000), nullable=False),
    sa.Column("channels", sa.String(128), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Unicode(150), nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("last_used_at", sa.BigInteger),
)


class DatabaseKeyStore:
    """A blocking `KeyStore` in the database of `PHONE_VERIFY_LEDGER`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"<DatabaseKeyStore on {self._database!r}>"

    async def add(self, key: AccessKey) -> bool:
        def step(connection: sa.Connection) -> bool:
            if connection.execute(sa.select(ACCESS_KEY.c.id).where(ACCESS_KEY.c.id == key.id)).first() is not None:
                return False
            connection.execute(ACCESS_KEY.insert().values(**row_of(key)))
            return True

        return self._database.run(step)

    async def find(self, id: str) -> AccessKey | None:
        if not is_key_id(id):
            return None
        found = self._rows(sa.select(ACCESS_KEY).where(ACCESS_KEY.c.id == id))
        return found[0] if found else None

    async def listed(self, service: str | None = None) -> Sequence[AccessKey]:
        wanted = sa.select(ACCESS_KEY).order_by(ACCESS_KEY.c.created_at.desc(), ACCESS_KEY.c.id)
        return self._rows(wanted if service is None else wanted.where(ACCESS_KEY.c.service == service))

    async def revoke(self, id: str, now: datetime) -> bool:
        row = ACCESS_KEY.c
        change = ACCESS_KEY.update().where(row.id == id, row.revoked_at.is_(None))
        return self._changed(change.values(revoked_at=micros(now))) > 0

    async def note_use(self, id: str, now: datetime) -> None:
        row, before = ACCESS_KEY.c, micros(now - USE_NOTED_EVERY)
        due = sa.or_(row.last_used_at.is_(None), row.last_used_at <= before)
        self._changed(ACCESS_KEY.update().where(row.id == id, due).values(last_used_at=micros(now)))

    async def erase(self, service: str) -> int:
        return self._changed(ACCESS_KEY.delete().where(ACCESS_KEY.c.service == service))

    def _rows(self, query: sa.Select[Any]) -> list[AccessKey]:
        return self._database.read(lambda connection: [key_of(row) for row in connection.execute(query).mappings()])

    def _changed(self, statement: sa.Update | sa.Delete) -> int:
        return self._database.run(lambda connection: connection.execute(statement).rowcount)
