"""A queue of orders that wakes a worker for each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from ..errors import place_of
from ..model import Cause
from .sends import QueuedSend, SendQueue, SendState, TakenSend, Turn

log = logging.getLogger("phone_verify")

#: Starts a task that sends the order of this verification and send number.
Wake = Callable[[str, int], object]


class WakingSends:
    """A queue that calls `wake` after each order is kept.

    A failure to wake is logged: the order is in the database, and the repeated job sends it.
    """

    def __init__(self, sends: SendQueue, wake: Wake) -> None:
        self._sends, self._wake = sends, wake

    async def put(self, order: QueuedSend, now: datetime, failed: Cause | None = None) -> Sequence[int]:
        superseded = await self._sends.put(order, now, failed)
        if failed:
            return superseded
        try:
            self._wake(order.verification, order.send)
        except Exception as error:  # noqa: BLE001 - brokers raise anything, and their texts may hold credentials
            log.error("no task was started for an order, which waits: %s%s", type(error).__name__, place_of(error))
        return superseded

    async def take(
        self,
        lease: timedelta,
        now: datetime,
        only: tuple[str, int] | None = None,
        without: Collection[str] = (),
        after: Collection[Turn] = (),
    ) -> TakenSend | None:
        return await self._sends.take(lease, now, only, without, after)

    async def postpone(self, taken: TakenSend, until: datetime) -> None:
        await self._sends.postpone(taken, until)

    async def mark(self, taken: TakenSend, asked: int, until: datetime) -> None:
        await self._sends.mark(taken, asked, until)

    async def finish(self, taken: TakenSend, state: SendState, cause: Cause | None) -> bool:
        return await self._sends.finish(taken, state, cause)

    async def outcome(self, verification: str, send: int) -> tuple[SendState, Cause | None] | None:
        return await self._sends.outcome(verification, send)

    async def waiting_of(self, verification: str) -> Sequence[int]:
        return await self._sends.waiting_of(verification)

    async def waiting(self, before: datetime | None = None) -> int:
        return await self._sends.waiting(before)

    async def erase(self, tag: str) -> int:
        return await self._sends.erase(tag)

    async def purge(self, before: datetime, limit: int) -> int:
        return await self._sends.purge(before, limit)
