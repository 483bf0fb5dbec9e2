"""`phone-verify worker`."""

from __future__ import annotations

import json
import signal
import threading
from datetime import UTC, datetime

import click

from ...background.jobs import Ran, needed_jobs, run_due
from ...background.worker import DEFAULT_SENDERS, Worker, orders_are_overdue, overdue
from ...errors import StoreError
from ...http.site import Site
from ...sync import run
from ...work.leases import JobLeases, JobState
from ...work.sends import SendQueue
from ..output import Mark, console, examples, say, table
from ..site_loader import SiteTarget, of_a_site, reported


@click.command(
    short_help="Send orders that wait, deliver webhooks, and run the other jobs.",
    epilog=examples("phone-verify worker", "phone-verify worker --once", "phone-verify worker --status"),
)
@of_a_site
@click.option("--once", is_flag=True, help="Run what is due, and exit; for a scheduler.")
@click.option(
    "--status",
    "status_only",
    is_flag=True,
    help="Show the jobs; exit with 1 if one is late or failed.",
)
@click.option("--json", "as_json", is_flag=True, help="Output JSON, with --status.")
@click.option(
    "--senders",
    type=click.IntRange(1, 64),
    default=DEFAULT_SENDERS,
    show_default=True,
    help="Orders that are sent at the same time; at most half of them by one provider.",
)
def worker(site: SiteTarget, once: bool, status_only: bool, as_json: bool, senders: int) -> None:
    """Run the site's jobs until SIGTERM or Ctrl+C; running ones end first.

    Several workers may run at the same time.
    """
    if as_json and not status_only:
        raise click.UsageError("--json needs --status")
    built, leases, sends = _opened(site)
    if status_only:
        _show(built, leases, sends, as_json=as_json)
    elif once:
        problems = [_report(name, ran) for name, ran in run_due(built).items() if ran.amount or ran.problem]
        if any(problems):
            raise SystemExit(1)
    else:
        _run(Worker(built, lambda job, ran: _report(job.name, ran), senders))


def _run(worker: Worker) -> None:
    say(f"Running: {', '.join(job.name for job in worker.jobs)}. Stop with Ctrl+C.", Mark.OK)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()
    say("Stopped.", Mark.OK)


_printing = threading.Lock()


def _report(name: str, ran: Ran) -> bool:
    """Print the result of a job; return whether it failed."""
    with _printing:
        if ran.problem:
            say(f"{name} failed: {ran.problem}", Mark.ERROR, stderr=True)
        else:
            say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {name}: {ran.amount}")
    return bool(ran.problem)


def _opened(site: SiteTarget) -> tuple[Site, JobLeases, SendQueue]:
    with reported():
        built = site.config().site()
    leases, sends = built.background.leases, built.background.sends
    if leases is None or sends is None:
        raise click.ClickException("This site has no jobs: set PHONE_VERIFY_LEDGER to a database.")
    return built, leases, sends


def _show(site: Site, leases: JobLeases, sends: SendQueue, *, as_json: bool) -> None:
    try:
        states, waiting = run(leases.states()), run(sends.waiting())
        late = [*(["send"] if orders_are_overdue(site) else []), *overdue(states, needed_jobs(site))]
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        document = {"jobs": [_document(each) for each in states], "waiting_orders": waiting, "late": late}
        click.echo(json.dumps(document, indent=2))
    else:
        listed = table("job", "last run", "result", "next run", "problem")
        for each in states:
            listed.add_row(
                each.name, _text(each.finished_at) or "", str(each.amount), _text(each.next_at), each.problem
            )
        console().print(listed)
        say(f"Orders that wait: {waiting}")
        if late:
            say(f"Late or failed: {', '.join(late)}. Is a worker running?", Mark.WARNING)
    if late:
        raise SystemExit(1)


def _document(state: JobState) -> dict[str, object]:
    return {
        "name": state.name,
        "started_at": _text(state.started_at),
        "finished_at": _text(state.finished_at),
        "result": state.amount,
        "next_at": _text(state.next_at),
        "problem": state.problem,
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(" ", "seconds")
