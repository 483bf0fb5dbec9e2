from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from phone_verify import config
from phone_verify.stores.sql import SqlStore


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PHONE_VERIFY_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="module")
def _connections_closed() -> Iterator[None]:
    """A site keeps its store for good; the many sites of these tests give their connections back."""
    opened: list[Any] = []

    def open_store(*arguments: Any) -> Any:
        opened.append(original(*arguments))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        original = config.open_store
        patch.setattr(config, "open_store", open_store)
        yield
    for store in opened:
        if isinstance(store, SqlStore):
            store._engine.dispose()
