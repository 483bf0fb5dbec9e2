"""What the fraud guard found about an order: a score, and the reasons for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: The score of a number that a list denies, and the highest.
CERTAIN = 100


class Signal(StrEnum):
    """A rule that added points. The values stand in events and never change."""

    DENIED_NUMBER = "denied_number"
    DENIED_PREFIX = "denied_prefix"
    DENIED_REGION = "denied_region"
    DENIED_TYPE = "denied_type"
    DISPOSABLE = "disposable"
    #: Few orders to the number's range were verified.
    CONVERSION = "conversion"
    #: Few orders from the client's network were verified.
    NETWORK = "network"
    #: More orders to the range in an hour than its verified traffic explains.
    SPEED = "speed"
    #: Many numbers of one block of 100 or 1,000 in an hour.
    NEIGHBOURS = "neighbours"
    #: A range of which few orders are verified has received what unknown networks may send there.
    ALLOWANCE = "allowance"


class Verdict(StrEnum):
    """What happens to the order."""

    PASSED = "passed"
    #: It would be refused, but the guard only records.
    NOTED = "noted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Assessment:
    """The score of an order, from 0 to 100, and the points of each rule that contributed.

    `allowed` is whether a list of the site lets the number pass.
    """

    score: int = 0
    reasons: Mapping[Signal, int] = field(default_factory=dict)
    allowed: bool = False

    def verdict(self, refuse_from: int, *, record_only: bool) -> Verdict:
        """Return what happens to an order with this score."""
        if self.score < refuse_from:
            return Verdict.PASSED
        return Verdict.NOTED if record_only else Verdict.REFUSED

    @property
    def is_listed(self) -> bool:
        """Whether a list of the site decided."""
        return self.allowed or not _LISTS.isdisjoint(self.reasons)


_LISTS = frozenset(
    {Signal.DENIED_NUMBER, Signal.DENIED_PREFIX, Signal.DENIED_REGION, Signal.DENIED_TYPE, Signal.DISPOSABLE}
)


def assessment_of(reasons: Mapping[Signal, int], *, weight: float = 1.0) -> Assessment:
    """Return the assessment with these points, each multiplied by `weight`, without those of 0."""
    weighed = {signal: round(points * weight) for signal, points in reasons.items()}
    found = {signal: points for signal, points in weighed.items() if points > 0}
    return Assessment(min(sum(found.values()), CERTAIN), found)
