"""What the number field of a browser knows of numbering plans: calling codes of regions, and formats of one region.

Everything is read from the metadata of `phonenumbers`, in a form that a short script can apply: its
regular expressions mean the same in JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phonenumbers import NumberFormat, PhoneMetadata

_REFERENCE = re.compile(r"\\(\d)")
_FIRST_GROUP = re.compile(r"\$\d")


def calling_codes() -> Mapping[str, Sequence[str]]:
    """Return the calling codes of countries with their regions, the main one first."""
    import phonenumbers

    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    return {str(code): regions for code, regions in codes.items() if regions[0] in phonenumbers.SUPPORTED_REGIONS}


def calling_code_of(region: str) -> str:
    """Return the calling code of a region."""
    import phonenumbers

    return str(phonenumbers.country_code_for_region(region))


@lru_cache(maxsize=64)
def served_regions(allowed: frozenset[str] | None, reached: frozenset[str]) -> tuple[str, ...]:
    """Return the regions, in alphabetical order, that are `allowed` and whose calling code is `reached`.

    None allows all.
    """
    regions = [region for code, sharing in calling_codes().items() if code in reached for region in sharing]
    return tuple(sorted(region for region in regions if allowed is None or region in allowed))


def calling_codes_of(regions: tuple[str, ...]) -> list[list[str]]:
    """Return the regions with their calling codes: `["IR", "98"]`.

    Regions that share a calling code have an expression as well, which their numbers begin with; it
    is empty if nothing tells their numbers from others. The main region of a calling code has none:
    it has the numbers that belong to no other one.
    """
    listed = {}
    for code, sharing in calling_codes().items():
        for region in sharing:
            listed[region] = [region, code, *([] if region == sharing[0] else [_own_numbers(region)])]
    return [listed[region] for region in regions]


def formats_of(region: str, example: tuple[str | None, str | None]) -> dict[str, Any]:
    """Return how numbers of this region are written.

    `example` is a number in national and in international form. `trunk` is the prefix of national
    form, `length` the number of digits of the longest number without it. `national` lists formats
    in order of preference: the expression for the leading digits, that for the number with its
    groups, its form without and with the prefix. `international` lists the forms after the calling
    code, if they differ.
    """
    # Regions that share a calling code have the formats of its main region.
    own, main = _metadata(region), _metadata(calling_codes()[calling_code_of(region)][0])
    lengths = {n for kind in (own.mobile, own.fixed_line) if kind is not None for n in kind.possible_length if n > 0}
    trunk = _trunk(own, main)
    national = [
        [_leading(each), each.pattern, *_national_forms(each, trunk)]
        for each in main.number_format
        if _fits(each, lengths) and _keeps_digits(each)
    ]
    international = [
        [_leading(each), each.pattern, _plain_form(each)]
        for each in main.intl_number_format or main.number_format
        if each.format != "NA" and _fits(each, lengths)
    ]
    found: dict[str, Any] = {"example": example, "trunk": trunk, "length": max(lengths), "national": national}
    if international != [each[:3] for each in national]:
        found["international"] = international
    return found


def _metadata(region: str) -> PhoneMetadata:
    import phonenumbers

    found = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if found is None:
        raise ValueError(f"{region} is not a region")
    return found


def _own_numbers(region: str) -> str:
    import phonenumbers
    from phonenumbers import PhoneNumberType as Type

    metadata = _metadata(region)
    if metadata.leading_digits:
        return str(metadata.leading_digits)
    patterns = set()
    for kind, numbers in ((Type.MOBILE, metadata.mobile), (Type.FIXED_LINE, metadata.fixed_line)):
        example = phonenumbers.example_number_for_type(region, kind)
        if numbers is not None and example is not None and phonenumbers.region_code_for_number(example) == region:
            patterns.add(numbers.national_number_pattern or "")
    return f"(?:{'|'.join(sorted(patterns))})$" if patterns else ""


def _trunk(own: PhoneMetadata, main: PhoneMetadata) -> str:
    """Return the prefix of national form, with the digits that formats write after it (Belarus: `80`)."""
    prefix = own.national_prefix or ""
    rules = [each.national_prefix_formatting_rule or "" for each in main.number_format]
    written = [_digits(_REFERENCE.sub("", rule)) for rule in rules]
    return max([prefix, *(digits for digits in written if prefix and digits.startswith(prefix))], key=len)


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _leading(format: NumberFormat) -> str:
    # The last expression is the most specific one.
    return format.leading_digits_pattern[-1] if format.leading_digits_pattern else ""


def _plain_form(format: NumberFormat) -> str:
    return _REFERENCE.sub(r"$\1", format.format or "")


def _national_forms(format: NumberFormat, trunk: str) -> tuple[str, str]:
    """Return the form without the prefix of national form, and with it."""
    plain = _plain_form(format)
    rule = _REFERENCE.sub(r"$\1", format.national_prefix_formatting_rule or "$1")
    written = _FIRST_GROUP.sub(lambda group: rule.replace("$1", group[0]), plain, count=1)
    added = _digits(rule.replace("$1", ""))
    if trunk and trunk in added:
        return plain, written
    # A shorter prefix (Belarus: `8` before toll-free numbers) is not that of this form.
    rest = plain if added else written
    return rest, f"{trunk} {rest}".lstrip()


def _keeps_digits(format: NumberFormat) -> bool:
    """Return whether the format only groups digits. Argentina's for mobile numbers moves some and adds `15`."""
    groups = [int(group) for group in _REFERENCE.findall(format.format or "")]
    others = _digits(_REFERENCE.sub("", format.format or ""))
    return not others and groups == list(range(1, len(groups) + 1))


def _fits(format: NumberFormat, lengths: Set[int]) -> bool:
    """Return whether a number of one of these lengths can have this format: local numbers have none of them."""
    return any(re.fullmatch(format.pattern or "", digit * length) for digit in "123456789" for length in lengths)
