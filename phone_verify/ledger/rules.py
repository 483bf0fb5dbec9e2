"""How an attempt changes: pure functions from one row to the next.

An outcome only rises in rank, so a late or repeated report has no effect. Money follows the outcome:
while an attempt is open, what it may cost is reserved; once what the provider charges for has happened,
it is charged; and what did not happen by the end is released.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from ..model import DeliveryReport, DeliveryState
from .amounts import SMALLEST
from .values import BY_PROVIDER, BY_TABLE, ZERO, Attempt, AttemptOutcome, AttemptResult, ChargedFor

RANK = {outcome: rank for rank, outcome in enumerate(AttemptOutcome)}

#: How long an attempt can be open: no verification lives longer, and the slack covers clocks.
LONGEST_OPEN = timedelta(minutes=15)

#: How long after an order its delivery is looked up; the last time just before the attempt may be closed.
LOOK_UP_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 3, 8, 14))

#: The outcomes of attempts that may be asked of a provider, or were without a clear response.
_UNANSWERED = (AttemptOutcome.UNSENT, AttemptOutcome.UNCLEAR)
_HAPPENED = {
    ChargedFor.SENT: (AttemptOutcome.SENT, AttemptOutcome.UNDELIVERED, AttemptOutcome.DELIVERED,
                      AttemptOutcome.EXPIRED, AttemptOutcome.VERIFIED),
    ChargedFor.DELIVERED: (AttemptOutcome.DELIVERED, AttemptOutcome.VERIFIED),
    ChargedFor.VERIFIED: (AttemptOutcome.VERIFIED,),
}  # fmt: skip


def finish(attempt: Attempt, result: AttemptResult, now: datetime) -> Attempt:
    """Return the attempt after the provider's response."""
    receipt = result.receipt
    changed = replace(
        attempt,
        provider_ms=attempt.provider_ms if result.provider_time is None else _milliseconds(result.provider_time),
        parts=receipt.parts if receipt.parts is not None else attempt.parts,
        reference=(receipt.reference or attempt.reference) if attempt.tag else None,
    )
    if result.sealed and attempt.tag:
        changed = replace(changed, sealed=result.sealed, look_up_at=look_up_after(attempt, now))
    if result.outcome is AttemptOutcome.SENT:
        changed = replace(changed, sent_at=attempt.sent_at or now)
    if result.outcome is AttemptOutcome.REFUSED and attempt.outcome in _UNANSWERED:
        changed = replace(changed, refusal=result.refusal, closed_at=now)
    changed = _priced(_by_segments(changed, attempt.parts), receipt.price, receipt.currency, result.charge)
    return settled(_raised(changed, result.outcome))


def report(attempt: Attempt, delivery: DeliveryReport, charge: Decimal | None, now: datetime) -> Attempt:
    """Return the attempt after a delivery report; `charge` is its price in the service's currency."""
    changed = replace(attempt, parts=delivery.parts if delivery.parts is not None else attempt.parts)
    changed = _priced(_by_segments(changed, attempt.parts), delivery.price, delivery.currency, charge)
    if delivery.state is DeliveryState.OPEN or attempt.outcome is AttemptOutcome.REFUSED:
        return settled(changed)
    outcome = AttemptOutcome(delivery.state.value)
    if changed.delivery != AttemptOutcome.DELIVERED:
        changed = replace(changed, delivery=outcome.value)
    # A provider that reports on it has sent it.
    return settled(_raised(replace(changed, sent_at=changed.sent_at or now), outcome))


def verify(attempt: Attempt, first_sent_at: datetime, now: datetime) -> Attempt:
    """Return the attempt by which the verification has succeeded."""
    changed = replace(
        attempt,
        closed_at=attempt.closed_at or now,
        sent_at=attempt.sent_at or attempt.started_at,
        verify_ms=attempt.verify_ms or max(0, _milliseconds(now - first_sent_at)),
    )
    return settled(_raised(changed, AttemptOutcome.VERIFIED))


def release(attempt: Attempt, now: datetime) -> Attempt:
    """Return the attempt of an order that will not be sent; one of which a provider was asked stays as it is."""
    if not attempt.open or attempt.outcome is not AttemptOutcome.UNSENT:
        return attempt
    return settled(replace(attempt, closed_at=now))


