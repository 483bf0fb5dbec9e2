"""What the tests of the core share."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from phone_verify.verifier import Verifier

from .bench import AsyncFace, Bench
from .sockets import Server


@pytest.fixture(params=[Verifier, AsyncFace], ids=["blocking", "async"])
def face(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test through both faces of the verifier."""
    monkeypatch.setattr(Bench, "face", request.param)


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], Server]]:
    """Makes a server that answers each piece of a request by a function of the socket."""
    servers: list[Server] = []

    def new(answer: Callable[[socket.socket], None]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield new
    for server in servers:
        server.close()
