"""What event streams need of the verifier, apart from reading: their places, and queries of providers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from ..inbound import InboundCalls
from ..limits import Denied, Quota
from ..model import Verification
from ..parts import Components
from ..policy import HARD_LIFE
from .fallback import Fallbacks

#: Streams of one verification, over all processes: tabs and reconnects of one visitor.
MAX_STREAMS = 4


class Streaming:
    """Counts the open streams of each verification in the store, so that the limit holds over all processes."""

    def __init__(self, parts: Components, inbound: InboundCalls, fallbacks: Fallbacks) -> None:
        self._parts, self._inbound, self._fallbacks = parts, inbound, fallbacks

    async def enter(self, id: str, entered: Callable[[Sequence[datetime]], None]) -> None:
        """Take a place and call `entered` with what `leave` needs, or do nothing if all are taken.

        `entered` is called even if the caller is cancelled meanwhile, so that no place is lost. A
        place whose process was killed is free again when the verification has expired. Raises
        `StoreError`.
        """
        await self._parts.waiting.finish(self._enter(id, entered))

    async def _enter(self, id: str, entered: Callable[[Sequence[datetime]], None]) -> None:
        counted = await self._parts.store.count([_places(id)], self._parts.now())
        if not isinstance(counted, Denied):
            entered(counted.windows)

    async def leave(self, id: str, windows: Sequence[datetime]) -> None:
        """Release a place. Raises `StoreError`."""
        await self._parts.store.uncount([_places(id)], windows, self._parts.now())

    def may_query(self, record: Verification) -> bool:
        """Return whether `poll` would ask a provider about this record or send again, apart from the interval."""
        return self._inbound.may_query(record) or self._fallbacks.due(record) is not None


def _places(id: str) -> Quota:
    # The window begins after the verification did, so it ends after it too.
    return Quota(f"streams:{id}", MAX_STREAMS, window=HARD_LIFE)
