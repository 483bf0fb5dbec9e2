"""Asks the fraud guard about an order, and leaves it the channels that cost nothing if it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ..events.record import record_fraud
from ..limits import Quota
from ..model import Channel
from ..parts import Components
from ..phone import PhoneNumber

if TYPE_CHECKING:  # a site without a guard loads nothing of it
    from ..fraud.guard import Decision, FraudGuard


class Guarding:
    """What the fraud guard decided about one order, and the windows in which it counted it."""

    def __init__(self, parts: Components, guard: FraudGuard) -> None:
        self._parts, self._guard = parts, guard
        self._decision: Decision | None = None

    async def leave(
        self,
        phone: PhoneNumber,
        channels: Sequence[Channel],
        serves: Callable[[Channel], bool],
        *,
        networks: Sequence[str],
        is_owners: bool,
        by_client: bool,
    ) -> Sequence[Channel]:
        """Return which of these channels the order may use; none if it is refused. Raises `StoreError`.

        Traffic is not weighed for an order whose first channel is free.
        """
        served = [channel for channel in channels if serves(channel)]
        free = [channel for channel in served if channel in self._guard.free_channels]
        begins_free = bool(free) and served[0] is free[0]
        if begins_free:
            decision = self._guard.by_lists(phone)
        else:
            decision = await self._guard.decide(
                phone,
                self._parts.store,
                self._parts.now(),
                networks=networks,
                is_owners=is_owners,
                by_client=by_client,
            )
        if decision is not None:
            self._decision = decision
            record_fraud(str(decision))
            if decision.is_refused:
                return [] if decision.assessment.is_listed else free
        return free if begins_free else channels

    @property
    def counted(self) -> Sequence[tuple[Quota, datetime]]:
        """The windows in which the order is counted."""
        decision = self._decision
        if decision is None or decision.counted is None:
            return ()
        return list(zip(decision.quotas, decision.counted.windows, strict=True))

    async def take_back(self) -> None:
        """Take an order that is not sent out of the windows. Raises `StoreError`."""
        if self._decision is not None:
            await self._guard.take_back(self._decision, self._parts.store, self._parts.now())
            self._decision = None
