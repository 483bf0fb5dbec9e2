"""Test numbers: a static code until a date, nothing sent, no other rule relaxed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import ConfigurationError
from phone_verify.model import Channel, Reason, Receipt, Started
from phone_verify.phone import PhoneNumber
from phone_verify.test_numbers import LONGEST, TestNumber, load_test_numbers
from tests.cases import in_one_test

from .harness import LINE, OTHER_PHONE, PHONE, SMS, TELEGRAM, Caller, Harness, chat, flash, sms, wrong

pytestmark = pytest.mark.usefixtures("face")

CODE = "482193"
TODAY = date(2026, 1, 1)
REVIEWER = PhoneNumber("+12025550123")


def harness(*drivers: Any, last_day: date | None = None, **policy: Any) -> Harness:
    made = Harness(*drivers, **policy)
    last_day = last_day or made.clock().date() + timedelta(days=30)
    return Harness(*drivers, test_numbers={PHONE: TestNumber(PHONE, CODE, last_day)}, **policy)


def read(*entries: str, production: bool = False, named: tuple[str, ...] = ()) -> Any:
    return load_test_numbers(entries, named, production=production, today=TODAY)


# Behaviour


def test_test_number_code_verifies_and_nothing_is_sent() -> None:
    driver = sms()
    made = harness(driver)
    id, secret = made.begun()
    outcome = made.verifier.check(id, secret, CODE)
    assert outcome.ok
    assert outcome.proof is not None
    redeemed = made.verifier.redeem(outcome.proof, [secret], ["login"])
    assert redeemed is not None
    assert redeemed.by_test_number
    assert driver.orders == []


def test_other_numbers_get_their_own_codes() -> None:
    driver = sms()
    made = harness(driver)
    id, secret = made.begun(phone=OTHER_PHONE)
    assert driver.codes[0] != CODE
    assert made.verifier.check(id, secret, CODE).reason is Reason.WRONG_CODE
    outcome = made.verifier.check(id, secret, driver.codes[0])
    assert outcome.proof is not None
    redeemed = made.verifier.redeem(outcome.proof, [secret], ["login"])
    assert redeemed is not None
    assert not redeemed.by_test_number


@pytest.mark.parametrize("channel", [SMS, TELEGRAM])
def test_test_number_works_on_channels_of_that_code_length(channel: Channel) -> None:
    drivers = [sms(), chat()]
    made = harness(*drivers)
    id, secret = made.begun(channel)
    found = made.verifier.get(id, secret).verification
    assert found is not None
    assert (found.channel, found.code_length, found.short) == (channel, 6, False)
    assert made.verifier.check(id, secret, CODE).ok
    assert not any(driver.orders for driver in drivers)


@pytest.mark.parametrize("make", [lambda: flash("1234"), lambda: Caller([Receipt("r", line=LINE)])])
def test_other_channels_serve_a_test_number_normally(make: Any) -> None:
    driver = make()
    made = harness(driver)
    id, secret = made.begun()
    assert len(driver.orders) == 1
    assert made.verifier.check(id, secret, CODE).reason is Reason.MALFORMED_CODE


@pytest.mark.parametrize("driver", [sms, chat, lambda: flash("1234", "5678")])
def test_no_response_reveals_a_test_number(driver: Any) -> None:
    made = harness(driver())
    shown = []
    for phone in (PHONE, OTHER_PHONE):
        started = made.start(phone=phone, address="192.0.2.1")
        assert isinstance(started, Started)
        record = started.verification
        shown.append(
            (
                *(record.channel, record.code_length, record.short, record.attempts_left, record.status),
                *(record.expires_at, record.resend_at, record.caller_hint, record.line, started.channels),
            )
        )
    assert shown[0] == shown[1]


def test_test_number_gets_no_unconfigured_channel() -> None:
    assert harness(sms()).start(TELEGRAM).reason is Reason.CHANNEL_UNAVAILABLE


def test_test_number_cannot_start_without_any_channel() -> None:
    assert harness().start().reason is Reason.NOT_CONFIGURED


@pytest.mark.parametrize(
    "quota", ["sends_per_hour", "sends_per_hour_per_address", "sends_per_hour_per_prefix", "sends_per_hour_total"]
)
def test_test_number_counts_in_every_quota(quota: str) -> None:
    made = harness(sms(), **{quota: 2})
    for _ in range(2):
        made.begun(address="192.0.2.1")
    assert made.start(address="192.0.2.1").reason is Reason.TOO_MANY_REQUESTS


def test_test_number_obeys_regions_and_ranges() -> None:
    assert harness(sms(), allowed_regions=frozenset({"RU"})).start().reason is Reason.DESTINATION_NOT_ALLOWED
    assert harness(sms(reachable=False)).start().reason is Reason.DESTINATION_NOT_ALLOWED


def test_test_number_failures_never_expire_over_all_purposes() -> None:
    made = harness(sms(), max_failures=4, max_attempts=3, sends_per_hour=0, resend_after=timedelta(0))
    for purpose in ("login", "signup", "confirm", "second_factor"):
        id, secret = made.begun(purpose=purpose, subject="7")
        assert made.verifier.check(id, secret, wrong(CODE)).reason is Reason.WRONG_CODE
        made.clock.move(86400)
    for purpose in ("login", "confirm"):
        assert made.start(purpose=purpose, subject="7").reason is Reason.TOO_MANY_REQUESTS
    assert made.verifier.unlock(PHONE)
    made.begun()


def test_test_number_wrong_answers_count_as_usual() -> None:
    made = harness(sms(), max_failures=4, max_attempts=3, resend_after=timedelta(0))
    id, secret = made.begun()
    assert [made.verifier.check(id, secret, wrong(CODE)).reason for _ in range(4)] == [
        *[Reason.WRONG_CODE] * 3,
        Reason.CLOSED,
    ]
    id, secret = made.begun()
    assert made.verifier.check(id, secret, wrong(CODE)).reason is Reason.WRONG_CODE
    assert made.verifier.check(id, secret, CODE).reason is Reason.TOO_MANY_REQUESTS
    assert made.start().reason is Reason.TOO_MANY_REQUESTS


def test_test_number_resend_changes_channel_and_keeps_code() -> None:
    made = harness(sms(), chat(), resend_after=timedelta(0))
    id, secret = made.begun(SMS)
    assert made.verifier.resend(id, secret).ok
    outcome = made.verifier.resend(id, secret, channel=TELEGRAM)
    assert outcome.ok
    assert outcome.verification is not None
    assert outcome.verification.channel is TELEGRAM
    assert made.verifier.check(id, secret, CODE).ok


def test_expired_test_number_is_an_ordinary_number() -> None:
    driver = sms()
    made = harness(driver, last_day=Harness().clock().date())
    made.begun()
    assert driver.orders == []
    made.clock.move(86400)
    id, secret = made.begun()
    assert len(driver.orders) == 1
    assert driver.codes[0] != CODE
    assert made.verifier.check(id, secret, CODE).reason is Reason.WRONG_CODE


# Settings


def test_test_number_setting_has_number_code_and_date() -> None:
    codes = read("+12025550123=482193@2026-01-31", "+989120000000=12345678@2026-06-30")
    assert [(fixed.phone, fixed.code, fixed.last_day) for fixed in codes.values()] == [
        (REVIEWER, "482193", date(2026, 1, 31)),
        (PHONE, "12345678", date(2026, 6, 30)),
    ]
    assert codes.keys() == {REVIEWER, PHONE}
    assert "482193" not in repr(codes)
    assert "2025550123" not in repr(codes)


def test_test_number_expires_after_its_last_day() -> None:
    assert read("+12025550123=482193@2026-01-01")
    assert not read("+12025550123=482193@2025-12-31")


@in_one_test
@pytest.mark.parametrize(
    "entry",
    [
        "+12025550123",
        "+12025550123=482193",
        "+12025550123=48219@2026-01-31",
        "+12025550123=482193001@2026-01-31",
        "+12025550123=48219x@2026-01-31",
        "+12025550123=٤٨٢١٩٣@2026-01-31",
        "+12025550123=482193@2026-02-30",
        "+12025550123=482193@31.01.2026",
        "+12025550123=482193@2026-01-31\n",
        "2025550123=482193@2026-01-31",
        "+98912=482193@2026-01-31",
        "+*=482193@2026-01-31",
    ],
)
def test_unreadable_test_number_error_says_what_to_write(entry: str) -> None:
    with pytest.raises(ConfigurationError, match=r"PHONE_VERIFY_TEST_PASSCODES.*(use)") as raised:
        read(entry)
    assert "48219" not in str(raised.value).replace("+12025550123=482193@2027-01-31", "")


def test_test_number_date_too_far_away_is_refused() -> None:
    assert read(f"+12025550123=482193@{TODAY + LONGEST}")
    with pytest.raises(ConfigurationError, match="366 days"):
        read(f"+12025550123=482193@{TODAY + LONGEST + timedelta(days=1)}")


def test_duplicate_test_number_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        read("+12025550123=482193@2026-01-31", "+12025550123=482194@2026-01-31")


def test_production_requires_naming_each_test_number_twice() -> None:
    entry, other = "+12025550123=482193@2026-01-31", "+989120000000=482193@2026-01-31"
    with pytest.raises(ConfigurationError, match="TEST_PASSCODES_IN_PRODUCTION") as raised:
        read(entry, other, production=True, named=("+12025550123",))
    assert "9120000000" not in str(raised.value)
    assert read(entry, production=True, named=("+12025550123",)).keys() == {REVIEWER}
    with pytest.raises(ConfigurationError, match=r"IN_PRODUCTION.*E\.164"):
        read(entry, production=True, named=("*",))


def test_test_number_settings_reach_verifier_as_production() -> None:
    last_day = datetime.now(UTC).date() + timedelta(days=7)
    values = {
        "secret_keys": ["k-key-for-tests-0123456789abcdef"],
        "store": "memory:",
        "sms": "amoot://TOKEN@default",
        "test_passcodes": f"+989120000000=482193@{last_day}",
    }
    settings = Settings.from_mapping(values)
    assert "482193" not in repr(settings)
    with pytest.raises(ConfigurationError, match="IN_PRODUCTION"):
        build_site(settings)
    named = Settings.from_mapping({**values, "test_passcodes_in_production": "+989120000000"})
    for verifier in (build_site(settings, production=False).verifier, build_site(named).verifier):
        started = verifier.start(PHONE)
        assert isinstance(started, Started)
        assert verifier.check(started.verification.id, started.secret, "482193").ok
