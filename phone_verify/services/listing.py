"""Lists the services of a site: where each is defined, its fields, and its mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..purposes import DEFAULT_SERVICE
from ..sync import run
from .catalog import Services
from .service import InvalidServiceError


@dataclass(frozen=True, slots=True)
class Entry:
    """One service: where it is defined, its fields, and its mistakes by field."""

    name: str
    origin: str
    version: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    mistakes: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> Mapping[str, object]:
        """Return the service for JSON, without the secrets of its endpoints."""
        return {
            "name": self.name,
            "origin": self.origin,
            "version": self.version,
            "fields": {name: _masked(value) for name, value in self.fields.items()},
            "mistakes": dict(self.mistakes),
        }

    @property
    def channels(self) -> str:
        """The channels that it names, separated by commas; empty for those of the site."""
        channels = self.fields.get("channels") or ()
        return ", ".join(map(str, channels)) if isinstance(channels, list | tuple) else str(channels)

    @property
    def is_public(self) -> bool:
        """Whether visitors may use it without an access key."""
        return self.fields.get("public") in (True, "true")


def _masked(value: Any) -> Any:
    """Return a field without secrets: those of endpoints sign webhooks."""
    if isinstance(value, Mapping):
        return {name: "***" if name == "secrets" else _masked(each) for name, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list | tuple) else value


def entries(services: Services) -> Sequence[Entry]:
    """Return all services, the site's own first. Raises `StoreError`."""
    found = {name: Entry(name, "settings", 0, service.given) for name, service in services.fixed.items()}
    names = run(services.rows.versions()) if services.rows is not None else {}
    for name in names:
        if name not in found and (entry := find_stored(services, name)) is not None:
            found[name] = entry
    own = found.pop(DEFAULT_SERVICE, None) or Entry(DEFAULT_SERVICE, "site")
    return [own, *sorted(found.values(), key=lambda entry: entry.name)]


def find_entry(services: Services, name: str) -> Entry | None:
    """Return this service, or None. Raises `StoreError`."""
    if (fixed := services.fixed.get(name)) is not None:
        return Entry(name, "settings", 0, fixed.given)
    return find_stored(services, name) or (Entry(name, "site") if name == DEFAULT_SERVICE else None)


def has_service(services: Services | None, name: str) -> bool:
    """Return whether a service has this name, also one with mistakes. Raises `StoreError`."""
    return name == DEFAULT_SERVICE if services is None else find_entry(services, name) is not None


def find_stored(services: Services, name: str) -> Entry | None:
    """Return the row of this name, or None. Raises `StoreError`."""
    row = run(services.rows.load(name)) if services.rows is not None else None
    if row is None:
        return None
    mistakes: Mapping[str, str] = {}
    try:
        mistakes = services.read(name, row.document).mistakes_in_a_row
    except InvalidServiceError as error:
        mistakes = error.fields
    return Entry(name, "database", row.version, row.document, mistakes)
