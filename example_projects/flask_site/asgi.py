"""The site as an ASGI application with asgiref's adapter: `uvicorn asgi:application` in this folder."""

import asyncio
from contextvars import Context

from asgiref.sync import ThreadSensitiveContext
from asgiref.wsgi import WsgiToAsgi
from wsgi import application as site


def with_whole_body(environ, start_response):
    """Mark the body as complete: the adapter buffers it in a file, even without a Content-Length."""
    environ["wsgi.input_terminated"] = True
    return site(environ, start_response)


adapted = WsgiToAsgi(with_whole_body)


async def application(scope, receive, send):
    """Handle each request in a separate thread; the adapter alone uses one thread for all."""
    # In a new context: a server may start a request in the context of the previous one on the connection, and
    # asgiref would use that one's thread.
    await asyncio.get_running_loop().create_task(answer(scope, receive, send), context=Context())


async def answer(scope, receive, send):
    """One request."""
    if scope["type"] == "http":
        # The adapter reads X_Forwarded_For as X-Forwarded-For: a client could add to what the proxy reports.
        scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if b"_" not in name]}
    async with ThreadSensitiveContext():
        await adapted(scope, receive, send)
