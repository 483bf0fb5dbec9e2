"""Numbers that occur more than once, found in constant memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from hashlib import blake2b
from secrets import token_bytes

from ..phone import PhoneNumber
from .report import Result


class Duplicates:
    """The numbers of all users, to find those of several. Close it after use.

    A number counts for the user who had it when it was added: one who writes it while the command
    runs must not get it before its user is reached. The numbers are kept in a temporary file that
    SQLite deletes, since a million of them need too much memory; as digests under a key of this
    run, so that the file contains no number.
    """

    def __init__(self) -> None:
        self._key = token_bytes(32)
        self._database = sqlite3.connect("")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, user BLOB, again INTEGER) WITHOUT ROWID")

    def add(self, numbers: Iterable[tuple[object, PhoneNumber]]) -> None:
        """Add the numbers of more users, with the primary key of each."""
        self._database.executemany(
            "INSERT INTO seen VALUES (?, ?, 0) ON CONFLICT (digest) DO UPDATE SET again = 1",
            [(self._digest(phone.e164), self._digest(str(user))) for user, phone in numbers],
        )

    def problem(self, user: object, phone: PhoneNumber) -> Result | None:
        """Return why this number is not this user's alone, or None: several had it, or this user did not."""
        seen = "SELECT user, again FROM seen WHERE digest = ?"
        found = self._database.execute(seen, [self._digest(phone.e164)]).fetchone()
        if found is None or (found[1] == 0 and found[0] != self._digest(str(user))):
            return Result.CHANGED
        return Result.DUPLICATE if found[1] else None

    def close(self) -> None:
        """Delete the temporary file."""
        self._database.close()

    def _digest(self, text: str) -> bytes:
        return blake2b(text.encode(), key=self._key, digest_size=16).digest()
