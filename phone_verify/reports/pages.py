"""The pages of reports; `phone_verify.staff` decides who may see them, and shows them within its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as clock
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import IO, TYPE_CHECKING, Any

from ..errors import ConfigurationError, StoreError, missing_extra
from ..i18n.languages import Language
from ..i18n.report_texts import report_texts
from ..stores.rows.values import micros
from ..sync import run
from . import charts
from .base import Aggregates
from .downloads import CSV_TYPE, XLSX_TYPE, Value, attempt_lines, attempts_in, csv_chunks, report_lines, xlsx_file
from .labels import Labels
from .numbers import Numbers
from .reading import OUTCOMES, Grouping, Order, OrderError, default_order, read_order, read_position, zones
from .report import MOST_ROWS, fold_backlog, make_report, parts_of
from .views import attempt_rows, cards, cells_of, report_rows

if TYPE_CHECKING:
    from jinja2 import Environment

log = logging.getLogger("phone_verify")

#: Seconds for which a page folds changed attempts before it reads; the rest is added up while reading.
_FOLDING = 1.0
_PAGE = 50
_STYLE = "reports.css"
_TITLES = {"attempts.html": "attempts", "downloads.html": "downloads"}
_PRESETS = (1, 7, 30, 90)

#: For a chart: a separate document, with its colours in a style sheet inside.
_CHART_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request below the reports' address: `path` follows it, without a leading slash.

    `zone` is the name of the visitor's time zone, and `key_names` returns the names of access keys by id.
    """

    path: str
    query: Mapping[str, str]
    language: Language
    now: datetime
    zone: str = "UTC"
    key_names: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True, slots=True)
class PageResponse:
    """A page with the key of its title and its content as HTML; or a file as `chunks`."""

    status: int = 200
    title: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterable[bytes] | None = None


def respond(aggregates: Aggregates, request: PageRequest) -> PageResponse:
    """Return the response to a request of a user who may see reports."""
    page = _Page(aggregates, request)
    handler = _PATHS.get(request.path)
    if handler is None:
        return page.error(404, page.texts["not_found"])
    try:
        return handler(page)
    except OrderError as error:
        return page.refused(error)
    except StoreError as error:
        log.error("a report could not be made: %s", error)
        return page.error(503, page.texts["error_store"])
    except ConfigurationError as error:
        log.error("a report could not be made: %s", error)
        return page.error(503, str(error))


