"""References of claims: a webhook that names no caller finds its claim, over all phones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ..codes import TAG_LENGTH, Keyring
from ..lines import claim_of
from ..model import Verification
from .base import Reservation, Store


@dataclass(frozen=True, slots=True)
class References:
    """Finds open claims by the provider's reference alone, by the places of the store.

    A place is taken in one atomic step, until the claim expires, and names the claim. What the claim's
    record says decides: one that was closed, or that has another reference since, is not found.
    """

    store: Store
    keyring: Keyring
    now: Callable[[], datetime | None]

    async def note(self, record: Verification) -> None:
        """Take the place of the reference of this record's claim.

        If another claim has it, it is left there: a reference of two claims finds at most one.
        """
        claim = claim_of(record)
        if claim is None or claim.reference is None:
            return
        name = self.keyring.reference_place(claim.driver, claim.reference)
        lasts = record.expires_at - record.read_at
        place = Reservation([name], record.id[TAG_LENGTH:], record.tag, record.tag, lasts)
        await self.store.reserve(place, self.now())

    async def find(self, driver: str, reference: str) -> Verification | None:
        """Return the open claim that has this reference of this driver, or None."""
        places = await self.store.places([self.keyring.reference_place(driver, reference)], self.now())
        if places[0] is None:
            return None
        record = await self.store.get(places[0].request + places[0].holder, self.now())
        claim = claim_of(record) if record is not None and record.open else None
        return record if claim is not None and (claim.driver, claim.reference) == (driver, reference) else None
