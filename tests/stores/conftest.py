"""What makes the tests of the stores quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from phone_verify.stores.sql import store, transactions


@pytest.fixture(scope="session", autouse=True)
def _statements_are_compiled_once() -> Iterator[None]:
    """Nearly every test makes a store, and each would compile the same statements: most of such a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transactions, "EngineReads", _once(transactions.EngineReads))
        patch.setattr(store, "EngineWrites", _once(store.EngineWrites))
        yield


def _once(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same, made for the first dialect of each name."""
    made: dict[str, Any] = {}

    def of(dialect: Any) -> Any:
        if dialect.name not in made:
            made[dialect.name] = make(dialect)
        return made[dialect.name]

    return of
