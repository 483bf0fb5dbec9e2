"""The tables of the ledger: attempts, counters of caps, accounts and payments.

The columns are those of `phone_verify.database.ledger_tables`. Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from ...fields import ExactCharField
from ...primary import PrimaryManager
from .money import MoneyField


class Attempt(models.Model):
    """One attempt to send or call, with the fields of `phone_verify.ledger.values.Attempt`.

    `dirty` is 1 while the aggregates hold something else of it than `folded` says.
    """

    id = models.BigAutoField(primary_key=True)
    verification = ExactCharField(max_length=44)
    send = models.IntegerField()
    driver = ExactCharField(max_length=64)
    service = ExactCharField(max_length=32)
    purpose = ExactCharField(max_length=32)
    channel = ExactCharField(max_length=16)
    started_at = models.BigIntegerField()
    access_key = ExactCharField(max_length=12, default="")
    region = ExactCharField(max_length=2, default="")
    operator = ExactCharField(max_length=64, default="")
    tag = ExactCharField(max_length=22, default="")
    hint = ExactCharField(max_length=24, default="")
    sent_at = models.BigIntegerField(null=True)
    outcome = ExactCharField(max_length=12)
    delivery = ExactCharField(max_length=12, default="")
    refusal = ExactCharField(max_length=16, default="")
    provider_ms = models.IntegerField(null=True)
    closed_at = models.BigIntegerField(null=True)
    verify_ms = models.BigIntegerField(null=True)
    parts = models.IntegerField(null=True)
    list_price = MoneyField(null=True)
    price = MoneyField(null=True)
    cost = MoneyField(null=True)
    currency = ExactCharField(max_length=3, default="")
    cost_source = ExactCharField(max_length=8, default="")
    charged = MoneyField()
    reserved = MoneyField()
    account_currency = ExactCharField(max_length=3, default="")
    charged_for = ExactCharField(max_length=12)
    counted = models.SmallIntegerField(default=0)
    reference = ExactCharField(max_length=22, null=True)
    sealed = models.TextField(null=True)
    look_up_at = models.BigIntegerField(null=True)
    dirty = models.SmallIntegerField(default=1)
    folded = models.TextField(null=True)

    objects: ClassVar[models.Manager[Attempt]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_attempt"
        constraints = (
            models.UniqueConstraint(fields=["verification", "send", "driver"], name="pv_services_attempt_once"),
        )
        indexes = (
            models.Index(fields=["started_at"], name="pv_services_attempt_started"),
            models.Index(fields=["closed_at", "started_at"], name="pv_services_attempt_open"),
            models.Index(fields=["dirty", "id"], name="pv_services_attempt_dirty"),
            models.Index(fields=["tag"], name="pv_services_attempt_tag"),
            models.Index(fields=["reference"], name="pv_services_attempt_reference"),
            models.Index(fields=["look_up_at"], name="pv_services_attempt_look_up"),
        )

    def __str__(self) -> str:
        # Masked: this text is logged.
        return f"{self.channel} by {self.driver} to \u2066{self.hint}\u2069: {self.outcome}"


class CapCounter(models.Model):
    """What was used in one window of a cap, or the level of an alarm; and the limits of the cap at its last alarm."""

    name = ExactCharField(primary_key=True, max_length=100)
    used = models.BigIntegerField()
    spent = MoneyField()
    alarmed = models.SmallIntegerField()
    alarm_count = models.BigIntegerField(null=True)
    alarm_money = MoneyField(null=True)
    ends_at = models.BigIntegerField(db_index=True)

    objects: ClassVar[models.Manager[CapCounter]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_cap_counter"

    def __str__(self) -> str:
        return str(self.name)


class RaisedAlarm(models.Model):
    """An alarm that was raised and not told yet, as JSON."""

    alarm_key = ExactCharField(primary_key=True, max_length=16)
    alarm = models.TextField()
    raised_at = models.BigIntegerField(db_index=True)

    objects: ClassVar[models.Manager[RaisedAlarm]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_alarm"

    def __str__(self) -> str:
        return str(self.alarm_key)


class Account(models.Model):
    """The account of a service. Its balance is the sum of its payments less what its attempts were charged."""

    service = ExactCharField(primary_key=True, max_length=32)
    currency = ExactCharField(max_length=3)
    balance = MoneyField()
    reserved = MoneyField()
    alarm_base = MoneyField()
    alarmed = models.SmallIntegerField()
    created_at = models.BigIntegerField()

    objects: ClassVar[models.Manager[Account]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_account"

    def __str__(self) -> str:
        return f"{self.service}: {self.balance:f} {self.currency}"


class Payment(models.Model):
    """A payment. Rows are added and never changed."""

    id = models.BigAutoField(primary_key=True)
    service = ExactCharField(max_length=32)
    amount = MoneyField()
    currency = ExactCharField(max_length=3)
    payment_key = ExactCharField(max_length=64)
    kind = ExactCharField(max_length=16)
    note = models.CharField(max_length=255)
    made_by = models.CharField(max_length=150)
    created_at = models.BigIntegerField()

    objects: ClassVar[models.Manager[Payment]] = PrimaryManager()

    class Meta:
        db_table = "phone_verify_services_payment"
        constraints = (models.UniqueConstraint(fields=["service", "payment_key"], name="pv_services_payment_once"),)

    def __str__(self) -> str:
        return f"{self.service}: {self.amount:f} {self.currency} ({self.kind})"
