"""Numbers of former numbering plans: still numbers, and found under what they became."""

from __future__ import annotations

import re
from datetime import date

import phonenumbers
import pytest

from phone_verify.adoption.spellings import read_stored, spellings
from phone_verify.codes import Keyring
from phone_verify.errors import InvalidPhoneError
from phone_verify.i18n.texts import spoken
from phone_verify.phone import PhoneKind, PhoneNumber, renumbered
from phone_verify.phone.renumbered import current_form, former_forms
from phone_verify.phone.renumberings import RENUMBERINGS, Renumbering
from tests.cases import in_one_test

#: Obviously invented numbers: before, and today.
RENUMBERED = [
    ("+22997000000", "+2290197000000"),  # Benin
    ("+22501000000", "+2250101000000"),  # Ivory Coast, Moov
    ("+22540000000", "+2250140000000"),
    ("+22505000000", "+2250505000000"),  # MTN
    ("+22584000000", "+2250584000000"),
    ("+22507000000", "+2250707000000"),  # Orange
    ("+22598000000", "+2250798000000"),
    ("+22520800000", "+2252120800000"),  # fixed lines
    ("+22520000000", "+2252520000000"),
    ("+22520200000", "+2252720200000"),
    ("+5215500000000", "+525500000000"),  # Mexico
    ("+551190000000", "+5511990000000"),  # Brazil
    ("+552180000000", "+5521980000000"),
]
#: Stored once, and of no plan today; nothing is known about what they became.
GONE = ["+10000000000", "+22510000000", "+999123456789", "+2109999999"]


@in_one_test
@pytest.mark.parametrize(("old", "new"), RENUMBERED)
def test_old_number_and_new_one_are_the_same_phone(old: str, new: str) -> None:
    phone = PhoneNumber.stored(old)
    assert phone.e164 == old
    assert not phone.is_valid
    assert phone.current == PhoneNumber.parse(new)
    assert phone.forms == PhoneNumber(new).forms == (new, old)


@in_one_test
@pytest.mark.parametrize(("old", "new"), RENUMBERED)
def test_old_and_new_number_have_one_tag(old: str, new: str) -> None:
    keyring = Keyring(["a-secret-of-more-than-32-characters-1"])
    assert keyring.tag(PhoneNumber(old)) == keyring.tag(PhoneNumber(new))


@pytest.mark.parametrize(
    "e164",
    [
        "+989120000000",
        "+551120000000",  # a fixed line of Brazil
        "+551170000000",  # trunked radio of Brazil: today's number of another subscriber than +5511970000000
        "+5511910000000",  # nine digits from the start
        "+5511970000000",
        "+22510000000",  # a range that Ivory Coast never used
        "+22560000000",  # of an operator without a new prefix
        "+2290197000000",
        "+525500000000",
    ],
)
def test_other_numbers_stay_what_they_are(e164: str) -> None:
    assert PhoneNumber(e164).current.e164 == e164
    assert current_form(e164) == e164


@pytest.mark.parametrize(
    "e164", ["+5511970000000", "+5511910000000", "+2250510000000", "+2250107000000", "+989120000000", "+551170000000"]
)
def test_number_issued_after_the_change_was_none_before(e164: str) -> None:
    """Else the owner of a new number would sign in as the user of an old one."""
    assert former_forms(e164) == []
    assert PhoneNumber(e164).forms == (e164,)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "length"), [("229", 8), ("225", 8), ("55", 10), ("52", 11), ("54", 10)])
def test_rules_are_one_to_one_and_free_no_number(code: str, length: int) -> None:
    """No number of today's plan is an old one, and no two old numbers became one: checked on every prefix of four."""
    found: dict[str, str] = {}
    for one in (rule for rule in RENUMBERINGS if rule.calling_code == code):
        for start in range(10_000):
            national = f"{start:04}".ljust(length, "0")
            if re.fullmatch(one.old, national) is None:
                continue
            old = f"+{one.calling_code}{national}"
            new = current_form(old)
            if new == old:
                continue
            assert one.since is None or not phonenumbers.is_valid_number(phonenumbers.parse(old)), old
            assert found.setdefault(new, old) == old, (old, found[new])
            assert former_forms(new) == [old]
    assert found


