"""`phone-verify routes`: the rule, the shares, the conversions and what is left out, for one number."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from phone_verify.config.routes import read_routes
from phone_verify.stores.sql import SqlStore
from phone_verify.sync import run

from .test_cli import FLASK_SITE, answer, django_site

NUMBER, HINT = "+989120000007", "+98 ••••••••07"
RULES = """
- regions: [IR]
  channels: [sms]
  by_outcome: true
  drivers: [first, second, third]
  prices: {first: "0.010", second: "0.011", third: "0.9"}
  currency: EUR
  ceiling: "0.5"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A site with four drivers, conversions of two, and a rule for Iran."""
    file, url = tmp_path / "routes.yaml", f"sqlite:///{tmp_path / 'store.sqlite3'}"
    file.write_text(RULES)
    store = SqlStore.from_url(url)
    run(store.add_conversion("first:IR:sms", 100, 10, None))
    run(store.add_conversion("second:IR:sms", 100, 90, None))
    return {
        "PHONE_VERIFY_SMS": " ".join(f"console://?name={name}" for name in ("first", "second", "third", "fourth")),
        "PHONE_VERIFY_SECRET_KEYS": "q7YwZr1mT0bXkE4sVnHc9uLpAiGdJ2oF",
        "PHONE_VERIFY_STORE": url,
        "PHONE_VERIFY_ROUTES": str(file),
    }


def test_rule_shares_and_conversions_are_explained(environ: dict[str, str]) -> None:
    status, text = answer("routes", NUMBER, "--environment", **environ)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert status == 0, text
    assert lines[0] == f"{HINT} (IR)"
    assert lines[2].startswith("sms: rule 1 (regions IR; channels sms; drivers first second third; ceiling 0.5 EUR; by")
    assert lines[3] == "DRIVER FIRST PRICE SENT VERIFIED RATE COST PER USER"
    assert re.fullmatch(r"first [123]% 0.010 EUR 100.0 10.0 11% 0.0927 EUR", lines[4])
    assert re.fullmatch(r"second 9[789]% 0.011 EUR 100.0 90.0 89% 0.0123 EUR", lines[5])
    assert lines[6:] == [
        "first: explorations only, too few of its users are verified",
        "not used: third (its price 0.9 is above the ceiling 0.5)",
        "not used: fourth (not named in the rule)",
    ]
    assert NUMBER not in text


def test_routes_as_json(environ: dict[str, str]) -> None:
    status, text = answer("routes", "09120000007", "--region", "IR", "--json", "--environment", **environ)
    assert status == 0, text
    found: dict[str, Any] = json.loads(text)
    assert (found["phone"], found["region"]) == (HINT, "IR")
    [sms] = found["channels"]
    assert (sms["channel"], sms["rule"]["number"], sms["currency"]) == ("sms", 1, "EUR")
    assert [(each["driver"], each["price"], each["below_quality"]) for each in sms["drivers"]] == [
        ("first", "0.010", True),
        ("second", "0.011", False),
    ]
    assert sms["drivers"][1]["cost_per_verified"] == pytest.approx(0.0123, abs=0.0001)
    assert list(sms["left_out"]) == ["third", "fourth"]


def test_number_without_a_rule_keeps_the_configured_order(environ: dict[str, str]) -> None:
    status, text = answer("routes", "+79160000002", "--environment", **environ)
    assert status == 0, text
    assert "sms: no rule, the configured order" in text
    assert [line.split() for line in text.splitlines()[4:]] == [
        ["first", "100%"], ["second", "failover"], ["third", "failover"], ["fourth", "failover"],
    ]  # fmt: skip


def test_channel_that_cannot_reach_the_number_says_so(environ: dict[str, str]) -> None:
    status, text = answer("routes", "+982188776655", "--environment", **environ)
    assert status == 0, text
    assert "no driver may carry an order to this number" in text


@pytest.mark.parametrize(
    ("words", "changes", "says"),
    [
        (["0912"], {}, "set its region, like --region IR"),
        ([NUMBER], {"PHONE_VERIFY_ROUTES": "/nowhere.yaml"}, "PHONE_VERIFY_ROUTES: the file cannot be read"),
        ([NUMBER], {"PHONE_VERIFY_SMS": "", "PHONE_VERIFY_ROUTES": ""}, "no channel is configured"),
        ([NUMBER], {"PHONE_VERIFY_STORE": "redis://127.0.0.1:1"}, "The store does not answer"),
    ],
)
def test_command_says_what_is_wrong(
    environ: dict[str, str], words: list[str], changes: dict[str, str], says: str
) -> None:
    status, text = answer("routes", *words, "--environment", **{**environ, **changes})
    assert status != 0
    assert says in text


def test_routes_of_a_django_site(tmp_path: Path) -> None:
    settings = "PHONE_VERIFY.update(sms='console://', store='memory:', routes=[{'trial': {'console': 5}}])"
    status, text = answer("routes", NUMBER, "--django", "chosen", folder=django_site(tmp_path, settings))
    assert status == 0, text
    assert "sms: rule 1 (trial console=5)" in text


def test_routes_of_a_flask_site(tmp_path: Path) -> None:
    more = {"PHONE_VERIFY_ROUTES": [{"regions": ["IR"], "by_outcome": True}], "PHONE_VERIFY_STORE": "memory:"}
    (tmp_path / "site6.py").write_text(f"MORE = {more!r}\n{FLASK_SITE}")
    status, text = answer("routes", "09120000007", "--flask", "site6:create_app", folder=tmp_path)
    assert status == 0, text
    assert "sms: rule 1 (regions IR; by outcome)" in text


def test_documented_rules_are_read() -> None:
    page = (Path(__file__).parents[1] / "docs" / "routing.md").read_text("utf-8")
    rules = read_routes(yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0]))
    assert [rule.number for rule in rules] == [1, 2, 3]
    assert rules[2].by_outcome
