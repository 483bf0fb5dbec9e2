"""`app.config["PHONE_VERIFY_…"]` and the environment into a site: the one module here that reads settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flask import Flask

from phone_verify import config
from phone_verify.api import Site
from phone_verify.errors import ConfigurationError

STORE_FILE = "phone_verify.sqlite3"


def read_site(app: Flask, prefix: str, **for_tests: Any) -> Site:
    """The site that the application's settings describe, mounted at `prefix`.

    Raises `ConfigurationError` for a setting that is unknown or cannot work.
    """
    given = {
        name.removeprefix(config.PREFIX).lower(): value
        for name, value in app.config.items()
        if name.startswith(config.PREFIX)
    }
    settings = config.Settings.read(given, os.environ)
    # A provider asks from outside any request, so nobody but the setting knows where the application is mounted.
    root = app.config["APPLICATION_ROOT"].rstrip("/")
    return config.build(
        settings,
        framework_keys=_framework_keys(app),
        default_store="memory:" if settings.store else _store_in_instance_folder(app),
        webhook_path=lambda driver, secret: f"{root}{prefix}/webhooks/{driver}/{secret}",
        production=not (app.debug or app.testing),
        **for_tests,
    )


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
            f"{config.PREFIX}STORE: the instance folder, where the default store is kept, cannot be made "
            f"({error.strerror}); give the application another instance_path, or name a store"
        ) from None
    return f"sqlite:///{folder / STORE_FILE}"
