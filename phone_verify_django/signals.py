"""Django signals.

    @receiver(phone_changed)
    def notify_previous_number(user, old, new, **_): ...

All are sent with `send_robust` after the change: an error in a receiver is logged, and neither undoes
the change nor stops the next receiver. (`user_logged_in` is Django's own, and an error in it stops the
login as usual.) `request` is None outside of a request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import close_old_connections
from django.dispatch import Signal
from django.http import HttpRequest

from phone_verify.events.record import FilteredListener, VerificationEvent
from phone_verify.events.signals import (
    DELIVERY_FAILED,
    LIMIT_ALARM,
    VERIFICATION_FAILED,
    VERIFICATION_LOCKED,
    possible_signals,
    signals_of,
)
from phone_verify.model import Redeemed

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

#: A user has verified a number: by signing in, signing up, confirming or changing it. Sender: the user model.
#: `request`, `user`, `phone` (a PhoneNumber), `purpose`, `channel`, `assurance`.
phone_verified = Signal()

#: A number of a user was replaced, added or removed, or another one is primary. Sender: the user model.
#: `request`, `user`, `old` and `new`, both PhoneNumber: `old` is the number to notify; `new` is the number that
#: replaced it or was added, or None. Sent once for each removed number.
phone_changed = Signal()

#: A number was transferred to another user who verified it later. Sender: the user model.
#: `request` (the new owner's), `user` (the previous owner), `phone`.
phone_lost = Signal()

#: A code was wrong. Sender: the class of `happened`, a `phone_verify.events.record.VerificationEvent` without the
#: number.
verification_failed = Signal()

#: No attempts are left, or the number has too many wrong answers in a row. `happened` as above.
verification_locked = Signal()

#: No provider accepted the message or call. `happened` as above.
delivery_failed = Signal()

#: A cap, a balance or an account at a provider has reached 50, 80 or 100 percent. `happened` as above, with the
#: `phone_verify.ledger.values.Alarm` as `happened.alarm`.
limit_alarm = Signal()


_SIGNALS = {
    VERIFICATION_FAILED: verification_failed,
    VERIFICATION_LOCKED: verification_locked,
    DELIVERY_FAILED: delivery_failed,
    LIMIT_ALARM: limit_alarm,
}


def send_verified(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed) -> None:
    """Send `phone_verified`."""
    phone_verified.send_robust(
        get_user_model(),
        request=request,
        user=user,
        phone=redeemed.phone,
        purpose=redeemed.purpose,
        channel=redeemed.channel,
        assurance=redeemed.assurance,
    )


def on_event(happened: VerificationEvent) -> None:
    """Handle an event of the core: send the signals for it."""
    for name in signals_of(happened):
        if _has_receivers(name):
            _send(_SIGNALS[name], happened)


def _may_be_received(verb: str, outcome: str) -> bool:
    return any(_has_receivers(name) for name in possible_signals(verb, outcome))


#: The listener of the core's events.
listener = FilteredListener(on_event, _may_be_received)


def _has_receivers(name: str) -> bool:
    return _SIGNALS[name].has_listeners(VerificationEvent)


def _send(signal: Signal, happened: VerificationEvent) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        signal.send_robust(type(happened), happened=happened)
        return
    # Receivers may query the database, which must not block the thread of an event loop.
    loop.run_in_executor(None, _send_in_thread, signal, happened)


def _send_in_thread(signal: Signal, happened: VerificationEvent) -> None:
    try:
        signal.send_robust(type(happened), happened=happened)
    finally:
        close_old_connections()
