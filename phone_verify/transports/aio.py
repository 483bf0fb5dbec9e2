"""Sends `HttpRequest` values to providers without blocking: the contract of `base.py`, over
asyncio.

Uses aiohttp: of the clients measured (docs/decisions), the one whose pool costs no more per request
for two thousand concurrent requests than for five hundred.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from inspect import isawaitable, iscoroutinefunction
from types import SimpleNamespace
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from ..exchange import HttpRequest, HttpResponse, SiteCall, SmppMessage
from ..sync import limited
from .base import CONNECT_TIMEOUT, HEADERS, LONGEST_BODY, HttpTransport
from .failures import in_words
from .smpp import submit

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession

#: An event loop that calls back this many seconds too late was too busy to look at its connections.
_LATE = 0.1


class AsyncTransport(HttpTransport):
    """HTTP by aiohttp: pooled, with certificate verification. Create one and keep it.

    Event loops may share it: each has separate connections, which end with the loop (`asyncio.run`
    and every server ensure that) or by `aclose`. A cancelled request closes its connection, so no
    late response reaches another request. Connections are not carried over a fork. Raises
    `ConfigurationError` if aiohttp is not installed.
    """

    def __init__(self) -> None:
        try:
            import aiohttp as _  # noqa: F401 - checked here, not at the first request
        except ImportError:
            raise ConfigurationError("An async site needs aiohttp: pip install 'phone-verify[async]'") from None
        self._open: dict[tuple[int, asyncio.AbstractEventLoop], _Session] = {}

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next request opens new ones."""
        kept = self._open.get((os.getpid(), asyncio.get_running_loop()))
        if kept is not None:
            await kept.end.aclose()

    async def _exchanged(self, request: HttpRequest, timeout: float) -> HttpResponse:
        from aiohttp import ClientError, ClientTimeout
        from yarl import URL

        session, sending = await self._session(), _Sending()
        try:
            async with asyncio.timeout(timeout) as limit:
                sending.connect_within(CONNECT_TIMEOUT, limit)
                async with session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    data=request.body,
                    headers={**HEADERS, **request.headers},
                    # The times are limited outside; a single read needs no extra limit.
                    timeout=ClientTimeout(total=None),
                    allow_redirects=False,
                    middlewares=(sending.once,),
                    trace_request_ctx=sending,
                ) as response:
                    body = await _read(response)
        except (ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            if not sending.sent:
                said = in_words(error, request.host, min(CONNECT_TIMEOUT, timeout))
                raise ProviderError(FailureKind.TRANSIENT, said) from None
            raise UnclearError(f"no complete response: {in_words(error, request.host, timeout)}") from None
        finally:
            sending.end()
        if body is None:
            raise UnclearError(f"the response of {request.host} is too long")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.raw_headers}
        return HttpResponse(response.status, headers, body)

    async def _called(self, call: SiteCall, timeout: float) -> object:
        """Call the function in a thread, or await it here if it is a coroutine."""

        async def called() -> object:
            if iscoroutinefunction(call.function):
                return await call.function(call.order)
            answer = await asyncio.to_thread(call.function, call.order)
            return await answer if isawaitable(answer) else answer

        return await limited(called(), timeout)

    async def _submitted(self, message: SmppMessage, timeout: float) -> HttpResponse:
        return await asyncio.to_thread(submit, message, timeout)

    async def _session(self) -> ClientSession:
        key = (os.getpid(), asyncio.get_running_loop())
        kept = self._open.get(key)
        if kept is None:
            for pid, loop in list(self._open):
                if pid == key[0] and loop.is_closed():
                    self._open.pop((pid, loop), None)
            end = self._while_the_loop_runs(key)
            kept = self._open[key] = _Session(await anext(end), end)
        return kept.session

    async def _while_the_loop_runs(
        self, key: tuple[int, asyncio.AbstractEventLoop]
    ) -> AsyncGenerator[ClientSession, None]:
        # A generator, because event loops close the async generators that they started when they
        # shut down; no other hook exists.
        async with _new_session() as session:
            try:
                yield session
            finally:
                self._open.pop(key, None)


@dataclass(frozen=True, slots=True)
class _Session:
    session: ClientSession
    end: AsyncGenerator[ClientSession, None]


class _Sending:
    """One exchange: tracks whether any of it was sent, and ensures that it is sent only once."""

    _timer: asyncio.TimerHandle | None = None

    def __init__(self) -> None:
        self.sent = self._begun = False

    def connect_within(self, seconds: float, limit: asyncio.Timeout) -> None:
        """End the time limit if no connection is made within these seconds.

        Not if the event loop was too busy to look at its connections: aiohttp's own limit would then refuse some of two
        thousand simultaneous starts, although the provider has accepted their connections.
        """
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds

        def look() -> None:
            if self.sent:
                return
            if loop.time() - due > _LATE:
                self.connect_within(seconds, limit)
            else:
                limit.reschedule(loop.time())

        self._timer = loop.call_at(due, look)

    def end(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()

    async def once(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Let aiohttp send once: by itself it repeats a GET if a kept connection fails."""
        if self._begun:
            raise ValueError("a request is not sent twice")
        self._begun = True
        return await handler(request)


async def _connected(session: ClientSession, context: SimpleNamespace, _: object) -> None:
    # From here on the provider may have seen the request.
    context.trace_request_ctx.sent = True


def _new_session() -> ClientSession:
    from aiohttp import ClientSession, DummyCookieJar, TCPConnector, TraceConfig

    trace = TraceConfig()
    trace.on_connection_create_end.append(_connected)
    trace.on_connection_reuseconn.append(_connected)
    return ClientSession(
        # The quotas limit starts; a queue here would only make visitors wait until they time out.
        connector=TCPConnector(limit=0),
        cookie_jar=DummyCookieJar(),
        skip_auto_headers=("Accept", "Content-Type"),
        trace_configs=[trace],
    )


async def _read(response: ClientResponse) -> bytes | None:
    """Return the whole body, or None if it exceeds the limit; the connection is then closed."""
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > LONGEST_BODY:
            response.close()
            return None
    return body
