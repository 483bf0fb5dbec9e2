"""Carries `HttpRequest` values to providers without blocking: what `transport.py` promises, over asyncio.

aiohttp does the HTTP: of the clients measured (docs/decisions) the one whose pool costs no more for each of two
thousand requests at once than for each of five hundred.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from ..exchange import HttpRequest, HttpResponse
from .base import CONNECT_TIMEOUT, HEADERS, LONGEST_BODY, HttpTransport

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession


class AsyncTransport(HttpTransport):
    """HTTP by aiohttp: pooled, certificates checked. Make one and keep it.

    Event loops may share it: each has connections of its own, which end with the loop (`asyncio.run` and every server
    see to that) or by `aclose`. A cancelled request closes its connection, so no late answer reaches another one.
    Connections are not carried over a fork. Raises `ConfigurationError` where aiohttp is not installed.
    """

    def __init__(self) -> None:
        try:
            import aiohttp as _  # noqa: F401 - asked for here, not at the first request
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
            async with (
                asyncio.timeout(timeout),
                session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    data=request.body,
                    headers={**HEADERS, **request.headers},
                    # Only of connecting: the whole is bounded from outside, and a single read needs no bound besides.
                    timeout=ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
                    allow_redirects=False,
                    middlewares=(sending.once,),
                    trace_request_ctx=sending,
                ) as response,
            ):
                body = await _read(response)
        except (ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            kind = type(error).__name__
            if not sending.sent:
                raise ProviderError(FailureKind.TRANSIENT, f"cannot connect to {request.host}: {kind}") from None
            raise UnclearError(f"no whole answer from {request.host}: {kind}") from None
        if body is None:
            raise UnclearError(f"the answer of {request.host} is too long")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.raw_headers}
        return HttpResponse(response.status, headers, body)

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
        # A generator, because loops close those that they have begun when they shut down; there is no other hook.
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
    """One exchange: whether any of it was sent, and that it is sent once."""

    def __init__(self) -> None:
        self.sent = self._begun = False

    async def once(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Let aiohttp send, and not again: it repeats a GET by itself when a kept connection dies on it."""
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
        # Whoever limits starts are the quotas; a queue here would only let visitors wait until their time is over.
        connector=TCPConnector(limit=0),
        cookie_jar=DummyCookieJar(),
        skip_auto_headers=("Accept", "Content-Type"),
        trace_configs=[trace],
    )


async def _read(response: ClientResponse) -> bytes | None:
    """The whole body, or None if it is longer than any provider's; then the connection is not used again."""
    body = b""
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > LONGEST_BODY:
            response.close()
            return None
    return body
