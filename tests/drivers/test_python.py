"""Functions of the site as a driver, in a blocking and in an async site."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from phone_verify.config.drivers import load_drivers
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.model import Channel, Order, Outcome, Reason, Status, Verification
from phone_verify.phone import PhoneNumber

PHONE = PhoneNumber("+989120000000")
KEY = "a-key-for-tests-of-site-functions-0123456789"
ORDERS: list[Order] = []
THREADS: list[threading.Thread] = []


def accept(order: Order) -> str:
    ORDERS.append(order)
    THREADS.append(threading.current_thread())
    return "ref-1"


async def accept_later(order: Order) -> None:
    await asyncio.sleep(0)
    ORDERS.append(order)


def refuse(order: Order) -> None:
    raise ProviderError(FailureKind.BALANCE, "top up")


class SitesError(ProviderError):
    def __str__(self) -> str:
        return f"{self.detail} (as the site writes it)"


def refuse_in_detail(order: Order) -> None:
    spaced = " ".join(order.code or "")
    raise SitesError(FailureKind.RATE, f"no route\nto {order.phone.e164}: {order.text} ({spaced})" + "!" * 5000)


def refuse_without_text(order: Order) -> None:
    raise ProviderError("limited", {"code": order.code})  # type: ignore[arg-type]


def returns_no_unicode(order: Order) -> str:
    return "\ud800"


def fail(order: Order) -> None:
    raise OSError(f"no connection for {order.phone.e164} {order.code}")


async def never(order: Order) -> None:
    await asyncio.sleep(3600)


def returns_bytes(order: Order) -> bytes:
    return b"ref"


@pytest.fixture(autouse=True)
def no_orders() -> None:
    ORDERS.clear()
    THREADS.clear()


def blocking(dsns: str) -> Outcome:
    site = build_site(Settings.from_mapping({"sms": dsns, "secret_keys": KEY, "region": "IR"}))
    return site.verifier.start(PHONE, purpose="login")


def with_loop(dsns: str) -> Outcome:
    site = build_site(Settings.from_mapping({"sms": dsns, "secret_keys": KEY, "region": "IR"}))
    return asyncio.run(site.async_verifier.start(PHONE, purpose="login"))


START = pytest.mark.parametrize("start", [blocking, with_loop], ids=["blocking", "async"])


def record_of(outcome: Outcome) -> Verification:
    assert outcome.verification is not None
    return outcome.verification


@START
def test_function_gets_the_order(start: Callable[[str], Outcome]) -> None:
    record = record_of(start(f"python:{__name__}.accept"))
    [order] = ORDERS
    assert (record.status, record.driver, record.reference) == (Status.SENT, "python", "ref-1")
    assert order.phone == PHONE
    assert order.code is not None
    assert order.text is not None
    assert order.code in order.text
    assert order.key == f"{record.id}.1"
    # Under ASGI a function that blocks does not stop the event loop.
    assert (THREADS[0] is threading.main_thread()) == (start is blocking)


@START
def test_async_function_is_awaited(start: Callable[[str], Outcome]) -> None:
    assert record_of(start(f"python:{__name__}.accept_later")).status is Status.SENT
    assert len(ORDERS) == 1


@START
def test_refusal_tries_the_next_driver(start: Callable[[str], Outcome]) -> None:
    record = record_of(start(f"python:{__name__}.refuse python:{__name__}.accept?name=second"))
    assert (record.status, record.driver) == (Status.SENT, "second")
    assert start(f"python:{__name__}.refuse").reason is Reason.DELIVERY_FAILED


@START
@pytest.mark.parametrize(
    ("function", "said"),
    [("refuse_in_detail", "no route to"), ("refuse_without_text", "by SMS: unknown")],
)
def test_refusal_is_logged_without_number_and_code(
    function: str, said: str, start: Callable[[str], Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        record_of(start(f"python:{__name__}.{function} python:{__name__}.accept?name=second"))
    [refused] = [record.getMessage() for record in caplog.records if "did not accept" in record.getMessage()]
    assert said in refused
    assert not re.search(r"[0-9]{3}|[0-9] [0-9] [0-9]|\n|as the site writes it", refused)
    assert len(refused) < 300


@START
def test_reference_that_is_no_unicode_ends_nothing(start: Callable[[str], Outcome]) -> None:
    assert record_of(start(f"python:{__name__}.returns_no_unicode")).status is Status.SENT


@START
@pytest.mark.parametrize("function", ["fail", "returns_bytes", "never"])
def test_unclear_end_sends_nothing_twice(
    function: str, start: Callable[[str], Outcome], caplog: pytest.LogCaptureFixture
) -> None:
    """The message of the error, which has number and code, is in no log."""
    with caplog.at_level(logging.DEBUG):
        record = record_of(start(f"python:{__name__}.{function}?timeout=0.05 python:{__name__}.accept?name=second"))
    assert (record.status, ORDERS) == (Status.PENDING, [])
    assert PHONE.e164 not in caplog.text
    assert "no connection for" not in caplog.text
    if function == "fail":
        assert "raised OSError" in caplog.text
        assert "test_python.py:" in caplog.text


@pytest.mark.parametrize("path", ["nowhere.send", "plain", "phone_verify.no_such", "os.sep", "a.b-c"])
def test_unusable_function_is_reported(path: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS"):
        load_drivers({"sms": [f"python:{path}"]})


def test_channels() -> None:
    for channel in Channel:
        dsns: Any = {channel.value: [f"python:{__name__}.accept"]}
        if channel is Channel.INBOUND_CALL:
            with pytest.raises(ConfigurationError, match="does not carry inbound_call"):
                load_drivers(dsns)
            continue
        assert list(load_drivers(dsns)) == [channel]
