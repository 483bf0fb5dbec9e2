"""Sends one message to an endpoint, over a connection to an address that was checked before.

The host is resolved once, and the connection goes to one of the resulting addresses, so a name server
cannot return a public address for the check and a private one for the connection. Redirects are not
followed, proxies of the environment are not used, and nothing of the response is kept but its status
and `Retry-After`. Connections are not reused: a pool is keyed by names, and these go to addresses.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection, HTTPException

from ..transports.base import CONNECT_TIMEOUT
from ..transports.failures import in_words
from .addresses import is_loopback, is_public
from .endpoints import Endpoint

#: The time for an attempt, in seconds, after the host was resolved: the system limits that step.
TIMEOUT = 10.0
#: How long to wait for the rest of a response whose status is known, in seconds.
_REST = 1.0
#: How much of a response is read, in bytes, so that the receiver can finish it.
_MOST_READ = 4096
#: How many addresses of a host are tried.
_MOST_ADDRESSES = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint responded: `status` is None without a response; `problem` is empty if it accepted the
    message.
    """

    status: int | None
    problem: str = ""
    retry_after: str = ""

    @property
    def is_overloaded(self) -> bool:
        """Whether the endpoint is down or busy, rather than refusing this message."""
        return self.status is None or self.status == 429 or self.status >= 500


#: Returns the addresses of a host, in the order to try them.
Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, in the system's order. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Sender:
    """Sends messages. Used by several threads.

    `allows` decides which addresses a public host may have; `tls` is the context that verifies
    certificates, by default with the system's authorities.
    """

    def __init__(
        self,
        *,
        resolve: Resolve = resolve,
        allows: Callable[[str], bool] = is_public,
        tls: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._resolve, self._allows, self._given_tls, self._timeout = resolve, allows, tls, timeout

    def send(self, endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a message, and return the response. Never raises for a failure of the network."""
        try:
            addresses = [
                address for address in self._resolve(endpoint.host, endpoint.port) if self._may(endpoint, address)
            ]
            if not addresses:
                kind = "address on this machine" if endpoint.is_on_this_machine else "public address"
                return Answer(None, f"{endpoint.host} has no {kind}")
            return self._exchange(endpoint, addresses[:_MOST_ADDRESSES], headers, body)
        except (OSError, HTTPException, ValueError) as error:  # TimeoutError is an OSError
            return Answer(None, in_words(error, endpoint.host, self._timeout))

    def _may(self, endpoint: Endpoint, address: str) -> bool:
        return is_loopback(address) if endpoint.is_on_this_machine else self._allows(address)

    def _exchange(
        self, endpoint: Endpoint, addresses: Sequence[str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        with _Limit(self._timeout) as limit:
            try:
                return self._exchanged(limit, endpoint, addresses, headers, body)
            except (OSError, HTTPException, ValueError):
                if limit.expired:  # however the closed socket is reported
                    return Answer(None, in_words(TimeoutError(), endpoint.host, self._timeout))
                raise

    def _exchanged(
        self, limit: _Limit, endpoint: Endpoint, addresses: Sequence[str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        limit.sock = sock = _connect(addresses, endpoint.port, limit)
        if endpoint.is_encrypted:
            limit.sock = sock = self._tls.wrap_socket(
                sock, server_hostname=endpoint.host, do_handshake_on_connect=False
            )
            sock.do_handshake()
        connection = HTTPConnection(endpoint.host, endpoint.port)
        connection.sock = sock
        connection.request("POST", endpoint.target, body, {**headers, **_HEADERS, "Host": endpoint.authority})
        response = connection.getresponse()
        sock.settimeout(min(_REST, limit.left))
        with suppress(OSError, HTTPException, ValueError):
            response.read(_MOST_READ)
        retry_after = response.headers.get("Retry-After", "")
        problem = "" if 200 <= response.status < 300 else f"answered {response.status}"
        return Answer(response.status, problem, retry_after)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()


_HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "phone_verify",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def _connect(addresses: Sequence[str], port: int, limit: _Limit) -> socket.socket:
    """Return a connection to the first address that accepts one."""
    failure: OSError = TimeoutError()
    for address in addresses:
        if limit.left <= 0:
            break
        try:
            sock = socket.create_connection((address, port), min(CONNECT_TIMEOUT, limit.left))
        except OSError as error:
            failure = error
            continue
        sock.settimeout(max(limit.left, 0.001))
        return sock
    raise failure


class _Limit:
    """Limits the total time of an exchange, and closes its socket.

    A socket's timeout applies to one read, and a receiver could send a byte now and then for hours.
    """

    def __init__(self, seconds: float) -> None:
        self.sock: socket.socket | None = None
        self.expired = False
        self._ends = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> _Limit:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self.sock is not None:
            self.sock.close()

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self._ends - time.monotonic()

    def _expire(self) -> None:
        self.expired = True
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
