"""The supported languages, and the choice of one for a visitor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its tag (the folder in `locale/`), its writing direction and its digits.

    `region` gives the example number of sites that name no region.
    """

    tag: str
    direction: Literal["ltr", "rtl"] = "ltr"
    digits: str = "0123456789"
    region: str = "US"

    def number(self, value: int) -> str:
        """Return a count in this language's digits; codes and phone numbers stay in ASCII to be copied."""
        return "".join(self.digits[int(digit)] for digit in str(value))


ENGLISH = Language("en")

#: All languages by tag. A new one needs a row here and a `.po` file.
LANGUAGES = {
    language.tag: language
    for language in (
        ENGLISH,
        Language("fa", "rtl", "۰۱۲۳۴۵۶۷۸۹", "IR"),
        Language("ru", region="RU"),
        Language("ar", "rtl", "٠١٢٣٤٥٦٧٨٩", "SA"),
    )
}

_TAG = re.compile(r"([A-Za-z]{2,8})([-_][A-Za-z0-9]{1,8}){0,8}", re.ASCII)
_RANGE = re.compile(
    r"\s*(?P<tag>\*|[A-Za-z0-9-]{1,64})\s*(;\s*[qQ]\s*=\s*(?P<weight>0(\.[0-9]{0,3})?|1(\.0{0,3})?)\s*)?", re.ASCII
)
#: Browsers send fewer than ten languages. The limit bounds the work for longer headers.
_LONGEST_HEADER = 512


def named(tag: str) -> Language | None:
    """Return the language of a tag like `fa`, `fa-IR` or `fa_IR`; None if it is unsupported or malformed."""
    match = _TAG.fullmatch(tag)
    return LANGUAGES.get(match[1].lower()) if match else None


def preferred(accept_language: str) -> Language:
    """Return the preferred supported language of an `Accept-Language` header (RFC 9110, 12.5.4), else English.

    Malformed parts are ignored; they never raise.
    """
    ranges = sorted(_ranges(accept_language[:_LONGEST_HEADER]), key=lambda item: -item[1])
    return next((language for language, weight in ranges if weight > 0), ENGLISH)


def _ranges(accept_language: str) -> Iterator[tuple[Language, float]]:
    for text in accept_language.split(","):
        if match := _RANGE.fullmatch(text):
            language = ENGLISH if match["tag"] == "*" else named(match["tag"])
            if language is not None:
                yield language, float(match["weight"] or 1)
