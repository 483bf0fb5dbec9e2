import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import phone_verify_django.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ConversionRow",
            fields=[
                ("route", phone_verify_django.fields.ExactCharField(max_length=100, primary_key=True, serialize=False)),
                ("sent", models.FloatField()),
                ("verified", models.FloatField()),
                ("changed_at", models.BigIntegerField()),
            ],
            options={
                "verbose_name": "conversion",
                "verbose_name_plural": "conversions",
            },
        ),
        migrations.CreateModel(
            name="CounterRow",
            fields=[
                ("name", phone_verify_django.fields.ExactCharField(max_length=100, primary_key=True, serialize=False)),
                ("count", models.IntegerField(default=0)),
                ("ends_at", models.BigIntegerField(db_index=True, default=0)),
            ],
            options={
                "verbose_name": "shared counter",
                "verbose_name_plural": "shared counters",
            },
        ),
        migrations.CreateModel(
            name="PhoneRow",
            fields=[
                ("tag", phone_verify_django.fields.ExactCharField(max_length=22, primary_key=True, serialize=False)),
                ("windows", models.JSONField(default=dict)),
                ("failures", models.JSONField(default=dict)),
                ("ends_at", models.BigIntegerField(db_index=True, default=0)),
            ],
            options={
                "verbose_name": "phone's counters",
                "verbose_name_plural": "phones' counters",
            },
        ),
        migrations.CreateModel(
            name="ResponseRow",
            fields=[
                ("name", phone_verify_django.fields.ExactCharField(max_length=44, primary_key=True, serialize=False)),
                ("holder", models.CharField(max_length=22)),
                ("request", models.CharField(max_length=22)),
                ("tag", phone_verify_django.fields.ExactCharField(max_length=22)),
                ("response", models.TextField(null=True)),
                ("ends_at", models.BigIntegerField(db_index=True)),
            ],
            options={
                "verbose_name": "kept response",
                "verbose_name_plural": "kept responses",
            },
        ),
        migrations.CreateModel(
            name="SessionGeneration",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("generation", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="VerificationRow",
            fields=[
                ("id", phone_verify_django.fields.ExactCharField(max_length=44, primary_key=True, serialize=False)),
                ("tag", phone_verify_django.fields.ExactCharField(max_length=22)),
                ("phone", models.CharField(max_length=20)),
                ("purpose", models.CharField(max_length=32)),
                ("service", models.CharField(max_length=32)),
                ("binding", models.BinaryField(max_length=32)),
                ("channel", models.CharField(max_length=16)),
                ("driver", models.CharField(max_length=64)),
                ("code_source", models.CharField(max_length=16)),
                ("status", models.CharField(max_length=16)),
                ("key_id", models.CharField(max_length=16)),
                ("generation", models.IntegerField()),
                ("code_digest", models.BinaryField(max_length=32, null=True)),
                ("code_length", models.IntegerField(null=True)),
                ("short", models.BooleanField()),
                ("attempts_left", models.IntegerField()),
                ("sends", models.IntegerField()),
                ("locale", models.CharField(max_length=64, null=True)),
                ("created_at", models.BigIntegerField()),
                ("expires_at", models.BigIntegerField(db_index=True)),
                ("resend_at", models.BigIntegerField()),
                ("reference", models.CharField(max_length=255, null=True)),
                ("line", models.CharField(max_length=20, null=True)),
                ("caller_hint", models.CharField(max_length=20, null=True)),
                ("closed_at", models.BigIntegerField(null=True)),
                ("redeemed", models.BooleanField(default=False)),
                ("polled_at", models.BigIntegerField(null=True)),
                ("acked_send", models.IntegerField(default=0)),
                ("released_lines", models.CharField(default="", max_length=512)),
                ("trusted", models.BooleanField(default=False)),
                ("pending_checks", models.IntegerField(default=0)),
                ("subject", models.CharField(default="", max_length=22)),
                ("budget", models.CharField(default="", max_length=16)),
                ("mistakes", models.IntegerField(default=0)),
                ("tallied_short", models.IntegerField(default=0)),
                ("tallied_long", models.IntegerField(default=0)),
                ("by_pair", models.BooleanField(default=False)),
                ("claim_driver", models.CharField(default="", max_length=64)),
                ("claim_reference", models.CharField(max_length=255, null=True)),
                ("claim_line", models.CharField(max_length=20, null=True)),
                ("claim_send", models.IntegerField(default=0)),
                ("code_channel", models.CharField(max_length=16, null=True)),
                ("waits", models.CharField(default="", max_length=255)),
                ("by_call", models.BooleanField(default=False)),
                ("proved_channels", models.CharField(default="", max_length=64)),
                ("access_key", models.CharField(default="", max_length=12)),
                ("channels", models.CharField(default="", max_length=64)),
                ("other_caller_at", models.BigIntegerField(null=True)),
                ("attestation", models.CharField(max_length=1, null=True)),
            ],
            options={
                "verbose_name": "verification",
                "verbose_name_plural": "verifications",
                "indexes": [models.Index(fields=["tag"], name="phone_verify_django_tag")],
            },
        ),
        migrations.CreateModel(
            name="VerifiedPhone",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("phone", models.CharField(max_length=16)),
                ("verified_at", models.DateTimeField()),
                ("is_primary", models.BooleanField(default=None, editable=False, null=True)),
                ("login_phone", models.CharField(default=None, editable=False, max_length=16, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="verified_phones",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "verified phone",
                "verbose_name_plural": "verified phones",
                "indexes": [models.Index(fields=["phone"], name="phone_verify_django_phone")],
                "constraints": [
                    models.UniqueConstraint(fields=("login_phone",), name="phone_verify_django_one_signs_in"),
                    models.UniqueConstraint(fields=("user", "phone"), name="phone_verify_django_once"),
                    models.UniqueConstraint(fields=("user", "is_primary"), name="phone_verify_django_one_primary"),
                    models.CheckConstraint(
                        condition=models.Q(("is_primary", True), ("is_primary", None), _connector="OR"),
                        name="phone_verify_django_primary_or_null",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("login_phone", models.F("phone")), ("login_phone", None), _connector="OR"),
                        name="phone_verify_django_signs_in",
                    ),
                ],
            },
        ),
    ]
