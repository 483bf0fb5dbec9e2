"""The site's tokens in requests: who a request with the header `Authorization` is.

    PHONE_VERIFY = {"user_for_token": "shop.tokens.user", …}

names a function `user(request, token)`. It returns the user of a valid token, or the user and the
time of the sign-in (`auth_time`), or None.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from phone_verify.api import ApiRequest
from phone_verify.errors import ConfigurationError
from phone_verify.http.bearer import token_of, user_and_age

from . import accounts, app_settings, primary, sessions, users
from .account_policy import asks_without_old


def presented(request: HttpRequest) -> str | None:
    """Return the token that this request presents; None without one, or if the site accepts no tokens."""
    if app_settings.account_settings().user_for_token is None:
        return None
    return token_of(request.META.get("HTTP_AUTHORIZATION"))


@primary.reads()
def described(request: HttpRequest, call: ApiRequest) -> ApiRequest:
    """Return the call with the user of its token, who is also `request.user` from now on.

    The session is neither read nor changed. Raises `ImproperlyConfigured` if the site's function
    returns something else than a user.
    """
    user, age = _user_of(request, call.token or "")
    found: Any = AnonymousUser() if user is None else user

    async def auser() -> Any:
        return found

    request.user, request.auser = found, auser
    sessions.replace_by_token(request, call.token or "")
    if user is None:
        return call
    return replace(
        call,
        user=accounts.session_user(user),
        signed_in_for=age,
        present_counts=True,
        asks_without_old=asks_without_old(),
    )


def _user_of(request: HttpRequest, token: str) -> tuple[AbstractBaseUser | None, timedelta | None]:
    if not token:
        return None, None
    try:
        found, age = user_and_age(app_settings.load(app_settings.account_settings().user_for_token)(request, token))
    except ConfigurationError as error:
        raise ImproperlyConfigured(f"PHONE_VERIFY['user_for_token']: {error}") from None
    if found is None or not getattr(found, "is_authenticated", True):
        return None, None
    if not users.may_be_user(found):
        raise ImproperlyConfigured(
            f"PHONE_VERIFY['user_for_token'] returned {type(found).__name__}. Return a user, or None to refuse."
        )
    # Read again: some packages return a user made of the token's claims, and a user may be inactive by now.
    user: Any = users.load(found.pk)  # type: ignore[attr-defined]
    return (user, age) if user is not None and getattr(user, "is_active", True) else (None, None)
