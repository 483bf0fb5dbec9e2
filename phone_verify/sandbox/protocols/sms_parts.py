"""The parts in which an SMS is sent (3GPP TS 23.038)."""

from typing import Final

#: Characters of a message alone, and of each part of a longer one.
_GSM_LENGTHS, _UNICODE_LENGTHS = (160, 153), (70, 67)
_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: These take the space of two.
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")


def is_gsm(text: str) -> bool:
    """Return whether the text has only characters of the GSM alphabet."""
    return _BASIC.union(_EXTENDED).issuperset(text)


def gsm_text(text: str) -> str:
    """Return the text with `?` in place of characters outside the GSM alphabet."""
    return "".join(character if is_gsm(character) else "?" for character in text)


def parts_of(text: str, *, unicode: bool) -> int:
    """Return the number of parts of a text."""
    if unicode:
        length, (alone, joined) = len(text.encode("utf-16-be")) // 2, _UNICODE_LENGTHS
    else:
        length, (alone, joined) = len(text) + sum(each in _EXTENDED for each in text), _GSM_LENGTHS
    return 1 if length <= alone else -(-length // joined)
