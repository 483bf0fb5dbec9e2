"""Services, which staff edit while the site runs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from ...fields import ExactCharField
from ...primary import PrimaryManager


class ServiceRow(models.Model):
    """One service: the fields that its editors have set, as JSON."""

    name = ExactCharField(primary_key=True, max_length=32)
    version = models.BigIntegerField()
    document = models.TextField()
    #: A name that no service may have, because one with it was deleted.
    retired = models.BooleanField(default=False)

    objects: ClassVar[models.Manager[ServiceRow]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_service"
        verbose_name = _("service")
        verbose_name_plural = _("services")

    def __str__(self) -> str:
        return f"{self.name}"


class ChangeRow(models.Model):
    """The version of the last change of any row of one kind. Its lock makes changes one after the other."""

    topic = ExactCharField(primary_key=True, max_length=32)
    version = models.BigIntegerField()

    objects: ClassVar[models.Manager[ChangeRow]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_change"

    def __str__(self) -> str:
        return f"{self.topic}"
