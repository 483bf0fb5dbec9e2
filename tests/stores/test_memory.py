"""The store in memory: the suite, its bounds, and its refusal of several processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import warnings
from datetime import timedelta

import pytest

from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.lifecycle import PROOF_LIFE
from phone_verify.limits import Counted, Denied, Limits, Quota
from phone_verify.model import Verification
from phone_verify.phone import PhoneNumber
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.stores import LIMITS, NOBODY, RIGHT, WRONG, StoreSuite, opening, run


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def forgetful(self) -> MemoryStore:
        return MemoryStore(keep=PROOF_LIFE)

    def test_size_follows_the_open_records(self, store: MemoryStore, clock: ManualClock) -> None:
        largest = 0
        for number in range(4000):
            quotas = [Quota("total", 10**6), Quota(f"address:{number}", 9), Quota(f"prefix:{number}", 9)]
            counted = run(store.count(quotas, clock()))
            assert isinstance(counted, Counted)
            if number % 3 == 0:
                run(store.uncount(quotas, counted.windows, clock()))
            phone = PhoneNumber(f"+98912{number:07}")
            record = run(store.open(opening(phone), [Quota(f"sends:{number}", 9)], LIMITS, clock()))
            if number % 2 == 0:
                run(store.spend(record.id, record.binding, [RIGHT], 6, LIMITS, NOBODY, clock()))
            clock.move(300)
            largest = max(largest, held(store))
        # Three hundred starts within a day plus the retention of records, each in two places.
        assert largest < 1000

    def test_refused_starts_leave_nothing_behind(self, store: MemoryStore, clock: ManualClock) -> None:
        quota = Quota("total", 5)
        for _ in range(500):
            counted = run(store.count([quota], clock()))
            assert isinstance(counted, Counted)
            run(store.uncount([quota], counted.windows, clock()))
        assert held(store) < 5

    def test_phone_that_starts_every_hour_keeps_no_old_windows(self, store: MemoryStore, clock: ManualClock) -> None:
        for number in range(100):
            run(store.open(opening(), [Quota(f"sends:{number}", 9), Quota("sends", 9)], LIMITS, clock()))
            clock.move(3600)
        assert [len(phone.windows) for phone in store._phones.values()] == [2]

    def test_answers_are_tallied_for_a_day(self, store: MemoryStore, clock: ManualClock) -> None:
        for number in range(100):
            record = run(store.open(opening(PhoneNumber(f"+98912{number:07}")), [], LIMITS, clock()))
            run(store.spend(record.id, record.binding, [WRONG], 6, LIMITS, NOBODY, clock()))
            clock.move(3600)
        assert len(store._tally) <= 25

    def test_restarted_phone_is_not_dropped_for_old_state(self, forgetful: MemoryStore, clock: ManualClock) -> None:
        for minutes, key in [(30, "first"), (15, "second"), (16, "")]:
            run(forgetful.open(opening(), [Quota(key, 1)] if key else [], LIMITS, clock()))
            clock.move(minutes * 60)
            run(forgetful.purge(1000, clock()))
        # The first window has ended, the second has not.
        assert isinstance(run(forgetful.open(opening(), [Quota("first", 1)], LIMITS, clock())), Verification)
        assert isinstance(run(forgetful.open(opening(), [Quota("second", 1)], LIMITS, clock())), Denied)

    def test_restarted_counter_is_not_dropped_for_old_state(self, store: MemoryStore, clock: ManualClock) -> None:
        others = [Quota(f"address:{n}", 1) for n in range(20)]
        for quota in [*others, Quota("total", 1)]:
            run(store.count([quota], clock()))
        clock.move(3600)
        run(store.count([Quota("total", 1)], clock()))
        run(store.purge(1000, clock()))
        assert isinstance(run(store.count([Quota("total", 1)], clock())), Denied)

    def test_lasting_lockout_and_counter_keep_no_others(self, store: MemoryStore, clock: ManualClock) -> None:
        record = run(store.open(opening(), [], LIMITS, clock()))
        run(store.spend(record.id, record.binding, [WRONG], 6, Limits(20, ceiling=1), NOBODY, clock()))
        run(store.count([Quota("sessions", 1, timedelta(days=3650))], clock()))
        for number in range(100):
            run(store.count([Quota(f"address:{number}", 9)], clock()))
            run(store.open(opening(PhoneNumber(f"+98912{number:07}")), [], LIMITS, clock()))
            clock.move(86400)
        clock.move(86400)
        run(store.purge(1000, clock()))
        assert held(store) == 5, "a phone, a counter, an hour, and their ends"
        assert isinstance(run(store.open(opening(), [], LIMITS, clock())), Denied)


def held(store: MemoryStore) -> int:
    """Return the number of objects that the store holds."""
    return sum(len(part) for part in vars(store).values() if hasattr(part, "__len__") and not isinstance(part, str))


def test_records_must_be_kept_as_long_as_their_proofs() -> None:
    with pytest.raises(ConfigurationError, match="keep"):
        MemoryStore(keep=timedelta(seconds=299))


def test_several_processes_may_be_declared(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    order = opening()
    run(store.open(order, [], LIMITS, None))
    with caplog.at_level(logging.ERROR, "phone_verify"):
        store.refuse("the server runs several processes")
        store.refuse("and says so with each request")
    assert len(caplog.records) == 1
    for step in (
        lambda: store.count([], None),
        lambda: store.uncount([], [], None),
        lambda: store.open(opening(), [], LIMITS, None),
        lambda: store.spend(order.id, order.request.binding, [], 6, LIMITS, NOBODY, None),
        lambda: store.get(order.id, None),
        lambda: store.purge(1, None),
    ):
        with pytest.raises(StoreError, match="several processes"):
            run(step())


def in_child(store: MemoryStore, sender) -> None:
    lines = []
    logging.getLogger("phone_verify").addHandler(handler := logging.Handler())
    handler.emit = lambda record: lines.append(record.getMessage())
    refused = 0
    for _ in range(3):
        try:
            run(store.get("x" * 44, None))
        except StoreError:
            refused += 1
    sender.send((refused, lines))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_process_is_refused_while_a_thread_is_inside() -> None:
    store = MemoryStore()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    with store._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=in_child, args=(store, sender), daemon=True)
        child.start()
    assert receiver.poll(30)
    refused, lines = receiver.recv()
    child.join(30)
    assert refused == 3
    assert len(lines) == 1
    assert "forked" in lines[0]
    assert run(store.get("x" * 44, None)) is None, "the parent goes on"


_FORKED_IN_C = """
import ctypes, os
from phone_verify.errors import StoreError
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.stores import opening, run

store = MemoryStore()
child = ctypes.PyDLL(None).fork()
if child == 0:
    try:
        run(store.get(opening().id, None))
    except StoreError:
        os._exit(0)
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_process_forked_without_hooks_is_refused() -> None:
    """As uWSGI forks its workers."""
    command = [sys.executable, "-c", _FORKED_IN_C]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr
