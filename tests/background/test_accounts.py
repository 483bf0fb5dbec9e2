"""Orders that wait for a worker, in the ledger, the quotas and the outgoing webhooks: each has one end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.database.outbox import SqlOutbox
from phone_verify.database.outbox_tables import MESSAGE
from phone_verify.database.work import work_in
from phone_verify.delivery import Undelivered
from phone_verify.errors import FailureKind, ProviderError, UnusableServiceError
from phone_verify.exchange import Exchange, HttpRequest
from phone_verify.ledger.caps import Cap, Window
from phone_verify.ledger.prices import Price, Prices
from phone_verify.ledger.sweeping import sweep
from phone_verify.ledger.values import ChargedFor, Terms
from phone_verify.model import Cause, DeliveryReport, DeliveryState, Reason, Receipt, Status
from phone_verify.routing import Router
from phone_verify.sync import run
from phone_verify.testing.outbox_suite import endpoint
from phone_verify.verifier.blocking import Verifier
from phone_verify.verifier.refunds import Refund
from phone_verify.webhooks_out.base import Wanted
from phone_verify.work.rows import RowSends
from phone_verify.work.sends import SEND_LEASE, SendState
from tests.core.harness import (
    CALL,
    FLASH,
    OTHER_PHONE,
    PHONE,
    REFUSED,
    SMS,
    UNCLEAR,
    AsyncFace,
    Caller,
    Driver,
    Harness,
    flash,
    sms,
)
from tests.ledger.conftest import SMS_PRICE, TABLE, Books
from tests.ledger_files import with_tables

KEY = b"k" * 32


class Shop:
    """A verifier with a ledger, webhooks and a queue, all in one database."""

    def __init__(self, ledger: SqlLedger, *drivers: Any, policy: Any = None, **own: Any) -> None:
        self.books = Books(ledger, Harness(*drivers, **(policy or {})), reference_key=KEY, **own)
        self.here, self.ledger = self.books.harness, ledger
        self.outbox, (self.sends, _) = SqlOutbox(ledger.database), work_in(ledger.database)
        self.here.parts = replace(self.here.parts, sends=self.sends)
        self.verifier: Any = Harness.face(self.here.parts)
        self.here.verifier = self.verifier
        #: The verifier of a worker.
        self.flows: Any = Harness.face(self.here.parts)

    def work(self) -> bool:
        """Send one order, as a worker does."""
        return bool(self.flows.send_queued())

    def settle(self, *, known: bool = True) -> None:
        """Settle what stayed open; the store has no record any more unless `known`."""

        async def look_up(id: str) -> Any:
            return await self.here.store.get(id, self.here.clock()) if known else None

        run(sweep(self.ledger, look_up, self.here.clock()))

    def ends(self) -> list[tuple[str, str]]:
        """Return the type and the status of the messages about ends, the first one first."""
        found = [json.loads(self.body(each.position)) for each in reversed(run(self.outbox.deliveries(Wanted())))]
        return [(each["type"].partition(".")[2], each["data"]["status"]) for each in found]

    def body(self, position: int) -> str:
        with self.ledger.database.engine.connect() as connection:
            query = sa.select(MESSAGE.c.body).where(MESSAGE.c.position == position)
            return str(connection.execute(query).scalar_one())


@pytest.fixture(params=[Verifier, AsyncFace], ids=["blocking", "async"])
def face(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Harness, "face", staticmethod(request.param))


@pytest.fixture
def shop(face: None, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    ledger = SqlLedger(Database.from_url(with_tables(tmp_path / "ledger.sqlite3")), lambda service: [endpoint()])
    yield lambda *drivers, **more: Shop(ledger, *drivers, **more)
    ledger.database.engine.dispose()


Make = Callable[..., Shop]


# The end of an order.


def test_order_that_expires_in_the_queue_is_reported_and_costs_nothing(shop: Make) -> None:
    made = shop(driver := sms())
    id, _ = made.here.begun()
    (row,) = made.books.rows(id)
    assert (row.outcome, row.reserved, row.open) == ("unsent", SMS_PRICE, True)
    made.here.clock.move(3600)
    assert made.work()
    (row,) = made.books.rows(id)
    assert (driver.orders, row.outcome, row.reserved, row.charged, row.open) == ([], "unsent", 0, 0, False)
    assert made.ends() == [("expired", "expired")]
    made.settle()
    assert made.ends() == [("expired", "expired")]


def test_order_that_is_too_late_is_reported_at_its_end(shop: Make) -> None:
    made = shop(driver := sms())
    id, secret = made.here.begun()
    left = made.verifier.get(id, secret).verification.expires_at - made.here.clock()
    made.here.clock.move(left.total_seconds() - 3)
    assert made.work()
    assert made.ends() == []
    made.here.clock.move(3)
    assert made.work()
    (row,) = made.books.rows(id)
    assert (driver.orders, row.outcome, row.charged, row.reserved, row.open) == ([], "unsent", 0, 0, False)
    assert made.ends() == [("expired", "expired")]


def test_expired_order_is_reported_without_a_worker(shop: Make) -> None:
    made = shop(sms())
    id, _ = made.here.begun()
    made.here.clock.move(3600)
    made.settle()
    assert [(row.outcome, row.charged, row.open) for row in made.books.rows(id)] == [("unsent", 0, False)]
    assert made.ends() == [("expired", "expired")]
    assert made.work()
    assert made.ends() == [("expired", "expired")]


@pytest.mark.parametrize("first", ["worker", "sweep"])
def test_order_whose_record_is_gone_is_reported_once(shop: Make, first: str) -> None:
    made = shop(sms())
    made.here.begun()
    made.here.clock.move(25 * 3600)
    run(made.here.store.erase(made.verifier.tag(PHONE), made.here.clock()))
    for step in [made.work, lambda: made.settle(known=False)][:: 1 if first == "worker" else -1]:
        step()
    assert made.ends() == [("expired", "expired")]


def test_failed_verification_does_not_expire_too(shop: Make) -> None:
    made = shop(flash(UNCLEAR))
    id, _ = made.here.begun(FLASH)
    assert made.work()
    assert made.ends() == [("failed", "failed")]
    made.here.clock.move(25 * 3600)
    made.settle(known=False)
    assert made.ends() == [("failed", "failed")]
    assert [row.open for row in made.books.rows(id)] == [False]


def test_verified_order_without_a_record_does_not_expire(shop: Make) -> None:
    prices = replace(TABLE, entries=[Price(SMS_PRICE, "EUR", charged_for=ChargedFor.DELIVERED)])
    made = shop(driver := sms(), prices=prices)
    id, secret = made.here.begun()
    made.work()
    made.here.clock.move(60)
    made.verifier.resend(id, secret)
    made.work()
    assert made.verifier.check(id, secret, driver.codes[0]).ok
    assert [row.open for row in made.books.rows(id)] == [True, False]
    made.here.clock.move(25 * 3600)
    made.settle(known=False)
    # What was delivered and charged is known no more; that one of them verified is.
    assert [(row.outcome, row.open) for row in made.books.rows(id)] == [("sent", False), ("verified", False)]
    assert made.ends()[-1] == ("verified", "verified")
    assert [name for name, _ in made.ends()].count("expired") == 0


def test_cancelled_order_is_reported_once_and_released(shop: Make) -> None:
    made = shop(sms(), terms=Terms("EUR", trial=SMS_PRICE))
    id, secret = made.here.begun()
    made.verifier.cancel(id, secret)
    assert made.work()
    assert made.ends() == [("failed", "cancelled")]
    account = run(made.ledger.account("default"))
    assert account is not None
    assert account.available == SMS_PRICE


def test_superseded_order_is_closed_and_not_charged(shop: Make) -> None:
    made = shop(text := sms(), flash("4321"))
    id, secret = made.here.begun(SMS)
    made.verifier.resend(id, secret, channel=FLASH)
    first, second = made.books.rows(id)
    assert (first.outcome, first.open, first.reserved, second.open) == ("unsent", False, 0, True)
    assert made.work()
    assert not made.work()
    assert made.verifier.check(id, secret, "4321").ok
    assert [(row.send, row.outcome) for row in made.books.rows(id)] == [(1, "unsent"), (2, "verified")]
    assert (text.orders, made.ends()) == ([], [("sent", "sent"), ("verified", "verified")])


def test_orders_that_fail_at_the_same_time_end_their_verification(shop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = shop(sms(), flash(REFUSED))
    id, secret = made.here.begun(SMS)
    one = run(made.sends.take(SEND_LEASE, made.here.clock()))
    assert one is not None
    run(made.sends.mark(one, 1, made.here.clock() + SEND_LEASE))
    made.verifier.resend(id, secret, channel=FLASH)
    real = RowSends.finish

    async def other_worker_first(self: RowSends, *result: Any) -> bool:
        """Let the other worker find that this one's order is still being sent."""
        monkeypatch.setattr(RowSends, "finish", real)
        flows = Verifier(made.here.parts).flows
        record = await made.here.store.get(id, made.here.clock())
        await flows._failed(record, self, one, Undelivered(Cause.SERVICE, refused=True))
        assert (await made.here.store.get(id, made.here.clock())).state is Status.PENDING
        return await real(self, *result)

    monkeypatch.setattr(RowSends, "finish", other_worker_first)
    monkeypatch.setattr(Harness, "face", staticmethod(Verifier))
    assert run(Verifier(made.here.parts).flows.send_queued())
    assert made.verifier.get(id, secret).verification.state is Status.FAILED
    assert made.ends() == [("failed", "failed")]


