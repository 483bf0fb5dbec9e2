"""A client of a sandbox over real HTTP, and what the tests of faults need of a provider."""

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from phone_verify.sandbox import SandboxServer

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class ApiResponse:
    """A response on the wire."""

    status: int
    type: str
    body: bytes

    @property
    def ok(self) -> bool:
        """Return whether the order was accepted."""
        return 200 <= self.status < 300

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Caller:
    """A client of a sandbox over real HTTP."""

    server: SandboxServer
    pauses: list[float]

    def ask(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> ApiResponse:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self.server.url).port or 0, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return ApiResponse(response.status, response.getheader("Content-Type", ""), response.read())
        finally:
            connection.close()

    def fault(self, provider: str, phone: str | None = None, **fields: object) -> None:
        reply = self.ask("PUT", "/api/faults", json.dumps({"provider": provider, "phone": phone, **fields}), JSON)
        assert reply.status == 200, reply.body

    def arrived(self, phone: str) -> list[Any]:
        """Return the messages and calls of this handset, newest first."""
        reply = self.ask("GET", f"/api/handsets/{phone}")
        return [] if reply.status == 404 else [*reply.json["messages"], *reply.json["calls"]]

    def dial(self, phone: str, number: str) -> Any:
        return self.ask("POST", f"/api/handsets/{phone}/dial", json.dumps({"number": number}), JSON).json


@dataclass(frozen=True)
class Sender:
    """A provider's send request, two phones of its countries, and its errors as its documents name them.

    The request must deliver exactly one message or call.
    """

    send: Callable[[Caller, str], ApiResponse]
    phones: tuple[str, str]
    errors: frozenset[str]


def found_senders() -> dict[str, Sender]:
    """Return the senders by name of their provider, of every module in `senders` with a `SENDERS`."""
    found: dict[str, Sender] = {}
    for path in sorted(Path(__file__).with_name("senders").glob("*.py")):
        found |= import_module(f"tests.sandbox.senders.{path.stem}").SENDERS
    return found
