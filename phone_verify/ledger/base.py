"""The role of a ledger: the steps in which attempts, caps and accounts are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from ..model import Channel, DeliveryReport
from ..webhooks_out.messages import Change
from .caps import Cap, Usage
from .values import Account, Alarm, Attempt, AttemptResult, Held, Payment, Suspended, Terms

#: The price of a report in a currency; None without a price, or without a rate.
Charge = Callable[[str], Decimal | None]


@runtime_checkable
class Ledger(Protocol):
    """Keeps attempts, the counters of caps, accounts and payments.

    Each method is one transaction, kept even if the caller's own transaction is rolled back. A
    blocking implementation never suspends. All raise `StoreError` if the database does not answer;
    the step has then been done either completely or not at all.
    """

    async def begin(
        self, attempt: Attempt, caps: Sequence[Cap], terms: Terms | None, now: datetime, *, waited: bool = False
    ) -> Held | Suspended:
        """Write an attempt as unclear, count it and reserve its price, unless a cap or the balance forbids it.

        Of concurrent calls no more are held than the caps and the balance allow. A call for a
        verification, send and driver that were written before changes nothing, except that an unsent attempt
        whose driver is about to be asked becomes unclear; one that was released meanwhile is refused.

        With `waited` it is for an order that waited. The unsent attempt that was written for another driver, which
        is not asked after all, then becomes this one, with what it counted and at most the difference reserved.
        """
        ...

    async def finish(self, attempt: Attempt, result: AttemptResult, now: datetime) -> Attempt:
        """Write the provider's response to an attempt that `begin` has held; return the attempt as it is now.

        An attempt that the database has lost in a power failure is written again.
        """
        ...

    async def verify(self, verification: str, channel: Channel, driver: str, now: datetime) -> int:
        """Write that a verification succeeded by this channel and driver, and settle all its attempts.

        Return how many attempts changed.
        """
        ...

    async def end(self, verification: str, now: datetime, *, expired: bool = True) -> int:
        """Settle the open attempts of a verification that has ended; return how many changed.

        `expired` is whether it ended without success.
        """
        ...

    async def release(self, verification: str, send: int, now: datetime) -> Sequence[Attempt]:
        """Close the unsent attempts of a send that will not be sent, and release what they reserved.

        Return the attempts of the verification as they are now.
        """
        ...

    async def look_ups(self, limit: int, now: datetime) -> Sequence[Attempt]:
        """Return at most `limit` attempts whose delivery is to be looked up now, the longest due first.

        No other caller gets them before they are due again.
        """
        ...

    async def report(self, driver: str, report: DeliveryReport, charge: Charge, now: datetime) -> Attempt | None:
        """Write a delivery report to the attempt with its reference, and return it; None if it is unknown.

        `charge` returns the price of the report in the currency of the attempt's service.
        """
        ...

    async def tell(self, change: Change, now: datetime) -> None:
        """Write a change of a verification for the endpoints of its service, once, also if it is repeated.

        The changes that attempts show are written with them.
        """
        ...

    async def unsettled(self, before: datetime, limit: int) -> Sequence[Attempt]:
        """Return at most `limit` open attempts that began before then, oldest first."""
        ...

    async def attempts(self, verification: str) -> Sequence[Attempt]:
        """Return the attempts of a verification in their order."""
        ...

    async def pay(self, payment: Payment, terms: Terms, now: datetime) -> Account | None:
        """Add a payment to the account of its service, which it creates; return the account.

        None if this payment was made before, by its key. Raises `OtherPaymentError` if that one has another
        amount or currency, and `ValueError` if the account has another currency or the payment has no key.
        """
        ...

    async def account(self, service: str) -> Account | None:
        """Return the account of a service; None before its first attempt or payment."""
        ...

    async def payments(self, service: str, limit: int = 100) -> Sequence[tuple[datetime, Payment]]:
        """Return the latest payments of a service, newest first."""
        ...

    async def usage(self, names: Sequence[str]) -> Sequence[Usage]:
        """Return the counters with these names; those that do not exist are left out."""
        ...

    async def raise_level(self, name: str, alarm: Alarm, now: datetime) -> Alarm | None:
        """Note that an alarm of this level was raised for a name; return it with its key, or None if it was noted
        before.

        A lower level, 0 included, replaces a higher one and returns None.
        """
        ...

    async def alarms(self, before: datetime, limit: int) -> Sequence[Alarm]:
        """Return at most `limit` alarms that were raised before then and not told, oldest first."""
        ...

    async def told(self, alarm: Alarm) -> None:
        """Note that an alarm was told."""
        ...

    async def erase(self, tag: str) -> int:
        """Remove the phone and the verification from all attempts of a phone; return how many there were.

        What they cost stays. Messages for the endpoints of its service are deleted, sent or not.
        """
        ...

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete at most `limit` attempts that began before then, and counters that ended; return how many.

        Attempts that the aggregates do not hold yet, and open ones, lose the phone instead: what an open one
        has reserved is released when it is settled.
        """
        ...
