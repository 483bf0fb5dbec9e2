"""The simulation of a month, with fewer users and days: the marks hold, and without the guard they do not."""

from __future__ import annotations

import pytest

from benchmarks.fraud_simulation import MOST_LOST, MOST_REFUSED, Attack, Month, cost_per_verified
from phone_verify.fraud.rules import FraudRules
from phone_verify.model import Channel

REFUSING = FraudRules(record_only=False)
#: As the attacks of the benchmark, over one range and over three, by fewer addresses in fewer hours.
FAST = Attack(("+97150",), 15, 1000, 24, 32)
SPREAD = Attack(("+97150", "+49151", "+9198"), 15, 800, 24, 34)


@pytest.mark.slow
@pytest.mark.parametrize("attack", [FAST, SPREAD], ids=["fast", "spread"])
def test_attack_costs_little_and_refuses_no_honest_users(attack: Attack) -> None:
    users, days = 1000, 2
    guarded, without = (Month(users, attack, rules, days=days).run() for rules in (REFUSING, None))
    assert guarded.money_lost <= MOST_LOST * without.money_lost
    assert guarded.refused <= MOST_REFUSED * users
    assert guarded.verified >= without.verified


@pytest.mark.slow
def test_ordinary_traffic_is_not_refused() -> None:
    result = Month(1000, None, REFUSING, days=2).run()
    assert result.refused == 0
    assert result.verified > 0.7 * result.users, "some come after the end"


@pytest.mark.slow
def test_simulation_is_repeatable() -> None:
    first, second = (Month(100, FAST, REFUSING, days=1.1).run() for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_inbound_calls_cost_a_third_of_sms() -> None:
    sms, flash, inbound = (
        cost_per_verified(channel, 400) for channel in (Channel.SMS, Channel.FLASH_CALL, Channel.INBOUND_CALL)
    )
    assert inbound < flash < sms
    assert 2.5 < sms / inbound < 5, "not five times: those who cannot call need an SMS"
