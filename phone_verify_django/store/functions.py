"""The store's frequent statements as functions of PostgreSQL, which keeps their plans.

Django binds the values of a statement itself, so PostgreSQL parses and plans the whole text again each time, for
longer than it takes to run it. A function is planned once for each connection. Its body is the text of the statement,
so that it does the same; where the functions are missing, the store runs the texts.
"""

# ruff: noqa: S608 - only names of our own functions, tables and columns are formatted into the texts

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db import Error, ProgrammingError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from phone_verify.stores.rows.failures import in_words
from phone_verify.stores.rows.texts import NAMED, Statement, Tables
from phone_verify.stores.rows.writes import WriteStatements

from .tables import MODELS, row_tables

log = logging.getLogger("phone_verify")

_PREFIX = "phone_verify_"
#: The names of our functions, of this and of other versions.
_NAMES = f"^{_PREFIX}[a-z]+_[0-9a-f]{{16}}$"
#: The types of values that belong to no column, and of columns of the results.
_OTHERS = {
    **dict.fromkeys(("names", "limits", "gates", "full_at", "address", "of_phone", "this", "failed", "set"), "text"),
    **dict.fromkeys(("at", "before", "now", "read_at", "old_version", "version", "length"), "bigint"),
    **dict.fromkeys(("most", "short_per_day", "most_failures", "short_failures", "ceiling"), "bigint"),
    **dict.fromkeys(("short_sum", "long_sum", "right_sum"), "bigint"),
    "digests": "text[]",
}
#: What missing functions mean, and what to do.
HINT = (
    "Everything works without them, but PostgreSQL plans each statement of a start and a check again. Run migrate as a "
    "user who may create functions in the schema of the tables; see docs/stores.md, Functions in PostgreSQL."
)
#: SQLSTATE of a function that does not exist, and of one that the user may not run.
_MISSING = {"42883", "42501"}


@dataclass(frozen=True)
class Function:
    """A function: its name, its body, the text that creates it, and the text that calls it."""

    name: str
    body: str
    definition: str
    call: str


class FunctionMissing(ProgrammingError):  # noqa: N818 - the caller runs the step again
    """A function is gone, so nothing was done. From now on the statements are texts: the caller repeats the step."""


