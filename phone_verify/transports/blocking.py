"""Sends `HttpRequest` values to providers and returns their responses.

Connecting may take 3 seconds; the complete response, as long as the caller allows. Redirects are
not followed, environment proxies are not used, the body size is limited. A request that did not
leave this machine raises `ProviderError`; one that may have arrived, `UnclearError`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import suppress
from functools import cache
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from ..errors import FailureKind, ProviderError, UnclearError
from ..exchange import HttpRequest, HttpResponse, SiteCall, SmppMessage
from ..sync import limited, run_in_loop, without_waiting_for_threads
from .base import CONNECT_TIMEOUT, HEADERS, LONGEST_BODY, HttpTransport
from .failures import in_words
from .smpp import submit

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_PIECE = 16 * 1024


class BlockingTransport(HttpTransport):
    """HTTP by urllib3: pooled, thread-safe, with certificate verification. Connections are not
    carried over a fork.
    """

    def __init__(self) -> None:
        self._pool: PoolManager | None = None
        self._owner = 0
        self._lock = threading.Lock()

    async def _exchanged(self, request: HttpRequest, timeout: float) -> HttpResponse:
        """Send the request. Never suspends."""
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        with _Watch(timeout) as watch:
            try:
                response = self._pooled().urlopen(
                    request.method,
                    request.url,
                    body=request.body,
                    headers={**HEADERS, **request.headers},
                    timeout=Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
                    redirect=False,
                    retries=False,
                    preload_content=False,
                )
                body = _read(response)
            except (HTTPError, OSError, ValueError) as error:
                if not watch.sent:
                    said = in_words(error, request.host, min(CONNECT_TIMEOUT, timeout))
                    raise ProviderError(FailureKind.TRANSIENT, said) from None
                raise UnclearError(f"no complete response: {in_words(error, request.host, timeout)}") from None
        if body is None or watch.expired:
            raise UnclearError(f"the response of {request.host} is too long or too slow")
        return HttpResponse(response.status, {name.lower(): value for name, value in response.headers.items()}, body)

    async def _called(self, call: SiteCall, timeout: float) -> object:
        """Call the function in this thread, without a time limit unless it is a coroutine."""
        answer = call.function(call.order)
        return run_in_loop(without_waiting_for_threads(limited(answer, timeout))) if isawaitable(answer) else answer

    async def _submitted(self, message: SmppMessage, timeout: float) -> HttpResponse:
        return submit(message, timeout)

    def _pooled(self) -> PoolManager:
        with self._lock:
            if self._pool is None or self._owner != os.getpid():
                self._pool, self._owner = _new_pool(), os.getpid()
            return self._pool


class _Watch:
    """Limits the total time of one exchange, and tracks whether any of it was sent.

    A socket's time-out applies to one read; a provider that sends a byte now and then would block a
    worker for hours. A timer therefore shuts the socket down when the time has run out, which ends
    the blocked read.
    """

    _here = threading.local()

    def __init__(self, seconds: float) -> None:
        self.sent = self.expired = False
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        _Watch._here.watch = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _Watch._here.watch = None

    @classmethod
    def current(cls) -> _Watch | None:
        """Return the watch of the exchange in progress in this thread, if any."""
        return getattr(cls._here, "watch", None)

    def request_leaves(self, sock: socket.socket | None) -> None:
        """Record that the provider may see the request from here on. Raises TimeoutError if it is
        too late to send it.
        """
        if self.expired:
            raise TimeoutError  # a slow name server used up the time
        self.sent, self._sock = True, sock

    def _shut(self) -> None:
        self.expired = True  # without a Content-Length the truncated body would look complete
        if self._sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


def _silent(_: logging.LogRecord) -> bool:
    # urllib3 logs complete URLs, and some providers require token and number in the URL.
    return _Watch.current() is None


def _new_pool() -> PoolManager:
    from urllib3 import PoolManager

    for name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_silent)
    pool = PoolManager(num_pools=16, maxsize=32)
    pool.pool_classes_by_scheme = _pool_classes()
    return pool


@cache
def _pool_classes() -> dict[str, Any]:
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    def watched(base: Any) -> Any:
        class Watched(base):  # type: ignore[misc]
            def request(self, *args: Any, **kwargs: Any) -> None:
                if self.sock is None:
                    self.connect()
                if watch := _Watch.current():
                    watch.request_leaves(self.sock)
                super().request(*args, **kwargs)

        return Watched

    class Plain(HTTPConnectionPool):
        ConnectionCls = watched(HTTPConnection)

    class Tls(HTTPSConnectionPool):
        ConnectionCls = watched(HTTPSConnection)

    return {"http": Plain, "https": Tls}


def _read(response: BaseHTTPResponse) -> bytes | None:
    """Return the whole body, or None if it exceeds the limit; the connection is then closed."""
    body = b""
    while piece := response.read(_PIECE):
        body += piece
        if len(body) > LONGEST_BODY:
            response.close()
            return None
    response.release_conn()
    return body
