"""Messages of outgoing webhooks in an SQL database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ..stores.rows.values import micros, time_of
from ..webhooks_out.base import LONGEST_PROBLEM, Delivery, DeliveryStatus, EndpointState, Taken, Wanted
from ..webhooks_out.endpoints import Endpoint
from ..webhooks_out.messages import Change
from ..webhooks_out.rows import DELIVERY, TAKEN, delivery_of, new_rows, positions_in_turn, taken_of
from .connection import Database
from .outbox_tables import ENDPOINT, MESSAGE


def enqueue(connection: sa.Connection, endpoints: Iterable[Endpoint], change: Change, now: datetime) -> int:
    """Write the messages about a change for those of the endpoints that receive its event.

    Part of the caller's transaction. A message that was written before is left as it is. Returns the
    number of endpoints.
    """
    rows = new_rows(endpoints, change, now)
    if rows:
        connection.execute(_insert_once(connection.dialect.name, MESSAGE), rows)
    return len(rows)


def forget(connection: sa.Connection, tag: str) -> int:
    """Delete the messages about the phone with this tag; return how many. Part of the caller's transaction."""
    about = MESSAGE.c.verification.startswith(tag, autoescape=True)
    return connection.execute(sa.delete(MESSAGE).where(about)).rowcount


class SqlOutbox:
    """An `Outbox` in the database of `PHONE_VERIFY_LEDGER`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"<SqlOutbox on {self._database!r}>"

    async def take(self, limit: int, lease: timedelta, now: datetime) -> Sequence[Taken]:
        """See `Outbox`."""
        c, due = MESSAGE.c, MESSAGE.c.next_at <= micros(now)
        in_turn = sa.text(positions_in_turn(MESSAGE.name, ":now", ":limit"))

        def step(connection: sa.Connection) -> Sequence[Taken]:
            wanted = connection.execute(in_turn, {"now": micros(now), "limit": limit}).scalars().all()
            held = sa.select(*(c[name] for name in TAKEN)).where(c.position.in_(wanted), due)
            rows = connection.execute(held.with_for_update(skip_locked=True)).mappings().all() if wanted else []
            taken = sa.update(MESSAGE).where(c.position.in_([row["position"] for row in rows]))
            if rows:
                connection.execute(taken.values(next_at=micros(now + lease), attempts=c.attempts + 1))
            return [taken_of(dict(row)) for row in sorted(rows, key=lambda row: wanted.index(row["position"]))]

        return self._database.run(step)

    async def done(self, message: Taken, place: str, response: int, now: datetime) -> None:
        """See `Outbox`."""
        at = micros(now)
        delivered = (
            sa.update(MESSAGE)
            .where(_is(message))
            .values(
                status=DeliveryStatus.DELIVERED.value,
                response=response,
                problem="",
                attempted_at=at,
                delivered_at=at,
                next_at=None,
            )
        )
        works_again = sa.delete(ENDPOINT).where(
            _of(message.service, message.endpoint),
            sa.or_(ENDPOINT.c.disabled_at.is_(None), ENDPOINT.c.place != place),
        )

        def step(connection: sa.Connection) -> None:
            connection.execute(delivered)
            connection.execute(works_again)

        self._database.run(step)

    async def failed(
        self,
        message: Taken,
        place: str | None,
        response: int | None,
        problem: str,
        retry_at: datetime | None,
        now: datetime,
        *,
        disable: bool = False,
    ) -> None:
        """See `Outbox`."""
        c = MESSAGE.c
        status = DeliveryStatus.FAILED if retry_at is None else DeliveryStatus.PENDING
        failed = (
            sa.update(MESSAGE)
            .where(_is(message), _is_attempt(message))
            .values(
                status=_unless_again(c.status, status.value),
                response=response,
                problem=problem[:LONGEST_PROBLEM],
                attempted_at=micros(now),
                next_at=_unless_again(c.next_at, None if retry_at is None else micros(retry_at)),
            )
        )

        def step(connection: sa.Connection) -> None:
            if connection.execute(failed).rowcount and place is not None:
                _note_failure(connection, message, place, micros(now), disable=disable)

        self._database.run(step)

    async def postpone(self, message: Taken, until: datetime) -> None:
        """See `Outbox`."""
        c = MESSAGE.c
        postponed = sa.update(MESSAGE).where(_is(message), _is_attempt(message))
        # `attempts` last: in MySQL the assignments before it read its old value.
        postponed = postponed.ordered_values(
            (c.next_at, _unless_again(c.next_at, micros(until))),
            (c.earlier, sa.case((c.earlier == c.attempts, c.attempts - 1), else_=c.earlier)),
            (c.attempts, c.attempts - 1),
        )
        self._database.run(lambda connection: connection.execute(postponed))

    async def deliveries(self, wanted: Wanted) -> Sequence[Delivery]:
        """See `Outbox`."""
        c = MESSAGE.c
        rows = sa.select(*(c[name] for name in DELIVERY)).order_by(c.position.desc())
        for name in ("service", "endpoint", "event", "verification"):
            if value := getattr(wanted, name):
                rows = rows.where(c[name] == value)
        if wanted.status is not None:
            rows = rows.where(c.status == wanted.status.value)
        if wanted.before is not None:
            rows = rows.where(c.position < wanted.before)
        found = self._database.run(lambda connection: connection.execute(rows.limit(wanted.limit)).mappings().all())
        return [delivery_of(dict(row)) for row in found]

    async def again(self, id: str, service: str, endpoint: str, now: datetime) -> bool:
        """See `Outbox`."""
        c = MESSAGE.c
        due = sa.update(MESSAGE).where(c.id == id, c.service == service, c.endpoint == endpoint)
        due = due.values(status=DeliveryStatus.PENDING.value, next_at=micros(now), earlier=c.attempts)
        return self._count(due) > 0

    async def states(self) -> Sequence[EndpointState]:
        """See `Outbox`."""
        c = ENDPOINT.c
        rows = sa.select(c.service, c.endpoint, c.place, c.failing_since, c.disabled_at)
        found = self._database.run(lambda connection: connection.execute(rows).all())
        return [EndpointState(row[0], row[1], row[2], time_of(row[3]), row[4] and time_of(row[4])) for row in found]

    async def enable(self, service: str, endpoint: str) -> bool:
        """See `Outbox`."""
        return self._count(sa.delete(ENDPOINT).where(_of(service, endpoint))) > 0

    async def erase(self, tag: str) -> int:
        """See `Outbox`."""
        return self._database.run(lambda connection: forget(connection, tag))

    async def purge(self, before: datetime, limit: int) -> int:
        """See `Outbox`."""
        c = MESSAGE.c
        old = sa.select(c.position).where(c.created_at < micros(before)).limit(limit).with_for_update(skip_locked=True)

        def step(connection: sa.Connection) -> int:
            positions = connection.execute(old).scalars().all()
            if positions:
                connection.execute(sa.delete(MESSAGE).where(c.position.in_(positions)))
            return len(positions)

        return self._database.run(step)

    def _count(self, statement: sa.Update | sa.Delete) -> int:
        """Execute a statement; return how many rows it matched."""
        return self._database.run(lambda connection: connection.execute(statement).rowcount)


def _is(message: Taken) -> sa.ColumnElement[bool]:
    c = MESSAGE.c
    return sa.and_(c.id == message.id, c.service == message.service, c.endpoint == message.endpoint)


def _is_attempt(message: Taken) -> sa.ColumnElement[bool]:
    c = MESSAGE.c
    return sa.and_(c.attempts == message.attempts, c.status == DeliveryStatus.PENDING.value)


def _unless_again(column: sa.Column[Any], value: object) -> sa.ColumnElement[Any]:
    """Return the value; or that of the column if the message was to be sent again while it was taken."""
    return sa.case((MESSAGE.c.earlier == MESSAGE.c.attempts, column), else_=value)


def _of(service: str, endpoint: str) -> sa.ColumnElement[bool]:
    return sa.and_(ENDPOINT.c.service == service, ENDPOINT.c.endpoint == endpoint)


def _note_failure(connection: sa.Connection, message: Taken, place: str, at: int, *, disable: bool) -> None:
    c = ENDPOINT.c
    row = {"service": message.service, "endpoint": message.endpoint, "place": place, "failing_since": at}
    connection.execute(_insert_once(connection.dialect.name, ENDPOINT), row)
    disabled_at, same = at if disable else sa.null(), c.place == place
    # `place` last: in MySQL the assignments before it read its old value.
    changes: list[tuple[sa.Column[Any], Any]] = [
        (c.failing_since, sa.case((same, c.failing_since), else_=at)),
        (c.disabled_at, sa.case((same, sa.func.coalesce(c.disabled_at, disabled_at)), else_=disabled_at)),
        (c.place, place),
    ]
    connection.execute(sa.update(ENDPOINT).where(_of(message.service, message.endpoint)).ordered_values(*changes))


def _insert_once(dialect_name: str, table: sa.Table) -> sa.Insert:
    """Return an insert that leaves an existing row as it is."""
    if dialect_name in ("mysql", "mariadb"):
        # Not IGNORE, which would also shorten values that are too long.
        return mysql.insert(table).on_duplicate_key_update(service=table.c.service)
    module = sqlite if dialect_name == "sqlite" else postgresql
    insert: sqlite.Insert | postgresql.Insert = module.insert(table)
    return insert.on_conflict_do_nothing()
