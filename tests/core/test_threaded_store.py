"""A blocking store for coroutines: the same steps, and the event loop keeps running."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from phone_verify.errors import StoreError
from phone_verify.lifecycle import PROOF_LIFE
from phone_verify.limits import Counted, Quota
from phone_verify.stores.memory import MemoryStore
from phone_verify.stores.threaded import ThreadedStore
from phone_verify.testing.stores import StorePromises

T = TypeVar("T")


async def at_once(step: Callable[[], T]) -> T:
    return step()


class TestThreadedStore(StorePromises):
    @pytest.fixture
    def store(self) -> ThreadedStore:
        return ThreadedStore(MemoryStore(), at_once)

    @pytest.fixture
    def forgetful(self) -> ThreadedStore:
        return ThreadedStore(MemoryStore(keep=PROOF_LIFE), at_once)


def test_event_loop_runs_while_a_step_blocks() -> None:
    let, store = threading.Event(), MemoryStore()

    def waiting(step: Callable[[], T]) -> T:
        assert let.wait(30)
        return step()

    async def count() -> object:
        counting = asyncio.create_task(
            ThreadedStore(store, lambda step: asyncio.to_thread(waiting, step)).count([Quota("q", 1)], None)
        )
        await asyncio.sleep(0)
        let.set()  # unreachable if the loop were blocked
        return await counting

    assert isinstance(asyncio.run(count()), Counted)


def test_store_outage_is_raised_through_the_thread() -> None:
    store = MemoryStore()
    store.refuse("a test")
    with pytest.raises(StoreError):
        asyncio.run(ThreadedStore(store, asyncio.to_thread).count([Quota("q", 1)], None))


def test_queued_step_is_dropped_silently_on_cancel() -> None:
    store = MemoryStore()

    async def cancelled() -> object:
        threaded, busy = ThreadedStore(store, asyncio.to_thread), threading.Event()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        hold = asyncio.create_task(asyncio.to_thread(busy.wait, 5))
        step = asyncio.create_task(threaded.count([Quota("q", 1)], None))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        busy.set()
        await hold
        return await store.count([Quota("q", 1)], None)

    assert isinstance(asyncio.run(cancelled()), Counted)
    gc.collect()
