"""A verifier with a ledger, in its blocking and its async form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.ledger.prices import Price, Prices, Rate
from phone_verify.ledger.rows.ledger import RowLedger
from phone_verify.ledger.service import ServiceLedger
from phone_verify.ledger.values import Alarm, Attempt
from phone_verify.model import Channel
from phone_verify.sync import run
from phone_verify.verifier.blocking import Verifier
from tests.core.harness import AsyncFace, Harness
from tests.ledger_files import with_tables

#: Nine cents of a thousand rials for an SMS to Iran, and five cents for everything else.
TABLE = Prices(
    "EUR",
    [Price(Decimal("0.05"), "EUR"), Price(Decimal("450"), "IRR", channel=Channel.SMS, region="IR")],
    [Rate("IRR", Decimal("0.00002"))],
)
SMS_PRICE = Decimal("0.009")


class Books:
    """A verifier whose orders are written to a ledger, and what the ledger reported."""

    def __init__(self, ledger: RowLedger, harness: Harness, **own: Any) -> None:
        self.ledger, self.harness = ledger, harness
        self.alarms: list[Alarm] = []
        self.failures: list[tuple[str, str]] = []
        self.own = ServiceLedger(
            ledger=ledger,
            digest=lambda reference: f"digest of {reference}"[:22],
            on_alarm=self.alarms.append,
            on_failure=lambda step, driver: self.failures.append((step, driver)),
            now=harness.clock,
            **{"prices": TABLE, **own},
        )
        harness.parts = replace(harness.parts, ledger=self.own)
        harness.verifier = type(harness).face(harness.parts)

    def rows(self, id: str) -> list[Attempt]:
        """Return the attempts of a verification."""
        return list(run(self.ledger.attempts(id)))

    def all_rows(self) -> list[Attempt]:
        """Return every attempt that is open."""
        return list(run(self.ledger.unsettled(self.harness.clock().replace(year=2099), 1000)))


@pytest.fixture(params=[Verifier, AsyncFace], ids=["blocking", "async"])
def face(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with the blocking and with the async verifier."""
    monkeypatch.setattr(Harness, "face", staticmethod(request.param))


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    return SqlLedger(Database.from_url(with_tables(tmp_path / "ledger.sqlite3")))


@pytest.fixture
def books(face: None, ledger: SqlLedger) -> Callable[..., Books]:
    """Return a function that makes a verifier over these drivers, with a ledger."""

    def make(*drivers: Any, test_numbers: Any = None, **own: Any) -> Books:
        return Books(ledger, Harness(*drivers, test_numbers=test_numbers), **own)

    return make
