"""Event streams over `ahandle`: what they show, when they end, and how many there may be."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from phone_verify import PhoneNumber, Started
from phone_verify.api import ApiRequest, ApiResponse, ApiStream, Site, ahandle, handle
from phone_verify.before_send import ClientFacts, SendOrder
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import StoreError
from phone_verify.http.streams import READS_PER_SECOND, OpenStreams
from phone_verify.limits import Counted, Denied, Quota
from phone_verify.model import Channel, Order, Verification
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from phone_verify.transports.blocking import BlockingTransport
from phone_verify.verifier.streaming import MAX_STREAMS

PHONE = PhoneNumber("+989120000000")
KEY = "k-key-for-tests-0123456789abcdef"
PATIENCE = 20.0


class Store(MemoryStore):
    """A store that can fail or be slow to count, and counts its reads."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down, self.reads, self.failed = False, 0, 0
        self.counting: threading.Event | None = None

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Counted | Denied:
        counted = await super().count(quotas, now)
        if self.counting is not None:
            self.counting.wait(PATIENCE)
        return counted

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        if self.is_down:
            self.failed += 1
            raise StoreError("down")
        await super().uncount(quotas, windows, now)

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        self.reads += 1
        if self.is_down:
            raise StoreError("down")
        return await super().get(id, now)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def make_site(clock: ManualClock, store: Store) -> Callable[..., Site]:
    def make(keep_alive: float = 60.0, most: int = 100) -> Site:
        site = build_site(
            Settings.from_mapping({"sms": "console://", "store": "own:", "secret_keys": [KEY]}),
            stores={"own": lambda _: store},
            transport=FakeTransport(),
            clock=clock,
        )
        return replace(site, streams=OpenStreams(keep_alive=keep_alive, read_every=0.01, most=most))

    return make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


def begin(site: Site, phone: PhoneNumber = PHONE, **more: Any) -> Started:
    started = site.verifier.start(phone, **more)
    assert isinstance(started, Started)
    return started


def request(started: Started, method: str = "GET", **more: Any) -> ApiRequest:
    path = f"v1/verifications/{started.verification.id}/events"
    headers = {"verification-secret": started.secret}
    return ApiRequest(method, path, headers=headers, **{"can_stream": True, "peer": "192.0.2.1", **more})


async def opened(site: Site, started: Started, **more: Any) -> ApiStream:
    result = await ahandle(site, request(started, **more))
    assert isinstance(result, ApiStream), result
    return result


async def all_opened(site: Site, started: Started) -> list[ApiStream]:
    """Take every place of a verification, as soon as the store has got back those of earlier streams."""
    streams: list[ApiStream] = []
    while len(streams) < MAX_STREAMS:
        result = await ahandle(site, request(started))
        if isinstance(result, ApiStream):
            streams.append(result)
        else:
            await asyncio.sleep(0.01)
    return streams


async def refused(site: Site, started: Started, **more: Any) -> ApiResponse:
    result = await ahandle(site, request(started, **more))
    assert isinstance(result, ApiResponse)
    return result


def in_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), PATIENCE)

    asyncio.run(limited())


def document(part: bytes) -> Any:
    """Return the JSON of an event, which is exactly one."""
    lines = part.decode().split("\n")
    assert lines[0] == "event: status"
    assert lines[2:] == ["", ""]
    return json.loads(lines[1].removeprefix("data: "))


def code_of(site: Site) -> str:
    transport = site.verifier.flows._parts.transport
    assert isinstance(transport, FakeTransport)
    return next(word for word in transport.notices[-1].text.split() if word.isdecimal() and len(word) == 6)


def test_first_event_is_what_get_returns(site: Site) -> None:
    started = begin(site)

    async def test() -> None:
        stream = await opened(site, started)
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert stream.headers["Cache-Control"] == "no-store"
        assert stream.headers["X-Accel-Buffering"] == "no"
        shown = await ahandle(site, replace(request(started), path=f"v1/verifications/{started.verification.id}"))
        assert isinstance(shown, ApiResponse)
        assert document(await anext(stream.chunks)) == shown.document
        await stream.chunks.aclose()

    in_loop(test)


