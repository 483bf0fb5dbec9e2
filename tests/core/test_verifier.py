"""The flows, blocking and awaited, over the memory store and small drivers."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from phone_verify.codes import Keyring, PreparedKey
from phone_verify.drivers.base import Ability
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, StoreError
from phone_verify.exchange import Exchange, HttpRequest, HttpResponse, WebhookRequest
from phone_verify.lifecycle import Opening
from phone_verify.model import (
    CallState,
    Cause,
    Channel,
    CodeSource,
    DeliveryReport,
    DeliveryState,
    Order,
    Reason,
    Receipt,
    Sighting,
    Started,
    Status,
)
from phone_verify.phone import PhoneNumber
from phone_verify.purposes import CodeLimits
from phone_verify.stores.memory import MemoryStore
from phone_verify.sync import run
from phone_verify.testing.transport import FakeTransport
from tests.cases import in_one_test

from .harness import (
    CALL,
    DOWN,
    FLASH,
    LINE,
    OTHER_LINE,
    OTHER_PHONE,
    PHONE,
    REFUSED,
    SMS,
    TELEGRAM,
    UNCLEAR,
    VOICE,
    Caller,
    DeafCaller,
    Driver,
    Harness,
    Remote,
    chat,
    flash,
    sms,
    webhook,
    wrong,
)

pytestmark = pytest.mark.usefixtures("face")

# Failover


def test_refusal_fails_over_to_the_next_driver() -> None:
    first, second = sms(REFUSED, DOWN), sms(name="sms-2")
    harness = Harness(first, second)
    for _ in range(2):
        id, secret = harness.begun()
        assert harness.verifier.check(id, secret, second.codes[-1]).ok
    assert first.codes == second.codes  # the same code: the first to arrive works


def test_record_fails_when_every_driver_refuses() -> None:
    harness, settled = Harness(sms(REFUSED), sms(DOWN, name="sms-2")), []
    settle = harness.store.settle

    async def seen(id: str, status: Status, now: Any) -> bool:
        settled.append(status)
        return await settle(id, status, now)

    harness.store.settle = seen
    outcome = harness.start()
    assert outcome.reason is Reason.DELIVERY_FAILED
    assert not isinstance(outcome, Started)
    assert settled == [Status.FAILED]


def test_start_returns_started_only_if_it_succeeds() -> None:
    harness = Harness(sms(), sends_per_hour=1)
    started, refused = harness.start(), harness.start()
    assert isinstance(started, Started)
    assert (started.ok, started.reason, started.channels) == (True, None, [SMS])
    assert harness.verifier.get(started.verification.id, started.secret).verification == started.verification
    assert started.secret not in repr(started)
    assert not isinstance(refused, Started)
    assert refused.reason is Reason.TOO_MANY_REQUESTS
    taken = Harness(Caller([Receipt("1", line=LINE)] * 2))
    assert [isinstance(taken.start(), Started) for _ in range(2)] == [True, False], "the line is reserved once"


def test_bad_number_is_not_failed_over() -> None:
    second = sms(name="sms-2")
    assert Harness(sms(ProviderError(FailureKind.BAD_NUMBER)), second).start().reason is Reason.DELIVERY_FAILED
    assert second.orders == []


def test_unclear_end_is_not_failed_over_and_code_stays_valid() -> None:
    first, second = sms(UNCLEAR), sms(name="sms-2")
    harness = Harness(first, second)
    outcome = harness.start()
    assert outcome.ok
    assert isinstance(outcome, Started)
    assert outcome.verification.status is Status.PENDING
    assert second.orders == []
    assert harness.verifier.check(outcome.verification.id, outcome.secret, first.codes[0]).ok


def test_unclear_remote_code_stays_usable() -> None:
    remote = Remote(True)
    remote.results = [UNCLEAR]
    harness = Harness(remote)
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, "12345").ok


@pytest.mark.parametrize("caller", [False, True], ids=["told", "nobody"])
def test_unclear_end_that_cannot_be_verified_fails(caller: bool) -> None:
    first, second = flash(UNCLEAR), flash("1234", name="second")
    if caller:
        first, second = Caller([UNCLEAR]), Caller([Receipt("r", line=LINE)], name="second")
    assert Harness(first, second).start().reason is Reason.DELIVERY_FAILED
    assert (len(first.orders), len(second.orders)) == (1, 0)
    assert Harness(second).start().ok


def test_incomplete_receipt_fails() -> None:
    told = flash()
    told.results = [Receipt("r")]
    assert Harness(told).start().reason is Reason.DELIVERY_FAILED
    assert Harness(Caller([Receipt("r")])).start().reason is Reason.DELIVERY_FAILED


def test_whole_start_takes_twenty_seconds_at_most() -> None:
    second = sms(name="sms-2")
    first = sms(DOWN)
    harness = Harness(first, second)

    def slow() -> None:
        harness.ticks += 20

    first.on_start = slow
    assert harness.start().reason is Reason.DELIVERY_FAILED
    assert second.orders == []


class Asking(Driver):
    """A driver that sends one request to its provider."""

    def start(self, order: Order) -> Exchange[Receipt]:
        self.orders.append(order)
        yield HttpRequest.get("http://provider.invalid")
        return Receipt()


@pytest.mark.parametrize(("end", "put_last"), [(DOWN, True), (UNCLEAR, True), (HttpResponse(500), False)])
def test_timed_out_provider_is_put_last_but_never_left_out(end: Any, put_last: bool) -> None:
    first, second = Asking("sms-1", SMS, Ability(CodeSource.LOCAL)), sms(name="sms-2")
    harness = Harness(first, second)
    harness.parts.transport.answers = [end] * 20 + [HttpResponse(200)] * 3  # type: ignore[attr-defined]
    for _ in range(21):
        harness.begun()
    assert len(first.orders) == (20 if put_last else 21)
    harness.ticks += 31
    harness.begun()
    assert len(first.orders) == (21 if put_last else 22)


def test_failover_to_shorter_codes_gives_a_short_code() -> None:
    short = Driver("sms-2", SMS, Ability(CodeSource.LOCAL, longest=4))
    harness = Harness(sms(REFUSED), short)
    outcome = harness.start()
    assert isinstance(outcome, Started)
    record = outcome.verification
    assert (record.code_length, record.attempts_left, record.short) == (4, 3, True)
    assert record.expires_at - record.created_at <= timedelta(seconds=180)
    assert harness.verifier.check(record.id, outcome.secret, short.codes[0]).ok


# Choosing the channel


def test_first_usable_preferred_channel_is_chosen() -> None:
    unreaching = Driver("sms-1", SMS, Ability(CodeSource.LOCAL), reachable=False)
    ringing = flash("1234")
    outcome = Harness(unreaching, ringing).start()
    assert isinstance(outcome, Started)
    assert outcome.verification.channel is FLASH


@in_one_test
@pytest.mark.parametrize(
    ("phone", "channel", "reason"),
    [
        ("+982188776655", SMS, Reason.DESTINATION_NOT_ALLOWED),
        ("+982188776655", None, Reason.DESTINATION_NOT_ALLOWED),
        ("+982188776655", VOICE, Reason.CHANNEL_UNAVAILABLE),
        ("+881612345678", SMS, Reason.DESTINATION_NOT_ALLOWED),
        ("+79000000000", SMS, Reason.DESTINATION_NOT_ALLOWED),
        ("+989120000000", FLASH, Reason.CHANNEL_UNAVAILABLE),
    ],
)
def test_refused_destinations_and_channels(phone: str, channel: Channel | None, reason: Reason) -> None:
    driver = sms()
    harness = Harness(driver, allowed_regions=frozenset({"IR"}))
    assert harness.start(channel, PhoneNumber(phone)).reason is reason
    assert driver.orders == []


def test_unreachable_channel_is_reported_before_missing_one() -> None:
    harness = Harness(Caller([]))
    assert harness.start(SMS, PhoneNumber("+982188776655")).reason is Reason.DESTINATION_NOT_ALLOWED
    assert harness.start(SMS).reason is Reason.CHANNEL_UNAVAILABLE


def test_channel_outside_preference_needs_to_be_named() -> None:
    unreaching, written = chat(), sms()
    unreaching.reachable = False
    harness = Harness(written, unreaching, preference=[TELEGRAM], resend_after=timedelta(0))
    assert harness.start().reason is Reason.DESTINATION_NOT_ALLOWED
    assert written.orders == []
    harness.begun(SMS)
    assert len(written.orders) == 1


def test_channel_outside_preference_replaces_no_short_codes() -> None:
    written = sms()
    harness = Harness(flash("1234"), written, preference=[FLASH], resend_after=timedelta(0))
    id, secret = harness.begun()
    harness.fail(10)
    written.orders.clear()
    assert harness.start().reason is Reason.CHANNEL_UNAVAILABLE
    assert harness.verifier.resend(id, secret).reason is Reason.CHANNEL_UNAVAILABLE
    assert written.orders == []
    assert harness.verifier.resend(id, secret, channel=SMS).verification.channel is SMS  # type: ignore[union-attr]


def test_only_locked_short_codes_move_to_the_next_channel() -> None:
    harness, opened = Harness(sms(), chat(), sends_per_hour=1), list[Channel]()
    open_in_store = harness.store.open

    async def seen(opening: Opening, *more: Any) -> Any:
        opened.append(opening.channel)
        return await open_in_store(opening, *more)

    harness.store.open = seen
    harness.begun()
    assert harness.start().reason is Reason.TOO_MANY_REQUESTS
    assert opened == [SMS, SMS]


def test_outcome_lists_the_channels_a_resend_accepts() -> None:
    unreaching = Driver("voice-1", VOICE, Ability(CodeSource.LOCAL), reachable=False)
    mixed = [sms(), Driver("sms-2", SMS, Ability(CodeSource.LOCAL, longest=4))]
    harness = Harness(*mixed, flash("1234"), unreaching, chat(), preference=[TELEGRAM, FLASH], max_failures=11)
    id, secret = harness.begun()
    harness.fail(9)
    assert harness.verifier.get(id, secret).channels == [TELEGRAM, FLASH, SMS]
    harness.fail(1)
    assert harness.verifier.get(id, secret).channels == [TELEGRAM, SMS]
    harness.fail(1)
    assert harness.verifier.get(id, secret).channels == []
    harness.clock.move(3600)
    id, secret = harness.begun()
    assert harness.verifier.get(id, secret).channels == [TELEGRAM, FLASH, SMS]
    harness.verifier.cancel(id, secret)
    assert harness.verifier.get(id, secret).channels == []


def test_fixed_line_may_place_an_inbound_call() -> None:
    harness = Harness(sms(), Caller([Receipt("r", line=LINE)]))
    outcome = harness.start(None, PhoneNumber("+982188776655"))
    assert isinstance(outcome, Started)
    assert outcome.verification.channel is CALL


def test_missing_channel_is_reported_even_at_a_limit() -> None:
    harness = Harness(sms(), sends_per_hour_total=1)
    harness.begun()
    assert harness.start(FLASH).reason is Reason.CHANNEL_UNAVAILABLE


def test_without_any_channel_nothing_can_start() -> None:
    assert Harness().start().reason is Reason.NOT_CONFIGURED


# Wrong answers


def test_consecutive_failures_lock_phone_despite_new_starts() -> None:
    harness = Harness(sms(), max_failures=7)
    harness.fail(7)
    other = harness.start()
    assert other.reason is Reason.TOO_MANY_REQUESTS
    assert other.retry_after == timedelta(hours=1)
    harness.clock.move(3599)
    assert harness.start().reason is Reason.TOO_MANY_REQUESTS
    harness.clock.move(1)
    harness.begun()


def test_locked_phone_compares_and_sends_nothing() -> None:
    driver = sms()
    harness = Harness(driver, max_failures=5)
    id, secret = harness.begun()
    code = driver.codes[-1]
    harness.fail(5)
    sent = len(driver.orders)
    assert harness.verifier.check(id, secret, code).reason is Reason.TOO_MANY_REQUESTS
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret).reason is Reason.TOO_MANY_REQUESTS
    assert len(driver.orders) == sent
    assert harness.verifier.poll(id, secret).verification.attempts_left == 5  # type: ignore[union-attr]


def test_other_phones_and_budgets_are_not_affected() -> None:
    harness = Harness(sms(), max_failures=5)
    harness.fail(5)
    harness.begun(phone=PhoneNumber("+989120000001"))
    harness.begun(purpose="second_factor")
    harness.begun(purpose="confirm", subject="7")


def test_purpose_has_its_own_code_length_and_lifetime() -> None:
    driver = sms()
    limits = {"payout": CodeLimits(8, timedelta(seconds=120)), "gift": CodeLimits(4), "login": CodeLimits(None, None)}
    harness = Harness(driver, code_limits=limits, resend_after=timedelta(0))
    for purpose, length, life, attempts in (("payout", 8, 120, 5), ("gift", 4, 180, 3), ("login", 6, 300, 5)):
        id, secret = harness.begun(purpose=purpose)
        begun = harness.verifier.get(id, secret).verification
        assert begun is not None
        assert (begun.code_length, begun.attempts_left, begun.short) == (length, attempts, length == 4)
        assert begun.expires_at - begun.read_at == timedelta(seconds=life)
        harness.verifier.resend(id, secret)
        code = driver.codes[-1]
        assert (len(code), driver.codes[-2]) == (length, code)
        assert harness.verifier.check(id, secret, code).ok


def test_purposes_that_sign_in_share_a_budget() -> None:
    harness = Harness(sms(), max_failures=6)
    harness.fail(3)
    harness.fail(3, purpose="signup")
    for purpose in ("login", "signup", "anything"):
        assert harness.start(purpose=purpose).reason is Reason.TOO_MANY_REQUESTS


def test_only_success_of_phone_and_purpose_clears_failures() -> None:
    driver = sms()
    harness = Harness(driver, max_failures=6)
    harness.fail(4)
    id, secret = harness.begun(purpose="signup")
    assert harness.verifier.check(id, secret, driver.codes[-1]).ok
    harness.fail(1)
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, driver.codes[-1]).ok
    harness.fail(5)
    harness.begun()


def test_malformed_code_is_no_failure() -> None:
    harness = Harness(sms())
    id, secret = harness.begun()
    for typed in ("", "12345", "1234567", "abcdef", "１２３"):
        assert harness.verifier.check(id, secret, typed).reason is Reason.MALFORMED_CODE
    assert harness.verifier.poll(id, secret).verification.attempts_left == 5  # type: ignore[union-attr]


def test_ten_failures_lock_short_codes_only() -> None:
    ringing, written = flash(*["1234"] * 9), sms()
    harness = Harness(ringing, written)
    id, secret = harness.begun(FLASH)
    harness.fail(10, FLASH)
    assert harness.start(FLASH).reason is Reason.CHANNEL_UNAVAILABLE
    late = harness.verifier.check(id, secret, "1234")
    assert late.reason is Reason.TOO_MANY_REQUESTS
    rings = len(ringing.orders)
    id, secret = harness.begun()  # no channel named: the next preferred one is used
    assert (len(ringing.orders), len(written.orders)) == (rings, 1)
    early = harness.verifier.resend(id, secret)
    assert (early.reason, early.retry_after) == (Reason.TOO_MANY_REQUESTS, timedelta(seconds=60))
    assert harness.verifier.resend(id, secret, channel=FLASH).reason is Reason.CHANNEL_UNAVAILABLE
    assert harness.verifier.check(id, secret, written.codes[0]).ok
    harness.begun(FLASH)


# Sends


def test_every_order_counts_one_and_failover_counts_once() -> None:
    harness = Harness(sms(REFUSED, REFUSED), sms(name="sms-2"), sends_per_hour=3)
    for _ in range(3):
        harness.begun()
    refused = harness.start()
    assert refused.reason is Reason.TOO_MANY_REQUESTS
    assert refused.retry_after == timedelta(hours=1)
    harness.clock.move(3600)
    harness.begun()


def test_refused_order_counts_against_no_send_quota() -> None:
    driver = sms(*[REFUSED] * 4)
    quotas = dict.fromkeys(("sends_per_hour", "sends_per_hour_per_address", "sends_per_hour_total"), 1)
    harness = Harness(driver, **quotas, sends_per_hour_per_prefix=1)
    for _ in range(4):
        outcome = harness.start(address="192.0.2.1")
        assert (outcome.reason, outcome.cause) == (Reason.DELIVERY_FAILED, Cause.SERVICE)
    harness.begun(address="192.0.2.1")
    assert harness.start(address="192.0.2.1").reason is Reason.TOO_MANY_REQUESTS


def test_refused_resend_is_refunded() -> None:
    harness = Harness(sms(Receipt(), REFUSED), sends_per_hour=2, resend_after=timedelta(0))
    id, secret = harness.begun()
    assert harness.verifier.resend(id, secret).cause is Cause.SERVICE
    assert harness.verifier.resend(id, secret).ok
    assert harness.verifier.resend(id, secret).reason is Reason.TOO_MANY_REQUESTS


def test_refused_orders_have_separate_quotas() -> None:
    harness = Harness(sms(*[REFUSED] * 300))
    reasons = [harness.start(address="192.0.2.1").reason for _ in range(6)]
    assert reasons == [*[Reason.DELIVERY_FAILED] * 5, Reason.TOO_MANY_REQUESTS], "five for a phone"
    others = [PhoneNumber(f"+98912{n:07}") for n in range(1, 300)]
    reasons = [harness.start(phone=phone, address="192.0.2.1").reason for phone in others[:16]]
    assert reasons == [*[Reason.DELIVERY_FAILED] * 15, Reason.TOO_MANY_REQUESTS], "twenty for an address"
    refused = [harness.start(phone=p, by_client=True).reason is Reason.DELIVERY_FAILED for p in others[20:220]]
    assert refused == [True] * 180 + [False] * 20, "two hundred for the site"
    assert harness.start(phone=others[250]).reason is Reason.DELIVERY_FAILED, "none for the site's own code"


def test_one_network_cannot_exhaust_the_refusal_quota() -> None:
    harness = Harness(sms(*[REFUSED] * 300))
    phones = [PhoneNumber(f"+98912{n:07}") for n in range(1, 300)]
    starts = [
        harness.start(phone=phone, address=f"2001:db8:1:{n % 20:x}::", by_client=True).reason
        for n, phone in enumerate(phones[:120])
    ]
    assert starts == [Reason.DELIVERY_FAILED] * 100 + [Reason.TOO_MANY_REQUESTS] * 20
    other = harness.start(phone=phones[200], address="2001:db8:2:1::", by_client=True)
    assert other.reason is Reason.DELIVERY_FAILED


def test_others_cannot_exhaust_the_owners_confirmations() -> None:
    harness = Harness(sms(), sends_per_hour=2)
    for _ in range(2):
        harness.begun(purpose="confirm", subject="9", by_client=True, address="192.0.2.9")
    assert harness.start(purpose="confirm", subject="9", by_client=True).reason is Reason.TOO_MANY_REQUESTS
    harness.begun(purpose="confirm", subject="7", owned=True, by_client=True)
    harness.begun(purpose="second_factor")


@pytest.mark.parametrize("quota", ["sends_per_hour_per_address", "sends_per_hour_per_prefix", "sends_per_hour_total"])
def test_a_fifth_of_the_quota_is_kept_for_your_code(quota: str) -> None:
    harness = Harness(sms(), **{quota: 5})
    phones = [PhoneNumber(f"+98912000000{n}") for n in range(6)]
    made = [harness.start(phone=phone, address="192.0.2.1", by_client=True).ok for phone in phones[:5]]
    assert made == [True] * 4 + [False]
    assert harness.start(phone=phones[5], address="192.0.2.1").ok


def test_resend_by_a_visitor_leaves_the_fifth_too() -> None:
    harness = Harness(sms(), sends_per_hour_total=5)
    *_, (id, secret) = [harness.begun(phone=PhoneNumber(f"+98912000000{n}"), by_client=True) for n in range(4)]
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret, by_client=True).reason is Reason.TOO_MANY_REQUESTS
    assert harness.verifier.resend(id, secret).ok


@pytest.mark.parametrize(("quota", "exact"), [("sends_per_hour_per_address", True), ("sends_per_hour_total", False)])
def test_only_the_wait_of_an_address_is_exact(quota: str, exact: bool) -> None:
    """The wait for a quota that others use would reveal when they started."""
    harness = Harness(sms(), **{quota: 1})
    harness.begun(address="192.0.2.1")
    harness.clock.move(60)
    refused = harness.start(phone=PhoneNumber("+989120000001"), address="192.0.2.1")
    assert refused.retry_after == timedelta(minutes=59 if exact else 60)


def test_ipv6_48_has_ten_times_the_64_limit() -> None:
    harness = Harness(sms(), sends_per_hour_per_address=2, sends_per_hour_per_prefix=0)
    phones = [PhoneNumber(f"+98912{n:07}") for n in range(1, 30)]
    made = [harness.start(phone=p, address=f"2001:db8:1:{n:x}::").ok for n, p in enumerate(phones[:25])]
    assert made == [True] * 20 + [False] * 5
    assert harness.start(phone=phones[28], address="2001:db8:2:1::").ok


def test_unclear_order_stays_counted() -> None:
    harness = Harness(flash(UNCLEAR, UNCLEAR), sends_per_hour=1)
    assert harness.start().reason is Reason.DELIVERY_FAILED
    assert harness.start().reason is Reason.TOO_MANY_REQUESTS


def test_number_is_blamed_only_where_the_provider_does() -> None:
    assert Harness(sms(ProviderError(FailureKind.BAD_NUMBER))).start().cause is Cause.NUMBER


def test_refused_start_refunds_the_shared_quotas() -> None:
    harness = Harness(sms(), sends_per_hour=1, sends_per_hour_total=2)
    harness.begun()
    for _ in range(5):
        assert harness.start().reason is Reason.TOO_MANY_REQUESTS
    harness.begun(phone=PhoneNumber("+989120000001"))
    assert harness.start(phone=PhoneNumber("+989120000002")).reason is Reason.TOO_MANY_REQUESTS


@pytest.mark.parametrize("quota", ["sends_per_hour_per_address", "sends_per_hour_per_prefix", "sends_per_hour_total"])
def test_shared_quotas_span_phones(quota: str) -> None:
    driver = sms()
    harness = Harness(driver, **{quota: 3})
    for n in range(5):
        harness.start(phone=PhoneNumber(f"+98912000000{n}"), address="192.0.2.1")
    assert len(driver.orders) == 3


# Resend


def test_resend_repeats_the_code_and_doubles_the_wait() -> None:
    driver = sms()
    harness = Harness(driver, ttl=timedelta(seconds=600))
    id, secret = harness.begun()
    for wait in (60, 120, 240):
        early = harness.verifier.resend(id, secret)
        assert (early.reason, early.retry_after) == (Reason.TOO_MANY_REQUESTS, timedelta(seconds=wait))
        harness.clock.move(wait - 1)
        assert harness.verifier.resend(id, secret).retry_after == timedelta(seconds=1)
        harness.clock.move(1)
        assert harness.verifier.resend(id, secret).ok
    assert len(set(driver.codes)) == 1
    assert len(driver.codes) == 4


def test_resend_counts_in_the_shared_quotas() -> None:
    driver = sms()
    harness = Harness(driver, sends_per_hour_total=2)
    id, secret = harness.begun()
    harness.begun(phone=OTHER_PHONE)
    harness.clock.move(60)
    refused = harness.verifier.resend(id, secret)
    assert (refused.reason, refused.retry_after) == (Reason.TOO_MANY_REQUESTS, timedelta(hours=1))
    assert refused.verification is not None
    assert len(driver.orders) == 2


def test_refused_resend_refunds_the_shared_quotas() -> None:
    harness = Harness(sms(), sends_per_hour_total=3)
    id, secret = harness.begun()
    for _ in range(5):
        assert harness.verifier.resend(id, secret).retry_after == timedelta(seconds=60)
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret).ok
    harness.begun(phone=OTHER_PHONE)
    assert harness.start(phone=OTHER_PHONE).reason is Reason.TOO_MANY_REQUESTS


def test_unnamed_resend_stays_on_its_channel_while_usable() -> None:
    written = sms()
    harness = Harness(chat(), written, resend_after=timedelta(0))
    id, secret = harness.begun(SMS)
    assert harness.verifier.resend(id, secret).ok
    assert len(written.orders) == 2


@pytest.mark.parametrize("preference", [[FLASH, TELEGRAM, SMS], [SMS, FLASH, TELEGRAM]])
def test_unnamed_resend_follows_preference_if_codes_locked(preference: list[Channel]) -> None:
    ringing, chatted, written = flash("1234"), chat(), sms()
    harness = Harness(ringing, chatted, written, preference=preference)
    id, secret = harness.begun(FLASH)
    harness.fail(10)
    harness.clock.move(60)
    record = harness.verifier.resend(id, secret).verification
    assert record is not None
    assert record.channel is next(channel for channel in preference if channel is not FLASH)
    assert len(ringing.orders) == 1


def test_lockout_is_reported_before_the_resend_delay() -> None:
    harness = Harness(sms(), max_failures=5)
    id, secret = harness.begun()
    harness.fail(5)
    early = harness.verifier.resend(id, secret)
    assert (early.reason, early.retry_after) == (Reason.TOO_MANY_REQUESTS, timedelta(hours=1))


def test_resend_resets_no_attempts_and_no_expiry() -> None:
    driver = sms()
    harness = Harness(driver, resend_after=timedelta(0))
    id, secret = harness.begun()
    harness.verifier.check(id, secret, wrong(driver.codes[0]))
    harness.clock.move(100)
    record = harness.verifier.resend(id, secret).verification
    assert record is not None
    assert (record.attempts_left, record.expires_at - record.read_at) == (4, timedelta(seconds=200))
    harness.clock.move(200)
    assert harness.verifier.resend(id, secret).reason is Reason.CLOSED


def test_another_channel_gets_a_new_code_and_voids_the_old() -> None:
    written, ringing = sms(), flash("1234")
    harness = Harness(written, ringing, resend_after=timedelta(0))
    id, secret = harness.begun(SMS)
    record = harness.verifier.resend(id, secret, channel=FLASH).verification
    assert record is not None
    assert (record.channel, record.code_length, record.attempts_left) == (FLASH, 4, 3)
    assert record.expires_at - record.read_at == timedelta(seconds=180)
    assert harness.verifier.check(id, secret, written.codes[0]).reason is Reason.MALFORMED_CODE  # six digits, not four
    record = harness.verifier.resend(id, secret, channel=SMS).verification
    assert record is not None
    assert record.attempts_left == 3
    assert written.codes[1] != written.codes[0]
    assert harness.verifier.check(id, secret, written.codes[1]).ok


@pytest.mark.parametrize("end", [REFUSED, DOWN, UNCLEAR, ProviderError(FailureKind.BAD_NUMBER)])
def test_old_code_stays_valid_when_the_resend_fails(end: Exception) -> None:
    written, ringing = sms(), flash(end)
    harness = Harness(written, ringing, resend_after=timedelta(0))
    id, secret = harness.begun(SMS)
    assert harness.verifier.resend(id, secret, channel=FLASH).reason is Reason.DELIVERY_FAILED
    assert harness.verifier.check(id, secret, written.codes[0]).ok


def test_second_flash_call_is_a_new_code() -> None:
    ringing = flash("1111", "2222")
    harness = Harness(ringing, resend_after=timedelta(0))
    id, secret = harness.begun(FLASH)
    assert harness.verifier.resend(id, secret).ok
    assert harness.verifier.check(id, secret, "1111").reason is Reason.WRONG_CODE
    assert harness.verifier.check(id, secret, "2222").ok


def test_resend_checks_its_binding_and_channel() -> None:
    harness = Harness(sms(), resend_after=timedelta(0))
    id, secret = harness.begun()
    assert harness.verifier.resend(id, "x" * 22).reason is Reason.NOT_FOUND
    assert harness.verifier.resend("A" * 44, secret).reason is Reason.NOT_FOUND
    assert harness.verifier.resend(id, secret, channel=VOICE).reason is Reason.CHANNEL_UNAVAILABLE


# Inbound calls


def test_poll_with_the_right_caller_verifies() -> None:
    caller = Caller([Receipt("7", line=LINE)], [Sighting(CallState.WAITING), Sighting(CallState.CALLED, PHONE)])
    harness = Harness(caller)
    id, secret = harness.begun()
    assert harness.verifier.poll(id, secret).verification.state is Status.SENT  # type: ignore[union-attr]
    assert harness.verifier.poll(id, secret).verification.state is Status.SENT  # type: ignore[union-attr]
    assert caller.polls == 1  # three seconds have not passed
    harness.clock.move(3)
    outcome = harness.verifier.poll(id, secret)
    assert outcome.verification is not None
    assert outcome.verification.state is Status.VERIFIED
    assert outcome.verification.assurance == "caller_id"
    assert harness.verifier.redeem(outcome.proof or "", [secret], ["login"]) is not None


@in_one_test
@pytest.mark.parametrize(
    "seen",
    [
        Sighting(CallState.CALLED, PhoneNumber("+989120000001")),
        Sighting(CallState.CALLED, PhoneNumber("+79120000000")),  # the same last ten digits
        Sighting(CallState.CALLED, None),
        UNCLEAR,
        DOWN,
    ],
)
def test_another_caller_verifies_nothing(seen: Any) -> None:
    harness = Harness(Caller([Receipt("7", line=LINE)], [seen]))
    id, secret = harness.begun()
    outcome = harness.verifier.poll(id, secret)
    assert outcome.verification is not None
    assert outcome.verification.state is Status.SENT


def test_line_ended_by_the_provider_ends_the_claim() -> None:
    harness = Harness(Caller([Receipt("7", line=LINE)], [Sighting(CallState.EXPIRED)]))
    id, secret = harness.begun()
    assert harness.verifier.poll(id, secret).verification.state is Status.EXPIRED  # type: ignore[union-attr]


def test_claim_ttl_is_that_of_the_provider_line() -> None:
    caller = Caller([Receipt("7", line=LINE)], [Sighting(CallState.CALLED, PHONE)])
    harness = Harness(caller)
    id, secret = harness.begun()
    harness.clock.move(120)
    assert harness.verifier.poll(id, secret).verification.state is Status.EXPIRED  # type: ignore[union-attr]
    assert caller.polls == 0


def test_webhook_triggers_a_poll_where_possible() -> None:
    caller = Caller([Receipt("7", line=LINE)], [Sighting(CallState.WAITING), Sighting(CallState.CALLED, PHONE)])
    harness = Harness(caller)
    id, secret = harness.begun()
    told = webhook(id="7", caller=PHONE.e164)
    assert harness.verifier.receive("caller", told).verified is False  # polled, and the provider has no such call
    assert harness.verifier.receive("caller", told).verified is False  # polled just before
    assert caller.polls == 1
    harness.clock.move(3)
    assert harness.verifier.receive("caller", told).verified is True
    assert harness.verifier.receive("caller", told).verified is False
    assert harness.verifier.poll(id, secret).verification.state is Status.VERIFIED  # type: ignore[union-attr]


@in_one_test
@pytest.mark.parametrize(
    ("parameters", "proves"),
    [
        ({"id": "7", "caller": PHONE.e164}, True),
        ({"line": LINE.e164, "caller": PHONE.e164}, True),
        ({"id": "8", "caller": PHONE.e164, "line": LINE.e164}, False),  # unknown reference: never retried as a pair
        ({"line": OTHER_LINE.e164, "caller": PHONE.e164}, False),
        ({"caller": PHONE.e164}, False),
        ({"id": "7", "line": LINE.e164}, False),
        ({"id": "7", "caller": "+989120000001"}, False),
        ({}, False),
    ],
)
def test_webhook_is_trusted_where_polling_is_impossible(parameters: dict[str, str], proves: bool) -> None:
    harness = Harness(DeafCaller(Receipt("7", line=LINE)))
    harness.begun()
    assert harness.verifier.receive("deaf", webhook(**parameters)).verified is proves


def test_repeated_parameter_verifies_nothing() -> None:
    harness = Harness(DeafCaller(Receipt("7", line=LINE)))
    harness.begun()
    twice = WebhookRequest("GET", [("id", "7"), ("caller", PHONE.e164), ("caller", "+989120000001")], {}, b"")
    assert harness.verifier.receive("deaf", twice).verified is False
    unread = WebhookRequest("GET", [("id", "7"), ("caller", PHONE.e164), ("x", "1"), ("x", "1")], {}, b"")
    assert harness.verifier.receive("deaf", unread).verified is False
    assert harness.verifier.receive("sms-1", webhook(id="7", caller=PHONE.e164)).verified is False


@in_one_test
@pytest.mark.parametrize(
    ("body", "proves"),
    [
        (b'{"x": 1, "y": {"x": 1}, "z": [{"x": 1}, {"x": 1}]}', True),
        (b'[{"x": 1}, {"x": 1}]', True),
        (b'{"x": 1, "x": 1', True),
        (b'{"x": 1, "x": 1}', False),
        (b' {"y": [{"x": 1, "x": 1}]}', False),
        (b'{"caller": "+989120000001"}', False),
    ],
    ids=["each once", "list", "not JSON", "twice", "nested", "in the query too"],
)
def test_repeated_member_of_a_json_body_verifies_nothing(body: bytes, proves: bool) -> None:
    harness = Harness(DeafCaller(Receipt("7", line=LINE)))
    harness.begun()
    request = WebhookRequest("POST", [("id", "7"), ("caller", PHONE.e164)], {}, body)
    assert harness.verifier.receive("deaf", request).verified is proves


def test_event_is_looked_up_within_its_driver() -> None:
    harness = Harness(DeafCaller(Receipt("7", line=LINE)))
    harness.begun()
    assert harness.verifier.receive("other", webhook(id="7", caller=PHONE.e164)).verified is False


def test_phone_reserves_a_line_once() -> None:
    harness = Harness(Caller([Receipt(str(n), line=LINE) for n in range(9)]))
    first, _ = harness.begun()
    second = harness.start()
    assert second.reason is Reason.CHANNEL_UNAVAILABLE
    assert second.verification is not None
    assert second.verification.status is Status.FAILED
    harness.begun(phone=PhoneNumber("+989120000001"))  # different phones share a line
    assert first != second.verification.id


def test_open_claim_keeps_its_line_from_its_own_browser() -> None:
    harness = Harness(Caller([Receipt(str(n), line=LINE) for n in range(9)]))
    _, secret = harness.begun()
    assert harness.start(purpose="signup", shown=[secret]).reason is Reason.CHANNEL_UNAVAILABLE
    harness.begun(shown=[secret])  # the old one of the same purpose ends first


def test_line_rests_a_minute_unless_its_holder_returns() -> None:
    harness = Harness(Caller([Receipt(str(n), line=LINE) for n in range(9)]))
    id, secret = harness.begun()
    harness.verifier.cancel(id, secret)
    assert harness.start().reason is Reason.CHANNEL_UNAVAILABLE
    id, secret = harness.begun(shown=[secret])
    harness.verifier.cancel(id, secret)
    harness.clock.move(59)
    assert harness.start().reason is Reason.CHANNEL_UNAVAILABLE
    harness.clock.move(61)
    harness.begun()


def test_line_conflict_on_resend_closes_the_claim() -> None:
    receipts = [Receipt("1", line=LINE), Receipt("2", line=OTHER_LINE), Receipt("3", line=LINE)]
    harness = Harness(Caller(receipts), resend_after=timedelta(0))
    harness.begun()
    id, secret = harness.begun()
    conflict = harness.verifier.resend(id, secret)
    assert conflict.reason is Reason.CHANNEL_UNAVAILABLE
    assert harness.verifier.poll(id, secret).verification.state is Status.FAILED  # type: ignore[union-attr]


def test_resend_takes_a_new_line_and_voids_the_old_call() -> None:
    harness = Harness(DeafCaller(Receipt("1", line=LINE), Receipt("2", line=OTHER_LINE)), resend_after=timedelta(0))
    id, secret = harness.begun()
    assert harness.verifier.resend(id, secret).verification.line == OTHER_LINE  # type: ignore[union-attr]
    assert harness.verifier.receive("deaf", webhook(id="1", caller=PHONE.e164)).verified is False
    assert harness.verifier.receive("deaf", webhook(id="2", caller=PHONE.e164)).verified is True


def test_code_is_refused_for_an_inbound_call() -> None:
    harness = Harness(Caller([Receipt("7", line=LINE)]))
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, "1234").reason is Reason.MALFORMED_CODE
    assert harness.verifier.check(id, secret, "").reason is Reason.MALFORMED_CODE


# Remote codes


def test_remote_code_is_checked_after_the_attempt_is_spent() -> None:
    remote = Remote(False, True)
    harness = Harness(remote)
    id, secret = harness.begun()
    first = harness.verifier.check(id, secret, "11111")
    assert first.reason is Reason.WRONG_CODE
    assert first.verification is not None
    assert first.verification.attempts_left == 2
    assert harness.verifier.check(id, secret, "22222").ok
    assert harness.verifier.check(id, secret, "22222").reason is Reason.CLOSED
    assert remote.asked == 2


def test_provider_outage_spends_attempt_without_a_failure() -> None:
    remote = Remote(*[DOWN, UNCLEAR, DOWN] * 2, True)
    harness = Harness(remote, max_failures=3)
    for _ in range(2):
        id, secret = harness.begun()
        for _ in range(3):
            assert harness.verifier.check(id, secret, "11111").reason is Reason.PROVIDER_UNAVAILABLE
        closed = harness.verifier.check(id, secret, "11111")
        assert closed.reason is Reason.CLOSED
        assert closed.verification is not None
        assert closed.verification.state is Status.EXHAUSTED
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, "11111").ok


def test_slow_right_remote_answer_survives_a_fast_wrong_one() -> None:
    remote = Remote(False, False, True)
    harness = Harness(remote, max_attempts=3)
    id, secret = harness.begun()
    quick: list[Any] = []

    def meanwhile() -> None:
        remote.on_check = lambda: None
        quick.extend(harness.verifier.check(id, secret, "00000") for _ in range(2))

    remote.on_check = meanwhile
    slow = harness.verifier.check(id, secret, "12345")
    assert [outcome.reason for outcome in quick] == [Reason.WRONG_CODE] * 2
    assert slow.ok
    assert slow.proof is not None


def test_wrong_remote_codes_count_across_verifications() -> None:
    remote = Remote(*[False] * 9)
    harness = Harness(remote, max_failures=4)
    for tries in (3, 1):
        id, secret = harness.begun()
        for _ in range(tries):
            assert harness.verifier.check(id, secret, "11111").reason is Reason.WRONG_CODE
    assert harness.verifier.check(id, secret, "11111").reason is Reason.TOO_MANY_REQUESTS
    assert remote.asked == 4


# Binding, proofs, keys


def test_start_cancels_the_open_one_of_its_browser_only() -> None:
    harness = Harness(sms())
    mine, secret = harness.begun()
    foreign, foreign_secret = harness.begun()
    signup, signup_secret = harness.begun(purpose="signup", shown=[secret])
    harness.begun(shown=[secret, "x" * 22])
    assert harness.verifier.poll(mine, secret).verification.state is Status.CANCELLED  # type: ignore[union-attr]
    assert harness.verifier.poll(foreign, foreign_secret).verification.state is Status.SENT  # type: ignore[union-attr]
    assert harness.verifier.poll(signup, signup_secret).verification.state is Status.SENT  # type: ignore[union-attr]


def test_proof_works_once_and_is_shown_until_used_or_expired() -> None:
    driver = sms()
    harness = Harness(driver)
    id, secret = harness.begun()
    proof = harness.verifier.check(id, secret, driver.codes[0]).proof
    assert proof
    assert harness.verifier.poll(id, secret).proof == proof
    assert harness.verifier.redeem(proof, ["x" * 22], ["login"]) is None
    assert harness.verifier.redeem(proof, [secret], ["signup"]) is None
    assert harness.verifier.redeem(proof, [], ["login"]) is None
    redeemed = harness.verifier.redeem(proof, ["x" * 22, secret], ["login"])
    assert redeemed is not None
    assert (redeemed.phone, redeemed.purpose, redeemed.assurance) == (PHONE, "login", "code")
    assert harness.verifier.redeem(proof, [secret], ["login"]) is None
    assert harness.verifier.poll(id, secret).proof is None


def test_proof_is_valid_for_five_minutes() -> None:
    driver = sms()
    harness = Harness(driver)
    id, secret = harness.begun()
    proof = harness.verifier.check(id, secret, driver.codes[0]).proof or ""
    harness.clock.move(300)
    assert harness.verifier.poll(id, secret).proof is None
    assert harness.verifier.redeem(proof, [secret], ["login"]) is None


def test_old_key_codes_work_only_while_the_key_is_listed() -> None:
    driver = sms()
    old = Harness(driver, keys=["o-key-for-tests-0123456789abcdef"], resend_after=timedelta(0))
    both = Harness(
        driver,
        store=old.store,
        keys=["n-key-for-tests-0123456789abcdef", "o-key-for-tests-0123456789abcdef"],
        resend_after=timedelta(0),
    )
    only_new = Harness(driver, store=old.store, keys=["n-key-for-tests-0123456789abcdef"])
    id, secret = old.begun()
    assert both.verifier.resend(id, secret).ok
    assert driver.codes[1] == driver.codes[0]
    assert only_new.verifier.check(id, secret, driver.codes[0]).reason is Reason.WRONG_CODE
    assert both.verifier.check(id, secret, driver.codes[0]).ok


def test_resend_after_key_removal_is_a_new_code() -> None:
    driver = sms()
    old = Harness(driver, keys=["o-key-for-tests-0123456789abcdef"])
    new = Harness(driver, store=old.store, keys=["n-key-for-tests-0123456789abcdef"], resend_after=timedelta(0))
    id, secret = old.begun()
    new.clock.move(60)
    assert new.verifier.resend(id, secret).ok
    assert new.verifier.check(id, secret, driver.codes[1]).ok


def test_open_verification_is_found_by_its_secret() -> None:
    harness = Harness(sms())
    id, secret = harness.begun()
    assert harness.verifier.find_open(PHONE, "login", [(id, secret)]) is not None
    assert harness.verifier.find_open(PHONE, "signup", [(id, secret)]) is None
    assert harness.verifier.find_open(PHONE, "login", [(id, "x" * 22)]) is None
    assert harness.verifier.find_open(PhoneNumber("+989120000001"), "login", [(id, secret)]) is None
    harness.verifier.cancel(id, secret)
    assert harness.verifier.find_open(PHONE, "login", [(id, secret)]) is None


@pytest.mark.parametrize(
    "keys",
    [
        (["k" * 31], "t-key-for-tests-0123456789abcdef"),
        (["k-key-for-tests-0123456789abcdef", "o" * 31], "t-key-for-tests-0123456789abcdef"),
        (["k-key-for-tests-0123456789abcdef"], "t" * 31),
    ],
)
def test_key_of_less_than_32_characters_is_refused(keys: tuple[list[str], str]) -> None:
    with pytest.raises(ConfigurationError, match="32 characters"):
        Keyring(*keys)


def test_key_of_32_characters_is_enough() -> None:
    assert Keyring(
        ["k-key-for-tests-0123456789abcdef", "o-key-for-tests-0123456789abcdef"], "t-key-for-tests-0123456789abcdef"
    ).key_id


@pytest.mark.parametrize("length", [4, 6, 8])
def test_biased_random_numbers_are_redrawn(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    ring, messages = Keyring(["k-key-for-tests-0123456789abcdef"]), list[str]()
    ceiling = 2**64 // 10**length * 10**length
    draws = [2**64 - 1, ceiling, ceiling - 1, 0]

    def drawn(key: object, message: str) -> bytes:
        messages.append(message)
        return draws.pop(0).to_bytes(8, "big") + bytes(24)

    monkeypatch.setattr(PreparedKey, "digest", drawn)
    assert ring.derive(ring.key_id, "id", PHONE, "login", 1, length) == "9" * length
    assert len(set(messages)) == 3


# Failures


class BrokenStore(MemoryStore):
    """A store that fails at one operation."""

    def __init__(self, verb: str) -> None:
        super().__init__()

        async def fail(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        setattr(self, verb, fail)


@pytest.mark.parametrize("verb", ["count", "open"])
def test_nothing_is_sent_while_the_store_is_down(verb: str) -> None:
    driver = sms()
    with pytest.raises(StoreError):
        Harness(driver, store=BrokenStore(verb)).start()
    assert driver.orders == []


class KilledError(BaseException):
    """The process ends here."""


def test_code_delivered_before_a_crash_still_works() -> None:
    from phone_verify.codes import new_id, new_secret

    class Killing(MemoryStore):
        async def attach(self, *_: Any) -> Any:
            raise KilledError

    driver = sms()
    harness = Harness(driver, store=Killing())
    secrets: list[bytes] = [b"i" * 16, b"s" * 16]
    harness.verifier = Harness.face(replace(harness.parts, random_bytes=lambda _: secrets.pop()))
    with pytest.raises(KilledError):
        harness.start()
    id = new_id(harness.parts.keyring.tag(PHONE), lambda _: b"i" * 16)
    assert harness.verifier.check(id, new_secret(lambda _: b"s" * 16), driver.codes[0]).ok


@pytest.mark.parametrize("make", [sms, lambda: Remote(True)], ids=["ours", "remote"])
def test_store_outage_after_the_send_wastes_no_message(make: Any) -> None:
    driver = make()
    harness = Harness(driver, store=BrokenStore("attach"))
    outcome = harness.start()
    assert isinstance(outcome, Started)
    assert (outcome.reason, outcome.verification.status) == (None, Status.PENDING)
    code = driver.codes[0] or "12345"
    assert harness.verifier.check(outcome.verification.id, outcome.secret, code).ok


@pytest.mark.parametrize(
    "make",
    [
        lambda: flash("1234"),
        lambda: Caller([Receipt("ref", line=LINE)]),
        lambda: sms(Receipt("ref", line=LINE)),
        lambda: Remote(True, sent=Receipt("event")),
    ],
    ids=["told", "a call", "held back until a call", "remote by its reference"],
)
def test_receipt_based_start_fails_without_the_store(make: Any) -> None:
    with pytest.raises(StoreError):
        Harness(make(), store=BrokenStore("attach")).start()


def test_unrecorded_code_is_not_used_without_the_store() -> None:
    shorter = Driver("sms-2", SMS, Ability(CodeSource.LOCAL, longest=4))
    with pytest.raises(StoreError):
        Harness(sms(REFUSED), shorter, store=BrokenStore("attach")).start()


def test_suspending_flow_raises_a_clear_error() -> None:
    import asyncio

    async def suspends() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="blocking"):
        run(suspends())


def test_nothing_secret_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    driver = sms(REFUSED, UNCLEAR)
    harness = Harness(driver, resend_after=timedelta(0))
    harness.start()
    outcome = harness.start()
    assert isinstance(outcome, Started)
    id, secret = outcome.verification.id, outcome.secret
    harness.verifier.resend(id, secret)
    right = harness.verifier.check(id, secret, driver.codes[-1])
    shown = caplog.text + repr(outcome) + repr(right) + repr(driver.orders) + repr(harness.parts)
    assert "did not accept" in caplog.text
    for secret_text in (
        PHONE.e164[1:],
        PHONE.national,
        *driver.codes,
        secret,
        right.proof or "-",
        "k-key-for-tests-0123456789abcdef",
    ):
        assert secret_text not in shown


# Delivery status


class Teller(Driver):
    """A driver with delivery status by polling and webhooks."""

    def __init__(self, *tellings: Any, ability: Ability | None = None) -> None:
        super().__init__("teller", SMS, ability or Ability(CodeSource.LOCAL), [Receipt("600000001")])
        self.tellings, self.asked = list(tellings), list[str]()

    def delivery(self, reference: str) -> Exchange[DeliveryReport]:
        self.asked.append(reference)
        yield HttpRequest.get("http://teller.invalid")
        state = self.tellings.pop(0)
        if isinstance(state, Exception):
            raise state
        return DeliveryReport(reference, state, "words")

    def parse_webhook(self, request: WebhookRequest) -> DeliveryReport | None:
        said = request.once("said") or ""
        return DeliveryReport("600000001", DeliveryState.DELIVERED, said) if request.once("id") else None


def answering(*answers: Any) -> FakeTransport:
    return FakeTransport(answers or [HttpResponse(200)] * 9)


@pytest.mark.parametrize("state", list(DeliveryState))
def test_delivery_queries_the_last_order(state: DeliveryState) -> None:
    teller = Teller(state)
    harness = Harness(teller, transport=answering())
    id, secret = harness.begun()
    before = harness.verifier.get(id, secret)
    assert harness.verifier.delivery(id) == DeliveryReport("600000001", state, "words")
    assert teller.asked == ["600000001"]
    assert harness.verifier.get(id, secret) == before


def test_delivery_queries_the_resent_order() -> None:
    teller = Teller(DeliveryState.OPEN)
    teller.results = [Receipt("1"), Receipt("2")]
    harness = Harness(teller, transport=answering(), resend_after=timedelta(0))
    id, secret = harness.begun()
    harness.verifier.resend(id, secret)
    assert harness.verifier.delivery(id) is not None
    assert teller.asked == ["2"]


def test_delivery_of_a_finished_verification_is_available() -> None:
    teller = Teller(DeliveryState.DELIVERED)
    harness = Harness(teller, transport=answering())
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, teller.codes[0]).ok
    assert harness.verifier.delivery(id) is not None


def test_delivery_is_none_without_a_reporting_driver() -> None:
    teller = Teller()
    harness = Harness(teller, transport=answering())
    teller.results = [Receipt()]
    id, _ = harness.begun()
    assert harness.verifier.delivery(id) is None  # without a reference
    teller.results = [UNCLEAR]
    id, _ = harness.begun()
    assert harness.verifier.delivery(id) is None
    for unknown in ("", "x", "A" * 44, id[:-1], id + "A"):
        assert harness.verifier.delivery(unknown) is None
    assert teller.asked == []
    strict = Harness(teller, store=BrokenStore("get"))
    assert strict.verifier.delivery("no id at all") is None  # nor is the store
    silent = Harness(sms(Receipt("7")))
    assert silent.verifier.delivery(silent.begun()[0]) is None


def test_inbound_call_has_no_delivery() -> None:
    class CallTeller(Caller):
        def delivery(self, reference: str) -> Exchange[DeliveryReport]:
            raise AssertionError("asked")
            yield HttpRequest.get("http://teller.invalid")

    harness = Harness(CallTeller([Receipt("7", line=LINE)]))
    assert harness.verifier.delivery(harness.begun()[0]) is None


def test_removed_driver_is_not_queried() -> None:
    teller = Teller()
    harness = Harness(teller, transport=answering())
    id, _ = harness.begun()
    assert Harness(sms(), store=harness.store).verifier.delivery(id) is None
    assert teller.asked == []


@pytest.mark.parametrize("trouble", [REFUSED, UNCLEAR], ids=["refused", "unclear"])
def test_unknown_delivery_status_is_logged(trouble: Exception, caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(Teller(trouble), transport=answering())
    id, secret = harness.begun()
    assert harness.verifier.delivery(id) is None
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        f"teller could not report the delivery status of an order: {trouble}",
    )
    assert harness.verifier.get(id, secret).ok


def test_provider_outage_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(Teller(), transport=answering(DOWN))
    id, _ = harness.begun()
    assert harness.verifier.delivery(id) is None
    assert "cannot connect" in caplog.text


def test_delivery_webhook_changes_no_verification(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = MemoryStore()
    harness = Harness(Teller(), store=store, transport=answering(AssertionError("asked")))
    id, secret = harness.begun()
    before = harness.verifier.get(id, secret)
    said = f"to {PHONE.e164[1:]}\nforged: line 482193"
    assert harness.verifier.receive("teller", webhook(id="600000001", said=said)).verified is False
    assert harness.verifier.get(id, secret) == before
    (record,) = of_the_library(caplog)
    assert (record.levelno, record.getMessage()) == (
        logging.INFO,
        "teller reported the delivery status of an order: delivered to … forged: line …",
    )
    assert harness.verifier.receive("teller", webhook(said="nothing")).verified is False
    assert len(of_the_library(caplog)) == 1


def of_the_library(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the log without the one event per operation."""
    return [record for record in caplog.records if record.name == "phone_verify"]


def test_delivery_webhook_without_text_logs_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert Harness(Teller()).verifier.receive("teller", webhook(id="600000001")).verified is False
    (record,) = of_the_library(caplog)
    assert record.getMessage() == "teller reported the delivery status of an order: delivered"


def test_channel_may_be_given_as_text() -> None:
    harness = Harness(sms(), chat(), resend_after=timedelta(0))
    started = harness.verifier.start(PHONE, channel="telegram")  # type: ignore[arg-type]
    assert isinstance(started, Started)
    assert started.verification.channel is TELEGRAM
    moved = harness.verifier.resend(started.verification.id, started.secret, channel="sms")  # type: ignore[arg-type]
    assert moved.verification is not None
    assert moved.verification.channel is SMS
    with pytest.raises(ValueError, match="pigeon"):
        harness.verifier.start(PHONE, channel="pigeon")  # type: ignore[arg-type]
