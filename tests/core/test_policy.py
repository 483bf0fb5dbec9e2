"""The policy of a site."""

from __future__ import annotations

from datetime import timedelta

import pytest

from phone_verify.errors import ConfigurationError
from phone_verify.model import Channel, CodeSource
from phone_verify.planning import plan
from phone_verify.policy import Policy, resend_delay
from phone_verify.purposes import CodeLimits


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("code_length", 4, 8),
        ("ttl", seconds(30), seconds(600)),
        ("max_attempts", 1, 10),
        ("resend_after", seconds(0), seconds(600)),
        ("max_failures", 1, 100),
    ],
)
def test_values_outside_their_range_are_refused(field: str, low: object, high: object) -> None:
    step = seconds(1) if isinstance(low, timedelta) else 1
    for good in (low, high):
        Policy(**{field: good})
    for bad in (low - step, high + step):
        with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_{field.upper()} must be from"):
            Policy(**{field: bad})


@pytest.mark.parametrize("field", ["sends_per_hour", "sends_per_hour_per_address", "sends_per_hour_total"])
def test_limit_of_sends_is_not_negative(field: str) -> None:
    Policy(**{field: 0})
    with pytest.raises(ConfigurationError, match=f"PHONE_VERIFY_{field.upper()}"):
        Policy(**{field: -1})


@pytest.mark.parametrize("region", ["UK", "ir", "IRN", ""])
def test_regions_must_exist(region: str) -> None:
    with pytest.raises(ConfigurationError, match="region"):
        Policy(allowed_regions=frozenset({region}))


def test_policy_is_immutable() -> None:
    with pytest.raises(AttributeError):
        Policy().ttl = seconds(1)


def test_defaults_match_the_contract() -> None:
    policy = Policy()
    assert (policy.code_length, policy.ttl, policy.max_attempts) == (6, seconds(300), 5)
    assert (policy.resend_after, policy.max_failures) == (seconds(60), 20)
    assert (policy.sends_per_hour, policy.sends_per_hour_per_address) == (5, 100)
    assert (policy.sends_per_hour_per_prefix, policy.sends_per_hour_total) == (50, 1000)


def test_local_code_has_the_configured_length_if_possible() -> None:
    assert plan(Policy(), CodeSource.LOCAL, shortest=4, longest=8).code_length == 6
    assert plan(Policy(code_length=8), CodeSource.LOCAL).code_length == 8
    shorter = plan(Policy(), CodeSource.LOCAL, longest=4)
    assert (shorter.code_length, shorter.short) == (4, True)


def test_short_codes_have_three_attempts_and_three_minutes() -> None:
    for short in (
        plan(Policy(code_length=5), CodeSource.LOCAL),
        plan(Policy(), CodeSource.PROVIDER),  # code length not fixed
        plan(Policy(), CodeSource.REMOTE_CHECK, fixed_length=5),
    ):
        assert (short.short, short.attempts, short.ttl) == (True, 3, seconds(180))
    long = plan(Policy(), CodeSource.PROVIDER, fixed_length=6)
    assert (long.short, long.attempts, long.ttl) == (False, 5, seconds(300))


def test_smaller_ceiling_counts() -> None:
    strict = Policy(max_attempts=2, ttl=seconds(60))
    assert plan(strict, CodeSource.PROVIDER).attempts == 2
    assert plan(strict, CodeSource.PROVIDER).ttl == seconds(60)
    assert plan(Policy(ttl=seconds(600)), CodeSource.NONE, cap=seconds(120)).ttl == seconds(120)
    assert plan(Policy(ttl=seconds(600)), CodeSource.LOCAL, cap=seconds(900)).ttl == seconds(600)


def test_call_without_code_is_not_short() -> None:
    assert plan(Policy(), CodeSource.NONE).short is False


def test_each_resend_waits_twice_as_long_up_to_ten_minutes() -> None:
    waits = [resend_delay(seconds(60), n).total_seconds() for n in range(1, 8)]
    assert waits == [60, 120, 240, 480, 600, 600, 600]
    assert resend_delay(seconds(0), 5) == seconds(0)
    assert resend_delay(seconds(600), 10**6) == seconds(600)


def test_test_codes_fit_only_codes_made_by_this_site() -> None:
    assert plan(Policy(), CodeSource.LOCAL).fits("482193")
    assert not plan(Policy(), CodeSource.LOCAL).fits("4821937")
    for code_source in (CodeSource.PROVIDER, CodeSource.REMOTE_CHECK):
        assert not plan(Policy(), code_source, fixed_length=6).fits("482193")


@pytest.mark.parametrize(("named", "same"), [("login", "signup"), ("signup", "login"), ("change_phone", "confirm")])
def test_rules_hold_for_purposes_with_the_same_effect(named: str, same: str) -> None:
    """A client chooses between them, so a rule of one alone would be no rule."""
    policy = Policy(code_limits={named: CodeLimits(8)}, required_channels={named: (Channel.SMS,)})
    assert policy.for_purpose(same).code_length == 8
    assert (policy.required_for(same), policy.accepts(Channel.VOICE, same)) == ((Channel.SMS,), False)
    assert policy.for_purpose("wire") is policy
    assert policy.required_for("wire") is None


def test_purpose_takes_only_the_limits_that_it_lacks_from_its_like() -> None:
    limits = {"login": CodeLimits(8, seconds(60)), "signup": CodeLimits(7)}
    policy = Policy(code_limits=limits).for_purpose("signup")
    assert (policy.code_length, policy.ttl) == (7, seconds(60))
