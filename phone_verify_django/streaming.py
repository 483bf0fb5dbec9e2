"""Event streams as Django responses. Only the ASGI handler sends them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from django.http import HttpRequest, StreamingHttpResponse

from phone_verify.api import ApiStream

from .site import release_thread


def response(request: HttpRequest, stream: ApiStream) -> StreamingHttpResponse:
    """Return the response that sends this stream."""
    # GZipMiddleware would keep events in its buffer.
    request.META["HTTP_ACCEPT_ENCODING"] = "identity"
    answer = StreamingHttpResponse(_sent(stream), headers=dict(stream.headers))
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


async def _sent(stream: ApiStream) -> AsyncIterator[bytes]:
    try:
        await release_thread()
        async for chunk in stream.chunks:
            yield chunk
    finally:
        await stream.chunks.aclose()
