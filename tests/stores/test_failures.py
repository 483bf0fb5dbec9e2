"""Errors of database drivers in words: real servers, and texts that repeat no value."""

from __future__ import annotations

import socket

import pytest
import sqlalchemy as sa

from phone_verify.errors import StoreError
from phone_verify.stores.rows.failures import in_words
from phone_verify.stores.sql import SqlStore
from phone_verify.sync import run

from . import servers


def failure(url: str) -> str:
    with pytest.raises(StoreError) as raised:
        run(SqlStore.from_url(url).get("x" * 44, None))
    return str(raised.value)


@pytest.mark.parametrize("kind", servers.KINDS)
def test_missing_database_and_closed_port_are_named(kind: str) -> None:
    with servers.database(kind) as url:
        absent = sa.make_url(url).set(database="phone_verify_nowhere")
        assert "database phone_verify_nowhere does not exist" in failure(absent.render_as_string(hide_password=False))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        closed = sa.make_url(url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        assert failure(closed) == "The SQL store failed: connection refused"


@pytest.mark.parametrize(("text", "words"), [
    ('FATAL:  password authentication failed for user "hunter2"', "it rejected the user or password"),
    ("(1045, \"Access denied for user 'hunter2'@'127.0.0.1'\")", "it rejected the user or password"),
    ("failed to resolve host 'hunter2.example': [Errno -2] Name or service not known", "host not found"),
    ("unable to open database file", "the database file cannot be opened"),
    ('duplicate key value: Key (phone)=(hunter2) already exists, database "a b"', "Error 1"),
])  # fmt: skip
def test_text_is_searched_and_never_repeated(text: str, words: str) -> None:
    assert in_words(Exception(text), "Error 1") == words
