"""When the user of this session last proved the own number: what a second step asks for.

The moment stands in the session, and goes with its user.
"""

from __future__ import annotations

from datetime import timedelta

import flask_login
from flask import Flask, current_app, session

from phone_verify.api import moments

CHECKED_AT = "_phone_verify_checked_at"


def note_check() -> None:
    """Note that the user who is signed in has just proved the own number."""
    session[CHECKED_AT] = moments.now()


def checked_for() -> timedelta | None:
    """How long ago the user who is signed in proved the own number in this session, or None."""
    if getattr(current_app, "login_manager", None) is None or not flask_login.current_user.is_authenticated:
        return None
    return moments.ago(session.get(CHECKED_AT))


def watch(app: Flask) -> None:
    """Forget the check whenever somebody comes or goes, in whatever way the site does that."""
    for signal in (flask_login.user_logged_in, flask_login.user_logged_out, flask_login.user_loaded_from_cookie):
        signal.connect(_forget, app)


def _forget(app: Flask, **_: object) -> None:
    session.pop(CHECKED_AT, None)
