"""Sign-in, sign-out and number changes with Flask-Login."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import flask_login
from flask import current_app, request, session

from phone_verify import PhoneNumber
from phone_verify.api import ApiRequest, SessionUser, Site
from phone_verify.errors import StoreError
from phone_verify.http.notices import notify_old_number
from phone_verify.model import Redeemed

from . import adoption, rights, sessions
from .account_hooks import AccountHooks
from .signals import send_phone_changed, send_phone_verified

log = logging.getLogger("phone_verify")

_REMEMBER = "_remember"


def current(accounts: AccountHooks) -> SessionUser | None:
    """Return the signed-in user, or None. An inactive user counts as signed out."""
    if getattr(current_app, "login_manager", None) is None:
        return None
    user = flask_login.current_user
    return accounts.as_session_user(user) if user.is_authenticated and user.is_active else None


def sign_in(
    site: Site, accounts: AccountHooks, redeemed: Redeemed, *, remember: bool = False
) -> tuple[SessionUser, bool] | None:
    """Sign in the user of this phone, and return the user and whether the account is new.

    Return None if the site refuses the user, for an inactive user, and for staff where `rights.signs_in` is false.

    `remember` is Flask-Login's: its cookie signs the user in again later, which does not count as a recent sign-in.

    The previous session is cleared: its keys, its id if sessions are kept on the server, and the remember cookie of
    another user.
    """
    found = admit(site, accounts, redeemed)
    if found is None:
        return None
    session.clear()
    if _remember_cookie() in request.cookies:
        session[_REMEMBER] = "clear"  # Flask-Login then deletes the cookie
    flask_login.login_user(found.user, remember=remember)
    sessions.begin(found.generation)
    _new_session_id()
    send_phone_verified(found.user, redeemed)
    return accounts.as_session_user(found.user), found.created


@dataclass(frozen=True, slots=True)
class Admitted:
    """A user whom a proof signs in, whether the account is new, and the generation of the user's sessions."""

    user: Any
    created: bool
    generation: int


def admit(site: Site, accounts: AccountHooks, redeemed: Redeemed) -> Admitted | None:
    """Return the user whom this proof signs in, for a session or a token; None as `sign_in`."""
    number = sessions.NumberWatch(redeemed.phone)
    if adoption.would_duplicate(accounts, redeemed.phone):
        return None
    user, created = accounts.find_or_make(redeemed)
    if user is None or not user.is_active:
        return None
    if created:
        adoption.report_duplicates(accounts, user, redeemed.phone)
    generation = sessions.generation_of(user)
    if number.was_dropped():
        return None  # another request removed the number from this user in the meantime
    if not rights.signs_in(site, user, redeemed):
        return None
    return Admitted(user, created, generation)


def set_phone(site: Site, accounts: AccountHooks, redeemed: Redeemed, call: ApiRequest) -> SessionUser | None:
    """Assign this number to the signed-in user, or return None if it belongs to another user.

    The notice to the old number, which is sent if the setting is on, is in the language of the call. If a token
    identifies the user, the session of the request is neither kept nor changed.

    Raise `StaffPhoneError` for a test number's code and a user with rights over other users.
    """
    user = flask_login.current_user._get_current_object()
    if not rights.counts_for(site, user, redeemed):
        raise rights.StaffPhoneError("a test number cannot be assigned to a user with rights over other users")
    old = accounts.number_of(user)
    # A number that was renumbered is still the same one.
    changes = bool(accounts.as_session_user(user).phone) and (old is None or old.current != redeemed.phone)
    if changes:
        # Before the change: if the store is down nothing changes, and no session outlives the old number.
        _end_sessions(user, call)
    if not current_app.ensure_sync(accounts.require_set_phone())(user, redeemed):
        return None
    if changes:
        _end_concurrent_sign_ins(user, old, call)
    if call.token is None:
        _new_session_id()
    elif old is not None and not changes:
        site.verifier.note_token_check(call.token, str(user.get_id()), redeemed.phone)
    send_phone_verified(user, redeemed)
    if old is not None and changes:
        send_phone_changed(user, old, redeemed.phone)
        notify_old_number(site, old, call.texts)
    return SessionUser(str(user.get_id()), redeemed.phone.e164)


def _end_sessions(user: Any, call: ApiRequest) -> None:
    if call.token is None:
        sessions.end_others(user)
    else:
        sessions.end_all(user)


def _end_concurrent_sign_ins(user: Any, old: PhoneNumber | None, call: ApiRequest) -> None:
    """End the sign-ins by the old number that started during the change."""
    try:
        if old is not None:
            sessions.end_sign_ins_by(old)
        _end_sessions(user, call)
    except StoreError as error:
        # The number has changed and the change cannot be undone; all earlier sessions have ended.
        log.error("sign-ins concurrent with a number change were not ended: %s", error)


def sign_out() -> None:
    """Sign out the current user and clear the session."""
    if getattr(current_app, "login_manager", None) is not None:
        flask_login.logout_user()
    remember = session.get(_REMEMBER)
    session.clear()
    if remember is not None:
        session[_REMEMBER] = remember


def _new_session_id() -> None:
    # Flask's default session is a cookie without an id. Flask-Session has ids and a method to replace them.
    regenerate = getattr(current_app.session_interface, "regenerate", None)
    if regenerate is not None:
        regenerate(session)


def _remember_cookie() -> str:
    name: str = current_app.config.get("REMEMBER_COOKIE_NAME", flask_login.COOKIE_NAME)
    return name
