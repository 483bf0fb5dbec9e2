"""`phone-verify services`: list, show, set, delete."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from phone_verify.cli.commands.services import services

SHOP = {"public": True, "channels": ["sms"], "title": "Example Shop"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "services.sqlite3"
    fixed = tmp_path / "fixed.yaml"
    fixed.write_text("bank: {title: Example Bank}\n")
    monkeypatch.setenv("PHONE_VERIFY_SMS", "console://")
    monkeypatch.setenv("PHONE_VERIFY_STORE", "memory:")
    monkeypatch.setenv("PHONE_VERIFY_LEDGER", f"sqlite:///{path}")
    monkeypatch.setenv("PHONE_VERIFY_SERVICES", str(fixed))
    return path


def called(*arguments: str, **more: Any) -> Result:
    return CliRunner().invoke(services, [*arguments, "--environment"], **more)


def shown(name: str = "shop") -> dict[str, Any]:
    result = called("show", name)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.usefixtures("path")
class TestCommands:
    def test_service_is_made_changed_listed_and_deleted(self) -> None:
        made = called("set", "shop", "title=Example Shop", "channels=sms", "public=true")
        assert made.exit_code == 0, made.output
        assert shown()["fields"] == SHOP
        assert called("set", "shop", "code_length=8", "title=").exit_code == 0
        assert shown()["fields"] == {"public": True, "channels": ["sms"], "code_length": 8}
        listed = json.loads(called("list", "--json").stdout)
        assert [(entry["name"], entry["origin"]) for entry in listed] == [
            ("default", "site"),
            ("bank", "settings"),
            ("shop", "database"),
        ]
        assert "Example Bank" in called("list").stdout
        assert called("delete", "shop", "--yes").exit_code == 0
        assert called("show", "shop").exit_code == 1
        again = called("set", "shop", "title=Shop of someone else")
        assert again.exit_code == 1
        assert "name: was the name of a service that was deleted" in again.output

    def test_file_replaces_all_fields(self, tmp_path: Path) -> None:
        called("set", "shop", "code_length=8")
        document = tmp_path / "shop.json"
        document.write_text(json.dumps(SHOP))
        assert called("set", "shop", "--file", str(document)).exit_code == 0
        assert shown()["fields"] == SHOP

    def test_every_mistake_is_reported_at_its_field(self) -> None:
        refused = called("set", "shop", "code_length=99", "channels=voice")
        assert refused.exit_code == 1
        assert "code_length: must be from 4 to 8" in refused.output
        assert "channels: no driver of the site carries voice" in refused.output
        assert called("show", "shop").exit_code == 1, "nothing was saved"

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["set", "bank", "title=Other"], "PHONE_VERIFY_SERVICES"),
            (["delete", "bank", "--yes"], "PHONE_VERIFY_SERVICES"),
            (["delete", "shop", "--yes"], "no row is named 'shop'"),
            (["set", "Shop", "title=x"], "lower-case"),
            (["set", "shop", "title"], "write field=value"),
            (["set", "shop"], "name a file, or fields"),
            (["set", "shop", "--file", "/nonexistent.yaml"], "cannot be read"),
            (["show", "shop"], "no service is named 'shop'"),
        ],
    )
    def test_what_cannot_be_done_is_said(self, arguments: list[str], says: str) -> None:
        refused = called(*arguments)
        assert refused.exit_code != 0
        assert says in refused.output

    def test_deletion_is_confirmed(self) -> None:
        called("set", "shop", "title=Example Shop")
        assert called("delete", "shop", input="n\n").exit_code == 1
        assert shown()

    def test_row_that_the_site_can_no_longer_serve_is_marked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        called("set", "shop", "channels=sms")
        monkeypatch.setenv("PHONE_VERIFY_SMS", "")
        monkeypatch.setenv("PHONE_VERIFY_FLASH_CALL", "sandbox://127.0.0.1:8025")
        assert "no driver of the site carries sms" in shown()["mistakes"]["channels"]
        assert "no driver of the site carries sms" in called("list").output.replace("\n", " ")


def test_site_without_services_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_VERIFY_SMS", "console://")
    refused = called("list")
    assert refused.exit_code == 1
    assert "PHONE_VERIFY_LEDGER" in refused.output


def test_database_that_does_not_answer_is_said(path: Path) -> None:
    path.write_text("this is no database" * 100)
    refused = called("list")
    assert refused.exit_code == 1
    assert "The database does not answer" in refused.output


def test_secrets_of_endpoints_are_not_shown(path: Path) -> None:
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    endpoints = json.dumps([{"url": "https://shop.example/hook", "secrets": [secret]}])
    assert called("set", "shop", f"endpoints={endpoints}").exit_code == 0
    for arguments in (["show", "shop"], ["list", "--json"], ["list"]):
        output = called(*arguments).output
        assert "shop" in output
        assert secret not in output
    assert shown()["fields"]["endpoints"] == [{"url": "https://shop.example/hook", "secrets": "***"}]
