"""A verifier over the memory store, with small drivers of our own: one for each way of holding a code."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar

from phone_verify.codes import Keyring
from phone_verify.drivers.base import Ability, Starts
from phone_verify.errors import FailureKind, ProviderError, UnclearError
from phone_verify.exchange import Exchange, HttpRequest
from phone_verify.model import (
    CallState,
    Channel,
    CodeSource,
    IncomingCall,
    Order,
    Outcome,
    Reason,
    Receipt,
    Sighting,
    WebhookRequest,
)
from phone_verify.parts import Components
from phone_verify.phone import PhoneNumber
from phone_verify.policy import Policy
from phone_verify.routing import Router
from phone_verify.stores.memory import MemoryStore
from phone_verify.test_numbers import TestNumber
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier import AsyncVerifier, Verifier

PHONE, OTHER_PHONE = PhoneNumber("+989120000000"), PhoneNumber("+989120000001")
LINE, OTHER_LINE = PhoneNumber("+982100000001"), PhoneNumber("+982100000002")
SMS, FLASH, CALL = Channel.SMS, Channel.FLASH_CALL, Channel.INBOUND_CALL
VOICE, TELEGRAM = Channel.VOICE, Channel.TELEGRAM
REFUSED = ProviderError(FailureKind.BALANCE, "no credit")
DOWN = ProviderError(FailureKind.TRANSIENT, "cannot connect")
UNCLEAR = UnclearError("time-out")


@dataclass
class Driver:
    """Carries what it is told to: each `results` entry is one order's end."""

    name: str
    channel: Channel
    ability: Ability
    results: list[Any] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    timeout: timedelta = timedelta(seconds=10)
    on_start: Callable[[], object] = lambda: None
    reachable: bool = True

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        return {self.channel: self.ability}

    def reaches(self, phone: PhoneNumber) -> bool:
        return self.reachable

    def start(self, order: Order) -> Exchange[Receipt]:
        self.orders.append(order)
        self.on_start()
        result = self.results.pop(0) if self.results else Receipt()
        if isinstance(result, Exception):
            raise result
        return result
        yield HttpRequest.get("http://nobody")

    @property
    def codes(self) -> list[str]:
        return [order.code or "" for order in self.orders]


class Caller(Driver):
    """Names lines to call; can be asked, and told, whether the call came."""

    def __init__(self, results: Iterable[Any], sightings: Iterable[Any] = (), name: str = "caller") -> None:
        super().__init__(name, CALL, Ability(CodeSource.NONE, cap=timedelta(seconds=120)), list(results))
        self.sightings, self.polls = list(sightings), 0
        self.on_poll: Callable[[], object] = lambda: None

    def poll(self, reference: str) -> Exchange[Sighting]:
        self.polls += 1
        self.on_poll()
        result = self.sightings.pop(0) if self.sightings else Sighting(CallState.WAITING)
        if isinstance(result, Exception):
            raise result
        return result
        yield HttpRequest.get("http://nobody")

    def read(self, request: WebhookRequest) -> IncomingCall | None:
        return event_of(request)


class DeafCaller(Driver):
    """Names lines to call and reports the call by webhook; cannot be asked."""

    def __init__(self, *results: Receipt) -> None:
        super().__init__("deaf", CALL, Ability(CodeSource.NONE), list(results))

    def read(self, request: WebhookRequest) -> IncomingCall | None:
        return event_of(request)


class Remote(Driver):
    """Sends five digits of its own and checks them itself."""

    def __init__(self, *answers: Any) -> None:
        super().__init__("remote", SMS, Ability(CodeSource.REMOTE_CHECK, known=5))
        self.answers, self.asked = list(answers), 0
        self.on_check: Callable[[], object] = lambda: None

    def check(self, phone: PhoneNumber, code: str) -> Exchange[bool]:
        self.asked += 1
        self.on_check()
        result = self.answers.pop(0)
        if isinstance(result, Exception):
            raise result
        return bool(result)
        yield HttpRequest.get("http://nobody")


def event_of(request: WebhookRequest) -> IncomingCall | None:
    caller, line = request.once("caller"), request.once("line")
    return IncomingCall(
        request.once("id"), PhoneNumber(line) if line else None, PhoneNumber(caller) if caller else None
    )


