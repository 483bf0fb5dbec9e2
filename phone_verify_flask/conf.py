"""`app.config["PHONE_VERIFY_…"]` and the environment into a site: the one module here that reads settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from flask import Flask

from phone_verify.api import Site
from phone_verify.config import settings, site
from phone_verify.errors import ConfigurationError
from phone_verify.events.record import Listener

from .store import Database

STORE_FILE = "phone_verify.sqlite3"

_seen: ContextVar[list[site.SiteConfig] | None] = ContextVar("phone_verify_flask.conf.seen", default=None)


def make_site(given: site.SiteConfig, *, listeners: Sequence[Listener] = (), **for_tests: Any) -> Site:
    """The site that the application's settings describe.

    Raises `ConfigurationError` for a setting that is unknown or cannot work.
    """
    if (seen := _seen.get()) is not None:
        seen.append(given)
    return given.site(listeners=listeners, **for_tests)


def read(app: Flask, prefix: str, database: Database | None = None) -> site.SiteConfig:
    """What the application's settings say, unread; mounted at `prefix`, the store in `database` if there is one."""
    # A provider asks from outside any request, so nobody but the setting knows where the application is mounted.
    root = app.config["APPLICATION_ROOT"].rstrip("/")
    return site.SiteConfig(
        values={
            name.removeprefix(settings.PREFIX).lower(): value
            for name, value in app.config.items()
            if name.startswith(settings.PREFIX)
        },
        environ=os.environ,
        framework="Flask",
        framework_keys=lambda: _framework_keys(app),
        stores=database.stores if database else {},
        default_store=(lambda: database.url) if database else (lambda: _store_in_instance_folder(app)),
        webhook_path=lambda driver, secret: f"{root}{prefix}/webhooks/{driver}/{secret}",
        production=not (app.debug or app.testing),
    )


def is_default_store(given: site.SiteConfig) -> bool:
    """Whether no setting names another store."""
    return "store" not in settings.merge_environ(given.values, given.environ)


@contextmanager
def watching() -> Iterator[list[site.SiteConfig]]:
    """Within it the settings of every site that is made are kept, also of one that is refused.

    For who looks at an application from outside: one whose settings cannot work is never finished, and nobody gets it.
    """
    seen: list[site.SiteConfig] = []
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


def _framework_keys(app: Flask) -> list[str]:
    keys = [app.config["SECRET_KEY"], *(app.config.get("SECRET_KEY_FALLBACKS") or ())]
    # Flask takes bytes too; latin-1 gives every byte a character of its own.
    return [key.decode("latin-1") if isinstance(key, bytes) else key for key in keys if key]


def _store_in_instance_folder(app: Flask) -> str:
    folder = Path(app.instance_path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{settings.PREFIX}STORE: the instance folder, where the default store is kept, cannot be made "
            f"({error.strerror}); give the application another instance_path, or name a store"
        ) from None
    return f"sqlite:///{folder / STORE_FILE}"
