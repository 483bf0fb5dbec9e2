"""The table of aggregates: what the attempts of a quarter of an hour add up to."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from phone_verify.reports.figures import DIMENSIONS, LARGE_MEASURES, MEASURES

from ...fields import ExactCharField
from ...primary import PrimaryManager


class Quarter(models.Model):
    """A quarter of an hour, with a column for each of `phone_verify.reports.figures.MEASURES`.

    Money is in millionths. Rows are kept when attempts are deleted: nothing in them is of a person.
    """

    id = models.BigAutoField(primary_key=True)
    quarter = models.BigIntegerField()
    service = ExactCharField(max_length=32)
    access_key = ExactCharField(max_length=12)
    channel = ExactCharField(max_length=16)
    driver = ExactCharField(max_length=64)
    region = ExactCharField(max_length=2)
    purpose = ExactCharField(max_length=32)
    refusal = ExactCharField(max_length=16)
    currency = ExactCharField(max_length=3)
    account_currency = ExactCharField(max_length=3)

    objects: ClassVar[models.Manager[Quarter]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_quarter"
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        constraints = (models.UniqueConstraint(fields=["quarter", *DIMENSIONS], name="phone_verify_quarter_key"),)

    def __str__(self) -> str:
        return f"{self.service}: {self.channel} by {self.driver}"


for _name in MEASURES:
    # PostgreSQL adds up integers of 32 bits much faster.
    Quarter.add_to_class(_name, models.BigIntegerField() if _name in LARGE_MEASURES else models.IntegerField())
