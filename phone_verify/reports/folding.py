"""How attempts are folded: what the aggregates hold of an attempt, and what is added when it changes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ..ledger.values import Attempt
from .figures import DIMENSIONS, MEASURES, dimensions_of, measures_of
from .periods import quarter_of


@dataclass(frozen=True, slots=True)
class Part:
    """What one attempt is in the aggregates: its row there, and what it adds to each measure."""

    quarter: int
    dimensions: tuple[str, ...]
    measures: tuple[int, ...]

    @classmethod
    def of(cls, attempt: Attempt) -> Part:
        """Return the part of an attempt."""
        return cls(quarter_of(attempt.started_at), dimensions_of(attempt), measures_of(attempt))

    @classmethod
    def read(cls, text: str) -> Part:
        """Return the part that was written."""
        quarter, dimensions, measures = json.loads(text)
        return cls(quarter, tuple(dimensions), _spread(measures))

    def written(self) -> str:
        """Return it as text; only measures that are not 0."""
        measures = {n: value for n, value in enumerate(self.measures) if value}
        return json.dumps([self.quarter, self.dimensions, measures], separators=(",", ":"))

    def negative(self) -> Part:
        """Return what takes it back."""
        return Part(self.quarter, self.dimensions, tuple(-value for value in self.measures))


def changes_of(attempt: Attempt, folded: str | None) -> list[Part]:
    """Return what is added to the aggregates, which hold `folded` of the attempt."""
    now = Part.of(attempt)
    if folded is None:
        return [now]
    before = Part.read(folded)
    return [] if before == now else [before.negative(), now]


def merged(parts: Iterable[Part]) -> list[Part]:
    """Return the parts with one for each row of the aggregates, in the order of the rows.

    Every folder locks rows in this order, so no two wait for each other.
    """
    sums: dict[tuple[int, tuple[str, ...]], tuple[int, ...]] = {}
    for part in parts:
        key = (part.quarter, part.dimensions)
        before = sums.get(key)
        sums[key] = part.measures if before is None else tuple(map(sum, zip(before, part.measures, strict=True)))
    return [Part(*key, measures) for key, measures in sorted(sums.items()) if any(measures)]


def row_of(part: Part, number: int = 0) -> dict[str, int | str]:
    """Return the values of a row's columns, each name followed by a number."""
    values: tuple[int | str, ...] = (part.quarter, *part.dimensions, *part.measures)
    return {f"{name}_{number}": value for name, value in zip(COLUMNS, values, strict=True)}


#: The columns of a row of the aggregates.
COLUMNS = ("quarter", *DIMENSIONS, *MEASURES)


def _spread(measures: dict[str, int]) -> tuple[int, ...]:
    values = [0] * len(MEASURES)
    for number, value in measures.items():
        values[int(number)] = value
    return tuple(values)
