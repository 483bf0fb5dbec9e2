"""The Redis store on private servers: the suite, every topology, and every failure.

`PHONE_VERIFY_TEST_REDIS` names a server for the suite instead (a Valkey, another version): its keys get a separate
prefix and are deleted.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import multiprocessing
import os
import random
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.config.stores import open_store
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.lifecycle import PROOF_LIFE, AttemptResult, Opening, Spent
from phone_verify.limits import Counted, DenialReason, Denied, Limits, Quota
from phone_verify.model import Channel, IncomingCall, Started, Status, Verification
from phone_verify.phone import PhoneNumber
from phone_verify.stores.base import RETENTION
from phone_verify.stores.redis import AsyncRedisStore, RedisStore, clients
from phone_verify.stores.redis.address import read_address
from phone_verify.stores.redis.clients import explained
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.stores import (
    BINDING,
    CALL,
    LIFE,
    LIMITS,
    LINE,
    NOBODY,
    RIGHT,
    WRONG,
    StorePromises,
    StoreRaces,
    attachment,
    opening,
    reservation,
    run,
    together,
)
from tests.cases import in_one_test
from tests.interruptions import TimeLimitError
from tests.stores.redis_servers import HOST, Forwarder, RedisServer, cluster, free_port, running, sentinel, until

PHONE_IN_CLEAR = "9120000001"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server without failures."""
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server for failure tests."""
    with running(RedisServer(tmp_path / "own")) as server:
        yield server


def with_prefix(url: str) -> str:
    """Return this URL for an empty store. Races on a slow machine may wait longer than a visitor should."""
    return f"{url}?timeout=20&prefix=test-{uuid.uuid4().hex}"


def forget(client: Any, url: str) -> None:
    """Delete a test's keys; each must have an expiry."""
    for key in list(client.scan_iter(f"{url.rpartition('=')[2]}:*", count=1000)):
        assert client.pttl(key) > 0, f"{key!r} would stay for ever"
        client.delete(key)


class OnRedis(StorePromises, StoreRaces):
    @pytest.fixture
    def store(self, url: str) -> RedisStore:
        return RedisStore.from_url(url)

    @pytest.fixture
    def stores(self, store: RedisStore, url: str) -> list[RedisStore]:
        return [store, store, RedisStore.from_url(url)]

    @pytest.fixture
    def forgetful(self, url: str) -> RedisStore:
        return RedisStore.from_url(url, keep=PROOF_LIFE)

    def test_records_are_kept_for_a_day(self, store: RedisStore, clock: ManualClock) -> None:
        records = [self.open(store, clock), self.claim_on(store, clock, LINE)]
        run(store.settle(records[0].id, Status.VERIFIED, clock()))
        clock.move((LIFE + RETENTION).total_seconds() - 0.000001)
        assert self.kept(store, clock, records) == 2
        clock.move(0.000001)
        assert self.kept(store, clock, records) == 0
        assert run(store.spend(records[1].id, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock())) == run(
            store.spend("x" * 44, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock())
        )

    def test_short_ttl_does_not_shorten_an_earlier_longer_one(self, store: RedisStore, clock: ManualClock) -> None:
        long = self.claim_on(store, clock, LINE)
        short = self.open(store, clock, plan=replace(CALL, ttl=timedelta(seconds=60)))
        clock.move(120)
        assert isinstance(run(store.attach(short.id, attachment(opening(), line=LINE), clock())), Denied)
        assert run(store.find("fake", long.tag, "ref", clock())) is not None
        self.open(store, clock, shown=[BINDING])
        assert (found := run(store.get(long.id, clock())))
        assert found.status is Status.CANCELLED

    @pytest.mark.parametrize("text", ["", "\0", "\\0", "\\b\0\\", "a\nb", "\ud83d", "\udc00 half", "=", "سلام"])
    def test_any_provider_text_round_trips(self, store: RedisStore, clock: ManualClock, text: str) -> None:
        record = self.claim_on(store, clock, LINE, reference=text, locale=text, purpose=f"p{text}")
        assert (record.reference, record.locale, record.purpose) == (text, text, f"p{text}")
        assert run(store.find("fake", record.tag, text, clock())) == record
        self.fail(store, clock, 1, purpose=f"p{text}")
        refused = run(store.open(opening(purpose=f"p{text}"), [], Limits(1), clock()))
        assert isinstance(refused, Denied)
        assert not isinstance(run(store.count([Quota(text, 1)], clock())), Denied)
        assert isinstance(run(store.count([Quota(text, 1)], clock())), Denied)

    @pytest.mark.parametrize("id", ["", "}", "{}", "index", "\0" * 44, "\ud83d" * 44, "x" * 1000])
    def test_any_text_may_be_looked_up(self, store: RedisStore, clock: ManualClock, id: str) -> None:
        assert run(store.get(id, clock())) is None
        assert isinstance(run(store.spend(id, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock())), Denied)


class TestRedisStore(OnRedis):
    @pytest.fixture
    def url(self, request: pytest.FixtureRequest) -> Iterator[str]:
        named = os.environ.get("PHONE_VERIFY_TEST_REDIS")
        url = with_prefix(named or request.getfixturevalue("server").url)
        yield url
        with redis.Redis.from_url(url.partition("?")[0]) as client:
            forget(client, url)


@pytest.mark.slow
class TestRedisStoreOnACluster(OnRedis):
    @pytest.fixture
    def url(self, nodes: list[RedisServer]) -> Iterator[str]:
        url = with_prefix(f"redis+cluster://{nodes[0].host},{nodes[1].host}")
        yield url
        for node in nodes:
            with node.client() as client:
                forget(client, url)


