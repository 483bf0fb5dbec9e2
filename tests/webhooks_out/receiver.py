"""Servers that receive webhooks in the tests, with and without TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

#: Gets the connection after its request was read.
Respond = Callable[[socket.socket], None]


def says(text: str) -> Respond:
    """Respond with these bytes, and close."""
    return lambda connection: connection.sendall(text.encode())


def status(code: int, *headers: str) -> Respond:
    """Respond with this status."""
    return says("\r\n".join([f"HTTP/1.1 {code} Some reason", "Content-Length: 2", *headers, "", "ok"]))


@dataclass
class Receiver:
    """A server on a port of the loopback; each connection carries one request."""

    port: int
    respond: Respond
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    connections: int = 0


ACCEPTED = status(200)


@contextmanager
def receiver(respond: Respond = ACCEPTED, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a server while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Receiver(listener.getsockname()[1], respond)
    if tls is not None:
        tls.sni_callback = lambda _, name, __: server.names.append(name)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                server.connections += 1
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: Any) -> None:
        with suppress(OSError):
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            with connection:
                _read(server, connection)
                server.respond(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        listener.close()


def _read(server: Receiver, connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        if not (piece := connection.recv(65536)):
            return
        body += piece
    server.lines.append(first)
    server.requests.append((headers, body))
