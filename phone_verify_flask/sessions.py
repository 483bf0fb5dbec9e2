"""Which sessions of a user go on: all others end when the number was changed, or the user asks for it.

The store counts per user how often that happened, and a session keeps the count at its sign-in. Where Flask-Login is
asked for the user, a session that has another count ends. Flask-Login's remember cookie holds no more than the user's
id, so that a second cookie with the count goes with it.
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
#: Of Flask-Login: what makes a session a user's.
_USERS = ("_user_id", "_fresh", "_id")
COOKIE = "phone_verify_sessions"
#: The `Retry-After` of a 503, as the API has it.
RETRY_SECONDS = 5
#: As long as browsers keep any cookie.
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
    """Let the session that a user has just signed in to be one of this generation."""
    Notes(session, _PREFIX).keep_generation(generation)
    if session.get(_REMEMBER) == "set":
        _issue()


def end_others(user: Any) -> None:
    """End every session of this user, and every remember cookie, but those of the present request.

    Another session may do the same at this moment. Then both end: the present one counts only its own step.
    """
    current_state().site.verifier.end_sessions(_subject(user.get_id()))
    if session.get("_user_id") == user.get_id():
        notes = Notes(session, _PREFIX)
        notes.keep_generation(notes.generation + 1)
        if _remember_cookie() in request.cookies:
            _issue()


class Watched:
    """Whether a number changes hands while it signs a user in. Made before the user is looked up."""

    def __init__(self, phone: PhoneNumber) -> None:
        self._subject = _of_number(phone)
        self._before = current_state().site.verifier.session_generation(self._subject)

    def was_dropped(self) -> bool:
        """Return whether a user has dropped the number since. Asked after `generation_of` the user."""
        return current_state().site.verifier.sessions_ended(self._subject, self._before)


def dropped(phone: PhoneNumber) -> None:
    """Note that a user has dropped this number: a sign-in by it that is under way ends. Before `end_others`."""
    current_state().site.verifier.end_sessions(_of_number(phone))


def _check(app: Flask, **_: object) -> None:
    try:
        user_id = session.get("_user_id")
        if user_id is not None and _ended(user_id, Notes(session, _PREFIX).generation):
            _drop_user()
            user_id = None
        if _remember_cookie() in request.cookies and session.get(_REMEMBER) != "clear":
            cookie = request.cookies[_remember_cookie()]
            remembered = flask_login.decode_cookie(cookie) if cookie.isascii() else None
            # Also beside a session of another user: Flask-Login reads the cookie where that user no longer exists.
            if remembered not in (None, user_id) and _ended(remembered, _generation_in_cookie(remembered)):
                session[_REMEMBER] = "clear"  # Flask-Login does not read the cookie any more, and deletes it
    except StoreError as error:
        # Whether the session was ended is unknown, so it is nobody's; it is not dropped either.
        _refuse(error)


def _signed_in(app: Flask, user: Any, **_: object) -> None:
    try:
        begin(generation_of(user))
    except StoreError as error:
        _drop_user()
        session.pop(_REMEMBER, None)
        _refuse(error)


def _drop_user() -> None:
    """Leave no user in the session."""
    notes = Notes(session, _PREFIX)
    for key in _USERS:
        session.pop(key, None)
    notes.sign_out()
    notes.keep_generation(0)


def _refuse(error: StoreError) -> NoReturn:
    log.error("the store did not answer whether a session was ended: %s", error)
    # The site's error page may ask for the user: this request has none.
    current_app.login_manager._update_request_context_with_user()  # type: ignore[attr-defined]
    raise ServiceUnavailable(retry_after=RETRY_SECONDS)


def _remembered(app: Flask, user: Any, **_: object) -> None:
    Notes(session, _PREFIX).keep_generation(_generation_in_cookie(user.get_id()))


def _ended(user_id: str, generation: int) -> bool:
    return current_state().site.verifier.sessions_ended(_subject(user_id), generation)


def _issue() -> None:
    user_id, generation = session["_user_id"], Notes(session, _PREFIX).generation
    if not generation and COOKIE not in request.cookies:
        return  # without a cookie the count is 0
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
    generation, _, whose = rest.partition("|")
    return int(generation) if (name, whose) == (COOKIE, user_id) and generation.isdecimal() else 0


def _remember_cookie() -> str:
    name: str = current_app.config.get("REMEMBER_COOKIE_NAME", flask_login.COOKIE_NAME)
    return name


def _subject(user_id: str) -> str:
    return f"user {user_id}"


def _of_number(phone: PhoneNumber) -> str:
    return f"number {phone.e164}"
