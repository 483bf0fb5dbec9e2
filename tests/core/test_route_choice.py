"""The drawn order of drivers: shares, trials, conversions, and what a resend and the breaker make of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phone_verify.conversions import Conversion
from phone_verify.routing.choice import EXPLORATION, Drawn, Why, below_quality, drawn, shares
from phone_verify.routing.rules import Rule

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = ["a", "b", "c"]
#: Draws of one test of a share: the standard deviation is at most 0.8 %.
MANY = 4_000


def conversions(**counts: tuple[float, float]) -> Mapping[str, Conversion]:
    return {name: Conversion(*counts.get(name, (0.0, 0.0)), NOW) for name in NAMES}


def prices(**each: str) -> dict[str, Any]:
    return {"prices": {name: Decimal(price) for name, price in each.items()}, "currency": "EUR"}


def counted(rule: Rule, known: Mapping[str, Conversion] | None = None) -> tuple[Counter[str], Counter[Why]]:
    draw = random.Random(7).random
    orders = [drawn(rule, NAMES, known, draw) for _ in range(MANY)]
    assert all(sorted(order.names) == NAMES for order in orders), "failover reaches every driver"
    return Counter(order.names[0] for order in orders), Counter(order.why for order in orders)


def test_order_of_the_rule_needs_no_draw() -> None:
    def no_draw() -> float:
        raise AssertionError("drawn")

    assert drawn(Rule(1), NAMES, None, no_draw) == Drawn(NAMES, Why.ORDER)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.1, 100), min_size=3, max_size=3), st.integers(0, 2**32))
def test_shares_follow_the_weights(weights: list[float], seed: int) -> None:
    rule, draw = Rule(1, weights=dict(zip(NAMES, weights, strict=True))), random.Random(seed).random
    firsts = Counter(drawn(rule, NAMES, None, draw).names[0] for _ in range(MANY))
    for name, weight in rule.weights.items():
        assert firsts[name] / MANY == pytest.approx(weight / sum(weights), abs=0.04)


def test_driver_without_weight_is_for_failover() -> None:
    firsts, why = counted(Rule(1, weights={"a": 1, "b": 3}))
    assert firsts["c"] == 0
    assert firsts["b"] / MANY == pytest.approx(0.75, abs=0.02)
    assert set(why) == {Why.WEIGHT}
    assert {drawn(Rule(1, weights={"a": 1, "b": 3}), NAMES, None, random.random).names[2] for _ in range(50)} == {"c"}


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 60), st.floats(0.5, 39), st.integers(0, 2**32))
def test_trial_gets_its_percentage(one: float, other: float, seed: int) -> None:
    rule, draw = Rule(1, trial={"c": one, "b": other}), random.Random(seed).random
    orders = [drawn(rule, NAMES, None, draw) for _ in range(MANY)]
    firsts = Counter(order.names[0] for order in orders)
    assert firsts["c"] / MANY == pytest.approx(one / 100, abs=0.04)
    assert firsts["b"] / MANY == pytest.approx(other / 100, abs=0.04)
    assert {order.why for order in orders if order.names[0] == "a"} <= {Why.ORDER}
    assert {order.why for order in orders if order.names[0] != "a"} <= {Why.TRIAL}
    assert {tuple(order.names) for order in orders if order.names[0] == "a"} <= {("a", "b", "c")}


def test_lowest_cost_per_verified_user_takes_most() -> None:
    rule = Rule(1, by_outcome=True, **prices(a="0.030", b="0.020", c="0.025"))
    firsts, why = counted(rule, conversions(a=(280, 270), b=(280, 160), c=(280, 260)))
    assert firsts.most_common(1)[0][0] == "c", "a costs 0.031, b 0.035, c 0.027 per verified user"
    assert firsts["c"] / MANY > 0.9
    assert why[Why.EXPLORATION] / MANY == pytest.approx(3 * EXPLORATION, abs=0.015)


def test_without_prices_the_conversion_rate_decides() -> None:
    firsts, _ = counted(Rule(1, by_outcome=True), conversions(a=(280, 200), b=(280, 150), c=(280, 270)))
    assert firsts["c"] / MANY > 0.9


def test_unknown_driver_is_tried_until_more_is_known() -> None:
    rule = Rule(1, by_outcome=True)
    firsts, _ = counted(rule, conversions(a=(280, 250), b=(280, 240)))
    assert firsts["c"] / MANY > 0.08
    firsts, _ = counted(rule, conversions(a=(280, 250), b=(280, 240), c=(280, 180)))
    assert firsts["c"] / MANY == pytest.approx(EXPLORATION, abs=0.015)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 300), st.floats(0, 1)), min_size=3, max_size=3),
    st.lists(st.decimals("0.001", "10", places=3), min_size=3, max_size=3),
    st.integers(0, 2**32),
)
def test_every_driver_keeps_its_exploration(counts: list[tuple[float, float]], each: list[Decimal], seed: int) -> None:
    known = {name: Conversion(sent, sent * rate, NOW) for name, (sent, rate) in zip(NAMES, counts, strict=True)}
    rule = Rule(1, by_outcome=True, prices=dict(zip(NAMES, each, strict=True)), currency="EUR")
    draw = random.Random(seed).random
    firsts = Counter(drawn(rule, NAMES, known, draw).names[0] for _ in range(MANY))
    assert min(firsts[name] for name in NAMES) / MANY > EXPLORATION - 0.012


def test_cheap_driver_of_low_quality_gets_explorations_only() -> None:
    rule, known = Rule(1, by_outcome=True, **prices(a="0.03", b="0.03", c="0.001")), {"a": (280, 250), "b": (280, 240)}
    firsts, _ = counted(rule, conversions(**known, c=(280, 110)))
    assert firsts["c"] / MANY == pytest.approx(EXPLORATION, abs=0.015)
    firsts, _ = counted(rule, conversions(**known, c=(20, 0)))
    assert firsts["c"] / MANY > 0.3, "too few orders to know"
    assert list(below_quality(NAMES, conversions(**known, c=(280, 110)))) == ["c"]
    assert not below_quality(NAMES, conversions(**known, c=(280, 150)))


def test_price_of_zero_is_the_lowest_cost() -> None:
    rule = Rule(1, by_outcome=True, **prices(a="0", b="0.01", c="0"))
    firsts, _ = counted(rule, conversions(a=(280, 200), b=(280, 270), c=(280, 260)))
    assert firsts["c"] / MANY > 0.9


def test_more_may_be_verified_than_sent() -> None:
    firsts, _ = counted(Rule(1, by_outcome=True), conversions(a=(0.5, 3.0), b=(280, 30), c=(280, 30)))
    assert firsts["a"] / MANY > 0.9


def test_unknown_conversions_leave_the_order_of_the_rule() -> None:
    firsts, why = counted(Rule(1, by_outcome=True, trial={"c": 10}), None)
    assert set(why) == {Why.ORDER, Why.TRIAL}
    assert firsts["b"] == 0


def test_only_driver_is_not_explored() -> None:
    known = {"a": Conversion(0, 0, NOW)}
    whys = {drawn(Rule(1, by_outcome=True), ["a"], known, random.Random(1).random).why for _ in range(200)}
    assert whys == {Why.OUTCOME}


def test_shares_are_those_of_the_draws() -> None:
    rule = Rule(1, weights={"a": 1, "b": 3}, trial={"c": 10})
    found = shares(rule, NAMES, None)
    assert found == {name: pytest.approx(share) for name, share in (("a", 0.225), ("b", 0.675), ("c", 0.1))}
    assert shares(Rule(1), NAMES, None) == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert shares(Rule(1, trial={"a": 10, "b": 20}), ["a", "b"], None) == {"a": pytest.approx(0.8), "b": 0.2}
    by_outcome, known = Rule(1, by_outcome=True), conversions(a=(280, 270), b=(280, 180), c=(280, 100))
    assert shares(by_outcome, NAMES, known) == shares(by_outcome, NAMES, known)
    firsts, _ = counted(by_outcome, known)
    assert {name: pytest.approx(firsts[name] / MANY, abs=0.02) for name in NAMES} == shares(by_outcome, NAMES, known)
