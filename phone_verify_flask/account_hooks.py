"""The callbacks that connect phone numbers to the users of the site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import flask_login
from flask import Flask, current_app

from phone_verify import InvalidPhoneError, PhoneNumber
from phone_verify.api import SessionUser
from phone_verify.before_send import Hook
from phone_verify.errors import ConfigurationError
from phone_verify.model import Redeemed

#: The user, and whether the account is new.
_PAIR = 2


@dataclass(slots=True)
class AccountHooks:
    """The callbacks that the site registered."""

    user_for_phone: Callable[..., Any] | None = None
    phone_for_user: Callable[[Any], object] = lambda user: getattr(user, "phone", None)
    set_phone: Callable[[Any, Any], object] | None = None
    may_change_without_old: Callable[[Any, Redeemed], object] | None = None
    users_with_phones: Callable[[Any], Iterable[Any]] | None = None
    users_by_number: Callable[[Sequence[str]], Iterable[Any]] | None = None
    token_for_user: Callable[[Any, Redeemed], object] | None = None
    user_for_token: Callable[[str], object] | None = None
    adopt_phone: Callable[[Any, PhoneNumber], object] | None = None
    before_send: Hook | None = None

    def problem(self, app: Flask) -> ConfigurationError | None:
        """Return why the application cannot sign users in, or None."""
        if getattr(app, "login_manager", None) is None:
            return ConfigurationError(
                "sign-in requires Flask-Login",
                "Write login_manager = LoginManager(app), and a function under @login_manager.user_loader that "
                "returns the user of an id.",
            )
        if self.user_for_phone is None:
            return ConfigurationError(
                "sign-in requires a callback",
                "Write a function that takes a Redeemed, finds or creates the user of its phone and returns "
                "(user, created), under @phone_verify.user_for_phone.",
            )
        return None

    def require(self) -> Callable[..., Any]:
        """Return the `user_for_phone` callback; raise `ConfigurationError` where sign-in is not set up."""
        if (problem := self.problem(current_app)) is not None:
            raise problem
        return cast("Callable[..., Any]", self.user_for_phone)

    def require_set_phone(self) -> Callable[[Any, Any], object]:
        """Return the `set_phone_for_user` callback; raise `ConfigurationError` without one."""
        if self.set_phone is None:
            raise ConfigurationError(
                "changing numbers requires a callback: write a function that takes a user and a Redeemed, stores the "
                "phone for the user and returns True, or False if it belongs to another user, under "
                "@phone_verify.set_phone_for_user"
            )
        return self.set_phone

    def find_or_make(self, redeemed: Redeemed) -> tuple[Any, bool]:
        """Return the user of the verified phone, and whether the account is new.

        Raises `ConfigurationError` if the callback returns anything else.
        """
        found = current_app.ensure_sync(self.require())(redeemed)
        if is_single := not isinstance(found, tuple):
            found = (found, False)
        if len(found) != _PAIR or not (found[0] is None or hasattr(found[0], "is_active")):
            types = ", ".join(type(each).__name__ for each in found[: _PAIR + 1])
            raise ConfigurationError(
                f"user_for_phone returned {type(found[0]).__name__ if is_single else f'({types})'}",
                "Return the user, with the attributes of flask_login.UserMixin; or (user, created); or None to refuse.",
            )
        return found[0], bool(found[1])

    def allows_change_without_old(self, redeemed: Redeemed) -> bool:
        """Return whether the site lets the current user change to this number without the old one."""
        callback = self.may_change_without_old
        user = flask_login.current_user._get_current_object()
        return callback is not None and bool(current_app.ensure_sync(callback)(user, redeemed))

    def as_session_user(self, user: Any) -> SessionUser:
        """Return the user as the API represents it."""
        phone = current_app.ensure_sync(self.phone_for_user)(user)
        # The str of a PhoneNumber is masked for logs; `e164` is the number. A site may store "" for no number.
        number = getattr(phone, "e164", phone)
        return SessionUser(str(user.get_id()), str(number) if number else None)

    def number_of(self, user: Any) -> PhoneNumber | None:
        """Return the user's number, or None if it is missing or not a number with its country code."""
        try:
            return PhoneNumber.stored(self.as_session_user(user).phone or "")
        except InvalidPhoneError:
            return None
