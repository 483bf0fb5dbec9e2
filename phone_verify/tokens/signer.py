"""A signer with a given time instead of the current one, shared by our signed texts."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from itsdangerous import SignatureExpired, Signer, TimestampSigner
from itsdangerous.encoding import base64_encode, int_to_bytes, want_bytes
from itsdangerous.signer import SigningAlgorithm


class _HmacSha256(SigningAlgorithm):
    """HMAC-SHA-256 in one call; that of itsdangerous makes an object for each signature."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


_ALGORITHM = _HmacSha256()


class StampedSigner(TimestampSigner):
    """Signs with itsdangerous and SHA-256, as of a given time. The first key signs, all verify."""

    def __init__(self, keys: Sequence[bytes], salt: str) -> None:
        # itsdangerous signs with the last key.
        super().__init__([*reversed(keys)], salt=salt, algorithm=_ALGORITHM)

    def sign_at(self, text: str, at: datetime) -> str:
        """Return the signed text with this time."""
        stamp = base64_encode(int_to_bytes(int(at.timestamp())))
        return Signer.sign(self, want_bytes(text) + self.sep + stamp).decode()

    def unsign_at(self, signed: str, longest: timedelta, now: datetime) -> str:
        """Return the text if it was signed before `now`, but not longer before it. Raises `BadData`."""
        text, at = self.unsign(signed, return_timestamp=True)
        if not 0 <= int(now.timestamp()) - int(at.timestamp()) <= longest.total_seconds():
            raise SignatureExpired("another time", payload=text, date_signed=at)
        return text.decode()

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        # The same derivation as in itsdangerous, cached.
        return _derived(self.secret_keys[-1] if secret_key is None else want_bytes(secret_key), self.salt)


@lru_cache(maxsize=256)
def signer(keys: tuple[bytes, ...], salt: str) -> StampedSigner:
    """Return the signer with these keys and this salt; to make one takes longer than to sign."""
    return StampedSigner(keys, salt)


@lru_cache(maxsize=256)
def _derived(key: bytes, salt: bytes) -> bytes:
    return hmac.digest(key, salt, "sha256")
