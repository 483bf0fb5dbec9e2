"""Verifications in an SQL database: an SQLite file, PostgreSQL, MariaDB or MySQL.

One row per phone is what a step locks, and the phone's few counters ride in it: a step reads and writes one row
more than the record's own. On SQLite, which has one writer, `BEGIN IMMEDIATE` is the lock.

SQLAlchemy Core has the tables, the dialects and the connections. Its statements are compiled once and run on the
DBAPI cursor: on SQLite, where a statement takes five microseconds, executing it as a construct would take fifty.
Times are whole microseconds UTC, which every database keeps exactly.
"""

from __future__ import annotations

from ...errors import ConfigurationError

try:
    import sqlalchemy as _  # noqa: F401 - asked for once, here
except ImportError:
    raise ConfigurationError("An SQL store needs SQLAlchemy: pip install 'phone-verify[sql]'") from None

from .store import SqlStore
from .tables import metadata

__all__ = ["SqlStore", "metadata"]
