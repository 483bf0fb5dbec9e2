"""What a store promises. Every verb is one indivisible step; a store never sees a code.

What is indivisible belongs to one phone, whose tag begins every verification id: a store may shard by it.
`now` is None in production, and the store's server decides the time inside the step (memory and SQLite: the
process clock); tests pass a `ManualClock`'s. Records come back with `read_at`, the time of the step.

Every verb raises `StoreError` when the store cannot answer, and then has either done the whole step or none of
it. The methods are coroutines so that one text of the flows serves blocking and async sites alike; those of a
blocking store never suspend.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from ..errors import ConfigurationError
from ..lifecycle import PROOF_LIFE, Attachment, Opening, ResolvedCheck, Spent
from ..limits import Answering, Counted, Denied, Limits, Quota
from ..model import IncomingCall, Status, Verification

#: How long a record is kept after its life, whether it was closed before or not: for reports, and so that a proof
#: can be redeemed and a line can rest.
RETENTION = timedelta(hours=24)
#: How many records that are over a start removes, so that a table stays bounded without a cron job. A store may let
#: one start in a few do it for all.
PURGE_PER_START = 2


def checked_keep(keep: timedelta) -> timedelta:
    """Return `keep`. Raises `ConfigurationError` where records would go before their proofs do."""
    if keep < PROOF_LIFE:
        raise ConfigurationError(
            f"keep must be {PROOF_LIFE.total_seconds():.0f} seconds or more: proofs live that long"
        )
    return keep


class Store(Protocol):
    """A keeper of verifications and counters."""

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Counted | Denied:
        """Count one send under each of these shared quotas: all, or none and which says when.

        Gates among them are compared, not counted. Returns the end of each window, for `uncount`, and the site-wide
        tally of wrong answers.
        """
        ...

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        """Give back what `count` took, to the very windows it was taken from."""
        ...

    async def refund(self, id: str, quotas: Sequence[Quota], at: datetime, now: datetime | None) -> None:
        """Give back what `open` or `reopen` counted for the phone of this record at that time (its `read_at`)."""
        ...

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Denied:
        """Count the phone's own quotas, end the shown binding's live one, insert; or do nothing and say why."""
        ...

    async def attach(self, id: str, attachment: Attachment, now: datetime | None) -> Verification | Denied:
        """Put a receipt on an open record. Never refills attempts, never lengthens a life.

        Denied with `CLOSED`, or with `LINE_TAKEN`, which has closed the record as failed.
        """
        ...

    async def spend(
        self,
        id: str,
        binding: bytes,
        digests: Sequence[bytes],
        length: int,
        limits: Limits,
        answering: Answering,
        now: datetime | None,
    ) -> Spent | Denied:
        """Take an attempt, compare, close when right or out of attempts, count or clear failures.

        Unbound, closed, nothing to compare with, other length, too many failures: says which, takes nothing. The
        wrong answers of the client's address and of the whole site are compared and written in the same step; where
        the store's servers each hold a part (Redis Cluster), just before and just after it.
        """
        ...

    async def reopen(
        self,
        id: str,
        binding: bytes,
        short: bool,
        quotas: Sequence[Quota],
        limits: Limits,
        resend_after: timedelta,
        now: datetime | None,
    ) -> Verification | Denied:
        """Count one more send of an open record and put off the next; or do nothing and say why."""
        ...

    async def settle(self, id: str, status: Status, now: datetime | None, generation: int | None = None) -> bool:
        """Close an open record; true for exactly one caller. Closing as verified clears the failures.

        With a `generation` only a record that is still of that one.
        """
        ...

    async def resolve_check(
        self, id: str, right: bool | None, generation: int, answering: Answering, now: datetime | None
    ) -> ResolvedCheck | None:
        """Take a provider's word on an answer to a remote code that `spend` let through; None: nobody could judge.

        Right, and of this generation: closes as verified and clears the failures. Not right: closes as exhausted once
        no attempt is left and none is still with the provider. None: takes the counted failure back as well.
        """
        ...

    async def claim(self, driver: str, tag: str, event: IncomingCall, now: datetime | None) -> Verification | None:
        """Verify the one open claim of the phone with this tag that this call proves, or none.

        A call that could prove two claims proves none.
        """
        ...

    async def find(self, driver: str, tag: str, reference: str, now: datetime | None) -> Verification | None:
        """Return the open claim of the phone with this tag that has this reference of this driver."""
        ...

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        """Return the record, or None."""
        ...

    async def may_poll(self, id: str, binding: bytes | None, now: datetime | None) -> bool:
        """Take the right to ask the provider about an open claim: at most once in three seconds.

        `binding` is None where a webhook asks.
        """
        ...

    async def redeem(self, id: str, binding: bytes, subject: str, now: datetime | None) -> Verification | None:
        """Burn the proof of a verified record and return the record: exactly once, within five minutes.

        Only for the `subject` that started it, where the purpose is not one that signs in.
        """
        ...

    async def unlock(self, tag: str, now: datetime | None) -> bool:
        """Drop the wrong answers counted for the phone with this tag, and their locks; whether there were any."""
        ...

    async def purge(self, limit: int, now: datetime | None) -> int:
        """Drop at most `limit` records and counters that are over; returns how many went."""
        ...

    async def erase(self, tag: str, now: datetime | None) -> int:
        """Drop all that is kept of the phone with this tag, counters too; returns how many records went."""
        ...


@runtime_checkable
class OfOneProcess(Protocol):
    """A store that counts for one process only, and must not be used by several."""

    def refuse(self, reason: str) -> None:
        """From now on every verb raises `StoreError`; the reason is logged once."""
        ...
