"""Run every step of a store in SQL tables locked, as after a concurrent step."""

from __future__ import annotations

from types import SimpleNamespace

from phone_verify.stores.rows.transactions import Mode


def always_locked() -> SimpleNamespace:
    """Return the replacement of `Mode` in `phone_verify.stores.rows.verbs`."""
    return SimpleNamespace(
        READ_ONLY=Mode.READ_ONLY,
        FROM_CACHE_THEN_LOCKED=Mode.LOCKED,
        OPTIMISTIC_THEN_LOCKED=Mode.LOCKED,
        LOCKED=Mode.LOCKED,
    )
