"""Work that waits, over rows of an SQL database: for SQLAlchemy and for Django."""

# ruff: noqa: S608 - only names of our own tables and columns are formatted into the texts; values are always bound

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any

from ..ledger.rows.counters import Transaction, TransactionRunner
from ..ledger.rows.statements import Statement, statement
from ..model import Cause, Channel
from ..stores.rows.values import micros, time_of
from .leases import JobLease, JobState
from .sends import LeaseLostError, QueuedSend, SendState, TakenSend, Turn

_SEND = (
    "verification", "send", "service", "channel", "drivers", "long_codes", "access_key", "page_host", "top_host",
    "counted", "provider", "queued_at", "next_at", "takes", "asked", "state", "cause",
)  # fmt: skip
_TAKEN = ("position", "takes", "asked", "provider", *_SEND[:10])
_JOB = ("name", "next_at", "takes", "started_at", "finished_at", "amount", "problem")
_LONGEST_PROBLEM = 200
#: Ids begin with the tag, and this sorts after each of their characters.
_AFTER_IDS = "~"


@dataclass(frozen=True, slots=True)
class TableNames:
    """The names of the tables."""

    send: str = "phone_verify_send"
    job: str = "phone_verify_job"


class Statements:
    """The statements for one kind of database: `sqlite`, `postgresql` or `mysql`."""

    def __init__(self, kind: str, names: TableNames) -> None:
        # SQLite locks the whole file at the start of a step.
        lock, wait = ("", "") if kind == "sqlite" else (" FOR UPDATE SKIP LOCKED", " FOR UPDATE")
        send, job = names.send, names.job
        taken, key = ", ".join(_TAKEN), "verification = :verification AND send = :send"
        mine = "position = :position AND takes = :takes AND next_at IS NOT NULL"
        self.put = _insert(kind, send, _SEND)
        self.due = cache(
            lambda others, turns: statement(
                f"SELECT {taken} FROM {send} WHERE next_at <= :now"
                + "".join(f" AND provider <> :other{n}" for n in range(others))
                + "".join(f" AND (provider <> :provider{n} OR service <> :service{n})" for n in range(turns))
                + f" ORDER BY next_at, position LIMIT 1{lock}"
            )
        )
        self.due_one = statement(f"SELECT {taken} FROM {send} WHERE {key} AND next_at <= :now{lock}")
        self.hold = statement(f"UPDATE {send} SET next_at = :until, takes = takes + 1 WHERE position = :position")
        self.postpone = statement(f"UPDATE {send} SET next_at = :until WHERE {mine}")
        self.mark = statement(f"UPDATE {send} SET next_at = :until, asked = :asked, drivers = :drivers WHERE {mine}")
        self.finish = statement(f"UPDATE {send} SET next_at = NULL, state = :state, cause = :cause WHERE {mine}")
        waits = "verification = :verification AND next_at IS NOT NULL"
        self.of_verification = statement(f"SELECT position, send, asked FROM {send} WHERE {waits} ORDER BY send{wait}")
        self.drop = statement(f"UPDATE {send} SET next_at = NULL, state = :state WHERE position = :position")
        self.waiting_of = statement(f"SELECT send FROM {send} WHERE {waits} ORDER BY send")
        self.outcome = statement(f"SELECT state, cause FROM {send} WHERE {key}")
        self.waiting = statement(f"SELECT COUNT(*) FROM {send} WHERE next_at IS NOT NULL")
        self.waiting_since = statement(f"{self.waiting.named} AND next_at < :before")
        self.erase = statement(f"DELETE FROM {send} WHERE verification >= :low AND verification < :high")
        self.old = statement(
            f"SELECT position FROM {send} WHERE queued_at < :before AND next_at IS NULL LIMIT :limit{lock}"
        )
        self.delete = statement(f"DELETE FROM {send} WHERE position = :position")
        self.make_job = _insert(kind, job, _JOB)
        self.due_job = statement(f"SELECT takes FROM {job} WHERE name = :name AND next_at <= :now{lock}")
        self.hold_job = statement(
            f"UPDATE {job} SET next_at = :until, takes = takes + 1, started_at = :now WHERE name = :name"
        )
        self.finish_job = statement(
            f"UPDATE {job} SET next_at = :next_at, finished_at = :now, amount = :amount, problem = :problem "
            "WHERE name = :name AND takes = :takes"
        )
        self.jobs = statement(
            f"SELECT name, next_at, started_at, finished_at, amount, problem FROM {job} ORDER BY name"
        )


