"""The role `JobLeases`: which of several workers runs a repeated job, and when it is due next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class JobLease:
    """The right to run a job now; `takes` identifies it."""

    name: str
    takes: int


@dataclass(frozen=True, slots=True)
class JobState:
    """The last run of a job. `amount` is what it returned, `problem` why it failed, in words."""

    name: str
    next_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    amount: int
    problem: str


class JobLeases(Protocol):
    """Leases of jobs over all workers. Every verb is atomic and raises `StoreError`."""

    async def take(self, name: str, lease: timedelta, now: datetime) -> JobLease | None:
        """Return the lease of a job if it is due. No other caller gets it before it ends or is finished."""
        ...

    async def finish(self, lease: JobLease, amount: int, problem: str, next_at: datetime, now: datetime) -> bool:
        """Write the result, and when the job is due next; return False if the lease had ended and another
        caller has the job.
        """
        ...

    async def states(self) -> Sequence[JobState]:
        """Return the states of all jobs that ever ran, by name."""
        ...
