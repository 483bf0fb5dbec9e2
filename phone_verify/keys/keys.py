"""Decides which requests an access key admits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from ..errors import StoreError
from .access_key import AccessKey, Address
from .base import KeyStore
from .text import read_text

log = logging.getLogger("phone_verify")


class AccessKeys:
    """The access keys of a site."""

    def __init__(self, store: KeyStore, clock: Callable[[], datetime]) -> None:
        self.store, self.clock = store, clock

    async def admitted(self, text: str, address: Address | None) -> AccessKey | None:
        """Return the key with this text if it may be used now and from this address; otherwise None.

        The key is read on every request and never cached: a revoked one is refused immediately by all
        processes. Raises `StoreError`.
        """
        presented = read_text(text)
        found = await self.store.find(presented.id) if presented is not None else None
        if presented is None or found is None or not found.matches(presented.digest):
            return None
        now = self.clock()
        if not found.is_usable(now) or not found.admits(address):
            return None
        if not found.use_is_noted(now):
            await self._note_use(found.id, now)
        return found

    async def is_usable(self, id: str) -> bool:
        """Return whether the key with this id is neither revoked nor expired. Raises `StoreError`."""
        found = await self.store.find(id)
        return found is not None and found.is_usable(self.clock())

    async def revoke_all(self, service: str) -> None:
        """Revoke the keys of a service. Raises `StoreError`."""
        for key in await self.store.listed(service):
            await self.store.revoke(key.id, self.clock())

    async def _note_use(self, id: str, now: datetime) -> None:
        try:
            await self.store.note_use(id, now)
        except StoreError as error:
            # The time is for people who look at the list: a database that only reads must not stop the API.
            log.warning("the use of the access key %s could not be noted: %s", id, error)
