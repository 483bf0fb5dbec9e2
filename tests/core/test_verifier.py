"""The flows, blocking and awaited, over the memory store and small drivers."""

from __future__ import annotations

import hmac
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from phone_verify.codes import Keyring
from phone_verify.drivers.base import Ability
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, StoreError
from phone_verify.exchange import Exchange, HttpRequest, HttpResponse
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
    Status,
    WebhookRequest,
)
from phone_verify.phone import PhoneNumber
from phone_verify.stores.memory import MemoryStore
from phone_verify.sync import run
from phone_verify.testing.transport import FakeTransport

from .bench import (
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
    Bench,
    Caller,
    DeafCaller,
    Driver,
    Remote,
    chat,
    flash,
    sms,
    webhook,
    wrong,
)

pytestmark = pytest.mark.usefixtures("face")

# Failover


def test_a_refusal_moves_on_to_the_next_driver() -> None:
    first, second = sms(REFUSED, DOWN), sms(name="sms-2")
    bench = Bench(first, second)
    for _ in range(2):
        id, secret = bench.begun()
        assert bench.verifier.check(id, secret, second.codes[-1]).ok
    assert first.codes == second.codes  # the same code: whichever comes first works


def test_when_nobody_takes_it_the_record_fails_and_nothing_is_open() -> None:
    bench, settled = Bench(sms(REFUSED), sms(DOWN, name="sms-2")), []
    settle = bench.store.settle

    async def seen(id: str, status: Status, now: Any) -> bool:
        settled.append(status)
        return await settle(id, status, now)

    bench.store.settle = seen
    outcome = bench.start()
    assert outcome.reason is Reason.DELIVERY_FAILED
    assert outcome.secret is None
    assert settled == [Status.FAILED]


def test_a_bad_number_is_not_failed_over() -> None:
    second = sms(name="sms-2")
    assert Bench(sms(ProviderError(FailureKind.BAD_NUMBER)), second).start().reason is Reason.DELIVERY_FAILED
    assert second.orders == []


def test_an_unclear_end_is_never_failed_over_and_our_code_stays_good() -> None:
    first, second = sms(UNCLEAR), sms(name="sms-2")
    bench = Bench(first, second)
    outcome = bench.start()
    assert outcome.ok
    assert outcome.verification is not None
    assert outcome.verification.status is Status.PENDING
    assert second.orders == []
    assert bench.verifier.check(outcome.verification.id, outcome.secret or "", first.codes[0]).ok


def test_an_unclear_end_of_a_remote_code_stays_usable() -> None:
    remote = Remote(True)
    remote.results = [UNCLEAR]
    bench = Bench(remote)
    id, secret = bench.begun()
    assert bench.verifier.check(id, secret, "12345").ok


@pytest.mark.parametrize("caller", [False, True], ids=["told", "nobody"])
def test_an_unclear_end_that_nothing_can_prove_fails(caller: bool) -> None:
    first, second = flash(UNCLEAR), flash("1234", name="second")
    if caller:
        first, second = Caller([UNCLEAR]), Caller([Receipt("r", line=LINE)], name="second")
    assert Bench(first, second).start().reason is Reason.DELIVERY_FAILED
    assert (len(first.orders), len(second.orders)) == (1, 0)
    assert Bench(second).start().ok


def test_a_receipt_without_what_it_must_hold_fails() -> None:
    told = flash()
    told.results = [Receipt("r")]
    assert Bench(told).start().reason is Reason.DELIVERY_FAILED
    assert Bench(Caller([Receipt("r")])).start().reason is Reason.DELIVERY_FAILED


def test_a_whole_start_takes_twenty_seconds_at_most() -> None:
    second = sms(name="sms-2")
    first = sms(DOWN)
    bench = Bench(first, second)

    def slow() -> None:
        bench.ticks += 20

    first.on_start = slow
    assert bench.start().reason is Reason.DELIVERY_FAILED
    assert second.orders == []


class Asking(Driver):
    """Puts one request to its provider."""

    def start(self, order: Order) -> Exchange[Receipt]:
        self.orders.append(order)
        yield HttpRequest.get("http://provider.invalid")
        return Receipt()


@pytest.mark.parametrize(("end", "put_last"), [(DOWN, True), (UNCLEAR, True), (HttpResponse(500), False)])
def test_a_silent_provider_is_put_last_for_a_while_and_never_left_out(end: Any, put_last: bool) -> None:
    first, second = Asking("sms-1", SMS, Ability(CodeSource.LOCAL)), sms(name="sms-2")
    bench = Bench(first, second)
    bench.parts.transport.answers = [end] * 20 + [HttpResponse(200)] * 3  # type: ignore[attr-defined]
    for _ in range(21):
        bench.begun()
    assert len(first.orders) == (20 if put_last else 21)
    bench.ticks += 31
    bench.begun()
    assert len(first.orders) == (21 if put_last else 22)


def test_failover_to_a_driver_of_shorter_codes_gives_a_short_code() -> None:
    short = Driver("sms-2", SMS, Ability(CodeSource.LOCAL, longest=4))
    bench = Bench(sms(REFUSED), short)
    outcome = bench.start()
    assert outcome.verification is not None
    record = outcome.verification
    assert (record.code_length, record.attempts_left, record.short) == (4, 3, True)
    assert record.expires_at - record.created_at <= timedelta(seconds=180)
    assert bench.verifier.check(record.id, outcome.secret or "", short.codes[0]).ok


# Choosing the channel


def test_the_first_preferred_channel_that_can_serve() -> None:
    unreaching = Driver("sms-1", SMS, Ability(CodeSource.LOCAL), reachable=False)
    ringing = flash("1234")
    outcome = Bench(unreaching, ringing).start()
    assert outcome.verification is not None
    assert outcome.verification.channel is FLASH


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
def test_destinations_and_channels_that_are_refused(phone: str, channel: Channel | None, reason: Reason) -> None:
    driver = sms()
    bench = Bench(driver, allowed_regions=frozenset({"IR"}))
    assert bench.start(channel, PhoneNumber(phone)).reason is reason
    assert driver.orders == []


