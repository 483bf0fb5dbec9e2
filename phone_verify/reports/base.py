"""The role of aggregates: attempts are folded into quarters of an hour, from which reports are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from ..ledger.values import Attempt
from .figures import Figures
from .periods import Periods, Span

#: How many attempts one step folds. They are locked meanwhile.
FOLDED_AT_ONCE = 400


@dataclass(frozen=True, slots=True)
class Selection:
    """Which attempts: those that began in a range, with these values of `figures.FILTERS`."""

    span: Span
    values: Mapping[str, str] = field(default_factory=dict)


#: The position of an attempt in the order of a list: its start and its id.
Position = tuple[datetime, int]


@runtime_checkable
class Aggregates(Protocol):
    """Adds up attempts of the ledger of the same database.

    A blocking implementation never suspends. All raise `StoreError` if the database does not answer.
    """

    async def fold(self, limit: int = FOLDED_AT_ONCE) -> int:
        """Add at most `limit` changed attempts to the aggregates, in one transaction; return how many.

        It may run in several processes at the same time. Attempts that others change or fold meanwhile are
        left to the next call.
        """
        ...

    async def sums(
        self, selection: Selection, dimensions: Sequence[str], periods: Periods | None = None
    ) -> Mapping[tuple[int, tuple[str, ...]], Figures]:
        """Return the sums by the number of the period, 0 without `periods`, and the values of these dimensions.

        Attempts that were not folded yet are included, and all is read at one instant: the sums are exact. A
        range of months is read in parts, each at one instant; an attempt belongs to one of them.
        """
        ...

    async def values(self, span: Span) -> Sequence[tuple[str, ...]]:
        """Return the different values of `figures.FILTERS` together, of attempts that began in a range."""
        ...

    async def attempts(
        self,
        selection: Selection,
        after: Position | None,
        limit: int,
        *,
        outcome: str | None = None,
        refusal: str | None = None,
    ) -> Sequence[Attempt]:
        """Return at most `limit` attempts, newest first, that follow a position in this order."""
        ...
