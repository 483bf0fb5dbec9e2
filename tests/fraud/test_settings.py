"""The setting FRAUD: what it accepts, and what is wrong with it by field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phone_verify.config.fraud import InvalidFraudRulesError, read_fraud
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import ConfigurationError
from phone_verify.fraud.lists import Lists, NumberList, NumberType
from phone_verify.fraud.rules import FraudRules
from phone_verify.model import Reason
from phone_verify.phone import PhoneNumber
from tests.cases import in_one_test

SITE = {"secret_keys": ["q7YwZr1mT0bXkE4sVnHc9uLpAiGdJ2oF"], "store": "memory:", "sms": "console://"}


def test_site_without_the_setting_has_no_guard() -> None:
    assert Settings.from_mapping({}).fraud is None
    assert read_fraud("") is None
    verifier = build_site(Settings.from_mapping(SITE), production=False).verifier
    assert verifier.explain_fraud(PhoneNumber("+989120000000")) is None


def test_empty_mapping_is_a_guard_that_records() -> None:
    assert read_fraud({}) == FraudRules(record_only=True, refuse_from=60, traffic=True)


def test_every_field_is_read(tmp_path: Path) -> None:
    listed = tmp_path / "disposable.txt"
    listed.write_text("# rented numbers\n+12025550100\n\n+447700900  # a range\n")
    rules = read_fraud(
        {
            "record_only": False,
            "refuse_from": 80,
            "traffic": False,
            "allow": {"numbers": ["+989120000000"]},
            "deny": {"prefixes": ["+88213"], "regions": ["KP"], "types": ["voip"]},
            "disposable": str(listed),
        }
    )
    assert rules == FraudRules(
        Lists(
            NumberList(numbers=frozenset({"+989120000000"})),
            NumberList(prefixes=frozenset({"+88213"}), regions=frozenset({"KP"}), types=frozenset({NumberType.VOIP})),
            frozenset({"+12025550100", "+447700900"}),
        ),
        traffic=False,
        record_only=False,
        refuse_from=80,
    )


def test_file_is_read_as_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "fraud.yaml"
    file.write_text("record_only: false\ndeny:\n  prefixes: ['+88213']\n")
    rules = Settings.from_mapping({}, {"PHONE_VERIFY_FRAUD": str(file)}).fraud
    assert rules is not None
    assert rules.lists.deny.prefixes == {"+88213"}


@pytest.mark.parametrize("production", [True, False])
def test_site_refuses_by_its_setting(production: bool) -> None:
    given = {**SITE, "fraud": {"record_only": False, "deny": {"regions": ["IR"]}}}
    site = build_site(Settings.from_mapping(given), production=production)
    assert site.verifier.start(PhoneNumber("+989120000000")).reason is Reason.SEND_REFUSED


@in_one_test
@pytest.mark.parametrize(
    ("value", "field", "says"),
    [
        (7, "", "must map fields to values"),
        ([], "", "must map fields to values"),
        ({"recordonly": True}, "recordonly", "unknown field; did you mean record_only?"),
        ({1: True}, "1", "unknown field; use"),
        ({"record_only": "no"}, "record_only", "write true or false"),
        ({"refuse_from": 0}, "refuse_from", "from 1 to 100"),
        ({"refuse_from": 101}, "refuse_from", "from 1 to 100"),
        ({"refuse_from": True}, "refuse_from", "from 1 to 100"),
        ({"deny": None}, "deny", "must map numbers, prefixes, regions, types to lists"),
        ({"deny": {"prefix": ["+7"]}}, "deny.prefix", "did you mean prefixes?"),
        ({"deny": {"prefixes": []}}, "deny.prefixes", "must be a list with one entry or more"),
        ({"deny": {"prefixes": "+7"}}, "deny.prefixes", "must be a list with one entry or more"),
        ({"deny": {"prefixes": ["7"]}}, "deny.prefixes", "write each as the beginning of a number"),
        ({"deny": {"prefixes": [7]}}, "deny.prefixes", "write each as the beginning of a number"),
        ({"allow": {"numbers": ["+98912"]}}, "allow.numbers", "write each in E.164"),
        ({"allow": {"regions": ["ir"]}}, "allow.regions", "write each as two quoted capitals"),
        ({"allow": {"regions": [False]}}, "allow.regions", "write each as two quoted capitals"),
        ({"deny": {"types": ["premium"]}}, "deny.types", "use mobile, fixed_line, fixed_line_or_mobile, voip"),
        ({"disposable": 5}, "disposable", "write the path of a text file"),
        ({"disposable": "/nonexistent/list.txt"}, "disposable", "cannot be read"),
        ({"traffic": False}, "traffic", "the guard weighs nothing"),
    ],
)
def test_mistake_is_reported_by_field(value: Any, field: str, says: str) -> None:
    with pytest.raises(InvalidFraudRulesError, match="PHONE_VERIFY_FRAUD") as caught:
        read_fraud(value)
    assert list(caught.value.fields) == [field]
    assert says in caught.value.fields[field]


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(InvalidFraudRulesError) as caught:
        read_fraud({"refuse_from": 0, "deny": {"regions": ["xx"]}, "traffic": 1})
    assert set(caught.value.fields) == {"refuse_from", "deny.regions", "traffic"}


@pytest.mark.parametrize(("line", "says"), [("12025550100", "line 2 is not a number"), ("+1 202", "line 2 is not")])
def test_line_of_the_file_of_disposable_numbers_is_named(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"+12025550100\n{line}\n")
    with pytest.raises(InvalidFraudRulesError, match=says) as caught:
        read_fraud({"disposable": str(file)})
    assert line not in str(caught.value)


def test_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xff\xfe+\x001\x00")
    with pytest.raises(InvalidFraudRulesError, match="not UTF-8"):
        read_fraud({"disposable": str(file)})


def test_missing_file_of_rules_is_an_error_of_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_FRAUD: the file cannot be read"):
        read_fraud("/nonexistent/fraud.yaml")
