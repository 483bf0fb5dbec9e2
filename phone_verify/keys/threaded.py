"""A blocking store of keys for coroutines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..stores.threaded import InThread
from ..sync import run
from .access_key import AccessKey
from .base import KeyStore


class ThreadedKeyStore:
    """A blocking `KeyStore` whose steps run in worker threads."""

    def __init__(self, store: KeyStore, in_thread: InThread) -> None:
        self._store, self._in_thread = store, in_thread

    async def add(self, key: AccessKey) -> bool:
        return await self._in_thread(lambda: run(self._store.add(key)))

    async def find(self, id: str) -> AccessKey | None:
        return await self._in_thread(lambda: run(self._store.find(id)))

    async def listed(self, service: str | None = None) -> Sequence[AccessKey]:
        return await self._in_thread(lambda: run(self._store.listed(service)))

    async def revoke(self, id: str, now: datetime) -> bool:
        return await self._in_thread(lambda: run(self._store.revoke(id, now)))

    async def note_use(self, id: str, now: datetime) -> None:
        await self._in_thread(lambda: run(self._store.note_use(id, now)))

    async def erase(self, service: str) -> int:
        return await self._in_thread(lambda: run(self._store.erase(service)))
