"""One event per operation: in the log, to every listener and to OpenTelemetry, without secrets."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import trace

from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.events import opentelemetry
from phone_verify.events.record import LABELS, EventBus, FilteredListener, VerificationEvent
from phone_verify.exchange import HttpRequest, HttpResponse, Notice
from phone_verify.model import Reason, Receipt, Started
from phone_verify.phone import PhoneNumber
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier import reporting
from tests.cases import in_one_test

from .harness import (
    CALL,
    FLASH,
    LINE,
    OTHER_PHONE,
    PHONE,
    REFUSED,
    SMS,
    DeafCaller,
    Driver,
    Harness,
    flash,
    sms,
    webhook,
    wrong,
)

pytestmark = pytest.mark.usefixtures("face")


class Listening:
    """A harness that records its events."""

    def __init__(self, *drivers: Any, **more: Any) -> None:
        self.harness = Harness(*drivers, **more)
        self.heard: list[VerificationEvent] = []
        self.harness.parts = replace(self.harness.parts, events=EventBus((self.heard.append,)))
        self.harness.verifier = Harness.face(self.harness.parts)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(happened.verb, happened.outcome) for happened in self.heard]


def test_every_operation_emits_one_event() -> None:
    driver = sms()
    listening = Listening(driver, resend_after=timedelta(0))
    harness, verifier = listening.harness, listening.harness.verifier
    id, secret = harness.begun()
    verifier.resend(id, secret)
    verifier.check(id, secret, wrong(driver.codes[0]))
    verifier.check(id, secret, "x")
    verifier.poll(id, secret)
    proof = verifier.check(id, secret, driver.codes[0]).proof or ""
    verifier.redeem(proof, [secret], ["login"])
    verifier.redeem(proof, [secret], ["login"])
    verifier.check(id, secret, driver.codes[0])
    verifier.cancel(*harness.begun())
    verifier.cancel("unknown", "secret")
    assert listening.told == [
        ("start", "ok"),
        ("resend", "ok"),
        ("check", "wrong_code"),
        ("check", "malformed_code"),
        ("poll", "ok"),
        ("check", "ok"),
        ("redeem", "ok"),
        ("redeem", "invalid_proof"),
        ("check", "closed"),
        ("start", "ok"),
        ("cancel", "ok"),
        ("cancel", "not_found"),
    ]


def test_event_identifies_no_person() -> None:
    listening = Listening(sms())
    id, secret = listening.harness.begun()
    (started,) = listening.heard
    assert (started.channel, started.driver, started.purpose, started.status) == ("sms", "sms-1", "login", "sent")
    assert started.phone == PHONE.hint
    driver = listening.harness.parts.router.drivers()["sms-1"]
    assert isinstance(driver, Driver)
    proof = listening.harness.verifier.check(id, secret, driver.codes[0]).proof or ""
    assert listening.harness.verifier.redeem(proof, [secret], ["login"])
    assert listening.heard[-1].tag == started.tag
    assert id.startswith(started.tag or "-")
    assert PHONE.e164[3:-2] not in repr(started) + str(started)


def test_refused_start_event_has_the_phone() -> None:
    listening = Listening(sms(REFUSED), max_failures=1)
    listening.harness.start()
    listening.harness.start(phone=PhoneNumber("+881612345678"))
    assert listening.told == [("start", "delivery_failed"), ("start", "destination_not_allowed")]
    for happened, phone in zip(listening.heard, (PHONE, PhoneNumber("+881612345678")), strict=True):
        assert happened.phone == phone.hint
        assert happened.tag == listening.harness.parts.keyring.tag(phone)


def test_webhook_event_reports_whether_it_verified() -> None:
    listening = Listening(DeafCaller(Receipt("1", line=LINE)))
    listening.harness.begun(CALL)
    for _ in range(2):
        listening.harness.verifier.receive("deaf", webhook(id="1", caller=PHONE.e164))
    assert listening.told == [("start", "ok"), ("receive", "ok"), ("receive", "no_effect")]


def test_durations_cover_the_operation_and_its_providers() -> None:
    """Two drivers: the first refuses after 2 s and the second accepts the order after 3 s."""

    class Slow(FakeTransport):
        async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
            listening.harness.ticks += waits.pop(0)
            return await super().send(request, timeout)

    waits = [2.0, 3.0]
    transport = Slow([HttpResponse(500), HttpResponse(200, {}, b'{"Status": "Success", "Data": {}}')])
    drivers = [load_driver(parse_dsn(f"amoot://TOKEN@default?name={name}", "DSN")) for name in ("first", "second")]
    listening = Listening(*drivers, transport=transport)
    listening.harness.begun()
    assert [(told.driver, told.seconds, told.provider_seconds) for told in listening.heard] == [("second", 5.0, 5.0)]


def test_event_has_the_parts_and_the_price_of_the_order() -> None:
    driver = sms(Receipt("1", parts=2, price=Decimal("2.580"), currency="RUB"), Receipt("2"))
    listening = Listening(driver, resend_after=timedelta(0))
    id, secret = listening.harness.begun()
    listening.harness.verifier.resend(id, secret)
    listening.harness.verifier.get(id, secret)
    costs = [(told.parts, told.price, told.currency) for told in listening.heard]
    assert costs == [(2, "2.580", "RUB"), (None, None, None)]
    assert "parts=2 price=2.580 currency=RUB" in str(listening.heard[0])
    assert "price" not in str(listening.heard[1])
    json.dumps(asdict(listening.heard[0]))


def test_store_outage_is_reported_as_unavailable() -> None:
    class Down(MemoryStore):
        async def open(self, *args: Any) -> Any:
            raise StoreError("down")

    listening = Listening(sms(), store=Down())
    with pytest.raises(StoreError):
        listening.harness.start()
    assert listening.told == [("start", "unavailable")]
    assert listening.heard[0].phone == PHONE.hint


def test_failing_listener_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(happened: VerificationEvent) -> None:
        raise RuntimeError("metrics are down")

    heard: list[VerificationEvent] = []
    harness = Harness(sms())
    harness.parts = replace(harness.parts, events=EventBus((broken, heard.append)))
    harness.verifier = Harness.face(harness.parts)
    harness.begun()
    assert len(heard) == 1
    assert "metrics are down" in caplog.text


def test_log_has_one_line_per_operation_and_the_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "phone_verify.events")
    driver = sms()
    harness = Harness(driver)
    id, secret = harness.begun()
    harness.verifier.check(id, secret, driver.codes[0])
    records = [record for record in caplog.records if record.name == "phone_verify.events"]
    assert [record.getMessage().split()[:2] for record in records] == [["start", "ok"], ["check", "ok"]]
    assert all("\n" not in record.getMessage() for record in records)
    whole = records[1].phone_verify  # type: ignore[attr-defined]
    assert whole.keys() == VerificationEvent.__dataclass_fields__.keys()
    assert (whole["verb"], whole["outcome"], whole["channel"], whole["status"]) == ("check", "ok", "sms", "verified")
    for secret_text in (driver.codes[0], secret, PHONE.e164, PHONE.national, id[22:]):
        assert secret_text not in caplog.text
        assert secret_text not in repr([record.__dict__ for record in records])


def test_no_event_is_built_without_a_listener() -> None:
    harness = Harness(sms())
    assert not harness.parts.events.has_listeners
    logging.getLogger("phone_verify.events").setLevel(logging.INFO)
    try:
        assert harness.parts.events.has_listeners
    finally:
        logging.getLogger("phone_verify.events").setLevel(logging.NOTSET)


def test_event_that_no_listener_accepts_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[VerificationEvent] = []
    received: list[str] = []
    accepting = FilteredListener(lambda event: received.append(event.outcome), lambda *event: event in accepted)
    accepted: list[tuple[str, ...]] = []

    def build(*args: Any, **more: Any) -> VerificationEvent:
        built.append(VerificationEvent(*args, **more))
        return built[-1]

    monkeypatch.setattr(reporting, "VerificationEvent", build)
    driver = sms()
    harness = Harness(driver, listeners=[accepting])
    id, secret = harness.begun()
    harness.verifier.check(id, secret, wrong(driver.codes[0]))
    assert (built, received) == ([], [])
    accepted.append(("check", "wrong_code"))
    harness.verifier.check(id, secret, wrong(driver.codes[0]))
    harness.verifier.check(id, secret, driver.codes[0])
    assert (len(built), received) == (1, ["wrong_code"])


def test_event_reaches_only_the_listeners_that_accept_it() -> None:
    filtered: list[VerificationEvent] = []
    all_events: list[VerificationEvent] = []
    bus = EventBus([FilteredListener(filtered.append, lambda verb, _: verb == "alarm"), all_events.append])
    bus.emit(VerificationEvent("start", "ok"))
    bus.emit(alarm := VerificationEvent("alarm", "80"))
    assert (filtered, len(all_events)) == ([alarm], 2)


# Listeners by name


def hook(happened: VerificationEvent) -> None:
    HOOKED.append(happened)


HOOKED: list[VerificationEvent] = []
SETTINGS = {"secret_keys": ["k-key-for-tests-0123456789abcdef"], "store": "memory:", "sms": "console://"}


def test_listener_is_named_in_the_settings() -> None:
    HOOKED.clear()
    settings = Settings.from_mapping({**SETTINGS, "on_event": f"{__name__}.hook"})
    build_site(settings, transport=FakeTransport()).verifier.start(PHONE)
    assert [happened.verb for happened in HOOKED] == ["start"]


def test_listener_may_be_a_function() -> None:
    heard: list[VerificationEvent] = []
    settings = Settings.from_mapping({**SETTINGS, "on_event": heard.append})
    build_site(settings, transport=FakeTransport()).verifier.start(PHONE)
    assert len(heard) == 1


@in_one_test
@pytest.mark.parametrize(
    "path", ["no_such_module_here.hook", "phone_verify.no_such_function", "hook", "phone_verify.model.Channel.x", 7]
)
def test_missing_listener_is_refused_at_startup(path: object) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_ON_EVENT"):
        build_site(Settings.from_mapping({**SETTINGS, "on_event": path}))


# OpenTelemetry

TELEMETRY = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
metrics.set_meter_provider(MeterProvider([reader]))
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)

from phone_verify import Settings, build_site
from phone_verify.phone import PhoneNumber
from phone_verify.testing.transport import FakeTransport

values = {"secret_keys": ["k-key-for-tests-0123456789abcdef"], "store": "memory:", "sms": "console://"}
values["sends_per_hour"] = 1
verifier = build_site(Settings.from_mapping(values), transport=FakeTransport()).verifier
for _ in range(2):
    verifier.start(PhoneNumber("+989120000000"))
for span in spans.get_finished_spans():
    print("span", span.name, sorted(span.attributes.items()))
for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
    for point in metric.data.data_points:
        print("metric", metric.name, getattr(point, "value", None) or point.count, sorted(point.attributes.items()))
"""


