"""A blocking ledger for coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from ..model import Channel, DeliveryReport
from ..sync import run
from ..webhooks_out.messages import Change
from .base import Charge, Ledger
from .caps import Cap, Usage
from .values import Account, Alarm, Attempt, AttemptResult, Held, Payment, Suspended, Terms

T = TypeVar("T")


class InThread(Protocol):
    """Runs a function in a worker thread, like `asyncio.to_thread`."""

    def __call__(self, step: Callable[[], T], /) -> Awaitable[T]: ...


class ThreadedLedger:
    """A blocking ledger whose steps run in worker threads, so that they do not block the event loop.

    A step that has started runs to its end even if its caller is cancelled.
    """

    def __init__(self, ledger: Ledger, in_thread: InThread) -> None:
        self._ledger, self._in_thread = ledger, in_thread

    def __repr__(self) -> str:
        return f"<ThreadedLedger over {self._ledger!r}>"

    async def begin(
        self, attempt: Attempt, caps: Sequence[Cap], terms: Terms | None, now: datetime, *, waited: bool = False
    ) -> Held | Suspended:
        return await self._in_thread(lambda: run(self._ledger.begin(attempt, caps, terms, now, waited=waited)))

    async def finish(self, attempt: Attempt, result: AttemptResult, now: datetime) -> Attempt:
        return await self._in_thread(lambda: run(self._ledger.finish(attempt, result, now)))

    async def verify(self, verification: str, channel: Channel, driver: str, now: datetime) -> int:
        return await self._in_thread(lambda: run(self._ledger.verify(verification, channel, driver, now)))

    async def end(self, verification: str, now: datetime, *, expired: bool = True) -> int:
        return await self._in_thread(lambda: run(self._ledger.end(verification, now, expired=expired)))

    async def release(self, verification: str, send: int, now: datetime) -> Sequence[Attempt]:
        return await self._in_thread(lambda: run(self._ledger.release(verification, send, now)))

    async def look_ups(self, limit: int, now: datetime) -> Sequence[Attempt]:
        return await self._in_thread(lambda: run(self._ledger.look_ups(limit, now)))

    async def report(self, driver: str, report: DeliveryReport, charge: Charge, now: datetime) -> Attempt | None:
        return await self._in_thread(lambda: run(self._ledger.report(driver, report, charge, now)))

    async def tell(self, change: Change, now: datetime) -> None:
        await self._in_thread(lambda: run(self._ledger.tell(change, now)))

    async def unsettled(self, before: datetime, limit: int) -> Sequence[Attempt]:
        return await self._in_thread(lambda: run(self._ledger.unsettled(before, limit)))

    async def attempts(self, verification: str) -> Sequence[Attempt]:
        return await self._in_thread(lambda: run(self._ledger.attempts(verification)))

    async def pay(self, payment: Payment, terms: Terms, now: datetime) -> Account | None:
        return await self._in_thread(lambda: run(self._ledger.pay(payment, terms, now)))

    async def account(self, service: str) -> Account | None:
        return await self._in_thread(lambda: run(self._ledger.account(service)))

    async def payments(self, service: str, limit: int = 100) -> Sequence[tuple[datetime, Payment]]:
        return await self._in_thread(lambda: run(self._ledger.payments(service, limit)))

    async def usage(self, names: Sequence[str]) -> Sequence[Usage]:
        return await self._in_thread(lambda: run(self._ledger.usage(names)))

    async def raise_level(self, name: str, alarm: Alarm, now: datetime) -> Alarm | None:
        return await self._in_thread(lambda: run(self._ledger.raise_level(name, alarm, now)))

    async def alarms(self, before: datetime, limit: int) -> Sequence[Alarm]:
        return await self._in_thread(lambda: run(self._ledger.alarms(before, limit)))

    async def told(self, alarm: Alarm) -> None:
        await self._in_thread(lambda: run(self._ledger.told(alarm)))

    async def erase(self, tag: str) -> int:
        return await self._in_thread(lambda: run(self._ledger.erase(tag)))

    async def purge(self, before: datetime, limit: int) -> int:
        return await self._in_thread(lambda: run(self._ledger.purge(before, limit)))
