"""What a report adds up: counts, money and times of attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ..ledger.amounts import amount_of, units
from ..ledger.values import Attempt, AttemptOutcome

#: The upper limits, in seconds, of the classes that times to verify are counted in. Verifications live for minutes.
TIME_LIMITS = (2, 4, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 60, 80, 100, 140, 200, 300, 600)

_OUTCOMES = ("refused", "unclear", "expired", "verified")
#: The numbers that are added up, in the order of the columns.
MEASURES = (
    "attempts", "sent", "delivered", "undelivered", *_OUTCOMES, "unpriced", "cost", "charged", "verify_ms",
    *(f"t{n}" for n in range(len(TIME_LIMITS) + 1)),
)  # fmt: skip
#: Those that need 64 bits; the others count attempts of a quarter of an hour.
LARGE_MEASURES = ("cost", "charged", "verify_ms")
_TIMES_AT = MEASURES.index("t0")
_COST_AT, _CHARGED_AT = MEASURES.index("cost"), MEASURES.index("charged")

#: By what attempts are kept apart, besides the quarter of an hour in which they began.
DIMENSIONS = (
    "service", "access_key", "channel", "driver", "region", "purpose", "refusal", "currency", "account_currency",
)  # fmt: skip
#: The values that never change, by which a report can be filtered.
FILTERS = DIMENSIONS[:6]


def dimensions_of(attempt: Attempt) -> tuple[str, ...]:
    """Return the attempt's values of `DIMENSIONS`."""
    return tuple(str(getattr(attempt, name)) for name in DIMENSIONS)


def measures_of(attempt: Attempt) -> tuple[int, ...]:
    """Return what an attempt adds to each of `MEASURES`; money in millionths.

    An attempt is delivered if the provider reports so, or if its code came back.
    """
    outcome = attempt.outcome
    sent = outcome not in (AttemptOutcome.UNSENT, AttemptOutcome.UNCLEAR, AttemptOutcome.REFUSED)
    verified = outcome is AttemptOutcome.VERIFIED
    delivered = verified or AttemptOutcome.DELIVERED in (outcome, attempt.delivery)
    undelivered = not delivered and AttemptOutcome.UNDELIVERED in (outcome, attempt.delivery)
    values = [1, sent, delivered, undelivered, *(outcome.value == name for name in _OUTCOMES)]
    values += [sent and attempt.list_price is None]
    values += [0 if attempt.cost is None else units(attempt.cost), units(attempt.charged)]
    times = [0] * (len(TIME_LIMITS) + 1)
    waited = attempt.verify_ms if verified and attempt.verify_ms is not None else None
    if waited is not None:
        times[time_class(waited)] = 1
    return tuple(int(value) for value in (*values, waited or 0, *times))


def time_class(milliseconds: int) -> int:
    """Return the number of the class that a time to verify belongs to."""
    return next((n for n, limit in enumerate(TIME_LIMITS) if milliseconds <= limit * 1000), len(TIME_LIMITS))


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over attempts. `cost` is what providers ask for and `charged` what services pay, by currency.

    `counts` are the sums of `MEASURES`, of which those of money are used by currency only.
    """

    counts: tuple[int, ...] = (0,) * len(MEASURES)
    cost: Mapping[str, Decimal] = field(default_factory=dict)
    charged: Mapping[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of_row(cls, counts: Sequence[int], currency: str, account_currency: str) -> Figures:
        """Return the figures of sums in one currency and one account's currency."""
        cost, charged = amount_of(counts[_COST_AT]), amount_of(counts[_CHARGED_AT])
        return cls(tuple(counts), {currency: cost} if cost else {}, {account_currency: charged} if charged else {})

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            _together(self.cost, other.cost),
            _together(self.charged, other.charged),
        )

    def count(self, name: str) -> int:
        """Return a sum by the name of its measure."""
        return self.counts[MEASURES.index(name)]

    @property
    def conversion(self) -> float | None:
        """The share of sent attempts by which a user was verified."""
        sent = self.count("sent")
        return self.count("verified") / sent if sent else None

    @property
    def cost_per_verified(self) -> dict[str, Decimal]:
        """The cost of one verified user, by currency; empty without any."""
        verified = self.count("verified")
        return {currency: amount / verified for currency, amount in self.cost.items()} if verified else {}

    def seconds_to_verify(self, share: float) -> float | None:
        """Return the time within which this share of users was verified, from the first send, in seconds.

        It is accurate to its class of `TIME_LIMITS`, in which times are taken as evenly spread.
        """
        times = self.counts[_TIMES_AT:]
        wanted, before, lower = sum(times) * share, 0, 0
        for number, limit in zip(times, (*TIME_LIMITS, 900), strict=True):
            if number and before + number >= wanted:
                return lower + (limit - lower) * (wanted - before) / number
            before, lower = before + number, limit
        return None


def total(all_figures: Sequence[Figures]) -> Figures:
    """Return the sum of figures."""
    return sum(all_figures, Figures())


def _together(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {currency: one.get(currency, Decimal(0)) + other.get(currency, Decimal(0)) for currency in {**one, **other}}
