"""A signer with a given time instead of the current one, shared by our signed texts."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from itsdangerous import TimestampSigner
from itsdangerous.encoding import want_bytes


class StampedSigner(TimestampSigner):
    """Signs with itsdangerous and SHA-256, as of the time `at`. The first key signs, all verify."""

    def __init__(self, keys: Sequence[bytes], salt: str, at: datetime) -> None:
        # itsdangerous signs with the last key.
        given: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        super().__init__([*reversed(keys)], salt=salt, **given)
        self._stamp = int(at.timestamp())

    def get_timestamp(self) -> int:
        return self._stamp

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        # The same derivation as in itsdangerous, cached: a signer is used for one text only.
        return _derived(self.secret_keys[-1] if secret_key is None else want_bytes(secret_key), self.salt)


@lru_cache(maxsize=256)
def _derived(key: bytes, salt: bytes) -> bytes:
    return hmac.digest(key, salt, "sha256")
