"""The life cycle of a verification: every rule, as pure functions over records.

    pending -> sent        pending | sent -> verified | exhausted | expired | cancelled
    pending -> failed      sent -> failed (only a line conflict on resend)

A final state never changes, and no late response can change one.

A store that can lock one phone's records (a lock, a transaction on the phone's row) makes a step of
`stores/base.py` atomic by reading, calling the function of that name here, and writing back what it
returns; nothing else changes. `now` is the store's time. The attempt is consumed in the same atomic
step as the comparison, so concurrent guesses cannot exceed the limit.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Sequence
from dataclasses import field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from .limits import (
    Answering,
    DenialReason,
    Denied,
    Limits,
    Quota,
    Tally,
    TallyChange,
    Window,
    add_failure,
    all_counted,
    drop_failure,
    lockout,
    next_send,
    slowed,
    taken_back,
    tallied,
    with_send,
)
from .lines import claim_of, claim_set_aside, holds_line, lines_of, proven_by, released_lines
from .model import (
    CLOCK_SLACK,
    Channel,
    CodeSource,
    Failures,
    IncomingCall,
    Request,
    Status,
    Verification,
    value_class,
    with_changes,
)
from .phone import PhoneNumber
from .planning import Plan
from .policy import resend_delay
from .purposes import SIGN_IN_PURPOSES

#: The allowed transitions. A status without an entry is final.
MOVES: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(Status) - {Status.PENDING},
    Status.SENT: frozenset(Status) - {Status.PENDING},
}

POLL_INTERVAL = timedelta(seconds=3)
PROOF_LIFE = timedelta(minutes=5)


def may_move(old: Status, new: Status) -> bool:
    """Return whether a verification may change from `old` to `new`."""
    return new in MOVES.get(old, frozenset())


@value_class
class Opening:
    """A verification to be created: the record without what depends on the store's clock."""

    request: Request
    channel: Channel
    driver: str
    plan: Plan
    key_id: str
    code_digest: bytes | None = field(repr=False)
    resend_after: timedelta
    #: Whether any driver that may carry it has short codes, even if reached only by failover.
    short: bool = False
    #: Bindings that the caller presented: this start cancels their open records of this purpose.
    shown: Collection[bytes] = field(default=(), repr=False)

    @property
    def id(self) -> str:
        """The id of the record."""
        return self.request.id

    @property
    def tag(self) -> str:
        """The tag of the phone."""
        return self.request.tag

    def record(self, now: datetime, failures: Failures | None = None) -> Verification:
        """Return the record that is opened at `now`."""
        return Verification(
            request=self.request,
            channel=self.channel,
            driver=self.driver,
            code_source=self.plan.code_source,
            status=Status.PENDING,
            key_id=self.key_id,
            generation=1,
            code_digest=self.code_digest,
            code_length=self.plan.code_length,
            short=self.plan.short,
            attempts_left=self.plan.attempts,
            sends=1,
            created_at=now,
            expires_at=now + self.plan.ttl,
            resend_at=now + resend_delay(self.resend_after, 1),
            read_at=now,
            failures=failures,
        )


@value_class
class Attachment:
    """What a driver's receipt adds to a record.

    `status` is sent, or pending if the result was unclear.
    """

    status: Status
    channel: Channel
    driver: str
    plan: Plan
    key_id: str
    generation: int
    code_digest: bytes | None = field(repr=False)
    code_length: int | None
    reference: str | None
    line: PhoneNumber | None
    caller_hint: str | None
    #: Which of the record's sends this receipt belongs to.
    sends: int
    shown: Collection[bytes] = field(default=(), repr=False)
    any_line: bool = False  #: whether calls to the line may be reported without it and without a reference
    leased: bool = False  #: whether the line is one of a pool: if it is not free, another one is tried


class AttemptResult(StrEnum):
    """The result of an attempt."""

    RIGHT = "right"
    WRONG = "wrong"
    TAKEN = "taken"  #: a remote code: the attempt is counted, the provider has yet to check it


@value_class
class Spent:
    """An attempt that was consumed."""

    answer: AttemptResult
    record: Verification
    failures: Failures | None
    tally: TallyChange | None = None

    @property
    def verified(self) -> bool:
        """Whether this answer verified the record."""
        return self.answer is AttemptResult.RIGHT


