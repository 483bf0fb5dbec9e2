"""One record a verb: on the log, to every listener, and to OpenTelemetry; with nothing in it that is a secret."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from phone_verify.config.settings import Settings
from phone_verify.config.site import build
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.events.record import LABELS, EventBus, VerificationEvent
from phone_verify.exchange import HttpRequest, HttpResponse, Notice
from phone_verify.model import Reason, Receipt
from phone_verify.phone import PhoneNumber
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.transport import FakeTransport

from .bench import (
    CALL,
    FLASH,
    LINE,
    OTHER_PHONE,
    PHONE,
    REFUSED,
    SMS,
    Bench,
    DeafCaller,
    Driver,
    flash,
    sms,
    webhook,
    wrong,
)

pytestmark = pytest.mark.usefixtures("face")


class Listening:
    """A bench whose events are kept."""

    def __init__(self, *drivers: Any, **more: Any) -> None:
        self.bench = Bench(*drivers, **more)
        self.heard: list[VerificationEvent] = []
        self.bench.parts = replace(self.bench.parts, events=EventBus((self.heard.append,)))
        self.bench.verifier = Bench.face(self.bench.parts)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(happened.verb, happened.outcome) for happened in self.heard]


def test_every_verb_is_one_record() -> None:
    driver = sms()
    listening = Listening(driver, resend_after=timedelta(0))
    bench, verifier = listening.bench, listening.bench.verifier
    id, secret = bench.begun()
    verifier.resend(id, secret)
    verifier.check(id, secret, wrong(driver.codes[0]))
    verifier.check(id, secret, "x")
    verifier.poll(id, secret)
    proof = verifier.check(id, secret, driver.codes[0]).proof or ""
    verifier.redeem(proof, [secret], ["login"])
    verifier.redeem(proof, [secret], ["login"])
    verifier.check(id, secret, driver.codes[0])
    verifier.cancel(*bench.begun())
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


def test_a_record_says_what_and_whose_without_saying_who() -> None:
    listening = Listening(sms())
    id, secret = listening.bench.begun()
    (started,) = listening.heard
    assert (started.channel, started.driver, started.purpose, started.status) == ("sms", "sms-1", "login", "sent")
    assert started.phone == PHONE.hint
    driver = listening.bench.parts.router.drivers()["sms-1"]
    assert isinstance(driver, Driver)
    proof = listening.bench.verifier.check(id, secret, driver.codes[0]).proof or ""
    assert listening.bench.verifier.redeem(proof, [secret], ["login"])
    assert listening.heard[-1].tag == started.tag
    assert id.startswith(started.tag or "-")
    assert PHONE.e164[3:-2] not in repr(started) + str(started)


def test_a_refused_start_is_told_with_its_phone() -> None:
    listening = Listening(sms(REFUSED), max_failures=1)
    listening.bench.start()
    listening.bench.start(phone=PhoneNumber("+881612345678"))
    assert listening.told == [("start", "delivery_failed"), ("start", "destination_not_allowed")]
    for happened, phone in zip(listening.heard, (PHONE, PhoneNumber("+881612345678")), strict=True):
        assert happened.phone == phone.hint
        assert happened.tag == listening.bench.parts.keyring.tag(phone)


def test_a_webhook_tells_whether_it_proved_something() -> None:
    listening = Listening(DeafCaller(Receipt("1", line=LINE)))
    listening.bench.begun(CALL)
    for _ in range(2):
        listening.bench.verifier.receive("deaf", webhook(id="1", caller=PHONE.e164))
    assert listening.told == [("start", "ok"), ("receive", "ok"), ("receive", "no_effect")]


def test_durations_are_of_the_verb_and_of_its_providers() -> None:
    """Two drivers, of which the first refuses after 2 s and the second takes the order after 3 s."""

    class Slow(FakeTransport):
        async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
            listening.bench.ticks += waits.pop(0)
            return await super().send(request, timeout)

    waits = [2.0, 3.0]
    transport = Slow([HttpResponse(500), HttpResponse(200, {}, b'{"Status": "Success", "Data": {}}')])
    drivers = [load_driver(parse_dsn(f"amoot://TOKEN@default?name={name}", "DSN")) for name in ("first", "second")]
    listening = Listening(*drivers, transport=transport)
    listening.bench.begun()
    assert [(told.driver, told.seconds, told.provider_seconds) for told in listening.heard] == [("second", 5.0, 5.0)]


def test_a_store_that_is_down_is_unavailable() -> None:
    class Down(MemoryStore):
        async def open(self, *args: Any) -> Any:
            raise StoreError("down")

    listening = Listening(sms(), store=Down())
    with pytest.raises(StoreError):
        listening.bench.start()
    assert listening.told == [("start", "unavailable")]
    assert listening.heard[0].phone == PHONE.hint


def test_a_listener_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(happened: VerificationEvent) -> None:
        raise RuntimeError("metrics are down")

    heard: list[VerificationEvent] = []
    bench = Bench(sms())
    bench.parts = replace(bench.parts, events=EventBus((broken, heard.append)))
    bench.verifier = Bench.face(bench.parts)
    bench.begun()
    assert len(heard) == 1
    assert "metrics are down" in caplog.text


def test_the_log_has_one_line_a_verb_and_the_whole_record_beside_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "phone_verify.events")
    driver = sms()
    bench = Bench(driver)
    id, secret = bench.begun()
    bench.verifier.check(id, secret, driver.codes[0])
    records = [record for record in caplog.records if record.name == "phone_verify.events"]
    assert [record.getMessage().split()[:2] for record in records] == [["start", "ok"], ["check", "ok"]]
    assert all("\n" not in record.getMessage() for record in records)
    whole = records[1].phone_verify  # type: ignore[attr-defined]
    assert whole.keys() == VerificationEvent.__dataclass_fields__.keys()
    assert (whole["verb"], whole["outcome"], whole["channel"], whole["status"]) == ("check", "ok", "sms", "verified")
    for secret_text in (driver.codes[0], secret, PHONE.e164, PHONE.national, id[22:]):
        assert secret_text not in caplog.text
        assert secret_text not in repr([record.__dict__ for record in records])


def test_nothing_is_put_together_where_nobody_listens() -> None:
    bench = Bench(sms())
    assert not bench.parts.events.has_listeners
    logging.getLogger("phone_verify.events").setLevel(logging.INFO)
    try:
        assert bench.parts.events.has_listeners
    finally:
        logging.getLogger("phone_verify.events").setLevel(logging.NOTSET)


# Listeners by name


def hook(happened: VerificationEvent) -> None:
    HOOKED.append(happened)


HOOKED: list[VerificationEvent] = []
SETTINGS = {"secret_keys": ["k-key-for-tests-0123456789abcdef"], "store": "memory:", "sms": "console://"}


def test_a_listener_is_named_in_the_settings() -> None:
    HOOKED.clear()
    settings = Settings.read({**SETTINGS, "on_event": f"{__name__}.hook"})
    build(settings, transport=FakeTransport()).verifier.start(PHONE)
    assert [happened.verb for happened in HOOKED] == ["start"]


def test_a_listener_may_be_a_function() -> None:
    heard: list[VerificationEvent] = []
    settings = Settings.read({**SETTINGS, "on_event": heard.append})
    build(settings, transport=FakeTransport()).verifier.start(PHONE)
    assert len(heard) == 1


@pytest.mark.parametrize(
    "path", ["no_such_module_here.hook", "phone_verify.no_such_function", "hook", "phone_verify.model.Channel.x", 7]
)
def test_a_listener_that_is_not_there_is_refused_at_start_up(path: object) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_ON_EVENT"):
        build(Settings.read({**SETTINGS, "on_event": path}))


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

from phone_verify import Settings, build
from phone_verify.phone import PhoneNumber
from phone_verify.testing.transport import FakeTransport

values = {"secret_keys": ["k-key-for-tests-0123456789abcdef"], "store": "memory:", "sms": "console://"}
values["sends_per_hour"] = 1
verifier = build(Settings.read(values), transport=FakeTransport()).verifier
for _ in range(2):
    verifier.start(PhoneNumber("+989120000000"))
for span in spans.get_finished_spans():
    print("span", span.name, sorted(span.attributes.items()))
for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
    for point in metric.data.data_points:
        print("metric", metric.name, getattr(point, "value", None) or point.count, sorted(point.attributes.items()))
"""


