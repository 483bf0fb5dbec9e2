"""What a site may listen to.

    @receiver(phone_changed)
    def tell_the_owner_of_the_old_number(user, old, new, **_): ...

All are sent by `send_robust`: what they tell has been done, and a receiver's error, which is logged, neither undoes it
nor keeps the next receiver from hearing. (`user_logged_in` is Django's own and stops a login, as always.) `request` is
None where there is none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import close_old_connections
from django.dispatch import Signal
from django.http import HttpRequest

from phone_verify.events.record import VerificationEvent
from phone_verify.events.signals import DELIVERY_FAILED, VERIFICATION_FAILED, VERIFICATION_LOCKED, signals_of
from phone_verify.model import Redeemed

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

#: A user has proven a number: by signing in, signing up, confirming or changing it. Sender: the user model.
#: `request`, `user`, `phone` (a PhoneNumber), `purpose`, `channel`, `assurance`.
phone_verified = Signal()

#: A user who had a number has another one, one more, one less, or another primary one. Sender: the user model.
#: `request`, `user`, `old` and `new`, both PhoneNumber: `old` is whose owner should be told; `new` is what came in its
#: place or beside it, None if nothing did. Sent once for each number that went.
phone_changed = Signal()

#: Somebody else has proven a number of this user's, which is his no more. Sender: the user model.
#: `request` (the new owner's), `user` (who had it), `phone`.
phone_lost = Signal()

#: A code was wrong. Sender: the class of `happened`, a `phone_verify.events.record.VerificationEvent`; it holds no
#: number.
verification_failed = Signal()

#: No more tries: the last one was wrong, or the number has too many wrong answers in a row. `happened` as above.
verification_locked = Signal()

#: No provider took the message or call. `happened` as above.
delivery_failed = Signal()


_OF_EVENTS = {
    VERIFICATION_FAILED: verification_failed,
    VERIFICATION_LOCKED: verification_locked,
    DELIVERY_FAILED: delivery_failed,
}


def tell_verified(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed) -> None:
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


def hear(happened: VerificationEvent) -> None:
    """Listen to the core's events, and tell what is a signal here."""
    for name in signals_of(happened):
        signal = _OF_EVENTS[name]
        if signal.has_listeners(type(happened)):
            _send(signal, happened)


def _send(signal: Signal, happened: VerificationEvent) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        signal.send_robust(type(happened), happened=happened)
        return
    # Receivers may ask the database, which the thread of an event loop must not wait for.
    loop.run_in_executor(None, _send_in_thread, signal, happened)


def _send_in_thread(signal: Signal, happened: VerificationEvent) -> None:
    try:
        signal.send_robust(type(happened), happened=happened)
    finally:
        close_old_connections()
