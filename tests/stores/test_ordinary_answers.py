"""The statement for ordinary answers does what `lifecycle.spend` does in a transaction, on both stores of PostgreSQL.

Each drawn state is answered twice, by the statement and in a transaction, with equal results and equal rows.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phone_verify.lifecycle import AttemptResult, Spent
from phone_verify.limits import FOREVER, Answering, DenialReason, Limits, TallyChange, Window
from phone_verify.model import CLOCK_SLACK, CodeSource, Failures, Status, Verification, with_changes
from phone_verify.phone import PhoneNumber
from phone_verify.planning import Plan
from phone_verify.policy import SHORT_REST, TALLIED_PER_ADDRESS
from phone_verify.purposes import Budget
from phone_verify.stores.rows import verbs
from phone_verify.stores.rows.answers import ordinary_spent, ordinary_values, spend_text
from phone_verify.stores.rows.transactions import Mode, Transaction
from phone_verify.stores.rows.values import Phone, stored_fields, tally_rows, time_of
from phone_verify.stores.rows.writes import STORED, UNSET
from phone_verify.testing.stores import BINDING, LIMITS, OURS, RIGHT, ROUNDS, WRONG, opening, run
from tests.stores import processes

NOW = datetime(2030, 1, 1, 12, 59, 59, 999999, tzinfo=UTC)
ADDRESS = "wrong:192.0.2.1"
SMALLEST, DAY = timedelta(microseconds=1), timedelta(days=1)
TYPICAL = opening().record(NOW - timedelta(seconds=9))
COUNTER = {
    "postgresql": "phone_verify_counter",
    "orm on postgresql": "phone_verify_django_counterrow",
    "orm on postgresql without functions": "phone_verify_django_counterrow",
}


@dataclass(frozen=True)
class State:
    """What a store holds before the answer, and the answer."""

    record: Verification = TYPICAL
    failures: Failures | None = None
    #: The failures' key: that of the record, or another one.
    key: str = ""
    #: The wrong answers of the address and of the site, to short codes.
    address: Window | None = None
    short: int = 0
    #: How long before the answer the site's wrong answers were given.
    before: timedelta = timedelta(0)
    binding: bytes = BINDING
    digests: Sequence[bytes] = (RIGHT,)
    length: int = 6
    limits: Limits = LIMITS
    answering: Answering = field(default_factory=lambda: Answering(ADDRESS))
    now: datetime = NOW


def near(wait: timedelta) -> st.SearchStrategy[timedelta]:
    """Draw a wait at a limit."""
    return st.sampled_from([wait - SMALLEST, wait, wait + SMALLEST])


#: Each draws a value that makes an answer unusual, or is at a limit.
UNUSUAL: dict[str, st.SearchStrategy[Any]] = {
    "now": st.sampled_from([NOW + SMALLEST, NOW + timedelta(minutes=31)]),
    "trusted": st.just(True),
    "budget": st.sampled_from(["", *(budget.value for budget in Budget)]),
    "status": st.sampled_from(Status),
    "code_source": st.sampled_from(CodeSource),
    "code_digest": st.none(),
    "code_length": st.none(),
    "attempts_left": st.integers(0, 2),
    "created_at": near(timedelta(seconds=5)),
    "expires_at": near(timedelta(0)),
    "mistakes": st.integers(1, 2),
    "failures": st.tuples(
        st.sampled_from([1, 3, 4, 5, 9, 10, 20]),
        near(DAY) | near(timedelta(0)),
        st.sampled_from([0, 1]),
        st.none() | near(DAY) | near(timedelta(0)) | st.just(-DAY),
    ),
    "key": st.just("another"),
    "binding": st.just(b"x" * 32),
    "length": st.sampled_from([0, 5]),
    "address": st.builds(lambda count, ends: (count, ends), st.integers(0, 4), near(timedelta(0)) | near(DAY)),
    "short_answers": st.integers(0, 4),
    "max_failures": st.sampled_from([1, 2, 4, 5, 6, 11]),
    "ceiling": st.sampled_from([1, 2, 4, 5, 6]),
    "per_address": st.integers(1, 3),
    "short_per_day": st.integers(0, 3),
    "rights": st.just(50),
}


@st.composite
def states(draw: st.DrawFn) -> State:
    """Draw a state with a few unusual values: most combinations are never ordinary."""
    unusual = draw(st.sets(st.sampled_from(sorted(UNUSUAL)), max_size=3))

    def pick(name: str, usual: Any) -> Any:
        return draw(UNUSUAL[name]) if name in unusual else usual

    now = pick("now", NOW)
    length = draw(st.sampled_from([6, 4, 8]))
    mistakes = pick("mistakes", 0)
    record = replace(
        TYPICAL,
        request=replace(
            TYPICAL.request,
            service=draw(st.sampled_from(["default", "shop"])),
            purpose=draw(st.sampled_from(["login", "confirm"])),
            trusted=pick("trusted", False),
            budget=pick("budget", draw(st.sampled_from(["sign_in", "signed_in", "second_factor"]))),
        ),
        status=pick("status", draw(st.sampled_from([Status.PENDING, Status.SENT]))),
        code_source=pick("code_source", CodeSource.LOCAL),
        code_digest=pick("code_digest", RIGHT),
        code_length=pick("code_length", length),
        short=draw(st.booleans()),
        attempts_left=pick("attempts_left", 5),
        created_at=now + pick("created_at", timedelta(seconds=-9)),
        expires_at=now + pick("expires_at", timedelta(seconds=60)),
        mistakes=mistakes,
        tallied_short=draw(st.integers(0, mistakes)),
    )
    count, ends, locks, until = pick("failures", (0, DAY, 0, None))
    failed = Failures(count, now - SMALLEST, now + ends, count, locks, None if until is None else now + until)
    counted, address_ends = pick("address", (0, DAY))
    return State(
        record,
        failures=failed if count else None,
        key=pick("key", record.failure_key),
        address=Window(counted, now + address_ends) if "address" in unusual else None,
        short=pick("short_answers", 0),
        binding=pick("binding", BINDING),
        digests=draw(st.sampled_from([(RIGHT,), (WRONG,), (WRONG, RIGHT), ()])),
        length=pick("length", length),
        limits=Limits(
            pick("max_failures", 20),
            ceiling=pick("ceiling", 0),
            per_address=pick("per_address", 30),
            short_per_day=pick("short_per_day", 100),
        ),
        answering=Answering(draw(st.sampled_from([ADDRESS, None])), pick("rights", 0)),
        now=now,
    )


class Place:
    """An empty store, with the states that a test puts there."""

    def __init__(self, store: Any, counter: str, thread_done: Callable[[], None]) -> None:
        self.store, self.thread_done = store, thread_done
        self._counter = counter
        #: How many answers were ordinary, by result.
        self.ordinary: dict[AttemptResult, int] = dict.fromkeys(AttemptResult, 0)

    def answered(self, state: State, patch: pytest.MonkeyPatch, *, ordinary: bool) -> tuple[Any, Any]:
        """Return the result of an answer to this state, and the rows that it leaves."""
        self._in_a_step(lambda tx: self._put(tx, state), state)
        with patch.context() as patched:
            patched.setattr(verbs, "ordinary_spent", self.counted)
            if not ordinary:
                patched.setattr(verbs, "may_be_ordinary", lambda *_: False)
            record = state.record
            result = run(
                self.store.spend(
                    record.id, state.binding, state.digests, state.length, state.limits, state.answering, state.now
                )
            )
        return result, self._in_a_step(lambda tx: self._rows(tx, state), state)

    def counted(self, *arguments: Any) -> Spent:
        """Count an ordinary answer, in place of `ordinary_spent`."""
        spent = ordinary_spent(*arguments)
        self.ordinary[spent.answer] += 1
        return spent

    def _in_a_step(self, step: Any, state: State) -> Any:
        return self.store._transactions.run(step, state.now, Mode.LOCKED)

    def _put(self, tx: Transaction, state: State) -> None:
        record, writes = state.record, self.store._writes
        phone = Phone(record.tag)
        if state.failures is not None:
            phone.fail(state.key, state.failures)
        phone.last_until(record.expires_at)
        writes.erase_records(tx.cursor, this=record.tag, beyond=f"{record.tag}~")
        writes.erase_phone(tx.cursor, this=record.tag)
        writes.write_phone(tx.cursor, **phone.row(datetime(2000, 1, 1, tzinfo=UTC)))
        writes.insert(tx.cursor, **stored_fields(record, STORED))
        unset = tuple(UNSET)  # a start leaves them at their defaults
        writes._update(unset)(tx.cursor, this=record.id, **stored_fields(record, unset))
        tx.cursor.execute(f"DELETE FROM {self._counter}")
        counters = {} if state.address is None else {ADDRESS: state.address}
        rows = tally_rows(TallyChange(short=state.short), None, state.now - state.before)
        counters |= {name: Window(count, time_of(ends_at)) for name, count, ends_at in rows}
        if counters:
            writes.write_counters(tx.cursor, list(counters), list(counters.values()))

    def _rows(self, tx: Transaction, state: State) -> Any:
        record, phone, _ = tx.record(state.record.id)
        tx.cursor.execute(f"SELECT name, count, ends_at FROM {self._counter} ORDER BY name")
        assert phone.version is not None
        return record, phone._failures, phone._ends_at, tx.cursor.fetchall()


@pytest.fixture(scope="module", params=COUNTER)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Place]:
    with processes.place(request.param, tmp_path_factory.mktemp("place"), django_db_blocker) as place:
        yield Place(place.open(), COUNTER[request.param], place.thread_done)
        place.thread_done()


def test_statement_and_transaction_answer_alike(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(max_examples=80 * ROUNDS, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(states())
    def answer_twice(state: State) -> None:
        quick = place.answered(state, monkeypatch, ordinary=True)
        assert quick == place.answered(state, monkeypatch, ordinary=False)

    answer_twice()
    assert place.ordinary[AttemptResult.RIGHT] > 5
    assert place.ordinary[AttemptResult.WRONG] > 5


FAILED = Failures(3, NOW - DAY, NOW + DAY, 3)
#: States whose answers are ordinary, one statement each. With failures of the phone they are too: otherwise the time
#: of an answer would reveal them.
ORDINARY = {
    "right": State(),
    "wrong": State(digests=[WRONG]),
    "short": State(replace(TYPICAL, code_length=4, short=True), length=4),
    "second wrong answer of an address": State(digests=[WRONG], address=Window(1, NOW + SMALLEST)),
    "fourth of an address": State(digests=[WRONG], address=Window(3, NOW + SMALLEST)),
    "trusted": State(replace(TYPICAL, request=replace(TYPICAL.request, trusted=True)), digests=[WRONG]),
    "no address": State(digests=[WRONG], answering=Answering()),
    "failures": State(digests=[WRONG], failures=FAILED, key="sign_in"),
    "right after failures": State(failures=FAILED, key="sign_in"),
    "failures under another key": State(digests=[WRONG], failures=FAILED, key="second_factor"),
    "failures that have ended": State(failures=replace(FAILED, expires_at=NOW), key="sign_in"),
    "lock that has ended": State(digests=[WRONG], failures=replace(FAILED, locks=1, locked_until=NOW), key="sign_in"),
    "short codes that are open again": State(
        replace(TYPICAL, code_length=4, short=True),
        replace(FAILED, count=10, last_at=NOW - SHORT_REST),
        "sign_in",
        digests=[WRONG],
        length=4,
    ),
    "last microsecond": State(replace(TYPICAL, expires_at=NOW + SMALLEST)),
    "code of a provider": State(replace(TYPICAL, code_source=CodeSource.PROVIDER), digests=[WRONG]),
    "clock put back as far as it may": State(replace(TYPICAL, created_at=NOW + CLOCK_SLACK)),
    "trusted, of an address at its limit": State(
        replace(TYPICAL, request=replace(TYPICAL.request, trusted=True)),
        address=Window(3, NOW + DAY),
        limits=Limits(20, per_address=3),
    ),
    "hour of an address that has ended": State(
        digests=[WRONG], address=Window(3, NOW), limits=Limits(20, per_address=3)
    ),
    "site's wrong answers that have ended": State(
        replace(TYPICAL, code_length=4, short=True, expires_at=NOW + DAY),
        short=3,
        before=timedelta(hours=25),
        digests=[WRONG],
        length=4,
        limits=Limits(20, short_per_day=3),
        now=NOW + SMALLEST,
    ),
    "row that lasts longer": State(
        digests=[WRONG], failures=replace(FAILED, expires_at=NOW + 99 * DAY), key="second_factor"
    ),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_usual_answers_are_ordinary(place: Place, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = sum(place.ordinary.values())
    quick = place.answered(ORDINARY[name], monkeypatch, ordinary=True)
    assert sum(place.ordinary.values()) == before + 1
    assert quick == place.answered(ORDINARY[name], monkeypatch, ordinary=False)


ONCE, RECENTLY = Failures(1, NOW - DAY, NOW + DAY, 1), NOW - timedelta(minutes=30)
SHORT = replace(TYPICAL, code_length=4, short=True)
TRUSTED = replace(TYPICAL, request=replace(TYPICAL.request, trusted=True))
#: States at the limits of the rules about failures.
AT_A_LIMIT = {
    "locks": State(digests=[WRONG], failures=replace(ONCE, count=4), key="sign_in", limits=Limits(5)),
    "one before": State(digests=[WRONG], failures=replace(ONCE, count=3), key="sign_in", limits=Limits(5)),
    "ceiling": State(digests=[WRONG], failures=replace(ONCE, total=4), key="sign_in", limits=Limits(20, ceiling=5)),
    "one before it": State(
        digests=[WRONG], failures=replace(ONCE, total=3), key="sign_in", limits=Limits(20, ceiling=5)
    ),
    "short closed": State(SHORT, replace(ONCE, count=10, last_at=RECENTLY), "sign_in", length=4),
    "short in the last microsecond of the rest": State(
        SHORT, replace(ONCE, count=10, last_at=NOW - SHORT_REST + SMALLEST), "sign_in", length=4
    ),
    "short after the rest": State(
        SHORT, replace(ONCE, count=10, last_at=NOW - SHORT_REST), "sign_in", digests=[WRONG], length=4
    ),
    "one before closed": State(SHORT, replace(ONCE, count=9, last_at=RECENTLY), "sign_in", length=4),
    "trusted opens others": State(TRUSTED, replace(ONCE, locked_until=FOREVER), "sign_in"),
    "another's have ended": State(digests=[WRONG], failures=replace(ONCE, expires_at=NOW), key="second_factor"),
    "another's have ended, right": State(failures=replace(ONCE, expires_at=NOW), key="second_factor"),
    "ends now": State(digests=[WRONG], failures=replace(ONCE, expires_at=NOW), key="sign_in"),
    "address": State(digests=[WRONG], address=Window(3, NOW + SMALLEST), limits=Limits(20, per_address=3)),
    "one before the address's": State(
        digests=[WRONG], address=Window(2, NOW + SMALLEST), limits=Limits(20, per_address=3)
    ),
    "tallied of an address": State(digests=[WRONG], address=Window(TALLIED_PER_ADDRESS, NOW + SMALLEST)),
    "short of the day": State(SHORT, short=3, digests=[WRONG], length=4, limits=Limits(20, short_per_day=3)),
    "one before that": State(SHORT, short=2, digests=[WRONG], length=4, limits=Limits(20, short_per_day=3)),
    "clock put back too far": State(replace(TYPICAL, created_at=NOW + CLOCK_SLACK + SMALLEST)),
    "second answer": State(replace(TYPICAL, mistakes=1, attempts_left=4), digests=[WRONG]),
    "trusted": State(TRUSTED, digests=[WRONG]),
    "trusted, with failures": State(TRUSTED, ONCE, TRUSTED.failure_key, digests=[WRONG]),
}


@pytest.mark.parametrize("name", AT_A_LIMIT)
def test_statement_and_transaction_answer_alike_at_limits(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    quick, locked = (place.answered(AT_A_LIMIT[name], monkeypatch, ordinary=ordinary) for ordinary in (True, False))
    assert quick == locked


_numbers = itertools.count(1)
WAITS_FOR_US = """SELECT EXISTS (
    SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"""


def test_phone_is_locked_before_its_record(place: Place) -> None:
    # As by every step: in the other order the two would deadlock.
    order, tables = opening(PhoneNumber(f"+98912{next(_numbers):07}")), place.store._transactions.tables
    run(place.store.open(order, [], LIMITS, None))

    def answer() -> None:
        run(place.store.spend(order.id, BINDING, [WRONG], 6, LIMITS, Answering(), None))
        place.thread_done()

    thread = threading.Thread(target=answer)

    def step(tx: Transaction) -> list[Any]:
        tables.prepared(f"SELECT FROM {tables.verification} WHERE id = %(id)s FOR UPDATE")(tx.cursor, id=order.id)
        thread.start()
        while not tx.cursor.execute(WAITS_FOR_US) or not tx.cursor.fetchone()[0]:
            time.sleep(0.01)
        free = tables.prepared(f"SELECT FROM {tables.phone} WHERE tag = %(tag)s FOR UPDATE SKIP LOCKED")
        return list(free(tx.cursor, tag=order.tag).fetchall())

    free = place.store._transactions.run(step, None, Mode.LOCKED)
    thread.join(30)
    assert free == []


@pytest.mark.parametrize("digest", [RIGHT, WRONG])
def test_answer_changes_the_version_of_its_phone(place: Place, monkeypatch: pytest.MonkeyPatch, digest: bytes) -> None:
    # Otherwise a start that has read the phone before would write what it read.
    monkeypatch.setattr(verbs, "ordinary_spent", place.counted)
    order, before = opening(PhoneNumber(f"+98912{next(_numbers):07}")), sum(place.ordinary.values())
    run(place.store.open(order, [], LIMITS, None))

    def version() -> object:
        return place.store._transactions.run(lambda tx: tx.record(order.id)[1].version, None, Mode.READ_ONLY)

    old = version()
    run(place.store.spend(order.id, BINDING, [digest], 6, LIMITS, Answering(), None))
    assert version() != old
    assert sum(place.ordinary.values()) == before + 1


def test_time_depends_on_the_locked_row(place: Place) -> None:
    # Otherwise the planner may read the time before it waits.
    tables = place.store._transactions.tables
    values = ordinary_values(BINDING, [RIGHT], 6, LIMITS, Answering(ADDRESS))
    explain = tables.prepared(f"EXPLAIN (VERBOSE) {spend_text(tables)}")

    def step(tx: Transaction) -> str:
        found = explain(tx.cursor, **values, this=TYPICAL.id, of_phone=TYPICAL.tag, at=None)
        return "\n".join(row[0] for row in found.fetchall())

    plan = place.store._transactions.run(step, None, Mode.READ_ONLY)
    (line,) = (line for line in plan.splitlines() if "clock_timestamp" in line)
    assert "locked.tag IS NOT NULL" in line


def concurrently(
    place: Place, digests: Sequence[bytes], at_least: datetime | None = None, plan: Plan = OURS, **changes: Any
) -> tuple[Spent, int]:
    """Return an answer that waited for a step with these changes, and how many ordinary ones there were.

    It waits until `at_least` then. Without changes the step locks the rows only.
    """
    order, found = opening(PhoneNumber(f"+98912{next(_numbers):07}"), plan), list[Any]()
    before = sum(place.ordinary.values())
    run(place.store.open(order, [], LIMITS, None))
    failures = changes.pop("failures", None)

    def answer() -> None:
        found.append(run(place.store.spend(order.id, BINDING, digests, 6, LIMITS, Answering(), None)))
        place.thread_done()

    thread = threading.Thread(target=answer)

    def step(tx: Transaction) -> None:
        record, phone, at = tx.record(order.id)
        assert record is not None
        thread.start()
        while not tx.cursor.execute(WAITS_FOR_US) or not tx.cursor.fetchone()[0]:
            time.sleep(0.01)
        while at_least is not None and datetime.now(UTC) < at_least:
            time.sleep(0.01)
        if changes:
            phone.fail(record.failure_key, failures)
            tx.write(place.store._writes.update, tuple(changes), phone, with_changes(record, **changes), at)

    place.store._transactions.run(step, None, Mode.LOCKED)
    thread.join(30)
    return found[0], sum(place.ordinary.values()) - before


@pytest.mark.parametrize("digest", [RIGHT, WRONG])
def test_answer_that_waited_is_compared_with_the_present_code(
    place: Place, monkeypatch: pytest.MonkeyPatch, digest: bytes
) -> None:
    monkeypatch.setattr(verbs, "ordinary_spent", place.counted)
    spent, ordinary_ones = concurrently(place, [digest], code_digest=WRONG)
    assert spent.verified == (digest == WRONG)
    assert ordinary_ones == 1


def test_answer_that_waited_takes_the_last_attempt_in_a_transaction(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "ordinary_spent", place.counted)
    spent, ordinary_ones = concurrently(place, [WRONG], attempts_left=1)
    assert (spent.record.status, spent.record.attempts_left, ordinary_ones) == (Status.EXHAUSTED, 0, 0)


def test_answer_that_waited_counts_after_the_failures_of_others(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "ordinary_spent", place.counted)
    now = datetime.now(UTC)
    spent, ordinary_ones = concurrently(place, [WRONG], failures=Failures(7, now, now + DAY, 7), attempts_left=3)
    assert spent.failures is not None
    assert (spent.failures.count, ordinary_ones) == (8, 1)


def test_code_that_expires_while_its_answer_waits_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "ordinary_spent", place.counted)
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    spent, ordinary_ones = concurrently(place, [RIGHT], at_least=soon + SMALLEST, expires_at=soon)
    assert (getattr(spent, "why", None), ordinary_ones) == (DenialReason.CLOSED, 0)


def test_code_that_expires_while_its_answer_waits_for_a_mere_lock_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "ordinary_spent", place.counted)
    now, life = datetime.now(UTC), timedelta(milliseconds=500)
    spent, ordinary_ones = concurrently(place, [RIGHT], at_least=now + 2 * life, plan=replace(OURS, ttl=life))
    assert (getattr(spent, "why", None), ordinary_ones) == (DenialReason.CLOSED, 0)


def test_backslashes_in_strings_of_the_server_change_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def switch(value: str) -> Any:
        return lambda tx: tx.cursor.execute(f"SET standard_conforming_strings = {value}")

    place.store._transactions.run(switch("off"), None, Mode.READ_ONLY)
    try:
        result, _ = place.answered(State(), monkeypatch, ordinary=True)
    finally:
        place.store._transactions.run(switch("on"), None, Mode.READ_ONLY)
    assert result.verified
