"""The role `SendQueue`: orders that were accepted and that a worker is to send."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeAlias

from ..model import Cause, Channel

#: How long a worker keeps an order: longer than all providers together may take.
SEND_LEASE = timedelta(seconds=60)
#: How long finished orders are kept: longer than any verification lives.
SENDS_KEPT = timedelta(days=1)


#: A provider, and a service that orders from it: those of one have their turns after each other.
Turn: TypeAlias = tuple[str, str]


class SendState(StrEnum):
    """What became of an order."""

    WAITING = "waiting"
    DONE = "done"  #: a provider accepted it, or may have accepted it
    FAILED = "failed"
    DROPPED = "dropped"  #: the verification had ended, or a later order has superseded this one


@dataclass(frozen=True, slots=True)
class QueuedSend:
    """An order that a worker is to send: no code, number, secret or token.

    `drivers` are the names of the drivers in turn. `long` is whether codes have eight digits if the
    driver carries them; the hosts are those of `ClientFacts`, for the last line of an SMS. `counted` is
    what the order counted in, in the form of `verifier.refunds`, by keyed names.
    """

    verification: str
    send: int
    service: str
    channel: Channel
    drivers: Sequence[str]
    long: bool = False
    access_key: str = ""
    page_host: str | None = None
    top_host: str | None = None
    counted: str = field(default="", repr=False)

    @property
    def provider(self) -> str:
        """The driver that is asked first: the orders of one wait for each other, and not for those of another."""
        return self.drivers[0] if self.drivers else ""


@dataclass(frozen=True, slots=True)
class TakenSend:
    """An order that the caller is to send now.

    `takes` identifies this lease. `asked` is how many drivers an earlier worker has asked, the last of
    which may have accepted the order: that worker ended, or its lease did. `provider` is the one in whose turn
    it is drawn, also after its drivers were put in another order.
    """

    position: int
    takes: int
    asked: int
    order: QueuedSend
    provider: str

    @property
    def turn(self) -> Turn:
        """The turn in which it is drawn."""
        return self.provider, self.order.service


class LeaseLostError(Exception):
    """Another worker has taken over this work; the caller must stop."""


class SendQueue(Protocol):
    """Keeps orders until they are sent. Every verb is atomic, kept if the caller's transaction is rolled
    back, and raises `StoreError`. A blocking implementation never suspends.
    """

    async def put(self, order: QueuedSend, now: datetime, failed: Cause | None = None) -> Sequence[int]:
        """Accept an order. One with the same verification and send number is left as it is.

        With `failed` it is one that a request could not send: it is kept as finished, and supersedes none.

        Of the orders of one verification only the latest waits: earlier ones of which no driver was asked are
        dropped. Return the numbers of their sends. Of orders that arrive at the same time several may wait.
        """
        ...

    async def take(
        self,
        lease: timedelta,
        now: datetime,
        only: tuple[str, int] | None = None,
        without: Collection[str] = (),
        after: Collection[Turn] = (),
    ) -> TakenSend | None:
        """Return the order that is due longest, or this one of a verification and send number, if it is due.

        Orders of the providers in `without` are left, and those of the turns in `after`. No other caller gets it
        before the lease ends.
        """
        ...

    async def postpone(self, taken: TakenSend, until: datetime) -> None:
        """Return an order that cannot be sent now; it is due again then, unless another caller has taken it."""
        ...

    async def mark(self, taken: TakenSend, asked: int, until: datetime) -> None:
        """Write that the driver with this number, from one, is about to be asked, and extend the lease.

        The order's drivers are written as `taken` has them.

        Raises `LeaseLostError` if another caller has taken the order meanwhile.
        """
        ...

    async def finish(self, taken: TakenSend, state: SendState, cause: Cause | None) -> bool:
        """Write what became of the order; return False if another caller has taken it meanwhile."""
        ...

    async def outcome(self, verification: str, send: int) -> tuple[SendState, Cause | None] | None:
        """Return what became of an order; None for an unknown one."""
        ...

    async def waiting_of(self, verification: str) -> Sequence[int]:
        """Return the numbers of the sends of this verification that wait or are being sent, in order."""
        ...

    async def waiting(self, before: datetime | None = None) -> int:
        """Return how many orders wait or are being sent: all, or those that were due before then."""
        ...

    async def erase(self, tag: str) -> int:
        """Delete the orders of a phone; return how many."""
        ...

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete at most `limit` finished orders that were accepted before then; return how many."""
        ...
