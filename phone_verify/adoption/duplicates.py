"""Numbers that occur more than once, found in constant memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from hashlib import blake2b
from secrets import token_bytes

from ..phone import PhoneNumber


class Duplicates:
    """The numbers of all users, to find those of several. Close it after use.

    They are kept in a temporary file that SQLite deletes, since a million of them need too much
    memory; as digests under a key of this run, so that the file contains no number.
    """

    def __init__(self) -> None:
        self._key = token_bytes(32)
        self._database = sqlite3.connect("")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, again INTEGER) WITHOUT ROWID")

    def add(self, phones: Iterable[PhoneNumber]) -> None:
        """Add the numbers of more users."""
        self._database.executemany(
            "INSERT INTO seen VALUES (?, 0) ON CONFLICT (digest) DO UPDATE SET again = 1",
            [(self._digest(phone),) for phone in phones],
        )

    def __contains__(self, phone: PhoneNumber) -> bool:
        found = self._database.execute("SELECT again FROM seen WHERE digest = ?", [self._digest(phone)]).fetchone()
        return bool(found == (1,))

    def close(self) -> None:
        """Delete the temporary file."""
        self._database.close()

    def _digest(self, phone: PhoneNumber) -> bytes:
        return blake2b(phone.e164.encode(), key=self._key, digest_size=16).digest()
