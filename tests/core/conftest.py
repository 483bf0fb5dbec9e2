"""Fixtures of the core's tests."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from phone_verify.verifier.blocking import Verifier

from .harness import AsyncFace, Harness
from .sockets import Server


@pytest.fixture(params=[Verifier, AsyncFace], ids=["blocking", "async"])
def face(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with the blocking and with the async verifier."""
    monkeypatch.setattr(Harness, "face", request.param)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], Server]]:
    """Return a function that starts a server which handles each connection by a function of the socket."""
    servers: list[Server] = []

    def new(answer: Callable[[socket.socket], None]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield new
    for server in servers:
        server.close()
