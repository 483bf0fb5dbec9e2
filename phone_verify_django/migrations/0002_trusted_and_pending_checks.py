from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("phone_verify", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="verificationrow",
            name="trusted",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="pending_checks",
            field=models.IntegerField(default=0),
        ),
    ]
