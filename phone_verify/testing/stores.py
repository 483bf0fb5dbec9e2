"""The suite that every store must pass: the contract of `stores/base.py`, and races with real
threads.

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def store(self):
            return MyStore(…)

        @pytest.fixture
        def forgetful(self):
            return MyStore(…, keep=PROOF_LIFE)

A store whose server expires everything by itself leaves out `StoreSweeping`: it subclasses
`StorePromises` and `StoreRaces`. Time is a `ManualClock`, so nothing waits. `PHONE_VERIFY_ROUNDS`
sets how often each race is run.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from .. import limits
from ..codes import Keyring, new_id
from ..lifecycle import POLL_INTERVAL, PROOF_LIFE, Attachment, AttemptResult, Opening, Spent
from ..limits import FOREVER, Answering, Counted, DenialReason, Denied, Limits, Quota, Tally
from ..lines import (
    LINE_REST,
    MOST_CLAIMANTS,
    OTHER_CALLER_EVERY,
    PAIR_REST,
    Claim,
    claim_of,
    number_to_call,
    served_by,
)
from ..model import Assurance, Channel, CodeSource, IncomingCall, Request, Status, Verification
from ..phone import PhoneNumber
from ..planning import Plan
from ..policy import FAILURE_MEMORY, FIRST_LOCK, LONGEST_LOCK, SHORT_REST
from ..purposes import Budget
from ..stores.base import PURGE_PER_START, RETENTION, Store
from .clock import ManualClock

T = TypeVar("T")

ROUNDS = int(os.environ.get("PHONE_VERIFY_ROUNDS", "2"))

PHONE = PhoneNumber("+989120000001")
OTHER_PHONE = PhoneNumber("+79160000002")
LINE = PhoneNumber("+74950000003")
OTHER_LINE = PhoneNumber("+74950000004")

BINDING = b"b" * 32
OTHER_BINDING = b"o" * 32
RIGHT = b"r" * 32
WRONG = b"w" * 32

LIMITS = Limits(20)
GENEROUS = Limits(1000)
NOBODY = Answering()
NO_DELAY = timedelta(0)
LIFE = timedelta(seconds=300)

OURS = Plan(CodeSource.LOCAL, 6, short=False, attempts=5, ttl=LIFE)
SHORT = Plan(CodeSource.LOCAL, 4, short=True, attempts=3, ttl=timedelta(seconds=180))
TOLD = Plan(CodeSource.PROVIDER, None, short=True, attempts=3, ttl=timedelta(seconds=180))
REMOTE = Plan(CodeSource.REMOTE_CHECK, 6, short=False, attempts=5, ttl=LIFE)
CALL = Plan(CodeSource.NONE, None, short=False, attempts=5, ttl=LIFE)

_REQUESTED = {field.name for field in fields(Request)}

_keyring = Keyring(["a key of the store suite, no secret"])


def run(step: Coroutine[Any, Any, T]) -> T:
    """Run a step of a blocking store, which never suspends, to its end."""
    try:
        step.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    step.close()
    raise AssertionError("the store suspended")


def failure_count(record: Verification) -> int:
    """Return how many wrong answers count towards the next lockout of this record's budget."""
    return limits.failure_count(record.failures, record.read_at)


def opening(phone: PhoneNumber = PHONE, plan: Plan = OURS, **changes: Any) -> Opening:
    """Return a verification to open, with the right code's digest if the code is ours."""
    tag = _keyring.tag(phone)
    request = Request(
        id=new_id(tag, os.urandom),
        tag=tag,
        phone=phone,
        purpose="login",
        service="default",
        binding=BINDING,
        budget=Budget.SIGN_IN.value,
    )
    plain = Opening(
        request=request,
        channel=Channel.INBOUND_CALL if plan.code_source is CodeSource.NONE else Channel.SMS,
        driver="fake",
        plan=plan,
        key_id="0a1b2c3d",
        code_digest=RIGHT if plan.code_source is CodeSource.LOCAL else None,
        resend_after=timedelta(seconds=60),
        short=plan.short,
    )
    return opening_with(plain, **changes)


def opening_with(order: Opening, **changes: Any) -> Opening:
    """Return the opening with these fields changed, its request's among them."""
    requested = {name: changes.pop(name) for name in _REQUESTED & changes.keys()}
    if "budget" in requested:
        requested["budget"] = requested["budget"].value
    return replace(order, request=replace(order.request, **requested), **changes)


def attachment(opening: Opening, **changes: Any) -> Attachment:
    """Return the receipt that a driver would give for this opening."""
    plain = Attachment(
        status=Status.SENT,
        channel=opening.channel,
        driver=opening.driver,
        plan=opening.plan,
        key_id=opening.key_id,
        generation=1,
        code_digest=opening.code_digest,
        code_length=opening.plan.code_length,
        reference=None,
        line=None,
        caller_hint=None,
        sends=1,
    )
    return replace(plain, **changes)


def together(count: int, step: Callable[[int], T], done: Callable[[], None] = lambda: None) -> list[T]:
    """Return the results of `count` threads that start `step` simultaneously; `done` is called as
    each ends.
    """
    barrier = threading.Barrier(count)
    results: list[T] = []
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            barrier.wait(30)
            results.append(step(number))
        except BaseException as error:  # noqa: BLE001 - passed on to the test's own thread
            errors.append(error)
        finally:
            done()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    # A step in memory is shorter than the interpreter's usual switch interval, so threads would
    # never overlap in it.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.00001)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]
    assert len(results) == count, "a step did not end"
    return results


class StoreCase:
    """The fixtures and shorthands of both halves of the suite."""

    @pytest.fixture
    def store(self) -> Store:
        """The store under test, empty."""
        raise NotImplementedError("a subclass gives the `store` fixture")

    @pytest.fixture
    def stores(self, store: Store) -> Sequence[Store]:
        """The store, and if possible others on the same data: the threads of a race are spread over
        them.
        """
        return [store]

    @pytest.fixture
    def forgetful(self) -> Store:
        """A store of the same kind that keeps records only as long as their proofs: `keep` is five
        minutes.
        """
        raise NotImplementedError("a subclass gives the `forgetful` fixture")

    @pytest.fixture
    def clock(self) -> ManualClock:
        """A clock whose microseconds a rounded number would lose."""
        return ManualClock(datetime(2030, 1, 1, 12, 34, 56, 789013, tzinfo=UTC))

    def thread_done(self) -> None:
        """Called in each thread of a race as it ends: close what the store keeps per thread."""

    def open(self, store: Store, clock: ManualClock, *arguments: Any, **changes: Any) -> Verification:
        """Open a verification that no quota denies, and return it."""
        opened = run(store.open(opening(*arguments, **changes), [], LIMITS, clock()))
        assert isinstance(opened, Verification)
        return opened

    def claim_on(self, store: Store, clock: ManualClock, line: PhoneNumber | None, **changes: Any) -> Verification:
        """Open an inbound call that was given this line and the reference `ref`."""
        reference = changes.pop("reference", "ref")
        order = opening(changes.pop("phone", PHONE), CALL, **changes)
        assert isinstance(run(store.open(order, [], LIMITS, clock())), Verification)
        attached = run(store.attach(order.id, attachment(order, line=line, reference=reference), clock()))
        assert isinstance(attached, Verification)
        return attached

    def spend(
        self,
        store: Store,
        clock: ManualClock,
        record: Verification,
        digest: bytes,
        limits: Limits = LIMITS,
        length: int | None = None,
    ) -> Spent | Denied:
        """Guess with one digest, with the length of the code."""
        length = record.code_length or 6 if length is None else length
        return run(store.spend(record.id, record.binding, [digest], length, limits, NOBODY, clock()))

    def windows(self, step: Coroutine[Any, Any, Counted | Denied]) -> Sequence[datetime]:
        """Count, and return the ends of the windows."""
        counted = run(step)
        assert isinstance(counted, Counted)
        return counted.windows

    def fail(self, store: Store, clock: ManualClock, times: int, limits: Limits = GENEROUS, **changes: Any) -> None:
        """Give this many wrong answers in a row, each to a separate verification."""
        for _ in range(times):
            answer = self.spend(store, clock, self.open(store, clock, **changes), WRONG, limits)
            assert isinstance(answer, Spent)

    def locked_for(self, store: Store, clock: ManualClock, limits: Limits, **changes: Any) -> timedelta | None:
        """Return how long starts are refused for wrong answers; None if they are not."""
        answer = run(store.open(opening(**changes), [], limits, clock()))
        return answer.retry_after if isinstance(answer, Denied) else None

    def tally(self, store: Store, clock: ManualClock) -> Tally:
        """Return the site-wide tally, read by counting nothing."""
        counted = run(store.count([], clock()))
        assert isinstance(counted, Counted)
        return counted.tally

    def reopen(
        self, store: Store, clock: ManualClock, record: Verification, short: bool = False, **changes: Any
    ) -> Verification | Denied:
        """Request one more send, with a minute's delay and no quota unless one is named."""
        return run(
            store.reopen(
                record.id,
                changes.get("binding", record.binding),
                changes.get("channel", record.channel),
                short,
                changes.get("quotas", []),
                changes.get("limits", LIMITS),
                timedelta(seconds=60),
                clock(),
            )
        )

    def call(
        self, store: Store, clock: ManualClock, record: Verification, event: IncomingCall, driver: str = "fake"
    ) -> Verification | None:
        """Report a call about the phone of this record."""
        return run(store.claim(driver, record.tag, event, clock()))

    def kept(self, store: Store, clock: ManualClock, records: Sequence[Verification]) -> int:
        """Return how many of these are still stored."""
        return sum(run(store.get(record.id, clock())) is not None for record in records)


