"""Numbers as typed, and the refused ones."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.errors import InvalidPhoneError
from phone_verify.phone import HIDDEN_CALLER_DIGITS, PhoneKind, PhoneNumber, is_region
from phone_verify.phone.number import _kind, _known
from phone_verify.phone.reading import _parse
from tests.cases import in_one_test

TYPED = [
    ("+989120000000", None),
    ("+98 912 000 0000", None),
    ("+98-912-000-0000", None),
    ("+98 (912) 000.0000", None),
    ("۰۹۱۲۰۰۰۰۰۰۰", "IR"),
    ("٠٩١٢٠٠٠٠٠٠٠", "IR"),
    ("０９１２０００００００", "IR"),
    ("\u202a+98\u00a0912\u2011000\u200b0000\u202c", None),
    ("＋989120000000", None),
    ("0912 000 0000", "IR"),
    ("\ufeff00989120000000", "IR"),
]


@in_one_test
@pytest.mark.parametrize(("text", "region"), TYPED, ids=[ascii(text) for text, _ in TYPED])
def test_usual_spellings_parse_to_one_number(text: str, region: str | None) -> None:
    assert PhoneNumber.parse(text, region) == PhoneNumber("+989120000000")


@in_one_test
@pytest.mark.parametrize(
    "text",
    ["", " ", "+", "09120000000", "112", "+98", "+9891200", "+98912000000000", "+98912FLOWERS", "+989120000000 ext 5",
     "+989120000000x5", "+989120000000;ext=5", "tel:+989120000000", "+989120000000#5", "²" * 12, "①" * 12,
     "++989120000000", "98+9120000000",
     "+98912_000_0000", "True", "\x00+989120000000", "\ud800", "+98912000000" + "0" * 500, "𝟗" * 12],
    ids=ascii,
)  # fmt: skip
def test_invalid_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidPhoneError) as refused:
        PhoneNumber.parse(text)
    assert len(text) < 5 or text not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("989120000000", None), ("0098 912 000 0000", None), ("98-912-000-0000", "RU"), ("۹۸۹۱۲۰۰۰۰۰۰۰", None),
        ("0912 000 0000", "IR"), ("+989120000000", None),
    ],
)  # fmt: skip
def test_country_code_is_read_without_plus(text: str, region: str | None) -> None:
    assert PhoneNumber.read(text, region) == PhoneNumber("+989120000000")


@pytest.mark.parametrize("text", ["79000000000", "447911123456", "12025550123", "905321234567"])
def test_country_code_without_plus_is_read_of_any_country(text: str) -> None:
    assert PhoneNumber.read(text) == PhoneNumber(f"+{text}")


@pytest.mark.parametrize(
    "text",
    ["13125550123", "33912345678", "09120000000", "9120000000", "000989120000000", "98+9120000000", "98912FLOWERS",
     "tel:+989120000000", "+989120000000 ext 5"],
)  # fmt: skip
def test_ambiguous_number_is_not_guessed(text: str) -> None:
    with pytest.raises(InvalidPhoneError):
        PhoneNumber.read(text)


@pytest.mark.parametrize(
    "text",
    ["tel:+989120000000", "tel:+98-912-000-0000", "My number is +98 912 000 0000.", "شماره من +۹۸۹۱۲۰۰۰۰۰۰۰ است"],
)
def test_number_is_found_in_prose(text: str) -> None:
    assert PhoneNumber.read(text, prose=True) == PhoneNumber("+989120000000")


@pytest.mark.parametrize(
    "text",
    ["+989120000000 ext 5", "+989120000000;ext=5", "1 +989120000000", "+989120000000 or +989120000001",
     "my number is 09120000000", "+98912000000 0" + "x" * 300, ""],
)  # fmt: skip
def test_prose_with_other_digits_is_refused(text: str) -> None:
    with pytest.raises(InvalidPhoneError):
        PhoneNumber.read(text, prose=True)


@in_one_test
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("+989120000000", PhoneKind.MOBILE),
        ("+79000000000", PhoneKind.MOBILE),
        ("+12025550123", PhoneKind.MOBILE),  # a plan that does not distinguish fixed and mobile
        ("+982188776655", PhoneKind.FIXED),
        ("+18005550123", PhoneKind.REFUSED),  # toll-free
        ("+19005550123", PhoneKind.REFUSED),  # premium
        ("+447012345678", PhoneKind.REFUSED),  # personal
        ("+870773111632", PhoneKind.REFUSED),  # satellite
        ("+881612345678", PhoneKind.REFUSED),
        ("+883510001234567", PhoneKind.REFUSED),  # international networks
        ("+979123456789", PhoneKind.REFUSED),  # international premium
        ("+80012345678", PhoneKind.REFUSED),
    ],
)
def test_expensive_and_odd_ranges_are_refused(text: str, kind: PhoneKind) -> None:
    try:
        phone = PhoneNumber.parse(text)
    except InvalidPhoneError:
        assert kind is PhoneKind.REFUSED
    else:
        assert phone.kind is kind


def test_hidden_callers_are_never_mobile_numbers() -> None:
    assert all(PhoneNumber(digits).kind is PhoneKind.REFUSED for digits in HIDDEN_CALLER_DIGITS)


def test_no_text_of_a_phone_shows_the_number() -> None:
    phone = PhoneNumber.parse("+989120000017")
    assert phone.hint == "+98 ••••••••17"
    for shown in (repr(phone), str(phone), f"{phone}", f"{[phone]}"):
        assert "17" in shown
        assert "912" not in shown


def test_parts_of_a_number() -> None:
    phone = PhoneNumber.parse("+989120000017")
    assert (phone.calling_code, phone.national, phone.region, phone.prefix) == ("98", "9120000017", "IR", "+98912000")
    assert PhoneNumber.parse("+390612345678").national == "0612345678"


@pytest.mark.parametrize(("text", "known"), [("IR", True), ("RU", True), ("UK", False), ("ir", False), ("", False)])
def test_regions_match_the_numbering_plans(text: str, known: bool) -> None:
    assert is_region(text) is known


@given(st.text(max_size=80))
def test_any_text_parses_idempotently_or_is_refused(text: str) -> None:
    try:
        phone = PhoneNumber.parse(text, "IR")
    except InvalidPhoneError:
        return
    assert PhoneNumber.parse(phone.e164) == phone


@given(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)), st.integers(0, 10**12))
def test_parsing_is_idempotent_in_every_region(region: str, digits: int) -> None:
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if example is None:
        return
    national = phonenumbers.national_significant_number(example)
    varied = national[:-4] + str(digits)[-4:].zfill(4)
    try:
        phone = PhoneNumber.parse(f"+{example.country_code}{varied}")
    except InvalidPhoneError:
        return
    assert PhoneNumber.parse(phone.e164) == phone
    assert PhoneNumber.parse(phone.e164, region) == phone
    assert phone.e164 == f"+{phone.calling_code}{phone.national}"


def test_number_seen_before_is_parsed_like_a_new_one() -> None:
    numbers = [f"+98912000{last:04}" for last in range(20)]
    caches = (_parse, _known, _kind)
    for cache in caches:
        cache.cache_clear()

    def work(text: str) -> list[int]:
        before = [cache.cache_info().misses for cache in caches]
        assert PhoneNumber.parse(text).kind is PhoneKind.MOBILE
        return [cache.cache_info().misses - missed for cache, missed in zip(caches, before, strict=True)]

    first = [work(text) for text in numbers]
    assert [work(text) for text in numbers] == first == [[1, 0, 0]] * len(numbers)


@pytest.mark.parametrize(
    ("e164", "free"),
    [("+78000000000", True), ("+79990000001", False), ("+982100000001", False), ("+18005550100", True)],
)
def test_toll_free_numbers_are_recognized(e164: str, free: bool) -> None:
    assert PhoneNumber(e164).is_toll_free is free
