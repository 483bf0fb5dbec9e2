"""The contract of transports, and the code shared by the blocking and the async one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from ..errors import ProviderError, UnclearError, place_of
from ..exchange import HttpRequest, HttpResponse, Notice, Request, SiteCall, SmppMessage
from ..sync import ends_the_caller

CONNECT_TIMEOUT = 3.0
LONGEST_BODY = 256 * 1024
#: Default headers of each request, which the driver may override.
HEADERS = {"User-Agent": "phone_verify", "Accept-Encoding": "identity"}
#: Responds to a request instead of the network, or returns None to pass it on.
Interceptor = Callable[[Request], HttpResponse | None]
_interceptor: Interceptor | None = None


class Transport(Protocol):
    """Sends one request."""

    async def send(self, request: Request, timeout: float) -> HttpResponse:
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

    async def send(self, request: Request, timeout: float) -> HttpResponse:
        """See `Transport`."""
        if isinstance(request, HttpRequest):
            request = request.signed(datetime.now(UTC))  # providers compare it with their own clocks
        if _interceptor is not None and (answer := _interceptor(request)) is not None:
            return answer
        if isinstance(request, Notice):
            print(request.text, file=sys.stderr, flush=True)  # noqa: T201 - the purpose of a notice
            return HttpResponse(200)
        if isinstance(request, SiteCall):
            return await self._answered(request, timeout)
        if isinstance(request, SmppMessage):
            return await self._submitted(request, timeout)
        return await self._exchanged(request, timeout)

    async def _answered(self, call: SiteCall, timeout: float) -> HttpResponse:
        try:
            answer = await self._called(call, timeout)
        except ProviderError:
            raise
        except TimeoutError:
            raise UnclearError("the site's function did not answer in time") from None
        except BaseException as error:
            # Time-outs of gevent and panics of Rust extensions are not an `Exception` either.
            if ends_the_caller(error):
                raise
            # Its message can contain the number or the code.
            raise UnclearError(f"the site's function raised {type(error).__name__}{place_of(error)}") from None
        if answer is not None and not isinstance(answer, str):
            raise UnclearError(f"the site's function returned {type(answer).__name__}: return a text or None")
        return HttpResponse(200, body=(answer or "").encode(errors="replace"))

    async def _called(self, call: SiteCall, timeout: float) -> object:
        """Return what the function returns. Raises `TimeoutError` and whatever the function raises."""
        raise NotImplementedError

    async def _submitted(self, message: SmppMessage, timeout: float) -> HttpResponse:
        raise NotImplementedError

    async def _exchanged(self, request: HttpRequest, timeout: float) -> HttpResponse:
        raise NotImplementedError
