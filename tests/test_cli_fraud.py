"""`phone-verify fraud explain`: the score, the reasons and the counts, for one number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .test_cli import FLASK_SITE, answer, django_site

NUMBER, HINT = "+989120000007", "+98 ••••••••07"
RULES = "record_only: false\ndeny: {prefixes: ['+98912']}\n"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A site with a guard that denies numbers of one operator."""
    file = tmp_path / "fraud.yaml"
    file.write_text(RULES)
    return {
        "PHONE_VERIFY_SMS": "console://",
        "PHONE_VERIFY_SECRET_KEYS": "q7YwZr1mT0bXkE4sVnHc9uLpAiGdJ2oF",
        "PHONE_VERIFY_STORE": f"sqlite:///{tmp_path / 'store.sqlite3'}",
        "PHONE_VERIFY_FRAUD": str(file),
    }


def test_score_and_reasons_are_explained(environ: dict[str, str]) -> None:
    status, text = answer("fraud", "explain", NUMBER, "--environment", **environ)
    assert status == 0, text
    assert text.splitlines()[:3] == [
        f"{HINT} (IR)",
        "score 100 (refused from 60): it would be refused",
        " 100  denied_prefix: your list denies numbers that begin like this",
    ]
    assert "a million numbers that begin alike: 0.0 sent, 0.0 verified" in text
    assert NUMBER not in text


def test_explanation_is_json_for_programs(environ: dict[str, str]) -> None:
    status, text = answer("fraud", "explain", "09350000007", "--region", "IR", "--json", "--environment", **environ)
    assert status == 0, text
    found = json.loads(text)
    assert (found["score"], found["verdict"], found["reasons"]) == (0, "passed", {})
    assert found["prefix"] == found["block"] == {"sent": 0.0, "verified": 0.0}


@pytest.mark.parametrize(
    ("changes", "number", "says"),
    [
        ({"PHONE_VERIFY_FRAUD": ""}, NUMBER, "Set PHONE_VERIFY_FRAUD"),
        ({}, "0912", "--region IR"),
        ({"PHONE_VERIFY_STORE": "sqlite:////nonexistent/x.sqlite3"}, NUMBER, "store"),
    ],
)
def test_failure_says_what_to_do(environ: dict[str, str], changes: dict[str, str], number: str, says: str) -> None:
    status, text = answer("fraud", "explain", number, "--environment", **{**environ, **changes})
    assert status != 0
    assert says in text
    assert "Traceback" not in text


def test_django_project_is_explained(tmp_path: Path) -> None:
    settings = "PHONE_VERIFY.update(sms='console://', store='memory:', fraud={'deny': {'regions': ['IR']}})"
    folder = django_site(tmp_path, settings)
    status, text = answer("fraud", "explain", NUMBER, "--django", "chosen", folder=folder)
    assert status == 0, text
    assert "record only" in text


def test_flask_application_is_explained(tmp_path: Path) -> None:
    more = {"PHONE_VERIFY_FRAUD": {"deny": {"regions": ["IR"]}}, "PHONE_VERIFY_STORE": "memory:"}
    (tmp_path / "site7.py").write_text(f"MORE = {more!r}\n{FLASK_SITE}")
    status, text = answer("fraud", "explain", NUMBER, "--flask", "site7:create_app", folder=tmp_path)
    assert status == 0, text
    assert "denied_region" in text
