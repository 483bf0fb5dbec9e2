"""Further promises of the async transport: concurrency, cancellation, several event loops, closing."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress

import pytest

from phone_verify.errors import ConfigurationError, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.transports import aio
from phone_verify.transports.aio import AsyncTransport

from .sockets import OK, Server, sends

Serve = Callable[[Callable[[socket.socket], None]], Server]


def echo(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


def test_cancelled_request_leaves_no_reply_for_the_next(serve: Serve) -> None:
    """The first request is cancelled after it was sent; its late response arrives during another request."""
    late = threading.Event()
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(server.requests[-1].split()[1].rpartition(b"/")[2])
        name = asked[-1]
        if name == b"first":
            late.wait(5)
        with suppress(OSError):
            connection.sendall(echo(name))

    server = serve(answer)

    async def both() -> list[HttpResponse]:
        transport = AsyncTransport()
        await transport.send(HttpRequest.get(f"{server.url}/kept"), 5)
        first = asyncio.create_task(transport.send(HttpRequest.get(f"{server.url}/first"), 5))
        while len(asked) < 2:
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        late.set()
        return [await transport.send(HttpRequest.get(f"{server.url}/{name}"), 5) for name in ("second", "third")]

    assert [response.body for response in asyncio.run(both())] == [b"second", b"third"]
    assert server.connections == 2  # the first one's connection was reused, and was closed


def test_timed_out_request_leaves_no_reply_for_the_next(serve: Serve) -> None:
    late = threading.Event()

    def answer(connection: socket.socket) -> None:
        if server.connections == 1:
            late.wait(5)
        with suppress(OSError):
            connection.sendall(echo(b"%d" % server.connections))

    server = serve(answer)

    async def both() -> bytes:
        transport = AsyncTransport()
        with pytest.raises(Exception, match="no complete response"):
            await transport.send(HttpRequest.get(server.url), 0.1)
        late.set()
        return (await transport.send(HttpRequest.get(server.url), 5)).body

    assert asyncio.run(both()) == b"2"


def test_concurrent_requests_wait_in_parallel() -> None:
    """No request is answered before the last has arrived: a queue anywhere would block forever."""
    everybody = 200

    async def all_at_once() -> None:
        asked = 0
        came = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            with suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                asked += 1
                if asked == everybody:
                    came.set()
                await came.wait()
                writer.write(OK)
                await reader.read()  # until the client closes
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=everybody)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        transport = AsyncTransport()
        found = await asyncio.gather(*(transport.send(HttpRequest.get(url), 10) for _ in range(everybody)))
        assert all(response.body == b"ok" for response in found)
        await transport.aclose()
        server.close()

    asyncio.run(all_at_once())


def test_busy_event_loop_is_no_sign_of_a_dead_provider(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thousand simultaneous starts keep a loop busy for longer than a connection may take."""
    monkeypatch.setattr(aio, "CONNECT_TIMEOUT", 0.05)
    server = serve(sends(OK))

    async def while_busy() -> HttpResponse:
        transport = AsyncTransport()
        request = asyncio.create_task(transport.send(HttpRequest.get(server.url), 10))
        while not server.connections:
            await asyncio.sleep(0)
            time.sleep(0.2)
        response = await request
        await transport.aclose()
        return response

    assert asyncio.run(while_busy()).body == b"ok"


def test_connection_has_a_shorter_limit_than_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio, "CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:  # no accept, and the backlog is short
            each.setblocking(False)
            each.connect_ex(address)

        async def refused() -> None:
            transport = AsyncTransport()
            with pytest.raises(ProviderError, match=r"timed out after 0.2 s"):
                await transport.send(HttpRequest.get(f"http://127.0.0.1:{address[1]}/"), 60)
            await transport.aclose()

        asyncio.run(refused())
        for each in waiting:
            each.close()


def test_each_event_loop_has_and_closes_its_own_connections(serve: Serve) -> None:
    server, transport = serve(sends(OK)), AsyncTransport()

    async def twice() -> None:
        for _ in range(2):
            assert (await transport.send(HttpRequest.get(server.url), 5)).ok

    threads = [threading.Thread(target=asyncio.run, args=(twice(),)) for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        gc.collect()
    assert (server.connections, len(server.requests)) == (3, 6)
    assert transport._open == {}


def test_closed_loop_is_dropped_without_a_shutdown(serve: Serve) -> None:
    server, transport = serve(sends(OK)), AsyncTransport()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(transport.send(HttpRequest.get(server.url), 5))
    (kept,) = transport._open.values()
    loop.run_until_complete(kept.session.close())  # an open connection would raise a ResourceWarning
    loop.close()
    asyncio.run(transport.send(HttpRequest.get(server.url), 5))
    assert transport._open == {}


def test_closing_drops_connections_and_next_request_reopens(serve: Serve) -> None:
    server, transport = serve(sends(OK)), AsyncTransport()

    async def use() -> None:
        await transport.aclose()  # no connection is open yet
        for connections in (1, 2):
            await transport.send(HttpRequest.get(server.url), 5)
            await transport.send(HttpRequest.get(server.url), 5)
            assert server.connections == connections
            await transport.aclose()

    asyncio.run(use())


def test_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigurationError, match=r"phone-verify\[async\]"):
        AsyncTransport()
