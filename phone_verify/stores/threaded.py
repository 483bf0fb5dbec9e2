"""A blocking store for coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ..sync import run
from .base import CountsAndOpens, Store, counts_and_opens

P = ParamSpec("P")
T = TypeVar("T")


class InThread(Protocol):
    """Runs a function in a worker thread, like `asyncio.to_thread`."""

    def __call__(self, step: Callable[[], T], /) -> Awaitable[T]: ...


class Threaded:
    """A blocking store whose steps run in worker threads, so that they do not block the event loop.

    A started step runs to completion even if its caller is cancelled, so it is done either completely or not at all.
    """

    def __init__(self, store: object, in_thread: InThread) -> None:
        self._store, self._in_thread = store, in_thread

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._store!r}>"


def threaded(
    step: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Threaded, P], Coroutine[Any, Any, T]]:
    """Return the method of a `Threaded` that runs this step of its store in a worker thread."""
    name = step.__name__

    @wraps(step)
    async def method(self: Threaded, /, *values: P.args, **named: P.kwargs) -> T:
        blocking: Callable[P, Coroutine[Any, Any, T]] = getattr(self._store, name)
        # The coroutine is created in its thread, so one that is cancelled while queued was never created.
        return await self._in_thread(lambda: run(blocking(*values, **named)))

    return method


class ThreadedStore(Threaded):
    """A blocking `Store` whose steps run in worker threads."""

    def __init__(self, store: Store, in_thread: InThread) -> None:
        super().__init__(store, in_thread)
        #: See `CountsAndOpens`.
        self.counts_and_opens = counts_and_opens(store) is not None

    count = threaded(Store.count)
    uncount = threaded(Store.uncount)
    refund = threaded(Store.refund)
    open = threaded(Store.open)
    count_and_open = threaded(CountsAndOpens.count_and_open)
    attach = threaded(Store.attach)
    spend = threaded(Store.spend)
    reopen = threaded(Store.reopen)
    settle = threaded(Store.settle)
    resolve_check = threaded(Store.resolve_check)
    claim = threaded(Store.claim)
    find = threaded(Store.find)
    recent = threaded(Store.recent)
    claimant = threaded(Store.claimant)
    note_other_caller = threaded(Store.note_other_caller)
    get = threaded(Store.get)
    may_poll = threaded(Store.may_poll)
    redeem = threaded(Store.redeem)
    unlock = threaded(Store.unlock)
    reserve = threaded(Store.reserve)
    places = threaded(Store.places)
    keep_response = threaded(Store.keep_response)
    release = threaded(Store.release)
    add_conversion = threaded(Store.add_conversion)
    conversions = threaded(Store.conversions)
    purge = threaded(Store.purge)
    erase = threaded(Store.erase)
