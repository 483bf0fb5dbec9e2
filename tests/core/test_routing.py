"""The choice of the driver for an order."""

from __future__ import annotations

import pytest

from phone_verify.drivers.base import Ability
from phone_verify.errors import ConfigurationError
from phone_verify.model import CodeSource
from phone_verify.phone import PhoneNumber
from phone_verify.routing import Router

from .harness import CALL, FLASH, PHONE, SMS, TELEGRAM, VOICE, Caller, Driver, chat, flash, sms

FIXED = PhoneNumber("+982188776655")


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_channels_without_a_driver_are_not_in_use() -> None:
    router = Router({SMS: [sms()], FLASH: []}, ticks=Ticks())
    assert list(router.channels) == list(router.preferred) == [SMS]
    assert router.route(FLASH, PHONE) == ()
    assert router.route(VOICE, PHONE) == ()


def test_preferred_channels_come_first_and_others_stay() -> None:
    router = Router({SMS: [sms()], FLASH: [flash()], TELEGRAM: [chat()]}, [TELEGRAM, SMS, TELEGRAM], ticks=Ticks())
    assert list(router.preferred) == [TELEGRAM, SMS]
    assert list(router.channels) == [TELEGRAM, SMS, FLASH]
    assert router.serves(FLASH, PHONE)


def test_preferred_channel_without_driver_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_FLASH_CALL"):
        Router({SMS: [sms()], FLASH: []}, [SMS, FLASH], ticks=Ticks())


def test_fixed_line_is_reached_by_voice_and_inbound_call() -> None:
    spoken = Driver("voice-1", VOICE, Ability(CodeSource.LOCAL))
    router = Router({SMS: [sms()], FLASH: [flash()], CALL: [Caller([])], VOICE: [spoken]}, ticks=Ticks())
    assert [channel for channel in router.channels if router.serves(channel, FIXED)] == [CALL, VOICE]
    assert all(router.serves(channel, PHONE) for channel in router.channels)


def test_driver_that_does_not_reach_the_phone_is_left_out() -> None:
    national, other = sms(name="national", reachable=False), sms(name="other")
    assert list(Router({SMS: [national, other]}, ticks=Ticks()).route(SMS, PHONE)) == [other]
    assert not Router({SMS: [national]}, ticks=Ticks()).serves(SMS, PHONE)


def test_twenty_timeouts_put_a_driver_last_for_30_seconds() -> None:
    first, second, ticks = sms(), sms(name="sms-2"), Ticks()
    router = Router({SMS: [first, second]}, ticks=ticks)
    for _ in range(19):
        router.unreachable(first)
    assert list(router.route(SMS, PHONE)) == [first, second]
    router.unreachable(first)
    assert list(router.route(SMS, PHONE)) == [second, first]
    ticks.now = 29.9
    assert list(router.route(SMS, PHONE)) == [second, first]
    ticks.now = 30
    assert list(router.route(SMS, PHONE)) == [first, second]
    router.unreachable(first)  # still timing out: immediately last again
    assert list(router.route(SMS, PHONE)) == [second, first]


def test_response_resets_the_timeout_count() -> None:
    first, second = sms(), sms(name="sms-2")
    router = Router({SMS: [first, second]}, ticks=Ticks())
    for _ in range(20):
        router.unreachable(first)
    router.record_success(first)
    assert list(router.route(SMS, PHONE)) == [first, second]
    for _ in range(19):
        router.unreachable(first)
    assert list(router.route(SMS, PHONE)) == [first, second]


def test_configured_order_holds_if_all_drivers_time_out() -> None:
    first, second = sms(), sms(name="sms-2")
    router = Router({SMS: [first, second]}, ticks=Ticks())
    for _ in range(20):
        router.unreachable(second)
        router.unreachable(first)
    assert list(router.route(SMS, PHONE)) == [first, second]
