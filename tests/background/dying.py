"""A worker that kills itself at a step of a job: before or after it, in the process of a site in the environment."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from phone_verify.background.jobs import JOBS, run_job
from phone_verify.config.site import SiteConfig
from phone_verify.database.outbox import SqlOutbox
from phone_verify.http.site import Site
from phone_verify.ledger.rows.ledger import RowLedger
from phone_verify.transports.blocking import BlockingTransport
from phone_verify.webhooks_out.sender import Sender
from phone_verify.work.rows import RowLeases, RowSends

#: The steps of each job, in order. A store's own steps are reached through the site.
STEPS: dict[str, list[tuple[str, Any, str]]] = {
    "send": [
        ("take", RowSends, "take"),
        ("begin", RowLedger, "begin"),
        ("mark", RowSends, "mark"),
        ("ask", BlockingTransport, "send"),
        ("account", RowLedger, "finish"),
        ("attach", "store", "attach"),
        ("finish", RowSends, "finish"),
    ],
    "webhooks": [
        ("take", SqlOutbox, "take"),
        ("deliver", Sender, "send"),
        ("done", SqlOutbox, "done"),
    ],
    "settle": [
        ("lease", RowLeases, "take"),
        ("read", RowLedger, "unsettled"),
        ("end", RowLedger, "end"),
        ("finish", RowLeases, "finish"),
    ],
}


def site() -> Site:
    """Return the site that the environment configures."""
    return SiteConfig(environ=os.environ).site()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(here: Site, job: str, step: str, when: str) -> None:
    """Let this process die before or after a step of a job."""
    owner, verb = next((owner, verb) for name, owner, verb in STEPS[job] if name == step)
    owner = type(here.verifier.flows._store) if owner == "store" else owner
    real = getattr(owner, verb)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        result = real(*args, **kwargs)
        if not hasattr(result, "send") or not hasattr(result, "close"):
            die()

        async def awaited() -> Any:
            await result
            die()

        return awaited()

    setattr(owner, verb, dying)


def main(job: str, step: str, when: str) -> None:
    """Run the job of this name, and die before or after the step; write a line if nothing died."""
    here = site()
    arm(here, job, step, when)
    run_job(here, next(each for each in JOBS if each.name == job))
    sys.stdout.write("alive\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
