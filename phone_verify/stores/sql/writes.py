"""The statements that write, compiled once for one dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ...conversions import DECAY, MEMORY, MOST_COUNTED, SHORTEST_MEMORY
from ..rows.answers import spend_text
from ..rows.transactions import Statement
from ..rows.values import SERIES, TALLY_BEYOND, TALLY_FIRST
from ..rows.writes import (
    COUNTED,
    FOR_A_SHORT_TIME,
    STARTED,
    UNSET,
    WAITS_SHORTLY,
    Table,
    WriteStatements,
)
from .statements import Prepared, bound, server_time, tallied, time_given, upsert
from .tables import CONVERSION, COUNTER, PHONE, RESPONSE, VERIFICATION

_TABLES = {
    Table.VERIFICATION: VERIFICATION,
    Table.PHONE: PHONE,
    Table.COUNTER: COUNTER,
    Table.RESPONSE: RESPONSE,
    Table.CONVERSION: CONVERSION,
}
_EXPIRY = {Table.VERIFICATION: VERIFICATION.c.expires_at, Table.CONVERSION: CONVERSION.c.changed_at}
_WITHOUT_WAITING: sa.ColumnElement[str] = sa.literal_column("set_config('synchronous_commit', 'off', true)")
_NAMED = re.compile(r"%\((\w+)\)s")
#: The columns that a start sets. A phone's tag begins the id, so it has none.
_STARTED = tuple(name for name in STARTED if name != "tag")


def _values(names: Iterable[str]) -> dict[str, Any]:
    return {name: sa.bindparam(name) for name in names}


def _this() -> sa.ColumnElement[bool]:
    return VERIFICATION.c.id == sa.bindparam("this")


def _update(names: Iterable[str]) -> sa.Update:
    return sa.update(VERIFICATION).where(_this()).values(_values(names))


def _as_read() -> Sequence[sa.ColumnElement[bool]]:
    """Return the condition that the phone's row is unchanged since it was read."""
    return PHONE.c.tag == sa.bindparam("of_phone"), PHONE.c.version == sa.bindparam("old_version")


