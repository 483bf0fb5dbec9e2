"""Redeems proofs: the one place that decides whether a proof is accepted."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..lifecycle import redeem
from ..lines import served_by
from ..model import Redeemed, Verification, is_id
from ..parts import Components
from ..phone import PhoneNumber
from ..purposes import Budget
from ..test_numbers import BY_TEST_NUMBER
from ..tokens.proof import Proofs
from .combined import channels_left, proved_channels

#: The cookie holds the last five secrets of a browser, the header one; further secrets are ignored.
MAX_SECRETS = 6


@dataclass(frozen=True, slots=True)
class Earlier:
    """A verification that another continues; `proved_channels` are those proved with it."""

    id: str
    binding: bytes = field(repr=False)
    proved_channels: str


class Redemption:
    """Consumes proofs, and says beforehand what they would prove."""

    def __init__(self, parts: Components, proofs: Proofs) -> None:
        self._parts, self._proofs = parts, proofs

    async def redeem(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], subject: str
    ) -> Redeemed | None:
        """See `AsyncVerifier.redeem`."""
        id = self._id_in(proof, purposes)
        if id is None:
            return None
        own = self._parts.keyring.subject(subject)
        for secret in list(secrets)[:MAX_SECRETS]:
            if self._parts.policy.combines and await self._lacks_channels(id, secret):
                return None
            record = await self._parts.store.redeem(id, self._parts.binding(secret), own, self._parts.now())
            if record is not None and record.closed_at is not None and not channels_left(self._parts.policy, record):
                return _redeemed(record, record.closed_at)
        return None

    async def foresee(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], subject: str
    ) -> Redeemed | None:
        """See `AsyncVerifier.foresee`."""
        due = await self._due(proof, secrets, purposes, subject)
        if due is None or due.closed_at is None or channels_left(self._parts.policy, due):
            return None
        return _redeemed(due, due.closed_at)

    async def earlier(
        self, proof: str, secrets: Collection[str], phone: PhoneNumber, purpose: str, subject: str
    ) -> Earlier | None:
        """Return the verification that a new one of this phone, purpose and user may continue.

        None if the proof is not valid for that, or its verification lacks no channel.
        """
        due = await self._due(proof, secrets, [purpose], subject)
        if due is None or (due.phone, due.subject) != (phone, self._parts.keyring.subject(subject)):
            return None
        if not channels_left(self._parts.policy, due):
            return None
        return Earlier(due.id, due.binding, proved_channels(due))

    async def consume(self, earlier: Earlier, subject: str) -> bool:
        """Consume the proof of the earlier verification; True for exactly one caller."""
        own = self._parts.keyring.subject(subject)
        return await self._parts.store.redeem(earlier.id, earlier.binding, own, self._parts.now()) is not None

    async def bound(self, id: str, secret: str) -> Verification | None:
        """Return the verification with this id and secret."""
        record = await self._parts.store.get(id, self._parts.now()) if is_id(id) else None
        if record is None or not hmac.compare_digest(record.binding, self._parts.binding(secret)):
            return None
        return record

    async def _due(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], subject: str
    ) -> Verification | None:
        """Return the record as it would be once this proof is consumed."""
        id = self._id_in(proof, purposes)
        if id is None:
            return None
        own = self._parts.keyring.subject(subject)
        for secret in list(secrets)[:MAX_SECRETS]:
            found = await self.bound(id, secret)
            if found is not None:
                return redeem(found, found.binding, own, found.read_at)
        return None

    async def _lacks_channels(self, id: str, secret: str) -> bool:
        # What is compared never changes once a verification has a proof.
        found = await self.bound(id, secret)
        return found is not None and bool(channels_left(self._parts.policy, found))

    def _id_in(self, proof: str, purposes: Collection[str]) -> str | None:
        return self._proofs.verify(proof, purposes, self._parts.now() or datetime.now(UTC))


def _redeemed(record: Verification, verified_at: datetime) -> Redeemed:
    return Redeemed(
        phone=record.phone,
        purpose=record.purpose,
        service=record.service,
        channel=served_by(record)[0],
        assurance=record.assurance,
        verification_id=record.id,
        verified_at=verified_at,
        by_test_number=record.counts_as is Budget.TEST_NUMBER or record.driver == BY_TEST_NUMBER,
        short=record.short and not record.by_call,
    )
