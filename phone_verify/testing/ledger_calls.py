"""What the parts of the suite of ledgers share: sample attempts, and calls with checks."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from ..ledger.base import Ledger
from ..ledger.caps import Cap, Window, name_at
from ..ledger.values import (
    Account,
    Attempt,
    AttemptOutcome,
    AttemptResult,
    Held,
    Payment,
    Terms,
)
from ..model import DeliveryReport, DeliveryState, Receipt
from ..sync import run as run_flow

T = TypeVar("T")

NOW = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
ID = "A" * 44
TAG = "t" * 22
CENT, ONE = Decimal("0.01"), Decimal(1)
PREPAID = Terms("EUR")
SENT = AttemptResult(AttemptOutcome.SENT, timedelta(milliseconds=120), Receipt(reference="r" * 22, parts=1))
UNCLEAR = AttemptResult(AttemptOutcome.UNCLEAR, timedelta(seconds=10))
REFUSED = AttemptResult(AttemptOutcome.REFUSED, timedelta(milliseconds=80), refusal="balance")
DELIVERED = DeliveryReport("r" * 22, DeliveryState.DELIVERED)
PARALLEL = 200


def run(step: Coroutine[Any, Any, T]) -> T:
    """Run a step of a blocking ledger."""
    return run_flow(step)


def later(seconds: float) -> datetime:
    """Return the time this many seconds after the sample's."""
    return NOW + timedelta(seconds=seconds)


def attempt(number: int = 0, **changes: Any) -> Attempt:
    """Return an attempt that costs a cent, each number for another verification."""
    values: dict[str, Any] = {
        "verification": f"{number:0>44}",
        "send": 1,
        "driver": "amoot",
        "service": "default",
        "purpose": "login",
        "channel": "sms",
        "started_at": NOW,
        "region": "IR",
        "tag": TAG,
        "hint": "+98 ••••••••01",
        "list_price": CENT,
        "price": CENT,
        "currency": "EUR",
        "account_currency": "EUR",
        "cost_source": "table",
    }
    return Attempt(**{**values, **changes})


def no_charge(_: str) -> None:
    """Report no price."""


class LedgerCalls:
    """Calls of a ledger that must succeed."""

    def begin(
        self,
        ledger: Ledger,
        number: int = 0,
        caps: Sequence[Cap] = (),
        terms: Terms | None = None,
        now: datetime = NOW,
        **changes: Any,
    ) -> Attempt:
        """Begin an attempt that must be held."""
        held = run(ledger.begin(attempt(number, **changes), caps, terms, now))
        assert isinstance(held, Held)
        return held.attempt

    def only(self, ledger: Ledger, number: int = 0) -> Attempt:
        """Return the one attempt of a verification."""
        (found,) = run(ledger.attempts(f"{number:0>44}"))
        return found

    def spent(self, ledger: Ledger, window: Window, service: str = "default") -> tuple[int, Decimal]:
        """Return what the counter of a window holds."""
        (used,) = run(ledger.usage([name_at(window, service, "IR", NOW)]))
        return used.count, used.spent

    def account(self, ledger: Ledger, service: str = "default") -> Account:
        """Return the account of a service that has one."""
        found = run(ledger.account(service))
        assert found is not None
        return found

    def pay(self, ledger: Ledger, amount: str, terms: Terms = PREPAID, key: str = "") -> None:
        """Top up the account."""
        payment = Payment("default", Decimal(amount), "EUR", key or f"pay:{amount}")
        assert run(ledger.pay(payment, terms, NOW)) is not None
