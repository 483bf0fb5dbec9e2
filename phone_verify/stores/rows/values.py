"""Conversion between rows and values. Times are whole microseconds UTC."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from ... import limits
from ...limits import Quota, Tally, TallyChange, Window
from ...model import Channel, CodeSource, Failures, Request, Status, Verification
from ...phone import Attestation, PhoneNumber
from ...policy import SEND_WINDOW, SHORT_REST, TALLY_HOURS

#: A record's fields, in order; `read_at` is not stored, the server's time is read in its place.
_REQUEST = tuple(field.name for field in fields(Request))
FIELDS = (*_REQUEST, *(field.name for field in fields(Verification) if field.name not in ("request", "failures")))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def time_of(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


#: Conversions for columns that are not plain text or numbers.
_MADE: dict[str, Callable[[Any], object]] = {
    "phone": PhoneNumber,
    "binding": bytes,
    "channel": Channel,
    "code_source": CodeSource,
    "status": Status,
    "code_digest": bytes,
    "short": bool,
    "created_at": time_of,
    "expires_at": time_of,
    "resend_at": time_of,
    "line": PhoneNumber,
    "closed_at": time_of,
    "redeemed": bool,
    "polled_at": time_of,
    "trusted": bool,
    "by_pair": bool,
    "claim_line": PhoneNumber,
    "code_channel": Channel,
    "by_call": bool,
    "other_caller_at": time_of,
    "attestation": Attestation,
}
_PLACES = [(FIELDS.index(name), made) for name, made in _MADE.items()]
READ_AT = FIELDS.index("read_at")


def record_of(row: Sequence[Any], read_at: datetime) -> Verification:
    values = list(row)
    for place, made in _PLACES:
        if values[place] is not None:
            values[place] = made(values[place])
    values[READ_AT] = read_at
    return Verification(Request(*values[: len(_REQUEST)]), *values[len(_REQUEST) :])


#: Storage form of values that are not plain text or numbers.
_KEPT_AS: dict[type, Callable[[Any], object]] = {
    datetime: micros,
    PhoneNumber: lambda phone: phone.e164,
    bool: int,
    **dict.fromkeys((Attestation, Channel, CodeSource, Status), lambda word: word.value),
}
_PLAIN = frozenset({str, int, bytes, type(None)})


def stored(value: object) -> object:
    kind = type(value)
    if kind in _PLAIN:
        return value
    kept_as = _KEPT_AS.get(kind)
    if kept_as is None and isinstance(value, datetime):  # from a library that moves the time of tests
        kept_as = micros
    return kept_as(value) if kept_as else value


def stored_fields(record: Verification, names: Iterable[str]) -> dict[str, object]:
    """Return these fields of a record in their stored form."""
    request = record.request
    return {name: stored(getattr(request if name in _REQUEST else record, name)) for name in names}


class Phone:
    """A phone's row as read: the counts of its quotas and its failures. All None without a
    row.
    """

    def __init__(self, tag: str, row: Sequence[Any] = (None, None, None, None)) -> None:
        windows, failures, ends_at, version = row
        self.tag = tag
        #: False if writing it would change nothing.
        self.changed = False
        self._windows: dict[str, list[int]] = json.loads(windows or "{}")
        self._failures: dict[str, list[int]] = json.loads(failures or "{}")
        self._ends_at: int = ends_at or 0
        self.version: int | None = version

    def window(self, key: str) -> Window | None:
        counted = self._windows.get(key)
        return Window(counted[0], time_of(counted[1])) if counted else None

    def failures_of(self, key: str) -> Failures | None:
        kept = self._failures.get(key)
        if kept is None:
            return None
        if len(kept) == _OLD_FAILURES:
            return Failures(kept[0], time_of(kept[1]) - SHORT_REST, time_of(kept[1]), kept[0])
        count, expires_at, last_at, total, locks, locked_until = kept
        return Failures(
            count, time_of(last_at), time_of(expires_at), total, locks, time_of(locked_until) if locked_until else None
        )

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


#: Rows of an earlier version have a count and an end, an hour after the last wrong answer.
_OLD_FAILURES = 2


#: The counters of the tally: a row for each series and hour. No other counter has a name between
#: these two.
TALLY_FIRST, TALLY_BEYOND = "tally:", "tally;"
SERIES = ("short", "long", "right")
_SERIES_PLACE = len(TALLY_FIRST)


def series_range(series: str) -> tuple[str, str]:
    """Return the first name of a series' counters, and an upper bound beyond the last."""
    return f"{TALLY_FIRST}{series}:", f"{TALLY_FIRST}{series};"


def tally_of(rows: Iterable[Sequence[Any]], at: datetime) -> Tally:
    """Build the tally from counter rows of name, count and end; other counters are ignored."""
    sums = dict.fromkeys(SERIES, 0)
    for name, count, ends_at, *_ in rows:
        if name.startswith(TALLY_FIRST) and ends_at > micros(at):
            sums[name[_SERIES_PLACE:].partition(":")[0]] += count
    return Tally(**sums)


def tally_rows(change: TallyChange | None, address: str | None, at: datetime) -> Sequence[tuple[str, int, int]]:
    """Return what an answer changes: each counter's name, by how much, and when a new one ends; in
    name order.
    """
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


_json = json.JSONEncoder(separators=(",", ":")).encode
