"""What the Django sites have in common: the database, with persistent connections, and users for the numbers."""

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

USERS = int(os.environ.get("BENCHMARK_USERS", "0"))
#: How many rows of earlier verifications the site begins with, if its library keeps one for each.
KEPT = int(os.environ.get("BENCHMARK_KEPT", "0"))


def configure(module: str, apps: list[str], middleware: tuple[str, ...] = (), **more: Any) -> None:
    """Configure Django with these apps and settings, the module as its URLs."""
    parts = urlsplit(os.environ["BENCHMARK_DATABASE"])
    settings.configure(
        SECRET_KEY="a-key-for-benchmarks-0123456789abcdef",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=module,
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", *apps],
        MIDDLEWARE=middleware,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": parts.path.strip("/"),
                "USER": parts.username,
                "HOST": parts.hostname,
                "PORT": parts.port or "",
                "CONN_MAX_AGE": None,
            }
        },
        USE_TZ=True,
        **more,
    )
    django.setup()


def numbers() -> list[str]:
    """Return the numbers of the users."""
    return [f"+98912{place:07d}" for place in range(USERS)]


def application(people: Callable[[], object] | None = None) -> WSGIHandler:
    """Return the site; in the benchmark's first process make its tables and people."""
    if os.environ.get("BENCHMARK_PREPARE"):
        from django.core.management import call_command

        call_command("migrate", verbosity=0, run_syncdb=True)
        if people:
            people()
    return WSGIHandler()


def users() -> None:
    """Make a user for each number."""
    from people.models import User

    User.objects.bulk_create(
        [User(username=number, mobile=number, email=f"u{number[1:]}@example.com") for number in numbers()]
    )
