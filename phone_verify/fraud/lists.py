"""Lists of numbers: by the number, its beginning, its region and its type."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ..phone import PhoneNumber
from .assessment import CERTAIN, Assessment, Signal


class NumberType(StrEnum):
    """The types of the numbering plans to which messages and calls may be sent."""

    MOBILE = "mobile"
    FIXED_LINE = "fixed_line"
    #: Plans that do not tell the two apart, as in the United States.
    FIXED_LINE_OR_MOBILE = "fixed_line_or_mobile"
    VOIP = "voip"


@dataclass(frozen=True, slots=True)
class NumberList:
    """Numbers and beginnings of numbers in E.164, regions and types."""

    numbers: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    types: frozenset[NumberType] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether it lists nothing."""
        return not (self.numbers or self.prefixes or self.regions or self.types)

    def match(self, phone: PhoneNumber) -> tuple[int, Signal] | None:
        """Return how many characters of the number are listed, 0 for a region or type, and the reason to deny it."""
        e164 = phone.e164
        if e164 in self.numbers:
            return len(e164), Signal.DENIED_NUMBER
        if length := longest_beginning(e164, self.prefixes):
            return length, Signal.DENIED_PREFIX
        if self.regions and phone.region in self.regions:
            return 0, Signal.DENIED_REGION
        if self.types and number_type(phone) in self.types:
            return 0, Signal.DENIED_TYPE
        return None


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of a site. Of an entry that allows and one that denies, the longer one decides; of equals the first."""

    allow: NumberList = field(default_factory=NumberList)
    deny: NumberList = field(default_factory=NumberList)
    #: Beginnings of disposable numbers, from the file that the site names.
    disposable: frozenset[str] = field(default=frozenset(), repr=False)

    def assess(self, phone: PhoneNumber) -> Assessment | None:
        """Return the assessment of a number that is listed, or None."""
        denied = self.deny.match(phone)
        if length := longest_beginning(phone.e164, self.disposable):
            denied = max(denied or (0, Signal.DISPOSABLE), (length, Signal.DISPOSABLE), key=lambda found: found[0])
        allowed = self.allow.match(phone)
        if allowed is not None and (denied is None or allowed[0] >= denied[0]):
            return Assessment(allowed=True)
        return None if denied is None else Assessment(CERTAIN, {denied[1]: CERTAIN})


def longest_beginning(e164: str, prefixes: frozenset[str]) -> int:
    """Return the length of the longest of these prefixes with which the number begins; 0 for none."""
    if prefixes:
        for length in range(len(e164), 1, -1):
            if e164[:length] in prefixes:
                return length
    return 0


def number_type(phone: PhoneNumber) -> NumberType | None:
    """Return the type of a number by its numbering plan; None for one that receives nothing."""
    import phonenumbers
    from phonenumbers import PhoneNumberType as Type

    names = {
        Type.MOBILE: NumberType.MOBILE,
        Type.FIXED_LINE: NumberType.FIXED_LINE,
        Type.FIXED_LINE_OR_MOBILE: NumberType.FIXED_LINE_OR_MOBILE,
        Type.VOIP: NumberType.VOIP,
    }
    try:
        return names.get(phonenumbers.number_type(phonenumbers.parse(phone.e164)))
    except phonenumbers.NumberParseException:  # stored, and its calling code is not assigned today
        return None
