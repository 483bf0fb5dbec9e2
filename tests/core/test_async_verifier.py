"""The async verifier: the same methods as the blocking one, concurrent flows, and cancelled flows."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.config.stores import open_async_store
from phone_verify.errors import ConfigurationError
from phone_verify.exchange import HttpRequest, HttpResponse, Notice
from phone_verify.model import Reason, Started, Status
from phone_verify.stores.memory import MemoryStore
from phone_verify.stores.threaded import ThreadedStore
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier.blocking import Verifier
from phone_verify.verifier.operations import AsyncVerifier

from .harness import OTHER_PHONE, PHONE, AsyncFace, Harness, sms, wrong


def test_both_verifiers_have_the_same_methods() -> None:
    """Except for `flows`, the async verifier of the blocking one."""

    def methods(kind: type) -> dict[str, Any]:
        return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}

    blocking, awaited = methods(Verifier), methods(AsyncVerifier)
    blocking.pop("flows")
    assert blocking.keys() - {"policy"} == awaited.keys()
    for name, method in awaited.items():
        if callable(method):
            assert inspect.signature(method) == inspect.signature(blocking[name]), name


def test_concurrent_flows_keep_every_limit() -> None:
    """Each flow yields to the others at each of its steps."""
    driver = sms()
    harness = Harness(driver, sends_per_hour=5, max_attempts=3)
    verifier = AsyncFace(harness.parts).flows

    async def race() -> None:
        begun = await asyncio.gather(*(verifier.start(PHONE) for _ in range(20)))
        assert sum(outcome.ok for outcome in begun) == 5
        assert {outcome.reason for outcome in begun} == {None, Reason.TOO_MANY_REQUESTS}
        started = next(outcome for outcome in begun if isinstance(outcome, Started))
        id, secret = started.verification.id, started.secret
        guess = wrong(driver.codes[0])
        guesses = await asyncio.gather(*(verifier.check(id, secret, guess) for _ in range(20)))
        assert sum(guess.reason is Reason.WRONG_CODE for guess in guesses) == 3
        other = await verifier.start(OTHER_PHONE)
        assert isinstance(other, Started)
        id, secret = other.verification.id, other.secret
        rights = await asyncio.gather(*(verifier.check(id, secret, driver.codes[-1]) for _ in range(20)))
        (right,) = [outcome for outcome in rights if outcome.ok]
        proofs = await asyncio.gather(*(verifier.redeem(right.proof or "", [secret], ["login"]) for _ in range(20)))
        assert sum(proof is not None for proof in proofs) == 1

    asyncio.run(race())


class HangsOnce(FakeTransport):
    """A server that never answers the first request."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
        if not self.asked.is_set():
            self.asked.set()
            await asyncio.Event().wait()
        return await super().send(request, timeout)


def test_cancelled_start_leaves_a_harmless_record() -> None:
    """It counts as sent, since the message may be in transit, and no client received its secret."""
    transport = HangsOnce()
    settings = Settings.from_mapping({"sms": "console://", "sends_per_hour": "2"})
    verifier = build_site(
        settings, framework_keys=["k-key-for-tests-0123456789abcdef"], transport=transport
    ).async_verifier

    async def flows() -> None:
        cancelled = asyncio.create_task(verifier.start(PHONE))
        await transport.asked.wait()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        outcome = await verifier.start(PHONE)
        assert isinstance(outcome, Started)
        id, secret = outcome.verification.id, outcome.secret
        assert (await verifier.check(id, secret, transport.notices[-1].code)).ok
        assert (await verifier.start(PHONE)).reason is Reason.TOO_MANY_REQUESTS

    asyncio.run(flows())


def test_blocking_and_async_share_records_and_counters() -> None:
    transport = FakeTransport()
    site = build_site(
        Settings.from_mapping({"sms": "console://", "sends_per_hour": "2"}),
        framework_keys=["k-key-for-tests-0123456789abcdef"],
        transport=transport,
    )
    begun = site.verifier.start(PHONE)
    assert isinstance(begun, Started)
    id, secret, code = begun.verification.id, begun.secret, transport.notices[0].code

    async def go_on() -> None:
        assert (await site.async_verifier.check(id, secret, wrong(code))).reason is Reason.WRONG_CODE
        assert (await site.async_verifier.check(id, secret, code)).ok
        assert (await site.async_verifier.start(PHONE)).ok
        assert (await site.async_verifier.start(PHONE)).reason is Reason.TOO_MANY_REQUESTS

    asyncio.run(go_on())
    assert site.async_verifier is site.async_verifier
    found = site.verifier.get(id, secret).verification
    assert found is not None
    assert found.status is Status.VERIFIED


def test_blocking_and_async_share_success_counts() -> None:
    site = build_site(
        Settings.from_mapping({"flash_call": "ssms://NAME:KEY@default"}),
        framework_keys=["k-key-for-tests-0123456789abcdef"],
        transport=FakeTransport(),
    )
    assert site.verifier.flows._rights is site.async_verifier._rights


@pytest.mark.parametrize("url", ["memory:", "sqlite:///a.sqlite3", "orm:"])
def test_blocking_store_runs_in_threads_and_memory_does_not(url: str) -> None:
    store = MemoryStore()
    awaited = open_async_store(url, store)
    assert awaited is store if url == "memory:" else isinstance(awaited, ThreadedStore)


def test_redis_store_has_an_async_client() -> None:
    from phone_verify.stores.redis import AsyncRedisStore

    for url in ("redis://localhost:6379/0", "rediss://localhost", "redis+sentinel://localhost/service"):
        assert isinstance(open_async_store(url, MemoryStore()), AsyncRedisStore)


def test_site_without_the_extra_is_blocking_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    site = build_site(Settings.from_mapping({"sms": "console://"}), framework_keys=["k-key-for-tests-0123456789abcdef"])
    assert site.verifier.start(PHONE).ok
    with pytest.raises(ConfigurationError, match=r"phone-verify\[async\]"):
        _ = site.async_verifier


def test_blocking_site_imports_no_async_client() -> None:
    program = (
        "import sys, phone_verify as c\n"
        "settings = c.Settings.from_mapping({'sms': 'console://'})\n"
        "site = c.build_site(settings, framework_keys=['k-key-for-tests-0123456789abcdef'])\n"
        "from phone_verify.phone import PhoneNumber\n"
        "assert site.verifier.start(PhoneNumber('+989120000000')).ok\n"
        "print(sorted({'aiohttp', 'asyncio', 'phone_verify.transports.aio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_programs_in_the_docs_run(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "async.md").read_text("utf-8")
    asgi, program, events = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    example = (root / "example_projects" / "flask_site" / "asgi.py").read_text("utf-8")
    assert set(asgi.splitlines()[1:]) == set(example.splitlines()[1:])
    monkeypatch.setenv("SECRET_KEY", "k-key-for-tests-0123456789abcdef")
    monkeypatch.setenv("PHONE_VERIFY_SMS", "console://")
    names: dict[str, Any] = {}
    exec(program, names)
    exec(events, names)

    async def follow(id: str, secret: str) -> bytes:
        status, headers, chunks = await names["events"](names["site"], id, secret)
        assert (status, headers["Content-Type"]) == (200, "text/event-stream")
        first: bytes = await anext(chunks)
        await chunks.aclose()
        assert (await names["events"](names["site"], id, "another"))[0] == 404
        return first

    id, secret = asyncio.run(names["start"](PHONE.e164))
    assert names["site"].verifier.get(id, secret).ok
    assert id.encode() in asyncio.run(follow(id, secret))
