"""Comparison of texts with the secrets that they must not contain."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import quote, quote_plus


def spellings_of(secret: str) -> tuple[str, ...]:
    """Return a secret as it is, percent-encoded in both ways, and in Base64."""
    encoded = base64.b64encode(secret.encode()).decode()
    return secret, quote(secret, safe=""), quote_plus(secret), encoded


def assert_hidden(text: str, secrets: Iterable[str]) -> None:
    """Assert that a text contains none of these secrets in any spelling."""
    for secret in secrets:
        for spelling in map(_letters, spellings_of(secret)):
            # The text itself would show the secret, so it is left out of the failure.
            assert _letters(text).find(spelling) < 0, f"a secret shows in a text of {len(text)} letters"


def _letters(text: str) -> str:
    """Return the letters and digits alone: a secret whose punctuation became spaces still matches."""
    return "".join(filter(str.isalnum, text)).lower()