class Functions:
    """The functions that the statements of one store call, and whether its database has them."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        #: None before the first statement; then also False once one was missing, until the process ends.
        self.found: bool | None = None
        self._alias = connection.alias
        self._all: list[Function] = []
        self._tables = [connection.ops.quote_name(model._meta.db_table) for model in MODELS]
        fields = [field for model in MODELS for field in model._meta.concrete_fields]
        # Not the connection itself: it would stay open when its thread has ended.
        self._columns = {field.name: str(field.db_type(connection)) for field in fields}

    def statement(self, tables: Tables, verb: str, text: str, returned: Sequence[str]) -> Statement:
        """Return the statement of a text, which calls the function of this verb if the database has all functions."""
        function = self._function(tables, verb, text, returned)
        self._all.append(function)
        call, plain = tables.prepared(function.call), tables.prepared(text)

        def run(cursor: Any, **values: Any) -> Any:
            if self.found is None:
                self._look(cursor)
            if not self.found:
                return plain(cursor, **values)
            try:
                return call(cursor, **values)
            except ProgrammingError as error:
                if sqlstate(error) not in _MISSING:
                    raise
                self.found = False
                self._tell()
                raise FunctionMissing from error.__cause__

        return run

    def missing(self, cursor: Any) -> Sequence[Function]:
        """Return those that the database does not have with our body, or this user may not run."""
        wanted = {function.name: hashlib.sha256(function.body.encode()).hexdigest() for function in self._all}
        rows = ", ".join(["(%s, %s)"] * len(wanted))
        cursor.execute(
            f"SELECT name FROM (VALUES {rows}) AS wanted (name, digest) WHERE NOT EXISTS (SELECT 1 FROM pg_proc "
            "WHERE oid = to_regproc(name) AND has_function_privilege(oid, 'EXECUTE') "
            "AND encode(sha256(convert_to(prosrc, 'UTF8')), 'hex') = digest)",
            list(chain.from_iterable(wanted.items())),
        )
        missing = {name for (name,) in cursor.fetchall()}
        return [function for function in self._all if function.name in missing]

    def make(self, cursor: Any) -> None:
        """Create those that are missing, and drop those of other versions, which then run their texts.

        Without the store's tables all are dropped.
        """
        wanted = self._all if self.has_tables(cursor) else []
        for function in self.missing(cursor) if wanted else []:
            cursor.execute(function.definition)
        cursor.execute(
            "SELECT proname, oid::regprocedure::text FROM pg_proc WHERE proname ~ %s AND pg_function_is_visible(oid) "
            "AND pronamespace = to_regnamespace(quote_ident(current_schema())) AND pg_has_role(proowner, 'USAGE')",
            [_NAMES],
        )
        kept = {function.name for function in wanted}
        for name, signature in cursor.fetchall():
            if name not in kept:
                cursor.execute(f"DROP FUNCTION {signature}")

    def has_tables(self, cursor: Any) -> bool:
        """Return whether the store's tables exist."""
        cursor.execute(f"SELECT {' AND '.join(['to_regclass(%s) IS NOT NULL'] * len(self._tables))}", self._tables)
        return bool(cursor.fetchone()[0])

    def _look(self, cursor: Any) -> None:
        self.found = not self.missing(cursor)
        if not self.found:
            self._tell()

    def _tell(self) -> None:
        log.info("The database %r has no functions of this version for the store: run migrate", self._alias)

    def _function(self, tables: Tables, verb: str, text: str, returned: Sequence[str]) -> Function:
        order = list(dict.fromkeys(NAMED.findall(text)))
        types = ", ".join(self._passed(name, tables.casts) for name in order)
        columns = ", ".join(f"column{n} {self._type(name)}" for n, name in enumerate(returned))
        statement = NAMED.sub(lambda found: f"${order.index(found[1]) + 1}", text)
        body = f"\nBEGIN RETURN QUERY\n{statement};\nEND\n"
        # Without `jit`: a plan for any values may seem large enough to PostgreSQL to be compiled, for 16 ms.
        rest = (
            f"({types}) RETURNS TABLE ({columns}) LANGUAGE plpgsql SET jit = off AS $phone_verify${body}$phone_verify$"
        )
        name = f"{_PREFIX}{verb}_{hashlib.sha256(rest.encode()).hexdigest()[:16]}"
        arguments = ", ".join(f"%({name})s" for name in order)
        return Function(name, body, f"CREATE OR REPLACE FUNCTION {name}{rest}", f"SELECT * FROM {name}({arguments})")

    def _type(self, name: str) -> str:
        """Return the type of a column of the results."""
        return _OTHERS.get(name) or self._columns[name]

    def _passed(self, name: str, casts: Mapping[str, str]) -> str:
        """Return the type of a value: JSON is passed as text, and a truth value as a number."""
        kind = self._type(name)
        if name in casts:
            return "text" if kind == "jsonb" else "bigint"
        return "bigint" if kind in ("integer", "smallint") else kind


def functions_of(connection: BaseDatabaseWrapper) -> Functions:
    """Return the functions of this version for the tables in a database of PostgreSQL."""
    functions = Functions(connection)
    WriteStatements(row_tables(connection, functions.statement))
    return functions


def cannot_be_made(using: str) -> bool:
    """Return whether functions are missing in a database that has the tables, and its user may not create them."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return False
    functions = functions_of(connection)
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_schema_privilege(current_schema(), 'CREATE')")
        (may_create,) = cursor.fetchone()
        return not may_create and functions.has_tables(cursor) and bool(functions.missing(cursor))


def make_functions(using: str, verbosity: int = 1, stdout: Any = None, **_: Any) -> None:
    """Create the functions in a database that has the store's tables, and drop those of other versions.

    A receiver of `post_migrate`. If it fails the store runs the texts, and `migrate` says so.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    try:
        with transaction.atomic(using=using), connection.cursor() as cursor:
            functions_of(connection).make(cursor)
    except Error as error:
        if verbosity:
            why = in_words(error, type(error).__name__)
            print(f"The database {using!r} gets no functions for phone_verify_django ({why}). {HINT}", file=stdout)


def sqlstate(error: Error) -> str:
    """Return PostgreSQL's code of an error, or an empty text."""
    return getattr(error.__cause__, "sqlstate", None) or getattr(error.__cause__, "pgcode", None) or ""
