"""One phone, several spellings: one number, so that limits count once and one user has it."""

from __future__ import annotations

from contextlib import suppress

import phonenumbers
import pytest

from phone_verify.errors import InvalidPhoneError
from phone_verify.phone import PhoneKind, PhoneNumber
from phone_verify.policy import Policy
from tests.cases import in_one_test

ARGENTINE = [
    ("+54 9 11 2000-0000", None),
    ("+54 11 2000-0000", None),
    ("+54 11 15 2000-0000", None),
    ("+54 9 11 15 2000-0000", None),
    ("54 11 2000 0000", None),
    ("5491120000000", None),
    ("0054 11 2000 0000", None),
    ("11 2000-0000", "AR"),
    ("011 2000-0000", "AR"),
    ("011 15 2000-0000", "AR"),
    ("11 15 2000-0000", "AR"),
]
MEXICAN = [
    ("+52 55 0000 0000", None),
    ("+52 1 55 0000 0000", None),
    ("52 1 55 0000 0000", None),
    ("0052 1 55 0000 0000", None),
    ("55 0000 0000", "MX"),
    ("1 55 0000 0000", "MX"),
    ("01 55 0000 0000", "MX"),
    ("044 55 0000 0000", "MX"),
    ("045 55 0000 0000", "MX"),
]


@in_one_test
@pytest.mark.parametrize(
    ("text", "region", "e164"),
    [*((*one, "+5491120000000") for one in ARGENTINE), *((*one, "+525500000000") for one in MEXICAN)],
)
def test_spellings_of_a_phone_are_one_mobile_number(text: str, region: str | None, e164: str) -> None:
    phone = PhoneNumber.read(text, region)
    assert phone.e164 == e164
    assert phone.kind is PhoneKind.MOBILE
    assert PhoneNumber.parse(phone.e164) == phone


@pytest.mark.parametrize(
    "text", ["+54 9 11 2000", "+54 15 2000 0000", "+52 1 55 0000", "+52 2 55 0000 0000", "+52 1 1 55 0000 0000"]
)
def test_token_makes_no_number_of_an_invalid_one(text: str) -> None:
    with pytest.raises(InvalidPhoneError):
        PhoneNumber.read(text)


@in_one_test
@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_usual_spellings_agree_in_every_region(region: str) -> None:
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if example is None:
        return
    e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    national = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
    phone = PhoneNumber.parse(e164)
    assert phone.e164 == e164
    assert PhoneNumber.parse(national, region) == phone
    assert PhoneNumber.parse(phonenumbers.national_significant_number(example), region) == phone
    trunk = f"+{example.country_code}{''.join(filter(str.isdigit, national))}"
    with suppress(InvalidPhoneError):
        assert PhoneNumber.parse(trunk) == phone


@pytest.mark.parametrize(
    ("text", "allowed", "e164"),
    [
        ("0692 00 00 00", "FR,GP,RE", "+262692000000"),
        ("0690 00 00 00", "FR,GP,RE", "+590690000000"),
        ("06 12 00 00 00", "FR,GP,RE", "+33612000000"),
        ("07911 100000", "GB,GG", "+447911100000"),
    ],
)
def test_national_form_is_read_in_every_allowed_region(text: str, allowed: str, e164: str) -> None:
    policy = Policy(region=allowed[:2], allowed_regions=frozenset(allowed.split(",")))
    assert PhoneNumber.read(text, policy.region, also=policy.regions_after(policy.region)).e164 == e164


def test_first_region_has_the_number_in_doubt() -> None:
    text = "0912 000 0000"  # a mobile number of Iran and of others
    assert PhoneNumber.read(text, "IR", also=["AT", "RU"]) == PhoneNumber("+989120000000")
    ambiguous = "0701 000 000"
    readers = [region for region in ("KE", "SE", "UG") if _reads(ambiguous, region)]
    assert len(readers) > 1
    found = PhoneNumber.read(ambiguous, "IR", also=readers)
    assert found.region == readers[0]
    assert PhoneNumber.read(ambiguous, "IR", also=readers[::-1]).region == readers[-1]


def test_no_region_is_tried_that_is_not_allowed() -> None:
    with pytest.raises(InvalidPhoneError):
        PhoneNumber.read("0692 00 00 00", "FR")
    assert Policy(region="FR").regions_after("FR") == []
    assert Policy(allowed_regions=frozenset({"FR", "RE"})).regions_after(None) == ()
    policy = Policy(region="FR", allowed_regions=frozenset({"RE", "FR", "GP"}))
    assert policy.regions_after("FR") == ["GP", "RE"]
    assert policy.regions_after("GP") == ["FR", "RE"]


def test_fixed_line_of_another_region_is_no_reading() -> None:
    assert _reads("0262 20 00 00", "RE")
    with pytest.raises(InvalidPhoneError):
        PhoneNumber.read("0262 20 00 00", "FR", also=["RE"])


def _reads(text: str, region: str) -> bool:
    try:
        return PhoneNumber.parse(text, region).region == region
    except InvalidPhoneError:
        return False
