"""Messages of outgoing webhooks in Django's database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import connections
from django.db.backends.utils import CursorWrapper
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from phone_verify.stores.rows.values import micros, time_of
from phone_verify.webhooks_out.base import LONGEST_PROBLEM, Delivery, DeliveryStatus, EndpointState, Taken, Wanted
from phone_verify.webhooks_out.endpoints import Endpoint
from phone_verify.webhooks_out.messages import Change
from phone_verify.webhooks_out.rows import DELIVERY, TAKEN, delivery_of, new_rows, positions_in_turn, taken_of

from .models import OutboxEndpoint, OutboxMessage
from .steps import run


def enqueue(cursor: CursorWrapper, endpoints: Iterable[Endpoint], change: Change, now: datetime) -> int:
    """Write the messages about a change for those of the endpoints that receive its event.

    Part of the caller's transaction, which may be on a connection without an alias. A message that was
    written before is left as it is. Returns the number of endpoints.
    """
    rows = new_rows(endpoints, change, now)
    if rows:
        quote, names = cursor.db.ops.quote_name, tuple(rows[0])
        columns, marks = ", ".join(map(quote, names)), ", ".join(["%s"] * len(names))
        # MySQL's IGNORE would also shorten values that are too long.
        same = f"ON DUPLICATE KEY UPDATE {quote('id')} = {quote('id')}"
        once = same if cursor.db.vendor == "mysql" else "ON CONFLICT DO NOTHING"
        table = quote(OutboxMessage._meta.db_table)
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks}) {once}"  # noqa: S608 - our own names
        cursor.executemany(statement, [tuple(row[name] for name in names) for row in rows])
    return len(rows)


def forget(cursor: CursorWrapper, tag: str) -> int:
    """Delete the messages about the phone with this tag; return how many. Part of the caller's transaction."""
    column, table = (cursor.db.ops.quote_name(name) for name in ("verification", OutboxMessage._meta.db_table))
    statement = f"DELETE FROM {table} WHERE {column} >= %s AND {column} < %s"  # noqa: S608 - our own names
    # Ids begin with the tag, and ~ sorts after each of their characters.
    cursor.execute(statement, [tag, f"{tag}~"])
    return int(cursor.rowcount)


#: A taken message that was to be sent again meanwhile.
_AGAIN = Q(earlier=F("attempts"))


def _unless_again(column: str, value: object) -> Case:
    """Return the value; or that of the column if the message was to be sent again while it was taken."""
    return Case(When(_AGAIN, then=F(column)), default=Value(value))


