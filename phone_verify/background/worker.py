"""A process that runs the jobs of a site until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from ..http.site import Site
from ..sync import run
from ..work.fair import MOST_AT_ONCE
from ..work.leases import JobState
from .jobs import JOB_LEASE, Job, Ran, needed_jobs, run_job

#: Orders of one worker that are sent at the same time; those of one provider are half of them at most.
DEFAULT_SENDERS = 2 * MOST_AT_ONCE
#: How long an idle job of one worker at a time waits before it asks for its lease again.
_LONGEST_PAUSE = 30.0
#: How much later than due a job may run.
_SLACK = JOB_LEASE + timedelta(seconds=2 * _LONGEST_PAUSE)
#: How long an order may be due: a scheduler starts each minute, and the lease of a worker that died lasts another.
_ORDER_WAITS = timedelta(minutes=2)


class Worker:
    """Runs jobs in threads: orders in several, webhooks in one, the others in one, so that none waits for a slow one.

    Several workers may run at the same time, on several machines. `report` gets each run that did something
    or failed.
    """

    def __init__(
        self, site: Site, report: Callable[[Job, Ran], object] = lambda job, ran: None, senders: int = DEFAULT_SENDERS
    ) -> None:
        self._site, self._report, self._senders = site, report, senders
        self._stopping = threading.Event()
        site.background.divide(senders)
        self.jobs: Sequence[Job] = needed_jobs(site)

    def stop(self) -> None:
        """Let the running jobs end, and begin no other. May be called in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Run the jobs until `stop` is called."""
        groups = [[job] * self._senders if job.name == "send" else [job] for job in self.jobs if not job.alone]
        together = [job for job in self.jobs if job.alone]
        loops = [*([job] for group in groups for job in group), *([together] if together else [])]
        threads = [threading.Thread(target=self._loop, args=(jobs,), name="phone_verify_jobs") for jobs in loops]
        for thread in threads:
            thread.start()
        # In short waits, so that a signal handler of this thread runs.
        while not self._stopping.wait(0.5):
            pass
        for thread in threads:
            thread.join()

    def _loop(self, jobs: Sequence[Job]) -> None:
        pause = min(*(job.every.total_seconds() for job in jobs), _LONGEST_PAUSE)
        while not self._stopping.is_set():
            busy = False
            for job in jobs:
                if self._stopping.is_set():
                    return
                ran = run_job(self._site, job)
                if ran is not None and (ran.amount or ran.problem):
                    self._report(job, ran)
                busy = busy or (ran is not None and bool(ran.amount) and not job.alone)
            if not busy:
                self._stopping.wait(pause)


def orders_are_overdue(site: Site, now: datetime | None = None) -> bool:
    """Return whether orders wait that no worker takes, or too few do. Raises `StoreError`.

    Those of a service with mistakes do not count, and neither do webhooks: a service, or an endpoint of a customer,
    must not let a health check fail.
    """
    sends = site.background.sends
    if sends is None or site.background.mode == "off":
        return False
    return run(sends.waiting((now or datetime.now(UTC)) - _ORDER_WAITS)) > 0


def overdue(states: Sequence[JobState], needed: Sequence[Job], now: datetime | None = None) -> list[str]:
    """Return the names of jobs that no worker has run in time, or whose last run failed."""
    now, known = now or datetime.now(UTC), {state.name: state for state in states}
    late = []
    for job in needed:
        if not job.alone:
            continue
        state = known.get(job.name)
        if state is None or state.next_at + _SLACK < now or state.problem:
            late.append(job.name)
    return late
