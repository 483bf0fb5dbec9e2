"""Pending sign-up: the verified number that a session keeps while a new user fills in the site's form.

The proof is already redeemed. A pending sign-up creates one user at most: as soon as any user has the
number it is void, so an old copy of a session that is kept in a cookie is useless.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from phone_verify.model import Redeemed

from . import accounts, app_settings, backends, kept_proof, primary

SESSION_KEY = "phone_verify_newcomer"

#: Time for the form, in seconds.
TTL = 600


@dataclass(frozen=True, slots=True)
class PendingSignup:
    """A verified number, and the visitor's choice to stay signed in (None if not asked)."""

    redeemed: Redeemed
    remember: bool | None


@primary.reads()
def save(request: HttpRequest, redeemed: Redeemed, remember: bool | None = None) -> bool:
    """Save a pending sign-up in the session; False if the site has no form or the number makes no new user.

    The session gets a new key, so that a client with the old one cannot fill in the form instead.
    """
    if app_settings.account_settings().signup_form is None or backends.backend_path() is None:
        return False
    if not accounts.may_create(redeemed, request):
        return False
    request.session.cycle_key()
    request.session[SESSION_KEY] = {
        **kept_proof.as_values(redeemed),
        "remember": remember,
        "since": int(time.time()),
    }
    return True


def load(request: HttpRequest) -> PendingSignup | None:
    """Return the pending sign-up, unless it is older than `TTL` seconds or the number is taken by now."""
    kept: Any = request.session.get(SESSION_KEY)
    try:
        if not 0 <= time.time() - kept["since"] <= TTL:
            return None
    except (KeyError, TypeError):  # none, or saved by another version
        return None
    redeemed = kept_proof.from_values(kept)
    if redeemed is None or not accounts.is_new(redeemed):
        return None
    return PendingSignup(redeemed, kept.get("remember"))


def forget(request: HttpRequest) -> None:
    """Delete the pending sign-up from the session."""
    request.session.pop(SESSION_KEY, None)


@receiver(user_logged_in, dispatch_uid="phone_verify_django.pending_signup")
def _forget(request: HttpRequest | None, **_: object) -> None:
    if hasattr(request, "session"):
        forget(request)  # type: ignore[arg-type]