class EngineWrites(WriteStatements):
    """The statements that write, for an engine's dialect."""

    def __init__(self, dialect: sa.Dialect) -> None:
        super().__init__()
        self._dialect = dialect
        self.at_once, self.one_writer = dialect.name == "postgresql", dialect.name == "sqlite"
        self.guarded = not self.one_writer
        self.write_phone = self._prepared(upsert(dialect.name, PHONE, [bound(PHONE)], *COUNTED))
        unset: dict[str, sa.ColumnElement[Any]] = {
            name: sa.literal_column(constant) for name, constant in UNSET.items()
        }
        self.insert = self._prepared(sa.insert(VERIFICATION).values({**_values(_STARTED), **unset}))
        if self.at_once:
            self.spend = self._prepared(_spend())
        this: sa.BindParameter[str] = sa.bindparam("this")
        c = COUNTER.c
        counted = (c.name == this, c.ends_at == sa.bindparam("then"), c["count"] > 0)
        self.uncount = self._prepared(sa.update(COUNTER).where(*counted).values(count=c["count"] - 1))
        of_phone = (VERIFICATION.c.id >= this, VERIFICATION.c.id < sa.bindparam("beyond"))
        self.erase_records = self._prepared(sa.delete(VERIFICATION).where(*of_phone))
        self.erase_phone = self._prepared(sa.delete(PHONE).where(PHONE.c.tag == this))
        r = RESPONSE.c
        held = (r.name == this, r.holder == sa.bindparam("holder"))
        self.erase_responses = self._prepared(sa.delete(RESPONSE).where(r.tag == this))
        self.take = self._prepared(_take(dialect.name))
        kept = {"response": sa.bindparam("response"), "ends_at": _ends_at(dialect.name)}
        still = r.ends_at > time_given(dialect.name)
        self.keep_response = self._prepared(sa.update(RESPONSE).where(*held, still).values(kept))
        copied = [sa.bindparam("name", type_=r.name.type), r.holder, r.request, r.tag, r.response, r.ends_at]
        copy = sa.insert(RESPONSE).from_select([column.name for column in r], sa.select(*copied).where(*held))
        self.copy_response = self._prepared(copy)
        self.release = self._prepared(sa.delete(RESPONSE).where(*held))
        if dialect.name == "sqlite":
            self.add_conversion = None
        else:
            before = "" if dialect.name == "postgresql" else FOR_A_SHORT_TIME
            self.add_conversion = Prepared(_add_conversion(dialect.name), dialect, before)
        changed = ("sent", "verified", "changed_at")
        self.put_conversion = self._prepared(upsert(dialect.name, CONVERSION, [bound(CONVERSION)], *changed))

    def build_update(self, names: tuple[str, ...]) -> Statement:
        return self._prepared(_update(names))

    def build_guarded_update(self, names: tuple[str, ...], tallies: int, *, durable: bool) -> Statement:
        if self._dialect.name == "postgresql":
            held = sa.update(PHONE).where(*_as_read()).values(_values(COUNTED)).returning(PHONE.c.tag).cte("held")
            guarded = _update(names).where(held.c.tag == sa.bindparam("of_phone"))
            if tallies:
                guarded = guarded.add_cte(_tally("postgresql", tallies, held).cte("tally"))
            return self._prepared(guarded if durable else guarded.returning(_WITHOUT_WAITING))
        # One UPDATE of two tables, in MySQL's syntax; they are locked in the order in which they
        # are named.
        both = sa.update(PHONE).where(_this(), *_as_read())
        fields = {VERIFICATION.c[name]: value for name, value in _values(names).items()}
        counts = {PHONE.c[name]: value for name, value in _values(COUNTED).items()}
        return self._prepared(both.values({**fields, **counts}))

    def build_tally(self, count: int) -> Statement:
        return self._prepared(_tally(self._dialect.name, count))

    def build_start(self, purged: Mapping[Table, int]) -> Statement:
        return self._prepared(_start(purged))

    def build_purge(self, table: Table) -> tuple[Statement, Statement | None]:
        key, rows = _old(table)
        rows = rows.limit(sa.bindparam("most"))
        drop = sa.delete(_TABLES[table])
        match self._dialect.name:
            case "postgresql":
                return self._prepared(drop.where(_once(key, rows))), None
            case "sqlite":
                return self._prepared(drop.where(key.in_(rows))), None
        # MySQL does not support LIMIT inside IN.
        return self._prepared(drop.where(key == sa.bindparam("this"))), self._prepared(rows)

    def build_counters(self, count: int) -> tuple[Statement, Statement, Statement]:
        c, dialect_name = COUNTER.c, self._dialect.name
        names = [sa.bindparam(f"name{n}", type_=c.name.type) for n in range(count)]
        empty = [{"name": name, "count": sa.literal(0), "ends_at": sa.literal(0)} for name in names]
        full = [
            {"name": name, "count": sa.bindparam(f"count{n}"), "ends_at": sa.bindparam(f"ends_at{n}")}
            for n, name in enumerate(names)
        ]
        tally = (
            c.name >= sa.literal_column(f"'{TALLY_FIRST}'"),
            c.name < sa.literal_column(f"'{TALLY_BEYOND}'"),
        )
        each = sa.select(c.name, c["count"], c.ends_at, server_time(dialect_name))
        # With OR, SQLite would collect the rows in a temporary table.
        read = sa.union_all(each.where(c.name.in_(names)), each.where(*tally))
        hold = upsert(dialect_name, COUNTER, empty, "name")
        write = upsert(dialect_name, COUNTER, full, "count", "ends_at")
        return self._prepared(hold), self._prepared(read), self._prepared(write)

    def build_count(self, quotas: int, gates: int) -> Statement:
        return self._prepared(_one_more(_names("name", quotas), _names("gate", gates)))

    def _prepared(self, statement: sa.ClauseElement) -> Statement:
        return Prepared(statement, self._dialect)


def _old(kind: Table) -> tuple[sa.Column[Any], sa.Select[Any]]:
    """Return the key of a table, and its expired rows, the oldest first. Rows locked by a step are
    skipped.
    """
    table = _TABLES[kind]
    (key,) = table.primary_key
    over = _EXPIRY.get(kind)
    over = table.c.ends_at if over is None else over
    rows = sa.select(key).where(over <= sa.bindparam("before")).order_by(over)
    return key, rows.with_for_update(skip_locked=True)


def _once(key: sa.Column[Any], rows: sa.Select[Any]) -> sa.ColumnElement[bool]:
    """Return the condition that a key is among these rows, which PostgreSQL reads once.

    It may read a query inside `IN` again for each row. Each time `FOR UPDATE` skips the rows that
    this statement has deleted, so it would delete more than the limit.
    """
    return key == sa.any_(sa.func.array(rows.scalar_subquery()))


