"""Visitors whose number is proven and whom nobody knows yet: what their session keeps while they fill in a form.

The proof is burnt. What waits is good for one user: as soon as somebody has the number it makes nobody, so that an old
copy of a session that is kept in a cookie gains nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

from phone_verify.model import Redeemed

from . import account_policy, accounts, app_settings, backends, kept_proof

SESSION_KEY = "phone_verify_newcomer"

#: Seconds for the form.
LIFE = 600


@dataclass(frozen=True, slots=True)
class PendingSignup:
    """A proven number that waits for a form, and whether the visitor wants to stay signed in; None if nobody asked."""

    redeemed: Redeemed
    remember: bool | None


def wait(request: HttpRequest, redeemed: Redeemed, remember: bool | None = None) -> bool:
    """Keep the number for the form that new users fill in; False where there is no form, or nobody new to fill it in.

    The session gets a new key: whoever knew the old one does not fill in the form instead.
    """
    if app_settings.account_settings().signup_form is None or backends.backend_path() is None:
        return False
    if not accounts.is_new(redeemed) or not account_policy.policy().may_sign_up(redeemed, request):
        return False
    request.session.cycle_key()
    request.session[SESSION_KEY] = {
        **kept_proof.as_values(redeemed),
        "remember": remember,
        "since": int(time.time()),
    }
    return True


def waiting(request: HttpRequest) -> PendingSignup | None:
    """What waits, if it is not older than ten minutes and nobody has the number by now."""
    kept: Any = request.session.get(SESSION_KEY)
    try:
        if not 0 <= time.time() - kept["since"] <= LIFE:
            return None
    except (KeyError, TypeError):  # nothing waits, or it is another version's
        return None
    redeemed = kept_proof.from_values(kept)
    if redeemed is None or not accounts.is_new(redeemed):
        return None
    return PendingSignup(redeemed, kept.get("remember"))


def forget(request: HttpRequest) -> None:
    """Nothing waits any more."""
    request.session.pop(SESSION_KEY, None)


@receiver(user_logged_in, dispatch_uid="phone_verify_django.pending_signup")
def _forget(request: HttpRequest | None, **_: object) -> None:
    if hasattr(request, "session"):
        forget(request)  # type: ignore[arg-type]
