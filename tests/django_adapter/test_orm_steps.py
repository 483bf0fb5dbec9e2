"""Steps in Django's database for `PHONE_VERIFY_LEDGER=orm:`: lost connections, deadlocks and blocks."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import Error, connections, transaction
from django.db.models import F

from phone_verify.errors import StoreError
from phone_verify.sync import run as result_of
from phone_verify.testing.keys import new_key
from phone_verify.webhooks_out.endpoints import no_endpoints
from phone_verify_django.services import steps
from phone_verify_django.services.keys_store import OrmKeyStore
from phone_verify_django.services.models import AccessKeyRow, ChangeRow, OutboxEndpoint, OutboxMessage, ServiceRow
from phone_verify_django.services.outbox_store import OrmOutbox
from phone_verify_django.services.services_store import OrmServiceRows
from phone_verify_django.site import site_config
from tests.stores import servers

MODELS = (ServiceRow, ChangeRow, AccessKeyRow, OutboxMessage, OutboxEndpoint)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
VERBS: dict[str, Callable[[str], Any]] = {
    "read keys": lambda using: OrmKeyStore(using).listed(),
    "write a key": lambda using: OrmKeyStore(using).add(new_key()),
    "read services": lambda using: OrmServiceRows(using).version(),
    "write a service": lambda using: OrmServiceRows(using).save("shop", {}, 0),
    "take messages": lambda using: OrmOutbox(using).take(1, timedelta(minutes=1), NOW),
}


def end_connection(alias: str, url: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()" if url.startswith("mysql") else "SELECT pg_backend_pid()")
        [number] = cursor.fetchone()
    servers.end(url, number)


def add(alias: str, *topics: str) -> None:
    for topic in topics:
        ChangeRow.objects.using(alias).filter(topic=topic).update(version=F("version") + 1)


def versions(alias: str) -> list[int]:
    return list(ChangeRow.objects.using(alias).order_by("topic").values_list("version", flat=True))


@pytest.fixture
def two_rows(orm_server: str) -> str:
    ChangeRow.objects.using(orm_server).bulk_create(ChangeRow(topic=topic, version=0) for topic in "ab")
    return orm_server


@pytest.mark.parametrize("verb", VERBS)
def test_lost_connection_is_replaced(orm_server: str, orm_database: str, verb: str) -> None:
    result_of(OrmServiceRows(orm_server).version())
    end_connection(orm_server, orm_database)
    step: Awaitable[object] = VERBS[verb](orm_server)
    result_of(step)  # type: ignore[arg-type]


def test_step_is_repeated_if_the_connection_was_lost(two_rows: str, orm_database: str) -> None:
    runs: list[int] = []

    def step() -> None:
        add(two_rows, "a")
        if not runs:
            end_connection(two_rows, orm_database)
        runs.append(1)
        add(two_rows, "b")

    steps.run(two_rows, step)
    assert (len(runs), versions(two_rows)) == (2, [1, 1])


def test_step_with_an_unclear_commit_is_not_repeated(two_rows: str, orm_database: str) -> None:
    runs: list[int] = []

    def step() -> None:
        add(two_rows, "a")
        runs.append(1)
        end_connection(two_rows, orm_database)

    with pytest.raises(StoreError, match="PHONE_VERIFY_LEDGER failed"):
        steps.run(two_rows, step)
    assert len(runs) == 1


def test_step_in_a_block_is_not_repeated(two_rows: str, orm_database: str) -> None:
    runs: list[int] = []

    def step() -> None:
        runs.append(1)
        end_connection(two_rows, orm_database)
        add(two_rows, "a")

    with suppress(Exception), transaction.atomic(using=two_rows):
        with pytest.raises(StoreError):
            steps.run(two_rows, step)
        transaction.set_rollback(True, using=two_rows)
    assert len(runs) == 1
    connections[two_rows].close()


@pytest.mark.parametrize("use", [steps.run, steps.read])
def test_step_in_a_transaction_without_a_block_is_not_repeated(two_rows: str, orm_database: str, use: Any) -> None:
    runs: list[int] = []

    def step() -> None:
        runs.append(1)
        end_connection(two_rows, orm_database)
        add(two_rows, "a")

    transaction.set_autocommit(False, using=two_rows)
    add(two_rows, "b")
    with pytest.raises(StoreError):
        use(two_rows, step)
    with pytest.raises(Error):  # without one the caller would not know that its work is lost
        transaction.commit(using=two_rows)
    assert len(runs) == 1
    connections[two_rows].close()


def test_deadlock_is_resolved_by_a_repetition(two_rows: str) -> None:
    meet = threading.Barrier(2)

    def change(first: str, second: str) -> None:
        runs: list[int] = []

        def step() -> None:
            add(two_rows, first)
            if not runs:
                runs.append(1)
                meet.wait(10)
            add(two_rows, second)

        steps.run(two_rows, step)
        connections[two_rows].close()

    threads = [threading.Thread(target=change, args=order) for order in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert versions(two_rows) == [2, 2]


def test_second_deadlock_is_resolved_too(two_rows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other step may hold the row of the repetition again. Both deadlocks come in turn on a busy machine too."""
    monkeypatch.setattr(steps, "_REPEATS_WITHIN", 20)  # a busy machine needs more than the two seconds
    runs: list[int] = []
    meet, passed = threading.Barrier(2), [threading.Event(), threading.Event()]

    def rival() -> None:
        # It is never the one that is ended: PostgreSQL's is the first to notice, MySQL's has changed fewer rows.
        if connections[two_rows].vendor == "postgresql":
            with connections[two_rows].cursor() as cursor:
                cursor.execute("SET deadlock_timeout = '60s'")
        for turn in passed:
            with transaction.atomic(using=two_rows):
                more = [ChangeRow(topic=f"more {number}", version=0) for number in range(30)]
                ChangeRow.objects.using(two_rows).bulk_create(more)
                add(two_rows, "b")
                meet.wait(10)
                add(two_rows, "a")
                ChangeRow.objects.using(two_rows).filter(topic__startswith="more").delete()
            turn.set()
        connections[two_rows].close()

    def step() -> None:
        if runs:
            passed[len(runs) - 1].wait(30)
        add(two_rows, "a")
        runs.append(1)
        if len(runs) < 3:
            meet.wait(10)
        add(two_rows, "b")

    thread = threading.Thread(target=rival)
    thread.start()
    steps.run(two_rows, step)
    thread.join(30)
    assert (len(runs), versions(two_rows)) == (3, [3, 3])


def test_all_parts_set_up_their_second_connection(orm_server: str, configure: Any) -> None:
    """Without it a block on a tenant's schema would be refused, or rows would go to another tenant."""
    seen: list[object] = []
    configure(sms="console://", connection_setup=seen.append)
    config, url = site_config(), f"orm:{orm_server}"
    parts: list[Any] = [
        config.ledgers["orm"](url, no_endpoints),
        config.reports["orm"](url),
        *config.works["orm"](url),
    ]
    with transaction.atomic(using=orm_server):
        for part in parts:
            seen.clear()
            part._runner.run(lambda tx: None)
            assert len(seen) == 1
