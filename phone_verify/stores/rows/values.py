"""Conversion between rows and values. Times are whole microseconds UTC."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache, cached_property
from operator import attrgetter
from typing import Any

from ... import limits
from ...limits import Quota, TallyChange, Window
from ...model import Channel, CodeSource, Failures, Request, Status, Verification
from ...phone import Attestation, PhoneNumber
from ...policy import SEND_WINDOW, TALLY_HOURS

#: A record's fields, in order; `read_at` is not stored, the server's time is read in its place.
_REQUEST = tuple(field.name for field in fields(Request))
FIELDS = (*_REQUEST, *(field.name for field in fields(Verification) if field.name not in ("request", "failures")))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    passed = time - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def time_of(micros: int) -> datetime:
    return _EPOCH + micros * MICROSECOND


def _one_of(enum: type[StrEnum]) -> tuple[Callable[[Any], object], Callable[[Any], object]]:
    return {each.value: each for each in enum}.__getitem__, str  # to call the class takes twenty times as long


_TIME, _FLAG, _NUMBER = (time_of, micros), (bool, int), (PhoneNumber, attrgetter("e164"))
_CHANNEL, _DIGEST = _one_of(Channel), (bytes, bytes)
#: How a column that is not plain text or a number is read, and how it is stored, unless it is NULL.
_CONVERTED: dict[str, tuple[Callable[[Any], object], Callable[[Any], object]]] = {
    "phone": _NUMBER,
    "binding": _DIGEST,
    "channel": _CHANNEL,
    "code_source": _one_of(CodeSource),
    "status": _one_of(Status),
    "code_digest": _DIGEST,
    "short": _FLAG,
    "created_at": _TIME,
    "expires_at": _TIME,
    "resend_at": _TIME,
    "line": _NUMBER,
    "closed_at": _TIME,
    "redeemed": _FLAG,
    "polled_at": _TIME,
    "trusted": _FLAG,
    "by_pair": _FLAG,
    "claim_line": _NUMBER,
    "code_channel": _CHANNEL,
    "by_call": _FLAG,
    "other_caller_at": _TIME,
    "attestation": _one_of(Attestation),
}
_PLACES = [(FIELDS.index(name), read) for name, (read, _) in _CONVERTED.items()]
READ_AT = FIELDS.index("read_at")


def record_of(row: Sequence[Any], read_at: datetime, phone: Phone | None = None) -> Verification:
    """Return the record of a row, with its failures if its phone is given."""
    values = list(row)
    for place, read in _PLACES:
        if values[place] is not None:
            values[place] = read(values[place])
    values[READ_AT] = read_at
    request = Request(*values[: len(_REQUEST)])
    values.append(phone.failures_of(request.failure_key) if phone is not None else None)
    return Verification(request, *values[len(_REQUEST) :])


def stored_fields(record: Verification, names: tuple[str, ...]) -> dict[str, object]:
    """Return these fields of a record in their stored form."""
    get, converted = _read_from(names)
    values = dict(zip(names, get(record), strict=False))
    for name, store in converted:
        if values[name] is not None:
            values[name] = store(values[name])
    return values


@cache
def _read_from(
    names: tuple[str, ...],
) -> tuple[Callable[[Verification], tuple[Any, ...]], Sequence[tuple[str, Callable[[Any], object]]]]:
    places = [f"request.{name}" if name in _REQUEST else name for name in names]
    # With a single name `attrgetter` would return no tuple.
    return attrgetter(*places, "status"), [(name, _CONVERTED[name][1]) for name in names if name in _CONVERTED]


class Phone:
    """A phone's row as read: the counts of its quotas and its failures. All None without a row."""

    def __init__(self, tag: str, row: Sequence[Any] = (None, None, None, None)) -> None:
        windows, failures, ends_at, version = row
        self.tag = tag
        #: False if writing it would change nothing.
        self.changed = False
        self._texts = windows, failures
        self._ends_at: int = ends_at or 0
        self.version: int | None = version

    @cached_property
    def _windows(self) -> dict[str, list[int]]:
        return _from_json(self._texts[0])

    @cached_property
    def _failures(self) -> dict[str, list[int]]:
        return _from_json(self._texts[1])

    def window(self, key: str) -> Window | None:
        counted = self._windows.get(key)
        return Window(counted[0], time_of(counted[1])) if counted else None

    def failures_of(self, key: str) -> Failures | None:
        kept = self._failures.get(key)
        return failures_of(kept) if kept is not None else None

    def succeed(self, record: Verification) -> None:
        """Clear what a success of this record clears."""
        kept = {key: found for key in self._failures if (found := self.failures_of(key)) is not None}
        for key in limits.after_success(record, kept):
            self.fail(key, None)

    def unlock(self) -> bool:
        """Drop all failures; return whether there were any."""
        self.changed = bool(self._failures)
        self._failures = {}
        return self.changed

    def refund(self, quotas: Sequence[Quota], at: datetime) -> None:
        """Undo what was counted under these quotas at that time."""
        for quota in quotas:
            window = limits.refunded(self.window(quota.key), quota, at)
            if window is not None:
                self.count([quota], [window])

    def count(self, quotas: Sequence[Quota], windows: Sequence[Window]) -> None:
        for quota, window in zip(quotas, windows, strict=True):
            self._windows[quota.key] = [window.count, micros(window.ends_at)]
            self.last_until(window.ends_at)

    def fail(self, key: str, failures: Failures | None) -> None:
        if failures is None:
            self.changed |= self._failures.pop(key, None) is not None
            return
        self._failures[key] = [
            failures.count,
            micros(failures.expires_at),
            micros(failures.last_at),
            failures.total,
            failures.locks,
            micros(failures.locked_until) if failures.locked_until is not None else 0,
        ]
        self.last_until(failures.expires_at)

    def last_until(self, time: datetime) -> None:
        self._ends_at = max(self._ends_at, micros(time))
        self.changed = True

    def row(self, at: datetime) -> dict[str, Any]:
        """Return what is written, and the version that the row must still have.

        The version of a new row is the current time, so that no version of a deleted row recurs.
        """
        now = micros(at)
        return {
            "tag": self.tag,
            "windows": _json({key: counted for key, counted in self._windows.items() if counted[1] > now}),
            "failures": _json({key: counted for key, counted in self._failures.items() if counted[1] > now}),
            "ends_at": self._ends_at,
            "old_version": -1 if self.version is None else self.version,
            "version": now if self.version is None else self.version + 1,
        }


