from django.db import migrations, models

import phone_verify_django.fields
import phone_verify_django.services.models.money


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                (
                    "service",
                    phone_verify_django.fields.ExactCharField(max_length=32, primary_key=True, serialize=False),
                ),
                ("currency", phone_verify_django.fields.ExactCharField(max_length=3)),
                ("balance", phone_verify_django.services.models.money.MoneyField()),
                ("reserved", phone_verify_django.services.models.money.MoneyField()),
                ("alarm_base", phone_verify_django.services.models.money.MoneyField()),
                ("alarmed", models.SmallIntegerField()),
                ("created_at", models.BigIntegerField()),
            ],
            options={
                "db_table": "phone_verify_services_account",
            },
        ),
        migrations.CreateModel(
            name="CapCounter",
            fields=[
                ("name", phone_verify_django.fields.ExactCharField(max_length=100, primary_key=True, serialize=False)),
                ("used", models.BigIntegerField()),
                ("spent", phone_verify_django.services.models.money.MoneyField()),
                ("alarmed", models.SmallIntegerField()),
                ("alarm_count", models.BigIntegerField(null=True)),
                ("alarm_money", phone_verify_django.services.models.money.MoneyField(null=True)),
                ("ends_at", models.BigIntegerField(db_index=True)),
            ],
            options={
                "db_table": "phone_verify_services_cap_counter",
            },
        ),
        migrations.CreateModel(
            name="ChangeRow",
            fields=[
                ("topic", phone_verify_django.fields.ExactCharField(max_length=32, primary_key=True, serialize=False)),
                ("version", models.BigIntegerField()),
            ],
            options={
                "db_table": "phone_verify_services_change",
            },
        ),
        migrations.CreateModel(
            name="JobRow",
            fields=[
                ("name", phone_verify_django.fields.ExactCharField(max_length=32, primary_key=True, serialize=False)),
                ("next_at", models.BigIntegerField()),
                ("takes", models.IntegerField()),
                ("started_at", models.BigIntegerField(null=True)),
                ("finished_at", models.BigIntegerField(null=True)),
                ("amount", models.BigIntegerField()),
                ("problem", models.CharField(max_length=200)),
            ],
            options={
                "verbose_name": "job",
                "db_table": "phone_verify_services_job",
            },
        ),
        migrations.CreateModel(
            name="RaisedAlarm",
            fields=[
                (
                    "alarm_key",
                    phone_verify_django.fields.ExactCharField(max_length=16, primary_key=True, serialize=False),
                ),
                ("alarm", models.TextField()),
                ("raised_at", models.BigIntegerField(db_index=True)),
            ],
            options={
                "db_table": "phone_verify_services_alarm",
            },
        ),
        migrations.CreateModel(
            name="ServiceRow",
            fields=[
                ("name", phone_verify_django.fields.ExactCharField(max_length=32, primary_key=True, serialize=False)),
                ("version", models.BigIntegerField()),
                ("document", models.TextField()),
                ("retired", models.BooleanField(default=False)),
            ],
            options={
                "verbose_name": "service",
                "verbose_name_plural": "services",
                "db_table": "phone_verify_services_service",
            },
        ),
        migrations.CreateModel(
            name="AccessKeyRow",
            fields=[
                ("id", phone_verify_django.fields.ExactCharField(max_length=12, primary_key=True, serialize=False)),
                ("digest", models.BinaryField(max_length=32)),
                ("service", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("name", models.CharField(max_length=64)),
                ("networks", models.CharField(default="", max_length=1000)),
                ("channels", models.CharField(default="", max_length=128)),
                ("created_at", models.BigIntegerField()),
                ("created_by", models.CharField(default="", max_length=150)),
                ("expires_at", models.BigIntegerField(null=True)),
                ("revoked_at", models.BigIntegerField(null=True)),
                ("last_used_at", models.BigIntegerField(null=True)),
            ],
            options={
                "verbose_name": "access key",
                "verbose_name_plural": "access keys",
                "db_table": "phone_verify_services_access_key",
                "indexes": [models.Index(fields=["service"], name="phone_verify_key_service")],
            },
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("verification", phone_verify_django.fields.ExactCharField(max_length=44)),
                ("send", models.IntegerField()),
                ("driver", phone_verify_django.fields.ExactCharField(max_length=64)),
                ("service", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("purpose", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("channel", phone_verify_django.fields.ExactCharField(max_length=16)),
                ("started_at", models.BigIntegerField()),
                ("access_key", phone_verify_django.fields.ExactCharField(default="", max_length=12)),
                ("region", phone_verify_django.fields.ExactCharField(default="", max_length=2)),
                ("operator", phone_verify_django.fields.ExactCharField(default="", max_length=64)),
                ("tag", phone_verify_django.fields.ExactCharField(default="", max_length=22)),
                ("hint", phone_verify_django.fields.ExactCharField(default="", max_length=24)),
                ("sent_at", models.BigIntegerField(null=True)),
                ("outcome", phone_verify_django.fields.ExactCharField(max_length=12)),
                ("delivery", phone_verify_django.fields.ExactCharField(default="", max_length=12)),
                ("refusal", phone_verify_django.fields.ExactCharField(default="", max_length=16)),
                ("provider_ms", models.IntegerField(null=True)),
                ("closed_at", models.BigIntegerField(null=True)),
                ("verify_ms", models.BigIntegerField(null=True)),
                ("parts", models.IntegerField(null=True)),
                ("list_price", phone_verify_django.services.models.money.MoneyField(null=True)),
                ("price", phone_verify_django.services.models.money.MoneyField(null=True)),
                ("cost", phone_verify_django.services.models.money.MoneyField(null=True)),
                ("currency", phone_verify_django.fields.ExactCharField(default="", max_length=3)),
                ("cost_source", phone_verify_django.fields.ExactCharField(default="", max_length=8)),
                ("charged", phone_verify_django.services.models.money.MoneyField()),
                ("reserved", phone_verify_django.services.models.money.MoneyField()),
                ("account_currency", phone_verify_django.fields.ExactCharField(default="", max_length=3)),
                ("charged_for", phone_verify_django.fields.ExactCharField(max_length=12)),
                ("counted", models.SmallIntegerField(default=0)),
                ("reference", phone_verify_django.fields.ExactCharField(max_length=22, null=True)),
                ("sealed", models.TextField(null=True)),
                ("look_up_at", models.BigIntegerField(null=True)),
                ("dirty", models.SmallIntegerField(default=1)),
                ("folded", models.TextField(null=True)),
            ],
            options={
                "db_table": "phone_verify_services_attempt",
                "indexes": [
                    models.Index(fields=["started_at"], name="pv_services_attempt_started"),
                    models.Index(fields=["closed_at", "started_at"], name="pv_services_attempt_open"),
                    models.Index(fields=["dirty", "id"], name="pv_services_attempt_dirty"),
                    models.Index(fields=["tag"], name="pv_services_attempt_tag"),
                    models.Index(fields=["reference"], name="pv_services_attempt_reference"),
                    models.Index(fields=["look_up_at"], name="pv_services_attempt_look_up"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("verification", "send", "driver"), name="pv_services_attempt_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="OutboxEndpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("service", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("endpoint", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("place", phone_verify_django.fields.ExactCharField(max_length=22)),
                ("failing_since", models.BigIntegerField()),
                ("disabled_at", models.BigIntegerField(null=True)),
            ],
            options={
                "verbose_name": "failing webhook endpoint",
                "verbose_name_plural": "failing webhook endpoints",
                "db_table": "phone_verify_services_outbox_endpoint",
                "constraints": [
                    models.UniqueConstraint(fields=("service", "endpoint"), name="phone_verify_outbox_endpoint_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                ("position", models.BigAutoField(primary_key=True, serialize=False)),
                ("id", phone_verify_django.fields.ExactCharField(max_length=40)),
                ("endpoint", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("service", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("event", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("verification", phone_verify_django.fields.ExactCharField(max_length=44)),
                ("body", models.TextField()),
                ("status", phone_verify_django.fields.ExactCharField(max_length=16)),
                ("attempts", models.IntegerField()),
                ("earlier", models.IntegerField()),
                ("response", models.IntegerField(null=True)),
                ("problem", models.CharField(max_length=200)),
                ("created_at", models.BigIntegerField()),
                ("attempted_at", models.BigIntegerField(null=True)),
                ("next_at", models.BigIntegerField(null=True)),
                ("delivered_at", models.BigIntegerField(null=True)),
            ],
            options={
                "verbose_name": "webhook delivery",
                "verbose_name_plural": "webhook deliveries",
                "db_table": "phone_verify_services_outbox",
                "indexes": [
                    models.Index(fields=["next_at"], name="phone_verify_outbox_due"),
                    models.Index(fields=["verification"], name="phone_verify_outbox_of"),
                    models.Index(fields=["created_at"], name="phone_verify_outbox_created"),
                    models.Index(fields=["service", "position"], name="phone_verify_outbox_service"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("id", "service", "endpoint"), name="phone_verify_outbox_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("service", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("amount", phone_verify_django.services.models.money.MoneyField()),
                ("currency", phone_verify_django.fields.ExactCharField(max_length=3)),
                ("payment_key", phone_verify_django.fields.ExactCharField(max_length=64)),
                ("kind", phone_verify_django.fields.ExactCharField(max_length=16)),
                ("note", models.CharField(max_length=255)),
                ("made_by", models.CharField(max_length=150)),
                ("created_at", models.BigIntegerField()),
            ],
            options={
                "db_table": "phone_verify_services_payment",
                "constraints": [
                    models.UniqueConstraint(fields=("service", "payment_key"), name="pv_services_payment_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Quarter",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("quarter", models.BigIntegerField()),
                ("service", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("access_key", phone_verify_django.fields.ExactCharField(max_length=12)),
                ("channel", phone_verify_django.fields.ExactCharField(max_length=16)),
                ("driver", phone_verify_django.fields.ExactCharField(max_length=64)),
                ("region", phone_verify_django.fields.ExactCharField(max_length=2)),
                ("purpose", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("refusal", phone_verify_django.fields.ExactCharField(max_length=16)),
                ("currency", phone_verify_django.fields.ExactCharField(max_length=3)),
                ("account_currency", phone_verify_django.fields.ExactCharField(max_length=3)),
                ("attempts", models.IntegerField()),
                ("sent", models.IntegerField()),
                ("delivered", models.IntegerField()),
                ("undelivered", models.IntegerField()),
                ("refused", models.IntegerField()),
                ("unclear", models.IntegerField()),
                ("expired", models.IntegerField()),
                ("verified", models.IntegerField()),
                ("unpriced", models.IntegerField()),
                ("cost", models.BigIntegerField()),
                ("charged", models.BigIntegerField()),
                ("verify_ms", models.BigIntegerField()),
                ("t0", models.IntegerField()),
                ("t1", models.IntegerField()),
                ("t2", models.IntegerField()),
                ("t3", models.IntegerField()),
                ("t4", models.IntegerField()),
                ("t5", models.IntegerField()),
                ("t6", models.IntegerField()),
                ("t7", models.IntegerField()),
                ("t8", models.IntegerField()),
                ("t9", models.IntegerField()),
                ("t10", models.IntegerField()),
                ("t11", models.IntegerField()),
                ("t12", models.IntegerField()),
                ("t13", models.IntegerField()),
                ("t14", models.IntegerField()),
                ("t15", models.IntegerField()),
                ("t16", models.IntegerField()),
                ("t17", models.IntegerField()),
                ("t18", models.IntegerField()),
                ("t19", models.IntegerField()),
                ("t20", models.IntegerField()),
            ],
            options={
                "verbose_name": "report",
                "verbose_name_plural": "reports",
                "db_table": "phone_verify_services_quarter",
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "quarter",
                            "service",
                            "access_key",
                            "channel",
                            "driver",
                            "region",
                            "purpose",
                            "refusal",
                            "currency",
                            "account_currency",
                        ),
                        name="phone_verify_quarter_key",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SendRow",
            fields=[
                ("position", models.BigAutoField(primary_key=True, serialize=False)),
                ("verification", phone_verify_django.fields.ExactCharField(max_length=44)),
                ("send", models.IntegerField()),
                ("service", phone_verify_django.fields.ExactCharField(max_length=32)),
                ("channel", phone_verify_django.fields.ExactCharField(max_length=16)),
                ("drivers", models.TextField()),
                ("long_codes", models.SmallIntegerField()),
                ("access_key", phone_verify_django.fields.ExactCharField(max_length=12)),
                ("page_host", phone_verify_django.fields.ExactCharField(max_length=255)),
                ("top_host", phone_verify_django.fields.ExactCharField(max_length=255)),
                ("counted", models.TextField()),
                ("provider", phone_verify_django.fields.ExactCharField(max_length=64)),
                ("queued_at", models.BigIntegerField()),
                ("next_at", models.BigIntegerField(null=True)),
                ("takes", models.IntegerField()),
                ("asked", models.IntegerField()),
                ("state", phone_verify_django.fields.ExactCharField(max_length=12)),
                ("cause", phone_verify_django.fields.ExactCharField(max_length=12)),
            ],
            options={
                "verbose_name": "waiting order",
                "db_table": "phone_verify_services_send",
                "indexes": [
                    models.Index(fields=["next_at"], name="phone_verify_send_due"),
                    models.Index(fields=["queued_at"], name="phone_verify_send_queued"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("verification", "send"), name="phone_verify_send_once")
                ],
            },
        ),
    ]
