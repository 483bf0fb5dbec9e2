"""Errors of a database as text. A driver's own text may contain values of the statement, so it is
searched for known phrases and never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Codes of errors after which nothing was done: PostgreSQL's SQLSTATEs, and numbers of MySQL. After a deadlock or a
#: serialisation conflict a step can be repeated, ...
DEADLOCKS: frozenset[object] = frozenset({"40001", "40P01", 1213})
#: ... and on a new connection after these: the session is read-only, as after a failover, its prepared statements are
#: gone, or their results have other types.
OUTDATED: frozenset[object] = frozenset({"25006", "26000", "0A000", 1290, 1792, 1836})

_NO_TABLE, _NO_COLUMN = "a table is missing", "a column is missing"

#: Phrases of SQLite, PostgreSQL, MySQL and MariaDB; a group is the name of a database.
_PHRASES: Sequence[tuple[str, str]] = (
    (r"""(?:database "|Unknown database ')([\w-]{1,64})(?:" does not exist|')""", "database {} does not exist"),
    (r"[Cc]onnection refused", "connection refused"),
    (r"failed to resolve host|[Nn]ame or service not known|name resolution|nodename nor", "host not found"),
    (r"authentication failed|Access denied for user|role \S+ does not exist|no password supplied",
     "it rejected the user or password"),
    (r"timeout expired|[Tt]imed out|statement timeout|lock timeout|timeout exceeded|_time exceeded", "timed out"),
    (r"[Tt]oo many (?:connections|clients)|slots are reserved", "it has too many connections"),
    (r"server closed the connection|Lost connection|gone away|terminating connection", "the connection was lost"),
    (r"no such column|has no column named|column \S+ (?:of relation \S+ )?does not exist|Unknown column", _NO_COLUMN),
    (r"no such table|relation \S+ does not exist|Table '\S+' doesn't exist", _NO_TABLE),
    (r"unsupported startup parameter", "the pooler refused a startup parameter"),
    (r"unable to open database file", "the database file cannot be opened"),
    (r"readonly database|read-only transaction|--(?:super-)?read-only option", "the database is read-only"),
    (r"permission denied", "permission denied"),
    (r"database is locked", "the database is locked"),
    (r"disk image is malformed|file is not a database", "the database file is damaged"),
    (r"disk is full|No space left", "the disk is full"),
)  # fmt: skip


def code_of(error: BaseException) -> object:
    """Return the code of a driver's error: SQLite's name, an SQLSTATE, or a number."""
    for name in ("sqlite_errorname", "sqlstate", "pgcode"):
        if code := getattr(error, name, None):
            return code
    return error.args[0] if error.args and isinstance(error.args[0], int) else None


def in_words(error: BaseException, code: object = None, *, makes_tables: str = "") -> str:
    """Describe an error of a database driver, without its text: in words, or by its type and code.

    `makes_tables` is the command that creates and upgrades the tables, named if they are missing or old.
    """
    text = str(error)
    for pattern, phrase in _PHRASES:
        if found := re.search(pattern, text):
            hint = f"; run: {makes_tables}" if makes_tables and phrase in (_NO_TABLE, _NO_COLUMN) else ""
            return phrase.format(*found.groups()) + hint
    return f"{type(error).__name__} {code}" if code else type(error).__name__
