"""Lists of the fraud guard: what matches, and which entry decides."""

from __future__ import annotations

import pytest

from phone_verify.fraud.assessment import Assessment, Signal
from phone_verify.fraud.lists import Lists, NumberList, NumberType, longest_beginning, number_type
from phone_verify.phone import PhoneNumber

PHONE, NEIGHBOUR = PhoneNumber("+989120000000"), PhoneNumber("+989120000001")
VOIP = PhoneNumber("+447700000000")


def denied(
    *, allow: NumberList | None = None, disposable: frozenset[str] = frozenset(), **entries: frozenset[str]
) -> Lists:
    return Lists(allow or NumberList(), NumberList(**entries), disposable)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lists", "signal"),
    [
        (denied(numbers=frozenset({"+989120000000"})), Signal.DENIED_NUMBER),
        (denied(prefixes=frozenset({"+98912"})), Signal.DENIED_PREFIX),
        (denied(regions=frozenset({"IR"})), Signal.DENIED_REGION),
        (denied(types=frozenset({"mobile"})), Signal.DENIED_TYPE),
        (denied(disposable=frozenset({"+98912000"})), Signal.DISPOSABLE),
    ],
)
def test_listed_number_has_the_highest_score(lists: Lists, signal: Signal) -> None:
    assert lists.assess(PHONE) == Assessment(100, {signal: 100})
    other = PhoneNumber("+79160000000") if signal is not Signal.DENIED_TYPE else PhoneNumber("+982188776655")
    assert lists.assess(other) is None


def test_number_entry_matches_that_number_only() -> None:
    assert denied(numbers=frozenset({"+989120000000"})).assess(NEIGHBOUR) is None


@pytest.mark.parametrize(
    ("allow", "lists", "allowed"),
    [
        ("+98912", {"prefixes": frozenset({"+9891"})}, True),
        ("+9891", {"prefixes": frozenset({"+98912"})}, False),
        ("+98912", {"prefixes": frozenset({"+98912"})}, True),
        ("+98912", {"regions": frozenset({"IR"})}, True),
        ("+98912", {"numbers": frozenset({"+989120000000"})}, False),
        ("+98912", {"disposable": frozenset({"+9891"})}, True),
        ("+98912", {"disposable": frozenset({"+989120"})}, False),
    ],
)
def test_longer_entry_decides_and_of_equals_the_one_that_allows(
    allow: str, lists: dict[str, frozenset[str]], allowed: bool
) -> None:
    found = denied(allow=NumberList(prefixes=frozenset({allow})), **lists).assess(PHONE)
    assert found is not None
    assert found.allowed is allowed
    assert found.is_listed


def test_allowed_number_without_a_denial_is_allowed() -> None:
    assert Lists(NumberList(regions=frozenset({"IR"}))).assess(PHONE) == Assessment(allowed=True)


def test_longest_beginning_is_found_up_to_the_whole_number() -> None:
    assert longest_beginning("+989120000000", frozenset({"+98", "+98912"})) == len("+98912")
    assert longest_beginning("+989120000000", frozenset({"+989120000000"})) == 13
    assert longest_beginning("+989120000000", frozenset({"+7"})) == 0
    assert longest_beginning("+989120000000", frozenset()) == 0


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+989120000000", NumberType.MOBILE),
        ("+982188776655", NumberType.FIXED_LINE),
        ("+12025550123", NumberType.FIXED_LINE_OR_MOBILE),
        ("+445600000000", NumberType.VOIP),
        ("+9990000000", None),
    ],
)
def test_type_is_that_of_the_numbering_plan(number: str, expected: NumberType | None) -> None:
    assert number_type(PhoneNumber(number)) is expected
