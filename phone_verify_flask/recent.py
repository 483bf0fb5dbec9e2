"""This library's data in Flask's session, and when its user last verified a number in it.

A verification counts only for a number that the user had before the session started, or that signed it in: a number
added within the session proves nothing about its user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import flask_login
from flask import Flask, Response, after_this_request, current_app, has_request_context, session

from phone_verify import PhoneNumber
from phone_verify.api import ApiRequest
from phone_verify.http.session_notes import Notes
from phone_verify.web.messages import Messages

from .calls import drop_pairs
from .login import current
from .state import current_state

_PREFIX = "_phone_verify_"
CHECKED_AT = f"{_PREFIX}checked_at"


def notes() -> Notes:
    """Return the notes in the session of this request."""
    return Notes(session, _PREFIX)


def messages() -> Messages:
    """Return the messages of our pages in the session of this request."""
    return Messages(session, _PREFIX)


def with_session_data(call: ApiRequest, *, user: bool = True) -> ApiRequest:
    """Return the call with the data of the session, and with the signed-in user unless `user` is false."""
    kept, accounts = notes(), current_state().accounts
    has_session = bool(session)
    call = replace(call, has_session=has_session, started=kept.started, not_entered=kept.not_entered)
    user_here = current(accounts) if user else None
    if user_here is None:
        return call
    own = _tags(accounts.number_of(flask_login.current_user))
    return replace(
        call,
        user=user_here,
        signed_in_for=kept.signed_in_for,
        proved_for=kept.proved_for(own),
        present_counts=any(kept.counts(number) for number in own),
        asks_without_old=accounts.may_change_without_old is not None,
    )


def note_check(phone: PhoneNumber) -> None:
    """Record that the current user has just verified this number, if it counts in this session."""
    notes().check(current_state().site.verifier.tag(phone))


def note_sign_in(phone: PhoneNumber, id: str) -> None:
    """Record that this number has just signed the session in, by the verification with this id."""
    notes().signed_in_by(current_state().site.verifier.tag(phone), [id])


def last_phone_check() -> timedelta | None:
    """Return how long ago the signed-in user last verified a number in this session; None if never."""
    if getattr(current_app, "login_manager", None) is None or not flask_login.current_user.is_authenticated:
        return None
    return notes().last_phone_check


def watch(app: Flask) -> None:
    """Follow every sign-in and sign-out of the site, by any method."""
    flask_login.user_logged_in.connect(_signed_in, app)
    flask_login.user_loaded_from_cookie.connect(_remembered, app)
    flask_login.user_logged_out.connect(_signed_out, app)


def _signed_in(app: Flask, user: Any, **_: object) -> None:
    notes().sign_in(str(user.get_id()), _tags(current_state().accounts.number_of(user)))
    _drop_pairs()


def _remembered(app: Flask, user: Any, **_: object) -> None:
    # A cookie identifies the user but does not show that they are present: not a recent sign-in.
    notes().sign_in(str(user.get_id()), _tags(current_state().accounts.number_of(user)), recent=False)
    _drop_pairs()


def _signed_out(app: Flask, **_: object) -> None:
    notes().sign_out()
    _drop_pairs()


def _drop_pairs() -> None:
    if has_request_context():
        here = current_state()

        @after_this_request
        def drop(response: Response) -> Response:
            drop_pairs(response, here)
            return response


def _tags(phone: PhoneNumber | None) -> Sequence[str]:
    return [] if phone is None else [current_state().site.verifier.tag(phone)]
