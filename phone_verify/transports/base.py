"""The contract of transports, and what the blocking and the async one share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from ..exchange import HttpRequest, HttpResponse, Notice

CONNECT_TIMEOUT = 3.0


LONGEST_BODY = 256 * 1024


#: What each request has, unless the driver sets its own.
HEADERS = {"User-Agent": "phone_verify", "Accept-Encoding": "identity"}


#: Answers a request in the place of the network, or lets it pass by None.
Interceptor = Callable[[HttpRequest | Notice], HttpResponse | None]


_interceptor: Interceptor | None = None


class Transport(Protocol):
    """Sends one request."""

    async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
        """The answer, whatever its status, within `timeout` seconds.

        Raises `ProviderError` (transient) if the provider could not be reached, and `UnclearError` if it was
        reached and no whole answer came.
        """
        ...


@contextmanager
def intercepted(by: Interceptor) -> Iterator[None]:
    """Within it, whatever any transport of this process is about to send is shown to `by` first. For tests."""
    global _interceptor
    before, _interceptor = _interceptor, by
    try:
        yield
    finally:
        _interceptor = before


class HttpTransport:
    """A `Transport` over the network; what is not meant for the network does not reach it."""

    async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
        """See `Transport`."""
        if _interceptor is not None and (answer := _interceptor(request)) is not None:
            return answer
        if isinstance(request, Notice):
            print(request.text, file=sys.stderr, flush=True)  # noqa: T201 - this is what a notice is for
            return HttpResponse(200)
        return await self._exchanged(request, timeout)

    async def _exchanged(self, request: HttpRequest, timeout: float) -> HttpResponse:
        raise NotImplementedError