def test_rule_does_not_hold_for_a_number_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Independent of the table: the number of another subscriber is never taken for an old one."""
    rule = Renumbering("55", r"[1-9]{2}[6-9]\d{7}", "9", date(2016, 11, 6), "a wrong rule", at=2)
    monkeypatch.setattr(renumbered, "_RULES", [(rule, re.compile(rule.old))])
    assert current_form("+551190000000") == "+5511990000000"
    assert current_form("+551170000000") == "+551170000000"
    assert former_forms("+5511970000000") == []


def test_trunked_radio_of_brazil_has_no_rule() -> None:
    """Also not when the metadata forgets its numbers, which kept eight digits."""
    rules = [rule for rule in RENUMBERINGS if rule.calling_code == "55"]
    assert rules
    assert not any(re.fullmatch(rule.old, "1170000000") for rule in rules)


@pytest.mark.parametrize("e164", ["+54111520000000", "+4407911100000"])
def test_number_is_shown_with_all_its_digits(e164: str) -> None:
    """The metadata would drop the 15 of Argentina, and a trunk prefix."""
    assert "".join(filter(str.isdigit, spoken(PhoneNumber.stored(e164)))) == e164[1:]


def test_each_rule_has_a_source_and_a_day() -> None:
    assert all(rule.source for rule in RENUMBERINGS)
    days = [rule.since for rule in RENUMBERINGS if rule.since is not None]
    assert len(days) == len(RENUMBERINGS) - 1, "only Argentina has two spellings that are valid"
    assert all(date(2000, 1, 1) < day < date(2026, 1, 1) for day in days)


def test_argentine_number_without_9_is_the_same_phone() -> None:
    without, phone = PhoneNumber.stored("+541120000000"), PhoneNumber.parse("+5491120000000")
    assert without.current == phone
    assert phone.forms == without.forms == ("+5491120000000", "+541120000000")
    keyring = Keyring(["a-secret-of-more-than-32-characters-1"])
    assert keyring.tag(without) == keyring.tag(phone)


@in_one_test
@pytest.mark.parametrize("e164", [*GONE, *(old for old, _ in RENUMBERED)])
def test_stored_number_is_shown_whatever_the_plan(e164: str) -> None:
    phone = PhoneNumber.stored(e164)
    assert phone.e164 == e164
    assert phone.hint.startswith("+")
    assert phone.hint.endswith(e164[-2:])
    assert e164[4:-2] not in repr(phone)
    assert "".join(filter(str.isdigit, spoken(phone))) == e164[1:]
    assert (phone.kind, phone.is_valid) == (PhoneKind.UNKNOWN, False)
    assert phone.region in (None, "BJ", "BR", "CI", "MX", "US")


@pytest.mark.parametrize(
    "text", ["", "none", "09120000000", "+0123456789", "+12345", "+98912000000000000", "+98912x", "+²²²²²²²²"]
)
def test_text_that_is_no_stored_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidPhoneError):
        PhoneNumber.stored(text)


def test_stored_text_in_another_form_is_parsed() -> None:
    assert PhoneNumber.stored("+98 912 000 0000") == PhoneNumber("+989120000000")
    assert PhoneNumber.stored("0912 000 0000", "IR") == PhoneNumber("+989120000000")


@pytest.mark.parametrize(
    ("text", "region", "e164"),
    [
        ("+229 97 00 00 00", None, "+22997000000"),
        ("97000000", "BJ", "+22997000000"),
        ("+98 912 000 0000", None, "+989120000000"),
        ("+1 000 000 0000", None, "+10000000000"),
    ],
)
def test_number_is_looked_up_as_staff_write_it(text: str, region: str | None, e164: str) -> None:
    assert PhoneNumber.lookup(text, region).e164 == e164


@pytest.mark.parametrize("text", ["", "somebody", "12", "+98912FLOWERS", "+999999", "1" * 200])
def test_what_is_no_number_is_not_looked_up(text: str) -> None:
    with pytest.raises(InvalidPhoneError):
        PhoneNumber.lookup(text, "IR")


def test_region_of_a_former_number_never_widens() -> None:
    """An invalid number of Jamaica is not one of the United States, whose region `+1` mainly is."""
    assert PhoneNumber("+18760000000").region == "JM"
    assert PhoneNumber("+10000000000").region == "US"


def test_adoption_reads_the_number_of_today() -> None:
    """A site's own numbers may be of the former plan too."""
    for text, regions in (("+22997000000", [None]), ("97 00 00 00", ["BJ"]), ("22997000000", ["BJ"])):
        assert read_stored(text, regions) == PhoneNumber("+2290197000000"), text
    assert read_stored("+22510000000", [None]) is None
    assert read_stored("+54 11 2000 0000", [None]) == PhoneNumber("+5491120000000")
    texts = spellings(PhoneNumber("+2290197000000"))
    assert texts[0] == "+2290197000000"
    assert {"+22997000000", "22997000000", "97000000"} <= set(texts)
