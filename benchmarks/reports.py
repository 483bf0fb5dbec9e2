"""How fast reports of a million attempts are, on PostgreSQL and SQLite.

    python -m benchmarks.reports [--postgresql URL] [--attempts 1000000] [--times 7]

The attempts are of the last 90 days, of three services, three drivers and five countries; all are folded but
for the last few hundred. Prints the median and the slowest of each query, and fails above two seconds on
PostgreSQL.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from phone_verify.database.aggregates import SqlAggregates
from phone_verify.database.aggregates_tables import QUARTER
from phone_verify.database.connection import Database
from phone_verify.database.ledger_tables import ATTEMPT
from phone_verify.database.schema import upgrade
from phone_verify.reports.downloads import SHEET_ROWS, attempt_lines, attempts_in, csv_chunks, write_xlsx
from phone_verify.reports.figures import DIMENSIONS, MEASURES, TIME_LIMITS
from phone_verify.reports.periods import QUARTER_MICROS
from phone_verify.reports.reading import Order, read_order
from phone_verify.reports.report import make_report, parts_of
from phone_verify.stores.rows.values import micros
from phone_verify.sync import run

from .ledger_cost import databases

#: The most that a report may take on PostgreSQL, in seconds.
GOAL = 2.0
DAYS = 90
NOT_FOLDED = 300


def plain_engine(url: str) -> sa.Engine:
    """Return an engine without our time limits, which filling exceeds."""
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)


def fill(engine: sa.Engine, count: int, now: datetime) -> None:
    """Write the attempts and what they add up to, in SQL: the ledger's own steps would take an hour."""
    start, step = micros(now - timedelta(days=DAYS)), DAYS * 86_400_000_000 // count
    names = ", ".join(_VALUES)
    dirty = f"CASE WHEN i < {count - NOT_FOLDED} THEN 0 ELSE 1 END"
    sums = {"attempts": "1", "sent": _SENT, "delivered": _VERIFIED, "verified": _VERIFIED,
            "refused": "CASE WHEN outcome = 'refused' THEN 1 ELSE 0 END",
            "expired": "CASE WHEN outcome = 'expired' THEN 1 ELSE 0 END",
            "cost": "cost", "charged": "charged", "verify_ms": "COALESCE(verify_ms, 0)"}  # fmt: skip
    lower = -1
    for number, limit in enumerate((*TIME_LIMITS, 10**6)):
        within = f"verify_ms > {lower * 1000} AND verify_ms <= {limit * 1000}"
        sums[f"t{number}"] = f"CASE WHEN {within} THEN 1 ELSE 0 END"
        lower = limit
    with engine.connect() as connection:
        connection.execute(
            sa.text(
                f"INSERT INTO {ATTEMPT.name} ({names}, started_at, dirty) "
                f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1}), "
                f"r AS (SELECT i, CAST(i AS BIGINT) * 48271 + (CAST(i AS BIGINT) * 7919) % 104729 AS d FROM n) "
                f"SELECT {', '.join(_VALUES.values())}, {start} + CAST(i AS BIGINT) * {step}, {dirty} FROM r"
            )
        )
        columns = ", ".join(f"SUM({sums.get(name, '0')})" for name in MEASURES)
        quarter = f"started_at / {QUARTER_MICROS} * {QUARTER_MICROS}"
        dimensions = ", ".join(DIMENSIONS)
        connection.exec_driver_sql(
            f"INSERT INTO {QUARTER.name} (quarter, {dimensions}, {', '.join(MEASURES)}) "
            f"SELECT {quarter}, {dimensions}, {columns} FROM {ATTEMPT.name} WHERE dirty = 0 "
            f"GROUP BY {quarter}, {dimensions}"
        )
        connection.commit()
        connection.exec_driver_sql("ANALYZE")
        connection.commit()
        rows = connection.exec_driver_sql(f"SELECT COUNT(*) FROM {QUARTER.name}").scalar()
    print(f"  {rows:,} rows of aggregates", flush=True)