def test_opentelemetry_spans_and_counts_hold_no_user_data() -> None:
    done = subprocess.run([sys.executable, "-c", TELEMETRY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ok = "('phone_verify.channel', 'sms'), ('phone_verify.driver', 'console'), "
    first, second = [line for line in done.stdout.splitlines() if line.startswith("span")]
    assert first == f"span phone_verify.start [{ok}('phone_verify.outcome', 'ok'), ('phone_verify.verb', 'start')]"
    assert "too_many_requests" in second
    counted = [line for line in done.stdout.splitlines() if line.startswith("metric")]
    names = ("phone_verify.verbs", "phone_verify.duration", "phone_verify.provider.duration")
    # A refused start sends no request to the provider.
    assert sorted(line.split()[1] for line in counted) == sorted([*names, *names[:2]])
    assert all(line.split()[2] == "1" for line in counted)
    assert "912" not in done.stdout
    assert "••" not in done.stdout
    assert LABELS == ("verb", "outcome", "channel", "driver")


def test_loaded_sdk_alone_measures_nothing() -> None:
    program = (
        "import opentelemetry.sdk.metrics, opentelemetry.sdk.trace\n"
        "from phone_verify.events.opentelemetry import OpenTelemetry\n"
        "print(OpenTelemetry().on)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr


def test_receiver_of_telemetry_is_looked_for_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [0.0], list[object]()

    def provider() -> object:
        asked.append(found[0])
        return found[0]

    found: list[object] = [trace.get_tracer_provider()]
    monkeypatch.setattr(opentelemetry, "monotonic", lambda: now[0])
    telemetry = opentelemetry.OpenTelemetry()
    monkeypatch.setattr(telemetry, "_providers", (provider, provider))
    assert [telemetry.on, telemetry.on, telemetry.on] == [False] * 3
    assert len(asked) == 2, "one for spans and one for metrics"
    found[0] = object()
    assert not telemetry.on
    now[0] += 1
    assert telemetry.on
    found[0] = trace.get_tracer_provider()
    now[0] += 1
    assert telemetry.on, "the API lets a provider be set once"


def test_site_works_without_opentelemetry() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from phone_verify import Settings, build_site\n"
        "from phone_verify.phone import PhoneNumber\n"
        "from phone_verify.testing.transport import FakeTransport\n"
        f"site = build_site(Settings.from_mapping({SETTINGS!r}), transport=FakeTransport())\n"
        "print(site.verifier.start(PhoneNumber('+989120000000')).ok)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


# Spraying


def spray(harness: Harness, wrong_answers: int, right_answers: int = 0, first: int = 0) -> None:
    """Answers to short codes, each on a different phone."""
    for n in range(wrong_answers + right_answers):
        phone = PhoneNumber(f"+98912{first + n:07d}")
        outcome = harness.start(FLASH, phone)
        assert isinstance(outcome, Started)
        typed = "1234" if n < right_answers else "4321"
        harness.verifier.check(outcome.verification.id, outcome.secret, typed)


def spraying_harness(*more: Any) -> Listening:
    codes = ["1234"] * 400
    return Listening(flash(*codes), *more, sends_per_hour_per_prefix=0, sends_per_hour_total=0)


def test_spray_locks_short_codes_for_sign_in() -> None:
    listening = spraying_harness(sms())
    harness = listening.harness
    id, secret = harness.begun(FLASH)
    spray(harness, 99, first=1000)
    assert harness.start(FLASH, OTHER_PHONE).ok
    spray(harness, 1, first=2000)
    assert harness.start(FLASH, OTHER_PHONE).reason is Reason.CHANNEL_UNAVAILABLE
    assert ("short_codes_off", "spraying") in listening.told
    refused = harness.verifier.check(id, secret, "1234")
    assert refused.reason is Reason.TOO_MANY_REQUESTS, "an open one compares nothing"
    begun = harness.start()
    assert isinstance(begun, Started)
    assert begun.verification.channel is SMS
    assert harness.start(FLASH, OTHER_PHONE, purpose="confirm", subject="7").ok
    harness.clock.move(25 * 3600)
    assert harness.start(FLASH, OTHER_PHONE).ok
    assert listening.told.count(("short_codes_off", "spraying")) == 1


def test_right_answers_raise_the_spray_limit() -> None:
    listening = spraying_harness(sms())
    spray(listening.harness, 100, 240, first=1000)
    assert not listening.harness.start(FLASH).ok, "two per cent of 240 are fewer than a hundred"


def test_right_answer_refunds_its_wrong_answers() -> None:
    listening = spraying_harness(sms())
    harness = listening.harness
    for n in range(60):
        id, secret = harness.begun(FLASH, PhoneNumber(f"+98912{n:07d}"))
        assert [harness.verifier.check(id, secret, typed).ok for typed in ("4321", "4322", "1234")] == [0, 0, 1]
    assert harness.start(FLASH).ok


def test_sprayed_six_digits_become_eight() -> None:
    driver = sms()
    listening = Listening(driver, failures_per_day=3, sends_per_hour_per_prefix=0, sends_per_hour_total=0)
    harness = listening.harness
    for n in range(3):
        id, secret = harness.begun(SMS, PhoneNumber(f"+98912{n:07d}"))
        harness.verifier.check(id, secret, wrong(driver.codes[-1]))
    id, secret = harness.begun(SMS)
    assert len(driver.codes[-1]) == 8
    assert harness.verifier.check(id, secret, driver.codes[-1]).ok


def test_wrong_answers_to_longer_codes_lock_nothing() -> None:
    driver = sms()
    listening = Listening(driver, flash("1234"), sends_per_hour_per_prefix=0, sends_per_hour_total=0)
    for n in range(60):
        id, secret = listening.harness.begun(SMS, PhoneNumber(f"+98912{1000 + n:07d}"))
        listening.harness.verifier.check(id, secret, wrong(driver.codes[-1]))
    assert listening.harness.start(FLASH).ok