def _start(purged: Mapping[Table, int]) -> sa.ClauseElement:
    """Return a whole start, for PostgreSQL; it writes nothing after a concurrent update, or if the phone that was
    read has been erased.
    """
    old_version = sa.bindparam("old_version", type_=PHONE.c.version.type)
    phone = {column.name: sa.bindparam(column.name, type_=column.type) for column in PHONE.c}
    kept = sa.or_(old_version == sa.literal_column("-1"), sa.exists().where(PHONE.c.tag == phone["tag"]))
    insert = postgresql.insert(PHONE).from_select(list(phone), sa.select(*phone.values()).where(kept))
    counted = insert.on_conflict_do_update(
        index_elements=[PHONE.c.tag],
        set_={name: insert.excluded[name] for name in COUNTED},
        where=PHONE.c.version == old_version,
    )
    held = counted.returning(PHONE.c.version).cte("held")
    record: list[sa.ColumnElement[Any]] = [sa.bindparam(name, type_=VERIFICATION.c[name].type) for name in _STARTED]
    record += [sa.literal_column(constant) for constant in UNSET.values()]
    start = sa.insert(VERIFICATION).from_select([*_STARTED, *UNSET], sa.select(*record).select_from(held))
    start = start.returning(sa.select(held.c.version).scalar_subquery())
    sweeps = []
    for table, most in purged.items():
        key, rows = _old(table)
        if table is Table.PHONE:
            # This phone's row may have expired; it is being written here and must not be deleted as
            # well.
            rows = rows.where(PHONE.c.tag != sa.bindparam("tag"))
        # A literal, not a parameter: a plan that does not know how few rows are needed scans the
        # whole table.
        few = rows.limit(sa.literal_column(str(most)))
        sweeps.append(sa.delete(_TABLES[table]).where(_once(key, few)).cte(f"old_{table.value}"))
    return start.add_cte(*sweeps) if sweeps else start


def _spend() -> sa.ClauseElement:
    names = (VERIFICATION.name, PHONE.name, COUNTER.name)
    text = spend_text(*names, new_version="version = p.version + 1,", failures="text")
    return sa.text(_NAMED.sub(r":\1", text))


def _names(word: str, count: int) -> Sequence[sa.BindParameter[str]]:
    return [sa.bindparam(f"{word}{n}", type_=COUNTER.c.name.type) for n in range(count)]


def _one_more(names: Sequence[sa.BindParameter[str]], gates: Sequence[sa.BindParameter[str]]) -> sa.ClauseElement:
    c, now = COUNTER.c, time_given("postgresql")
    room = [sa.and_(c.name == name, c["count"] < sa.bindparam(f"limit{n}")) for n, name in enumerate(names)]
    held = sa.select(c.name).where(sa.or_(*room), c.ends_at > now).order_by(c.name).with_for_update().cte("held")
    allowed = [sa.select(sa.func.count()).select_from(held).scalar_subquery() == len(names)]
    if gates:
        gate = COUNTER.alias("gate")
        full = [
            sa.and_(gate.c.name == name, gate.c["count"] >= sa.bindparam(f"most{n}")) for n, name in enumerate(gates)
        ]
        allowed.append(~sa.exists().where(sa.or_(*full), gate.c.ends_at > now))
    more = sa.update(COUNTER).where(c.name.in_(names), *allowed).values(count=c["count"] + 1)
    # Nothing is sent before the start is written, which does wait for the disk.
    of_phone = [
        sa.select(column).where(PHONE.c.tag == sa.bindparam("tag")).scalar_subquery()
        for column in (PHONE.c.windows, PHONE.c.failures, PHONE.c.ends_at, PHONE.c.version)
    ]
    return more.returning(c.name, c.ends_at, server_time("postgresql"), _WITHOUT_WAITING, *_sums(), *of_phone)


def _sums() -> Sequence[sa.ColumnElement[Any]]:
    """Return the sums of the tally's series; under other names, since the table itself is being
    written.
    """
    return [tallied("postgresql", series, COUNTER.alias(f"tally_{series}")) for series in SERIES]