class InALoop:
    """An async store for blocking callers: its steps run in an event loop of another thread."""

    def __init__(self, store: AsyncRedisStore, loop: asyncio.AbstractEventLoop) -> None:
        self._store, self._loop = store, loop

    def __getattr__(self, verb: str) -> Any:
        async def step(*arguments: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(getattr(self._store, verb)(*arguments), self._loop).result(60)

        return step


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a separate thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


@pytest.mark.slow
class TestAsyncRedisStore(OnRedis):
    @pytest.fixture
    def make(self, url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Any]]:
        made = []

        def make(**options: Any) -> Any:
            made.append(InALoop(AsyncRedisStore.from_url(url, **options), loop))
            return made[-1]

        yield make
        for store in made:
            run(store.aclose())

    @pytest.fixture
    def url(self, server: RedisServer) -> Iterator[str]:
        url = with_prefix(server.url)
        yield url
        with server.client() as client:
            forget(client, url)

    @pytest.fixture
    def store(self, make: Callable[..., Any]) -> Any:
        return make()

    @pytest.fixture
    def stores(self, store: Any, make: Callable[..., Any]) -> list[Any]:
        return [store, store, make()]

    @pytest.fixture
    def forgetful(self, make: Callable[..., Any]) -> Any:
        return make(keep=PROOF_LIFE)


@pytest.fixture(params=[RedisStore, AsyncRedisStore])
def made(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Iterator[Callable[[str], Any]]:
    """Return a function that opens a blocking or an async store by its URL."""
    stores: list[InALoop] = []

    def make(url: str) -> Any:
        store = request.param.from_url(url)
        if isinstance(store, RedisStore):
            return store
        stores.append(InALoop(store, loop))
        return stores[-1]

    yield make
    for store in stores:
        run(store.aclose())


# The tests of every topology; the suite runs on two of them.


def one_login(store: Any, phone: str = "+989120000001") -> Verification:
    """Count, open, attach, a wrong guess, the right one, and the redeemed proof."""
    order = opening(PhoneNumber(phone))
    assert not isinstance(run(store.count([Quota("total", 1000), Quota("address:a", 1000)], None)), Denied)
    assert isinstance(run(store.open(order, [Quota("sends:p", 1000)], LIMITS, None)), Verification)
    assert isinstance(run(store.attach(order.id, attachment(order, line=LINE), None)), Verification)
    assert isinstance(run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)), Spent)
    spent = run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
    assert isinstance(spent, Spent)
    assert spent.answer is AttemptResult.RIGHT
    assert run(store.redeem(order.id, BINDING, "", None)) is not None
    assert run(store.erase("nobody", None)) == 0
    return spent.record


#: The permissions in docs/stores.md for a dedicated user.
ACL = [
    "on", ">p@ss:w/rd", "resetchannels", "~phone_verify:*", "-@all", "+evalsha", "+eval", "+time", "+pttl", "+pexpire",
    "+hget", "+hmget", "+hgetall", "+hkeys", "+hlen", "+hstrlen", "+hset", "+hincrby", "+hdel", "+del", "+get", "+mget",
    "+set", "+info", "+select",
]  # fmt: skip


def test_documented_redis_commands_suffice(own: RedisServer) -> None:
    with own.client() as client:
        client.execute_command("ACL", "SETUSER", "site", *ACL)
        client.execute_command("ACL", "SETUSER", "default", "off")
    store = RedisStore.from_url(f"redis://site:p%40ss%3Aw%2Frd@{own.host}/1")
    one_login(store)
    wanted = reservation()
    assert run(store.reserve(wanted, None)).holder == wanted.holder
    assert run(store.keep_response(wanted, "sealed", reservation("b", "other").names[0], None))
    run(store.release(wanted, None))
    run(store.erase(wanted.tag, None))
    run(store.add_conversion("kavenegar:IR:sms", 1, 0, None))
    assert [round(found.sent, 3) for found in run(store.conversions(["kavenegar:IR:sms"], None))] == [1.0]
    assert run(store.examine()) == []
    named = (Path(__file__).parents[2] / "docs" / "stores.md").read_text("utf-8")
    assert " ".join(ACL[3:]) in named


@pytest.mark.parametrize(
    ("login", "meaning"),
    [("site:hunter2", "user or password"), ("nobody:hunter2", "user or password"), ("", "user or password")],
)
def test_wrong_login_is_reported_without_the_password(own: RedisServer, login: str, meaning: str) -> None:
    with own.client() as client:
        client.execute_command("ACL", "SETUSER", "site", *ACL)
        client.execute_command("ACL", "SETUSER", "default", "off")
    store = RedisStore.from_url(f"redis://{login}{'@' if login else ''}{own.host}/0")
    with pytest.raises(StoreError, match=meaning) as raised:
        run(store.get("x" * 44, None))
    assert "hunter2" not in f"{raised.value}{raised.value.__cause__}{store!r}"


def test_forbidden_command_is_reported_and_info_is_optional(own: RedisServer, caplog: Any) -> None:
    with own.client() as client:
        client.execute_command("ACL", "SETUSER", "site", *ACL, "-info", "-hset")
    store = RedisStore.from_url(f"redis://site:p%40ss%3Aw%2Frd@{own.host}/0")
    with pytest.raises(StoreError, match="ACL forbids"):
        run(store.open(opening(), [], LIMITS, None))
    assert "noeviction" in caplog.text
    assert run(store.get("x" * 44, None)) is None


@pytest.mark.parametrize(
    "text",
    [
        "The user executing the script can't run this command or subcommand script: 9b53, on @user_script:1.",
        "ACL failure in script: User site has no permissions to run the 'hset' command script: on @user_script:1.",
    ],
    ids=["Redis 7.0", "Valkey"],
)
def test_command_forbidden_in_a_script_is_reported(text: str) -> None:
    told = explained(redis.ResponseError(text))
    assert "its ACL forbids a command" in told
    assert "site" not in told


