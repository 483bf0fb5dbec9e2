"""The contract of an `Outbox`, as tests: subclass `OutboxSuite` and define its fixtures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ..stores.rows.values import micros
from ..sync import run
from ..webhooks_out.base import LONGEST_PROBLEM, DeliveryStatus, Outbox, Taken, Wanted
from ..webhooks_out.endpoints import Endpoint
from ..webhooks_out.messages import Change, WebhookEvent
from .clock import ManualClock
from .stores import together

LEASE = timedelta(minutes=5)
SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
#: A tag with the wildcards of SQL's LIKE.
TAG = "tag_of%a_phone_0123456"[:22]


def endpoint(name: str = "main", **changes: Any) -> Endpoint:
    """Return an endpoint."""
    return Endpoint(**{"url": "https://example.com/hook", "secrets": [SECRET], "name": name, **changes})


def change(n: int = 0, event: WebhookEvent = WebhookEvent.SENT, **changes: Any) -> Change:
    """Return a change of the verification with this number."""
    values: dict[str, Any] = {
        "event": event,
        "verification": f"{TAG}{n:022}",
        "send": 1,
        "service": "shop",
        "purpose": "login",
        "channel": "sms",
        "status": "sent",
        "hint": "+98 ••••••••13",
        "at": datetime(2030, 1, 1, tzinfo=UTC),
    }
    return Change(**{**values, **changes})


class OutboxSuite:
    """The suite. Subclasses define the fixture `outbox`, `outboxes` if several may use the same data, and
    `enqueue`.
    """

    @pytest.fixture
    def outbox(self) -> Outbox:
        """The outbox under test, empty."""
        raise NotImplementedError("a subclass gives the `outbox` fixture")

    @pytest.fixture
    def outboxes(self, outbox: Outbox) -> Sequence[Outbox]:
        """The outbox, and if possible others on the same data, as other processes have."""
        return [outbox]

    @pytest.fixture
    def clock(self) -> ManualClock:
        """A clock whose microseconds a rounded number would lose."""
        return ManualClock(datetime(2030, 1, 1, 12, 34, 56, 789013, tzinfo=UTC))

    def enqueue(self, outbox: Outbox, endpoints: Iterable[Endpoint], change: Change, now: datetime) -> int:
        """Write messages in a transaction, which is committed."""
        raise NotImplementedError("a subclass defines `enqueue`")

    def enqueue_and_roll_back(self, outbox: Outbox, change: Change, now: datetime) -> None:
        """Write messages in a transaction, and roll it back."""
        raise NotImplementedError("a subclass defines `enqueue_and_roll_back`")

    def thread_done(self) -> None:
        """Called in each thread of a race as it ends: close what the outbox keeps per thread."""

    def put(self, outbox: Outbox, clock: ManualClock, count: int = 1) -> None:
        """Write messages about `count` verifications."""
        for n in range(count):
            self.enqueue(outbox, [endpoint()], change(n), clock())

    def take(self, outbox: Outbox, clock: ManualClock, limit: int = 10) -> Sequence[Taken]:
        """Take messages."""
        return run(outbox.take(limit, LEASE, clock()))

    def only(self, outbox: Outbox) -> Any:
        """Return the delivery of the only message."""
        [found] = run(outbox.deliveries(Wanted()))
        return found

    # Writing.

    def test_messages_are_written_for_endpoints_of_the_event(self, outbox: Outbox, clock: ManualClock) -> None:
        wanting = [endpoint(), endpoint("second"), endpoint("other", events=[WebhookEvent.EXPIRED])]
        assert self.enqueue(outbox, wanting, change(), clock()) == 2
        taken = self.take(outbox, clock)
        assert sorted(message.endpoint for message in taken) == ["main", "second"]
        assert {(each.id, each.body, each.event, each.service, each.attempts, each.tries) for each in taken} == {
            (change().id, change().body, "verification.sent", "shop", 1, 1)
        }

    def test_no_endpoint_wants_nothing(self, outbox: Outbox, clock: ManualClock) -> None:
        assert self.enqueue(outbox, [], change(), clock()) == 0
        assert self.take(outbox, clock) == []

    def test_change_is_written_once(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        clock.move(60)
        self.enqueue(outbox, [endpoint()], change(status="other"), clock())
        assert [message.body for message in self.take(outbox, clock)] == [change().body]

    def test_change_written_after_delivery_is_not_sent_again(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [message] = self.take(outbox, clock)
        run(outbox.done(message, "place", 200, clock()))
        self.put(outbox, clock)
        assert self.take(outbox, clock) == []

    def test_sends_have_messages_and_ends_have_one(self, outbox: Outbox, clock: ManualClock) -> None:
        for event in (WebhookEvent.SENT, WebhookEvent.VERIFIED):
            for send in (1, 2):
                self.enqueue(outbox, [endpoint()], change(event=event, send=send), clock())
        events = [message.event for message in self.take(outbox, clock)]
        assert sorted(events) == ["verification.sent", "verification.sent", "verification.verified"]

    def test_rolled_back_change_has_no_message(self, outbox: Outbox, clock: ManualClock) -> None:
        self.enqueue_and_roll_back(outbox, change(), clock())
        assert self.take(outbox, clock) == []
        assert run(outbox.deliveries(Wanted())) == []

    # Taking.

    def test_taken_messages_are_not_taken_again(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock, 3)
        assert len(self.take(outbox, clock, 2)) == 2
        assert len(self.take(outbox, clock, 2)) == 1
        assert self.take(outbox, clock) == []

    def test_services_and_endpoints_take_turns(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock, 5)
        clock.move(1)
        self.enqueue(outbox, [endpoint("second")], change(5), clock())
        clock.move(1)
        self.enqueue(outbox, [endpoint()], change(6, service="bank"), clock())
        found = [(each.service, each.endpoint) for each in self.take(outbox, clock, 4)]
        assert found == [("shop", "main"), ("bank", "main"), ("shop", "second"), ("shop", "main")]
        assert len(self.take(outbox, clock)) == 3

    def test_expired_lease_sends_the_same_message(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [first] = self.take(outbox, clock)
        clock.move(LEASE.total_seconds() - 1)
        assert self.take(outbox, clock) == []
        clock.move(1)
        [second] = self.take(outbox, clock)
        assert (second.id, second.body, second.attempts) == (first.id, first.body, 2)

    def test_longest_due_is_taken_first(self, outbox: Outbox, clock: ManualClock) -> None:
        for n in (2, 1):
            self.enqueue(outbox, [endpoint()], change(n), clock())
            clock.move(1)
        assert [message.id for message in self.take(outbox, clock, 1)] == [change(2).id]

    # Results.

    def test_delivered_message_is_never_due(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [message] = self.take(outbox, clock)
        clock.move(2)
        run(outbox.done(message, "place", 204, clock()))
        found = self.only(outbox)
        assert (found.status, found.response, found.attempts) == (DeliveryStatus.DELIVERED, 204, 1)
        assert (found.delivered_at, found.attempted_at, found.next_at) == (clock(), clock(), None)
        clock.move(10**7)
        assert self.take(outbox, clock) == []

    def test_failed_message_is_due_later(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [message] = self.take(outbox, clock)
        later = clock() + timedelta(hours=2)
        run(outbox.failed(message, "place", 503, "answered 503", later, clock()))
        found = self.only(outbox)
        assert (found.status, found.response, found.problem) == (DeliveryStatus.PENDING, 503, "answered 503")
        assert (found.next_at, found.attempted_at, found.delivered_at) == (later, clock(), None)
        clock.move(7199)
        assert self.take(outbox, clock) == []
        clock.move(1)
        [again] = self.take(outbox, clock)
        assert (again.id, again.attempts, again.tries) == (message.id, 2, 2)

    def test_last_failure_is_final(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [message] = self.take(outbox, clock)
        run(outbox.failed(message, "place", None, "not reached", None, clock()))
        clock.move(10**7)
        assert self.take(outbox, clock) == []
        assert self.only(outbox).status is DeliveryStatus.FAILED

    def test_late_failure_does_not_undo_another_attempt(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [slow] = self.take(outbox, clock)
        clock.move(LEASE.total_seconds())
        [other] = self.take(outbox, clock)
        run(outbox.failed(slow, "place", None, "late", None, clock()))
        run(outbox.postpone(slow, clock()))
        assert self.take(outbox, clock) == []
        run(outbox.done(other, "place", 200, clock()))
        run(outbox.failed(slow, "place", None, "late", clock(), clock()))
        run(outbox.failed(other, "place", None, "late", clock(), clock()))
        assert self.only(outbox).status is DeliveryStatus.DELIVERED
        assert run(outbox.states()) == []

    def test_late_success_counts(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [slow] = self.take(outbox, clock)
        clock.move(LEASE.total_seconds())
        self.take(outbox, clock)
        run(outbox.done(slow, "place", 200, clock()))
        assert self.only(outbox).status is DeliveryStatus.DELIVERED

    def test_postponed_attempt_does_not_count(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [message] = self.take(outbox, clock)
        run(outbox.postpone(message, clock() + timedelta(seconds=60)))
        assert self.take(outbox, clock) == []
        clock.move(60)
        [again] = self.take(outbox, clock)
        assert (again.id, again.attempts) == (message.id, 1)

    # Sending again.

    def test_message_is_sent_again_with_the_same_id(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock, 2)
        delivered, failed = self.take(outbox, clock)
        run(outbox.done(delivered, "place", 200, clock()))
        run(outbox.failed(failed, "place", 500, "answered 500", None, clock()))
        for message in (delivered, failed):
            assert run(outbox.again(message.id, "shop", "main", clock()))
        again = self.take(outbox, clock)
        assert {(each.id, each.body, each.attempts, each.tries) for each in again} == {
            (each.id, each.body, 2, 1) for each in (delivered, failed)
        }

    def test_message_that_is_held_stays_due_again(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [first] = self.take(outbox, clock)
        run(outbox.failed(first, "place", 500, "answered 500", clock(), clock()))
        [held] = self.take(outbox, clock)
        assert run(outbox.again(held.id, "shop", "main", clock()))
        run(outbox.postpone(held, clock() + timedelta(seconds=60)))
        [again] = self.take(outbox, clock)
        assert (again.id, again.attempts, again.tries) == (held.id, 2, 1)
        run(outbox.postpone(again, clock() + timedelta(seconds=60)))
        assert self.take(outbox, clock) == []

    @pytest.mark.parametrize("delay", [timedelta(days=1), None], ids=["retried", "final"])
    def test_failure_of_a_held_message_leaves_it_due(
        self, outbox: Outbox, clock: ManualClock, delay: timedelta | None
    ) -> None:
        self.put(outbox, clock)
        [held] = self.take(outbox, clock)
        assert run(outbox.again(held.id, "shop", "main", clock()))
        retry_at = None if delay is None else clock() + delay
        run(outbox.failed(held, "place", 500, "answered 500", retry_at, clock()))
        found = self.only(outbox)
        assert (found.status, found.response, found.next_at) == (DeliveryStatus.PENDING, 500, clock())
        [again] = self.take(outbox, clock)
        assert (again.attempts, again.tries) == (2, 1)

    def test_message_of_another_service_is_not_sent_again(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [message] = self.take(outbox, clock)
        run(outbox.done(message, "place", 200, clock()))
        for names in (("other", "main"), ("shop", "other")):
            assert not run(outbox.again(message.id, *names, clock()))
        assert not run(outbox.again("msg_unknown", "shop", "main", clock()))
        assert self.take(outbox, clock) == []

    # Pages.

    def test_page_has_the_newest_first_and_continues(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock, 5)
        first = run(outbox.deliveries(Wanted(limit=3)))
        rest = run(outbox.deliveries(Wanted(limit=3, before=first[-1].position)))
        assert [each.verification for each in [*first, *rest]] == [change(n).verification for n in (4, 3, 2, 1, 0)]
        assert (first[0].service, first[0].endpoint, first[0].event) == ("shop", "main", "verification.sent")
        assert (first[0].created_at, first[0].status, first[0].attempts) == (clock(), DeliveryStatus.PENDING, 0)

    @pytest.mark.parametrize(
        "wanted",
        [
            {"service": "bank"},
            {"endpoint": "second"},
            {"event": "verification.expired"},
            {"verification": change(3).verification},
            {"status": DeliveryStatus.DELIVERED},
        ],
        ids=lambda wanted: next(iter(wanted)),
    )
    def test_page_is_filtered(self, outbox: Outbox, clock: ManualClock, wanted: dict[str, Any]) -> None:
        self.put(outbox, clock)
        changes: dict[str, Any] = {"service": {"service": "bank"}, "event": {"event": WebhookEvent.EXPIRED}}
        name = next(iter(wanted))
        clock.move(-1)
        self.enqueue(outbox, [endpoint(wanted.get("endpoint", "main"))], change(3, **changes.get(name, {})), clock())
        clock.move(1)
        if name == "status":
            [message] = self.take(outbox, clock, 1)
            run(outbox.done(message, "place", 200, clock()))
        found = run(outbox.deliveries(Wanted(**wanted)))
        assert [each.verification for each in found] == [change(3).verification]

    # Endpoints.

    def test_failures_are_noted_until_a_success(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock, 3)
        first, second, third = self.take(outbox, clock)
        since = clock()
        run(outbox.failed(first, "place", 500, "answered 500", None, clock()))
        clock.move(60)
        run(outbox.failed(second, "place", 500, "answered 500", None, clock()))
        [state] = run(outbox.states())
        assert (state.service, state.endpoint, state.place) == ("shop", "main", "place")
        assert (state.failing_since, state.disabled_at) == (since, None)
        run(outbox.done(third, "place", 200, clock()))
        assert run(outbox.states()) == []

    def test_disabled_endpoint_stays_disabled_until_enabled(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock, 3)
        first, second, third = self.take(outbox, clock)
        run(outbox.failed(first, "place", 500, "answered 500", None, clock()))
        clock.move(60)
        at = clock()
        run(outbox.failed(second, "place", 410, "answered 410", None, clock(), disable=True))
        clock.move(60)
        run(outbox.failed(third, "place", 500, "answered 500", None, clock()))
        run(outbox.done(first, "place", 200, clock()))
        [state] = run(outbox.states())
        assert state.disabled_at == at
        assert run(outbox.enable("shop", "main"))
        assert not run(outbox.enable("shop", "main"))
        assert run(outbox.states()) == []

    def test_changed_url_starts_clean(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock, 3)
        first, second, third = self.take(outbox, clock)
        run(outbox.failed(first, "place", 410, "answered 410", None, clock(), disable=True))
        clock.move(60)
        run(outbox.failed(second, "new", 500, "answered 500", None, clock()))
        [state] = run(outbox.states())
        assert (state.place, state.failing_since, state.disabled_at) == ("new", clock(), None)
        run(outbox.failed(third, "place", 410, "answered 410", None, clock(), disable=True))
        run(outbox.done(third, "new", 200, clock()))
        assert run(outbox.states()) == []

    def test_failure_without_a_request_is_not_the_endpoints(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [message] = self.take(outbox, clock)
        run(outbox.failed(message, None, None, "disabled", None, clock()))
        assert run(outbox.states()) == []

    def test_long_failure_is_shortened(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock)
        [message] = self.take(outbox, clock)
        run(outbox.failed(message, "place", None, "x" * 300, None, clock()))
        assert [each.problem for each in run(outbox.deliveries(Wanted()))] == ["x" * LONGEST_PROBLEM]

    # Deleting.

    def test_messages_about_a_phone_are_erased(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock, 2)
        other = TAG.replace("_", "x").replace("%", "y") + "0" * 22
        self.enqueue(outbox, [endpoint()], change(verification=other), clock())
        assert run(outbox.erase(TAG)) == 2
        assert [each.verification for each in run(outbox.deliveries(Wanted()))] == [other]

    def test_old_messages_are_purged_in_parts(self, outbox: Outbox, clock: ManualClock) -> None:
        self.put(outbox, clock, 3)
        clock.move(60)
        before = clock()
        self.enqueue(outbox, [endpoint()], change(9), clock())
        assert [run(outbox.purge(before, 2)) for _ in range(3)] == [2, 1, 0]
        assert self.only(outbox).verification == change(9).verification

    # Races.

    @pytest.mark.race
    def test_workers_take_each_message_once(self, outboxes: Sequence[Outbox], clock: ManualClock) -> None:
        for n in range(60):
            self.enqueue(outboxes[0], [endpoint()], change(n), clock())
        now = clock()

        def work(number: int) -> list[str]:
            outbox, taken = outboxes[number % len(outboxes)], []
            # Rows locked by other workers are skipped, so an empty answer may be too early to stop.
            for _ in range(20):
                batch = run(outbox.take(3, LEASE, now))
                taken += [message.id for message in batch]
                for message in batch:
                    run(outbox.done(message, "place", 200, now))
            return taken

        found = [id for ids in together(20, work, self.thread_done) for id in ids]
        assert sorted(found) == sorted(change(n).id for n in range(60))

    @pytest.mark.race
    def test_concurrent_writers_write_a_message_once(self, outboxes: Sequence[Outbox], clock: ManualClock) -> None:
        now = clock()
        together(
            10,
            lambda number: self.enqueue(outboxes[number % len(outboxes)], [endpoint()], change(), now),
            self.thread_done,
        )
        assert len(self.take(outboxes[0], clock)) == 1

    @pytest.mark.race
    def test_concurrent_failures_note_one_state(self, outboxes: Sequence[Outbox], clock: ManualClock) -> None:
        self.put(outboxes[0], clock, 10)
        taken, now = self.take(outboxes[0], clock), clock()

        def fail(number: int) -> None:
            outbox = outboxes[number % len(outboxes)]
            run(outbox.failed(taken[number], "place", 500, "answered 500", None, now, disable=number == 3))

        together(10, fail, self.thread_done)
        [state] = run(outboxes[0].states())
        assert (micros(state.failing_since), state.disabled_at) == (micros(now), now)
