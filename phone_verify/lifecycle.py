"""The life of a verification: every rule that decides, as pure functions over records.

    pending -> sent        pending | sent -> verified | exhausted | expired | cancelled
    pending -> failed      sent -> failed (only a line conflict on resend)

Nothing leaves a final state; no late reply changes one.

A store that can hold one phone's records still (a lock, a transaction on the phone's row) makes a step of
`stores/base.py` indivisible by reading, calling the function of that name here, and writing back what it
returns. Whatever it returns is all that changes. Time comes in as `now`, which is the store's; an attempt is
taken in the same breath as the comparison, so that no count can be overtaken.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any

from .model import CLOCK_SLACK, Channel, Event, Holder, Status, Verification, budget
from .phone import PhoneNumber
from .policy import FAILURE_MEMORY, SEND_WINDOW, SHORT_FAILURES, Plan, Policy, resend_delay

#: The moves that exist. A status without an entry is final.
MOVES: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(Status) - {Status.PENDING},
    Status.SENT: frozenset(Status) - {Status.PENDING},
}

#: A line that was freed rests: a call dialled for the last claim must not prove the next one.
LINE_REST = timedelta(seconds=60)
#: Enough for the resends that quotas and delays let through in a minute, and few enough for a column.
_MOST_FREED = 6
POLL_INTERVAL = timedelta(seconds=3)
PROOF_LIFE = timedelta(minutes=5)


def may_move(old: Status, new: Status) -> bool:
    """Whether a verification may go from `old` to `new`."""
    return new in MOVES.get(old, frozenset())


class Refusal(StrEnum):
    """Why a step did nothing."""

    UNBOUND = "unbound"  #: unknown, or not by this binding
    CLOSED = "closed"
    NO_CODE = "no_code"  #: nothing to compare with
    OTHER_LENGTH = "other_length"
    FAILURES = "failures"  #: too many wrong answers in a row for this phone and purpose
    QUOTA = "quota"
    TOO_SOON = "too_soon"
    SHORT_CODES_CLOSED = "short_codes_closed"
    LINE_TAKEN = "line_taken"


@dataclass(frozen=True, slots=True)
class Refused:
    """A step that did nothing, why, and when it may be tried again where time will help."""

    why: Refusal
    retry_after: timedelta | None = None
    record: Verification | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` sends in one window under `key`; the window begins with the first and does not move."""

    key: str
    limit: int
    window: timedelta = SEND_WINDOW


@dataclass(frozen=True, slots=True)
class Window:
    """What a quota has counted, and when it forgets."""

    count: int
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Failures:
    """Wrong answers in a row under one budget of a phone, and the time of the last."""

    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Limits:
    """How many wrong answers in a row a phone and purpose may give: over all, and with short codes."""

    failures: int
    short_failures: int = SHORT_FAILURES

    @classmethod
    def of(cls, policy: Policy) -> Limits:
        """The limits a policy sets."""
        return cls(policy.max_failures)


@dataclass(frozen=True, slots=True)
class Opening:
    """A verification about to be opened: all of the record that does not depend on the store's clock."""

    id: str
    tag: str
    phone: PhoneNumber
    purpose: str
    service: str
    binding: bytes = field(repr=False)
    channel: Channel
    driver: str
    plan: Plan
    key_id: str
    code_digest: bytes | None = field(repr=False)
    locale: str | None
    resend_after: timedelta
    #: Whether any driver that may carry it has short codes, also one that only failover would reach.
    short: bool
    #: Bindings that the caller showed: live ones of the same phone and purpose end with this start.
    shown: Collection[bytes] = field(default=(), repr=False)
    #: Whether a browser asks that has signed in by this phone before: its wrong answers are counted apart.
    known: bool = False

    @property
    def budget(self) -> str:
        """The name under which its wrong answers are counted for its phone."""
        return budget(self.purpose, known=self.known)


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a driver's receipt adds to a record. `status` is sent, or pending when the end was unclear."""

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
    #: Which of the record's sends this answers.
    sends: int
    shown: Collection[bytes] = field(default=(), repr=False)


