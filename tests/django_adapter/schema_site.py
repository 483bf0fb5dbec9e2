"""A site whose middleware sets a schema on the connection of each request, run in a separate process.

The argument is the URL of its PostgreSQL database. Its tables are in the schema `shop` only. Any
failure ends it with a traceback.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from tests.django_adapter import settings as chosen
from tests.django_adapter.databases import settings_of

PHONE = "+989120000000"


def enter() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET search_path TO shop")


def blocking_schema(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware for blocking and, adapted by Django, for async requests."""

    def middleware(request: HttpRequest) -> HttpResponse:
        enter()
        return get_response(request)

    return middleware


def in_block(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        outcome = current_site().verifier.start(PhoneNumber("+989120000002"))
    return HttpResponse(status=201 if isinstance(outcome, Started) else 400)


settings.configure(
    **{
        name: value
        for name, value in vars(chosen).items()
        if name.isupper() and name not in ("DATABASES", "MIDDLEWARE", "ROOT_URLCONF")
    },
    DATABASES={"default": settings_of(sys.argv[1])},
    MIDDLEWARE=[sys.argv[2], *chosen.MIDDLEWARE],
    ROOT_URLCONF=__name__,
)
django.setup()

from asgiref.testing import ApplicationCommunicator  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils.deprecation import MiddlewareMixin  # noqa: E402

from phone_verify import PhoneNumber, Started  # noqa: E402
from phone_verify.testing.transport import FakeTransport  # noqa: E402
from phone_verify_django.site import current_site  # noqa: E402
from phone_verify_django.testing import override  # noqa: E402


class AsyncSchema(MiddlewareMixin):
    """Middleware that Django awaits: its hook runs in the thread of the request."""

    def process_request(self, request: HttpRequest) -> None:
        enter()


urlpatterns = [path("phone/", include("phone_verify_django.urls")), path("block/", in_block)]


async def awaited(phone: str) -> int:
    body = json.dumps({"phone": phone}).encode()
    headers = [(b"host", b"testserver"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
             "path": "/phone/v1/verifications", "query_string": b"", "headers": headers,
             "client": ("127.0.0.1", 1), "server": None}  # fmt: skip
    site = ApplicationCommunicator(get_asgi_application(), scope)
    await site.send_input({"type": "http.request", "body": body, "more_body": False})
    status: int = (await site.receive_output(20))["status"]
    return status


async def several() -> list[int]:
    return await asyncio.gather(*(awaited(f"+98912000010{n}") for n in range(4)))


def main() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA shop")
    enter()
    call_command("migrate", verbosity=0)
    connection.close()
    with override(transport=FakeTransport()):
        client = Client()
        begun = client.post("/phone/v1/verifications", {"phone": PHONE}, content_type="application/json")
        assert begun.status_code == 201, begun.content
        assert client.get("/block/").status_code == 201
        found = asyncio.run(several())
        assert found == [201] * 4, found


if __name__ == "__main__":
    main()
