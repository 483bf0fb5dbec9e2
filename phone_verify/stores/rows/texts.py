"""What the texts of SQL need to know of a store's tables, and how a text runs on a cursor.

The statements are written once for all stores in SQL tables (`reads`, `writes`, `answers`), as texts with named
values, `%(tag)s`. What differs between the stores and their databases are the values of `Tables`; the columns have the
same names in every store.
"""

# ruff: noqa: S608 - only names of our own tables are formatted into the texts; values are always bound

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from .values import series_range

#: Runs on a DBAPI cursor with a mapping of values, or with few of them by name, and returns the cursor.
Statement: TypeAlias = Callable[..., Any]
#: See `Tables.as_function`.
AsFunction: TypeAlias = "Callable[[Tables, str, str, Sequence[str]], Statement]"

#: A named value in a text.
_NAMED = re.compile(r"%\((\w+)\)s")
#: The placeholder of PostgreSQL itself, which has the number of the value.
NUMBERED = "$"
#: The server's time in microseconds, taken when the statement runs, not when its transaction began. On SQLite a step
#: takes the time of the process.
_SERVER_TIME = {
    "sqlite": "0",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}
#: The databases for which the statements are written; MariaDB is `mysql`.
KINDS = tuple(_SERVER_TIME)


class Table(Enum):
    """The tables, with the primary key, and the column with the time from which a row may be purged."""

    VERIFICATION = ("verification", "id", "expires_at")
    PHONE = ("phone", "tag", "ends_at")
    COUNTER = ("counter", "name", "ends_at")
    RESPONSE = ("response", "name", "ends_at")
    CONVERSION = ("conversion", "route", "changed_at")


def numbered(text: str) -> tuple[str, Sequence[str]]:
    """Return a text with numbers in place of the named values, and their names by number, each once."""
    names = list(dict.fromkeys(_NAMED.findall(text)))
    return _NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", text), names


class Prepared:
    """A statement with named values that runs on a DBAPI cursor and returns it.

    The cursor gets the values in the order of the text; where they are numbered, one that occurs twice once.
    """

    def __init__(self, text: str, placeholder: str) -> None:
        named: tuple[str, Sequence[str]] = _NAMED.sub(placeholder, text), _NAMED.findall(text)
        self._text, self._order = numbered(text) if placeholder == NUMBERED else named

    def __call__(self, cursor: Any, values: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        cursor.execute(self._text, list(map((values or named).__getitem__, self._order)))
        return cursor


@dataclass(frozen=True)
class Tables:
    """The tables of a store: the values by which its statements differ from those of another store."""

    #: One of `KINDS`.
    kind: str
    #: The names, quoted if necessary, in the order of `Table`.
    verification: str
    phone: str
    counter: str
    response: str
    conversion: str
    _: KW_ONLY
    #: What the driver takes in place of a value.
    placeholder: str
    #: Whether a phone has a column `version`, in which each step writes a new number. PostgreSQL has a version of each
    #: row anyway; elsewhere a phone without that column must be locked.
    numbered: bool
    #: Whether a record has a column `tag`. Otherwise the tag begins its id, so the primary key finds a phone's records.
    tagged: bool
    #: Whether the database can skip rows that another step has locked.
    skips_locked: bool
    #: By column, the cast that a value needs; for PostgreSQL.
    casts: Mapping[str, str] = field(default_factory=dict)
    #: Makes a statement of a start or a check from these tables, the verb, the text and the names of what it returns;
    #: None to run the text. For PostgreSQL.
    as_function: AsFunction | None = None

    @property
    def counted(self) -> Sequence[str]:
        """The columns of a phone that a step changes."""
        return ("windows", "failures", "ends_at", *(["version"] if self.numbered else []))

    @property
    def version(self) -> str:
        """The version of the phone's row `p`; a constant if a lock excludes concurrent steps."""
        if self.numbered:
            return "p.version"
        return "p.xmin::text::bigint" if self.kind == "postgresql" else "0"

    @property
    def of_phone(self) -> str:
        """The condition for the records of `this` phone; none of its ids sorts after `beyond`."""
        return "tag = %(this)s" if self.tagged else "id >= %(this)s AND id < %(beyond)s"

    @property
    def now(self) -> str:
        """The server's time."""
        return _SERVER_TIME[self.kind]

    @property
    def time_given(self) -> str:
        """The time `at`, or the server's if that is NULL."""
        return f"COALESCE(%(at)s, {self.now})"

    def parts(self, table: Table) -> tuple[str, str, str]:
        """Return the name of a table, its key, and the column with the time from which a row may be purged."""
        field_name, key, expiry = table.value
        return getattr(self, field_name), key, expiry

    def tallied(self, series: str) -> str:
        """Return an expression for the sum of a series of the tally at the time `at`."""
        first, beyond = series_range(series)
        return (
            f"(SELECT COALESCE(SUM(c.count), 0) FROM {self.counter} AS c "
            f"WHERE c.name >= '{first}' AND c.name < '{beyond}' AND c.ends_at > {self.time_given})"
        )

    def values(self, names: Iterable[str]) -> str:
        """Return the values of these columns, as a list."""
        return ", ".join(f"%({name})s{self.casts.get(name, '')}" for name in names)

    def changes(self, names: Iterable[str], prefix: str = "") -> str:
        """Return assignments that write these columns; the prefix names their table."""
        return ", ".join(f"{prefix}{name} = {self.values([name])}" for name in names)

    def new(self, name: str) -> str:
        """Return the value of a column that an upsert would insert.

        MySQL prefers an alias since version 8.0.19, which MariaDB does not know.
        """
        return f"VALUES({name})" if self.kind == "mysql" else f"excluded.{name}"

    def new_values(self, names: Iterable[str]) -> str:
        """Return assignments that update these columns to what an upsert would insert."""
        return ", ".join(f"{name} = {self.new(name)}" for name in names)

    def on_conflict(self, key: str) -> str:
        """Return the beginning of the assignments of an upsert."""
        return "ON DUPLICATE KEY UPDATE" if self.kind == "mysql" else f"ON CONFLICT ({key}) DO UPDATE SET"

    def upsert(self, table: Table, names: Iterable[str], rows: Iterable[str], changed: Iterable[str]) -> str:
        """Return an insert of rows that updates these columns of existing ones; either way they are locked."""
        name, key, _ = self.parts(table)
        insert = f"INSERT INTO {name} ({', '.join(names)}) VALUES ({'), ('.join(rows)})"
        return f"{insert} {self.on_conflict(key)} {self.new_values(changed)}"

    def prepared(self, text: str) -> Statement:
        """Return the statement of a text, for the driver of this database."""
        return Prepared(text, self.placeholder)

    def frequent(self, verb: str, text: str, returned: Sequence[str]) -> Statement:
        """Return the statement of a text that every start or check runs, which returns columns with these names."""
        return self.as_function(self, verb, text, returned) if self.as_function else self.prepared(text)
