"""`phone-verify ledger`, and what the doctor says of a ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from phone_verify.cli.commands.ledger import ledger
from phone_verify.config.site import SiteConfig
from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.database.services import SqlServiceRows
from phone_verify.doctor import Finding, examine
from phone_verify.ledger.values import Terms
from phone_verify.sync import run
from phone_verify.testing.ledger_calls import attempt
from phone_verify.testing.transport import FakeTransport

pytestmark = pytest.mark.usefixtures("url")
CAPS = """
hour: {count: 5}
regions:
  IR: {money: "150"}
  "*": {money: "10"}
"""
PRICES = """
currency: EUR
prices:
  - {price: "0.05"}
rates:
  - {currency: USD, rate: "0.9"}
"""
IDS = {"PV611", "PV612", "PV613", "PV614"}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    monkeypatch.setenv("PHONE_VERIFY_LEDGER", url)
    monkeypatch.setenv("PHONE_VERIFY_SMS", "console://")
    for name, text in {"TERMS": "currency: EUR", "CAPS": CAPS, "PRICES": PRICES}.items():
        file = tmp_path / f"{name.lower()}.yaml"
        file.write_text(text)
        monkeypatch.setenv(f"PHONE_VERIFY_{name}", str(file))
    return url


def invoke(*words: str) -> Result:
    return CliRunner().invoke(ledger, [words[0], "--environment", *words[1:]])


@pytest.fixture
def begun(url: str) -> Iterator[Callable[[timedelta], None]]:
    """A function that writes an attempt of this age, whose process died."""
    own = SqlLedger(Database.from_url(url))

    def begin(age: timedelta) -> None:
        at = datetime.now(UTC) - age
        assert run(own.begin(attempt(1, started_at=at), [], Terms("EUR", credit_limit=Decimal(1)), at))

    yield begin
    own.database.engine.dispose()


def test_account_is_topped_up_once_for_a_key() -> None:
    assert "has no account" in invoke("balance").output
    paid = invoke("top-up", "100", "--note", "invoice 7", "--key", "i7")
    assert paid.exit_code == 0, paid.output
    assert "balance 100" in paid.output
    again = invoke("top-up", "100", "--key", "i7")
    assert again.exit_code == 0
    assert "made before" in again.output
    other = invoke("top-up", "99", "--key", " i7")
    assert (other.exit_code, "i7 was made before, of 100" in other.output) == (1, True), other.output
    document = json.loads(invoke("balance", "--json").stdout)
    assert Decimal(document["balance"]) == 100
    [payment] = document["payments"]
    assert (payment["key"], payment["note"], Decimal(payment["amount"])) == ("i7", "invoice 7", Decimal(100))
    assert "invoice 7" in invoke("balance").output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("0",), "AMOUNT"),
        (("--", "-5"), "AMOUNT"),
        (("NaN",), "AMOUNT"),
        (("1e9",), "AMOUNT"),
        (("1", "--key", "k" * 65), "--key"),
        (("1", "--note", "n" * 256), "--note"),
    ],
)
def test_payment_that_is_none_is_refused(words: tuple[str, ...], says: str) -> None:
    refused = invoke("top-up", *words)
    assert (refused.exit_code, says in refused.output) == (2, True), refused.output
    assert "has no account" in invoke("balance").output


def test_caps_show_what_is_used() -> None:
    document = json.loads(invoke("caps", "--region", "DE", "--json").stdout)
    rows = {(row["window"], row["region"]): row for row in document["caps"]}
    assert rows["hour", None] == {
        "window": "hour",
        "region": None,
        "count": 0,
        "count_cap": 5,
        "spent": "0",
        "money_cap": None,
        "enforced": True,
    }
    assert {region for _, region in rows} == {None, "IR", "DE"}
    assert "enforced" in invoke("caps").output


def test_open_attempts_are_settled(url: str, begun: Callable[[timedelta], None]) -> None:
    begun(timedelta(hours=2))
    assert "Verifications settled: 1" in invoke("settle").output
    assert "Verifications settled: 0" in invoke("settle").output


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service with its own currency, trial and caps."""
    file = tmp_path / "services.yaml"
    file.write_text("shop: {terms: {currency: USD, trial: '1'}, caps: {day: {count: 7}}}")
    monkeypatch.setenv("PHONE_VERIFY_SERVICES", str(file))


