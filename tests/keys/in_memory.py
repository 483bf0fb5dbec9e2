"""A store of access keys for tests of what uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from phone_verify.errors import StoreError
from phone_verify.keys.access_key import AccessKey


class KeysInMemory:
    """A store that records its steps, and fails on demand."""

    def __init__(self, *keys: AccessKey) -> None:
        self.rows = {key.id: key for key in keys}
        self.steps: list[str] = []
        self.fails_at: Sequence[str] = ()

    async def add(self, key: AccessKey) -> bool:
        self.rows[key.id] = key
        return True

    async def find(self, id: str) -> AccessKey | None:
        self._step("find")
        return self.rows.get(id)

    async def listed(self, service: str | None = None) -> Sequence[AccessKey]:
        raise NotImplementedError

    async def revoke(self, id: str, now: datetime) -> bool:
        self.rows[id] = replace(self.rows[id], revoked_at=now)
        return True

    async def note_use(self, id: str, now: datetime) -> None:
        self._step("note_use")
        self.rows[id] = replace(self.rows[id], last_used_at=now)

    async def erase(self, service: str) -> int:
        raise NotImplementedError

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if name in self.fails_at:
            raise StoreError("down")
