"""Delivery of due messages: retries for three days, endpoints that are down, gone, slow or unknown."""

from __future__ import annotations

import json
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from phone_verify.database.connection import Database
from phone_verify.database.metadata import metadata
from phone_verify.database.outbox import SqlOutbox, enqueue
from phone_verify.database.outbox_tables import ENDPOINT, MESSAGE
from phone_verify.errors import StoreError
from phone_verify.stores.sql.engine import engine_of
from phone_verify.sync import run
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.outbox_suite import SECRET, change, endpoint
from phone_verify.webhooks_out.base import Delivery, DeliveryStatus, Wanted
from phone_verify.webhooks_out.delivery import DELAYS, LEASE, PAUSE, Deliverer
from phone_verify.webhooks_out.endpoints import Endpoint
from phone_verify.webhooks_out.messages import WebhookEvent
from phone_verify.webhooks_out.sender import Answer

from .receiver import receiver, status

DOWN = Answer(None, "connection refused by example.com")


class ScriptedSender:
    """Answers each message by the next of the answers of its endpoint's host, then with the last of them."""

    def __init__(self, **answers: list[Answer]) -> None:
        self.answers = answers
        self.sent: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.hook: Callable[[Endpoint], None] = lambda endpoint: None

    def send(self, endpoint: Endpoint, headers: dict[str, str], body: bytes) -> Answer:
        self.sent.append((endpoint.name, headers["webhook-id"]))
        self.headers.append(headers)
        self.hook(endpoint)
        answers = self.answers.get(endpoint.name, [Answer(200)])
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Bench:
    """An outbox on SQLite, the endpoints of the service `shop`, and a deliverer."""

    def __init__(self, path: Path, **answers: list[Answer]) -> None:
        self.engine = engine_of(f"sqlite:///{path}/outbox.sqlite3")
        weakref.finalize(self, self.engine.dispose)
        metadata.create_all(self.engine, [MESSAGE, ENDPOINT])
        self.runner = Database(self.engine)
        self.outbox = SqlOutbox(self.runner)
        self.clock = ManualClock()
        self.endpoints = [endpoint(), endpoint("second")]
        self.sender = ScriptedSender(**answers)
        self.ticks = 0.0
        self.deliverer = Deliverer(
            self.outbox,
            lambda service: self.endpoints if service == "shop" else [],
            sender=self.sender,
            draw=lambda: 0.0,
            ticks=lambda: self.ticks,
        )

    def put(self, n: int = 0, *names: str, **changes: Any) -> str:
        """Write a change for the endpoints of these names; return its id."""
        wanted = [endpoint(name) for name in names or ("main",)]
        written = change(n, **changes)
        self.runner.run(lambda connection: enqueue(connection, wanted, written, self.clock()))
        return written.id

    def deliver(self, limit: int = 100) -> int:
        return self.deliverer.deliver_due(limit, self.clock())

    @property
    def deliveries(self) -> Sequence[Delivery]:
        return run(self.outbox.deliveries(Wanted()))[::-1]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**answers: list[Answer]) -> Bench:
        made.append(Bench(tmp_path, **answers))
        return made[-1]

    yield make
    for each in made:
        each.engine.dispose()


def test_receiver_verifies_what_it_gets(bench: Callable[..., Bench]) -> None:
    site = bench()
    with receiver() as server:
        url = f"http://127.0.0.1:{server.port}/hook"
        site.endpoints = [Endpoint(url, [SECRET], unencrypted_on_this_machine_for_development=True)]
        site.deliverer = Deliverer(site.outbox, lambda service: site.endpoints)
        now = datetime.now(UTC)
        site.runner.run(lambda connection: enqueue(connection, site.endpoints, change(), now))
        assert site.deliverer.deliver_due(10, now) == 1
        [(headers, body)] = server.requests
    assert Webhook(SECRET).verify(body, headers) == json.loads(change().body)
    assert headers["webhook-id"] == change().id
    [delivery] = site.deliveries
    assert (delivery.status, delivery.response, delivery.attempts) == (DeliveryStatus.DELIVERED, 200, 1)


