"""Draws the order of the drivers for one order.

Outcome routing is Thompson sampling: for each driver a conversion rate is drawn from what is known
of it, and the driver with the lowest cost per verified user at that rate comes first. A driver of
which little is known draws widely, and so gets orders until more is known.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..conversions import Conversion
from .rules import Rule

#: The share of orders that each driver gets under outcome routing, whatever its conversions are.
EXPLORATION = 0.02
#: The largest share of all explorations together.
_MOST_EXPLORATION = 0.5
#: A driver below this part of the best conversion rate gets explorations only, however cheap it is: its
#: users wait for codes that do not arrive. Both rates need so many weighted orders.
QUALITY_FLOOR = 0.5
ENOUGH_ORDERS = 30.0
#: How often `shares` draws: its result is within one or two percent.
_SAMPLES = 4000

Draw = Callable[[], float]


class Why(StrEnum):
    """Why a driver is the first of an order."""

    ORDER = "order"
    WEIGHT = "weight"
    TRIAL = "trial"
    OUTCOME = "outcome"
    EXPLORATION = "exploration"
    #: The driver that was drawn did not respond recently, or its codes are too short for this order.
    FAILOVER = "failover"
    #: A resend stays with the driver of the order before.
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class Drawn:
    """The names of the drivers of one order in turn, and why the first is first."""

    names: Sequence[str]
    why: Why


class _Numbers(random.Random):
    """The distributions of `random` over a given source."""

    def __init__(self, draw: Draw) -> None:
        super().__init__(0)
        self._draw = draw

    def random(self) -> float:
        """Return the next number from 0 up to 1."""
        return self._draw()


def drawn(rule: Rule, names: Sequence[str], conversions: Mapping[str, Conversion] | None, draw: Draw) -> Drawn:
    """Return the order of these drivers, which the rule uses, for one order.

    `conversions` are None if they are not known: then the order of the rule applies.
    """
    on_trial = [name for name in names if name in rule.trial]
    ranked = [name for name in names if name not in rule.trial]
    first = _on_trial(rule, on_trial, draw) if on_trial else None
    if rule.by_outcome and conversions is not None:
        order, why = _by_outcome(rule, ranked, conversions, draw)
    elif rule.weights:
        order, why = _by_weight(rule, ranked, draw), Why.WEIGHT
    else:
        order, why = ranked, Why.ORDER
    if first is not None:
        return Drawn([first, *order, *(name for name in on_trial if name != first)], Why.TRIAL)
    return Drawn([*order, *on_trial], why if ranked else Why.TRIAL)


def shares(rule: Rule, names: Sequence[str], conversions: Mapping[str, Conversion] | None) -> Mapping[str, float]:
    """Return the part of orders for which each of these drivers comes first; by outcome an estimate."""
    ranked = [name for name in names if name not in rule.trial]
    tried = {name: rule.trial[name] / 100 for name in names if name in rule.trial}
    if not ranked:
        first = dict.fromkeys(names, 0.0) | tried
        first[names[0]] += 1 - sum(tried.values())
        return first
    if rule.by_outcome and conversions is not None:
        draw = random.Random(1).random  # noqa: S311 - repeatable, and decides nothing
        firsts = [_by_outcome(rule, ranked, conversions, draw)[0][0] for _ in range(_SAMPLES)]
        parts = {name: firsts.count(name) / _SAMPLES for name in ranked}
    elif total := sum(rule.weights.get(name, 0.0) for name in ranked):
        parts = {name: rule.weights.get(name, 0.0) / total for name in ranked}
    else:
        parts = {name: float(name == ranked[0]) for name in ranked}
    return {name: part * (1 - sum(tried.values())) for name, part in parts.items()} | tried


def rate_of(conversion: Conversion) -> float:
    """Return the expected conversion rate: one half if nothing is known."""
    return (1 + conversion.verified) / (2 + conversion.verified + _unverified(conversion))


def below_quality(names: Sequence[str], conversions: Mapping[str, Conversion]) -> Sequence[str]:
    """Return the drivers whose conversion rate is far below that of the best."""
    rates = {name: rate_of(conversions[name]) for name in names if conversions[name].sent >= ENOUGH_ORDERS}
    best = max(rates.values(), default=0.0)
    return [name for name, rate in rates.items() if rate < best * QUALITY_FLOOR]


def _on_trial(rule: Rule, names: Sequence[str], draw: Draw) -> str | None:
    number = draw() * 100
    for name in names:
        number -= rule.trial[name]
        if number < 0:
            return name
    return None


def _by_weight(rule: Rule, names: Sequence[str], draw: Draw) -> list[str]:
    left, order = [name for name in names if name in rule.weights], []
    while left:
        number = draw() * sum(rule.weights[name] for name in left)
        for name in left:
            number -= rule.weights[name]
            if number < 0:
                break
        left.remove(name)
        order.append(name)
    return [*order, *(name for name in names if name not in rule.weights)]


def _by_outcome(
    rule: Rule, names: Sequence[str], conversions: Mapping[str, Conversion], draw: Draw
) -> tuple[list[str], Why]:
    numbers = _Numbers(draw)
    rates = {name: _sample(conversions[name], numbers) for name in names}
    poor = below_quality(names, conversions)

    def cost(name: str) -> tuple[bool, float, float]:
        price = float(rule.prices[name]) if rule.prices else 1.0
        return name in poor, price / rates[name], -rates[name]

    order = sorted(names, key=cost)
    each = min(EXPLORATION, _MOST_EXPLORATION / max(len(names), 1))
    explored = int(draw() / each)
    if explored < len(names) > 1:
        first = names[explored]
        return [first, *(name for name in order if name != first)], Why.EXPLORATION
    return order, Why.OUTCOME


def _unverified(conversion: Conversion) -> float:
    # Slightly more may be verified than sent: an order can be verified long after it was sent.
    return max(conversion.sent - conversion.verified, 0.0)


def _sample(conversion: Conversion, numbers: random.Random) -> float:
    return max(numbers.betavariate(1 + conversion.verified, 1 + _unverified(conversion)), 1e-6)
