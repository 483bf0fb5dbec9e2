"""Conversions of routes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from math import exp

import pytest

from ...conversions import CONVERSIONS_KEPT, DECAY, MEMORY, SHORTEST_MEMORY, Conversion
from ...stores.base import Store
from ..clock import ManualClock
from .case import StoreCase, run

ROUTE, _OTHER = "kavenegar:IR:sms", "Kavenegar:IR:sms"


def counts_of(store: Store, clock: ManualClock, *routes: str) -> Sequence[tuple[float, float]]:
    """Return the counts of these routes; their time must be that of the step."""
    found = run(store.conversions(routes or [ROUTE], clock()))
    assert {each.at for each in found} <= {clock()}
    return [(each.sent, each.verified) for each in found]


class ConversionPromises(StoreCase):
    """Conversions are added up, and lose weight with time and with further changes."""

    def test_unknown_route_has_no_conversions(self, store: Store, clock: ManualClock) -> None:
        assert counts_of(store, clock) == [(0.0, 0.0)]
        assert run(store.conversions([], clock())) == []

    def test_conversions_are_counted_by_route(self, store: Store, clock: ManualClock) -> None:
        for route, sent, verified in ((ROUTE, 1, 0), (_OTHER, 1, 0), (ROUTE, 0, 1), (ROUTE, 2, 0)):
            run(store.add_conversion(route, sent, verified, clock()))
        found = counts_of(store, clock, _OTHER, "none", ROUTE)
        assert found == [(1.0, 0.0), (0.0, 0.0), (3.0, 1.0)], "names differ in case only"

    def test_unused_route_decays_over_a_week(self, store: Store, clock: ManualClock) -> None:
        run(store.add_conversion(ROUTE, 100, 80, clock()))
        clock.move(DECAY.total_seconds())
        assert counts_of(store, clock)[0] == pytest.approx((100 * exp(-1), 80 * exp(-1)), rel=1e-9)
        run(store.add_conversion(ROUTE, 1, 0, clock()))
        left = exp(-1 - 1 / MEMORY)
        assert counts_of(store, clock)[0] == pytest.approx((100 * left + 1, 80 * left), rel=1e-9)

    def test_busy_route_forgets_by_its_changes(self, store: Store, clock: ManualClock) -> None:
        expected = Conversion(0, 0, clock())
        every = 2 * SHORTEST_MEMORY.total_seconds() / MEMORY
        for n in range(40):
            run(store.add_conversion(ROUTE, 1, n % 2, clock()))
            expected = expected.added(1, n % 2, clock())
            clock.move(every if n < 20 else every / 4)
        now = expected.decayed(clock())
        assert counts_of(store, clock)[0] == pytest.approx((now.sent, now.verified), rel=1e-9)
        assert now.sent < 39

    @pytest.mark.parametrize("wrong", [-5, 10**12])
    def test_impossible_counts_are_none(self, store: Store, clock: ManualClock, wrong: int) -> None:
        run(store.add_conversion(ROUTE, wrong, 3, clock()))
        assert counts_of(store, clock)[0][0] == 0.0
        run(store.add_conversion(ROUTE, 1, 0, clock()))
        assert counts_of(store, clock)[0][0] == 1.0

    def test_clock_set_back_takes_no_weight(self, store: Store, clock: ManualClock) -> None:
        run(store.add_conversion(ROUTE, 10, 5, clock()))
        clock.move(-timedelta(days=2).total_seconds())
        run(store.add_conversion(ROUTE, 1, 1, clock()))
        assert counts_of(store, clock) == [(11.0, 6.0)]
        clock.move(timedelta(days=2).total_seconds())
        assert counts_of(store, clock) == [(11.0, 6.0)]


class ConversionSweeping(StoreCase):
    """Conversions are purged after five weeks without a change."""

    def test_old_conversions_are_purged(self, store: Store, clock: ManualClock) -> None:
        for n in range(3):
            run(store.add_conversion(f"{n}", 1000, 0, clock()))
        clock.move(CONVERSIONS_KEPT.total_seconds() - 1)
        run(store.add_conversion("2", 1000, 0, clock()))
        assert run(store.purge(100, clock())) == 0
        clock.move(1)
        assert run(store.purge(1, clock())) == 1
        assert run(store.purge(100, clock())) == 1
        assert [sent > 0 for sent, _ in counts_of(store, clock, "0", "1", "2")] == [False, False, True]
