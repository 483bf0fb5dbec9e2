"""The texts under which a site may have stored a number, and how such a text is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import ConfigurationError, InvalidPhoneError, quoted
from ..phone import PhoneNumber, is_region

#: A plus and fifteen digits: the longest number in E.164.
LONGEST_E164 = 16


def regions_of(region: str | None, allowed: Iterable[str] | None) -> Sequence[str | None]:
    """Return the regions whose national form may be stored: the site's own first, then the allowed ones.

    Raises `ConfigurationError` for a region that does not exist.
    """
    if region is not None and not is_region(region):
        raise ConfigurationError(f"{quoted(region)} is not a region; use ISO 3166 codes in capitals, like IR or RU")
    return [region, *(other for other in sorted(allowed or ()) if other != region)]


def spellings(phone: PhoneNumber) -> Sequence[str]:
    """Return the usual texts of a number: E.164 first, without plus, with 00, national, formatted.

    Then those of its forms before a renumbering.
    """
    return list(dict.fromkeys(text for form in phone.forms for text in _spellings(PhoneNumber(form))))


def _spellings(phone: PhoneNumber) -> Sequence[str]:
    import phonenumbers
    from phonenumbers import PhoneNumberFormat as Format

    parsed, digits = phonenumbers.parse(phone.e164), phone.e164[1:]
    formatted = [
        phonenumbers.format_number(parsed, style) for style in (Format.NATIONAL, Format.INTERNATIONAL, Format.RFC3966)
    ]
    national = "".join(filter(str.isdigit, formatted[0]))
    return [phone.e164, digits, f"00{digits}", national, phone.national, *formatted]


def read_stored(text: str, regions: Sequence[str | None]) -> PhoneNumber | None:
    """Return the number that a stored text means, or None.

    The first of `regions` decides. If it does not read the text, the others must agree: a text that
    means different numbers in two of them is None.
    """
    text = text.strip().removeprefix("tel:")
    first, *others = regions or [None]
    if (phone := _read(text, first)) is not None:
        return phone
    found = {phone for region in others if (phone := _read(text, region)) is not None}
    return found.pop() if len(found) == 1 else None


def longest_number(regions: Iterable[str] | None) -> int:
    """Return the length of the longest mobile number of these regions in E.164; of all regions for None."""
    from phonenumbers import PhoneMetadata

    lengths = [0]
    for region in regions or ():
        metadata = PhoneMetadata.metadata_for_region(region)
        if metadata is not None and metadata.mobile is not None:
            lengths.append(1 + len(str(metadata.country_code)) + max(metadata.mobile.possible_length, default=0))
    return max(lengths) or LONGEST_E164


def _read(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return PhoneNumber.read(text, region).current
    except InvalidPhoneError:
        return _renumbered(text, region)


def _renumbered(text: str, region: str | None) -> PhoneNumber | None:
    """Return the number that a text of a former numbering plan has become."""
    try:
        former = PhoneNumber.lookup(text, region)
    except InvalidPhoneError:
        return None
    return former.current if former.current != former and former.current.is_valid else None
