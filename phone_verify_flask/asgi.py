"""The Flask application as an ASGI application, with event streams.

    # asgi.py
    from phone_verify_flask.asgi import asgi_app
    from app import create_app

    application = asgi_app(create_app())

Flask stays a WSGI application: every request runs in a thread, through asgiref's adapter. Of an event
stream Flask answers the head, and this module then sends the events without a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextvars import Context
from importlib.util import find_spec
from typing import Any

from phone_verify.api import ApiStream
from phone_verify.errors import ConfigurationError

from .calls import STREAMS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def asgi_app(app: Wsgi) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the ASGI application of a Flask application, with or without WSGI middleware around it.

    Raises `ConfigurationError` if the extra `async` is not installed.
    """
    if find_spec("asgiref") is None or find_spec("aiohttp") is None:
        raise ConfigurationError("asgi_app needs asgiref and aiohttp", "Run: pip install 'phone-verify[async]'")
    return _Application(app)


class _Application:
    def __init__(self, app: Wsgi) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # In a new context: a server may start a request in the context of the previous one on the connection, and
        # asgiref would use that one's thread.
        await asyncio.get_running_loop().create_task(self._answer(scope, receive, send), context=Context())

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        from asgiref.sync import ThreadSensitiveContext
        from asgiref.wsgi import WsgiToAsgi

        if scope["type"] == "http":
            # The adapter reads X_Forwarded_For as X-Forwarded-For: a client could add to what the proxy reports.
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if b"_" not in name]}
        opened: list[ApiStream] = []
        response = _Response(opened, send)

        def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            # The adapter buffers the body in a file, even without a Content-Length.
            environ["wsgi.input_terminated"] = True
            environ[STREAMS] = opened
            return self._app(environ, start_response)

        try:
            # The context gives the request a separate thread, which ends with the head; without it one serves all.
            async with ThreadSensitiveContext():
                adapter: Any = WsgiToAsgi
                await adapter(wsgi)(scope, receive, response.send)
            if response.streams:
                await _unless_disconnected(receive, response.send_chunks())
        finally:
            for stream in opened:
                await stream.chunks.aclose()


class _Response:
    """Sends what Flask answers; the head of an event stream without Flask's empty body."""

    def __init__(self, opened: list[ApiStream], send: Send) -> None:
        self._opened, self._send = opened, send
        self.streams = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._opened:
            headers = [(name, value) for name, value in message["headers"] if name != b"content-length"]
            # Not if a function of the site has replaced the response.
            self.streams = message["status"] == 200 and (b"content-type", b"text/event-stream") in headers
            if self.streams:
                message = {**message, "headers": headers}
        if not self.streams or message["type"] != "http.response.body":
            await self._send(message)

    async def send_chunks(self) -> None:
        async for chunk in self._opened[-1].chunks:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body"})


async def _unless_disconnected(receive: Receive, sending: Any) -> None:
    """Send until the end, or until the client disconnects."""
    sent, disconnected = asyncio.create_task(sending), asyncio.create_task(_until_disconnect(receive))
    try:
        await asyncio.wait((sent, disconnected), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sent, disconnected):
            task.cancel()
        await asyncio.gather(sent, disconnected, return_exceptions=True)


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
