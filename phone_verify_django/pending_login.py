"""The mark of a verified number on a login that is pending in django-allauth.

Such a login ends in a later request, with a newly loaded user. The mark records which number was
verified, so that the session counts as opened by that phone, which is then no second factor in it.
The mark permits nothing: code that requires a verification reads the login itself (`allauth.login`).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from phone_verify import InvalidPhoneError, PhoneNumber
from phone_verify.http import session_time

from . import backends

SESSION_KEY = "phone_verify_allauth_proven"


def note(request: HttpRequest, user: AbstractBaseUser, phone: PhoneNumber) -> None:
    """Record that the login of this user has verified this number."""
    request.session[SESSION_KEY] = {"user": str(user.pk), "phone": phone.e164, "at": session_time.now()}


def forget(request: HttpRequest) -> None:
    """Delete the mark."""
    request.session.pop(SESSION_KEY, None)


def number_of(request: HttpRequest, user: AbstractBaseUser) -> PhoneNumber | None:
    """Return the number that the pending login of this user has verified, or None."""
    kept: Any = request.session.get(SESSION_KEY)
    if not isinstance(kept, dict) or kept.get("user") != str(user.pk):
        return None
    age = session_time.age_of(kept.get("at"))
    # django-allauth's own setting and default: the login that the mark belongs to ends then too.
    if age is None or age.total_seconds() > getattr(settings, "ACCOUNT_LOGIN_TIMEOUT", 15 * 60):
        return None
    try:
        return PhoneNumber.stored(str(kept.get("phone")))
    except InvalidPhoneError:
        return None


@receiver(user_logged_in, dispatch_uid="phone_verify_django.pending_login")
def _take(request: HttpRequest | None, user: Any, **_: object) -> None:
    # Imported by `accounts`, so it is connected before the receiver of `otp` that reads the phone.
    if request is None or not hasattr(request, "session"):
        return
    phone = number_of(request, user)
    forget(request)
    if phone is None:
        return
    user.proven_phone = phone
    if (path := backends.backend_path()) is not None:
        # django-allauth sets its own backend for a user that it has loaded from its pending login.
        request.session[BACKEND_SESSION_KEY] = path