def test_stream_ends_with_the_proof(site: Site) -> None:
    started = begin(site)

    async def test() -> None:
        stream = await opened(site, started)
        assert document(await anext(stream.chunks))["status"] == "sent"
        await site.async_verifier.check(started.verification.id, started.secret, code_of(site))
        rest = [part async for part in stream.chunks]
        [last] = map(document, rest)
        assert last["status"] == "verified"
        redeemed = await site.async_verifier.redeem(last["proof"], [started.secret], ["login"])
        assert redeemed is not None
        assert len(site.streams) == 0
        # Ended already: one event, and no place.
        again = [part async for part in (await opened(site, started)).chunks]
        assert len(again) == 1
        assert document(again[0])["status"] == "verified"

    in_loop(test)


def test_seconds_alone_are_no_change(site: Site, store: Store, clock: ManualClock) -> None:
    started = begin(site)

    async def test() -> None:
        stream = await opened(site, started)
        await anext(stream.chunks)
        following = asyncio.ensure_future(anext(stream.chunks))
        reads = store.reads
        while store.reads < reads + 3:
            clock.move(1)
            await asyncio.sleep(0.01)
        assert not following.done()
        await site.async_verifier.check(started.verification.id, started.secret, "000000")
        wrong = document(await following)
        assert (wrong["status"], wrong["attempts_left"]) == ("sent", 4)
        await stream.chunks.aclose()

    in_loop(test)


def test_stream_ends_when_the_verification_expires(site: Site, clock: ManualClock) -> None:
    started = begin(site)

    async def test() -> None:
        stream = await opened(site, started)
        await anext(stream.chunks)
        clock.move(601)
        assert [document(part)["status"] async for part in stream.chunks] == ["expired"]

    in_loop(test)


def test_stream_of_a_deleted_verification_ends(site: Site) -> None:
    started = begin(site)

    async def test() -> None:
        stream = await opened(site, started)
        await anext(stream.chunks)
        await site.async_verifier.erase(PHONE)
        assert [part async for part in stream.chunks] == []

    in_loop(test)


def test_idle_stream_is_kept_alive(make_site: Callable[..., Site]) -> None:
    site = make_site(keep_alive=0.05)
    started = begin(site)

    async def test() -> None:
        stream, now = await opened(site, started), asyncio.get_running_loop().time
        await anext(stream.chunks)
        began = now()
        assert [await anext(stream.chunks) for _ in range(3)] == [b": keep-alive\n\n"] * 3
        assert now() - began >= 0.15
        await stream.chunks.aclose()

    in_loop(test)


def test_default_keep_alive_is_fifteen_seconds() -> None:
    assert OpenStreams().keep_alive == 15.0


def test_fifth_stream_waits_for_a_place(site: Site) -> None:
    started, other = begin(site), begin(site, PhoneNumber("+989120000001"))

    async def test() -> None:
        streams = [await opened(site, started) for _ in range(MAX_STREAMS)]
        await anext(streams[0].chunks)
        answer = await refused(site, started)
        assert answer.status == 429
        assert answer.document is not None
        assert answer.document["code"] == "too_many_requests"
        assert answer.headers["Retry-After"] == "15"
        await (await opened(site, other)).chunks.aclose()
        for stream in streams[:2]:  # one that was read, and one that was not
            await stream.chunks.aclose()
            await stream.chunks.aclose()  # gives back one place only
        await asyncio.sleep(0)
        streams[:2] = [await opened(site, started), await opened(site, started)]
        assert (await refused(site, started)).status == 429
        for stream in streams:
            await stream.chunks.aclose()
        await asyncio.sleep(0)

    in_loop(test)
    assert len(site.streams) == 0


