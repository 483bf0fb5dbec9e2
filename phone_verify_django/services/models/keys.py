"""Access keys of other programs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from ...fields import ExactCharField
from ...primary import PrimaryManager


class AccessKeyRow(models.Model):
    """One access key, with the fields of `phone_verify.keys.access_key.AccessKey`.

    Times are microseconds since 1970 in UTC, as in the tables of the store. Ranges and channels are
    separated by spaces; empty for all.
    """

    id = ExactCharField(primary_key=True, max_length=12)
    digest = models.BinaryField(max_length=32)
    service = ExactCharField(max_length=32)
    name = models.CharField(max_length=64)
    networks = models.CharField(max_length=1000, default="")
    channels = models.CharField(max_length=128, default="")
    created_at = models.BigIntegerField()
    created_by = models.CharField(max_length=150, default="")
    expires_at = models.BigIntegerField(null=True)
    revoked_at = models.BigIntegerField(null=True)
    last_used_at = models.BigIntegerField(null=True)

    objects: ClassVar[models.Manager[AccessKeyRow]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_access_key"
        verbose_name = _("access key")
        verbose_name_plural = _("access keys")
        indexes = (models.Index(fields=["service"], name="phone_verify_key_service"),)

    def __str__(self) -> str:
        return f"pv_{self.id}_…"
