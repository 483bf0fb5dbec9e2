"""The site as an ASGI application, by asgiref's adapter: `uvicorn asgi:application` in this folder."""

import asyncio
from contextvars import Context

from asgiref.sync import ThreadSensitiveContext
from asgiref.wsgi import WsgiToAsgi
from wsgi import application as site


def with_whole_body(environ, start_response):
    """Say that the body is there to its end: the adapter keeps it in a file, also one that came without a length."""
    environ["wsgi.input_terminated"] = True
    return site(environ, start_response)


adapted = WsgiToAsgi(with_whole_body)


async def application(scope, receive, send):
    """Answer each request in a thread of its own; the adapter alone has one for all of them."""
    # In a new context: a server may begin a request where the one before it on the connection has ended, and asgiref
    # would look for that one's thread.
    await asyncio.get_running_loop().create_task(answer(scope, receive, send), context=Context())


async def answer(scope, receive, send):
    """One request."""
    async with ThreadSensitiveContext():
        await adapted(scope, receive, send)
