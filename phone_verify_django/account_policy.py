"""Who signs in by a phone, and who may sign up: what a site subclasses.

    PHONE_VERIFY = {"accounts": "shop.accounts.Own", …}

names a subclass of `Accounts`, which sites import from `phone_verify_django.accounts`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist
from django.http import HttpRequest

from phone_verify.model import Redeemed

from . import app_settings, phones, rights
from .app_settings import load
from .phones import phones_of

#: What a new user never gets from a form, whatever its fields are called.
_NOT_FROM_FORMS = ("is_staff", "is_superuser", "is_active")


class Accounts:
    """Who signs in by a phone, and who may sign up. Made to be subclassed; every method is called after the proof.

    `redeemed` says what was proven: its `phone` (`phone.e164` is the text), `purpose`, `channel`, `assurance`
    (`Assurance.CALLER_ID` is what a calling network claimed), `short` for a code of fewer than six digits, and
    `by_test_number` for a test number.
    """

    def find(self, redeemed: Redeemed) -> AbstractBaseUser | None:
        """The user whom this phone signs in, or None. Who is returned without having the number is given it."""
        return phones.owner_of(redeemed.phone.e164)

    def may_sign_up(self, redeemed: Redeemed, request: HttpRequest) -> bool:
        """Whether a user is made for a phone that nobody has."""
        return True

    def make(self, redeemed: Redeemed, request: HttpRequest, extra: Mapping[str, Any]) -> AbstractBaseUser:
        """A new user, saved, for a phone that nobody has; in the transaction in which the number is noted.

        `extra` is what the visitor filled in (`signup_form`), cleaned. What is a field of the user model goes into it,
        a `password` is hashed; the rest is for a subclass to use. Rights, and the number, come from no form.

        Raises `ValidationError` for what the visitor has to fill in otherwise, like a name that somebody has.
        """
        model, phone_field = get_user_model(), app_settings.account_settings().phone_field_name()
        user = model()
        for name, value in extra.items():
            if _may_be_filled_in(model, name) and name != phone_field:
                setattr(user, name, value)
        if phone_field is not None:
            setattr(user, phone_field, redeemed.phone.e164)
        if not user.get_username():
            # Not the number: names are shown, and outlive it.
            setattr(user, model.USERNAME_FIELD, f"phone-{secrets.token_hex(8)}")
        user.set_password(extra.get("password") or None)
        if extra:
            # What the visitor did not fill in is not the visitor's to mend.
            user.clean_fields(exclude={field.name for field in model._meta.fields} - set(extra))
            user.validate_unique(exclude={phone_field} if phone_field else None)
        user.save()
        return user

    def may_sign_in(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        """Return whether this verification signs this user in.

        Asked after the rules that hold on every site: inactive users are refused, and so are `is_staff` and
        `is_superuser` users unless `PHONE_VERIFY["staff_sign_in_by_phone"]` is on.
        """
        return True

    def may_skip_second_factor(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        """Return whether this proof alone is exchanged for a token, though sign-in needs more.

        Asked for a user with a second factor (django-allauth, django-otp), and for one who has to
        complete another login stage of django-allauth. Sign-in that opens a session is not affected.
        """
        return False

    def may_change_without_old(self, user: AbstractBaseUser, redeemed: Redeemed) -> bool:
        """Return whether a user who has lost the present number may have this one without it.

        Called after the proof of the new number, where the present one was not verified within the
        last 15 minutes. The default refuses. Allow it only after a check of your own, like an answer
        from your support: anyone who knows the password could otherwise take the phone login over.
        """
        return False

    def may_remove(self, user: AbstractBaseUser, phone: str) -> bool:
        """Whether this number may be taken away: not the last one of who has no password, or is known by it."""
        if phones_of(user) != [phone]:
            return True
        is_name = app_settings.account_settings().phone_field_name() == get_user_model().USERNAME_FIELD
        return user.has_usable_password() and not is_name


def policy() -> Accounts:
    """The site's accounts, as `PHONE_VERIFY["accounts"]` names them."""
    made: Accounts = load(app_settings.account_settings().accounts)()
    return made


def lets_in(user: AbstractBaseUser, redeemed: Redeemed) -> bool:
    """Return whether this verification signs this user in, by the rule for staff and by `Accounts.may_sign_in`."""
    return rights.signs_in(user, redeemed) and policy().may_sign_in(user, redeemed)


def _may_be_filled_in(model: type[AbstractBaseUser], name: str) -> bool:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    own = field.concrete and not field.many_to_many and not getattr(field, "primary_key", False)
    return bool(own) and name != "password" and name not in _NOT_FROM_FORMS
