"""The outbox of webhooks in Django's database: the suite on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest
from django.db import connections, transaction

from phone_verify.errors import StoreError
from phone_verify.sync import run
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.outbox_suite import OutboxSuite, change, endpoint
from phone_verify.webhooks_out.base import Wanted
from phone_verify.webhooks_out.endpoints import Endpoint
from phone_verify.webhooks_out.messages import Change
from phone_verify_django.services.models import OutboxEndpoint, OutboxMessage
from phone_verify_django.services.outbox_store import OrmOutbox, enqueue

MODELS = (OutboxMessage, OutboxEndpoint)
OPTIONS = {
    "default": {"init_command": "PRAGMA synchronous = OFF"},
    "WAL": {"init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF"},
}


class OrmSuite(OutboxSuite):
    @pytest.fixture
    def outbox(self, alias: str) -> OrmOutbox:
        return OrmOutbox(alias)

    def enqueue(self, outbox: Any, endpoints: Iterable[Endpoint], change: Change, now: datetime) -> int:
        with transaction.atomic(using=outbox._using), connections[outbox._using].cursor() as cursor:
            return enqueue(cursor, endpoints, change, now)

    def enqueue_and_roll_back(self, outbox: Any, change: Change, now: datetime) -> None:
        with transaction.atomic(using=outbox._using), connections[outbox._using].cursor() as cursor:
            assert enqueue(cursor, [endpoint()], change, now) == 1
            transaction.set_rollback(True, using=outbox._using)

    def thread_done(self) -> None:
        connections["own"].close()


@pytest.fixture(params=OPTIONS)
def file_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"timeout": 20, **OPTIONS[request.param]}


class TestSqlite(OrmSuite):
    @pytest.fixture
    def alias(self, orm_file: str) -> str:
        return orm_file


@pytest.mark.slow
class TestServers(OrmSuite):
    @pytest.fixture
    def alias(self, orm_server: str) -> str:
        return orm_server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_failure_is_a_store_error_without_values(orm_file: str, clock: ManualClock) -> None:
    with connections[orm_file].schema_editor() as editor:
        editor.delete_model(OutboxMessage)
    with pytest.raises(StoreError, match=r"a table is missing; run: python manage\.py migrate") as raised:
        run(OrmOutbox(orm_file).deliveries(Wanted(verification="private")))
    assert "private" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_row_text_has_no_ids(orm_file: str, clock: ManualClock) -> None:
    with connections[orm_file].cursor() as cursor:
        enqueue(cursor, [endpoint()], change(), clock())
    assert str(OutboxMessage.objects.using(orm_file).get()) == "verification.sent (pending)"
    assert str(OutboxEndpoint(service="shop", endpoint="main")) == "shop main"
