"""Orders that a worker sends: what the request returns, what is in the queue, and what a dead worker leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from phone_verify.api.representation import verification
from phone_verify.database.connection import Database
from phone_verify.database.work import work_in
from phone_verify.database.work_tables import SEND
from phone_verify.drivers.base import Ability
from phone_verify.errors import FailureKind, ProviderError
from phone_verify.events.record import VerificationEvent
from phone_verify.keys.access_key import AccessKey
from phone_verify.keys.keys import AccessKeys
from phone_verify.keys.orders import make_key, read_order
from phone_verify.model import Cause, CodeSource, Reason, Receipt, Started, Status
from phone_verify.routing import Router
from phone_verify.sync import run
from phone_verify.verifier.blocking import Verifier
from phone_verify.work.rows import RowSends
from phone_verify.work.sends import SEND_LEASE, SendState
from phone_verify.work.waking import WakingSends
from tests.core.harness import (
    CALL,
    FLASH,
    OTHER_LINE,
    OTHER_PHONE,
    PHONE,
    REFUSED,
    SMS,
    UNCLEAR,
    AsyncFace,
    Caller,
    DeafCaller,
    Driver,
    Harness,
    flash,
    sms,
)  # fmt: skip
from tests.keys.in_memory import KeysInMemory
from tests.ledger_files import with_tables

LINE = Receipt("order-1", line=PHONE)


class Died(BaseException):
    """The worker is killed here: nothing after it runs."""


def die() -> None:
    raise Died


class Waiting(Harness):
    """A verifier whose orders wait in a queue."""

    def __init__(self, sends: RowSends, *drivers: Any, **more: Any) -> None:
        super().__init__(*drivers, **more)
        self.sends = sends
        self.parts = replace(self.parts, sends=sends)
        self.verifier = Harness.face(self.parts)

    def work(self) -> bool:
        """Send one order, as a worker does."""
        flows = AsyncFace(self.parts) if Harness.face is AsyncFace else Verifier(self.parts).flows
        return bool(flows.send_queued() if isinstance(flows, AsyncFace) else run(flows.send_queued()))

    def change(self, **parts: Any) -> None:
        """Change the settings of the site."""
        self.parts = replace(self.parts, **parts)
        self.verifier = Harness.face(self.parts)

    def new_key(self) -> AccessKey:
        return make_key(read_order(name="Shop", now=self.clock()), os.urandom, self.clock()).key

    def add_key(self) -> AccessKey:
        """Add an access key to the site."""
        key = self.new_key()
        self.change(keys=AccessKeys(KeysInMemory(key), self.clock))
        return key

    def revoke(self, key: AccessKey) -> None:
        assert self.parts.keys is not None
        run(self.parts.keys.store.revoke(key.id, self.clock()))

    def status(self, id: str, secret: str) -> tuple[Status, Cause | None]:
        outcome = self.verifier.get(id, secret)
        assert outcome.verification is not None
        return outcome.verification.state, outcome.cause


@pytest.fixture(params=[Verifier, AsyncFace], ids=["blocking", "async"])
def face(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Harness, "face", staticmethod(request.param))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return with_tables(tmp_path / "work.sqlite3")


@pytest.fixture
def made(face: None, url: str) -> Callable[..., Waiting]:
    return lambda *drivers, **more: Waiting(work_in(Database.from_url(url))[0], *drivers, **more)


Make = Callable[..., Waiting]


def test_start_answers_before_the_order_is_sent(made: Make) -> None:
    here = made(driver := sms())
    id, secret = here.begun()
    assert (driver.orders, here.status(id, secret)) == ([], (Status.PENDING, None))
    assert here.work()
    assert not here.work()
    assert here.status(id, secret) == (Status.SENT, None)
    assert here.verifier.check(id, secret, driver.codes[0]).ok


def test_queue_has_no_code_number_or_secret(made: Make, url: str) -> None:
    here = made(driver := sms())
    _, secret = here.begun(address="192.0.2.7")
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        (row,) = connection.execute(sa.select(SEND)).mappings()
    here.work()
    kept = " ".join(map(str, row.values()))
    for private in (driver.codes[0], PHONE.e164, PHONE.e164[1:], secret, "192.0.2.7"):
        assert private not in kept


def test_resend_waits_and_repeats_the_code(made: Make) -> None:
    here = made(driver := sms())
    id, secret = here.begun()
    here.work()
    here.clock.move(60)
    assert here.verifier.resend(id, secret).ok
    assert len(driver.orders) == 1
    here.work()
    assert driver.codes[0] == driver.codes[1]
    assert driver.orders[0].key != driver.orders[1].key


def test_order_of_a_deleted_service_is_not_sent(made: Make) -> None:
    here = made(driver := sms())
    parts = here.parts

    async def no_service(name: str) -> None:
        return None

    here.verifier = Harness.face(replace(parts, service="shop", find_service=no_service))
    id, _ = here.begun()
    here.parts = replace(parts, find_service=no_service)
    assert here.work()
    assert driver.orders == []
    assert run(here.sends.outcome(id, 1)) == (SendState.DROPPED, None)


def test_provider_code_verifies_after_the_worker_sent_it(made: Make) -> None:
    here = made(flash("4321"))
    id, secret = here.begun(FLASH)
    here.work()
    assert here.verifier.check(id, secret, "4321").ok


@pytest.mark.parametrize(
    ("error", "cause"), [(REFUSED, Cause.SERVICE), (ProviderError(FailureKind.BAD_NUMBER, "no"), Cause.NUMBER)]
)
def test_failed_order_shows_its_cause(made: Make, error: Exception, cause: Cause) -> None:
    here = made(sms(error))
    id, secret = here.begun()
    assert here.work()
    assert here.status(id, secret) == (Status.FAILED, cause)
    assert run(here.sends.outcome(id, 1)) == (SendState.FAILED, cause)
    shown = verification(here.verifier.get(id, secret))
    assert (shown["status"], shown["cause"]) == ("failed", cause.value)


def test_failed_resend_leaves_the_code_valid(made: Make) -> None:
    here = made(driver := sms(Receipt(), REFUSED))
    id, secret = here.begun()
    here.work()
    here.clock.move(60)
    here.verifier.resend(id, secret)
    here.work()
    assert here.status(id, secret) == (Status.SENT, Cause.SERVICE)
    assert here.verifier.check(id, secret, driver.codes[0]).ok


def test_failover_and_unclear_results_are_those_of_a_request(made: Make) -> None:
    here = made(first := sms(REFUSED), second := sms(UNCLEAR, name="sms-2"), third := sms(name="sms-3"))
    id, secret = here.begun()
    here.work()
    assert [len(driver.orders) for driver in (first, second, third)] == [1, 1, 0]
    assert here.verifier.check(id, secret, second.codes[0]).ok


def silent(here: Waiting, *drivers: Driver) -> None:
    """Let the worker's router know that these drivers' providers do not respond."""
    router = Router({SMS: here.parts.router.carriers(SMS)}, ticks=lambda: here.ticks)
    for driver in drivers * 20:
        router.unreachable(driver)
    here.parts = replace(here.parts, router=router)


def test_worker_asks_silent_provider_last(made: Make) -> None:
    here = made(first := sms(), second := sms(name="sms-2"))
    silent(here, first)
    id, secret = here.begun()
    assert here.work()
    assert (len(first.orders), len(second.orders)) == (0, 1)
    assert here.verifier.check(id, secret, second.codes[0]).ok


def test_silent_provider_is_asked_after_the_others_refused(made: Make) -> None:
    here = made(first := sms(), second := sms(REFUSED, name="sms-2"))
    silent(here, first)
    id, secret = here.begun()
    assert here.work()
    assert here.verifier.check(id, secret, first.codes[0]).ok
    assert len(second.orders) == 1


@pytest.mark.parametrize("asked", [1, 2])
def test_next_worker_keeps_the_order_of_the_drivers(made: Make, asked: int) -> None:
    keyed = Ability(CodeSource.LOCAL, once_by_key=True)
    first, second = (Driver(name, SMS, keyed) for name in ("sms-1", "sms-2"))
    here = made(first, second)
    silent(here, first)
    here.begun()
    dying = second if asked == 1 else first
    second.results = [REFUSED] if asked == 2 else []
    dying.on_start = die
    with pytest.raises(Died):
        here.work()
    here.clock.move(SEND_LEASE.total_seconds())
    here.ticks += 3600
    dying.on_start, dying.results = (lambda: None), [REFUSED]
    assert here.work()
    # The second was asked first by the dead worker, and is not asked again after it refused.
    assert (len(first.orders), len(second.orders)) == ((1, 2) if asked == 1 else (2, 1))


def test_event_names_the_send(made: Make) -> None:
    events: list[VerificationEvent] = []
    here = made(sms(REFUSED), listeners=[events.append])
    here.begun()
    here.work()
    assert [(event.verb, event.outcome) for event in events] == [("start", "ok"), ("send", "delivery_failed")]


def test_lines_tokens_and_options_do_not_wait(made: Make, url: str) -> None:
    here = made(caller := Caller([LINE]), driver := sms())
    assert here.start(CALL).ok
    assert here.start(SMS, OTHER_PHONE, user_token="token").ok
    assert (len(caller.orders), len(driver.orders), run(here.sends.waiting())) == (1, 1, 0)


def test_ended_verification_is_not_sent(made: Make) -> None:
    here = made(driver := sms())
    id, secret = here.begun()
    here.verifier.cancel(id, secret)
    assert here.work()
    assert (driver.orders, run(here.sends.outcome(id, 1))) == ([], (SendState.DROPPED, None))


def test_expired_order_is_not_sent(made: Make) -> None:
    here = made(driver := sms())
    here.begun()
    here.clock.move(3600)
    assert here.work()
    assert driver.orders == []


@pytest.mark.parametrize(("left", "sent"), [(10, 1), (9.9, 0), (0.1, 0)])
def test_order_is_not_sent_just_before_its_verification_ends(made: Make, left: float, sent: int) -> None:
    here = made(driver := sms())
    id, secret = here.begun()
    life = here.verifier.get(id, secret).verification.expires_at - here.clock()
    here.clock.move(life.total_seconds() - left)
    assert here.work()
    assert len(driver.orders) == sent
    if sent:
        assert here.verifier.check(id, secret, driver.codes[0]).ok
        return
    assert not here.work()
    here.clock.move(left)
    assert here.work()
    assert (driver.orders, here.status(id, secret)) == ([], (Status.EXPIRED, None))
    assert run(here.sends.outcome(id, 1)) == (SendState.DROPPED, None)


def test_code_of_a_dead_worker_is_valid_to_the_end(made: Make) -> None:
    dying = sms(on_start=die)
    here = made(dying)
    id, secret = here.begun()
    life = here.verifier.get(id, secret).verification.expires_at - here.clock()
    here.clock.move(life.total_seconds() - SEND_LEASE.total_seconds() - 5)
    with pytest.raises(Died):
        here.work()
    here.clock.move(SEND_LEASE.total_seconds())
    assert here.work()
    assert run(here.sends.outcome(id, 1)) == (SendState.DONE, None)
    assert here.verifier.check(id, secret, dying.codes[0]).ok


def test_erased_phone_is_not_sent_to(made: Make) -> None:
    here = made(driver := sms())
    here.begun()
    here.verifier.erase(PHONE)
    assert not here.work()
    assert driver.orders == []


def test_worker_that_died_before_asking_loses_nothing(made: Make) -> None:
    here = made(driver := sms())
    id, secret = here.begun()
    assert run(here.sends.take(SEND_LEASE, here.clock())) is not None  # and the worker is killed
    assert not here.work()
    here.clock.move(SEND_LEASE.total_seconds())
    assert here.work()
    assert len(driver.orders) == 1
    assert here.verifier.check(id, secret, driver.codes[0]).ok


@pytest.mark.parametrize("results", [[], [REFUSED]], ids=["first driver", "second driver"])
def test_worker_that_died_while_asking_sends_once(made: Make, results: list[Any]) -> None:
    dying = sms(on_start=die, name="dying")
    here = made(*[sms(*results, name="before")] * bool(results), dying, later := sms(name="later"))
    id, secret = here.begun()
    with pytest.raises(Died):
        here.work()
    here.clock.move(SEND_LEASE.total_seconds())
    dying.on_start = lambda: None
    assert here.work()
    assert (len(dying.orders), later.orders) == (1, [])
    assert here.status(id, secret) == (Status.PENDING, None)
    # It may have arrived, and its code is valid.
    assert here.verifier.check(id, secret, dying.codes[0]).ok


def test_provider_with_an_idempotency_key_is_asked_again(made: Make) -> None:
    ability = Ability(CodeSource.LOCAL, once_by_key=True)
    dying = Driver("keyed", SMS, ability, on_start=die)
    here = made(dying, other := sms())
    id, secret = here.begun()
    with pytest.raises(Died):
        here.work()
    here.clock.move(SEND_LEASE.total_seconds())
    dying.on_start = lambda: None
    assert here.work()
    assert [order.key for order in dying.orders] == [f"{id}.1"] * 2
    assert other.orders == []
    assert here.status(id, secret) == (Status.SENT, None)


def test_provider_code_of_a_dead_worker_fails(made: Make) -> None:
    dying = replace(flash("4321"), on_start=die)
    here = made(dying)
    id, secret = here.begun(FLASH)
    with pytest.raises(Died):
        here.work()
    here.clock.move(SEND_LEASE.total_seconds())
    assert here.work()
    assert len(dying.orders) == 1
    assert here.status(id, secret) == (Status.FAILED, Cause.SERVICE)


def test_slow_worker_does_not_ask_after_its_lease(made: Make) -> None:
    here = made(driver := sms())
    here.begun()
    taken = run(here.sends.take(SEND_LEASE, here.clock()))
    assert taken is not None
    here.clock.move(SEND_LEASE.total_seconds())
    real_mark = RowSends.mark

    async def other_worker_first(self: RowSends, *args: Any) -> None:
        RowSends.mark = real_mark  # type: ignore[method-assign]
        here.clock.move(SEND_LEASE.total_seconds())
        assert here.work()
        await real_mark(self, *args)

    RowSends.mark = other_worker_first  # type: ignore[method-assign]
    try:
        assert here.work()
    finally:
        RowSends.mark = real_mark  # type: ignore[method-assign]
    assert len(driver.orders) == 1


def test_later_order_supersedes_one_that_waits(made: Make) -> None:
    here = made(text := sms(), flash("4321"))
    id, secret = here.begun(SMS)
    assert here.verifier.resend(id, secret, channel=FLASH).ok
    assert run(here.sends.outcome(id, 1)) == (SendState.DROPPED, None)
    assert here.work()
    assert not here.work()
    assert text.orders == []
    assert here.verifier.check(id, secret, "4321").ok


def test_older_of_two_orders_that_arrived_together_is_dropped(made: Make, url: str) -> None:
    here = made(text := sms(), flash("4321"))
    id, secret = here.begun(SMS)
    here.verifier.resend(id, secret, channel=FLASH)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:  # neither saw the other
        connection.execute(sa.update(SEND).values(state="waiting", next_at=1))
    assert here.work()
    assert here.work()
    assert text.orders == []
    assert here.verifier.check(id, secret, "4321").ok


def test_verification_fails_if_no_order_of_it_was_accepted(made: Make) -> None:
    here = made(sms(), flash(REFUSED))
    id, secret = here.begun(SMS)
    here.verifier.resend(id, secret, channel=FLASH)
    assert here.work()
    assert here.status(id, secret) == (Status.FAILED, Cause.SERVICE)


def test_failed_order_leaves_a_verification_whose_other_order_is_being_sent(made: Make) -> None:
    here = made(sms(REFUSED), flash(REFUSED))
    id, secret = here.begun(SMS)
    first = run(here.sends.take(SEND_LEASE, here.clock()))
    assert first is not None
    run(here.sends.mark(first, 1, here.clock() + SEND_LEASE))
    here.verifier.resend(id, secret, channel=FLASH)
    assert here.work()
    assert here.status(id, secret)[0] is Status.PENDING
    # The worker of the first one died: the order may have been sent.
    here.clock.move(SEND_LEASE.total_seconds())
    assert here.work()
    assert here.status(id, secret)[0] is Status.PENDING


# An order that is sent in the request, or is not sent by a worker, and another one of the same verification.


@pytest.mark.parametrize("refusal", ["refused", "line taken"])
def test_verification_fails_if_its_call_and_then_its_sms_failed(made: Make, refusal: str) -> None:
    line = Receipt(line=OTHER_LINE)
    here = made(sms(REFUSED), DeafCaller(line, line) if refusal == "line taken" else Caller([LINE, REFUSED]))
    here.begun(CALL)
    id, secret = here.begun(SMS)
    assert not here.verifier.resend(id, secret, channel=CALL).ok
    assert here.status(id, secret) == (Status.PENDING, Cause.SERVICE)
    assert here.work()
    assert here.status(id, secret) == (Status.FAILED, Cause.SERVICE)
    assert not here.work()


def test_call_fails_last_after_its_line_was_taken(made: Make) -> None:
    line = Receipt(line=OTHER_LINE)
    here = made(sms(REFUSED), caller := DeafCaller(line, line))
    here.begun(CALL)
    id, secret = here.begun(SMS)
    caller.on_start = lambda: run(Verifier(here.parts).flows.send_queued())
    assert not here.verifier.resend(id, secret, channel=CALL).ok
    assert here.status(id, secret) == (Status.FAILED, Cause.SERVICE)


def test_sms_is_sent_after_the_call_of_its_verification_failed(made: Make) -> None:
    woken: list[tuple[str, int]] = []
    here = made(driver := sms(), Caller([REFUSED]))
    here.change(sends=WakingSends(here.sends, lambda *key: woken.append(key)))
    id, secret = here.begun(SMS)
    assert here.verifier.resend(id, secret, channel=CALL).reason is Reason.DELIVERY_FAILED
    assert woken == [(id, 1)]
    assert here.work()
    assert here.verifier.check(id, secret, driver.codes[0]).ok


def test_order_that_failed_in_the_request_supersedes_none_of_two(made: Make, url: str) -> None:
    here = made(sms(), flash("4321"), Caller([REFUSED]))
    id, secret = here.begun(SMS)
    here.verifier.resend(id, secret, channel=FLASH)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:  # they arrived at the same time
        connection.execute(sa.update(SEND).values(state="waiting", next_at=1))
    here.clock.move(60)
    assert here.verifier.resend(id, secret, channel=CALL).reason is Reason.DELIVERY_FAILED
    assert run(here.sends.waiting_of(id)) == [1, 2]


def test_sms_that_waits_is_dropped_once_a_line_is_attached(made: Make) -> None:
    here = made(text := sms(), Caller([LINE]))
    id, secret = here.begun(SMS)
    assert here.verifier.resend(id, secret, channel=CALL).ok
    assert here.work()
    assert (text.orders, run(here.sends.outcome(id, 1))) == ([], (SendState.DROPPED, None))
    assert here.status(id, secret) == (Status.SENT, None)


def test_refused_second_channel_does_not_use_up_the_proof(made: Make) -> None:
    here = made(text := sms(), rung := flash(REFUSED, "4321"), combined=(SMS, FLASH))
    id, secret = here.begun(SMS)
    here.work()
    proof = here.verifier.check(id, secret, text.codes[0]).proof
    refused, started = (here.start(FLASH, proof=proof, shown=[secret]) for _ in range(2))
    assert refused.reason is Reason.DELIVERY_FAILED
    assert isinstance(started, Started)
    assert (len(rung.orders), run(here.sends.waiting())) == (2, 0)
    assert here.verifier.check(started.verification.id, started.secret, "4321").ok


def test_failed_order_ends_nothing_that_another_worker_sent_meanwhile(
    made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = made(text := sms(), flash(REFUSED))
    id, secret = here.begun(SMS)
    first = run(here.sends.take(SEND_LEASE, here.clock()))
    assert first is not None
    run(here.sends.mark(first, 1, here.clock() + SEND_LEASE))
    here.verifier.resend(id, secret, channel=FLASH)
    real = RowSends.waiting_of

    async def other_worker_first(self: RowSends, verification: str) -> Any:
        monkeypatch.setattr(RowSends, "waiting_of", real)
        record = await here.store.get(id, here.clock())
        await Verifier(here.parts).flows._sent(record, self, first)
        return await real(self, verification)

    monkeypatch.setattr(RowSends, "waiting_of", other_worker_first)
    assert here.work()
    assert here.status(id, secret) == (Status.SENT, Cause.SERVICE)
    assert here.verifier.check(id, secret, text.codes[0]).ok


@pytest.mark.parametrize("change", ["left", "lost its channel"])
def test_order_is_not_sent_again_after_its_driver_has_gone(made: Make, change: str) -> None:
    dying = sms(on_start=die, name="dying")
    here = made(dying, later := sms(name="later"))
    id, secret = here.begun()
    with pytest.raises(Died):
        here.work()
    here.clock.move(SEND_LEASE.total_seconds())
    if change == "left":
        here.change(router=Router({SMS: [later]}, ticks=lambda: here.ticks))
    dying.channel = FLASH
    assert here.work()
    assert (len(dying.orders), later.orders) == (1, [])
    assert here.status(id, secret) == (Status.FAILED, Cause.SERVICE)


# Access keys.


def test_order_of_a_revoked_key_is_not_sent(made: Make) -> None:
    events: list[VerificationEvent] = []
    here = made(driver := sms(), listeners=[events.append], sends_per_hour=1)
    key = here.add_key()
    id, secret = here.begun(access_key=key.id)
    assert here.start().reason is Reason.TOO_MANY_REQUESTS
    here.revoke(key)
    assert here.work()
    assert (driver.orders, here.status(id, secret)) == ([], (Status.FAILED, Cause.SERVICE))
    assert [(event.verb, event.outcome) for event in events][-1] == ("send", "send_refused")
    here.begun()


def test_resend_without_the_key_is_not_sent_after_it_was_revoked(made: Make) -> None:
    here = made(driver := sms())
    key = here.add_key()
    id, secret = here.begun(access_key=key.id)
    assert here.work()
    here.clock.move(60)
    assert here.verifier.resend(id, secret).ok
    here.revoke(key)
    assert here.work()
    assert (len(driver.orders), here.status(id, secret)) == (1, (Status.SENT, Cause.SERVICE))
    assert here.verifier.check(id, secret, driver.codes[0]).ok


@pytest.mark.parametrize("revoked", ["starter", "sender"])
def test_resend_by_another_key_needs_both(made: Make, revoked: str) -> None:
    here = made(driver := sms())
    keys = {name: here.new_key() for name in ("starter", "sender")}
    here.change(keys=AccessKeys(KeysInMemory(*keys.values()), here.clock))
    id, secret = here.begun(access_key=keys["starter"].id)
    assert here.work()
    here.clock.move(60)
    assert here.verifier.resend(id, secret, access_key=keys["sender"].id).ok
    here.revoke(keys[revoked])
    assert here.work()
    assert (len(driver.orders), here.status(id, secret)) == (1, (Status.SENT, Cause.SERVICE))


@pytest.mark.parametrize("once_by_key", [False, True])
def test_order_that_was_asked_before_its_key_was_revoked_keeps_its_code(made: Make, once_by_key: bool) -> None:
    dying = Driver("dying", SMS, Ability(CodeSource.LOCAL, once_by_key=once_by_key), on_start=die)
    here = made(dying, sends_per_hour=1)
    key = here.add_key()
    id, secret = here.begun(access_key=key.id)
    with pytest.raises(Died):
        here.work()
    here.revoke(key)
    here.clock.move(SEND_LEASE.total_seconds())
    assert here.work()
    assert len(dying.orders) == 1
    assert here.start().reason is Reason.TOO_MANY_REQUESTS
    assert here.verifier.check(id, secret, dying.codes[0]).ok


def test_wake_that_fails_leaves_the_order_to_the_job(made: Make, caplog: pytest.LogCaptureFixture) -> None:
    woken: list[tuple[str, int]] = []

    def wake(verification: str, send: int) -> None:
        woken.append((verification, send))
        raise ConnectionError("amqp://user:password@broker")

    here = made(driver := sms())
    here.parts = replace(here.parts, sends=WakingSends(here.sends, wake))
    here.verifier = Harness.face(here.parts)
    id, _ = here.begun()
    assert woken == [(id, 1)]
    assert "password" not in caplog.text
    assert here.work()
    assert len(driver.orders) == 1


def test_lease_is_longer_than_all_providers_together() -> None:
    assert timedelta(seconds=40) < SEND_LEASE