class Answer(StrEnum):
    """What a spent attempt came to."""

    RIGHT = "right"
    WRONG = "wrong"
    TAKEN = "taken"  #: a remote code: the attempt is counted, the provider must be asked


@dataclass(frozen=True, slots=True)
class Spent:
    """An attempt that was taken."""

    answer: Answer
    record: Verification
    failures: Failures | None


def counted(window: Window | None, quota: Quota, now: datetime) -> Window | Refused:
    """One more send under `quota`, or the refusal that says when the window ends."""
    if window is None or window.ends_at <= now:
        return Window(1, now + quota.window)
    if window.count >= quota.limit:
        return Refused(Refusal.QUOTA, window.ends_at - now)
    return Window(window.count + 1, window.ends_at)


def uncounted(window: Window | None, ends_at: datetime) -> Window | None:
    """One send less, if this is still the window it was counted in."""
    if window is None or window.ends_at != ends_at:
        return window
    return Window(max(window.count - 1, 0), window.ends_at)


def locked(failures: Failures | None, limits: Limits, short: bool, now: datetime) -> Refused | None:
    """The refusal that wrong answers in a row have earned, if any; an hour without one clears them."""
    if failures is None or forgets_at(failures) <= now:
        return None
    wait = forgets_at(failures) - now
    if failures.count >= limits.failures:
        return Refused(Refusal.FAILURES, wait)
    if short and failures.count >= limits.short_failures:
        return Refused(Refusal.SHORT_CODES_CLOSED, wait)
    return None


def forgets_at(failures: Failures) -> datetime:
    """When wrong answers are forgotten if no other follows."""
    return failures.last_at + FAILURE_MEMORY


def failing(failures: Failures | None, now: datetime) -> int:
    """How many wrong answers in a row are remembered."""
    return 0 if failures is None or forgets_at(failures) <= now else failures.count


def failed_once_more(failures: Failures | None, now: datetime) -> Failures:
    """The count after another wrong answer."""
    if failures is None or forgets_at(failures) <= now:
        return Failures(1, now)
    return Failures(failures.count + 1, now)


@dataclass(frozen=True, slots=True)
class Judged:
    """A verification after its provider's word on an answer, and whether it is this word that proved it."""

    record: Verification
    proven: bool


def forgiven(failures: Failures | None) -> Failures | None:
    """The count without the try that nobody judged; the time of the last stays."""
    return Failures(failures.count - 1, failures.last_at) if failures and failures.count > 1 else None


@dataclass(frozen=True, slots=True)
class Opened:
    """A start that was let in: the new record, the records it ends, the windows it was counted in."""

    record: Verification
    ended: Sequence[Verification]
    windows: Sequence[Window]


def opened(
    opening: Opening,
    siblings: Iterable[Verification],
    windows: Sequence[tuple[Quota, Window | None]],
    failures: Failures | None,
    limits: Limits,
    now: datetime,
) -> Opened | Refused:
    """A new record, with the phone's own quotas counted and the binding's live one ended; or neither.

    `siblings` are the records of the same phone. A quota is reported before short codes that are closed.
    """
    lock = locked(failures, limits, opening.short, now)
    if lock is not None and lock.why is Refusal.FAILURES:
        return lock
    counts = _all_counted(windows, now)
    if isinstance(counts, Refused):
        return counts
    if lock is not None:
        return lock
    record = Verification(
        id=opening.id,
        tag=opening.tag,
        phone=opening.phone,
        purpose=opening.purpose,
        service=opening.service,
        binding=opening.binding,
        channel=opening.channel,
        driver=opening.driver,
        holder=opening.plan.holder,
        status=Status.PENDING,
        key_id=opening.key_id,
        generation=1,
        code_digest=opening.code_digest,
        code_length=opening.plan.code_length,
        short=opening.plan.short,
        attempts_left=opening.plan.attempts,
        sends=1,
        locale=opening.locale,
        created_at=now,
        expires_at=now + opening.plan.life,
        resend_at=now + resend_delay(opening.resend_after, 1),
        read_at=now,
        known=opening.known,
        failures=failing(failures, now),
    )
    ended = [
        _closed(sibling, Status.CANCELLED, now)
        for sibling in siblings
        if sibling.purpose == opening.purpose
        and sibling.service == opening.service
        and sibling.open_at(now)
        and _among(sibling.binding, opening.shown)
    ]
    return Opened(record, ended, counts)


