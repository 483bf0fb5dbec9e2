"""What a report is asked for: the parameters of an address, or the options of the command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cache
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, available_timezones

from ..stores.rows.values import time_of
from .base import Position, Selection
from .figures import FILTERS
from .periods import Periods, Span, Unit

#: The longest ranges, in days: a page lists every period.
MOST_DAYS = {"hour": 31, "day": 1100}
DEFAULT_DAYS = 30
OUTCOMES = ("unsent", "unclear", "sent", "refused", "undelivered", "delivered", "expired", "verified")
_LONGEST_VALUE = 64


class Grouping(StrEnum):
    """What the rows of a report are."""

    DAY = "day"
    HOUR = "hour"
    SERVICE = "service"
    ACCESS_KEY = "access_key"
    CHANNEL = "channel"
    DRIVER = "driver"
    REGION = "region"
    PURPOSE = "purpose"

    @property
    def unit(self) -> Unit | None:
        """The length of a row's period, if the rows are periods."""
        return Unit(self.value) if self in (Grouping.DAY, Grouping.HOUR) else None


class OrderError(ValueError):
    """A parameter has no usable value. `text` is a key of `i18n.report_texts.REPORT`, `count` a number in it."""

    def __init__(self, name: str, text: str, count: int = 0) -> None:
        super().__init__(f"{name}: {text}")
        self.name, self.text, self.count = name, text, count


@dataclass(frozen=True, slots=True)
class Order:
    """Days of a time zone, the grouping, and values by which attempts are filtered.

    `hour` is the start of one hour, in microseconds, for the list of its attempts.
    """

    first: date
    last: date
    zone: ZoneInfo
    by: Grouping = Grouping.DAY
    values: Mapping[str, str] = field(default_factory=dict)
    compare: bool = False
    outcome: str = ""
    refusal: str = ""
    hour: int | None = None

    @property
    def span(self) -> Span:
        """The range of time."""
        days = Span.of_days(self.first, self.last, self.zone)
        if self.hour is None:
            return days
        hours = Periods.within(Unit.HOUR, days, self.zone)
        return hours.hour(hours.number(self.hour))

    @property
    def before(self) -> Span:
        """The same number of days before."""
        days = self.last - self.first + timedelta(days=1)
        return Span.of_days(self.first - days, self.last - days, self.zone)

    @property
    def selection(self) -> Selection:
        """The attempts."""
        return Selection(self.span, self.values)

    @property
    def periods(self) -> Periods | None:
        """The periods of the rows, if they are periods."""
        return None if self.by.unit is None else Periods.within(self.by.unit, self.span, self.zone)

    def query(self, **changes: str | None) -> str:
        """Return the parameters of an address that asks for the same, with changes."""
        found: dict[str, str | None] = {
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
            "zone": self.zone.key,
            "by": self.by.value,
            **self.values,
            "compare": "1" if self.compare else None,
            "outcome": self.outcome or None,
            "refusal": self.refusal or None,
            "hour": None if self.hour is None else str(self.hour),
            **changes,
        }
        return urlencode({name: value for name, value in found.items() if value is not None})


def read_order(given: Mapping[str, str], default_zone: str, now: datetime) -> Order:
    """Return what these parameters ask for; a default zone that is unknown is UTC. Raises `OrderError`."""
    zone = _zone(given.get("zone") or (default_zone if default_zone in zones() else "UTC"))
    today = now.astimezone(zone).date()
    last = _day("to", given.get("to"), today)
    first = _day("from", given.get("from"), max(last - timedelta(days=DEFAULT_DAYS - 1), date(2000, 1, 1)))
    by = _grouping(given.get("by") or "day")
    if last < first:
        raise OrderError("to", "error_order")
    most = MOST_DAYS["hour"] if by is Grouping.HOUR else MOST_DAYS["day"]
    if (last - first).days >= most:
        raise OrderError("to", "error_hours" if by is Grouping.HOUR else "error_days", most)
    values = {name: _value(name, given[name]) for name in FILTERS if given.get(name) not in (None, "*")}
    outcome, hour = given.get("outcome", ""), given.get("hour", "")
    if outcome and outcome not in OUTCOMES:
        raise OrderError("outcome", "error_choice")
    return Order(
        first,
        last,
        zone,
        by,
        values,
        given.get("compare") == "1",
        outcome,
        _value("refusal", given.get("refusal", "")),
        _micros("hour", hour) if hour else None,
    )


def default_order(default_zone: str, now: datetime) -> Order:
    """Return what a report shows first."""
    return read_order({}, default_zone, now)


def read_position(text: str) -> Position | None:
    """Return the position that an address names. Raises `OrderError`."""
    if not text:
        return None
    at, dot, id = text.partition(".")
    if not dot or not (id.isascii() and id.isdecimal() and len(id) <= 18):
        raise OrderError("after", "error_page")
    return time_of(_micros("after", at)), int(id)


@cache
def zones() -> tuple[str, ...]:
    """Return the names of the time zones, sorted."""
    return tuple(sorted(available_timezones()))


def _zone(name: str) -> ZoneInfo:
    if name not in zones():
        raise OrderError("zone", "error_zone")
    return ZoneInfo(name)


def _day(name: str, text: str | None, default: date) -> date:
    if not text:
        return default
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise OrderError(name, "error_day") from None
    if not 2000 <= found.year <= 2099:
        raise OrderError(name, "error_day")
    return found


def _grouping(text: str) -> Grouping:
    try:
        return Grouping(text)
    except ValueError:
        raise OrderError("by", "error_choice") from None


def _value(name: str, text: str) -> str:
    if len(text) > _LONGEST_VALUE or not (text == "" or text.isprintable()):
        raise OrderError(name, "error_choice")
    return text


def _micros(name: str, text: str) -> int:
    # From 2000 to 2100.
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and 946 * 10**12 < int(text) < 4103 * 10**12):
        raise OrderError(name, "error_page")
    return int(text)
