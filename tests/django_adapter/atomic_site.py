"""A site with ATOMIC_REQUESTS on the database named by its arguments, and requests to it, run in a separate process.

Any failure ends it with a traceback.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import django
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core.management import call_command
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from tests.django_adapter import settings as chosen
from tests.django_adapter.databases import WRITE_AHEAD, settings_of

PHONE = "+989120000000"


def database(url: str) -> dict[str, Any]:
    if not url.startswith("sqlite:///"):
        return settings_of(url)
    name = url.removeprefix("sqlite:///")
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": WRITE_AHEAD}


settings.configure(
    **{
        name: value
        for name, value in vars(chosen).items()
        if name.isupper() and name not in ("DATABASES", "ROOT_URLCONF")
    },
    DATABASES={"default": {**database(sys.argv[1]), "ATOMIC_REQUESTS": True}},
    ROOT_URLCONF=__name__,
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.test import Client  # noqa: E402

from phone_verify.testing.transport import FakeTransport  # noqa: E402
from phone_verify_django.site import current_site  # noqa: E402
from phone_verify_django.testing import override  # noqa: E402

User = get_user_model()


def check_and_fail(request: HttpRequest) -> HttpResponse:
    """A view in its transaction: it checks a code, writes a row, and raises."""
    asked = json.loads(request.body)
    assert connection.in_atomic_block
    outcome = current_site().verifier.check(asked["id"], asked["secret"], asked["code"])
    User.objects.create_user("written after the check")
    raise RuntimeError(f"the site's own error; the check said {outcome.reason}")


def write_check_and_fail(request: HttpRequest) -> HttpResponse:
    """The same view, with a write first."""
    User.objects.create_user("written before the check")
    return check_and_fail(request)


urlpatterns = [
    path("phone/", include("phone_verify_django.urls")),
    path("own/", check_and_fail),
    path("own/written/", write_check_and_fail),
]


class Visitor:
    """A browser."""

    def __init__(self, transport: FakeTransport) -> None:
        self.client = Client(raise_request_exception=False)
        self._transport = transport

    def call(self, method: str, path: str, **document: str) -> Any:
        return self.client.generic(method, path, json.dumps(document), "application/json")

    def begin(self, phone: str) -> dict[str, Any]:
        begun = self.call("POST", "/phone/v1/verifications", phone=phone)
        assert begun.status_code == 201, begun.content
        document = begun.json()
        assert isinstance(document, dict)
        return document

    @property
    def code(self) -> str:
        return re.findall(r"\b[0-9]{6}\b", self._transport.notices[-1].text)[0]

    @property
    def wrong(self) -> str:
        return str((int(self.code) + 1) % 10**6).zfill(6)


def fail(**_: object) -> None:
    raise RuntimeError("a receiver of the site's is broken")


def visit(transport: FakeTransport, paths: list[str]) -> None:
    for number, own in enumerate(paths):
        visitor = Visitor(transport)
        begun = visitor.begin(f"+98912000010{number}")
        here = f"/phone/v1/verifications/{begun['id']}"
        given = {"id": begun["id"], "secret": begun["secret"]}
        assert visitor.call("POST", own, **given, code=visitor.wrong).status_code == 500
        assert visitor.call("GET", here).json()["attempts_left"] == 4, "the failure stays recorded"
        assert visitor.call("POST", own, **given, code=visitor.code).status_code == 500
        assert visitor.call("GET", here).json()["status"] == "verified"
        assert visitor.call("POST", f"{here}/check", code=visitor.code).status_code == 410, "the code stays used"
        assert not User.objects.exists(), "what the site wrote itself is rolled back"

    visitor = Visitor(transport)
    begun = visitor.begin(PHONE)
    here = f"/phone/v1/verifications/{begun['id']}"
    assert visitor.call("POST", f"{here}/check", code=visitor.wrong).status_code == 422
    proof = visitor.call("POST", f"{here}/check", code=visitor.code).json()["proof"]
    user_logged_in.connect(fail)
    assert visitor.call("POST", "/phone/v1/session", proof=proof).status_code == 500
    user_logged_in.disconnect(fail)
    assert visitor.call("GET", "/phone/v1/session").status_code == 401
    assert visitor.call("POST", "/phone/v1/session", proof=proof).json()["code"] == "invalid_proof", "it stays burnt"
    assert visitor.call("POST", f"{here}/check", code=visitor.code).status_code == 410


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    transport = FakeTransport()
    with override(transport=transport):
        visit(transport, sys.argv[2:])