def attached(
    record: Verification, attachment: Attachment, siblings: Iterable[Verification], now: datetime
) -> Verification | Refused:
    """The record with the receipt on it; attempts and end never rise.

    A closed record takes no receipt, and one that a later order has overtaken changes nothing. A line that another
    claim of the phone holds closes this one as failed (in the refusal's record); so does one that it held within
    the last minute, unless that claim's binding was shown. Codes that are held back until the phone calls share their
    lines, but not with claims: who calls for a code must not prove a stranger's claim.
    """
    if not record.open_at(now):
        return Refused(Refusal.CLOSED, record=_with(record, read_at=now))
    if attachment.sends < record.answered:
        return _with(record, read_at=now)
    if attachment.line is not None and any(
        _holds_line(sibling, attachment.line, attachment.plan.holder, attachment.shown, now)
        for sibling in siblings
        if sibling.id != record.id and sibling.phone == record.phone
    ):
        return Refused(Refusal.LINE_TAKEN, record=_closed(record, Status.FAILED, now))
    return _with(
        record,
        status=Status.SENT if record.status is Status.SENT else attachment.status,
        channel=attachment.channel,
        driver=attachment.driver,
        holder=attachment.plan.holder,
        key_id=attachment.key_id,
        generation=attachment.generation,
        code_digest=attachment.code_digest,
        code_length=attachment.code_length,
        short=attachment.plan.short,
        attempts_left=min(record.attempts_left, attachment.plan.attempts),
        expires_at=min(record.expires_at, now + attachment.plan.life),
        reference=attachment.reference,
        line=attachment.line,
        caller_hint=attachment.caller_hint,
        answered=attachment.sends,
        freed=_freed(record, attachment.line, now),
        read_at=now,
    )


def spent(
    record: Verification | None,
    binding: bytes,
    digests: Sequence[bytes],
    length: int,
    failures: Failures | None,
    limits: Limits,
    now: datetime,
) -> Spent | Refused:
    """One attempt taken and judged; or the reason why none was taken.

    `digests` are of the typed code, one for each listed key; `length` is its length, 0 where what was typed is no
    code at all. A remote code's attempt is counted as a failure at once, so that no burst overtakes the limit;
    `judged` clears it where the answer is right, and takes it back where nobody could judge.
    """
    record = _bound(record, binding, now)
    if record is None:
        return Refused(Refusal.UNBOUND)
    if not record.open or record.attempts_left < 1:
        return Refused(Refusal.CLOSED, record=record)
    remote = record.holder is Holder.REMOTE
    if record.holder is Holder.NOBODY or (record.code_digest is None and not remote):
        return Refused(Refusal.NO_CODE, record=record)
    if length == 0 or (record.code_length is not None and length != record.code_length):
        return Refused(Refusal.OTHER_LENGTH, record=record)
    lock = locked(failures, limits, record.short, now)
    if lock is not None:
        return replace(lock, record=record)
    left = record.attempts_left - 1
    if not remote and _among(record.code_digest or b"", digests):
        right = _with(record, attempts_left=left, failures=0, status=Status.VERIFIED, closed_at=now)
        return Spent(Answer.RIGHT, right, None)
    failed = failed_once_more(failures, now)
    taken = _with(record, attempts_left=left, failures=failed.count)
    if remote:
        return Spent(Answer.TAKEN, _with(taken, unjudged=record.unjudged + 1), failed)
    if left == 0:
        taken = _closed(taken, Status.EXHAUSTED, now)
    return Spent(Answer.WRONG, taken, failed)


