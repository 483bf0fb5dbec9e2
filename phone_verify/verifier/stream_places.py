"""The places of event streams: how many clients may follow one verification at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..limits import Denied, Quota
from ..parts import Components
from ..policy import HARD_LIFE

#: Streams of one verification, over all processes: tabs and reconnects of one visitor.
MAX_STREAMS = 4


class StreamPlaces:
    """Counts the open streams of each verification in the store, so that the limit holds over all processes."""

    def __init__(self, parts: Components) -> None:
        self._parts = parts

    async def enter(self, id: str) -> Sequence[datetime] | None:
        """Take a place; return what `leave` needs, or None if all are taken. Raises `StoreError`.

        A place that is never left, because its process was killed, is free again when the
        verification has expired.
        """
        counted = await self._parts.store.count([_places(id)], self._parts.now())
        return None if isinstance(counted, Denied) else counted.windows

    async def leave(self, id: str, windows: Sequence[datetime]) -> None:
        """Release a place. Raises `StoreError`."""
        await self._parts.store.uncount([_places(id)], windows, self._parts.now())


def _places(id: str) -> Quota:
    # The window begins after the verification, so it ends after it too.
    return Quota(f"streams:{id}", MAX_STREAMS, window=HARD_LIFE)
