"""A Django site with two bare views, which execute the floor's two statements, and with our views."""

from __future__ import annotations

import json
import os

import dj_database_url
import django
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from .sites import KEY, QUOTAS

settings.configure(
    SECRET_KEY=KEY,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "phone_verify_django"
    ],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    DATABASES={"default": dj_database_url.parse(os.environ["BENCHMARK_DATABASE"], conn_max_age=None)},
    PHONE_VERIFY={
        "sms": "console://", "secret_keys": [KEY], "store": os.environ.get("BENCHMARK_STORE") or "orm:", **QUOTAS
    },
    USE_TZ=True,
)  # fmt: skip
django.setup()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402


@csrf_exempt
def bare_start(request: HttpRequest) -> JsonResponse:
    """Execute the floor's upsert."""
    asked = json.loads(request.body)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO floor VALUES (%s, %s, 5, 'sent') ON CONFLICT (id) DO UPDATE SET digest = excluded.digest",
            [asked["id"], asked["digest"]],
        )
    return JsonResponse({"id": asked["id"]}, status=201)


@csrf_exempt
def bare_check(request: HttpRequest) -> JsonResponse:
    """Execute the floor's guarded update."""
    asked = json.loads(request.body)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE floor SET attempts_left = attempts_left - 1, status = 'verified' "
            "WHERE id = %s AND digest = %s AND attempts_left > 0 AND status = 'sent' RETURNING attempts_left",
            [asked["id"], asked["digest"]],
        )
        return JsonResponse({"left": cursor.fetchall()[0][0]})


urlpatterns = [
    path("bare/start", bare_start),
    path("bare/check", bare_check),
    path("phone/", include("phone_verify_django.urls")),
]

if os.environ.get("BENCHMARK_PREPARE"):
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE floor (id VARCHAR(44) PRIMARY KEY, digest VARCHAR(64) NOT NULL, "
            "attempts_left INT NOT NULL, status VARCHAR(16) NOT NULL)"
        )

application = WSGIHandler()
