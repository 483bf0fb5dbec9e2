"""Alarms that were raised and not told yet: rows that are written with what raises them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime

from ...codes import RandomBytes
from ...stores.rows.values import micros
from ..caps import Window, window_end
from ..values import ZERO, Alarm
from .counters import Transaction, TransactionRunner, add, level_values

_KEY_BYTES = 12  # 16 characters


class AlarmRows:
    """The part of a ledger that keeps alarms until they were told."""

    def __init__(self, runner: TransactionRunner, random_bytes: RandomBytes) -> None:
        self._runner, self._random_bytes = runner, random_bytes

    async def raise_level(self, name: str, alarm: Alarm, now: datetime) -> Alarm | None:
        """See `Ledger`."""

        def step(tx: Transaction) -> list[Alarm]:
            add(tx, {name: (0, ZERO, window_end(Window.TOTAL, now))})
            level = level_values(name, alarm.level)
            tx.change(tx.statements.lower_counter, level)
            return self._raised(tx, [alarm] if tx.change(tx.statements.alarm_counter, level) else [], now)

        return next(iter(self._runner.run(step)), None)

    async def alarms(self, before: datetime, limit: int) -> Sequence[Alarm]:
        """See `Ledger`."""
        values = {"before": micros(before), "limit": limit}
        rows = self._runner.run(lambda tx: tx.rows(tx.statements.alarms, values))
        return [Alarm(**json.loads(text), key=key) for key, text in rows]

    async def told(self, alarm: Alarm) -> None:
        """See `Ledger`."""
        self._runner.run(lambda tx: tx.change(tx.statements.delete_alarm, {"alarm_key": alarm.key}))

    def _raised(self, tx: Transaction, alarms: Iterable[Alarm], now: datetime) -> list[Alarm]:
        """Write alarms in the transaction that raises them; return them with their keys."""
        raised = [replace(each, key=urlsafe_b64encode(self._random_bytes(_KEY_BYTES)).decode()) for each in alarms]
        for each in raised:
            text = json.dumps({name: value for name, value in asdict(each).items() if name != "key"})
            tx.change(tx.statements.insert_alarm, {"alarm_key": each.key, "alarm": text, "raised_at": micros(now)})
        return raised
