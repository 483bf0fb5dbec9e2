"""Requests that are handled once: the first one takes a place, and its response is kept there.

A place has a name, the keyed digest of an idempotency key and of a client (`Keyring.place`). What a
store keeps of the response is sealed under a key that is derived from the idempotency key itself,
so that neither the store nor the site can open it without the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: How long a response is kept.
KEPT_FOR = timedelta(minutes=10)
#: How long a place without a response is reserved: longer than a start with failover (20 s) and the
#: time-outs of its store steps. After a crash in a start the key can be used again then.
RESERVED_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request that looks for the response to its first attempt, or else takes the place of it.

    The response may be in any of the places `names`; without one, the first of them is taken.
    `holder` is drawn for this attempt, `request` is the keyed digest of the call and its body, and
    `tag` that of the phone.
    """

    names: Sequence[str]
    holder: str
    request: str
    tag: str


@dataclass(frozen=True, slots=True)
class Place:
    """A place that is taken: by whom, for which request, and its sealed response if there is one."""

    holder: str
    request: str
    response: str | None = field(repr=False)
    read_at: datetime
