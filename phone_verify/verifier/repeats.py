"""Requests with an idempotency key: the first one is performed, the others get its response."""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from ..codes import new_secret
from ..errors import StoreError
from ..parts import Components
from ..stores.base import Place, Reservation
from ..tokens.sealed import seal, unseal

log = logging.getLogger("phone_verify")

T = TypeVar("T")

#: How long a repetition waits for the first request, in seconds: longer than a start with failover
#: (20 s), and shorter than the time-outs of common servers and proxies (30 s).
LONGEST_WAIT = 25.0
#: How long it pauses between two looks at the store, in seconds: the first time, and at most.
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
#: How many repetitions wait in one process.
MOST_WAITING = 100


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with an idempotency key.

    `clients` are the marks by which its client is recognized: the first is that of the request as
    it came, the others are those of responses that the client shows to have received. `content` is
    the call and its body, `tag` that of the phone.
    """

    key: str = field(repr=False)
    clients: Sequence[str] = field(repr=False)
    content: str = field(repr=False)
    tag: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """The response to the first request, as `Performed.response` gave it, at the time it was read.

    `by_secret` is whether the client was recognized only by a response that it has received.
    """

    response: str = field(repr=False)
    read_at: datetime
    by_secret: bool


@dataclass(frozen=True, slots=True)
class Performed:
    """The result of a request, and the response to keep for its repetitions; None if it was refused.

    `client` is a mark by which the client is recognized once it has the response.
    """

    result: Any
    response: str | None = field(default=None, repr=False)
    client: str | None = field(default=None, repr=False)


class Conflict(Enum):
    """Why a request is neither performed nor answered with the response to the first one."""

    OTHER_REQUEST = "other_request"
    IN_PROGRESS = "in_progress"


class Repeats:
    """Performs each request once.

    A request that is refused or fails gives up its place, so that its key can be used again; that
    of a process that died is free after a minute.
    """

    def __init__(self, parts: Components) -> None:
        self._parts, self._store, self._keyring = parts, parts.store, parts.keyring
        self._room = threading.BoundedSemaphore(MOST_WAITING)

    async def once(
        self, request: KeyedRequest, perform: Callable[[], Coroutine[Any, Any, Performed]]
    ) -> Performed | Repeat | Conflict:
        """Perform the request if it is the first, or else return the response to the first one.

        Waits for a first one that is being performed. Once it has started, it is performed to its
        end even if the client disconnects. Raises `StoreError`.
        """
        keyring = self._keyring
        reservation = Reservation(
            names=[keyring.place(request.key, client) for client in request.clients],
            holder=new_secret(self._parts.random_bytes),
            request=keyring.request_digest(request.content),
            tag=request.tag,
        )

        async def attempt() -> Performed | Place:
            place = await self._store.reserve(reservation, self._parts.now())
            if place.holder != reservation.holder:
                return place
            return await self._perform(request, reservation, perform)

        found = await self._parts.waiting.finish(attempt())
        if _is_pending(found, reservation) and self._room.acquire(blocking=False):
            try:
                found = await self._wait(reservation, attempt)
            finally:
                self._room.release()
        if isinstance(found, Performed):
            return found
        if not hmac.compare_digest(found.request, reservation.request):
            return Conflict.OTHER_REQUEST
        if found.response is None:
            return Conflict.IN_PROGRESS
        kept = unseal(found.response, found.holder, keyring.sealing_key(request.key))
        if kept is None:
            raise StoreError("A kept response cannot be read: it was changed in the store")
        name, _, response = kept.partition("\n")
        return Repeat(response, found.read_at, by_secret=name != reservation.names[0])

    async def _wait(
        self, reservation: Reservation, attempt: Callable[[], Coroutine[Any, Any, Performed | Place]]
    ) -> Performed | Place:
        """Attempt until the place was free or has a response, for `LONGEST_WAIT` at most."""
        ticks, pause = self._parts.ticks, FIRST_PAUSE
        deadline = ticks() + LONGEST_WAIT
        while True:
            await self._parts.waiting.pause(pause)
            found = await self._parts.waiting.finish(attempt())
            if not _is_pending(found, reservation) or ticks() >= deadline:
                return found
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _perform(
        self, request: KeyedRequest, reservation: Reservation, perform: Callable[[], Coroutine[Any, Any, Performed]]
    ) -> Performed:
        try:
            performed = await perform()
        except Exception:
            await self._release(reservation)
            raise
        if performed.response is None:
            await self._release(reservation)
            return performed
        text = f"{reservation.names[0]}\n{performed.response}"
        sealed = seal(text, reservation.holder, self._keyring.sealing_key(request.key))
        also = self._keyring.place(request.key, performed.client) if performed.client is not None else None
        try:
            await self._store.keep_response(reservation, sealed, also, self._parts.now())
        except StoreError as error:
            # The request itself succeeded. Its place stays reserved for a minute.
            log.warning("the response to a request with an idempotency key was not kept: %s", error)
        return performed

    async def _release(self, reservation: Reservation) -> None:
        try:
            await self._store.release(reservation, self._parts.now())
        except StoreError as error:
            log.warning("an idempotency key stays reserved for a minute: %s", error)


def _is_pending(found: Performed | Place, reservation: Reservation) -> bool:
    """Return whether another attempt of the same request is being performed."""
    if isinstance(found, Performed):
        return False
    return found.response is None and hmac.compare_digest(found.request, reservation.request)