def _insert(kind: str, table: str, columns: Sequence[str]) -> Statement:
    """Return an insert that leaves a row with the same key as it is."""
    ignore, suffix = (" IGNORE", "") if kind == "mysql" else ("", " ON CONFLICT DO NOTHING")
    values = ", ".join(f":{name}" for name in columns)
    return statement(f"INSERT{ignore} INTO {table} ({', '.join(columns)}) VALUES ({values}){suffix}")


class _Rows:
    """Steps over rows. `kind` returns the kind of database at the first use."""

    def __init__(self, runner: TransactionRunner, kind: Callable[[], str], names: TableNames) -> None:
        self._runner, self._kind, self._names = runner, kind, names

    @cached_property
    def _texts(self) -> Statements:
        return Statements(self._kind(), self._names)

    def _change(self, text: Statement, values: Mapping[str, Any]) -> int:
        changed: int = self._runner.run(lambda tx: tx.change(text, values))
        return changed


class RowSends(_Rows):
    """A blocking `SendQueue` over rows."""

    async def put(self, order: QueuedSend, now: datetime, failed: Cause | None = None) -> Sequence[int]:
        """See `SendQueue`."""
        values = {
            "verification": order.verification,
            "send": order.send,
            "service": order.service,
            "channel": order.channel.value,
            "drivers": " ".join(order.drivers),
            "long_codes": int(order.long),
            "access_key": order.access_key,
            "page_host": order.page_host or "",
            "top_host": order.top_host or "",
            "counted": order.counted,
            "provider": order.provider,
            "queued_at": micros(now),
            "next_at": None if failed else micros(now),
            "takes": 0,
            "asked": 0,
            "state": (SendState.FAILED if failed else SendState.WAITING).value,
            "cause": failed.value if failed else "",
        }
        dropped = {"state": SendState.DROPPED.value}

        def step(tx: Transaction) -> Sequence[int]:
            tx.change(self._texts.put, values)
            if failed:
                return []
            earlier = tx.rows(self._texts.of_verification, {"verification": order.verification})[:-1]
            superseded = [(position, send) for position, send, asked in earlier if not asked]
            for position, _ in superseded:
                tx.change(self._texts.drop, {"position": position, **dropped})
            return [send for _, send in superseded]

        return self._runner.run(step)

    async def take(
        self,
        lease: timedelta,
        now: datetime,
        only: tuple[str, int] | None = None,
        without: Collection[str] = (),
        after: Collection[Turn] = (),
    ) -> TakenSend | None:
        """See `SendQueue`."""
        values: dict[str, Any] = {"now": micros(now), **{f"other{n}": name for n, name in enumerate(without)}}
        for n, (provider, service) in enumerate(after):
            values |= {f"provider{n}": provider, f"service{n}": service}
        text = self._texts.due(len(without), len(after))
        if only is not None:
            text, values = self._texts.due_one, {"now": micros(now), "verification": only[0], "send": only[1]}

        def step(tx: Transaction) -> Sequence[Any] | None:
            rows = tx.rows(text, values)
            if not rows:
                return None
            tx.change(self._texts.hold, {"position": rows[0][0], "until": micros(now + lease)})
            return tuple(rows[0])

        row = self._runner.run(step)
        # Not in the step: a row that cannot be read must wait too, or it would be the first that is due.
        return None if row is None else _taken_of(row)

    async def postpone(self, taken: TakenSend, until: datetime) -> None:
        """See `SendQueue`."""
        self._change(self._texts.postpone, {**_key(taken), "until": micros(until)})

    async def mark(self, taken: TakenSend, asked: int, until: datetime) -> None:
        """See `SendQueue`."""
        drivers = " ".join(taken.order.drivers)
        values = {**_key(taken), "asked": asked, "drivers": drivers, "until": micros(until)}
        if not self._change(self._texts.mark, values):
            raise LeaseLostError

    async def finish(self, taken: TakenSend, state: SendState, cause: Cause | None) -> bool:
        """See `SendQueue`."""
        values = {**_key(taken), "state": state.value, "cause": cause.value if cause else ""}
        return self._change(self._texts.finish, values) > 0

    async def outcome(self, verification: str, send: int) -> tuple[SendState, Cause | None] | None:
        """See `SendQueue`."""
        values = {"verification": verification, "send": send}
        rows = self._runner.run(lambda tx: tx.rows(self._texts.outcome, values))
        return (SendState(rows[0][0]), Cause(rows[0][1]) if rows[0][1] else None) if rows else None

    async def waiting_of(self, verification: str) -> Sequence[int]:
        """See `SendQueue`."""
        values = {"verification": verification}
        return [row[0] for row in self._runner.run(lambda tx: tx.rows(self._texts.waiting_of, values))]

    async def waiting(self, before: datetime | None = None) -> int:
        """See `SendQueue`."""
        text, values = self._texts.waiting, {}
        if before is not None:
            text, values = self._texts.waiting_since, {"before": micros(before)}
        return int(self._runner.run(lambda tx: tx.rows(text, values))[0][0])

    async def erase(self, tag: str) -> int:
        """See `SendQueue`."""
        values = {"low": tag, "high": tag + _AFTER_IDS}
        return self._change(self._texts.erase, values)

    async def purge(self, before: datetime, limit: int) -> int:
        """See `SendQueue`."""

        def step(tx: Transaction) -> int:
            rows = tx.rows(self._texts.old, {"before": micros(before), "limit": limit})
            return sum(tx.change(self._texts.delete, {"position": row[0]}) for row in rows)

        return self._runner.run(step)


