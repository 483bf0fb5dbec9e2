"""The store of access keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from .access_key import AccessKey


class KeyStore(Protocol):
    """Stores access keys. Every step is atomic, and visible to all processes when it returns.

    Raises `StoreError` if the database does not respond. A blocking store never suspends.
    """

    async def add(self, key: AccessKey) -> bool:
        """Add a key; return False if there is one with this id."""
        ...

    async def find(self, id: str) -> AccessKey | None:
        """Return the key with this id as it is now, also a revoked or expired one."""
        ...

    async def listed(self, service: str | None = None) -> Sequence[AccessKey]:
        """Return the keys of a service, or of all, newest first."""
        ...

    async def revoke(self, id: str, now: datetime) -> bool:
        """Revoke a key; return whether it existed and was not revoked before."""
        ...

    async def note_use(self, id: str, now: datetime) -> None:
        """Set `last_used_at`, unless it is later than `now` less `USE_NOTED_EVERY`."""
        ...

    async def erase(self, service: str) -> int:
        """Delete the keys of a service; return how many."""
        ...
