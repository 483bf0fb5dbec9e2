"""Build the site from `app.config["PHONE_VERIFY_…"]` and the environment. No other module here reads settings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from phone_verify.api import Site
from phone_verify.config import settings, site
from phone_verify.errors import ConfigurationError, is_name
from phone_verify.events.record import Listener

from .account_hooks import AccountHooks
from .store import Database

STORE_FILE = "phone_verify.sqlite3"

_collected: ContextVar[list[site.SiteConfig] | None] = ContextVar("phone_verify_flask.conf.collected", default=None)


def make_site(given: site.SiteConfig, *, listeners: Sequence[Listener] = (), **for_tests: Any) -> Site:
    """Return the site that the application's settings describe.

    Raises `ConfigurationError` for an unknown or invalid setting.
    """
    if (collected := _collected.get()) is not None:
        collected.append(given)
    made = given.site(listeners=listeners, **for_tests)
    given.warn_without_channel()
    return made


def read(
    app: Flask, prefix: str, database: Database | None = None, hooks: AccountHooks | None = None
) -> site.SiteConfig:
    """Return the application's raw settings, with the mount at `prefix` and the store in `database` if given."""
    # The webhook URL is built outside any request, so only this setting says where the application is mounted.
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
        hook=lambda: None if hooks is None else hooks.before_send,
        spell=_spell,
        unread=lambda: _unread(app),
        detects_https=lambda: isinstance(app.wsgi_app, ProxyFix) and app.wsgi_app.x_proto > 0,
    )


def _spell(name: str, value: object) -> str:
    """Return a setting as it is named in the application's config; with a value, as the line to write."""
    variable = settings.PREFIX + name.upper()
    return variable if value is None else f'app.config["{variable}"] = {json.dumps(value, ensure_ascii=False)}'


def _unread(app: Flask) -> ConfigurationError | None:
    """Return the problem of settings in one dict, which is Django's form, or None."""
    name = settings.PREFIX.rstrip("_")
    if app.config.get(name) is None:
        return None
    written = app.config[name]
    keys = (
        [str(key).upper().removeprefix(settings.PREFIX) for key in written if is_name(str(key))]
        if isinstance(written, dict)
        else []
    )
    lines = [f'app.config["{settings.PREFIX}{key}"] = …' for key in keys or ["SMS"]]
    return ConfigurationError(
        f'app.config["{name}"] is not read: each setting has its own name', f"Write {' and '.join(lines)}"
    )


def is_default_store(given: site.SiteConfig) -> bool:
    """Return whether no setting names another store."""
    return "store" not in settings.merge_environ(given.values, given.environ)


@contextmanager
def collect_configs() -> Iterator[list[site.SiteConfig]]:
    """Collect the settings of every site built inside the block, including a refused one.

    For the doctor: an application with invalid settings is never completed, so it cannot be asked for them.
    """
    collected: list[site.SiteConfig] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def _framework_keys(app: Flask) -> list[str]:
    keys = [app.config["SECRET_KEY"], *(app.config.get("SECRET_KEY_FALLBACKS") or ())]
    # Flask accepts bytes too; latin-1 maps every byte to one character.
    return [key.decode("latin-1") if isinstance(key, bytes) else key for key in keys if key]


def _store_in_instance_folder(app: Flask) -> str:
    folder = Path(app.instance_path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{settings.PREFIX}STORE: the instance folder, which holds the default store, cannot be created "
            f"({error.strerror}); give the application another instance_path, or name a store"
        ) from None
    return f"sqlite:///{folder / STORE_FILE}"
