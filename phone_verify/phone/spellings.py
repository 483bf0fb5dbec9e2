"""Numbers of one phone that people write in several forms: each is turned into one form.

Two plans have, or had, a token for mobile numbers between the country code and the number, which
people include or omit:

- Argentina: `+54 9 11 …` from abroad, `11 15 …` inside the country, `11 …` for SMS. An area code
  and number belong to one subscriber, so the form with 9 is taken for all of them.
- Mexico: `1` from abroad and `01`, `02`, `044`, `045` inside the country, all abolished in 2019.

The source of the tokens is libphonenumber: `_MOBILE_TOKEN_MAPPINGS` and the metadata before 8.10.17.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber as Parsed

ARGENTINA, MEXICO = 54, 52
#: The calling codes that this module has a rule for.
CODES = frozenset({ARGENTINA, MEXICO})

_MEXICAN = re.compile(r"(?:1|01|02|044|045)([2-9][0-9]{9})", re.ASCII)
#: Both tokens, 9 and 15: the latter is removed by the metadata if the former is missing.
_TWO_TOKENS = re.compile(r"9([0-9]{12})", re.ASCII)


def canonical(number: Parsed) -> Parsed:
    """Return the number in the one form of its phone. It may be invalid, like the number given."""
    import phonenumbers

    national = phonenumbers.national_significant_number(number)
    if number.country_code == MEXICO:
        token = _MEXICAN.fullmatch(national)
        return number if token is None else _parsed(MEXICO, token[1])
    if both := _TWO_TOKENS.fullmatch(national):
        return _parsed(ARGENTINA, both[1])
    if phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.FIXED_LINE:
        mobile = _parsed(ARGENTINA, f"9{national}")
        return mobile if phonenumbers.is_valid_number(mobile) else number
    return number


def _parsed(code: int, national: str) -> Parsed:
    import phonenumbers

    return phonenumbers.parse(f"+{code}{national}")
