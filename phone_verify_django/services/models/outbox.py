"""Messages of outgoing webhooks, and the endpoints that failed."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from ...fields import ExactCharField
from ...primary import PrimaryManager


class OutboxMessage(models.Model):
    """A message for one endpoint, as in `phone_verify.database.outbox_tables`."""

    position = models.BigAutoField(primary_key=True)
    id = ExactCharField(max_length=40)
    endpoint = ExactCharField(max_length=32)
    service = ExactCharField(max_length=32)
    event = ExactCharField(max_length=32)
    verification = ExactCharField(max_length=44)
    body = models.TextField()
    status = ExactCharField(max_length=16)
    attempts = models.IntegerField()
    earlier = models.IntegerField()
    response = models.IntegerField(null=True)
    problem = models.CharField(max_length=200)
    created_at = models.BigIntegerField()
    attempted_at = models.BigIntegerField(null=True)
    next_at = models.BigIntegerField(null=True)
    delivered_at = models.BigIntegerField(null=True)

    objects: ClassVar[models.Manager[OutboxMessage]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_outbox"
        verbose_name = "webhook delivery"
        verbose_name_plural = "webhook deliveries"
        constraints = (models.UniqueConstraint(fields=["id", "service", "endpoint"], name="phone_verify_outbox_once"),)
        indexes = (
            models.Index(fields=["next_at"], name="phone_verify_outbox_due"),
            models.Index(fields=["verification"], name="phone_verify_outbox_of"),
            models.Index(fields=["created_at"], name="phone_verify_outbox_created"),
            models.Index(fields=["service", "position"], name="phone_verify_outbox_service"),
        )

    def __str__(self) -> str:
        return f"{self.event} ({self.status})"  # logged: no id of a verification


class OutboxEndpoint(models.Model):
    """An endpoint that has failed since its last success, or was disabled."""

    service = ExactCharField(max_length=32)
    endpoint = ExactCharField(max_length=32)
    place = ExactCharField(max_length=22)
    failing_since = models.BigIntegerField()
    disabled_at = models.BigIntegerField(null=True)

    objects: ClassVar[models.Manager[OutboxEndpoint]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_outbox_endpoint"
        verbose_name = "failing webhook endpoint"
        verbose_name_plural = "failing webhook endpoints"
        constraints = (
            models.UniqueConstraint(fields=["service", "endpoint"], name="phone_verify_outbox_endpoint_once"),
        )

    def __str__(self) -> str:
        return f"{self.service} {self.endpoint}"