def test_a_channel_that_never_reaches_the_phone_is_told_before_one_that_is_missing() -> None:
    bench = Bench(Caller([]))
    assert bench.start(SMS, PhoneNumber("+982188776655")).reason is Reason.DESTINATION_NOT_ALLOWED
    assert bench.start(SMS).reason is Reason.CHANNEL_UNAVAILABLE


def test_a_channel_outside_the_preference_serves_only_when_it_is_named() -> None:
    unreaching, written = chat(), sms()
    unreaching.reachable = False
    bench = Bench(written, unreaching, preference=[TELEGRAM], resend_after=timedelta(0))
    assert bench.start().reason is Reason.DESTINATION_NOT_ALLOWED
    assert written.orders == []
    bench.begun(SMS)
    assert len(written.orders) == 1


def test_a_channel_outside_the_preference_does_not_stand_in_for_closed_short_codes() -> None:
    written = sms()
    bench = Bench(flash("1234"), written, preference=[FLASH], resend_after=timedelta(0))
    id, secret = bench.begun()
    bench.fail(10)
    written.orders.clear()
    assert bench.start().reason is Reason.CHANNEL_UNAVAILABLE
    assert bench.verifier.resend(id, secret).reason is Reason.CHANNEL_UNAVAILABLE
    assert written.orders == []
    assert bench.verifier.resend(id, secret, channel=SMS).verification.channel is SMS  # type: ignore[union-attr]


def test_only_closed_short_codes_try_the_next_channel() -> None:
    bench, opened = Bench(sms(), chat(), sends_per_hour=1), list[Channel]()
    open_in_store = bench.store.open

    async def seen(opening: Opening, *more: Any) -> Any:
        opened.append(opening.channel)
        return await open_in_store(opening, *more)

    bench.store.open = seen
    bench.begun()
    assert bench.start().reason is Reason.TOO_MANY_REQUESTS
    assert opened == [SMS, SMS]


def test_an_outcome_lists_the_channels_that_a_resend_would_accept() -> None:
    unreaching = Driver("voice-1", VOICE, Ability(CodeSource.LOCAL), reachable=False)
    mixed = [sms(), Driver("sms-2", SMS, Ability(CodeSource.LOCAL, longest=4))]
    bench = Bench(*mixed, flash("1234"), unreaching, chat(), preference=[TELEGRAM, FLASH], max_failures=11)
    id, secret = bench.begun()
    bench.fail(9)
    assert bench.verifier.get(id, secret).channels == [TELEGRAM, FLASH, SMS]
    bench.fail(1)
    assert bench.verifier.get(id, secret).channels == [TELEGRAM, SMS]
    bench.fail(1)
    assert bench.verifier.get(id, secret).channels == []
    bench.clock.move(3600)
    id, secret = bench.begun()
    assert bench.verifier.get(id, secret).channels == [TELEGRAM, FLASH, SMS]
    bench.verifier.cancel(id, secret)
    assert bench.verifier.get(id, secret).channels == []


def test_a_fixed_line_may_call_us() -> None:
    bench = Bench(sms(), Caller([Receipt("r", line=LINE)]))
    outcome = bench.start(None, PhoneNumber("+982188776655"))
    assert outcome.verification is not None
    assert outcome.verification.channel is CALL


def test_without_any_channel_nothing_can_start() -> None:
    assert Bench().start().reason is Reason.NOT_CONFIGURED


# Wrong answers


def test_wrong_answers_in_a_row_close_the_phone_whatever_is_opened_anew() -> None:
    bench = Bench(sms(), max_failures=7)
    bench.fail(7)
    other = bench.start()
    assert other.reason is Reason.TOO_MANY_REQUESTS
    assert other.retry_after == timedelta(hours=1)
    bench.clock.move(3599)
    assert bench.start().reason is Reason.TOO_MANY_REQUESTS
    bench.clock.move(1)
    bench.begun()


def test_at_the_limit_nothing_is_compared_and_nothing_sent() -> None:
    driver = sms()
    bench = Bench(driver, max_failures=5)
    id, secret = bench.begun()
    code = driver.codes[-1]
    bench.fail(5)
    sent = len(driver.orders)
    assert bench.verifier.check(id, secret, code).reason is Reason.TOO_MANY_REQUESTS
    bench.clock.move(60)
    assert bench.verifier.resend(id, secret).reason is Reason.TOO_MANY_REQUESTS
    assert len(driver.orders) == sent
    assert bench.verifier.poll(id, secret).verification.attempts_left == 5  # type: ignore[union-attr]


def test_other_phones_and_budgets_are_not_touched() -> None:
    bench = Bench(sms(), max_failures=5)
    bench.fail(5)
    bench.begun(phone=PhoneNumber("+989120000001"))
    bench.begun(purpose="second_factor")
    bench.begun(purpose="confirm", subject="7")


def test_purposes_that_sign_in_share_a_budget() -> None:
    bench = Bench(sms(), max_failures=6)
    bench.fail(3)
    bench.fail(3, purpose="signup")
    for purpose in ("login", "signup", "anything"):
        assert bench.start(purpose=purpose).reason is Reason.TOO_MANY_REQUESTS


def test_only_success_with_that_phone_and_purpose_clears_the_count() -> None:
    driver = sms()
    bench = Bench(driver, max_failures=6)
    bench.fail(4)
    id, secret = bench.begun(purpose="signup")
    assert bench.verifier.check(id, secret, driver.codes[-1]).ok
    bench.fail(1)
    id, secret = bench.begun()
    assert bench.verifier.check(id, secret, driver.codes[-1]).ok
    bench.fail(5)
    bench.begun()


def test_a_malformed_code_is_no_failure() -> None:
    bench = Bench(sms())
    id, secret = bench.begun()
    for typed in ("", "12345", "1234567", "abcdef", "１２３"):
        assert bench.verifier.check(id, secret, typed).reason is Reason.MALFORMED_CODE
    assert bench.verifier.poll(id, secret).verification.attempts_left == 5  # type: ignore[union-attr]


