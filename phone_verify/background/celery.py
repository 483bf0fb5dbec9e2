"""Tasks for a site's own Celery application.

A task's arguments are ids: the order is a row of the ledger's database, and the worker derives the code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import Celery

from ..http.site import Site
from .jobs import run_due

log = logging.getLogger("phone_verify")

SEND, RUN_JOBS = "phone_verify.send", "phone_verify.run_jobs"
#: How often Celery's beat runs the jobs that are due; each has its own interval.
SECONDS = 5.0

#: The application of this process. Celery's current application depends on the thread.
_app: Celery | None = None


def add_tasks(app: Celery, find_site: Callable[[], Site]) -> None:
    """Add the tasks to an application, and the schedule of the jobs to its beat.

    Call it where the application is made, in the processes of the site and in Celery's workers.
    `find_site` returns the site when a task runs.
    """
    global _app
    _app = app
    # Acknowledged after it ran, so that the broker gives the task of a lost worker to another one. That
    # sends nothing twice: an order that a worker has taken is not due.
    kept: dict[str, Any] = {
        "acks_late": True,
        "reject_on_worker_lost": True,
        "ignore_result": True,
        "serializer": "json",
        "shared": False,
    }

    def send(verification: str, number: int) -> None:
        find_site().verifier.send_queued((verification, number))

    def run_jobs() -> dict[str, int]:
        return {name: ran.amount for name, ran in run_due(find_site(), seconds=SECONDS).items()}

    app.task(send, name=SEND, **kept)
    jobs = app.task(run_jobs, name=RUN_JOBS, expires=60, **kept)
    app.on_after_finalize.connect(lambda sender, **_: sender.add_periodic_task(SECONDS, jobs.s()), weak=False)


def wake(verification: str, send: int) -> None:
    """Start the task that sends this order. Raises an error of the broker, or RuntimeError without an application."""
    if _app is None:
        raise RuntimeError("call phone_verify.background.celery.add_tasks with the site's Celery application")
    _app.send_task(SEND, args=[verification, send], retry=False, ignore_result=True, serializer="json", expires=600)
