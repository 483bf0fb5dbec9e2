"""Characters that people type, and that keyboards and copied text add, in and around digits."""

from __future__ import annotations

import re

#: The zeros of the decimal digits that our users' keyboards produce: ASCII's own, Arabic-Indic,
#: Persian, Devanagari, Bengali, full-width. Other characters that look like digits (superscript,
#: circled, styled) are refused.
_ZEROS = (0x0660, 0x06F0, 0x0966, 0x09E6, 0xFF10)
DIGITS = {zero + n: str(n) for zero in _ZEROS for n in range(10)}

#: Separators that people, keyboards and copied text put between digits: spaces, dashes, direction
#: and zero-width marks.
_SPACES = "\t\n\r\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_DASHES = "-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_MARKS = "\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
FILLERS = {ord(c): None for c in _SPACES + _DASHES + _MARKS}

_PLUS = {0xFF0B: "+"}
_TYPED = DIGITS | FILLERS | {ord(c): None for c in "()./"} | _PLUS
_LONGEST_TEXT = 64
_LONGEST_PROSE = 256
_PROSE = re.compile(rf"[^+0-9]*(?P<number>\+[0-9({re.escape(_SPACES + _DASHES + _MARKS)}./)]*[0-9])[^+0-9]*\Z")


def plain(text: str) -> str:
    """Return the text with ASCII digits and without separators; empty if it is too long for a number."""
    return text.translate(_TYPED) if len(text) <= _LONGEST_TEXT else ""


def only_number_in(text: str) -> str | None:
    """Return the only number with `+` in a longer text, or the number of a `tel:` link.

    A text with other digits is refused: they could be an extension or a part of the number.
    """
    if len(text) > _LONGEST_PROSE:
        return None
    found = _PROSE.fullmatch(text.translate(DIGITS | _PLUS))
    return found["number"] if found else None
