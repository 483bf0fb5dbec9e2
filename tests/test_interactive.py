"""An interactive verification against a real sandbox, with a manual clock and scripted input."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from phone_verify.cli.interactive import describe_cost, verify
from phone_verify.cli.output import Mark
from phone_verify.config.drivers import load_drivers
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpResponse
from phone_verify.model import Channel, Status
from phone_verify.phone import PhoneNumber
from phone_verify.routing import Router
from phone_verify.sandbox import SandboxServer
from phone_verify.stores.memory import MemoryStore
from phone_verify.sync import run
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from phone_verify.transports.blocking import BlockingTransport

from .scenarios import Stage, wrong

#: The next action of a user: enters a line, lets seconds pass, acts elsewhere, presses Ctrl-C.
Step = str | int | Callable[[], object] | BaseException


class Script:
    """A scripted terminal. After the script ends, no input arrives and time passes."""

    def __init__(self, clock: ManualClock, *steps: Step) -> None:
        self.lines: list[str] = []
        self.marks: list[Mark | None] = []
        self.statuses: list[str] = []
        self.prompts: set[str] = set()
        self._clock, self._steps = clock, list(steps)

    def say(self, text: str, mark: Mark | None = None) -> None:
        self.lines.append(text)
        self.marks.append(mark)

    def busy(self, text: str) -> AbstractContextManager[None]:
        self.say(text)
        return nullcontext()

    def status(self, text: str) -> None:
        self.statuses.append(text)

    def ask(self, prompt: str, seconds: float | None = None) -> str | None:
        self.prompts.add(prompt)
        return self.pause(seconds or 0)

    def pause(self, seconds: float) -> str | None:
        if self._steps and isinstance(self._steps[0], str):
            return str(self._steps.pop(0))
        self._clock.move(seconds)
        if self._steps:
            step = self._steps.pop(0)
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, int):
                if step > 1:
                    self._steps.insert(0, step - 1)
            elif callable(step):
                step()
        return None

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Harness:
    """A site on the sandbox, with a manual clock."""

    def __init__(self, sandbox: SandboxServer, transport: Any = None, **settings: Any) -> None:
        self.clock = ManualClock()
        self.stage = Stage(lambda: pytest.fail("no browser here"), sandbox)
        self.store = Kept()
        values = {"secret_keys": "k-key-for-tests-0123456789abcdef", "store": "kept:", "resend_after": "0",
                  "flash_call": sandbox.dsn,
                  "sms": sandbox.dsn, "inbound_call": sandbox.dsn, **settings}  # fmt: skip
        self.settings = Settings.from_mapping({name: value for name, value in values.items() if value is not None})
        self.verifier = build_site(
            self.settings,
            stores={"kept": lambda _: self.store},
            clock=self.clock,
            transport=transport or BlockingTransport(),
        ).verifier

    def run(self, phone: str, channel: str, *steps: Step, locale: str | None = None) -> tuple[bool, Script]:
        script = Script(self.clock, *steps)
        number = PhoneNumber.parse(phone)
        try:
            return verify(self.verifier, number, script, channel=Channel(channel), locale=locale), script
        except (KeyboardInterrupt, EOFError):
            return False, script


class Kept(MemoryStore):
    """A store that records which verifications were opened in it."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    async def open(self, *args: Any) -> Any:
        self.opened.append(args[0].id)
        return await super().open(*args)


@pytest.fixture
def harness(sandbox: SandboxServer) -> Harness:
    return Harness(sandbox)


def typing(script: Script, text: Callable[[], str]) -> Callable[[], None]:
    return lambda: script._steps.insert(0, text())


def _line(shown: str) -> str:
    """Return the number on the first line of the number and its QR code."""
    return "".join(shown.splitlines()[0].split())


def run_with(harness: Harness, phone: str, channel: str, plan: Callable[[Script], list[Step]]) -> tuple[bool, Script]:
    """Run with a script that can enter codes received by the handset meanwhile."""
    script = Script(harness.clock)
    script._steps = plan(script)
    return verify(harness.verifier, PhoneNumber.parse(phone), script, channel=Channel(channel), locale=None), script


