"""Flows without an event loop and in one: how they run, wait, and end although their caller is gone."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


def run(flow: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to completion without an event loop and return its result.

    Raises `RuntimeError` if it suspends: its store and transport must be blocking ones.
    """
    try:
        flow.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    flow.close()
    raise RuntimeError("a blocking Verifier was given an async store or transport: give it blocking ones")


def run_in_loop(flow: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop made for it, and return its result."""
    # asyncio is loaded where it is needed: a blocking site does not pay for it.
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(flow)
    # This thread's loop is running, and a thread has one.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(copy_context().run, asyncio.run, flow).result()


async def run_in_thread(function: Callable[..., T], *args: Any) -> T:
    """Call a function that blocks in a thread, and return its result."""
    import asyncio

    return await asyncio.to_thread(function, *args)


async def without_waiting_for_threads(flow: Awaitable[T]) -> T:
    """Return the result of a flow, and do not wait for its threads if its loop ends with it.

    `asyncio.run` waits for calls of `to_thread` and look-ups of host names that were cancelled long before.
    """
    import asyncio

    if asyncio.all_tasks() != {asyncio.current_task()}:
        return await flow  # the loop of a server, whose threads others use
    loop, executor = asyncio.get_running_loop(), ThreadPoolExecutor()
    loop.set_default_executor(executor)
    try:
        return await flow
    finally:
        loop.set_default_executor(ThreadPoolExecutor())  # which has no thread to wait for
        executor.shutdown(wait=False, cancel_futures=True)


async def limited(flow: Awaitable[T], seconds: float) -> T:
    """Return the result of code that is not ours. Raises `TimeoutError` after the limit, also if it ignores that."""
    import asyncio

    task = asyncio.create_task(_settled(flow))
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TimeoutError
        result, error = task.result()
    finally:
        task.cancel()
    if error is not None:
        raise error
    value: T = result
    return value


async def _settled(flow: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    # asyncio logs an error that no code has read, with its message.
    try:
        return await flow, None
    except BaseException as error:  # noqa: BLE001 - code that is not ours
        return None, error


def ends_the_caller(error: BaseException) -> bool:
    """Return whether this is the end of the process or of the task that called code that is not ours,
    rather than that code's failure.
    """
    import asyncio

    if not isinstance(error, asyncio.CancelledError):
        return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no running loop
        return False
    return task is not None and task.cancelling() > 0


def in_event_loop() -> bool:
    """Return whether this thread runs an event loop, which must not be blocked."""
    if "asyncio" not in sys.modules:
        return False
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Waiting(Protocol):
    """What differs between a flow of a blocking site and one of an async site."""

    async def pause(self, seconds: float) -> None:
        """Return after this many seconds."""
        ...

    async def finish(self, flow: Coroutine[Any, Any, T]) -> T:
        """Run a flow to its end and return its result, even if the caller is cancelled meanwhile."""
        ...


class ThreadWaiting:
    """Blocks the thread."""

    async def pause(self, seconds: float) -> None:
        """See `Waiting`."""
        time.sleep(seconds)

    async def finish(self, flow: Coroutine[Any, Any, T]) -> T:
        """See `Waiting`. A thread is never cancelled."""
        return await flow


class TaskWaiting:
    """Leaves the event loop to others."""

    def __init__(self) -> None:
        # An event loop itself keeps only weak references to its tasks.
        self._tasks: set[asyncio.Task[Any]] = set()

    async def pause(self, seconds: float) -> None:
        """See `Waiting`."""
        import asyncio

        await asyncio.sleep(seconds)

    async def finish(self, flow: Coroutine[Any, Any, T]) -> T:
        """See `Waiting`."""
        import asyncio

        task = asyncio.create_task(flow)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)
