from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    # Separate from the migration that fills the columns: PostgreSQL cannot alter a table with pending row changes.
    dependencies = [("phone_verify", "0003_primary_phone")]

    operations = [
        migrations.AlterField(
            model_name="verifiedphone",
            name="phone",
            field=models.CharField(max_length=16),
        ),
        migrations.AddIndex(
            model_name="verifiedphone",
            index=models.Index(fields=["phone"], name="phone_verify_phone"),
        ),
        migrations.AddConstraint(
            model_name="verifiedphone",
            constraint=models.UniqueConstraint(fields=("login_phone",), name="phone_verify_one_signs_in"),
        ),
        migrations.AddConstraint(
            model_name="verifiedphone",
            constraint=models.UniqueConstraint(fields=("user", "phone"), name="phone_verify_once"),
        ),
        migrations.AddConstraint(
            model_name="verifiedphone",
            constraint=models.UniqueConstraint(fields=("user", "is_primary"), name="phone_verify_one_primary"),
        ),
        migrations.AddConstraint(
            model_name="verifiedphone",
            constraint=models.CheckConstraint(
                condition=Q(("is_primary", True), ("is_primary", None), _connector="OR"),
                name="phone_verify_primary_or_null",
            ),
        ),
        migrations.AddConstraint(
            model_name="verifiedphone",
            constraint=models.CheckConstraint(
                condition=Q(("login_phone", F("phone")), ("login_phone", None), _connector="OR"),
                name="phone_verify_signs_in",
            ),
        ),
    ]
