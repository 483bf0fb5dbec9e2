"""Transactions of the ledger, and the counters of caps in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from ...stores.rows.values import micros
from ..amounts import amount_of, units
from ..caps import Cap, Usage
from .statements import Statement, Statements

T = TypeVar("T")


class Transaction(Protocol):
    """One run of a step."""

    @property
    def statements(self) -> Statements: ...
    def rows(self, text: Statement, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Return the rows that a statement returns."""
        ...

    def change(self, text: Statement, values: Mapping[str, Any]) -> int:
        """Return how many rows a statement found or inserted."""
        ...

    def insert(self, text: Statement, values: Mapping[str, Any]) -> int | None:
        """Insert a row, and return its id; None if there is one with the same key."""
        ...


class TransactionRunner(Protocol):
    """Runs steps in transactions of one database, which are kept or undone on their own."""

    def run(self, step: Callable[[Any], T], *, durable: bool = True) -> T:
        """Run a step, and commit it; an exception undoes it. Raises `StoreError`.

        Without `durable` the commit may return before it is on the disk, where the database can do that.
        """
        ...


def add(tx: Transaction, changes: Mapping[str, tuple[int, Decimal, datetime]]) -> list[Usage]:
    """Add to counters, and return what they hold then."""
    values: dict[str, Any] = {}
    for n, (name, (used, spent, ends_at)) in enumerate(sorted(changes.items())):
        values |= {f"name{n}": name, f"used{n}": used, f"spent{n}": units(spent), f"ends_at{n}": micros(ends_at)}
    if tx.statements.returns:
        return [_usage_of(row) for row in tx.rows(tx.statements.count(len(changes)), values)]
    tx.change(tx.statements.count(len(changes)), values)
    return usage(tx, changes)


def usage(tx: Transaction, names: Iterable[str]) -> list[Usage]:
    values = {f"name{n}": name for n, name in enumerate(names)}
    return [_usage_of(row) for row in tx.rows(tx.statements.counters(len(values)), values)]


def _usage_of(row: Sequence[Any]) -> Usage:
    name, used, spent, alarmed, alarm_count, alarm_money = row
    money = None if alarm_money is None else amount_of(alarm_money)
    return Usage(name, used, amount_of(spent), alarmed, alarm_count, money)


def level_values(name: str, level: int, cap: Cap | None = None) -> dict[str, Any]:
    """Return the values that note the level of an alarm on a counter, and the limits of its cap."""
    money = None if cap is None or cap.money is None else units(cap.money)
    return {"name": name, "level": level, "alarm_count": cap.count if cap is not None else None, "alarm_money": money}