def judged(
    record: Verification | None, right: bool | None, generation: int, failures: Failures | None, now: datetime
) -> tuple[Judged, Failures | None] | None:
    """What a provider's word makes of a record, and of the failures; None where there is no record.

    `right` is None where nobody could judge: then the failure that was counted is taken back, the attempt is not. What
    is said of another generation is said of a code that has died, and decides nothing. The record is exhausted once no
    attempt is left and none is still with the provider: a slow right answer is not thrown away for a quick wrong one.
    """
    if record is None:
        return None
    record = _with(record, read_at=now, unjudged=max(record.unjudged - 1, 0))
    present = record.open and record.generation == generation
    if right and present:
        return Judged(_with(_closed(record, Status.VERIFIED, now), failures=0), proven=True), None
    if right is None:
        failures = forgiven(failures)
    if present and record.attempts_left == 0 and record.unjudged == 0:
        record = _closed(record, Status.EXHAUSTED, now)
    return Judged(_with(record, failures=failing(failures, now)), proven=False), failures


def reopened(
    record: Verification | None,
    binding: bytes,
    short: bool,
    windows: Sequence[tuple[Quota, Window | None]],
    failures: Failures | None,
    limits: Limits,
    resend_after: timedelta,
    now: datetime,
) -> tuple[Verification, Sequence[Window]] | Refused:
    """One more send on an open record, counted, with the next one put off twice as long; or the refusal."""
    record = _bound(record, binding, now)
    if record is None:
        return Refused(Refusal.UNBOUND)
    if not record.open:
        return Refused(Refusal.CLOSED, record=record)
    lock = locked(failures, limits, short, now)
    if lock is not None and lock.why is Refusal.FAILURES:
        return replace(lock, record=record)
    if record.resend_at > now:
        return Refused(Refusal.TOO_SOON, record.resend_at - now, record)
    counts = _all_counted(windows, now)
    if isinstance(counts, Refused):
        return replace(counts, record=record)
    if lock is not None:
        return replace(lock, record=record)
    sends = record.sends + 1
    resend_at = now + resend_delay(resend_after, sends)
    return _with(record, sends=sends, resend_at=resend_at, failures=failing(failures, now)), counts


def settled(
    record: Verification | None, status: Status, now: datetime, generation: int | None = None
) -> Verification | None:
    """The record closed as `status`, or None if it is not there or not open: one caller gets it.

    With a `generation` only if that is still the present one: what a provider says of an old line or code does not
    touch the new one.
    """
    if record is None or (generation is not None and record.generation != generation):
        return None
    record = _with(record, read_at=now)
    if not may_move(record.state, status):
        return None
    return _closed(record, status, now)


def proven_by(record: Verification, driver: str, event: Event) -> bool:
    """Whether this call proves this open claim: the caller in full, and the reference or else the line.

    An event with a reference is matched by it alone: an unknown reference is never retried as a pair.
    """
    if not (record.open and record.holder is Holder.NOBODY and record.driver == driver):
        return False
    if event.caller != record.phone:
        return False
    if event.reference is not None:
        return record.reference == event.reference
    return event.line is not None and record.line == event.line


def claimed(records: Iterable[Verification], driver: str, event: Event, now: datetime) -> Verification | None:
    """The one claim among a phone's records that this call proves, verified; a call that fits two proves none."""
    proven = [r for r in (_with(record, read_at=now) for record in records) if proven_by(r, driver, event)]
    return _closed(proven[0], Status.VERIFIED, now) if len(proven) == 1 else None


def found(records: Iterable[Verification], driver: str, reference: str, now: datetime) -> Verification | None:
    """The one open claim among a phone's records that has this reference of this driver."""
    same = [
        r
        for r in (_with(record, read_at=now) for record in records)
        if r.open and r.holder is Holder.NOBODY and r.driver == driver and r.reference == reference
    ]
    return same[0] if len(same) == 1 else None


