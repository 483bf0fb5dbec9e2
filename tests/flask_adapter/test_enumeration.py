"""Before the right code, a registered number gets the same responses as an unknown one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.clients import Browser, FlaskCarrier
from tests.enumeration import KNOWN, SETTINGS, UNKNOWN, Site, answers, sign_in
from tests.flask_adapter.sites import Made, make


@contextmanager
def work_of(made: Made) -> Iterator[list[str]]:
    """The statements of every new SQLite connection, and the calls of the site's callbacks."""
    made.asked.clear()
    lines: list[str] = []
    _listeners.append(lines)
    try:
        yield lines
    finally:
        _listeners.remove(lines)
        lines += made.asked


_listeners: list[list[str]] = []


@pytest.fixture
def statements() -> Iterator[None]:
    """Pass every statement to the lists in `_listeners`."""

    def trace(connection: sqlite3.Connection, _: object) -> None:
        connection.set_trace_callback(lambda line: [lines.append(line) for lines in _listeners])

    sa.event.listen(sa.pool.Pool, "connect", trace)
    yield
    sa.event.remove(sa.pool.Pool, "connect", trace)


@pytest.mark.parametrize("active", [True, False], ids=["active", "inactive"])
def test_registered_and_unknown_numbers_get_equal_responses(active: bool, statements: None, tmp_path: Path) -> None:
    settings = {f"PHONE_VERIFY_{name.upper()}": value for name, value in SETTINGS.items()}
    made = make(**{**settings, "PHONE_VERIFY_STORE": f"sqlite:///{tmp_path / 'store.sqlite3'}"})
    site = Site(lambda: Browser(FlaskCarrier(made.app)), lambda: made.code, lambda: work_of(made))
    sign_in(site, KNOWN)
    (user,) = made.users.values()
    user.active = active
    known = answers(site, KNOWN)
    assert any(work for _, _, work in known)
    for found, expected in zip(known, answers(site, UNKNOWN), strict=True):
        assert found == expected
