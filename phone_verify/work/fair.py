"""A queue of orders that divides the senders of a process among the providers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from ..model import Cause
from .sends import QueuedSend, SendQueue, SendState, TakenSend, Turn

#: Orders of one provider that one process sends at the same time, unless a worker has other senders.
MOST_AT_ONCE = 4
#: Turns that a draw leaves out: each is a condition of the query. With more services than this, the orders that are
#: due longest come first again before each service has had its turn.
_MOST_TURNS = 50
#: Within this time after the draw a sender usually asks the provider. One that does not, because the order is
#: not to be sent now, is not counted any longer.
_ASKS_WITHIN = timedelta(seconds=1)


class FairSends:
    """A queue that draws from the providers in turn, and leaves a provider whose orders this process already sends.

    A provider that takes seconds for each order then delays only the orders that wait for it. The queue must
    be a blocking one.
    """

    def __init__(self, sends: SendQueue, most: int = MOST_AT_ONCE) -> None:
        self._sends, self._most, self._lock = sends, most, threading.Lock()
        #: The providers of each order that is being sent, and until when they are busy with it at most: the one in
        #: whose turn it was drawn, and the one that is asked.
        self._busy: dict[int, tuple[frozenset[str], datetime]] = {}
        #: The turns that had an order since each other one had.
        self._drawn: set[Turn] = set()

    def divide(self, senders: int) -> None:
        """Let one provider have half of this many senders at most, and one at least."""
        self._most = max(1, senders // 2)

    async def put(self, order: QueuedSend, now: datetime, failed: Cause | None = None) -> Sequence[int]:
        return await self._sends.put(order, now, failed)

    async def take(
        self,
        lease: timedelta,
        now: datetime,
        only: tuple[str, int] | None = None,
        without: Collection[str] = (),
        after: Collection[Turn] = (),
    ) -> TakenSend | None:
        if only is not None:
            return await self._sends.take(lease, now, only)
        with self._lock:  # over the draw: otherwise all threads would draw before any is counted
            if len(self._drawn) >= _MOST_TURNS:
                self._drawn.clear()
            left = sorted({*without, *self._full(now)})
            taken = await self._sends.take(lease, now, without=left, after=sorted({*after, *self._drawn}))
            if taken is None and self._drawn:
                self._drawn.clear()
                taken = await self._sends.take(lease, now, without=left, after=after)
            if taken is not None:
                self._busy[taken.position] = frozenset({taken.provider}), now + min(lease, _ASKS_WITHIN)
                self._drawn.add(taken.turn)
        return taken

    async def postpone(self, taken: TakenSend, until: datetime) -> None:
        try:
            await self._sends.postpone(taken, until)
        finally:
            self._free(taken)

    async def mark(self, taken: TakenSend, asked: int, until: datetime) -> None:
        await self._sends.mark(taken, asked, until)
        with self._lock:
            self._busy[taken.position] = frozenset({taken.provider, taken.order.drivers[asked - 1]}), until

    async def finish(self, taken: TakenSend, state: SendState, cause: Cause | None) -> bool:
        try:
            return await self._sends.finish(taken, state, cause)
        finally:
            self._free(taken)

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

    def _free(self, taken: TakenSend) -> None:
        """Count the sender as free, also if the database did not take what became of its order."""
        with self._lock:
            self._busy.pop(taken.position, None)

    def _full(self, now: datetime) -> list[str]:
        """Return the providers with as many orders as one may have. A sender that failed is free after its lease."""
        self._busy = {position: busy for position, busy in self._busy.items() if busy[1] > now}
        counts = Counter(provider for providers, _ in self._busy.values() for provider in providers)
        return [provider for provider, count in counts.items() if count >= self._most]
