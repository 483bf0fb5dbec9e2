"""The access keys of a site, in the database of `PHONE_VERIFY_LEDGER`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from ..errors import ConfigurationError, quoted
from ..keys.base import KeyStore
from ..keys.keys import AccessKeys
from ..keys.threaded import ThreadedKeyStore
from ..stores.threaded import InThread
from .settings import PREFIX

#: Opens the keys in the database with this URL.
KeyOpener = Callable[[str], KeyStore]


def open_keys(url: str, own: Mapping[str, KeyOpener], clock: Callable[[], datetime] | None = None) -> AccessKeys:
    """Return the access keys in the database with this URL: one of the adapter's `own` schemes, or an SQL database."""
    scheme, colon, _ = url.partition(":")
    openers = {**_SQL, **own}
    if not colon or scheme not in openers:
        schemes = ", ".join(f"{name}:" for name in openers)
        raise ConfigurationError(f"{PREFIX}LEDGER: unknown database {quoted(scheme)}; known databases: {schemes}")
    return AccessKeys(openers[scheme](url), clock or _now)


def in_threads(keys: AccessKeys, in_thread: InThread) -> AccessKeys:
    """Return the same keys for coroutines."""
    return AccessKeys(ThreadedKeyStore(keys.store, in_thread), keys.clock)


def _now() -> datetime:
    return datetime.now(UTC)


def _open_sql(url: str) -> KeyStore:
    # SQLAlchemy is loaded only by sites with such a database.
    from ..database.connection import Database
    from ..database.keys import DatabaseKeyStore

    return DatabaseKeyStore(Database.from_url(url))


_SQL: Mapping[str, KeyOpener] = dict.fromkeys(("sqlite", "postgresql", "mysql"), _open_sql)