def failures_of(kept: Sequence[int]) -> Failures:
    """Return the failures under one key of a phone's row."""
    count, expires_at, last_at, total, locks, locked_until = kept
    return Failures(
        count, time_of(last_at), time_of(expires_at), total, locks, time_of(locked_until) if locked_until else None
    )


#: The counters of the tally: a row for each series and hour. No other counter has a name between these two.
TALLY_FIRST, TALLY_BEYOND = "tally:", "tally;"
SERIES = ("short", "long", "right")


def series_range(series: str) -> tuple[str, str]:
    """Return the first name of a series' counters, and an upper bound beyond the last."""
    return f"{TALLY_FIRST}{series}:", f"{TALLY_FIRST}{series};"


def tally_rows(change: TallyChange | None, address: str | None, at: datetime) -> Sequence[tuple[str, int, int]]:
    """Return what an answer changes, in name order: a counter's name, by how much, and the end of a new one."""
    if change is None:
        return ()
    hour = limits.hour_of(at)
    ends_at = micros(_EPOCH + timedelta(hours=hour + 1 + TALLY_HOURS))
    # A name recurs after a hundred hours, long after its row has ended.
    rows = [
        (f"{TALLY_FIRST}{series}:{hour % 100:02}", value, ends_at)
        for series in SERIES
        if (value := getattr(change, series))
    ]
    if address is not None and change.address:
        rows.append((address, change.address, micros(at + SEND_WINDOW)))
    return sorted(rows)


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _json(counts: dict[str, list[int]]) -> str:
    return _encode(counts) if counts else "{}"


def _from_json(text: str | None) -> dict[str, list[int]]:
    return {} if text is None or text == "{}" else json.loads(text)
