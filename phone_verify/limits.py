"""Quotas, failure limits, delays and the site-wide tally: rules over counters, without I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from .model import Channel, Failures, Verification, value_class, with_changes
from .policy import (
    FAILURE_MEMORY,
    FIRST_LOCK,
    LONG_CODE,
    LONGEST_LOCK,
    SEND_WINDOW,
    SHORT_FAILURES,
    SHORT_REST,
    TALLIED_PER_ADDRESS,
    TALLY_HOURS,
    TALLY_SHARE,
    TEST_NUMBER_MEMORY,
    Policy,
    resend_delay,
)
from .purposes import Budget, failure_key

#: A budget locked until this time is closed permanently. The scripts' numbers hold no later time
#: exactly.
FOREVER = datetime(2200, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class DenialReason(StrEnum):
    """Why a step was denied."""

    UNBOUND = "unbound"  #: unknown id, or another binding
    CLOSED = "closed"
    NO_CODE = "no_code"  #: no code to compare with
    OTHER_LENGTH = "other_length"
    FAILURES = "failures"  #: too many consecutive wrong answers for this phone and purpose
    QUOTA = "quota"
    TOO_SOON = "too_soon"
    SHORT_CODES_CLOSED = "short_codes_closed"
    LINE_TAKEN = "line_taken"
    TWO_STEPS = "two_steps"  #: `count_and_open` does not apply: the order has to be counted first


@value_class
class Denied:
    """A step that was denied, the reason, and the wait until it may be retried if waiting helps."""

    why: DenialReason
    retry_after: timedelta | None = None
    record: Verification | None = None


@value_class
class Quota:
    """At most `limit` in one window under `key`.

    The window starts with the first send and does not move. `others` marks quotas that other
    clients may have filled: a denial then gives the wait in whole hours, so that it does not reveal
    when they did. A `gate` is only compared, not counted.
    """

    key: str
    limit: int
    window: timedelta = SEND_WINDOW
    others: bool = False
    gate: bool = False


@value_class
class Window:
    """The count of a quota, and the end of its window."""

    count: int
    ends_at: datetime


@value_class
class Tally:
    """Answers in the last 24 hours from browsers that are not trusted devices, over all phones.

    It counts wrong answers to short codes and to longer ones, without those that a correct answer
    took back; and correct answers.
    """

    short: int = 0
    long: int = 0
    right: int = 0


@value_class
class TallyChange:
    """What one answer adds to the tally and to the wrong answers of its client's address.

    Negative values subtract.
    """

    short: int = 0
    long: int = 0
    right: int = 0
    address: int = 0


@value_class
class Answering:
    """The client that answers.

    `address` is the counter of its wrong answers, if known; `rights` are correct answers not
    written yet.
    """

    address: str | None = None
    rights: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many wrong answers are accepted.

    `failures` and `short_failures` limit a phone under one budget, `per_address` an address per
    hour, the last two the site per day. `ceiling` and `per_address` of 0 mean no limit.
    """

    failures: int
    short_failures: int = SHORT_FAILURES
    ceiling: int = 0
    per_address: int = 0
    short_per_day: int = 100
    long_per_day: int = 1000

    @classmethod
    def of(cls, policy: Policy) -> Limits:
        """Return the limits that a policy sets."""
        return cls(
            policy.max_failures,
            ceiling=policy.failures_ceiling,
            per_address=policy.wrong_per_hour_per_address,
            short_per_day=policy.short_failures_per_day,
            long_per_day=policy.failures_per_day,
        )

    def closes_short(self, tally: Tally, own: int = 0) -> bool:
        """Return whether sign-in gets no short codes on browsers that are not trusted devices.

        `own` are the verification's own wrong answers in the tally. Where correct answers set the
        limit, they do not count against it: a correct answer would take them back.
        """
        return tally.short >= self.short_per_day and tally.short - own >= TALLY_SHARE * tally.right

    def lengthens(self, tally: Tally) -> bool:
        """Return whether such browsers get codes of eight digits."""
        return tally.long >= max(self.long_per_day, TALLY_SHARE * tally.right)


@value_class
class Counted:
    """The result of `Store.count`: the end of each window counted in, and the tally at that time."""

    windows: Sequence[datetime]
    tally: Tally = Tally()


def increment(window: Window | None, quota: Quota, now: datetime) -> Window | Denied:
    """Return the window with one more send, or the denial with the time until it ends.

    A gate's window is unchanged.
    """
    if window is None or window.ends_at <= now:
        return Window(0 if quota.gate else 1, now + quota.window)
    if window.count >= quota.limit:
        wait = window.ends_at - now
        return Denied(DenialReason.QUOTA, in_whole_hours(wait) if quota.others else wait)
    return Window(window.count + (not quota.gate), window.ends_at)


