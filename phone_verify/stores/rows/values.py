"""Rows into values, and values into what a column keeps. Times are whole microseconds UTC."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from ... import lifecycle
from ...lifecycle import Failures, Quota, Window
from ...model import Channel, Holder, Status, Verification
from ...phone import PhoneNumber
from ...policy import FAILURE_MEMORY

#: A record's fields, in their order; `read_at` is not stored, the server's time is read in its place.
FIELDS = tuple(field.name for field in fields(Verification) if field.name != "failures")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def time_of(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


#: What the columns that are no plain text or number are made into.
_MADE: dict[str, Callable[[Any], object]] = {
    "phone": PhoneNumber,
    "binding": bytes,
    "channel": Channel,
    "holder": Holder,
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
    "known": bool,
}
_PLACES = [(FIELDS.index(name), made) for name, made in _MADE.items()]
READ_AT = FIELDS.index("read_at")


def record_of(row: Sequence[Any], read_at: datetime) -> Verification:
    values = list(row)
    for place, made in _PLACES:
        if values[place] is not None:
            values[place] = made(values[place])
    values[READ_AT] = read_at
    return Verification(*values)


#: How what is no plain text or number is kept.
_KEPT_AS: dict[type, Callable[[Any], object]] = {
    datetime: micros,
    PhoneNumber: lambda phone: phone.e164,
    bool: int,
    **dict.fromkeys((Channel, Holder, Status), lambda word: word.value),
}


def stored(value: object) -> object:
    kept_as = _KEPT_AS.get(type(value))
    if kept_as is None and isinstance(value, datetime):  # of a library that moves the time of tests
        kept_as = micros
    return kept_as(value) if kept_as else value


def stored_fields(record: Verification, names: Iterable[str]) -> dict[str, object]:
    """These fields of a record, as they are kept."""
    return {name: stored(getattr(record, name)) for name in names}


class Phone:
    """A phone's row as it was read: what its quotas and its failures have counted. All None where there is no row."""

    def __init__(self, tag: str, row: Sequence[Any] = (None, None, None, None)) -> None:
        windows, failures, ends_at, version = row
        self.tag = tag
        #: False where writing it would change nothing.
        self.changed = False
        self._windows: dict[str, list[int]] = json.loads(windows or "{}")
        self._failures: dict[str, list[int]] = json.loads(failures or "{}")
        self._ends_at: int = ends_at or 0
        self.version: int | None = version

    def window(self, key: str) -> Window | None:
        counted = self._windows.get(key)
        return Window(counted[0], time_of(counted[1])) if counted else None

    def failures_of(self, budget: str) -> Failures | None:
        counted = self._failures.get(budget)
        return Failures(counted[0], time_of(counted[1]) - FAILURE_MEMORY) if counted else None

    def count(self, quotas: Sequence[Quota], windows: Sequence[Window]) -> None:
        for quota, window in zip(quotas, windows, strict=True):
            self._windows[quota.key] = [window.count, micros(window.ends_at)]
            self.last_until(window.ends_at)

    def fail(self, budget: str, failures: Failures | None) -> None:
        if failures is None:
            self.changed |= self._failures.pop(budget, None) is not None
            return
        ends_at = lifecycle.forgets_at(failures)
        self._failures[budget] = [failures.count, micros(ends_at)]
        self.last_until(ends_at)

    def last_until(self, time: datetime) -> None:
        self._ends_at = max(self._ends_at, micros(time))
        self.changed = True

    def row(self, at: datetime) -> dict[str, Any]:
        """What is written, and the version that must still be there.

        A row begins with the time as its version, so that none comes back that a deleted row had.
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


_json = json.JSONEncoder(separators=(",", ":")).encode