def poll_due(record: Verification | None, binding: bytes | None, now: datetime) -> tuple[bool, Verification] | None:
    """Whether the provider may be asked now, and the record that remembers it; None where nothing is to remember.

    Not if it is not open, not bound, or was polled just before. A webhook (no binding) that comes too soon has news
    all the same: the next look asks at once.
    """
    if record is None:
        return None
    record = _with(record, read_at=now) if binding is None else _bound(record, binding, now)
    if record is None or not record.open or record.holder is not Holder.NOBODY:
        return None
    if record.polled_at is not None and record.polled_at + POLL_INTERVAL > now:
        return (False, _with(record, polled_at=None)) if binding is None else None
    return True, _with(record, polled_at=now)


def proof_due(record: Verification | None, binding: bytes, now: datetime) -> Verification | None:
    """The verified record with its proof burnt, or None: not bound, too old, or burnt before."""
    record = _bound(record, binding, now)
    return _with(record, redeemed=True) if record is not None and has_proof(record) else None


def read(record: Verification, failures: Failures | None, now: datetime) -> Verification:
    """The record as it stands at `now`, with the failures under its budget."""
    return _with(record, read_at=now, failures=failing(failures, now))


def has_proof(record: Verification) -> bool:
    """Whether the proof of this record can still be redeemed at `read_at`."""
    return (
        record.status is Status.VERIFIED
        and not record.redeemed
        and record.closed_at is not None
        and record.closed_at - CLOCK_SLACK <= record.read_at < record.closed_at + PROOF_LIFE
    )


def _bound(record: Verification | None, binding: bytes, now: datetime) -> Verification | None:
    if record is None or not hmac.compare_digest(record.binding, binding):
        return None
    return _with(record, read_at=now)


def _closed(record: Verification, status: Status, now: datetime) -> Verification:
    return _with(record, status=status, closed_at=now, read_at=now)


def _all_counted(windows: Sequence[tuple[Quota, Window | None]], now: datetime) -> Sequence[Window] | Refused:
    counts = []
    for quota, window in windows:
        count = counted(window, quota, now)
        if isinstance(count, Refused):
            return count
        counts.append(count)
    return counts


def _holds_line(
    record: Verification, line: PhoneNumber, holder: Holder, shown: Collection[bytes], now: datetime
) -> bool:
    live = record.line == line and record.open_at(now)
    if holder is not Holder.NOBODY:
        # A code that is held back until its phone calls: the call proves nothing of it, but would prove a live claim.
        return live and record.holder is Holder.NOBODY and not _among(record.binding, shown)
    if live:
        return True  # a live claim holds its line whoever asks: one call must not prove two of them
    ended = record.closed_at or record.expires_at
    given_up = [ended] if record.line == line else []
    given_up += [at for old, at in _freed_lines(record) if old == line.e164]
    return any(now < at + LINE_REST for at in given_up) and not _among(record.binding, shown)


def _freed(record: Verification, line: PhoneNumber | None, now: datetime) -> str:
    """The lines that a record has given up within the last minute, once it holds `line`."""
    freed = [(old, at) for old, at in _freed_lines(record) if now < at + LINE_REST]
    if record.line is not None and record.line != line:
        freed.append((record.line.e164, now))
    return " ".join(f"{old}@{at.isoformat()}" for old, at in freed[-_MOST_FREED:])


def _freed_lines(record: Verification) -> list[tuple[str, datetime]]:
    entries = (entry.partition("@") for entry in record.freed.split())
    return [(old, datetime.fromisoformat(at)) for old, _, at in entries]


def _among(digest: bytes, digests: Collection[bytes]) -> bool:
    # Every one is compared, so that the time does not tell which key it was.
    return sum(hmac.compare_digest(digest, other) for other in digests) > 0


_NAMES = tuple(field.name for field in fields(Verification))
_PLACES = {name: place for place, name in enumerate(_NAMES)}
_VALUES = attrgetter(*_NAMES)


def _with(record: Verification, **changes: Any) -> Verification:
    # `dataclasses.replace` costs three times as much on a record of this size, and a check makes several copies.
    values = list(_VALUES(record))
    for name, value in changes.items():
        values[_PLACES[name]] = value
    return Verification(*values)
