"""The statements that read."""

# ruff: noqa: S608 - only names of our own tables are formatted into the texts; values are always bound

from __future__ import annotations

from functools import cache

from ...codes import TAG_LENGTH
from ...model import Status
from .texts import Statement, Table, Tables
from .values import FIELDS


class ReadStatements:
    """The statements that read. Of a phone they read its windows, failures, expiry and version."""

    def __init__(self, tables: Tables) -> None:
        self._tables = t = tables
        #: Whether a server runs them, and other clients' between them.
        self.server = t.kind != "sqlite"
        elsewhere = {"tag": "v.tag" if t.tagged else f"substr(v.id, 1, {TAG_LENGTH})", "read_at": t.now}
        fields = ", ".join(elsewhere.get(name, f"v.{name}") for name in FIELDS)
        counted = f"p.windows, p.failures, p.ends_at, {t.version}"
        names = ("tag", *t.counted)
        #: Creates the phone's row if it is missing, and locks it until the transaction ends.
        self.hold = t.prepared(t.upsert(Table.PHONE, names, [t.values(names)], ["tag"]))
        #: The server's time.
        self.time = t.prepared(f"SELECT {t.now}")
        #: The server's time and `this` phone; returns a row also without a phone.
        self.phone = t.prepared(
            f"SELECT {t.now}, {counted} FROM (SELECT 1 AS one) AS one LEFT JOIN {t.phone} AS p ON p.tag = %(this)s"
        )
        either = f"FROM {t.verification} AS v LEFT JOIN {t.phone} AS p ON p.tag = %(of_phone)s WHERE v.id = %(this)s"
        # The phone's row first, as everywhere, so that no two steps deadlock.
        both = (
            f"FROM {t.phone} AS p JOIN {t.verification} AS v ON p.tag = %(of_phone)s WHERE v.id = %(this)s FOR UPDATE"
        )
        #: The fields of `this` record, with the server's time as `read_at`, and the phone `of_phone`.
        self.record = t.prepared(f"SELECT {fields}, {counted} {either}")
        #: The same, locked.
        self.held_record = t.prepared(f"SELECT {fields}, {counted} {both}")
        of_address = [
            f"(SELECT c.{name} FROM {t.counter} AS c WHERE c.name = %(address)s)" for name in ("count", "ends_at")
        ]
        answered = ", ".join([*of_address, t.tallied("short"), t.tallied("right")])
        #: Like these two, with the count and end of the counter `address`, and the tally's wrong answers to short codes
        #: and right answers at the time `at`.
        self.answer = t.prepared(f"SELECT {fields}, {counted}, {answered} {either}")
        self.held_answer = t.prepared(f"SELECT {fields}, {counted}, {answered} {both}")
        #: The records of `this` phone that had not expired at `since`.
        self.siblings = t.prepared(
            f"SELECT {fields} FROM {t.verification} AS v WHERE {t.of_phone} AND expires_at > %(since)s"
        )
        #: At most `most` open records that have `line`, of a claim or of a code, and had not expired at `since`. By the
        #: index of expiry: only records of the last ten minutes are read, and no index of lines slows down every start.
        self.waiting = t.prepared(
            f"SELECT {fields} FROM {t.verification} AS v WHERE v.expires_at > %(since)s "
            "AND (v.line = %(line)s OR v.claim_line = %(line)s) "
            f"AND v.status IN ('{Status.PENDING}', '{Status.SENT}') LIMIT %(most)s"
        )
        #: By how many places or conversions are read.
        self.places, self.conversions = cache(self._places), cache(self._conversions)

    def _places(self, count: int) -> Statement:
        """Return the statement that reads the name, holder, request and response of those of this many places that are
        taken at the time `at`, in the order of the names, and that time.
        """
        t, names = self._tables, [f"%(name{n})s" for n in range(count)]
        order = " ".join(f"WHEN {name} THEN {n}" for n, name in enumerate(names))
        return t.prepared(
            f"SELECT name, holder, request, response, {t.time_given} FROM {t.response} "
            f"WHERE name IN ({', '.join(names)}) AND ends_at > {t.time_given} ORDER BY CASE name {order} END"
        )

    def _conversions(self, count: int) -> Statement:
        """Return the statement that reads the route, the counts, the time of the last change and the time `at` of this
        many conversions.
        """
        t, routes = self._tables, ", ".join(f"%(name{n})s" for n in range(count))
        return t.prepared(
            f"SELECT route, sent, verified, changed_at, {t.time_given} FROM {t.conversion} WHERE route IN ({routes})"
        )
