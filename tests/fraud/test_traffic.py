"""Rules over traffic, just below and just above each limit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from phone_verify.conversions import Conversion
from phone_verify.fraud import traffic
from phone_verify.fraud.assessment import Signal, Verdict, assessment_of
from tests.cases import in_one_test

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def counts(sent: float, verified: float = 0.0) -> Conversion:
    return Conversion(sent, verified, NOW)


@in_one_test
@pytest.mark.parametrize(
    ("sent", "verified", "points"),
    [
        (0, 0, 0),
        (3, 0, 0),
        (4, 0, 4),
        (100, 60, 0),
        (100, 47, 0),
        (100, 44, 3),
        (100, 40, 8),
        (200, 0, 50),
        (48, 0, 50),
        (47, 0, 50),
        (20, 0, 35),
        (-0.01, -0.01, 0),
    ],
)
def test_range_has_points_for_missing_verifications(sent: float, verified: float, points: int) -> None:
    assert traffic.conversion_points(counts(sent, verified)) == points


@pytest.mark.parametrize(
    ("sent", "verified", "points"),
    [(0, 0, 0), (2.2, 0, 0), (3, 0, 18), (4, 0, 40), (400, 0, 40), (10, 4, 0), (10, 3, 40), (100, 50, 0), (-1, 0, 0)],
)
def test_network_has_points_beyond_two_orders_for_each_verified_one(sent: float, verified: float, points: int) -> None:
    assert traffic.network_points(counts(sent, verified)) == points


@pytest.mark.parametrize(
    ("sent", "verified", "closed"),
    [(4.99, 0, False), (5, 0, True), (24.9, 1, False), (25, 1, True), (500, 1.5, False), (35, 1.49, True)],
)
def test_network_closes_after_orders_without_verifications(sent: float, verified: float, closed: bool) -> None:
    assert traffic.is_closed(counts(sent, verified)) is closed


@pytest.mark.parametrize(
    ("sent", "verified", "known"), [(0, 0, False), (1, 0.5, True), (1, 0.49, False), (2, 1, True), (2.1, 1, False)]
)
def test_network_is_known_if_half_of_its_orders_were_verified(sent: float, verified: float, known: bool) -> None:
    assert traffic.is_known(counts(sent, verified)) is known


def test_verified_traffic_explains_speed_and_raises_the_allowance() -> None:
    assert traffic.speed_limit(counts(0)) == 20
    assert traffic.speed_limit(counts(100, 80.5)) == 181
    assert traffic.allowance(counts(300, -1)) == 30
    assert traffic.allowance(counts(300, 12.9)) == 42


@pytest.mark.parametrize(("score", "verdict"), [(59, Verdict.PASSED), (60, Verdict.REFUSED), (100, Verdict.REFUSED)])
def test_score_from_the_limit_on_is_refused(score: int, verdict: Verdict) -> None:
    assessment = assessment_of({Signal.CONVERSION: score})
    assert assessment.verdict(60, record_only=False) is verdict
    noted = Verdict.PASSED if verdict is Verdict.PASSED else Verdict.NOTED
    assert assessment.verdict(60, record_only=True) is noted


def test_score_is_at_most_a_hundred_and_reasons_have_points() -> None:
    found = assessment_of({Signal.CONVERSION: 50, Signal.NETWORK: 40, Signal.SPEED: 20, Signal.NEIGHBOURS: 0})
    assert found.score == 100
    assert list(found.reasons) == [Signal.CONVERSION, Signal.NETWORK, Signal.SPEED]
    assert assessment_of({Signal.CONVERSION: 50}, weight=0.5).score == 25


def test_only_two_rules_reach_the_default_score_alone() -> None:
    alone = {
        Signal.CONVERSION: traffic.MOST_CONVERSION,
        Signal.NETWORK: traffic.MOST_NETWORK,
        Signal.SPEED: traffic.SPEED_POINTS,
        Signal.NEIGHBOURS: traffic.HUNDRED_POINTS,
    }
    assert all(points < 60 for points in alone.values())
    assert alone[Signal.SPEED] + alone[Signal.NEIGHBOURS] < 60, "a company that registers its staff"
    assert min(traffic.CLOSED_POINTS, traffic.ALLOWANCE_POINTS) >= 60
