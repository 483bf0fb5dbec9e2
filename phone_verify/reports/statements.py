"""The SQL statements of aggregates, in the dialect of one database."""

# ruff: noqa: S608 - only names of our own tables and columns, and numbers, are formatted into the texts

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..ledger.rows.statements import COLUMNS as ATTEMPT
from ..ledger.rows.statements import Statement, statement
from .figures import DIMENSIONS, FILTERS, MEASURES
from .folding import COLUMNS
from .periods import Periods

#: With the index of changed attempts, which are few; a sum is in no index, and the range may hold all of the table.
_DIRTY_IN_RANGE = "dirty = 1 AND started_at + 0 >= :since AND started_at + 0 < :until"
_KEY = COLUMNS[: 1 + len(DIMENSIONS)]


class Statements:
    """The statements for one kind of database: `sqlite`, `postgresql` or `mysql`."""

    def __init__(self, kind: str, attempt: str, quarter: str) -> None:
        self._kind, self._attempt, self._quarter = kind, attempt, quarter
        self.changed = statement(f"SELECT id FROM {attempt} WHERE dirty = 1 ORDER BY id LIMIT :limit")
        self.held = cache(self._held)
        self.add = cache(self._add)
        self.folded = cache(self._folded)

    def _held(self, rows: int) -> Statement:
        """Return the statement that locks this many attempts, except those that another step has locked."""
        # SQLite locks the whole file at the start of a step.
        lock = "" if self._kind == "sqlite" else " FOR UPDATE SKIP LOCKED"
        ids = ", ".join(f":id{n}" for n in range(rows))
        return statement(
            f"SELECT {', '.join(ATTEMPT)}, folded FROM {self._attempt} WHERE id IN ({ids}) AND dirty = 1 "
            f"ORDER BY id{lock}"
        )

    def _add(self, rows: int) -> Statement:
        values = ", ".join(f"({', '.join(f':{name}_{n}' for name in COLUMNS)})" for n in range(rows))
        insert = f"INSERT INTO {self._quarter} ({', '.join(COLUMNS)}) VALUES {values}"
        if self._kind == "mysql":
            changes = ", ".join(f"{name} = {name} + VALUES({name})" for name in MEASURES)
            return statement(f"{insert} ON DUPLICATE KEY UPDATE {changes}")
        changes = ", ".join(f"{name} = {self._quarter}.{name} + excluded.{name}" for name in MEASURES)
        return statement(f"{insert} ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {changes}")

    def _folded(self, rows: int) -> Statement:
        cases = " ".join(f"WHEN :id{n} THEN :folded{n}" for n in range(rows))
        ids = ", ".join(f":id{n}" for n in range(rows))
        return statement(f"UPDATE {self._attempt} SET dirty = 0, folded = CASE id {cases} END WHERE id IN ({ids})")

    def sums(self, dimensions: Sequence[str], periods: Periods | None, filters: Sequence[str]) -> Statement:
        """Return the statement that adds up the aggregates, and lists the attempts that they do not hold.

        `dimensions` are not empty. It is one statement, so that both are of one instant. Columns of the first
        kind: 0, period, measures, dimensions, filled up; of the second: 1 and the attempt's columns as in `CHANGED`.
        """
        period = self._period(periods) if periods else "0"
        grouped = [name if name in dimensions else "''" for name in DIMENSIONS]
        sums = ", ".join(f"SUM({name})" for name in MEASURES)
        where = " AND ".join(f"{name} = :{name}" for name in filters)
        where = f" AND {where}" if where else ""
        by = ", ".join([*([period] if periods else []), *(name for name in DIMENSIONS if name in dimensions)])
        spare = ", ".join(["0"] * (1 + len(MEASURES) - len(_NUMBERS)))
        return statement(
            f"SELECT 0 AS kind, {period}, {sums}, {', '.join(grouped)}, '', '', '' FROM {self._quarter} "
            f"WHERE quarter >= :since AND quarter < :until{where} GROUP BY {by} UNION ALL "
            f"SELECT 1, {', '.join(_NUMBERS)}, {spare}, {', '.join(DIMENSIONS)}, outcome, delivery, folded "
            f"FROM {self._attempt} WHERE {_DIRTY_IN_RANGE}{where}"
        )

    def values(self) -> Statement:
        """Return the statement that lists the values by which reports can be filtered."""
        names = ", ".join(FILTERS)
        return statement(
            f"SELECT {names} FROM {self._quarter} WHERE quarter >= :since AND quarter < :until GROUP BY {names} UNION "
            f"SELECT {names} FROM {self._attempt} WHERE {_DIRTY_IN_RANGE}"
        )

    def _period(self, periods: Periods) -> str:
        shifts = [(end, periods.shift(offset)) for end, offset in periods.offsets]
        cases = " ".join(f"WHEN quarter < {end} THEN {shift}" for end, shift in shifts[:-1])
        shift = f"CASE {cases} ELSE {shifts[-1][1]} END" if cases else str(shifts[-1][1])
        divide = "DIV" if self._kind == "mysql" else "/"
        return f"(quarter + {shift}) {divide} {periods.length}"

    def attempts(self, filters: Sequence[str], *, after: bool) -> Statement:
        """Return the statement that lists attempts, newest first; with filters, of the next `scanned` attempts."""
        columns, read = ", ".join(ATTEMPT), f"FROM {self._attempt} {_newest_in_range(after=after)}"
        if not filters:
            return statement(f"SELECT {columns} {read} LIMIT :limit")
        where = " AND ".join(f"{name} = :{name}" for name in filters)
        return statement(
            f"SELECT {columns} FROM (SELECT {columns} {read} LIMIT :scanned) AS scanned WHERE {where} "
            "ORDER BY started_at DESC, id DESC LIMIT :limit"
        )

    def last_scanned(self, *, after: bool) -> Statement:
        """Return the statement for the start and the id of the last attempt that `attempts` has scanned."""
        return statement(
            f"SELECT started_at, id FROM {self._attempt} {_newest_in_range(after=after)} LIMIT 1 OFFSET :skipped"
        )


def _newest_in_range(*, after: bool) -> str:
    where = "WHERE started_at >= :since AND started_at < :until"
    if after:
        # The first condition alone uses the index of times.
        where += " AND started_at <= :after AND (started_at < :after OR id < :after_id)"
    return f"{where} ORDER BY started_at DESC, id DESC"


_NUMBERS = ("started_at", "cost", "charged", "verify_ms", "list_price")
#: The columns of an attempt that the aggregates do not hold, in the order of `Statements.sums`.
CHANGED = (
    *_NUMBERS, *(f"spare{n}" for n in range(1 + len(MEASURES) - len(_NUMBERS))), *DIMENSIONS, "outcome", "delivery",
    "folded",
)  # fmt: skip
FILTERED = (*FILTERS, "outcome", "refusal")
