"""Queries to the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from ..config.ledger import ledger_at
from ..errors import ConfigurationError, StoreError
from ..sync import run
from .finding import Finding, Level
from .loader import Reading, fault, setting

#: Attempts are settled within a quarter of an hour where that is scheduled.
_LONG = timedelta(hours=1)
_MOST = 1000


def ledger(reading: Reading, say: Callable[[str], None] | None) -> Iterator[Finding]:
    """Report whether the ledger responds, and whether its attempts are settled; without `say` it is not contacted."""
    url, name = reading.settings.ledger, setting("ledger")
    if url is None:
        return
    try:
        opened = ledger_at(url, reading.given.ledgers)
    except ConfigurationError as error:
        yield fault("ledger", error, id="PV611")
        return
    if say is None:
        return
    say("Checking the ledger…")
    try:
        left = run(opened.unsettled(datetime.now(UTC) - _LONG, _MOST))
    except StoreError as error:
        says = f"The ledger does not answer: {str(error).removesuffix('.')}."
        advice = "Check that the database is running and reachable. Create its tables: phone-verify schema, or migrate."
        yield Finding(Level.ERROR, name, says, advice, id="PV612")
        return
    yield Finding(Level.OK, "", "The ledger answers.", id="PV613")
    if left:
        count = f"{len(left)} or more" if len(left) == _MOST else str(len(left))
        says = f"Orders that have been open for more than an hour: {count}. What they cost is still reserved."
        advice = "Run this every few minutes: phone-verify ledger settle"
        yield Finding(Level.WARNING, name, says, advice, id="PV614")