@value_class
class ResolvedCheck:
    """A verification after the provider's response to a check.

    `proven` is whether this response verified it.
    """

    record: Verification
    verified: bool
    failures: Failures | None = None
    tally: TallyChange | None = None


@value_class
class Opened:
    """An accepted start: the new record, those that it ends, and the windows that count it."""

    record: Verification
    ended: Sequence[Verification]
    windows: Sequence[Window]


def open(
    opening: Opening,
    siblings: Iterable[Verification],
    windows: Sequence[tuple[Quota, Window | None]],
    failures: Failures | None,
    limits: Limits,
    now: datetime,
) -> Opened | Denied:
    """Return a new record, with the phone's quotas counted and the binding's open record ended.

    Or the denial. `siblings` are the records of the same phone. An exceeded quota takes precedence
    over closed short codes.
    """
    lock = lockout(failures, limits, opening.short, now)
    if lock is not None and lock.why is DenialReason.FAILURES:
        return lock
    counts = all_counted(windows, now)
    if isinstance(counts, Denied):
        return counts
    if lock is not None:
        return lock
    ended = [
        _closed(sibling, Status.CANCELLED, now)
        for sibling in siblings
        if (sibling.purpose, sibling.service) == (opening.request.purpose, opening.request.service)
        and sibling.open_at(now)
        and _among(sibling.binding, opening.shown)
    ]
    return Opened(opening.record(now, failures), ended, counts)


def attach(
    record: Verification, attachment: Attachment, siblings: Iterable[Verification], now: datetime
) -> Verification | Denied:
    """Return the record with the receipt attached; attempts and `expires_at` never increase.

    A code replaces the code, a claim the claim; one of the other kind stays live. A closed record
    accepts no receipt, that of a superseded order changes nothing. If the line is not free, the record
    is closed as failed (in the denial's record), unless it can be verified otherwise or the line is leased.
    """
    if not record.open_at(now):
        return Denied(DenialReason.CLOSED, record=with_changes(record, read_at=now))
    by_call, claim = attachment.plan.code_source is CodeSource.NONE, claim_of(record)
    claim_send, code_send = claim.send if claim is not None else 0, record.acked_send if record.has_code else 0
    if attachment.sends < (claim_send if by_call else code_send):
        return with_changes(record, read_at=now)
    if attachment.line is not None and any(
        holds_line(
            sibling,
            attachment.line,
            attachment.plan.code_source,
            record,
            now,
            presented=_among(sibling.binding, attachment.shown),
            without_reference_at=attachment.driver if attachment.any_line else None,
        )
        for sibling in siblings
        if sibling.id != record.id and sibling.phone == record.phone
    ):
        stays = attachment.leased or (record.has_code if by_call else claim is not None and claim.line is not None)
        kept = with_changes(record, read_at=now) if stays else _closed(record, Status.FAILED, now)
        return Denied(DenialReason.LINE_TAKEN, record=kept)
    latest = attachment.sends >= max(claim_send, code_send)
    channel = attachment.channel if latest else record.channel
    changes: dict[str, Any] = {  # collected, so that the record is copied once
        "status": Status.SENT if record.status is Status.SENT else attachment.status,
        "channel": channel,
        "attempts_left": min(record.attempts_left, attachment.plan.attempts),
        "expires_at": min(record.expires_at, now + attachment.plan.ttl),
        "read_at": now,
    }
    if channel is not record.channel:
        changes["resend_at"] = next_send(record, channel) or record.resend_at
    if by_call and record.has_code:
        changes |= {
            "claim_driver": attachment.driver,
            "claim_reference": attachment.reference,
            "claim_line": attachment.line,
            "claim_send": attachment.sends,
            "code_channel": record.channel_of_code if latest else record.code_channel,
        }
    else:
        changes |= {} if by_call or record.has_code else claim_set_aside(record)
        changes |= {
            "driver": attachment.driver,
            "code_source": attachment.plan.code_source,
            "key_id": attachment.key_id,
            "generation": attachment.generation,
            "code_digest": attachment.code_digest,
            "code_length": attachment.code_length,
            "short": attachment.plan.short,
            "reference": attachment.reference,
            "line": attachment.line,
            "caller_hint": attachment.caller_hint,
            "acked_send": attachment.sends,
            "code_channel": None if latest else attachment.channel,
        }
    attached = with_changes(record, **changes)
    released = released_lines(record, lines_of(attached), now)
    return attached if released == record.released_lines else with_changes(attached, released_lines=released)


