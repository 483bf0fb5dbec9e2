"""Orders that wait and leases of jobs in Django's databases: the suite on each, and tasks of Django's framework."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections, transaction

from phone_verify.sync import run
from phone_verify.testing.work import WorkSuite, queued
from phone_verify.work.leases import JobLeases
from phone_verify.work.sends import SendQueue
from phone_verify_django.services.models import JobRow, SendRow
from phone_verify_django.services.work_store import work_on
from tests.django_adapter.databases import tables

MODELS: tuple[Any, ...] = (*tables(), SendRow, JobRow)


class OrmSuite(WorkSuite):
    def thread_done(self) -> None:
        connections["own"].close()


class TestSqlite(OrmSuite):
    @pytest.fixture
    def file_options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def works(self, orm_file: str) -> Sequence[tuple[SendQueue, JobLeases]]:
        return [work_on(orm_file)]


@pytest.mark.slow
class TestServers(OrmSuite):
    @pytest.fixture
    def works(self, orm_server: str) -> Sequence[tuple[SendQueue, JobLeases]]:
        return [work_on(orm_server)]


class _UndoneError(Exception):
    pass


def test_order_survives_outer_rollback(orm_server: str) -> None:
    sends, _ = work_on(orm_server)
    with suppress(_UndoneError), transaction.atomic(using=orm_server):
        run(sends.put(queued(), datetime.now(UTC)))
        raise _UndoneError
    assert run(sends.waiting()) == 1
