"""Ending the other sessions of a user when the number changes or the user requests it.

The store counts per user how often that happened, and a session keeps the count at its sign-in. When Flask-Login
loads the user, a session with another count ends. Flask-Login's remember cookie holds only the user's id, so a second
cookie with the count accompanies it.
"""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import flask_login
from flask import Flask, Response, after_this_request, current_app, request, session
from werkzeug.exceptions import ServiceUnavailable

from phone_verify import PhoneNumber, StoreError
from phone_verify.http.session_notes import Notes

from .state import current_state

log = logging.getLogger("phone_verify")

_PREFIX = "_phone_verify_"
_REMEMBER = "_remember"
#: Flask-Login's session keys of the user.
_USERS = ("_user_id", "_fresh", "_id")
COOKIE = "phone_verify_sessions"
#: The `Retry-After` of a 503, the same as in the API.
RETRY_SECONDS = 5
#: Browsers keep cookies for 400 days at most.
_COOKIE_SECONDS = 400 * 24 * 3600


def watch(app: Flask) -> None:
    """Check each session where its user is loaded, and note the count at each sign-in."""
    flask_login.user_accessed.connect(_check, app)
    flask_login.user_logged_in.connect(_signed_in, app)
    flask_login.user_loaded_from_cookie.connect(_remembered, app)


def generation_of(user: Any) -> int:
    """Return how often this user's sessions were ended."""
    return current_state().site.verifier.session_generation(_subject(user.get_id()))


def begin(generation: int) -> None:
    """Record this generation in the session that a user has just signed in to."""
    Notes(session, _PREFIX).keep_generation(generation)
    if session.get(_REMEMBER) == "set":
        _issue()


def end_others(user: Any) -> None:
    """End every session and remember cookie of this user except those of the current request.

    If another session does the same concurrently, both end: this one increments its count by one only.
    """
    end_all(user)
    if session.get("_user_id") == user.get_id():
        notes = Notes(session, _PREFIX)
        notes.keep_generation(notes.generation + 1)
        if _remember_cookie() in request.cookies:
            _issue()


def end_all(user: Any) -> None:
    """End every session and remember cookie of this user."""
    current_state().site.verifier.end_sessions(_subject(user.get_id()))


class NumberWatch:
    """Detects that a number was removed from its user during a sign-in. Create it before the user lookup."""

    def __init__(self, phone: PhoneNumber) -> None:
        self._subject = _number_subject(phone)
        self._before = current_state().site.verifier.session_generation(self._subject)

    def was_dropped(self) -> bool:
        """Return whether a user has lost the number since. Call it after `generation_of` the user."""
        return current_state().site.verifier.sessions_ended(self._subject, self._before)


def end_sign_ins_by(phone: PhoneNumber) -> None:
    """End the sign-ins by this number that are in progress. Call it before `end_others`."""
    current_state().site.verifier.end_sessions(_number_subject(phone))


def _check(app: Flask, **_: object) -> None:
    try:
        user_id = session.get("_user_id")
        if user_id is not None and _ended(user_id, Notes(session, _PREFIX).generation):
            _drop_user()
            user_id = None
        if _remember_cookie() in request.cookies and session.get(_REMEMBER) != "clear":
            cookie = request.cookies[_remember_cookie()]
            remembered = flask_login.decode_cookie(cookie) if cookie.isascii() else None
            # Also with a session of another user: Flask-Login reads the cookie if that user no longer exists.
            if remembered not in (None, user_id) and _ended(remembered, _generation_in_cookie(remembered)):
                session[_REMEMBER] = "clear"  # makes Flask-Login ignore and delete the cookie
    except StoreError as error:
        # Whether the session was ended is unknown: this request has no user, but the session is kept.
        _refuse(error)


def _signed_in(app: Flask, user: Any, **_: object) -> None:
    try:
        begin(generation_of(user))
    except StoreError as error:
        _drop_user()
        session.pop(_REMEMBER, None)
        _refuse(error)


def _drop_user() -> None:
    """Remove the user from the session."""
    notes = Notes(session, _PREFIX)
    for key in _USERS:
        session.pop(key, None)
    notes.sign_out()
    notes.keep_generation(0)


def _refuse(error: StoreError) -> NoReturn:
    log.error("the store did not respond whether a session was ended: %s", error)
    # The site's error page may load the user; this request must not have one.
    current_app.login_manager._update_request_context_with_user()  # type: ignore[attr-defined]
    raise ServiceUnavailable(retry_after=RETRY_SECONDS)


def _remembered(app: Flask, user: Any, **_: object) -> None:
    Notes(session, _PREFIX).keep_generation(_generation_in_cookie(user.get_id()))


def _ended(user_id: str, generation: int) -> bool:
    return current_state().site.verifier.sessions_ended(_subject(user_id), generation)


def _issue() -> None:
    user_id, generation = session["_user_id"], Notes(session, _PREFIX).generation
    if not generation and COOKIE not in request.cookies:
        return  # no cookie means a count of 0
    config = current_app.config

    @after_this_request
    def set_cookie(response: Response) -> Response:
        response.set_cookie(
            COOKIE,
            flask_login.encode_cookie(f"{COOKIE}|{generation}|{user_id}"),
            max_age=_COOKIE_SECONDS,
            domain=config.get("REMEMBER_COOKIE_DOMAIN"),
            path=config.get("REMEMBER_COOKIE_PATH", "/"),
            secure=config.get("REMEMBER_COOKIE_SECURE", False) or request.is_secure,
            httponly=True,
            samesite=config.get("REMEMBER_COOKIE_SAMESITE") or "Lax",
        )
        return response


def _generation_in_cookie(user_id: str) -> int:
    cookie = request.cookies.get(COOKIE, "")
    name, _, rest = ((flask_login.decode_cookie(cookie) if cookie.isascii() else None) or "").partition("|")
    generation, _, owner = rest.partition("|")
    return int(generation) if (name, owner) == (COOKIE, user_id) and generation.isdecimal() else 0


def _remember_cookie() -> str:
    name: str = current_app.config.get("REMEMBER_COOKIE_NAME", flask_login.COOKIE_NAME)
    return name


def _subject(user_id: str) -> str:
    return f"user {user_id}"


def _number_subject(phone: PhoneNumber) -> str:
    return f"number {phone.current.e164}"
