"""The callbacks that connect phone numbers to the users of the site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flask_login
from flask import current_app

from phone_verify import InvalidPhoneError, PhoneNumber
from phone_verify.api import SessionUser
from phone_verify.errors import ConfigurationError
from phone_verify.model import Redeemed


@dataclass(slots=True)
class AccountHooks:
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
