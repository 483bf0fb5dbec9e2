"""Which events are sent as signals, in every framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..model import Reason, Status
from .record import VerificationEvent

VERIFICATION_FAILED = "verification_failed"
VERIFICATION_LOCKED = "verification_locked"
DELIVERY_FAILED = "delivery_failed"
#: The verb of an event, and the name of its signal.
ALARM, LIMIT_ALARM = "alarm", "limit_alarm"


#: Of the verb and the outcome of an event.
_POSSIBLE: Mapping[tuple[str, str], Sequence[str]] = {
    ("start", Reason.DELIVERY_FAILED.value): (DELIVERY_FAILED,),
    ("resend", Reason.DELIVERY_FAILED.value): (DELIVERY_FAILED,),
    ("check", Reason.TOO_MANY_REQUESTS.value): (VERIFICATION_LOCKED,),
    # An attempt after the last one is `closed`, and reports nothing new.
    ("check", Reason.WRONG_CODE.value): (VERIFICATION_FAILED, VERIFICATION_LOCKED),
}


def possible_signals(verb: str, outcome: str) -> Sequence[str]:
    """Return the names of the signals that an event with this verb and outcome may have; none for most."""
    return (LIMIT_ALARM,) if verb == ALARM else _POSSIBLE.get((verb, outcome), ())


def signals_of(event: VerificationEvent) -> Sequence[str]:
    """Return the names of the signals for this event.

    A wrong code is `verification_failed`, and also `verification_locked` if it was the last
    attempt; so is an attempt refused because there were too many. `delivery_failed`: no provider
    accepted the message or the call. `limit_alarm`: a cap, a balance or an account at a provider has
    reached a level.
    """
    attempts_left = event.outcome == Reason.WRONG_CODE.value and event.status != Status.EXHAUSTED.value
    names = possible_signals(event.verb, event.outcome)
    return [name for name in names if not (attempts_left and name == VERIFICATION_LOCKED)]
