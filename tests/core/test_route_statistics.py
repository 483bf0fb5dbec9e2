"""Orders by rules: the drawn driver, what is counted of it, and what the event says."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from phone_verify.conversions import Conversion, route_key
from phone_verify.errors import StoreError
from phone_verify.events.record import VerificationEvent
from phone_verify.model import CallState, Channel, Reason, Receipt, Sighting
from phone_verify.phone import PhoneNumber
from phone_verify.routing.rules import Rule
from phone_verify.routing.statistics import RouteStatistics
from phone_verify.stores.memory import MemoryStore
from phone_verify.sync import run
from phone_verify.test_numbers import TestNumber

from .harness import (
    CALL,
    FLASH,
    LINE,
    OTHER_PHONE,
    PHONE,
    REFUSED,
    SMS,
    UNCLEAR,
    Caller,
    Harness,
    Remote,
    flash,
    sms,
    webhook,
    wrong,
)

pytestmark = pytest.mark.usefixtures("face")

OUTCOME = Rule(1, by_outcome=True)


def draws(*numbers: float) -> Callable[[], float]:
    """Return these numbers in turn, then the last again and again."""
    left = list(numbers)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def counts(harness: Harness, driver: str = "sms-1", channel: Channel = SMS, region: str = "IR") -> tuple[float, float]:
    (found,) = run(harness.store.conversions([route_key(driver, region, channel)], harness.clock()))
    return found.sent, found.verified


def test_weights_draw_the_first_driver_of_each_order() -> None:
    first, second = sms(), sms(name="sms-2")
    rule = Rule(1, weights={"sms-1": 1, "sms-2": 1})
    harness = Harness(first, second, rules=[rule], draw=draws(0.9, 0.0, 0.1, 0.0))
    harness.begun()
    harness.begun(phone=OTHER_PHONE)
    assert (len(first.orders), len(second.orders)) == (1, 1)


def test_failover_continues_in_the_drawn_order() -> None:
    first, second, third = sms(), sms(REFUSED, name="sms-2"), sms(name="sms-3")
    rule = Rule(1, weights={"sms-1": 1, "sms-2": 1, "sms-3": 1})
    harness = Harness(first, second, third, rules=[rule], draw=draws(0.5, 0.9, 0.0))
    harness.begun()
    assert [len(driver.orders) for driver in (first, second, third)] == [0, 1, 1]


def test_resend_stays_with_the_driver_of_the_order() -> None:
    heard: list[VerificationEvent] = []
    first, second = sms(), sms(name="sms-2")
    rule = Rule(3, weights={"sms-1": 1, "sms-2": 1})
    harness = Harness(first, second, rules=[rule], draw=draws(0.9, 0.0, 0.1, 0.0), listeners=[heard.append])
    id, secret = harness.begun()
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret).ok
    assert (len(first.orders), len(second.orders)) == (0, 2)
    assert [(event.verb, event.route) for event in heard] == [("start", "3:weight"), ("resend", "3:resend")]
    assert "route=3:weight" in str(heard[0])


def test_event_has_no_route_without_a_rule() -> None:
    heard: list[VerificationEvent] = []
    Harness(sms(), rules=[Rule(1, regions=("RU",))], listeners=[heard.append]).begun()
    assert [event.route for event in heard] == [None]


@pytest.mark.parametrize(("number", "route"), [(0.01, "1:trial"), (0.5, "1:order")])
def test_event_says_whether_a_trial_was_first(number: float, route: str) -> None:
    heard: list[VerificationEvent] = []
    rule = Rule(1, trial={"sms-2": 5})
    Harness(sms(), sms(name="sms-2"), rules=[rule], draw=draws(number), listeners=[heard.append]).begun()
    assert [(event.driver, event.route) for event in heard] == [("sms-2" if number < 0.05 else "sms-1", route)]


def test_silent_driver_is_last_in_any_draw() -> None:
    heard: list[VerificationEvent] = []
    first, second = sms(), sms(name="sms-2")
    rule = Rule(1, trial={"sms-2": 50})
    harness = Harness(first, second, rules=[rule], draw=draws(0.1), listeners=[heard.append])
    for _ in range(20):
        harness.parts.router.unreachable(second)
    harness.begun()
    assert [(event.driver, event.route) for event in heard] == [("sms-1", "1:failover")]


def test_resend_leaves_a_silent_driver() -> None:
    heard: list[VerificationEvent] = []
    first, second = sms(), sms(name="sms-2")
    harness = Harness(first, second, rules=[Rule(1)], listeners=[heard.append])
    id, secret = harness.begun()
    for _ in range(20):
        harness.parts.router.unreachable(first)
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret).ok
    assert [(event.driver, event.route) for event in heard] == [("sms-1", "1:order"), ("sms-2", "1:failover")]


def test_orders_and_verifications_are_counted() -> None:
    driver = sms()
    harness = Harness(driver, rules=[OUTCOME])
    id, secret = harness.begun()
    assert counts(harness) == (1.0, 0.0)
    assert harness.verifier.check(id, secret, wrong(driver.codes[0])).reason is Reason.WRONG_CODE
    assert counts(harness) == (1.0, 0.0)
    assert harness.verifier.check(id, secret, driver.codes[0]).ok
    assert counts(harness) == (1.0, 1.0)
    assert harness.verifier.check(id, secret, driver.codes[0]).reason is Reason.CLOSED
    assert counts(harness) == (1.0, 1.0)


def test_resend_counts_as_another_order() -> None:
    driver = sms()
    harness = Harness(driver, rules=[OUTCOME])
    id, secret = harness.begun()
    harness.clock.move(60)
    harness.verifier.resend(id, secret)
    assert harness.verifier.check(id, secret, driver.codes[-1]).ok
    assert counts(harness) == pytest.approx((2.0, 1.0), abs=0.01)


def test_failover_counts_for_the_driver_that_accepted() -> None:
    second = sms(name="sms-2")
    harness = Harness(sms(REFUSED), second, rules=[OUTCOME], draw=draws(0.3))
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, second.codes[0]).ok
    assert (counts(harness), counts(harness, "sms-2")) == ((0.0, 0.0), (1.0, 1.0))


def test_unclear_order_counts_as_sent() -> None:
    harness = Harness(sms(UNCLEAR), rules=[OUTCOME])
    harness.begun()
    assert counts(harness) == (1.0, 0.0)
    harness = Harness(flash(UNCLEAR), rules=[OUTCOME])
    assert harness.start().reason is Reason.DELIVERY_FAILED
    assert counts(harness, "flash-1", FLASH) == (1.0, 0.0)


def test_remote_check_counts_for_its_provider() -> None:
    harness = Harness(Remote(False, True), rules=[OUTCOME])
    id, secret = harness.begun()
    harness.verifier.check(id, secret, "12345")
    assert counts(harness, "remote") == (1.0, 0.0)
    assert harness.verifier.check(id, secret, "12346").ok
    assert counts(harness, "remote") == (1.0, 1.0)


def test_call_counts_for_its_provider() -> None:
    caller = Caller([Receipt("7", line=LINE)], [Sighting(CallState.CALLED, PHONE)])
    harness = Harness(caller, rules=[OUTCOME])
    harness.begun(CALL)
    called = webhook(id="7", caller=PHONE.e164)
    assert harness.verifier.receive("caller", called).verified
    assert not harness.verifier.receive("caller", called).verified
    assert counts(harness, "caller", CALL) == (1.0, 1.0)


def test_rules_without_outcome_count_nothing() -> None:
    driver = sms()
    harness = Harness(driver, rules=[Rule(1, regions=("RU",), by_outcome=True), Rule(2)])
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, driver.codes[0]).ok
    assert counts(harness) == (0.0, 0.0)


def test_regions_are_counted_apart() -> None:
    harness = Harness(sms(), rules=[OUTCOME])
    harness.begun()
    harness.begun(phone=PhoneNumber("+79160000002"))
    harness.begun(phone=PhoneNumber("+79160000003"))
    assert (counts(harness)[0], counts(harness, region="RU")[0]) == (1.0, 2.0)


def test_test_number_is_not_counted() -> None:
    last_day = date(2100, 1, 1)
    harness = Harness(sms(), rules=[OUTCOME], test_numbers={PHONE: TestNumber(PHONE, "482193", last_day)})
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, "482193").ok
    assert counts(harness) == (0.0, 0.0)


class NoConversions(MemoryStore):
    """A store that fails at conversions."""

    async def add_conversion(self, *_: object) -> None:
        raise StoreError("down")

    async def conversions(self, *_: object) -> Sequence[Conversion]:
        raise StoreError("down")


def test_failing_conversions_lose_no_verification(caplog: pytest.LogCaptureFixture) -> None:
    first, second = sms(), sms(name="sms-2")
    harness = Harness(first, second, store=NoConversions(), rules=[OUTCOME], draw=draws(0.0))
    with caplog.at_level(logging.WARNING, "phone_verify"):
        id, secret = harness.begun()
        assert harness.verifier.check(id, secret, first.codes[0]).ok
    assert len(first.orders) == 1, "the order of the rule applies"
    assert sum("conversions" in record.message for record in caplog.records) == 1
    assert sum("could not count an order of sms-1" in record.message for record in caplog.records) == 1


def test_conversions_are_read_once_in_ten_seconds() -> None:
    reads = []

    class Counting(MemoryStore):
        async def conversions(self, *arguments: Any) -> Sequence[Conversion]:
            reads.append(arguments[0])
            return await super().conversions(*arguments)

    harness = Harness(sms(), sms(name="sms-2"), store=Counting(), rules=[OUTCOME])
    for _ in range(3):
        harness.begun()
    assert reads == [("sms-1:IR:sms", "sms-2:IR:sms")]
    harness.ticks += 10
    harness.begun()
    assert len(reads) == 2


def test_route_that_failed_is_not_counted_for_ten_seconds() -> None:
    tried = []

    class Failing(NoConversions):
        async def add_conversion(self, route: str, *_: object) -> None:
            tried.append(route)
            raise StoreError("locked")

    harness = Harness(sms(), store=Failing(), rules=[OUTCOME])
    harness.begun()
    harness.begun(phone=OTHER_PHONE)
    assert tried == ["sms-1:IR:sms"]
    harness.begun(phone=PhoneNumber("+79160000002"))
    assert tried == ["sms-1:IR:sms", "sms-1:RU:sms"], "other routes are counted"
    harness.ticks += 10
    harness.begun(phone=PhoneNumber("+989120000003"))
    assert tried == ["sms-1:IR:sms", "sms-1:RU:sms", "sms-1:IR:sms"]


def test_concurrent_orders_read_conversions_once() -> None:
    reads, barrier, read = [], threading.Barrier(20), threading.Event()

    class Slow(MemoryStore):
        async def conversions(self, *arguments: Any) -> Sequence[Conversion]:
            reads.append(arguments[0])
            assert read.wait(30)
            return await super().conversions(*arguments)

    harness = Harness(sms(), sms(name="sms-2"), store=Slow(), rules=[OUTCOME])
    started: list[str] = []

    def start(n: int) -> None:
        barrier.wait(30)
        started.append(harness.begun(phone=PhoneNumber(f"+9891200000{n:02}"))[0])
        if len(started) == 19:
            read.set()  # the others do not wait for the one that reads

    threads = [threading.Thread(target=start, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(started), len(reads)) == (20, 1)


def test_concurrent_tasks_read_conversions_once() -> None:
    reads = 0

    class Slow(MemoryStore):
        async def conversions(self, *arguments: Any) -> Sequence[Conversion]:
            nonlocal reads
            reads += 1
            await asyncio.sleep(0)
            return await super().conversions(*arguments)

    harness = Harness(sms(), rules=[OUTCOME])
    statistics = RouteStatistics(Slow(), harness.parts.router, harness.clock, lambda: 0.0)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(statistics.of(SMS, PHONE, ["sms-1"]) for _ in range(50)))

    assert (asyncio.run(all_at_once()).count(None), reads) == (49, 1)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -5.0, 1.7e308])
@pytest.mark.timeout(20)
def test_impossible_counts_leave_an_order(wrong: float) -> None:
    class Wrong(MemoryStore):
        async def conversions(self, routes: Sequence[str], now: Any) -> Sequence[Conversion]:
            return [Conversion(wrong, wrong, now) for _ in routes]

    harness = Harness(sms(), sms(name="sms-2"), store=Wrong(), rules=[OUTCOME])
    harness.begun()
    [sms_route] = harness.verifier.explain_routes(PHONE)
    assert [(driver.sent, driver.rate) for driver in sms_route.drivers] == [(0.0, 0.5)] * 2


def test_bad_driver_loses_its_orders() -> None:
    good, bad = sms(name="good"), sms(name="bad")
    limits = {"sends_per_hour_per_prefix": 0, "sends_per_hour_total": 0}
    harness = Harness(bad, good, rules=[OUTCOME], draw=random.Random(5).random, **limits)
    for _ in range(150):
        sent = len(good.orders)
        id, secret = harness.begun()
        if len(good.orders) > sent:
            assert harness.verifier.check(id, secret, good.codes[-1]).ok
        harness.ticks += 10
        harness.clock.move(60)
    assert len(bad.orders) < 40


def test_threads_count_every_order() -> None:
    driver = sms()
    harness = Harness(driver, rules=[OUTCOME])
    barrier = threading.Barrier(20)

    def start(n: int) -> None:
        barrier.wait(30)
        harness.begun(phone=PhoneNumber(f"+9891200000{n:02}"))

    threads = [threading.Thread(target=start, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert counts(harness) == pytest.approx((20.0, 0.0), abs=0.01)


def test_unused_statistics_fade() -> None:
    harness = Harness(sms(), rules=[OUTCOME])
    harness.begun()
    harness.clock.move(timedelta(days=21).total_seconds())
    assert counts(harness)[0] < 0.06
