"""Which events a site's own code is told of by signal, whatever framework carries it."""

from __future__ import annotations

from collections.abc import Sequence

from ..model import Reason, Status
from .record import VerificationEvent

VERIFICATION_FAILED = "verification_failed"
VERIFICATION_LOCKED = "verification_locked"
DELIVERY_FAILED = "delivery_failed"


def signals_of(event_for: VerificationEvent) -> Sequence[str]:
    """The names of the signals that this event is; none for most.

    A wrong code is `verification_failed`, and `verification_locked` too where it was the last try; so is a try that
    is refused because there were too many. `delivery_failed`: no provider took the message or the call.
    """
    if event_for.verb in ("start", "resend"):
        return [DELIVERY_FAILED] if event_for.outcome == Reason.DELIVERY_FAILED.value else []
    if event_for.verb != "check":
        return []
    if event_for.outcome == Reason.TOO_MANY_REQUESTS.value:
        return [VERIFICATION_LOCKED]
    if event_for.outcome != Reason.WRONG_CODE.value:
        return []  # a try after the last one is `closed`, and tells nothing new
    last = event_for.status == Status.EXHAUSTED.value
    return [VERIFICATION_FAILED, VERIFICATION_LOCKED] if last else [VERIFICATION_FAILED]
