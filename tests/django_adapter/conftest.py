"""Django for these tests: its settings, and a site without a network and with a manual clock."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.test import Client

from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport
from tests.clients import AsyncDjangoCarrier, Browser, DjangoCarrier
from tests.django_adapter import settings as chosen
from tests.django_adapter.databases import make_tables, registered, settings_of
from tests.stores import servers

PHONE = "+989120000000"

if not settings.configured:
    # DJANGO_SETTINGS_MODULE would be inherited by the processes that other tests start.
    settings.configure(**{name: value for name, value in vars(chosen).items() if name.isupper()})
    django.setup()


@dataclass
class Network:
    """A fake phone network."""

    transport: FakeTransport = field(default_factory=FakeTransport)
    clock: ManualClock = field(default_factory=ManualClock)

    @property
    def sent(self) -> int:
        """Return the number of messages sent."""
        return len(self.transport.notices)

    @property
    def code(self) -> str:
        """Return the code in the newest message."""
        found = re.search(r"\b[0-9]{4,6}\b", self.transport.notices[-1].text)
        assert found
        return found.group()

    @property
    def wrong(self) -> str:
        """Return a different code."""
        return str((int(self.code) + 1) % 10**6).zfill(6)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PHONE_VERIFY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def network() -> Iterator[Network]:
    from phone_verify_django.testing import override

    network = Network()
    with override(transport=network.transport, clock=network.clock):
        yield network


#: Through the test clients: what works under WSGI is repeated under ASGI.
CARRIERS = (pytest.param(DjangoCarrier, id="wsgi"), pytest.param(AsyncDjangoCarrier, id="asgi", marks=pytest.mark.slow))


@pytest.fixture(params=CARRIERS)
def visitor(request: pytest.FixtureRequest, network: Network) -> Browser:
    """A browser with cookies, on a site with CSRF checks, under either kind of server."""
    return Browser(request.param())


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Set `PHONE_VERIFY` to these settings."""

    def set_to(**values: object) -> None:
        settings.PHONE_VERIFY = values

    return set_to


@pytest.fixture
def file_options() -> dict[str, Any]:
    """Return the options of `orm_file`."""
    return {"init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF"}


@pytest.fixture
def orm_file(
    request: pytest.FixtureRequest, file_options: dict[str, Any], tmp_path: Path, django_db_blocker: Any
) -> Iterator[str]:
    """The alias of a separate SQLite file with the tables of the module's MODELS."""
    own = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "own.sqlite3", "OPTIONS": file_options}
    with registered("own", own, django_db_blocker) as alias:
        make_tables(alias, request.module.MODELS)
        yield alias


@pytest.fixture(scope="module", params=servers.PARAMETERS)
def orm_database(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[str]:
    """The URL of a separate database of this run on a server, with the tables of the module's MODELS."""
    with servers.database(request.param) as url:
        with registered("own", settings_of(url), django_db_blocker) as alias:
            make_tables(alias, request.module.MODELS)
        yield url


@pytest.fixture
def orm_server(request: pytest.FixtureRequest, orm_database: str, django_db_blocker: Any) -> Iterator[str]:
    """The alias of `orm_database`, with empty tables."""
    with registered("own", settings_of(orm_database), django_db_blocker) as alias:
        for model in request.module.MODELS:
            model._default_manager.using(alias).all().delete()
        yield alias


@pytest.fixture
def client() -> Client:
    """A client of a single process, as the memory store requires."""
    return Client(**{"wsgi.multiprocess": False})  # type: ignore[arg-type]


def verified(visitor: Browser, network: Network, phone: str = PHONE, **fields: str) -> dict[str, Any]:
    """Return a finished verification by this visitor, with its proof."""
    begun = visitor.call("POST", "v1/verifications", {"phone": phone, **fields})
    assert begun.status == 201, begun.text
    done = visitor.call("POST", f"v1/verifications/{begun.json()['id']}/check", {"code": network.code})
    assert done.status == 200, done.text
    document = done.json()
    assert isinstance(document, dict)
    return document
