"""The steps of a ledger over rows.

Each step locks attempts first, in the order of their ids, then counters in the order of their names, then
the account: no two steps wait for each other. A counter and an account are hot rows, so a step touches
them last, in one statement each, and ends.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from ...codes import RandomBytes
from ...model import Channel, DeliveryReport
from ...stores.rows.values import micros, time_of
from ...webhooks_out.messages import Change
from .. import rules
from ..amounts import amount_of, units
from ..base import Charge
from ..caps import (
    Cap,
    Usage,
    Window,
    alarm_of,
    caps_for,
    counter_name,
    level_left,
    level_of,
    names_of,
    passes,
    was_raised,
    window_end,
)
from ..changes import changes_of
from ..values import (
    ACCOUNT_BIT,
    CURRENCY,
    RELEASED,
    TRIAL_KEY,
    ZERO,
    Account,
    Alarm,
    Attempt,
    AttemptOutcome,
    AttemptResult,
    Held,
    OtherPaymentError,
    Payment,
    Suspended,
    Terms,
)
from .accounts import account_of, balance_alarm, create_account, move, payment_row
from .alarms import AlarmRows
from .conversion import attempt_of, row_of
from .counters import Transaction, TransactionRunner, add, level_values, usage
from .statements import CHANGED

T = TypeVar("T")

_PURGE_BATCH = 200
_RANDOM_BYTES = 33  # 44 characters, as many as an id has


#: Writes a change of a verification for the endpoints of its service, in the transaction of a step.
Tells = Callable[[Any, Change, datetime], object]
#: Deletes the messages about a phone's verifications, whose ids begin with its tag, in the transaction of a step.
Forgets = Callable[[Any, str], object]


class RowLedger(AlarmRows):
    """A blocking ledger over rows."""

    def __init__(
        self,
        runner: TransactionRunner,
        tells: Tells | None = None,
        forgets: Forgets | None = None,
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        super().__init__(runner, random_bytes)
        self._tells, self._forgets = tells, forgets

    async def begin(
        self, attempt: Attempt, caps: Sequence[Cap], terms: Terms | None, now: datetime, *, waited: bool = False
    ) -> Held | Suspended:
        """See `Ledger`."""
        applied = caps_for(caps, attempt.region)
        counted = sum(cap.window.bit for cap in applied) + (ACCOUNT_BIT if terms else 0)
        attempt = rules.settled(replace(attempt, started_at=now, counted=counted))
        try:
            return self._runner.run(
                lambda tx: self._begin(tx, attempt, applied, terms, now, waited=waited), durable=False
            )
        except _Over as refused:
            over = refused
        if over.limit == CURRENCY and terms is not None and not terms.enforced:
            return await self.begin(attempt, caps, None, now, waited=waited)
        alarms = self._runner.run(lambda tx: self._raised(tx, over.note(tx, now), now)) if over.alarm else []
        return Suspended(over.limit, tuple(alarms))

    def _begin(
        self,
        tx: Transaction,
        attempt: Attempt,
        caps: Sequence[Cap],
        terms: Terms | None,
        now: datetime,
        *,
        waited: bool,
    ) -> Held:
        values = row_of(attempt)
        # Before the insert, which would lock a later row first.
        found = [attempt_of(row) for row in tx.rows(tx.statements.held_of_send, _of_send(attempt))] if waited else []
        of_send = {each.driver: each for each in found}
        if attempt.driver in of_send:
            return self._again(tx, of_send[attempt.driver], attempt)
        for reserved in found:
            if reserved.outcome is AttemptOutcome.UNSENT:
                return self._take_over(tx, reserved, attempt, caps, terms, now)
        id = tx.insert(tx.statements.insert, {**values, "dirty": 1})
        if id is None:
            return self._again(tx, attempt_of(tx.rows(tx.statements.by_key, _key(attempt))[0]), attempt)
        attempt = replace(attempt, id=id)
        alarms = [
            *self._count(tx, attempt, caps, 1, attempt.price or ZERO),
            *(self._reserve(tx, attempt, terms, attempt.reserved, now) if terms else ()),
        ]
        return Held(attempt, tuple(self._raised(tx, alarms, now)))

    def _again(self, tx: Transaction, found: Attempt, attempt: Attempt) -> Held:
        """Return the attempt that was written before, which is unclear once its driver is about to be asked."""
        if found.outcome is AttemptOutcome.UNSENT and not found.open:
            raise _Over(RELEASED, None, attempt.service)
        if attempt.outcome is AttemptOutcome.UNCLEAR and tx.change(tx.statements.asked, {"id": found.id}):
            found = replace(found, outcome=AttemptOutcome.UNCLEAR)
        return Held(found, repeated=True)

    def _take_over(
        self,
        tx: Transaction,
        reserved: Attempt,
        asked: Attempt,
        caps: Sequence[Cap],
        terms: Terms | None,
        now: datetime,
    ) -> Held:
        """Change the attempt of a driver that is not asked after all to that of the driver that is."""
        if not reserved.open:
            raise _Over(RELEASED, None, asked.service)
        after = rules.take_over(reserved, asked)
        values = {**_changes(after), "driver": after.driver, "charged_for": after.charged_for.value}
        tx.change(tx.statements.take_over, values)
        more = after.reserved - reserved.reserved
        alarms = self._count(tx, after, caps, 0, more)
        if more and after.counted & ACCOUNT_BIT:
            if terms is not None:
                alarms += self._reserve(tx, after, terms, more, now)
            else:
                move(tx, {"service": after.service, "reserved": units(more), "charged": 0})
        return Held(after, tuple(self._raised(tx, alarms, now)), repeated=True)

    def _count(self, tx: Transaction, attempt: Attempt, caps: Sequence[Cap], count: int, price: Decimal) -> list[Alarm]:
        """Add to the counters in which an attempt is counted; refuse it if more is then used than caps allow."""
        by_name, now = {counter_name(cap.window, attempt): cap for cap in caps}, attempt.started_at
        names = names_of(attempt)
        if not names or not (count or price):
            return []
        alarms = []
        for used in add(tx, {name: (count, price, _end_of(name, now)) for name in names}):
            cap = by_name.get(used.name)
            if cap is None:  # it has left the settings since the order was reserved
                continue
            before = replace(used, count=used.count - count, spent=used.spent - price)
            lowered = level_values(used.name, level_left(cap, before), cap) if was_raised(cap, used) else None
            if lowered is not None:
                before, used = (replace(each, alarmed=lowered["level"]) for each in (before, used))
            if cap.enforced and passes(cap, used) and (count or price > 0):
                alarm = alarm_of(cap, before, attempt, attempt.account_currency, refused=True)
                ends_at = window_end(cap.window, now)
                raise _Over(cap.window.value, alarm, used.name, cap=cap, ends_at=ends_at, lowered=lowered)
            if lowered is not None:
                tx.change(tx.statements.lower_counter, lowered)
            if alarm := alarm_of(cap, used, attempt, attempt.account_currency):
                tx.change(tx.statements.alarm_counter, level_values(used.name, alarm.level, cap))
                alarms.append(alarm)
        return alarms

    def _reserve(self, tx: Transaction, attempt: Attempt, terms: Terms, amount: Decimal, now: datetime) -> list[Alarm]:
        service = attempt.service
        change = {"service": service, "reserved": units(amount), "charged": 0}
        row = move(tx, change)
        if row is None:
            create_account(tx, service, terms, now)
            row = move(tx, change)
        _, currency, balance, reserved, base, alarmed, _ = row or ()
        if currency != terms.currency:
            raise _Over(CURRENCY, None, service)
        limit = amount_of(base) + terms.credit_limit
        left = amount_of(balance - reserved) + terms.credit_limit
        if terms.enforced and left < 0 <= amount:
            left += amount
            over = balance_alarm(service, 100, limit, left, terms) if alarmed < 100 else None
            raise _Over("balance", over, service, terms=terms)
        level = level_of(1 - left / limit) if limit > 0 else 0
        if level <= alarmed:
            return []
        tx.change(tx.statements.alarm_account, {"service": service, "level": level})
        return [balance_alarm(service, level, limit, left, terms)]

    async def finish(self, attempt: Attempt, result: AttemptResult, now: datetime) -> Attempt:
        """See `Ledger`."""
        return self._runner.run(lambda tx: self._finish(tx, attempt, result, now))

    def _finish(self, tx: Transaction, attempt: Attempt, result: AttemptResult, now: datetime) -> Attempt:
        after = rules.finish(attempt, result, now)
        # The tag differs once the phone was erased: the response must bring nothing back.
        if tx.change(tx.statements.update_unclear, {**_changes(after), "tag": attempt.tag}):
            self._moved(tx, [(attempt, after)], now)
            return after
        found = tx.rows(tx.statements.by_id, {"id": attempt.id})
        if found:
            after = rules.finish(before := attempt_of(found[0]), result, now)
            self._write(tx, [(before, after)], now)
            return after
        values = row_of(after)
        id = tx.insert(tx.statements.insert, {**values, "dirty": 1})
        if id is None:
            # The same attempt was written again under another id.
            found = tx.rows(tx.statements.held_by_key, _key(after))
            after = rules.finish(before := attempt_of(found[0]), result, now)
            self._write(tx, [(before, after)], now)
            return after
        self._moved(tx, [(replace(attempt, price=None, reserved=ZERO, charged=ZERO), after)], now)
        return replace(after, id=id)

    async def verify(self, verification: str, channel: Channel, driver: str, now: datetime) -> int:
        """See `Ledger`."""

        def change(found: Sequence[Attempt]) -> list[Attempt]:
            by = [each for each in found if (each.channel, each.driver) == (channel.value, driver)]
            by = [each for each in by if each.outcome not in (AttemptOutcome.UNSENT, AttemptOutcome.REFUSED)]
            first = min((each.sent_at or each.started_at for each in by or found), default=now)
            last = by[-1].id if by else None
            return [
                rules.verify(each, first, now) if each.id == last else rules.end(each, now, expired=False)
                for each in found
            ]

        return self._runner.run(lambda tx: self._change_all(tx, verification, change, now))

    async def end(self, verification: str, now: datetime, *, expired: bool = True) -> int:
        """See `Ledger`."""

        def change(found: Sequence[Attempt]) -> list[Attempt]:
            return [rules.end(each, now, expired=expired) for each in found]

        return self._runner.run(lambda tx: self._change_all(tx, verification, change, now))

    async def release(self, verification: str, send: int, now: datetime) -> Sequence[Attempt]:
        """See `Ledger`."""
        released: list[Attempt] = []

        def change(found: Sequence[Attempt]) -> list[Attempt]:
            released[:] = [rules.release(each, now) if each.send == send else each for each in found]
            return released

        self._runner.run(lambda tx: self._change_all(tx, verification, change, now))
        return released

    async def look_ups(self, limit: int, now: datetime) -> Sequence[Attempt]:
        """See `Ledger`."""

        def step(tx: Transaction) -> Sequence[Attempt]:
            rows = tx.rows(tx.statements.look_ups, {"now": micros(now), "limit": limit})
            found = [attempt_of(row) for row in rows]
            for each in found:
                at = rules.look_up_after(each, now)
                tx.change(tx.statements.look_up, {"id": each.id, "look_up_at": None if at is None else micros(at)})
            return found

        return self._runner.run(step)

    def _change_all(
        self,
        tx: Transaction,
        verification: str,
        change: Callable[[Sequence[Attempt]], list[Attempt]],
        now: datetime,
    ) -> int:
        rows = tx.rows(tx.statements.held_of_verification, {"verification": verification})
        found = [attempt_of(row) for row in rows]
        return self._write(tx, zip(found, change(found), strict=True), now)

    async def report(self, driver: str, report: DeliveryReport, charge: Charge, now: datetime) -> Attempt | None:
        """See `Ledger`."""

        def step(tx: Transaction) -> Attempt | None:
            rows = tx.rows(tx.statements.by_reference, {"reference": report.reference, "driver": driver})
            if not rows:
                return None
            before = attempt_of(rows[0])
            after = rules.report(before, report, charge(before.account_currency), now)
            self._write(tx, [(before, after)], now)
            return after

        return self._runner.run(step) if report.reference else None

    async def tell(self, change: Change, now: datetime) -> None:
        """See `Ledger`."""
        tells = self._tells
        if tells is not None:
            self._runner.run(lambda tx: tells(tx, change, now))

    async def unsettled(self, before: datetime, limit: int) -> Sequence[Attempt]:
        """See `Ledger`."""
        values = {"before": micros(before), "limit": limit}
        return self._runner.run(lambda tx: [attempt_of(row) for row in tx.rows(tx.statements.unsettled, values)])

    async def attempts(self, verification: str) -> Sequence[Attempt]:
        """See `Ledger`."""
        values = {"verification": verification}
        return self._runner.run(lambda tx: [attempt_of(row) for row in tx.rows(tx.statements.of_verification, values)])

    async def pay(self, payment: Payment, terms: Terms, now: datetime) -> Account | None:
        """See `Ledger`."""
        if payment.key.strip() == TRIAL_KEY:
            raise ValueError("a payment needs a key")

        def step(tx: Transaction) -> Account | None:
            service = {"service": payment.service}
            row = payment_row(payment, now)
            if not tx.change(tx.statements.insert_payment, row):
                key = {**service, "payment_key": payment.key}
                for units_before, currency in tx.rows(tx.statements.payment_by_key, key):
                    if (units_before, currency) != (row["amount"], row["currency"]):
                        raise OtherPaymentError(payment, amount_of(units_before), currency)
                return None
            amount = {**service, "amount": units(payment.amount)}
            if not tx.change(tx.statements.pay, amount):
                create_account(tx, payment.service, terms, now)
                tx.change(tx.statements.pay, amount)
            if payment.amount > 0:
                tx.change(tx.statements.rebase, service)
            account = account_of(tx.rows(tx.statements.account, service)[0])
            if account.currency != payment.currency:
                raise ValueError(f"the account of {payment.service} is in {account.currency}")
            return account

        return self._runner.run(step)

    async def account(self, service: str) -> Account | None:
        """See `Ledger`."""
        rows = self._runner.run(lambda tx: tx.rows(tx.statements.account, {"service": service}))
        return account_of(rows[0]) if rows else None

    async def payments(self, service: str, limit: int = 100) -> Sequence[tuple[datetime, Payment]]:
        """See `Ledger`."""
        values = {"service": service, "limit": limit}
        rows = self._runner.run(lambda tx: tx.rows(tx.statements.payments, values))
        return [
            (time_of(at), Payment(service, amount_of(amount), currency, key, kind, note, by))
            for service, amount, currency, key, kind, note, by, at in rows
        ]

    async def usage(self, names: Sequence[str]) -> Sequence[Usage]:
        """See `Ledger`."""
        return self._runner.run(lambda tx: usage(tx, names)) if names else []

    async def erase(self, tag: str) -> int:
        """See `Ledger`."""

        def step(tx: Transaction) -> int:
            ids = [row[0] for row in tx.rows(tx.statements.of_phone, {"tag": tag, "limit": _PURGE_BATCH})]
            self._blank(tx, ids)
            return len(ids)

        erased = 0
        while count := self._runner.run(step) if tag else 0:
            erased += count
        forgets = self._forgets
        if tag and forgets is not None:
            self._runner.run(lambda tx: forgets(tx, tag))
        return erased

    async def purge(self, before: datetime, limit: int) -> int:
        """See `Ledger`."""

        def step(tx: Transaction) -> int:
            size = min(limit - purged, _PURGE_BATCH)
            found = tx.rows(tx.statements.old, {"before": micros(before), "limit": size})
            kept = [id for id, dirty, closed_at in found if dirty or closed_at is None]
            self._blank(tx, kept)
            deleted = [tx.change(tx.statements.delete, {"id": id}) for id, *_ in found if id not in kept]
            return sum(deleted) + len(kept)

        purged = 0
        while purged < limit and (count := self._runner.run(step)):
            purged += count
        self._runner.run(lambda tx: tx.change(tx.statements.delete_counters, {"before": micros(before)}))
        return purged

    def _blank(self, tx: Transaction, ids: Iterable[int]) -> None:
        for id in ids:
            other = urlsafe_b64encode(self._random_bytes(_RANDOM_BYTES)).decode()
            tx.change(tx.statements.blank, {"id": id, "verification": other})

    def _write(self, tx: Transaction, changes: Iterable[tuple[Attempt, Attempt]], now: datetime) -> int:
        changed = [(before, after) for before, after in changes if before != after]
        for _, after in changed:
            tx.change(tx.statements.update, _changes(after))
        self._moved(tx, changed, now)
        return len(changed)

    def _moved(self, tx: Transaction, changes: Sequence[tuple[Attempt, Attempt]], now: datetime) -> None:
        """Move the money of changed attempts on counters and accounts."""
        spent: dict[str, tuple[int, Decimal, datetime]] = {}
        moves: dict[str, tuple[Decimal, Decimal]] = {}
        for before, after in changes:
            reserved, charged = after.reserved - before.reserved, after.charged - before.charged
            if total := reserved + charged:
                for name in names_of(after):
                    earlier = spent.get(name, (0, ZERO, after.started_at))[1]
                    spent[name] = 0, earlier + total, _end_of(name, after.started_at)
            if after.counted & ACCOUNT_BIT and (reserved or charged):
                more, paid = moves.get(after.service, (ZERO, ZERO))
                moves[after.service] = more + reserved, paid + charged
        if spent := {name: change for name, change in spent.items() if change[1]}:
            add(tx, spent)
        for service, (reserved, charged) in sorted(moves.items()):
            values = {"service": service, "reserved": units(reserved), "charged": units(charged)}
            tx.change(tx.statements.move, values)
        if self._tells is not None:
            known = [(before, after) for before, after in changes if after.tag]
            for change in [change for before, after in known for change in changes_of(before, after, now)]:
                self._tells(tx, change, now)


class _Over(Exception):  # noqa: N818 - it undoes a step and is expected
    """A cap or the balance does not allow an attempt. Undoes the step."""

    def __init__(
        self,
        limit: str,
        alarm: Alarm | None,
        name: str,
        *,
        cap: Cap | None = None,
        ends_at: datetime | None = None,
        lowered: Mapping[str, Any] | None = None,
        terms: Terms | None = None,
    ) -> None:
        super().__init__()
        self.limit, self.alarm, self._name, self._terms = limit, alarm, name, terms
        self._cap, self._ends_at, self._lowered = cap, ends_at, lowered

    def note(self, tx: Transaction, now: datetime) -> Sequence[Alarm]:
        """Note that the alarm was raised; return it unless a concurrent step did."""
        if self._ends_at is None:
            if self._terms is not None:
                # The step that was undone may have made the account.
                create_account(tx, self._name, self._terms, now)
            raised = tx.change(tx.statements.alarm_account, {"service": self._name, "level": 100})
        else:
            add(tx, {self._name: (0, ZERO, self._ends_at)})
            if self._lowered is not None:
                tx.change(tx.statements.lower_counter, self._lowered)
            raised = tx.change(tx.statements.alarm_counter, level_values(self._name, 100, self._cap))
        return (self.alarm,) if raised and self.alarm else ()


def _of_send(attempt: Attempt) -> dict[str, Any]:
    return {"verification": attempt.verification, "send": attempt.send}


def _key(attempt: Attempt) -> dict[str, Any]:
    return {**_of_send(attempt), "driver": attempt.driver}


def _end_of(name: str, at: datetime) -> datetime:
    """Return when the window of the counter with this name ends."""
    return window_end(Window(name.split(":")[1]), at)


def _changes(attempt: Attempt) -> dict[str, Any]:
    values = row_of(attempt)
    return {name: values[name] for name in (*CHANGED, "id")}
