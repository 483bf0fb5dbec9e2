"""Proofs: the signed tokens of finished verifications.

A proof names the verification by its id, never by its phone. It is signed by itsdangerous with
SHA-256 under a salt for each purpose and audience, and carries the time of the verification, so
that repeated reads give the same token. The store ensures that it is used once, and only with its
binding (`Store.redeem`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import product

from itsdangerous import BadData

from ..codes import Keyring
from ..lifecycle import PROOF_LIFE
from ..model import is_id
from .signer import StampedSigner, signer

#: Allowed clock difference between two machines of one site (threat model: at most 30 s).
LEEWAY = timedelta(seconds=30)
_LONGEST = 1024


class Proofs:
    """Signs and verifies the proofs of one site.

    The newest key and the first audience sign, all verify.
    """

    def __init__(self, keyring: Keyring, *audiences: str) -> None:
        self._keys = keyring.proof_keys
        self._audiences = audiences

    def sign(self, id: str, purpose: str, verified_at: datetime) -> str:
        """Return the proof of this verification: the same text each time."""
        return self._signer(purpose, self._audiences[0]).sign_at(id, verified_at)

    def verify(self, proof: str, purposes: Iterable[str], now: datetime) -> str | None:
        """Return the verification's id, or None for a wrong signature, purpose, audience or age."""
        if len(proof) > _LONGEST or not proof.isascii():
            return None
        # A program may name any purpose: that of a proof is ASCII, and a lone surrogate cannot be encoded.
        salts = product([purpose for purpose in purposes if purpose.isascii()], self._audiences)
        return next((id for salt in salts if (id := self._read(proof, *salt, now)) is not None), None)

    def _read(self, proof: str, purpose: str, audience: str, now: datetime) -> str | None:
        try:
            id = self._signer(purpose, audience).unsign_at(proof, PROOF_LIFE + LEEWAY, now + LEEWAY)
        except BadData:
            return None
        return id if is_id(id) else None

    def _signer(self, purpose: str, audience: str) -> StampedSigner:
        return signer(self._keys, f"phone_verify.proof.{purpose}\0{audience}")
