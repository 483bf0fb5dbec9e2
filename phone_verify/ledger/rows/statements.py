"""The SQL statements of the ledger, in the dialect of one database."""

# ruff: noqa: S608 - only names of our own tables and columns are formatted into the texts; values are always bound

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cache

from ..values import Attempt

_NAMED = re.compile(r":(\w+)")

#: The columns of an attempt, in the order of its fields; the id is the last.
COLUMNS = tuple(field.name for field in fields(Attempt))
#: Those that a step may change after the first.
CHANGED = (
    "sent_at", "outcome", "delivery", "refusal", "provider_ms", "closed_at", "verify_ms", "parts", "list_price",
    "price", "cost", "currency", "cost_source", "charged", "reserved", "reference",
    "sealed", "look_up_at",
)  # fmt: skip
_ACCOUNT = ("service", "currency", "balance", "reserved", "alarm_base", "alarmed", "created_at")
_PAYMENT = ("service", "amount", "currency", "payment_key", "kind", "note", "made_by", "created_at")
_COUNTER = ("name", "used", "spent", "alarmed", "ends_at")
_ALARM = ("alarm_key", "alarm", "raised_at")
_USAGE = ("name", "used", "spent", "alarmed", "alarm_count", "alarm_money")


@dataclass(frozen=True, slots=True)
class TableNames:
    """The names of the tables."""

    attempt: str = "phone_verify_attempt"
    counter: str = "phone_verify_cap_counter"
    account: str = "phone_verify_account"
    payment: str = "phone_verify_payment"
    alarm: str = "phone_verify_alarm"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with named values, in both ways in which drivers of databases write them."""

    named: str
    pyformat: str


def statement(text: str) -> Statement:
    """Return the statement of a text with values like `:name`."""
    return Statement(text, _NAMED.sub(r"%(\1)s", text))


class Statements:
    """The statements for one kind of database: `sqlite`, `postgresql` or `mysql`."""

    def __init__(self, kind: str, names: TableNames) -> None:
        self._kind, self._names = kind, names
        #: Whether a change returns the rows that it leaves, without a second statement.
        self.returns = kind == "postgresql"
        # SQLite locks the whole file at the start of a step.
        lock = "" if kind == "sqlite" else " FOR UPDATE"
        attempt, account, payment, counter = names.attempt, names.account, names.payment, names.counter
        columns = ", ".join(COLUMNS)
        inserted = [name for name in COLUMNS if name != "id"]
        returning = " RETURNING id" if kind == "postgresql" else ""
        self.insert = statement(self._insert(attempt, [*inserted, "dirty"]) + returning)
        changes = ", ".join(f"{name} = :{name}" for name in CHANGED)
        self.update = statement(f"UPDATE {attempt} SET {changes}, dirty = 1 WHERE id = :id")
        self.update_unclear = statement(
            f"UPDATE {attempt} SET {changes}, dirty = 1 WHERE id = :id AND outcome = 'unclear' AND closed_at IS NULL "
            "AND tag = :tag"
        )
        read = f"SELECT {columns} FROM {attempt} WHERE"
        self.by_id = statement(f"{read} id = :id{lock}")
        key = "verification = :verification AND send = :send AND driver = :driver"
        # Without a lock: MySQL's duplicate holds a shared one, and two steps could not both exchange it.
        self.held_of_send = statement(f"{read} verification = :verification AND send = :send ORDER BY id{lock}")
        self.take_over = statement(
            f"UPDATE {attempt} SET driver = :driver, charged_for = :charged_for, {changes}, dirty = 1 WHERE id = :id"
        )
        self.by_key = statement(f"{read} {key}")
        self.held_by_key = statement(f"{read} {key}{lock}")
        self.of_verification = statement(f"{read} verification = :verification ORDER BY id")
        self.held_of_verification = statement(f"{read} verification = :verification ORDER BY id{lock}")
        self.by_reference = statement(
            f"{read} reference = :reference AND driver = :driver ORDER BY id DESC LIMIT 1{lock}"
        )
        self.unsettled = statement(
            f"{read} closed_at IS NULL AND started_at < :before ORDER BY started_at LIMIT :limit"
        )
        self.asked = statement(
            f"UPDATE {attempt} SET outcome = 'unclear', dirty = 1 WHERE id = :id AND outcome = 'unsent' "
            "AND closed_at IS NULL"
        )
        skip = "" if kind == "sqlite" else " FOR UPDATE SKIP LOCKED"
        self.look_ups = statement(f"{read} look_up_at <= :now ORDER BY look_up_at LIMIT :limit{skip}")
        self.look_up = statement(f"UPDATE {attempt} SET look_up_at = :look_up_at WHERE id = :id")
        self.of_phone = statement(f"SELECT id FROM {attempt} WHERE tag = :tag LIMIT :limit")
        self.old = statement(
            f"SELECT id, dirty, closed_at FROM {attempt} WHERE started_at < :before AND "
            "((dirty = 0 AND closed_at IS NOT NULL) OR tag <> '') ORDER BY started_at LIMIT :limit"
        )
        self.blank = statement(
            f"UPDATE {attempt} SET tag = '', hint = '', reference = NULL, sealed = NULL, look_up_at = NULL, "
            "verification = :verification WHERE id = :id"
        )
        self.delete = statement(f"DELETE FROM {attempt} WHERE id = :id AND dirty = 0 AND closed_at IS NOT NULL")
        self.delete_counters = statement(f"DELETE FROM {counter} WHERE ends_at < :before")
        self.make_account = statement(self._make_account())
        self.account = statement(f"SELECT {', '.join(_ACCOUNT)} FROM {account} WHERE service = :service")
        self.move = statement(
            f"UPDATE {account} SET reserved = reserved + :reserved, balance = balance - :charged "
            "WHERE service = :service"
        )
        self.move_returning = statement(f"{self.move.named} RETURNING {', '.join(_ACCOUNT)}")
        self.pay = statement(f"UPDATE {account} SET balance = balance + :amount WHERE service = :service")
        self.rebase = statement(
            f"UPDATE {account} SET alarm_base = balance - reserved, alarmed = 0 WHERE service = :service"
        )
        self.alarm_account = statement(
            f"UPDATE {account} SET alarmed = :level WHERE service = :service AND alarmed < :level"
        )
        self.insert_payment = statement(self._insert(payment, _PAYMENT))
        self.payment_by_key = statement(
            f"SELECT amount, currency FROM {payment} WHERE service = :service AND payment_key = :payment_key"
        )
        self.payments = statement(
            f"SELECT {', '.join(_PAYMENT)} FROM {payment} WHERE service = :service ORDER BY id DESC LIMIT :limit"
        )
        level = (
            f"UPDATE {counter} SET alarmed = :level, alarm_count = :alarm_count, alarm_money = :alarm_money "
            "WHERE name = :name"
        )
        self.alarm_counter = statement(f"{level} AND alarmed < :level")
        self.lower_counter = statement(f"{level} AND alarmed >= :level")
        self.insert_alarm = statement(self._insert(names.alarm, _ALARM))
        self.alarms = statement(
            f"SELECT alarm_key, alarm FROM {names.alarm} WHERE raised_at < :before ORDER BY raised_at LIMIT :limit"
        )
        self.delete_alarm = statement(f"DELETE FROM {names.alarm} WHERE alarm_key = :alarm_key")
        self.count = cache(self._count)
        self.counters = cache(self._counters)

    def _insert(self, table: str, columns: list[str] | tuple[str, ...]) -> str:
        """Return an insert that leaves a row with the same key as it is."""
        # Our values fit their columns, so MySQL's IGNORE hides nothing but the duplicate; the other form
        # does not tell an insert from a duplicate.
        ignore, suffix = (" IGNORE", "") if self._kind == "mysql" else ("", " ON CONFLICT DO NOTHING")
        values = ", ".join(f":{name}" for name in columns)
        return f"INSERT{ignore} INTO {table} ({', '.join(columns)}) VALUES ({values}){suffix}"

    def _make_account(self) -> str:
        """Return an insert that locks the row, new or not."""
        values = ", ".join(f":{name}" for name in _ACCOUNT)
        insert = f"INSERT INTO {self._names.account} ({', '.join(_ACCOUNT)}) VALUES ({values})"
        if self._kind == "mysql":
            return f"{insert} ON DUPLICATE KEY UPDATE alarmed = alarmed"
        return f"{insert} ON CONFLICT (service) DO UPDATE SET alarmed = {self._names.account}.alarmed"

    def _count(self, rows: int) -> Statement:
        """Return the statement that adds to this many counters, and creates missing ones."""
        table = self._names.counter
        values = ", ".join(f"(:name{n}, :used{n}, :spent{n}, 0, :ends_at{n})" for n in range(rows))
        insert = f"INSERT INTO {table} ({', '.join(_COUNTER)}) VALUES {values}"
        if self._kind == "mysql":
            changes = ", ".join(f"{name} = {name} + VALUES({name})" for name in ("used", "spent"))
            return statement(f"{insert} ON DUPLICATE KEY UPDATE {changes}")
        changes = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in ("used", "spent"))
        returning = f" RETURNING {', '.join(_USAGE)}" if self.returns else ""
        return statement(f"{insert} ON CONFLICT (name) DO UPDATE SET {changes}{returning}")

    def _counters(self, rows: int) -> Statement:
        names = ", ".join(f":name{n}" for n in range(rows))
        return statement(f"SELECT {', '.join(_USAGE)} FROM {self._names.counter} WHERE name IN ({names})")
