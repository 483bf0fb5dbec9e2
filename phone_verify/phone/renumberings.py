"""Changes of numbering plans: which number a number became. Data only; `renumbered` applies them.

Only changes that give every old number exactly one new number, and that left no old number in use
by another subscriber.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Renumbering:
    """One rule: in the significant national number, `removed` became `inserted` at position `at`."""

    calling_code: str
    #: A pattern of the old significant national numbers.
    old: str
    inserted: str
    #: The day on which the change was complete; None for two spellings that are both valid today.
    since: date | None
    source: str
    removed: str = ""
    at: int = 0


_ARTCI = "ITU announcement T02020000310006 of ARTCI (8 to 10 digits); ranges: fr.wikipedia.org, list for Côte d'Ivoire"
_BENIN = "Decision 2020-349 of ARCEP Benin; libphonenumber 8.13.51"
_ANATEL = "Anatel resolution 553/2010; last area codes (41 to 55) on 2016-11-06"
_ARGENTINA = "Plan Fundamental de Numeración Nacional: ten digits for a fixed or a mobile line, assigned once"
_IFT = "IFT dialling rules of 2019-08-03; libphonenumber 8.10.17, and pull request 3535 (tokens removed)"

RENUMBERINGS: Sequence[Renumbering] = (
    # Benin: 01 before every number.
    Renumbering("229", r"[2-9]\d{7}", "01", date(2024, 11, 30), _BENIN),
    # Ivory Coast: a prefix of the operator that had the range; for mobile numbers by the second
    # digit (Moov, MTN, Orange), for fixed ones by the third.
    Renumbering("225", r"(?:0[1-3]|[457][0-3])\d{6}", "01", date(2021, 1, 31), _ARTCI),
    Renumbering("225", r"[04-9][4-6]\d{6}", "05", date(2021, 1, 31), _ARTCI),
    Renumbering("225", r"(?:[04-8][7-9]|9[78])\d{6}", "07", date(2021, 1, 31), _ARTCI),
    Renumbering("225", r"2[0-3]8\d{5}", "21", date(2021, 1, 31), _ARTCI),
    Renumbering("225", r"(?:2[0-4]|3[0-6])0\d{5}", "25", date(2021, 1, 31), _ARTCI),
    Renumbering("225", r"(?:2[0-4][1-57]|3[0-6][679])\d{5}", "27", date(2021, 1, 31), _ARTCI),
    # Brazil: 9 before mobile numbers, after the area code. Not those that began with 7: trunked
    # radio kept eight digits there, and the number with 9 can belong to another subscriber.
    Renumbering("55", r"[1-9]{2}[689]\d{7}", "9", date(2016, 11, 6), _ANATEL, at=2),
    # Mexico: no 1 between the country code and a mobile number.
    Renumbering("52", r"1[2-9]\d{9}", "", date(2019, 8, 3), _IFT, removed="1"),
    # Argentina: sites store mobile numbers without the 9 too.
    Renumbering("54", r"[1-3]\d{9}", "9", None, _ARGENTINA),
)
