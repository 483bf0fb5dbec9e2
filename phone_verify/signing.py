"""A signer whose time is given, not read: what our signed texts have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from itsdangerous import TimestampSigner


class StampedSigner(TimestampSigner):
    """Signs by itsdangerous with SHA-256, as of the time `at`. The first key signs, every one verifies."""

    def __init__(self, keys: Sequence[bytes], salt: str, at: datetime) -> None:
        # itsdangerous signs with the last.
        given: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        super().__init__([*reversed(keys)], salt=salt, **given)
        self._stamp = int(at.timestamp())

    def get_timestamp(self) -> int:
        return self._stamp
