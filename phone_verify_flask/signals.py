"""Blinker signals for the site's code. The sender is the application.

    @phone_changed.connect
    def notify_old_number(app, user, old, new, **_): ...

Signals are sent after the change. An exception of a receiver is logged; it undoes nothing and does not stop the next
receiver. (An exception of a receiver of Flask-Login's `user_logged_in` does stop a login.)
"""

from __future__ import annotations

import logging
from typing import Any

from blinker import NamedSignal, Namespace
from flask import Flask, current_app

from phone_verify import PhoneNumber
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

log = logging.getLogger("phone_verify")

_signals = Namespace()

#: A user has verified a number by signing in, confirming or changing it. `user`, `phone` (a `PhoneNumber`), `purpose`,
#: `channel`, `assurance`.
phone_verified = _signals.signal("phone_verified")
#: A user has replaced a number: `user`, `old` and `new`, both `PhoneNumber`; the owner of `old` should be notified.
#: A first number sends `phone_verified` only.
phone_changed = _signals.signal("phone_changed")
#: A code was wrong. `happened`, a `phone_verify.events.record.VerificationEvent`, which holds no number.
verification_failed = _signals.signal(VERIFICATION_FAILED)
#: No attempts left: the last one was wrong, or the number has too many consecutive wrong answers. `happened` as above.
verification_locked = _signals.signal(VERIFICATION_LOCKED)
#: No provider accepted the message or the call. `happened` as above.
delivery_failed = _signals.signal(DELIVERY_FAILED)
#: A cap, a balance or an account at a provider has reached 50, 80 or 100 percent. `happened` as above, with the
#: `phone_verify.ledger.values.Alarm` as `happened.alarm`.
limit_alarm = _signals.signal(LIMIT_ALARM)


def send_phone_verified(user: Any, redeemed: Redeemed) -> None:
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


def send_phone_changed(user: Any, old: PhoneNumber, new: PhoneNumber) -> None:
    """Send `phone_changed`."""
    _send(phone_changed, _app(), user=user, old=old, new=new)


def listener(app: Flask) -> FilteredListener:
    """Return the event listener that sends the application's signals."""

    def on_event(happened: VerificationEvent) -> None:
        for name in signals_of(happened):
            _send(_signals[name], app, happened=happened)

    def accepts(verb: str, outcome: str) -> bool:
        return any(_signals[name].has_receivers_for(app) for name in possible_signals(verb, outcome))

    return FilteredListener(on_event, accepts)


def _send(signal: NamedSignal, app: Flask, **values: Any) -> None:
    # blinker has no robust `send`: an exception of one receiver would stop the others.
    for receiver in () if signal.is_muted else [*signal.receivers_for(app)]:
        try:
            app.ensure_sync(receiver)(app, **values)
        except Exception:  # a receiver is third-party code, and the change it reports is complete
            log.exception("a receiver of %s failed", signal.name)


def _app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app
