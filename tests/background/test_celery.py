"""Celery's tasks, with real workers on a real RabbitMQ and a real Redis."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from phone_verify.background import celery as tasks
from phone_verify.background.celery import RUN_JOBS, SEND, add_tasks, wake
from phone_verify.sandbox import SandboxServer
from phone_verify.sync import run
from tests.background.brokers import rabbitmq
from tests.background.sites import Place, phone
from tests.stores.redis_servers import RedisServer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=[pytest.param("rabbitmq", marks=pytest.mark.slow), "redis"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "rabbitmq":
        with rabbitmq() as url:
            yield url
        return
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield f"redis://127.0.0.1:{server.port}/0"
    server.kill()


@pytest.fixture
def place(tmp_path: Path, sandbox: SandboxServer, broker: str, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A site whose orders start tasks on this broker, with an empty queue."""
    app = Celery("producer", broker=broker, set_as_current=False)
    app.conf.task_default_queue = "phones"
    monkeypatch.setattr(tasks, "_app", None)
    place = Place(tmp_path, sandbox, PHONE_VERIFY_BACKGROUND="celery", TEST_BROKER=broker)
    add_tasks(app, place.site)
    with Connection(broker) as connection, connection.SimpleQueue("phones") as queue:
        queue.clear()
    return place


@contextmanager
def worker(place: Place) -> Iterator[subprocess.Popen[str]]:
    """Run a Celery worker with one child process while the block runs."""
    words = ["worker", "--pool", "prefork", "--concurrency", "1", "--without-mingle", "--without-gossip"]
    program = ["-m", "celery", "--app", "tests.background.celery_site:app", *words, "--loglevel", "WARNING"]
    process = place.process(*program)
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=30)
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_worker_sends_what_a_start_accepted(place: Place) -> None:
    numbers = [phone() for _ in range(3)]
    started = [place.start(number) for number in numbers]
    with worker(place) as process:
        place.wait_until_sent(process)
    for number, each in zip(numbers, started, strict=True):
        (code,) = place.codes(number)
        assert place.site().verifier.check(each.verification.id, each.secret, code).ok


def test_message_holds_ids_and_nothing_else(place: Place, broker: str) -> None:
    number = phone()
    started = place.start(number)
    with Connection(broker) as connection, connection.SimpleQueue("phones") as queue:
        message = queue.get(timeout=30)
        message.ack()
    assert message.content_type == "application/json"
    assert message.payload[:2] == [[started.verification.id, 1], {}]
    everything = json.dumps([message.payload, message.headers, message.properties], default=str)
    for private in (number.e164, number.e164[1:], number.national, started.secret):
        assert private not in everything
        assert base64.b64encode(private.encode()).decode() not in everything


@pytest.mark.slow
def test_lost_message_is_made_up_by_the_jobs(place: Place, broker: str) -> None:
    number = phone()
    place.start(number)
    with Connection(broker) as connection, connection.SimpleQueue("phones") as queue:
        queue.clear()
    with worker(place) as process:
        assert tasks._app is not None
        tasks._app.send_task(RUN_JOBS)
        place.wait_until_sent(process)
    assert len(place.codes(number)) == 1


@pytest.mark.slow
def test_repeated_message_sends_once(place: Place) -> None:
    number, other = phone(), phone()
    started = place.start(number)
    for _ in range(3):
        wake(started.verification.id, 1)
    with worker(place) as process:
        place.wait_until_sent(process)
        place.start(other)  # after all the messages before it
        place.wait_until_sent(process)
    assert (len(place.codes(number)), len(place.codes(other))) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["ask after", "take after"])
def test_killed_worker_loses_nothing_and_sends_once(place: Place, step: str) -> None:
    """The worker's child is killed before or after the provider was asked, and the broker gives the task to another."""
    number = phone()
    started = place.start(number)
    place.environ["TEST_DIES"] = f"send {step}"
    sends = place.site().background.sends
    assert sends is not None
    with worker(place) as process:
        assert process.stderr is not None
        while "WorkerLostError" not in (line := process.stderr.readline()):
            assert line, "the worker ended"
    del place.environ["TEST_DIES"]
    assert run(sends.waiting()) == 1
    place.end_leases()
    with worker(place) as process:
        assert tasks._app is not None
        tasks._app.send_task(RUN_JOBS)
        place.wait_until_sent(process)
    codes = place.codes(number)
    assert len(codes) == 1
    assert place.site().verifier.check(started.verification.id, started.secret, codes[0]).ok


def test_broker_that_is_down_leaves_the_order_to_the_jobs(
    tmp_path: Path, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks, "_app", Celery("producer", broker="amqp://user:hunter2@127.0.0.1:1//"))
    place, number = Place(tmp_path, sandbox, PHONE_VERIFY_BACKGROUND="celery"), phone()
    place.start(number)
    assert "no task was started for an order" in caplog.text
    assert "hunter2" not in caplog.text
    assert run(place.site().verifier.flows.send_queued())
    assert len(place.codes(number)) == 1


def test_site_that_did_not_add_the_tasks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_app", None)
    with pytest.raises(RuntimeError, match="add_tasks"):
        wake("id", 1)


def test_beat_runs_the_jobs() -> None:
    app = Celery("beat", broker="memory://", set_as_current=False)
    add_tasks(app, lambda: pytest.fail("not run"))
    app.finalize()
    (entry,) = app.conf.beat_schedule.values()
    assert (entry["task"], entry["schedule"]) == (RUN_JOBS, 5.0)
    settings: Any = [(app.tasks[name].acks_late, app.tasks[name].serializer) for name in (SEND, RUN_JOBS)]
    assert settings == [(True, "json")] * 2
