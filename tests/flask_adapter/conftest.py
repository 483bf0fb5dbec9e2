from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from flask import Flask
from jinja2 import FileSystemBytecodeCache

from .sites import with_database


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PHONE_VERIFY_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _connections_are_closed() -> Iterator[None]:
    yield
    for app, db in with_database:
        with app.app_context():
            for engine in db.engines.values():
                engine.dispose()
    with_database.clear()


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nearly every test makes an application, and each would compile the pages again."""
    with pytest.MonkeyPatch.context() as patch:
        kept = FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": kept})
        yield
