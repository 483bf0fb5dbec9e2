"""The codes that a provider generates, keeps and checks itself: the client asks whether one is right.

A record is a snapshot; a protocol changes it by `RemoteCodes.check`, `resend` or `update`, each one
atomic step. What an answer to the client says about it is for the protocol to decide.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hmac import compare_digest
from types import MappingProxyType
from typing import Final, Literal

from phone_verify.sandbox.phones import Channel

MAX_CODES = 500

State = Literal["open", "verified", "failed", "cancelled"]
#: The result of a check: `closed` means that the record took no check any more.
Checked = Literal["right", "wrong", "too_many", "expired", "closed"]
_NO_DETAILS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RemoteCode:
    """A verification at a provider. `failed` is the state after too many wrong checks."""

    id: int
    provider: str
    phone: str
    channel: Channel
    opened_at: datetime
    expires_at: datetime
    code: str = field(repr=False)
    state: State = "open"
    sends: int = 1
    wrong: int = 0
    #: What the protocol needs besides: the account, the client's reference and the like.
    details: Mapping[str, str] = field(default_factory=lambda: _NO_DETAILS, repr=False)

    def is_open(self, now: datetime) -> bool:
        """Return whether a right code would still be accepted."""
        return self.state == "open" and now < self.expires_at


class RemoteCodes:
    """The verifications of all providers, the oldest dropped beyond a limit. Thread-safe."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._last_id = 0
        self._kept: OrderedDict[int, RemoteCode] = OrderedDict()

    def open(
        self,
        phone: str,
        *,
        provider: str,
        channel: Channel,
        code: str,
        ttl: timedelta,
        details: Mapping[str, str] = _NO_DETAILS,
    ) -> RemoteCode:
        """Open a verification with this code."""
        with self._lock:
            now = self._now()
            self._last_id += 1
            record = RemoteCode(self._last_id, provider, phone, channel, now, now + ttl, code, details=details)
            self._kept[record.id] = record
            while len(self._kept) > MAX_CODES:
                self._kept.popitem(last=False)
            return record

    def find(self, provider: str, record_id: int) -> RemoteCode | None:
        """Return this provider's verification with this id, open or not."""
        with self._lock:
            record = self._kept.get(record_id)
        return record if record and record.provider == provider else None

    def newest(self, provider: str, phone: str | None = None, **details: str) -> RemoteCode | None:
        """Return this provider's newest verification, open or not, of this phone if given and with
        these details.
        """
        return next((each for each in self.all(provider, phone) if details.items() <= each.details.items()), None)

    def all(self, provider: str, phone: str | None = None) -> tuple[RemoteCode, ...]:
        """Return this provider's verifications, open or not, of this phone if given, newest first."""
        with self._lock:
            kept = tuple(reversed(self._kept.values()))
        return tuple(each for each in kept if each.provider == provider and phone in (None, each.phone))

    def check(self, record_id: int, code: str, *, most_wrong: int) -> tuple[Checked, RemoteCode]:
        """Compare a code, and count a wrong one, in one step; return the result and the new record.

        The check after `most_wrong` wrong ones is `too_many`, even with the right code. A right code
        closes the verification. Raises KeyError for an unknown id.
        """
        with self._lock:
            record = self._kept[record_id]
            if record.state not in ("open", "failed"):
                return "closed", record
            if self._now() >= record.expires_at:
                return "expired", record
            if record.wrong >= most_wrong:
                result: Checked = "too_many"
                record = replace(record, state="failed")
            elif compare_digest(code.encode(), record.code.encode()):
                result = "right"
                record = replace(record, state="verified")
            else:
                result = "wrong"
                record = replace(record, wrong=record.wrong + 1)
            self._kept[record_id] = record
            return result, record

    def resend(
        self, record_id: int, *, channel: Channel, code: str | None = None, ttl: timedelta | None = None
    ) -> RemoteCode:
        """Count another send; `code` replaces the code and `ttl` the remaining life if given."""
        with self._lock:
            record = self._kept[record_id]
            record = replace(
                record,
                channel=channel,
                sends=record.sends + 1,
                code=record.code if code is None else code,
                expires_at=record.expires_at if ttl is None else self._now() + ttl,
            )
            self._kept[record_id] = record
            return record

    def update(self, record_id: int, *, state: State, details: Mapping[str, str] = _NO_DETAILS) -> RemoteCode:
        """Set the state, and add details."""
        with self._lock:
            record = self._kept[record_id]
            record = replace(record, state=state, details=MappingProxyType({**record.details, **details}))
            self._kept[record_id] = record
            return record

    def remove(self, phone: str) -> None:
        """Delete the verifications of a phone."""
        with self._lock:
            for record_id in [each.id for each in self._kept.values() if each.phone == phone]:
                del self._kept[record_id]

    def clear(self) -> None:
        """Delete all verifications; ids are not reused."""
        with self._lock:
            self._kept.clear()
