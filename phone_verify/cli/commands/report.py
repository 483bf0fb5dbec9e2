"""`phone-verify report`."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import click

from ...errors import ConfigurationError
from ...i18n.languages import ENGLISH
from ...ledger.values import Attempt
from ...reports.base import Aggregates
from ...reports.downloads import SHEET_ROWS, Value, attempt_lines, attempts_in, csv_chunks, report_lines, write_xlsx
from ...reports.numbers import Numbers
from ...reports.reading import OUTCOMES, Grouping, Order, OrderError, read_order
from ...reports.report import Report, fold_backlog, make_report
from ...sync import run
from ..output import Mark, console, examples, say, table
from ..site_loader import SiteTarget, of_a_site, reported

T = TypeVar("T")

_FILTERS = ("service", "access_key", "channel", "driver", "region", "purpose")
_PROGRESS_EVERY = 10_000


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    for name in reversed(_FILTERS):
        command = click.option(f"--{name.replace('_', '-')}", name, help="Only this one.", metavar="NAME")(command)
    return command


@click.command(
    short_help="Report what was sent, verified and spent.",
    epilog=examples(
        "phone-verify report --days 7 --by driver",
        "phone-verify report --from 2030-01-01 --format xlsx -o report.xlsx",
        "phone-verify report --attempts --format csv -o attempts.csv",
    ),
)
@of_a_site
@click.option("--from", "first", metavar="DATE", help="The first day. Default: 30 days with the last.")
@click.option("--to", "last", metavar="DATE", help="The last day. Default: today.")
@click.option("--days", type=click.IntRange(1, 1000), help="The number of days up to the last, instead of --from.")
@click.option("--zone", default="UTC", show_default=True, help="Time zone of days and hours, e.g. Asia/Tehran.")
@click.option("--by", type=click.Choice([each.value for each in Grouping]), default="day", show_default=True)
@_filtered
@click.option("--attempts", is_flag=True, help="List each message and call, newest first, with masked numbers.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only attempts with this result, with --attempts.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "xlsx"]), default="table")
@click.option("-o", "--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write a file.")
def report(
    site: SiteTarget,
    first: str | None,
    last: str | None,
    days: int | None,
    zone: str,
    by: str,
    attempts: bool,
    outcome: str | None,
    form: str,
    output: Path | None,
    **filters: str | None,
) -> None:
    """Report what was sent, delivered, verified and spent.

    The rows are days unless --by names something else. Attempts that have changed are added to the aggregates
    first: a site without a worker runs this command from a scheduled job.
    """
    if form == "xlsx" and output is None:
        raise click.UsageError("--format xlsx needs a file: -o report.xlsx")
    if outcome is not None and not attempts:
        raise click.UsageError("--outcome is of messages and calls: add --attempts")
    if first is not None and days is not None:
        raise click.UsageError("--from and --days both name the first day: leave one out")
    order = _order({"from": first, "to": last, "zone": zone, "by": by, "outcome": outcome, **filters}, days)
    aggregates = _aggregates(site)
    with reported():
        run(fold_backlog(aggregates, lambda: False))
    if attempts:
        rows = _read_safely(attempts_in(aggregates, order))
        lines: Iterable[Sequence[Value]] = attempt_lines(rows, order.zone)
    else:
        with reported():
            made = run(make_report(aggregates, order, with_choices=False))
        if form == "table" and output is None:
            _print(made)
            return
        lines = report_lines(made)
    _write(lines, form, output)


def _order(given: dict[str, str | None], days: int | None) -> Order:
    now = datetime.now(UTC)
    try:
        if days is not None:
            last = read_order(_given(to=given["to"], zone=given["zone"]), "UTC", now).last
            given["from"] = (last - timedelta(days=days - 1)).isoformat()
        return read_order(_given(**given), "UTC", now)
    except OrderError as error:
        raise _refusal(error) from None


def _refusal(error: OrderError) -> click.BadParameter:
    return click.BadParameter(_ADVICE.get(error.text, "choose another value"), param_hint=f"--{error.name}")


_ADVICE = {
    "error_day": "write a date between 2000 and 2099, like 2030-01-31",
    "error_order": "the last day is before the first",
    "error_days": "choose fewer days: at most 1100, or 31 by hour",
    "error_hours": "choose fewer days: at most 31 by hour",
    "error_rows": "an Excel file has no room for so many rows; choose fewer days, or --format csv",
    "error_zone": "write the name of a time zone, like Europe/Berlin",
}


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _print(made: Report) -> None:
    numbers = Numbers(ENGLISH)
    headings = ("sent", "delivered", "verified", "conversion", "refused", "cost", "per verified", "median", "95 %")
    listed = table(made.order.by.value, *headings, whole=[made.order.by.value])
    for label, found in [*((row.key, row.figures) for row in made.rows), ("total", made.total)]:
        listed.add_row(
            label or "–",
            *(numbers.count(found.count(name)) for name in ("sent", "delivered", "verified")),
            numbers.percent(found.conversion),
            numbers.count(found.count("refused")),
            numbers.amounts(dict(found.cost)),
            numbers.amounts(found.cost_per_verified),
            numbers.seconds(found.seconds_to_verify(0.5)),
            numbers.seconds(found.seconds_to_verify(0.95)),
        )
    console().print(listed)
    if unpriced := made.total.count("unpriced"):
        say(f"{unpriced} were sent without a known price; the cost is incomplete.", Mark.WARNING)


def _write(lines: Iterable[Sequence[Value]], form: str, output: Path | None) -> None:
    if form == "table":
        form = "csv"
    try:
        with tempfile.TemporaryFile() if output else click.open_file("-", "wb") as file:
            if form == "xlsx":
                write_xlsx(lines, file, _show_progress, most=SHEET_ROWS)
            elif form == "csv":
                for chunk in csv_chunks(_counted(lines)):
                    file.write(chunk)
            else:
                for text in _json_chunks(_counted(lines)):
                    file.write(text.encode())
            if output:  # only now: a file that was there stays if rows cannot be read
                file.seek(0)
                with output.open("wb") as target:
                    shutil.copyfileobj(file, target)
    except OrderError as error:
        raise _refusal(error) from None
    except OSError as error:
        raise click.ClickException(f"The file cannot be written: {error.strerror}.") from None
    except (ConfigurationError, ValueError) as error:
        raise click.ClickException(f"{error}") from None
    if output:
        say(f"Wrote {output}.", Mark.OK, stderr=True)


def _counted(lines: Iterable[Sequence[Value]]) -> Iterator[Sequence[Value]]:
    for count, line in enumerate(lines):
        _show_progress(count)
        yield line


def _show_progress(count: int) -> None:
    if count and count % _PROGRESS_EVERY == 0 and sys.stderr.isatty():
        say(f"{count:,} rows …", stderr=True)


def _json_chunks(lines: Iterator[Sequence[Value]]) -> Iterator[str]:
    names = [str(name) for name in next(lines)]
    before = "["
    for line in lines:
        yield f"{before}\n{json.dumps(dict(zip(names, map(_json_value, line), strict=True)), ensure_ascii=False)}"
        before = ","
    yield "\n]\n" if before == "," else "[]\n"


def _json_value(value: Value) -> str | int | float | None:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, date) else value


def _aggregates(site: SiteTarget) -> Aggregates:
    with reported():
        return site.config().aggregates()


def _read_safely(attempts: Iterator[Attempt]) -> Iterator[Attempt]:
    with reported():
        yield from attempts
