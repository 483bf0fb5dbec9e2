"""Which events a site's own code is told of by signal, whatever framework carries it."""

from __future__ import annotations

from collections.abc import Sequence

from ..model import Reason, Status
from .record import Happened

VERIFICATION_FAILED = "verification_failed"
VERIFICATION_LOCKED = "verification_locked"
DELIVERY_FAILED = "delivery_failed"


def signals_of(happened: Happened) -> Sequence[str]:
    """The names of the signals that this event is; none for most.

    A wrong code is `verification_failed`, and `verification_locked` too where it was the last try; so is a try that
    is refused because there were too many. `delivery_failed`: no provider took the message or the call.
    """
    if happened.verb in ("start", "resend"):
        return [DELIVERY_FAILED] if happened.outcome == Reason.DELIVERY_FAILED.value else []
    if happened.verb != "check":
        return []
    if happened.outcome == Reason.TOO_MANY_REQUESTS.value:
        return [VERIFICATION_LOCKED]
    if happened.outcome != Reason.WRONG_CODE.value:
        return []  # a try after the last one is `closed`, and tells nothing new
    last = happened.status == Status.EXHAUSTED.value
    return [VERIFICATION_FAILED, VERIFICATION_LOCKED] if last else [VERIFICATION_FAILED]