class RowLeases(_Rows):
    """Blocking `JobLeases` over rows."""

    async def take(self, name: str, lease: timedelta, now: datetime) -> JobLease | None:
        """See `JobLeases`."""
        due = {"name": name, "now": micros(now)}
        new = {**dict.fromkeys(_JOB, 0), "name": name, "started_at": None, "finished_at": None, "problem": ""}

        def step(tx: Transaction) -> JobLease | None:
            rows = tx.rows(self._texts.due_job, due)
            if not rows and tx.change(self._texts.make_job, new):
                rows = tx.rows(self._texts.due_job, due)
            if not rows:
                return None
            tx.change(self._texts.hold_job, {**due, "until": micros(now + lease)})
            return JobLease(name, rows[0][0] + 1)

        return self._runner.run(step)

    async def finish(self, lease: JobLease, amount: int, problem: str, next_at: datetime, now: datetime) -> bool:
        """See `JobLeases`."""
        values = {
            "name": lease.name,
            "takes": lease.takes,
            "amount": amount,
            "problem": problem[:_LONGEST_PROBLEM],
            "next_at": micros(next_at),
            "now": micros(now),
        }
        return self._change(self._texts.finish_job, values) > 0

    async def states(self) -> Sequence[JobState]:
        """See `JobLeases`."""
        rows = self._runner.run(lambda tx: tx.rows(self._texts.jobs, {}))
        return [
            JobState(
                name,
                time_of(next_at),
                None if started_at is None else time_of(started_at),
                None if finished_at is None else time_of(finished_at),
                amount,
                problem,
            )
            for name, next_at, started_at, finished_at, amount, problem in rows
        ]


def _key(taken: TakenSend) -> dict[str, int]:
    return {"position": taken.position, "takes": taken.takes}


def _taken_of(row: Sequence[Any]) -> TakenSend:
    values = dict(zip(_TAKEN, row, strict=True))
    order = QueuedSend(
        verification=values["verification"],
        send=values["send"],
        service=values["service"],
        channel=Channel(values["channel"]),
        drivers=values["drivers"].split(),
        long=bool(values["long_codes"]),
        access_key=values["access_key"],
        page_host=values["page_host"] or None,
        top_host=values["top_host"] or None,
        counted=values["counted"],
    )
    return TakenSend(values["position"], values["takes"] + 1, values["asked"], order, values["provider"])
