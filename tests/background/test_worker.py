"""The jobs, and `phone-verify worker` as a process."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import sqlalchemy as sa

from phone_verify.background import jobs
from phone_verify.background.jobs import JOB_LEASE, JOBS, Job, needed_jobs, run_due, run_job
from phone_verify.background.worker import Worker, orders_are_overdue, overdue
from phone_verify.config.background import read_background
from phone_verify.database.ledger_tables import ATTEMPT
from phone_verify.database.work_tables import SEND
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.http.site import Site
from phone_verify.sandbox import SandboxServer
from phone_verify.stores.rows.values import micros
from phone_verify.sync import run
from phone_verify.verifier.blocking import Verifier
from phone_verify.work.leases import JobState
from phone_verify.work.sends import SEND_LEASE
from tests.background.sites import Place, phone
from tests.webhooks_out.receiver import receiver

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path, sandbox: SandboxServer) -> Place:
    return Place(tmp_path, sandbox)


@contextmanager
def working(place: Place, *words: str) -> Iterator[Popen[str]]:
    """Run `phone-verify worker` while the block runs, from its first line on."""
    process = place.process("-m", "phone_verify", "worker", "--environment", *words)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def failing(error: Exception) -> Job:
    def step(site: Site, now: datetime) -> int:
        raise error

    return Job("failing", timedelta(minutes=1), step)


def test_worker_sends_and_delivers_until_it_is_stopped(tmp_path: Path, sandbox: SandboxServer) -> None:
    number = phone()
    with receiver() as hook:
        place = Place(tmp_path, sandbox, hook.port)
        started = place.start(number)
        with working(place) as process:
            assert process.stdout is not None
            expected = {"send: 1", "webhooks: 1"}
            while expected:
                line = process.stdout.readline()
                assert line, "the worker ended"
                expected.discard(line.split(" ", 2)[-1].strip())
            process.send_signal(signal.SIGTERM)
            said, errors = process.communicate(timeout=60)
            assert (process.returncode, errors) == (0, ""), said
            assert said.rstrip().endswith("Stopped.")
        assert json.loads(hook.requests[0][1])["type"] == "verification.sent"
    (code,) = place.codes(number)
    assert place.site().verifier.check(started.verification.id, started.secret, code).ok


def test_two_workers_send_each_order_once(place: Place) -> None:
    numbers = [phone() for _ in range(8)]
    for number in numbers:
        place.start(number)
    with working(place) as one, working(place) as other:
        place.wait_until_sent(one, other)
    assert [len(place.codes(number)) for number in numbers] == [1] * 8


def test_worker_killed_while_a_provider_hangs_sends_once(place: Place, sandbox: SandboxServer) -> None:
    number = phone()
    place.start(number)
    with working(place) as process:
        place.wait_until_sent(process)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    place.end_leases()
    assert not run(place.site().verifier.flows.send_queued())
    assert len(place.codes(number)) == 1


def test_once_runs_due_jobs_and_ends(place: Place) -> None:
    number = phone()
    place.start(number)
    done = place.run("-m", "phone_verify", "worker", "--environment", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert "send: 1" in done.stdout
    assert len(place.codes(number)) == 1


class Ticks:
    """A clock that each look moves on."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def test_due_run_sends_until_nothing_is_due(place: Place) -> None:
    numbers = [phone() for _ in range(25)]
    for number in numbers:
        place.start(number)
    site = place.site()
    assert run_due(site)["send"].amount == 25
    assert [len(place.codes(number)) for number in numbers] == [1] * 25


@pytest.mark.parametrize(("seconds", "sent"), [(0.0, 0), (15.0, 2)], ids=["first run", "within its time"])
def test_due_run_ends_within_its_time(place: Place, monkeypatch: pytest.MonkeyPatch, seconds: float, sent: int) -> None:
    site, runs = place.site(), []
    monkeypatch.setattr(jobs, "monotonic", Ticks(10.0))

    def step(site: Site, now: datetime) -> int:
        runs.append(now)
        return 1

    monkeypatch.setattr(jobs, "JOBS", [Job("send", timedelta(0), step, alone=False), Job("fold", timedelta(0), step)])
    found = run_due(site, seconds=seconds)
    assert ([each.amount for each in found.values()], len(runs)) == ([sent or 1, 1], (sent or 1) + 1)


