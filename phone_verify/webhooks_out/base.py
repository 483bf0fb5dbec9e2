"""The role `Outbox`: messages that wait to be delivered, and what became of them.

A change of a verification is written as messages in the transaction that records it, so that none is
lost and none describes what was rolled back. That step is not part of the role, because it needs the
caller's connection: `database.outbox.enqueue`, and on Django `services.outbox_store.enqueue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

#: How long messages are kept after they were written, with their deliveries.
RETENTION = timedelta(days=30)
#: An endpoint that has accepted nothing for this time should be repaired or removed.
LONG_FAILURE = timedelta(days=3)
#: Most deliveries of a page.
MOST_ON_A_PAGE = 200
#: How much is kept of a failure in words: the name of a host may be longer.
LONGEST_PROBLEM = 200


class DeliveryStatus(StrEnum):
    """How far the delivery of a message is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that the caller is to send now.

    `attempts` counts this attempt; it also identifies it: a result of an earlier one changes nothing.
    `tries` counts since the message was written or sent again.
    """

    id: str
    endpoint: str
    service: str
    event: str
    attempts: int
    tries: int
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message and its delivery, for a page. `response` is the last HTTP status, `problem` the last
    failure in words.
    """

    position: int
    id: str
    service: str
    endpoint: str
    event: str
    verification: str
    status: DeliveryStatus
    attempts: int
    response: int | None
    problem: str
    created_at: datetime
    attempted_at: datetime | None
    next_at: datetime | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries a page has, the newest first; `before` is the position of the last one of the
    page before. Empty texts match everything.
    """

    service: str = ""
    endpoint: str = ""
    event: str = ""
    status: DeliveryStatus | None = None
    verification: str = ""
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What is known about an endpoint: since when each attempt failed, and when it was disabled.

    `place` is that of the URL: a changed URL starts with a clean state.
    """

    service: str
    endpoint: str
    place: str
    failing_since: datetime
    disabled_at: datetime | None

    def has_failed_for_long(self, now: datetime) -> bool:
        """Return whether the endpoint should be repaired or removed."""
        return now - self.failing_since >= LONG_FAILURE


class Outbox(Protocol):
    """Messages that wait to be delivered. Every verb is atomic and raises `StoreError`."""

    async def take(self, limit: int, lease: timedelta, now: datetime) -> Sequence[Taken]:
        """Return at most `limit` due messages: services in turn, of each its endpoints in turn, the longest due first.

        So a backlog of one service or endpoint keeps no message of another waiting. No other caller gets them
        before the lease ends. If the caller has reported no result by then, they are due again, with the same ids.
        """
        ...

    async def done(self, message: Taken, place: str, response: int, now: datetime) -> None:
        """Record that the endpoint accepted the message, also after the lease."""
        ...

    async def failed(
        self,
        message: Taken,
        place: str | None,
        response: int | None,
        problem: str,
        retry_at: datetime | None,
        now: datetime,
        *,
        disable: bool = False,
    ) -> None:
        """Record a failed attempt. The message is due again at `retry_at`, or has failed for good.

        `disable` disables the endpoint. Without a `place` the endpoint was not asked, and its state stays
        the same. No effect on a message that was taken again meanwhile.
        """
        ...

    async def postpone(self, message: Taken, until: datetime) -> None:
        """Return a message that was not sent; the attempt does not count."""
        ...

    async def deliveries(self, wanted: Wanted) -> Sequence[Delivery]:
        """Return a page of deliveries."""
        ...

    async def again(self, id: str, service: str, endpoint: str, now: datetime) -> bool:
        """Make a message due now, also one that was delivered, with the same id and body, and its delays start
        from the first. One that is taken stays due, unless the attempt delivers it. Returns False if it does not
        exist.
        """
        ...

    async def states(self) -> Sequence[EndpointState]:
        """Return the state of each endpoint that has failed, or was disabled."""
        ...

    async def enable(self, service: str, endpoint: str) -> bool:
        """Forget failures of an endpoint, and enable it. Returns False if none were known."""
        ...

    async def erase(self, tag: str) -> int:
        """Delete the messages about the verifications of a phone; return their number."""
        ...

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete at most `limit` messages that were written before, and return their number."""
        ...
