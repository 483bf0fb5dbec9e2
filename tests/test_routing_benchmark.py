"""The simulation of routing, with few orders."""

from __future__ import annotations

import pytest

from benchmarks.routing import STRATEGIES, figures, simulate


@pytest.mark.slow
def test_outcome_routing_beats_a_fixed_order_after_a_failure() -> None:
    fixed, by_outcome = (simulate(STRATEGIES[name], orders_per_hour=20) for name in ("fixed order", "by outcome"))
    assert fixed.recovered_after is None
    assert by_outcome.recovered_after is not None
    assert by_outcome.cost_after < fixed.cost_after / 2
    assert by_outcome.verified_after > 3 * fixed.verified_after
    assert by_outcome.cost_before < 1.25 * fixed.cost_before, "the fixed order is nearly the best one until then"


@pytest.mark.slow
def test_simulation_is_repeatable() -> None:
    first, second = list(figures(2)), list(figures(2))
    assert first == second
    assert len(first) == 4 * len(STRATEGIES)