@pytest.mark.parametrize("channel", ["sms", "flash_call"])
def test_received_code_verifies_and_is_never_shown(harness: Harness, channel: str) -> None:
    phone = harness.stage.phone()
    codes: list[str] = []

    def arrived() -> str:
        codes.append(harness.stage.code(phone))
        return codes[-1]

    verified, script = run_with(harness, phone, channel, lambda script: [1, typing(script, arrived)])
    assert verified
    assert "Verified" in script.text
    assert script.marks[-1] is Mark.OK
    assert f"by {Channel(channel).label} via" in script.text
    assert Mark.ERROR not in script.marks
    assert "flash_call" not in script.text
    everything = script.text + "".join(script.prompts)
    assert codes[0] not in everything
    assert phone not in everything
    if channel == "flash_call":
        assert "last 4 digits of the caller's number, which begins with" in script.text


def test_wrong_codes_are_counted_down_to_the_end(harness: Harness) -> None:
    phone = harness.stage.phone()

    def arrived_wrong() -> str:
        return wrong(harness.stage.code(phone))

    verified, script = run_with(
        harness, phone, "sms", lambda script: ["12", *[typing(script, arrived_wrong) for _ in range(5)]]
    )
    assert not verified
    assert "Enter exactly 6 digits (no attempt used)" in script.text
    assert [line for line in script.lines if "Incorrect code" in line] == [
        f"Incorrect code, {left} left." for left in (*(f"{n} attempts" for n in (4, 3, 2)), "1 attempt", "0 attempts")
    ]
    assert script.lines[-1] == "Not verified: no attempts left."


def test_r_resends_and_says_when_it_is_too_early(sandbox: SandboxServer) -> None:
    harness = Harness(sandbox, resend_after="30")
    phone = harness.stage.phone()
    verified, script = run_with(
        harness, phone, "sms", lambda script: ["r", 31, "R", typing(script, lambda: harness.stage.code(phone))]
    )
    assert verified
    assert "Not resent" in script.text
    assert "wait 30 s before resending" in script.text
    assert script.text.count("SMS sent to +98") == 2
    assert harness.stage.arrived(phone) == 2


def test_verification_expires_at_the_terminal(harness: Harness) -> None:
    verified, script = harness.run(harness.stage.phone(), "sms")
    assert not verified
    assert script.lines[-1] == "Not verified: the verification has expired."


@pytest.mark.parametrize("end", [KeyboardInterrupt(), EOFError()])
def test_interrupt_leaves_nothing_open(harness: Harness, end: BaseException) -> None:
    script = Script(harness.clock, 1, end)
    with pytest.raises(type(end)):
        verify(harness.verifier, PhoneNumber.parse(harness.stage.phone()), script, channel=Channel.SMS, locale=None)
    (id,) = harness.store.opened
    record = run(harness.store.get(id, harness.clock()))
    assert record is not None
    assert record.state is Status.CANCELLED


def test_inbound_call_is_polled_and_counted_down(harness: Harness) -> None:
    phone = "+79000001234"

    def plan(script: Script) -> list[Step]:
        def call() -> None:
            (line,) = (_line(text) for text in script.lines if text.startswith("    +"))
            harness.stage.dial(phone, line)

        return [4, "no code is asked for here", call]

    verified, script = run_with(harness, phone, "inbound_call", plan)
    assert verified
    assert "assurance: caller_id" in script.text
    assert "█" in script.text
    assert "2:00" in script.statuses[0]
    assert any("1:57" in status for status in script.statuses)
    assert phone not in script.text


def test_another_line_can_be_requested(harness: Harness) -> None:
    verified, script = harness.run("+79000001235", "inbound_call", 1, "r")
    assert not verified
    lines = [text for text in script.lines if text.startswith("    +")]
    assert len(set(lines)) == 2
    assert script.text.count("You'll hear a busy tone or the call will end by itself. It's free.") == 2
    assert script.lines[-1] == "Not verified: the verification has expired."


