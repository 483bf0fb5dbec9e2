"""Parsing a number, which every start does: our reading against bare phonenumbers (parse, validity, E.164)."""

from __future__ import annotations

from collections.abc import Iterator

import phonenumbers

from phone_verify.phone import PhoneNumber

from .measure import Figure, in_turn

_TIMES = 1000


def figures(rounds: int) -> Iterator[Figure]:
    """Measure numbers of a country without spellings, and of one whose every number is checked for them."""
    for country, start in (("Iran", "+98 912 000"), ("Argentina", "+54 9 11 2000")):
        texts = [f"{start} {last:04}" for last in range(_TIMES)]  # more than are cached

        def bare(texts: list[str] = texts) -> None:
            for text in texts:
                number = phonenumbers.parse(text)
                assert phonenumbers.is_valid_number(number)
                phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

        def ours(texts: list[str] = texts) -> None:
            for text in texts:
                PhoneNumber.parse(text)

        floor, mine, ratio = in_turn(bare, ours, rounds)
        notes = {"bare_us": floor / _TIMES * 1e6, "ours_us": mine / _TIMES * 1e6}
        yield Figure(f"parse a number of {country}", ratio, "times phonenumbers", bar=2, mark=1.5, notes=notes)
