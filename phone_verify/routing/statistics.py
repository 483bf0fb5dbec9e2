"""Reads and writes the conversions of routes, for rules that use them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from ..conversions import Conversion, route_key
from ..errors import StoreError
from ..lines import served_by
from ..model import Channel, Verification
from ..phone import PhoneNumber
from ..purposes import Budget
from ..stores.base import Store
from .router import Router

log = logging.getLogger("phone_verify")

#: How long a process uses conversions that it has read, in seconds, ...
FRESH = 10.0
#: ... and how long it does not count a route again that the store could not count: else each
#: verification would wait for a locked row.
PAUSE = 10.0


class RouteStatistics:
    """The conversions of the routes of one site, over its store.

    They only improve the choice of drivers: if the store fails, an order or a verification goes on.
    """

    def __init__(
        self, store: Store, router: Router, now: Callable[[], datetime | None], ticks: Callable[[], float]
    ) -> None:
        self._store, self._router, self._now, self._ticks = store, router, now, ticks
        self._read: dict[tuple[str, ...], tuple[float, Mapping[str, Conversion] | None]] = {}
        self._paused: dict[str, float] = {}
        self._lock = threading.Lock()

    async def of(self, channel: Channel, phone: PhoneNumber, names: Sequence[str]) -> Mapping[str, Conversion] | None:
        """Return the conversions of these drivers, which are read every ten seconds.

        One order reads them; orders that come meanwhile use those of the read before. None if the rule
        for this phone does not use them, the store cannot be read, or the first read is under way.
        """
        if not self._used(channel, phone):
            return None
        routes = tuple(route_key(name, phone.region, channel) for name in names)
        with self._lock:
            read_at, found = self._read.get(routes, (float("-inf"), None))
            if self._ticks() - read_at < FRESH:
                return found
            self._read[routes] = self._ticks(), found
        try:
            found = dict(zip(names, await self._store.conversions(routes, self._now()), strict=True))
        except StoreError as error:
            log.warning("the store could not read conversions, so the order of the rule applies: %s", error)
            found = None
        self._read[routes] = self._ticks(), found
        return found

    async def sent(self, record: Verification, channel: Channel, driver: str) -> None:
        """Count an order that a provider accepted, or may have accepted."""
        await self._add(record, channel, driver, sent=1, verified=0)

    async def verified(self, record: Verification) -> None:
        """Count a verification for the driver whose order verified it; call it once."""
        channel, driver = served_by(record)
        await self._add(record, channel, driver, sent=0, verified=1)

    def _used(self, channel: Channel, phone: PhoneNumber) -> bool:
        rule = self._router.rule(channel, phone)
        return rule is not None and rule.by_outcome

    async def _add(self, record: Verification, channel: Channel, driver: str, *, sent: int, verified: int) -> None:
        # Nothing is sent to a test number, and its code is known.
        if record.request.budget == Budget.TEST_NUMBER or not self._used(channel, record.phone):
            return
        route = route_key(driver, record.phone.region, channel)
        if self._ticks() < self._paused.get(route, float("-inf")):
            return
        try:
            await self._store.add_conversion(route, sent, verified, self._now())
        except StoreError as error:
            self._paused[route] = self._ticks() + PAUSE
            log.warning("the store could not count an order of %s, and is next asked in %d s: %s", driver, PAUSE, error)
