"""How many SMS a text needs: GSM 7-bit or UCS-2, single or in parts (3GPP TS 23.038, 23.040)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# 3GPP TS 23.038, 6.2.1: the default alphabet in the order of its codes, without the escape (0x1B),
# and its extension table (6.2.1.1), whose characters take the escape and one more septet. National
# shift tables are not used.
_DEFAULT = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")

# 3GPP TS 23.040, 9.2.3.24.1: 140 octets, of which the header of a multipart message takes six.
_ROOM = {"gsm7": (160, 153), "ucs2": (70, 67)}


@dataclass(frozen=True, slots=True)
class Segments:
    """The size of a text: `units` are septets for `gsm7` and UTF-16 code units for `ucs2`.

    `count` is the number of billed messages.
    """

    encoding: Literal["gsm7", "ucs2"]
    units: int
    count: int


def segments(text: str) -> Segments:
    """Return the size of `text` as SMS. An empty text is one message too."""
    if _DEFAULT.issuperset(text):
        # The usual text: each character is one septet.
        alone, part = _ROOM["gsm7"]
        return Segments("gsm7", len(text), 1 if len(text) <= alone else -(-len(text) // part))
    if _DEFAULT.union(_EXTENSION).issuperset(text):
        return _packed("gsm7", [2 if character in _EXTENSION else 1 for character in text])
    return _packed("ucs2", [2 if ord(character) > 0xFFFF else 1 for character in text])


def _packed(encoding: Literal["gsm7", "ucs2"], sizes: Iterable[int]) -> Segments:
    """Distribute characters of these sizes over parts without splitting one."""
    alone, part = _ROOM[encoding]
    units, count, filled = 0, 1, 0
    for size in sizes:
        units += size
        if filled + size > part:
            count, filled = count + 1, 0
        filled += size
    return Segments(encoding, units, 1 if units <= alone else count)
