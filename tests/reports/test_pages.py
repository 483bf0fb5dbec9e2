"""The pages of reports: what they show, their errors, and that every value is escaped."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from phone_verify.database.aggregates import SqlAggregates
from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.errors import StoreError
from phone_verify.i18n.languages import ENGLISH, LANGUAGES, Language
from phone_verify.i18n.report_texts import report_texts
from phone_verify.ledger.values import Held
from phone_verify.model import Channel
from phone_verify.reports import pages
from phone_verify.reports.pages import PageRequest, PageResponse, respond
from phone_verify.testing.ledger_calls import NOW, REFUSED, SENT, attempt, later, run
from tests.ledger_files import with_tables

DAY = {"from": "2030-01-01", "to": "2030-01-01"}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    """A ledger with sixty attempts of one day."""
    ledger = SqlLedger(Database.from_url(with_tables(tmp_path / "ledger.sqlite3")))
    for number in range(60):
        held = run(ledger.begin(attempt(number), [], None, later(number * 60)))
        assert isinstance(held, Held)
        run(ledger.finish(held.attempt, REFUSED if number % 6 == 0 else SENT, later(number * 60 + 1)))
        if number % 3 == 1:
            run(ledger.verify(held.attempt.verification, Channel.SMS, "amoot", later(number * 60 + 9)))
    return ledger


@pytest.fixture
def aggregates(ledger: SqlLedger) -> SqlAggregates:
    return SqlAggregates(ledger.database)


def get(aggregates: Any, path: str = "", language: Language = ENGLISH, **query: str) -> PageResponse:
    given = {name.rstrip("_"): value for name, value in query.items()}
    asked = PageRequest(path, {**DAY, **given}, language, NOW, key_names=lambda: {"k" * 12: HOSTILE})
    return respond(aggregates, asked)


def content(response: PageResponse) -> bytes:
    assert response.chunks is not None
    return b"".join(response.chunks)


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)
@pytest.mark.parametrize("path", ["", "attempts/", "downloads/"])
def test_every_page_needs_no_script(aggregates: Any, path: str, language: Language) -> None:
    page = get(aggregates, path, language)
    assert page.status == 200
    assert report_texts(language)["attempts_title"] in page.body
    assert "<script" not in page.body
    assert "style=" not in page.body
    assert "no-store" in page.headers["Cache-Control"]


def test_report_shows_the_figures(aggregates: Any) -> None:
    text = get(aggregates, compare="1").body
    assert "<bdi>40.0%</bdi>" in text  # 20 of 50
    assert "<bdi>0.5000\u00a0EUR</bdi>" in text
    assert "Balance at the provider" in text
    assert text.count("chart.svg") == 12  # three, in two colours, for a desktop and a phone


@pytest.mark.parametrize("by", ["day", "hour", "service", "access_key", "channel", "driver", "region", "purpose"])
def test_report_has_every_grouping(aggregates: Any, by: str) -> None:
    assert get(aggregates, by=by).status == 200
    for kind in ("volume", "conversion", "cost"):
        chart = get(aggregates, "chart.svg", by=by, kind=kind, currency="EUR", dark="1")
        drawn = content(chart)
        assert ET.fromstring(drawn).tag.endswith("svg")
        assert b"<script" not in drawn
        assert b"http://www.w3.org" in drawn
        assert not re.findall(rb'(?:src|href)="(?!#)', drawn)


def test_row_leads_to_its_attempts(aggregates: Any) -> None:
    text = get(aggregates, by="hour").body
    links = re.findall(r'href="attempts/\?([^"]*hour=[^"]*)"', text)
    assert len(links) == 2
    query = dict(pair.split("=") for pair in links[0].replace("&amp;", "&").split("&"))
    page = get(aggregates, "attempts/", **{f"{name}_": value for name, value in query.items()})
    assert page.body.count('<th scope="row">') == 30


def test_attempts_are_paged(aggregates: Any) -> None:
    first = get(aggregates, "attempts/")
    assert first.body.count('<th scope="row">') == 50
    [after] = re.findall(r'rel="next" href="[^"]*after=([\d.]+)"', first.body)
    second = get(aggregates, "attempts/", after=after)
    assert second.body.count('<th scope="row">') == 10
    assert "••" in second.body
    assert "First page" in second.body


def test_page_of_an_empty_range_says_so(aggregates: Any) -> None:
    for path in ("", "attempts/", "downloads/"):
        page = get(aggregates, path, from_="2029-01-01", to="2029-01-02")
        assert page.status == 200
        assert "Nothing was sent" in page.body


@pytest.mark.parametrize(
    "query",
    [{"from_": "x"}, {"to": "2029-01-01"}, {"zone": HOSTILE}, {"by": HOSTILE}, {"service": "\0"}, {"outcome": "x"},
     {"after": "x"}, {"hour": "-1"}, {"driver": "x" * 9999}],
)  # fmt: skip
def test_unusable_parameter_gets_400_with_the_form(aggregates: Any, query: dict[str, str]) -> None:
    page = get(aggregates, "attempts/", **query)
    assert page.status == 400
    assert "<form" in page.body
    assert "<script" not in page.body


def test_values_are_escaped(aggregates: Any, ledger: SqlLedger) -> None:
    run(ledger.begin(attempt(99, service=HOSTILE, access_key="k" * 12, driver="&"), [], None, later(9000)))
    for path in ("", "attempts/"):
        for by in ("access_key", "service"):
            text = get(aggregates, path, by=by).body
            assert "<script" not in text
            assert "&lt;script&gt;" in text
    ET.fromstring(content(get(aggregates, "chart.svg", kind="volume", by="service")))


@pytest.mark.parametrize("path", ["nothing", "../", "attempts", "chart.svg", "reports.csv/"])
def test_unknown_address_gets_404(aggregates: Any, path: str) -> None:
    assert get(aggregates, path).status == 404


def test_failing_database_gets_503() -> None:
    class Failing:
        async def fold(self, limit: int = 1) -> int:
            raise StoreError("no")

        async def attempts(self, *_: object, **__: object) -> list[Any]:
            raise StoreError("no")

    for path in ("", "attempts/", "attempts.csv", "attempts.xlsx"):
        page = get(Failing(), path)
        assert page.status == 503
        assert "The database does not answer" in page.body


def test_page_folds_what_has_changed(aggregates: Any) -> None:
    get(aggregates)
    assert run(aggregates.fold()) == 0


def test_files_have_names_and_lengths(aggregates: Any) -> None:
    file = get(aggregates, "attempts.xlsx")
    assert file.headers["Content-Disposition"] == 'attachment; filename="attempts-2030-01-01-2030-01-01.xlsx"'
    assert len(content(file)) == int(file.headers["Content-Length"])
    assert content(get(aggregates, "report.csv")).decode("utf-8-sig").startswith("day,attempts")
    assert content(get(aggregates, "attempts.csv")).decode("utf-8-sig").count("\n") == 61


def test_excel_file_with_too_many_rows_is_refused(aggregates: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_ROWS", 60)
    assert content(get(aggregates, "attempts.xlsx"))
    monkeypatch.setattr(pages, "MOST_ROWS", 59)
    page = get(aggregates, "attempts.xlsx")
    assert page.status == 400
    assert "at most 59 rows. Choose fewer days, or CSV." in page.body
    assert get(aggregates, "attempts.csv").status == 200


@pytest.mark.parametrize("zone", ["Asia/Tehran", "Iran", "Japan", "Turkey"])
def test_range_follows_the_zone_of_the_site(aggregates: Any, zone: str) -> None:
    page = respond(aggregates, PageRequest("", {}, ENGLISH, NOW + timedelta(hours=9), zone))
    assert page.status == 200
    assert f'value="{zone}"' in page.body
    assert 'value="2030-01-02"' in page.body


@pytest.mark.parametrize("zone", ["GMT", "EST5EDT", "UTC"])
def test_every_time_zone_is_a_choice(aggregates: Any, zone: str) -> None:
    page = get(aggregates, zone=zone)
    assert page.status == 200
    assert f'<option value="{zone}">' in page.body


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../../etc/passwd"])
def test_unknown_zone_of_the_site_is_utc(aggregates: Any, zone: str) -> None:
    page = respond(aggregates, PageRequest("", DAY, ENGLISH, NOW, zone))
    assert page.status == 200
    assert 'autocomplete="off" spellcheck="false" value="UTC"' in page.body
