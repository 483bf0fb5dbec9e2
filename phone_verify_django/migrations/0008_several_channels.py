"""The channels proved before a verification, and when another phone called its line."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("phone_verify", "0007_code_and_claim")]

    operations = [
        migrations.AddField(
            model_name="verificationrow",
            name="proved_channels",
            field=models.CharField(default="", max_length=64),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="other_caller_at",
            field=models.BigIntegerField(null=True),
        ),
    ]