def spend(
    record: Verification | None,
    binding: bytes,
    digests: Sequence[bytes],
    length: int,
    failures: Failures | None,
    limits: Limits,
    answering: Answering,
    address: Window | None,
    tally: Tally,
    now: datetime,
) -> Spent | Denied:
    """Return the consumed and compared attempt, or the reason why none was consumed.

    `digests` are of the typed code, one for each listed key; `length` is its length, 0 for input
    that is not a code. For a remote code the failure is counted immediately, so that no burst
    exceeds the limit; `resolve_check` clears it if the answer is correct, and takes it back if the
    provider could not check. `address` counts the wrong answers of the client's address, `tally`
    those of the whole site.
    """
    record = _bound(record, binding, now)
    if record is None:
        return Denied(DenialReason.UNBOUND)
    if not record.open or record.attempts_left < 1:
        return Denied(DenialReason.CLOSED, record=record)
    remote = record.code_source is CodeSource.REMOTE_CHECK
    if record.code_source is CodeSource.NONE or (record.code_digest is None and not remote):
        return Denied(DenialReason.NO_CODE, record=record)
    if length == 0 or (record.code_length is not None and length != record.code_length):
        return Denied(DenialReason.OTHER_LENGTH, record=record)
    lock = lockout(failures, limits, record.short, now) or slowed(record, limits, address, tally, now)
    if lock is not None:
        return replace(lock, record=record)
    left = record.attempts_left - 1
    if not remote and _among(record.code_digest or b"", digests):
        kept = None if record.counts_as.is_cleared else failures
        right = with_changes(record, attempts_left=left, failures=kept, status=Status.VERIFIED, closed_at=now)
        return Spent(AttemptResult.RIGHT, right, kept, taken_back(record, answering, address, now))
    failed = add_failure(failures, limits, record.counts_as, now)
    taken = with_changes(record, attempts_left=left, failures=failed)
    if remote:
        return Spent(AttemptResult.TAKEN, with_changes(taken, pending_checks=record.pending_checks + 1), failed)
    if left == 0:
        taken = _closed(taken, Status.EXHAUSTED, now)
    taken, change = tallied(taken, answering, address, now)
    return Spent(AttemptResult.WRONG, taken, failed, change)


def resolve_check(
    record: Verification | None,
    right: bool | None,
    generation: int,
    failures: Failures | None,
    answering: Answering,
    address: Window | None,
    now: datetime,
) -> ResolvedCheck | None:
    """Apply the provider's response to a remote check to the record and its failures.

    None without a record. A `right` of None means that the provider could not check: the counted
    failure is then taken back, the attempt is not. A response for another generation concerns a
    replaced code and decides nothing. The record is exhausted once all attempts are used and all
    checks are answered: a slow correct answer is not discarded because of a quick wrong one.
    """
    if record is None:
        return None
    record = with_changes(record, read_at=now, pending_checks=max(record.pending_checks - 1, 0))
    present = record.open and record.generation == generation
    if right and present:
        kept = None if record.counts_as.is_cleared else failures
        proven = with_changes(_closed(record, Status.VERIFIED, now), failures=kept)
        return ResolvedCheck(proven, verified=True, failures=kept, tally=taken_back(record, answering, address, now))
    if right is None:
        failures = drop_failure(failures, now)
    record, change = tallied(record, answering, address, now) if right is False else (record, None)
    if present and record.attempts_left == 0 and record.pending_checks == 0:
        record = _closed(record, Status.EXHAUSTED, now)
    return ResolvedCheck(with_changes(record, failures=failures), verified=False, failures=failures, tally=change)


def reopen(
    record: Verification | None,
    binding: bytes,
    channel: Channel,
    short: bool,
    windows: Sequence[tuple[Quota, Window | None]],
    failures: Failures | None,
    limits: Limits,
    resend_after: timedelta,
    now: datetime,
) -> tuple[Verification, Sequence[Window]] | Denied:
    """Return the record with one more send counted, and the next on this channel delayed longer.

    Or the denial. The delay of one channel does not apply to another, but all share the quotas.
    """
    record = _bound(record, binding, now)
    if record is None:
        return Denied(DenialReason.UNBOUND)
    if not record.open:
        return Denied(DenialReason.CLOSED, record=record)
    lock = lockout(failures, limits, short, now)
    if lock is not None and lock.why is DenialReason.FAILURES:
        return replace(lock, record=record)
    allowed_at = next_send(record, channel)
    if allowed_at is not None and allowed_at > now:
        return Denied(DenialReason.TOO_SOON, allowed_at - now, record)
    counts = all_counted(windows, now)
    if isinstance(counts, Denied):
        return replace(counts, record=record)
    if lock is not None:
        return replace(lock, record=record)
    return with_changes(with_send(record, channel, resend_after, now), failures=failures), counts