def _tally(dialect_name: str, count: int, held: sa.CTE | None = None) -> Any:
    """Change several counters, or restart those that have ended.

    With `held`, for PostgreSQL, only if that statement returns a row.
    """
    c, at = COUNTER.c, sa.bindparam("tally_at", type_=sa.BigInteger)
    rows = [
        {
            "name": sa.bindparam(f"tally_name{n}", type_=c.name.type),
            "count": sa.bindparam(f"tally_change{n}", type_=sa.Integer),
            "ends_at": sa.bindparam(f"tally_ends_at{n}", type_=sa.BigInteger),
        }
        for n in range(count)
    ]
    ended = c.ends_at <= at
    if dialect_name in ("mysql", "mariadb"):
        added = mysql.insert(COUNTER).values(rows)
        new = added.inserted
        # In this order: the second assignment uses the result of the first.
        return added.on_duplicate_key_update(
            [
                ("count", sa.case((ended, new["count"]), else_=c["count"] + new["count"])),
                ("ends_at", sa.case((ended, new.ends_at), else_=c.ends_at)),
            ]
        )
    module = sqlite if dialect_name == "sqlite" else postgresql
    insert: sqlite.Insert | postgresql.Insert = module.insert(COUNTER)
    if held is None:
        insert = insert.values(rows)
    else:
        chosen = [sa.select(*(sa.cast(value, c[name].type).label(name) for name, value in row.items())) for row in rows]
        each = sa.union_all(*(select.select_from(held) for select in chosen))
        insert = insert.from_select(["name", "count", "ends_at"], each)
    new = insert.excluded
    upserted = insert.on_conflict_do_update(
        index_elements=[c.name],
        set_={
            "count": sa.case((ended, new["count"]), else_=c["count"] + new["count"]),
            "ends_at": sa.case((ended, new.ends_at), else_=c.ends_at),
        },
    )
    return upserted if held is None else upserted.returning(c.name)


def _ends_at(dialect_name: str) -> sa.ColumnElement[Any]:
    return time_given(dialect_name) + sa.bindparam("lasts", type_=sa.BigInteger)


def _take(dialect_name: str) -> sa.ClauseElement:
    """Insert a place, or take one that has ended; any other is left unchanged."""
    c = RESPONSE.c
    values = {**bound(RESPONSE), "response": sa.null(), "ends_at": _ends_at(dialect_name)}
    ended = c.ends_at <= time_given(dialect_name)
    if dialect_name in ("mysql", "mariadb"):
        added = mysql.insert(RESPONSE).values(values)
        # `ends_at` last: the assignments before it read its old value.
        changed = ("holder", "request", "tag", "response", "ends_at")
        return added.on_duplicate_key_update(
            [(name, sa.case((ended, added.inserted[name]), else_=c[name])) for name in changed]
        )
    module = sqlite if dialect_name == "sqlite" else postgresql
    insert: sqlite.Insert | postgresql.Insert = module.insert(RESPONSE).values(values)
    new = {name: insert.excluded[name] for name in ("holder", "request", "tag", "response", "ends_at")}
    return insert.on_conflict_do_update(index_elements=[c.name], set_=new, where=ended)


def _add_conversion(dialect_name: str) -> sa.ClauseElement:
    """Insert the conversions of a route, or add to them by the rule of `Conversion.added`."""
    c, now = CONVERSION.c, time_given(dialect_name)
    microsecond = timedelta(microseconds=1)
    passed = sa.func.greatest(now - c.changed_at, sa.literal_column("0"))
    in_memory = sa.func.least(_number(1 / MEMORY), passed * _number(microsecond / SHORTEST_MEMORY))
    left = sa.func.exp(-(passed * _number(microsecond / DECAY) + in_memory))
    given = {name: sa.bindparam(name, type_=c[name].type) for name in ("route", "sent", "verified")}
    values: dict[str, sa.ColumnElement[Any]] = {**given, "changed_at": now}
    if dialect_name == "postgresql":
        values["route"] = sa.case((sa.literal_column(WAITS_SHORTLY), given["route"]))
        insert = postgresql.insert(CONVERSION).values(values)
        new = insert.excluded
    else:
        of_mysql = mysql.insert(CONVERSION).values(values)
        new = of_mysql.inserted
    # `changed_at` last: in MySQL the assignments before it read its old value.
    changes = [
        ("sent", _possible(c.sent) * left + new.sent),
        ("verified", _possible(c.verified) * left + new.verified),
        ("changed_at", sa.func.greatest(c.changed_at, new.changed_at)),
    ]
    if dialect_name != "postgresql":
        return of_mysql.on_duplicate_key_update(changes)
    upserted = insert.on_conflict_do_update(index_elements=[c.route], set_=dict(changes))
    # The counts may lose their last changes: a flush for each order would only make the row hotter.
    return upserted.returning(_WITHOUT_WAITING)


def _possible(count: sa.ColumnElement[float]) -> sa.ColumnElement[float]:
    return sa.case((count.between(_number(0), _number(MOST_COUNTED)), count), else_=_number(0))


def _number(value: float) -> sa.ColumnElement[float]:
    return sa.literal_column(f"{value:.17e}", sa.Double)
