"""The store in Django's database: the suite under each way to begin transactions, and callers' rollbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, transaction

from phone_verify.errors import StoreError
from phone_verify.lifecycle import PROOF_LIFE, AttemptResult, Spent
from phone_verify.limits import Denied, Limits, Quota
from phone_verify.model import Status, Verification
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.stores import BINDING, LIMITS, NOBODY, RIGHT, WRONG, StoreRaces, StoreSuite, opening, run
from phone_verify_django.models import CounterRow, PhoneRow
from phone_verify_django.store import OrmStore, transactions
from tests.django_adapter.databases import make_tables, registered

# Durability is not required here.
UNSYNCED = "PRAGMA synchronous = OFF"
WAL = f"PRAGMA journal_mode = WAL; {UNSYNCED}"

#: Database options of a site. Most sites set none, which is DEFERRED with a rollback journal.
ROLLBACK_JOURNAL = {"init_command": UNSYNCED}
WRITE_AHEAD = {"init_command": WAL}
IMMEDIATE = {"init_command": WAL, "transaction_mode": "IMMEDIATE"}


@pytest.fixture
def options() -> dict[str, str]:
    return ROLLBACK_JOURNAL


@pytest.fixture
def alias(options: dict[str, str], tmp_path: Path, django_db_blocker: Any) -> Iterator[str]:
    """A separate SQLite file, next to the site's usual database."""
    own = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "site.sqlite3", "OPTIONS": options}
    with registered("own", own, django_db_blocker) as alias:
        make_tables(alias)
        yield alias


@pytest.fixture
def store(alias: str) -> OrmStore:
    return OrmStore(using=alias)


class OnTheOrm:
    @pytest.fixture
    def store(self, alias: str) -> OrmStore:
        return OrmStore(using=alias)

    @pytest.fixture
    def stores(self, store: OrmStore) -> list[OrmStore]:
        # The second store represents another process: its threads do not queue with those of the first.
        return [store, store, store, OrmStore(using=store._using)]

    def thread_done(self) -> None:
        connections["own"].close()


class TestOrmStore(OnTheOrm, StoreSuite):
    @pytest.fixture
    def forgetful(self, alias: str) -> OrmStore:
        return OrmStore(using=alias, keep=PROOF_LIFE)

    def test_phone_row_drops_expired_counts(self, store: OrmStore, clock: ManualClock) -> None:
        for n in range(5):
            self.fail(store, clock, 1, purpose=f"purpose_{n}")
            run(store.open(opening(), [Quota(f"quota {n}", 9)], LIMITS, clock()))
            clock.move(4000)
        phone = PhoneRow.objects.using("own").get()
        assert (len(phone.windows), len(phone.failures)) == (1, 1)


@pytest.mark.parametrize("options", [WRITE_AHEAD, IMMEDIATE], ids=["WAL", "IMMEDIATE"])
class TestOrmRaces(OnTheOrm, StoreRaces):
    pass


@contextmanager
def rolled_back(block: transaction.Atomic | None = None) -> Iterator[None]:
    """A caller's block that is rolled back."""
    with block or transaction.atomic(using="own"):
        yield
        transaction.set_rollback(True, using="own")


def begun(store: OrmStore) -> Verification:
    record = run(store.open(opening(), [], LIMITS, None))
    assert isinstance(record, Verification)
    return record


@pytest.mark.parametrize("options", [WRITE_AHEAD, ROLLBACK_JOURNAL], ids=["WAL", "rollback journal"])
def test_wrong_code_stays_counted_after_outer_rollback(store: OrmStore) -> None:
    record = begun(store)
    with rolled_back():
        run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    found = run(store.get(record.id, None))
    assert found is not None
    assert found.attempts_left == 4
    assert isinstance(run(store.open(opening(), [], Limits(1), None)), Denied)


