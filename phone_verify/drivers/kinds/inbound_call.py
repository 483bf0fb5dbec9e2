"""Lines that a provider names for the user to call."""

from __future__ import annotations

import re

from ...errors import UnclearError
from ...model import Receipt
from ..reading import line_of, reference_of

_LINE = re.compile(r"\+?([0-9]{8,15})")


def line_to_call(line: object, reference: object, scheme: str) -> Receipt:
    """Return the receipt for a line, in international digits with or without plus, and its reference.

    Raises `UnclearError` unless both are readable.
    """
    text = str(line) if type(line) is int else line
    found = _LINE.fullmatch(text) if isinstance(text, str) else None
    phone, known = line_of("+" + found[1]) if found else None, reference_of(reference)
    if phone is None or known is None:
        raise UnclearError(f"{scheme}: the response has no readable line or reference")
    return Receipt(reference=known, line=phone)