def test_tls_is_used_and_the_certificate_is_checked(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert(HOST)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    tls_port = free_port()
    server = RedisServer(
        tmp_path / "tls",
        *("--tls-port", str(tls_port), "--tls-cert-file", str(tmp_path / "cert.pem")),
        *("--tls-key-file", str(tmp_path / "key.pem"), "--tls-ca-cert-file", str(tmp_path / "ca.pem")),
        *("--tls-auth-clients", "no"),
    )
    with running(server):
        url = f"rediss://{HOST}:{tls_port}/0"
        one_login(RedisStore.from_url(f"{url}?ssl_ca_certs={tmp_path}/ca.pem"))
        for authorities in ("", f"?ssl_ca_certs={tmp_path}/other.pem"):
            with pytest.raises(StoreError, match="cannot be reached"):
                run(RedisStore.from_url(url + authorities).get("x" * 44, None))
        other_name = RedisStore.from_url(f"rediss://localhost:{tls_port}/0?ssl_ca_certs={tmp_path}/ca.pem")
        with pytest.raises(StoreError, match="cannot be reached"):
            run(other_name.get("x" * 44, None))


@pytest.mark.slow
def test_async_store_supports_sentinels_and_clusters(
    tmp_path: Path, nodes: list[RedisServer], loop: asyncio.AbstractEventLoop
) -> None:
    with sentinel(tmp_path) as (_, _, watcher):
        for url in (f"redis+sentinel://{watcher.host}/phones", f"redis+cluster://{nodes[0].host}"):
            store: Any = InALoop(AsyncRedisStore.from_url(url), loop)
            for n in range(10, 16):
                one_login(store, f"+9891200000{n}")
            assert run(store.examine()) == []
            run(store.aclose())


def test_sentinels_lead_to_the_new_primary(tmp_path: Path) -> None:
    with sentinel(tmp_path) as (primary, replica, watcher):
        store = RedisStore.from_url(f"redis+sentinel://{watcher.host},{HOST}:1/phones")
        record = one_login(store)
        with primary.client() as client:
            client.wait(1, 5000)
        primary.kill()
        began = time.monotonic()
        with pytest.raises(StoreError):
            run(store.get(record.id, None))
        assert time.monotonic() - began < 15, "a visitor is not kept waiting"

        def found() -> object:
            with suppress(StoreError):
                return run(store.get(record.id, None))

        until(found, "the failover")
        assert found() is not None
        one_login(store)
        with replica.client() as client:
            assert client.info("replication")["role"] == "master"


def test_unknown_sentinel_service_is_a_store_error(tmp_path: Path) -> None:
    with sentinel(tmp_path) as (_, _, watcher):
        store = RedisStore.from_url(f"redis+sentinel://{watcher.host}/unknown")
        with pytest.raises(StoreError, match="cannot be reached"):
            run(store.get("x" * 44, None))


def key_of(order: Opening | Verification) -> str:
    return f"phone_verify:{{{order.tag}}}"


def owner(nodes: list[RedisServer], order: Opening) -> RedisServer:
    """Return the node of this phone by the assignment of slots."""
    return nodes[redis.cluster.key_slot(key_of(order).encode()) * 3 // 16384]


@pytest.mark.slow
def test_cluster_slot_may_move_at_any_time(nodes: list[RedisServer]) -> None:
    store = RedisStore.from_url(f"redis+cluster://{nodes[0].host}")
    order = opening(PhoneNumber("+989120000077"))
    record = run(store.open(order, [], LIMITS, None))
    assert isinstance(record, Verification)
    clients = [node.client() for node in nodes]
    names = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
    slot = clients[0].execute_command("CLUSTER", "KEYSLOT", key_of(order))
    source = next(n for n, client in enumerate(clients) if client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 9))
    target = (source + 1) % 3

    def guess(left: int) -> None:
        spent = run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
        assert isinstance(spent, Spent)
        assert spent.record.attempts_left == left

    clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
    clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
    guess(4)
    clients[source].execute_command("MIGRATE", HOST, nodes[target].port, key_of(order), 0, 5000)
    guess(3)
    for client in clients:
        client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target])
    guess(2)
    for client in clients:
        client.close()


