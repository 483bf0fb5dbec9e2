"""The changes of a verification that its service receives, as far as its attempts show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..model import DeliveryState, Status, Verification
from ..webhooks_out.messages import Change, WebhookEvent
from .values import NOTICE, Attempt, AttemptOutcome

_UNANSWERED = (AttemptOutcome.UNSENT, AttemptOutcome.UNCLEAR)
_NOT_SENT = (*_UNANSWERED, AttemptOutcome.REFUSED)


def changes_of(before: Attempt, after: Attempt, now: datetime) -> Sequence[Change]:
    """Return what to tell after an attempt has changed.

    The end of a verification without success is not among it: several attempts, or none, see it. A notice
    belongs to no verification.
    """
    if after.purpose == NOTICE:
        return []
    events = []
    if before.outcome in _UNANSWERED and after.outcome not in _NOT_SENT:
        events.append(WebhookEvent.SENT)
    delivered = DeliveryState.DELIVERED.value
    if before.delivery != delivered == after.delivery:
        events.append(WebhookEvent.DELIVERED)
    if before.outcome is not after.outcome is AttemptOutcome.VERIFIED:
        events.append(WebhookEvent.VERIFIED)
    return [_change(event, after, _status(after), now) for event in events]


def end_of(attempt: Attempt, status: Status, now: datetime) -> Change:
    """Return what to tell after the verification of this attempt has ended without success."""
    return _change(_event(status), attempt, status, now)


def is_verified(attempt: Attempt) -> bool:
    """Return whether the verification succeeded by this attempt."""
    return attempt.outcome is AttemptOutcome.VERIFIED


def end_of_record(record: Verification, status: Status, now: datetime) -> Change:
    """Return what to tell after this verification has ended without success."""
    return Change(
        event=_event(status),
        verification=record.id,
        send=record.sends,
        service=record.service,
        purpose=record.purpose,
        channel=record.channel.value,
        status=status.value,
        hint=record.phone.hint,
        at=now,
    )


def _event(status: Status) -> WebhookEvent:
    return WebhookEvent.EXPIRED if status is Status.EXPIRED else WebhookEvent.FAILED


def _status(attempt: Attempt) -> Status:
    ended = {AttemptOutcome.VERIFIED: Status.VERIFIED, AttemptOutcome.EXPIRED: Status.EXPIRED}
    return ended.get(attempt.outcome, Status.SENT)


def _change(event: WebhookEvent, attempt: Attempt, status: Status, now: datetime) -> Change:
    return Change(
        event=event,
        verification=attempt.verification,
        send=attempt.send,
        service=attempt.service,
        purpose=attempt.purpose,
        channel=attempt.channel,
        status=status.value,
        hint=attempt.hint,
        at=now,
    )