def changed_by(window: Window | None, change: int, now: datetime) -> Window:
    """Return the wrong answers of an address changed by this number.

    The window starts again an hour after its first.
    """
    if window is None or window.ends_at <= now:
        return Window(change, now + SEND_WINDOW)
    return Window(window.count + change, window.ends_at)


def hour_of(now: datetime) -> int:
    """Return the hour under which an answer is tallied."""
    return int(now.timestamp()) // 3600


def first_hour_tallied(now: datetime) -> int:
    """Return the first hour whose answers still count, as they do for at least 24 hours."""
    return hour_of(now) - TALLY_HOURS


def in_whole_hours(wait: timedelta) -> timedelta:
    """Return a wait rounded up to the full hour, which reveals less about other clients."""
    return HOUR * -(-wait // HOUR)


def decrement(window: Window | None, ends_at: datetime) -> Window | None:
    """Return the window with one send less, if the send was counted in it."""
    if window is None or window.ends_at != ends_at:
        return window
    return Window(max(window.count - 1, 0), window.ends_at)


def refunded(window: Window | None, quota: Quota, at: datetime) -> Window | None:
    """Return the window with one send less, if a send at that time was counted in it."""
    if window is None or not window.ends_at - quota.window <= at < window.ends_at:
        return window
    return Window(max(window.count - 1, 0), window.ends_at)


def lockout(failures: Failures | None, limits: Limits, short: bool, now: datetime) -> Denied | None:
    """Return the denial that the wrong answers cause, if any.

    The wait of a lockout is in whole hours: other clients may have given the wrong answers.
    """
    if failures is None or failures.expires_at <= now:
        return None
    count, until = failure_count(failures, now), failures.locked_until
    if until is None and count >= limits.failures:  # the limit has been lowered since
        until = failures.last_at + FIRST_LOCK
    if until is not None and until > now:
        wait = min(in_whole_hours(until - now), LONGEST_LOCK)
        if until != FOREVER:  # a test number's wait is reported as for any other number
            wait = min(wait, FIRST_LOCK * (1 << min(max(failures.locks - 1, 0), 5)))
        return Denied(DenialReason.FAILURES, wait)
    if short and count >= limits.short_failures and now < failures.last_at + SHORT_REST:
        return Denied(DenialReason.SHORT_CODES_CLOSED, in_whole_hours(failures.last_at + SHORT_REST - now))
    return None


def failure_count(failures: Failures | None, now: datetime) -> int:
    """Return how many wrong answers count towards the next lockout.

    The count restarts when a lockout ends.
    """
    if failures is None or failures.expires_at <= now:
        return 0
    ended = failures.locked_until is not None and failures.locked_until <= now
    return 0 if ended else failures.count


def add_failure(failures: Failures | None, limits: Limits, budget: Budget, now: datetime) -> Failures:
    """Return the failures after another wrong answer, locked at the limit.

    Each lockout is twice as long as the one before, up to 24 hours. A test number is closed
    permanently at the limit; other numbers at the ceiling, if there is one.
    """
    if failures is None or failures.expires_at <= now:
        failures = Failures(0, now, now)
    count, total, locks = failure_count(failures, now) + 1, failures.total + 1, failures.locks
    memory = TEST_NUMBER_MEMORY if budget is Budget.TEST_NUMBER else FAILURE_MEMORY
    locked_until = None
    if count >= limits.failures:
        lock = LONGEST_LOCK if locks > 4 else min(FIRST_LOCK * (1 << locks), LONGEST_LOCK)
        locks, locked_until = locks + 1, now + (memory if budget is Budget.TEST_NUMBER else lock)
    if limits.ceiling and total >= limits.ceiling and budget is not Budget.TEST_NUMBER:
        locked_until = FOREVER
    expires_at = max(now + memory, locked_until or now)
    return Failures(count, now, expires_at, total, locks, locked_until)


def drop_failure(failures: Failures | None, now: datetime) -> Failures | None:
    """Return the failures without an unchecked attempt and the lockout that it caused."""
    if failures is None or failures.total <= 1 or failures.expires_at <= now:
        return None
    locks = failures.locks - (failures.locked_until is not None and failures.locked_until > now)
    return replace(
        failures, count=max(failures.count - 1, 0), total=failures.total - 1, locks=max(locks, 0), locked_until=None
    )


def after_success(record: Verification, failures: Mapping[str, Failures]) -> Collection[str]:
    """Return the keys of the phone's failures that a success of this record clears.

    A success on a trusted device also opens the budget of other browsers if the ceiling has closed
    it.
    """
    budget = record.counts_as
    if not budget.is_cleared:
        return ()
    others = failure_key(budget, trusted=False, service=record.service)
    if not record.trusted:
        return {others}
    closed = others in failures and failures[others].locked_until == FOREVER
    return {record.failure_key, others} if closed else {record.failure_key}


def slowed(
    record: Verification,
    limits: Limits,
    address: Window | None,
    tally: Tally,
    now: datetime,
) -> Denied | None:
    """Return the denial caused by wrong answers over all phones; trusted devices never get one."""
    if record.trusted:
        return None
    given = address.count if address is not None and address.ends_at > now else 0
    if address is not None and 0 < limits.per_address <= given:
        return Denied(DenialReason.QUOTA, address.ends_at - now)
    if record.short and record.counts_as.is_of_sign_in and limits.closes_short(tally, record.tallied_short):
        return Denied(DenialReason.SHORT_CODES_CLOSED, HOUR)
    return None


def tallied(
    record: Verification, answering: Answering, address: Window | None, now: datetime
) -> tuple[Verification, TallyChange | None]:
    """Return the record after a wrong answer, and what the answer adds to the tally.

    Only a few answers an hour of one address are added: no address alone can close anything for
    others.
    """
    if record.trusted:
        return record, None
    given = address.count if address is not None and address.ends_at > now else 0
    counts = given < TALLIED_PER_ADDRESS
    short = int(counts and record.short)
    long = int(counts and not record.short and (record.code_length or 0) < LONG_CODE)
    changed = with_changes(
        record,
        mistakes=record.mistakes + 1,
        tallied_short=record.tallied_short + short,
        tallied_long=record.tallied_long + long,
    )
    return changed, TallyChange(short, long, 0, int(bool(answering.address)))


def taken_back(record: Verification, answering: Answering, address: Window | None, now: datetime) -> TallyChange | None:
    """Return what a correct answer subtracts from the tally, and adds to its correct answers.

    The address's count does not fall below zero: wrong answers of another address give this one no
    credit.
    """
    given = address.count if address is not None and address.ends_at > now else 0
    own = -min(record.mistakes, given) if answering.address else 0
    if not (record.tallied_short or record.tallied_long or answering.rights or own):
        return None
    return TallyChange(-record.tallied_short, -record.tallied_long, answering.rights, own)


def all_counted(windows: Sequence[tuple[Quota, Window | None]], now: datetime) -> Sequence[Window] | Denied:
    counts = []
    for quota, window in windows:
        count = increment(window, quota, now)
        if isinstance(count, Denied):
            return count
        counts.append(count)
    return counts


def next_send(record: Verification, channel: Channel) -> datetime | None:
    """Return when the next send on this channel is allowed; None if there was none on it yet."""
    wait = _parse_waits(record).get(channel.value)
    return wait[1] if wait is not None else None


def with_send(record: Verification, channel: Channel, resend_after: timedelta, now: datetime) -> Verification:
    """Return the record with one more send on this channel and the next one delayed twice as long."""
    waits = _parse_waits(record)
    sends = waits.get(channel.value, (0, now))[0] + 1
    resend_at = now + resend_delay(resend_after, sends)
    waits[channel.value] = sends, resend_at
    return with_changes(
        record,
        sends=record.sends + 1,
        resend_at=resend_at if channel is record.channel else record.resend_at,
        waits=" ".join(f"{name}:{count}@{(at - _EPOCH) // _MICROSECOND}" for name, (count, at) in waits.items()),
    )


def used_channels(record: Verification) -> Collection[str]:
    """Return the channels on which the record was sent, or its send was refused by every provider."""
    return _parse_waits(record).keys()


def last_send(record: Verification, resend_after: timedelta) -> datetime:
    """Return when the record was last sent, on any channel; `resend_after` is the policy's."""
    waits = _parse_waits(record).values()
    return max(resend_at - resend_delay(resend_after, sends) for sends, resend_at in waits)


def _parse_waits(record: Verification) -> dict[str, tuple[int, datetime]]:
    if not record.waits:  # one channel so far, or a record that was written before this field
        return {record.channel.value: (record.sends, record.resend_at)}
    found = {}
    for entry in record.waits.split():
        name, _, wait = entry.partition(":")
        count, _, at = wait.partition("@")
        found[name] = int(count), _EPOCH + timedelta(microseconds=int(at))
    return found
