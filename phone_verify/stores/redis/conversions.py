"""The conversions of routes in Redis, each in a separate key that expires by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ...conversions import Conversion


class ConversionVerbs:
    """The methods for conversions."""

    async def add_conversion(self, route: str, sent: int, verified: int, now: datetime | None) -> None:
        await self._step("add_conversion", [self._conversion_key(route)], "shared", now, str(sent), str(verified))

    async def conversions(self, routes: Sequence[str], now: datetime | None) -> Sequence[Conversion]:
        if not routes:
            return []
        reply = await self._step("conversions", [self._conversion_key(route) for route in routes], "shared", now)
        counts = (text.split(" ") for text in reply.values[:-1])
        return [Conversion(float(sent), float(verified), reply.read_at) for sent, verified in counts]

    def _conversion_key(self, route: str) -> bytes:
        # In a Cluster these keys share one slot, so that one script reads all of them.
        return self._shared_key(f"conversion:{route}")

    def _shared_key(self, name: str) -> bytes:
        raise NotImplementedError

    async def _step(self, verb: str, keys: Sequence[bytes], subject: str, now: datetime | None, *values: str) -> Any:
        raise NotImplementedError
