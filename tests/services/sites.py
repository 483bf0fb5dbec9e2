"""A site with services for these tests: rows in memory, and times that the test moves."""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phone_verify.api import ApiRequest, ApiResponse, handle
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.errors import StoreError
from phone_verify.http.site import Site
from phone_verify.services.base import RetiredNameError, ServiceRow
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from tests.ledger_files import with_tables

KEY = "k" * 43 + "Zq7"
SITE: Mapping[str, Any] = {
    "sms": "console://",
    "store": "memory:",
    "secret_keys": ["Xk3vQ9sLw2ZrT8yNbM4cJ6hG5fD1aP0oUeIiRqWtYxC"],
    "site_name": "Example",
    "public_url": "https://example.org",
    "resend_after": 0,
    "sends_per_hour": 0,
    "sends_per_hour_per_prefix": 0,
}


@dataclass
class MemoryRows:
    """Services as rows in memory, and how often each verb was called."""

    rows: dict[str, ServiceRow] = field(default_factory=dict)
    last: int = 0
    calls: list[str] = field(default_factory=list)
    is_down: bool = False
    retired: set[str] = field(default_factory=set)

    def _called(self, verb: str) -> None:
        self.calls.append(verb)
        if self.is_down:
            raise StoreError("the rows are down")

    async def version(self) -> int:
        self._called("version")
        return self.last

    async def versions(self) -> Mapping[str, int]:
        self._called("versions")
        return {name: row.version for name, row in self.rows.items()}

    async def load(self, name: str) -> ServiceRow | None:
        self._called("load")
        return self.rows.get(name)

    async def save(self, name: str, document: Mapping[str, Any], expected: int) -> int | None:
        self._called("save")
        if expected == 0 and name in self.retired:
            raise RetiredNameError
        found = self.rows.get(name)
        if (found.version if found else 0) != expected:
            return None
        self.last += 1
        self.rows[name] = ServiceRow(name, self.last, document)
        return self.last

    async def delete(self, name: str, expected: int, *, retire: bool) -> bool:
        self._called("delete")
        found = self.rows.get(name)
        if found is None or found.version != expected:
            return False
        self.last += 1
        del self.rows[name]
        self.retired |= {name} if retire else set()
        return True

    def put(self, name: str, **document: Any) -> None:
        """Write a service, ignoring its version."""
        self.last += 1
        self.rows[name] = ServiceRow(name, self.last, document)


#: Removed at the end of the run.
_folder = tempfile.TemporaryDirectory(prefix="phone_verify_services_")
_numbers = itertools.count()


def ledger_url() -> str:
    """Return the URL of a new database for all that is not under test."""
    return with_tables(Path(_folder.name) / f"ledger_{next(_numbers)}.sqlite3")


def opening(rows: MemoryRows | None) -> Mapping[str, Any]:
    """Return how a site opens these rows in the place of those in its database."""
    return {"sqlite": lambda _: rows} if rows is not None else {}


class Bench:
    """A site, its network, and its clocks."""

    def __init__(self, rows: MemoryRows | None = None, **settings: Any) -> None:
        self.transport, self.clock, self.rows, self.now = FakeTransport(), ManualClock(), rows, 1000.0
        given = {**SITE, **({"ledger": ledger_url()} if rows is not None else {}), **settings}
        self.site: Site = build_site(
            Settings.from_mapping(given),
            transport=self.transport,
            clock=self.clock,
            ticks=lambda: self.now,
            production=False,
            service_rows=opening(rows),
            webhook_path=lambda driver, secret: f"/phone/webhooks/{driver}/{secret}",
        )

    @property
    def code(self) -> str:
        """The code in the newest message."""
        return re.findall(r"\b[0-9]{4,8}\b", self.transport.notices[-1].text)[0]

    @property
    def wrong(self) -> str:
        """Another code of the same length."""
        return "".join(str((int(digit) + 1) % 10) for digit in self.code)

    def post(self, path: str, body: Mapping[str, Any], secret: str = "", **more: Any) -> ApiResponse:
        """Call the API without a browser."""
        headers = {"content-type": "application/json", **({"verification-secret": secret} if secret else {})}
        call = ApiRequest("POST", path, headers=headers, body=json.dumps(body).encode(), peer="192.0.2.1", **more)
        answer = handle(self.site, call)
        assert isinstance(answer, ApiResponse)
        return answer

    def get(self, path: str, secret: str) -> ApiResponse:
        """Read a verification."""
        call = ApiRequest("GET", path, headers={"verification-secret": secret}, peer="192.0.2.1")
        answer = handle(self.site, call)
        assert isinstance(answer, ApiResponse)
        return answer
