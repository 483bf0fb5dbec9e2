"""A site whose `default` database is empty, and a sign-in on it, run in a separate process.

The argument is the folder of its database. Any failure ends it with a traceback.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import django
from django.conf import settings

from tests.django_adapter import settings as chosen
from tests.django_adapter.databases import WRITE_AHEAD

PHONE = "+989120000000"


class Router:
    """Sends every model to `users`."""

    def db_for_read(self, model: type, **hints: Any) -> str:
        return "users"

    db_for_write = db_for_read


def main(folder: str, *routers: str) -> None:
    given = {name: value for name, value in vars(chosen).items() if name.isupper() and name != "DATABASES"}
    users = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/users.sqlite3", "OPTIONS": WRITE_AHEAD}
    settings.configure(**given, DATABASES={"default": {}, "users": users}, DATABASE_ROUTERS=list(routers))
    django.setup()
    from django.core.checks import run_checks
    from django.core.management import call_command
    from django.test import Client

    from phone_verify.testing.transport import FakeTransport
    from phone_verify_django.testing import override

    call_command("migrate", database="users", verbosity=0)
    assert not [each for each in run_checks(tags=["phone_verify"]) if each.is_serious()]
    transport = FakeTransport()
    with override(transport=transport):
        client = Client()
        begun = client.post("/phone/v1/verifications", {"phone": PHONE}, content_type="application/json")
        assert begun.status_code == 201, begun.content
        code = re.findall(r"\b[0-9]{6}\b", transport.notices[-1].text)[0]
        here = f"/phone/v1/verifications/{begun.json()['id']}/check"
        done = client.post(here, {"code": code}, content_type="application/json")
        assert done.status_code == 200, done.content
        proof = done.json()["proof"]
        entered = client.post("/phone/v1/session", {"proof": proof}, content_type="application/json")
        assert entered.status_code == 200, entered.content
        assert client.get("/").content.decode() == PHONE


if __name__ == "__main__":
    main(*sys.argv[1:])
