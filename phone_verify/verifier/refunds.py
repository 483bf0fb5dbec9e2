"""What an order counted, kept with it until it is sent: it is given back if nothing was sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..limits import Quota
from ..stores.base import Store


@dataclass(frozen=True, slots=True)
class Refund:
    """The quotas in which an order is counted: those of its phone since `opened_at`, others by their windows.

    `refusals` count the orders that every provider refused.
    """

    opened_at: datetime
    of_phone: Sequence[Quota]
    others: Sequence[tuple[Quota, datetime]]
    refusals: Sequence[Quota]

    def written(self) -> str:
        """Return the text that `read` reads. It names counters by keyed digests: no number, and no address."""
        values: dict[str, Any] = {
            "at": self.opened_at.isoformat(),
            "phone": [_fields(quota) for quota in self.of_phone],
            "others": [[*_fields(quota), window.isoformat()] for quota, window in self.others],
            "refusals": [_fields(quota) for quota in self.refusals],
        }
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Refund:
        """Return the value of a text."""
        values = json.loads(text)
        return cls(
            datetime.fromisoformat(values["at"]),
            [_quota(*fields) for fields in values["phone"]],
            [(_quota(*fields), datetime.fromisoformat(window)) for *fields, window in values["others"]],
            [_quota(*fields) for fields in values["refusals"]],
        )

    async def give_back(self, id: str, store: Store, now: datetime | None, *, refused: bool) -> None:
        """Take the order of this verification out of its quotas. Raises `StoreError`.

        `refused` is whether providers refused it, which counts: otherwise a client could let numbers that no
        provider accepts be tried without end.
        """
        await store.refund(id, self.of_phone, self.opened_at, now)
        await store.uncount([quota for quota, _ in self.others], [window for _, window in self.others], now)
        if refused:
            await store.count(self.refusals, now)


def _fields(quota: Quota) -> list[Any]:
    return [quota.key, quota.limit, quota.window // timedelta(seconds=1)]


def _quota(key: str, limit: int, seconds: int) -> Quota:
    return Quota(key, limit, timedelta(seconds=seconds))
