"""`phone-verify config`: values, origins and masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phone_verify.cli.settings_list import in_force
from phone_verify.config.settings import KNOWN
from phone_verify.config.site import SiteConfig
from tests.cases import in_one_test

from .test_cli import FLASK_SITE, answer, django_site

PHONE = "+12025550123"


def values(given: SiteConfig) -> dict[str, tuple[object, str]]:
    return {value.name: (value.value, value.origin) for value in in_force(given)}


def test_every_setting_is_listed_with_its_default() -> None:
    found = values(SiteConfig())
    assert list(found) == list(KNOWN)
    assert {origin for _, origin in found.values()} == {"default"}
    assert (found["ttl"][0], found["max_attempts"][0], found["store"][0]) == (300, 5, "memory:")


def test_origin_is_the_framework_before_the_environment() -> None:
    environ = {"PHONE_VERIFY_SMS": "console://", "PHONE_VERIFY_REGION": "RU", "PHONE_VERIFY_ALLOWED_REGIONS": "RU,IR"}
    given = SiteConfig(
        values={"region": "IR", "public_url": "https://a.example"}, environ=environ, framework="Flask",
        framework_keys=lambda: ["hunter2"],
    )  # fmt: skip
    found = values(given)
    assert found["region"] == ("IR", "Flask")
    assert found["sms"] == (["console://"], "environment")
    assert found["allowed_regions"] == (["IR", "RU"], "environment")
    assert found["secret_keys"] == (["***"], "Flask's SECRET_KEY")
    assert found["channels"] == (["sms"], "default")
    assert found["site_name"] == ("a.example", "default")


@in_one_test
@pytest.mark.parametrize(("name", "text", "shown"), [
    ("sms", "amoot://hunter2@default ssms://a:hunter2@default?route=1", None),
    ("sms", "amoot://hunter2@default ssms://EMAIL:hunter2@default", ["amoot://***@default", "ssms://***@default"]),
    ("sms", "hunter2", None),
    ("store", "postgresql://u:hunter2@h/db?password=hunter2", "postgresql://***@h/db?***"),
    ("store", "redis://:hunter2/hunter2@h", "redis://***@h"),
    ("store", "postgresql:hunter2", "postgresql:***"),
    ("store", "sqlite:////var/lib/x.sqlite3", "sqlite:////var/lib/x.sqlite3"),
    ("secret_keys", "hunter2,hunter2", ["***", "***"]),
    ("tag_key", "hunter2", ["***"]),
    ("webhook_secret", "hunter2-0123456789-abcdefgh", ["***"]),
    ("test_passcodes", f"{PHONE}=482193@2027-01-31", ["***"]),
    ("ttl", "hunter2", None),
])  # fmt: skip
def test_no_credential_is_shown(name: str, text: str, shown: Any) -> None:
    found = in_force(SiteConfig(environ={f"PHONE_VERIFY_{name.upper()}": text}))
    assert next(value.value for value in found if value.name == name) == shown
    assert not any(secret in str([value.document() for value in found]) for secret in ("hunter2", PHONE, "482193"))


def test_command_shows_a_django_and_a_flask_site(tmp_path: Path) -> None:
    status, said = answer("config", folder=django_site(tmp_path), COLUMNS="80")
    assert status == 0
    assert max(map(len, said.splitlines())) <= 80
    assert any(line.split() == ["SMS", "console://", "Django"] for line in said.splitlines())
    assert any(line.split() == ["STORE", "orm:", "default"] for line in said.splitlines())
    (tmp_path / "site5.py").write_text(f"MORE = {{'PHONE_VERIFY_TTL': 5}}\n{FLASK_SITE}")
    status, said = answer("config", "--flask", "site5:create_app", "--json", folder=tmp_path)
    found = {each["setting"]: each for each in json.loads(said)}
    assert found["PHONE_VERIFY_SMS"] == {
        "setting": "PHONE_VERIFY_SMS", "value": ["console://"], "origin": "Flask", "valid": True,
    }  # fmt: skip
    assert found["PHONE_VERIFY_TTL"] == {
        "setting": "PHONE_VERIFY_TTL", "value": None, "origin": "Flask", "valid": False,
    }  # fmt: skip
    assert "hunter2" not in said
