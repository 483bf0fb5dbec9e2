"""Signing in and out by Flask-Login, and where to go afterwards."""

from __future__ import annotations

import logging
from typing import Any

import flask_login
from flask import current_app, request, session

from phone_verify import PhoneNumber
from phone_verify.api import SessionUser, Site
from phone_verify.errors import StoreError
from phone_verify.http.notices import notify_old_number
from phone_verify.i18n.texts import Texts
from phone_verify.model import Redeemed

from . import rights, sessions
from .account_hooks import AccountHooks
from .signals import tell_changed, tell_verified

log = logging.getLogger("phone_verify")

_REMEMBER = "_remember"


def current(accounts: AccountHooks) -> SessionUser | None:
    """Who is signed in, or None; somebody who is not active any more is nobody."""
    if getattr(current_app, "login_manager", None) is None:
        return None
    user = flask_login.current_user
    return accounts.told(user) if user.is_authenticated and user.is_active else None


def sign_in(
    site: Site, accounts: AccountHooks, redeemed: Redeemed, *, remember: bool = False
) -> tuple[SessionUser, bool] | None:
    """Sign in the user of this phone, and return the user and whether the account is new.

    Return None where the site refuses the user, for an inactive user, and for staff as `rights.signs_in` says.

    `remember` is Flask-Login's: a cookie of its own signs the user in again, without counting as a recent sign-in.

    Nothing of the session before stays: not its keys, not its id where the server keeps sessions, not the "remember
    me" of somebody else.
    """
    number = sessions.Watched(redeemed.phone)
    user, created = accounts.find_or_make(redeemed)
    if user is None or not user.is_active:
        return None
    generation = sessions.generation_of(user)
    if number.was_dropped():
        return None  # found by a number that its user has dropped meanwhile
    if not rights.signs_in(site, user, redeemed):
        return None
    session.clear()
    if _remember_cookie() in request.cookies:
        session[_REMEMBER] = "clear"  # Flask-Login then deletes the cookie
    flask_login.login_user(user, remember=remember)
    sessions.begin(generation)
    _new_session_id()
    tell_verified(user, redeemed)
    return accounts.told(user), created


def set_phone(site: Site, accounts: AccountHooks, redeemed: Redeemed, texts: Texts) -> SessionUser | None:
    """Give the signed-in user this number, or return None where another user has it.

    The old number's notice, where it is switched on, is one of these `texts`.

    Raise `StaffPhoneError` for a test number's code and a user with rights over other users.
    """
    user = flask_login.current_user._get_current_object()
    if not rights.counts_for(site, user, redeemed):
        raise rights.StaffPhoneError("a test number's code gives no number to a user with rights over other users")
    old = accounts.number_of(user)
    changes = bool(accounts.told(user).phone) and old != redeemed.phone
    if changes:
        # Before the change, so that nothing changes while the store is down, and no session can outlive the number.
        sessions.end_others(user)
    if not current_app.ensure_sync(accounts.require_set_phone())(user, redeemed):
        return None
    if changes:
        _end_meanwhile(user, old)
    _new_session_id()
    tell_verified(user, redeemed)
    if old is not None and old != redeemed.phone:
        tell_changed(user, old, redeemed.phone)
        notify_old_number(site, old, texts)
    return SessionUser(str(user.get_id()), redeemed.phone.e164)


def _end_meanwhile(user: Any, old: PhoneNumber | None) -> None:
    """End the sign-ins that began by the old number while it was being changed."""
    try:
        if old is not None:
            sessions.dropped(old)
        sessions.end_others(user)
    except StoreError as error:
        # The number is changed and cannot be given back; every session of before the change has ended.
        log.error("sign-ins of the moment in which a number was changed were not ended: %s", error)


def sign_out() -> None:
    """Sign out whoever is signed in, and forget the session."""
    if getattr(current_app, "login_manager", None) is not None:
        flask_login.logout_user()
    remember = session.get(_REMEMBER)
    session.clear()
    if remember is not None:
        session[_REMEMBER] = remember


def _new_session_id() -> None:
    # Flask's own session is the cookie and has no id. Flask-Session has, and gives a new one when asked.
    regenerate = getattr(current_app.session_interface, "regenerate", None)
    if regenerate is not None:
        regenerate(session)


def _remember_cookie() -> str:
    name: str = current_app.config.get("REMEMBER_COOKIE_NAME", flask_login.COOKIE_NAME)
    return name
