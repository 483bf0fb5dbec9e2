"""`v1/verifications/{id}/events`: the status of a verification as server-sent events."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from ..errors import StoreError
from ..http.call import ApiRequest, ApiResponse, ApiStream
from ..http.client_address import call_address
from ..http.client_facts import client_facts
from ..http.cookies import secret_for
from ..http.csrf import cross_site
from ..http.problems import problem, refusal
from ..http.site import Site
from ..http.streams import KEEP_ALIVE, server_is_stopping
from ..model import Outcome, Verification
from ..verifier.operations import AsyncVerifier
from ..verifier.streaming import Streaming
from .key_limits import limited_by_key
from .representation import verification

log = logging.getLogger("phone_verify")

_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # nginx otherwise collects a response before it sends it.
    "X-Accel-Buffering": "no",
}
_KEEP_ALIVE = b": keep-alive\n\n"
#: Seconds between two queries of the provider. The store permits no more over all processes.
_QUERY_EVERY = 3.0
#: How often the place of an ended stream is returned to a store that does not answer.
_RETURN_ATTEMPTS = 6
#: Fields that change with every second.
_COUNTERS = ("expires_in", "resend_in")


async def show(site: Site, flows: AsyncVerifier, call: ApiRequest, id: str) -> ApiResponse | ApiStream:
    """GET v1/verifications/{id}/events: an event `status` now and after each change, until the verification ends.

    406 if the adapter cannot stream: the client polls instead. 429 if the verification has four streams,
    or this process too many.
    """
    if not call.can_stream:
        return problem(406, "not_acceptable", "Event streams need an ASGI server; poll the verification instead.")
    secret = secret_for(call, id)
    outcome = await flows.get(id, secret)
    record = outcome.verification
    if not outcome.ok or record is None:
        return refusal(outcome)
    if call.method == "HEAD":
        return ApiResponse(200, headers=_HEADERS)
    stream = EventStream(site, call, id, secret, outcome, flows.service)
    if not record.open:
        return ApiStream(stream, _HEADERS)
    return ApiStream(stream, _HEADERS) if await stream.enter(flows) else _too_many()


def _too_many() -> ApiResponse:
    # A place whose client has vanished is free again after the next keep-alive.
    return problem(429, "too_many_requests", "Too many event streams.", retry_after=timedelta(seconds=KEEP_ALIVE))


class EventStream:
    """The events of one verification for one client, as bytes.

    Each stream reads the store by itself, so it sees what any process has changed. The provider of an
    inbound call is queried, and an order moves to another channel, as for a client that polls.
    """

    def __init__(self, site: Site, call: ApiRequest, id: str, secret: str, first: Outcome, service: str) -> None:
        self.address = call_address(site, call)
        #: A move counts for this client, and the site's `before_send` sees its request.
        self._poll: Mapping[str, Any] = {
            "may_send": cross_site(call, site) is None,
            "address": self.address,
            "client": client_facts(site, call),
            "oauth_client": call.client,
            "access_key": call.key_id,
        }
        #: The windows of the place that this stream takes; None without one.
        self._windows: Sequence[datetime] | None = None
        self._has_left = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._site, self._service, self._id, self._secret = site, service, id, secret
        self._key = call.access_key
        self._first = first
        # Created when the first part is read: it refers to this stream, which would then not be dropped.
        self._parts: AsyncGenerator[bytes, None] | None = None
        self._query: asyncio.Task[None] | None = None

    async def enter(self, flows: AsyncVerifier) -> bool:
        """Take a place; return False if there is none. Raises `StoreError`.

        A caller that is cancelled meanwhile takes none.
        """
        if not self._site.streams.add(self):
            return False
        entered = False
        with suppress(RuntimeError):  # Flask opens streams in threads
            self._loop = asyncio.get_running_loop()
        try:
            await flows.streaming.enter(self._id, self._entered)
            entered = self._windows is not None
        finally:
            if not entered:
                self._leave()
        return entered

    def _entered(self, windows: Sequence[datetime]) -> None:
        self._windows = windows
        if self._has_left:
            self._give_back()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> bytes:
        part = None
        if self._parts is None:
            self._parts = self._changes(self._first)
        try:
            part = await anext(self._parts, None)
        except StoreError as error:
            log.error("the store did not answer, an event stream has ended: %s", error)
        except Exception:
            log.exception("internal error in phone_verify; an event stream has ended")
        finally:
            if part is None:
                self._leave()
        if part is None:
            raise StopAsyncIteration
        return part

    async def aclose(self) -> None:
        """Release the place of this stream."""
        if self._parts is not None:
            await self._parts.aclose()
        self._leave()

    async def _changes(self, outcome: Outcome) -> AsyncGenerator[bytes, None]:
        streams, now = self._site.streams, asyncio.get_running_loop().time
        flows = await self._flows()
        shown, sent_at, queried_at = None, now(), float("-inf")
        while (record := outcome.verification) is not None:  # None: deleted
            document = verification(outcome)
            lasting = {name: value for name, value in document.items() if name not in _COUNTERS}
            if lasting != shown:
                yield b"event: status\ndata: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"
                shown, sent_at = lasting, now()
            if not record.open:
                return
            if now() - queried_at >= _QUERY_EVERY and flows.streaming.may_query(record):
                queried_at = now()
                self._start_query(flows)
            read_at = now() + min(streams.pause, _rest(record))
            while now() < read_at:
                if server_is_stopping():
                    return
                await asyncio.sleep(max(0.0, min(read_at, sent_at + streams.keep_alive) - now()))
                if now() >= sent_at + streams.keep_alive:
                    yield _KEEP_ALIVE
                    sent_at = now()
            flows = await self._flows()
            outcome = await flows.get(self._id, self._secret)

    async def _flows(self) -> AsyncVerifier:
        """Return the verifier of the service: it may change while the stream is open."""
        flows = self._site.async_verifier
        flows = await flows.services.find(self._service) or flows
        return limited_by_key(flows, self._key)

    def _start_query(self, flows: AsyncVerifier) -> None:
        """Query the provider meanwhile: a later read shows what it reported, and no event waits for it."""
        if self._query is None or self._query.done():
            self._query = asyncio.create_task(_unless_down(flows.poll(self._id, self._secret, **self._poll)))

    def __del__(self) -> None:
        # A framework may drop a response that it never began to send, for example if the client has left.
        with suppress(RuntimeError):  # the event loop has ended
            self._give_back()

    def _leave(self) -> None:
        self._has_left = True
        self._site.streams.remove(self)
        if self._query is not None:
            self._query.cancel()
        self._give_back()

    def _give_back(self) -> None:
        if self._windows is None:
            return
        id, windows, self._windows = self._id, self._windows, None
        streaming, pause = self._site.async_verifier.streaming, self._site.streams.pause

        def begin() -> None:
            # In a separate task: the one that sends the stream may be cancelled already.
            task = asyncio.create_task(_return_place(streaming, id, windows, pause))
            _leaving.add(task)
            task.add_done_callback(_leaving.discard)

        try:
            asyncio.get_running_loop()
        except RuntimeError:  # dropped in a thread
            if self._loop is not None:
                self._loop.call_soon_threadsafe(begin)
        else:
            begin()


#: The loop itself keeps only weak references to tasks.
_leaving: set[asyncio.Task[None]] = set()


def _rest(record: Verification) -> float:
    """Return the seconds until the verification expires, and a little more."""
    return max(0.0, (record.expires_at - record.read_at).total_seconds()) + 0.05


async def _return_place(streaming: Streaming, id: str, windows: Sequence[datetime], pause: float) -> None:
    """Return a place, also if the store is down for some seconds: its failure ends every stream."""
    for attempt in range(_RETURN_ATTEMPTS):
        with suppress(StoreError):
            await streaming.leave(id, windows)
            return
        await asyncio.sleep(pause * 2**attempt)


async def _unless_down(step: Awaitable[object]) -> None:
    with suppress(StoreError):
        await step
