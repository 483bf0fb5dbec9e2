"""The site's tokens: who a request with the header `Authorization` is, and the token that a proof is exchanged for.

Flask-Login's `request_loader` is not used: Flask-Login calls it only if neither the session nor the remember cookie
has a user, and a request with a token must not be that user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import current_app, request

from phone_verify.api import ApiRequest, ApiResponse, IssueToken, login_refused, mfa_required, token_issued
from phone_verify.http.bearer import checked_token, note_sign_in, token_of, user_and_age

from . import login
from .signals import send_phone_verified
from .state import AppState, current_state


def presented() -> str | None:
    """Return the token that this request presents; None without one, or if the site accepts no tokens."""
    if current_state().accounts.user_for_token is None:
        return None
    return token_of(request.headers.get("Authorization"))


def with_token_user(call: ApiRequest) -> ApiRequest:
    """Return the call with the user of its token, who is also `current_user` from now on. The session is not read."""
    accounts = current_state().accounts
    user, age = _user_of(call.token or "")
    manager: Any = getattr(current_app, "login_manager", None)
    if manager is not None:
        manager._update_request_context_with_user(user)
    if user is None:
        return call
    return replace(
        call,
        user=accounts.as_session_user(user),
        signed_in_for=age,
        present_counts=True,
        asks_without_old=accounts.may_change_without_old is not None,
    )


def exchange(here: AppState, call: ApiRequest, action: IssueToken) -> ApiResponse:
    """Return the response with the token of this phone's user, or the refusal."""
    found = login.admit(here.site, here.accounts, action.redeemed)
    if found is None:
        return login_refused(call)
    if has_second_factor(found.user):
        return mfa_required(call)
    send_phone_verified(found.user, action.redeemed)
    token = _made(here, found.user, action)
    user = here.accounts.as_session_user(found.user)
    note_sign_in(here.site.verifier, token, user.id, action.redeemed.phone)
    return token_issued(user, token, created=found.created)


def _made(here: AppState, user: Any, action: IssueToken) -> str | Mapping[str, object]:
    make = here.accounts.token_for_user
    return checked_token(None if make is None else current_app.ensure_sync(make)(user, action.redeemed))


def _user_of(token: str) -> tuple[Any, timedelta | None]:
    load = current_state().accounts.user_for_token
    if not token or load is None:
        return None, None
    user, age = user_and_age(current_app.ensure_sync(load)(token))
    return (user, age) if user is not None and getattr(user, "is_active", False) else (None, None)


def has_second_factor(user: Any) -> bool:
    """Return whether Flask-Security asks this user for a second factor after a password."""
    security = current_app.extensions.get("security")
    if security is None or not current_app.config.get("SECURITY_TWO_FACTOR"):
        return False
    return bool(security.two_factor_plugins.get_setup_tf_methods(user))