_SENT = "CASE WHEN outcome IN ('verified', 'expired') THEN 1 ELSE 0 END"
_VERIFIED = "CASE WHEN outcome = 'verified' THEN 1 ELSE 0 END"
_REFUSED, _FAILED = "(d / 1009) % 100 < 5", "(d / 1009) % 100 < 35"
#: The columns of an attempt, from its number and a draw. Most are of one service, route and country.
_VALUES = {
    "verification": "'v' || i",
    "send": "1",
    "driver": "CASE WHEN (d / 7) % 20 < 12 THEN 'amoot' WHEN (d / 7) % 20 < 17 THEN 'ssms' ELSE 'sinch' END",
    "service": "CASE WHEN (d / 31) % 10 < 7 THEN 'default' WHEN (d / 31) % 10 < 9 THEN 'shop' ELSE 'bank' END",
    "purpose": "'login'",
    "channel": "CASE WHEN (d / 7) % 20 < 17 THEN 'sms' ELSE 'flash_call' END",
    "access_key": "CASE WHEN (d / 31) % 10 < 7 THEN '' ELSE '3kTMd9aQz0Lw' END",
    "region": "CASE WHEN (d / 211) % 16 < 11 THEN 'IR' WHEN (d / 211) % 16 < 13 THEN 'DE' "
    "WHEN (d / 211) % 16 < 14 THEN 'RU' WHEN (d / 211) % 16 < 15 THEN 'TR' ELSE 'AE' END",
    "operator": "''",
    "tag": "''",
    "hint": "'+98 ••••••••01'",
    "outcome": f"CASE WHEN {_REFUSED} THEN 'refused' WHEN {_FAILED} THEN 'expired' ELSE 'verified' END",
    "delivery": "''",
    "refusal": f"CASE WHEN {_REFUSED} THEN 'balance' ELSE '' END",
    "closed_at": "1",
    "verify_ms": f"CASE WHEN {_FAILED} THEN NULL ELSE 4000 + (d / 13) % 300 * ((d / 13) % 300) END",
    "list_price": "9000",
    "price": "9000",
    "cost": f"CASE WHEN {_REFUSED} THEN 0 ELSE 9000 END",
    "currency": "'EUR'",
    "cost_source": "'table'",
    "charged": f"CASE WHEN {_REFUSED} THEN 0 ELSE 9000 END",
    "reserved": "0",
    "account_currency": "'EUR'",
    "charged_for": "'sent'",
    "counted": "0",
}


def queries(aggregates: SqlAggregates, now: datetime) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what is measured, with its name."""

    def order(**given: str) -> Order:
        whole = {"from": (now - timedelta(days=DAYS)).date().isoformat(), "to": now.date().isoformat()}
        return read_order({"zone": "Asia/Tehran", **whole, **given}, "UTC", now)

    month = {"from": (now - timedelta(days=30)).date().isoformat()}
    yield "page, 90 days by day", lambda: run(make_report(aggregates, order()))
    yield "page, 90 days by day, compared", lambda: run(make_report(aggregates, order(compare="1")))
    yield "page, 90 days by driver", lambda: run(make_report(aggregates, order(by="driver")))
    yield "page, 30 days by hour", lambda: run(make_report(aggregates, order(by="hour", **month)))
    yield "page, 90 days of a service", lambda: run(make_report(aggregates, order(service="shop")))
    yield "chart, 90 days by day", lambda: run(make_report(aggregates, order(), with_choices=False))
    yield "list, first page", lambda: run(aggregates.attempts(order().selection, None, 51))
    middle = (now - timedelta(days=DAYS / 2), 10**9)
    yield "list, a page in the middle", lambda: run(aggregates.attempts(order().selection, middle, 51))
    yield "list of a driver", lambda: run(aggregates.attempts(order(driver="sinch").selection, middle, 51))
    yield "plan of the downloads", lambda: run(parts_of(aggregates, order()))


def measure(aggregates: SqlAggregates, times: int, now: datetime) -> float:
    """Print the figures; return the slowest median."""
    slowest = 0.0
    for name, query in queries(aggregates, now):
        taken = []
        for _ in range(times):
            before = time.perf_counter()
            query()
            taken.append(time.perf_counter() - before)
        slowest = max(slowest, statistics.median(taken))
        print(f"  {name:32} p50 {statistics.median(taken) * 1000:7.0f} ms   p95 {_p95(taken) * 1000:7.0f} ms")
    part = run(parts_of(aggregates, _all(now)))[0]
    for name, write in (("CSV", _csv), ("XLSX", _xlsx)):
        before = time.perf_counter()
        rows = write(aggregates, part.order)
        print(f"  {name} of {rows:,} attempts: {time.perf_counter() - before:.1f} s")
    return slowest


def _all(now: datetime) -> Order:
    return read_order({"from": (now - timedelta(days=DAYS)).date().isoformat()}, "UTC", now)


def _csv(aggregates: SqlAggregates, order: Order) -> int:
    chunks = csv_chunks(attempt_lines(attempts_in(aggregates, order), order.zone))
    return sum(chunk.count(b"\r\n") for chunk in chunks) - 1


def _xlsx(aggregates: SqlAggregates, order: Order) -> int:
    with tempfile.TemporaryFile() as file:
        return write_xlsx(attempt_lines(attempts_in(aggregates, order), order.zone), file, most=SHEET_ROWS)


def _p95(taken: Sequence[float]) -> float:
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * 0.95))]


def main() -> int:
    """Print the figures of each database; return 1 if PostgreSQL is slower than the mark."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--postgresql", metavar="URL", help="An empty database.")
    options.add_argument("--attempts", type=int, default=1_000_000)
    options.add_argument("--times", type=int, default=7)
    given = options.parse_args()
    now = datetime.now(UTC)
    failed = False
    with databases(given.postgresql) as urls:
        for kind, url in urls.items():
            print(f"{kind}, {given.attempts:,} attempts", flush=True)
            upgrade(url)
            database = Database.from_url(url)
            aggregates = SqlAggregates(database)
            fill(plain_engine(url), given.attempts, now)
            slowest = measure(aggregates, given.times, now)
            failed = failed or (kind == "PostgreSQL" and slowest > GOAL)
            database.engine.dispose()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
