"""Access rules of the decorators, mixins and template tags: a verified number, and a recent verification of it.

A verification counts as recent only for a number that the user had before the session began, or
that signed the session in: a number added in the session itself proves nothing about its user.
django-otp's verification is a different one: there the phone must not be the first factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import resolve_url

from phone_verify import PhoneNumber
from phone_verify.errors import ConfigurationError
from phone_verify.http import session_time

from . import app_settings, sessions
from .phones import phone_of
from .site import current_site

#: In the session: when its user last verified a number that counts.
CHECKED_AT = "phone_verify_checked_at"


def note_check(request: HttpRequest, phone: PhoneNumber) -> None:
    """Record that the signed-in user has just verified this number, if it counts in this session."""
    sessions.notes(request).check(current_site().verifier.tag(phone))


def note_sign_in(request: HttpRequest, phone: PhoneNumber, *, started: Sequence[str] = ()) -> None:
    """Record that this number has just signed the session in.

    `started` are the ids of the verifications that the session keeps as started.
    """
    sessions.notes(request).signed_in_by(current_site().verifier.tag(phone), started)


def last_phone_check(request: HttpRequest) -> timedelta | None:
    """Return how long ago the signed-in user last verified a number in this session; None if never."""
    return None if sessions.user_of(request) is None else sessions.notes(request).last_phone_check


def has_phone(request: HttpRequest) -> bool:
    """Return whether a user with a verified number is signed in."""
    user = sessions.user_of(request)
    return user is not None and phone_of(user) is not None


def has_checked(request: HttpRequest, max_age: timedelta) -> bool:
    """Return whether the signed-in user has a number and verified it at most `max_age` ago."""
    user = sessions.user_of(request)
    age = None if user is None else sessions.notes(request).last_phone_check
    return user is not None and age is not None and age <= max_age and phone_of(user) is not None


def to_timedelta(max_age: timedelta | float) -> timedelta:
    """Return a `max_age` as a timedelta; a number is seconds. Raises `ImproperlyConfigured`."""
    try:
        return session_time.to_timedelta(max_age)
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from None


def redirect_to_login_or_verify(
    request: HttpRequest,
    *,
    login_url: str | None = None,
    verify_url: str | None = None,
    redirect_field_name: str = REDIRECT_FIELD_NAME,
) -> HttpResponseRedirect:
    """Redirect to the sign-in page, or a signed-in user to `verify/`; both return to this address.

    Posted data is lost, since the visitor returns by GET.
    """
    if sessions.user_of(request) is None:
        to = resolve_url(login_url) if login_url else app_settings.sign_in_url()
    else:
        to = resolve_url(verify_url or "phone_verify:verify")
    return redirect_to_login(request.get_full_path(), to, redirect_field_name)
