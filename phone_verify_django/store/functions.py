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
from weakref import WeakKeyDictionary

from django.db import Error, InternalError, ProgrammingError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from phone_verify.stores.rows.failures import code_of, in_words
from phone_verify.stores.rows.texts import Statement, Tables, numbered
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
_TITLE = "Functions in PostgreSQL"
#: What missing functions mean, and what to do.
HINT = (
    "Everything works without them, but PostgreSQL plans each statement of a start and a check again. Run migrate as a "
    f"user who may create functions in the schema of the tables; see docs/stores.md, {_TITLE}."
)
#: PostgreSQL's settings within a function. A plan for any values must not seem large enough to be compiled, for 16 ms,
#: and must fit tables that grow: it is kept until the server has counted their rows again.
_SETTINGS = ("jit=off", "plan_cache_mode=force_generic_plan", "enable_seqscan=off")
#: A connection calls functions after this many statements: before, its plans would cost more than they save.
_USES = 20
#: SQLSTATEs that end the calls: the tables have columns of other types than the results, and a server takes no writes,
#: as the one to which a proxy sends whatever begins with SELECT.
_ENDING = {"42804", "25006"}
#: These, and those of a function that does not exist and of one that the user may not run.
_UNUSABLE = {*_ENDING, "42883", "42501"}
#: Whether a table `other` is one of the same name and owner as `t`, in another schema.
_ALIKE = (
    "other.relname = t.relname AND other.oid <> t.oid AND other.relkind = 'r' AND other.relpersistence = 'p' "
    "AND other.relowner = t.relowner"
)
#: The advisory lock of `make`: an arbitrary number.
_LOCK = 7_236_049_158
#: How long `make` waits for any lock. Every user of the database can take the advisory one.
_WAIT = "5s"


@dataclass(frozen=True)
class Function:
    """A function: its name with its types, its body, what follows `CREATE FUNCTION`, and the text that calls it."""

    signature: str
    body: str
    definition: str
    call: str


class FunctionMissing(ProgrammingError):  # noqa: N818 - the caller runs the step again
    """No function could be called, and nothing was done. The caller repeats the step, by texts if they are gone."""


