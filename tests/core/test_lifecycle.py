"""The lifecycle rules of a verification: invariants under any sequence of operations."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phone_verify import lifecycle
from phone_verify.lifecycle import Attachment, AttemptResult, Opened, Opening, Spent
from phone_verify.limits import (
    Answering,
    DenialReason,
    Denied,
    Limits,
    Quota,
    Tally,
    Window,
    add_failure,
    drop_failure,
    increment,
    lockout,
)
from phone_verify.lines import claim_of
from phone_verify.model import Channel, CodeSource, Failures, IncomingCall, Request, Status, Verification, with_changes
from phone_verify.phone import PhoneNumber
from phone_verify.planning import Plan
from phone_verify.policy import FAILURE_MEMORY, FIRST_LOCK, SHORT_FAILURES, SHORT_REST, Policy
from phone_verify.purposes import Budget
from phone_verify.testing.stores import opening

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PHONE = PhoneNumber("+989120000001")
LINES = [PhoneNumber("+74950000003"), PhoneNumber("+74950000004")]
MINE, NOT_MINE = b"m" * 32, b"n" * 32
RIGHT, WRONG = b"r" * 32, b"w" * 32
FINAL = [Status.VERIFIED, Status.FAILED, Status.EXHAUSTED, Status.EXPIRED, Status.CANCELLED]


def plan(code_source: CodeSource = CodeSource.LOCAL, **changes: object) -> Plan:
    length = 6 if code_source in (CodeSource.LOCAL, CodeSource.REMOTE_CHECK) else None
    plain = Plan(code_source, length, short=code_source is CodeSource.PROVIDER, attempts=5, ttl=timedelta(seconds=300))
    return replace(plain, **changes)


def begun(code_source: CodeSource = CodeSource.LOCAL, now: datetime = NOW, **changes: object) -> Verification:
    request = Request("i" * 44, "i" * 22, PHONE, "login", "default", MINE, budget="sign_in")
    requested = {field.name: changes.pop(field.name) for field in fields(Request) if field.name in changes}
    opening = Opening(
        request=replace(request, **requested),
        channel=Channel.SMS,
        driver="fake",
        plan=plan(code_source),
        key_id="0a1b2c3d",
        code_digest=RIGHT if code_source is CodeSource.LOCAL else None,
        resend_after=timedelta(seconds=60),
        short=plan(code_source).short,
    )
    opened = lifecycle.open(opening, [], [], None, Limits(20), now)
    assert isinstance(opened, Opened)
    return replace(opened.record, **changes)


def receipt(code_source: CodeSource, **changes: object) -> Attachment:
    plain = Attachment(
        status=Status.SENT,
        channel=Channel.SMS,
        driver="fake",
        plan=plan(code_source),
        key_id="0a1b2c3d",
        generation=1,
        code_digest=RIGHT if code_source in (CodeSource.LOCAL, CodeSource.PROVIDER) else None,
        code_length=6 if code_source is not CodeSource.NONE else None,
        reference="ref",
        line=LINES[0] if code_source is CodeSource.NONE else None,
        caller_hint=None,
        sends=1,
    )
    return replace(plain, **changes)


# A lifecycle is a series of steps at increasing times; the store keeps the result of each.

code_sources = st.sampled_from(CodeSource)
bindings = st.sampled_from([MINE, MINE, MINE, NOT_MINE])
receipts = st.builds(
    lambda code_source, status, generation, attempts, seconds, line: receipt(
        code_source,
        status=status,
        generation=generation,
        sends=generation,
        plan=plan(code_source, attempts=attempts, ttl=timedelta(seconds=seconds)),
        line=line,
        channel=Channel.INBOUND_CALL if code_source is CodeSource.NONE else Channel.SMS,
    ),
    code_sources,
    st.sampled_from([Status.PENDING, Status.SENT]),
    st.integers(1, 3),
    st.integers(1, 10),
    st.integers(30, 600),
    st.sampled_from([None, *LINES]),
)


def failed(times: int) -> Failures:
    """Consecutive wrong answers, without a lockout."""
    return Failures(times, NOW, NOW + FAILURE_MEMORY, times)


def judge_answer(*arguments: Any) -> Spent | Denied:
    """An answer without an address, on a site without other answers."""
    *first, now = arguments
    return lifecycle.spend(*first, Answering(), None, Tally(), now)


@dataclass
class Life:
    record: Verification
    failures: Failures | None = None

    def attach(self, now: datetime, receipt: Attachment) -> None:
        attached = lifecycle.attach(self.record, receipt, [], now)
        self.keep(attached.record if isinstance(attached, Denied) else attached)

    def spend(self, now: datetime, binding: bytes, digest: bytes) -> None:
        length = self.record.code_length or 6
        spent = judge_answer(self.record, binding, [digest], length, self.failures, Limits(20), now)
        if isinstance(spent, Spent):
            self.keep(spent.record)
            self.failures = spent.failures

    def reopen(self, now: datetime, binding: bytes, channel: Channel) -> None:
        reopened = lifecycle.reopen(
            self.record, binding, channel, False, [], self.failures, Limits(20), timedelta(0), now
        )
        self.keep(None if isinstance(reopened, Denied) else reopened[0])

    def settle(self, now: datetime, status: Status) -> None:
        self.keep(lifecycle.settle(self.record, status, now))

    def call(self, now: datetime, line: PhoneNumber) -> None:
        self.keep(lifecycle.claim([self.record], "fake", IncomingCall(None, line, PHONE), now))

    def poll(self, now: datetime, binding: bytes) -> None:
        due = lifecycle.may_poll(self.record, binding, now)
        self.keep(due[1] if due else None)

    def redeem(self, now: datetime, binding: bytes) -> None:
        self.keep(lifecycle.redeem(self.record, binding, "", now))

    def keep(self, record: Verification | None) -> None:
        self.record = record or self.record


steps = st.one_of(
    st.tuples(st.just(Life.attach), receipts),
    st.tuples(st.just(Life.spend), bindings, st.sampled_from([RIGHT, WRONG, WRONG])),
    st.tuples(st.just(Life.reopen), bindings, st.sampled_from([Channel.SMS, Channel.INBOUND_CALL])),
    st.tuples(st.just(Life.settle), st.sampled_from(FINAL)),
    st.tuples(st.just(Life.call), st.sampled_from(LINES)),
    st.tuples(st.just(Life.poll), bindings),
    st.tuples(st.just(Life.redeem), bindings),
)
series = st.lists(st.tuples(st.sampled_from([0, 1, 5, 60, 200]), steps), max_size=15)


def lived(code_source: CodeSource, series: list[tuple[int, tuple]]) -> list[tuple[datetime, Verification]]:
    """Yield the record after each step, with the time of the step."""
    life, now = Life(begun(code_source)), NOW
    records = [(now, life.record)]
    for seconds, (step, *arguments) in series:
        now += timedelta(seconds=seconds)
        step(life, now, *arguments)
        records.append((now, life.record))
    return records


@settings(deadline=None)
@given(code_sources, series)
def test_final_states_are_never_left(code_source: CodeSource, series: list) -> None:
    records = lived(code_source, series)
    for (_, before), (now, after) in pairwise(records):
        if lifecycle.refresh(before, None, now).state in FINAL:
            burnt = replace(before, redeemed=after.redeemed, read_at=after.read_at)
            assert after == burnt, "a record that is over changes in nothing but its proof"
        elif after.status is not before.status:
            assert lifecycle.may_move(before.status, after.status)


@settings(deadline=None)
@given(code_sources, series)
def test_attempts_and_end_never_rise_and_sends_never_fall(code_source: CodeSource, series: list) -> None:
    records = [record for _, record in lived(code_source, series)]
    for before, after in pairwise(records):
        assert 0 <= after.attempts_left <= before.attempts_left
        assert after.expires_at <= before.expires_at
        assert before.sends <= after.sends <= before.sends + 1
        assert before.generation <= after.generation or before.has_code is not after.has_code
        assert before.redeemed <= after.redeemed
        assert after.request is before.request
        assert after.created_at == before.created_at


@settings(deadline=None)
@given(code_sources, series)
def test_code_and_line_stay_until_their_own_kind_replaces_them(code_source: CodeSource, series: list) -> None:
    for (_, before), (_, after) in pairwise(lived(code_source, series)):
        assert before.has_code <= after.has_code
        old, new = claim_of(before), claim_of(after)
        if old is not None and (old.line or old.reference):
            assert new is not None
            assert new == old or new.send >= old.send
        if before.has_code and after.code_digest != before.code_digest:
            assert after.acked_send >= before.acked_send
        assert after.channel_of_code is not Channel.INBOUND_CALL or not after.has_code
        lines = {line for line in (before.line, before.claim_line) if line is not None}
        released = {entry.partition("@")[0] for entry in after.released_lines.split()}
        assert all(line in (after.line, after.claim_line) or line.e164 in released for line in lines)


@settings(deadline=None)
@given(code_sources, series)
def test_verify_and_redeem_happen_only_before_expiry(code_source: CodeSource, series: list) -> None:
    for now, record in lived(code_source, series):
        assert (record.status in FINAL) == (record.closed_at is not None)
        if record.status in FINAL:
            assert record.closed_at is not None
            assert record.closed_at < record.expires_at
        if record.redeemed:
            assert record.status is Status.VERIFIED
        assert (
            lifecycle.refresh(record, None, now).ended_at is None or lifecycle.refresh(record, None, now).state in FINAL
        )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100_000), st.booleans()), max_size=60), st.integers(1, 10))
def test_failures_stay_within_the_limit_between_lockouts(attempts: list[tuple[int, bool]], limit: int) -> None:
    now, failures, in_a_row, locks, locked_until, last = NOW, None, 0, 0, NOW, NOW
    for seconds, right in attempts:
        now += timedelta(seconds=seconds)
        if failures is not None and now - last >= FAILURE_MEMORY:
            in_a_row, locks = 0, 0
        # Each on a separate verification: a new code never resets the count.
        answer = RIGHT if right else WRONG
        spent = judge_answer(begun(now=now), MINE, [answer], 6, failures, Limits(limit), now)
        assert isinstance(spent, Denied) == (now < locked_until)
        if isinstance(spent, Denied):
            continue
        failures, last = spent.failures, now
        in_a_row, locks = (0, 0) if right else (in_a_row + 1, locks)
        if in_a_row == limit:
            locked_until = now + min(timedelta(hours=2**locks), timedelta(hours=24))
            in_a_row, locks = 0, locks + 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=40), st.integers(1, 5))
def test_window_never_holds_more_than_its_limit(gaps: list[int], limit: int) -> None:
    now, window, quota = NOW, None, Quota("q", limit)
    begun_at, sent = NOW, 0
    for seconds in gaps:
        now += timedelta(seconds=seconds)
        if window is None or now >= begun_at + quota.window:
            begun_at, sent = now, 0
        new = increment(window, quota, now)
        assert isinstance(new, Denied) == (sent == limit)
        if isinstance(new, Window):
            window, sent = new, sent + 1
            assert (window.count, window.ends_at) == (sent, begun_at + quota.window)
        else:
            assert new.retry_after == begun_at + quota.window - now


@settings(deadline=None)
@given(st.lists(st.integers(0, 700), max_size=8))
def test_each_resend_waits_twice_as_long_up_to_ten_minutes(waits: list[int]) -> None:
    record, now, resend_after = begun(expires_at=NOW + timedelta(days=1)), NOW, timedelta(seconds=60)
    last = NOW
    for wait in waits:
        now += timedelta(seconds=wait)
        due = last + min(resend_after * 2 ** (record.sends - 1), timedelta(seconds=600))
        reopened = lifecycle.reopen(record, MINE, Channel.SMS, False, [], None, Limits(20), resend_after, now)
        assert isinstance(reopened, Denied) == (now < due)
        if not isinstance(reopened, Denied):
            (record, _), last = reopened, now


@pytest.mark.parametrize("status", FINAL)
def test_final_states_have_no_transitions(status: Status) -> None:
    assert not any(lifecycle.may_move(status, new) for new in Status)


def test_pending_may_become_anything_and_sent_never_pending() -> None:
    assert {new for new in Status if lifecycle.may_move(Status.PENDING, new)} == set(Status) - {Status.PENDING}
    assert {new for new in Status if lifecycle.may_move(Status.SENT, new)} >= set(FINAL)
    assert not lifecycle.may_move(Status.SENT, Status.PENDING)


@pytest.mark.parametrize("binding", [NOT_MINE, b"", MINE[:-1]])
def test_another_binding_gets_the_same_answer_as_an_unknown_id(binding: bytes) -> None:
    record, limits = begun(), Limits(20)
    unbound = Denied(DenialReason.UNBOUND)
    for known in (record, None):
        assert judge_answer(known, binding, [RIGHT], 6, None, limits, NOW) == unbound
        assert lifecycle.reopen(known, binding, Channel.SMS, False, [], None, limits, timedelta(0), NOW) == unbound
        assert lifecycle.redeem(known, binding, "", NOW) is None
        assert lifecycle.may_poll(known, binding, NOW) is None


@pytest.mark.parametrize("digests", [[], [b""], [WRONG], [RIGHT[:-1]]])
def test_any_other_digest_is_wrong(digests: list[bytes]) -> None:
    spent = judge_answer(begun(), MINE, digests, 6, None, Limits(20), NOW)
    assert isinstance(spent, Spent)
    assert spent.answer is AttemptResult.WRONG


@pytest.mark.parametrize("digests", [[], [b""], [RIGHT]])
def test_missing_code_matches_nothing_not_even_an_empty_one(digests: list[bytes]) -> None:
    for code_source in (CodeSource.LOCAL, CodeSource.PROVIDER, CodeSource.NONE):
        record = begun(code_source, code_digest=None, code_length=None)
        spent = judge_answer(record, MINE, digests, 6, None, Limits(20), NOW)
        assert isinstance(spent, Denied)
        assert spent.why is DenialReason.NO_CODE


def test_non_numeric_input_is_never_compared() -> None:
    for record in (begun(CodeSource.REMOTE_CHECK, code_length=None), begun(code_length=None)):
        refused = judge_answer(record, MINE, [RIGHT], 0, None, Limits(20), NOW)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.OTHER_LENGTH
        assert isinstance(judge_answer(record, MINE, [RIGHT], 4, None, Limits(20), NOW), Spent)


def test_digest_of_any_listed_key_is_right() -> None:
    for digests in ([RIGHT, WRONG], [WRONG, RIGHT]):
        spent = judge_answer(begun(), MINE, digests, 6, None, Limits(20), NOW)
        assert isinstance(spent, Spent)
        assert spent.answer is AttemptResult.RIGHT


def test_last_remote_attempt_stays_open_for_the_provider() -> None:
    spent = judge_answer(begun(CodeSource.REMOTE_CHECK, attempts_left=1), MINE, [], 6, None, Limits(20), NOW)
    assert isinstance(spent, Spent)
    assert (spent.answer, spent.record.attempts_left, spent.record.open) == (AttemptResult.TAKEN, 0, True)
    again = judge_answer(spent.record, MINE, [], 6, None, Limits(20), NOW)
    assert isinstance(again, Denied)
    assert again.why is DenialReason.CLOSED
    assert lifecycle.settle(spent.record, Status.VERIFIED, NOW) is not None


def test_short_codes_have_the_lower_ceiling() -> None:
    failures, limits = failed(SHORT_FAILURES), Limits.of(Policy())
    refused = lockout(failures, limits, True, NOW)
    assert refused == Denied(DenialReason.SHORT_CODES_CLOSED, SHORT_REST)
    assert lockout(failures, limits, False, NOW) is None
    assert lockout(replace(failures, count=SHORT_FAILURES - 1), limits, True, NOW) is None
    assert lockout(failures, Limits(5), True, NOW) == Denied(DenialReason.FAILURES, FIRST_LOCK)


def test_refunded_failure_count_never_goes_below_zero() -> None:
    assert drop_failure(failed(3), NOW) == failed(2)
    assert drop_failure(failed(1), NOW) is None
    assert drop_failure(None, NOW) is None
    locked = add_failure(failed(2), Limits(3), Budget.SIGN_IN, NOW)
    assert locked.locked_until is not None
    assert drop_failure(locked, NOW) == failed(2), "and the lock that it caused goes with it"


@pytest.mark.parametrize(
    ("seconds", "closed", "taken", "by_its_holder"),
    [
        (0, False, True, True),  # open: one call must not verify two claims, regardless of who started them
        (299, False, True, True),
        (300, False, True, False),
        (359, False, True, False),
        (360, False, False, False),
        (59, True, True, False),
        (60, True, False, False),
    ],
)
def test_line_is_reserved_for_its_claim_and_one_minute(
    seconds: int, closed: bool, taken: bool, by_its_holder: bool
) -> None:
    code_source = begun(CodeSource.NONE, line=LINES[0], id="h" * 44, binding=NOT_MINE)
    if closed:
        ended = lifecycle.settle(code_source, Status.CANCELLED, NOW)
        assert ended is not None
        code_source = ended
    now = NOW + timedelta(seconds=seconds)
    attached = lifecycle.attach(begun(CodeSource.NONE, now), receipt(CodeSource.NONE), [code_source], now)
    assert isinstance(attached, Denied) == taken
    shown = receipt(CodeSource.NONE, shown=[NOT_MINE])
    attached = lifecycle.attach(begun(CodeSource.NONE, now), shown, [code_source], now)
    assert isinstance(attached, Denied) == by_its_holder


@pytest.mark.parametrize(
    ("old", "new", "seconds", "taken", "by_its_holder"),
    [
        (
            CodeSource.LOCAL,
            CodeSource.LOCAL,
            0,
            False,
            False,
        ),  # held-back codes share a line
        (
            CodeSource.NONE,
            CodeSource.LOCAL,
            0,
            True,
            False,
        ),  # a caller of a held-back code must not verify another claim
        (CodeSource.NONE, CodeSource.LOCAL, 300, False, False),  # an ended claim cannot be verified any more
        (CodeSource.LOCAL, CodeSource.NONE, 0, True, True),
        (CodeSource.LOCAL, CodeSource.NONE, 359, True, False),
        (CodeSource.LOCAL, CodeSource.NONE, 360, False, False),
    ],
)
def test_held_back_codes_share_a_line_but_not_with_claims(
    old: CodeSource, new: CodeSource, seconds: int, taken: bool, by_its_holder: bool
) -> None:
    other = begun(old, line=LINES[0], id="h" * 44, binding=NOT_MINE)
    now = NOW + timedelta(seconds=seconds)
    for shown, refused in (((), taken), ((NOT_MINE,), by_its_holder)):
        attached = lifecycle.attach(begun(new, now), receipt(new, line=LINES[0], shown=shown), [other], now)
        assert isinstance(attached, Denied) == refused


def test_record_in_the_making_shows_no_secret() -> None:
    """Error pages and error trackers show the local variables of each frame."""
    record = opening().record(datetime.now(UTC))
    assert record.code_digest is not None
    with pytest.raises(AttributeError) as raised:
        with_changes(record, unknown=1)
    (*_, frame) = raised.traceback
    shown = repr(frame.frame.f_locals)
    assert str(record.code_digest) not in shown
    assert str(record.binding) not in shown
