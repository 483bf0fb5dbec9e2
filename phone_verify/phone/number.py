"""The value of a phone number: E.164, with validity and kind from the `phonenumbers` library."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, ClassVar

from ..errors import InvalidPhoneError
from . import reading
from .renumbered import CHANGED_PREFIXES, current_form, former_forms

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber as Parsed

_E164 = re.compile(r"\+[1-9][0-9]{6,14}\Z", re.ASCII)

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
    #: A stored number that today's numbering plan does not contain.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PhoneNumber:
    """A phone number in E.164. Its repr and str are masked; `e164` is the full number."""

    #: How stored numbers begin that may be of a former numbering plan.
    renumbered_prefixes: ClassVar[Sequence[str]] = CHANGED_PREFIXES

    e164: str = field(repr=False)

    @classmethod
    def parse(cls, text: str, region: str | None = None) -> PhoneNumber:
        """Return the number typed as `text`, in E.164.

        `region` (ISO 3166, upper case) allows numbers in national form; without it `+` is required.
        Different spellings of one phone give one number (Argentina with and without 9 or 15,
        Mexico's 1). Raises `InvalidPhoneError` for anything that is not a valid number, including
        letters, extensions, `tel:` parameters, short and emergency numbers. Idempotent: parsing the
        result gives the result.
        """
        return _of(reading.parse(text, region))

    @classmethod
    def read(
        cls, text: str, region: str | None = None, *, also: Sequence[str] = (), prose: bool = False
    ) -> PhoneNumber:
        """Return the number that a person typed or pasted as `text`.

        Reads what `parse` reads; a mobile number in national form of the regions `also`, in the
        first that has it; and a number with its country code but without `+` (`98 912…`,
        `0098 912…`) unless it is another number in national form. With `prose` also a `tel:` link, and
        a text that contains exactly one number with `+`. Raises `InvalidPhoneError`.
        """
        return _of(reading.read(text, region, also, prose=prose))

    @classmethod
    def stored(cls, text: str, region: str | None = None) -> PhoneNumber:
        """Return the number of stored data: text in E.164 as it is, whatever today's numbering plan says.

        Numbering plans change, and a number that was verified is not refused because of that. Only
        the shape is checked; text in another form is parsed. Raises `InvalidPhoneError`.
        """
        return cls(text) if _E164.match(text) else cls.parse(text, region)

    @classmethod
    def lookup(cls, text: str, region: str | None = None) -> PhoneNumber:
        """Return the number typed as `text` to find stored data, even if it has become invalid.

        Never send to it: use `parse` or `read` for that. Raises `InvalidPhoneError`.
        """
        found = reading.possible(text, region)
        if found is None or not _E164.match(found):
            raise InvalidPhoneError(_INVALID)
        return cls(found)

    @cached_property
    def current(self) -> PhoneNumber:
        """The number that this one became when its numbering plan changed; usually itself."""
        e164 = current_form(self.e164)
        return self if e164 == self.e164 else PhoneNumber(e164)

    @cached_property
    def forms(self) -> Sequence[str]:
        """The texts in E.164 under which this phone may be stored: today's first, then former ones."""
        e164 = self.current.e164
        return tuple(dict.fromkeys([e164, *former_forms(e164), self.e164]))

    @cached_property
    def _parsed(self) -> Parsed:
        return _known(self.e164)

    @property
    def calling_code(self) -> str:
        """The country calling code without plus: `98`; of a number whose code is not assigned, three digits."""
        return _calling_code(self.e164[1:4])

    @property
    def national(self) -> str:
        """The significant national number with the leading zeros that belong to it: `9120000000`."""
        return self.e164[1 + len(self.calling_code) :]

    @cached_property
    def region(self) -> str | None:
        """The region of the number (`IR`), or None if it belongs to none.

        Of a number that today's plan does not contain: the main region of its calling code, unless
        its first digits belong to another one.
        """
        import phonenumbers

        found = phonenumbers.region_code_for_number(self._parsed)
        if found is None and self.kind is PhoneKind.UNKNOWN:
            main = phonenumbers.region_code_for_country_code(int(self.calling_code))
            return main if main in phonenumbers.SUPPORTED_REGIONS else None
        return found

    @cached_property
    def kind(self) -> PhoneKind:
        """Mobile, fixed, refused (premium, shared-cost, personal, toll-free, pager, satellite) or unknown."""
        return _kind(self.e164)

    @property
    def is_valid(self) -> bool:
        """Whether today's numbering plan contains the number; a stored one may have left it."""
        return self.kind is not PhoneKind.UNKNOWN

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
        code = self.calling_code
        return f"+{code} {'•' * (len(self.e164) - len(code) - 3)}{self.e164[-2:]}"

    def __repr__(self) -> str:
        return f"<PhoneNumber {self.hint}>"

    __str__ = __repr__


def is_region(text: str) -> bool:
    """Return whether `text` is a region of the numbering plans: an ISO 3166 code in capitals."""
    import phonenumbers

    return text in phonenumbers.SUPPORTED_REGIONS


_INVALID = "This is not a valid phone number. Include the country code, like +98 912 000 0000."


def _of(found: reading.Reading | None) -> PhoneNumber:
    if found is None:
        raise InvalidPhoneError(_INVALID)
    phone = PhoneNumber(found.e164)
    # Known already: without this the number would be parsed, and its type looked up, a second time.
    vars(phone).update(_parsed=found.parsed, kind=_kind_of(found.e164, found.type))
    return phone


@lru_cache(maxsize=1000)  # all that begin a number
def _calling_code(digits: str) -> str:
    """Return the calling code among the first three digits of a number. No code begins another one."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    return next((code for code in (digits[:1], digits[:2]) if int(code) in COUNTRY_CODE_TO_REGION_CODE), digits)


@lru_cache(maxsize=reading.CACHED)
def _known(e164: str) -> Parsed:
    import phonenumbers

    try:
        return phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        # Stored, and its calling code is not assigned today. Most codes have three digits.
        return phonenumbers.PhoneNumber(country_code=int(e164[1:4]), national_number=int(e164[4:]))


@lru_cache(maxsize=reading.CACHED)
def _kind(e164: str) -> PhoneKind:
    import phonenumbers

    return _kind_of(e164, phonenumbers.number_type(_known(e164)))


def _kind_of(e164: str, type: int) -> PhoneKind:
    from phonenumbers import PhoneNumberType as Type

    if e164.startswith(_BLOCKED_PREFIXES) or e164 in HIDDEN_CALLER_DIGITS:
        return PhoneKind.REFUSED
    match type:
        case Type.MOBILE | Type.FIXED_LINE_OR_MOBILE | Type.VOIP:
            return PhoneKind.MOBILE
        case Type.FIXED_LINE:
            return PhoneKind.FIXED
        case Type.UNKNOWN:
            return PhoneKind.UNKNOWN
        case _:
            return PhoneKind.REFUSED
