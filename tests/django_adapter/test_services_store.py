"""Services as rows of Django's database: the suite on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections

from phone_verify.errors import StoreError
from phone_verify.sync import run
from phone_verify.testing.services import ServiceRowsSuite
from phone_verify_django.services.models import ChangeRow, ServiceRow
from phone_verify_django.services.services_store import OrmServiceRows
from tests.django_adapter.databases import WRITE_AHEAD

MODELS = (ServiceRow, ChangeRow)


class OrmSuite(ServiceRowsSuite):
    @pytest.fixture
    def rows(self, alias: str) -> OrmServiceRows:
        return OrmServiceRows(alias)

    def end_thread(self) -> None:
        connections.close_all()


class TestSqlite(OrmSuite):
    @pytest.fixture
    def file_options(self) -> dict[str, Any]:
        return {**WRITE_AHEAD, "transaction_mode": "IMMEDIATE"}

    @pytest.fixture
    def alias(self, orm_file: str) -> str:
        return orm_file

    def test_missing_table_is_a_store_error(self, rows: OrmServiceRows, alias: str) -> None:
        with connections[alias].schema_editor() as editor:
            editor.delete_model(ServiceRow)
        for step in (rows.load("shop"), rows.versions(), rows.save("shop", {"title": "not in a log"}, 0)):
            with pytest.raises(StoreError, match="migrate") as failure:
                run(step)
            assert "title" not in str(failure.value)


@pytest.mark.slow
class TestServers(OrmSuite):
    @pytest.fixture
    def alias(self, orm_server: str) -> str:
        return orm_server
