"""Hours and days of a time zone, as ranges of quarters of an hour in UTC.

All offsets of today's time zones are multiples of 15 minutes, so every local hour and day, also one at a
change of the clock, is made of whole quarters.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from ..stores.rows.values import micros, time_of

QUARTER = timedelta(minutes=15)
QUARTER_MICROS = QUARTER // timedelta(microseconds=1)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class Unit(StrEnum):
    """The length of a period."""

    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time between two quarters of an hour, the end excluded."""

    since: datetime
    until: datetime

    @classmethod
    def of_days(cls, first: date, last: date, zone: tzinfo) -> Span:
        """Return the range from the start of the first day to the end of the last."""
        return cls(_midnight(first, zone), _midnight(last + _DAY, zone))


def quarter_of(at: datetime) -> int:
    """Return the start of the quarter of an hour that a time belongs to, in microseconds."""
    return micros(at) // QUARTER_MICROS * QUARTER_MICROS


@dataclass(frozen=True, slots=True)
class Periods:
    """The hours or days of a time zone in a range.

    `offsets` are the zone's offsets in it, in microseconds, each with the end of its validity.
    """

    unit: Unit
    zone: tzinfo
    offsets: tuple[tuple[int, int], ...]

    @classmethod
    def within(cls, unit: Unit, span: Span, zone: tzinfo) -> Periods:
        """Return the periods of this range."""
        offsets = []
        at = span.since
        while at < span.until:
            offset, end = _offset(at, zone), min(at + _DAY, span.until)
            if end < span.until and _offset(end, zone) == offset:
                at = end
                continue
            while at < end and _offset(at, zone) == offset:
                at += QUARTER
            offsets.append((micros(at), offset // timedelta(microseconds=1)))
        return cls(unit, zone, tuple(offsets) or ((0, 0),))

    @property
    def length(self) -> int:
        """The length of a period in microseconds, where the clock is not changed."""
        return (_HOUR if self.unit is Unit.HOUR else _DAY) // timedelta(microseconds=1)

    def shift(self, offset: int) -> int:
        """Return what is added to a time so that its periods begin at whole multiples of `length`.

        An hour is distinguished from the same hour after the clock was set back, so only the part of the
        offset below an hour is added.
        """
        return offset % self.length if self.unit is Unit.HOUR else offset

    def number(self, at: int) -> int:
        """Return the number of the period of a time in microseconds."""
        offset = next((offset for end, offset in self.offsets if at < end), self.offsets[-1][1])
        return (at + self.shift(offset)) // self.length

    def start(self, number: int) -> datetime:
        """Return the local start of a period."""
        if self.unit is Unit.DAY:
            return datetime.combine(date(1970, 1, 1) + timedelta(days=number), time.min)
        return self.hour(number).since.astimezone(self.zone)

    def hour(self, number: int) -> Span:
        """Return the range of an hour: half or one and a half where the clock is changed by half an hour."""
        found: list[int] = []
        since = 0
        for end, offset in (*self.offsets[:-1], (sys.maxsize, self.offsets[-1][1])):
            begin = number * self.length - self.shift(offset)
            first, last = max(begin, since), min(begin + self.length, end)
            if first < last:
                found += [first, last]
            since = end
        return Span(time_of(found[0]), time_of(found[-1]))

    def numbers(self, span: Span) -> range:
        """Return the numbers of all periods in a range."""
        return range(self.number(micros(span.since)), self.number(micros(span.until) - 1) + 1)


def days_between(first: date, last: date) -> Iterator[date]:
    """Yield the days from the first to the last."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """Return the start of a local day in UTC; where the clock skips midnight, the time to which it was set."""
    at = datetime.combine(day, time.min, zone).astimezone(UTC)
    # A skipped midnight is read with the offset before the change, and is then the last day's.
    while at.astimezone(zone).date() < day:
        at += QUARTER
    return at


def _offset(at: datetime, zone: tzinfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()