def test_opentelemetry_has_a_span_and_counts_a_verb_without_anybody_s_data() -> None:
    done = subprocess.run([sys.executable, "-c", TELEMETRY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ok = "('phone_verify.channel', 'sms'), ('phone_verify.driver', 'console'), "
    first, second = [line for line in done.stdout.splitlines() if line.startswith("span")]
    assert first == f"span phone_verify.start [{ok}('phone_verify.outcome', 'ok'), ('phone_verify.verb', 'start')]"
    assert "too_many_requests" in second
    counted = [line for line in done.stdout.splitlines() if line.startswith("metric")]
    names = ("phone_verify.verbs", "phone_verify.duration", "phone_verify.provider.duration")
    # The provider of a start that was refused was not asked.
    assert sorted(line.split()[1] for line in counted) == sorted([*names, *names[:2]])
    assert all(line.split()[2] == "1" for line in counted)
    assert "912" not in done.stdout
    assert "••" not in done.stdout
    assert LABELS == ("verb", "outcome", "channel", "driver")


def test_without_opentelemetry_nothing_is_missed() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from phone_verify import Settings, build\n"
        "from phone_verify.phone import PhoneNumber\n"
        "from phone_verify.testing.transport import FakeTransport\n"
        f"site = build(Settings.read({SETTINGS!r}), transport=FakeTransport())\n"
        "print(site.verifier.start(PhoneNumber('+989120000000')).ok)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


# Spraying


def spray(bench: Bench, wrong_answers: int, right_answers: int = 0, first: int = 0) -> None:
    """Short codes answered, each on a phone of its own."""
    for n in range(wrong_answers + right_answers):
        phone = PhoneNumber(f"+98912{first + n:07d}")
        outcome = bench.start(FLASH, phone)
        assert outcome.verification is not None
        typed = "1234" if n < right_answers else "4321"
        bench.verifier.check(outcome.verification.id, outcome.secret or "", typed)


def spraying_bench(*more: Any) -> Listening:
    codes = ["1234"] * 400
    return Listening(flash(*codes), *more, sends_per_hour_per_prefix=0, sends_per_hour_total=0)


def test_a_spray_closes_short_codes_for_sign_in() -> None:
    listening = spraying_bench(sms())
    bench = listening.bench
    id, secret = bench.begun(FLASH)
    spray(bench, 99, first=1000)
    assert bench.start(FLASH, OTHER_PHONE).ok
    spray(bench, 1, first=2000)
    assert bench.start(FLASH, OTHER_PHONE).reason is Reason.CHANNEL_UNAVAILABLE
    assert ("short_codes_off", "spraying") in listening.told
    refused = bench.verifier.check(id, secret, "1234")
    assert refused.reason is Reason.TOO_MANY_REQUESTS, "an open one compares nothing"
    begun = bench.start()
    assert begun.verification is not None
    assert begun.verification.channel is SMS
    assert bench.start(FLASH, OTHER_PHONE, purpose="confirm", subject="7").ok
    bench.clock.move(25 * 3600)
    assert bench.start(FLASH, OTHER_PHONE).ok
    assert listening.told.count(("short_codes_off", "spraying")) == 1


def test_right_answers_raise_the_spray_limit() -> None:
    listening = spraying_bench(sms())
    spray(listening.bench, 100, 240, first=1000)
    assert not listening.bench.start(FLASH).ok, "two per cent of 240 are fewer than a hundred"


def test_a_right_answer_takes_its_wrong_ones_back() -> None:
    listening = spraying_bench(sms())
    bench = listening.bench
    for n in range(60):
        id, secret = bench.begun(FLASH, PhoneNumber(f"+98912{n:07d}"))
        assert [bench.verifier.check(id, secret, typed).ok for typed in ("4321", "4322", "1234")] == [0, 0, 1]
    assert bench.start(FLASH).ok


def test_sprayed_six_digits_become_eight() -> None:
    driver = sms()
    listening = Listening(driver, failures_per_day=3, sends_per_hour_per_prefix=0, sends_per_hour_total=0)
    bench = listening.bench
    for n in range(3):
        id, secret = bench.begun(SMS, PhoneNumber(f"+98912{n:07d}"))
        bench.verifier.check(id, secret, wrong(driver.codes[-1]))
    id, secret = bench.begun(SMS)
    assert len(driver.codes[-1]) == 8
    assert bench.verifier.check(id, secret, driver.codes[-1]).ok


def test_wrong_answers_to_longer_codes_turn_nothing_off() -> None:
    driver = sms()
    listening = Listening(driver, flash("1234"), sends_per_hour_per_prefix=0, sends_per_hour_total=0)
    for n in range(60):
        id, secret = listening.bench.begun(SMS, PhoneNumber(f"+98912{1000 + n:07d}"))
        listening.bench.verifier.check(id, secret, wrong(driver.codes[-1]))
    assert listening.bench.start(FLASH).ok
