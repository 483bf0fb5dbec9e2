"""The contract of a store. Every method is one atomic step; a store never receives a code.

Atomicity is per phone: the phone's tag begins every verification id, so a store may shard by it. `now` is None in
production, and the store's server supplies the time inside the step (memory and SQLite: the process clock); tests pass
a `ManualClock`'s. Records are returned with `read_at`, the time of the step.

Every method raises `StoreError` if the store is unavailable; the step has then been done either
completely or not at all. The methods are coroutines so that blocking and async sites share one
implementation of the flows; those of a blocking store never suspend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from ..conversions import Conversion
from ..errors import ConfigurationError
from ..lifecycle import PROOF_LIFE, Attachment, Opening, ResolvedCheck, Spent
from ..limits import Answering, Counted, Denied, Limits, Quota
from ..model import Channel, IncomingCall, Status, Verification
from ..phone import PhoneNumber

#: How long a record is kept after it expires, whether it was closed earlier or not: for reports,
#: and so that a proof can be redeemed and a line can rest.
RETENTION = timedelta(hours=24)
#: How many expired records a start removes, so that the table stays bounded without a cron job. A
#: store may instead do the work of several starts in one of them.
PURGE_PER_START = 2

#: How long the response to a request with an idempotency key is kept.
KEPT_FOR = timedelta(minutes=10)
#: How long a place without a response is reserved: longer than the site's decision (10 s), a start
#: with failover (20 s) and the time-outs of the store steps. After a crash the key is free then.
RESERVED_FOR = timedelta(seconds=60)


def checked_keep(keep: timedelta) -> timedelta:
    """Return `keep`. Raises `ConfigurationError` if records would be removed before proofs expire."""
    if keep < PROOF_LIFE:
        raise ConfigurationError(
            f"keep must be {PROOF_LIFE.total_seconds():.0f} seconds or more, the lifetime of proofs"
        )
    return keep


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request that looks for the response to its first attempt, or else takes the place of it.

    A place has a name, the keyed digest of an idempotency key and of a client (`Keyring.place`), or of
    a line (`Keyring.line_place`).

    The response may be in any of the places `names`; without one, the first of them is taken. `holder` is drawn for
    this attempt, `request` is the keyed digest of the call and its body, and `tag` that of the phone.
    """

    names: Sequence[str]
    holder: str
    request: str
    tag: str
    #: How long the place is taken.
    lasts: timedelta = RESERVED_FOR


@dataclass(frozen=True, slots=True)
class Place:
    """A place that is taken: by whom, for which request, and its sealed response if there is one."""

    holder: str
    request: str
    response: str | None = field(repr=False)
    read_at: datetime


