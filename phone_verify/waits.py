"""The delays between the sends of a verification, kept apart for each channel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .model import Channel, Verification, with_changes
from .policy import resend_delay

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def next_send(record: Verification, channel: Channel) -> datetime | None:
    """Return when the next send on this channel is allowed; None if there was none on it yet."""
    wait = _parse(record).get(channel.value)
    return wait[1] if wait is not None else None


def with_send(record: Verification, channel: Channel, resend_after: timedelta, now: datetime) -> Verification:
    """Return the record with one more send on this channel and the next one delayed twice as long."""
    waits = _parse(record)
    sends = waits.get(channel.value, (0, now))[0] + 1
    resend_at = now + resend_delay(resend_after, sends)
    waits[channel.value] = sends, resend_at
    return with_changes(
        record,
        sends=record.sends + 1,
        resend_at=resend_at if channel is record.channel else record.resend_at,
        waits=" ".join(f"{name}:{count}@{(at - _EPOCH) // _MICROSECOND}" for name, (count, at) in waits.items()),
    )


def _parse(record: Verification) -> dict[str, tuple[int, datetime]]:
    if not record.waits:  # one channel so far, or a record that was written before this field
        return {record.channel.value: (record.sends, record.resend_at)}
    found = {}
    for entry in record.waits.split():
        name, _, wait = entry.partition(":")
        count, _, at = wait.partition("@")
        found[name] = int(count), _EPOCH + timedelta(microseconds=int(at))
    return found
