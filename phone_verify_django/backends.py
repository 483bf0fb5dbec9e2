"""Signing in by a redeemed proof, as one of Django's authentication backends."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import load_backend
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from phone_verify.model import Redeemed

from . import account_policy


class PhoneBackend(ModelBackend):
    """Knows users by their verified phone, and lets nobody in by a password. Inactive users stay out."""

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, redeemed: Redeemed | None = None
    ) -> AbstractBaseUser | None:
        """The active user of the phone that was proven, or None."""
        if redeemed is None:
            return None
        user: Any = account_policy.policy().find(redeemed)
        if user is None or not self.user_can_authenticate(user):
            return None
        if not account_policy.lets_in(user, redeemed):
            return None
        # For `phone_verify_django.otp`: this phone is no second factor in the session that now begins.
        user.proven_phone = redeemed.phone
        found: AbstractBaseUser = user
        return found

    async def aauthenticate(  # type: ignore[override]
        self, request: HttpRequest | None, redeemed: Redeemed | None = None
    ) -> AbstractBaseUser | None:
        """See `authenticate`."""
        return await sync_to_async(self.authenticate)(request, redeemed)


def backend_path() -> str | None:
    """Return the entry of `AUTHENTICATION_BACKENDS` that is `PhoneBackend` or a subclass, or None."""
    paths = settings.AUTHENTICATION_BACKENDS
    return next((path for path in paths if isinstance(load_backend(path), PhoneBackend)), None)
