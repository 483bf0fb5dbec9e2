"""Comparison of texts with the secrets that they must not contain."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

#: A part of a text in Base64, in characters, that is not there by chance.
_TELLING_PART = 8


def spellings_of(secret: str) -> tuple[str, ...]:
    """Return a secret as it is, percent-encoded in both ways, and in Base64."""
    encoded = base64.b64encode(secret.encode()).decode()
    return secret, quote(secret, safe=""), quote_plus(secret), encoded


def assert_hidden(text: str, secrets: Iterable[str]) -> None:
    """Assert that a text contains none of these secrets in any spelling, nor inside of Base64."""
    letters = _letters(text)
    for secret in secrets:
        for spelling in _letters_of_spellings(secret):
            # The text itself would show the secret, so it is left out of the failure.
            assert letters.find(spelling) < 0, f"a secret shows in a text of {len(text)} letters"


@lru_cache
def _letters_of_spellings(secret: str) -> tuple[str, ...]:
    return tuple(map(_letters, (*spellings_of(secret), *_parts_in_base64(secret.encode()))))


def _parts_in_base64(secret: bytes) -> Iterator[str]:
    """Yield the groups of Base64 that encode this secret alone, for each place of it in a longer text."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + secret).decode()
        part = whole[4 if before else 0 : (before + len(secret)) // 3 * 4]
        if len(part) >= _TELLING_PART:
            yield part


def _letters(text: str) -> str:
    """Return the letters and digits alone: a secret whose punctuation became spaces still matches."""
    return "".join(filter(str.isalnum, text)).lower()
