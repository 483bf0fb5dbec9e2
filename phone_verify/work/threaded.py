"""A blocking queue of orders for coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from ..model import Cause
from ..sync import run
from .sends import QueuedSend, SendQueue, SendState, TakenSend, Turn

T = TypeVar("T")


class InThread(Protocol):
    """Runs a function in a worker thread, like `asyncio.to_thread`."""

    def __call__(self, step: Callable[[], T], /) -> Awaitable[T]: ...


class ThreadedSends:
    """A blocking queue whose steps run in worker threads, so that they do not block the event loop."""

    def __init__(self, sends: SendQueue, in_thread: InThread) -> None:
        self._sends, self._in_thread = sends, in_thread

    async def put(self, order: QueuedSend, now: datetime, failed: Cause | None = None) -> Sequence[int]:
        return await self._in_thread(lambda: run(self._sends.put(order, now, failed)))

    async def take(
        self,
        lease: timedelta,
        now: datetime,
        only: tuple[str, int] | None = None,
        without: Collection[str] = (),
        after: Collection[Turn] = (),
    ) -> TakenSend | None:
        return await self._in_thread(lambda: run(self._sends.take(lease, now, only, without, after)))

    async def postpone(self, taken: TakenSend, until: datetime) -> None:
        await self._in_thread(lambda: run(self._sends.postpone(taken, until)))

    async def mark(self, taken: TakenSend, asked: int, until: datetime) -> None:
        await self._in_thread(lambda: run(self._sends.mark(taken, asked, until)))

    async def finish(self, taken: TakenSend, state: SendState, cause: Cause | None) -> bool:
        return await self._in_thread(lambda: run(self._sends.finish(taken, state, cause)))

    async def outcome(self, verification: str, send: int) -> tuple[SendState, Cause | None] | None:
        return await self._in_thread(lambda: run(self._sends.outcome(verification, send)))

    async def waiting_of(self, verification: str) -> Sequence[int]:
        return await self._in_thread(lambda: run(self._sends.waiting_of(verification)))

    async def waiting(self, before: datetime | None = None) -> int:
        return await self._in_thread(lambda: run(self._sends.waiting(before)))

    async def erase(self, tag: str) -> int:
        return await self._in_thread(lambda: run(self._sends.erase(tag)))

    async def purge(self, before: datetime, limit: int) -> int:
        return await self._in_thread(lambda: run(self._sends.purge(before, limit)))
