"""Access keys in Django's database: the suite on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections

from phone_verify.errors import StoreError
from phone_verify.sync import run
from phone_verify.testing.keys import KeySuite, new_key
from phone_verify_django.services.keys_store import OrmKeyStore
from phone_verify_django.services.models import AccessKeyRow
from tests.django_adapter.databases import WRITE_AHEAD

MODELS = (AccessKeyRow,)


class OrmSuite(KeySuite):
    @pytest.fixture
    def keys(self, alias: str) -> OrmKeyStore:
        return OrmKeyStore(alias)

    def end_thread(self) -> None:
        connections.close_all()


class TestSqlite(OrmSuite):
    @pytest.fixture
    def file_options(self) -> dict[str, Any]:
        return WRITE_AHEAD

    @pytest.fixture
    def alias(self, orm_file: str) -> str:
        return orm_file

    def test_missing_table_is_a_store_error(self, keys: OrmKeyStore, alias: str) -> None:
        with connections[alias].schema_editor() as editor:
            editor.delete_model(AccessKeyRow)
        key = new_key(name="A name that nobody should see")
        for step in (keys.add(key), keys.find(key.id), keys.listed(), keys.revoke(key.id, key.created_at)):
            with pytest.raises(StoreError, match="migrate") as failure:
                run(step)
            assert "nobody" not in str(failure.value)


@pytest.mark.slow
class TestServers(OrmSuite):
    @pytest.fixture
    def alias(self, orm_server: str) -> str:
        return orm_server
