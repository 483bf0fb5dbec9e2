"""Connections to SQL servers lost during a step: it is done or not done, and the next one works."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from phone_verify.errors import StoreError
from phone_verify.lifecycle import Spent
from phone_verify.limits import Quota
from phone_verify.model import Channel, IncomingCall, Status, Verification
from phone_verify.stores.rows import texts, verbs
from phone_verify.stores.sql import SqlStore, metadata
from phone_verify.stores.sql import engine as sql_engine
from phone_verify.stores.sql.schema import upgrade
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.stores import (
    BINDING,
    CALL,
    LIMITS,
    LINE,
    NO_DELAY,
    NOBODY,
    PHONE,
    REMOTE,
    RIGHT,
    WRONG,
    attachment,
    opening,
    run,
)
from tests.stores import servers
from tests.stores.modes import always_locked

NEW = opening(shown=[BINDING])
CODE, CLAIM, FAR = opening(), opening(plan=CALL), opening(plan=REMOTE)
CALLED = attachment(CLAIM, line=LINE, reference="ref")
SHARED = [Quota("total", 9), Quota("address:1", 9)]
OWN = [Quota("sends:p", 9)]


def prepare(store: SqlStore, clock: ManualClock) -> None:
    """Bring the store to a state in which each of the verbs has an effect."""
    run(store.count(SHARED, clock()))
    for order in (CODE, CLAIM, FAR):
        run(store.open(order, OWN, LIMITS, clock()))
    run(store.spend(CODE.id, BINDING, [WRONG], 6, LIMITS, NOBODY, clock()))


def after_attach(store: SqlStore, clock: ManualClock) -> None:
    run(store.attach(CLAIM.id, CALLED, clock()))


def after_success(store: SqlStore, clock: ManualClock) -> None:
    run(store.spend(CODE.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock()))


def nothing(store: SqlStore, clock: ManualClock) -> None:
    pass


#: The preparation, and the verb.
VERBS: dict[str, tuple[Callable[[SqlStore, ManualClock], None], Callable[[SqlStore, ManualClock], Any]]] = {
    "count": (nothing, lambda store, clock: run(store.count(SHARED, clock()))),
    "count anew": (nothing, lambda store, clock: run(store.count([Quota("new", 9)], clock()))),
    "uncount": (nothing, lambda store, clock: run(store.uncount(SHARED[:1], [clock() + SHARED[0].window], clock()))),
    "open": (nothing, lambda store, clock: run(store.open(NEW, OWN, LIMITS, clock()))),
    "attach": (nothing, lambda store, clock: run(store.attach(CLAIM.id, CALLED, clock()))),
    "spend wrong": (
        nothing,
        lambda store, clock: run(store.spend(CODE.id, BINDING, [WRONG], 6, LIMITS, NOBODY, clock())),
    ),
    "spend right": (
        nothing,
        lambda store, clock: run(store.spend(CODE.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, clock())),
    ),
    "reopen": (
        lambda store, clock: clock.move(60),
        lambda store, clock: run(store.reopen(CODE.id, BINDING, Channel.SMS, False, OWN, LIMITS, NO_DELAY, clock())),
    ),
    "settle": (nothing, lambda store, clock: run(store.settle(FAR.id, Status.VERIFIED, clock()))),
    "resolve_check": (nothing, lambda store, clock: run(store.resolve_check(FAR.id, True, 1, NOBODY, clock()))),
    "claim": (
        after_attach,
        lambda store, clock: run(store.claim("fake", CLAIM.tag, IncomingCall("ref", LINE, PHONE), clock())),
    ),
    "may_poll": (after_attach, lambda store, clock: run(store.may_poll(CLAIM.id, BINDING, clock()))),
    "redeem": (after_success, lambda store, clock: run(store.redeem(CODE.id, BINDING, "", clock()))),
}


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    with servers.database(request.param) as url:
        upgrade(url)
        yield url


@pytest.fixture(params=["alone", pytest.param("held", marks=pytest.mark.slow)])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Steps are first attempted optimistically, or run only in a transaction, as after a concurrent step."""
    if request.param == "held":
        monkeypatch.setattr(verbs, "Mode", always_locked())
    return str(request.param)


def kept(url: str) -> list[Any]:
    """Return all stored data except row versions."""
    tables = (
        servers.execute(url, f"SELECT {', '.join(c.name for c in table.c if c.name != 'version')} FROM {table.name}")
        for table in metadata.sorted_tables
    )
    return [sorted(map(repr, rows)) for rows in tables]


