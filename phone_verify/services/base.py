"""The contract of services kept as rows of a database, which staff edit while the site runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..stores.threaded import InThread
from ..sync import run


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service as its editors have written it. No two changes of any service have the same version."""

    name: str
    version: int
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)


class RetiredNameError(Exception):
    """The name is that of a service that was deleted, so no new one can have it."""


class ServiceRows(Protocol):
    """Services as rows. Every verb raises `StoreError` if the database fails.

    A change is one atomic step: of two editors who have read the same version one succeeds.
    """

    async def version(self) -> int:
        """Return the version of the last change of any service, by one cheap read; 0 before the first."""
        ...

    async def versions(self) -> Mapping[str, int]:
        """Return the names of all services, each with the version of its last change."""
        ...

    async def load(self, name: str) -> ServiceRow | None:
        """Return this service, or None."""
        ...

    async def save(self, name: str, document: Mapping[str, Any], expected: int) -> int | None:
        """Write a service that still has the version `expected`, 0 for a new one, and return the new version.

        None if it has another version: an editor has changed it meanwhile. Raises `RetiredNameError` for a
        new service with a retired name.
        """
        ...

    async def delete(self, name: str, expected: int, *, retire: bool) -> bool:
        """Delete a service that still has this version; return whether it had.

        `retire` keeps its name, so that no later service gets what belongs to this one.
        """
        ...


class ThreadedServiceRows:
    """Blocking `ServiceRows` whose steps run in worker threads."""

    def __init__(self, rows: ServiceRows, in_thread: InThread) -> None:
        self._rows, self._in_thread = rows, in_thread

    async def version(self) -> int:
        return await self._in_thread(lambda: run(self._rows.version()))

    async def versions(self) -> Mapping[str, int]:
        return await self._in_thread(lambda: run(self._rows.versions()))

    async def load(self, name: str) -> ServiceRow | None:
        return await self._in_thread(lambda: run(self._rows.load(name)))

    async def save(self, name: str, document: Mapping[str, Any], expected: int) -> int | None:
        return await self._in_thread(lambda: run(self._rows.save(name, document, expected)))

    async def delete(self, name: str, expected: int, *, retire: bool) -> bool:
        return await self._in_thread(lambda: run(self._rows.delete(name, expected, retire=retire)))


def document_of(text: str) -> Mapping[str, Any]:
    """Return the document of a row; one that cannot be read is a field that no service has."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    return document if isinstance(document, Mapping) else {"(document)": "not JSON"}
