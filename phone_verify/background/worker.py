"""A process that runs the jobs of a site until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ..http.site import Site
from ..sync import run
from ..webhooks_out.base import MOST_ON_A_PAGE, DeliveryStatus, Wanted
from ..webhooks_out.delivery import Deliverer
from ..work.fair import MOST_AT_ONCE
from ..work.leases import JobState
from .jobs import JOB_LEASE, Job, Ran, needed_jobs, run_job

#: Orders of one worker that are sent at the same time; those of one provider are half of them at most.
DEFAULT_SENDERS = 2 * MOST_AT_ONCE
#: How long an idle job of one worker at a time waits before it asks for its lease again.
_LONGEST_PAUSE = 30.0
#: How much later than due a job may run, and a message be delivered.
_SLACK = JOB_LEASE + timedelta(seconds=2 * _LONGEST_PAUSE)
#: How long an order may wait: a scheduler starts each minute, and the lease of a worker that died lasts another.
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


def overdue_work(site: Site, now: datetime | None = None) -> list[str]:
    """Return the names of jobs whose orders or messages wait too long: no worker sends them, or too few do.

    Raises `StoreError`.
    """
    now, late = now or datetime.now(UTC), []
    needed, sends, deliverer = {job.name for job in needed_jobs(site)}, site.background.sends, site.deliverer
    if "send" in needed and sends is not None and run(sends.waiting(now - _ORDER_WAITS)):
        late.append("send")
    if "webhooks" in needed and deliverer is not None and _waits(deliverer, now - _SLACK):
        late.append("webhooks")
    return late


def _waits(deliverer: Deliverer, before: datetime) -> bool:
    """Return whether a message has been due since before then."""
    page = Wanted(status=DeliveryStatus.PENDING, limit=MOST_ON_A_PAGE)
    while found := run(deliverer.outbox.deliveries(page)):
        if any(each.next_at is not None and each.next_at < before for each in found):
            return True
        page = replace(page, before=found[-1].position)
    return False


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
