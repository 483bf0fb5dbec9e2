"""The senders of a process, divided among providers: a slow one delays its own orders only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from phone_verify.database.connection import Database
from phone_verify.database.work import work_in
from phone_verify.errors import StoreError
from phone_verify.phone import PhoneNumber
from phone_verify.sync import run
from phone_verify.testing.work import LEASE, queued
from phone_verify.verifier.blocking import Verifier
from phone_verify.work.fair import MOST_AT_ONCE, FairSends
from phone_verify.work.sends import SendState
from tests.core.harness import FLASH, SMS, Harness, flash, sms
from tests.ledger_files import with_tables

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def sends(tmp_path: Path) -> Iterator[FairSends]:
    database = Database.from_url(with_tables(tmp_path / "work.sqlite3"))
    yield FairSends(work_in(database)[0])
    database.engine.dispose()


def put(sends: FairSends, *drivers: str) -> None:
    """Accept an order for each of these drivers."""
    for n, driver in enumerate(drivers):
        run(sends.put(queued(n, drivers=[driver]), NOW + timedelta(milliseconds=n)))


def drawn(sends: FairSends, now: datetime = NOW + timedelta(seconds=1)) -> str | None:
    """Draw an order; return its driver."""
    taken = run(sends.take(LEASE, now))
    return taken.order.provider if taken is not None else None


def test_providers_are_drawn_in_turn(sends: FairSends) -> None:
    put(sends, "a", "a", "a", "b", "b", "c")
    assert [drawn(sends) for _ in range(7)] == ["a", "b", "c", "a", "b", "a", None]


def test_services_of_a_provider_are_drawn_in_turn(sends: FairSends) -> None:
    sends.divide(20)
    for n, service in enumerate(["shop", "shop", "shop", "bank", "bank", "site"]):
        run(sends.put(queued(n, drivers=["a"], service=service), NOW + timedelta(milliseconds=n)))
    taken = [run(sends.take(LEASE, NOW + timedelta(seconds=1))) for _ in range(6)]
    assert [each.order.service for each in taken if each] == ["shop", "bank", "site", "shop", "bank", "shop"]


def test_orders_of_very_many_services_are_drawn(sends: FairSends) -> None:
    """A database refuses a statement with a condition for each of a thousand services."""
    for n in range(120):
        run(sends.put(queued(n, drivers=["a"], service=f"s{n}"), NOW))
    most = 0
    for _ in range(120):
        taken = run(sends.take(LEASE, NOW))
        assert taken is not None
        most = max(most, len(sends._drawn))
        assert run(sends.finish(taken, SendState.DONE, None))
    assert most <= 50


def test_postponed_order_frees_its_sender(sends: FairSends) -> None:
    put(sends, *["a"] * (MOST_AT_ONCE + 1))
    taken = [run(sends.take(LEASE, NOW + timedelta(seconds=1))) for _ in range(MOST_AT_ONCE)]
    assert drawn(sends) is None
    assert taken[0] is not None
    run(sends.postpone(taken[0], NOW + LEASE))
    assert drawn(sends) == "a"


def test_sender_whose_result_was_not_written_is_free(sends: FairSends, monkeypatch: pytest.MonkeyPatch) -> None:
    put(sends, *["a"] * (MOST_AT_ONCE + 1))
    taken = [run(sends.take(LEASE, NOW + timedelta(seconds=1))) for _ in range(MOST_AT_ONCE)]
    assert taken[0] is not None
    run(sends.mark(taken[0], 1, NOW + LEASE))

    async def fail(*_: object) -> bool:
        raise StoreError("down")

    with monkeypatch.context() as patch:
        patch.setattr(type(sends._sends), "finish", fail)
        with pytest.raises(StoreError):
            run(sends.finish(taken[0], SendState.DONE, None))
    assert drawn(sends) == "a"


def test_provider_has_a_part_of_the_senders(sends: FairSends) -> None:
    put(sends, *["slow"] * (MOST_AT_ONCE + 2))
    taken = [run(sends.take(LEASE, NOW + timedelta(seconds=1))) for _ in range(MOST_AT_ONCE + 1)]
    first = taken[0]
    assert first is not None
    assert taken[MOST_AT_ONCE] is None
    assert run(sends.finish(first, SendState.DONE, None))
    assert drawn(sends) == "slow"
    assert drawn(sends) is None


def test_order_sent_by_another_provider_counts_for_both(sends: FairSends) -> None:
    put(sends, *["slow"] * (MOST_AT_ONCE + 1))
    for _ in range(MOST_AT_ONCE):
        taken = run(sends.take(LEASE, NOW + timedelta(seconds=1)))
        assert taken is not None
        other = replace(taken, order=replace(taken.order, drivers=["other", "slow"]))
        run(sends.mark(other, 1, NOW + LEASE))
    for n, driver in enumerate(["other", "third"], 100):
        run(sends.put(queued(n, drivers=[driver]), NOW + timedelta(seconds=1)))
    assert drawn(sends, NOW + timedelta(seconds=5)) == "third"
    assert drawn(sends, NOW + timedelta(seconds=5)) is None


@pytest.mark.parametrize(("senders", "most"), [(1, 1), (2, 1), (8, 4), (64, 32)])
def test_provider_has_half_of_the_senders(sends: FairSends, senders: int, most: int) -> None:
    put(sends, *["slow"] * 33)
    sends.divide(senders)
    assert [drawn(sends) for _ in range(most + 1)] == [*["slow"] * most, None]


def test_sender_that_failed_is_free_after_its_lease(sends: FairSends) -> None:
    put(sends, *["slow"] * (2 * MOST_AT_ONCE))
    now = NOW + timedelta(seconds=1)
    for _ in range(MOST_AT_ONCE):
        taken = run(sends.take(LEASE, now))
        assert taken is not None
        run(sends.mark(taken, 1, now + LEASE))
    assert drawn(sends, now + LEASE - timedelta(seconds=1)) is None
    assert drawn(sends, now + LEASE) == "slow"


def test_order_that_is_drawn_and_not_sent_frees_its_sender(sends: FairSends) -> None:
    """As those of a service whose settings have mistakes: they wait, and other services have the same provider."""
    put(sends, *["a"] * (MOST_AT_ONCE + 1))
    for _ in range(MOST_AT_ONCE):
        assert drawn(sends) == "a"
    assert drawn(sends) is None
    assert drawn(sends, NOW + timedelta(seconds=2)) == "a"


def test_sender_that_asks_late_is_counted(sends: FairSends) -> None:
    put(sends, *["a"] * (MOST_AT_ONCE + 2))
    taken = [run(sends.take(LEASE, NOW + timedelta(seconds=1))) for _ in range(MOST_AT_ONCE)]
    later = NOW + timedelta(seconds=3)
    assert drawn(sends, later) == "a"
    for each in taken:
        assert each is not None
        run(sends.mark(each, 1, later + LEASE))
    assert drawn(sends, later + timedelta(seconds=2)) is None


def test_named_order_is_drawn_in_any_case(sends: FairSends) -> None:
    put(sends, *["slow"] * (MOST_AT_ONCE + 1))
    for _ in range(MOST_AT_ONCE):
        drawn(sends)
    key = (queued(MOST_AT_ONCE).verification, 1)
    assert run(sends.take(LEASE, NOW + timedelta(seconds=1), key)) is not None


def test_slow_provider_does_not_delay_a_fast_one(sends: FairSends) -> None:
    """Eight senders, twenty orders for a provider that hangs, and then three for one that answers."""
    released, lock, asked = threading.Event(), threading.Lock(), 0

    def hang() -> None:
        nonlocal asked
        with lock:
            asked += 1
        assert released.wait(60)

    here = Harness(slow := sms(on_start=hang), fast := flash(*["4321"] * 3))
    here.parts = replace(here.parts, sends=sends)
    here.verifier = Verifier(here.parts)
    numbers = [PhoneNumber(f"+98912000{n:04}") for n in range(23)]
    for number in numbers[:20]:
        here.begun(SMS, number)
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.01):
            try:
                run(Verifier(here.parts).flows.send_queued())
            except StoreError:  # SQLite is busy
                continue

    threads = [threading.Thread(target=work) for _ in range(2 * MOST_AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        while asked < MOST_AT_ONCE:
            assert not released.wait(0.01)
        for number in numbers[20:]:
            here.begun(FLASH, number)
        while len(fast.orders) < 3:
            assert not released.wait(0.01)
        assert asked == MOST_AT_ONCE
        released.set()
        while len(slow.orders) < 20:
            assert not ended.wait(0.01)
    finally:
        released.set()
        ended.set()
        for thread in threads:
            thread.join()
