"""Aggregates in Django's database."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.db import connections

from phone_verify.testing.aggregates import AggregatesSuite
from phone_verify_django.services.aggregates_store import OrmAggregates
from phone_verify_django.services.ledger_store import OrmLedger
from phone_verify_django.services.models import Account, Attempt, CapCounter, Payment, Quarter
from tests.django_adapter.databases import tables

MODELS: tuple[Any, ...] = (*tables(), Attempt, CapCounter, Account, Payment, Quarter)


class OfDjango(AggregatesSuite):
    threads: ClassVar[int] = 16

    def leave(self) -> None:
        connections["own"].close()

    @pytest.fixture
    def ledger(self, alias: str) -> OrmLedger:
        return OrmLedger(using=alias)

    @pytest.fixture
    def aggregates(self, alias: str) -> OrmAggregates:
        return OrmAggregates(using=alias)


class TestSqlite(OfDjango):
    @pytest.fixture
    def alias(self, orm_file: str) -> str:
        return orm_file


@pytest.mark.slow
class TestServers(OfDjango):
    @pytest.fixture
    def alias(self, orm_server: str) -> str:
        return orm_server
