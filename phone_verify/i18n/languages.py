"""The languages that visitors are spoken to in, and which of them a visitor reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Language:
    """A language: its tag (the folder in `locale/`), the way it is written, and the digits of its numbers."""

    tag: str
    direction: Literal["ltr", "rtl"] = "ltr"
    digits: str = "0123456789"

    def number(self, value: int) -> str:
        """A number to be read. Phone numbers and codes stay in ASCII digits: those are copied and dialled."""
        return "".join(self.digits[int(digit)] for digit in str(value))


ENGLISH = Language("en")

#: Every language, by its tag. A further one is a row here and its `.po`.
LANGUAGES = {
    language.tag: language
    for language in (
        ENGLISH,
        Language("fa", "rtl", "۰۱۲۳۴۵۶۷۸۹"),
        Language("ru"),
        Language("ar", "rtl", "٠١٢٣٤٥٦٧٨٩"),
    )
}

_TAG = re.compile(r"([A-Za-z]{2,8})([-_][A-Za-z0-9]{1,8}){0,8}", re.ASCII)
_RANGE = re.compile(
    r"\s*(?P<tag>\*|[A-Za-z0-9-]{1,64})\s*(;\s*[qQ]\s*=\s*(?P<weight>0(\.[0-9]{0,3})?|1(\.0{0,3})?)\s*)?", re.ASCII
)
#: Browsers send fewer than ten; whoever sends more does not get more of our time.
_LONGEST_HEADER = 512


def named(tag: str) -> Language | None:
    """The language of a tag like `fa`, `fa-IR` or `fa_IR`; None for one that we do not speak, or what is no tag."""
    match = _TAG.fullmatch(tag)
    return LANGUAGES.get(match[1].lower()) if match else None


def preferred(accept_language: str) -> Language:
    """The language that a browser's `Accept-Language` likes best (RFC 9110, 12.5.4); English if we speak none of it.

    What is malformed is left out; it is never an error.
    """
    wishes = sorted(_wishes(accept_language[:_LONGEST_HEADER]), key=lambda wish: -wish[1])
    return next((language for language, weight in wishes if weight > 0), ENGLISH)


def _wishes(accept_language: str) -> Iterator[tuple[Language, float]]:
    for text in accept_language.split(","):
        if wish := _RANGE.fullmatch(text):
            language = ENGLISH if wish["tag"] == "*" else named(wish["tag"])
            if language is not None:
                yield language, float(wish["weight"] or 1)