def test_order_in_the_request_ends_what_failed_meanwhile(shop: Make) -> None:
    made = shop(sms(REFUSED), caller := Caller([REFUSED]))
    caller.on_start = lambda: run(Verifier(made.here.parts).flows.send_queued())
    id, secret = made.here.begun(SMS)
    assert not made.verifier.resend(id, secret, channel=CALL).ok
    assert made.verifier.get(id, secret).verification.state is Status.FAILED
    assert made.ends() == [("failed", "failed")]


def test_process_that_died_before_its_order_was_kept_owes_nothing(shop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = shop(sms(), terms=Terms("EUR", trial=SMS_PRICE))

    async def die(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(RowSends, "put", die)
    with pytest.raises(KeyboardInterrupt):
        made.here.start()
    made.here.clock.move(20 * 60)
    made.settle()
    account = run(made.ledger.account("default"))
    assert account is not None
    assert (account.available, account.reserved) == (SMS_PRICE, 0)
    assert made.ends() == [("expired", "expired")]


def test_refused_call_and_failed_sms_are_reported_once(shop: Make) -> None:
    made = shop(sms(REFUSED), Caller([REFUSED]))
    id, secret = made.here.begun(SMS)
    assert not made.verifier.resend(id, secret, channel=CALL).ok
    assert made.work()
    assert made.verifier.get(id, secret).verification.state is Status.FAILED
    assert made.ends() == [("failed", "failed")]


def test_failed_order_is_reported_once(shop: Make) -> None:
    made = shop(sms(REFUSED))
    id, _ = made.here.begun()
    made.work()
    made.here.clock.move(3600)
    made.settle()
    assert [row.outcome for row in made.books.rows(id)] == ["refused"]
    assert made.ends() == [("failed", "failed")]


# Caps and balances at the start.


def test_cap_refuses_at_the_start(shop: Make) -> None:
    made = shop(driver := sms(), caps=[Cap(Window.HOUR, count=2)])
    for phone in (PHONE, OTHER_PHONE):
        assert made.here.start(SMS, phone).ok
    made.here.clock.move(60)
    refused = made.here.start(SMS)
    assert refused.reason is Reason.SERVICE_SUSPENDED
    assert made.ends() == [("failed", "failed")]
    while made.work():
        pass
    assert len(driver.orders) == 2


def test_balance_refuses_a_resend_and_ends_nothing(shop: Make) -> None:
    made = shop(driver := sms(), terms=Terms("EUR", trial=SMS_PRICE))
    id, secret = made.here.begun()
    made.work()
    made.here.clock.move(60)
    assert made.verifier.resend(id, secret).reason is Reason.SERVICE_SUSPENDED
    assert made.verifier.check(id, secret, driver.codes[0]).ok


def test_order_fails_that_waited_while_a_cap_refused_the_resend(shop: Make) -> None:
    made = shop(sms(REFUSED), rung := flash("4321"), caps=[Cap(Window.HOUR, count=1)])
    id, secret = made.here.begun(SMS)
    assert made.verifier.resend(id, secret, channel=FLASH).reason is Reason.SERVICE_SUSPENDED
    assert made.verifier.get(id, secret).verification.state is Status.PENDING
    assert made.work()
    assert not made.work()
    assert (made.verifier.get(id, secret).verification.state, rung.orders) == (Status.FAILED, [])
    assert made.ends() == [("failed", "failed")]


@pytest.mark.parametrize("gone", ["left", "silent"])
@pytest.mark.parametrize("limit", ["balance", "cap"])
def test_other_driver_than_the_first_is_covered_by_the_reservation(shop: Make, gone: str, limit: str) -> None:
    prepaid = {"terms": Terms("EUR", trial=SMS_PRICE)} if limit == "balance" else {"caps": [Cap(Window.DAY, count=1)]}
    made = shop(first := sms(), second := sms(name="sms-2"), **prepaid)
    id, secret = made.here.begun()
    router = Router({SMS: [second] if gone == "left" else [first, second]}, ticks=lambda: made.here.ticks)
    for _ in range(20):
        router.unreachable(first)
    made.flows = Harness.face(replace(made.here.parts, router=router))
    assert made.work()
    assert (len(first.orders), len(second.orders)) == (0, 1)
    assert [(row.driver, row.outcome) for row in made.books.rows(id)] == [("sms-2", "sent")]
    assert made.verifier.check(id, secret, second.codes[0]).ok


def test_failover_is_checked_by_the_worker(shop: Make) -> None:
    second = sms(name="second")
    made = shop(sms(REFUSED, name="first"), second, caps=[Cap(Window.HOUR, count=1)])
    id, secret = made.here.begun()
    assert made.work()
    found = made.verifier.get(id, secret)
    assert (found.verification.state, second.orders) == (Status.FAILED, [])


# Quotas.


@pytest.mark.parametrize("error", [REFUSED, ProviderError(FailureKind.BAD_NUMBER, "no")])
def test_failed_order_leaves_its_quotas(shop: Make, error: Exception) -> None:
    limits = {"sends_per_hour": 1, "sends_per_hour_per_prefix": 1, "sends_per_hour_per_address": 1}
    made = shop(sms(error, error), policy=limits)
    for _ in range(2):
        started = made.here.start(SMS, address="192.0.2.7", by_client=True)
        assert started.ok, started
        made.work()
    assert made.ends() == [("failed", "failed")] * 2


def test_order_that_may_be_sent_stays_counted(shop: Make) -> None:
    made = shop(sms(UNCLEAR), policy={"sends_per_hour": 1})
    made.here.begun()
    made.work()
    assert made.here.start().reason is Reason.TOO_MANY_REQUESTS


def test_refused_orders_of_a_phone_are_counted(shop: Make) -> None:
    made = shop(sms(*[REFUSED] * 20))
    reasons = []
    for _ in range(20):
        reasons.append(made.here.start().reason)
        made.work()
    assert Reason.TOO_MANY_REQUESTS in reasons


def test_worker_whose_lease_ended_gives_nothing_back(shop: Make) -> None:
    made = shop(sms(REFUSED, REFUSED), policy={"sends_per_hour": 1})
    made.here.begun()
    taken = run(made.sends.take(SEND_LEASE, made.here.clock()))
    assert taken is not None
    made.here.clock.move(SEND_LEASE.total_seconds())
    other = run(made.sends.take(SEND_LEASE, made.here.clock()))
    assert other is not None
    assert not run(made.sends.finish(taken, SendState.FAILED, None))
    refund = Refund.read(taken.order.counted)
    assert Refund.read(refund.written()) == refund
    assert [quota.key for quota in refund.of_phone]
    assert PHONE.e164[1:] not in taken.order.counted


# Look-ups of deliveries.


class Polled(Driver):
    """A driver that is charged for deliveries and reports them only to queries, each by its reference."""

    def __init__(self, name: str, *references: str) -> None:
        super().__init__(name, SMS, sms().ability, [Receipt(reference) for reference in references])
        self.asked: list[str] = []

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        self.asked.append(reference)
        return DeliveryReport(None, DeliveryState.DELIVERED)
        yield HttpRequest.get("http://nobody")


def test_every_send_is_looked_up_and_charged(shop: Make) -> None:
    prices = Prices("EUR", [Price(SMS_PRICE, "EUR", charged_for=ChargedFor.DELIVERED)])
    made = shop(driver := Polled("polled", "+989120000001", "order-2"), prices=prices)
    id, secret = made.here.begun()
    made.work()
    made.here.clock.move(60)
    made.verifier.resend(id, secret)
    made.work()
    assert "989120000001" not in repr(made.books.rows(id)) + str([row.sealed for row in made.books.rows(id)])
    assert made.verifier.check(id, secret, driver.codes[0]).ok
    made.here.clock.move(60)
    assert made.flows.look_up_deliveries() == 1
    assert driver.asked == ["+989120000001"]
    rows = made.books.rows(id)
    assert [(row.charged, row.delivery) for row in rows] == [(SMS_PRICE, "delivered"), (SMS_PRICE, "")]
    made.here.clock.move(600)
    assert made.flows.look_up_deliveries() == 0


def test_open_sends_of_two_providers_are_looked_up(shop: Make) -> None:
    first, second = Polled("first", "a"), Polled("second", "b")
    made = shop(first, second)
    for phone, driver in ((PHONE, "first"), (OTHER_PHONE, "second")):
        made.here.begun(SMS, phone)
        first.on_start = lambda: None
        if driver == "second":
            first.results = [REFUSED]
        made.work()
    made.here.clock.move(60)
    assert made.flows.look_up_deliveries() == 2
    assert (first.asked, second.asked) == (["a"], ["b"])


def test_send_of_a_deleted_service_is_not_looked_up(shop: Make) -> None:
    made = shop(driver := Polled("polled", "a"))
    made.here.begun()
    made.work()
    made.here.clock.move(60)

    async def no_service(name: str) -> None:
        return None

    other = Harness.face(replace(made.here.parts, find_service=no_service))
    assert other.look_up_deliveries() == 0
    assert driver.asked == []


def test_order_cancelled_just_before_its_driver_is_asked_is_not_sent(
    shop: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shop(driver := sms())
    id, secret = made.here.begun()
    mark = RowSends.mark

    async def cancel_first(self: RowSends, *given: Any) -> None:
        monkeypatch.setattr(RowSends, "mark", mark)
        await made.verifier.flows.cancel(id, secret)
        await mark(self, *given)

    monkeypatch.setattr(RowSends, "mark", cancel_first)
    assert made.work()
    (row,) = made.books.rows(id)
    assert (driver.orders, row.outcome, row.reserved, row.charged) == ([], "unsent", 0, 0)
    assert run(made.sends.outcome(id, 1)) == (SendState.DROPPED, None)
    assert made.ends() == [("failed", "cancelled")]


def test_order_of_an_unusable_service_waits_until_it_has_ended(shop: Make) -> None:
    made = shop(driver := sms())
    id, _ = made.here.begun()

    async def find(name: str) -> Any:
        raise UnusableServiceError(name)

    worker = Harness.face(replace(made.here.parts, find_service=find))
    assert worker.send_queued()
    assert not worker.send_queued()
    made.here.clock.move(SEND_LEASE.total_seconds())
    assert worker.send_queued()
    made.here.clock.move(3600)
    assert worker.send_queued()
    assert (driver.orders, run(made.sends.outcome(id, 1))) == ([], (SendState.DROPPED, None))
    made.settle()
    assert made.ends() == [("expired", "expired")]
    (row,) = made.books.rows(id)
    assert (row.outcome, row.reserved, row.charged) == ("unsent", 0, 0)


def test_unusable_service_stops_no_look_ups_of_others(shop: Make) -> None:
    made = shop(driver := Polled("polled", "a", "b"))
    for service, phone in (("broken", PHONE), ("default", OTHER_PHONE)):
        parts = replace(made.here.parts, service=service, ledger=replace(made.books.own, service=service))
        made.here.verifier = made.flows = Harness.face(parts)
        made.here.begun(SMS, phone)
        made.work()
    made.here.clock.move(60)

    async def find(name: str) -> Any:
        if name == "broken":
            raise UnusableServiceError(name)
        return Verifier(made.here.parts).flows

    other = Harness.face(replace(made.here.parts, find_service=find))
    assert other.look_up_deliveries() == 1
    assert driver.asked == ["b"]
