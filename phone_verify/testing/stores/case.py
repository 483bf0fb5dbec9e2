"""What the tests of a store share: samples, steps, and threads that start simultaneously."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from ... import limits
from ...codes import Keyring, new_id
from ...lifecycle import Attachment, Opening, Spent
from ...limits import Answering, Counted, Denied, Limits, Tally
from ...model import Channel, CodeSource, IncomingCall, Request, Status, Verification
from ...phone import PhoneNumber
from ...planning import Plan
from ...purposes import Budget
from ...stores.base import Store
from ..clock import ManualClock

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

KEYRING = Keyring(["a key of the store suite, no secret"])


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
    tag = KEYRING.tag(phone)
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
