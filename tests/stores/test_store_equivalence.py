"""Every store compared with the memory store: the same calls in any order with a manual clock give the same results."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from phone_verify.lifecycle import Opening
from phone_verify.limits import Counted, Denied, Limits, Quota
from phone_verify.model import Channel, CodeSource, IncomingCall, Status, Verification
from phone_verify.phone import PhoneNumber
from phone_verify.stores.base import RETENTION, CountsAndOpens, Reservation, Store
from phone_verify.stores.memory import MemoryStore
from phone_verify.stores.redis import RedisStore
from phone_verify.stores.rows.verbs import RowStore
from phone_verify.stores.sql import SqlStore
from phone_verify.stores.sql.schema import upgrade
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.stores import (
    CALL,
    KEYRING,
    NOBODY,
    OURS,
    REMOTE,
    RIGHT,
    ROUNDS,
    SHORT,
    TOLD,
    WRONG,
    attachment,
    opening,
    reservation,
    run,
)
from tests.django_adapter import databases
from tests.one_step import count_and_open, count_then_open
from tests.stores import servers
from tests.stores.redis_servers import RedisServer, running

PLANS = [
    OURS,
    SHORT,
    TOLD,
    REMOTE,
    CALL,
    replace(CALL, ttl=timedelta(seconds=61)),
    replace(REMOTE, attempts=1, code_length=None),
]
#: For drawing: hypothesis shrinks towards the first.
phones = st.sampled_from([PhoneNumber("+989120000001"), PhoneNumber("+79160000002")])
lines = st.sampled_from([None, PhoneNumber("+74950000003"), PhoneNumber("+74950000004"), PhoneNumber("+74950000005")])
two_lines = st.sampled_from([PhoneNumber("+74950000003"), PhoneNumber("+74950000004")])
bindings = st.sampled_from([b"a" * 32, b"b" * 32, b"c" * 32])
#: Mostly the browser that started.
others = st.sampled_from([None, None, None, b"a" * 32])
shown = st.lists(bindings, max_size=2, unique=True)
digests = st.sampled_from([[WRONG], [RIGHT], [WRONG, RIGHT], []])
references = st.sampled_from([None, "ref", "REF", "", "\\0"])
limits = st.builds(Limits, st.sampled_from([20, 3, 1]), st.sampled_from([10, 2]))
quotas = st.lists(
    st.builds(Quota, st.sampled_from(["sends", "others"]), st.integers(1, 4), st.just(timedelta(minutes=10))),
    max_size=2,
    unique_by=lambda quota: quota.key,
)
shared = st.lists(
    st.builds(Quota, st.sampled_from(["total", "address:a", "address:b"]), st.integers(1, 5)),
    max_size=3,
    unique_by=lambda quota: quota.key,
)
#: Around every time limit: polls, resends, a line's rest, TTLs, proofs, windows, failures.
moves = st.sampled_from(
    [0.000001, 1, 2.999999, 3, 30, 59.999999, 60, 61, 119, 120, 179, 180, 240, 300, 600, 1801, 3600]
)


def digest_of(plan: Any) -> bytes | None:
    """Return what is stored of the code under this plan."""
    return RIGHT if plan.code_source in (CodeSource.LOCAL, CodeSource.PROVIDER) else None


def channel_of(plan: Any) -> Channel:
    """Return the channel of an order under this plan."""
    return Channel.INBOUND_CALL if plan.code_source is CodeSource.NONE else Channel.SMS


class SideBySide(RuleBasedStateMachine):
    """The memory store and another one, with one clock."""

    #: Returns the other store, empty.
    emptied: Callable[[], Store]

    @initialize()
    def stores_are_empty(self) -> None:
        self.began = datetime(2030, 1, 1, 12, 34, 56, 789013, tzinfo=UTC)
        self.clock = ManualClock(self.began)
        self.memory, self.other = MemoryStore(), type(self).emptied()
        self.windows: list[tuple[Any, Any]] = []
        self.ids: list[str] = []

    def teardown(self) -> None:
        for id in getattr(self, "ids", ()):
            self.same("get", id)

    def same(self, verb: str, *arguments: Any, **named: Any) -> Any:
        """Call it on both stores; return their common result."""
        told, other = (
            run(getattr(store, verb)(*arguments, self.clock(), **named)) for store in (self.memory, self.other)
        )
        assert comparable(verb, other) == comparable(verb, told), verb
        return told


class Steps(SideBySide):
    """The steps of several phones, browsers and webhooks."""

    orders = Bundle("orders")

    @rule(seconds=moves)
    def time_goes_by(self, seconds: float) -> None:
        # Ended records are purged at each store's own time; within a day none is.
        if self.clock() - self.began + timedelta(seconds=seconds) < RETENTION:
            self.clock.move(seconds)

    @rule(
        target=orders,
        phone=phones,
        plan=st.sampled_from(PLANS),
        binding=bindings,
        shown=shown,
        purpose=st.sampled_from(["login", "signup"]),
        service=st.sampled_from(["default", "shop"]),
        driver=st.sampled_from(["fake", "other"]),
        short=st.booleans(),
        trusted=st.booleans(),
        quotas=quotas,
        limits=limits,
    )
    def open(self, phone: PhoneNumber, quotas: list[Quota], limits: Limits, **changes: Any) -> Opening:
        order = opening(phone, **changes)
        self.same("open", order, quotas, limits)
        self.ids.append(order.id)
        return order

    @rule(target=orders, plan=st.sampled_from(PLANS), binding=bindings, line=lines, reference=references)
    def start(self, plan: Any, binding: bytes, **changes: Any) -> Opening:
        order = opening(plan=plan, binding=binding)
        self.same("open", order, [], Limits(20))
        self.ids.append(order.id)
        self.same("attach", order.id, attachment(order, code_digest=digest_of(plan), **changes))
        return order

    @rule(
        order=orders,
        plan=st.sampled_from(PLANS),
        status=st.sampled_from([Status.SENT, Status.PENDING]),
        generation=st.integers(1, 3),
        sends=st.integers(1, 3),
        line=lines,
        reference=references,
        shown=shown,
    )
    def attach(self, order: Opening, plan: Any, **changes: Any) -> None:
        length = 4 if plan is TOLD else plan.code_length
        receipt = attachment(order, plan=plan, code_digest=digest_of(plan), code_length=length, **changes)
        self.same("attach", order.id, replace(receipt, channel=channel_of(plan)))

    @rule(
        order=orders, other=others, digests=digests, length=st.sampled_from([None, None, None, 6, 4, 0]), limits=limits
    )
    def spend(self, order: Opening, other: Any, digests: list[bytes], length: int | None, limits: Limits) -> None:
        right_length = order.plan.code_length or 4
        self.same(
            "spend",
            order.id,
            other or order.request.binding,
            digests,
            right_length if length is None else length,
            limits,
            NOBODY,
        )

    @rule(order=orders, count=st.integers(2, 6), limits=limits)
    def guess(self, order: Opening, count: int, limits: Limits) -> None:
        for _ in range(count):
            self.same("spend", order.id, order.request.binding, [WRONG], order.plan.code_length or 4, limits, NOBODY)

    @rule(
        order=orders,
        channel=st.sampled_from([Channel.SMS, Channel.SMS, Channel.INBOUND_CALL]),
        short=st.booleans(),
        quotas=quotas,
        limits=limits,
        resend_after=st.sampled_from([timedelta(0), timedelta(seconds=60), timedelta(seconds=600)]),
    )
    def reopen(
        self,
        order: Opening,
        channel: Channel,
        short: bool,
        quotas: list[Quota],
        limits: Limits,
        resend_after: timedelta,
    ) -> None:
        self.same("reopen", order.id, order.request.binding, channel, short, quotas, limits, resend_after)

    @rule(
        order=orders,
        status=st.sampled_from([Status.VERIFIED, Status.CANCELLED, Status.FAILED, Status.PENDING]),
        generation=st.sampled_from([None, 1, 2]),
    )
    def settle(self, order: Opening, status: Status, generation: int | None) -> None:
        self.same("settle", order.id, status, generation=generation)

    @rule(order=orders, right=st.sampled_from([True, False, False, None]), generation=st.sampled_from([1, 1, 2]))
    def judge(self, order: Opening, right: bool | None, generation: int) -> None:
        self.same("resolve_check", order.id, right, generation, NOBODY)

    @rule(order=orders, caller=st.one_of(st.none(), phones), line=lines, reference=references, right=st.booleans())
    def claim(self, order: Opening, caller: Any, line: Any, reference: str | None, right: bool) -> None:
        event = IncomingCall(reference, line, order.request.phone if right else caller)
        self.same("claim", order.driver, order.tag, event)

    @rule(order=orders, driver=st.sampled_from(["fake", "other"]), reference=references.filter(bool))
    def find(self, order: Opening, driver: str, reference: str) -> None:
        self.same("find", driver, order.tag, reference)

    @rule(order=orders)
    def get(self, order: Opening) -> None:
        self.same("get", order.id)

    @rule(order=orders, surely=st.sampled_from([False, False, False, True]))
    def erase(self, order: Opening, surely: bool) -> None:
        if surely:
            self.same("erase", order.tag)

    @rule(order=orders, other=others, webhook=st.booleans())
    def may_poll(self, order: Opening, other: bytes | None, webhook: bool) -> None:
        self.same("may_poll", order.id, None if webhook else other or order.request.binding)

    @rule(order=orders, other=others)
    def redeem(self, order: Opening, other: bytes | None) -> None:
        self.same("redeem", order.id, other or order.request.binding, "")

    @rule(quotas=shared)
    def count(self, quotas: list[Quota]) -> None:
        counted = self.same("count", quotas)
        if isinstance(counted, Counted):
            self.windows.append((quotas, counted.windows))

    @rule(
        target=orders,
        shared=shared,
        phone=phones,
        plan=st.sampled_from(PLANS),
        binding=bindings,
        shown=shown,
        short=st.booleans(),
        quotas=quotas,
        limits=limits,
        per_day=st.sampled_from([100, 1, 0]),
    )
    def count_and_open(
        self, shared: list[Quota], phone: PhoneNumber, quotas: list[Quota], limits: Limits, per_day: int, **changes: Any
    ) -> Opening:
        order = opening(phone, **changes)
        limits = replace(limits, short_per_day=per_day, long_per_day=2 * per_day)
        arguments = (shared, order, quotas, limits, self.clock())
        # The stores on servers with SQL take two transactions.
        in_two = isinstance(self.other, RowStore) and not self.other._writes.one_writer
        steps = count_then_open if in_two else count_and_open
        told = run(steps(self.memory, *arguments))
        if isinstance(self.other, CountsAndOpens):
            assert run(self.other.count_and_open(*arguments)) == told
        else:
            assert run(count_and_open(self.other, *arguments)) == told
        self.ids.append(order.id)
        if not isinstance(told, Denied):
            self.windows.append((shared, told[0].windows))
        return order

    @rule(data=st.data())
    def uncount(self, data: st.DataObject) -> None:
        if self.windows:
            self.same("uncount", *data.draw(st.sampled_from(self.windows)))


class Lines(SideBySide):
    """One phone and two lines, which browsers get, release and are refused."""

    orders = Bundle("orders")

    @rule(
        target=orders,
        plan=st.sampled_from([CALL, OURS, replace(CALL, ttl=timedelta(seconds=61))]),
        binding=bindings,
        line=two_lines,
        shown=shown,
        seconds=st.sampled_from([0, 0.000001, 1, 30, 59.999999, 60]),
    )
    def begin(self, plan: Any, binding: bytes, line: Any, shown: list[bytes], seconds: float) -> Opening:
        self.clock.move(seconds)
        order = opening(plan=plan, binding=binding)
        self.same("open", order, [], Limits(20))
        self.ids.append(order.id)
        self.same("attach", order.id, attachment(order, line=line, shown=shown))
        return order

    @rule(
        order=orders,
        plan=st.sampled_from([CALL, OURS]),
        sends=st.integers(1, 3),
        line=st.one_of(two_lines, st.none()),
        shown=shown,
        leased=st.booleans(),
        seconds=st.sampled_from([0, 1, 59.999999, 60]),
    )
    def attach(self, order: Opening, plan: Any, seconds: float, **changes: Any) -> None:
        self.clock.move(seconds)
        self.same("attach", order.id, attachment(order, plan=plan, channel=channel_of(plan), **changes))

    @rule(order=orders, status=st.sampled_from([Status.VERIFIED, Status.CANCELLED]))
    def settle(self, order: Opening, status: Status) -> None:
        self.same("settle", order.id, status)

    @rule(order=orders, line=two_lines, reference=st.sampled_from([None, "ref"]))
    def claim(self, order: Opening, line: Any, reference: str | None) -> None:
        self.same("claim", order.driver, order.tag, IncomingCall(reference, line, order.request.phone))

    @rule(plan=st.just(CALL))
    def many_lines_in_a_minute(self, plan: Any) -> None:
        order = opening(plan=plan)
        self.same("open", order, [], Limits(20))
        for n in range(8):
            self.same("attach", order.id, attachment(order, line=PhoneNumber(f"+7495000001{n}")))
            self.clock.move(8)


class Places(SideBySide):
    """Requests with idempotency keys of two clients, some of which crash."""

    reservations = Bundle("reservations")

    @initialize()
    def no_secret_was_drawn(self) -> None:
        self.secrets = 0

    @rule(
        target=reservations,
        holder=st.sampled_from("abcdef"),
        key=st.sampled_from(["key", "KEY"]),
        clients=st.lists(st.sampled_from(["cookies", "address", "secret"]), min_size=1, max_size=3, unique=True),
        request=st.sampled_from(["start", "resend"]),
        seconds=st.sampled_from([0, 0, 1, 20, 59.999999, 60]),
        lasts=st.sampled_from([60, 60, 20, 900]),
    )
    def reserve(
        self, holder: str, key: str, clients: list[str], request: str, seconds: float, lasts: int
    ) -> Reservation:
        self.clock.move(seconds)
        wanted = replace(reservation(holder, *clients, key=key, request=request), lasts=timedelta(seconds=lasts))
        self.same("reserve", wanted)
        return wanted

    @rule(wanted=reservations, also=st.booleans(), seconds=st.sampled_from([0, 1, 60, 540, 599.999999, 600]))
    def keep(self, wanted: Reservation, also: bool, seconds: float) -> None:
        self.secrets += also
        secret = KEYRING.place("key", f"secret {self.secrets}") if also else None
        self.same("keep_response", wanted, f"sealed by {wanted.holder}", secret)
        self.clock.move(seconds)

    @rule(key=st.sampled_from(["key", "KEY"]))
    def look(self, key: str) -> None:
        self.same("places", [KEYRING.place(key, client) for client in ("cookies", "address", "secret")])

    @rule()
    def come_back(self) -> None:
        self.same("reserve", reservation("z", f"secret {self.secrets}"))

    @rule(wanted=reservations)
    def release(self, wanted: Reservation) -> None:
        self.same("release", wanted)

    @rule(wanted=reservations, surely=st.sampled_from([False, False, True]))
    def erase(self, wanted: Reservation, surely: bool) -> None:
        # A place without a response may stay where a server finds places by their responses.
        if surely and all(taken.place.response for taken in self.memory._places.values()):
            self.same("erase", wanted.tag)


class Conversions(SideBySide):
    """Conversions of two routes."""

    @rule(
        route=st.sampled_from(["a:IR:sms", "A:IR:sms"]),
        sent=st.integers(0, 3),
        verified=st.integers(0, 2),
        seconds=st.sampled_from([0, 0.000001, 12, 3600, 86400, 604800, -60]),
    )
    def add(self, route: str, sent: int, verified: int, seconds: float) -> None:
        self.same("add_conversion", route, sent, verified)
        self.clock.move(seconds)

    @rule()
    def read(self) -> None:
        self.same("conversions", ["A:IR:sms", "none", "a:IR:sms"])


def comparable(verb: str, answer: Any) -> Any:
    """Return the result without the failures of a record where they are unused: there stores may differ."""
    if isinstance(answer, Verification):
        return answer if verb in ("get", "open", "reopen") else replace(answer, failures=0)
    if verb == "conversions":
        return [(round(each.sent, 6), round(each.verified, 6), each.at) for each in answer]
    if isinstance(answer, Denied) and answer.record is not None:
        return replace(answer, record=replace(answer.record, failures=0))
    return answer


#: After everything that a run writes has expired.
LATER = datetime(2040, 1, 1, tzinfo=UTC)

#: The number of examples of lines for each store in a round, and a third of the number of steps: a call takes a
#: tenth of a millisecond on Redis, and ten through an ORM.
EXAMPLES = {
    "redis": 20,
    "sqlite": 16,
    "postgresql": 8,
    "mysql": 6,
    "orm on sqlite": 6,
    "orm on postgresql": 4,
    "orm on mysql": 3,
}


def swept(store: Store) -> Store:
    """The store after all its content has expired and was purged."""
    while run(store.purge(10_000, LATER)):
        pass
    return store


def of_sql(url: str) -> Callable[[], Store]:
    upgrade(url)
    store = SqlStore.from_url(url)
    return lambda: swept(store)


def of_django(given: dict[str, Any], stack: ExitStack, blocker: Any) -> Callable[[], Store]:
    databases.configure()
    from phone_verify_django.store import OrmStore

    store = OrmStore(using=stack.enter_context(databases.registered("model", given, blocker)))
    databases.make_tables("model")
    return lambda: swept(store)


@pytest.fixture(scope="module", params=EXAMPLES)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of a store."""
    return str(request.param)


