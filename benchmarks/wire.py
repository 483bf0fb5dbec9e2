"""A proxy that counts what goes over a connection to a database: round trips, and PostgreSQL's statements.

A round trip is a change of direction: the client sends again after the server has sent. So it is counted where it
happens, not in the client library.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

#: PostgreSQL's messages that execute something: a simple query, and the execution of a prepared statement.
_STATEMENTS = b"QE"
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@dataclass
class Counts:
    """What went through, of all connections together."""

    round_trips: int = 0
    statements: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def clear(self) -> None:
        self.round_trips = self.statements = 0


@contextmanager
def counted(port: int) -> Iterator[tuple[int, Counts]]:
    """Yield the port of a proxy to this one of this machine, and what it counts."""
    counts = Counts()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                server = socket.create_connection(("127.0.0.1", port))
                _Link(client, server, counts).begin()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1], counts
        # Ends `accept`, which `close` alone does not.
        listening.shutdown(socket.SHUT_RDWR)


class _Link:
    """One connection of a client, forwarded in both directions."""

    def __init__(self, client: socket.socket, server: socket.socket, counts: Counts) -> None:
        self.client, self.server, self.counts = client, server, counts
        self.sends, self.messages = False, _Messages()
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def begin(self) -> None:
        for source, target, sends in ((self.client, self.server, True), (self.server, self.client, False)):
            threading.Thread(target=self._forward, args=(source, target, sends), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, sends: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self.counts.lock:
                    if sends:
                        self.counts.round_trips += not self.sends
                        self.counts.statements += self.messages.statements(data)
                    self.sends = sends
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class _Messages:
    """The messages of a client of PostgreSQL, read from its bytes; those of other servers count nothing."""

    def __init__(self) -> None:
        self._kept, self._begun = b"", False

    def statements(self, data: bytes) -> int:
        """Return how many messages that execute something end in these bytes."""
        self._kept += data
        if not self._begun:
            if self._kept.startswith(_SSL_REQUEST):
                self._kept = self._kept[len(_SSL_REQUEST) :]
            if len(self._kept) < 8 or self._kept[4:6] != b"\x00\x03":
                return 0
            self._kept, self._begun = self._kept[int.from_bytes(self._kept[:4]) :], True
        found = 0
        while len(self._kept) >= 5 and len(self._kept) > (length := int.from_bytes(self._kept[1:5])):
            found += self._kept[0] in _STATEMENTS
            self._kept = self._kept[1 + length :]
        return found
