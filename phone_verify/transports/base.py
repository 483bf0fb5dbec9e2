"""The contract of transports, and the code shared by the blocking and the async one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from ..exchange import HttpRequest, HttpResponse, Notice

CONNECT_TIMEOUT = 3.0
LONGEST_BODY = 256 * 1024
#: Default headers of each request, which the driver may override.
HEADERS = {"User-Agent": "phone_verify", "Accept-Encoding": "identity"}
#: Responds to a request instead of the network, or returns None to pass it on.
Interceptor = Callable[[HttpRequest | Notice], HttpResponse | None]
_interceptor: Interceptor | None = None


class Transport(Protocol):
    """Sends one request."""

    async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
        """Return the response, for any status, within `timeout` seconds.

        Raises `ProviderError` (transient) if the provider could not be reached, and `UnclearError`
        if it was reached but no complete response arrived.
        """
        ...


@contextmanager
def intercepted(by: Interceptor) -> Iterator[None]:
    """Within `with`, pass each outgoing request of any transport of this process to `by` first. For
    tests.
    """
    global _interceptor
    before, _interceptor = _interceptor, by
    try:
        yield
    finally:
        _interceptor = before


class HttpTransport:
    """A `Transport` over the network, with the interceptor and notices handled before it."""

    async def send(self, request: HttpRequest | Notice, timeout: float) -> HttpResponse:
        """See `Transport`."""
        if isinstance(request, HttpRequest):
            request = request.signed(datetime.now(UTC))  # providers compare it with their own clocks
        if _interceptor is not None and (answer := _interceptor(request)) is not None:
            return answer
        if isinstance(request, Notice):
            print(request.text, file=sys.stderr, flush=True)  # noqa: T201 - the purpose of a notice
            return HttpResponse(200)
        return await self._exchanged(request, timeout)

    async def _exchanged(self, request: HttpRequest, timeout: float) -> HttpResponse:
        raise NotImplementedError
