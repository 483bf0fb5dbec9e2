"""A blocking store for coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from ..conversions import Conversion
from ..lifecycle import Attachment, Opening, ResolvedCheck, Spent
from ..limits import Answering, Counted, Denied, Limits, Quota
from ..model import Channel, IncomingCall, Status, Verification
from ..phone import PhoneNumber
from ..sync import run
from .base import Place, Reservation, Store, counts_and_opens

T = TypeVar("T")


class InThread(Protocol):
    """Runs a function in a worker thread, like `asyncio.to_thread`."""

    def __call__(self, step: Callable[[], T], /) -> Awaitable[T]: ...


class ThreadedStore:
    """A blocking store whose steps run in worker threads, so that they do not block the event loop.

    A started step runs to completion even if its caller is cancelled, so it is done either
    completely or not at all.
    """

    # The coroutine of each step is created in its thread, so one that is cancelled while queued was
    # never created.

    def __init__(self, store: Store, in_thread: InThread) -> None:
        self._store, self._in_thread = store, in_thread
        self._at_once = counts_and_opens(store)

    def __repr__(self) -> str:
        return f"<ThreadedStore over {self._store!r}>"

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Counted | Denied:
        return await self._in_thread(lambda: run(self._store.count(quotas, now)))

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        await self._in_thread(lambda: run(self._store.uncount(quotas, windows, now)))

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Denied:
        return await self._in_thread(lambda: run(self._store.open(opening, quotas, limits, now)))

    @property
    def counts_and_opens(self) -> bool:
        """See `CountsAndOpens`."""
        return self._at_once is not None

    async def count_and_open(
        self,
        shared: Sequence[Quota],
        opening: Opening,
        quotas: Sequence[Quota],
        limits: Limits,
        now: datetime | None,
    ) -> tuple[Counted, Verification] | Denied:
        if (store := self._at_once) is None:
            raise NotImplementedError("the store does not count and open in one step")
        return await self._in_thread(lambda: run(store.count_and_open(shared, opening, quotas, limits, now)))

    async def attach(self, id: str, attachment: Attachment, now: datetime | None) -> Verification | Denied:
        return await self._in_thread(lambda: run(self._store.attach(id, attachment, now)))

    async def refund(self, id: str, quotas: Sequence[Quota], at: datetime, now: datetime | None) -> None:
        await self._in_thread(lambda: run(self._store.refund(id, quotas, at, now)))

    async def spend(
        self,
        id: str,
        binding: bytes,
        digests: Sequence[bytes],
        length: int,
        limits: Limits,
        answering: Answering,
        now: datetime | None,
    ) -> Spent | Denied:
        return await self._in_thread(
            lambda: run(self._store.spend(id, binding, digests, length, limits, answering, now))
        )

    async def reopen(
        self,
        id: str,
        binding: bytes,
        channel: Channel,
        short: bool,
        quotas: Sequence[Quota],
        limits: Limits,
        resend_after: timedelta,
        now: datetime | None,
    ) -> Verification | Denied:
        return await self._in_thread(
            lambda: run(self._store.reopen(id, binding, channel, short, quotas, limits, resend_after, now))
        )

    async def settle(self, id: str, status: Status, now: datetime | None, generation: int | None = None) -> bool:
        return await self._in_thread(lambda: run(self._store.settle(id, status, now, generation)))

    async def resolve_check(
        self, id: str, right: bool | None, generation: int, answering: Answering, now: datetime | None
    ) -> ResolvedCheck | None:
        return await self._in_thread(lambda: run(self._store.resolve_check(id, right, generation, answering, now)))

    async def claim(self, driver: str, tag: str, event: IncomingCall, now: datetime | None) -> Verification | None:
        return await self._in_thread(lambda: run(self._store.claim(driver, tag, event, now)))

    async def find(self, driver: str, tag: str, reference: str, now: datetime | None) -> Verification | None:
        return await self._in_thread(lambda: run(self._store.find(driver, tag, reference, now)))

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        return await self._in_thread(lambda: run(self._store.get(id, now)))

    async def recent(self, tag: str, now: datetime | None) -> Sequence[Verification]:
        return await self._in_thread(lambda: run(self._store.recent(tag, now)))

    async def claimant(self, driver: str, line: PhoneNumber, now: datetime | None) -> Verification | None:
        return await self._in_thread(lambda: run(self._store.claimant(driver, line, now)))

    async def note_other_caller(self, id: str, now: datetime | None) -> bool:
        return await self._in_thread(lambda: run(self._store.note_other_caller(id, now)))

    async def may_poll(self, id: str, binding: bytes | None, now: datetime | None) -> bool:
        return await self._in_thread(lambda: run(self._store.may_poll(id, binding, now)))

    async def redeem(self, id: str, binding: bytes, subject: str, now: datetime | None) -> Verification | None:
        return await self._in_thread(lambda: run(self._store.redeem(id, binding, subject, now)))

    async def unlock(self, tag: str, now: datetime | None) -> bool:
        return await self._in_thread(lambda: run(self._store.unlock(tag, now)))

    async def reserve(self, reservation: Reservation, now: datetime | None) -> Place:
        return await self._in_thread(lambda: run(self._store.reserve(reservation, now)))

    async def places(self, names: Sequence[str], now: datetime | None) -> Sequence[Place | None]:
        return await self._in_thread(lambda: run(self._store.places(names, now)))

    async def keep_response(
        self, reservation: Reservation, response: str, also: str | None, now: datetime | None
    ) -> bool:
        return await self._in_thread(lambda: run(self._store.keep_response(reservation, response, also, now)))

    async def release(self, reservation: Reservation, now: datetime | None) -> None:
        await self._in_thread(lambda: run(self._store.release(reservation, now)))

    async def add_conversion(self, route: str, sent: int, verified: int, now: datetime | None) -> None:
        await self._in_thread(lambda: run(self._store.add_conversion(route, sent, verified, now)))

    async def conversions(self, routes: Sequence[str], now: datetime | None) -> Sequence[Conversion]:
        return await self._in_thread(lambda: run(self._store.conversions(routes, now)))

    async def purge(self, limit: int, now: datetime | None) -> int:
        return await self._in_thread(lambda: run(self._store.purge(limit, now)))

    async def erase(self, tag: str, now: datetime | None) -> int:
        return await self._in_thread(lambda: run(self._store.erase(tag, now)))
