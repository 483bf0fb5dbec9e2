"""A signer with a given time instead of the current one, shared by our signed texts."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from itsdangerous import TimestampSigner
from itsdangerous.encoding import want_bytes
from itsdangerous.signer import SigningAlgorithm


class _HmacSha256(SigningAlgorithm):
    """HMAC-SHA-256 in one call; that of itsdangerous makes an object for each signature."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


_ALGORITHM = _HmacSha256()


class StampedSigner(TimestampSigner):
    """Signs with itsdangerous and SHA-256, as of the time `at`. The first key signs, all verify."""

    def __init__(self, keys: Sequence[bytes], salt: str, at: datetime) -> None:
        # itsdangerous signs with the last key.
        super().__init__([*reversed(keys)], salt=salt, algorithm=_ALGORITHM)
        self._stamp = int(at.timestamp())

    def get_timestamp(self) -> int:
        return self._stamp

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        # The same derivation as in itsdangerous, cached: a signer is used for one text only.
        return _derived(self.secret_keys[-1] if secret_key is None else want_bytes(secret_key), self.salt)


@lru_cache(maxsize=256)
def _derived(key: bytes, salt: bytes) -> bytes:
    return hmac.digest(key, salt, "sha256")
