"""Errors of database drivers in words: real servers, and texts that repeat no value."""

from __future__ import annotations

import socket
from contextlib import nullcontext
from pathlib import Path

import pytest
import sqlalchemy as sa

from phone_verify.errors import StoreError
from phone_verify.stores.rows.failures import in_words
from phone_verify.stores.sql import SqlStore
from phone_verify.stores.sql.engine import engine_of
from phone_verify.stores.sql.schema import upgrade
from phone_verify.sync import run

from . import servers


def failure(url: str) -> str:
    with pytest.raises(StoreError) as raised:
        run(SqlStore.from_url(url).get("x" * 44, None))
    return str(raised.value)


@pytest.mark.parametrize("kind", servers.PARAMETERS)
def test_missing_database_and_closed_port_are_named(kind: str) -> None:
    with servers.database(kind) as url:
        absent = sa.make_url(url).set(database="phone_verify_nowhere")
        assert "database phone_verify_nowhere does not exist" in failure(absent.render_as_string(hide_password=False))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        closed = sa.make_url(url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        assert failure(closed) == "The SQL store failed: connection refused"


@pytest.mark.parametrize("kind", ["sqlite", *servers.PARAMETERS])
def test_missing_table_and_column_name_the_command(kind: str, tmp_path: Path) -> None:
    with nullcontext(f"sqlite:///{tmp_path / 'x.sqlite3'}") if kind == "sqlite" else servers.database(kind) as url:

        def fails(**more: str) -> str:
            with pytest.raises(StoreError) as raised:
                run(SqlStore.from_url(url, create_tables=False, **more).get("x" * 44, None))
            return str(raised.value)

        assert fails() == "The SQL store failed: a table is missing; run: phone-verify schema"
        assert fails(makes_tables="flask db upgrade").endswith("a table is missing; run: flask db upgrade")
        upgrade(url)
        drop = sa.text("ALTER TABLE phone_verify_verification RENAME COLUMN purpose TO elsewhere")
        engine = engine_of(url)
        with engine.begin() as connection:
            connection.execute(drop)
        engine.dispose()
        assert fails() == "The SQL store failed: a column is missing; run: phone-verify schema"


@pytest.mark.parametrize(("text", "words"), [
    ('FATAL:  password authentication failed for user "hunter2"', "it rejected the user or password"),
    ("(1045, \"Access denied for user 'hunter2'@'127.0.0.1'\")", "it rejected the user or password"),
    ("failed to resolve host 'hunter2.example': [Errno -2] Name or service not known", "host not found"),
    ("unable to open database file", "the database file cannot be opened"),
    ('column "hunter2" of relation "phone_verify_phone" does not exist', "a column is missing"),
    ("(1054, \"Unknown column 'hunter2' in 'field list'\")", "a column is missing"),
    ("table phone_verify_phone has no column named hunter2", "a column is missing"),
    ('duplicate key value: Key (phone)=(hunter2) already exists, database "a b"', "Exception 1"),
])  # fmt: skip
def test_text_is_searched_and_never_repeated(text: str, words: str) -> None:
    assert in_words(Exception(text), 1) == words
