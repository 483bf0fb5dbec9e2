"""How a site works in the background, as `config` makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from .leases import JobLeases
    from .sends import SendQueue


#: Who sends: the request itself, or a worker that is started by this.
Mode = Literal["off", "worker", "celery", "django-tasks"]


class Folds(Protocol):
    """Adds changed attempts to the aggregates of reports."""

    async def fold(self) -> int:
        """Add a bounded number of them in one transaction; return how many."""
        ...


@dataclass(frozen=True, slots=True)
class Background:
    """The leases of jobs and the orders that wait; None without a ledger, whose database has them.

    `balances` are what the site's accounts at providers should hold, by driver; `keep_ledger` is how long
    attempts are kept, None for ever.
    """

    mode: Mode = "off"
    leases: JobLeases | None = None
    sends: SendQueue | None = None
    #: Tells the queue how many senders a worker has.
    divide: Callable[[int], None] = lambda senders: None
    #: Loads what reports are made from, at the first use.
    open_aggregates: Callable[[], Folds] | None = None
    balances: Mapping[str, Decimal] = field(default_factory=dict)
    keep_ledger: timedelta | None = None
