"""Orders that move to another channel by themselves, because the user has not answered in time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ..model import Channel, Verification
from ..policy import Fallback

#: The verifications whose move failed, remembered in this process; the oldest are forgotten.
_MOST_REMEMBERED = 10_000


class Fallbacks:
    """Decides when an order moves: once, and only if the user has ordered nothing else.

    The store counts the move like any resend, and admits it once over all processes. A move that it
    or a provider refuses is not tried again by this process: each try would count for the client.
    """

    def __init__(self, rules: Mapping[Channel, Fallback]) -> None:
        self._rules = rules
        self._tried: dict[str, None] = {}

    def due(self, record: Verification) -> Channel | None:
        """Return the channel to which this order must move now; None if it need not."""
        rule = self._rule(record)
        return rule.channel if rule is not None and record.read_at >= record.created_at + rule.after else None

    def due_at(self, record: Verification) -> datetime | None:
        """Return when this order moves, unless the user answers; None if it does not."""
        rule = self._rule(record)
        return None if rule is None else record.created_at + rule.after

    def _rule(self, record: Verification) -> Fallback | None:
        rule = self._rules.get(record.channel) if self._rules else None
        return rule if record.open and record.sends == 1 and record.id not in self._tried else None

    def remember(self, record: Verification) -> None:
        """Remember that the move of this order has been tried."""
        if len(self._tried) >= _MOST_REMEMBERED:
            self._tried.pop(next(iter(self._tried)), None)
        self._tried[record.id] = None
