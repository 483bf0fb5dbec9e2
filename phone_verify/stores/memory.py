"""Verifications in the memory of one process: for development, tests and single-process sites."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import NamedTuple, TypeVar

from .. import lifecycle
from .. import limits as rules
from ..codes import TAG_LENGTH
from ..conversions import CONVERSIONS_KEPT, Conversion
from ..errors import StoreError
from ..lifecycle import Attachment, Opening, ResolvedCheck, Spent
from ..limits import Answering, Counted, DenialReason, Denied, Limits, Quota, Tally, Window
from ..lines import claimant, note_other_caller
from ..model import Channel, Failures, IncomingCall, Status, Verification, with_changes
from ..phone import PhoneNumber
from ..policy import HARD_LIFE
from .base import KEPT_FOR, PURGE_PER_START, RETENTION, Place, Reservation, checked_keep

log = logging.getLogger("phone_verify")

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class _Phone:
    """The data of one phone."""

    __slots__ = ("ends_at", "failures", "records", "windows")

    def __init__(self) -> None:
        self.records: dict[str, Verification] = {}
        self.windows: dict[str, Window] = {}
        self.failures: dict[str, Failures] = {}
        #: When the last window and the last failure expire, and the last record can be dropped.
        self.ends_at = _LONG_AGO


class _Taken(NamedTuple):
    """A place that is taken, for the phone of this tag."""

    place: Place
    tag: str
    ends_at: datetime


Ends = TypeVar("Ends", Window, _Phone, _Taken)


class MemoryStore:
    """A store for one process: a second one would double every limit, so it refuses to work after a fork.

    An adapter that detects several processes in another way calls `refuse`. Records are kept for
    `keep` after they expire.
    """

    def __init__(self, *, keep: timedelta = RETENTION) -> None:
        self._keep = checked_keep(keep)
        self._lock = threading.Lock()
        self._born = os.getpid()
        self._refusal: str | None = None
        self._phones: dict[str, _Phone] = {}
        self._counters: dict[str, Window] = {}
        self._tally: dict[int, Tally] = {}  # one entry per hour
        self._places: dict[str, _Taken] = {}
        self._conversions: dict[str, Conversion] = {}
        # What can be dropped, and from when. Lifetimes of records differ little, so their insertion order is close
        # enough. The others are heaps: a counter or a lockout may last for years.
        self._old_records: deque[tuple[datetime, str]] = deque()
        self._old_phones: list[tuple[datetime, str]] = []
        self._old_counters: list[tuple[datetime, str]] = []
        self._old_places: list[tuple[datetime, str]] = []

    def refuse(self, reason: str) -> None:
        """Raise `StoreError` from now on, since this store cannot keep its promises here. Logs `reason` once."""
        if self._refusal is None:
            self._refusal = reason
            log.error("the memory store is switched off: %s", reason)

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Counted | Denied:
        now = self._begin(now)
        with self._lock:
            _drop_ended(self._old_counters, self._counters, len(quotas) + 1, now)
            windows = rules.all_counted([(quota, self._counters.get(quota.key)) for quota in quotas], now)
            if isinstance(windows, Denied):
                return windows
            for quota, window in zip(quotas, windows, strict=True):
                if not quota.gate:
                    self._keep_counter(quota.key, window)
            return Counted([window.ends_at for window in windows], self._tally_at(now))

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        self._begin(now)
        with self._lock:
            for quota, ends_at in zip(quotas, windows, strict=True):
                window = rules.decrement(self._counters.get(quota.key), ends_at)
                if window is not None and not quota.gate:
                    self._counters[quota.key] = window

    async def refund(self, id: str, quotas: Sequence[Quota], at: datetime, now: datetime | None) -> None:
        self._begin(now)
        with self._lock:
            phone, _ = self._find(id)
            for quota in quotas:
                window = rules.refunded(phone.windows.get(quota.key), quota, at)
                if window is not None:
                    phone.windows[quota.key] = window

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Denied:
        now = self._begin(now)
        with self._lock:
            self._drop_records(PURGE_PER_START, now)
            _drop_ended(self._old_phones, self._phones, PURGE_PER_START, now)
            phone = self._phones.get(opening.tag) or _Phone()
            siblings = phone.records.values() if opening.shown else ()
            windows = [(quota, phone.windows.get(quota.key)) for quota in quotas]
            failures = phone.failures.get(opening.request.failure_key)
            opened = lifecycle.open(opening, siblings, windows, failures, limits, now)
            if isinstance(opened, Denied):
                return opened
            self._phones[opening.tag] = phone
            self._count(phone, quotas, opened.windows, now)
            for record in (*opened.ended, opened.record):
                phone.records[record.id] = record
            dropped_at = opened.record.expires_at + self._keep
            phone.ends_at = max(phone.ends_at, dropped_at)
            self._old_records.append((dropped_at, opened.record.id))
            return opened.record

    async def attach(self, id: str, attachment: Attachment, now: datetime | None) -> Verification | Denied:
        now = self._begin(now)
        with self._lock:
            phone, record = self._find(id)
            if record is None:
                return Denied(DenialReason.CLOSED)
            siblings = phone.records.values() if attachment.line is not None else ()
            attached = lifecycle.attach(record, attachment, siblings, now)
            changed = attached.record if isinstance(attached, Denied) else attached
            if changed is not None:
                phone.records[id] = changed
            return attached

    async def spend(
        self,
        id: str,
        binding: bytes,
        digests: Sequence[bytes],
        length: int,
        limits: Limits,
        answering: Answering,
        now: datetime | None,
    ) -> Spent | Denied:
        now = self._begin(now)
        with self._lock:
            phone, record = self._find(id)
            failures = phone.failures.get(record.failure_key) if record is not None else None
            address, tally = self._counter_of(answering), self._tally_at(now)
            spent = lifecycle.spend(record, binding, digests, length, failures, limits, answering, address, tally, now)
            if isinstance(spent, Spent):
                self._answer(phone, spent, answering, now)
            return spent

    async def reopen(
        self,
        id: str,
        binding: bytes,
        channel: Channel,
        short: bool,
        quotas: Sequence[Quota],
        limits: Limits,
        resend_after: timedelta,
        now: datetime | None,
    ) -> Verification | Denied:
        now = self._begin(now)
        with self._lock:
            phone, record = self._find(id)
            windows = [(quota, phone.windows.get(quota.key)) for quota in quotas]
            failures = phone.failures.get(record.failure_key) if record is not None else None
            reopened = lifecycle.reopen(record, binding, channel, short, windows, failures, limits, resend_after, now)
            if isinstance(reopened, Denied):
                return reopened
            record, counts = reopened
            self._count(phone, quotas, counts, now)
            phone.records[id] = record
            return record

    async def settle(self, id: str, status: Status, now: datetime | None, generation: int | None = None) -> bool:
        now = self._begin(now)
        with self._lock:
            phone, record = self._find(id)
            settled = lifecycle.settle(record, status, now, generation)
            if settled is not None:
                self._close(phone, settled)
            return settled is not None

    async def resolve_check(
        self, id: str, right: bool | None, generation: int, answering: Answering, now: datetime | None
    ) -> ResolvedCheck | None:
        now = self._begin(now)
        with self._lock:
            phone, record = self._find(id)
            failures = phone.failures.get(record.failure_key) if record is not None else None
            address = self._counter_of(answering)
            judged = lifecycle.resolve_check(record, right, generation, failures, answering, address, now)
            if judged is not None:
                self._answer(phone, judged, answering, now)
            return judged

    async def claim(self, driver: str, tag: str, event: IncomingCall, now: datetime | None) -> Verification | None:
        now = self._begin(now)
        with self._lock:
            phone = self._phones.get(tag) or _Phone()
            claimed = lifecycle.claim(phone.records.values(), driver, event, now)
            if claimed is not None:
                self._close(phone, claimed)
            return claimed

    async def find(self, driver: str, tag: str, reference: str, now: datetime | None) -> Verification | None:
        now = self._begin(now)
        with self._lock:
            phone = self._phones.get(tag) or _Phone()
            return lifecycle.find(phone.records.values(), driver, reference, now)

    async def recent(self, tag: str, now: datetime | None) -> Sequence[Verification]:
        now = self._begin(now)
        with self._lock:
            phone = self._phones.get(tag) or _Phone()
            return [with_changes(each, read_at=now) for each in phone.records.values() if now < each.expires_at]

    async def claimant(self, driver: str, line: PhoneNumber, now: datetime | None) -> Verification | None:
        now = self._begin(now)
        with self._lock:
            return claimant(self._recent_records(now), driver, line)

    async def note_other_caller(self, id: str, now: datetime | None) -> bool:
        now = self._begin(now)
        with self._lock:
            phone, record = self._find(id)
            noted = note_other_caller(record, now)
            if noted is not None:
                phone.records[id] = noted
            return noted is not None

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        now = self._begin(now)
        with self._lock:
            phone, record = self._find(id)
            return record and lifecycle.refresh(record, phone.failures.get(record.failure_key), now)

    async def may_poll(self, id: str, binding: bytes | None, now: datetime | None) -> bool:
        now = self._begin(now)
        with self._lock:
            phone, record = self._find(id)
            due = lifecycle.may_poll(record, binding, now)
            if due is not None:
                phone.records[id] = due[1]
            return due is not None and due[0]

    async def redeem(self, id: str, binding: bytes, subject: str, now: datetime | None) -> Verification | None:
        now = self._begin(now)
        with self._lock:
            phone, record = self._find(id)
            due = lifecycle.redeem(record, binding, subject, now)
            if due is not None:
                phone.records[id] = due
            return due

    async def unlock(self, tag: str, now: datetime | None) -> bool:
        now = self._begin(now)
        with self._lock:
            phone = self._phones.get(tag) or _Phone()
            any_left = any(failures.expires_at > now for failures in phone.failures.values())
            phone.failures.clear()
            return any_left

    async def reserve(self, reservation: Reservation, now: datetime | None) -> Place:
        now = self._begin(now)
        with self._lock:
            _drop_ended(self._old_places, self._places, PURGE_PER_START, now)
            for name in reservation.names:
                taken = self._places.get(name)
                if taken is not None and taken.ends_at > now:
                    return replace(taken.place, read_at=now)
            place = Place(reservation.holder, reservation.request, None, now)
            self._take(reservation.names[0], _Taken(place, reservation.tag, now + reservation.lasts))
            return place

    async def places(self, names: Sequence[str], now: datetime | None) -> Sequence[Place | None]:
        now = self._begin(now)
        with self._lock:
            found = [self._places.get(name) for name in names]
            return [replace(each.place, read_at=now) if each and each.ends_at > now else None for each in found]

    async def keep_response(
        self, reservation: Reservation, response: str, also: str | None, now: datetime | None
    ) -> bool:
        now = self._begin(now)
        with self._lock:
            if not self._holds(reservation, now):
                return False
            taken = self._places[reservation.names[0]]
            kept = taken._replace(place=replace(taken.place, response=response), ends_at=now + KEPT_FOR)
            for name in (reservation.names[0], also):
                if name is not None:
                    self._take(name, kept)
            return True

    async def release(self, reservation: Reservation, now: datetime | None) -> None:
        now = self._begin(now)
        with self._lock:
            if self._holds(reservation, now):
                del self._places[reservation.names[0]]

    async def add_conversion(self, route: str, sent: int, verified: int, now: datetime | None) -> None:
        now = self._begin(now)
        with self._lock:
            self._conversions[route] = self._conversion(route, now).added(sent, verified, now)

    async def conversions(self, routes: Sequence[str], now: datetime | None) -> Sequence[Conversion]:
        now = self._begin(now)
        with self._lock:
            return [self._conversion(route, now).decayed(now) for route in routes]

    async def purge(self, limit: int, now: datetime | None) -> int:
        now = self._begin(now)
        with self._lock:
            gone = self._drop_records(limit, now)
            gone += _drop_ended(self._old_phones, self._phones, limit - gone, now)
            gone += _drop_ended(self._old_counters, self._counters, limit - gone, now)
            gone += _drop_ended(self._old_places, self._places, limit - gone, now)
            old = [route for route, each in self._conversions.items() if each.at + CONVERSIONS_KEPT <= now]
            for route in old[: limit - gone]:
                del self._conversions[route]
            return gone + len(old[: limit - gone])

    async def erase(self, tag: str, now: datetime | None) -> int:
        self._begin(now)
        with self._lock:
            phone = self._phones.pop(tag, None)
            for name in [name for name, taken in self._places.items() if taken.tag == tag]:
                del self._places[name]
            return len(phone.records) if phone is not None else 0

    def _begin(self, now: datetime | None) -> datetime:
        # Checked before taking the lock: another thread may have held it during a fork.
        # Not by a hook of Python: a server in C, like uWSGI, forks without calling them.
        if self._born != os.getpid():
            self.refuse("the process has forked, and each process would count separately; use another store")
        if self._refusal is not None:
            raise StoreError(f"The memory store is switched off: {self._refusal}")
        return now or datetime.now(UTC)

    def _find(self, id: str) -> tuple[_Phone, Verification | None]:
        phone = self._phones.get(id[:TAG_LENGTH]) or _Phone()
        return phone, phone.records.get(id)

    def _recent_records(self, now: datetime) -> Sequence[Verification]:
        """Return the records that may be open, newest first, as of `now`."""
        found = []
        for dropped_at, id in reversed(self._old_records):
            if dropped_at <= now + self._keep - HARD_LIFE:
                break  # opened before this one, so expired as well: no lifetime is longer
            record = self._find(id)[1]
            if record is not None:
                found.append(with_changes(record, read_at=now))
        return found

    def _close(self, phone: _Phone, record: Verification) -> None:
        phone.records[record.id] = record
        if record.status is Status.VERIFIED:
            self._clear(phone, record)

    def _clear(self, phone: _Phone, record: Verification) -> None:
        for key in rules.after_success(record, phone.failures):
            phone.failures.pop(key, None)

    def _count(self, phone: _Phone, quotas: Sequence[Quota], windows: Sequence[Window], now: datetime) -> None:
        # Each client has its own: those of a phone that starts every day would stay.
        phone.windows = {key: window for key, window in phone.windows.items() if window.ends_at > now}
        for quota, window in zip(quotas, windows, strict=True):
            phone.windows[quota.key] = window
            phone.ends_at = max(phone.ends_at, window.ends_at)

    def _answer(self, phone: _Phone, answer: Spent | ResolvedCheck, answering: Answering, now: datetime) -> None:
        """Store the effects of an answer."""
        record, failures, change = answer.record, answer.failures, answer.tally
        phone.records[record.id] = record
        if failures is None:
            phone.failures.pop(record.failure_key, None)
        else:
            phone.failures[record.failure_key] = failures
            phone.ends_at = max(phone.ends_at, failures.expires_at)
        if answer.verified:
            self._clear(phone, record)
        if change is None:
            return
        hour, first = rules.hour_of(now), rules.first_hour_tallied(now)
        self._tally = {each: tally for each, tally in self._tally.items() if each >= first}
        old = self._tally.get(hour, Tally())
        self._tally[hour] = Tally(old.short + change.short, old.long + change.long, old.right + change.right)
        if answering.address and change.address:
            window = rules.changed_by(self._counters.get(answering.address), change.address, now)
            self._keep_counter(answering.address, window)

    def _tally_at(self, now: datetime) -> Tally:
        first = rules.first_hour_tallied(now)
        short = long = right = 0
        for hour, tally in self._tally.items():
            if hour >= first:
                short, long, right = short + tally.short, long + tally.long, right + tally.right
        return Tally(short, long, right)

    def _conversion(self, route: str, now: datetime) -> Conversion:
        return self._conversions.get(route) or Conversion(0.0, 0.0, now)

    def _counter_of(self, answering: Answering) -> Window | None:
        return self._counters.get(answering.address) if answering.address else None

    def _keep_counter(self, key: str, window: Window) -> None:
        old = self._counters.get(key)
        if old is None or old.ends_at != window.ends_at:
            heappush(self._old_counters, (window.ends_at, key))
        self._counters[key] = window

    def _drop_records(self, limit: int, now: datetime) -> int:
        gone = 0
        while gone < limit and self._old_records and self._old_records[0][0] <= now:
            id = self._old_records.popleft()[1]
            tag = id[:TAG_LENGTH]
            phone = self._phones.get(tag)
            if phone is None or phone.records.pop(id, None) is None:
                continue  # its record was erased
            if not phone.records:
                heappush(self._old_phones, (phone.ends_at, tag))
            gone += 1
        return gone

    def _holds(self, reservation: Reservation, now: datetime) -> bool:
        taken = self._places.get(reservation.names[0])
        return taken is not None and taken.place.holder == reservation.holder and taken.ends_at > now

    def _take(self, name: str, taken: _Taken) -> None:
        self._places[name] = taken
        heappush(self._old_places, (taken.ends_at, name))


def _drop_ended(heap: list[tuple[datetime, str]], kept: dict[str, Ends], limit: int, now: datetime) -> int:
    """Drop what has ended, at most this many; return how many."""
    gone = 0
    while gone < limit and heap and heap[0][0] <= now:
        key = heappop(heap)[1]
        found = kept.get(key)
        # One that was renewed since is in the heap again, a phone with its latest record.
        if found is not None and found.ends_at <= now:
            del kept[key]
            gone += 1
    return gone