@pytest.mark.slow
def test_missing_cluster_node_is_a_store_error_until_back(tmp_path: Path, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    with cluster(tmp_path) as nodes:
        store = RedisStore.from_url(f"redis+cluster://{nodes[0].host},{nodes[1].host}?timeout=1")
        phones = [f"+9891200000{n}" for n in range(10, 30)]
        for phone in phones:
            one_login(store, phone)
        nodes[2].kill()
        lost = opening(PhoneNumber(phones[0]))
        while owner(nodes, lost) is not nodes[2]:
            lost = opening(PhoneNumber(f"+98912{random.randrange(10**7):07}"))
        with pytest.raises(StoreError) as raised:
            run(store.open(lost, [], LIMITS, None))
        assert lost.request.phone.e164[1:] not in f"{raised.value}{caplog.text}"
        nodes[2].start()

        def back() -> bool:
            with suppress(StoreError):
                return all(one_login(store, phone) for phone in phones)
            return False

        until(back, "the Cluster's recovery")


@pytest.mark.slow
def test_single_cluster_node_error_says_what_to_write(nodes: list[RedisServer]) -> None:
    order = opening()
    other = next(node for node in nodes if node is not owner(nodes, order))
    with pytest.raises(StoreError, match=r"redis\+cluster://"):
        run(RedisStore.from_url(other.url).open(order, [], LIMITS, None))


# Round trips and expiry.

_INSIDE = {
    "time",
    "hget",
    "hmget",
    "hstrlen",
    "hset",
    "hdel",
    "del",
    "get",
    "mget",
    "set",
    "pttl",
    "pexpire",
    "hlen",
    "hkeys",
    "hgetall",
    "hincrby",
    "zadd",
    "zrange",
    "zremrangebyscore",
}


def calls(client: Any) -> dict[str, int]:
    """Return the number of external calls of each command since the last query."""
    told = client.info("commandstats")
    client.config_resetstat()
    counts = {name.removeprefix("cmdstat_"): told[name]["calls"] for name in told}
    return {name: n for name, n in counts.items() if name not in {*_INSIDE, "info", "config|resetstat"}}


def start_of(store: RedisStore, order: Opening) -> list[Callable[[], Any]]:
    total, own = [Quota("total", 9), Quota("address:a", 9)], [Quota("sends:p", 9), Quota("more", 9)]
    return [
        lambda: store.count_and_open(total, order, own, LIMITS, None),
        lambda: store.attach(order.id, attachment(order, line=LINE), None),
    ]


def other_steps(store: RedisStore, order: Opening) -> list[Callable[[], Any]]:
    return [
        lambda: store.count([Quota("total", 99), Quota("address:a", 99)], None),
        lambda: store.open(opening(), [Quota("sends:p", 99), Quota("more", 99)], LIMITS, None),
        lambda: store.spend(order.id, BINDING, [WRONG, RIGHT], 6, LIMITS, NOBODY, None),
        lambda: store.get(order.id, None),
        lambda: store.reopen(order.id, BINDING, Channel.SMS, False, [Quota("q", 1)], LIMITS, timedelta(0), None),
        lambda: store.may_poll(order.id, BINDING, None),
        lambda: store.find("fake", order.tag, "ref", None),
        lambda: store.claim("fake", order.tag, IncomingCall(None, LINE, order.request.phone), None),
        lambda: store.settle(order.id, Status.VERIFIED, None),
        lambda: store.redeem(order.id, BINDING, "", None),
        lambda: store.resolve_check(order.id, False, 1, NOBODY, None),
        lambda: store.erase(order.tag, None),
        lambda: store.uncount([Quota("total", 9)], [datetime.now(UTC)], None),
    ]


def test_start_is_two_round_trips_and_others_one(own: RedisServer) -> None:
    store = RedisStore.from_url(own.url)
    first, second = opening(plan=CALL), opening(plan=CALL, shown=[BINDING, b"o" * 32])
    for step in start_of(store, first) + other_steps(store, first):
        run(step())  # each script is sent in full once
    with own.client() as client:
        calls(client)
        for step in start_of(store, second):
            run(step())
        assert calls(client) == {"evalsha": 2}
        for step in other_steps(store, second):
            run(step())
            assert calls(client) == {"evalsha": 1}
        run(store.purge(100, None))
        assert calls(client) == {}


def content(client: Any) -> dict[bytes, Any]:
    """Return everything that the server keeps."""
    return {
        key: client.get(key) if client.type(key) == b"string" else client.hgetall(key) for key in client.scan_iter()
    }


def test_denied_start_counts_and_opens_nothing(own: RedisServer) -> None:
    store, clock = RedisStore.from_url(own.url), ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    total, full, gate = Quota("total", 1), Quota("full", 0), Quota("gate", 0, gate=True)
    for key in ("full", "gate"):
        run(store.count([Quota(key, 1)], clock()))
    assert run(store.open(opening(), [Quota("sends:p", 1)], LIMITS, clock()))
    failed = opening(short=True)
    run(store.open(failed, [], LIMITS, clock()))
    run(store.spend(failed.id, BINDING, [WRONG], 6, LIMITS, NOBODY, clock()))
    denials: list[tuple[list[Quota], Opening, list[Quota], Limits, DenialReason]] = [
        ([total, full], opening(), [], LIMITS, DenialReason.QUOTA),
        ([total, gate], opening(), [], LIMITS, DenialReason.QUOTA),
        ([total], opening(), [Quota("more", 9), Quota("sends:p", 1)], LIMITS, DenialReason.QUOTA),
        ([total], opening(), [Quota("more", 9)], Limits(1), DenialReason.FAILURES),
        ([total], opening(short=True), [Quota("more", 9)], Limits(9, 1), DenialReason.SHORT_CODES_CLOSED),
        ([total], opening(), [Quota("more", 9)], replace(LIMITS, long_per_day=1), DenialReason.TWO_STEPS),
    ]
    with own.client() as client:
        before = content(client)
        for shared, order, quotas, limits, why in denials:
            denied = run(store.count_and_open(shared, order, quotas, limits, clock()))
            assert isinstance(denied, Denied), why
            assert denied.why is why
            assert content(client) == before, why
        opened = run(store.count_and_open([total], opening(), [Quota("more", 1)], LIMITS, clock()))
        assert isinstance(opened, tuple)
    assert run(store.count([total], clock())) == Denied(DenialReason.QUOTA, total.window)
    run(store.uncount([total], opened[0].windows, clock()))
    assert isinstance(run(store.count([total], clock())), Counted)


def test_start_counts_separately_only_where_it_must(
    own: RedisServer, nodes: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    step = RedisStore._step

    async def noted(store: RedisStore, verb: str, *arguments: Any) -> Any:
        steps.append(verb)
        return await step(store, verb, *arguments)

    monkeypatch.setattr(RedisStore, "_step", noted)
    for url, policy, expected in (
        (own.url, {}, ["open", "attach"]),
        (own.url, {"failures_per_day": 1}, ["open", "attach", "open", "count", "open", "attach"]),
        (f"redis+cluster://{nodes[0].host}", {}, ["count", "open", "attach"]),
    ):
        settings = {"sms": "console://", "store": with_prefix(url), "secret_keys": ["k" * 16 + "0123456789abcdef"]}
        verifier = build_site(Settings.from_mapping({**settings, **policy})).verifier
        steps.clear()
        started = verifier.start(PhoneNumber("+989120000001"))
        assert isinstance(started, Started)
        if policy:
            verifier.check(started.verification.id, started.secret, "00000000"[: started.verification.code_length])
            steps.remove("spend")
            verifier.start(PhoneNumber("+989120000002"))
        assert steps == expected


@pytest.mark.parametrize("values", [30, 36, 43])
def test_record_of_an_older_version_is_read(own: RedisServer, values: int) -> None:
    store, clock = RedisStore.from_url(own.url), ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    code, claim = opening(), opening(plan=CALL)
    for order, line in ((code, None), (claim, LINE)):
        assert isinstance(run(store.open(order, [], LIMITS, clock())), Verification)
        run(store.attach(order.id, attachment(order, line=line, reference="ref"), clock()))
    before = [run(store.get(order.id, clock())) for order in (code, claim)]
    with own.client() as client:
        for order in (code, claim):
            kept = client.hget(key_of(order), f"r{order.id}").split(b"\0")[:values]
            client.hset(key_of(order), f"r{order.id}", b"\0".join([*kept, b""]))
    known = {} if values > 30 else {"budget": ""}
    for order, record in zip((code, claim), before, strict=True):
        assert record is not None
        assert run(store.get(order.id, clock())) == replace(record, request=replace(record.request, **known))
    beside = attachment(code, plan=CALL, line=PhoneNumber("+74950000009"), sends=2)
    attached = run(store.attach(code.id, beside, clock()))
    assert isinstance(attached, Verification)
    assert (attached.code_digest, attached.claim_send) == (code.code_digest, 2)
    called = run(store.claim("fake", claim.tag, IncomingCall("ref", None, claim.request.phone), clock()))
    assert called is not None
    assert (called.id, called.by_call) == (claim.id, True)


def test_keys_expire_with_their_content(own: RedisServer) -> None:
    store = RedisStore.from_url(own.url)
    order = opening()
    run(store.open(order, [Quota("sends:p", 9)], LIMITS, None))
    total = [Quota("total", 9, timedelta(minutes=5))]
    counted = run(store.count(total, None))
    assert isinstance(counted, Counted)
    run(store.uncount(total, counted.windows, None))
    with own.client() as client:
        ends = {key.decode(): client.pttl(key) / 1000 for key in client.scan_iter()}
        assert ends[key_of(order)] == pytest.approx((LIFE + RETENTION).total_seconds(), abs=20)
        assert ends["phone_verify:{shared}:total"] == pytest.approx(300, abs=20)
        assert len(ends) == 2


def test_index_of_a_line_expires_with_its_last_claim(own: RedisServer) -> None:
    store = RedisStore.from_url(own.url)
    for seconds, phone in ((300, "+989120000001"), (60, "+989120000002")):
        order = opening(PhoneNumber(phone), plan=replace(CALL, ttl=timedelta(seconds=seconds)))
        run(store.open(order, [], LIMITS, None))
        run(store.attach(order.id, attachment(order, line=LINE), None))
    with own.client() as client:
        assert client.pttl(f"phone_verify:{{shared}}:line:fake:{LINE.e164}") / 1000 == pytest.approx(300, abs=20)


def test_phone_key_lasts_as_long_as_its_longest_window(own: RedisServer) -> None:
    store = RedisStore.from_url(own.url, keep=PROOF_LIFE)
    order, months = opening(), Quota("sends:p", 1, timedelta(days=60))
    run(store.open(order, [months], LIMITS, None))
    run(store.open(opening(), [], LIMITS, None))
    with own.client() as client:
        assert client.pttl(key_of(order)) / 1000 == pytest.approx(60 * 86400, abs=20)
    short = opening(PhoneNumber("+989120000002"))
    opened = run(store.open(short, [], LIMITS, None))
    assert isinstance(opened, Verification)
    run(store.spend(short.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    with own.client() as client:
        assert client.pttl(key_of(short)) / 1000 == pytest.approx(30 * 86400, abs=20), "the failures"
        assert isinstance(
            run(store.reopen(short.id, BINDING, Channel.SMS, False, [months], LIMITS, LIFE, opened.resend_at)),
            Verification,
        )
        assert client.pttl(key_of(short)) / 1000 == pytest.approx(60 * 86400, abs=20)


def test_phone_starting_daily_keeps_only_live_data(own: RedisServer) -> None:
    store, clock = RedisStore.from_url(own.url), ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    for n in range(40):
        order = opening(purpose=f"purpose_{n}")
        run(store.open(order, [Quota("sends:p", 9)], LIMITS, clock()))
        run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, clock()))
        clock.move(RETENTION.total_seconds() / 2)
    with own.client() as client:
        fields = [field.decode() for field in client.hkeys(key_of(order))]
        index = client.hget(key_of(order), "index")
    assert len([field for field in fields if field[0] == "r"]) <= 4
    assert len([field for field in fields if field[0] == "f"]) <= 4
    assert len(index) <= 4 * 60
    assert len(fields) <= 10


# Failures.


def test_flushed_scripts_are_loaded_again(own: RedisServer) -> None:
    store = RedisStore.from_url(own.url)
    order = opening()
    with own.client() as client:
        steps: list[Callable[[], Any]] = [
            lambda: store.count([Quota("total", 9)], None),
            lambda: store.open(order, [], LIMITS, None),
            lambda: store.attach(order.id, attachment(order), None),
            lambda: store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None),
        ]
        for step in steps:
            client.script_flush()
            run(step())
    found = run(store.get(order.id, None))
    assert found is not None
    assert found.attempts_left == 4, "and did the step once"


def test_killed_server_is_a_store_error_until_back(own: RedisServer, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    store = RedisStore.from_url(own.url)
    record = one_login(store)
    own.kill()
    began = time.monotonic()
    for step in (lambda: store.get(record.id, None), lambda: store.open(opening(), [], LIMITS, None)):
        with pytest.raises(StoreError, match="cannot be reached") as raised:
            run(step())
        assert raised.value.__cause__ is None
        assert record.id not in str(raised.value)
    assert time.monotonic() - began < 15
    own.start()
    assert run(store.get(record.id, None)) is None, "its memory is gone, and nobody says otherwise"
    one_login(store)
    assert PHONE_IN_CLEAR not in caplog.text
    assert BINDING.hex() not in caplog.text


def test_restart_between_two_steps_goes_unnoticed(tmp_path: Path, made: Callable[[str], Any]) -> None:
    with running(RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")) as server:
        store = made(server.url)
        order = opening()
        run(store.open(order, [Quota("sends:p", 1)], LIMITS, None))
        run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
        server.kill()
        server.start()
        spent = run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
        assert isinstance(spent, Spent)
        assert spent.record.attempts_left == 3, "what was written to disk still counts"
        assert isinstance(run(store.open(opening(), [Quota("sends:p", 1)], LIMITS, None)), Denied)


def test_replica_refuses_writes_with_a_store_error(own: RedisServer) -> None:
    store = RedisStore.from_url(own.url)
    order = opening()
    run(store.open(order, [], LIMITS, None))
    with own.client() as client:
        client.replicaof(HOST, free_port())
        for step in (
            lambda: store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None),
            lambda: store.open(opening(), [], LIMITS, None),
            lambda: store.count([Quota("total", 1)], None),
        ):
            with pytest.raises(StoreError, match="replica"):
                run(step())
        client.replicaof("NO", "ONE")
    found = run(store.get(order.id, None))
    assert found is not None
    assert found.attempts_left == 5
    assert not isinstance(run(store.count([Quota("total", 1)], None)), Denied)


def test_new_primary_is_found_by_a_new_connection(own: RedisServer, tmp_path: Path, made: Callable[[str], Any]) -> None:
    with running(RedisServer(tmp_path / "new")) as new, Forwarder(own.port) as place:
        store = made(f"redis://{HOST}:{place.port}/0")
        one_login(store)
        with own.client() as client:
            client.replicaof(HOST, free_port())
        place.target = new.port
        one_login(store)


def test_out_of_memory_server_does_nothing(own: RedisServer) -> None:
    store = RedisStore.from_url(own.url)
    order, quota = opening(), Quota("sends:p", 2)
    run(store.open(order, [quota], LIMITS, None))
    record = run(store.get(order.id, None))
    with own.client() as client:
        client.config_set("maxmemory", "1mb")
        for step in (
            lambda: store.open(opening(shown=[BINDING]), [quota], LIMITS, None),
            lambda: store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None),
            lambda: store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None),
            lambda: store.settle(order.id, Status.VERIFIED, None),
            lambda: store.attach(order.id, attachment(order), None),
            lambda: store.count([Quota("total", 1)], None),
        ):
            with pytest.raises(StoreError, match="out of memory"):
                run(step())
        client.config_set("maxmemory", "0")
    found = run(store.get(order.id, None))
    assert found is not None
    assert record is not None
    assert (found.status, found.attempts_left, found.failures) == (record.status, 5, None)
    assert not isinstance(run(store.count([Quota("total", 1)], None)), Denied)
    assert isinstance(run(store.open(opening(), [quota], LIMITS, None)), Verification)


