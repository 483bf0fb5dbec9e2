"""The claim next to a code, the waits by channel, and whether a call closed a verification."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("phone_verify", "0006_session_generation")]

    operations = [
        migrations.AddField(
            model_name="verificationrow",
            name="claim_driver",
            field=models.CharField(default="", max_length=64),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="claim_reference",
            field=models.CharField(max_length=255, null=True),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="claim_line",
            field=models.CharField(max_length=20, null=True),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="claim_send",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="code_channel",
            field=models.CharField(max_length=16, null=True),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="waits",
            field=models.CharField(default="", max_length=255),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="by_call",
            field=models.BooleanField(default=False),
        ),
    ]
