"""Conversions: how many orders a provider accepted, and how many of them were verified.

They are counted by provider, region and channel, without numbers and without tags, for routing by
outcome (`routing/`). Both counts lose weight over a week. On a busy route they lose it faster, so
that a provider that goes bad is noticed: the counts represent the last `MEMORY` changes or the
last hour, whichever is longer. The verified orders lose weight together with the sent ones, so
that orders whose user is still typing do not lower the rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import exp

from .model import Channel

#: The time in which the counts of a route that is not used fall to 37 %.
DECAY = timedelta(days=7)
#: The changes of one route in which earlier counts fall to 37 %, ...
MEMORY = 200
#: ... unless they take less than this time: many users of a very busy route are still typing.
SHORTEST_MEMORY = timedelta(hours=1)
#: How long counts are kept after the last change; less than 1 % of them is left then.
CONVERSIONS_KEPT = timedelta(days=35)
#: How long a change waits for another one of the same route: a verification waits for it.
LONGEST_WAIT = timedelta(milliseconds=250)
#: More than any site can count. With much larger counts no rate can be drawn.
MOST_COUNTED = 1e9


@dataclass(frozen=True, slots=True)
class Conversion:
    """The weighted orders of one route, and those of them that were verified, as of a time.

    Counts that cannot be counts, like negative or infinite ones, are none.
    """

    sent: float
    verified: float
    at: datetime

    def __post_init__(self) -> None:
        """Replace counts that no store wrote."""
        if not (0 <= self.sent <= MOST_COUNTED and 0 <= self.verified <= MOST_COUNTED):
            for name in ("sent", "verified"):
                object.__setattr__(self, name, 0.0)

    def added(self, sent: int, verified: int, now: datetime) -> Conversion:
        """Return the counts after a change."""
        passed = max(now - self.at, timedelta(0))
        left = exp(-(passed / DECAY + min(1 / MEMORY, passed / SHORTEST_MEMORY)))
        return Conversion(self.sent * left + sent, self.verified * left + verified, max(now, self.at))

    def decayed(self, now: datetime) -> Conversion:
        """Return the counts at a time without a change."""
        left = exp(-(max(now - self.at, timedelta(0)) / DECAY))
        return Conversion(self.sent * left, self.verified * left, now)


def route_key(driver: str, region: str | None, channel: Channel) -> str:
    """Return the name under which the conversions of a route are counted."""
    return f"{driver}:{region or '-'}:{channel.value}"
