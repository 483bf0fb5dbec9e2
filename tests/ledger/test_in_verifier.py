"""The ledger in the operations: what each order, answer, call and report writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.database.outbox import SqlOutbox
from phone_verify.errors import FailureKind, ProviderError, StoreError
from phone_verify.exchange import Exchange, HttpRequest, WebhookRequest
from phone_verify.keys.keys import AccessKeys
from phone_verify.keys.orders import make_key, read_order
from phone_verify.ledger.caps import Cap, Window
from phone_verify.ledger.prices import Price, Prices
from phone_verify.ledger.sweeping import sweep
from phone_verify.ledger.values import AttemptOutcome, ChargedFor, Terms
from phone_verify.model import DeliveryReport, DeliveryState, Reason, Receipt
from phone_verify.sync import run
from phone_verify.test_numbers import TestNumber
from phone_verify.testing.outbox_suite import endpoint
from phone_verify.webhooks_out.base import Wanted
from tests.cases import in_one_test
from tests.core.harness import (
    CALL,
    FLASH,
    LINE,
    OTHER_PHONE,
    PHONE,
    SMS,
    UNCLEAR,
    DeafCaller,
    Driver,
    Harness,
    flash,
    sms,
    webhook,
)
from tests.keys.in_memory import KeysInMemory
from tests.ledger.conftest import SMS_PRICE, Books
from tests.ledger_files import with_tables

Make = Callable[..., Books]


class Reporting(Driver):
    """A driver that reports deliveries, in response to queries and by webhooks."""

    def __init__(self) -> None:
        super().__init__("sms-1", SMS, sms().ability, [Receipt("order-7", parts=1)])

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        return DeliveryReport(None, DeliveryState.DELIVERED)
        yield HttpRequest.get("http://nobody")

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport:
        return DeliveryReport(request.once("id"), DeliveryState.UNDELIVERED)


def after(books: Books, minutes: float = 20) -> None:
    """Let the time pass in which a verification can be open, and settle what stayed open."""
    books.harness.clock.move(minutes * 60)
    store, clock = books.harness.store, books.harness.clock
    run(sweep(books.ledger, lambda verification: store.get(verification, clock()), clock()))


def test_resend_without_the_key_is_a_row_of_the_key(books: Make) -> None:
    made = books(sms(Receipt("order-1"), Receipt("order-2")))
    keys = KeysInMemory()
    new = make_key(read_order(name="Shop", now=made.harness.clock()), os.urandom, made.harness.clock())
    keys.rows[new.key.id] = new.key
    made.harness.parts = replace(made.harness.parts, keys=AccessKeys(keys, made.harness.clock))
    made.harness.verifier = type(made.harness).face(made.harness.parts)
    id, secret = made.harness.begun(access_key=new.key.id)
    made.harness.clock.move(60)
    assert made.harness.verifier.resend(id, secret, address="192.0.2.1", by_client=True).ok
    assert [row.access_key for row in made.rows(id)] == [new.key.id] * 2


def test_each_attempt_is_a_row(books: Make) -> None:
    no_credit = ProviderError(FailureKind.BALANCE, "no credit")
    made = books(sms(no_credit, name="first"), sms(Receipt("order-7", parts=1), name="second"))
    id, _ = made.harness.begun()
    refused, sent = made.rows(id)
    assert (refused.driver, refused.outcome, refused.refusal, refused.cost) == ("first", "refused", "balance", 0)
    assert (sent.driver, sent.outcome, sent.send, sent.channel, sent.purpose) == ("second", "sent", 1, "sms", "login")
    assert (sent.cost, sent.currency, sent.charged, sent.account_currency) == (450, "IRR", SMS_PRICE, "EUR")
    assert (sent.region, sent.hint, sent.tag) == ("IR", PHONE.hint, made.harness.verifier.tag(PHONE))
    assert PHONE.e164[1:] not in repr(sent)


def test_resend_is_another_row(books: Make) -> None:
    driver = sms()
    made = books(driver)
    id, secret = made.harness.begun()
    made.harness.clock.move(60)
    assert made.harness.verifier.resend(id, secret).ok
    assert [row.send for row in made.rows(id)] == [1, 2]
    made.harness.clock.move(10)
    assert made.harness.verifier.check(id, secret, driver.codes[-1]).ok
    rows = made.rows(id)
    assert [row.outcome for row in rows] == ["sent", "verified"]
    assert (rows[1].verify_ms, [row.open for row in rows]) == (70_000, [False, False])


def test_unclear_order_stays_unclear(books: Make) -> None:
    made = books(sms(UNCLEAR))
    id, _ = made.harness.begun()
    (row,) = made.rows(id)
    assert (row.outcome, row.reserved, row.open) == ("unclear", SMS_PRICE, True)
    after(made)
    (row,) = made.rows(id)
    assert (row.outcome, row.charged, row.open) == ("unclear", SMS_PRICE, False)


def test_order_without_answer_expires(books: Make) -> None:
    made = books(sms())
    id, _ = made.harness.begun()
    after(made)
    (row,) = made.rows(id)
    assert (row.outcome, row.open) == ("expired", False)


def test_cancelled_order_expires(books: Make) -> None:
    made = books(sms())
    id, secret = made.harness.begun()
    made.harness.verifier.cancel(id, secret)
    assert [(row.outcome, row.open) for row in made.rows(id)] == [("expired", False)]


def test_call_verifies_its_row(books: Make) -> None:
    made = books(DeafCaller(Receipt("r", line=LINE)))
    id, _ = made.harness.begun(CALL)
    call = webhook(caller=PHONE.e164, line=LINE.e164, id="r")
    assert made.harness.verifier.receive("deaf", call).verified
    assert [row.outcome for row in made.rows(id)] == ["verified"]


def test_delivery_reports_are_written(books: Make) -> None:
    made = books(Reporting())
    id, _ = made.harness.begun()
    made.harness.verifier.receive("sms-1", webhook(id="order-7"))
    assert [row.outcome for row in made.rows(id)] == ["undelivered"]
    made.harness.verifier.receive("sms-1", webhook(id="order-8"))
    assert made.harness.verifier.delivery(id) is not None
    assert [row.outcome for row in made.rows(id)] == ["delivered"]


def test_provider_code_without_answer_is_accounted(books: Make) -> None:
    made = books(flash(UNCLEAR))
    assert made.harness.start(FLASH).reason is Reason.DELIVERY_FAILED
    (row,) = made.all_rows()
    assert (row.outcome, row.reserved) == ("unclear", Decimal("0.05"))
    after(made)
    assert made.all_rows() == []


def test_erase_removes_the_phone_from_the_ledger(books: Make) -> None:
    made = books(sms())
    id, _ = made.harness.begun()
    made.harness.verifier.erase(PHONE)
    assert made.rows(id) == []


def test_erase_deletes_the_messages_of_webhooks(tmp_path: Path) -> None:
    ledger = SqlLedger(Database.from_url(with_tables(tmp_path / "ledger.sqlite3")), lambda service: [endpoint()])
    outbox = SqlOutbox(ledger.database)
    made = Books(ledger, Harness(sms()))
    made.harness.begun()
    assert len(run(outbox.deliveries(Wanted()))) == 1
    made.harness.verifier.erase(PHONE)
    after(made)
    assert run(outbox.deliveries(Wanted())) == []


def test_erase_while_a_provider_is_asked_keeps_nothing(tmp_path: Path) -> None:
    ledger = SqlLedger(Database.from_url(with_tables(tmp_path / "ledger.sqlite3")), lambda service: [endpoint()])
    outbox = SqlOutbox(ledger.database)
    made = Books(ledger, Harness(sms(Receipt("order-7"), on_start=lambda: made.harness.verifier.erase(PHONE))))
    made.harness.start()
    (row,) = made.all_rows()
    assert (row.outcome, row.charged, row.tag, row.hint, row.reference) == ("sent", SMS_PRICE, "", "", None)
    assert run(outbox.deliveries(Wanted())) == []


def test_test_number_is_free(books: Make) -> None:
    number = TestNumber(PHONE, "482193", date(2099, 1, 1))
    made = books(sms(), test_numbers={PHONE: number}, caps=[Cap(Window.DAY, money=Decimal(0))])
    id, _ = made.harness.begun()
    assert [(row.driver, row.charged) for row in made.rows(id)] == [("(fixed code)", 0)]


def test_cap_suspends_before_the_provider_is_asked(books: Make) -> None:
    driver = sms()
    made = books(driver, caps=[Cap(Window.HOUR, money=2 * SMS_PRICE)])
    for _ in range(2):
        made.harness.begun()
        made.harness.clock.move(60)
    outcome = made.harness.start()
    assert (outcome.reason, outcome.cause) == (Reason.SERVICE_SUSPENDED, None)
    assert len(driver.orders) == 2
    assert [alarm.level for alarm in made.alarms] == [50, 100]
    made.harness.clock.move(3600)
    assert made.harness.start().ok


def test_record_only_cap_sends_on(books: Make) -> None:
    made = books(sms(), caps=[Cap(Window.HOUR, count=1, enforced=False)])
    assert made.harness.start().ok
    made.harness.clock.move(60)
    assert made.harness.start().ok
    assert [alarm.level for alarm in made.alarms] == [100]


def test_price_only_for_success_is_charged_at_the_answer(books: Make) -> None:
    driver = flash("4821", "4822")
    prices = Prices("EUR", [Price(Decimal("0.02"), "EUR", ChargedFor.VERIFIED)])
    made = books(driver, prices=prices, terms=Terms("EUR", trial=Decimal("0.02")))
    id, secret = made.harness.begun(FLASH)
    account = run(made.ledger.account("default"))
    assert account is not None
    assert (account.balance, account.available) == (Decimal("0.02"), Decimal(0))
    assert made.harness.start(FLASH).reason is not None
    assert made.harness.verifier.check(id, secret, "4821").ok
    account = run(made.ledger.account("default"))
    assert account is not None
    assert (account.balance, account.reserved) == (Decimal(0), Decimal(0))


def test_unknown_price_is_not_sent_under_a_cap_of_money(books: Make) -> None:
    driver = sms()
    made = books(driver, prices=Prices("EUR"), caps=[Cap(Window.DAY, money=Decimal(5))])
    assert made.harness.start().reason is Reason.SERVICE_SUSPENDED
    assert driver.orders == []


def test_long_text_is_paid_by_the_segment(books: Make) -> None:
    driver = sms(Receipt("r", parts=3))
    made = books(driver)
    id, _ = made.harness.begun()
    assert [(row.parts, row.cost, row.charged) for row in made.rows(id)] == [(3, 1350, 3 * SMS_PRICE)]


def test_segments_that_are_known_later_are_paid(books: Make) -> None:
    made = books(sms(Receipt("order-7")))
    id, _ = made.harness.begun()
    run(made.own.report("sms-1", DeliveryReport("order-7", DeliveryState.DELIVERED, parts=4)))
    assert [(row.parts, row.cost, row.charged) for row in made.rows(id)] == [(4, 1800, 4 * SMS_PRICE)]


def test_price_of_the_provider_counts(books: Make) -> None:
    made = books(sms(Receipt("r", price=Decimal(1000), currency="IRR")), caps=[Cap(Window.DAY, money=Decimal(5))])
    id, _ = made.harness.begun()
    assert [(row.cost, row.cost_source, row.charged) for row in made.rows(id)] == [(1000, "provider", Decimal("0.02"))]


# A ledger that fails.


class Broken:
    """A ledger whose steps fail from the given one on."""

    def __init__(self, books: Books, *failing: str) -> None:
        self._books, self._failing = books, failing

    def __getattr__(self, name: str) -> Any:
        if name in self._failing:
            return self._fail
        return getattr(self._books.ledger, name)

    async def _fail(self, *_: object, **__: object) -> None:
        raise StoreError("The ledger failed: connection refused")


def breaking(books: Books, *steps: str) -> None:
    object.__setattr__(books.own, "ledger", Broken(books, *steps))


def mended(books: Books) -> None:
    object.__setattr__(books.own, "ledger", books.ledger)


@pytest.mark.parametrize("caps", [[Cap(Window.DAY, count=5)], []], ids=["cap", "none"])
def test_failing_ledger_stops_only_what_a_cap_limits(books: Make, caps: list[Cap]) -> None:
    driver = sms()
    made = books(driver, caps=caps)
    breaking(made, "begin")
    outcome = made.harness.start()
    assert made.failures == [("begin", "sms-1")]
    assert outcome.reason is (Reason.UNAVAILABLE if caps else None)
    assert len(driver.orders) == (0 if caps else 1)


def test_attempt_is_written_by_its_end_if_its_begin_failed(books: Make) -> None:
    made = books(sms())
    breaking(made, "begin")
    id, _ = made.harness.begun()
    assert [row.outcome for row in made.rows(id)] == ["sent"]


@pytest.mark.parametrize("step", ["finish", "verify"])
def test_failure_after_the_send_is_healed_by_a_sweep(books: Make, step: str) -> None:
    driver = sms()
    made = books(driver)
    breaking(made, step)
    id, secret = made.harness.begun()
    assert made.harness.verifier.check(id, secret, driver.codes[0]).ok
    assert {name for name, _ in made.failures} == {step}
    mended(made)
    after(made)
    (row,) = made.rows(id)
    assert (row.outcome, row.charged, row.open) == (AttemptOutcome.VERIFIED, SMS_PRICE, False)


def test_sweep_leaves_open_verifications(books: Make) -> None:
    made = books(sms())
    id, _ = made.harness.begun()
    after(made, minutes=2)
    assert [row.open for row in made.rows(id)] == [True]


def test_nothing_is_asked_of_a_site_without_a_ledger(books: Make) -> None:
    made = books(sms())
    breaking(made, "begin", "finish", "verify", "end", "erase")
    made.harness.verifier = type(made.harness).face(replace(made.harness.parts, ledger=None))
    made.harness.begun()
    made.harness.verifier.erase(PHONE)
    assert made.failures == []


@in_one_test
@pytest.mark.parametrize("price", ["999999999999999", "1E+30", "NaN", "Infinity", "-5"])
@pytest.mark.parametrize("currency", ["EUR", "IRR", None])
def test_impossible_price_is_ignored(books: Make, price: str, currency: str | None) -> None:
    driver = sms(Receipt("order-7", price=Decimal(price), currency=currency))
    made = books(driver, terms=Terms("EUR", trial=Decimal(5)))
    id, secret = made.harness.begun()
    assert [(row.outcome, row.charged) for row in made.rows(id)] == [("sent", SMS_PRICE)]
    assert made.harness.verifier.check(id, secret, driver.codes[-1]).ok
    assert made.failures == []


@pytest.mark.parametrize("parts", [0, -3, 256, 10**12, 10**30])
def test_impossible_number_of_segments_is_ignored(books: Make, parts: int) -> None:
    made = books(sms(Receipt("order-7", parts=parts)))
    id, _ = made.harness.begun()
    assert [(row.parts, row.charged) for row in made.rows(id)] == [(1, SMS_PRICE)]


def test_price_without_currency_does_not_replace_the_table(books: Make) -> None:
    made = books(sms(Receipt("order-7", price=Decimal(450))), terms=Terms("EUR", trial=Decimal(5)))
    id, _ = made.harness.begun()
    report = DeliveryReport("order-7", DeliveryState.DELIVERED, price=Decimal(900))
    run(made.own.report("sms-1", report))
    (row,) = made.rows(id)
    assert (row.outcome, row.cost, row.currency, row.cost_source) == ("delivered", 450, "IRR", "table")
    account = run(made.ledger.account("default"))
    assert account is not None
    assert account.balance == 5 - SMS_PRICE


def test_price_without_currency_is_charged_to_no_account(books: Make) -> None:
    terms = Terms("EUR", trial=Decimal(5), enforced=False)
    made = books(sms(Receipt("order-7", price=Decimal(450))), prices=Prices("EUR"), terms=terms)
    id, _ = made.harness.begun()
    (row,) = made.rows(id)
    assert (row.cost, row.currency, row.charged) == (450, "", 0)


def test_cancelling_does_not_pass_a_balance(books: Make) -> None:
    """The provider charges for what it reports as delivered later."""
    prices = Prices("EUR", [Price(Decimal("0.02"), "EUR", ChargedFor.DELIVERED)])
    made = books(sms(Receipt("order-7")), prices=prices, terms=Terms("EUR", trial=Decimal("0.02")))
    id, secret = made.harness.begun()
    made.harness.verifier.cancel(id, secret)
    assert made.harness.start(phone=OTHER_PHONE).reason is Reason.SERVICE_SUSPENDED
    run(made.own.report("sms-1", DeliveryReport("order-7", DeliveryState.DELIVERED)))
    account = run(made.ledger.account("default"))
    assert account is not None
    assert (account.balance, account.reserved) == (Decimal(0), Decimal(0))
    after(made)
    assert made.all_rows() == []


def test_undelivered_order_of_a_cancelled_verification_is_released(books: Make) -> None:
    prices = Prices("EUR", [Price(Decimal("0.02"), "EUR", ChargedFor.DELIVERED)])
    made = books(sms(Receipt("order-7")), prices=prices, terms=Terms("EUR", trial=Decimal("0.02")))
    id, secret = made.harness.begun()
    made.harness.verifier.cancel(id, secret)
    after(made)
    account = run(made.ledger.account("default"))
    assert account is not None
    assert (account.balance, account.reserved) == (Decimal("0.02"), Decimal(0))
    assert [(row.outcome, row.open) for row in made.rows(id)] == [("expired", False)]


def test_earlier_order_of_a_verified_user_stays_reserved(books: Make) -> None:
    prices = Prices("EUR", [Price(Decimal("0.02"), "EUR", ChargedFor.DELIVERED)])
    driver = sms(Receipt("order-7"), Receipt("order-8"))
    made = books(driver, prices=prices, terms=Terms("EUR", trial=Decimal("0.05")))
    id, secret = made.harness.begun()
    made.harness.clock.move(60)
    assert made.harness.verifier.resend(id, secret).ok
    assert made.harness.verifier.check(id, secret, driver.codes[-1]).ok
    assert [(row.charged, row.reserved) for row in made.rows(id)] == [(0, Decimal("0.02")), (Decimal("0.02"), 0)]
    after(made)
    assert [(row.reserved, row.open) for row in made.rows(id)] == [(0, False), (0, False)]
