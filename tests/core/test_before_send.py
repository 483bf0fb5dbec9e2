"""The site's own decision before anything is sent: when it is asked, what it is told, and what a refusal costs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from phone_verify import before_send
from phone_verify.before_send import BeforeSend, ClientFacts, Hook, HookError, Refusal, SendOrder
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import ConfigurationError
from phone_verify.external.codes import register_code
from phone_verify.external.forms import NO_VERIFICATION, send_code
from phone_verify.model import Outcome, Reason, Started
from phone_verify.verifier.blocking import Verifier
from phone_verify.verifier.operations import AsyncVerifier

from .harness import OTHER_PHONE, PHONE, REFUSED, SMS, TELEGRAM, Harness, chat, sms

ADDRESS = "198.51.100.7"
SECRET = "the-answer-to-a-captcha"


def hooked(hook: Hook, *drivers: Any, **policy: Any) -> Harness:
    """Return a harness whose site has this hook."""
    harness = Harness(*(drivers or (sms(),)), **policy)
    harness.parts = replace(harness.parts, before_send=BeforeSend(lambda: hook))
    harness.verifier = Verifier(harness.parts)
    return harness


def refuse(order: SendOrder, client: ClientFacts) -> Refusal | None:
    return Refusal("Not today.", field="phone")


def fail(order: SendOrder, client: ClientFacts) -> Refusal | None:
    raise ValueError(f"{order.phone.e164} {client.extra}")


class Asking:
    """A hook that lets every order pass, and keeps what it was asked."""

    def __init__(self, decision: Refusal | None = None) -> None:
        self.asked: list[tuple[SendOrder, ClientFacts]] = []
        self.decision = decision

    def __call__(self, order: SendOrder, client: ClientFacts) -> Refusal | None:
        self.asked.append((order, client))
        return self.decision

    @property
    def orders(self) -> list[SendOrder]:
        return [order for order, _ in self.asked]


def test_hook_receives_the_order_and_the_client() -> None:
    hook = Asking()
    harness = hooked(hook)
    client = ClientFacts(ADDRESS, {"user-agent": "x"}, {"captcha": SECRET})
    harness.begun(locale="fa", subject="7", purpose="confirm", by_client=True, address=ADDRESS, client=client)
    assert hook.asked == [
        (SendOrder(PHONE, "confirm", SMS, locale="fa", signed_in=True, by_client=True), client),
    ]
    assert SECRET not in repr(hook.asked)


def test_hook_learns_the_address_of_a_start_by_server_code() -> None:
    hook = Asking()
    hooked(hook).begun(address=ADDRESS)
    assert hook.asked == [(SendOrder(PHONE, "login", SMS), ClientFacts(ADDRESS))]


def test_hook_is_asked_about_each_resend_and_the_device() -> None:
    hook = Asking()
    harness = hooked(hook, sms(), chat())
    device = harness.verifier.remember_device("", PHONE)
    id, secret = harness.begun(trusted_device=device, locale="ru")
    harness.clock.move(61)
    assert harness.verifier.resend(id, secret, channel=TELEGRAM, by_client=True).ok
    assert hook.orders == [
        SendOrder(PHONE, "login", SMS, locale="ru", trusted_device=True),
        SendOrder(PHONE, "login", TELEGRAM, is_resend=True, locale="ru", trusted_device=True, by_client=True),
    ]


def test_hook_is_asked_once_for_an_order_that_fails_over() -> None:
    hook = Asking()
    harness = hooked(hook, sms(REFUSED), sms(name="sms-2"))
    harness.begun()
    assert len(hook.asked) == 1


def test_hook_learns_the_first_channel_that_reaches_the_phone() -> None:
    hook = Asking()
    harness = hooked(hook, replace(chat(), reachable=False), sms(), preference=[TELEGRAM, SMS])
    harness.begun()
    assert hook.orders[0].channel is SMS


def test_refusal_sends_nothing_and_has_the_sites_text() -> None:
    driver = sms()
    outcome = hooked(refuse, driver).start()
    assert outcome == Outcome(Reason.SEND_REFUSED, text="Not today.", at_fault="phone")
    assert driver.orders == []


def test_refused_resend_keeps_the_sent_code() -> None:
    hook = Asking()
    driver = sms()
    harness = hooked(hook, driver)
    id, secret = harness.begun()
    harness.clock.move(61)
    hook.decision = Refusal()
    outcome = harness.verifier.resend(id, secret)
    assert outcome.reason is Reason.SEND_REFUSED
    assert len(driver.orders) == 1
    assert harness.verifier.check(id, secret, driver.codes[0]).ok


def test_refusals_count_nothing_against_the_phone_or_others() -> None:
    hook = Asking(Refusal())
    harness = hooked(hook, sends_per_hour=1, sends_per_hour_per_prefix=2, sends_per_hour_total=2)
    for _ in range(30):
        assert harness.start(address=ADDRESS).reason is Reason.SEND_REFUSED
    hook.decision = None
    assert harness.start(address="203.0.113.9").ok


def test_client_that_leaves_during_the_hook_counts_nothing_against_others() -> None:
    parts = Harness(sms(), sends_per_hour_per_prefix=2, sends_per_hour_total=2).parts
    waits = True

    async def hook(order: SendOrder, client: ClientFacts) -> Refusal | None:
        if waits:
            await asyncio.Event().wait()
        return None

    async def leave(verifier: AsyncVerifier) -> None:
        task = asyncio.create_task(verifier.start(PHONE, address=ADDRESS, by_client=True))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def leave_often() -> Outcome:
        nonlocal waits
        verifier = AsyncVerifier(replace(parts, before_send=BeforeSend(lambda: hook, in_thread=asyncio.to_thread)))
        for _ in range(5):
            await leave(verifier)
        waits = False
        return await verifier.start(PHONE, address="203.0.113.9", by_client=True)

    assert asyncio.run(leave_often()).ok


def test_full_quota_of_others_denies_before_the_hook_is_asked() -> None:
    hook = Asking()
    harness = hooked(hook, sends_per_hour_total=2)
    harness.begun()
    harness.begun(phone=OTHER_PHONE)
    assert harness.start(phone=OTHER_PHONE, address=ADDRESS).reason is Reason.TOO_MANY_REQUESTS
    assert len(hook.asked) == 2


def test_order_that_every_provider_refused_counts_for_the_address_of_a_hook() -> None:
    hook = Asking()
    harness = hooked(hook, sms(*[REFUSED] * 3), sends_per_hour_per_address=2, sends_per_hour_total=2)
    reasons = [harness.start(address=ADDRESS).reason for _ in range(3)]
    assert reasons == [Reason.DELIVERY_FAILED, Reason.DELIVERY_FAILED, Reason.TOO_MANY_REQUESTS]
    assert harness.start(address="203.0.113.9").reason is Reason.DELIVERY_FAILED


def test_refusals_count_for_the_address_before_the_hook_is_asked() -> None:
    hook = Asking(Refusal())
    harness = hooked(hook, sends_per_hour_per_address=3)
    reasons = [harness.start(address=ADDRESS).reason for _ in range(5)]
    assert reasons == [Reason.SEND_REFUSED] * 3 + [Reason.TOO_MANY_REQUESTS] * 2
    assert len(hook.asked) == 3
    assert harness.start(address="203.0.113.9").reason is Reason.SEND_REFUSED


def test_orders_denied_after_the_hook_count_for_the_address() -> None:
    hook = Asking()
    harness = hooked(hook, sends_per_hour_per_address=4)
    id, secret = harness.begun(address=ADDRESS)
    for _ in range(10):  # each is too soon
        assert harness.verifier.resend(id, secret, address=ADDRESS).reason is Reason.TOO_MANY_REQUESTS
    assert len(hook.asked) == 4
    assert harness.start(phone=OTHER_PHONE, address="203.0.113.9").ok


def test_site_without_a_hook_gives_denied_orders_back() -> None:
    harness = Harness(sms(), sends_per_hour_per_address=4)
    id, secret = harness.begun(address=ADDRESS)
    for _ in range(10):
        harness.verifier.resend(id, secret, address=ADDRESS)
    assert harness.start(phone=OTHER_PHONE, address=ADDRESS).ok


@pytest.mark.parametrize("wrong", [True, False, "no", Refusal], ids=["true", "false", "text", "class"])
def test_hook_with_another_result_sends_nothing(wrong: Any, caplog: pytest.LogCaptureFixture) -> None:
    driver = sms()
    harness = hooked(lambda order, client: wrong, driver)
    assert harness.start().reason is Reason.HOOK_FAILED
    assert driver.orders == []
    assert "return None or a Refusal" in caplog.text


def test_failing_hook_sends_nothing_and_logs_no_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    driver = sms()
    harness = hooked(fail, driver)
    outcome = harness.start(client=ClientFacts(extra={"captcha": SECRET}))
    assert outcome.reason is Reason.HOOK_FAILED
    assert driver.orders == []
    assert "before_send raised ValueError" in caplog.text
    assert "test_before_send.py:" in caplog.text
    assert SECRET not in caplog.text
    assert PHONE.e164 not in caplog.text


def test_log_names_the_line_of_the_site_that_called_a_library(caplog: pytest.LogCaptureFixture) -> None:
    def hook(order: SendOrder, client: ClientFacts) -> Refusal | None:
        return Refusal(json.loads("no answer of a captcha"))

    assert hooked(hook).start().reason is Reason.HOOK_FAILED
    assert f"before_send raised JSONDecodeError, so nothing was sent ({__file__}:" in caplog.text


class NoException(BaseException):
    """As `gevent.Timeout`, or the panic of an extension written in Rust."""


@pytest.mark.parametrize("kind", [NoException, asyncio.CancelledError])
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("in_loop", [False, True], ids=["blocking", "loop"])
def test_hook_that_raises_no_exception_sends_nothing(
    kind: type[BaseException], is_async: bool, in_loop: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def later(order: SendOrder, client: ClientFacts) -> Refusal | None:
        raise kind(order.phone.e164)

    def plain(order: SendOrder, client: ClientFacts) -> Refusal | None:
        raise kind(order.phone.e164)

    hook: Hook = later if is_async else plain
    outcome = started(hook) if in_loop else hooked(hook).start()
    assert outcome.reason is Reason.HOOK_FAILED
    assert f"before_send raised {kind.__name__}" in caplog.text
    assert PHONE.e164 not in caplog.text


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_end_of_the_process_passes_the_hook(kind: type[BaseException]) -> None:
    def hook(order: SendOrder, client: ClientFacts) -> Refusal | None:
        raise kind

    with pytest.raises(kind):
        hooked(hook).start()


class Untranslatable:
    """A lazy translation that fails."""

    def __str__(self) -> str:
        raise KeyError(PHONE.e164)


@pytest.mark.parametrize(
    "refusal",
    [Refusal("\ud800"), Refusal(cast("Any", Untranslatable())), Refusal("no", cast("Any", "captcha"))],
    ids=["surrogate", "lazy", "field"],
)
def test_refusal_that_cannot_be_shown_sends_nothing(refusal: Refusal, caplog: pytest.LogCaptureFixture) -> None:
    assert hooked(Asking(refusal)).start().reason is Reason.HOOK_FAILED
    assert "nothing was sent" in caplog.text
    assert PHONE.e164 not in caplog.text


@pytest.mark.parametrize("text", [None, "", " "], ids=["none", "empty", "blank"])
def test_refusal_without_a_text_has_ours(text: Any) -> None:
    outcome = hooked(Asking(Refusal(text))).start()
    assert (outcome.reason, outcome.text) == (Reason.SEND_REFUSED, "")


def test_log_names_the_line_of_the_hook_not_of_a_library(caplog: pytest.LogCaptureFixture) -> None:
    hooked(lambda order, client: os.environ["PHONE_VERIFY_NOT_SET"], sms()).start()
    [record] = [each for each in caplog.records if "before_send raised KeyError" in each.getMessage()]
    assert "test_before_send.py:" in record.getMessage()


def test_failures_of_the_hook_count_for_the_address() -> None:
    harness = hooked(fail, sends_per_hour_per_address=2)
    reasons = [harness.start(address=ADDRESS).reason for _ in range(3)]
    assert reasons == [Reason.HOOK_FAILED, Reason.HOOK_FAILED, Reason.TOO_MANY_REQUESTS]


def test_forms_of_other_packages_ask_the_hook() -> None:
    hook = Asking()
    harness = hooked(hook)
    client = ClientFacts(ADDRESS)
    outcome, begun = send_code(harness.verifier, PHONE, "login", begun=NO_VERIFICATION, client=client)
    harness.clock.move(61)
    send_code(harness.verifier, PHONE, "login", begun=begun, client=client, by_client=True)
    assert outcome.ok
    assert [(order.is_resend, order.by_client) for order in hook.orders] == [(False, False), (True, True)]
    assert [asked for _, asked in hook.asked] == [client, client]


def test_codes_of_other_packages_ask_nothing() -> None:
    hook = Asking(Refusal())
    outcome, _ = register_code(hooked(hook).verifier, PHONE, "second_factor", "482913", ttl=timedelta(minutes=3))
    assert isinstance(outcome, Started)
    assert hook.asked == []


# Async hooks, and hooks of async verifiers.


async def refuse_later(order: SendOrder, client: ClientFacts) -> Refusal | None:
    await asyncio.sleep(0)
    return Refusal("later")


async def hang(order: SendOrder, client: ClientFacts) -> Refusal | None:
    await asyncio.Event().wait()
    return None


async def hang_stubbornly(order: SendOrder, client: ClientFacts) -> Refusal | None:
    while True:
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.5)
        except asyncio.CancelledError:
            continue
        except TimeoutError:
            raise ValueError(SECRET) from None


def test_async_hook_runs_in_a_blocking_site() -> None:
    outcome = hooked(refuse_later).start()
    assert (outcome.reason, outcome.text) == (Reason.SEND_REFUSED, "later")


def test_async_hook_runs_in_a_blocking_call_within_a_loop() -> None:
    harness = hooked(refuse_later)

    async def view() -> Outcome:
        return harness.start()

    assert asyncio.run(view()).text == "later"


def started(hook: Hook) -> Outcome:
    """Return the outcome of a start by the async verifier of a site with this hook."""
    parts = Harness(sms()).parts
    verifier = AsyncVerifier(replace(parts, before_send=BeforeSend(lambda: hook, in_thread=asyncio.to_thread)))
    return asyncio.run(verifier.start(PHONE))


def test_async_site_awaits_an_async_hook() -> None:
    assert started(refuse_later).text == "later"


def test_async_site_runs_a_plain_hook_off_the_loop() -> None:
    threads = []

    def hook(order: SendOrder, client: ClientFacts) -> Refusal | None:
        threads.append(threading.current_thread())
        return Refusal("plain")

    assert started(hook).text == "plain"
    assert threads != [threading.main_thread()]


@pytest.mark.parametrize("start", [lambda hook: hooked(hook).start(), started], ids=["blocking", "async"])
@pytest.mark.parametrize("hook", [hang, hang_stubbornly])
def test_hanging_async_hook_is_ended_at_its_limit(
    hook: Hook, start: Callable[[Hook], Outcome], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(before_send, "HOOK_SECONDS", 0.05)
    assert start(hook).reason is Reason.HOOK_FAILED
    assert "did not answer in time" in caplog.text
    assert SECRET not in caplog.text


def test_blocking_site_waits_for_no_thread_of_a_hanging_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before_send, "HOOK_SECONDS", 0.05)
    release, has_ended = threading.Event(), threading.Event()

    def block() -> None:
        release.wait(30)
        has_ended.set()

    async def hook(order: SendOrder, client: ClientFacts) -> Refusal | None:
        await asyncio.to_thread(block)
        return None

    try:
        assert hooked(hook).start().reason is Reason.HOOK_FAILED
        assert not has_ended.is_set()
    finally:
        release.set()


def test_threads_of_a_server_outlive_the_hook_of_a_page() -> None:
    # asgiref runs an async hook of a page under ASGI in the loop of the server.
    async def hook(order: SendOrder, client: ClientFacts) -> Refusal | None:
        await asyncio.to_thread(threading.current_thread)
        return Refusal("page")

    async def serve() -> Outcome:
        loop = asyncio.get_running_loop()

        def run(flow: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(flow, loop).result(5)

        parts = replace(Harness(sms()).parts, before_send=BeforeSend(lambda: hook, run=run))
        outcome = await asyncio.to_thread(Verifier(parts).start, PHONE)
        assert (await asyncio.to_thread(threading.current_thread)).name.startswith("asyncio_")
        return outcome

    assert asyncio.run(serve()).text == "page"


def test_hanging_plain_hook_holds_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before_send, "HOOK_SECONDS", 0.05)
    release = threading.Event()

    def hook(order: SendOrder, client: ClientFacts) -> Refusal | None:
        release.wait(30)
        return None

    asked = BeforeSend(lambda: hook, in_thread=asyncio.to_thread)

    async def ask() -> None:
        try:
            with pytest.raises(HookError):
                await asked.refusal(SendOrder(PHONE, "login", SMS), ClientFacts())
        finally:
            release.set()

    asyncio.run(ask())


# The setting.

SETTINGS = {"sms": "console://", "secret_keys": "k-key-for-tests-0123456789abcdef"}


def test_setting_names_the_hook() -> None:
    site = build_site(Settings.from_mapping({**SETTINGS, "before_send": f"{__name__}.refuse"}))
    assert site.verifier.has_before_send
    assert site.verifier.start(PHONE).reason is Reason.SEND_REFUSED


def test_hook_of_the_framework_gives_way_to_the_setting() -> None:
    settings = Settings.from_mapping({**SETTINGS, "before_send": refuse})
    assert build_site(settings, hook=lambda: fail).verifier.start(PHONE).reason is Reason.SEND_REFUSED
    without = Settings.from_mapping(SETTINGS)
    assert build_site(without, hook=lambda: refuse).verifier.start(PHONE).reason is Reason.SEND_REFUSED
    assert not build_site(without).verifier.has_before_send


@pytest.mark.parametrize("path", ["nowhere.at_all", "refuse", "", 7, f"{__name__}.SETTINGS", "a b.c"])
def test_setting_that_names_no_function_is_refused(path: object) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_BEFORE_SEND"):
        build_site(Settings.from_mapping({**SETTINGS, "before_send": path}))
