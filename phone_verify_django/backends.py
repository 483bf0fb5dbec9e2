"""Signing in by a redeemed proof, as one of Django's authentication backends."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from phone_verify.model import Redeemed

from .models import VerifiedPhone


class PhoneBackend(ModelBackend):
    """Knows users by their verified phone, and lets nobody in by a password. Inactive users stay out."""

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, redeemed: Redeemed | None = None
    ) -> AbstractBaseUser | None:
        """The active user of the phone that was proven, or None."""
        if redeemed is None:
            return None
        found = VerifiedPhone.objects.select_related("user").filter(phone=redeemed.phone.e164).first()
        return found.user if found is not None and self.user_can_authenticate(found.user) else None

    async def aauthenticate(  # type: ignore[override]
        self, request: HttpRequest | None, redeemed: Redeemed | None = None
    ) -> AbstractBaseUser | None:
        """See `authenticate`."""
        return await sync_to_async(self.authenticate)(request, redeemed)
