"""What the tables of the pages show: texts and links of each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from ..ledger.values import Attempt
from ..stores.rows.values import micros
from .figures import Figures
from .labels import Labels
from .numbers import Numbers
from .periods import Unit
from .report import Report, Row


@dataclass(frozen=True, slots=True)
class Card:
    """One figure of the whole report; `change` compares it with the period before, and `before` is its value then."""

    label: str
    value: str
    change: str = ""
    before: str = ""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A line of the report's table; `query` lists its attempts."""

    label: str
    query: str
    cells: Sequence[str]
    empty: bool = False


def cards(report: Report, texts: Mapping[str, str], numbers: Numbers) -> list[Card]:
    """Return the figures above the table."""
    now, before = report.total, report.before
    found = []
    for name, value in _headline(now, numbers).items():
        then = "" if before is None else _headline(before, numbers)[name]
        change = "" if before is None else numbers.change(_number(now, name), _number(before, name))
        found.append(Card(texts[name], value, change, then and texts["before"].format(value=then)))
    return found


def report_rows(report: Report, labels: Labels, numbers: Numbers) -> list[ReportRow]:
    """Return the lines of the table."""
    return [
        ReportRow(
            _label(report, row, labels, numbers),
            _query(report, row),
            cells_of(row.figures, numbers),
            empty=not row.figures.count("attempts"),
        )
        for row in report.rows
    ]


def cells_of(figures: Figures, numbers: Numbers) -> list[str]:
    """Return the texts of a line, in the order of the table's head."""
    return [
        *(numbers.count(figures.count(name)) for name in ("sent", "delivered", "verified")),
        numbers.percent(figures.conversion),
        numbers.amounts(dict(figures.cost)),
        numbers.amounts(figures.cost_per_verified),
        numbers.seconds(figures.seconds_to_verify(0.5)),
        numbers.seconds(figures.seconds_to_verify(0.95)),
        *(numbers.count(figures.count(name)) for name in ("refused", "unclear")),
    ]


def attempt_rows(attempts: Sequence[Attempt], zone: tzinfo, labels: Labels, numbers: Numbers) -> list[list[str]]:
    """Return the lines of a list of attempts, in the order of the table's head."""
    return [
        [
            numbers.time(each.started_at.astimezone(zone)),
            # Isolated: a number is read from left to right.
            f"\u2066{each.hint}\u2069" if each.hint else "–",
            labels.of("channel", each.channel),
            each.driver,
            labels.of("outcome", each.outcome.value)
            + (f" ({labels.of('refusal', each.refusal)})" if each.refusal else ""),
            numbers.milliseconds(each.provider_ms),
            numbers.seconds(None if each.verify_ms is None else each.verify_ms / 1000),
            "–" if each.parts is None else numbers.count(each.parts),
            "–" if each.cost is None else numbers.amount(each.cost, each.currency),
            labels.of("region", each.region),
            each.service,
            labels.of("access_key", each.access_key),
            each.purpose,
        ]
        for each in attempts
    ]


def _headline(figures: Figures, numbers: Numbers) -> dict[str, str]:
    return {
        "sent": numbers.count(figures.count("sent")),
        "verified": numbers.count(figures.count("verified")),
        "conversion": numbers.percent(figures.conversion),
        "cost": numbers.amounts(dict(figures.cost)),
        "cost_per_verified": numbers.amounts(figures.cost_per_verified),
        "median": numbers.seconds(figures.seconds_to_verify(0.5)),
        "p95": numbers.seconds(figures.seconds_to_verify(0.95)),
        "refused": numbers.count(figures.count("refused")),
    }


def _number(figures: Figures, name: str) -> float:
    """Return a headline as one number to compare; 0 if it has none, or is in several currencies."""
    if name in ("cost", "cost_per_verified"):
        amounts = dict(figures.cost) if name == "cost" else figures.cost_per_verified
        return float(next(iter(amounts.values()))) if len(amounts) == 1 else 0
    if name in ("median", "p95"):
        return figures.seconds_to_verify(0.5 if name == "median" else 0.95) or 0
    return (figures.conversion or 0) if name == "conversion" else figures.count(name)


def _label(report: Report, row: Row, labels: Labels, numbers: Numbers) -> str:
    if row.start is None:
        return labels.of(report.order.by.value, row.key)
    if report.order.by.unit is Unit.DAY:
        return numbers.time(row.start, "%Y-%m-%d")
    # The hour that is repeated when the clock is set back is distinguished by its offset.
    twice = row.start.fold or row.start.utcoffset() != row.start.replace(fold=1).utcoffset()
    return numbers.time(row.start, "%Y-%m-%d %H:%M %z" if twice else "%Y-%m-%d %H:%M")


def _query(report: Report, row: Row) -> str:
    order = report.order
    if row.start is None:
        return order.query(**{order.by.value: row.key})
    day = row.start.date().isoformat()
    hour = str(micros(row.start)) if order.by.unit is Unit.HOUR else None
    return order.query(**{"from": day, "to": day, "hour": hour})
