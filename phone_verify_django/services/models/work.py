"""Work that waits: orders to send, and the leases of repeated jobs. The columns are those of
`phone_verify.database.work_tables`.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from ...fields import ExactCharField
from ...primary import PrimaryManager


class SendRow(models.Model):
    """An order that a worker is to send, without a code, a number or a secret."""

    position = models.BigAutoField(primary_key=True)
    verification = ExactCharField(max_length=44)
    send = models.IntegerField()
    service = ExactCharField(max_length=32)
    channel = ExactCharField(max_length=16)
    drivers = models.TextField()
    long_codes = models.SmallIntegerField()
    access_key = ExactCharField(max_length=12)
    page_host = ExactCharField(max_length=255)
    top_host = ExactCharField(max_length=255)
    counted = models.TextField()
    provider = ExactCharField(max_length=64)
    queued_at = models.BigIntegerField()
    next_at = models.BigIntegerField(null=True)
    takes = models.IntegerField()
    asked = models.IntegerField()
    state = ExactCharField(max_length=12)
    cause = ExactCharField(max_length=12)

    objects: ClassVar[models.Manager[SendRow]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_send"
        verbose_name = "waiting order"
        constraints = (models.UniqueConstraint(fields=["verification", "send"], name="phone_verify_send_once"),)
        indexes = (
            models.Index(fields=["next_at"], name="phone_verify_send_due"),
            models.Index(fields=["queued_at"], name="phone_verify_send_queued"),
        )

    def __str__(self) -> str:
        return f"{self.channel} ({self.state})"  # logged: no id of a verification


class JobRow(models.Model):
    """A repeated job: when it is due or its lease ends, and its last run."""

    name = ExactCharField(max_length=32, primary_key=True)
    next_at = models.BigIntegerField()
    takes = models.IntegerField()
    started_at = models.BigIntegerField(null=True)
    finished_at = models.BigIntegerField(null=True)
    amount = models.BigIntegerField()
    problem = models.CharField(max_length=200)

    objects: ClassVar[models.Manager[JobRow]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_job"
        verbose_name = "job"

    def __str__(self) -> str:
        return f"{self.name}"
