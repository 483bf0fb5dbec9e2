"""The site's accounts at its providers: asked, and low balances reported once, over all processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from phone_verify.errors import FailureKind, ProviderError, UnclearError
from phone_verify.exchange import Exchange, HttpRequest
from phone_verify.ledger.values import Alarm
from phone_verify.model import ProviderAccount, Receipt
from tests.core.harness import SMS, Driver, sms
from tests.ledger.conftest import Books

Make = Callable[..., Books]

WANTED = {"sms-1": Decimal(500)}


class Bank(Driver):
    """A driver whose provider reports this balance, or fails so."""

    def __init__(self, name: str = "sms-1") -> None:
        super().__init__(name, SMS, sms().ability, [Receipt("order-1")])
        self.reports: Decimal | Exception | None = None

    def account(self) -> Exchange[ProviderAccount]:
        if isinstance(self.reports, Exception):
            raise self.reports
        return ProviderAccount(self.reports, "RUB")
        yield HttpRequest.get("http://nobody")


def levels(made: Books) -> list[int]:
    """Ask for the accounts; return the level of each."""
    found = made.harness.verifier.provider_balances(WANTED)
    assert all(balance.account.currency == "RUB" for balance in found)
    return [balance.level for balance in found]


def test_low_balance_is_reported_once_at_each_level(books: Make) -> None:
    bank = Bank()
    made = books(bank)
    for amount, level in (("501", 0), ("250", 50), ("249", 50), ("100", 80), ("0", 100), ("-3", 100)):
        bank.reports = Decimal(amount)
        assert levels(made) == [level]
    reported = [
        (alarm.driver, alarm.limit, alarm.level, alarm.used, alarm.allowed, alarm.currency) for alarm in made.alarms
    ]
    assert reported == [
        ("sms-1", "provider", 50, "250", "500", "RUB"),
        ("sms-1", "provider", 80, "400", "500", "RUB"),
        ("sms-1", "provider", 100, "500", "500", "RUB"),
    ]


@pytest.mark.parametrize(("currency", "amount"), [("RUB", "300 of 500 RUB"), ("", "300 of 500")])
def test_alarm_of_a_provider_names_its_amounts(currency: str, amount: str) -> None:
    alarm = Alarm("default", "provider", 50, "300", "500", currency, driver="sms-1")
    assert str(alarm) == f"default: provider sms-1 at 50 %: {amount}"
    assert str(replace(alarm, limit="day", currency="")).endswith(": 300 of 500 attempts")


def test_account_that_was_topped_up_is_reported_again(books: Make) -> None:
    bank = Bank()
    made = books(bank)
    for amount in ("200", "900", "200"):
        bank.reports = Decimal(amount)
        levels(made)
    assert [alarm.level for alarm in made.alarms] == [50, 50]


@pytest.mark.parametrize("failure", [ProviderError(FailureKind.BALANCE), UnclearError("timeout")])
def test_provider_that_does_not_answer_stops_no_other(books: Make, failure: Exception) -> None:
    silent, bank = Bank("sms-0"), Bank()
    silent.reports, bank.reports = failure, Decimal(10)
    made = books(silent, bank)
    assert levels(made) == [80]
    assert [alarm.driver for alarm in made.alarms] == ["sms-1"]


def test_account_without_a_balance_is_no_empty_one(books: Make) -> None:
    bank = Bank()
    made = books(bank)
    assert levels(made) == [0]
    assert made.alarms == []
