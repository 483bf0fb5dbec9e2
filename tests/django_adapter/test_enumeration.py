"""Before the right code, a registered number gets the same responses as an unknown one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext

from phone_verify_django.store import functions
from tests.clients import Browser, DjangoCarrier
from tests.enumeration import KNOWN, SETTINGS, UNKNOWN, Site, answers, sign_in

from .conftest import Network


@contextmanager
def work() -> Iterator[list[str]]:
    """The statements on the site's database, which holds users, sessions and verifications."""
    lines: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield lines
    lines += [query["sql"] for query in captured]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fields", [{}, {"is_active": False}, {"is_staff": True}], ids=["active", "inactive", "staff"])
def test_registered_and_unknown_numbers_get_equal_responses(
    fields: dict[str, bool], network: Network, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # On PostgreSQL a connection changes to functions after some statements, for any phones.
    monkeypatch.setattr(functions, "_USES", 1_000_000)
    configure(**SETTINGS)
    site = Site(lambda: Browser(DjangoCarrier()), lambda: network.code, work)
    sign_in(site, KNOWN)
    get_user_model().objects.update(**fields)
    known = answers(site, KNOWN)
    assert any(work for _, _, work in known)
    for found, expected in zip(known, answers(site, UNKNOWN), strict=True):
        assert found == expected
