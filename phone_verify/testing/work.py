"""The contracts of `SendQueue` and `JobLeases`, as tests: subclass `WorkSuite` and define its fixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest

from ..model import Cause, Channel
from ..sync import run
from ..work.leases import JobLeases
from ..work.sends import LeaseLostError, QueuedSend, SendQueue, SendState
from .clock import ManualClock
from .stores import together

#: A tag with the wildcards of SQL's LIKE.
TAG = "tag_of-a_phone_0123456"[:22]
LEASE = timedelta(seconds=60)


class _LaterChannel(StrEnum):
    """A channel that only a later version knows, whose process shares the queue during a deployment."""

    PIGEON = "pigeon"


def queued(n: int = 0, send: int = 1, **changes: Any) -> QueuedSend:
    """Return an order of the verification with this number."""
    values: dict[str, Any] = {
        "verification": f"{TAG}{n:022}",
        "send": send,
        "service": "shop",
        "channel": Channel.SMS,
        "drivers": ["first", "second"],
    }
    return QueuedSend(**{**values, **changes})


class WorkSuite:
    """The suite. Subclasses define the fixture `works`: queues and leases on the same data, as processes have."""

    @pytest.fixture
    def works(self) -> Sequence[tuple[SendQueue, JobLeases]]:
        """One or more pairs, empty."""
        raise NotImplementedError("a subclass gives the `works` fixture")

    @pytest.fixture
    def sends(self, works: Sequence[tuple[SendQueue, JobLeases]]) -> SendQueue:
        """The queue under test."""
        return works[0][0]

    @pytest.fixture
    def leases(self, works: Sequence[tuple[SendQueue, JobLeases]]) -> JobLeases:
        """The leases under test."""
        return works[0][1]

    @pytest.fixture
    def clock(self) -> ManualClock:
        """A clock whose microseconds a rounded number would lose."""
        return ManualClock(datetime(2030, 1, 1, 12, 34, 56, 789013, tzinfo=UTC))

    def thread_done(self) -> None:
        """Called in each thread of a race as it ends: close what the queue keeps per thread."""

    def test_order_is_returned_as_it_was_put(self, sends: SendQueue, clock: ManualClock) -> None:
        order = queued(long=True, access_key="key123456789", page_host="a.example", top_host="b.example", counted="{}")
        run(sends.put(order, clock()))
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        assert (taken.order.drivers, taken.asked) == (["first", "second"], 0)
        assert taken.order == order

    def test_order_is_kept_once(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(), clock()))
        run(sends.put(queued(service="other"), clock()))
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        assert taken.order.service == "shop"
        assert run(sends.take(LEASE, clock())) is None
        assert run(sends.waiting()) == 1

    def test_longest_due_is_taken_first(self, sends: SendQueue, clock: ManualClock) -> None:
        for n in (2, 1):
            run(sends.put(queued(n), clock()))
            clock.move(1)
        found = [run(sends.take(LEASE, clock())) for _ in range(2)]
        assert [each and each.order.verification[-1] for each in found] == ["2", "1"]

    def test_named_order_is_taken_alone(self, sends: SendQueue, clock: ManualClock) -> None:
        for n in range(2):
            run(sends.put(queued(n), clock()))
        key = (queued(1).verification, 1)
        taken = run(sends.take(LEASE, clock(), key))
        assert taken is not None
        assert taken.order.verification == key[0]
        assert run(sends.take(LEASE, clock(), key)) is None
        assert run(sends.take(LEASE, clock(), (key[0], 2))) is None

    def test_order_that_cannot_be_read_holds_up_no_other(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(1, channel=_LaterChannel.PIGEON), clock()))
        clock.move(1)
        run(sends.put(queued(2), clock()))
        with pytest.raises(ValueError, match="pigeon"):
            run(sends.take(LEASE, clock()))
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        assert taken.order == queued(2)

    def test_expired_lease_shows_how_many_were_asked(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(), clock()))
        first = run(sends.take(LEASE, clock()))
        assert first is not None
        run(sends.mark(first, 2, clock() + LEASE))
        clock.move(LEASE.total_seconds() - 1)
        assert run(sends.take(LEASE, clock())) is None
        clock.move(1)
        second = run(sends.take(LEASE, clock()))
        assert second is not None
        assert (second.asked, second.takes) == (2, first.takes + 1)
        with pytest.raises(LeaseLostError):
            run(sends.mark(first, 1, clock() + LEASE))
        assert not run(sends.finish(first, SendState.DONE, None))
        assert run(sends.finish(second, SendState.FAILED, Cause.NUMBER))
        assert run(sends.outcome(queued().verification, 1)) == (SendState.FAILED, Cause.NUMBER)

    def test_order_of_drivers_is_kept_when_one_is_asked(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(), clock()))
        first = run(sends.take(LEASE, clock()))
        assert first is not None
        turned = replace(first, order=replace(first.order, drivers=["second", "first"]))
        run(sends.mark(turned, 1, clock() + LEASE))
        clock.move(LEASE.total_seconds())
        second = run(sends.take(LEASE, clock()))
        assert second is not None
        assert (second.order.drivers, second.provider, second.turn) == (["second", "first"], "first", ("first", "shop"))

    def test_finished_order_is_not_taken(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(), clock()))
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        assert run(sends.finish(taken, SendState.DONE, None))
        clock.move(3600)
        assert run(sends.take(LEASE, clock())) is None
        with pytest.raises(LeaseLostError):
            run(sends.mark(taken, 1, clock() + LEASE))
        assert run(sends.outcome(queued().verification, 1)) == (SendState.DONE, None)
        assert run(sends.outcome(queued().verification, 2)) is None
        assert run(sends.waiting()) == 0

    def test_erase_takes_the_orders_of_one_phone(self, sends: SendQueue, clock: ManualClock) -> None:
        other = "tag+of-a_phone_0123456"[:22] + "0" * 22
        for order in (queued(), queued(send=2), queued(verification=other)):
            run(sends.put(order, clock()))
        assert run(sends.erase(TAG)) == 2
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        assert taken.order.verification == other

    def test_purge_deletes_old_orders_that_are_finished(self, sends: SendQueue, clock: ManualClock) -> None:
        for n in range(5):
            run(sends.put(queued(n), clock()))
            taken = run(sends.take(LEASE, clock())) if n < 4 else None
            if taken is not None and n < 3:
                run(sends.finish(taken, SendState.DONE, None))
        clock.move(10)
        run(sends.put(queued(5), clock()))
        assert [run(sends.waiting(clock() + timedelta(seconds=after))) for after in (-10, 0, 1)] == [0, 1, 2]
        assert [run(sends.purge(clock(), 2)) for _ in range(3)] == [2, 1, 0]
        assert run(sends.waiting()) == 3

    def test_later_order_supersedes_an_earlier_one(self, sends: SendQueue, clock: ManualClock) -> None:
        assert run(sends.put(queued(), clock())) == []
        assert run(sends.put(queued(1), clock())) == []
        assert run(sends.put(queued(send=2), clock())) == [1]
        assert run(sends.put(queued(send=2), clock())) == []
        assert run(sends.outcome(queued().verification, 1)) == (SendState.DROPPED, None)
        taken = run(sends.take(LEASE, clock(), (queued().verification, 2)))
        assert taken is not None
        assert run(sends.waiting()) == 2

    def test_order_that_arrives_after_a_later_one_is_dropped(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(send=3), clock()))
        assert run(sends.put(queued(send=2), clock())) == [2]
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        assert taken.order.send == 3

    def test_worker_that_has_asked_nobody_loses_a_superseded_order(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(), clock()))
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        assert run(sends.put(queued(send=2), clock())) == [1]
        with pytest.raises(LeaseLostError):
            run(sends.mark(taken, 1, clock() + LEASE))

    def test_order_whose_driver_was_asked_is_not_superseded(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(), clock()))
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        run(sends.mark(taken, 1, clock() + LEASE))
        assert run(sends.put(queued(send=2), clock())) == []
        assert run(sends.waiting_of(queued().verification)) == [1, 2]
        assert run(sends.finish(taken, SendState.DONE, None))
        assert run(sends.waiting_of(queued().verification)) == [2]

    def test_order_that_a_request_could_not_send_is_finished(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(), clock()))
        assert run(sends.put(queued(send=2), clock(), Cause.NUMBER)) == []
        assert run(sends.outcome(queued().verification, 1)) == (SendState.WAITING, None)
        assert run(sends.outcome(queued().verification, 2)) == (SendState.FAILED, Cause.NUMBER)
        assert run(sends.waiting_of(queued().verification)) == [1]
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        assert taken.order.send == 1
        assert run(sends.take(LEASE, clock())) is None
        assert run(sends.take(LEASE, clock(), (queued().verification, 2))) is None
        clock.move(1)
        assert run(sends.purge(clock(), 10)) == 1

    def test_orders_of_other_providers_are_drawn(self, sends: SendQueue, clock: ManualClock) -> None:
        for n, driver in enumerate(["slow", "slow", "fast"]):
            run(sends.put(queued(n, drivers=[driver, "second"]), clock()))
            clock.move(1)
        taken = run(sends.take(LEASE, clock(), without=["slow", "other"]))
        assert taken is not None
        assert (taken.order.drivers, taken.provider) == (["fast", "second"], "fast")
        assert run(sends.take(LEASE, clock(), without=["slow"])) is None

    def test_turns_that_others_come_before_are_left(self, sends: SendQueue, clock: ManualClock) -> None:
        for n, (driver, service) in enumerate([("a", "shop"), ("a", "bank"), ("b", "shop")]):
            run(sends.put(queued(n, drivers=[driver], service=service), clock()))
            clock.move(1)
        taken = run(sends.take(LEASE, clock(), after=[("a", "shop"), ("c", "bank")]))
        assert taken is not None
        assert taken.turn == ("a", "bank")
        assert run(sends.take(LEASE, clock(), without=["b"], after=[("a", "shop")])) is None

    def test_postponed_order_is_due_then(self, sends: SendQueue, clock: ManualClock) -> None:
        run(sends.put(queued(), clock()))
        taken = run(sends.take(LEASE, clock()))
        assert taken is not None
        run(sends.postpone(taken, clock() + timedelta(seconds=5)))
        assert run(sends.take(LEASE, clock())) is None
        clock.move(5)
        again = run(sends.take(LEASE, clock()))
        assert again is not None
        run(sends.postpone(taken, clock()))
        assert run(sends.take(LEASE, clock())) is None, "another caller has taken it"

    def test_no_order_is_taken_twice_at_the_same_time(
        self, works: Sequence[tuple[SendQueue, JobLeases]], clock: ManualClock
    ) -> None:
        for n in range(20):
            run(works[0][0].put(queued(n), clock()))

        def take(worker: int) -> list[str]:
            found, queue = [], works[worker % len(works)][0]
            for _ in range(10):
                taken = run(queue.take(LEASE, clock()))
                if taken is not None:
                    found.append(taken.order.verification)
            return found

        found = [id for ids in together(4, take, self.thread_done) for id in ids]
        assert len(set(found)) == len(found) == 20

    # Leases of jobs.

    def test_job_runs_in_one_worker_until_it_is_due(
        self, works: Sequence[tuple[SendQueue, JobLeases]], clock: ManualClock
    ) -> None:
        one, other = works[0][1], works[-1][1]
        lease = run(one.take("purge", LEASE, clock()))
        assert lease is not None
        assert run(other.take("purge", LEASE, clock())) is None
        assert run(other.take("settle", LEASE, clock())) is not None
        assert run(one.finish(lease, 7, "", clock() + timedelta(hours=1), clock()))
        clock.move(3599)
        assert run(other.take("purge", LEASE, clock())) is None
        clock.move(1)
        assert run(other.take("purge", LEASE, clock())) is not None

    def test_job_of_a_dead_worker_is_due_after_its_lease(self, leases: JobLeases, clock: ManualClock) -> None:
        first = run(leases.take("purge", LEASE, clock()))
        assert first is not None
        clock.move(LEASE.total_seconds())
        second = run(leases.take("purge", LEASE, clock()))
        assert second is not None
        assert not run(leases.finish(first, 1, "", clock(), clock()))
        assert run(leases.finish(second, 2, "x" * 300, clock(), clock()))
        (state,) = run(leases.states())
        assert (state.name, state.amount, state.problem, state.finished_at) == ("purge", 2, "x" * 200, clock())

    def test_new_job_is_taken_once(self, works: Sequence[tuple[SendQueue, JobLeases]], clock: ManualClock) -> None:
        def take(worker: int) -> bool:
            taken = run(works[worker % len(works)][1].take("new", LEASE, clock()))
            return taken is not None

        assert sum(together(6, take, self.thread_done)) == 1