@pytest.mark.usefixtures("shop")
def test_service_is_paid_by_its_own_terms() -> None:
    paid = invoke("top-up", "10", "--service", "shop", "--json")
    assert paid.exit_code == 0, paid.output
    document = json.loads(paid.stdout)
    assert (document["currency"], Decimal(document["balance"])) == ("USD", Decimal(11))


@pytest.mark.usefixtures("shop")
def test_service_shows_its_own_caps() -> None:
    document = json.loads(invoke("caps", "--service", "shop", "--json").stdout)
    assert document["currency"] == "USD"
    assert [(row["window"], row["count_cap"]) for row in document["caps"]] == [("day", 7)]


@pytest.mark.parametrize("words", [("balance",), ("caps",), ("top-up", "1")])
def test_unknown_service_has_no_account(words: tuple[str, ...], url: str) -> None:
    refused = invoke(*words, "--service", "shpo")
    assert (refused.exit_code, "'shpo'" in refused.output) == (1, True), refused.output
    own = SqlLedger(Database.from_url(url))
    assert run(own.account("shpo")) is None
    own.database.engine.dispose()


@pytest.mark.parametrize("words", [("balance",), ("caps",), ("top-up", "1")])
def test_service_with_mistakes_is_named(words: tuple[str, ...], url: str) -> None:
    rows = SqlServiceRows(Database.from_url(url))
    run(rows.save("shop", {"drivers": ["gone"]}, 0))
    refused = invoke(*words, "--service", "shop")
    assert (refused.exit_code, "services show shop" in refused.output) == (1, True), refused.output


@pytest.mark.parametrize("words", [("balance",), ("caps",), ("top-up", "1")])
def test_site_without_a_ledger_shows_the_setting(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEDGER", "TERMS", "CAPS", "PRICES"):
        monkeypatch.delenv(f"PHONE_VERIFY_{name}")
    refused = invoke(*words)
    assert (refused.exit_code, "PHONE_VERIFY_LEDGER" in refused.output) == (1, True), refused.output


def findings(url: str, *, contact: bool = True) -> list[Finding]:
    given = {"sms": "console://", "secret_keys": ["k-key-for-tests-0123456789abcdef"], "ledger": url}
    config = SiteConfig(values=given, production=False)
    return [found for found in examine(config, transport=FakeTransport() if contact else None) if found.id in IDS]


def test_doctor_says_that_the_ledger_answers(url: str) -> None:
    assert [found.id for found in findings(url)] == ["PV613"]
    assert findings(url, contact=False) == []


def test_doctor_finds_orders_that_stay_open(url: str, begun: Callable[[timedelta], None]) -> None:
    begun(timedelta(minutes=30))
    assert [found.id for found in findings(url)] == ["PV613"]


def test_doctor_finds_orders_open_for_an_hour(url: str, begun: Callable[[timedelta], None]) -> None:
    begun(timedelta(minutes=61))
    found = {each.id: each for each in findings(url)}
    assert set(found) == {"PV613", "PV614"}
    assert found["PV614"].says.startswith("Orders that have been open for more than an hour: 1.")
    assert "phone-verify ledger settle" in found["PV614"].advice


def test_doctor_finds_a_ledger_that_is_none(tmp_path: Path) -> None:
    assert [found.id for found in findings("redis://localhost")] == ["PV611"]
    [found] = findings(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.sqlite3'}")
    assert (found.id, found.setting) == ("PV612", "PHONE_VERIFY_LEDGER")
