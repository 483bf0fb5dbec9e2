"""The ledger in Django's database: the suite on each database, and rollbacks of the caller."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, TypeVar, cast

import pytest
from django.db import connections, transaction
from django.db.models import Sum

from phone_verify.errors import StoreError
from phone_verify.ledger.values import Held
from phone_verify.testing.ledger import LedgerSuite
from phone_verify.testing.ledger_calls import CENT, NOW, PARALLEL, attempt, run
from phone_verify.testing.outbox_suite import TAG, change, endpoint
from phone_verify.testing.stores import together
from phone_verify.webhooks_out.base import Wanted
from phone_verify_django.services.ledger_store import OrmLedger
from phone_verify_django.services.models import (
    Account,
    Attempt,
    CapCounter,
    OutboxEndpoint,
    OutboxMessage,
    Payment,
    RaisedAlarm,
)
from phone_verify_django.services.outbox_store import OrmOutbox
from tests.django_adapter.databases import tables

T = TypeVar("T")

MODELS: tuple[Any, ...] = (*tables(), Attempt, CapCounter, RaisedAlarm, Account, Payment, OutboxMessage, OutboxEndpoint)
#: In Django every thread has a separate connection, and a server accepts a hundred.
MOST_THREADS = 40


class OfThreads(LedgerSuite):
    """Races in which each thread does its share of the calls on its own connection."""

    most_threads: ClassVar[int] = PARALLEL

    def race(self, step: Callable[[int], T]) -> list[T]:
        def share(first: int) -> list[T]:
            return [step(number) for number in range(first, PARALLEL, self.most_threads)]

        shares = together(self.most_threads, share, lambda: connections["own"].close())
        return [result for each in shares for result in each]


class TestSqlite(OfThreads):
    @pytest.fixture
    def ledger(self, orm_file: str) -> OrmLedger:
        return OrmLedger(using=orm_file)


@pytest.mark.slow
class TestServers(OfThreads):
    most_threads = MOST_THREADS

    @pytest.fixture
    def ledger(self, orm_server: str) -> OrmLedger:
        return OrmLedger(using=orm_server)


class _UndoneError(Exception):
    pass


def test_attempt_survives_outer_rollback(orm_server: str) -> None:
    ledger = OrmLedger(using=orm_server)
    with suppress(_UndoneError), transaction.atomic(using=orm_server):
        held = run(ledger.begin(attempt(), [], None, NOW))
        assert isinstance(held, Held)
        raise _UndoneError
    assert len(run(ledger.attempts(attempt().verification))) == 1


def test_erase_deletes_the_messages_of_webhooks(orm_server: str) -> None:
    ledger, outbox = OrmLedger(orm_server, lambda service: [endpoint()]), OrmOutbox(orm_server)
    other = TAG.replace("_", "x").replace("%", "y") + "0" * 22
    for told in (change(), change(1), change(verification=other)):
        run(ledger.tell(told, NOW))
    run(ledger.erase(TAG))
    assert [each.verification for each in run(outbox.deliveries(Wanted()))] == [other]


def test_step_in_a_block_on_sqlite_is_refused(orm_file: str) -> None:
    """It could not be kept if the block were rolled back, and SQLite has no second writer."""
    ledger = OrmLedger(using=orm_file)
    with transaction.atomic(using=orm_file):
        Attempt.objects.using(orm_file).filter(id=0).update(send=1)
        with pytest.raises(StoreError):
            run(ledger.begin(attempt(), [], None, NOW))


def test_amounts_are_decimal_numbers_in_queries(orm_file: str) -> None:
    ledger = OrmLedger(using=orm_file)
    for number in range(3):
        run(ledger.begin(attempt(number), [], None, NOW))
    rows, wanted = Attempt.objects.using(orm_file), cast("Any", CENT)
    assert rows.aggregate(total=Sum("reserved")) == {"total": 3 * CENT}
    assert rows.filter(price=wanted).count() == 3