class OrmOutbox:
    """An `Outbox` in the database with this alias."""

    def __init__(self, using: str = "default") -> None:
        self._using = using

    def __repr__(self) -> str:
        return f"<OrmOutbox on {self._using!r}>"

    async def take(self, limit: int, lease: timedelta, now: datetime) -> Sequence[Taken]:
        """See `Outbox`."""
        due = self._messages.filter(next_at__lte=micros(now))
        connection = connections[self._using]
        in_turn = positions_in_turn(connection.ops.quote_name(OutboxMessage._meta.db_table), "%s", "%s")

        def step() -> Sequence[Taken]:
            held = self._held(due)
            with connection.cursor() as cursor:
                cursor.execute(in_turn, [micros(now), limit])
                wanted = [position for (position,) in cursor.fetchall()]
            rows = list(held.filter(position__in=wanted).values(*TAKEN)) if wanted else []
            rows.sort(key=lambda row: wanted.index(row["position"]))
            taken = self._messages.filter(position__in=[row["position"] for row in rows])
            if rows:
                taken.update(next_at=micros(now + lease), attempts=F("attempts") + 1)
            return [taken_of(row) for row in rows]

        return run(self._using, step)

    async def done(self, message: Taken, place: str, response: int, now: datetime) -> None:
        """See `Outbox`."""
        works_again = self._states.filter(
            Q(disabled_at=None) | ~Q(place=place), service=message.service, endpoint=message.endpoint
        )

        def step() -> None:
            self._of(message).update(
                status=DeliveryStatus.DELIVERED.value,
                response=response,
                problem="",
                attempted_at=micros(now),
                delivered_at=micros(now),
                next_at=None,
            )
            works_again.delete()

        run(self._using, step)

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
        status = DeliveryStatus.FAILED if retry_at is None else DeliveryStatus.PENDING

        def step() -> None:
            failed = self._attempt(message).update(
                status=_unless_again("status", status.value),
                response=response,
                problem=problem[:LONGEST_PROBLEM],
                attempted_at=micros(now),
                next_at=_unless_again("next_at", None if retry_at is None else micros(retry_at)),
            )
            if failed and place is not None:
                self._note_failure(message, place, micros(now), disable=disable)

        run(self._using, step)

    async def postpone(self, message: Taken, until: datetime) -> None:
        """See `Outbox`."""
        # `attempts` last: in MySQL the assignments before it read its old value.
        postponed = {
            "next_at": _unless_again("next_at", micros(until)),
            "earlier": Case(When(_AGAIN, then=F("attempts") - 1), default=F("earlier")),
            "attempts": F("attempts") - 1,
        }
        attempt = self._attempt(message)
        run(self._using, lambda: attempt.update(**postponed))

    async def deliveries(self, wanted: Wanted) -> Sequence[Delivery]:
        """See `Outbox`."""
        rows = self._messages.order_by("-position")
        for name in ("service", "endpoint", "event", "verification"):
            if value := getattr(wanted, name):
                rows = rows.filter(**{name: value})
        if wanted.status is not None:
            rows = rows.filter(status=wanted.status.value)
        if wanted.before is not None:
            rows = rows.filter(position__lt=wanted.before)
        return [delivery_of(row) for row in run(self._using, lambda: list(rows.values(*DELIVERY)[: wanted.limit]))]

    async def again(self, id: str, service: str, endpoint: str, now: datetime) -> bool:
        """See `Outbox`."""
        message = self._messages.filter(id=id, service=service, endpoint=endpoint)
        due = {"status": DeliveryStatus.PENDING.value, "next_at": micros(now), "earlier": F("attempts")}
        return run(self._using, lambda: message.update(**due)) > 0

    async def states(self) -> Sequence[EndpointState]:
        """See `Outbox`."""
        names = ("service", "endpoint", "place", "failing_since", "disabled_at")
        found = run(self._using, lambda: list(self._states.values_list(*names)))
        return [EndpointState(row[0], row[1], row[2], time_of(row[3]), row[4] and time_of(row[4])) for row in found]

    async def enable(self, service: str, endpoint: str) -> bool:
        """See `Outbox`."""
        return run(self._using, lambda: self._states.filter(service=service, endpoint=endpoint).delete()[0]) > 0

    async def erase(self, tag: str) -> int:
        """See `Outbox`."""
        return run(self._using, lambda: self._messages.filter(verification__startswith=tag).delete()[0])

    async def purge(self, before: datetime, limit: int) -> int:
        """See `Outbox`."""
        old = self._messages.filter(created_at__lt=micros(before))

        def step() -> int:
            positions = list(self._held(old).values_list("position", flat=True)[:limit])
            return self._messages.filter(position__in=positions).delete()[0] if positions else 0

        return run(self._using, step)

    @property
    def _messages(self) -> QuerySet[OutboxMessage]:
        return OutboxMessage.objects.using(self._using)

    @property
    def _states(self) -> QuerySet[OutboxEndpoint]:
        return OutboxEndpoint.objects.using(self._using)

    def _of(self, message: Taken) -> QuerySet[OutboxMessage]:
        return self._messages.filter(id=message.id, service=message.service, endpoint=message.endpoint)

    def _attempt(self, message: Taken) -> QuerySet[OutboxMessage]:
        return self._of(message).filter(attempts=message.attempts, status=DeliveryStatus.PENDING.value)

    def _held(self, rows: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
        """Return the rows, locked until the transaction ends; those locked by others are left out.

        SQLite has no locks of rows: the step takes the database's write lock before it reads.
        """
        if connections[self._using].vendor == "sqlite":
            self._messages.filter(position=0).update(problem="")
            return rows
        return rows.select_for_update(skip_locked=True)

    def _note_failure(self, message: Taken, place: str, at: int, *, disable: bool) -> None:
        names = {"service": message.service, "endpoint": message.endpoint}
        row = OutboxEndpoint(**names, place=place, failing_since=at)
        # Changes nothing of an existing row but locks it. MySQL locks one that is ignored only for reading,
        # and two steps could not both exchange that lock.
        has_target = connections[self._using].features.supports_update_conflicts_with_target
        self._states.bulk_create(
            [row],
            update_conflicts=True,
            update_fields=["service"],
            unique_fields=["service", "endpoint"] if has_target else None,
        )
        same, disabled_at = Q(place=place), Value(at) if disable else Value(None)
        # `place` last: in MySQL the assignments before it read its old value.
        self._states.filter(**names).update(
            failing_since=Case(When(same, then=F("failing_since")), default=Value(at)),
            disabled_at=Case(When(same, then=Coalesce(F("disabled_at"), disabled_at)), default=disabled_at),
            place=place,
        )