@pytest.fixture(scope="module")
def emptied(
    kind: str, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Callable[[], Store]]:
    """Return a function that creates this store, empty."""
    folder, database = tmp_path_factory.mktemp("model"), kind.removeprefix("orm on ")
    with ExitStack() as stack:
        if kind == "redis":
            url = stack.enter_context(running(RedisServer(folder))).url
            yield lambda: RedisStore.from_url(f"{url}?timeout=20&prefix=test-{uuid.uuid4().hex}")
        elif kind == "sqlite":
            yield of_sql(f"sqlite:///{folder}/store.sqlite3")
        elif kind == "orm on sqlite":
            engine = "django.db.backends.sqlite3"
            given = {"ENGINE": engine, "NAME": folder / "site.sqlite3", "OPTIONS": databases.WRITE_AHEAD}
            yield of_django(given, stack, django_db_blocker)
        else:
            url = stack.enter_context(servers.database(database))
            yield of_sql(url) if kind == database else of_django(databases.settings_of(url), stack, django_db_blocker)


@pytest.mark.fuzz
@pytest.mark.parametrize(("steps", "times"), [(Steps, 3), (Lines, 1), (Places, 1), (Conversions, 1)])
def test_every_store_behaves_like_memory(
    kind: str, emptied: Callable[[], Store], steps: type[SideBySide], times: int
) -> None:
    machine = type(steps.__name__, (steps,), {"emptied": staticmethod(emptied)})
    some = settings(
        max_examples=EXAMPLES[kind] * times * ROUNDS,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=some)
