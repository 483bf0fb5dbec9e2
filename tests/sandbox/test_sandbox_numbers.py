"""Every usual spelling of a number leads to one E.164 number, and nothing else does."""

import pytest

from phone_verify.sandbox.numbers import IRAN, RUSSIA, Plan, read_number
from tests.cases import in_one_test


@in_one_test
@pytest.mark.parametrize(
    ("plan", "written", "phone"),
    [
        (IRAN, "9120000000", "+989120000000"),
        (IRAN, "09120000000", "+989120000000"),
        (IRAN, 9120000000, "+989120000000"),
        (IRAN, "989120000000", "+989120000000"),
        (IRAN, "+98 (912) 000-00-00", "+989120000000"),
        (IRAN, "00989120000000", "+989120000000"),
        (IRAN, "79000000000", "+79000000000"),
        (RUSSIA, "89000000000", "+79000000000"),
        (RUSSIA, "79000000000", "+79000000000"),
        (RUSSIA, "9000000000", "+79000000000"),
        (RUSSIA, "+7 900 000 00 00", "+79000000000"),
        (RUSSIA, "989120000000", "+989120000000"),
    ],
)
def test_plan_reads_usual_spellings(plan: Plan, written: object, phone: str) -> None:
    assert plan.to_e164(written) == phone


@in_one_test
@pytest.mark.parametrize(
    "written",
    [
        "", "+", "12", "0912", "02100000000", "09120000000x", "+98912000000000000", "۰۹۱۲۰۰۰۰۰۰۰", "0" * 500, None,
        True, 9.12e9, [], {}, -9120000000, 10**40, "9120000000\n", "+0123456789",
    ],
)  # fmt: skip
def test_invalid_number_is_refused(written: object) -> None:
    assert IRAN.to_e164(written) is None
    assert read_number(written) is None


@pytest.mark.parametrize(
    ("written", "phone"),
    [
        ("+989120000000", "+989120000000"),
        ("989120000000", "+989120000000"),
        ("09120000000", "+989120000000"),
        ("89000000000", "+79000000000"),
        ("79990000001", "+79990000001"),
        ("9120000000", None),
    ],
)
def test_only_unambiguous_spellings_are_read_without_a_plan(written: str, phone: str | None) -> None:
    assert read_number(written) == phone


def test_numbers_are_written_back_in_national_form() -> None:
    assert IRAN.with_trunk("+989120000000") == "09120000000"
    assert IRAN.bare("+989120000000") == "9120000000"
    assert RUSSIA.with_trunk("+79000000000") == "89000000000"


def test_number_of_another_country_keeps_its_code() -> None:
    assert RUSSIA.with_trunk("+989120000000") == "989120000000"
    assert IRAN.bare("+79000000000") == "79000000000"