def test_webhook_only_provider_is_reported_as_needing_a_site(sandbox: SandboxServer) -> None:
    port = sandbox.dsn.rpartition(":")[2]
    harness = Harness(sandbox, inbound_call=f"ssms://SANDBOX@127.0.0.1:{port}?tls=off&foreign=digits")
    _, script = harness.run("+79000001236", "inbound_call", 1, KeyboardInterrupt())
    assert "webhook only, and webhooks do not reach this command" in script.text
    assert "The call is answered by an announcement. Wait for it." in script.text
    assert "busy tone" not in script.text


def test_delivery_is_queried_while_waiting(harness: Harness) -> None:
    _, script = harness.run(harness.stage.phone(), "sms", 20, KeyboardInterrupt())
    assert [line for line in script.lines if "Delivery status" in line] == ["Delivery status (amoot): delivered."]


def test_unknown_delivery_status_is_queried_once(sandbox: SandboxServer) -> None:
    sent = HttpResponse(200, body=b'{"Status": "Success", "Data": {"MessageID": 5}}')
    transport = FakeTransport([sent, ProviderError(FailureKind.TRANSIENT, "away")])
    harness = Harness(sandbox, transport, sms="amoot://T@default", flash_call=None, inbound_call=None)
    _, script = harness.run(harness.stage.phone(), "sms", 60, KeyboardInterrupt())
    assert len(transport.requests) == 2
    assert "Delivery status" not in script.text


@pytest.mark.parametrize(("settings", "answers", "phone", "channel", "words"), [
    ({}, [], "+982112345678", "sms", "not allowed"),
    ({"allowed_regions": "RU"}, [], "+989120000000", "sms", "ALLOWED_REGIONS"),
    ({}, [], "+989120000000", "voice", "voice call is not configured"),
    ({"sms": "amoot://T@default"}, [HttpResponse(503)], "+989120000000", "sms", "all providers refused it"),
    ({"sends_per_hour": "1"}, None, "+989120000000", "sms", "Try again in 60 min"),
])  # fmt: skip
def test_refusal_is_reported_with_its_reason(
    sandbox: SandboxServer, settings: dict[str, str], answers: Any, phone: str, channel: str, words: str
) -> None:
    harness = Harness(sandbox, FakeTransport(answers) if answers is not None else None, **settings)
    if answers is None:
        harness.run(phone, channel, 1, KeyboardInterrupt())
    verified, script = harness.run(phone, channel)
    assert not verified
    assert script.lines[-1].startswith("Not sent: ")
    assert words in script.lines[-1]


def test_unclear_end_is_reported_as_such(sandbox: SandboxServer) -> None:
    harness = Harness(sandbox, FakeTransport([UnclearError("lost")]), sms="amoot://T@default")
    _, script = harness.run(harness.stage.phone(), "sms", 1, KeyboardInterrupt())
    assert "via amoot, possibly" in script.text
    assert "may still arrive" in script.text


def test_only_external_providers_cost_money() -> None:
    def asked(phone: str, channel: Channel | None = None, **dsns: str) -> str | None:
        router = Router(load_drivers({name: text.split() for name, text in dsns.items()}), ticks=lambda: 0.0)
        return describe_cost(router, PhoneNumber.parse(phone), channel)

    phone = "+989120000000"
    assert asked(phone, sms="console://") is None
    assert asked(phone, sms="sandbox://127.0.0.1:8025") is None
    told = asked(phone, sms="amoot://T1@default amoot://T2@default")
    assert told == "SMS to +98 ••••••••00 via amoot, falling back to amoot-2"
    assert asked(phone, sms="console:// amoot://T@default") is not None
    assert asked(phone, sms="console://", flash_call="ferzz://K@default") is None
    assert "flash call to" in (asked(phone, Channel.FLASH_CALL, sms="console://", flash_call="ferzz://K@default") or "")
    assert asked("+79000000000", sms="amoot://T@default") is None
