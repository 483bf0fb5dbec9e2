"""A report: its rows, its total, the total of the period before, and refusals by reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..stores.rows.values import micros
from .base import FOLDED_AT_ONCE, Aggregates, Selection
from .figures import FILTERS, Figures, total
from .periods import Unit
from .reading import Grouping, Order


@dataclass(frozen=True, slots=True)
class Row:
    """A row: what its attempts have in common, and their figures. `start` is that of a period."""

    key: str
    figures: Figures
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A report. The total and the refusals are those of the rows: all is read at one instant.

    `choices` are the values in the range by which it can be filtered.
    """

    order: Order
    rows: Sequence[Row]
    total: Figures
    refusals: Mapping[str, int]
    before: Figures | None = None
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def currencies(self) -> Sequence[str]:
        """The currencies of its costs."""
        return sorted(self.total.cost)


async def make_report(aggregates: Aggregates, order: Order, *, with_choices: bool = True) -> Report:
    """Return the report of an order. Raises `StoreError`."""
    rows, refusals = await (_by_value if order.by.unit is None else _by_period)(aggregates, order)
    before = None
    if order.compare:
        found = await aggregates.sums(Selection(order.before, order.values), ())
        before = total(list(found.values()))
    choices = _choices(order, await aggregates.values(order.span)) if with_choices else {}
    return Report(order, rows, total([row.figures for row in rows]), refusals, before, choices)


def _choices(order: Order, found: Sequence[tuple[str, ...]]) -> Mapping[str, Sequence[str]]:
    """Return the values of each filter, with those that are set."""
    return {
        name: sorted({values[n] for values in found} | ({order.values[name]} if name in order.values else set()))
        for n, name in enumerate(FILTERS)
    }


async def _by_value(aggregates: Aggregates, order: Order) -> tuple[Sequence[Row], Mapping[str, int]]:
    found = await aggregates.sums(order.selection, (order.by.value, "refusal"))
    sums: defaultdict[str, Figures] = defaultdict(Figures)
    refusals: defaultdict[str, int] = defaultdict(int)
    for (_, (value, refusal)), figures in found.items():
        sums[value] += figures
        _add_refusals(refusals, refusal, figures)
    rows = [Row(key, figures) for key, figures in sums.items()]
    return sorted(rows, key=lambda row: (-row.figures.count("attempts"), row.key)), refusals


async def _by_period(aggregates: Aggregates, order: Order) -> tuple[Sequence[Row], Mapping[str, int]]:
    periods = order.periods
    assert periods is not None  # noqa: S101 - the grouping has a unit
    found = await aggregates.sums(order.selection, ("refusal",), periods)
    sums: dict[int, Figures] = {number: Figures() for number in periods.numbers(order.span)}
    refusals: defaultdict[str, int] = defaultdict(int)
    for (number, (refusal,)), figures in found.items():
        sums[number] += figures
        _add_refusals(refusals, refusal, figures)
    rows = []
    for number, figures in sorted(sums.items()):
        start = periods.start(number)
        key = start.date().isoformat() if periods.unit is Unit.DAY else start.isoformat(timespec="minutes")
        rows.append(Row(key, figures, start))
    return rows, refusals


def _add_refusals(refusals: dict[str, int], reason: str, figures: Figures) -> None:
    if count := figures.count("refused"):
        refusals[reason] += count


@dataclass(frozen=True, slots=True)
class Part:
    """A range of a long list of attempts, small enough for one file."""

    order: Order
    rows: int


#: The most rows of a file. One hour is not split.
MOST_ROWS = 50_000


async def parts_of(aggregates: Aggregates, order: Order, most: int = MOST_ROWS) -> Sequence[Part]:
    """Return the parts of a list of attempts, in the order of time: days, or hours of a day with too many.

    They are planned by the aggregates, so that nothing is counted twice. Raises `StoreError`.
    """
    report = await make_report(aggregates, replace(order, by=Grouping.DAY, hour=None), with_choices=False)
    parts: list[Part] = []
    for row in report.rows:
        count = row.figures.count("attempts")
        if not count or row.start is None:
            continue
        day = row.start.date()
        one = replace(order, first=day, last=day)
        if count > most:
            parts += await _hours_of(aggregates, one)
        elif parts and parts[-1].order.hour is None and parts[-1].rows + count <= most:
            parts[-1] = Part(replace(parts[-1].order, last=day), parts[-1].rows + count)
        else:
            parts.append(Part(one, count))
    return parts


async def _hours_of(aggregates: Aggregates, day: Order) -> Sequence[Part]:
    by_hour = replace(day, by=Grouping.HOUR)
    periods = by_hour.periods
    assert periods is not None  # noqa: S101 - the grouping has a unit
    found = await aggregates.sums(by_hour.selection, (), periods)
    return [
        Part(replace(day, hour=micros(periods.start(number))), figures.count("attempts"))
        for (number, _), figures in sorted(found.items())
    ]


async def fold_backlog(aggregates: Aggregates, enough: Callable[[], bool]) -> int:
    """Fold changed attempts until none is left or `enough` returns True; return how many. Raises `StoreError`."""
    count = 0
    while folded := await aggregates.fold():
        count += folded
        if folded < FOLDED_AT_ONCE or enough():
            break
    return count
