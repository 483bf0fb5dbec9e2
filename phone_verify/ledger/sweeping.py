"""Settles attempts that stayed open: their process died, or the ledger did not answer for a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from ..lines import served_by
from ..model import Status, Verification
from .base import Ledger
from .changes import end_of, is_verified
from .rules import LONGEST_OPEN
from .values import NOTICE, Attempt, AttemptOutcome, AttemptResult

#: Reads the record of a verification from the store; None if it has none any more.
LookUp = Callable[[str], Awaitable[Verification | None]]


async def sweep(ledger: Ledger, look_up: LookUp, now: datetime, limit: int = 500) -> int:
    """Settle at most `limit` attempts whose verification must have ended; return how many verifications changed.

    Call it repeatedly, from a scheduled job or a command. What the store knows decides: an order whose
    receipt it has was sent, and a verification that it holds as verified has succeeded. Raises
    `StoreError`.
    """
    settled: set[str] = set()
    for attempt in await ledger.unsettled(now - LONGEST_OPEN, limit):
        record = await look_up(attempt.verification)
        if record is not None and record.state in (Status.PENDING, Status.SENT):
            continue
        if attempt.outcome is AttemptOutcome.UNCLEAR and record is not None and _was_sent(attempt, record):
            await ledger.finish(attempt, AttemptResult(AttemptOutcome.SENT), now)
        if attempt.verification in settled:
            continue
        settled.add(attempt.verification)
        if record is not None and record.status is Status.VERIFIED:
            channel, driver = served_by(record)
            await ledger.verify(record.id, channel, driver, record.closed_at or now)
            await ledger.end(record.id, now, expired=False)
        else:
            verified = record is None and any(map(is_verified, await ledger.attempts(attempt.verification)))
            ends = not verified and attempt.purpose != NOTICE
            if ends and attempt.tag:  # without it the phone was erased, and its service does not know the id
                await ledger.tell(end_of(attempt, record.state if record is not None else Status.EXPIRED, now), now)
            await ledger.end(attempt.verification, now, expired=ends)
    return len(settled)


def _was_sent(attempt: Attempt, record: Verification) -> bool:
    """Return whether the store has the provider's receipt for this attempt."""
    by_code = (
        record.acked_send == attempt.send and record.driver == attempt.driver and record.status is not Status.PENDING
    )
    by_claim = record.claim_send == attempt.send and record.claim_driver == attempt.driver
    return by_code or by_claim
