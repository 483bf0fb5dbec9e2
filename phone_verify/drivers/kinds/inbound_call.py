"""Lines that a provider names for the user to call."""

from __future__ import annotations

import re
from dataclasses import replace

from ...errors import UnclearError
from ...model import Channel, Receipt
from ...phone import PhoneNumber
from ..options import Option
from ..reading import line_of, reference_of

_LINE = re.compile(r"\+?([0-9]{8,15})")


def readable_line(line: object) -> PhoneNumber | None:
    """Return the line in international digits with or without plus; None if it is unreadable."""
    text = str(line) if type(line) is int else line
    found = _LINE.fullmatch(text) if isinstance(text, str) else None
    return line_of("+" + found[1]) if found else None


def _line_in_option(text: str) -> PhoneNumber:
    line = readable_line(text)
    if line is None:
        raise ValueError("write the number in E.164, with + as %2B")
    return line


#: For a provider whose line belongs to the site's account and is not in every response.
LINE = Option(None, _line_in_option, "%2B74950000000", "the number that users call", needed_for=(Channel.INBOUND_CALL,))


def line_to_call(line: object, reference: object, scheme: str) -> Receipt:
    """Return the receipt for a line, in international digits with or without plus, and its reference.

    Raises `UnclearError` unless both are readable.
    """
    known = reference_of(reference)
    if known is None:
        raise UnclearError(f"{scheme}: the response has no readable line or reference")
    return replace(line_without_reference(line, scheme), reference=known)


def line_without_reference(line: object, scheme: str) -> Receipt:
    """Return the receipt for a line of a provider that has no reference for a call. Raises `UnclearError`
    if it is unreadable.
    """
    phone = readable_line(line)
    if phone is None:
        raise UnclearError(f"{scheme}: the response has no readable line or reference")
    return Receipt(line=phone)
