"""The ledger of one service, as the verifier uses it.

Before an order is sent, a ledger that does not answer stops it only if it could pass a cap or a balance
that is enforced. After it was sent, nothing that happens here can fail the verification: errors are logged
and reported, and `sweeping.sweep` writes what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from ..errors import ProviderError, StoreError
from ..lines import served_by
from ..model import Channel, DeliveryReport, Reason, Receipt, Status, Verification
from ..phone import PhoneNumber
from ..segments import segments
from ..tokens.sealed import seal, unseal
from . import values
from .amounts import is_amount, is_currency
from .base import Ledger
from .caps import Cap
from .changes import end_of, end_of_record, is_verified
from .prices import Prices
from .values import (
    BY_TABLE,
    DEFAULT_SERVICE,
    NOTICE,
    ZERO,
    Alarm,
    Attempt,
    AttemptOutcome,
    AttemptResult,
    ChargedFor,
    Suspended,
    Terms,
)

log = logging.getLogger("phone_verify")

R = TypeVar("R", Receipt, DeliveryReport)

#: A process reports an alarm that it raised within this time, unless it died; and most alarms of one repetition.
_ALARM_TOLD_WITHIN, _MOST_ALARMS = timedelta(minutes=1), 100
_MOST_PARTS = 255  # 3GPP TS 23.040, 9.2.3.24.1


def _nothing(*_: object) -> None:
    """Report to no listener."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ServiceLedger:
    """A ledger with the caps, the terms and the prices of one service.

    `digest` returns the keyed digest of a provider's reference. `on_alarm` receives each alarm, and
    `on_failure` the step that a database did not do and the driver, or an empty text.
    """

    ledger: Ledger
    digest: Callable[[str], str]
    service: str = DEFAULT_SERVICE
    caps: Sequence[Cap] = ()
    terms: Terms | None = None
    prices: Prices = field(default_factory=Prices)
    on_alarm: Callable[[Alarm], object] = _nothing
    on_failure: Callable[[str, str], object] = _nothing
    now: Callable[[], datetime] = _utc_now
    #: Encrypts the provider's own references, which look-ups need; without it nothing is looked up.
    reference_key: bytes | None = field(default=None, repr=False)

    @property
    def currency(self) -> str:
        """The currency of the service's caps and account."""
        return self.terms.currency if self.terms else self.prices.currency

    @property
    def enforced(self) -> bool:
        """Whether an order may be refused because of a cap or the balance."""
        return any(cap.enforced for cap in self.caps) or (self.terms is not None and self.terms.enforced)

    async def begin(
        self,
        record: Verification,
        channel: Channel,
        driver: str,
        *,
        text: str | None = None,
        access_key: str = "",
        free: bool = False,
        waits: bool = False,
        waited: bool = False,
    ) -> Attempt | Reason:
        """Write that a driver is about to be asked; return the attempt, or why the order must not be sent.

        `text` is that of an SMS, which is paid by the segment; `free` is an order that reaches no provider, and
        `waits` one that waits for a worker, which calls this again with `waited` before it asks a driver.
        """
        attempt = self._priced(
            Attempt(
                verification=record.id,
                send=record.sends,
                driver=driver,
                service=self.service,
                purpose=record.purpose,
                channel=channel.value,
                started_at=self.now(),
                access_key=access_key,
                tag=record.tag,
                outcome=AttemptOutcome.UNSENT if waits else AttemptOutcome.UNCLEAR,
            ),
            record.phone,
            text,
            free=free,
        )
        return await self._begun(attempt, waited=waited)

    async def begin_notice(self, id: str, tag: str, phone: PhoneNumber, driver: str, text: str) -> Attempt | Reason:
        """As `begin`, for a text without a code. It has an id like a verification, and `tag` is the phone's."""
        attempt = Attempt(
            verification=id,
            send=1,
            driver=driver,
            service=self.service,
            purpose=NOTICE,
            channel=Channel.SMS.value,
            started_at=self.now(),
            tag=tag,
        )
        # Nothing tells whether it arrives.
        return await self._begun(replace(self._priced(attempt, phone, text), charged_for=ChargedFor.SENT))

    async def _begun(self, attempt: Attempt, *, waited: bool = False) -> Attempt | Reason:
        driver, channel = attempt.driver, Channel(attempt.channel).label
        if attempt.price is None and self._needs_price:
            log.error("%s was not asked: no price of %s by it is known, and a cap of money is set", driver, channel)
            return Reason.SERVICE_SUSPENDED
        try:
            held = await self.ledger.begin(attempt, self.caps, self.terms, attempt.started_at, waited=waited)
        except StoreError as error:
            self._failed("begin", driver, error)
            return Reason.UNAVAILABLE if self.enforced else attempt
        for alarm in held.alarms:
            await self.tell(alarm)
        if isinstance(held, Suspended):
            return self._refused(held, channel)
        return held.attempt

    def _refused(self, suspended: Suspended, channel: str) -> Reason:
        match suspended.limit:
            case values.RELEASED:
                return Reason.CLOSED
            case values.CURRENCY:
                log.error(
                    "an order by %s was not sent: the account of %s is in another currency than its terms; write "
                    "them in that currency, or use another service",
                    channel,
                    self.service,
                )
            case limit:
                log.warning("an order by %s was not sent: %s is used up (%s)", channel, self.service, limit)
        return Reason.SERVICE_SUSPENDED

    async def notice_ended(self, attempt: Attempt) -> None:
        """Close the attempt of a notice after its result was written: no verification is to follow."""
        try:
            await self.ledger.end(attempt.verification, self.now(), expired=False)
        except StoreError as error:
            self._failed("end", attempt.driver, error)

    async def tell(self, alarm: Alarm) -> None:
        """Report an alarm, and note that. It is reported again if the process dies in between."""
        log.warning("%s", alarm)
        self.on_alarm(alarm)
        try:
            await self.ledger.told(alarm)
        except StoreError as error:
            self._failed("told", alarm.driver, error)

    async def repeat_alarms(self) -> int:
        """Report the alarms of all services whose process died before it did; return how many. Raises `StoreError`."""
        left = await self.ledger.alarms(self.now() - _ALARM_TOLD_WITHIN, _MOST_ALARMS)
        for alarm in left:
            await self.tell(alarm)
        return len(left)

    async def sent(self, attempt: Attempt, receipt: Receipt, seconds: float, *, polled: bool = False) -> None:
        """Write that the provider accepted the order; `polled` is whether its delivery can be looked up."""
        await self._finish(attempt, AttemptOutcome.SENT, seconds, receipt, polled=polled)

    async def refused(self, attempt: Attempt, error: ProviderError, seconds: float) -> None:
        """Write that the provider refused the order."""
        await self._finish(attempt, AttemptOutcome.REFUSED, seconds, refusal=error.trouble.value)

    async def unclear(self, attempt: Attempt, reference: str | None, seconds: float, *, polled: bool = False) -> None:
        """Write that it is unknown whether the provider accepted the order; `polled` is as in `sent`."""
        await self._finish(attempt, AttemptOutcome.UNCLEAR, seconds, Receipt(reference=reference), polled=polled)

    async def verified(self, record: Verification) -> None:
        """Write that a verification succeeded."""
        channel, driver = served_by(record)
        try:
            await self.ledger.verify(record.id, channel, driver, self.now())
        except StoreError as error:
            self._failed("verify", driver, error)

    async def failed(self, record: Verification) -> None:
        """Write that no provider accepted an order. An attempt without a clear result stays open: it may have sent."""
        await self._told_end(record, Status.FAILED)

    async def unsent(self, id: str, send: int, record: Verification | None = None) -> None:
        """Write that an order of this verification will not be sent, and tell its end if it has ended unverified.

        Without a `record` the store has none any more.
        """
        now = self.now()
        try:
            attempts = await self.ledger.release(id, send, now)
            if record is not None and record.status is not Status.VERIFIED and not record.open:
                await self.ledger.tell(end_of_record(record, record.state, now), now)
            elif record is None and attempts and not any(map(is_verified, attempts)):
                await self.ledger.tell(end_of(attempts[-1], Status.EXPIRED, now), now)
        except StoreError as error:
            self._failed("unsent", "", error)

    async def cancelled(self, record: Verification) -> None:
        """Write that a verification was cancelled, and settle its attempts."""
        await self._told_end(record, Status.CANCELLED)
        try:
            await self.ledger.end(record.id, self.now())
        except StoreError as error:
            self._failed("end", "", error)

    async def _told_end(self, record: Verification, status: Status) -> None:
        now = self.now()
        try:
            await self.ledger.tell(end_of_record(record, status, now), now)
        except StoreError as error:
            self._failed("tell", "", error)

    async def look_ups(self, limit: int, now: datetime) -> Sequence[tuple[Attempt, str]]:
        """Return at most `limit` attempts whose delivery is to be looked up now, with the provider's references.

        Of each service. Each is returned a few times, until its delivery is known. Raises `StoreError`.
        """
        if self.reference_key is None:
            return ()
        found = await self.ledger.look_ups(limit, now)
        opened = [(each, unseal(each.sealed or "", _order_of(each), self.reference_key)) for each in found]
        return [(each, reference) for each, reference in opened if reference is not None]

    async def report(self, driver: str, report: DeliveryReport) -> None:
        """Write a provider's delivery report, of whichever service the order was."""
        if not report.reference:
            return
        now, own = self.now(), replace(_plausible(report), reference=self.digest(report.reference))

        def charge(currency: str) -> Decimal | None:
            return self._converted(own.price, own.currency, currency, now)

        try:
            await self.ledger.report(driver, own, charge, now)
        except StoreError as error:
            self._failed("report", driver, error)

    @property
    def _needs_price(self) -> bool:
        return any(cap.enforced and cap.money is not None for cap in self.caps) or (
            self.terms is not None and self.terms.enforced
        )

    def _priced(self, attempt: Attempt, phone: PhoneNumber, text: str | None, *, free: bool = False) -> Attempt:
        """Return the attempt with what depends on its phone, and with the price of the table."""
        channel, now = Channel(attempt.channel), attempt.started_at
        parts = segments(text).count if channel is Channel.SMS and text else None
        found = None if free else self.prices.find(channel, attempt.driver, phone, now.date())
        list_price = ZERO if free else found.amount * (parts or 1) if found else None
        currency = found.currency if found else ""
        return replace(
            attempt,
            region=phone.region or "",
            hint=phone.hint,
            parts=parts,
            list_price=list_price,
            price=ZERO if free else self._converted(list_price, currency, self.currency, now),
            currency=currency,
            cost_source=BY_TABLE if found else "",
            account_currency=self.currency,
            charged_for=found.charged_for if found else ChargedFor.SENT,
        )

    async def _finish(
        self,
        attempt: Attempt,
        outcome: AttemptOutcome,
        seconds: float,
        receipt: Receipt | None = None,
        refusal: str = "",
        *,
        polled: bool = False,
    ) -> None:
        now, receipt = self.now(), _plausible(receipt or Receipt())
        charge = self._converted(receipt.price, receipt.currency, attempt.account_currency, now)
        sealed = None
        if receipt.reference:
            if polled and self.reference_key is not None:
                sealed = seal(receipt.reference, _order_of(attempt), self.reference_key)
            receipt = replace(receipt, reference=self.digest(receipt.reference))
        result = AttemptResult(outcome, timedelta(seconds=seconds), receipt, refusal, charge, sealed)
        try:
            await self.ledger.finish(attempt, result, now)
        except StoreError as error:
            self._failed("finish", attempt.driver, error)

    def _converted(self, amount: Decimal | None, given: str | None, wanted: str, now: datetime) -> Decimal | None:
        if amount is None or not given:
            return None
        converted = self.prices.convert(amount, given, wanted, now.date())
        return converted if converted is not None and is_amount(converted) else None

    def _failed(self, step: str, driver: str, error: StoreError) -> None:
        log.error("the ledger could not do the step %r: %s", step, error)
        self.on_failure(step, driver)


def _order_of(attempt: Attempt) -> str:
    return f"{attempt.verification}.{attempt.send}.{attempt.driver}"


def _plausible(given: R) -> R:
    """Return what a provider reports without values that no column can hold: the order was sent all the same."""
    if given.price is not None and not is_amount(given.price):
        given = replace(given, price=None)
    if given.currency is not None and not is_currency(given.currency):
        given = replace(given, currency=None)
    if given.parts is not None and not 0 < given.parts <= _MOST_PARTS:
        given = replace(given, parts=None)
    return given
