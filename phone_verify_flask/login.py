"""Signing in and out by Flask-Login, and where to go afterwards."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import flask_login
from flask import current_app, request, session

from phone_verify import InvalidPhoneError, PhoneNumber
from phone_verify.api import SessionUser, Site
from phone_verify.api.notices import notify_old_number
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.model import Redeemed
from phone_verify.web.texts import Texts

from . import rights, sessions
from .signals import tell_changed, tell_verified

log = logging.getLogger("phone_verify")

_LONGEST_NEXT = 1024
_REMEMBER = "_remember"


@dataclass(slots=True)
class Accounts:
    """The site's own functions between phones and users."""

    user_for_phone: Callable[..., Any] | None = None
    phone_for_user: Callable[[Any], object] = lambda user: getattr(user, "phone", None)
    set_phone: Callable[[Any, Any], object] | None = None
    may_change_without_old: Callable[[Any, Redeemed], object] | None = None

    def require(self) -> Callable[..., Any]:
        """The function from phone to user; if nobody can sign in yet, `ConfigurationError` says what to write."""
        if getattr(current_app, "login_manager", None) is None:
            raise ConfigurationError(
                "signing in needs Flask-Login: write login_manager = LoginManager(app), and a function under "
                "@login_manager.user_loader that returns the user of an id"
            )
        if self.user_for_phone is None:
            raise ConfigurationError(
                "signing in needs the users: write a function of a Redeemed that finds or makes the user of its phone "
                "and returns (user, created), under @phone_verify.user_for_phone"
            )
        return self.user_for_phone

    def require_set_phone(self) -> Callable[[Any, Any], object]:
        """The function that gives a user a number; without one, `ConfigurationError` says what to write."""
        if self.set_phone is None:
            raise ConfigurationError(
                "changing numbers needs the users: write a function of a user and a Redeemed that gives the user its "
                "phone and returns whether it could (False: somebody else has it), under "
                "@phone_verify.set_phone_for_user"
            )
        return self.set_phone

    def find_or_make(self, redeemed: Redeemed) -> tuple[Any, bool]:
        """The user of the verified phone, and whether the account is new."""
        found = current_app.ensure_sync(self.require())(redeemed)
        return found if isinstance(found, tuple) else (found, False)

    def lost_number(self, redeemed: Redeemed) -> bool:
        """Ask the site whether the signed-in user may have this number without verifying the present one."""
        ask = self.may_change_without_old
        user = flask_login.current_user._get_current_object()
        return ask is not None and bool(current_app.ensure_sync(ask)(user, redeemed))

    def told(self, user: Any) -> SessionUser:
        """The user as the API tells it."""
        phone = current_app.ensure_sync(self.phone_for_user)(user)
        # A PhoneNumber's str is masked, as befits logs; its `e164` is the number. A site may keep "none" as a blank.
        number = getattr(phone, "e164", phone)
        return SessionUser(str(user.get_id()), str(number) if number else None)

    def number_of(self, user: Any) -> PhoneNumber | None:
        """The user's own number, or None where there is none, or what the site has is no number."""
        try:
            return PhoneNumber.parse(self.told(user).phone or "")
        except InvalidPhoneError:
            return None


def current(accounts: Accounts) -> SessionUser | None:
    """Who is signed in, or None; somebody who is not active any more is nobody."""
    if getattr(current_app, "login_manager", None) is None:
        return None
    user = flask_login.current_user
    return accounts.told(user) if user.is_authenticated and user.is_active else None


def sign_in(
    site: Site, accounts: Accounts, redeemed: Redeemed, *, remember: bool = False
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


def set_phone(site: Site, accounts: Accounts, redeemed: Redeemed, texts: Texts) -> SessionUser | None:
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


def safe_next(target: str, host: str, public_url: str | None = None, home: str | None = None) -> str:
    """The path of `target` if that is a place on this site, else an empty text.

    Accepted are a path that begins with exactly one slash, and an http(s) address of this very host, of which only the
    path is returned: whatever a browser makes of it, it stays on the site. Backslashes, which browsers read as slashes,
    and control characters, which they drop, are refused wherever they stand. An address below `home`, the origin of the
    rest of the site where our pages have a subdomain of their own, is returned whole.
    """
    if len(target) > _LONGEST_NEXT or any(c == "\\" or unicodedata.category(c) in ("Cc", "Cs") for c in target):
        return ""
    if home is not None and target[: len(home)].lower() == home.lower() and target[len(home) :][:1] in ("", "/"):
        path = target[len(home) :] or "/"
        return home + path if not path.startswith("//") else ""
    hosts = [host, urlsplit(public_url).netloc] if public_url else [host]
    for origin in (f"{scheme}://{name}" for scheme in ("http", "https") for name in hosts if name):
        if target[: len(origin)].lower() == origin.lower() and target[len(origin) :][:1] in ("", "/"):
            target = target[len(origin) :] or "/"
            break
    return target if target.startswith("/") and not target.startswith("//") else ""


def _new_session_id() -> None:
    # Flask's own session is the cookie and has no id. Flask-Session has, and gives a new one when asked.
    regenerate = getattr(current_app.session_interface, "regenerate", None)
    if regenerate is not None:
        regenerate(session)


def _remember_cookie() -> str:
    name: str = current_app.config.get("REMEMBER_COOKIE_NAME", flask_login.COOKIE_NAME)
    return name
