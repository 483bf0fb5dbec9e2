"""Separate databases for a test, next to the site's usual one, with the tables of the store."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import django
import sqlalchemy as sa
from django.conf import settings
from django.db import connections

from tests.django_adapter import settings as chosen

WRITE_AHEAD = {"init_command": "PRAGMA journal_mode = WAL"}
_ENGINES = {"postgresql": "django.db.backends.postgresql", "mysql": "django.db.backends.mysql"}


def settings_of(url: str) -> dict[str, Any]:
    """Return the `DATABASES` entry of the database with this store URL."""
    parts = sa.make_url(url)
    if parts.drivername == "mysql" and importlib.util.find_spec("MySQLdb") is None:
        # Django expects mysqlclient, which has to be compiled; PyMySQL can replace it.
        import pymysql

        pymysql.install_as_MySQLdb()
    return {
        "ENGINE": _ENGINES[parts.drivername],
        "NAME": parts.database,
        "USER": parts.username,
        "PASSWORD": parts.password or "",
        "HOST": parts.host,
        "PORT": parts.port or "",
    }


@contextmanager
def registered(alias: str, given: dict[str, Any], blocker: Any) -> Iterator[str]:
    """Add this alias for the duration of a test."""
    connections.settings[alias] = connections.configure_settings({"default": {}, alias: given})[alias]
    try:
        # pytest-django, which blocks connections, is not in use in these processes.
        with blocker.unblock() if blocker else nullcontext():
            yield alias
            connections[alias].close()
    finally:
        with suppress(AttributeError):  # it was never used
            del connections[alias]
        del connections.settings[alias]


def tables() -> list[Any]:
    """The models of the store."""
    from phone_verify_django.models import ConversionRow, CounterRow, PhoneRow, ResponseRow, VerificationRow

    return [VerificationRow, PhoneRow, CounterRow, ResponseRow, ConversionRow]


def make_tables(alias: str, models: Iterable[Any] | None = None, *, functions: bool = True) -> None:
    """Make the tables of these models, by default of the store, with its functions like `migrate`."""
    from phone_verify_django.store import functions as of_store

    with connections[alias].schema_editor() as editor:
        for model in tables() if models is None else models:
            editor.create_model(model)
    if functions:
        of_store.make_functions(alias)
        of_store._USES = 0  # connections of tests run few statements


def configure() -> None:
    """Set Django up with the settings of these tests, unless that is done already."""
    if not settings.configured:
        settings.configure(**{name: value for name, value in vars(chosen).items() if name.isupper()})
        django.setup()
