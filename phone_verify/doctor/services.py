"""Checks of the services of the settings, and of those of the database if it may be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, StoreError
from ..purposes import DEFAULT_SERVICE
from ..sync import run
from .finding import Finding, Level
from .loader import Reading, setting

if TYPE_CHECKING:
    from ..services.base import ServiceRows

Say = Callable[[str], None]


def services(reading: Reading, say: Say | None) -> Iterator[Finding]:
    """Report services with mistakes; without `say` the database is not contacted."""
    settings = reading.settings
    if not (settings.services or settings.ledger or settings.service != DEFAULT_SERVICE):
        return
    # A site without services loads nothing of them.
    from ..config.service_site import open_rows

    for name, fields in settings.services.items():
        yield from _mistakes(reading, name, fields, setting("services"), "")
    names = {*settings.services, DEFAULT_SERVICE}
    if settings.ledger:
        try:
            rows = open_rows(settings.ledger, reading.given.service_rows)
        except ConfigurationError:
            return  # the rule of the ledger reports it
        if say is None:
            return
        say("Checking the services…")
        try:
            stored = run(rows.versions())
            yield from _stored(reading, rows, [name for name in stored if name not in settings.services])
        except StoreError as error:
            advice = "Check that the database is running and reachable, and that its tables exist."
            says = f"The database of the services does not answer: {error}."
            yield Finding(Level.ERROR, setting("ledger"), says, advice, id="PV615")
            return
        names |= stored.keys()
    if settings.service not in names:
        says = f"No service is named {settings.service}, so the site's pages have no channel."
        yield Finding(Level.ERROR, setting("service"), says, "Create it, or remove the setting.", id="PV218")


def _stored(reading: Reading, rows: ServiceRows, names: list[str]) -> Iterator[Finding]:
    for name in names:
        row = run(rows.load(name))
        if row is not None:
            advice = (
                f"Until then a process that has read its last valid form uses that: phone-verify services set {name}"
            )
            yield from _mistakes(reading, name, row.document, setting("ledger"), advice, is_row=True)


def _mistakes(
    reading: Reading, name: str, fields: Mapping[str, Any], where: str, advice: str, *, is_row: bool = False
) -> Iterator[Finding]:
    from ..config.service_fields import read_service
    from ..services.service import InvalidServiceError

    found: Mapping[str, str] = {}
    try:
        service = read_service(name, fields, reading.settings, reading.router)
        if is_row:
            found, advice = service.mistakes_in_a_row, "Until then this endpoint gets no message."
    except InvalidServiceError as error:
        found = error.fields
    for field, problem in found.items():
        yield Finding(Level.ERROR, where, f"Service {name}: {field}: {problem}.", advice, id="PV217")