def test_nothing_due_sends_nothing(bench: Callable[..., Bench]) -> None:
    site = bench()
    assert site.deliver() == 0
    assert site.sender.sent == []


def test_failed_message_is_retried_for_three_days(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    site = bench(main=[Answer(400, "answered 400")])
    id = site.put()
    started = site.clock()
    for delay in DELAYS:
        assert site.deliver() == 1
        site.clock.move(delay.total_seconds() - 1)
        assert site.deliver() == 0
        site.clock.move(1)
    assert timedelta(days=3) < site.clock() - started < timedelta(days=4)
    assert site.deliver() == 1
    [delivery] = site.deliveries
    assert (delivery.status, delivery.attempts, delivery.response) == (DeliveryStatus.FAILED, 10, 400)
    site.clock.move(10**7)
    assert site.deliver() == 0
    # Never with another id, and signed with the time of each attempt.
    assert site.sender.sent == [("main", id)] * 10
    assert len({headers["webhook-timestamp"] for headers in site.sender.headers}) == 10
    assert "was not delivered to endpoint main of service shop in 10 attempts: answered 400" in caplog.text


def test_delays_grow_and_have_jitter(bench: Callable[..., Bench]) -> None:
    assert list(DELAYS) == sorted(DELAYS)
    site = bench(main=[Answer(500, "answered 500")])
    site.deliverer = Deliverer(site.outbox, lambda service: site.endpoints, sender=site.sender, draw=lambda: 0.5)
    site.put()
    site.deliver()
    assert site.deliveries[0].next_at == site.clock() + DELAYS[0] * 1.1


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("3600", 3600), ("0", 5), ("99999999999999999999", 86400), ("-5", 5), ("soon", 5), ("", 5), ("1e9", 5),
        ("²", 5), ("Fri, 31 Dec 9999 23:59:59 GMT", 86400), ("Mon, 01 Jan 1990 00:00:00 GMT", 5),
        ("Mon, 01 Jan 1990 00:00:00 -9999", 5), ("x" * 60_000, 5),
    ],
)  # fmt: skip
def test_retry_after_is_honoured_within_bounds(bench: Callable[..., Bench], asked: str, seconds: int) -> None:
    site = bench(main=[Answer(429, "answered 429", asked)])
    site.put()
    site.deliver()
    assert site.deliveries[0].next_at == site.clock() + timedelta(seconds=seconds)


def test_message_sent_again_starts_with_the_first_delay(bench: Callable[..., Bench]) -> None:
    site = bench(main=[Answer(500, "answered 500")])
    id = site.put()
    for delay in DELAYS[:3]:
        site.deliver()
        site.clock.move(delay.total_seconds())
    run(site.outbox.again(id, "shop", "main", site.clock()))
    site.deliver()
    assert site.deliveries[0].next_at == site.clock() + DELAYS[0]
    assert {sent for _, sent in site.sender.sent} == {id}


def test_unreachable_endpoint_is_asked_once_in_a_run(bench: Callable[..., Bench]) -> None:
    site = bench(main=[DOWN])
    for n in range(3):
        site.put(n, "main", "second")
    assert site.deliver() == 6
    assert sorted(name for name, _ in site.sender.sent) == ["main", "second", "second", "second"]
    main = [each for each in site.deliveries if each.endpoint == "main"]
    assert [each.attempts for each in main] == [1, 0, 0]
    assert [each.next_at for each in main[1:]] == [site.clock() + PAUSE] * 2
    site.sender.answers["main"] = [Answer(200)]
    site.clock.move(PAUSE.total_seconds())
    assert site.deliver() == 3
    assert {each.status for each in site.deliveries} == {DeliveryStatus.DELIVERED}


def test_refused_message_does_not_hold_up_others(bench: Callable[..., Bench]) -> None:
    site = bench(main=[Answer(422, "answered 422"), Answer(200)])
    for n in range(3):
        site.put(n)
    site.deliver()
    assert [each.response for each in site.deliveries] == [422, 200, 200]


