"""Proofs: the signed tokens of finished verifications.

A proof names the verification by its id, never by its phone. It is signed by itsdangerous with SHA-256 under a
salt per purpose, names its audience, and carries the time of the verification, so that repeated reads give the
same token. That it is used once, and only by the binding that earned it, is the store's part (`Store.redeem`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

from .codes import Keyring
from .lifecycle import PROOF_LIFE
from .model import is_id

#: Clocks of two machines of one site may differ by so much (threat model: at most 30 s).
LEEWAY = timedelta(seconds=30)
_LONGEST = 1024


class Proofs:
    """Signs and reads the proofs of one audience. The newest key signs, every listed one verifies."""

    def __init__(self, keyring: Keyring, audience: str) -> None:
        self._keys = [*reversed(keyring.proof_keys)]  # itsdangerous signs with the last
        self._audience = audience

    def sign(self, id: str, purpose: str, verified_at: datetime) -> str:
        """The proof of this verification: the same text each time."""
        return self._serializer(purpose, verified_at).dumps({"v": id, "a": self._audience})

    def read(self, proof: str, purposes: Iterable[str], now: datetime) -> str | None:
        """The id of the verification proven, or None: wrong signature, purpose, audience or age."""
        if len(proof) > _LONGEST:
            return None
        return next((id for purpose in purposes if (id := self._read(proof, purpose, now)) is not None), None)

    def _read(self, proof: str, purpose: str, now: datetime) -> str | None:
        serializer = self._serializer(purpose, now + LEEWAY)
        try:
            document, signed_at = serializer.loads(
                proof, max_age=int((PROOF_LIFE + LEEWAY).total_seconds()), return_timestamp=True
            )
        except BadData:
            return None
        if not isinstance(document, dict) or signed_at > now + LEEWAY or document.get("a") != self._audience:
            return None
        id = document.get("v")
        return id if isinstance(id, str) and is_id(id) else None

    def _serializer(self, purpose: str, at: datetime) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._keys,
            salt=f"phone_verify.proof.{purpose}",
            signer=_StampedAt.at(at),
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )


class _StampedAt(TimestampSigner):
    """A signer whose time is given, not read."""

    stamp = 0

    @classmethod
    def at(cls, moment: datetime) -> type[_StampedAt]:
        return type("_StampedAtMoment", (cls,), {"stamp": int(moment.astimezone(UTC).timestamp())})

    def get_timestamp(self) -> int:
        return self.stamp
