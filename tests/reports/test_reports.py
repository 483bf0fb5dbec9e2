"""Orders, reports and downloads of them, over a ledger in SQLite."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from click.testing import CliRunner

from phone_verify.cli.commands.report import report as command
from phone_verify.database.aggregates import SqlAggregates
from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.i18n.languages import ENGLISH, LANGUAGES
from phone_verify.ledger.values import Attempt, AttemptOutcome, Held
from phone_verify.model import Channel
from phone_verify.reports.base import Aggregates
from phone_verify.reports.downloads import SHEET_ROWS, attempt_lines, attempts_in, csv_chunks, report_lines, xlsx_file
from phone_verify.reports.figures import Figures, measures_of
from phone_verify.reports.numbers import Numbers
from phone_verify.reports.periods import QUARTER_MICROS, Periods, Span, Unit
from phone_verify.reports.reading import Grouping, Order, OrderError, read_order, read_position
from phone_verify.reports.report import fold_backlog, make_report, parts_of
from phone_verify.stores.rows.values import micros
from phone_verify.testing.ledger_calls import CENT, NOW, REFUSED, SENT, attempt, later, run
from tests.ledger_files import with_tables

DAY = {"from": "2030-01-01", "to": "2030-01-01"}
FORMULAS = ["=1+1", "+1", "-1", "@A1", "\tx", "\rx"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return with_tables(tmp_path / "ledger.sqlite3")


@pytest.fixture
def ledger(url: str) -> SqlLedger:
    return SqlLedger(Database.from_url(url))


@pytest.fixture
def aggregates(url: str) -> SqlAggregates:
    return SqlAggregates(Database.from_url(url))


def write(ledger: SqlLedger, number: int, at: datetime = NOW, **changes: Any) -> Attempt:
    held = run(ledger.begin(attempt(number, **changes), [], None, at))
    assert isinstance(held, Held)
    return held.attempt


@pytest.fixture
def filled(ledger: SqlLedger) -> SqlLedger:
    """Six attempts: four sent, of which two verified, and two refused."""
    for number in range(6):
        held = write(ledger, number, later(number * 3600), driver="amoot" if number % 2 else "ssms")
        run(ledger.finish(held, REFUSED if number > 3 else SENT, later(number * 3600 + 1)))
        if number < 2:
            run(ledger.verify(held.verification, Channel.SMS, held.driver, later(number * 3600 + 11)))
    return ledger


def order(**given: str) -> Order:
    return read_order({**DAY, **given}, "UTC", NOW)


# Orders


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "1999-12-31"}, "to"),
        ({"from": "2030-02-01", "to": "2030-01-01"}, "to"),
        ({"from": "2001-01-01", "to": "2030-01-01"}, "to"),
        ({"from": "2030-01-01", "to": "2030-02-01", "by": "hour"}, "to"),
        ({"zone": "Mars/Base"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"by": "phone"}, "by"),
        ({"outcome": "stolen"}, "outcome"),
        ({"service": "x" * 65}, "service"),
        ({"driver": "a\nb"}, "driver"),
        ({"hour": "soon"}, "hour"),
        ({"hour": "9" * 30}, "hour"),
    ],
)
def test_unusable_parameter_is_named(given: dict[str, str], name: str) -> None:
    with pytest.raises(OrderError) as raised:
        read_order(given, "UTC", NOW)
    assert raised.value.name == name


@pytest.mark.parametrize("text", ["x", "1.2.3", "1893456000000000", "1893456000000000.-1", "1893456000000000.²"])
def test_unusable_position_is_refused(text: str) -> None:
    with pytest.raises(OrderError):
        read_position(text)


def test_order_of_nothing_is_the_last_month() -> None:
    found = read_order({}, "Asia/Tehran", datetime(2030, 1, 1, 21, tzinfo=UTC))
    assert (found.first, found.last, found.by) == (date(2029, 12, 4), date(2030, 1, 2), Grouping.DAY)


def test_order_is_read_from_its_own_query() -> None:
    given = {**DAY, "zone": "Europe/Berlin", "by": "driver", "service": "shop", "access_key": "", "compare": "1"}
    found = read_order(given, "UTC", NOW)
    again = dict(pair.split("=") for pair in found.query().split("&"))
    assert read_order({name: value.replace("%2F", "/") for name, value in again.items()}, "UTC", NOW) == found


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Berlin", date(2029, 3, 25), 23), ("Europe/Berlin", date(2029, 10, 28), 25),
     ("Asia/Tehran", NOW.date(), 24), ("Asia/Kathmandu", NOW.date(), 24), ("Africa/Cairo", date(2029, 4, 27), 23)],
)  # fmt: skip
def test_day_has_the_hours_of_its_time_zone(zone: str, day: date, hours: int) -> None:
    span = Span.of_days(day, day, ZoneInfo(zone))
    assert span.until - span.since == timedelta(hours=hours)
    periods = Periods.within(Unit.HOUR, span, ZoneInfo(zone))
    starts = [periods.start(number) for number in periods.numbers(span)]
    assert len(starts) == hours
    assert {(start.date(), start.minute) for start in starts} == {(day, 0)}
    assert len(Periods.within(Unit.DAY, span, ZoneInfo(zone)).numbers(span)) == 1


@pytest.mark.parametrize(
    ("zone", "day", "odd"),
    [("Australia/Lord_Howe", date(2026, 10, 4), 90), ("Australia/Lord_Howe", date(2026, 4, 5), 30),
     ("Australia/Lord_Howe", date(2026, 5, 5), 60), ("Europe/Berlin", date(2029, 10, 28), 60)],
)  # fmt: skip
def test_list_of_an_hour_has_what_its_row_counts(zone: str, day: date, odd: int) -> None:
    span = Span.of_days(day, day, ZoneInfo(zone))
    periods = Periods.within(Unit.HOUR, span, ZoneInfo(zone))
    at, lengths = span.since, set()
    for number in periods.numbers(span):
        listed = Order(day, day, ZoneInfo(zone), hour=micros(periods.start(number))).span
        assert listed.since == at, "hours follow each other"
        quarters = range(micros(listed.since), micros(listed.until), QUARTER_MICROS)
        assert {periods.number(quarter) for quarter in quarters} == {number}
        lengths.add((listed.until - listed.since) // timedelta(minutes=1))
        at = listed.until
    assert at == span.until
    assert lengths == {60, odd}


# Reports


@pytest.mark.parametrize("by", Grouping)
@pytest.mark.parametrize("folded", [False, True], ids=["dirty", "folded"])
def test_total_is_the_sum_of_the_ledger(filled: SqlLedger, aggregates: Aggregates, by: Grouping, folded: bool) -> None:
    if folded:
        run(fold_backlog(aggregates, lambda: False))
    found = run(make_report(aggregates, order(by=by.value)))
    listed = list(attempts_in(aggregates, order()))
    assert found.total.counts == tuple(map(sum, zip(*map(measures_of, listed), strict=True)))
    assert found.total.count("attempts") == 6
    assert found.total.conversion == 0.5
    assert found.total.cost == {"EUR": 4 * CENT}
    assert found.total.cost_per_verified == {"EUR": 2 * CENT}
    assert found.refusals == {"balance": 2}
    assert found.choices["driver"] == ["amoot", "ssms"]


def test_report_by_day_lists_days_without_attempts(filled: SqlLedger, aggregates: Aggregates) -> None:
    found = run(make_report(aggregates, order(**{"from": "2029-12-30"})))
    assert [(row.key, row.figures.count("attempts")) for row in found.rows] == [
        ("2029-12-30", 0), ("2029-12-31", 0), ("2030-01-01", 6),
    ]  # fmt: skip


def test_report_is_filtered(filled: SqlLedger, aggregates: Aggregates) -> None:
    for by in ("day", "driver"):
        found = run(make_report(aggregates, order(by=by, driver="amoot")))
        assert found.total.count("attempts") == 3
        assert found.choices["driver"] == ["amoot", "ssms"]


def test_report_compares_with_the_days_before(filled: SqlLedger, aggregates: Aggregates) -> None:
    write(filled, 90, NOW - timedelta(days=1))
    found = run(make_report(aggregates, order(compare="1")))
    assert found.before is not None
    assert found.before.count("attempts") == 1


@pytest.mark.parametrize("seconds", [1, 7, 25, 130, 900])
def test_times_are_accurate_to_their_class(seconds: int) -> None:
    one = measures_of(attempt(outcome=AttemptOutcome.VERIFIED, verify_ms=seconds * 1000))
    found = Figures(one).seconds_to_verify(0.5)
    assert found is not None
    assert abs(found - seconds) <= max(2, seconds * 0.35)
    assert Figures().seconds_to_verify(0.5) is None


def test_long_list_is_split_by_days_and_hours(filled: SqlLedger, aggregates: Aggregates) -> None:
    write(filled, 80, NOW - timedelta(days=1))
    write(filled, 81, NOW - timedelta(days=2))
    whole = order(**{"from": "2029-12-20"})
    assert [part.rows for part in run(parts_of(aggregates, whole))] == [8]
    parts = run(parts_of(aggregates, whole, most=2))
    assert [part.rows for part in parts] == [2, 1, 1, 1, 1, 1, 1]
    listed = [each.id for part in parts for each in attempts_in(aggregates, part.order)]
    assert sorted(listed) == sorted(each.id for each in attempts_in(aggregates, whole))


# Downloads


def csv_of(lines: Any) -> list[list[str]]:
    text = b"".join(csv_chunks(lines)).decode()
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:])))


def xlsx_of(lines: Any) -> list[tuple[Any, ...]]:
    with xlsx_file(lines, SHEET_ROWS) as file:
        return list(openpyxl.load_workbook(file).active.iter_rows(values_only=True))  # type: ignore[union-attr]


def test_excel_file_adds_up_to_the_ledger(filled: SqlLedger, aggregates: Aggregates) -> None:
    head, *rows = xlsx_of(report_lines(run(make_report(aggregates, order(by="driver")))))
    listed = list(attempts_in(aggregates, order()))
    of_rows = {
        name: sum(row[n] for row in rows[:-1]) for n, name in enumerate(head) if name.startswith(("s", "cost_E"))
    }
    assert of_rows["sent"] == rows[-1][head.index("sent")] == 4
    assert Decimal(str(of_rows["cost_EUR"])) == sum(each.cost or 0 for each in listed)
    head, *rows = xlsx_of(attempt_lines(listed, UTC))
    assert len(rows) == 6
    assert Decimal(str(round(sum(row[head.index("cost")] or 0 for row in rows), 6))) == 4 * CENT


def test_csv_lists_attempts_with_masked_numbers(filled: SqlLedger, aggregates: Aggregates) -> None:
    head, *rows = csv_of(attempt_lines(attempts_in(aggregates, order()), ZoneInfo("Asia/Tehran")))
    assert rows[-1][head.index("started_at")] == "2030-01-01T16:00:00+03:30"
    assert {row[head.index("number")] for row in rows} == {"'+98 ••••••••01"}
    assert "tag" not in head
    assert "verification" not in head


@pytest.mark.parametrize("text", FORMULAS)
def test_no_value_of_a_download_is_a_formula(text: str) -> None:
    listed = [attempt(driver=text, purpose=text, service=text)]
    rows = csv_of(attempt_lines(listed, UTC))
    assert not [value for row in rows for value in row if value.startswith(("=", "+", "-", "@", "\t", "\r"))]
    with xlsx_file(attempt_lines(listed, UTC), SHEET_ROWS) as file:
        cells = [cell for row in openpyxl.load_workbook(file).active.iter_rows() for cell in row]  # type: ignore[union-attr]
    assert "f" not in {cell.data_type for cell in cells}
    assert [cell for cell in cells if cell.value and text.strip() in str(cell.value)]


# Numbers


def test_numbers_are_those_of_the_language() -> None:
    written = {tag: Numbers(language).amount(Decimal("1234.5"), "EUR") for tag, language in LANGUAGES.items()}
    assert written == {
        "en": "1,234.50\u00a0EUR",
        "fa": "۱٬۲۳۴٫۵۰\u00a0EUR",
        "ru": "1\u00a0234,50\u00a0EUR",
        "ar": "١٬٢٣٤٫٥٠\u00a0EUR",
    }


@pytest.mark.parametrize(
    ("now", "before", "text"), [(3, 2, "+50%"), (1, 2, "−50%"), (2, 2, "±0%"), (1000, 1001, "±0%"), (1, 0, "")]
)
def test_change_has_its_sign(now: float, before: float, text: str) -> None:
    assert Numbers(ENGLISH).change(now, before).strip("\u2066\u2069") == text


# The command


def invoke(url: str, *words: str) -> Any:
    environ = {"PHONE_VERIFY_LEDGER": url, "PHONE_VERIFY_SMS": "console:"}
    return CliRunner().invoke(
        command, ["--environment", "--from", "2030-01-01", "--to", "2030-01-01", *words], env=environ
    )


def test_command_prints_a_table(filled: SqlLedger, url: str) -> None:
    result = invoke(url, "--by", "driver")
    assert result.exit_code == 0, result.output
    assert "amoot" in result.output
    assert "50.0%" in result.output


def test_command_prints_json_and_csv(filled: SqlLedger, url: str) -> None:
    rows = json.loads(invoke(url, "--by", "driver", "--format", "json").stdout)
    assert rows[-1]["driver"] == "total"
    assert (rows[-1]["sent"], rows[-1]["cost_EUR"]) == (4, "0.040000")
    attempts = json.loads(invoke(url, "--attempts", "--format", "json").stdout)
    assert len(attempts) == 6
    assert len(json.loads(invoke(url, "--attempts", "--outcome", "refused", "--format", "json").stdout)) == 2
    assert invoke(url, "--format", "csv").stdout.startswith("\ufeffday,attempts,sent")


def test_command_writes_an_excel_file(filled: SqlLedger, url: str, tmp_path: Path) -> None:
    assert invoke(url, "--format", "xlsx").exit_code == 2
    path = tmp_path / "report.xlsx"
    result = invoke(url, "--format", "xlsx", "-o", str(path))
    assert result.exit_code == 0, result.output
    assert openpyxl.load_workbook(path).active.max_row == 3  # type: ignore[union-attr]


def test_command_refuses_an_excel_file_with_too_many_rows(
    filled: SqlLedger, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["phone_verify.cli.commands.report"], "SHEET_ROWS", 1)
    (earlier := tmp_path / "report.xlsx").write_text("of January")
    result = invoke(url, "--format", "xlsx", "-o", str(earlier))
    assert result.exit_code == 2
    assert "choose fewer days" in result.output
    assert earlier.read_text() == "of January", "a file that was there stays"
    assert list(tmp_path.glob("*.xlsx")) == [earlier]


@pytest.mark.parametrize("words", [("--outcome", "refused"), ("--from", "2030-01-01", "--days", "2")])
def test_command_refuses_options_that_do_nothing(url: str, words: tuple[str, ...]) -> None:
    assert invoke(url, *words).exit_code == 2


def test_command_folds_the_backlog(filled: SqlLedger, url: str, aggregates: Aggregates) -> None:
    assert invoke(url).exit_code == 0
    assert run(aggregates.fold()) == 0


@pytest.mark.parametrize("words", [("--zone", "Mars/Base"), ("--by", "hour", "--from", "2029-01-01"), ("--from", "x")])
def test_command_names_the_option_to_change(url: str, words: tuple[str, ...]) -> None:
    result = invoke(url, *words)
    assert result.exit_code == 2
    assert "Invalid value for --" in result.output


def test_command_without_a_ledger_says_what_to_set() -> None:
    result = CliRunner().invoke(command, ["--environment"], env={"PHONE_VERIFY_SMS": "console:"})
    assert result.exit_code == 1
    assert "PHONE_VERIFY_LEDGER" in result.output
