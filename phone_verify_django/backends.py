"""The authentication backend that signs users in with a redeemed proof."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import load_backend
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from phone_verify.model import Redeemed

from . import account_policy, primary


class PhoneBackend(ModelBackend):
    """Authenticate users by their verified phone, never by a password. Refuses inactive users."""

    @primary.reads()
    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, redeemed: Redeemed | None = None
    ) -> AbstractBaseUser | None:
        """Return the active user of the verified number, or None."""
        if redeemed is None:
            return None
        user: Any = account_policy.find(redeemed)
        # A site's own `find` may have read a replica by name.
        if user is None or not primary.refresh(user) or not self.user_can_authenticate(user):
            return None
        if not account_policy.lets_in(user, redeemed):
            return None
        # For `phone_verify_django.otp`: in the new session this phone cannot be the second factor too.
        user.proven_phone = redeemed.phone
        found: AbstractBaseUser = user
        return found

    async def aauthenticate(  # type: ignore[override]
        self, request: HttpRequest | None, redeemed: Redeemed | None = None
    ) -> AbstractBaseUser | None:
        """See `authenticate`."""
        return await sync_to_async(self.authenticate)(request, redeemed)

    @primary.reads()
    def get_user(self, user_id: Any) -> Any:
        """Return the active user of a session, also one who was created just now."""
        return super().get_user(user_id)

    async def aget_user(self, user_id: Any) -> Any:
        """See `get_user`."""
        return await sync_to_async(self.get_user)(user_id)


def backend_path() -> str | None:
    """Return the entry of `AUTHENTICATION_BACKENDS` that is `PhoneBackend` or a subclass, or None."""
    paths = settings.AUTHENTICATION_BACKENDS
    return next((path for path in paths if isinstance(load_backend(path), PhoneBackend)), None)
