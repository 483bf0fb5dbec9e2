"""Move the binding from the device's row to the session that requests a code."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def end_what_is_under_way(apps: Any, schema_editor: Any) -> None:
    """End the verifications under way: no session holds their binding.

    Their users may request a code without waiting. The secrets are overwritten before their column is
    dropped, since PostgreSQL keeps the data of a dropped column.
    """
    devices = apps.get_model("phone_verify_otp", "PhoneDevice")._default_manager.using(schema_editor.connection.alias)
    under_way = devices.exclude(verification_id="", secret="")
    under_way.update(verification_id="", secret="", last_generated_timestamp=None)


class Migration(migrations.Migration):
    dependencies = [("phone_verify_otp", "0001_initial")]

    operations = [
        migrations.RunPython(end_what_is_under_way, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField("phonedevice", "verification_id"),
        migrations.RemoveField("phonedevice", "secret"),
        migrations.AddField("phonedevice", "challenges", models.JSONField(blank=True, default=list, editable=False)),
    ]
