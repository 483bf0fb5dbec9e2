"""The messages of a site: each is a datagram to the benchmark, as quick as a provider that accepts at once."""

import os
import socket

_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
_ADDRESS = ("127.0.0.1", int(os.environ.get("BENCHMARK_OUTBOX", "0")))


def send(recipient: str, code: str) -> None:
    """Send a code to a recipient."""
    _socket.sendto(f"{recipient} {code}".encode(), _ADDRESS)
