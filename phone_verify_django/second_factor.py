"""Whether a user has a second factor: one of django-allauth's, or a confirmed device of django-otp."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser


def is_set_up(user: AbstractBaseUser) -> bool:
    """Return whether this user has a second factor in any package that the site has installed."""
    return _in_allauth(user) or _in_django_otp(user)


def _in_allauth(user: Any) -> bool:
    if not apps.is_installed("allauth.mfa"):
        return False
    from allauth.mfa.models import Authenticator  # type: ignore[import-untyped]
    from allauth.mfa.utils import is_mfa_enabled  # type: ignore[import-untyped]

    # The types that allauth's own login stage requires: recovery codes alone are not a factor.
    return bool(is_mfa_enabled(user, [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]))


def _in_django_otp(user: Any) -> bool:
    if not apps.is_installed("django_otp"):
        return False
    from django_otp import user_has_device

    return bool(user_has_device(user, confirmed=True))