def test_410_disables_the_endpoint(bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture) -> None:
    site = bench(main=[Answer(410, "answered 410"), Answer(200)])
    site.put(0)
    site.put(1)
    site.deliver()
    assert "answered 410 and was disabled" in caplog.text
    site.clock.move(PAUSE.total_seconds())
    site.put(2)
    assert site.deliver() == 2
    assert len(site.sender.sent) == 1
    assert [(each.status, each.problem) for each in site.deliveries] == [
        (DeliveryStatus.FAILED, "answered 410"),
        (DeliveryStatus.FAILED, "the endpoint is disabled"),
        (DeliveryStatus.FAILED, "the endpoint is disabled"),
    ]
    run(site.outbox.enable("shop", "main"))
    run(site.outbox.again(site.deliveries[1].id, "shop", "main", site.clock()))
    site.deliver()
    assert [each.status for each in site.deliveries][1] is DeliveryStatus.DELIVERED


def test_changed_url_ends_disabling(bench: Callable[..., Bench]) -> None:
    site = bench(main=[Answer(410, "answered 410"), Answer(200)])
    site.put(0)
    site.deliver()
    site.endpoints = [endpoint(url="https://example.com/new")]
    site.put(1)
    site.deliver()
    assert [each.status for each in site.deliveries] == [DeliveryStatus.FAILED, DeliveryStatus.DELIVERED]
    assert run(site.outbox.states()) == []


def test_unknown_endpoint_is_retried_until_it_is_known(bench: Callable[..., Bench]) -> None:
    site = bench()
    site.put(0, "new")
    site.put(1, service="unknown")
    site.deliver()
    assert {each.problem for each in site.deliveries} == {"the service has no endpoint of this name"}
    assert run(site.outbox.states()) == []
    site.endpoints.append(endpoint("new"))
    site.clock.move(DELAYS[0].total_seconds())
    site.deliver()
    assert [each.status for each in site.deliveries] == [DeliveryStatus.DELIVERED, DeliveryStatus.PENDING]


def takes_nine_seconds(site: Bench, *names: str) -> None:
    """Let the endpoints of these names take nine seconds to answer."""

    def slow(receiver: Endpoint) -> None:
        site.ticks += 9 if receiver.name in names else 0

    site.sender.hook = slow


def test_endpoint_is_sent_messages_for_ten_seconds_of_a_run(bench: Callable[..., Bench]) -> None:
    site = bench()
    for n in range(5):
        site.put(n)
    takes_nine_seconds(site, "main")
    site.deliver()
    assert len(site.sender.sent) == 2
    left = [each for each in site.deliveries if each.status is DeliveryStatus.PENDING]
    assert [(each.attempts, each.next_at) for each in left] == [(0, site.clock() + timedelta(seconds=18))] * 3


