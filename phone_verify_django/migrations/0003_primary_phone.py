from typing import Any

from django.db import migrations, models
from django.db.models import F

_BATCH = 500


def fill(apps: Any, schema_editor: Any) -> None:
    """Make each user's newest number primary, and let each number sign in its user."""
    rows = apps.get_model("phone_verify", "VerifiedPhone")._default_manager.using(schema_editor.connection.alias)
    rows.update(login_phone=F("phone"))
    newest = dict(rows.order_by("verified_at", "pk").values_list("user_id", "pk").iterator())
    keys = list(newest.values())
    for start in range(0, len(keys), _BATCH):
        rows.filter(pk__in=keys[start : start + _BATCH]).update(is_primary=True)


class Migration(migrations.Migration):
    dependencies = [("phone_verify", "0002_trusted_and_pending_checks")]

    operations = [
        migrations.AddField(
            model_name="verifiedphone",
            name="is_primary",
            field=models.BooleanField(default=None, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="verifiedphone",
            name="login_phone",
            field=models.CharField(default=None, editable=False, max_length=16, null=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