def test_ten_failures_close_short_codes_only() -> None:
    ringing, written = flash(*["1234"] * 9), sms()
    bench = Bench(ringing, written)
    id, secret = bench.begun(FLASH)
    bench.fail(10, FLASH)
    assert bench.start(FLASH).reason is Reason.CHANNEL_UNAVAILABLE
    late = bench.verifier.check(id, secret, "1234")
    assert late.reason is Reason.TOO_MANY_REQUESTS
    rings = len(ringing.orders)
    id, secret = bench.begun()  # no channel named: the next preferred one serves
    assert (len(ringing.orders), len(written.orders)) == (rings, 1)
    early = bench.verifier.resend(id, secret, channel=FLASH)  # the delay is told first
    assert (early.reason, early.retry_after) == (Reason.TOO_MANY_REQUESTS, timedelta(seconds=60))
    bench.clock.move(60)
    assert bench.verifier.resend(id, secret, channel=FLASH).reason is Reason.CHANNEL_UNAVAILABLE
    assert bench.verifier.check(id, secret, written.codes[0]).ok
    bench.begun(FLASH)


# Sends


def test_every_order_counts_one_and_failover_counts_once() -> None:
    bench = Bench(sms(REFUSED, REFUSED), sms(name="sms-2"), sends_per_hour=3)
    for _ in range(3):
        bench.begun()
    refused = bench.start()
    assert refused.reason is Reason.TOO_MANY_REQUESTS
    assert refused.retry_after == timedelta(hours=1)
    bench.clock.move(3600)
    bench.begun()


def test_refused_order_counts_against_no_send_quota() -> None:
    driver = sms(*[REFUSED] * 4)
    quotas = dict.fromkeys(("sends_per_hour", "sends_per_hour_per_address", "sends_per_hour_total"), 1)
    bench = Bench(driver, **quotas, sends_per_hour_per_prefix=1)
    for _ in range(4):
        outcome = bench.start(address="192.0.2.1")
        assert (outcome.reason, outcome.cause) == (Reason.DELIVERY_FAILED, Cause.SERVICE)
    bench.begun(address="192.0.2.1")
    assert bench.start(address="192.0.2.1").reason is Reason.TOO_MANY_REQUESTS


def test_refused_resend_is_given_back_too() -> None:
    bench = Bench(sms(Receipt(), REFUSED), sends_per_hour=2, resend_after=timedelta(0))
    id, secret = bench.begun()
    assert bench.verifier.resend(id, secret).cause is Cause.SERVICE
    assert bench.verifier.resend(id, secret).ok
    assert bench.verifier.resend(id, secret).reason is Reason.TOO_MANY_REQUESTS


def test_refused_orders_have_quotas_of_their_own() -> None:
    bench = Bench(sms(*[REFUSED] * 300))
    reasons = [bench.start(address="192.0.2.1").reason for _ in range(6)]
    assert reasons == [*[Reason.DELIVERY_FAILED] * 5, Reason.TOO_MANY_REQUESTS], "five for a phone"
    others = [PhoneNumber(f"+98912{n:07}") for n in range(1, 300)]
    reasons = [bench.start(phone=phone, address="192.0.2.1").reason for phone in others[:16]]
    assert reasons == [*[Reason.DELIVERY_FAILED] * 15, Reason.TOO_MANY_REQUESTS], "twenty for an address"
    refused = [bench.start(phone=p, by_client=True).reason is Reason.DELIVERY_FAILED for p in others[20:220]]
    assert refused == [True] * 180 + [False] * 20, "two hundred for the site"
    assert bench.start(phone=others[250]).reason is Reason.DELIVERY_FAILED, "none for the site's own code"


def test_one_network_cannot_close_refused_orders() -> None:
    bench = Bench(sms(*[REFUSED] * 300))
    phones = [PhoneNumber(f"+98912{n:07}") for n in range(1, 300)]
    starts = [
        bench.start(phone=phone, address=f"2001:db8:1:{n % 20:x}::", by_client=True).reason
        for n, phone in enumerate(phones[:120])
    ]
    assert starts == [Reason.DELIVERY_FAILED] * 100 + [Reason.TOO_MANY_REQUESTS] * 20
    other = bench.start(phone=phones[200], address="2001:db8:2:1::", by_client=True)
    assert other.reason is Reason.DELIVERY_FAILED


def test_others_cannot_use_up_the_owners_confirmations() -> None:
    bench = Bench(sms(), sends_per_hour=2)
    for _ in range(2):
        bench.begun(purpose="confirm", subject="9", by_client=True, address="192.0.2.9")
    assert bench.start(purpose="confirm", subject="9", by_client=True).reason is Reason.TOO_MANY_REQUESTS
    bench.begun(purpose="confirm", subject="7", owned=True, by_client=True)
    bench.begun(purpose="second_factor")


@pytest.mark.parametrize("quota", ["sends_per_hour_per_address", "sends_per_hour_per_prefix", "sends_per_hour_total"])
def test_a_fifth_is_kept_for_the_sites_own_code(quota: str) -> None:
    bench = Bench(sms(), **{quota: 5})
    phones = [PhoneNumber(f"+98912000000{n}") for n in range(6)]
    made = [bench.start(phone=phone, address="192.0.2.1", by_client=True).ok for phone in phones[:5]]
    assert made == [True] * 4 + [False]
    assert bench.start(phone=phones[5], address="192.0.2.1").ok


def test_a_48_counts_as_ten_64() -> None:
    bench = Bench(sms(), sends_per_hour_per_address=2, sends_per_hour_per_prefix=0)
    phones = [PhoneNumber(f"+98912{n:07}") for n in range(1, 30)]
    made = [bench.start(phone=p, address=f"2001:db8:1:{n:x}::").ok for n, p in enumerate(phones[:25])]
    assert made == [True] * 20 + [False] * 5
    assert bench.start(phone=phones[28], address="2001:db8:2:1::").ok


def test_unclear_order_stays_counted() -> None:
    bench = Bench(flash(UNCLEAR, UNCLEAR), sends_per_hour=1)
    assert bench.start().reason is Reason.DELIVERY_FAILED
    assert bench.start().reason is Reason.TOO_MANY_REQUESTS


def test_cause_is_the_number_where_the_provider_says_so() -> None:
    assert Bench(sms(ProviderError(FailureKind.BAD_NUMBER))).start().cause is Cause.NUMBER


