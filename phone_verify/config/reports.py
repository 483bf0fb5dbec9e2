"""The aggregates of a site, in the database of `PHONE_VERIFY_LEDGER`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import ConfigurationError, quoted
from ..reports.base import Aggregates
from .settings import PREFIX

#: Opens the aggregates in the database with this URL.
AggregatesOpener = Callable[[str], Aggregates]


def open_aggregates(url: str | None, own: Mapping[str, AggregatesOpener]) -> Aggregates:
    """Return the aggregates in the database with this URL: one of the adapter's `own` schemes, or an SQL database.

    Raises `ConfigurationError`.
    """
    if url is None:
        raise ConfigurationError(
            f"{PREFIX}LEDGER is not set, so this site has no reports",
            "Set it to a database, like sqlite:////var/lib/site/services.sqlite3",
        )
    scheme, colon, _ = url.partition(":")
    openers = {**_SQL, **own}
    if not colon or scheme not in openers:
        schemes = ", ".join(f"{name}:" for name in openers)
        raise ConfigurationError(f"{PREFIX}LEDGER: unknown database {quoted(scheme)}; known databases: {schemes}")
    return openers[scheme](url)


def _open_sql(url: str) -> Aggregates:
    # SQLAlchemy is loaded only by sites with such a database.
    from ..database.aggregates import SqlAggregates
    from ..database.connection import Database

    return SqlAggregates(Database.from_url(url))


_SQL: Mapping[str, AggregatesOpener] = dict.fromkeys(("sqlite", "postgresql", "mysql"), _open_sql)
