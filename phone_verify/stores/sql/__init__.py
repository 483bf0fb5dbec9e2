"""Verifications in an SQL database: an SQLite file, PostgreSQL, MariaDB or MySQL.

SQLAlchemy Core provides the tables, dialects and connections. The statements are the texts of `rows`, which run on the
DBAPI cursor: on SQLite, where a statement takes five microseconds, executing it as a construct would take fifty.
"""

from __future__ import annotations

from ...errors import missing_extra

try:
    import sqlalchemy as _  # noqa: F401 - imported here so that a missing package is reported early
except ImportError as error:
    raise missing_extra("The SQL store", "sql", error) from error

from .store import SqlStore
from .tables import metadata

__all__ = ["SqlStore", "metadata"]
