"""A cap holds to the cent under 200 simultaneous starts, with the verifications and the ledger in Django's database."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connections

from phone_verify.ledger.caps import Cap, Window, name_at
from phone_verify.ledger.prices import Price, Prices
from phone_verify.ledger.values import DEFAULT_SERVICE
from phone_verify.model import Outcome
from phone_verify.phone import PhoneNumber
from phone_verify.sync import run
from phone_verify.testing.stores import together
from phone_verify_django.services.ledger_store import OrmLedger
from phone_verify_django.services.models import Account, Attempt, CapCounter, Payment, RaisedAlarm
from phone_verify_django.store import OrmStore
from tests.core.harness import SMS, Harness, sms
from tests.django_adapter.databases import tables
from tests.ledger.conftest import Books

pytestmark = pytest.mark.race
MODELS: tuple[Any, ...] = (*tables(), Attempt, CapCounter, RaisedAlarm, Account, Payment)
STARTS, PRICE, CAP, SENT = 200, Decimal("0.03"), Decimal("1.00"), 33
#: On a server, which accepts a hundred connections: one for each thread.
MOST_THREADS = 40


def sent_together(alias: str, threads: int) -> None:
    driver = sms()
    books = Books(
        OrmLedger(using=alias),
        Harness(driver, store=OrmStore(alias), sends_per_hour_per_prefix=0, sends_per_hour_total=0),
        prices=Prices("EUR", [Price(PRICE, "EUR")]),
        caps=[Cap(Window.DAY, money=CAP)],
    )

    def starts(first: int) -> list[Outcome]:
        numbers = range(first, STARTS, threads)
        return [books.harness.start(SMS, PhoneNumber(f"+9891200{number:05d}")) for number in numbers]

    outcomes = [each for share in together(threads, starts, lambda: connections[alias].close()) for each in share]
    assert len(outcomes) == STARTS
    assert sum(outcome.ok for outcome in outcomes) == SENT
    assert len(driver.orders) == SENT
    [used] = run(books.ledger.usage([name_at(Window.DAY, DEFAULT_SERVICE, "", books.harness.clock())]))
    assert (used.count, used.spent) == (SENT, SENT * PRICE)


def test_no_simultaneous_start_passes_the_cap_in_a_file(orm_file: str) -> None:
    sent_together(orm_file, STARTS)


def test_no_simultaneous_start_passes_the_cap_on_a_server(orm_server: str) -> None:
    sent_together(orm_server, MOST_THREADS)
