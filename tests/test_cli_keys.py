"""`phone-verify keys`, and the same commands of Flask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from phone_verify.cli.commands.keys import keys
from phone_verify.keys.text import read_text
from phone_verify_flask import PhoneVerify


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = tmp_path / "services.yaml"
    services.write_text("shop: {title: Example Shop}")
    monkeypatch.setenv("PHONE_VERIFY_SERVICES", str(services))
    monkeypatch.setenv("PHONE_VERIFY_LEDGER", f"sqlite:///{tmp_path / 'services.sqlite3'}")
    monkeypatch.setenv("PHONE_VERIFY_SMS", "console://")


def invoke(*words: str) -> Result:
    return CliRunner().invoke(keys, [words[0], "--environment", *words[1:]])


@pytest.mark.usefixtures("environment")
def test_key_is_created_listed_and_revoked() -> None:
    made = invoke("create", "Shop backend", "--from", "203.0.113.0/24", "--channels", "sms", "--expires", "90d")
    assert made.exit_code == 0, made.output
    text = read_text(made.stdout.strip())
    assert text is not None, "nothing but the key is on standard output"
    assert "shown only now" in made.stderr
    listed = invoke("list")
    for word in (text.id, "Shop", "valid", "sms", "never"):
        assert word in listed.output
    assert text.secret not in listed.output
    assert invoke("revoke", text.id).exit_code == 0
    assert invoke("revoke", text.id).exit_code == 1
    [found] = json.loads(invoke("list", "--json").stdout)
    assert (found["state"], found["from"], found["channels"]) == ("revoked", ["203.0.113.0/24"], ["sms"])
    assert json.loads(invoke("list", "--service", "shop", "--json").stdout) == []
    assert "no access keys" in invoke("list", "--service", "shop").output


@pytest.mark.usefixtures("environment")
def test_key_is_printed_as_json() -> None:
    document = json.loads(invoke("create", "Shop", "--service", "shop", "--json").stdout)
    assert read_text(document["key"]) is not None
    assert (document["service"], document["state"], document["expires_at"]) == ("shop", "valid", None)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["", "--service", "shop"], "NAME"),
        (["Shop", "--service", "!"], "--service"),
        (["Shop", "--service", "shpo"], "--service"),
        (["Shop", "--from", "x"], "--from"),
        (["Shop", "--channels", "smoke"], "--channels"),
        (["Shop", "--expires", "soon"], "--expires"),
    ],
)
@pytest.mark.usefixtures("environment")
def test_option_that_cannot_work_is_named(words: list[str], option: str) -> None:
    refused = invoke("create", *words)
    assert refused.exit_code == 2
    assert f"Invalid value for {option}" in refused.output
    assert invoke("list").output.strip() == "There are no access keys."


def test_site_without_keys_is_told_which_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHONE_VERIFY_LEDGER", raising=False)
    refused = invoke("create", "Shop")
    assert refused.exit_code == 1
    assert "PHONE_VERIFY_LEDGER" in refused.output


def test_database_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_VERIFY_LEDGER", f"sqlite:///{tmp_path}/missing/services.sqlite3")
    monkeypatch.setenv("PHONE_VERIFY_SMS", "console://")
    failed = invoke("create", "Shop")
    assert failed.exit_code == 1
    assert "PHONE_VERIFY_LEDGER" in failed.output
    assert not isinstance(failed.exception, TypeError)


def test_commands_of_flask(tmp_path: Path) -> None:
    app = Flask(__name__, instance_path=str(tmp_path))
    app.config.update(
        SECRET_KEY="a key for tests only, and long enough for them",
        PHONE_VERIFY_SMS="console://",
        PHONE_VERIFY_LEDGER=f"sqlite:///{tmp_path / 'services.sqlite3'}",
    )
    PhoneVerify(app)
    runner = app.test_cli_runner()
    made = runner.invoke(args=["phone-verify", "keys", "create", "Shop"])
    text = read_text(made.stdout.strip())
    assert text is not None, made.output
    assert text.id in runner.invoke(args=["phone-verify", "keys", "list"]).output
    assert runner.invoke(args=["phone-verify", "keys", "revoke", text.id]).exit_code == 0
