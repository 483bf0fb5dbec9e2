"""Leases of the site's lines: each line serves one claim at a time, over all phones and processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..codes import TAG_LENGTH, Keyring, RandomBytes
from ..errors import StoreError
from ..lines import LINE_REST, claim_of, lines_of, may_lease
from ..model import Verification
from ..phone import PhoneNumber
from .base import Reservation, Store

log = logging.getLogger("phone_verify")


@dataclass(frozen=True, slots=True)
class Leases:
    """Leases lines of a pool, by the places of the store.

    A place is taken in one atomic step, until the claim has expired and its line has rested. It names the claim, so
    that a line whose claim ended earlier is leased again once it has rested; a closed claim never opens again.
    """

    store: Store
    keyring: Keyring
    random_bytes: RandomBytes
    now: Callable[[], datetime | None]

    async def take(
        self, pool: Sequence[PhoneNumber], claim: Verification, shown: Collection[bytes]
    ) -> PhoneNumber | None:
        """Lease a free line of this pool, drawn at random, and return it; None if all are taken.

        `shown` are the bindings that the claim's client presented. A claim that has a line gets another one, or keeps
        it if all are taken. A line may rest longer for the claim's phone than for others: `attach` then refuses it.
        """
        if not pool:
            return None
        order = sorted(pool, key=lambda _: self.random_bytes(8))
        places = await self.store.places([self.keyring.line_place(line) for line in order], self.now())
        for line, place in zip(order, places, strict=True):
            if place is None and await self._takes(line, claim):
                return line
        for line, place in zip(order, places, strict=True):
            if place is None:
                continue  # it was taken meanwhile
            held = await self.store.get(place.request + place.holder, self.now())
            presented = held is not None and held.binding in shown
            now = claim.read_at if held is None else held.read_at
            if may_lease(held, line, claim, now, presented=presented):
                await self.store.release(self._reservation(line, claim, place.holder), self.now())
                if await self._takes(line, claim):
                    return line
        waiting = claim_of(claim)
        return waiting.line if waiting is not None and waiting.line in pool else None

    async def give_back(self, line: PhoneNumber, claim: Verification) -> None:
        """End the lease of a line, unless the claim's record has it: the client may have been shown it.

        Without a response from the store the lease lasts until the claim has ended.
        """
        try:
            held = await self.store.get(claim.id, self.now())
            if held is None or line not in lines_of(held):
                await self.store.release(self._reservation(line, claim, claim.id[TAG_LENGTH:]), self.now())
        except StoreError as error:
            log.error("the store could not end the lease of a line: %s", error)

    async def _takes(self, line: PhoneNumber, claim: Verification) -> bool:
        wanted = self._reservation(line, claim, claim.id[TAG_LENGTH:])
        place = await self.store.reserve(wanted, self.now())
        return (place.holder, place.request) == (wanted.holder, wanted.request)

    def _reservation(self, line: PhoneNumber, claim: Verification, holder: str) -> Reservation:
        """Return the reservation of a line's place: its holder and its phone's tag are the claim's id."""
        lasts = claim.expires_at - claim.read_at + LINE_REST
        return Reservation([self.keyring.line_place(line)], holder, claim.tag, claim.tag, lasts)