def test_a_refused_start_gives_the_shared_counts_back() -> None:
    bench = Bench(sms(), sends_per_hour=1, sends_per_hour_total=2)
    bench.begun()
    for _ in range(5):
        assert bench.start().reason is Reason.TOO_MANY_REQUESTS
    bench.begun(phone=PhoneNumber("+989120000001"))
    assert bench.start(phone=PhoneNumber("+989120000002")).reason is Reason.TOO_MANY_REQUESTS


@pytest.mark.parametrize("quota", ["sends_per_hour_per_address", "sends_per_hour_per_prefix", "sends_per_hour_total"])
def test_quotas_that_span_phones(quota: str) -> None:
    driver = sms()
    bench = Bench(driver, **{quota: 3})
    for n in range(5):
        bench.start(phone=PhoneNumber(f"+98912000000{n}"), address="192.0.2.1")
    assert len(driver.orders) == 3


# Resend


def test_a_resend_repeats_our_code_and_waits_twice_as_long_each_time() -> None:
    driver = sms()
    bench = Bench(driver, ttl=timedelta(seconds=600))
    id, secret = bench.begun()
    for wait in (60, 120, 240):
        early = bench.verifier.resend(id, secret)
        assert (early.reason, early.retry_after) == (Reason.TOO_MANY_REQUESTS, timedelta(seconds=wait))
        bench.clock.move(wait - 1)
        assert bench.verifier.resend(id, secret).retry_after == timedelta(seconds=1)
        bench.clock.move(1)
        assert bench.verifier.resend(id, secret).ok
    assert len(set(driver.codes)) == 1
    assert len(driver.codes) == 4


def test_a_resend_counts_in_the_quotas_that_span_phones() -> None:
    driver = sms()
    bench = Bench(driver, sends_per_hour_total=2)
    id, secret = bench.begun()
    bench.begun(phone=OTHER_PHONE)
    bench.clock.move(60)
    refused = bench.verifier.resend(id, secret)
    assert (refused.reason, refused.retry_after) == (Reason.TOO_MANY_REQUESTS, timedelta(hours=1))
    assert refused.verification is not None
    assert len(driver.orders) == 2


def test_a_refused_resend_gives_the_shared_counts_back() -> None:
    bench = Bench(sms(), sends_per_hour_total=3)
    id, secret = bench.begun()
    for _ in range(5):
        assert bench.verifier.resend(id, secret).retry_after == timedelta(seconds=60)
    bench.clock.move(60)
    assert bench.verifier.resend(id, secret).ok
    bench.begun(phone=OTHER_PHONE)
    assert bench.start(phone=OTHER_PHONE).reason is Reason.TOO_MANY_REQUESTS


def test_a_resend_by_no_name_stays_on_its_channel_while_that_can_serve() -> None:
    written = sms()
    bench = Bench(chat(), written, resend_after=timedelta(0))
    id, secret = bench.begun(SMS)
    assert bench.verifier.resend(id, secret).ok
    assert len(written.orders) == 2


@pytest.mark.parametrize("preference", [[FLASH, TELEGRAM, SMS], [SMS, FLASH, TELEGRAM]])
def test_a_resend_by_no_name_goes_by_the_preference_once_short_codes_are_closed(preference: list[Channel]) -> None:
    ringing, chatted, written = flash("1234"), chat(), sms()
    bench = Bench(ringing, chatted, written, preference=preference)
    id, secret = bench.begun(FLASH)
    bench.fail(10)
    bench.clock.move(60)
    record = bench.verifier.resend(id, secret).verification
    assert record is not None
    assert record.channel is next(channel for channel in preference if channel is not FLASH)
    assert len(ringing.orders) == 1


def test_too_many_failures_are_told_before_the_delay_of_a_resend() -> None:
    bench = Bench(sms(), max_failures=5)
    id, secret = bench.begun()
    bench.fail(5)
    early = bench.verifier.resend(id, secret)
    assert (early.reason, early.retry_after) == (Reason.TOO_MANY_REQUESTS, timedelta(hours=1))


def test_a_resend_refills_and_lengthens_nothing() -> None:
    driver = sms()
    bench = Bench(driver, resend_after=timedelta(0))
    id, secret = bench.begun()
    bench.verifier.check(id, secret, wrong(driver.codes[0]))
    bench.clock.move(100)
    record = bench.verifier.resend(id, secret).verification
    assert record is not None
    assert (record.attempts_left, record.expires_at - record.read_at) == (4, timedelta(seconds=200))
    bench.clock.move(200)
    assert bench.verifier.resend(id, secret).reason is Reason.CLOSED


def test_another_channel_is_a_new_code_and_the_old_one_dies() -> None:
    written, ringing = sms(), flash("1234")
    bench = Bench(written, ringing, resend_after=timedelta(0))
    id, secret = bench.begun(SMS)
    record = bench.verifier.resend(id, secret, channel=FLASH).verification
    assert record is not None
    assert (record.channel, record.code_length, record.attempts_left) == (FLASH, 4, 3)
    assert record.expires_at - record.read_at == timedelta(seconds=180)
    assert bench.verifier.check(id, secret, written.codes[0]).reason is Reason.MALFORMED_CODE  # six digits, not four
    record = bench.verifier.resend(id, secret, channel=SMS).verification
    assert record is not None
    assert record.attempts_left == 3
    assert written.codes[1] != written.codes[0]
    assert bench.verifier.check(id, secret, written.codes[1]).ok


@pytest.mark.parametrize("end", [REFUSED, DOWN, UNCLEAR, ProviderError(FailureKind.BAD_NUMBER)])
def test_the_old_code_stays_good_when_the_new_one_cannot_come(end: Exception) -> None:
    written, ringing = sms(), flash(end)
    bench = Bench(written, ringing, resend_after=timedelta(0))
    id, secret = bench.begun(SMS)
    assert bench.verifier.resend(id, secret, channel=FLASH).reason is Reason.DELIVERY_FAILED
    assert bench.verifier.check(id, secret, written.codes[0]).ok


