"""Who may sign in by phone and who may sign up: the class that a site subclasses.

    PHONE_VERIFY = {"accounts": "shop.accounts.Own", …}

sets a subclass of `Accounts`, which sites import from `phone_verify_django.accounts`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.http import HttpRequest

from phone_verify.model import Redeemed

from . import app_settings, phones, rights, users
from .app_settings import load
from .phones import phones_of

#: Fields of a new user that no form can set.
_NOT_FROM_FORMS = ("is_staff", "is_superuser", "is_active")


class Accounts:
    """Who may sign in by phone and who may sign up, for subclassing. Methods are called after verification.

    `redeemed` describes the verification: its `phone` (`phone.e164` as text), `purpose`, `channel`,
    `assurance` (`Assurance.CALLER_ID` for a caller ID claimed by a network), `short` for a code of
    fewer than six digits, and `by_test_number` for a test number.
    """

    def find(self, redeemed: Redeemed) -> AbstractBaseUser | None:
        """Return the user whom this number signs in, or None. A user without the number gets it.

        A search of your own should use `phone.forms`: today's number, then those that became it by a renumbering.
        """
        return phones.owner_of(redeemed.phone.e164)

    def find_by_field(self, redeemed: Redeemed) -> AbstractBaseUser | None:
        """Return the user whose own field holds this number in a usual spelling, verified or not.

        For a subclass whose `find` trusts the numbers in that field. None if several users have it,
        so that the number signs in none of them.
        """
        return users.by_field(redeemed.phone)

    def may_sign_up(self, redeemed: Redeemed, request: HttpRequest) -> bool:
        """Return whether a user is created for an unclaimed number."""
        return True

    def may_ignore_unverified(self, redeemed: Redeemed) -> bool:
        """Return whether a user is created although another user's own field holds the number, unverified.

        The default refuses: that user would silently get a second account. Allow it if visitors can
        write any number into that field.
        """
        return False

    def make(self, redeemed: Redeemed, request: HttpRequest, extra: Mapping[str, Any]) -> AbstractBaseUser:
        """Create and save a user for an unclaimed number, in the transaction that assigns the number.

        `extra` is the cleaned data of `signup_form`. Fields of the user model are set, a `password` is
        hashed; the rest is for a subclass to use. Rights and the number are never taken from a form.

        Raises `ValidationError` for input that the visitor must correct, like a username that is taken.
        """
        model, phone_field = get_user_model(), app_settings.account_settings().phone_field_name()
        user = model()
        for name, value in extra.items():
            if _may_be_filled_in(model, name) and name != phone_field:
                setattr(user, name, value)
        if phone_field is not None:
            setattr(user, phone_field, redeemed.phone.e164)
        if not user.get_username():
            # Not the number: usernames are displayed, and outlive it.
            setattr(user, model.USERNAME_FIELD, f"phone-{secrets.token_hex(8)}")
        user.set_password(extra.get("password") or None)
        if extra:
            # Only the fields of the form: the visitor cannot correct others.
            user.clean_fields(exclude={field.name for field in model._meta.fields} - set(extra))
            user.validate_unique(exclude={phone_field} if phone_field else None)
        user.save()
        return user

    def may_sign_in(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        """Return whether this verification signs this user in.

        Called after the rules that hold on every site: inactive users are refused, and so are `is_staff` and
        `is_superuser` users unless `PHONE_VERIFY["staff_sign_in_by_phone"]` is on.
        """
        return True

    def may_skip_second_factor(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        """Return whether this proof alone is exchanged for a token, although sign-in needs more.

        Called for users with a second factor (django-allauth, django-otp), and for users who have to
        complete another login stage of django-allauth. Sign-in that opens a session is not affected.
        """
        return False

    def may_change_without_old(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        """Return whether a user without access to the current number may have this one without verifying it.

        Called after the proof of the new number, if the current one was not verified within the
        last 15 minutes. The default refuses. Allow it only after a check of your own, like an answer
        from your support: anyone who knows the password could otherwise take the phone login over.
        """
        return False

    def may_remove(self, user: AbstractBaseUser, phone: str) -> bool:
        """Return whether this number may be removed: not the last one if no password, or it is the username."""
        if phones_of(user) != [phone]:
            return True
        is_name = app_settings.account_settings().phone_field_name() == get_user_model().USERNAME_FIELD
        return user.has_usable_password() and not is_name


def policy() -> Accounts:
    """Return an instance of the class that `PHONE_VERIFY["accounts"]` names."""
    found: Accounts = load(app_settings.account_settings().accounts)()
    return found


def asks_without_old() -> bool:
    """Return whether the site has a rule for users who have lost their number."""
    return type(policy()).may_change_without_old is not Accounts.may_change_without_old


def find(redeemed: Redeemed) -> AbstractBaseUser | None:
    """Return the user whom `Accounts.find` finds. Raises `ImproperlyConfigured` if that is not a user."""
    user = policy().find(redeemed)
    return None if user is None else checked(user, "find", "or None")


def checked(user: object, method: str, otherwise: str = "") -> AbstractBaseUser:
    """Return what this method of `Accounts` returned. Raises `ImproperlyConfigured` if that is not a user."""
    model = get_user_model()
    if isinstance(user, model):
        return user
    what = f"{type(policy()).__module__}.{type(policy()).__qualname__}.{method}"
    wanted = f"{model._meta.label}, {otherwise}" if otherwise else model._meta.label
    raise ImproperlyConfigured(f"{what} returned {type(user).__name__}. Return an instance of {wanted}.")


def lets_in(user: AbstractBaseUser, redeemed: Redeemed) -> bool:
    """Return whether this verification signs this user in, by the rule for staff and by `Accounts.may_sign_in`.

    Never a user whom the default manager hides: Django would open a session without a user.
    """
    if not rights.signs_in(user, redeemed):
        return False
    if not users.is_visible(user):
        users.log_hidden([user.pk], redeemed.phone)
        return False
    return policy().may_sign_in(user, redeemed)


def _may_be_filled_in(model: type[AbstractBaseUser], name: str) -> bool:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    is_plain = field.concrete and not field.many_to_many and not getattr(field, "primary_key", False)
    return bool(is_plain) and name != "password" and name not in _NOT_FROM_FORMS