class Functions:
    """The functions that the statements of one store call, and whether its database has them."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        #: None until the database is asked, at first and after a failed call; False lasts until the process ends.
        self._found: bool | None = None
        #: How many of our statements a connection has run, as far as that matters.
        self._uses = WeakKeyDictionary[Any, int]()
        self._alias = connection.alias
        self._all: list[Function] = []
        self._tables = [connection.ops.quote_name(model._meta.db_table) for model in MODELS]
        fields = [field for model in MODELS for field in model._meta.concrete_fields]
        # Not the connection itself: it would stay open when its thread has ended.
        # Without lengths: PostgreSQL cuts a value that is too long for an explicit type, in place of an error.
        self._columns = {field.name: str(field.db_type(connection)).partition("(")[0] for field in fields}

    def statement(self, tables: Tables, verb: str, text: str, returned: Sequence[str]) -> Statement:
        """Return the statement of a text, which calls the function of this verb if the database has all functions."""
        function = self._function(tables, verb, text, returned)
        self._all.append(function)
        call, plain = tables.prepared(function.call), tables.prepared(text)

        def run(cursor: Any, *values: Any, **named: Any) -> Any:
            if not self._is_kept(cursor.connection) or not self._are_found(cursor):
                return plain(cursor, *values, **named)
            try:
                return call(cursor, *values, **named)
            except (ProgrammingError, InternalError) as error:
                if code_of_cause(error) not in _UNUSABLE:
                    raise
                self._found = None
                if code_of_cause(error) in _ENDING:
                    self._tell(found=False)
                raise FunctionMissing(*error.args) from error.__cause__

        return run

    def _is_kept(self, raw: Any) -> bool:
        """Return whether a connection has run several statements, so that plans are worth keeping."""
        uses = self._uses.get(raw, 0)
        if uses < _USES:
            self._uses[raw] = uses + 1
        return uses >= _USES

    def _are_found(self, cursor: Any) -> bool:
        if self._found is None:
            try:
                self._tell(found=not self.missing(cursor))
            except ProgrammingError as error:  # the user may not read the catalogue; this ends a transaction
                self._tell(found=False)
                raise FunctionMissing(*error.args) from error.__cause__
        return bool(self._found)

    def _tell(self, *, found: bool) -> None:
        self._found = found
        if not found:
            log.info("The store calls no functions in the database %r; see docs/stores.md, %s", self._alias, _TITLE)

    def missing(self, cursor: Any) -> Sequence[Function]:
        """Return those that are not usable: with this body and these settings, in the schema of the tables, where this
        user may run them; of this user, or one with the rights of the tables' owner, as members and superusers have.
        """
        wanted = {each.signature: hashlib.sha256(each.body.encode()).hexdigest() for each in self._all}
        rows = ", ".join(["(%s, %s)"] * len(wanted))
        cursor.execute(
            f"SELECT signature FROM (VALUES {rows}) AS wanted (signature, digest) WHERE NOT EXISTS ("
            "SELECT 1 FROM pg_proc AS f JOIN pg_class AS t ON t.oid = to_regclass(%s) "
            "WHERE f.oid = to_regprocedure(signature) AND f.pronamespace = t.relnamespace "
            "AND (pg_has_role(f.proowner, t.relowner, 'USAGE') OR pg_get_userbyid(f.proowner) = current_user) "
            "AND encode(sha256(convert_to(f.prosrc, 'UTF8')), 'hex') = digest "
            "AND NOT f.prosecdef AND f.proconfig = %s AND has_function_privilege(f.oid, 'EXECUTE'))",
            [*chain.from_iterable(wanted.items()), self._tables[0], list(_SETTINGS)],
        )
        missing = {signature for (signature,) in cursor.fetchall()}
        return [each for each in self._all if each.signature in missing]

    def make(self, cursor: Any) -> None:
        """Create those that are missing, and drop those of other versions, which then run their texts.

        If several schemas have the store's tables, all are dropped; and without tables, those in the current schema.
        One that cannot be dropped is renamed. Raises `Error` if a lock is not free in time, or a right is missing.
        """
        cursor.execute(f"SET LOCAL lock_timeout = '{_WAIT}'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])  # several processes may migrate at once
        schema, several = self.place(cursor)
        wanted = self._all if schema and not several else []
        missing = self.missing(cursor) if wanted else []
        kept = [each.signature for each in wanted if each not in missing]
        cursor.execute(
            "SELECT oid::regprocedure::text, oid FROM pg_proc WHERE proname ~ %s AND pg_has_role(proowner, 'USAGE') "
            "AND oid <> ALL (SELECT to_regprocedure(kept) FROM unnest(%s::text[]) AS kept) "
            "AND (pronamespace = to_regnamespace(COALESCE(%s, quote_ident(current_schema()))) OR pronamespace IN "
            f"(SELECT other.relnamespace FROM pg_class AS t JOIN pg_class AS other ON {_ALIKE} "
            "WHERE t.oid = to_regclass(%s)))",
            [_NAMES, kept, schema, self._tables[0]],
        )
        for signature, number in cursor.fetchall():
            try:
                with transaction.atomic(using=self._alias):
                    cursor.execute(f"DROP FUNCTION {signature}")
            except Error:  # a view of any user may depend on it; renamed, it is called no more either
                cursor.execute(f"ALTER FUNCTION {signature} RENAME TO {_PREFIX}dropped_{number}")
        for function in missing:
            cursor.execute(f"CREATE FUNCTION {schema}.{function.definition}")

    def place(self, cursor: Any) -> tuple[str | None, bool]:
        """Return the schema of the store's tables, None without them, and whether their owner has others of that name
        in another schema: a session would keep plans for each.
        """
        cursor.execute(
            f"SELECT t.relnamespace::regnamespace::text, EXISTS (SELECT 1 FROM pg_class AS other WHERE {_ALIKE}) "
            "FROM pg_class AS t WHERE t.oid = to_regclass(%s)",
            self._tables[:1],
        )
        return cursor.fetchone() or (None, False)

    def _function(self, tables: Tables, verb: str, text: str, returned: Sequence[str]) -> Function:
        statement, order = numbered(text)
        types = [self._passed(name, tables.casts) for name in order]
        columns = ", ".join(f"column{n} {self._type(name)}" for n, name in enumerate(returned))
        settings = " ".join(f"SET {setting}" for setting in _SETTINGS)
        body = f"\nBEGIN RETURN QUERY\n{statement};\nEND\n"
        returns = f"RETURNS TABLE ({columns}) LANGUAGE plpgsql {settings}"
        rest = f"({', '.join(types)}) {returns} AS $phone_verify${body}$phone_verify$"
        name = f"{_PREFIX}{verb}_{hashlib.sha256(rest.encode()).hexdigest()[:16]}"
        # With the types: a function of the same name whose types fit the values better would be called instead.
        arguments = ", ".join(f"%({name})s::{kind}" for name, kind in zip(order, types, strict=True))
        call = f"SELECT * FROM {name}({arguments})"
        return Function(f"{name}({', '.join(types)})", body, f"{name}{rest}", call)

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
        schema, several = functions.place(cursor)
        if schema is None or several or not functions.missing(cursor):
            return False
        cursor.execute("SELECT NOT has_schema_privilege(to_regnamespace(%s), 'CREATE')", [schema])
        return bool(cursor.fetchone()[0])


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
            why = in_words(error)
            print(f"The database {using!r} gets no functions for phone_verify_django ({why}). {HINT}", file=stdout)


def code_of_cause(error: Error) -> object:
    """Return the driver's code of an error of Django."""
    return code_of(error.__cause__ or error)
