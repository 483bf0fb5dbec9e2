"""Aggregates over rows of an SQL database, for SQLAlchemy and for Django."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from ..ledger.amounts import amount_of
from ..ledger.rows.conversion import attempt_of
from ..ledger.rows.counters import Transaction, TransactionRunner
from ..ledger.rows.statements import Statement
from ..ledger.values import Attempt, AttemptOutcome
from ..stores.rows.values import micros, time_of
from .base import FOLDED_AT_ONCE, Position, Selection
from .figures import DIMENSIONS, MEASURES, Figures
from .folding import Part, changes_of, merged, row_of
from .periods import Periods, Span
from .statements import CHANGED, FILTERED, Statements

T = TypeVar("T")

#: Databases end a statement after some seconds. One reads at most so many attempts that filters may leave out, and
#: adds up at most so many days.
SCANNED_AT_ONCE = 10_000
DAYS_AT_ONCE = 31
#: Rows of one statement.
_BATCH = 100
_ROWS_ADDED = 50


class Reader(Protocol):
    """Reads by one statement, without a transaction."""

    def rows(self, text: Statement, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Return the rows that a statement returns. Raises `StoreError`."""
        ...


class RowAggregates:
    """Blocking aggregates over rows."""

    def __init__(self, runner: TransactionRunner, reader: Reader, statements: Callable[[], Statements]) -> None:
        self._runner, self._reader, self._statements = runner, reader, statements

    async def fold(self, limit: int = FOLDED_AT_ONCE) -> int:
        """See `Aggregates`."""
        statements = self._statements()
        # Read before the transaction, and without a lock: MySQL would lock the end of the index too,
        # where new attempts are inserted.
        ids = [row[0] for row in self._reader.rows(statements.changed, {"limit": limit})]
        if not ids:
            return 0
        # What a power failure undoes is folded again: an attempt is marked in the same transaction.
        return self._runner.run(lambda tx: _fold(tx, statements, ids), durable=False)

    async def sums(
        self, selection: Selection, dimensions: Sequence[str], periods: Periods | None = None
    ) -> Mapping[tuple[int, tuple[str, ...]], Figures]:
        """See `Aggregates`."""
        wanted = {*dimensions, "currency", "account_currency"}
        text = self._statements().sums(
            tuple(name for name in DIMENSIONS if name in wanted), periods, _filters(selection)
        )
        at = [DIMENSIONS.index(name) for name in dimensions]
        sums: defaultdict[tuple[int, tuple[str, ...]], Figures] = defaultdict(Figures)
        for span in _short(selection.span):
            found = self._reader.rows(text, _values(Selection(span, selection.values)))
            for period, values, figures in _parts(found, periods):
                sums[period, tuple(values[n] for n in at)] += figures
        return {key: figures for key, figures in sums.items() if figures.count("attempts")}

    async def values(self, span: Span) -> Sequence[tuple[str, ...]]:
        """See `Aggregates`."""
        text = self._statements().values()
        found = [self._reader.rows(text, _values(Selection(each))) for each in _short(span)]
        return list(dict.fromkeys(tuple(row) for rows in found for row in rows))

    async def attempts(
        self,
        selection: Selection,
        after: Position | None,
        limit: int,
        *,
        outcome: str | None = None,
        refusal: str | None = None,
    ) -> Sequence[Attempt]:
        """See `Aggregates`."""
        values: dict[str, Any] = {**_values(selection), "scanned": SCANNED_AT_ONCE, "skipped": SCANNED_AT_ONCE - 1}
        values |= {name: value for name, value in (("outcome", outcome), ("refusal", refusal)) if value is not None}
        filters = tuple(name for name in FILTERED if name in values)
        position = None if after is None else (micros(after[0]), after[1])
        found: list[Sequence[Any]] = []
        while True:
            if position is not None:
                values |= {"after": position[0], "after_id": position[1]}
            statements, follows = self._statements(), position is not None
            rows = self._reader.rows(
                statements.attempts(filters, after=follows), {**values, "limit": limit - len(found)}
            )
            found += rows
            if not filters or len(found) == limit:
                break
            scanned = self._reader.rows(statements.last_scanned(after=follows), values)
            if not scanned:
                break
            position = scanned[0][0], scanned[0][1]
        return [attempt_of(row) for row in found]


def _fold(tx: Transaction, statements: Statements, ids: Sequence[int]) -> int:
    changes: list[Part] = []
    count = 0
    for batch in _batches(ids, _BATCH):
        rows = tx.rows(statements.held(len(batch)), {f"id{n}": id for n, id in enumerate(batch)})
        marks: dict[str, Any] = {}
        for n, (*columns, folded) in enumerate(rows):
            attempt = attempt_of(columns)
            changes += changes_of(attempt, folded)
            marks |= {f"id{n}": attempt.id, f"folded{n}": Part.of(attempt).written()}
        if rows:
            tx.change(statements.folded(len(rows)), marks)
        count += len(rows)
    for parts in _batches(merged(changes), _ROWS_ADDED):
        values: dict[str, Any] = {}
        for n, part in enumerate(parts):
            values |= row_of(part, n)
        tx.change(statements.add(len(parts)), values)
    return count


def _parts(rows: Sequence[Sequence[Any]], periods: Periods | None) -> Iterator[tuple[int, tuple[str, ...], Figures]]:
    """Yield the number of the period, the dimensions and the figures of each row of `Statements.sums`."""
    measures = slice(2, 2 + len(MEASURES))
    dimensions = slice(measures.stop, measures.stop + len(DIMENSIONS))
    for row in rows:
        if row[0]:
            for part in _not_folded(row[1:]):
                number = periods.number(part.quarter) if periods else 0
                yield number, part.dimensions, _figures(part.measures, part.dimensions)
        else:
            values = tuple(row[dimensions])
            yield int(row[1]), values, _figures([int(value) for value in row[measures]], values)


def _figures(measures: Sequence[int], dimensions: Sequence[str]) -> Figures:
    return Figures.of_row(measures, dimensions[-2], dimensions[-1])


def _not_folded(row: Sequence[Any]) -> list[Part]:
    values = dict(zip(CHANGED, row, strict=True))
    attempt = Attempt(
        verification="",
        send=0,
        started_at=time_of(int(values["started_at"])),
        outcome=AttemptOutcome(values["outcome"]),
        delivery=values["delivery"],
        verify_ms=None if values["verify_ms"] is None else int(values["verify_ms"]),
        list_price=_amount(values["list_price"]),
        cost=_amount(values["cost"]),
        charged=amount_of(values["charged"]),
        **{name: values[name] for name in DIMENSIONS},
    )
    return changes_of(attempt, values["folded"])


def _amount(units: Any) -> Any:
    return None if units is None else amount_of(units)


def _filters(selection: Selection) -> tuple[str, ...]:
    return tuple(name for name in FILTERED if name in selection.values)


def _values(selection: Selection) -> dict[str, Any]:
    return {**selection.values, "since": micros(selection.span.since), "until": micros(selection.span.until)}


def _short(span: Span) -> Iterator[Span]:
    """Yield the parts of a range that one statement adds up."""
    since = span.since
    while since < span.until:
        until = min(since + timedelta(days=DAYS_AT_ONCE), span.until)
        yield Span(since, until)
        since = until


def _batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