class StorePromises(StoreCase):
    """The contract of a store, step by step."""

    # Records.

    def test_record_comes_back_as_it_was_opened(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        changes: dict[str, Any] = {"subject": "s" * 22, "budget": Budget.SIGNED_IN, "trusted": True}
        changes["proved_channels"] = "flash_call inbound_call sms telegram voice whatsapp"
        record = self.open(store, clock, id=order.id, locale="fa", service="shop", purpose="signup", **changes)
        assert record == Verification(
            request=Request(
                id=order.id,
                tag=order.tag,
                phone=PHONE,
                purpose="signup",
                service="shop",
                binding=BINDING,
                locale="fa",
                trusted=True,
                subject="s" * 22,
                budget="signed_in",
                proved_channels="flash_call inbound_call sms telegram voice whatsapp",
            ),
            channel=Channel.SMS,
            driver="fake",
            code_source=CodeSource.LOCAL,
            status=Status.PENDING,
            key_id="0a1b2c3d",
            generation=1,
            code_digest=RIGHT,
            code_length=6,
            short=False,
            attempts_left=5,
            sends=1,
            created_at=clock(),
            expires_at=clock() + LIFE,
            resend_at=clock() + timedelta(seconds=60),
            read_at=clock(),
        )
        assert run(store.get(record.id, clock())) == record

    def test_record_comes_back_with_its_receipt(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        clock.move(0.000001)
        receipt = attachment(
            order,
            channel=Channel.FLASH_CALL,
            driver="fake-2",
            plan=TOLD,
            key_id="ffffffff",
            generation=2,
            code_digest=WRONG,
            code_length=4,
            reference="Ref-7/é",
            line=LINE,
            caller_hint="+7495",
        )
        attached = run(store.attach(order.id, receipt, clock()))
        assert isinstance(attached, Verification)
        assert (attached.status, attached.channel, attached.driver) == (Status.SENT, Channel.FLASH_CALL, "fake-2")
        assert (attached.code_source, attached.short, attached.key_id) == (CodeSource.PROVIDER, True, "ffffffff")
        assert (attached.generation, attached.code_digest, attached.code_length) == (2, WRONG, 4)
        assert (attached.reference, attached.line, attached.caller_hint) == ("Ref-7/é", LINE, "+7495")
        assert attached.read_at == clock()
        assert run(store.get(order.id, clock())) == attached

    def test_unknown_id_is_none_or_refused(self, store: Store, clock: ManualClock) -> None:
        id = opening().id
        assert run(store.get(id, clock())) is None
        assert run(store.attach(id, attachment(opening()), clock())) == Denied(DenialReason.CLOSED)
        assert run(store.spend(id, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock())) == Denied(DenialReason.UNBOUND)
        reopened = run(store.reopen(id, BINDING, Channel.SMS, False, [Quota("q", 1)], LIMITS, NO_DELAY, clock()))
        assert reopened == Denied(DenialReason.UNBOUND)
        assert run(store.settle(id, Status.CANCELLED, clock())) is False
        assert run(store.resolve_check(id, True, 1, NOBODY, clock())) is None
        assert run(store.may_poll(id, BINDING, clock())) is False
        assert run(store.redeem(id, BINDING, "", clock())) is None

    def test_ids_and_tags_are_case_sensitive(self, store: Store, clock: ManualClock) -> None:
        order = opening(tag="t" * 22, id="t" * 22 + "i" * 22)
        assert isinstance(run(store.open(order, [Quota("q", 1)], LIMITS, clock())), Verification)
        other = opening_with(order, id="t" * 22 + "I" * 22)
        assert isinstance(run(store.open(other, [Quota("Q", 1)], LIMITS, clock())), Verification)
        another = opening_with(order, tag="T" * 22, id="T" * 22 + "i" * 22, plan=CALL)
        assert isinstance(run(store.open(another, [Quota("q", 1)], LIMITS, clock())), Verification)
        assert len({record and record.id for record in (run(store.get(o.id, clock())) for o in (order, other))}) == 2
        assert run(store.count([Quota("k", 1)], clock())) == run(store.count([Quota("K", 1)], clock()))

    def test_store_uses_its_own_clock_without_a_time(self, store: Store) -> None:
        before = datetime.now(UTC)
        order = opening()
        opened = run(store.open(order, [], LIMITS, None))
        assert isinstance(opened, Verification)
        attached = run(store.attach(order.id, attachment(order), None))
        assert isinstance(attached, Verification)
        windows = self.windows(store.count([Quota("k", 1)], None))
        assert not isinstance(windows, Denied)
        spent = run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
        assert isinstance(spent, Spent)
        times = [opened.read_at, attached.read_at, windows[0] - timedelta(hours=1), spent.record.read_at]
        # A database on another machine may be off by a little, but not by a time zone.
        assert all(abs(time - before) < timedelta(minutes=2) for time in times)
        # A store may reuse the server's time for a tenth of a second.
        slack = timedelta(seconds=0.1)
        assert times[0] - slack <= times[1] <= times[3] + slack

    def test_record_past_its_end_has_expired(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        clock.move(299.999999)
        assert (found := run(store.get(record.id, clock())))
        assert found.open
        clock.move(0.000001)
        assert (found := run(store.get(record.id, clock())))
        assert found.state is Status.EXPIRED

    # Shared quotas.

    def test_shared_quota_is_exact_and_reports_its_end(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("address:a", 3)
        ends_at = clock() + quota.window
        for _ in range(3):
            assert run(store.count([quota], clock())) == Counted([ends_at])
            clock.move(60)
        assert run(store.count([quota], clock())) == Denied(DenialReason.QUOTA, ends_at - clock())

    def test_window_is_fixed_and_followed_by_a_new_one(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("address:a", 1)
        run(store.count([quota], clock()))
        clock.move(3599.999999)
        assert run(store.count([quota], clock())) == Denied(DenialReason.QUOTA, timedelta(microseconds=1))
        clock.move(0.000001)
        assert run(store.count([quota], clock())) == Counted([clock() + quota.window])

    def test_shared_quotas_are_all_or_nothing(self, store: Store, clock: ManualClock) -> None:
        wide, narrow = Quota("total", 3), Quota("address:a", 1)
        assert not isinstance(run(store.count([wide, narrow], clock())), Denied)
        for _ in range(5):
            assert isinstance(run(store.count([wide, narrow], clock())), Denied)
            assert isinstance(run(store.count([narrow, wide], clock())), Denied)
        assert not isinstance(run(store.count([wide], clock())), Denied)
        assert not isinstance(run(store.count([wide], clock())), Denied)
        assert isinstance(run(store.count([wide], clock())), Denied)

    def test_empty_quotas_count_nothing(self, store: Store, clock: ManualClock) -> None:
        assert run(store.count([], clock())) == Counted([])
        run(store.uncount([], [], clock()))

    def test_refunded_count_can_be_used_again(self, store: Store, clock: ManualClock) -> None:
        quotas = [Quota("total", 2), Quota("address:a", 1)]
        windows = self.windows(store.count(quotas, clock()))
        assert not isinstance(windows, Denied)
        run(store.uncount(quotas, windows, clock()))
        assert not isinstance(run(store.count(quotas, clock())), Denied)
        assert isinstance(run(store.count(quotas, clock())), Denied)
        assert not isinstance(run(store.count(quotas[:1], clock())), Denied)

    def test_refund_does_not_affect_a_later_window(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("address:a", 1)
        windows = self.windows(store.count([quota], clock()))
        assert not isinstance(windows, Denied)
        clock.move(3600)
        run(store.count([quota], clock()))
        run(store.uncount([quota], windows, clock()))
        assert isinstance(run(store.count([quota], clock())), Denied)

    def test_refund_never_exceeds_the_count(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("address:a", 1)
        windows = self.windows(store.count([quota], clock()))
        assert not isinstance(windows, Denied)
        for _ in range(3):
            run(store.uncount([quota], windows, clock()))
        assert not isinstance(run(store.count([quota], clock())), Denied)
        assert isinstance(run(store.count([quota], clock())), Denied)

    # Opening.

    def test_phone_quota_is_exact_across_all_other_fields(self, store: Store, clock: ManualClock) -> None:
        quota, ends_at = Quota("sends:p", 2), clock() + timedelta(hours=1)
        first, second = opening(), opening(purpose="signup", binding=OTHER_BINDING, channel=Channel.VOICE)
        assert isinstance(run(store.open(first, [quota], LIMITS, clock())), Verification)
        clock.move(10)
        assert isinstance(run(store.open(second, [quota], LIMITS, clock())), Verification)
        third = opening(plan=CALL)
        assert run(store.open(third, [quota], LIMITS, clock())) == Denied(DenialReason.QUOTA, ends_at - clock())
        assert run(store.get(third.id, clock())) is None
        clock.move(3590)
        assert isinstance(run(store.open(third, [quota], LIMITS, clock())), Verification)

    def test_refused_start_counts_nothing_and_ends_nothing(self, store: Store, clock: ManualClock) -> None:
        live = self.open(store, clock)
        one, none = Quota("sends:p", 2), Quota("sends:q", 1)
        assert isinstance(run(store.open(opening(), [one, none], LIMITS, clock())), Verification)
        refused = run(store.open(opening(shown=[BINDING]), [one, none], LIMITS, clock()))
        assert isinstance(refused, Denied)
        assert isinstance(run(store.open(opening(), [one], LIMITS, clock())), Verification)
        assert (found := run(store.get(live.id, clock())))
        assert found.open

    def test_start_cancels_only_its_browsers_open_one(self, store: Store, clock: ManualClock) -> None:
        mine = self.open(store, clock)
        others = [
            self.open(store, clock, binding=OTHER_BINDING),
            self.open(store, clock, purpose="signup"),
            self.open(store, clock, service="shop"),
            self.open(store, clock, OTHER_PHONE),
        ]
        clock.move(1)
        self.open(store, clock, binding=b"n" * 32, shown=[b"u" * 32, BINDING])
        assert (found := run(store.get(mine.id, clock())))
        assert (found.status, found.closed_at) == (Status.CANCELLED, clock())
        assert all((record := run(store.get(other.id, clock()))) and record.open for other in others)

    def test_start_changes_no_ended_record(self, store: Store, clock: ManualClock) -> None:
        done, late = self.open(store, clock), self.open(store, clock)
        self.spend(store, clock, done, RIGHT)
        clock.move(300)
        self.open(store, clock, shown=[BINDING])
        assert (found := run(store.get(done.id, clock())))
        assert found.status is Status.VERIFIED
        assert (found := run(store.get(late.id, clock())))
        assert (found.state, found.closed_at) == (Status.EXPIRED, None)

    def test_too_many_failures_stop_starts_for_an_hour(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(3)
        self.fail(store, clock, 3, limits)
        clock.move(600)
        order = opening(binding=OTHER_BINDING, channel=Channel.VOICE)
        refused = run(store.open(order, [], limits, clock()))
        assert refused == Denied(DenialReason.FAILURES, FIRST_LOCK), "in whole hours"
        assert isinstance(run(store.open(opening(OTHER_PHONE), [], limits, clock())), Verification)
        assert isinstance(run(store.open(opening(budget=Budget.SIGNED_IN), [], limits, clock())), Verification)
        clock.move(3000)
        assert isinstance(run(store.open(order, [], limits, clock())), Verification)

    def test_ten_failures_lock_short_codes_only(self, store: Store, clock: ManualClock) -> None:
        self.fail(store, clock, 10)
        order = opening(plan=SHORT)
        refused = run(store.open(order, [Quota("sends:p", 1)], LIMITS, clock()))
        assert refused == Denied(DenialReason.SHORT_CODES_CLOSED, SHORT_REST)
        assert isinstance(run(store.open(opening(), [Quota("sends:p", 1)], LIMITS, clock())), Verification)
        refused = run(store.open(order, [Quota("sends:p", 1)], LIMITS, clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.QUOTA, "of several refusals the quota is told first"

    # Receipts.

    def test_receipt_never_resets_attempts_or_expiry(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        record = self.open(store, clock, id=order.id)
        self.spend(store, clock, record, WRONG)
        clock.move(100)
        more = replace(OURS, attempts=10, ttl=timedelta(seconds=600))
        attached = run(store.attach(order.id, attachment(order, plan=more), clock()))
        assert isinstance(attached, Verification)
        assert (attached.attempts_left, attached.expires_at) == (4, record.expires_at)
        less = replace(OURS, attempts=2, ttl=timedelta(seconds=60))
        attached = run(store.attach(order.id, attachment(order, plan=less, generation=2), clock()))
        assert isinstance(attached, Verification)
        assert (attached.attempts_left, attached.expires_at) == (2, clock() + timedelta(seconds=60))
        assert run(store.get(order.id, clock())) == attached

    def test_unclear_receipt_leaves_the_status(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        unclear = attachment(order, status=Status.PENDING)
        for receipt, status in [(unclear, Status.PENDING), (attachment(order), Status.SENT), (unclear, Status.SENT)]:
            attached = run(store.attach(order.id, receipt, clock()))
            assert isinstance(attached, Verification)
            assert attached.status is status

    @pytest.mark.parametrize("status", [Status.CANCELLED, Status.VERIFIED, Status.FAILED, None])
    def test_late_receipt_changes_nothing(self, store: Store, clock: ManualClock, status: Status | None) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        if status is not None:
            run(store.settle(order.id, status, clock()))
        clock.move(300)
        before = run(store.get(order.id, clock()))
        refused = run(store.attach(order.id, attachment(order, reference="late"), clock()))
        assert refused == Denied(DenialReason.CLOSED, record=before)
        assert run(store.get(order.id, clock())) == before

    def test_receipt_overtaken_by_a_resend_changes_nothing(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        late = attachment(order, generation=2, sends=2, reference="slow")
        # The number of the send shows which came last, whatever its generation.
        last = attachment(order, generation=2, sends=3, code_digest=b"2" * 32)
        newer = run(store.attach(order.id, last, clock()))
        assert run(store.attach(order.id, late, clock())) == newer
        assert run(store.get(order.id, clock())) == newer

    def test_pair_verified_without_reference_rests(self, store: Store, clock: ManualClock) -> None:
        def starts(**changes: Any) -> bool:
            shown = changes.pop("shown", ())
            order = opening(plan=CALL, binding=b"n" * 32, **changes)
            record = run(store.open(order, [], LIMITS, clock()))
            assert isinstance(record, Verification)
            attached = run(store.attach(order.id, attachment(order, line=LINE, shown=shown), clock()))
            run(store.settle(order.id, Status.CANCELLED, clock()))
            return isinstance(attached, Verification)

        first = self.claim_on(store, clock, LINE, subject="s" * 22)
        proven = self.call(store, clock, first, IncomingCall(None, LINE, PHONE))
        assert proven is not None
        assert proven.by_pair
        clock.move(LINE_REST.total_seconds())
        assert not starts(), "the provider may repeat its webhook"
        assert not starts(subject="t" * 22)
        assert starts(phone=OTHER_PHONE)
        assert starts(shown=[BINDING]), "the browser that was proved"
        clock.move(LINE_REST.total_seconds())
        assert starts(trusted=True), "a trusted device"
        clock.move(LINE_REST.total_seconds())
        assert starts(subject="s" * 22), "the same user"
        clock.move(PAIR_REST.total_seconds() - 3 * LINE_REST.total_seconds() - 0.000001)
        assert not starts(), "ten minutes long"

    def test_pair_is_free_after_its_rest(self, store: Store, clock: ManualClock) -> None:
        first = self.claim_on(store, clock, LINE)
        assert self.call(store, clock, first, IncomingCall(None, LINE, PHONE))
        clock.move(PAIR_REST.total_seconds())
        assert self.claim_on(store, clock, LINE, binding=OTHER_BINDING).open

    def test_reference_leaves_the_pair_a_minute(self, store: Store, clock: ManualClock) -> None:
        first = self.claim_on(store, clock, LINE)
        assert self.call(store, clock, first, IncomingCall("ref", LINE, PHONE))
        clock.move(LINE_REST.total_seconds())
        assert self.claim_on(store, clock, LINE, binding=OTHER_BINDING).open

    def test_two_claims_of_a_phone_never_share_a_line(self, store: Store, clock: ManualClock) -> None:
        first = self.claim_on(store, clock, LINE)
        order = opening(plan=CALL, binding=OTHER_BINDING, purpose="signup")
        run(store.open(order, [], LIMITS, clock()))
        refused = run(store.attach(order.id, attachment(order, line=LINE), clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.LINE_TAKEN
        assert refused.record is not None
        assert (refused.record.status, refused.record.closed_at) == (Status.FAILED, clock())
        assert run(store.get(order.id, clock())) == refused.record
        assert (found := run(store.get(first.id, clock())))
        assert found.open

    def test_other_phones_and_other_lines_are_free(self, store: Store, clock: ManualClock) -> None:
        self.claim_on(store, clock, LINE)
        assert self.claim_on(store, clock, LINE, phone=OTHER_PHONE).line == LINE
        assert self.claim_on(store, clock, OTHER_LINE).line == OTHER_LINE

    def test_claim_may_get_its_line_again(self, store: Store, clock: ManualClock) -> None:
        order = opening(plan=CALL)
        run(store.open(order, [], LIMITS, clock()))
        for sends in (1, 1, 2):
            again = attachment(order, line=LINE, generation=sends, sends=sends)
            assert isinstance(run(store.attach(order.id, again, clock())), Verification)

    @pytest.mark.parametrize("closed", [True, False])
    def test_released_line_rests_a_minute(self, store: Store, clock: ManualClock, closed: bool) -> None:
        first = self.claim_on(store, clock, LINE)
        if closed:
            run(store.settle(first.id, Status.CANCELLED, clock()))
        else:
            clock.move(LIFE.total_seconds())
        clock.move(LINE_REST.total_seconds() - 0.000001)
        order = opening(plan=CALL, binding=OTHER_BINDING)
        run(store.open(order, [], LIMITS, clock()))
        refused = run(store.attach(order.id, attachment(order, line=LINE), clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.LINE_TAKEN
        clock.move(0.000001)
        assert self.claim_on(store, clock, LINE, binding=OTHER_BINDING).open

    def test_line_released_by_a_resend_rests_a_minute(self, store: Store, clock: ManualClock) -> None:
        first = opening(plan=CALL)
        run(store.open(first, [], LIMITS, clock()))
        run(store.attach(first.id, attachment(first, line=LINE), clock()))
        moved = attachment(first, line=OTHER_LINE, generation=2, sends=2)
        assert isinstance(run(store.attach(first.id, moved, clock())), Verification)
        clock.move(LINE_REST.total_seconds() - 0.000001)
        order = opening(plan=CALL, binding=OTHER_BINDING)
        run(store.open(order, [], LIMITS, clock()))
        refused = run(store.attach(order.id, attachment(order, line=LINE), clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.LINE_TAKEN
        clock.move(0.000001)
        assert self.claim_on(store, clock, LINE, binding=OTHER_BINDING).open

    # A code and a claim side by side.

    def open_both(self, store: Store, clock: ManualClock, *, code_first: bool = True, **changes: Any) -> Verification:
        """Open a verification with a live code and a live claim on `LINE` with the reference `ref`."""
        order = opening(plan=OURS if code_first else CALL, **changes)
        assert isinstance(run(store.open(order, [], LIMITS, clock())), Verification)
        by_code = attachment(order, plan=OURS, channel=Channel.SMS, code_digest=RIGHT, code_length=6, reference="sms")
        by_call = attachment(
            order, plan=CALL, channel=Channel.INBOUND_CALL, driver="caller", line=LINE, reference="ref", generation=9
        )
        for sends, receipt in enumerate([by_code, by_call] if code_first else [by_call, by_code], 1):
            attached = run(store.attach(order.id, replace(receipt, sends=sends), clock()))
        assert isinstance(attached, Verification)
        return attached

    @pytest.mark.parametrize("code_first", [True, False])
    def test_code_and_claim_live_side_by_side(self, store: Store, clock: ManualClock, code_first: bool) -> None:
        record = self.open_both(store, clock, code_first=code_first)
        assert claim_of(record) == Claim("caller", "ref", LINE, 2 if code_first else 1)
        assert (record.driver, record.reference, record.code_digest, record.code_length) == ("fake", "sms", RIGHT, 6)
        assert record.channel is (Channel.INBOUND_CALL if code_first else Channel.SMS)
        assert record.channel_of_code is Channel.SMS
        assert served_by(record) == (record.channel, "caller" if code_first else "fake")
        assert (record.generation, number_to_call(record)) == (1, LINE)
        assert run(store.get(record.id, clock())) == record

    @pytest.mark.parametrize("code_first", [True, False])
    @pytest.mark.parametrize("reference", ["ref", None])
    def test_either_a_code_or_a_call_verifies(
        self, store: Store, clock: ManualClock, code_first: bool, reference: str | None
    ) -> None:
        record = self.open_both(store, clock, code_first=code_first)
        spent = self.spend(store, clock, record, RIGHT)
        assert isinstance(spent, Spent)
        assert (spent.verified, spent.record.assurance) == (True, Assurance.CODE)
        assert served_by(spent.record) == (Channel.SMS, "fake")
        event = IncomingCall(reference, None if reference else LINE, PHONE)
        assert self.call(store, clock, record, event, "caller") is None, "closed by the code"
        clock.move(PAIR_REST.total_seconds())
        record = self.open_both(store, clock, code_first=code_first)
        assert self.call(store, clock, record, event) is None, "the driver of the code"
        called = self.call(store, clock, record, event, "caller")
        assert called is not None
        assert (called.state, called.assurance) == (Status.VERIFIED, Assurance.CALLER_ID)
        assert (called.by_pair, served_by(called)) == (reference is None, (Channel.INBOUND_CALL, "caller"))
        assert run(store.get(record.id, clock())) == called
        refused = self.spend(store, clock, record, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED

    def test_new_code_voids_the_old_one_beside_a_claim(self, store: Store, clock: ManualClock) -> None:
        record = self.open_both(store, clock)
        again = attachment(opening(id=record.id), code_digest=b"2" * 32, generation=2, sends=3)
        attached = run(store.attach(record.id, again, clock()))
        assert isinstance(attached, Verification)
        assert (attached.channel, attached.channel_of_code) == (Channel.SMS, Channel.SMS)
        assert claim_of(attached) == claim_of(record)
        assert not self.verified(self.spend(store, clock, record, RIGHT))
        assert self.verified(self.spend(store, clock, record, b"2" * 32))

    def verified(self, answer: Spent | Denied) -> bool:
        """Return whether an answer verified its record."""
        return isinstance(answer, Spent) and answer.verified

    def test_code_and_claim_share_attempts_and_expiry(self, store: Store, clock: ManualClock) -> None:
        record = self.open_both(store, clock)
        clock.move(10)
        less = replace(CALL, attempts=2, ttl=timedelta(seconds=60))
        moved = attachment(opening(id=record.id), plan=less, driver="caller", line=LINE, reference="ref", sends=3)
        attached = run(store.attach(record.id, moved, clock()))
        assert isinstance(attached, Verification)
        assert (attached.attempts_left, attached.expires_at) == (2, clock() + timedelta(seconds=60))
        for _ in range(2):
            self.spend(store, clock, record, WRONG)
        assert self.call(store, clock, record, IncomingCall("ref", LINE, PHONE), "caller") is None, "exhausted"

    def test_claim_beside_a_code_is_found_and_polled(self, store: Store, clock: ManualClock) -> None:
        record = self.open_both(store, clock)
        found = run(store.find("caller", record.tag, "ref", clock()))
        assert found is not None
        assert found.id == record.id
        assert run(store.find("fake", record.tag, "sms", clock())) is None, "the order of the code"
        assert run(store.may_poll(record.id, BINDING, clock()))
        run(store.settle(record.id, Status.CANCELLED, clock()))
        assert run(store.find("caller", record.tag, "ref", clock())) is None
        assert not run(store.may_poll(record.id, BINDING, clock()))

    @pytest.mark.parametrize("ended", [None, "code", "call", "moved"])
    def test_line_beside_a_code_is_reserved_and_rests(
        self, store: Store, clock: ManualClock, ended: str | None
    ) -> None:
        record, rest = self.open_both(store, clock), LINE_REST
        if ended == "code":
            self.spend(store, clock, record, RIGHT)
            rest = PAIR_REST
        elif ended == "call":
            self.call(store, clock, record, IncomingCall(None, LINE, PHONE), "caller")
            rest = PAIR_REST
        elif ended == "moved":
            other = attachment(opening(id=record.id), plan=CALL, line=OTHER_LINE, sends=3)
            run(store.attach(record.id, other, clock()))

        def taken() -> bool:
            order = opening(plan=CALL, binding=OTHER_BINDING)
            run(store.open(order, [], LIMITS, clock()))
            attached = run(store.attach(order.id, attachment(order, line=LINE), clock()))
            return isinstance(attached, Denied) and attached.why is DenialReason.LINE_TAKEN

        clock.move(rest.total_seconds() - 0.000001)
        assert taken()
        clock.move(0.000001)
        assert taken() is (ended is None)

    def test_line_of_a_replaced_held_back_code_rests(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        run(store.open(order, [], LIMITS, clock()))
        run(store.attach(order.id, attachment(order, line=OTHER_LINE), clock()))
        by_call = attachment(order, plan=CALL, line=LINE, sends=2)
        held = run(store.attach(order.id, by_call, clock()))
        assert isinstance(held, Verification)
        assert (held.line, held.claim_line, held.released_lines) == (OTHER_LINE, LINE, "")
        run(store.attach(order.id, attachment(order, generation=2, sends=3), clock()))
        with pytest.raises(AssertionError):
            self.claim_on(store, clock, OTHER_LINE, binding=OTHER_BINDING)
        clock.move(LINE_REST.total_seconds())
        assert self.claim_on(store, clock, OTHER_LINE, binding=OTHER_BINDING).open

    @pytest.mark.parametrize("code_first", [True, False])
    def test_taken_line_leaves_the_other_method_live(self, store: Store, clock: ManualClock, code_first: bool) -> None:
        self.claim_on(store, clock, OTHER_LINE, binding=OTHER_BINDING)
        order = opening(plan=OURS if code_first else CALL)
        run(store.open(order, [], LIMITS, clock()))
        before = run(store.attach(order.id, attachment(order, line=None if code_first else LINE), clock()))
        assert isinstance(before, Verification)
        other = attachment(order, plan=CALL if code_first else OURS, line=OTHER_LINE, sends=2)
        refused = run(store.attach(order.id, other, clock()))
        assert refused == Denied(DenialReason.LINE_TAKEN, record=before)
        assert run(store.get(order.id, clock())) == before

    def test_expired_claim_does_not_close_a_live_code(self, store: Store, clock: ManualClock) -> None:
        record = self.open_both(store, clock, code_first=False)
        assert run(store.settle(record.id, Status.EXPIRED, clock(), record.generation)) is False
        assert self.verified(self.spend(store, clock, record, RIGHT))

    def test_late_receipt_of_the_other_kind_is_attached(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        self.open(store, clock, id=order.id)
        by_call = attachment(order, plan=CALL, channel=Channel.INBOUND_CALL, line=LINE, sends=2)
        run(store.attach(order.id, attachment(order, sends=3), clock()))
        attached = run(store.attach(order.id, by_call, clock()))
        assert isinstance(attached, Verification)
        assert (attached.channel, number_to_call(attached)) == (Channel.SMS, LINE)
        older = run(store.attach(order.id, replace(by_call, sends=1, line=OTHER_LINE), clock()))
        assert older == attached
        other = opening(plan=CALL, phone=OTHER_PHONE)
        run(store.open(other, [], LIMITS, clock()))
        run(store.attach(other.id, attachment(other, line=LINE, sends=3), clock()))
        by_code = attachment(other, plan=OURS, channel=Channel.SMS, code_digest=RIGHT, code_length=6, sends=2)
        attached = run(store.attach(other.id, by_code, clock()))
        assert isinstance(attached, Verification)
        assert (attached.channel, attached.channel_of_code) == (Channel.INBOUND_CALL, Channel.SMS)
        assert self.verified(self.spend(store, clock, attached, RIGHT))

    def test_report_of_an_old_send_closes_nothing(self, store: Store, clock: ManualClock) -> None:
        order = opening(plan=CALL)
        run(store.open(order, [], LIMITS, clock()))
        run(store.attach(order.id, attachment(order, line=LINE, generation=2, sends=2), clock()))
        assert run(store.settle(order.id, Status.EXPIRED, clock(), 1)) is False
        assert (found := run(store.get(order.id, clock())))
        assert found.open
        assert run(store.settle(order.id, Status.EXPIRED, clock(), 2)) is True

    def test_pair_rests_after_the_code_beside_it_verified(self, store: Store, clock: ManualClock) -> None:
        def starts(**changes: Any) -> bool:
            order = opening(plan=CALL, binding=OTHER_BINDING)
            run(store.open(order, [], LIMITS, clock()))
            attached = run(store.attach(order.id, attachment(order, line=LINE, **changes), clock()))
            run(store.settle(order.id, Status.CANCELLED, clock()))
            return isinstance(attached, Verification)

        record = self.open_both(store, clock, code_first=True)
        assert self.verified(self.spend(store, clock, record, RIGHT))
        clock.move(LINE_REST.total_seconds())
        assert not starts(), "a call that was made as well would prove it"
        assert starts(shown=[record.binding])
        clock.move((PAIR_REST - LINE_REST).total_seconds())
        assert starts()

    def test_report_of_a_call_spares_an_order_in_flight(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        clock.move(61)
        assert isinstance(self.reopen(store, clock, record), Verification)
        assert run(store.settle(record.id, Status.EXPIRED, clock(), record.generation)) is False
        assert run(store.settle(record.id, Status.CANCELLED, clock())) is True

    def test_record_has_the_failures_of_phone_and_purpose(self, store: Store, clock: ManualClock) -> None:
        first, other = self.open(store, clock), self.open(store, clock, budget=Budget.SECOND_FACTOR)
        for count in (1, 2):
            spent = self.spend(store, clock, first, WRONG)
            assert isinstance(spent, Spent)
            assert failure_count(spent.record) == count
        second = self.open(store, clock, binding=OTHER_BINDING)
        for record, failures in ((first, 2), (second, 2), (other, 0)):
            assert (found := run(store.get(record.id, clock())))
            assert failure_count(found) == failures
        assert failure_count(second) == 2
        clock.move(FAILURE_MEMORY.total_seconds())
        assert failure_count(self.open(store, clock)) == 0

    def test_browser_holding_a_line_may_get_it_again(self, store: Store, clock: ManualClock) -> None:
        self.claim_on(store, clock, LINE)
        order = opening(plan=CALL, binding=OTHER_BINDING, shown=[BINDING])
        run(store.open(order, [], LIMITS, clock()))
        attached = run(store.attach(order.id, attachment(order, line=LINE, shown=[BINDING]), clock()))
        assert isinstance(attached, Verification)

    # Attempts.

    @pytest.mark.parametrize("sent", [True, False])
    def test_right_code_verifies_once(self, store: Store, clock: ManualClock, sent: bool) -> None:
        order = opening()
        record = self.open(store, clock, id=order.id)
        if sent:
            run(store.attach(order.id, attachment(order), clock()))
        clock.move(1)
        spent = run(store.spend(order.id, BINDING, [WRONG, RIGHT], 6, LIMITS, NOBODY, clock()))
        assert isinstance(spent, Spent)
        assert spent.answer is AttemptResult.RIGHT
        assert (spent.record.status, spent.record.closed_at) == (Status.VERIFIED, clock())
        assert spent.record.attempts_left == 4
        assert run(store.get(order.id, clock())) == spent.record
        again = self.spend(store, clock, record, RIGHT)
        assert again == Denied(DenialReason.CLOSED, record=spent.record)

    def test_wrong_codes_spend_the_attempts_and_then_close(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        for left in (4, 3, 2, 1, 0):
            spent = self.spend(store, clock, record, WRONG)
            assert isinstance(spent, Spent)
            assert (spent.answer, spent.record.attempts_left) == (AttemptResult.WRONG, left)
            assert (spent.record.status is Status.EXHAUSTED) == (left == 0)
            assert run(store.get(record.id, clock())) == spent.record
        refused = self.spend(store, clock, record, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED

    def test_refused_attempt_spends_nothing(self, store: Store, clock: ManualClock) -> None:
        record, call = self.open(store, clock), self.claim_on(store, clock, LINE)
        pending_told = self.open(store, clock, plan=TOLD)
        for digest in (RIGHT, WRONG):
            unbound = run(store.spend(record.id, OTHER_BINDING, [digest], 6, LIMITS, NOBODY, clock()))
            assert unbound == Denied(DenialReason.UNBOUND)
            for length in (0, 5, 7):
                refused = self.spend(store, clock, record, digest, length=length)
                assert refused == Denied(DenialReason.OTHER_LENGTH, record=record)
            for nothing in (call, pending_told):
                refused = self.spend(store, clock, nothing, digest)
                assert refused == Denied(DenialReason.NO_CODE, record=nothing)
        for untouched in (record, call, pending_told):
            assert run(store.get(untouched.id, clock())) == untouched
        order = opening(binding=OTHER_BINDING)
        assert isinstance(run(store.open(order, [], Limits(1), clock())), Verification), "no failure was counted"

    def test_code_expires_with_its_record(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        clock.move(300)
        refused = self.spend(store, clock, record, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED
        assert refused.record is not None
        assert refused.record.state is Status.EXPIRED

    def test_provider_code_takes_the_length_it_arrives_with(self, store: Store, clock: ManualClock) -> None:
        order = opening(plan=TOLD)
        self.open(store, clock, id=order.id, plan=TOLD)
        attached = run(store.attach(order.id, attachment(order, code_digest=RIGHT, code_length=4), clock()))
        assert isinstance(attached, Verification)
        refused = self.spend(store, clock, attached, RIGHT, length=5)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.OTHER_LENGTH
        spent = self.spend(store, clock, attached, RIGHT)
        assert isinstance(spent, Spent)
        assert spent.answer is AttemptResult.RIGHT

    # Remote codes.

    def test_remote_attempt_is_spent_before_the_check(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=REMOTE)
        spent = run(store.spend(record.id, BINDING, [], 6, Limits(2), NOBODY, clock()))
        assert isinstance(spent, Spent)
        assert (spent.answer, spent.record.attempts_left, spent.record.open) == (AttemptResult.TAKEN, 4, True)
        run(store.spend(record.id, BINDING, [], 6, Limits(2), NOBODY, clock()))
        refused = run(store.spend(record.id, BINDING, [], 6, Limits(2), NOBODY, clock()))
        assert isinstance(refused, Denied)
        assert (refused.why, refused.retry_after) == (DenialReason.FAILURES, FIRST_LOCK)

    def test_remote_code_attempts_run_out_while_open(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, attempts=2))
        for left in (1, 0):
            spent = run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
            assert isinstance(spent, Spent)
            assert (spent.answer, spent.record.attempts_left, spent.record.open) == (AttemptResult.TAKEN, left, True)
        refused = run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED
        judged = run(store.resolve_check(record.id, True, 1, NOBODY, clock()))
        assert judged is not None
        assert judged.verified, "the last one may have been right"

    @pytest.mark.parametrize("order", [(True, False, False), (False, True, False), (False, False, True)])
    def test_right_remote_answer_counts_at_any_time(
        self, store: Store, clock: ManualClock, order: tuple[bool, ...]
    ) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, attempts=3))
        for _ in order:
            run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        proven = []
        for right in order:
            judged = run(store.resolve_check(record.id, right, 1, NOBODY, clock()))
            assert judged is not None
            proven.append(judged.verified)
        assert proven == [*order]
        assert (found := run(store.get(record.id, clock())))
        assert (found.status, failure_count(found)) == (Status.VERIFIED, 0)
        assert run(store.redeem(record.id, BINDING, "", clock())) is not None

    def test_remote_code_is_verified_by_one_answer(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=REMOTE)
        for _ in range(2):
            run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        judged = [run(store.resolve_check(record.id, True, 1, NOBODY, clock())) for _ in range(2)]
        assert [one and one.verified for one in judged] == [True, False]

    def test_remote_code_is_exhausted_by_the_last_answer(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, attempts=2))
        for _ in range(2):
            run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        for right, status, failures in ((None, Status.PENDING, 1), (False, Status.EXHAUSTED, 1)):
            judged = run(store.resolve_check(record.id, right, 1, NOBODY, clock()))
            assert judged is not None
            assert (judged.record.status, failure_count(judged.record), judged.verified) == (status, failures, False)
            assert run(store.get(record.id, clock())) == judged.record
        late = run(store.resolve_check(record.id, True, 1, NOBODY, clock()))
        assert late is not None
        assert (late.record.status, late.verified) == (Status.EXHAUSTED, False), "nothing leaves a final state"

    def test_right_answer_to_a_voided_code_verifies_nothing(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, attempts=2))
        run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        receipt = attachment(opening(plan=REMOTE), generation=2)
        assert isinstance(run(store.attach(record.id, receipt, clock())), Verification)
        run(store.spend(record.id, BINDING, [], 6, LIMITS, NOBODY, clock()))
        for right in (True, False):
            dead = run(store.resolve_check(record.id, right, 1, NOBODY, clock()))
            assert dead is not None
            assert (dead.record.open, dead.verified) == (True, False)
        clock.move(LIFE.total_seconds())
        over = run(store.resolve_check(record.id, True, 2, NOBODY, clock()))
        assert over is not None
        assert over.verified is False

    def test_unchecked_attempt_is_no_failure_but_stays_spent(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=REMOTE)
        for left in (4, 3, 2):
            spent = run(store.spend(record.id, BINDING, [], 6, Limits(1), NOBODY, clock()))
            assert isinstance(spent, Spent)
            assert spent.record.attempts_left == left
            judged = run(store.resolve_check(record.id, None, 1, NOBODY, clock()))
            assert judged is not None
            assert (judged.verified, judged.record.attempts_left, failure_count(judged.record)) == (False, left, 0)
        self.fail(store, clock, 2)
        run(store.resolve_check(record.id, None, 1, NOBODY, clock()))
        assert isinstance(run(store.open(opening(), [], Limits(2), clock())), Verification)
        assert isinstance(run(store.open(opening(), [], Limits(1), clock())), Denied)

    # Failures in a row.

    def test_failures_add_up_across_verifications(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(4)
        records = [
            self.open(store, clock),
            self.open(store, clock, binding=OTHER_BINDING),
            self.open(store, clock, channel=Channel.VOICE),
            self.open(store, clock, plan=SHORT),
        ]
        other = self.open(store, clock, budget=Budget.SIGNED_IN, purpose="confirm")
        elsewhere = self.open(store, clock, OTHER_PHONE)
        records.append(self.open(store, clock, purpose="signup"))
        records.pop(0)
        for record in records:
            assert isinstance(self.spend(store, clock, record, WRONG, limits), Spent)
        for record in records:
            refused = self.spend(store, clock, record, RIGHT, limits)
            assert isinstance(refused, Denied)
            assert (refused.why, refused.retry_after) == (DenialReason.FAILURES, FIRST_LOCK)
            assert refused.record is not None
            assert refused.record.attempts_left == record.attempts_left - 1
        assert isinstance(self.spend(store, clock, other, WRONG, limits), Spent)
        assert isinstance(self.spend(store, clock, elsewhere, RIGHT, limits), Spent)

    def test_ten_failures_stop_an_open_short_code(self, store: Store, clock: ManualClock) -> None:
        short, long = self.open(store, clock, plan=SHORT), self.open(store, clock)
        self.fail(store, clock, 10)
        refused = self.spend(store, clock, short, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.SHORT_CODES_CLOSED
        assert isinstance(self.spend(store, clock, long, RIGHT), Spent)

    def test_refused_attempts_do_not_prolong_the_lock(self, store: Store, clock: ManualClock) -> None:
        self.fail(store, clock, 2, Limits(2))
        for _ in range(3):
            clock.move(1100)
            assert self.locked_for(store, clock, Limits(2)) == FIRST_LOCK
        clock.move(300)
        spent = self.spend(store, clock, self.open(store, clock), WRONG, Limits(2))
        assert isinstance(spent, Spent)
        assert spent.failures is not None
        assert spent.failures.count == 1, "after a lock the count starts again"

    def test_failures_count_up_over_days_without_a_success(self, store: Store, clock: ManualClock) -> None:
        for _ in range(3):
            self.fail(store, clock, 1, Limits(3))
            clock.move(FAILURE_MEMORY.total_seconds() - 1)
        self.fail(store, clock, 2, Limits(3))
        assert self.locked_for(store, clock, Limits(3)) is None, "the third started a lock, long over"
        clock.move(FAILURE_MEMORY.total_seconds())
        self.fail(store, clock, 2, Limits(3))
        assert self.locked_for(store, clock, Limits(3)) is None, "thirty days without a failure forget all"

    def test_locks_grow_until_a_success(self, store: Store, clock: ManualClock) -> None:
        limits, hours = Limits(2), []
        for _ in range(7):
            self.fail(store, clock, 2, limits)
            lock = self.locked_for(store, clock, limits)
            assert lock is not None
            hours.append(lock // timedelta(hours=1))
            clock.move(lock.total_seconds())
        assert hours == [1, 2, 4, 8, 16, 24, 24]
        assert timedelta(hours=24) == LONGEST_LOCK
        assert isinstance(self.spend(store, clock, self.open(store, clock), RIGHT, limits), Spent)
        self.fail(store, clock, 2, limits)
        assert self.locked_for(store, clock, limits) == FIRST_LOCK

    def test_ceiling_closes_until_a_trusted_success(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(3, ceiling=5)
        self.fail(store, clock, 3, limits)
        clock.move(FIRST_LOCK.total_seconds())
        self.fail(store, clock, 2, limits)
        clock.move((FAILURE_MEMORY * 3).total_seconds())
        assert self.locked_for(store, clock, limits) == LONGEST_LOCK
        assert self.locked_for(store, clock, limits, trusted=True) is None
        self.spend(store, clock, self.open(store, clock, trusted=True), RIGHT, limits)
        assert self.locked_for(store, clock, limits) is None

    def test_trusted_success_leaves_a_growing_lock(self, store: Store, clock: ManualClock) -> None:
        self.fail(store, clock, 3, Limits(3))
        self.spend(store, clock, self.open(store, clock, trusted=True), RIGHT, Limits(3))
        assert self.locked_for(store, clock, Limits(3)) == FIRST_LOCK, "an owner's success is no second chance"

    def test_test_number_failures_are_never_forgotten(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(4)
        number: dict[str, Any] = {"budget": Budget.TEST_NUMBER}
        self.fail(store, clock, 2, limits, **number)
        for trusted in (False, True):
            answer = self.spend(store, clock, self.open(store, clock, trusted=trusted, **number), RIGHT, limits)
            assert isinstance(answer, Spent)
            assert answer.answer is AttemptResult.RIGHT
        clock.move((FAILURE_MEMORY * 5).total_seconds())
        self.fail(store, clock, 2, limits, trusted=True, purpose="signup", **number)
        clock.move((FAILURE_MEMORY * 5).total_seconds())
        for trusted in (False, True):
            told = self.locked_for(store, clock, limits, trusted=trusted, **number)
            assert told == FIRST_LOCK, "as for every number"

    def test_unlock_drops_every_lock(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(2, ceiling=2)
        budgets: list[dict[str, Any]] = [
            {"budget": budget, "trusted": trusted} for budget in Budget for trusted in (False, True)
        ]
        for one in budgets:
            if self.locked_for(store, clock, limits, **one) is None:
                self.fail(store, clock, 2, limits, **one)
        self.fail(store, clock, 2, limits, phone=OTHER_PHONE)
        assert run(store.unlock(_keyring.tag(PHONE), clock())) is True
        assert [self.locked_for(store, clock, limits, **one) for one in budgets] == [None] * len(budgets)
        assert run(store.unlock(_keyring.tag(PHONE), clock())) is False
        assert self.locked_for(store, clock, limits, phone=OTHER_PHONE) is not None
        assert clock() < FOREVER

    # Wrong answers over all phones.

    def test_wrong_answers_are_tallied_for_a_day(self, store: Store, clock: ManualClock) -> None:
        self.fail(store, clock, 3)
        self.fail(store, clock, 2, plan=SHORT)
        self.fail(store, clock, 4, trusted=True)
        self.fail(store, clock, 1, plan=replace(OURS, code_length=8))
        assert self.tally(store, clock) == Tally(short=2, long=3)
        clock.move(24 * 3600)
        assert self.tally(store, clock) == Tally(short=2, long=3), "none leaves it within a day"
        self.fail(store, clock, 1, plan=SHORT)
        clock.move(3600)
        assert self.tally(store, clock) == Tally(short=1)
        clock.move(24 * 3600)
        assert self.tally(store, clock) == Tally()

    def test_one_address_adds_three_an_hour(self, store: Store, clock: ManualClock) -> None:
        def guess(address: str | None) -> None:
            record, limits = self.open(store, clock, plan=SHORT), Limits(1000, short_failures=1000)
            run(store.spend(record.id, BINDING, [WRONG], 4, limits, Answering(address), clock()))

        for _ in range(5):
            guess("wrong:one")
        assert self.tally(store, clock).short == 3
        guess("wrong:two")
        guess(None)
        assert self.tally(store, clock).short == 5
        clock.move(3600)
        guess("wrong:one")
        assert self.tally(store, clock).short == 6

    def test_right_answer_takes_back_its_own_wrong_ones(self, store: Store, clock: ManualClock) -> None:
        answering = Answering("wrong:one")
        record = self.open(store, clock, plan=SHORT)
        for digest in (WRONG, WRONG):
            run(store.spend(record.id, BINDING, [digest], 4, LIMITS, answering, clock()))
        self.fail(store, clock, 1, plan=SHORT)
        assert self.tally(store, clock).short == 3
        run(store.spend(record.id, BINDING, [RIGHT], 4, LIMITS, answering, clock()))
        assert self.tally(store, clock).short == 1
        gate = Quota("wrong:one", 1, gate=True)
        assert not isinstance(run(store.count([gate], clock())), Denied), "and those of the address"

    def test_mistakes_of_one_address_are_no_credit_for_another(self, store: Store, clock: ManualClock) -> None:
        gate = Quota("wrong:two", 1, gate=True)
        for _ in range(3):
            record = self.open(store, clock, plan=SHORT)
            run(store.spend(record.id, BINDING, [WRONG], 4, LIMITS, Answering("wrong:one"), clock()))
            run(store.spend(record.id, BINDING, [RIGHT], 4, LIMITS, Answering("wrong:two"), clock()))
        assert self.tally(store, clock) == Tally()
        record = self.open(store, clock, plan=SHORT)
        run(store.spend(record.id, BINDING, [WRONG], 4, LIMITS, Answering("wrong:two"), clock()))
        assert isinstance(run(store.count([gate], clock())), Denied)

    def test_long_window_reports_its_end(self, store: Store, clock: ManualClock) -> None:
        years = Quota("q", 1, timedelta(days=3650))
        self.windows(store.count([years], clock()))
        assert run(store.count([years], clock())) == Denied(DenialReason.QUOTA, timedelta(days=3650))

    def test_right_answers_are_written_in_batches(self, store: Store, clock: ManualClock) -> None:
        for rights in (0, 16):
            record = self.open(store, clock)
            run(store.spend(record.id, BINDING, [RIGHT], 6, LIMITS, Answering(None, rights), clock()))
        assert self.tally(store, clock) == Tally(right=16)

    def test_address_with_many_wrong_answers_is_refused(self, store: Store, clock: ManualClock) -> None:
        limits, answering = Limits(1000, per_address=4), Answering("wrong:one")
        records = [self.open(store, clock, OTHER_PHONE if n % 2 else PHONE) for n in range(4)]
        last, trusted = self.open(store, clock), self.open(store, clock, trusted=True)
        for record in records:
            answer = run(store.spend(record.id, BINDING, [WRONG], 6, limits, answering, clock()))
            assert isinstance(answer, Spent)
        clock.move(60)
        refused = run(store.spend(last.id, BINDING, [RIGHT], 6, limits, answering, clock()))
        assert isinstance(refused, Denied)
        assert (refused.why, refused.retry_after) == (DenialReason.QUOTA, timedelta(minutes=59))
        for record in (last, trusted):
            address = answering if record.trusted else Answering("wrong:two")
            answer = run(store.spend(record.id, BINDING, [RIGHT], 6, limits, address, clock()))
            assert isinstance(answer, Spent)

    def test_short_codes_close_for_sign_in_when_sprayed(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(1000, short_failures=1000, short_per_day=3)
        self.fail(store, clock, 3, limits, phone=OTHER_PHONE, plan=SHORT)
        refused = self.spend(store, clock, self.open(store, clock, plan=SHORT), RIGHT, limits)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.SHORT_CODES_CLOSED
        stays_open: list[dict[str, Any]] = [
            {"trusted": True},
            *({"budget": b} for b in Budget if not b.is_of_sign_in),
        ]
        for changes in stays_open:
            record = self.open(store, clock, plan=SHORT, **changes)
            assert isinstance(self.spend(store, clock, record, RIGHT, limits), Spent)
        assert isinstance(self.spend(store, clock, self.open(store, clock), RIGHT, limits), Spent), "six digits"
        many_right = Answering(None, 500)
        record = self.open(store, clock)
        run(store.spend(record.id, BINDING, [RIGHT], 6, limits, many_right, clock()))
        answer = self.spend(store, clock, self.open(store, clock, plan=SHORT), RIGHT, limits)
        assert isinstance(answer, Spent), "three in five hundred are no spray"

    def test_mistake_at_the_spray_limit_can_be_corrected(self, store: Store, clock: ManualClock) -> None:
        limits = Limits(1000, short_failures=1000, short_per_day=2)
        record = self.open(store, clock)
        run(store.spend(record.id, BINDING, [RIGHT], 6, limits, Answering(None, 150), clock()))
        self.fail(store, clock, 2, limits, phone=OTHER_PHONE, plan=SHORT)
        mistaken, other = self.open(store, clock, plan=SHORT), self.open(store, clock, plan=SHORT)
        assert isinstance(self.spend(store, clock, mistaken, WRONG, limits), Spent)
        assert isinstance(self.spend(store, clock, other, RIGHT, limits), Denied)
        assert isinstance(self.spend(store, clock, mistaken, RIGHT, limits), Spent), "its own is taken back"
        assert self.tally(store, clock).short == 2
        assert isinstance(self.spend(store, clock, other, RIGHT, limits), Spent)

    def test_remote_answers_are_tallied_when_resolved(self, store: Store, clock: ManualClock) -> None:
        answering = Answering("wrong:one", 16)
        record = self.open(store, clock, plan=REMOTE)
        for right, tally in ((False, Tally(long=1)), (None, Tally(long=1)), (True, Tally(right=16))):
            run(store.spend(record.id, BINDING, [], 6, LIMITS, answering, clock()))
            run(store.resolve_check(record.id, right, 1, answering, clock()))
            assert self.tally(store, clock) == tally

    # Undone quotas, and gates.

    def test_gate_is_compared_and_not_counted(self, store: Store, clock: ManualClock) -> None:
        gate, quota = Quota("g", 2, gate=True), Quota("q", 9)
        for _ in range(3):
            assert not isinstance(run(store.count([gate, quota], clock())), Denied)
        for _ in range(2):
            windows = self.windows(store.count([replace(gate, gate=False)], clock()))
        refused = run(store.count([gate, quota], clock()))
        assert refused == Denied(DenialReason.QUOTA, windows[0] - clock())
        rest = sum(not isinstance(run(store.count([quota], clock())), Denied) for _ in range(9))
        assert rest == 6, "what a gate refuses counts nothing"

    def test_uncount_leaves_gates_alone(self, store: Store, clock: ManualClock) -> None:
        windows = self.windows(store.count([Quota("g", 1)], clock()))
        quotas = [Quota("g", 1, gate=True), Quota("q", 1)]
        run(store.uncount(quotas, [*windows, clock()], clock()))
        assert isinstance(run(store.count(quotas, clock())), Denied)

    @pytest.mark.parametrize("shared", [False, True])
    def test_wait_for_others_is_in_whole_hours(self, store: Store, clock: ManualClock, shared: bool) -> None:
        def wait(quota: Quota) -> timedelta | None:
            if shared:
                answer: object = run(store.count([quota], clock()))
            else:
                answer = run(store.open(opening(), [quota], LIMITS, clock()))
            return answer.retry_after if isinstance(answer, Denied) else None

        assert wait(Quota("q", 1)) is None
        clock.move(100)
        assert wait(Quota("q", 1)) == timedelta(seconds=3500)
        assert wait(Quota("q", 1, others=True)) == timedelta(hours=1)

    def test_refund_returns_what_a_start_counted(self, store: Store, clock: ManualClock) -> None:
        quotas = [Quota("sends:p", 1), Quota("sends:p:own", 1)]
        first = run(store.open(opening(), quotas, LIMITS, clock()))
        assert isinstance(first, Verification)
        run(store.refund(first.id, quotas, first.read_at, clock()))
        second = run(store.open(opening(), quotas, LIMITS, clock()))
        assert isinstance(second, Verification)
        clock.move(3600)
        third = run(store.open(opening(), quotas, LIMITS, clock()))
        assert isinstance(third, Verification)
        run(store.refund(second.id, quotas, second.read_at, clock()))
        assert isinstance(run(store.open(opening(), quotas, LIMITS, clock())), Denied), "its window has ended"

    # The owner of a verification.

    def test_only_its_subject_redeems_a_number(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, purpose="confirm", subject="s" * 22)
        self.spend(store, clock, record, RIGHT)
        for subject in ("", "t" * 22):
            assert run(store.redeem(record.id, BINDING, subject, clock())) is None
        redeemed = run(store.redeem(record.id, BINDING, "s" * 22, clock()))
        assert redeemed is not None
        assert redeemed.subject == "s" * 22

    def test_proof_of_another_user_is_not_accepted(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, purpose="confirm")
        self.spend(store, clock, record, RIGHT)
        assert run(store.redeem(record.id, BINDING, "s" * 22, clock())) is None
        assert run(store.redeem(record.id, BINDING, "", clock())) is not None

    @pytest.mark.parametrize("purpose", ["login", "signup"])
    def test_sign_in_is_redeemed_by_any_subject(self, store: Store, clock: ManualClock, purpose: str) -> None:
        record = self.open(store, clock, purpose=purpose, subject="s" * 22)
        self.spend(store, clock, record, RIGHT)
        assert run(store.redeem(record.id, BINDING, "", clock())) is not None

    def test_only_a_success_of_phone_and_budget_clears_failures(self, store: Store, clock: ManualClock) -> None:
        other: dict[str, Any] = {"budget": Budget.SECOND_FACTOR, "purpose": "second_factor"}
        self.fail(store, clock, 2)
        self.fail(store, clock, 2, **other)
        self.spend(store, clock, self.open(store, clock, OTHER_PHONE), RIGHT)
        record = self.open(store, clock, **other)
        assert isinstance(run(store.open(opening(), [], Limits(2), clock())), Denied)
        self.spend(store, clock, record, RIGHT)
        assert isinstance(run(store.open(opening(**other), [], Limits(1), clock())), Verification)
        assert isinstance(run(store.open(opening(), [], Limits(2), clock())), Denied)

    @pytest.mark.parametrize("trusted", [False, True])
    @pytest.mark.parametrize(
        ("part", "last", "other"),
        [
            (Budget.SIGN_IN_PART, Budget.SIGN_IN_ALL, Budget.SIGN_IN),
            (Budget.SIGNED_IN_PART, Budget.SIGNED_IN_ALL, Budget.SIGNED_IN),
        ],
    )
    def test_success_that_leaves_a_channel_clears_no_failures(
        self, store: Store, clock: ManualClock, part: Budget, last: Budget, other: Budget, trusted: bool
    ) -> None:
        limits = Limits(3, ceiling=3)
        self.fail(store, clock, 1, limits, budget=last, trusted=trusted)
        self.fail(store, clock, 1, limits, budget=part, trusted=trusted)
        record = self.open(store, clock, budget=part, trusted=trusted)
        answer = self.spend(store, clock, record, RIGHT, limits)
        assert isinstance(answer, Spent)
        assert failure_count(answer.record) == 2
        claim = self.claim_on(store, clock, LINE, budget=part, trusted=trusted)
        assert self.call(store, clock, claim, IncomingCall("ref", LINE, PHONE))
        assert failure_count(self.open(store, clock, budget=part, trusted=trusted)) == 2
        assert failure_count(self.open(store, clock, budget=other, trusted=trusted)) == 0
        self.spend(store, clock, self.open(store, clock, budget=last, trusted=trusted), RIGHT, limits)
        assert failure_count(self.open(store, clock, budget=part, trusted=trusted)) == 0

    @pytest.mark.parametrize("trusted", [False, True])
    def test_trusted_devices_have_their_own_failure_budget(
        self, store: Store, clock: ManualClock, trusted: bool
    ) -> None:
        def lets_in(trusted: bool) -> bool:
            return isinstance(run(store.open(opening(trusted=trusted), [], Limits(2), clock())), Verification)

        record, other = self.open(store, clock, trusted=trusted), self.open(store, clock, trusted=not trusted)
        late = self.open(store, clock, trusted=trusted)
        self.fail(store, clock, 2, trusted=trusted)
        assert (lets_in(trusted), lets_in(not trusted)) == (False, True)
        refused = self.spend(store, clock, record, RIGHT, Limits(2))
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.FAILURES
        again = self.reopen(store, clock, record, limits=Limits(2))
        assert isinstance(again, Denied)
        assert again.why is DenialReason.FAILURES
        for found, failures in ((record, 2), (other, 0)):
            assert (seen := run(store.get(found.id, clock())))
            assert (failure_count(seen), seen.trusted) == (failures, found.trusted)
        assert isinstance(self.spend(store, clock, other, RIGHT, Limits(2)), Spent)
        assert lets_in(trusted) is False
        assert isinstance(self.spend(store, clock, late, RIGHT), Spent)
        assert lets_in(trusted) is True

    @pytest.mark.parametrize("trusted", [False, True])
    def test_settled_verification_clears_its_own_budget(self, store: Store, clock: ManualClock, trusted: bool) -> None:
        for settles in (False, True):
            self.fail(store, clock, 2, trusted=True)
            self.fail(store, clock, 2)
            clock.move(61)  # the line has rested
            claim = self.claim_on(store, clock, LINE, trusted=trusted)
            if settles:
                assert run(store.settle(claim.id, Status.VERIFIED, clock()))
            else:
                assert self.call(store, clock, claim, IncomingCall("ref", LINE, PHONE))
            for other in (False, True):
                opened = run(store.open(opening(trusted=other), [], Limits(2), clock()))
                assert isinstance(opened, Verification if other is trusted else Denied)

    @pytest.mark.parametrize("trusted", [False, True])
    def test_unchecked_attempt_is_refunded_in_its_own_budget(
        self, store: Store, clock: ManualClock, trusted: bool
    ) -> None:
        self.fail(store, clock, 1, trusted=not trusted)
        record = self.open(store, clock, plan=REMOTE, trusted=trusted)
        self.spend(store, clock, record, WRONG)
        run(store.resolve_check(record.id, None, 1, NOBODY, clock()))
        assert isinstance(run(store.open(opening(trusted=trusted), [], Limits(1), clock())), Verification)
        assert isinstance(run(store.open(opening(trusted=not trusted), [], Limits(1), clock())), Denied)

    @pytest.mark.parametrize("status", [Status.VERIFIED, Status.CANCELLED])
    def test_settling_as_verified_clears_failures(self, store: Store, clock: ManualClock, status: Status) -> None:
        record = self.open(store, clock, plan=REMOTE)
        self.fail(store, clock, 2)
        run(store.settle(record.id, status, clock()))
        opened = run(store.open(opening(), [], Limits(2), clock()))
        assert isinstance(opened, Verification if status is Status.VERIFIED else Denied)

    # Resends.

    def test_each_resend_waits_twice_as_long(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(OURS, ttl=timedelta(seconds=600)))
        for sends, delay in [(2, 60), (3, 120), (4, 240)]:
            clock.move(delay - 0.000001)
            refused = self.reopen(store, clock, record)
            assert isinstance(refused, Denied)
            assert (refused.why, refused.retry_after) == (DenialReason.TOO_SOON, timedelta(microseconds=1))
            clock.move(0.000001)
            reopened = self.reopen(store, clock, record)
            assert isinstance(reopened, Verification)
            assert (reopened.sends, reopened.resend_at) == (sends, clock() + timedelta(seconds=delay * 2))
            assert run(store.get(record.id, clock())) == reopened

    def test_each_channel_has_its_own_growing_wait(self, store: Store, clock: ManualClock) -> None:
        order = opening(plan=replace(OURS, ttl=timedelta(seconds=600)))
        record = self.open(store, clock, id=order.id, plan=order.plan)
        clock.move(5)
        began = clock()
        by_call = self.reopen(store, clock, record, channel=Channel.INBOUND_CALL)
        assert isinstance(by_call, Verification)
        assert (by_call.sends, by_call.resend_at) == (2, record.resend_at), "the present channel is still SMS"
        clock.move(10)
        refused = self.reopen(store, clock, record, channel=Channel.INBOUND_CALL)
        assert isinstance(refused, Denied)
        assert (refused.why, refused.retry_after) == (DenialReason.TOO_SOON, timedelta(seconds=50))
        receipt = attachment(order, plan=CALL, channel=Channel.INBOUND_CALL, line=LINE, sends=2)
        attached = run(store.attach(order.id, receipt, clock()))
        assert isinstance(attached, Verification)
        assert attached.resend_at == began + timedelta(seconds=60)
        clock.move(50)
        assert isinstance(self.reopen(store, clock, record, channel=Channel.INBOUND_CALL), Verification)
        assert isinstance(self.reopen(store, clock, record, channel=Channel.FLASH_CALL), Verification)
        again = self.reopen(store, clock, record, channel=Channel.SMS)
        assert isinstance(again, Verification)
        assert (again.sends, again.resend_at) == (5, clock() + timedelta(seconds=120))
        attached = run(store.attach(order.id, attachment(order, generation=2, sends=5), clock()))
        assert isinstance(attached, Verification)
        assert (attached.channel, attached.resend_at) == (Channel.SMS, clock() + timedelta(seconds=120))
        assert run(store.get(order.id, clock())) == attached

    def test_channels_share_the_phones_quota(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("sends:p", 2)
        record = run(store.open(opening(), [quota], LIMITS, clock()))
        assert isinstance(record, Verification)
        for channel, allowed in ((Channel.FLASH_CALL, True), (Channel.VOICE, False)):
            answer = self.reopen(store, clock, record, channel=channel, quotas=[quota])
            assert isinstance(answer, Verification) is allowed
        assert isinstance(answer, Denied)
        assert answer.why is DenialReason.QUOTA

    def test_resend_resets_nothing(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        record = self.open(store, clock, id=order.id)
        for _ in range(4):
            self.spend(store, clock, record, WRONG)
        clock.move(60)
        reopened = self.reopen(store, clock, record)
        assert isinstance(reopened, Verification)
        assert (reopened.attempts_left, reopened.expires_at) == (1, record.expires_at)
        attached = run(store.attach(record.id, attachment(order, generation=2), clock()))
        assert isinstance(attached, Verification)
        assert (attached.attempts_left, attached.expires_at) == (1, record.expires_at)
        spent = self.spend(store, clock, record, WRONG, Limits(5))
        assert isinstance(spent, Spent)
        assert spent.record.status is Status.EXHAUSTED
        assert isinstance(run(store.open(opening(), [], Limits(5), clock())), Denied)

    def test_starts_and_resends_share_the_phones_quota(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("sends:p", 2)
        record = run(store.open(opening(), [quota], LIMITS, clock()))
        assert isinstance(record, Verification)
        clock.move(60)
        assert isinstance(self.reopen(store, clock, record, quotas=[quota]), Verification)
        clock.move(120)
        refused = self.reopen(store, clock, record, quotas=[quota])
        assert isinstance(refused, Denied)
        assert (refused.why, refused.retry_after) == (DenialReason.QUOTA, timedelta(seconds=3600 - 180))
        assert isinstance(run(store.open(opening(), [quota], LIMITS, clock())), Denied)
        assert (found := run(store.get(record.id, clock())))
        assert (found.sends, found.resend_at) == (2, clock())

    def test_refused_resend_changes_and_counts_nothing(self, store: Store, clock: ManualClock) -> None:
        quota = Quota("sends:p", 1)
        record, ended = self.open(store, clock), self.open(store, clock)
        run(store.settle(ended.id, Status.CANCELLED, clock()))
        self.fail(store, clock, 10)
        too_soon = self.reopen(store, clock, record, quotas=[quota])
        clock.move(60)
        refusals = [
            too_soon,
            self.reopen(store, clock, record, binding=OTHER_BINDING, quotas=[quota]),
            self.reopen(store, clock, ended, quotas=[quota]),
            self.reopen(store, clock, record, limits=Limits(10), quotas=[quota]),
            self.reopen(store, clock, record, short=True, quotas=[quota]),
        ]
        assert [refused.why for refused in refusals if isinstance(refused, Denied)] == [
            DenialReason.TOO_SOON,
            DenialReason.UNBOUND,
            DenialReason.CLOSED,
            DenialReason.FAILURES,
            DenialReason.SHORT_CODES_CLOSED,
        ]
        assert (found := run(store.get(record.id, clock())))
        assert failure_count(found) == 10
        assert found == replace(record, read_at=clock(), failures=found.failures)
        assert isinstance(self.reopen(store, clock, record, quotas=[quota]), Verification)

    # Closing.

    @pytest.mark.parametrize("status", [Status.VERIFIED, Status.FAILED, Status.EXHAUSTED, Status.CANCELLED])
    def test_record_is_closed_only_once(self, store: Store, clock: ManualClock, status: Status) -> None:
        record = self.open(store, clock)
        assert run(store.settle(record.id, status, clock())) is True
        closed_at = clock()
        clock.move(1)
        for later in Status:
            assert run(store.settle(record.id, later, clock())) is False
        assert run(store.get(record.id, clock())) == replace(
            record, status=status, closed_at=closed_at, read_at=clock()
        )

    def test_expired_record_cannot_be_closed(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=REMOTE)
        clock.move(300)
        assert run(store.settle(record.id, Status.VERIFIED, clock())) is False
        assert (found := run(store.get(record.id, clock())))
        assert found.state is Status.EXPIRED

    # Calls.

    def test_call_on_the_line_verifies_the_claim_once(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        self.fail(store, clock, 2)
        clock.move(2)
        claimed = self.call(store, clock, record, IncomingCall(None, LINE, PHONE))
        assert claimed == replace(
            record,
            status=Status.VERIFIED,
            closed_at=clock(),
            read_at=clock(),
            by_pair=True,
            by_call=True,
            failures=None,
        )
        assert run(store.get(record.id, clock())) == claimed
        assert self.call(store, clock, record, IncomingCall(None, LINE, PHONE)) is None
        assert isinstance(run(store.open(opening(), [], Limits(1), clock())), Verification), "a success clears failures"

    def test_call_with_the_reference_verifies_the_claim(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert self.call(store, clock, record, IncomingCall("ref", None, PHONE)) is not None

    @pytest.mark.parametrize(
        "event",
        [
            IncomingCall(None, LINE, OTHER_PHONE),
            IncomingCall(None, LINE, None),
            IncomingCall(None, OTHER_LINE, PHONE),
            IncomingCall(None, None, PHONE),
            IncomingCall("other", LINE, PHONE),
            IncomingCall("REF", LINE, PHONE),
            IncomingCall("", LINE, PHONE),
            IncomingCall("ref", None, OTHER_PHONE),
        ],
    )
    def test_mismatched_call_verifies_nothing(self, store: Store, clock: ManualClock, event: IncomingCall) -> None:
        record = self.claim_on(store, clock, LINE)
        assert self.call(store, clock, record, event) is None
        assert run(store.get(record.id, clock())) == record

    def test_claim_without_a_line_verifies_by_reference_only(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, None)
        for event in (IncomingCall(None, None, PHONE), IncomingCall(None, LINE, PHONE)):
            assert self.call(store, clock, record, event) is None
        assert self.call(store, clock, record, IncomingCall("ref", LINE, PHONE)) is not None

    def test_call_counts_only_for_its_driver_phone_and_ttl(self, store: Store, clock: ManualClock) -> None:
        record, code = self.claim_on(store, clock, LINE), self.open(store, clock)
        event = IncomingCall(None, LINE, PHONE)
        assert self.call(store, clock, record, event, driver="another") is None
        assert run(store.claim("fake", _keyring.tag(OTHER_PHONE), event, clock())) is None
        clock.move(300)
        assert self.call(store, clock, record, event) is None
        assert (found := run(store.get(code.id, clock())))
        assert found.status is Status.PENDING

    def test_ambiguous_call_verifies_no_claim(self, store: Store, clock: ManualClock) -> None:
        records = [self.claim_on(store, clock, line) for line in (LINE, OTHER_LINE)]
        assert self.call(store, clock, records[0], IncomingCall("ref", None, PHONE)) is None
        assert run(store.find("fake", records[0].tag, "ref", clock())) is None
        assert [run(store.get(record.id, clock())) for record in records] == records

    def test_claim_is_found_by_its_reference_while_it_is_open(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, None)
        code = opening()
        self.open(store, clock, id=code.id)
        run(store.attach(code.id, attachment(code, reference="sms"), clock()))
        assert run(store.find("fake", record.tag, "ref", clock())) == record
        assert run(store.find("another", record.tag, "ref", clock())) is None
        assert run(store.find("fake", record.tag, "unknown", clock())) is None
        assert run(store.find("fake", record.tag, "sms", clock())) is None
        assert run(store.find("fake", _keyring.tag(OTHER_PHONE), "ref", clock())) is None
        run(store.settle(record.id, Status.CANCELLED, clock()))
        assert run(store.find("fake", record.tag, "ref", clock())) is None

    def test_provider_is_polled_once_in_three_seconds(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert run(store.may_poll(record.id, OTHER_BINDING, clock())) is False
        assert run(store.may_poll(record.id, BINDING, clock())) is True
        assert (found := run(store.get(record.id, clock())))
        assert found.polled_at == clock()
        clock.move(POLL_INTERVAL.total_seconds() - 0.000001)
        assert run(store.may_poll(record.id, BINDING, clock())) is False
        clock.move(0.000001)
        assert run(store.may_poll(record.id, None, clock())) is True
        assert run(store.may_poll(record.id, BINDING, clock())) is False

    def test_early_webhook_makes_the_next_poll_query(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert run(store.may_poll(record.id, BINDING, clock())) is True
        assert run(store.may_poll(record.id, None, clock())) is False
        assert run(store.may_poll(record.id, OTHER_BINDING, clock())) is False
        assert run(store.may_poll(record.id, BINDING, clock())) is True
        assert run(store.may_poll(record.id, BINDING, clock())) is False

    def test_ended_or_non_call_verification_is_not_polled(self, store: Store, clock: ManualClock) -> None:
        code, call = self.open(store, clock), self.claim_on(store, clock, LINE)
        assert run(store.may_poll(code.id, BINDING, clock())) is False
        clock.move(300)
        assert run(store.may_poll(call.id, BINDING, clock())) is False

    # Calls from another phone.

    def test_claimant_is_the_only_open_claim_of_a_line(self, store: Store, clock: ManualClock) -> None:
        assert run(store.claimant("fake", LINE, clock())) is None
        record = self.claim_on(store, clock, LINE)
        self.claim_on(store, clock, OTHER_LINE, phone=OTHER_PHONE)
        clock.move(1)
        assert run(store.claimant("fake", LINE, clock())) == replace(record, read_at=clock())
        assert run(store.claimant("other", LINE, clock())) is None
        short_lived = self.open(store, clock, PhoneNumber("+989120000005"), SHORT)
        ended = self.claim_on(store, clock, LINE, phone=OTHER_PHONE)
        assert run(store.claimant("fake", LINE, clock())) is None
        assert run(store.settle(ended.id, Status.CANCELLED, clock()))
        clock.move(SHORT.ttl.total_seconds())
        assert not short_lived.open_at(clock())
        assert run(store.claimant("fake", LINE, clock())) == replace(record, read_at=clock())
        clock.move(LIFE.total_seconds())
        assert run(store.claimant("fake", LINE, clock())) is None

    def test_claimant_may_have_a_code_as_well(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        assert isinstance(run(store.open(order, [], LIMITS, clock())), Verification)
        call = attachment(order, channel=Channel.INBOUND_CALL, plan=CALL, code_digest=None, line=LINE, sends=1)
        record = run(store.attach(order.id, call, clock()))
        assert isinstance(record, Verification)
        assert record.has_code
        assert run(store.claimant("fake", LINE, clock())) == record

    def test_held_back_code_is_no_claimant(self, store: Store, clock: ManualClock) -> None:
        order = opening()
        assert isinstance(run(store.open(order, [], LIMITS, clock())), Verification)
        assert isinstance(run(store.attach(order.id, attachment(order, line=LINE), clock())), Verification)
        assert run(store.claimant("fake", LINE, clock())) is None

    def test_line_of_many_claims_has_no_claimant(self, store: Store, clock: ManualClock) -> None:
        phones = [PhoneNumber(f"+98912000{n:04}") for n in range(MOST_CLAIMANTS + 1)]
        records = [self.claim_on(store, clock, LINE, phone=phone) for phone in phones]
        for record in records[1:]:
            assert run(store.settle(record.id, Status.CANCELLED, clock()))
        found = run(store.claimant("fake", LINE, clock()))
        assert found is None or found.id == records[0].id

    def test_other_caller_is_noted_once_in_ten_seconds(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert record.other_caller_at is None
        clock.move(0.000001)
        assert run(store.note_other_caller(record.id, clock())) is True
        noted = replace(record, other_caller_at=clock(), read_at=clock())
        assert run(store.get(record.id, clock())) == noted
        clock.move(OTHER_CALLER_EVERY.total_seconds() - 0.000001)
        assert run(store.note_other_caller(record.id, clock())) is False
        assert run(store.get(record.id, clock())) == replace(noted, read_at=clock())
        clock.move(0.000001)
        assert run(store.note_other_caller(record.id, clock())) is True

    def test_note_of_another_caller_changes_nothing_else(self, store: Store, clock: ManualClock) -> None:
        record = self.claim_on(store, clock, LINE)
        assert run(store.note_other_caller(record.id, clock())) is True
        event = IncomingCall("ref", LINE, OTHER_PHONE)
        assert run(store.claim("fake", _keyring.tag(OTHER_PHONE), event, clock())) is None
        called = self.call(store, clock, record, IncomingCall("ref", LINE, PHONE))
        assert called is not None
        assert (called.status, called.other_caller_at) == (Status.VERIFIED, clock())

    def test_other_caller_is_noted_on_open_claims_only(self, store: Store, clock: ManualClock) -> None:
        code, unassigned = self.open(store, clock), self.claim_on(store, clock, None, phone=OTHER_PHONE)
        claim = self.claim_on(store, clock, LINE, phone=PhoneNumber("+989120000005"))
        assert run(store.note_other_caller(code.id, clock())) is False
        assert run(store.note_other_caller(unassigned.id, clock())) is False
        assert run(store.note_other_caller(f"{code.id[:-1]}_", clock())) is False
        clock.move(LIFE.total_seconds())
        assert run(store.note_other_caller(claim.id, clock())) is False

    # Proofs.

    def test_proof_is_redeemed_once_and_by_its_browser(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        assert run(store.redeem(record.id, BINDING, "", clock())) is None
        self.spend(store, clock, record, RIGHT)
        verified = run(store.get(record.id, clock()))
        assert verified is not None
        assert run(store.redeem(record.id, OTHER_BINDING, "", clock())) is None
        clock.move(PROOF_LIFE.total_seconds() - 0.000001)
        redeemed = run(store.redeem(record.id, BINDING, "", clock()))
        assert redeemed == replace(verified, redeemed=True, read_at=clock())
        assert run(store.get(record.id, clock())) == redeemed
        assert run(store.redeem(record.id, BINDING, "", clock())) is None

    def test_proof_expires_after_five_minutes(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        self.spend(store, clock, record, RIGHT)
        clock.move(PROOF_LIFE.total_seconds())
        assert run(store.redeem(record.id, BINDING, "", clock())) is None

    def test_clock_set_back_an_hour_extends_nothing(self, store: Store, clock: ManualClock) -> None:
        """Anything that started, or was verified, in a future that the clock was set back from has
        expired.
        """
        code, proven = self.open(store, clock), self.open(store, clock, OTHER_PHONE)
        claim = self.claim_on(store, clock, LINE, phone=PhoneNumber("+989120000005"))
        self.spend(store, clock, proven, RIGHT)
        clock.move(-3600)
        refused = self.spend(store, clock, code, RIGHT)
        assert isinstance(refused, Denied)
        assert refused.why is DenialReason.CLOSED
        assert run(store.redeem(proven.id, BINDING, "", clock())) is None
        assert self.call(store, clock, claim, IncomingCall(claim.reference, claim.line, claim.phone)) is None
        found = run(store.get(code.id, clock()))
        assert found is None or found.state is Status.EXPIRED

    def test_clocks_that_differ_by_two_seconds_make_no_difference(self, store: Store, clock: ManualClock) -> None:
        code, proven = self.open(store, clock), self.open(store, clock, OTHER_PHONE)
        self.spend(store, clock, proven, RIGHT)
        clock.move(-2)
        assert run(store.redeem(proven.id, BINDING, "", clock())) is not None
        spent = self.spend(store, clock, code, RIGHT)
        assert isinstance(spent, Spent)
        assert spent.answer is AttemptResult.RIGHT

    @pytest.mark.parametrize("status", [Status.FAILED, Status.EXHAUSTED, Status.CANCELLED])
    def test_only_a_verified_record_has_a_proof(self, store: Store, clock: ManualClock, status: Status) -> None:
        record = self.open(store, clock)
        run(store.settle(record.id, status, clock()))
        assert run(store.redeem(record.id, BINDING, "", clock())) is None

    # Expired data.

    def test_live_data_is_never_removed(self, forgetful: Store, clock: ManualClock) -> None:
        shared, own = Quota("total", 1), Quota("sends:p", 1)
        self.fail(forgetful, clock, 1, phone=OTHER_PHONE)
        run(forgetful.count([shared], clock()))
        assert isinstance(run(forgetful.open(opening(), [own], LIMITS, clock())), Verification)
        for _ in range(5):
            clock.move(600)
            run(forgetful.purge(1000, clock()))
            self.open(forgetful, clock, PhoneNumber("+989120000009"))
        assert isinstance(run(forgetful.count([shared], clock())), Denied)
        assert isinstance(run(forgetful.open(opening(), [own], LIMITS, clock())), Denied)
        assert isinstance(run(forgetful.open(opening(OTHER_PHONE), [], Limits(1), clock())), Denied)

    def test_record_is_kept_as_long_as_its_proof(self, forgetful: Store, clock: ManualClock) -> None:
        record = self.open(forgetful, clock)
        clock.move(LIFE.total_seconds() - 1)
        self.spend(forgetful, clock, record, RIGHT)
        clock.move(PROOF_LIFE.total_seconds() - 1)
        run(forgetful.purge(1000, clock()))
        assert run(forgetful.redeem(record.id, BINDING, "", clock())) is not None

    def test_erasing_removes_one_phone_only(self, store: Store, clock: ManualClock) -> None:
        own = Quota("sends:p", 1)
        records = [self.open(store, clock), self.open(store, clock), self.open(store, clock, OTHER_PHONE)]
        self.fail(store, clock, 2)
        self.fail(store, clock, 2, phone=OTHER_PHONE)
        assert isinstance(run(store.open(opening(), [own], LIMITS, clock())), Verification)
        kept = self.kept(store, clock, records)
        assert run(store.erase(records[0].tag, clock())) >= 3
        assert self.kept(store, clock, records) == kept - 2
        assert run(store.get(records[2].id, clock())) is not None
        assert run(store.erase(records[0].tag, clock())) == 0
        assert isinstance(run(store.open(opening(), [own], Limits(2), clock())), Verification)
        assert isinstance(run(store.open(opening(OTHER_PHONE), [], Limits(2), clock())), Denied)

    def test_store_works_after_erasing(self, store: Store, clock: ManualClock) -> None:
        first = self.open(store, clock)
        run(store.erase(first.tag, clock()))
        assert isinstance(self.spend(store, clock, first, RIGHT), Denied)
        again = self.open(store, clock)
        clock.move((LIFE + RETENTION).total_seconds() + 1)
        run(store.purge(1000, clock()))
        assert self.kept(store, clock, [first, again]) == 0
        assert isinstance(self.spend(store, clock, self.open(store, clock), RIGHT), Spent)

    def test_purging_start_keeps_failures_that_still_count(self, forgetful: Store, clock: ManualClock) -> None:
        for _ in range(3 * PURGE_PER_START):
            self.open(forgetful, clock)
        clock.move((LIFE + PROOF_LIFE).total_seconds() + 1)
        record = self.open(forgetful, clock)
        assert isinstance(self.spend(forgetful, clock, record, WRONG), Spent)
        for _ in range(3):
            self.open(forgetful, clock, purpose="signup")
        assert (found := run(forgetful.get(record.id, clock())))
        assert failure_count(found) == 1

    def test_nothing_is_settled_as_pending(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock)
        assert run(store.settle(record.id, Status.PENDING, clock())) is False
        assert run(store.get(record.id, clock())) == record

    # Requirements for every receipt.

    @pytest.mark.parametrize("plan", [CALL, REMOTE])
    def test_digest_never_verifies_a_remote_code(self, store: Store, clock: ManualClock, plan: Plan) -> None:
        order = opening(plan=plan)
        run(store.open(order, [], LIMITS, clock()))
        record = run(store.attach(order.id, attachment(order, code_digest=RIGHT), clock()))
        assert isinstance(record, Verification)
        answer = self.spend(store, clock, record, RIGHT)
        if plan is CALL:
            assert answer == Denied(DenialReason.NO_CODE, record=record)
        else:
            assert isinstance(answer, Spent)
            assert answer.answer is AttemptResult.TAKEN
        assert (found := run(store.get(order.id, clock())))
        assert found.open

    def test_non_numeric_input_spends_nothing_at_unknown_length(self, store: Store, clock: ManualClock) -> None:
        record = self.open(store, clock, plan=replace(REMOTE, code_length=None))
        assert self.spend(store, clock, record, WRONG, length=0) == Denied(DenialReason.OTHER_LENGTH, record=record)
        assert run(store.get(record.id, clock())) == record

    def test_held_back_codes_share_no_line_with_other_claims(self, store: Store, clock: ManualClock) -> None:
        def held_back(*shown: bytes) -> Verification | Denied:
            order = opening(binding=OTHER_BINDING)
            run(store.open(order, [], LIMITS, clock()))
            return run(store.attach(order.id, attachment(order, line=LINE, shown=shown), clock()))

        assert isinstance(held_back(), Verification)
        assert isinstance(held_back(), Verification)
        assert self.claim_on(store, clock, OTHER_LINE).line == OTHER_LINE
        order = opening(plan=CALL, purpose="signup")
        run(store.open(order, [], LIMITS, clock()))
        refused = run(store.attach(order.id, attachment(order, line=LINE), clock()))
        assert isinstance(refused, Denied), "who calls for the code would prove the claim"
        assert refused.why is DenialReason.LINE_TAKEN
        claim = self.claim_on(store, clock, LINE, phone=OTHER_PHONE)
        order = opening(OTHER_PHONE, binding=OTHER_BINDING)
        for shown in ([], [claim.binding]):
            again = opening_with(order, id=opening(OTHER_PHONE).id)
            run(store.open(again, [], LIMITS, clock()))
            answer = run(store.attach(again.id, attachment(again, line=LINE, shown=shown), clock()))
            assert isinstance(answer, Verification if shown else Denied)

    def test_lines_resting_for_one_claim_are_bounded(self, store: Store, clock: ManualClock) -> None:
        lines = [PhoneNumber(f"+7495000001{n}") for n in range(9)]
        order = opening(plan=CALL)
        run(store.open(order, [], LIMITS, clock()))
        for line in lines:
            assert isinstance(run(store.attach(order.id, attachment(order, line=line), clock())), Verification)
        resting = []
        for line in lines:
            other = opening(plan=CALL, binding=OTHER_BINDING)
            run(store.open(other, [], LIMITS, clock()))
            answer = run(store.attach(other.id, attachment(other, line=line), clock()))
            resting.append(isinstance(answer, Denied))
            run(store.settle(other.id, Status.CANCELLED, clock()))
        assert resting == [False] * 2 + [True] * 7


class StoreSweeping(StoreCase):
    """The contract of a store that removes expired data itself; not for one whose server expires
    everything.
    """

    def test_records_are_kept_a_day_and_purged_in_batches(self, store: Store, clock: ManualClock) -> None:
        records = [self.open(store, clock, PhoneNumber(f"+98912000010{n}")) for n in range(5)]
        run(store.settle(records[0].id, Status.CANCELLED, clock()))
        clock.move((LIFE + RETENTION).total_seconds() - 1)
        assert run(store.purge(100, clock())) == 0
        assert self.kept(store, clock, records) == 5
        clock.move(2)
        assert run(store.purge(2, clock())) == 2
        assert self.kept(store, clock, records) == 3
        assert run(store.purge(0, clock())) == 0
        run(store.purge(100, clock()))
        assert self.kept(store, clock, records) == 0

    def test_purging_ends_with_nothing_left(self, store: Store, clock: ManualClock) -> None:
        for n in range(3):
            phone = PhoneNumber(f"+98912000010{n}")
            run(store.count([Quota("total", 9), Quota(f"address:{n}", 9)], clock()))
            run(store.open(opening(phone), [Quota(f"sends:{n}", 9)], LIMITS, clock()))
            self.fail(store, clock, 1, phone=phone)
        clock.move(3 * RETENTION.total_seconds())
        assert run(store.purge(1000, clock())) >= 3 + 4
        assert run(store.purge(1000, clock())) == 0

    def test_starts_purge_expired_records(self, store: Store, clock: ManualClock) -> None:
        starts = 8
        phones = [PhoneNumber(f"+98912000010{n:02}") for n in range(starts * PURGE_PER_START)]
        records = [self.open(store, clock, phone) for phone in phones]
        clock.move((LIFE + RETENTION).total_seconds() + 1)
        self.open(store, clock)
        assert self.kept(store, clock, records) >= len(records) - starts * PURGE_PER_START / 2, "few at a time"
        for _ in range(starts - 1):
            self.open(store, clock)
        assert self.kept(store, clock, records) == 0

    def test_expired_records_do_not_accumulate(self, store: Store, clock: ManualClock) -> None:
        for n in range(30):
            run(store.count([Quota("total", 99), Quota(f"address:{n}", 9), Quota(f"prefix:{n}", 9)], clock()))
            order = opening(PhoneNumber(f"+9891200001{n:02}"))
            run(store.open(order, [Quota(f"sends:{n}", 9)], LIMITS, clock()))
            clock.move(2 * RETENTION.total_seconds())
        # Each start left a record, a phone's counters and two separate counters.
        assert run(store.purge(1000, clock())) <= 20


class StoreRaces(StoreCase):
    """The contract of a store under many simultaneous threads."""

    def race(self, stores: Sequence[Store], count: int, step: Callable[[Store, int], T]) -> list[T]:
        """Return the results of `count` threads that start simultaneously, spread over the stores."""
        return together(count, lambda number: step(stores[number % len(stores)], number), self.thread_done)

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_two_hundred_concurrent_guesses_get_five_attempts(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        record = self.open(stores[0], clock)
        answers = self.race(stores, 200, lambda store, _: self.spend(store, clock, record, WRONG))
        spent = [answer for answer in answers if isinstance(answer, Spent)]
        assert sorted(answer.record.attempts_left for answer in spent) == [0, 1, 2, 3, 4]
        assert (found := run(stores[0].get(record.id, clock())))
        assert (found.status, found.attempts_left) == (Status.EXHAUSTED, 0)

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_hundred_concurrent_right_codes_verify_once(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        record = self.open(stores[0], clock)
        answers = self.race(stores, 100, lambda store, _: self.spend(store, clock, record, RIGHT))
        assert sum(isinstance(answer, Spent) for answer in answers) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_failures_are_exact_across_many_verifications(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        records = [self.open(stores[0], clock) for _ in range(10)]
        answers = self.race(
            stores, 40, lambda store, number: self.spend(store, clock, records[number % 10], WRONG, Limits(7))
        )
        spent = [answer for answer in answers if isinstance(answer, Spent)]
        assert sorted(answer.failures.count for answer in spent if answer.failures) == [1, 2, 3, 4, 5, 6, 7]

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_starts_meet_the_phone_quota_exactly(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        orders = [opening() for _ in range(40)]
        quota = Quota("sends:p", 5)
        answers = self.race(stores, 40, lambda store, number: run(store.open(orders[number], [quota], LIMITS, clock())))
        assert sum(isinstance(answer, Verification) for answer in answers) == 5
        assert sum(run(stores[0].get(order.id, clock())) is not None for order in orders) == 5

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_shared_quotas_are_exact_all_or_nothing(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        total = Quota("total", 30)
        # In both orders, as two flows might name them: a store that locks them in the given order
        # would deadlock.
        ways = [[Quota(f"address:{n}", 5), total] for n in range(4)]
        ways += [way[::-1] for way in ways]
        answers = self.race(stores, 80, lambda store, number: run(store.count(ways[number % 8], clock())))
        assert sum(not isinstance(answer, Denied) for answer in answers) == 20
        rest = [run(stores[0].count([total], clock())) for _ in range(11)]
        assert [isinstance(answer, Denied) for answer in rest] == [False] * 10 + [True]

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_refunds_are_exact(self, stores: Sequence[Store], clock: ManualClock, _: int) -> None:
        quota = Quota("total", 40)
        windows = [self.windows(stores[0].count([quota], clock())) for _ in range(40)].pop()
        assert not isinstance(windows, Denied)

        self.race(stores, 30, lambda store, _: run(store.uncount([quota], windows, clock())))
        rest = [run(stores[0].count([quota], clock())) for _ in range(31)]
        assert [isinstance(answer, Denied) for answer in rest] == [False] * 30 + [True]

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_resends_allow_one(self, stores: Sequence[Store], clock: ManualClock, _: int) -> None:
        record = self.open(stores[0], clock)
        clock.move(60)
        answers = self.race(stores, 20, lambda store, _: self.reopen(store, clock, record))
        assert sum(isinstance(answer, Verification) for answer in answers) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_settle_poll_and_redeem_happen_once(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        record = self.claim_on(stores[0], clock, LINE)
        polls = self.race(stores, 20, lambda store, _: run(store.may_poll(record.id, BINDING, clock())))
        assert sum(polls) == 1
        settles = self.race(stores, 20, lambda store, _: run(store.settle(record.id, Status.VERIFIED, clock())))
        assert sum(settles) == 1
        proofs = self.race(stores, 20, lambda store, _: run(store.redeem(record.id, BINDING, "", clock())))
        assert sum(proof is not None for proof in proofs) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_call_reported_concurrently_counts_once(self, stores: Sequence[Store], clock: ManualClock, _: int) -> None:
        record = self.claim_on(stores[0], clock, LINE)
        calls = self.race(
            stores, 20, lambda store, _: self.call(store, clock, record, IncomingCall("ref", LINE, PHONE))
        )
        assert sum(call is not None for call in calls) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_code_and_call_verify_once(self, stores: Sequence[Store], clock: ManualClock, _: int) -> None:
        order = opening(driver="caller")
        run(stores[0].open(order, [], LIMITS, clock()))
        run(stores[0].attach(order.id, attachment(order), clock()))
        run(stores[0].attach(order.id, attachment(order, plan=CALL, line=LINE, sends=2), clock()))
        record = run(stores[0].get(order.id, clock()))
        assert record is not None
        event = IncomingCall(None, LINE, PHONE)

        def close(store: Store, number: int) -> bool:
            if number % 2:
                return self.call(store, clock, record, event, "caller") is not None
            spent = self.spend(store, clock, record, RIGHT)
            return isinstance(spent, Spent) and spent.verified

        assert self.race(stores, 20, close).count(True) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_claims_of_a_line_leave_one_holder(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        orders = [opening(plan=CALL, binding=bytes([n]) * 32, purpose=f"purpose_{n % 3}") for n in range(12)]
        for order in orders:
            run(stores[0].open(order, [], LIMITS, clock()))
        answers = self.race(
            stores,
            12,
            lambda store, number: run(store.attach(orders[number].id, attachment(orders[number], line=LINE), clock())),
        )
        assert sum(isinstance(answer, Verification) for answer in answers) == 1
        found = [run(stores[0].get(order.id, clock())) for order in orders]
        assert sum(record is not None and record.open for record in found) == 1

    @pytest.mark.race
    @pytest.mark.parametrize("_", range(ROUNDS))
    def test_concurrent_mixed_steps_on_a_phone_all_finish(
        self, stores: Sequence[Store], clock: ManualClock, _: int
    ) -> None:
        records = [self.open(stores[0], clock) for _ in range(4)]
        old = [self.open(stores[0], clock, OTHER_PHONE) for _ in range(4)]

        def step(store: Store, number: int) -> object:
            record = records[number % 4]
            match number % 5:
                case 0:
                    return run(store.open(opening(shown=[BINDING]), [Quota("sends:p", 99)], LIMITS, clock()))
                case 1:
                    return self.spend(store, clock, record, WRONG, Limits(1000))
                case 2:
                    return run(store.attach(record.id, attachment(opening(), line=LINE), clock()))
                case 3:
                    return run(store.claim("fake", record.tag, IncomingCall(None, LINE, PHONE), clock()))
                case _:
                    return self.reopen(store, clock, old[number % 4], quotas=[Quota("sends:o", 99)])

        self.race(stores, 40, step)
        assert (found := run(stores[0].get(records[0].id, clock())))
        assert not found.open, "a start that showed its binding has ended it"


class StoreSuite(StorePromises, StoreSweeping, StoreRaces):
    """The whole suite. Subclasses define the fixtures `store` and `forgetful`; `stores` may return
    several on the same data.
    """
