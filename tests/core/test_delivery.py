"""How an order is passed to drivers: the code, the time limit of each request, the order of drivers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from phone_verify.before_send import ClientFacts
from phone_verify.codes import Keyring
from phone_verify.drivers.base import Ability
from phone_verify.errors import FailureKind, ProviderError, UnclearError
from phone_verify.exchange import Exchange, HttpRequest, HttpResponse, Notice
from phone_verify.model import CallState, Channel, CodeSource, Order, Reason, Receipt, Sighting, Status
from phone_verify.phone import PhoneNumber
from phone_verify.testing.transport import FakeTransport
from tests.cases import in_one_test

from .harness import (
    CALL,
    DOWN,
    FLASH,
    LINE,
    PHONE,
    REFUSED,
    SMS,
    TELEGRAM,
    UNCLEAR,
    Caller,
    DeafCaller,
    Driver,
    Harness,
    Remote,
    chat,
    flash,
    sms,
    webhook,
)

pytestmark = pytest.mark.usefixtures("face")

# The code


def test_start_derives_its_code_once(monkeypatch: pytest.MonkeyPatch) -> None:
    derived, derive = list[str](), Keyring.derive

    def counted(keyring: Keyring, *args: Any) -> str:
        derived.append(derive(keyring, *args))
        return derived[-1]

    monkeypatch.setattr(Keyring, "derive", counted)
    written = sms()
    Harness(written).begun()
    assert derived == written.codes


def test_local_code_is_new_on_another_local_channel() -> None:
    written, chatted = sms(), chat()
    harness = Harness(written, chatted, resend_after=timedelta(0))
    id, secret = harness.begun(SMS)
    assert harness.verifier.resend(id, secret, channel=TELEGRAM).ok
    assert chatted.codes[0] != written.codes[0]
    assert harness.verifier.resend(id, secret, channel=SMS).ok
    assert len({*written.codes, *chatted.codes}) == 3
    for old in (written.codes[0], chatted.codes[0]):
        assert harness.verifier.check(id, secret, old).reason is Reason.WRONG_CODE
    assert harness.verifier.check(id, secret, written.codes[1]).ok


@in_one_test
@pytest.mark.parametrize("code", ["", "7", "12", "abcd", "12 34", "+123", "١٢٣٤", "1234\n", "123456789"], ids=ascii)
def test_provider_code_that_cannot_be_typed_fails(code: str) -> None:
    second = flash("1234", name="flash-2")
    assert Harness(flash(code), second).start().reason is Reason.DELIVERY_FAILED
    assert second.orders == []  # the phone may have rung


@pytest.mark.parametrize("code", ["123", "0000", "12345678"])
def test_provider_code_has_three_to_eight_digits(code: str) -> None:
    harness = Harness(flash(code))
    id, secret = harness.begun()
    assert harness.verifier.get(id, secret).verification.code_length == len(code)  # type: ignore[union-attr]
    assert harness.verifier.check(id, secret, code).ok


def test_failover_respects_locked_short_codes() -> None:
    long, short = sms(), Driver("sms-2", SMS, Ability(CodeSource.LOCAL, longest=4))
    harness = Harness(long, short)
    harness.fail(10)
    long.results = [REFUSED, REFUSED]
    assert harness.start().reason is Reason.DELIVERY_FAILED
    assert short.orders == []
    long.results = [REFUSED]
    harness.begun(purpose="second_factor")  # whose wrong answers are counted separately
    assert len(short.orders) == 1


# The TTL


def test_order_ttl_is_that_of_its_plan() -> None:
    capped = Driver("sms-1", SMS, Ability(CodeSource.LOCAL, cap=timedelta(seconds=90)))
    Harness(capped).begun()
    assert capped.orders[0].ttl == timedelta(seconds=90)


@pytest.mark.parametrize(("after", "life"), [(0, 180), (119, 180), (121, 179), (299, 1)])
def test_resent_order_ttl_is_the_remaining_time(after: int, life: int) -> None:
    ringing = flash("1234")
    harness = Harness(sms(), ringing, resend_after=timedelta(0), ttl=timedelta(seconds=300))
    id, secret = harness.begun(SMS)
    harness.clock.move(after)
    record = harness.verifier.resend(id, secret, channel=FLASH).verification
    assert ringing.orders[0].ttl == timedelta(seconds=life)
    assert record is not None
    assert record.expires_at - record.read_at == timedelta(seconds=life)


def test_message_text_holds_the_code_and_the_ttl() -> None:
    written = sms()
    harness = Harness(written)
    texts = replace(harness.parts, texts=lambda *told: repr(told))
    type(harness.verifier)(texts).start(PHONE, locale="fa")
    order = written.orders[0]
    assert order.text == repr((SMS, order.code, timedelta(seconds=300), "fa", "login", ClientFacts()))


# The driver of the last order


class Again(Driver):
    """A driver with a separate resend request, on every channel it supports."""

    def __init__(self, name: str, *results: Receipt | Exception, channels: tuple[Channel, ...] = (SMS,)) -> None:
        super().__init__(name, channels[0], Ability(CodeSource.LOCAL), list(results))
        self.channels, self.references = channels, list[str]()

    @property
    def abilities(self) -> dict[Channel, Ability]:
        return dict.fromkeys(self.channels, self.ability)

    def retry(self, order: Order, reference: str) -> Exchange[Receipt]:
        self.references.append(reference)
        return self.start(order)


def test_resend_goes_to_the_last_driver_with_its_reference() -> None:
    first, second = Again("a", REFUSED), Again("b", Receipt("b-1"), Receipt("b-2"), Receipt("b-3"))
    harness = Harness(first, second, resend_after=timedelta(0))
    id, secret = harness.begun()
    for _ in range(2):
        assert harness.verifier.resend(id, secret).ok
    assert second.references == ["b-1", "b-2"]
    assert len(first.orders) == 1
    assert len({*first.codes, *second.codes}) == 1


def test_reference_is_not_passed_to_another_driver() -> None:
    first, second = Again("a", Receipt("a-1"), REFUSED), Again("b")
    harness = Harness(first, second, resend_after=timedelta(0))
    id, secret = harness.begun()
    assert harness.verifier.resend(id, secret).ok
    assert first.references == ["a-1"]
    assert second.references == []
    assert len(second.orders) == 1


def test_resend_without_a_reference_is_a_start() -> None:
    driver = Again("a")
    harness = Harness(driver, resend_after=timedelta(0))
    id, secret = harness.begun()
    assert harness.verifier.resend(id, secret).ok
    assert driver.references == []
    assert len(driver.orders) == 2


def test_reference_is_not_passed_to_another_channel() -> None:
    driver = Again("a", Receipt("a-1"), Receipt("a-2"), channels=(SMS, TELEGRAM))
    harness = Harness(driver, resend_after=timedelta(0))
    id, secret = harness.begun(SMS)
    assert harness.verifier.resend(id, secret, channel=TELEGRAM).ok
    assert driver.references == []
    assert harness.verifier.resend(id, secret).ok
    assert driver.references == ["a-2"]


# The time


class Slow(FakeTransport):
    """A transport that spends time on each request, and records the time limit of each."""

    def __init__(self, *took: float) -> None:
        super().__init__()
        self.took, self.allowed = list(took), list[float]()
        self.pass_time: Callable[[float], None] = lambda seconds: None

    async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
        self.allowed.append(timeout)
        self.pass_time(self.took.pop(0))
        return HttpResponse(200)


def slow_harness(transport: Slow, *drivers: Driver) -> Harness:
    harness = Harness(*drivers, transport=transport)

    def pass_time(seconds: float) -> None:
        harness.ticks += seconds

    transport.pass_time = pass_time
    return harness


class Talkative(Driver):
    """A driver that needs four requests for an order."""

    def start(self, order: Order) -> Exchange[Receipt]:
        self.orders.append(order)
        for _ in range(4):
            yield HttpRequest.get("http://provider.invalid")
        return Receipt("r", "1234")


def test_each_request_is_limited_by_the_order_deadline() -> None:
    transport = Slow(9, 8, 2, 1)
    slow_harness(transport, Talkative("sms-1", SMS, Ability(CodeSource.LOCAL))).begun()
    assert transport.allowed == [10, 10, 3, 1]


def test_later_drivers_get_the_remaining_time() -> None:
    first, transport = sms(REFUSED), Slow(1, 1, 1, 1)
    harness = slow_harness(transport, first, Talkative("sms-2", SMS, Ability(CodeSource.LOCAL)))
    first.on_start = lambda: transport.pass_time(15)
    harness.begun()
    assert transport.allowed == [5, 4, 3, 2]


@pytest.mark.parametrize(
    ("code_source", "status", "reason"),
    [(CodeSource.LOCAL, Status.PENDING, None), (CodeSource.PROVIDER, None, Reason.DELIVERY_FAILED)],
)
def test_deadline_is_unclear_and_sends_nothing_more(
    code_source: CodeSource, status: Status | None, reason: Reason | None
) -> None:
    transport, second = Slow(10, 9, 1), sms(name="sms-2")
    harness = slow_harness(transport, Talkative("sms-1", SMS, Ability(code_source)), second)
    outcome = harness.start()
    assert transport.allowed == [10, 10, 1]
    assert outcome.reason is reason
    assert (outcome.verification and outcome.verification.status) == status
    assert second.orders == []


def test_check_has_one_deadline_for_all_requests() -> None:
    class Twice(Remote):
        def check(self, phone: PhoneNumber, code: str, reference: str | None = None) -> Exchange[bool]:
            yield HttpRequest.get("http://provider.invalid")
            yield HttpRequest.get("http://provider.invalid")
            return True

    transport = Slow(7, 3, 10)
    harness = slow_harness(transport, Twice())
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, "12345").ok
    id, secret = harness.begun()
    assert harness.verifier.check(id, secret, "12345").reason is Reason.PROVIDER_UNAVAILABLE
    assert transport.allowed == [10, 3, 10]


# What goes wrong with a request


class Prepared(Driver):
    """A driver that requests a permit before it sends, so a lost permit response has sent nothing."""

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
def test_driver_may_mark_a_lost_response_as_unsent(lost: Exception) -> None:
    second = sms(name="sms-2")
    harness = Harness(Prepared("sms-1", SMS, Ability(CodeSource.LOCAL)), second, transport=FakeTransport([lost]))
    record = harness.start().verification
    assert record is not None
    assert (record.driver, record.status) == ("sms-2", Status.SENT)


def test_lost_response_to_a_send_is_unclear() -> None:
    second, transport = sms(name="sms-2"), FakeTransport([HttpResponse(200), UNCLEAR])
    record = (
        Harness(Prepared("sms-1", SMS, Ability(CodeSource.LOCAL)), second, transport=transport).start().verification
    )
    assert record is not None
    assert (record.driver, record.status) == ("sms-1", Status.PENDING)
    assert second.orders == []


def test_deadline_before_any_send_is_a_refusal() -> None:
    transport, prepared = Slow(), Prepared("sms-1", SMS, Ability(CodeSource.LOCAL))
    harness = slow_harness(transport, prepared)
    prepared.on_start = lambda: transport.pass_time(20)
    assert harness.start().reason is Reason.DELIVERY_FAILED
    assert transport.allowed == []


# A user token


class TakesTokens(Driver):
    """A driver that sends with the user's token at the provider."""

    takes_user_tokens = True


