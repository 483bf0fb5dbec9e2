"""Codes that a provider generates and returns when it accepts the order."""

from __future__ import annotations

import re

from ...errors import UnclearError

_DIGITS = re.compile(r"[0-9]{1,10}")


def told_code(value: object, length: int, scheme: str) -> str:
    """Return the code in a response, as a text or a JSON number, with `length` digits.

    A shorter one lost leading zeros, since the provider's codes have a fixed length. Raises
    `UnclearError` if it cannot be a code: the call may have been placed.
    """
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not _DIGITS.fullmatch(text) or len(text) > length:
        raise UnclearError(f"{scheme}: the response has no readable code")
    return text.zfill(length)


def other_code(value: object, ours: str, scheme: str) -> str | None:
    """Return the code that a provider reports to have sent in place of ours; None if it is ours, or the
    response has none. Raises `UnclearError` like `told_code`.
    """
    told = ours if value is None else told_code(value, len(ours), scheme)
    return told if told != ours else None