def test_calling_again_is_a_new_code() -> None:
    ringing = flash("1111", "2222")
    bench = Bench(ringing, resend_after=timedelta(0))
    id, secret = bench.begun(FLASH)
    assert bench.verifier.resend(id, secret).ok
    assert bench.verifier.check(id, secret, "1111").reason is Reason.WRONG_CODE
    assert bench.verifier.check(id, secret, "2222").ok


def test_a_resend_knows_its_binding_and_its_channels() -> None:
    bench = Bench(sms(), resend_after=timedelta(0))
    id, secret = bench.begun()
    assert bench.verifier.resend(id, "x" * 22).reason is Reason.NOT_FOUND
    assert bench.verifier.resend("A" * 44, secret).reason is Reason.NOT_FOUND
    assert bench.verifier.resend(id, secret, channel=VOICE).reason is Reason.CHANNEL_UNAVAILABLE


# Inbound calls


def test_a_poll_that_sees_the_right_caller_proves_it() -> None:
    caller = Caller([Receipt("7", line=LINE)], [Sighting(CallState.WAITING), Sighting(CallState.CALLED, PHONE)])
    bench = Bench(caller)
    id, secret = bench.begun()
    assert bench.verifier.poll(id, secret).verification.state is Status.SENT  # type: ignore[union-attr]
    assert bench.verifier.poll(id, secret).verification.state is Status.SENT  # type: ignore[union-attr]
    assert caller.polls == 1  # three seconds have not passed
    bench.clock.move(3)
    outcome = bench.verifier.poll(id, secret)
    assert outcome.verification is not None
    assert outcome.verification.state is Status.VERIFIED
    assert outcome.verification.assurance == "caller_id"
    assert bench.verifier.redeem(outcome.proof or "", [secret], ["login"]) is not None


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
def test_another_caller_proves_nothing(seen: Any) -> None:
    bench = Bench(Caller([Receipt("7", line=LINE)], [seen]))
    id, secret = bench.begun()
    outcome = bench.verifier.poll(id, secret)
    assert outcome.verification is not None
    assert outcome.verification.state is Status.SENT


def test_a_line_that_the_provider_has_ended_is_over() -> None:
    bench = Bench(Caller([Receipt("7", line=LINE)], [Sighting(CallState.EXPIRED)]))
    id, secret = bench.begun()
    assert bench.verifier.poll(id, secret).verification.state is Status.EXPIRED  # type: ignore[union-attr]


def test_a_claim_lives_as_long_as_the_provider_keeps_the_line() -> None:
    caller = Caller([Receipt("7", line=LINE)], [Sighting(CallState.CALLED, PHONE)])
    bench = Bench(caller)
    id, secret = bench.begun()
    bench.clock.move(120)
    assert bench.verifier.poll(id, secret).verification.state is Status.EXPIRED  # type: ignore[union-attr]
    assert caller.polls == 0


def test_a_webhook_makes_us_ask_where_we_can() -> None:
    caller = Caller([Receipt("7", line=LINE)], [Sighting(CallState.WAITING), Sighting(CallState.CALLED, PHONE)])
    bench = Bench(caller)
    id, secret = bench.begun()
    told = webhook(id="7", caller=PHONE.e164)
    assert bench.verifier.receive("caller", told) is False  # asked, and the provider knows of no call
    assert bench.verifier.receive("caller", told) is False  # asked just before
    assert caller.polls == 1
    bench.clock.move(3)
    assert bench.verifier.receive("caller", told) is True
    assert bench.verifier.receive("caller", told) is False
    assert bench.verifier.poll(id, secret).verification.state is Status.VERIFIED  # type: ignore[union-attr]


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
def test_a_webhook_that_must_be_believed(parameters: dict[str, str], proves: bool) -> None:
    bench = Bench(DeafCaller(Receipt("7", line=LINE)))
    bench.begun()
    assert bench.verifier.receive("deaf", webhook(**parameters)) is proves


def test_a_repeated_parameter_proves_nothing() -> None:
    bench = Bench(DeafCaller(Receipt("7", line=LINE)))
    bench.begun()
    twice = WebhookRequest("GET", [("id", "7"), ("caller", PHONE.e164), ("caller", "+989120000001")], {}, b"")
    assert bench.verifier.receive("deaf", twice) is False
    unread = WebhookRequest("GET", [("id", "7"), ("caller", PHONE.e164), ("x", "1"), ("x", "1")], {}, b"")
    assert bench.verifier.receive("deaf", unread) is False
    assert bench.verifier.receive("sms-1", webhook(id="7", caller=PHONE.e164)) is False


def test_an_event_is_looked_up_within_its_driver() -> None:
    bench = Bench(DeafCaller(Receipt("7", line=LINE)))
    bench.begun()
    assert bench.verifier.receive("other", webhook(id="7", caller=PHONE.e164)) is False


def test_one_phone_holds_a_line_once() -> None:
    bench = Bench(Caller([Receipt(str(n), line=LINE) for n in range(9)]))
    first, _ = bench.begun()
    second = bench.start()
    assert second.reason is Reason.CHANNEL_UNAVAILABLE
    assert second.verification is not None
    assert second.verification.status is Status.FAILED
    bench.begun(phone=PhoneNumber("+989120000001"))  # different phones share a line freely
    assert first != second.verification.id


def test_a_live_claim_holds_its_line_also_against_its_own_browser() -> None:
    bench = Bench(Caller([Receipt(str(n), line=LINE) for n in range(9)]))
    _, secret = bench.begun()
    assert bench.start(purpose="signup", shown=[secret]).reason is Reason.CHANNEL_UNAVAILABLE
    bench.begun(shown=[secret])  # for the same purpose the old one ends first


def test_a_line_rests_for_a_minute_unless_its_holder_comes_back() -> None:
    bench = Bench(Caller([Receipt(str(n), line=LINE) for n in range(9)]))
    id, secret = bench.begun()
    bench.verifier.cancel(id, secret)
    assert bench.start().reason is Reason.CHANNEL_UNAVAILABLE
    id, secret = bench.begun(shown=[secret])
    bench.verifier.cancel(id, secret)
    bench.clock.move(59)
    assert bench.start().reason is Reason.CHANNEL_UNAVAILABLE
    bench.clock.move(61)
    bench.begun()