class Store(Protocol):
    """A store of verifications and counters."""

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Counted | Denied:
        """Count one send under all of these shared quotas, or none, with the earliest time to retry.

        Gates among them are compared, not counted. Returns the end of each window, for `uncount`,
        and the site-wide tally of wrong answers.
        """
        ...

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        """Undo what `count` counted, in exactly the windows in which it was counted."""
        ...

    async def refund(self, id: str, quotas: Sequence[Quota], at: datetime, now: datetime | None) -> None:
        """Undo what `open` or `reopen` counted for this record's phone at that time (its `read_at`)."""
        ...

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Denied:
        """Count the phone's own quotas, end the open record of the presented binding, and insert
        the new one; or change nothing and return the reason.
        """
        ...

    async def attach(self, id: str, attachment: Attachment, now: datetime | None) -> Verification | Denied:
        """Put a receipt on an open record. Never resets attempts and never extends the expiry.

        Denied with `CLOSED`, or with `LINE_TAKEN`, in which case the record is closed as failed,
        unless it can be verified without this receipt or the line is leased.
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
        """Consume an attempt, compare, close the record if the answer is right or no attempt is
        left, and count or clear failures.

        Wrong binding, closed record, no code to compare with, wrong length, too many failures: returns the reason and
        consumes nothing. The wrong answers of the client's address and of the whole site are compared and written in
        the same step; where they are on another server (Redis Cluster), just before and just after it.
        """
        ...

    async def reopen(
        self,
        id: str,
        binding: bytes,
        channel: Channel,
        short: bool,
        quotas: Sequence[Quota],
        limits: Limits,
        resend_after: timedelta,
        now: datetime | None,
    ) -> Verification | Denied:
        """Count one more send of an open record and postpone the next one on this channel; or
        change nothing and return the reason.
        """
        ...

    async def settle(self, id: str, status: Status, now: datetime | None, generation: int | None = None) -> bool:
        """Close an open record; return True to exactly one caller. Closing as verified clears the failures.

        If `generation` is given, only a record of that generation is closed, without a code and
        without a later order that waits for its receipt.
        """
        ...

    async def resolve_check(
        self, id: str, right: bool | None, generation: int, answering: Answering, now: datetime | None
    ) -> ResolvedCheck | None:
        """Record a provider's verdict on an answer to a remote code that `spend` let through; None
        if the provider could not check it.

        Right, and of this generation: closes as verified and clears the failures. Wrong: closes as exhausted if no
        attempt is left and no check is pending. None: also takes back the counted failure.
        """
        ...

    async def claim(self, driver: str, tag: str, event: IncomingCall, now: datetime | None) -> Verification | None:
        """Verify the one open claim that this call proves for the phone with this tag; or return None.

        A call that could prove two claims proves neither.
        """
        ...

    async def find(self, driver: str, tag: str, reference: str, now: datetime | None) -> Verification | None:
        """Return the open claim of the phone with this tag that has this reference of this driver."""
        ...

    async def recent(self, tag: str, now: datetime | None) -> Sequence[Verification]:
        """Return the records of the phone with this tag that have not expired, closed ones included."""
        ...

    async def claimant(self, driver: str, line: PhoneNumber, now: datetime | None) -> Verification | None:
        """Return the open verification that waits for a call to this line of this driver.

        None if several do, or none. The answer may be out of date: it serves the visitor's
        information, and proves nothing.
        """
        ...

    async def note_other_caller(self, id: str, now: datetime | None) -> bool:
        """Note on an open claim that another phone called its line: at most once every ten seconds."""
        ...

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        """Return the record, or None."""
        ...

    async def may_poll(self, id: str, binding: bytes | None, now: datetime | None) -> bool:
        """Reserve a poll of the provider about an open claim: at most once every three seconds.

        `binding` is None for a webhook.
        """
        ...

    async def redeem(self, id: str, binding: bytes, subject: str, now: datetime | None) -> Verification | None:
        """Invalidate the proof of a verified record and return it: exactly once, within five minutes.

        If the purpose is not a sign-in, only for the `subject` that started the verification.
        """
        ...

    async def unlock(self, tag: str, now: datetime | None) -> bool:
        """Drop the counted wrong answers and lockouts of the phone with this tag; return whether it had any."""
        ...

    async def reserve(self, reservation: Reservation, now: datetime | None) -> Place:
        """Return the first of these places that is taken, or take the first of them and return it.

        A place that was just taken has the reservation's `holder`, and is free again after its
        `lasts`. Also removes some expired places.
        """
        ...

    async def places(self, names: Sequence[str], now: datetime | None) -> Sequence[Place | None]:
        """Return the places with these names, one or more, None for each that is free.

        The names begin alike, as those of `Keyring.line_place` do.
        """
        ...

    async def keep_response(
        self, reservation: Reservation, response: str, also: str | None, now: datetime | None
    ) -> bool:
        """Keep a response for `KEPT_FOR` in the place that this reservation took, and in `also`, a
        place that no reservation has named before, if it is given.

        Returns False, and keeps nothing, if the reservation has ended, or its place was erased.
        """
        ...

    async def release(self, reservation: Reservation, now: datetime | None) -> None:
        """Free the place that this reservation took, unless it was taken by another one since."""
        ...

    async def add_conversion(self, route: str, sent: int, verified: int, now: datetime | None) -> None:
        """Add orders to the counts of a route, by the rule of `Conversion.added`.

        Concurrent calls that return lose nothing. If the server fails, the last changes may be lost.
        Raises `StoreError` instead of a wait longer than `LONGEST_WAIT` for another change, as far as
        the database can limit it: a verification waits for this call.
        """
        ...

    async def conversions(self, routes: Sequence[str], now: datetime | None) -> Sequence[Conversion]:
        """Return the counts of these routes in the same order, decayed to the time of the step.

        A route without counts has zeros. Several routes need not be read in one atomic step.
        """
        ...

    async def purge(self, limit: int, now: datetime | None) -> int:
        """Delete at most `limit` expired records, counters, places and conversions; return how many."""
        ...

    async def erase(self, tag: str, now: datetime | None) -> int:
        """Delete all data of the phone with this tag, counters and responses too; return how many records."""
        ...


@runtime_checkable
class CountsAndOpens(Protocol):
    """A store that does `count` and `open` with fewer round trips, or thread switches, than the two take."""

    @property
    def counts_and_opens(self) -> bool:
        """Whether it can where it is: the counters may be on another server than the phone."""
        ...

    async def count_and_open(
        self, shared: Sequence[Quota], opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> tuple[Counted, Verification] | Denied:
        """Count one send under the shared quotas, and open the verification; or change no count and
        return the reason, that of `count` before that of `open`.

        Denied with `TWO_STEPS` if the tally closes short codes or lengthens codes: which code fits is
        then decided between the two steps. If the process dies in between, the send may stay counted,
        as between the two steps; a denial may leave a window that has begun, as `uncount` does.
        """
        ...


def counts_and_opens(store: Store) -> CountsAndOpens | None:
    """Return this store if it is one of `CountsAndOpens` where it is; otherwise None."""
    # Exactly True: an object that has any attribute one asks for is none.
    return store if isinstance(store, CountsAndOpens) and store.counts_and_opens is True else None


@runtime_checkable
class OfOneProcess(Protocol):
    """A store that counts for one process only and must not be used by several."""

    def refuse(self, reason: str) -> None:
        """Make every method raise `StoreError` from now on; the reason is logged once."""
        ...