def test_dropped_stream_frees_the_place(site: Site) -> None:
    """As by a framework whose client left before the response began."""
    started = begin(site)

    async def test() -> None:
        for _ in range(2 * MAX_STREAMS):
            await opened(site, started)
            await asyncio.sleep(0)

    in_loop(test)
    assert len(site.streams) == 0


def test_cancelled_reader_frees_the_place(site: Site) -> None:
    started = begin(site)

    async def test() -> None:
        for _ in range(2 * MAX_STREAMS):
            stream = await opened(site, started)
            await anext(stream.chunks)
            reading = asyncio.ensure_future(anext(stream.chunks))
            await asyncio.sleep(0.02)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await asyncio.sleep(0)

    in_loop(test)
    assert len(site.streams) == 0


def test_client_that_leaves_before_the_response_takes_no_place(site: Site, store: Store) -> None:
    """The store counts its stream all the same, and answers a request that has been cancelled."""
    started = begin(site)

    async def test() -> None:
        for _ in range(MAX_STREAMS):
            store.counting = threading.Event()
            left = asyncio.ensure_future(ahandle(site, request(started)))
            await asyncio.sleep(0.02)
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
            store.counting.set()
            await asyncio.sleep(0.02)
        store.counting = None
        for stream in await all_opened(site, started):
            await stream.chunks.aclose()
        await asyncio.sleep(0)

    in_loop(test)
    assert len(site.streams) == 0


def test_process_has_a_limit_and_an_address_half_of_it(make_site: Callable[..., Site]) -> None:
    site = make_site(most=4)
    verifications = [begin(site, PhoneNumber(f"+98912000000{n}")) for n in range(6)]

    async def test() -> None:
        held = [await opened(site, started) for started in verifications[:2]]
        assert (await refused(site, verifications[2])).status == 429
        held += [await opened(site, started, peer="192.0.2.2") for started in verifications[2:4]]
        assert (await refused(site, verifications[4], peer="192.0.2.3")).status == 429
        held.pop()
        held.append(await opened(site, verifications[4], peer="192.0.2.3"))
        # A refused stream has taken none of its verification's places.
        await held[0].chunks.aclose()
        held += [await opened(site, verifications[5], peer="192.0.2.4")]
        for stream in held:
            await stream.chunks.aclose()
        await asyncio.sleep(0)

    in_loop(test)


