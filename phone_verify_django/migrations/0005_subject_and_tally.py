from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("phone_verify", "0004_primary_phone_constraints")]

    operations = [
        migrations.AddField(
            model_name="verificationrow",
            name="subject",
            field=models.CharField(default="", max_length=22),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="budget",
            field=models.CharField(default="", max_length=16),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="mistakes",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="tallied_short",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="tallied_long",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="verificationrow",
            name="by_pair",
            field=models.BooleanField(default=False),
        ),
    ]
