"""Run a coroutine that never suspends, without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

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
