"""The operations of the ledger, for commands and scheduled jobs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from ..delivery import Delivery
from ..drivers.base import ReportsAccount, ReportsDelivery
from ..errors import ProviderError, UnclearError, UnusableServiceError
from ..model import ProviderAccount, Verification, is_id
from ..parts import Components
from .services import ServiceAccess

log = logging.getLogger("phone_verify")

if TYPE_CHECKING:
    from ..ledger.providers import Balance
    from ..ledger.service import ServiceLedger
    from ..ledger.values import Attempt


class LedgerOperations:
    """Settles attempts, watches accounts at providers, and deletes old attempts."""

    _parts: Components
    _delivery: Delivery
    services: ServiceAccess[Self]

    @property
    def ledger(self) -> ServiceLedger | None:
        """The ledger; None if the site has none."""
        return self._parts.ledger

    async def settle_ledger(self, limit: int = 500) -> int:
        """Settle at most `limit` attempts that stayed open longer than a verification can be.

        Their process died, the ledger did not answer, or the code was not entered. Also reports alarms whose
        process died. Return how many verifications changed; call it repeatedly until it returns 0. Raises
        `StoreError`.
        """
        if self._parts.ledger is None:
            return 0
        # A site without a ledger loads nothing of it.
        from ..ledger.sweeping import sweep

        await self._parts.ledger.repeat_alarms()
        return await sweep(self._parts.ledger.ledger, self._record, self._parts.ledger.now(), limit)

    async def look_up_deliveries(self, limit: int = 50, now: datetime | None = None) -> int:
        """Ask providers what became of at most `limit` orders whose delivery is not known, and write it.

        Each order of each service is asked about after 1, 3, 8 and 14 minutes. Return how many providers
        answered. Raises `StoreError`.
        """
        if self._parts.ledger is None:
            return 0
        found = await self._parts.ledger.look_ups(limit, now or self._parts.ledger.now())
        return sum([await self._look_up(attempt, reference) for attempt, reference in found])

    async def _look_up(self, attempt: Attempt, reference: str) -> bool:
        try:
            flows = await self.services.find(attempt.service)
        except UnusableServiceError as error:
            log.warning("the delivery of an order is not looked up: %s", error)
            return False
        if flows is None:
            return False  # it was deleted, and a driver of the same name may have another account
        driver = flows._parts.router.drivers().get(attempt.driver)
        if not isinstance(driver, ReportsDelivery):
            return False
        try:
            report = await flows._delivery.converse(driver.delivery(reference), driver)
        except (ProviderError, UnclearError) as error:
            log.warning("%s could not report the delivery status of an order: %s", driver.name, error)
            return False
        await flows._delivery.reported(driver.name, replace(report, reference=reference))
        return True

    async def purge_ledger(self, keep: timedelta, limit: int = 1000) -> int:
        """Delete at most `limit` attempts older than this; return how many. Raises `StoreError`.

        Open ones stay until `settle_ledger` has settled them, without the phone.
        """
        if self._parts.ledger is None:
            return 0
        return await self._parts.ledger.ledger.purge(self._parts.ledger.now() - keep, limit)

    async def provider_balances(self, wanted: Mapping[str, Decimal]) -> list[Balance]:
        """Ask every provider that can report it for the site's account; raise alarms for low balances.

        `wanted` is the balance that each driver's account should have. Without a ledger nothing is
        asked. Raises `StoreError`.
        """
        ledger = self._parts.ledger
        if ledger is None:
            return []
        from ..ledger.providers import watch

        drivers = self._parts.router.drivers().items()
        ask = {name: partial(self._account, driver) for name, driver in drivers if isinstance(driver, ReportsAccount)}
        return await watch(ask, wanted, ledger.ledger, ledger.tell, ledger.now())

    async def _account(self, driver: Any) -> ProviderAccount:
        account: ProviderAccount = await self._delivery.converse(driver.account(), driver)
        return account

    async def _record(self, id: str) -> Verification | None:
        return await self._parts.store.get(id, self._parts.now()) if is_id(id) else None
