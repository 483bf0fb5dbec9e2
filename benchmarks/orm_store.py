"""The store in Django's database, for a separate process: Django is configured once."""

from __future__ import annotations

from collections.abc import Mapping

import dj_database_url
import django
from django.conf import settings

from phone_verify.stores.base import Store

from .sites import KEY


def orm_store(url: str, options: Mapping[str, object]) -> Store:
    """Return the store in this database, with these `OPTIONS`; its tables are created."""
    database = dj_database_url.parse(url, conn_max_age=None)
    database["OPTIONS"] = {**database.get("OPTIONS", {}), **options}
    settings.configure(
        SECRET_KEY=KEY,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "phone_verify_django"],
        DATABASES={"default": database},
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command

    from phone_verify_django.store import OrmStore

    call_command("migrate", verbosity=0)
    return OrmStore()
