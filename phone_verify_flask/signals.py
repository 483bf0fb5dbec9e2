"""What a site's own code may listen to: blinker's signals. The sender is the application.

    @phone_changed.connect
    def tell_the_owner_of_the_old_number(app, user, old, new, **_): ...

What they tell has been done. What a receiver raises is logged: it neither undoes anything nor keeps the next receiver
from hearing. (`user_logged_in` is Flask-Login's own and stops a login, as always.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from blinker import NamedSignal, Namespace
from flask import Flask, current_app

from phone_verify import PhoneNumber
from phone_verify.events.record import VerificationEvent
from phone_verify.events.signals import DELIVERY_FAILED, VERIFICATION_FAILED, VERIFICATION_LOCKED, signals_of
from phone_verify.model import Redeemed

log = logging.getLogger("phone_verify")

_signals = Namespace()

#: A user has proven a number: by signing in, confirming or changing it. `user`, `phone` (a `PhoneNumber`), `purpose`,
#: `channel`, `assurance`.
phone_verified = _signals.signal("phone_verified")
#: A user who had a number has another one: `user`, `old` and `new`, both `PhoneNumber`; the owner of `old` should be
#: told. A first number is no change: `phone_verified` tells it.
phone_changed = _signals.signal("phone_changed")
#: A code was wrong. `happened`, a `phone_verify.events.record.VerificationEvent`, which holds no number.
verification_failed = _signals.signal(VERIFICATION_FAILED)
#: No more tries: the last one was wrong, or the number has too many wrong answers in a row. `happened` as above.
verification_locked = _signals.signal(VERIFICATION_LOCKED)
#: No provider took the message or the call. `happened` as above.
delivery_failed = _signals.signal(DELIVERY_FAILED)


def tell_verified(user: Any, redeemed: Redeemed) -> None:
    """Send `phone_verified`."""
    _send(
        phone_verified,
        _app(),
        user=user,
        phone=redeemed.phone,
        purpose=redeemed.purpose,
        channel=redeemed.channel,
        assurance=redeemed.assurance,
    )


def tell_changed(user: Any, old: PhoneNumber, new: PhoneNumber) -> None:
    """Send `phone_changed`."""
    _send(phone_changed, _app(), user=user, old=old, new=new)


def listener(app: Flask) -> Callable[[VerificationEvent], None]:
    """What hears of the application's events, and sends those that are signals."""

    def hear(happened: VerificationEvent) -> None:
        for name in signals_of(happened):
            _send(_signals[name], app, happened=happened)

    return hear


def _send(signal: NamedSignal, app: Flask, **told: Any) -> None:
    # blinker has no robust `send`: one receiver that raises would keep the others from hearing.
    for receiver in () if signal.is_muted else [*signal.receivers_for(app)]:
        try:
            app.ensure_sync(receiver)(app, **told)
        except Exception:  # a receiver is somebody else's code, and what it is told of has been done
            log.exception("a receiver of %s failed", signal.name)


def _app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app