def test_users_token_reaches_only_the_drivers_that_take_one() -> None:
    other, taker, last = (
        sms(REFUSED),
        TakesTokens("sms-2", SMS, Ability(CodeSource.LOCAL), [REFUSED]),
        sms(name="sms-3"),
    )
    harness = Harness(other, taker, last, resend_after=timedelta(0))
    id, secret = harness.begun(user_token="FAKE.TOKEN")
    assert [driver.orders[-1].user_token for driver in (other, taker, last)] == [None, "FAKE.TOKEN", None]
    last.results, other.results = [REFUSED], [REFUSED]
    assert harness.verifier.resend(id, secret, user_token="FAKE.SECOND").ok
    assert [driver.orders[-1].user_token for driver in (other, taker, last)] == [None, "FAKE.SECOND", None]


def test_driver_may_refuse_user_tokens() -> None:
    other = TakesTokens("sms-1", SMS, Ability(CodeSource.LOCAL))
    other.takes_user_tokens = False
    Harness(other).begun(user_token="FAKE.TOKEN")
    assert other.orders[0].user_token is None


def test_no_user_token_is_invented() -> None:
    taker = TakesTokens("sms-1", SMS, Ability(CodeSource.LOCAL))
    Harness(taker).begun()
    assert taker.orders[0].user_token is None