def test_run_that_takes_long_begins_no_other_order(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        place.start(phone())
    monkeypatch.setattr(jobs, "monotonic", Ticks(4.0))
    site = place.site()
    assert jobs.send_orders(site, NOW) == 2
    assert site.background.sends is not None
    assert run(site.background.sends.waiting()) == 2


def test_failure_ends_the_repetition(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "JOBS", [replace(failing(StoreError("down")), alone=False)])
    (ran,) = run_due(place.site()).values()
    assert ran.problem == "down"


def test_status_names_orders_that_no_worker_takes(tmp_path: Path, sandbox: SandboxServer) -> None:
    place = Place(tmp_path, sandbox, webhook_port=9)
    place.start(phone())
    site, now = place.site(), datetime.now(UTC)
    sends = site.background.sends
    assert sends is not None
    assert not orders_are_overdue(site, now + timedelta(minutes=1))
    assert orders_are_overdue(site, now + timedelta(minutes=3))
    place.execute(sa.update(SEND).values(next_at=micros(now - timedelta(minutes=3))))
    done = place.run("-m", "phone_verify", "worker", "--environment", "--status", "--json")
    assert (done.returncode, json.loads(done.stdout)["late"][0]) == (1, "send")
    taken = run(sends.take(SEND_LEASE, now))
    assert taken is not None
    run(sends.postpone(taken, now + timedelta(minutes=5)))
    assert not orders_are_overdue(site, now + timedelta(minutes=6)), "a worker looks at it again and again"


def test_orders_of_a_site_that_sends_in_the_request_are_not_overdue(tmp_path: Path, sandbox: SandboxServer) -> None:
    Place(tmp_path, sandbox).start(phone())
    site = Place(tmp_path, sandbox, PHONE_VERIFY_BACKGROUND="off").site()
    assert not orders_are_overdue(site, datetime.now(UTC) + timedelta(hours=1))


def test_status_shows_jobs_and_fails_without_a_worker(place: Place) -> None:
    def status() -> tuple[int, Any]:
        done = place.run("-m", "phone_verify", "worker", "--environment", "--status", "--json")
        return done.returncode, json.loads(done.stdout)

    place.start(phone())
    code, document = status()
    assert (code, document["jobs"], document["waiting_orders"]) == (1, [], 1)
    assert document["late"] == ["settle", "deliveries", "fold", "purge"]
    run_due(place.site())
    code, document = status()
    assert (code, document["late"], document["waiting_orders"]) == (0, [], 0)
    assert [each["name"] for each in document["jobs"]] == ["deliveries", "fold", "purge", "settle"]


def test_site_without_a_ledger_has_no_jobs(tmp_path: Path, sandbox: SandboxServer) -> None:
    place = Place(tmp_path, sandbox, PHONE_VERIFY_LEDGER="", PHONE_VERIFY_BACKGROUND="off")
    assert needed_jobs(place.site()) == []
    done = place.run("-m", "phone_verify", "worker", "--environment")
    assert done.returncode == 1
    assert "PHONE_VERIFY_LEDGER" in done.stderr


def test_job_runs_in_one_worker_at_a_time(place: Place) -> None:
    one, other, ran = place.site(), place.site(), []

    def step(site: Site, now: datetime) -> int:
        ran.append(run_job(other, job, now))
        return 3

    job = Job("slow", timedelta(minutes=1), step)
    result = run_job(one, job, NOW)
    assert result is not None
    assert (result.amount, ran) == (3, [None])
    assert run_job(other, job, NOW + timedelta(seconds=59)) is None
    assert run_job(other, job, NOW + timedelta(seconds=60)) is not None


def test_failure_is_logged_without_values_and_tried_again(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    site = place.site()
    ran = run_job(site, failing(RuntimeError("+989120000000")), NOW)
    assert ran is not None
    assert ran.problem.startswith("RuntimeError")
    assert "+98912" not in caplog.text + ran.problem
    assert site.background.leases is not None
    (state,) = run(site.background.leases.states())
    assert (state.problem, state.next_at) == (ran.problem, NOW + timedelta(minutes=1))
    assert overdue([state], [failing(StoreError())], NOW) == ["failing"]


def test_order_that_fails_holds_up_no_other(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = [phone() for _ in range(3)]
    for number in numbers:
        place.start(number)
    site, failures, send = place.site(), [ValueError("+989120000000")], Verifier.send_queued

    def send_queued(verifier: Verifier) -> bool:
        if failures:
            assert site.background.sends is not None
            run(site.background.sends.take(SEND_LEASE, datetime.now(UTC)))
            raise failures.pop()
        return send(verifier)

    monkeypatch.setattr(Verifier, "send_queued", send_queued)
    ran = run_job(site, JOBS[0])
    assert ran is not None
    assert ran.amount == 3
    assert [len(place.codes(number)) for number in numbers] == [0, 1, 1]
    assert "an order waits: ValueError" in caplog.text
    assert "+98912" not in caplog.text


def test_worker_goes_on_if_the_database_fails(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    site = place.site()
    monkeypatch.setattr(type(site.background.leases), "take", lambda *_: 1 / 0)
    ran = run_job(site, JOBS[2])
    assert ran is not None
    assert ran.problem.startswith("ZeroDivisionError")


def test_late_jobs_are_named() -> None:
    job = JOBS[2]
    state = JobState(job.name, NOW, NOW, NOW, 0, "")
    assert overdue([state], [job], NOW + JOB_LEASE) == []
    assert overdue([state], [job], NOW + JOB_LEASE + timedelta(minutes=2)) == [job.name]
    assert overdue([], [job], NOW) == [job.name]


def test_worker_stops_between_jobs(place: Place) -> None:
    runs: list[str] = []
    stopped = Worker(place.site())

    def step(site: Site, now: datetime) -> int:
        runs.append("ran")
        stopped.stop()
        return 1

    stopped.jobs = [Job("one", timedelta(minutes=1), step), Job("two", timedelta(minutes=1), step)]
    stopped.run()
    assert runs == ["ran"]


def test_deliveries_are_looked_up_a_few_times(place: Place) -> None:
    site = place.site()
    place.start(phone())
    assert run(site.verifier.flows.send_queued())
    job = next(each for each in JOBS if each.name == "deliveries")
    now = datetime.now(UTC)
    asked = [minute for minute in range(12) if job.run(site, now + timedelta(minutes=minute, seconds=30))]
    # The first answer settles it: what was delivered is not asked again.
    assert asked == [1]
    with sa.create_engine(place.environ["PHONE_VERIFY_LEDGER"], poolclass=sa.NullPool).connect() as connection:
        assert connection.execute(sa.select(ATTEMPT.c.outcome)).scalars().all() == ["delivered"]


def test_changed_attempts_are_folded(place: Place) -> None:
    place.start(phone())
    site = place.site()
    assert run(site.verifier.flows.send_queued())
    assert [run_due(site, NOW + timedelta(minutes=minute))["fold"].amount for minute in range(2)] == [1, 0]


def test_purge_keeps_attempts_unless_days_are_set(place: Place) -> None:
    place.start(phone())
    site = place.site()
    assert run(site.verifier.flows.send_queued())
    job = next(each for each in JOBS if each.name == "purge")
    place.execute(sa.update(ATTEMPT).values(started_at=1, dirty=0))
    assert job.run(site, datetime.now(UTC)) == 0
    limited = replace(site, background=replace(site.background, keep_ledger=timedelta(days=30)))
    assert job.run(limited, datetime.now(UTC)) == 1


def test_settings_are_read() -> None:
    given = {"ledger": "sqlite://", "background": "worker", "provider_balances": '{"ssms": "500"}', "ledger_days": "30"}
    found = read_background(given)
    assert (found.mode, found.balances, found.keep_ledger) == ("worker", {"ssms": Decimal(500)}, timedelta(days=30))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"background": "celery"}, "PHONE_VERIFY_BACKGROUND needs a ledger"),
        ({"ledger": "sqlite://", "background": "threads"}, "PHONE_VERIFY_BACKGROUND must be one of: off, worker"),
        ({"ledger": "sqlite://", "ledger_days": "0"}, "PHONE_VERIFY_LEDGER_DAYS"),
        ({"ledger": "sqlite://", "ledger_days": True}, "PHONE_VERIFY_LEDGER_DAYS"),
        ({"ledger": "sqlite://", "provider_balances": "[1]"}, "PHONE_VERIFY_PROVIDER_BALANCES"),
        ({"ledger": "sqlite://", "provider_balances": "{"}, "PHONE_VERIFY_PROVIDER_BALANCES"),
        ({"ledger": "sqlite://", "provider_balances": {"ssms": 0.5}}, "PHONE_VERIFY_PROVIDER_BALANCES"),
    ],
)
def test_invalid_settings_are_refused(given: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        read_background(given)


def test_balances_of_unknown_drivers_are_refused(tmp_path: Path, sandbox: SandboxServer) -> None:
    place = Place(tmp_path, sandbox, PHONE_VERIFY_PROVIDER_BALANCES='{"nobody": "1"}')
    with pytest.raises(ConfigurationError, match="no driver is named 'nobody'"):
        place.site()


def test_django_tasks_need_django(tmp_path: Path, sandbox: SandboxServer) -> None:
    with pytest.raises(ConfigurationError, match="for Django only"):
        Place(tmp_path, sandbox, PHONE_VERIFY_BACKGROUND="django-tasks").site()