class _Page:
    """One request."""

    def __init__(self, aggregates: Aggregates, request: PageRequest) -> None:
        self.aggregates, self.request = aggregates, request
        self.texts, self.numbers = report_texts(request.language), Numbers(request.language)

    def order(self) -> Order:
        """Return what the request asks for. Raises `OrderError`."""
        return read_order(self.request.query, self.request.zone, self.request.now)

    def labels(self) -> Labels:
        """Return the names of values."""
        return Labels(self.request.language, self.request.key_names())

    def fold(self) -> None:
        """Add changed attempts to the aggregates, for a limited time."""
        end = time.monotonic() + _FOLDING
        run(fold_backlog(self.aggregates, lambda: time.monotonic() > end))

    def render(self, name: str, status: int = 200, **values: Any) -> PageResponse:
        """Return a page of a template."""
        template = _templates().get_template(name)
        path = self.request.path
        body = template.render(t=self.texts, n=self.numbers, root="../" * path.count("/"), here=path, **values)
        return PageResponse(status, _TITLES.get(name, "report"), body, _PRIVATE)

    def error(self, status: int, text: str) -> PageResponse:
        """Return a page with one sentence."""
        return self.render("error.html", status, message=text, query="")

    def refused(self, error: OrderError) -> PageResponse:
        """Return the form with the error at its field, and the parameters as they were given."""
        order = default_order(self.request.zone, self.request.now)
        message = self.texts[error.text].format(count=self.numbers.count(error.count))
        form = {**self._form(order, {}), "error": message, "invalid": error.name, "given": self.request.query}
        return self.render("report.html", 400, **form)

    def report(self) -> PageResponse:
        """Show the report."""
        order = self.order()
        self.fold()
        report = run(make_report(self.aggregates, order))
        labels = self.labels()
        return self.render(
            "report.html",
            **self._form(order, report.choices),
            report=report,
            labels=labels,
            rows=report_rows(report, labels, self.numbers),
            total=cells_of(report.total, self.numbers),
            cards=cards(report, self.texts, self.numbers),
            refusals=sorted(report.refusals.items(), key=lambda item: -item[1]),
            charts=[
                ("volume", "", self.texts["chart_volume"]),
                ("conversion", "", self.texts["chart_conversion"]),
                *(("cost", name, self.texts["chart_cost"].format(currency=name)) for name in report.currencies),
            ],
        )

    def _form(self, order: Order, choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        labels = self.labels()
        today = self.request.now.astimezone(order.zone).date()
        return {
            "order": order,
            "query": order.query(),
            "zones": zones(),
            "groupings": [(each.value, self._grouping(each)) for each in Grouping],
            "choices": {
                name: [(value, labels.of(name, value)) for value in values] for name, values in choices.items()
            },
            "presets": [
                (self.texts[f"days_{days}"], order.query(**{"from": _before(today, days), "to": today.isoformat()}))
                for days in _PRESETS
            ],
            "given": {},
            "error": "",
            "invalid": "",
        }

    def _grouping(self, grouping: Grouping) -> str:
        return self.texts[f"by_{grouping}" if grouping.unit else grouping.value]

    def attempts(self) -> PageResponse:
        """List attempts."""
        order, after = self.order(), read_position(self.request.query.get("after", ""))
        found = run(
            self.aggregates.attempts(
                order.selection, after, _PAGE + 1, outcome=order.outcome or None, refusal=order.refusal or None
            )
        )
        listed, labels = found[:_PAGE], self.labels()
        following = None
        if len(found) > _PAGE:
            last = listed[-1]
            following = order.query(after=f"{micros(last.started_at)}.{last.id}")
        return self.render(
            "attempts.html",
            order=order,
            query=order.query(outcome=None, refusal=None, hour=None),
            chosen=labels.chosen(order),
            outcomes=[(value, order.query(outcome=value), labels.of("outcome", value)) for value in OUTCOMES],
            every=order.query(outcome=None),
            rows=attempt_rows(listed, order.zone, labels, self.numbers),
            following=following,
            first=order.query() if after else None,
        )

    def chart(self) -> PageResponse:
        """Return a chart."""
        given, order = self.request.query, self.order()
        kind = given.get("kind", "")
        if kind not in charts.KINDS:
            return self.error(404, self.texts["not_found"])
        report = run(make_report(self.aggregates, order, with_choices=False))
        labels = self.labels()
        names = {row.key: labels.of(order.by.value, row.key) for row in report.rows}
        drawn = charts.draw(
            report, kind, given.get("currency", ""), self.request.language, self.texts, names,
            dark=given.get("dark") == "1", small=given.get("small") == "1",
        )  # fmt: skip
        headers = {"Content-Type": charts.SVG_TYPE, "Content-Security-Policy": _CHART_CSP, **_PRIVATE}
        return PageResponse(chunks=[drawn], headers=headers)

    def downloads(self) -> PageResponse:
        """List the files of a long list of attempts, each with the number of its rows."""
        order = self.order()
        self.fold()
        parts = run(parts_of(self.aggregates, order))
        labels = self.labels()
        return self.render(
            "downloads.html",
            order=order,
            query=order.query(),
            chosen=labels.chosen(order),
            most=self.numbers.count(MOST_ROWS),
            parts=[
                (_range_of(part.order, self.numbers), self.numbers.count(part.rows), part.order.query())
                for part in parts
            ],
        )

    def table_file(self, form: str) -> PageResponse:
        """Return the table as a file."""
        report = run(make_report(self.aggregates, self.order(), with_choices=False))
        return _file(report_lines(report), report.order, form, "report")

    def attempts_file(self, form: str) -> PageResponse:
        """Return attempts as a file, of which the first page is read before the response begins."""
        order = self.order()
        attempts = attempts_in(self.aggregates, order)
        first = next(attempts, None)
        listed = attempts if first is None else chain([first], attempts)
        return _file(attempt_lines(listed, order.zone), order, form, "attempts")

    def style(self) -> PageResponse:
        """Return the style sheet."""
        headers = {"Content-Type": "text/css; charset=utf-8", "Cache-Control": "private, max-age=3600"}
        return PageResponse(chunks=[_static(_STYLE)], headers={**headers, "X-Content-Type-Options": "nosniff"})


_PRIVATE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}

_PATHS: Mapping[str, Callable[[_Page], PageResponse]] = {
    "": _Page.report,
    "attempts/": _Page.attempts,
    "downloads/": _Page.downloads,
    "chart.svg": _Page.chart,
    "report.csv": lambda page: page.table_file("csv"),
    "report.xlsx": lambda page: page.table_file("xlsx"),
    "attempts.csv": lambda page: page.attempts_file("csv"),
    "attempts.xlsx": lambda page: page.attempts_file("xlsx"),
    _STYLE: _Page.style,
}


def _file(lines: Iterable[Sequence[Value]], order: Order, form: str, name: str) -> PageResponse:
    hour = "" if order.hour is None else f"-{order.span.since.astimezone(order.zone):%H%M}"
    filename = f"{name}-{order.first}-{order.last}{hour}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{filename}"', **_PRIVATE}
    if form == "csv":
        return PageResponse(headers={**headers, "Content-Type": CSV_TYPE}, chunks=csv_chunks(lines))
    file = xlsx_file(lines, MOST_ROWS)
    size = file.seek(0, 2)
    file.seek(0)
    headers |= {"Content-Type": XLSX_TYPE, "Content-Length": str(size)}
    return PageResponse(headers=headers, chunks=_read(file))


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(64 * 1024):
            yield chunk


def _before(day: date, days: int) -> str:
    return (day - timedelta(days=days - 1)).isoformat()


def _range_of(order: Order, numbers: Numbers) -> str:
    if order.hour is not None:
        return numbers.time(order.span.since.astimezone(order.zone), "%Y-%m-%d %H:%M")
    first, last = (numbers.time(datetime.combine(day, clock.min), "%Y-%m-%d") for day in (order.first, order.last))
    return first if first == last else f"{first} – {last}"


@cache
def _templates() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise missing_extra("a report's page", "reports", error) from error
    return Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip


@cache
def _static(name: str) -> bytes:
    return files(__package__).joinpath("static", name).read_bytes()