@in_one_test
@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Header: b", "é", "a" * 8001])
def test_user_token_unfit_for_a_header_is_refused(token: str) -> None:
    taker = TakesTokens("sms-1", SMS, Ability(CodeSource.LOCAL))
    harness = Harness(taker, resend_after=timedelta(0))
    with pytest.raises(ValueError, match="user_token") as raised:
        harness.start(user_token=token)
    assert not token or token not in str(raised.value)
    assert taker.orders == []
    id, secret = harness.begun()
    with pytest.raises(ValueError, match="user_token"):
        harness.verifier.resend(id, secret, user_token=token)
    assert len(taker.orders) == 1


# Late results


def test_right_remote_answer_after_the_end_is_closed() -> None:
    remote = Remote(True)
    harness = Harness(remote)
    id, secret = harness.begun()
    remote.on_check = lambda: harness.verifier.cancel(id, secret)
    late = harness.verifier.check(id, secret, "12345")
    assert (late.reason, late.proof) == (Reason.CLOSED, None)
    assert late.verification is not None
    assert late.verification.state is Status.CANCELLED


@pytest.mark.parametrize("seen", [Sighting(CallState.EXPIRED), Sighting(CallState.CALLED, PHONE)], ids=str)
def test_poll_of_the_old_line_leaves_the_new_line_alone(seen: Sighting) -> None:
    caller = Caller([Receipt("1", line=LINE), Receipt("2", line=LINE)], [seen, Sighting(CallState.CALLED, PHONE)])
    harness = Harness(caller, resend_after=timedelta(0))
    id, secret = harness.begun()
    caller.on_poll = lambda: harness.verifier.resend(id, secret)
    outcome = harness.verifier.poll(id, secret)
    assert outcome.verification is not None
    assert (outcome.verification.state, outcome.verification.reference) == (Status.SENT, "2")
    assert outcome.proof is None
    caller.on_poll = lambda: None
    harness.clock.move(3)
    assert harness.verifier.poll(id, secret).proof is not None