def test_loading_server_is_reported_as_such(tmp_path: Path) -> None:
    slowly = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    with running(RedisServer(tmp_path, "--dbfilename", "dump.rdb")) as server:
        with server.client() as client:
            with client.pipeline() as pipe:
                for n in range(2000):
                    pipe.set(f"other:{n}", "x" * 1500)
                pipe.execute()
            client.save()
        server.kill()
        server.start(*slowly, wait=False)
        store = RedisStore.from_url(server.url)

        def listening() -> bool:
            with suppress(redis.BusyLoadingError), server.client() as client:
                client.ping()
                return False
            return True

        until(listening, "the server's loading")
        with pytest.raises(StoreError, match="loading"):
            run(store.get("x" * 44, None))


def test_silent_server_times_out_and_late_reply_is_discarded(own: RedisServer, made: Callable[[str], Any]) -> None:
    store = made(f"{own.url}?timeout=0.3")
    first, second = opening(), opening()
    for order in (first, second):
        run(store.open(order, [], LIMITS, None))
    own.freeze()
    began = time.monotonic()
    with pytest.raises(StoreError, match="timed out"):
        run(store.spend(first.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    assert time.monotonic() - began < 15
    own.thaw()
    found = run(store.get(second.id, None))
    assert found is not None
    assert found.id == second.id
    # Whether it was done is unknown; it was not done twice.
    found = run(store.get(first.id, None))
    assert found is not None
    assert found.attempts_left in (4, 5)


def test_queue_in_this_process_is_no_sign_of_a_server_that_is_down(
    own: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty steps, one at a time, each of a tenth of a second: ten times as long as the server may take."""
    monkeypatch.setattr(clients, "AT_ONCE", 1)

    async def ask_all() -> list[Any]:
        servers = clients.Async(read_address(f"{own.url}?timeout=0.4"))
        try:
            return await asyncio.gather(*(servers.ask(b"BLPOP", b"nothing", b"0.1") for _ in range(40)))
        finally:
            await servers.aclose()

    assert asyncio.run(ask_all()) == [None] * 40


def test_queue_ends_if_the_server_answers_nothing(own: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "AT_ONCE", 1)

    async def ask_all() -> tuple[list[Any], float]:
        servers = clients.Async(read_address(f"{own.url}?timeout=0.3"))
        began = time.monotonic()
        try:
            steps = (servers.ask(b"GET", b"nothing") for _ in range(20))
            return await asyncio.gather(*steps, return_exceptions=True), time.monotonic() - began
        finally:
            await servers.aclose()

    own.freeze()
    answers, seconds = asyncio.run(ask_all())
    own.thaw()
    assert all(isinstance(answer, clients.ERRORS) for answer in answers)
    # Not one time limit after the other.
    assert seconds < 3


def test_lost_reply_is_not_retried(own: RedisServer, made: Callable[[str], Any]) -> None:
    with Forwarder(own.port) as place:
        store = made(f"redis://{HOST}:{place.port}/0")
        order = opening()
        run(store.open(order, [], LIMITS, None))
        run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
        place.answers_to_lose = 1
        with pytest.raises(StoreError, match="cannot be reached"):
            run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
        found = run(store.get(order.id, None))
        assert found is not None
        assert found.attempts_left == 3, "taken once"


def test_connections_close_with_their_store(own: RedisServer) -> None:
    def visits() -> None:
        store = RedisStore.from_url(own.url)
        together(10, lambda _: one_login(store))

    with warnings.catch_warnings(record=True) as warned, own.client() as client:
        warnings.simplefilter("always")
        visits()
        gc.collect()
        until(lambda: client.info("clients")["connected_clients"] == 1, "the end of the store's connections")
    assert [str(warning.message) for warning in warned] == []


@pytest.mark.slow
def test_lost_cluster_reply_is_not_retried(nodes: list[RedisServer]) -> None:
    store = RedisStore.from_url(f"redis+cluster://{nodes[0].host}?timeout=0.3&prefix=test-{uuid.uuid4().hex}")
    order = opening()
    run(store.open(order, [], LIMITS, None))
    run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    for node in nodes:
        node.freeze()
    began = time.monotonic()
    with pytest.raises(StoreError):
        run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    assert time.monotonic() - began < 15
    for node in nodes:
        node.thaw()

    def found() -> Verification | None:
        with suppress(StoreError):
            return run(store.get(order.id, None))
        return None

    until(found, "the Cluster's recovery")
    assert (record := found()) is not None
    assert record.attempts_left in (3, 4)


class OutOfStep(RedisStore):
    """A store whose connection once returns the reply to the previous call."""

    late = False

    async def _ask(self, *command: bytes) -> Any:
        answer, last = await super()._ask(*command), vars(self).get("_last")
        self._last = answer
        return last if self.late else answer


def test_reply_to_another_call_is_refused(own: RedisServer) -> None:
    store = OutOfStep.from_url(own.url)
    first, second = opening(), opening()
    for order in (first, second):
        run(store.open(order, [], LIMITS, None))
    run(store.get(first.id, None))
    store.late = True
    for id in (second.id, first.id):
        with pytest.raises(StoreError, match="another call"):
            run(store.get(id, None))
    store.late = False
    found = run(store.get(second.id, None))
    assert found is not None
    assert found.id == second.id


def test_cancelled_call_leaves_no_answer_to_the_next(own: RedisServer) -> None:
    async def visit(store: AsyncRedisStore, id: str, patience: float) -> str | None:
        try:
            async with asyncio.timeout(patience):
                found = await store.get(id, None)
        except TimeoutError:
            return None
        assert found is not None
        assert found.id == id
        return id

    async def all_visits(place: Forwarder) -> list[str | None]:
        store = AsyncRedisStore.from_url(f"redis://{HOST}:{place.port}/0")
        orders = [opening() for _ in range(20)]
        for order in orders:
            await store.open(order, [], LIMITS, None)
        place.delay = 0.01
        drawn = random.Random(7)
        patience = [drawn.uniform(0.001, 0.06) if n % 2 else 30 for n in range(300)]
        visits = [visit(store, drawn.choice(orders).id, seconds) for seconds in patience]
        results = await asyncio.gather(*visits)
        place.delay = 0
        results += [await visit(store, order.id, 30) for order in orders]
        await store.aclose()
        return results

    with Forwarder(own.port) as place:
        results = asyncio.run(all_visits(place))
    assert results.count(None) > 20, "some were cancelled"
    assert len(results) - results.count(None) >= 170, "and no patient one"


def test_async_store_serves_one_loop_after_another(own: RedisServer) -> None:
    store = AsyncRedisStore.from_url(own.url)
    order = opening()

    async def start() -> object:
        try:
            return await store.open(order, [], LIMITS, None)
        finally:
            await store.aclose()

    async def look() -> Verification | None:
        try:
            return await store.get(order.id, None)
        finally:
            await store.aclose()

    asyncio.run(start())
    found = asyncio.run(look())
    assert found is not None
    assert found.id == order.id


def test_connections_end_with_their_event_loop(own: RedisServer) -> None:
    store = AsyncRedisStore.from_url(own.url)

    async def visits() -> None:
        await asyncio.gather(*(store.get("x" * 44, None) for _ in range(4)))

    with warnings.catch_warnings(record=True) as warned, own.client() as client:
        warnings.simplefilter("always")
        for _ in range(50):
            asyncio.run(visits())
            assert not store._servers._open
        gc.collect()
        until(lambda: len(client.client_list()) == 1, "the end of the loops' connections")
    assert [str(warning.message) for warning in warned] == []


# Python warns about every socket that such a loop leaves open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_closed_loops_are_dropped_without_a_shutdown(own: RedisServer) -> None:
    store = AsyncRedisStore.from_url(own.url)
    for _ in range(10):
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(store.get("x" * 44, None)) is None
        loop.close()
        assert list(store._servers._open) == [loop]
    del store, loop

    def all_gone() -> bool:
        gc.collect()
        with own.client() as client:
            return len(client.client_list()) == 1

    until(all_gone, "the end of the loops' connections")


def test_waiting_steps_survive_dropped_connections(own: RedisServer) -> None:
    async def visits(place: Forwarder) -> None:
        store = AsyncRedisStore.from_url(f"redis://{HOST}:{place.port}/0")
        await asyncio.gather(*(store.get("x" * 44, None) for _ in range(5)))
        place.delay = 0.02
        steps = [asyncio.create_task(store.get("x" * 44, None)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.gather(*(store.aclose() for _ in range(3)))
        for answer in await asyncio.gather(*steps, return_exceptions=True):
            assert answer is None or isinstance(answer, StoreError)
        assert await store.get("x" * 44, None) is None
        await store.aclose()

    with Forwarder(own.port) as place:
        asyncio.run(visits(place))


@pytest.mark.parametrize("known", [True, False], ids=["answer", "error"])
def test_interrupted_step_leaves_no_answer_to_the_next_one(own: RedisServer, known: bool) -> None:
    """An exception of a signal handler can come between a command and its answer."""
    store, quota = RedisStore.from_url(own.url), [Quota("total", 9)]
    run(store.count(quota, None))
    with own.client() as client, pytest.MonkeyPatch.context() as patch:
        if not known:
            client.script_flush()

        def interrupt(*_: object) -> None:
            raise TimeLimitError

        patch.setattr(redis.connection.AbstractConnection, "read_response", interrupt)
        with pytest.raises(TimeLimitError):
            run(store.count(quota, None))
    for _ in range(9 - 1 - known):
        assert isinstance(run(store.count(quota, None)), Counted)
    assert isinstance(run(store.count(quota, None)), Denied)


def test_connection_in_use_closes_after_its_step(own: RedisServer) -> None:
    async def visit(place: Forwarder) -> None:
        store = AsyncRedisStore.from_url(f"redis://{HOST}:{place.port}/0")
        assert await store.get("x" * 44, None) is None
        place.delay = 0.1
        step = asyncio.create_task(store.get("x" * 44, None))
        servers = await store._servers.here()
        while servers._free:
            await asyncio.sleep(0)
        await store.aclose()
        assert await step is None

    with warnings.catch_warnings(record=True) as warned, own.client() as client, Forwarder(own.port) as place:
        warnings.simplefilter("always")
        asyncio.run(visit(place))
        gc.collect()
        until(lambda: client.info("clients")["connected_clients"] == 1, "the end of the connection")
    assert [str(warning.message) for warning in warned] == []


def test_many_coroutines_share_few_connections(own: RedisServer) -> None:
    store = AsyncRedisStore.from_url(f"{own.url}?timeout=20")

    async def many() -> list[object]:
        windows = await asyncio.gather(*(store.count([Quota("total", 600)], None) for _ in range(1000)))
        with own.client() as client:
            assert client.info("clients")["connected_clients"] <= 60
        await store.aclose()
        return windows

    assert sum(not isinstance(windows, Denied) for windows in asyncio.run(many())) == 600


# Start-up.


def test_eviction_policy_that_drops_counters_warns_once(own: RedisServer, caplog: Any) -> None:
    with own.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "volatile-lru")
        for _ in range(2):
            store = RedisStore.from_url(own.url)
            assert caplog.text == "", "nothing is asked before the first step"
            one_login(store)
            one_login(store)
            warned = [record.getMessage() for record in caplog.records]
            assert len(warned) == 1
            assert "volatile-lru" in warned[0]
            assert [" ".join(fault) for fault in run(store.examine())] == warned
            caplog.clear()
        client.config_set("maxmemory-policy", "noeviction")
        assert run(RedisStore.from_url(own.url).examine()) == []
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "0")
        assert run(RedisStore.from_url(own.url).examine()) == [], "without a limit nothing is dropped"


@pytest.mark.slow
def test_every_node_of_a_cluster_is_examined(nodes: list[RedisServer]) -> None:
    store = RedisStore.from_url(f"redis+cluster://{nodes[0].host}")
    assert run(store.examine()) == []
    with nodes[2].client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-random")
        ((fault, _),) = run(store.examine())
        client.config_set("maxmemory", "0")
    assert "allkeys-random" in fault


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_process_opens_separate_connections(own: RedisServer) -> None:
    store = RedisStore.from_url(own.url)
    orders = [opening() for _ in range(2)]
    for order in orders:
        run(store.open(order, [], LIMITS, None))
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()

    def child(number: int) -> None:
        found = [run(store.get(orders[number % 2].id, None)) for _ in range(50)]
        answers.put({record.id for record in found if record} == {orders[number % 2].id})

    with store._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the lock is held, as another thread might hold it
        children = [context.Process(target=child, args=(number,)) for number in range(4)]
        for process in children:
            process.start()
    results = [answers.get() for _ in children]
    for process in children:
        process.join(60)
    assert results == [True] * 4
    assert run(store.get(orders[0].id, None)) is not None, "and the parent's still work"


@in_one_test
@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://host:port/0",
        "redis://user:hunter2@host:99999/0",
        "redis://user:hunter2@host:0/0",
        "redis://host/zero",
        "redis://host/-1",
        "redis://ho st/0",
        "redis://one:6379,two:6379/0",
        "redis://user:hunter2@host/0?colour=red",
        "redis://host?timeout=soon",
        "redis://host?timeout=0",
        "redis://host?timeout=nan",
        "redis://host?prefix={x}",
        "redis://host?prefix=",
        "redis://host?ssl_ca_certs=/etc/hosts",
        "rediss://host?ssl_ca_certs=/nowhere/hunter2.pem",
        "rediss://host?ssl_cert_reqs=none",
        "redis+sentinel://host:26379",
        "redis+sentinel://host:26379/",
        "redis+cluster://host:6379/1",
        "redis+cluster://host:6379,/0",
        "redis+cluster://host?sentinel_password=hunter2",
        "redis+unix://host",
        "redis:host",
    ],
)
def test_invalid_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_STORE") as raised:
        RedisStore.from_url(url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://[::1]:6379/3",
        "rediss://user:hunter2@host",
        "redis+sentinel://:hunter2@a,b:26380,[::1]/phones/2?sentinel_username=u&sentinel_password=hunter2",
        "rediss+sentinel://a/phones",
        "redis+cluster://a:1,b:2",
        "rediss+cluster://user:hunter2@a:1/0",
    ],
)
def test_store_is_opened_by_its_url_without_connecting(url: str) -> None:
    store = open_store(url, {})
    assert isinstance(store, RedisStore)
    assert "hunter2" not in f"{store!r}{store._address!r}"


def test_records_must_be_kept_as_long_as_their_proofs() -> None:
    with pytest.raises(ConfigurationError, match="keep"):
        RedisStore.from_url("redis://localhost", keep=timedelta(seconds=299))


def test_missing_redis_py_is_named_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "phone_verify.stores.redis")
    with pytest.raises(ConfigurationError, match=r"phone-verify\[redis\]"):
        importlib.import_module("phone_verify.stores.redis")
