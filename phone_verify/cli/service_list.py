"""Lists, shows and changes services at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.files import document_in
from ..config.site import SiteConfig
from ..errors import ConfigurationError, quoted
from ..services.catalog import Services
from ..services.listing import Entry, find_entry, find_stored
from ..services.service import InvalidServiceError
from ..sync import run

HEAD = ("NAME", "FROM", "TITLE", "CHANNELS", "PUBLIC", "STATE")


def row(entry: Entry) -> tuple[str, ...]:
    """Return the columns of `HEAD`."""
    state = "invalid" if entry.mistakes else "in force"
    title = str(entry.fields.get("title", ""))
    return (entry.name, entry.origin, title, entry.channels or "(site)", "yes" if entry.is_public else "no", state)


def services_of(given: SiteConfig) -> Services:
    """Return the services of the site. Raises `ConfigurationError`, also if it has none."""
    services = given.site().services
    if services is None:
        raise ConfigurationError(
            given.in_words(
                "this site has no services: set PHONE_VERIFY_SERVICES, or PHONE_VERIFY_LEDGER to the database for them"
            )
        )
    return services


def entry_of(services: Services, name: str) -> Entry:
    """Return this service. Raises `ConfigurationError` without one, and `StoreError`."""
    entry = find_entry(services, name)
    if entry is None:
        raise ConfigurationError(f"no service is named {quoted(name)}")
    return entry


def change(services: Services, name: str, path: Path | None, words: Sequence[str]) -> int:
    """Set fields of a service, from a YAML file and `field=value` words, and return its new version.

    A file replaces all fields; an empty value removes one. Raises `ConfigurationError`, with each field
    that cannot work, and `StoreError`.
    """
    stored = find_stored(services, name)
    fields: dict[str, Any] = dict(stored.fields) if stored is not None else {}
    if path is not None:
        document = document_in(path, str(path))
        if not isinstance(document, Mapping):
            raise ConfigurationError(f"{path} must map fields to values")
        fields = dict(document)
    for word in words:
        field, equals, value = word.partition("=")
        if not equals:
            raise ConfigurationError(f"{quoted(word)}: write field=value")
        fields[field.strip()] = value
    version = run(services.save(name, fields, stored.version if stored is not None else 0))
    if version is None:
        raise ConfigurationError(f"{name} was changed by someone else meanwhile; look at it and try again")
    return version


def delete(services: Services, name: str) -> None:
    """Delete a service. Raises `ConfigurationError`, and `StoreError`."""
    stored = find_stored(services, name)
    if stored is None and name not in services.fixed:
        raise ConfigurationError(f"no row is named {quoted(name)}")
    if not run(services.delete(name, stored.version if stored is not None else 0)):
        raise ConfigurationError(f"{name} was changed by someone else meanwhile; look at it and try again")


def in_lines(error: ConfigurationError) -> str:
    """Return what is wrong, one line for each field."""
    if not isinstance(error, InvalidServiceError):
        return str(error)
    lines = [f"  {field}: {problem}" for field, problem in error.fields.items()]
    return "\n".join([f"The service {error.name} cannot work like this:", *lines])