def test_run_begins_nothing_after_a_minute(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phone_verify.webhooks_out.delivery._MOST_THREADS", 1)
    names = [f"e{n}" for n in range(8)]
    site = bench()
    site.endpoints = [endpoint(name) for name in names]
    site.put(0, *names)
    takes_nine_seconds(site, *names)
    site.deliver()
    assert [name for name, _ in site.sender.sent] == names[:7]
    # The one that had no turn is the first of the next run.
    site.clock.move(2)
    site.put(1, *names)
    site.deliver()
    assert site.sender.sent[7][0] == names[7]
    assert timedelta(seconds=60 + 10 + 30) < LEASE


def test_backlog_of_a_slow_endpoint_does_not_hold_up_others(bench: Callable[..., Bench]) -> None:
    site = bench()
    for n in range(30):
        site.put(n)
    site.clock.move(1)
    site.put(100, "second")
    takes_nine_seconds(site, "main")
    site.deliver(10)
    assert "second" in {name for name, _ in site.sender.sent}


def test_many_slow_endpoints_of_a_service_do_not_hold_up_another(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phone_verify.webhooks_out.delivery._MOST_THREADS", 1)
    names = [f"e{n}" for n in range(8)]
    site = bench()
    site.deliverer._endpoints = lambda service: [endpoint(name) for name in [*names, "other"]]
    site.put(0, *names)
    site.clock.move(1)
    site.put(1, "other", service="bank")
    takes_nine_seconds(site, *names)
    site.deliver()
    assert [name for name, _ in site.sender.sent].index("other") == 1


def test_endpoints_are_served_side_by_side(bench: Callable[..., Bench]) -> None:
    site = bench()
    site.put(0, "main", "second")
    both = threading.Barrier(2)
    site.sender.hook = lambda endpoint: both.wait(10) and None
    site.deliver()
    assert {each.status for each in site.deliveries} == {DeliveryStatus.DELIVERED}


def test_crash_between_sending_and_recording_sends_the_same_id(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = bench()
    id = site.put()

    async def fail(*_: object) -> None:
        raise StoreError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(SqlOutbox, "done", fail)
        with pytest.raises(StoreError):
            site.deliver()
    assert site.deliver() == 0
    site.clock.move(LEASE.total_seconds())
    assert site.deliver() == 1
    assert site.sender.sent == [("main", id)] * 2
    assert [each.status for each in site.deliveries] == [DeliveryStatus.DELIVERED]


def test_bug_in_sending_is_raised_and_loses_nothing(bench: Callable[..., Bench]) -> None:
    site = bench()
    site.put(0, "main", "second")

    def broken(endpoint: Endpoint) -> None:
        if endpoint.name == "main":
            raise RuntimeError("a bug")

    site.sender.hook = broken
    with pytest.raises(RuntimeError, match="a bug"):
        site.deliver()
    assert [each.status for each in site.deliveries] == [DeliveryStatus.PENDING, DeliveryStatus.DELIVERED]


def test_secrets_are_those_of_the_present(bench: Callable[..., Bench]) -> None:
    site = bench()
    site.put()
    new = "whsec_" + "enl4d3Z1dHNycXBvbm1sa2ppaGdmZWRj"
    site.endpoints = [endpoint(secrets=[new, SECRET])]
    site.deliver()
    [headers] = site.sender.headers
    assert headers["webhook-signature"].count("v1,") == 2


def test_endpoint_that_failed_for_three_days_is_reported(bench: Callable[..., Bench]) -> None:
    site = bench(main=[DOWN])
    site.put()
    site.deliver()
    [state] = run(site.outbox.states())
    assert not state.has_failed_for_long(site.clock())
    site.clock.move(3 * 86400)
    assert state.has_failed_for_long(site.clock())


def test_ping_is_signed_and_leaves_no_delivery(bench: Callable[..., Bench]) -> None:
    site = bench(main=[Answer(204)])
    assert site.deliverer.ping("shop", "main", site.clock()) == Answer(204)
    assert site.deliverer.ping("shop", "other", site.clock()) is None
    assert site.deliverer.ping("bank", "main", site.clock()) is None
    [headers] = site.sender.headers
    assert headers["webhook-id"].startswith("msg_ping_")
    assert site.deliveries == []


def test_events_of_a_verification_arrive_in_order(bench: Callable[..., Bench]) -> None:
    site = bench()
    ids = [site.put(event=event) for event in (WebhookEvent.SENT, WebhookEvent.DELIVERED, WebhookEvent.VERIFIED)]
    site.deliver()
    assert [id for _, id in site.sender.sent] == ids


def test_log_has_no_url(bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site = bench(main=[Answer(410, "answered 410")])
    site.endpoints = [endpoint(url="https://example.com/private-path")]
    site.put()
    site.deliver()
    assert "private-path" not in caplog.text


def test_server_error_is_recorded(bench: Callable[..., Bench]) -> None:
    site = bench()
    with receiver(status(503)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        site.endpoints = [Endpoint(url, [SECRET], unencrypted_on_this_machine_for_development=True)]
        site.deliverer = Deliverer(site.outbox, lambda service: site.endpoints)
        site.put()
        site.deliver()
    [delivery] = site.deliveries
    assert (delivery.status, delivery.response, delivery.problem) == (DeliveryStatus.PENDING, 503, "answered 503")
