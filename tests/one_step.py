"""A count and an open in one step, by a store's other steps: what `count_and_open` of a store is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from phone_verify.lifecycle import Opening
from phone_verify.limits import Counted, DenialReason, Denied, Limits, Quota
from phone_verify.model import Verification
from phone_verify.stores.base import Store


async def count_and_open(
    store: Store,
    shared: Sequence[Quota],
    opening: Opening,
    quotas: Sequence[Quota],
    limits: Limits,
    now: datetime | None,
) -> tuple[Counted, Verification] | Denied:
    """Count and open on a store that nothing else uses meanwhile."""
    # Gates change nothing.
    compared = await store.count([replace(quota, gate=True) for quota in shared], now)
    if isinstance(compared, Denied):
        return compared
    if limits.closes_short(compared.tally) or limits.lengthens(compared.tally):
        return Denied(DenialReason.TWO_STEPS)
    opened = await store.open(opening, quotas, limits, now)
    if isinstance(opened, Denied):
        return opened
    counted = await store.count(shared, now)
    assert isinstance(counted, Counted)
    return counted, opened


async def count_then_open(
    store: Store,
    shared: Sequence[Quota],
    opening: Opening,
    quotas: Sequence[Quota],
    limits: Limits,
    now: datetime | None,
) -> tuple[Counted, Verification] | Denied:
    """Count, open, and take the count back if that is denied."""
    counted = await store.count(shared, now)
    if isinstance(counted, Denied):
        return counted
    opened: Verification | Denied = Denied(DenialReason.TWO_STEPS)
    if not (limits.closes_short(counted.tally) or limits.lengthens(counted.tally)):
        opened = await store.open(opening, quotas, limits, now)
    if isinstance(opened, Denied):
        await store.uncount(shared, counted.windows, now)
        return opened
    return counted, opened
