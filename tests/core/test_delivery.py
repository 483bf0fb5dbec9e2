"""How an order is handed to drivers: whose code it carries, how long each request may take, who is asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from phone_verify.drivers.base import Ability
from phone_verify.errors import FailureKind, ProviderError, UnclearError
from phone_verify.exchange import Exchange, HttpRequest, HttpResponse, Notice
from phone_verify.model import CallState, Channel, CodeSource, Order, Reason, Receipt, Sighting, Status
from phone_verify.phone import PhoneNumber
from phone_verify.testing.transport import FakeTransport

from .bench import (
    CALL,
    DOWN,
    FLASH,
    LINE,
    PHONE,
    REFUSED,
    SMS,
    TELEGRAM,
    UNCLEAR,
    Bench,
    Caller,
    Driver,
    Remote,
    chat,
    flash,
    sms,
)

pytestmark = pytest.mark.usefixtures("face")

# The code


def test_our_code_is_a_new_one_on_another_channel_of_ours() -> None:
    written, chatted = sms(), chat()
    bench = Bench(written, chatted, resend_after=timedelta(0))
    id, secret = bench.begun(SMS)
    assert bench.verifier.resend(id, secret, channel=TELEGRAM).ok
    assert chatted.codes[0] != written.codes[0]
    assert bench.verifier.resend(id, secret, channel=SMS).ok
    assert len({*written.codes, *chatted.codes}) == 3
    for old in (written.codes[0], chatted.codes[0]):
        assert bench.verifier.check(id, secret, old).reason is Reason.WRONG_CODE
    assert bench.verifier.check(id, secret, written.codes[1]).ok


@pytest.mark.parametrize("code", ["", "7", "12", "abcd", "12 34", "+123", "١٢٣٤", "1234\n", "123456789"], ids=ascii)
def test_a_told_code_that_nobody_could_type_fails(code: str) -> None:
    second = flash("1234", name="flash-2")
    assert Bench(flash(code), second).start().reason is Reason.DELIVERY_FAILED
    assert second.orders == []  # the phone may have rung


@pytest.mark.parametrize("code", ["123", "0000", "12345678"])
def test_a_told_code_is_three_to_eight_digits(code: str) -> None:
    bench = Bench(flash(code))
    id, secret = bench.begun()
    assert bench.verifier.get(id, secret).verification.code_length == len(code)  # type: ignore[union-attr]
    assert bench.verifier.check(id, secret, code).ok


def test_failover_hands_no_short_code_over_where_they_are_closed() -> None:
    long, short = sms(), Driver("sms-2", SMS, Ability(CodeSource.LOCAL, longest=4))
    bench = Bench(long, short)
    bench.fail(10)
    long.results = [REFUSED, REFUSED]
    assert bench.start().reason is Reason.DELIVERY_FAILED
    assert short.orders == []
    long.results = [REFUSED]
    bench.begun(purpose="second_factor")  # whose wrong answers are counted apart
    assert len(short.orders) == 1


# The life


def test_an_order_lives_as_long_as_its_plan() -> None:
    capped = Driver("sms-1", SMS, Ability(CodeSource.LOCAL, cap=timedelta(seconds=90)))
    Bench(capped).begun()
    assert capped.orders[0].life == timedelta(seconds=90)


@pytest.mark.parametrize(("after", "life"), [(0, 180), (119, 180), (121, 179), (299, 1)])
def test_an_order_sent_again_lives_no_longer_than_what_is_left(after: int, life: int) -> None:
    ringing = flash("1234")
    bench = Bench(sms(), ringing, resend_after=timedelta(0), ttl=timedelta(seconds=300))
    id, secret = bench.begun(SMS)
    bench.clock.move(after)
    record = bench.verifier.resend(id, secret, channel=FLASH).verification
    assert ringing.orders[0].life == timedelta(seconds=life)
    assert record is not None
    assert record.expires_at - record.read_at == timedelta(seconds=life)


def test_a_text_names_the_code_and_the_life_of_its_order() -> None:
    written = sms()
    bench = Bench(written)
    texts = replace(bench.parts, texts=lambda *told: repr(told))
    type(bench.verifier)(texts).start(PHONE, locale="fa")
    order = written.orders[0]
    assert order.text == repr((SMS, order.code, timedelta(seconds=300), "fa"))


# The driver of the last order


class Again(Driver):
    """Has a request of its own for "again", on every channel it serves."""

    def __init__(self, name: str, *results: Receipt | Exception, channels: tuple[Channel, ...] = (SMS,)) -> None:
        super().__init__(name, channels[0], Ability(CodeSource.LOCAL), list(results))
        self.channels, self.references = channels, list[str]()

    @property
    def abilities(self) -> dict[Channel, Ability]:
        return dict.fromkeys(self.channels, self.ability)

    def retry(self, order: Order, reference: str) -> Exchange[Receipt]:
        self.references.append(reference)
        return self.start(order)


def test_a_resend_goes_first_to_the_driver_of_the_last_order_and_names_its_reference() -> None:
    first, second = Again("a", REFUSED), Again("b", Receipt("b-1"), Receipt("b-2"), Receipt("b-3"))
    bench = Bench(first, second, resend_after=timedelta(0))
    id, secret = bench.begun()
    for _ in range(2):
        assert bench.verifier.resend(id, secret).ok
    assert second.references == ["b-1", "b-2"]
    assert len(first.orders) == 1
    assert len({*first.codes, *second.codes}) == 1


def test_a_reference_is_no_other_drivers() -> None:
    first, second = Again("a", Receipt("a-1"), REFUSED), Again("b")
    bench = Bench(first, second, resend_after=timedelta(0))
    id, secret = bench.begun()
    assert bench.verifier.resend(id, secret).ok
    assert first.references == ["a-1"]
    assert second.references == []
    assert len(second.orders) == 1


def test_without_a_reference_a_resend_is_another_start() -> None:
    driver = Again("a")
    bench = Bench(driver, resend_after=timedelta(0))
    id, secret = bench.begun()
    assert bench.verifier.resend(id, secret).ok
    assert driver.references == []
    assert len(driver.orders) == 2


def test_a_reference_is_no_other_channels() -> None:
    driver = Again("a", Receipt("a-1"), Receipt("a-2"), channels=(SMS, TELEGRAM))
    bench = Bench(driver, resend_after=timedelta(0))
    id, secret = bench.begun(SMS)
    assert bench.verifier.resend(id, secret, channel=TELEGRAM).ok
    assert driver.references == []
    assert bench.verifier.resend(id, secret).ok
    assert driver.references == ["a-2"]


# The time


class Slow(FakeTransport):
    """Takes its time over each request, and keeps how long each was allowed to take."""

    def __init__(self, *took: float) -> None:
        super().__init__()
        self.took, self.allowed = list(took), list[float]()
        self.pass_time: Callable[[float], None] = lambda seconds: None

    async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
        self.allowed.append(timeout)
        self.pass_time(self.took.pop(0))
        return HttpResponse(200)


def slow_bench(transport: Slow, *drivers: Driver) -> Bench:
    bench = Bench(*drivers, transport=transport)

    def pass_time(seconds: float) -> None:
        bench.ticks += seconds

    transport.pass_time = pass_time
    return bench


class Talkative(Driver):
    """Needs four requests for an order."""

    def start(self, order: Order) -> Exchange[Receipt]:
        self.orders.append(order)
        for _ in range(4):
            yield HttpRequest.get("http://provider.invalid")
        return Receipt("r", "1234")


def test_each_request_is_bounded_by_what_is_left_of_the_whole_order() -> None:
    transport = Slow(9, 8, 2, 1)
    slow_bench(transport, Talkative("sms-1", SMS, Ability(CodeSource.LOCAL))).begun()
    assert transport.allowed == [10, 10, 3, 1]


def test_a_driver_after_others_has_what_they_left() -> None:
    first, transport = sms(REFUSED), Slow(1, 1, 1, 1)
    bench = slow_bench(transport, first, Talkative("sms-2", SMS, Ability(CodeSource.LOCAL)))
    first.on_start = lambda: transport.pass_time(15)
    bench.begun()
    assert transport.allowed == [5, 4, 3, 2]


@pytest.mark.parametrize(
    ("holder", "status", "reason"),
    [(CodeSource.LOCAL, Status.PENDING, None), (CodeSource.PROVIDER, None, Reason.DELIVERY_FAILED)],
)
def test_the_end_of_the_time_is_unclear_and_asks_nothing_more(
    holder: CodeSource, status: Status | None, reason: Reason | None
) -> None:
    transport, second = Slow(10, 9, 1), sms(name="sms-2")
    bench = slow_bench(transport, Talkative("sms-1", SMS, Ability(holder)), second)
    outcome = bench.start()
    assert transport.allowed == [10, 10, 1]
    assert outcome.reason is reason
    assert (outcome.verification and outcome.verification.status) == status
    assert second.orders == []


def test_a_check_takes_as_long_as_one_answer_in_all() -> None:
    class Twice(Remote):
        def check(self, phone: PhoneNumber, code: str) -> Exchange[bool]:
            yield HttpRequest.get("http://provider.invalid")
            yield HttpRequest.get("http://provider.invalid")
            return True

    transport = Slow(7, 3, 10)
    bench = slow_bench(transport, Twice())
    id, secret = bench.begun()
    assert bench.verifier.check(id, secret, "12345").ok
    id, secret = bench.begun()
    assert bench.verifier.check(id, secret, "12345").reason is Reason.PROVIDER_UNAVAILABLE
    assert transport.allowed == [10, 3, 10]


# What goes wrong with a request


class Prepared(Driver):
    """Asks for leave before it sends, and knows that a lost leave has sent nothing."""

    def start(self, order: Order) -> Exchange[Receipt]:
        self.orders.append(order)
        self.on_start()
        try:
            yield HttpRequest.get("http://leave.invalid")
        except UnclearError:
            raise ProviderError(FailureKind.TRANSIENT, "no leave") from None
        yield HttpRequest.get("http://send.invalid")
        return Receipt("r")


@pytest.mark.parametrize("lost", [UNCLEAR, DOWN], ids=["unclear", "down"])
def test_a_driver_may_say_that_a_lost_answer_has_sent_nothing(lost: Exception) -> None:
    second = sms(name="sms-2")
    bench = Bench(Prepared("sms-1", SMS, Ability(CodeSource.LOCAL)), second, transport=FakeTransport([lost]))
    record = bench.start().verification
    assert record is not None
    assert (record.driver, record.status) == ("sms-2", Status.SENT)


def test_a_lost_answer_to_the_send_itself_stays_unclear() -> None:
    second, transport = sms(name="sms-2"), FakeTransport([HttpResponse(200), UNCLEAR])
    record = Bench(Prepared("sms-1", SMS, Ability(CodeSource.LOCAL)), second, transport=transport).start().verification
    assert record is not None
    assert (record.driver, record.status) == ("sms-1", Status.PENDING)
    assert second.orders == []


def test_time_that_is_over_before_anything_was_sent_is_a_refusal() -> None:
    transport, prepared = Slow(), Prepared("sms-1", SMS, Ability(CodeSource.LOCAL))
    bench = slow_bench(transport, prepared)
    prepared.on_start = lambda: transport.pass_time(20)
    assert bench.start().reason is Reason.DELIVERY_FAILED
    assert transport.allowed == []


# A token of the user's


class TakesTokens(Driver):
    """Sends with what the user holds at the provider."""

    takes_user_tokens = True


def test_a_users_token_reaches_only_the_drivers_that_take_one() -> None:
    other, taker, last = (
        sms(REFUSED),
        TakesTokens("sms-2", SMS, Ability(CodeSource.LOCAL), [REFUSED]),
        sms(name="sms-3"),
    )
    bench = Bench(other, taker, last, resend_after=timedelta(0))
    id, secret = bench.begun(user_token="FAKE.TOKEN")
    assert [driver.orders[-1].user_token for driver in (other, taker, last)] == [None, "FAKE.TOKEN", None]
    last.results, other.results = [REFUSED], [REFUSED]
    assert bench.verifier.resend(id, secret, user_token="FAKE.SECOND").ok
    assert [driver.orders[-1].user_token for driver in (other, taker, last)] == [None, "FAKE.SECOND", None]


def test_a_driver_may_say_that_it_takes_none() -> None:
    other = TakesTokens("sms-1", SMS, Ability(CodeSource.LOCAL))
    other.takes_user_tokens = False
    Bench(other).begun(user_token="FAKE.TOKEN")
    assert other.orders[0].user_token is None


def test_without_a_users_token_there_is_none() -> None:
    taker = TakesTokens("sms-1", SMS, Ability(CodeSource.LOCAL))
    Bench(taker).begun()
    assert taker.orders[0].user_token is None


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Header: b", "é", "a" * 8001])
def test_a_users_token_that_fits_no_header_is_refused_at_once(token: str) -> None:
    taker = TakesTokens("sms-1", SMS, Ability(CodeSource.LOCAL))
    bench = Bench(taker, resend_after=timedelta(0))
    with pytest.raises(ValueError, match="user_token") as raised:
        bench.start(user_token=token)
    assert not token or token not in str(raised.value)
    assert taker.orders == []
    id, secret = bench.begun()
    with pytest.raises(ValueError, match="user_token"):
        bench.verifier.resend(id, secret, user_token=token)
    assert len(taker.orders) == 1


# What comes late


def test_a_right_remote_answer_after_the_end_is_told_as_closed() -> None:
    remote = Remote(True)
    bench = Bench(remote)
    id, secret = bench.begun()
    remote.on_check = lambda: bench.verifier.cancel(id, secret)
    late = bench.verifier.check(id, secret, "12345")
    assert (late.reason, late.proof) == (Reason.CLOSED, None)
    assert late.verification is not None
    assert late.verification.state is Status.CANCELLED


@pytest.mark.parametrize("seen", [Sighting(CallState.EXPIRED), Sighting(CallState.CALLED, PHONE)], ids=str)
def test_what_a_poll_tells_of_the_old_line_does_not_touch_the_new_one(seen: Sighting) -> None:
    caller = Caller([Receipt("1", line=LINE), Receipt("2", line=LINE)], [seen, Sighting(CallState.CALLED, PHONE)])
    bench = Bench(caller, resend_after=timedelta(0))
    id, secret = bench.begun()
    caller.on_poll = lambda: bench.verifier.resend(id, secret)
    outcome = bench.verifier.poll(id, secret)
    assert outcome.verification is not None
    assert (outcome.verification.state, outcome.verification.reference) == (Status.SENT, "2")
    assert outcome.proof is None
    caller.on_poll = lambda: None
    bench.clock.move(3)
    assert bench.verifier.poll(id, secret).proof is not None


def test_a_right_remote_answer_about_the_code_before_is_a_wrong_one() -> None:
    remote, chatted = Remote(True), chat()
    bench = Bench(remote, chatted, resend_after=timedelta(0))
    id, secret = bench.begun(SMS)
    remote.on_check = lambda: bench.verifier.resend(id, secret, channel=TELEGRAM)
    late = bench.verifier.check(id, secret, "12345")
    assert (late.reason, late.proof) == (Reason.WRONG_CODE, None)
    assert bench.verifier.check(id, secret, chatted.codes[0]).ok


def test_a_last_wrong_remote_answer_does_not_end_the_call_that_followed() -> None:
    remote, caller = Remote(False), Caller([Receipt("1", line=LINE)], [Sighting(CallState.CALLED, PHONE)])
    bench = Bench(remote, caller, resend_after=timedelta(0), max_attempts=1)
    id, secret = bench.begun(SMS)
    remote.on_check = lambda: bench.verifier.resend(id, secret, channel=CALL)
    assert bench.verifier.check(id, secret, "12345").reason is Reason.WRONG_CODE
    assert bench.verifier.poll(id, secret).proof is not None