class Harness:
    """A store that can be set to the state just before a verb any number of times."""

    def __init__(self, url: str, verb: str, through: str | None = None) -> None:
        self._url = url
        self.store = SqlStore.from_url(through or url, create_tables=False)
        self._before, self._verb = VERBS[verb]
        self._verb(self.store, self.prepare())
        self._done = kept(url)
        self.prepare()
        assert self._done != self._undone, "the verb does something"

    def prepare(self) -> ManualClock:
        """Set the store to that state, and return its clock."""
        clock = ManualClock()
        servers.execute(self._url, *(f"DELETE FROM {table}" for table in metadata.tables))
        prepare(self.store, clock)
        self._before(self.store, clock)
        self._undone = kept(self._url)
        return clock

    def check(self, clock: ManualClock) -> bool:
        """Run the verb, which is disturbed: done if it says so, and never half or twice. True if it succeeded."""
        try:
            self._verb(self.store, clock)
        except StoreError:
            assert kept(self._url) in (self._undone, self._done)
            return False
        assert kept(self._url) == self._done
        return True

    def go_on(self, clock: ManualClock) -> None:
        """Assert that the next step works."""
        assert isinstance(run(self.store.open(opening(), [], LIMITS, clock())), Verification)


class Killer:
    """Kill the server's side of a connection just before a statement is sent over it."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._url = url
        self._left: int | None = None
        send = texts.Prepared.__call__

        def call(prepared: texts.Prepared, cursor: Any, *mapping: Any, **values: Any) -> Any:
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    self._left = None
                    self.kill(cursor.connection)
            return send(prepared, cursor, *mapping, **values)

        monkeypatch.setattr(texts.Prepared, "__call__", call)

    def before(self, number: int) -> None:
        self._left = number

    @property
    def done(self) -> bool:
        """Return whether it has killed, or was disabled."""
        killed, self._left = self._left is None, None
        return killed

    def kill(self, connection: Any) -> None:
        postgresql = self._url.startswith("postgresql")
        servers.end(self._url, connection.info.backend_pid if postgresql else connection.thread_id())


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_dropped_connection_is_all_or_nothing(
    database: str, verb: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = Harness(database, verb)
    killer = Killer(database, monkeypatch)
    for number in itertools.count(1):
        clock = harness.prepare()
        killer.before(number)
        well = harness.check(clock)
        if not killer.done:
            assert well
            assert number > 1
            return
        harness.go_on(clock)


@pytest.mark.parametrize("verb", VERBS)
def test_lost_reply_is_all_or_nothing(database: str, verb: str, way: str) -> None:
    url = sa.make_url(database)
    wire = servers.Wire(url.port or 0)
    harness = Harness(database, verb, url.set(port=wire.port).render_as_string(hide_password=False))
    ends = []
    for number in itertools.count():
        clock = harness.prepare()
        wire.answers = number
        ends.append(harness.check(clock))
        if wire.answers is not None:
            break
        harness.go_on(clock)
    wire.close()
    assert ends[-1]
    assert False in ends, "the answer to the commit was lost, and it did not pretend to know"


def test_dead_idle_connection_goes_unnoticed(database: str, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    killer = Killer(database, monkeypatch)
    for verb in VERBS:
        harness = Harness(database, verb)
        clock = harness.prepare()
        connection = harness.store._transactions.engine.raw_connection()
        killer.kill(connection.dbapi_connection)
        connection.close()
        assert harness.check(clock), verb


@pytest.mark.slow
@pytest.mark.parametrize("kind", servers.PARAMETERS)
def test_store_survives_server_restart_freeze_and_death(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_engine, "WAIT", 1)
    with servers.private(kind) as server:
        store, order = SqlStore.from_url(server.url), opening()
        assert isinstance(run(store.open(order, OWN, LIMITS, None)), Verification)
        server.stop()
        server.start()
        assert isinstance(run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None)), Spent), (
            "goes unnoticed"
        )
        server.freeze()
        begun = time.monotonic()
        with pytest.raises(StoreError):
            run(store.spend(order.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
        assert time.monotonic() - begun < 10
        server.wake()
        assert isinstance(run(store.spend(order.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None)), Spent)
        server.stop()
        with pytest.raises(StoreError) as raised:
            run(store.get(order.id, None))
        assert raised.value.__cause__ is None
        assert str(server.port) not in str(raised.value)