def test_right_remote_answer_for_the_previous_code_is_wrong() -> None:
    remote, chatted = Remote(True), chat()
    harness = Harness(remote, chatted, resend_after=timedelta(0))
    id, secret = harness.begun(SMS)
    remote.on_check = lambda: harness.verifier.resend(id, secret, channel=TELEGRAM)
    late = harness.verifier.check(id, secret, "12345")
    assert (late.reason, late.proof) == (Reason.WRONG_CODE, None)
    assert harness.verifier.check(id, secret, chatted.codes[0]).ok


@pytest.mark.parametrize(("attempts", "live"), [(2, True), (1, False)])
def test_late_wrong_remote_answer_keeps_the_call_beside_it(attempts: int, live: bool) -> None:
    remote, caller = Remote(False), Caller([Receipt("1", line=LINE)], [Sighting(CallState.CALLED, PHONE)])
    harness = Harness(remote, caller, max_attempts=attempts + 1)
    id, secret = harness.begun(SMS)
    remote.answers = [False] * (attempts + 1)
    assert harness.verifier.check(id, secret, "12345").reason is Reason.WRONG_CODE
    remote.on_check = lambda: harness.verifier.resend(id, secret, channel=CALL)
    for _ in range(1 if live else attempts):
        assert harness.verifier.check(id, secret, "12345").reason is Reason.WRONG_CODE
    assert (harness.verifier.poll(id, secret).proof is not None) is live, "attempts are one"


def test_code_that_a_provider_sent_in_place_of_ours_is_the_one_to_type() -> None:
    driver = sms(Receipt("r", code="135790"))
    harness = Harness(driver)
    id, secret = harness.begun(SMS)
    [ours] = driver.codes
    assert harness.verifier.check(id, secret, ours).reason is Reason.WRONG_CODE
    assert harness.verifier.check(id, secret, "135790").ok


@pytest.mark.parametrize("result", [Receipt("r2"), REFUSED, UNCLEAR], ids=["same provider", "failover", "unclear"])
def test_resend_after_a_replaced_code_delivers_the_one_to_type(result: Any) -> None:
    driver, second = sms(Receipt("r", code="135790"), result), sms(name="sms-2")
    harness = Harness(driver, second)
    id, secret = harness.begun(SMS)
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret).ok
    newest = (driver.codes[1:] + second.codes)[-1]
    assert harness.verifier.check(id, secret, newest).ok


def test_replaced_code_stays_if_no_provider_takes_the_resend() -> None:
    harness = Harness(sms(Receipt("r", code="135790"), REFUSED))
    id, secret = harness.begun(SMS)
    harness.clock.move(60)
    assert harness.verifier.resend(id, secret).reason is Reason.DELIVERY_FAILED
    assert harness.verifier.check(id, secret, "135790").ok


def test_error_of_a_driver_is_unclear_and_its_message_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    second = sms(name="sms-2")
    driver = sms()
    driver.on_start = lambda: int(f"{PHONE.e164} {driver.codes[-1]}")
    harness = Harness(driver, second)
    id, secret = harness.begun(SMS)
    assert second.orders == [], "the message may be sent"
    assert harness.verifier.check(id, secret, driver.codes[0]).ok
    assert "sms-1 raised ValueError" in caplog.text
    assert __file__ in caplog.text
    assert PHONE.e164 not in caplog.text
    assert driver.codes[0] not in caplog.text


def test_webhook_that_a_driver_cannot_parse_changes_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = DeafCaller(Receipt("7", line=LINE))
    monkeypatch.setattr(driver, "parse_webhook", lambda request: int(request.once("caller") + "x"))
    harness = Harness(driver)
    id, secret = harness.begun()
    assert not harness.verifier.receive("deaf", webhook(caller=PHONE.e164)).rejected
    record = harness.verifier.get(id, secret).verification
    assert record is not None
    assert record.status is Status.SENT
    assert "deaf could not parse a webhook: ValueError" in caplog.text
    assert PHONE.e164 not in caplog.text


def test_unreadable_code_of_a_provider_sends_nothing_else() -> None:
    second = sms(name="sms-2")
    harness = Harness(sms(Receipt("r", code="12")), second)
    assert harness.start(SMS).reason is Reason.DELIVERY_FAILED
    assert second.orders == []
