"""Which events are sent as signals, in every framework."""

from __future__ import annotations

from collections.abc import Sequence

from ..model import Reason, Status
from .record import VerificationEvent

VERIFICATION_FAILED = "verification_failed"
VERIFICATION_LOCKED = "verification_locked"
DELIVERY_FAILED = "delivery_failed"
#: The verb of an event, and the name of its signal.
ALARM, LIMIT_ALARM = "alarm", "limit_alarm"


def signals_of(event: VerificationEvent) -> Sequence[str]:
    """Return the names of the signals for this event; none for most events.

    A wrong code is `verification_failed`, and also `verification_locked` if it was the last
    attempt; so is an attempt refused because there were too many. `delivery_failed`: no provider
    accepted the message or the call. `limit_alarm`: a cap, a balance or an account at a provider has
    reached a level.
    """
    if event.verb == ALARM:
        return [LIMIT_ALARM]
    if event.verb in ("start", "resend"):
        return [DELIVERY_FAILED] if event.outcome == Reason.DELIVERY_FAILED.value else []
    if event.verb != "check":
        return []
    if event.outcome == Reason.TOO_MANY_REQUESTS.value:
        return [VERIFICATION_LOCKED]
    if event.outcome != Reason.WRONG_CODE.value:
        return []  # an attempt after the last one is `closed`, and reports nothing new
    last = event.status == Status.EXHAUSTED.value
    return [VERIFICATION_FAILED, VERIFICATION_LOCKED] if last else [VERIFICATION_FAILED]
