"""The repeated jobs of a site: plain functions, each bounded, repeatable and safe in concurrent workers.

Two of them take their work with leases of rows, so every worker runs them all the time. The others run in
one worker at a time, which holds the lease of the job in the database.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic

from ..errors import PhoneVerifyError, StoreError, place_of
from ..http.site import Site
from ..sync import run
from ..webhooks_out.base import RETENTION
from ..work.sends import SENDS_KEPT

log = logging.getLogger("phone_verify")

#: How long a worker keeps a job: longer than any run takes.
JOB_LEASE = timedelta(minutes=5)
#: Most orders of one run, webhooks of one run, and rows of one step that deletes or settles.
_SENDS, _WEBHOOKS, _ROWS = 20, 100, 500
#: A run begins no other order after this time, so that a worker that is stopped ends within its minute.
_SENDING_SECONDS = 10.0
#: How long `run_due` repeats jobs of which more is due, unless its caller says so: a scheduler that starts each
#: minute then has one of them at a time.
REPEATED_SECONDS = 40.0
#: Most steps of one run of a job that settles or deletes.
_STEPS = 20
#: Most look-ups of one run.
_LOOK_UPS = 50


def send_orders(site: Site, now: datetime) -> int:
    """Send orders that wait, one after the other. One that cannot be sent is due again in a minute."""
    until = monotonic() + _SENDING_SECONDS
    for sent in range(_SENDS):
        if monotonic() >= until:
            return sent
        try:
            if not site.verifier.send_queued():
                return sent
        except StoreError:
            raise  # no order can be sent
        except Exception as error:  # noqa: BLE001 - see `run_job`
            log.error("an order waits: %s%s", type(error).__name__, place_of(error))
    return _SENDS


def deliver_webhooks(site: Site, now: datetime) -> int:
    """Deliver messages of outgoing webhooks that are due."""
    return site.deliverer.deliver_due(_WEBHOOKS, now) if site.deliverer is not None else 0


def settle_ledger(site: Site, now: datetime) -> int:
    """Settle attempts that stayed open: their process died, or the code was not entered."""
    return _repeated(lambda: run(site.verifier.flows.settle_ledger(_ROWS)))


def look_up_deliveries(site: Site, now: datetime) -> int:
    """Ask providers what became of orders, a few times for each, and write it to the ledger."""
    return site.verifier.look_up_deliveries(_LOOK_UPS, now)


def fold_aggregates(site: Site, now: datetime) -> int:
    """Add changed attempts to the aggregates, so that reports are quick."""
    opened = site.background.open_aggregates
    if opened is None:
        return 0
    aggregates = opened()
    return _repeated(lambda: run(aggregates.fold()))


def purge(site: Site, now: datetime) -> int:
    """Delete what has expired: records, counters, old messages of webhooks, sent orders, old attempts."""
    background, flows = site.background, site.verifier.flows
    deleted = _repeated(lambda: run(flows.purge(_ROWS)))
    if site.deliverer is not None:
        outbox = site.deliverer.outbox
        deleted += _repeated(lambda: run(outbox.purge(now - RETENTION, _ROWS)))
    if (sends := background.sends) is not None:
        deleted += _repeated(lambda: run(sends.purge(now - SENDS_KEPT, _ROWS)))
    if (keep := background.keep_ledger) is not None:
        deleted += _repeated(lambda: run(flows.purge_ledger(keep, _ROWS)))
    return deleted


def watch_balances(site: Site, now: datetime) -> int:
    """Ask providers for the site's accounts, and raise alarms for low balances."""
    return len(run(site.verifier.flows.provider_balances(site.background.balances)))


@dataclass(frozen=True, slots=True)
class Job:
    """A repeated job: what it does, how often, and whether one worker at a time runs it."""

    name: str
    every: timedelta
    run: Callable[[Site, datetime], int]
    alone: bool = True
    #: Whether this site needs it.
    needed: Callable[[Site], bool] = lambda site: True


JOBS = (
    Job("send", timedelta(seconds=0.5), send_orders, alone=False,
        needed=lambda site: site.background.mode != "off"),
    Job("webhooks", timedelta(seconds=2), deliver_webhooks, alone=False,
        needed=lambda site: site.deliverer is not None),
    Job("settle", timedelta(minutes=2), settle_ledger),
    Job("deliveries", timedelta(minutes=1), look_up_deliveries),
    Job("fold", timedelta(minutes=1), fold_aggregates,
        needed=lambda site: site.background.open_aggregates is not None),
    Job("purge", timedelta(hours=1), purge),
    Job("balances", timedelta(hours=1), watch_balances, needed=lambda site: bool(site.background.balances)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a job: what it returned, or why it failed, in words."""

    amount: int = 0
    problem: str = ""


def needed_jobs(site: Site) -> list[Job]:
    """Return the jobs that this site needs; none without a ledger."""
    return [job for job in JOBS if job.needed(site)] if site.background.leases is not None else []


def run_job(site: Site, job: Job, now: datetime | None = None) -> Ran | None:
    """Run a job unless another worker has it or it is not due yet; return the result, or None.

    Never raises: a failure is logged and written to the state of the job, and the next run repeats the work.
    """
    now, leases = now or datetime.now(UTC), site.background.leases
    try:
        if not job.alone or leases is None:
            return Ran(job.run(site, now))
        lease = run(leases.take(job.name, JOB_LEASE, now))
        if lease is None:
            return None
        ran = _attempted(site, job, now)
        run(leases.finish(lease, ran.amount, ran.problem, now + job.every, now))
        return ran
    except Exception as error:  # noqa: BLE001 - a worker continues, and texts of other errors may hold a number
        return _failed(job, error)


def run_due(site: Site, now: datetime | None = None, seconds: float = REPEATED_SECONDS) -> dict[str, Ran]:
    """Run each needed job that is due; return what ran. For a scheduler of the site.

    Orders and webhooks are sent until none is due: another run begins until this many seconds have passed.
    """
    until, results = monotonic() + seconds, dict[str, Ran]()
    for job in needed_jobs(site):
        ran = run_job(site, job, now)
        amount = 0
        while ran is not None and ran.amount and not job.alone and monotonic() < until:
            amount += ran.amount
            ran = run_job(site, job, now)
        if ran is not None:
            results[job.name] = replace(ran, amount=amount + ran.amount)
    return results


def _attempted(site: Site, job: Job, now: datetime) -> Ran:
    try:
        return Ran(job.run(site, now))
    except Exception as error:  # noqa: BLE001 - see `run_job`
        return _failed(job, error)


def _failed(job: Job, error: Exception) -> Ran:
    known = isinstance(error, PhoneVerifyError)
    problem = str(error) if known else f"{type(error).__name__}{place_of(error)}"
    (log.warning if isinstance(error, StoreError) else log.error)("the job %s failed: %s", job.name, problem)
    return Ran(0, problem)


def _repeated(step: Callable[[], int]) -> int:
    total = 0
    for _ in range(_STEPS):
        done = step()
        total += done
        if not done:
            break
    return total
