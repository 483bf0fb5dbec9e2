"""Conversion between rows and values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from ...stores.rows.values import micros, time_of
from ..amounts import amount_of, units
from ..values import Attempt, AttemptOutcome, ChargedFor
from .statements import COLUMNS

_TIMES = ("started_at", "sent_at", "closed_at", "look_up_at")
_AMOUNTS = ("list_price", "price", "cost", "charged", "reserved")


def attempt_of(row: Sequence[Any]) -> Attempt:
    """Return the attempt of a row with `statements.COLUMNS`."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name in _TIMES:
        if values[name] is not None:
            values[name] = time_of(values[name])
    for name in _AMOUNTS:
        if values[name] is not None:
            values[name] = amount_of(values[name])
    values["outcome"], values["charged_for"] = AttemptOutcome(values["outcome"]), ChargedFor(values["charged_for"])
    return Attempt(**values)


def row_of(attempt: Attempt) -> dict[str, Any]:
    """Return the values of an attempt's columns by name."""
    return {name: _stored(getattr(attempt, name)) for name in COLUMNS}


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, Decimal):
        return units(value)
    return value.value if isinstance(value, Enum) else value