def test_a_line_conflict_on_resend_closes_the_claim() -> None:
    receipts = [Receipt("1", line=LINE), Receipt("2", line=OTHER_LINE), Receipt("3", line=LINE)]
    bench = Bench(Caller(receipts), resend_after=timedelta(0))
    bench.begun()
    id, secret = bench.begun()
    conflict = bench.verifier.resend(id, secret)
    assert conflict.reason is Reason.CHANNEL_UNAVAILABLE
    assert bench.verifier.poll(id, secret).verification.state is Status.FAILED  # type: ignore[union-attr]


def test_a_resend_takes_a_new_line_and_the_old_call_is_too_late() -> None:
    bench = Bench(DeafCaller(Receipt("1", line=LINE), Receipt("2", line=OTHER_LINE)), resend_after=timedelta(0))
    id, secret = bench.begun()
    assert bench.verifier.resend(id, secret).verification.line == OTHER_LINE  # type: ignore[union-attr]
    assert bench.verifier.receive("deaf", webhook(id="1", caller=PHONE.e164)) is False
    assert bench.verifier.receive("deaf", webhook(id="2", caller=PHONE.e164)) is True


def test_a_code_means_nothing_to_a_call() -> None:
    bench = Bench(Caller([Receipt("7", line=LINE)]))
    id, secret = bench.begun()
    assert bench.verifier.check(id, secret, "1234").reason is Reason.MALFORMED_CODE
    assert bench.verifier.check(id, secret, "").reason is Reason.MALFORMED_CODE


# Remote codes


def test_a_remote_code_is_judged_by_the_provider_after_the_attempt_is_taken() -> None:
    remote = Remote(False, True)
    bench = Bench(remote)
    id, secret = bench.begun()
    first = bench.verifier.check(id, secret, "11111")
    assert first.reason is Reason.WRONG_CODE
    assert first.verification is not None
    assert first.verification.attempts_left == 2
    assert bench.verifier.check(id, secret, "22222").ok
    assert bench.verifier.check(id, secret, "22222").reason is Reason.CLOSED
    assert remote.asked == 2


def test_a_provider_that_cannot_judge_costs_the_attempt_and_no_failure() -> None:
    remote = Remote(*[DOWN, UNCLEAR, DOWN] * 2, True)
    bench = Bench(remote, max_failures=3)
    for _ in range(2):
        id, secret = bench.begun()
        for _ in range(3):
            assert bench.verifier.check(id, secret, "11111").reason is Reason.PROVIDER_UNAVAILABLE
        closed = bench.verifier.check(id, secret, "11111")
        assert closed.reason is Reason.CLOSED
        assert closed.verification is not None
        assert closed.verification.state is Status.EXHAUSTED
    id, secret = bench.begun()
    assert bench.verifier.check(id, secret, "11111").ok


def test_a_slow_right_answer_of_a_provider_is_not_thrown_away_for_a_quick_wrong_one() -> None:
    remote = Remote(False, False, True)
    bench = Bench(remote, max_attempts=3)
    id, secret = bench.begun()
    quick: list[Any] = []

    def meanwhile() -> None:
        remote.on_check = lambda: None
        quick.extend(bench.verifier.check(id, secret, "00000") for _ in range(2))

    remote.on_check = meanwhile
    slow = bench.verifier.check(id, secret, "12345")
    assert [outcome.reason for outcome in quick] == [Reason.WRONG_CODE] * 2
    assert slow.ok
    assert slow.proof is not None


def test_wrong_remote_codes_count_over_verifications() -> None:
    remote = Remote(*[False] * 9)
    bench = Bench(remote, max_failures=4)
    for tries in (3, 1):
        id, secret = bench.begun()
        for _ in range(tries):
            assert bench.verifier.check(id, secret, "11111").reason is Reason.WRONG_CODE
    assert bench.verifier.check(id, secret, "11111").reason is Reason.TOO_MANY_REQUESTS
    assert remote.asked == 4


# Binding, proofs, keys


def test_a_start_ends_the_same_browsers_live_one_only() -> None:
    bench = Bench(sms())
    mine, secret = bench.begun()
    foreign, foreign_secret = bench.begun()
    signup, signup_secret = bench.begun(purpose="signup", shown=[secret])
    bench.begun(shown=[secret, "x" * 22])
    assert bench.verifier.poll(mine, secret).verification.state is Status.CANCELLED  # type: ignore[union-attr]
    assert bench.verifier.poll(foreign, foreign_secret).verification.state is Status.SENT  # type: ignore[union-attr]
    assert bench.verifier.poll(signup, signup_secret).verification.state is Status.SENT  # type: ignore[union-attr]


def test_a_proof_is_shown_until_it_is_redeemed_or_old_and_is_good_once() -> None:
    driver = sms()
    bench = Bench(driver)
    id, secret = bench.begun()
    proof = bench.verifier.check(id, secret, driver.codes[0]).proof
    assert proof
    assert bench.verifier.poll(id, secret).proof == proof
    assert bench.verifier.redeem(proof, ["x" * 22], ["login"]) is None
    assert bench.verifier.redeem(proof, [secret], ["signup"]) is None
    assert bench.verifier.redeem(proof, [], ["login"]) is None
    redeemed = bench.verifier.redeem(proof, ["x" * 22, secret], ["login"])
    assert redeemed is not None
    assert (redeemed.phone, redeemed.purpose, redeemed.assurance) == (PHONE, "login", "code")
    assert bench.verifier.redeem(proof, [secret], ["login"]) is None
    assert bench.verifier.poll(id, secret).proof is None


def test_a_proof_is_good_for_five_minutes() -> None:
    driver = sms()
    bench = Bench(driver)
    id, secret = bench.begun()
    proof = bench.verifier.check(id, secret, driver.codes[0]).proof or ""
    bench.clock.move(300)
    assert bench.verifier.poll(id, secret).proof is None
    assert bench.verifier.redeem(proof, [secret], ["login"]) is None


