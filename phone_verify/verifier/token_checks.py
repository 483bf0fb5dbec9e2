"""Recent verifications of clients that present a token of the site, in the place of a session's notes.

They are counters in the store, named by keyed digests of the token, the user and the number: a
client cannot make one, and another token of the same user does not share it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from ..limits import Counted, Quota
from ..parts import Components
from ..phone import PhoneNumber

#: How long a verification counts as recent, exact for the last five: a window does not move.
_KEPT = timedelta(minutes=15)
_WINDOWS = 5


class TokenChecks:
    """Notes which numbers a token's user has verified within the last 15 minutes."""

    def __init__(self, parts: Components) -> None:
        self._parts = parts

    async def note(self, token: str, user_id: str, phone: PhoneNumber) -> None:
        """See `AsyncVerifier.note_token_check`."""
        for window in self._windows(token, user_id, phone):
            counted = await self._parts.store.count([Quota(window, 1, _KEPT)], self._parts.now())
            if isinstance(counted, Counted):
                return

    async def has(self, token: str, user_id: str, phones: Collection[PhoneNumber]) -> bool:
        """See `AsyncVerifier.has_token_check`."""
        for phone in phones:
            gates = [Quota(window, 1, _KEPT, gate=True) for window in self._windows(token, user_id, phone)]
            if not isinstance(await self._parts.store.count(gates, self._parts.now()), Counted):
                return True
        return False

    def _windows(self, token: str, user_id: str, phone: PhoneNumber) -> list[str]:
        keyring = self._parts.keyring
        named = f"{keyring.tag(phone)} {len(user_id)} {user_id} {token}"
        return [keyring.bucket("token", f"{n} {named}") for n in range(_WINDOWS)]
