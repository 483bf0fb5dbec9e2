"""Numbers as typed, turned into E.164."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from . import spellings
from .typed import only_number_in, plain

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber as Parsed

_SHAPE = re.compile(r"\+?[0-9]{3,17}\Z", re.ASCII)

# A store returns a record's number as a new value, several times in one verification, so results
# are cached by the text. The cache is small: a larger one would reveal by the duration of a start
# which numbers a worker has recently seen.
CACHED = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """A valid number in E.164, as phonenumbers has read it, and its type there (`PhoneNumberType`)."""

    e164: str
    parsed: Parsed = field(compare=False, repr=False)
    type: int = field(compare=False)


def parse(text: str, region: str | None) -> Reading | None:
    """Return the valid number typed as `text`, or None."""
    return _parse(plain(text), region)


def read(text: str, region: str | None, also: Sequence[str], *, prose: bool) -> Reading | None:
    """Return the number that a person typed or pasted, or None. See `PhoneNumber.read`."""
    typed = plain(text)
    found = _parse(typed, region) or _of_regions(typed, also) or _without_plus(typed)
    if found is None and prose and (number := only_number_in(text)):
        found = parse(number, None)
    return found


def possible(text: str, region: str | None) -> str | None:
    """Return the number typed as `text` in E.164, also if today's numbering plan does not have it."""
    import phonenumbers

    number = _number(plain(text), region)
    return None if number is None else phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@lru_cache(maxsize=CACHED)
def _parse(typed: str, region: str | None) -> Reading | None:
    import phonenumbers

    number = _number(typed, region)
    # A number is valid if it has a type: asked once, and kept for `PhoneNumber.kind`.
    kind = phonenumbers.PhoneNumberType.UNKNOWN if number is None else phonenumbers.number_type(number)
    if number is None or kind == phonenumbers.PhoneNumberType.UNKNOWN:
        return None
    return Reading(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), number, kind)


def _number(typed: str, region: str | None) -> Parsed | None:
    import phonenumbers

    # Checked before calling phonenumbers: that library finds a number in almost anything, letters,
    # extensions and parameters included.
    if not _SHAPE.match(typed):
        return None
    try:
        number = phonenumbers.parse(typed, region)
    except phonenumbers.NumberParseException:
        return None
    if number.extension:
        return None
    return spellings.canonical(number) if number.country_code in spellings.CODES else number


def _of_regions(typed: str, regions: Sequence[str]) -> Reading | None:
    """Return the mobile number whose national form this is, in the first region that has it."""
    if not typed.isdigit():
        return None
    for region in regions:
        number = _number(typed, region)
        if number is not None and _is_mobile_of(number, region):
            return _parse(typed, region)
    return None


def _without_plus(typed: str) -> Reading | None:
    """Return the number whose country code was typed without `+`, or after the prefix `00`."""
    if not typed.isascii() or not typed.isdigit():
        return None
    if typed.startswith("00"):
        return _parse(f"+{typed[2:]}", None)
    found = _parse(f"+{typed}", None)
    return None if found is None or _is_national_form(typed, found.e164) else found


def _is_national_form(digits: str, e164: str) -> bool:
    """Return whether people of some country write another mobile number as exactly these digits.

    `13125550123` is a Chinese number in national form, and one of Chicago with its country code.
    """
    for region in _regions_by_length().get(len(digits), ()):
        number = _number(digits, region)
        # A number that is equal has this region's own country code.
        if number is None or not _is_mobile_of(number, region):
            continue
        found = _parse(digits, region)
        if found is None or found.e164 != e164:
            return True
    return False


def _is_mobile_of(number: Parsed, region: str) -> bool:
    import phonenumbers
    from phonenumbers import PhoneNumberType as Type

    mobile = (Type.MOBILE, Type.FIXED_LINE_OR_MOBILE)
    return phonenumbers.number_type(number) in mobile and phonenumbers.region_code_for_number(number) == region


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