def test_codes_of_an_old_key_work_while_it_is_listed_and_only_then() -> None:
    driver = sms()
    old = Bench(driver, keys=["o-key-for-tests-0123456789abcdef"], resend_after=timedelta(0))
    both = Bench(
        driver,
        store=old.store,
        keys=["n-key-for-tests-0123456789abcdef", "o-key-for-tests-0123456789abcdef"],
        resend_after=timedelta(0),
    )
    only_new = Bench(driver, store=old.store, keys=["n-key-for-tests-0123456789abcdef"])
    id, secret = old.begun()
    assert both.verifier.resend(id, secret).ok
    assert driver.codes[1] == driver.codes[0]
    assert only_new.verifier.check(id, secret, driver.codes[0]).reason is Reason.WRONG_CODE
    assert both.verifier.check(id, secret, driver.codes[0]).ok


def test_a_resend_after_the_old_key_has_gone_is_a_new_code() -> None:
    driver = sms()
    old = Bench(driver, keys=["o-key-for-tests-0123456789abcdef"])
    new = Bench(driver, store=old.store, keys=["n-key-for-tests-0123456789abcdef"], resend_after=timedelta(0))
    id, secret = old.begun()
    new.clock.move(60)
    assert new.verifier.resend(id, secret).ok
    assert new.verifier.check(id, secret, driver.codes[1]).ok


def test_a_live_verification_is_found_by_its_holder() -> None:
    bench = Bench(sms())
    id, secret = bench.begun()
    assert bench.verifier.find_open(PHONE, "login", [(id, secret)]) is not None
    assert bench.verifier.find_open(PHONE, "signup", [(id, secret)]) is None
    assert bench.verifier.find_open(PHONE, "login", [(id, "x" * 22)]) is None
    assert bench.verifier.find_open(PhoneNumber("+989120000001"), "login", [(id, secret)]) is None
    bench.verifier.cancel(id, secret)
    assert bench.verifier.find_open(PHONE, "login", [(id, secret)]) is None


@pytest.mark.parametrize(
    "keys",
    [
        (["k" * 31], "t-key-for-tests-0123456789abcdef"),
        (["k-key-for-tests-0123456789abcdef", "o" * 31], "t-key-for-tests-0123456789abcdef"),
        (["k-key-for-tests-0123456789abcdef"], "t" * 31),
    ],
)
def test_a_key_of_less_than_32_characters_is_refused(keys: tuple[list[str], str]) -> None:
    with pytest.raises(ConfigurationError, match="32 characters"):
        Keyring(*keys)


def test_a_key_of_32_characters_is_enough() -> None:
    assert Keyring(
        ["k-key-for-tests-0123456789abcdef", "o-key-for-tests-0123456789abcdef"], "t-key-for-tests-0123456789abcdef"
    ).key_id


