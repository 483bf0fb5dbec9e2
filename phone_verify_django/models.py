"""The tables: whose number is whose, and what the store keeps."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from .fields import ExactCharField


class VerifiedPhone(models.Model):
    """A number that a user has proven to hold; no two users have the same."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="verified_phones")
    phone = models.CharField(max_length=16, unique=True)  # E.164: a plus and fifteen digits at most
    verified_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"number {self.pk} of user {self.user_id}"  # not the number: this text goes into logs


class VerificationRow(models.Model):
    """One verification, with the fields of `phone_verify.model.Verification`.

    Times are whole microseconds UTC: exact on every database, and the same whatever `USE_TZ` says.
    """

    id = ExactCharField(primary_key=True, max_length=44)
    tag = ExactCharField(max_length=22)
    phone = models.CharField(max_length=20)
    purpose = models.CharField(max_length=32)
    service = models.CharField(max_length=32)
    binding = models.BinaryField(max_length=32)
    channel = models.CharField(max_length=16)
    driver = models.CharField(max_length=64)
    holder = models.CharField(max_length=16)
    status = models.CharField(max_length=16)
    key_id = models.CharField(max_length=16)
    generation = models.IntegerField()
    code_digest = models.BinaryField(max_length=32, null=True)
    code_length = models.IntegerField(null=True)
    short = models.BooleanField()
    attempts_left = models.IntegerField()
    sends = models.IntegerField()
    locale = models.CharField(max_length=64, null=True)
    created_at = models.BigIntegerField()
    expires_at = models.BigIntegerField(db_index=True)
    resend_at = models.BigIntegerField()
    reference = models.CharField(max_length=255, null=True)
    line = models.CharField(max_length=20, null=True)
    caller_hint = models.CharField(max_length=20, null=True)
    closed_at = models.BigIntegerField(null=True)
    redeemed = models.BooleanField(default=False)
    polled_at = models.BigIntegerField(null=True)
    answered = models.IntegerField(default=0)
    freed = models.CharField(max_length=512, default="")
    known = models.BooleanField(default=False)

    class Meta:
        verbose_name = "verification"
        verbose_name_plural = "verifications"
        # Not `db_index`, which on PostgreSQL makes a second index for LIKE.
        indexes = (models.Index(fields=["tag"], name="phone_verify_verification_tag"),)

    def __str__(self) -> str:
        return f"{self.status} verification by {self.channel}"  # neither phone nor id: this text goes into logs


class PhoneRow(models.Model):
    """What is counted of one phone; every step on the phone locks this row.

    `windows` and `failures` hold, by quota and by budget, how many and when they are forgotten.
    """

    tag = ExactCharField(primary_key=True, max_length=22)
    windows = models.JSONField(default=dict)
    failures = models.JSONField(default=dict)
    ends_at = models.BigIntegerField(default=0, db_index=True)

    class Meta:
        verbose_name = "phone's counters"
        verbose_name_plural = "phones' counters"

    def __str__(self) -> str:
        return "counters of a phone"


class CounterRow(models.Model):
    """What is counted of many phones together: by address, by prefix, for the whole site."""

    name = ExactCharField(primary_key=True, max_length=100)
    count = models.IntegerField(default=0)
    ends_at = models.BigIntegerField(default=0, db_index=True)

    class Meta:
        verbose_name = "shared counter"
        verbose_name_plural = "shared counters"

    def __str__(self) -> str:
        return str(self.name).partition(":")[0]
