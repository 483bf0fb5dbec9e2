"""The tables of verified numbers, and of the store in Django's database."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from phone_verify import PhoneNumber

from . import admin_display, app_settings
from .fields import ExactCharField
from .primary import PrimaryManager, alias_of

app_settings.require_app()


class VerifiedPhone(models.Model):
    """A verified number of a user, who alone has it unless the site lets users share numbers.

    `is_primary` and `login_phone` are set or NULL, so that plain unique constraints work on every
    database; MariaDB has no conditional ones. `save` sets them, and `phones` updates them when a row
    is deleted.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="verified_phones")
    phone = models.CharField(max_length=16)  # E.164: a plus and fifteen digits at most
    verified_at = models.DateTimeField()
    #: True for one of the user's numbers, NULL for the others.
    is_primary = models.BooleanField(null=True, default=None, editable=False)
    #: A copy of the number for the one user whom it signs in; NULL for others who share it.
    login_phone = models.CharField(max_length=16, null=True, default=None, editable=False)

    objects: ClassVar[models.Manager[VerifiedPhone]] = PrimaryManager()

    class Meta:
        verbose_name = _("verified phone")
        verbose_name_plural = _("verified phones")
        indexes = (models.Index(fields=["phone"], name="phone_verify_django_phone"),)
        constraints = (
            # Not `unique`, which on PostgreSQL creates a second index for LIKE.
            models.UniqueConstraint(fields=["login_phone"], name="phone_verify_django_one_signs_in"),
            models.UniqueConstraint(fields=["user", "phone"], name="phone_verify_django_once"),
            models.UniqueConstraint(fields=["user", "is_primary"], name="phone_verify_django_one_primary"),
            models.CheckConstraint(
                condition=models.Q(is_primary=True) | models.Q(is_primary=None),
                name="phone_verify_django_primary_or_null",
            ),
            models.CheckConstraint(
                condition=models.Q(login_phone=models.F("phone")) | models.Q(login_phone=None),
                name="phone_verify_django_signs_in",
            ),
        )

    def __str__(self) -> str:
        # Masked: this text is logged. Isolated, so that it keeps its order in right-to-left pages.
        return f"\u2066{PhoneNumber(self.phone).hint}\u2069"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save. A new row is primary if it is its user's first, and signs in unless another user's row does.

        Raises `IntegrityError` for a number of another user unless numbers are shared.
        """
        if self._state.adding:
            rows = type(self)._default_manager.using(kwargs.get("using") or alias_of(type(self)))
            self.is_primary = None if rows.filter(user_id=self.user_id, is_primary=True).exists() else True
            shares = self.login_phone is None and app_settings.account_settings().shared_phones
            self.login_phone = None if shares and rows.filter(login_phone=self.phone).exists() else self.phone
        super().save(*args, **kwargs)


class SessionGeneration(models.Model):
    """How often all sessions of a user were ended. A user without a row counts as 0."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+")
    generation = models.PositiveIntegerField(default=0)

    objects: ClassVar[models.Manager[SessionGeneration]] = PrimaryManager()

    def __str__(self) -> str:
        return f"generation {self.generation} of the sessions of user {self.user_id}"


class VerificationRow(models.Model):
    """One verification, with the fields of `phone_verify.model.Verification`.

    Times are microseconds since 1970 in UTC: exact on every database, and independent of `USE_TZ`.
    """

    id = ExactCharField(primary_key=True, max_length=44)
    tag = ExactCharField(max_length=22)
    phone = models.CharField(max_length=20)
    purpose = models.CharField(max_length=32)
    service = models.CharField(max_length=32)
    binding = models.BinaryField(max_length=32)
    channel = models.CharField(max_length=16)
    driver = models.CharField(max_length=64)
    code_source = models.CharField(max_length=16)
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
    acked_send = models.IntegerField(default=0)
    released_lines = models.CharField(max_length=512, default="")
    trusted = models.BooleanField(default=False)
    pending_checks = models.IntegerField(default=0)
    subject = models.CharField(max_length=22, default="")
    budget = models.CharField(max_length=16, default="")
    mistakes = models.IntegerField(default=0)
    tallied_short = models.IntegerField(default=0)
    tallied_long = models.IntegerField(default=0)
    by_pair = models.BooleanField(default=False)
    claim_driver = models.CharField(max_length=64, default="")
    claim_reference = models.CharField(max_length=255, null=True)
    claim_line = models.CharField(max_length=20, null=True)
    claim_send = models.IntegerField(default=0)
    code_channel = models.CharField(max_length=16, null=True)
    waits = models.CharField(max_length=255, default="")
    by_call = models.BooleanField(default=False)
    proved_channels = models.CharField(max_length=64, default="")
    access_key = models.CharField(max_length=12, default="")
    channels = models.CharField(max_length=64, default="")
    other_caller_at = models.BigIntegerField(null=True)
    attestation = models.CharField(max_length=1, null=True)

    class Meta:
        verbose_name = _("verification")
        verbose_name_plural = _("verifications")
        # Not `db_index`, which on PostgreSQL creates a second index for LIKE.
        indexes = (models.Index(fields=["tag"], name="phone_verify_django_tag"),)

    def __str__(self) -> str:
        channel, state = admin_display.CHANNELS.get(self.channel, self.channel), admin_display.STATES[self.status]
        return _("%(channel)s verification (%(state)s)") % {
            "channel": channel,
            "state": state,
        }  # logged: no phone, no id


class PhoneRow(models.Model):
    """The counters of one phone; every step on the phone locks this row.

    `windows` and `failures` hold, by quota and by failure key, the count, its expiry and the locks.
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
    """A counter shared by many phones: by address, by prefix, for the whole site, by the hour."""

    name = ExactCharField(primary_key=True, max_length=100)
    count = models.IntegerField(default=0)
    ends_at = models.BigIntegerField(default=0, db_index=True)

    class Meta:
        verbose_name = "shared counter"
        verbose_name_plural = "shared counters"

    def __str__(self) -> str:
        return str(self.name).partition(":")[0]


class ConversionRow(models.Model):
    """How many orders a provider accepted for a region on a channel, and how many of them were verified."""

    route = ExactCharField(primary_key=True, max_length=100)
    sent = models.FloatField()
    verified = models.FloatField()
    changed_at = models.BigIntegerField()

    class Meta:
        verbose_name = "conversion"
        verbose_name_plural = "conversions"

    def __str__(self) -> str:
        return str(self.route)


class ResponseRow(models.Model):
    """The response to a request with an idempotency key, sealed; without one the place is reserved."""

    name = ExactCharField(primary_key=True, max_length=44)
    holder = models.CharField(max_length=22)
    request = models.CharField(max_length=22)
    tag = ExactCharField(max_length=22)
    response = models.TextField(null=True)
    ends_at = models.BigIntegerField(db_index=True)

    class Meta:
        verbose_name = "kept response"
        verbose_name_plural = "kept responses"

    def __str__(self) -> str:
        return "kept response"
