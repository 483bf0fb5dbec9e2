"""Phone numbers: one normaliser for storage, budgets and matching.

Internally, a number is a `PhoneNumber` in E.164. Parsing and validity come from the `phonenumbers`
library; this module adds the characters accepted around typed digits, and the ranges that cost
money or reach no subscriber regardless of the metadata's classification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING

from .errors import InvalidPhoneError

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber as Parsed

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

_TYPED = DIGITS | FILLERS | {ord(c): None for c in "()./"} | {0xFF0B: "+"}
_SHAPE = re.compile(r"\+?[0-9]{3,17}\Z", re.ASCII)
_LONGEST_TEXT = 64
_LONGEST_PROSE = 256
_PROSE = re.compile(rf"[^+0-9]*(?P<number>\+[0-9({re.escape(_SPACES + _DASHES + _MARKS)}./)]*[0-9])[^+0-9]*\Z")

#: Satellite, international networks and shared services, some of which the metadata calls mobile
#: (ITU list of assigned country codes); and the digit spellings of a hidden caller ("ANONYMOUS" on
#: a keypad).
_BLOCKED_PREFIXES = ("+800", "+808", "+870", "+878", "+881", "+882", "+883", "+888", "+979")
HIDDEN_CALLER_DIGITS = frozenset({"+266696687", "+86282452253", "+2562533", "+7378742833"})


class PhoneKind(StrEnum):
    """The kind of number, as far as verification is concerned."""

    MOBILE = "mobile"
    FIXED = "fixed"
    REFUSED = "refused"


@dataclass(frozen=True)
class PhoneNumber:
    """A phone number in E.164. Its repr and str are masked; `e164` is the full number."""

    e164: str = field(repr=False)

    @classmethod
    def parse(cls, text: str, region: str | None = None) -> PhoneNumber:
        """Return the number typed as `text`, in E.164.

        `region` (ISO 3166, upper case) allows numbers in national form; without it `+` is required.
        Raises `InvalidPhoneError` for anything that is not a valid number, including letters,
        extensions, `tel:` parameters, short and emergency numbers. Idempotent: parsing the result
        gives the result.
        """
        return _parse(text, region) if len(text) <= _LONGEST_TEXT else _refuse()

    @classmethod
    def read(cls, text: str, region: str | None = None, *, prose: bool = False) -> PhoneNumber:
        """Return the number that a person typed or pasted as `text`.

        Reads what `parse` reads, and a number with its country code but without `+` (`98 912…`,
        `0098 912…`) if it is nobody's number in national form. With `prose` also a `tel:` link, and
        a text that contains exactly one number with `+`. Raises `InvalidPhoneError`.
        """
        try:
            return cls.parse(text, region)
        except InvalidPhoneError:
            return _parse_without_plus(text) or (_only_number_in(text) if prose else None) or _refuse()

    @cached_property
    def _parsed(self) -> Parsed:
        return _known(self.e164)

    @property
    def calling_code(self) -> str:
        """The country calling code without plus: `98`."""
        return str(self._parsed.country_code)

    @property
    def national(self) -> str:
        """The significant national number with the leading zeros that belong to it: `9120000000`."""
        return self.e164[1 + len(self.calling_code) :]

    @cached_property
    def region(self) -> str | None:
        """The region of the number (`IR`), or None if it belongs to none."""
        import phonenumbers

        return phonenumbers.region_code_for_number(self._parsed)

    @cached_property
    def kind(self) -> PhoneKind:
        """Mobile, fixed or refused (premium, shared-cost, personal, toll-free, pager, satellite)."""
        return _kind(self.e164)

    @property
    def is_toll_free(self) -> bool:
        """Whether calls to this number are free in its country, by the numbering plan."""
        from phonenumbers import PhoneNumberType, number_type

        return number_type(self._parsed) == PhoneNumberType.TOLL_FREE

    @property
    def prefix(self) -> str:
        """The number without its last four digits: the range used by an SMS-pumping attack."""
        return self.e164[:-4]

    @property
    def hint(self) -> str:
        """Calling code, bullets, last two digits: only the owner can recognise the number."""
        return f"+{self.calling_code} {'•' * (len(self.national) - 2)}{self.e164[-2:]}"

    def __repr__(self) -> str:
        return f"<PhoneNumber {self.hint}>"

    __str__ = __repr__


def is_region(text: str) -> bool:
    """Return whether `text` is a region of the numbering plans: an ISO 3166 code in capitals."""
    import phonenumbers

    return text in phonenumbers.SUPPORTED_REGIONS


def _refuse() -> PhoneNumber:
    raise InvalidPhoneError("This is not a valid phone number. Include the country code, like +98 912 000 0000.")


# A store returns a record's number as a new value, several times in one verification, so results
# are cached by the text. The cache is small: a larger one would reveal by the duration of a start
# which numbers a worker has recently seen.
_CACHED = 8


@lru_cache(maxsize=_CACHED)
def _known(e164: str) -> Parsed:
    import phonenumbers

    return phonenumbers.parse(e164)


@lru_cache(maxsize=_CACHED)
def _kind(e164: str) -> PhoneKind:
    import phonenumbers
    from phonenumbers import PhoneNumberType as Type

    if e164.startswith(_BLOCKED_PREFIXES) or e164 in HIDDEN_CALLER_DIGITS:
        return PhoneKind.REFUSED
    match phonenumbers.number_type(_known(e164)):
        case Type.MOBILE | Type.FIXED_LINE_OR_MOBILE | Type.VOIP:
            return PhoneKind.MOBILE
        case Type.FIXED_LINE:
            return PhoneKind.FIXED
        case _:
            return PhoneKind.REFUSED


@lru_cache(maxsize=_CACHED)
def _parse(text: str, region: str | None) -> PhoneNumber:
    import phonenumbers

    # Checked before calling phonenumbers: that library finds a number in almost anything, letters,
    # extensions and parameters included.
    plain = text.translate(_TYPED)
    if not _SHAPE.match(plain):
        return _refuse()
    try:
        parsed = phonenumbers.parse(plain, region)
    except phonenumbers.NumberParseException:
        return _refuse()
    if parsed.extension or not phonenumbers.is_valid_number(parsed):
        return _refuse()
    return PhoneNumber(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def _parse_or_none(text: str) -> PhoneNumber | None:
    try:
        return PhoneNumber.parse(text)
    except InvalidPhoneError:
        return None


def _parse_without_plus(text: str) -> PhoneNumber | None:
    """Return the number whose country code was typed without `+`, or after the prefix `00`."""
    plain = text.translate(_TYPED) if len(text) <= _LONGEST_TEXT else ""
    if not plain.isascii() or not plain.isdigit():
        return None
    if plain.startswith("00"):
        return _parse_or_none(f"+{plain[2:]}")
    number = _parse_or_none(f"+{plain}")
    return None if number is None or _is_national_form(plain, number) else number


def _is_national_form(digits: str, international: PhoneNumber) -> bool:
    """Return whether people of some country write another mobile number as exactly these digits.

    `13125550123` is a Chinese number in national form, and one of Chicago with its country code.
    """
    import phonenumbers
    from phonenumbers import PhoneNumberType as Type

    mobile = (Type.MOBILE, Type.FIXED_LINE_OR_MOBILE)
    for region in _regions_by_length().get(len(digits), ()):
        try:
            number = phonenumbers.parse(digits, region)
        except phonenumbers.NumberParseException:
            continue
        if number == international._parsed:  # this region's own country code was recognized
            continue
        if phonenumbers.number_type(number) in mobile and phonenumbers.region_code_for_number(number) == region:
            return True
    return False


@cache
def _regions_by_length() -> Mapping[int, Sequence[str]]:
    """Return the regions whose mobile numbers are written without a leading zero, by their number of digits.

    Read once, and only when it is needed: it loads the metadata of all regions.
    """
    import phonenumbers

    found: dict[int, list[str]] = {}
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if example is not None:
            written = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
            digits = "".join(filter(str.isdigit, written))
            if not digits.startswith("0"):
                found.setdefault(len(digits), []).append(region)
    return found


def _only_number_in(text: str) -> PhoneNumber | None:
    """Return the only number with `+` in a longer text, or the number of a `tel:` link.

    A text with other digits is refused: they could be an extension or a part of the number.
    """
    if len(text) > _LONGEST_PROSE:
        return None
    ascii_text = text.translate(DIGITS | {0xFF0B: "+"})
    found = _PROSE.fullmatch(ascii_text)
    return _parse_or_none(found["number"]) if found else None
