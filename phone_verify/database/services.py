"""Services as rows of an SQL database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ..errors import StoreError
from ..services.base import RetiredNameError, ServiceRow, document_of
from .connection import Database
from .metadata import exact_text, metadata

T = TypeVar("T")

_DOCUMENT = sa.UnicodeText().with_variant(mysql.MEDIUMTEXT(charset="utf8mb4"), "mysql", "mariadb")

SERVICE = sa.Table(
    "phone_verify_service",
    metadata,
    sa.Column("name", exact_text(32), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("document", _DOCUMENT, nullable=False),
    #: 1 for a name that no service may have, because one with it was deleted.
    sa.Column("retired", sa.SmallInteger, nullable=False, server_default="0"),
)

#: One row for each kind of rows that processes keep: the version of the last change of any of them. Its
#: lock makes the changes of services one after the other, so that no version occurs twice.
CHANGE = sa.Table(
    "phone_verify_change",
    metadata,
    sa.Column("topic", exact_text(32), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)
_TOPIC = "services"


class SqlServiceRows:
    """Blocking `ServiceRows` in the database of `PHONE_VERIFY_LEDGER`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"<SqlServiceRows on {self._database!r}>"

    async def version(self) -> int:
        query = sa.select(CHANGE.c.version).where(CHANGE.c.topic == _TOPIC)
        return self._database.read(lambda connection: connection.execute(query).scalar()) or 0

    async def versions(self) -> Mapping[str, int]:
        query = sa.select(SERVICE.c.name, SERVICE.c.version).where(SERVICE.c.retired == 0).order_by(SERVICE.c.name)
        return self._database.read(lambda connection: {row.name: row.version for row in connection.execute(query)})

    async def load(self, name: str) -> ServiceRow | None:
        query = sa.select(SERVICE).where(SERVICE.c.name == name, SERVICE.c.retired == 0)
        row = self._database.read(lambda connection: connection.execute(query).first())
        # MySQL ignores spaces at the end.
        return None if row is None or row.name != name else ServiceRow(name, row.version, document_of(row.document))

    async def save(self, name: str, document: Mapping[str, Any], expected: int) -> int | None:
        text = json.dumps(document, ensure_ascii=False)

        def step(connection: sa.Connection, version: int) -> int | None:
            query = sa.select(SERVICE.c.version, SERVICE.c.retired).where(SERVICE.c.name == name)
            found, retired = connection.execute(query).one_or_none() or (0, 0)
            if retired and expected == 0:
                raise RetiredNameError
            if retired or found != expected:
                return None
            if found:
                connection.execute(
                    SERVICE.update().where(SERVICE.c.name == name).values(version=version, document=text)
                )
            else:
                connection.execute(SERVICE.insert().values(name=name, version=version, document=text))
            return version

        return self._changed(step)

    async def delete(self, name: str, expected: int, *, retire: bool) -> bool:
        def step(connection: sa.Connection, version: int) -> bool:
            which = sa.and_(SERVICE.c.name == name, SERVICE.c.version == expected, SERVICE.c.retired == 0)
            retired = SERVICE.update().where(which).values(version=version, document="{}", retired=1)
            return connection.execute(retired if retire else SERVICE.delete().where(which)).rowcount > 0

        return self._changed(step)

    def _changed(self, step: Callable[[sa.Connection, int], T]) -> T:
        """Return the result of a step that changes services, which gets the version of the change."""
        this = CHANGE.c.topic == _TOPIC

        def locked(connection: sa.Connection) -> tuple[T] | None:
            if connection.execute(CHANGE.update().where(this).values(version=CHANGE.c.version + 1)).rowcount == 0:
                return None
            return (step(connection, connection.execute(sa.select(CHANGE.c.version).where(this)).scalar_one()),)

        done = self._database.run(locked)
        if done is None:
            # In a separate transaction: on MySQL, concurrent ones that continued would be a deadlock.
            self._database.run(_make_first_change)
            done = self._database.run(locked)
        if done is None:
            raise StoreError("The version of the services is missing in the database of PHONE_VERIFY_LEDGER")
        return done[0]


def _make_first_change(connection: sa.Connection) -> None:
    with suppress(sa.exc.IntegrityError):  # another process has made it meanwhile
        connection.execute(CHANGE.insert().values(topic=_TOPIC, version=0))