def test_store_failure_ends_the_stream(site: Site, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    started = begin(site)

    async def test() -> None:
        stream = await opened(site, started)
        await anext(stream.chunks)
        store.is_down = True
        assert [part async for part in stream.chunks] == []
        assert (await refused(site, started)).status == 503

    with caplog.at_level(logging.ERROR, "phone_verify"):
        in_loop(test)
    assert {record.getMessage().partition(":")[0] for record in caplog.records} == {
        "the store did not answer, an event stream has ended",
        "the store did not answer",
    }
    assert len(site.streams) == 0


def test_places_are_free_after_a_store_failure(site: Site, store: Store) -> None:
    started = begin(site)

    async def test() -> None:
        streams = [await opened(site, started) for _ in range(MAX_STREAMS)]
        store.is_down = True
        for stream in streams:
            await stream.chunks.aclose()
        while store.failed < 2 * MAX_STREAMS:
            await asyncio.sleep(0.01)
        store.is_down = False
        for stream in await all_opened(site, started):
            await stream.chunks.aclose()
        await asyncio.sleep(0)

    in_loop(test)


def test_only_the_holder_has_a_stream(site: Site) -> None:
    started = begin(site)

    async def test() -> None:
        for secret in ("", "x" * 22):
            answer = await ahandle(site, replace(request(started), headers={"verification-secret": secret}))
            assert isinstance(answer, ApiResponse)
            assert answer.status == 404
        cookie = f"{started.verification.id}.{started.secret}"
        by_cookie = await ahandle(site, replace(request(started), headers={}, cookie=cookie))
        assert isinstance(by_cookie, ApiStream)
        await by_cookie.chunks.aclose()

    in_loop(test)


def test_other_methods_open_no_stream(site: Site) -> None:
    started = begin(site)

    async def test() -> None:
        for _ in range(2 * MAX_STREAMS):
            head = await refused(site, started, method="HEAD")
            assert (head.status, head.document, head.headers["Content-Type"]) == (200, None, "text/event-stream")
        options = await refused(site, started, method="OPTIONS")
        assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
        assert (await refused(site, started, method="POST")).status == 405

    in_loop(test)
    assert len(site.streams) == 0


def test_site_that_cannot_stream_answers_406(site: Site) -> None:
    started = begin(site)
    for call in (request(started, can_stream=False), replace(request(started, can_stream=False), headers={})):
        answer = handle(site, call)
        assert isinstance(answer, ApiResponse)
        assert answer.status == 406
        assert answer.document is not None
        assert answer.document["code"] == "not_acceptable"


def test_many_streams_read_less_often() -> None:
    class Stream:
        address = None

    streams = OpenStreams(read_every=1.0)
    kept = [Stream() for _ in range(4 * READS_PER_SECOND)]
    assert streams.pause == 1.0
    assert all(map(streams.add, kept))
    assert streams.pause == 4.0


@pytest.fixture(autouse=True)
def no_error_in_the_background(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Asyncio logs exceptions that no code has received."""
    yield
    assert [record for record in caplog.get_records("call") if record.name == "asyncio"] == []


# Orders that move to another channel


sent: list[Channel] = []


def send(order: Order) -> None:
    """Send an order, for `python:`."""
    sent.append(order.channel)


@pytest.fixture
def moving(clock: ManualClock) -> tuple[Site, list[ClientFacts]]:
    """Return a site whose calls move to SMS, and what its `before_send` is told of the moves."""
    sent.clear()
    facts: list[ClientFacts] = []

    def hook(order: SendOrder, client: ClientFacts) -> None:
        if order.is_resend:
            facts.append(client)

    settings = {
        "sms": f"python:{__name__}.send",
        "flash_call": f"python:{__name__}.send",
        "channels": "flash_call,sms",
        "fallbacks": "flash_call:sms:10",
        "sends_per_hour_per_client": "2",
        "store": "memory:",
        "secret_keys": [KEY],
    }
    site = build_site(Settings.from_mapping(settings), transport=BlockingTransport(), clock=clock, hook=lambda: hook)
    return replace(site, streams=OpenStreams(keep_alive=60.0, read_every=0.01, most=100)), facts


async def followed(site: Site, call: ApiRequest) -> None:
    """Read a stream until it has had time for a move."""
    stream = await ahandle(site, call)
    assert isinstance(stream, ApiStream)
    await anext(stream.chunks)
    with suppress(TimeoutError):
        await asyncio.wait_for(anext(stream.chunks), 0.3)
    await stream.chunks.aclose()


@pytest.mark.parametrize("from_sibling", [True, False])
def test_stream_of_another_site_moves_no_order(
    moving: tuple[Site, list[ClientFacts]], clock: ManualClock, from_sibling: bool
) -> None:
    site, facts = moving
    started = begin(site)
    clock.move(10)
    call = request(started)
    call = replace(call, headers={**call.headers, "sec-fetch-site": "same-site" if from_sibling else "same-origin"})
    in_loop(lambda: followed(site, call))
    assert sent == [Channel.FLASH_CALL] + ([] if from_sibling else [Channel.SMS])
    assert [each.address for each in facts] == ([] if from_sibling else ["192.0.2.1"])
    assert all("sec-fetch-site" in each.headers for each in facts)


def test_move_of_a_stream_counts_for_the_oauth_client(
    moving: tuple[Site, list[ClientFacts]], clock: ManualClock
) -> None:
    site, _ = moving
    assert site.verifier.start(PhoneNumber("+989120000001"), oauth_client="app", by_client=True).ok
    started = begin(site, oauth_client="app")
    clock.move(10)
    in_loop(lambda: followed(site, request(started, client="app")))
    assert sent == [Channel.FLASH_CALL] * 2, "two sends are all that the client has"