def take_over(reserved: Attempt, asked: Attempt) -> Attempt:
    """Return the attempt by a driver that is asked instead of the one for which an order was reserved.

    It is counted where and when the order was reserved. A price in another currency than that, from settings
    that changed since, is not taken.
    """
    kept = replace(asked, id=reserved.id, started_at=reserved.started_at, counted=reserved.counted)
    if kept.account_currency != reserved.account_currency:
        kept = replace(kept, price=reserved.price, account_currency=reserved.account_currency)
    return settled(kept)


def look_up_after(attempt: Attempt, now: datetime) -> datetime | None:
    """Return when the delivery is looked up next after `now`; None if it was looked up for the last time."""
    return next((at for after in LOOK_UP_AFTER if (at := attempt.started_at + after) > now), None)


def end(attempt: Attempt, now: datetime, *, expired: bool) -> Attempt:
    """Return the attempt after its verification has ended otherwise than by it.

    `expired` is whether the verification ended without success. An attempt whose result was never clear
    stays so, and is charged like one that was sent: the provider may charge for it. One that no provider was
    asked about stays unsent, and costs nothing. An attempt that is charged
    for when delivered stays open, and its price reserved, until its report must have arrived: otherwise a
    client that cancels what it starts would pass every limit of money.
    """
    sent = attempt.outcome is not AttemptOutcome.UNSENT
    awaited = sent and attempt.charged_for is ChargedFor.DELIVERED and not attempt.delivery
    if not attempt.open or (awaited and now - attempt.started_at < LONGEST_OPEN):
        return attempt
    changed = replace(attempt, closed_at=now)
    if expired and attempt.outcome not in _UNANSWERED:
        changed = _raised(changed, AttemptOutcome.EXPIRED)
    return settled(changed)


def _raised(attempt: Attempt, outcome: AttemptOutcome) -> Attempt:
    return replace(attempt, outcome=max(attempt.outcome, outcome, key=RANK.__getitem__))


def _by_segments(attempt: Attempt, expected: int | None) -> Attempt:
    """Return the attempt with the price of as many segments as the provider has sent."""
    if attempt.cost_source != BY_TABLE or not expected or not attempt.parts or attempt.parts == expected:
        return attempt
    prices = [
        None if price is None else (price * attempt.parts / expected).quantize(SMALLEST)
        for price in (attempt.list_price, attempt.price)
    ]
    return replace(attempt, list_price=prices[0], price=prices[1])


def _priced(attempt: Attempt, price: Decimal | None, currency: str | None, charge: Decimal | None) -> Attempt:
    """Replace the price of the table by that of the provider.

    A price without a currency replaces none that has one: rials would be charged as euros.
    """
    if price is None or (not currency and attempt.currency):
        return attempt
    own = charge if charge is not None else attempt.price
    return replace(attempt, list_price=price, price=own, currency=currency or "", cost_source=BY_PROVIDER)


def settled(attempt: Attempt) -> Attempt:
    """Return the attempt with the money that belongs to its state: reserved, charged, or neither.

    Once it is closed, or its delivery known, nothing is looked up, and the provider's reference is not kept.
    """
    happened = (
        attempt.outcome in _HAPPENED[attempt.charged_for]
        or (attempt.charged_for is ChargedFor.DELIVERED and attempt.delivery == AttemptOutcome.DELIVERED)
        or (attempt.charged_for is ChargedFor.SENT and attempt.outcome is AttemptOutcome.UNCLEAR and not attempt.open)
    )
    price = attempt.price or ZERO
    if attempt.sealed and (not attempt.open or attempt.delivery):
        attempt = replace(attempt, sealed=None, look_up_at=None)
    if happened:
        return replace(attempt, charged=price, reserved=ZERO, cost=attempt.list_price)
    if attempt.open:
        return replace(attempt, charged=ZERO, reserved=price, cost=None)
    return replace(attempt, charged=ZERO, reserved=ZERO, cost=None if attempt.list_price is None else ZERO)


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
