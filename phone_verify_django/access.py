"""Who may pass: the rules of the decorators and mixins, which differ only in where they stand."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import resolve_url

from phone_verify.errors import ConfigurationError
from phone_verify.http import session_time

from . import app_settings, sessions
from .accounts import phone_of
from .recent import last_phone_check


def has_phone(request: HttpRequest) -> bool:
    """Whether somebody is signed in who has a verified number."""
    user = sessions.user_of(request)
    return user is not None and phone_of(user) is not None


def has_checked(request: HttpRequest, max_age: timedelta) -> bool:
    """Whether somebody is signed in who has proved the own number at most so long ago."""
    age = last_phone_check(request)
    return age is not None and age <= max_age and phone_of(request.user) is not None  # type: ignore[arg-type]


def span(max_age: timedelta | float) -> timedelta:
    """A `max_age` as a span; a number is seconds. Raises `ImproperlyConfigured` for what is none."""
    try:
        return session_time.span(max_age)
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from None


def redirect_to_login_or_verify(
    request: HttpRequest,
    *,
    login_url: str | None = None,
    verify_url: str | None = None,
    redirect_field_name: str = REDIRECT_FIELD_NAME,
) -> HttpResponseRedirect:
    """To the sign-in page, or for who is signed in to `verify/`; afterwards back to this address.

    What was posted is lost: the visitor comes back by GET.
    """
    if sessions.user_of(request) is None:
        to = resolve_url(login_url) if login_url else app_settings.sign_in_url()
    else:
        to = resolve_url(verify_url or "phone_verify:verify")
    return redirect_to_login(request.get_full_path(), to, redirect_field_name)
