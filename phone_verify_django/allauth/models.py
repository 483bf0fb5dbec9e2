"""The table of numbers that users have entered and not verified yet."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from ..primary import PrimaryManager


class ClaimedPhone(models.Model):
    """A number that a user has entered and not verified. It signs in no user: two users may claim the same one."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="claimed_phone"
    )
    phone = models.CharField(max_length=16)  # E.164

    objects: ClassVar[models.Manager[ClaimedPhone]] = PrimaryManager()

    def __str__(self) -> str:
        return f"number claimed by user {self.pk}"  # not the number: this text is logged