@pytest.mark.parametrize("length", [4, 6, 8])
def test_numbers_that_would_favour_low_codes_are_drawn_again(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    ring, messages = Keyring(["k-key-for-tests-0123456789abcdef"]), list[bytes]()
    ceiling = 2**64 // 10**length * 10**length
    draws = [2**64 - 1, ceiling, ceiling - 1, 0]

    def drawn(key: bytes, message: bytes, digest: str) -> bytes:
        messages.append(message)
        return draws.pop(0).to_bytes(8, "big") + bytes(24)

    monkeypatch.setattr(hmac, "digest", drawn)
    assert ring.derive(ring.key_id, "id", PHONE, "login", 1, length) == "9" * length
    assert len(set(messages)) == 3


# When things break


class BrokenStore(MemoryStore):
    """Fails at one verb."""

    def __init__(self, verb: str) -> None:
        super().__init__()

        async def fail(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        setattr(self, verb, fail)


@pytest.mark.parametrize("verb", ["count", "open"])
def test_a_store_that_is_down_sends_nothing(verb: str) -> None:
    driver = sms()
    with pytest.raises(StoreError):
        Bench(driver, store=BrokenStore(verb)).start()
    assert driver.orders == []


class KilledError(BaseException):
    """The process ends here."""


def test_a_code_delivered_before_a_crash_still_works() -> None:
    from phone_verify.codes import new_id, new_secret

    class Killing(MemoryStore):
        async def attach(self, *_: Any) -> Any:
            raise KilledError

    driver = sms()
    bench = Bench(driver, store=Killing())
    secrets: list[bytes] = [b"i" * 16, b"s" * 16]
    bench.verifier = Bench.face(replace(bench.parts, random_bytes=lambda _: secrets.pop()))
    with pytest.raises(KilledError):
        bench.start()
    id = new_id(bench.parts.keyring.tag(PHONE), lambda _: b"i" * 16)
    assert bench.verifier.check(id, new_secret(lambda _: b"s" * 16), driver.codes[0]).ok


@pytest.mark.parametrize("make", [sms, lambda: Remote(True)], ids=["ours", "remote"])
def test_a_store_that_goes_down_after_the_send_wastes_no_message(make: Any) -> None:
    driver = make()
    bench = Bench(driver, store=BrokenStore("attach"))
    outcome = bench.start()
    assert outcome.verification is not None
    assert (outcome.reason, outcome.verification.status) == (None, Status.PENDING)
    code = driver.codes[0] or "12345"
    assert bench.verifier.check(outcome.verification.id, outcome.secret or "", code).ok


@pytest.mark.parametrize(
    "make",
    [lambda: flash("1234"), lambda: Caller([Receipt("ref", line=LINE)]), lambda: sms(Receipt("ref", line=LINE))],
    ids=["told", "a call", "held back until a call"],
)
def test_what_only_the_receipt_can_prove_is_not_begun_without_the_store(make: Any) -> None:
    with pytest.raises(StoreError):
        Bench(make(), store=BrokenStore("attach")).start()


def test_another_code_than_the_records_is_not_told_without_the_store() -> None:
    shorter = Driver("sms-2", SMS, Ability(CodeSource.LOCAL, longest=4))
    with pytest.raises(StoreError):
        Bench(sms(REFUSED), shorter, store=BrokenStore("attach")).start()


def test_a_flow_that_suspends_is_a_clear_error() -> None:
    import asyncio

    async def suspends() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="blocking"):
        run(suspends())


def test_nothing_secret_is_logged_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    driver = sms(REFUSED, UNCLEAR)
    bench = Bench(driver, resend_after=timedelta(0))
    bench.start()
    outcome = bench.start()
    assert outcome.verification is not None
    id, secret = outcome.verification.id, outcome.secret or ""
    bench.verifier.resend(id, secret)
    right = bench.verifier.check(id, secret, driver.codes[-1])
    shown = caplog.text + repr(outcome) + repr(right) + repr(driver.orders) + repr(bench.parts)
    assert "refused" in caplog.text
    for secret_text in (
        PHONE.e164[1:],
        PHONE.national,
        *driver.codes,
        secret,
        right.proof or "-",
        "k-key-for-tests-0123456789abcdef",
    ):
        assert secret_text not in shown


# How an order fared


class Teller(Driver):
    """Can be asked how an order fared; its webhooks tell the same."""

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

    def read(self, request: WebhookRequest) -> DeliveryReport | None:
        said = request.once("said") or ""
        return DeliveryReport("600000001", DeliveryState.DELIVERED, said) if request.once("id") else None


def answering(*answers: Any) -> FakeTransport:
    return FakeTransport(answers or [HttpResponse(200)] * 9)


@pytest.mark.parametrize("state", list(DeliveryState))
def test_the_last_order_is_asked_after(state: DeliveryState) -> None:
    teller = Teller(state)
    bench = Bench(teller, transport=answering())
    id, secret = bench.begun()
    before = bench.verifier.get(id, secret)
    assert bench.verifier.delivery(id) == DeliveryReport("600000001", state, "words")
    assert teller.asked == ["600000001"]
    assert bench.verifier.get(id, secret) == before


def test_after_a_resend_its_own_order_is_asked_after() -> None:
    teller = Teller(DeliveryState.OPEN)
    teller.results = [Receipt("1"), Receipt("2")]
    bench = Bench(teller, transport=answering(), resend_after=timedelta(0))
    id, secret = bench.begun()
    bench.verifier.resend(id, secret)
    assert bench.verifier.delivery(id) is not None
    assert teller.asked == ["2"]


def test_a_finished_verification_may_be_asked_after() -> None:
    teller = Teller(DeliveryState.DELIVERED)
    bench = Bench(teller, transport=answering())
    id, secret = bench.begun()
    assert bench.verifier.check(id, secret, teller.codes[0]).ok
    assert bench.verifier.delivery(id) is not None


def test_where_nobody_can_be_asked_nobody_is() -> None:
    teller = Teller()
    bench = Bench(teller, transport=answering())
    teller.results = [Receipt()]
    id, _ = bench.begun()
    assert bench.verifier.delivery(id) is None  # without a reference
    teller.results = [UNCLEAR]
    id, _ = bench.begun()
    assert bench.verifier.delivery(id) is None
    for unknown in ("", "x", "A" * 44, id[:-1], id + "A"):
        assert bench.verifier.delivery(unknown) is None
    assert teller.asked == []
    strict = Bench(teller, store=BrokenStore("get"))
    assert strict.verifier.delivery("no id at all") is None  # nor is the store
    silent = Bench(sms(Receipt("7")))
    assert silent.verifier.delivery(silent.begun()[0]) is None


def test_of_an_awaited_call_nothing_was_delivered() -> None:
    class CallTeller(Caller):
        def delivery(self, reference: str) -> Exchange[DeliveryReport]:
            raise AssertionError("asked")
            yield HttpRequest.get("http://teller.invalid")

    bench = Bench(CallTeller([Receipt("7", line=LINE)]))
    assert bench.verifier.delivery(bench.begun()[0]) is None


def test_a_driver_that_is_gone_is_not_asked() -> None:
    teller = Teller()
    bench = Bench(teller, transport=answering())
    id, _ = bench.begun()
    assert Bench(sms(), store=bench.store).verifier.delivery(id) is None
    assert teller.asked == []


@pytest.mark.parametrize("trouble", [REFUSED, UNCLEAR], ids=["refused", "unclear"])
def test_a_provider_that_cannot_say_is_logged(trouble: Exception, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Teller(trouble), transport=answering())
    id, secret = bench.begun()
    assert bench.verifier.delivery(id) is None
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        f"teller could not report the delivery status of an order: {trouble}",
    )
    assert bench.verifier.get(id, secret).ok


def test_a_provider_that_is_down_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(Teller(), transport=answering(DOWN))
    id, _ = bench.begun()
    assert bench.verifier.delivery(id) is None
    assert "cannot connect" in caplog.text


def test_a_webhook_about_an_order_touches_no_verification(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = MemoryStore()
    bench = Bench(Teller(), store=store, transport=answering(AssertionError("asked")))
    id, secret = bench.begun()
    before = bench.verifier.get(id, secret)
    said = f"to {PHONE.e164[1:]}\nforged: line 482193"
    assert bench.verifier.receive("teller", webhook(id="600000001", said=said)) is False
    assert bench.verifier.get(id, secret) == before
    (record,) = of_the_library(caplog)
    assert (record.levelno, record.getMessage()) == (
        logging.INFO,
        "teller reported the delivery status of an order: delivered to … forged: line …",
    )
    assert bench.verifier.receive("teller", webhook(said="nothing")) is False
    assert len(of_the_library(caplog)) == 1


def of_the_library(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was logged, but for the one record a verb."""
    return [record for record in caplog.records if record.name == "phone_verify"]


def test_a_webhook_about_an_order_without_words_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert Bench(Teller()).verifier.receive("teller", webhook(id="600000001")) is False
    (record,) = of_the_library(caplog)
    assert record.getMessage() == "teller reported the delivery status of an order: delivered"


def test_a_channel_may_be_a_word() -> None:
    bench = Bench(sms(), chat(), resend_after=timedelta(0))
    started = bench.verifier.start(PHONE, channel="telegram")  # type: ignore[arg-type]
    assert started.verification is not None
    assert started.verification.channel is TELEGRAM
    moved = bench.verifier.resend(started.verification.id, started.secret or "", channel="sms")  # type: ignore[arg-type]
    assert moved.verification is not None
    assert moved.verification.channel is SMS
    with pytest.raises(ValueError, match="pigeon"):
        bench.verifier.start(PHONE, channel="pigeon")  # type: ignore[arg-type]
