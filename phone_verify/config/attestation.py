"""Parses the setting of the weakest attestation of a caller that verifies a call."""

from __future__ import annotations

from ..errors import ConfigurationError
from ..phone import Attestation


def read_attestation(text: str | None) -> Attestation | None:
    """Return the attestation; None for any call. Raises `ConfigurationError`."""
    if text not in (None, "any", "A", "B"):
        raise ConfigurationError("PHONE_VERIFY_CALLER_ATTESTATION must be any, B or A")
    return Attestation(text) if text in ("A", "B") else None
