"""The starts that a process keeps until their receipts, and the constants of a start."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

import pytest

from phone_verify.model import Verification
from phone_verify.stores.memory import MemoryStore
from phone_verify.stores.rows import transactions
from phone_verify.stores.rows.transactions import StartCache
from phone_verify.stores.rows.values import Phone
from phone_verify.stores.rows.writes import UNSET
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.stores import LIMITS, opening, run

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_start_sets_no_field_that_it_writes_as_a_constant() -> None:
    record = opening().record(NOW)
    defaults = {each.name: each.default for each in fields(Verification)}
    assert {name: getattr(record, name) for name in UNSET} == {name: defaults[name] for name in UNSET}


def test_cached_starts_are_used_once_and_oldest_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "_MOST_STARTS", 2)
    memory, store, clock = StartCache(), MemoryStore(), ManualClock()
    records = [run(store.open(opening(), [], LIMITS, clock())) for _ in range(3)]
    for record in records:
        assert isinstance(record, Verification)
        memory.keep(record, (Phone(record.tag), None))
    first, second, third = [record.id for record in records if isinstance(record, Verification)]
    assert memory.start(first) is None
    assert memory.start(second) is not None
    assert memory.start(second) is None
    assert memory.start(third) is not None