@pytest.mark.parametrize("options", [WRITE_AHEAD, ROLLBACK_JOURNAL], ids=["WAL", "rollback journal"])
def test_right_code_stays_used_after_outer_rollback(store: OrmStore) -> None:
    record = begun(store)
    with rolled_back():
        spent = run(store.spend(record.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
        assert isinstance(spent, Spent)
        assert spent.answer is AttemptResult.RIGHT
        assert run(store.get(record.id, None)) is not None
        assert run(store.redeem(record.id, BINDING, "", None)) is not None
    found = run(store.get(record.id, None))
    assert found is not None
    assert (found.status, found.redeemed) == (Status.VERIFIED, True)
    assert "own" not in [alias for alias in vars(connections._connections) if "beside" in alias]


def test_steps_survive_rollback_without_autocommit(store: OrmStore) -> None:
    record = begun(store)
    connections["own"].set_autocommit(False)
    run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    connections["own"].rollback()
    connections["own"].set_autocommit(True)
    found = run(store.get(record.id, None))
    assert found is not None
    assert found.attempts_left == 4


def write_in_the_block(store: OrmStore) -> None:
    CounterRow.objects.using("own").create(name="the caller's")


def read_in_the_block(store: OrmStore) -> None:
    list(CounterRow.objects.using("own").all())


@pytest.mark.parametrize(
    ("options", "before"),
    [(WRITE_AHEAD, write_in_the_block), (ROLLBACK_JOURNAL, read_in_the_block), (IMMEDIATE, read_in_the_block)],
    ids=["WAL, written", "rollback journal, read", "IMMEDIATE"],
)
def test_impossible_separate_write_says_what_to_do(store: OrmStore, before: Any) -> None:
    record = begun(store)
    with transaction.atomic(using="own"):
        before(store)
        with pytest.raises(StoreError, match="non_atomic_requests"):
            run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
        assert CounterRow.objects.using("own").count() <= 1, "the caller's block goes on"
    found = run(store.get(record.id, None))
    assert found is not None
    assert found.attempts_left == 5


def test_test_case_runs_every_step_in_its_transaction(store: OrmStore) -> None:
    around = transaction.atomic(using="own")
    around._from_testcase = True  # as django.test.TestCase does
    with rolled_back(around):
        record = begun(store)
        with transaction.atomic(using="own"):
            spent = run(store.spend(record.id, BINDING, [RIGHT], 6, LIMITS, NOBODY, None))
        assert isinstance(spent, Spent)
    assert run(store.get(record.id, None)) is None


def test_denied_start_in_a_test_case_is_not_counted(store: OrmStore) -> None:
    total, own = Quota("total", 2), Quota("own", 1)
    around = transaction.atomic(using="own")
    around._from_testcase = True  # as django.test.TestCase does
    with rolled_back(around):
        assert not isinstance(run(store.count_and_open([total], opening(), [own], LIMITS, None)), Denied)
        assert isinstance(run(store.count_and_open([total], opening(), [own], LIMITS, None)), Denied)
        assert not isinstance(run(store.count([total], None)), Denied)
        assert isinstance(run(store.count([total], None)), Denied)


def test_interrupted_step_leaves_nothing(store: OrmStore, monkeypatch: pytest.MonkeyPatch) -> None:
    record = begun(store)
    PhoneRow.objects.using("own").update(failures="no mapping")
    with pytest.raises(AttributeError):
        run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    PhoneRow.objects.using("own").update(failures={})
    found = run(store.get(record.id, None))
    assert found is not None
    assert found.attempts_left == 5


def test_interrupted_begin_leaves_no_transaction(store: OrmStore) -> None:
    """A signal that comes during the wait for the lock is handled when the transaction has begun."""

    def interrupt(execute: Callable[..., Any], text: str, *given: Any) -> Any:
        done = execute(text, *given)
        if text.startswith("BEGIN"):
            raise KeyboardInterrupt
        return done

    record = begun(store)
    with connections["own"].execute_wrapper(interrupt), pytest.raises(KeyboardInterrupt):
        run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    assert not connections["own"].connection.in_transaction


def test_gate_that_an_interruption_left_closed_is_replaced(store: OrmStore, monkeypatch: pytest.MonkeyPatch) -> None:
    record = begun(store)
    monkeypatch.setattr(transactions, "_WAIT", 0.05)
    store._transactions._gate.acquire()
    with pytest.raises(StoreError, match="busy"):
        run(store.get(record.id, None))
    assert run(store.get(record.id, None)) is not None


def test_errors_name_their_kind_and_no_values(store: OrmStore) -> None:
    record = begun(store)
    with connections["own"].schema_editor() as editor:
        editor.delete_model(PhoneRow)
    with pytest.raises(StoreError, match="a table is missing") as raised:
        run(store.spend(record.id, BINDING, [WRONG], 6, LIMITS, NOBODY, None))
    assert raised.value.__cause__ is None
    assert record.tag not in str(raised.value)


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_are_independent_of_the_time_zone(store: OrmStore, settings: Any, use_tz: bool) -> None:
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "Asia/Tehran"
    record = begun(store)
    found = run(store.get(record.id, None))
    assert found is not None
    assert (found.created_at, found.expires_at) == (record.created_at, record.expires_at)
    assert found.created_at.utcoffset() == record.created_at.utcoffset()
    assert found.open


@pytest.mark.django_db
def test_migrations_match_the_models() -> None:
    call_command("makemigrations", "phone_verify_django", check=True, dry_run=True, verbosity=0)


def test_store_repr_names_the_database() -> None:
    assert repr(OrmStore(using="other")) == "<OrmStore on 'other'>"
