"""Watches the site's accounts at its providers: an empty one stops a channel."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ..errors import ProviderError, UnclearError
from ..model import ProviderAccount
from .base import Ledger
from .values import DEFAULT_SERVICE, Alarm

log = logging.getLogger("phone_verify")

#: Shares of the wanted balance below which an alarm is raised, and the level of each.
_LEVELS = ((Decimal(0), 100), (Decimal("0.2"), 80), (Decimal("0.5"), 50))


@dataclass(frozen=True, slots=True)
class Balance:
    """What a provider reports of the site's account; `level` is that of its alarm, or 0."""

    driver: str
    account: ProviderAccount
    level: int = 0


async def watch(
    ask: Mapping[str, Callable[[], Awaitable[ProviderAccount]]],
    wanted: Mapping[str, Decimal],
    ledger: Ledger,
    tell: Callable[[Alarm], Awaitable[object]],
    now: datetime,
) -> list[Balance]:
    """Ask each driver for its account, and raise an alarm for a balance below what is wanted.

    `ask` has a function for each driver that can report; `wanted` the balance that each should have, in
    the provider's currency. `tell` gets the alarms: at half of it, a fifth and nothing one is raised, each
    once until the balance is higher again, over all processes. A provider that does not answer is logged and left out.
    Raises `StoreError`.
    """
    found = []
    for driver, question in ask.items():
        try:
            account = await question()
        except (ProviderError, UnclearError) as error:
            log.warning("%s did not report its account: %s", driver, error)
            continue
        limit = wanted.get(driver)
        if account.balance is None or limit is None:
            found.append(Balance(driver, account))
            continue
        level = next((level for share, level in _LEVELS if account.balance <= limit * share), 0)
        found.append(Balance(driver, account, level))
        alarm = Alarm(
            DEFAULT_SERVICE,
            "provider",
            level,
            f"{max(Decimal(0), limit - account.balance):f}",
            f"{limit:f}",
            account.currency or "",
            driver=driver,
        )
        if raised := await ledger.raise_level(f"provider:{driver}", alarm, now):
            await tell(raised)
    return found