def settle(
    record: Verification | None, status: Status, now: datetime, generation: int | None = None
) -> Verification | None:
    """Return the record closed as `status`, or None if it does not exist or is not open.

    Only one caller gets it. `generation` is set for a provider's response about a claim: it closes
    the record only if the claim has not been replaced, no code is live, and no later order waits for
    its receipt.
    """
    if record is None:
        return None
    kept = record.generation != generation or record.has_code or record.acked_send < record.sends
    if generation is not None and kept:
        return None
    record = with_changes(record, read_at=now)
    return _closed(record, status, now) if may_move(record.state, status) else None


def claim(records: Iterable[Verification], driver: str, event: IncomingCall, now: datetime) -> Verification | None:
    """Return the one claim among a phone's records that this call verifies, as verified; None for two."""
    proven = [r for r in (with_changes(record, read_at=now) for record in records) if proven_by(r, driver, event)]
    if len(proven) != 1:
        return None
    verified = _closed(proven[0], Status.VERIFIED, now)
    return with_changes(verified, by_pair=event.reference is None, by_call=True, attestation=event.attestation)


def find(records: Iterable[Verification], driver: str, reference: str, now: datetime) -> Verification | None:
    """Return the one open claim among a phone's records with this reference of this driver."""
    claims = [(record, claim_of(record)) for record in records if record.open_at(now)]
    same = [record for record, claim in claims if claim and (claim.driver, claim.reference) == (driver, reference)]
    return with_changes(same[0], read_at=now) if len(same) == 1 else None


def may_poll(record: Verification | None, binding: bytes | None, now: datetime) -> tuple[bool, Verification] | None:
    """Return whether the provider may be queried now, and the record to store.

    None if there is nothing to store. Denied if the record is not open, not bound, or was polled
    less than three seconds ago. A webhook (no binding) that comes too soon still carries news: the
    next poll then queries immediately.
    """
    if record is None:
        return None
    record = with_changes(record, read_at=now) if binding is None else _bound(record, binding, now)
    if record is None or not record.open or claim_of(record) is None:
        return None
    if record.polled_at is not None and record.polled_at + POLL_INTERVAL > now:
        return (False, with_changes(record, polled_at=None)) if binding is None else None
    return True, with_changes(record, polled_at=now)


def redeem(record: Verification | None, binding: bytes, subject: str, now: datetime) -> Verification | None:
    """Return the verified record with its proof marked as redeemed.

    None if not bound, too old, redeemed, or another user's. The signed-in user must match for every
    purpose except sign-in.
    """
    record = _bound(record, binding, now)
    if record is None or not has_proof(record):
        return None
    if record.purpose not in SIGN_IN_PURPOSES and record.subject != subject:
        return None
    return with_changes(record, redeemed=True)


def refresh(record: Verification, failures: Failures | None, now: datetime) -> Verification:
    """Return the record as of `now`, with the failures of its budget."""
    return with_changes(record, read_at=now, failures=failures)


def has_proof(record: Verification) -> bool:
    """Return whether the proof of this record can still be redeemed at `read_at`."""
    closed_at = record.closed_at if record.status is Status.VERIFIED and not record.redeemed else None
    return closed_at is not None and closed_at - CLOCK_SLACK <= record.read_at < closed_at + PROOF_LIFE


def _bound(record: Verification | None, binding: bytes, now: datetime) -> Verification | None:
    if record is None or not hmac.compare_digest(record.binding, binding):
        return None
    return with_changes(record, read_at=now)


def _closed(record: Verification, status: Status, now: datetime) -> Verification:
    return with_changes(record, status=status, closed_at=now, read_at=now)


def _among(digest: bytes, digests: Collection[bytes]) -> bool:
    # All digests are compared, so that the timing does not reveal which key matched.
    return sum(hmac.compare_digest(digest, other) for other in digests) > 0