def webhook(**parameters: str) -> WebhookRequest:
    return WebhookRequest("GET", list(parameters.items()), {}, b"")


def sms(*results: Any, name: str = "sms-1", **more: Any) -> Driver:
    return Driver(name, SMS, Ability(CodeSource.LOCAL), list(results), **more)


def chat(*results: Any) -> Driver:
    return Driver("chat", TELEGRAM, Ability(CodeSource.LOCAL), list(results))


def flash(*codes: str | Exception, name: str = "flash-1") -> Driver:
    results = [code if isinstance(code, Exception) else Receipt("r", code, caller_hint="099") for code in codes]
    return Driver(name, FLASH, Ability(CodeSource.PROVIDER), results)


class Suspending:
    """A store or transport that suspends at each call, before and after it has done its work."""

    def __init__(self, role: Any) -> None:
        self._role = role

    def __getattr__(self, name: str) -> Any:
        async def suspending(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            result = await getattr(self._role, name)(*args, **kwargs)
            await asyncio.sleep(0)
            return result

        return suspending


def awaited(flow: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that suspends as often as it likes, and waits for nothing."""
    while True:
        try:
            flow.send(None)
        except StopIteration as stop:
            return stop.value


class AsyncFace:
    """An `AsyncVerifier` over roles that suspend, with the methods of the blocking one."""

    def __init__(self, parts: Components) -> None:
        roles = {"store": Suspending(parts.store), "transport": Suspending(parts.transport)}
        self.flows = AsyncVerifier(replace(parts, **roles))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.flows, name)
        return (
            (lambda *args, **kwargs: awaited(found(*args, **kwargs))) if inspect.iscoroutinefunction(found) else found
        )


class Bench:
    """A verifier over drivers of ours, its clock, and short words for what the tests do."""

    #: Makes the verifier; the fixture `face` changes it.
    face: ClassVar[Callable[[Components], Any]] = Verifier

    def __init__(
        self,
        *drivers: Driver,
        store: Any = None,
        keys: Sequence[str] = ("k-key-for-tests-0123456789abcdef",),
        preference: Sequence[Channel] = (),
        transport: Any = None,
        test_numbers: Mapping[PhoneNumber, TestNumber] | None = None,
        **policy: Any,
    ) -> None:
        self.clock, self.ticks = ManualClock(), 0.0
        by_channel: dict[Channel, list[Starts]] = {}
        for driver in drivers:
            for channel in driver.abilities:
                by_channel.setdefault(channel, []).append(driver)
        self.store = store or MemoryStore()
        self.parts = Components(
            policy=Policy(**{"sends_per_hour": 0, **policy}),
            keyring=Keyring(list(keys), "t-key-for-tests-0123456789abcdef"),
            store=self.store,
            transport=transport or FakeTransport(),
            router=Router(by_channel, preference, ticks=lambda: self.ticks),
            texts=lambda channel, code, life, locale: f"code {code}",
            test_numbers=test_numbers or {},
            clock=self.clock,
            ticks=lambda: self.ticks,
        )
        self.verifier: Verifier = Bench.face(self.parts)

    def start(self, channel: Channel | None = None, phone: PhoneNumber = PHONE, **more: Any) -> Outcome:
        return self.verifier.start(phone, channel=channel, **more)

    def begun(self, channel: Channel | None = None, phone: PhoneNumber = PHONE, **more: Any) -> tuple[str, str]:
        outcome = self.start(channel, phone, **more)
        assert outcome.ok, outcome
        assert outcome.verification is not None
        assert outcome.secret is not None
        return outcome.verification.id, outcome.secret

    def fail(self, times: int, channel: Channel = SMS, purpose: str = "login") -> None:
        """Give this many wrong answers, over as many verifications as it takes."""
        while times:
            id, secret = self.begun(channel, purpose=purpose)
            while times:
                outcome = self.verifier.check(id, secret, "000000" if channel is SMS else "0000")
                if outcome.reason is not Reason.WRONG_CODE:
                    break
                times -= 1


def wrong(code: str) -> str:
    return str((int(code) + 1) % 10 ** len(code)).zfill(len(code))
