"""Reports and lists of attempts as CSV and as Excel files.

Names of columns are English and never change, numbers are in ASCII digits, and phone numbers are masked.
No value is a formula: spreadsheets run those that a text begins with.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import IO, Any

from ..errors import missing_extra
from ..ledger.values import Attempt
from ..sync import run
from .base import Aggregates, Position
from .reading import Order, OrderError
from .report import Report, Row

Value = str | int | float | Decimal | datetime | None

CSV_TYPE = "text/csv; charset=utf-8"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: Attempts that are read in one query.
_PAGE = 2000
#: The rows of a sheet of Excel, without the names of the columns.
SHEET_ROWS = 1_048_575
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_COUNTS = ("attempts", "sent", "delivered", "undelivered", "verified", "expired", "refused", "unclear", "unpriced")
_ATTEMPT = (
    "started_at", "service", "access_key", "purpose", "channel", "driver", "region", "operator", "number", "send",
    "outcome", "refusal", "delivery", "provider_ms", "verify_ms", "parts", "cost", "currency", "cost_source",
    "charged", "account_currency",
)  # fmt: skip


def report_lines(report: Report) -> Iterator[Sequence[Value]]:
    """Yield the names of the columns, a line for each row, and the total. Money has columns for each currency."""
    total = report.total
    costs, charges = sorted(total.cost), sorted(total.charged)
    yield [
        report.order.by.value, *_COUNTS, "conversion", "median_seconds", "p95_seconds",
        *(f"cost_{name}" for name in costs), *(f"charged_{name}" for name in charges),
        *(f"cost_per_verified_{name}" for name in costs),
    ]  # fmt: skip
    for row in [*report.rows, Row("total", total)]:
        found = row.figures
        each = found.cost_per_verified
        yield [
            row.key,
            *(found.count(name) for name in _COUNTS),
            _rounded(found.conversion, 4),
            _rounded(found.seconds_to_verify(0.5), 1),
            _rounded(found.seconds_to_verify(0.95), 1),
            *(found.cost.get(name, Decimal(0)) for name in costs),
            *(found.charged.get(name, Decimal(0)) for name in charges),
            *(each[name].quantize(Decimal("0.000001")) if name in each else None for name in costs),
        ]


def attempts_in(aggregates: Aggregates, order: Order) -> Iterator[Attempt]:
    """Yield the attempts of an order, newest first. The first page is read at the first call. Raises `StoreError`."""
    after: Position | None = None
    while True:
        page = run(
            aggregates.attempts(
                order.selection, after, _PAGE, outcome=order.outcome or None, refusal=order.refusal or None
            )
        )
        yield from page
        if len(page) < _PAGE:
            return
        after = (page[-1].started_at, page[-1].id)


def attempt_lines(attempts: Iterable[Attempt], zone: tzinfo) -> Iterator[Sequence[Value]]:
    """Yield the names of the columns and a line for each attempt; times are of this zone."""
    yield _ATTEMPT
    for each in attempts:
        values: dict[str, Value] = {"started_at": each.started_at.astimezone(zone), "number": each.hint}
        yield [values[name] if name in values else getattr(each, name) for name in _ATTEMPT]


def csv_chunks(lines: Iterable[Sequence[Value]]) -> Iterator[bytes]:
    """Yield the bytes of a CSV file, with a byte order mark: Excel would read another encoding."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    for line in lines:
        writer.writerow([_csv_value(value) for value in line])
        if buffer.tell() > 32_000:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def write_xlsx(
    lines: Iterable[Sequence[Value]], file: IO[bytes], progress: Callable[[int], object] = int, *, most: int
) -> int:
    """Write an Excel file row by row; return the number of rows below the names of the columns.

    `progress` is called with it now and then. Raises `OrderError` if there are more rows than `most`.
    """
    try:
        import xlsxwriter
    except ImportError as error:
        raise missing_extra("an Excel file", "reports", error) from error
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    count = -1
    with xlsxwriter.Workbook(file, options) as book:
        sheet = book.add_worksheet()
        sheet.freeze_panes(1, 1)
        sheet.set_column(0, 0, 20)
        sheet.set_column(1, 30, 13)
        time, money = (book.add_format({"num_format": form}) for form in ("yyyy-mm-dd hh:mm:ss", "0.00####"))
        head = book.add_format({"bold": True})
        for count, line in enumerate(lines):
            if count > most:
                raise OrderError("to", "error_rows", most)
            for column, value in enumerate(line):
                _write_cell(sheet, count, column, value, time, head if count == 0 else money)
            if count % 1000 == 0:
                progress(count)
    return count


def xlsx_file(lines: Iterable[Sequence[Value]], most: int) -> IO[bytes]:
    """Return an Excel file of at most this many rows at its start: in memory if it is small, or a temporary file.

    Raises `OrderError`.
    """
    file = tempfile.SpooledTemporaryFile(1_000_000)  # noqa: SIM115 - the caller sends it
    try:
        write_xlsx(lines, file, most=most)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _write_cell(sheet: Any, row: int, column: int, value: Value, time: Any, other: Any) -> None:
    if value is None or value == "":
        return
    if isinstance(value, datetime):
        # Excel has no time zones: the local time.
        sheet.write_datetime(row, column, value.replace(tzinfo=None), time)
    elif isinstance(value, str):
        sheet.write_string(row, column, value, other)
    elif isinstance(value, int):
        sheet.write_number(row, column, value)
    else:
        sheet.write_number(row, column, float(value), other)


def _csv_value(value: Value) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
