"""Every scenario on every target: both frameworks' test clients, and both example sites under gunicorn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer

from .clients import DjangoCarrier, FlaskCarrier, HttpCarrier
from .scenarios import SCENARIOS, SETTINGS, Stage
from .servers import environment, gunicorn


@pytest.fixture(scope="module", params=["django", "flask"])
def served(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    env = environment(
        tmp_path_factory.mktemp(request.param),
        sandbox.dsn,
        {**SETTINGS, "store": _store(request.param, tmp_path_factory)},
    )
    with gunicorn(request.param, env) as url:
        yield Stage(lambda: HttpCarrier(url), sandbox)


def _store(framework: str, folder: pytest.TempPathFactory) -> str:
    return "orm:" if framework == "django" else f"sqlite:///{folder.mktemp('store')}/store.sqlite3"


@pytest.mark.parametrize("name", SCENARIOS)
def test_over_http(name: str, served: Stage) -> None:
    SCENARIOS[name](served)


@pytest.fixture
def django_client(sandbox: SandboxServer, settings: Any, transactional_db: None) -> Stage:
    channels = dict.fromkeys(("sms", "flash_call", "inbound_call"), sandbox.dsn)
    settings.PHONE_VERIFY = {**channels, **SETTINGS}
    settings.ALLOWED_HOSTS = ["*"]
    return Stage(DjangoCarrier, sandbox)


@pytest.mark.parametrize("name", SCENARIOS)
def test_through_djangos_client(name: str, django_client: Stage) -> None:
    SCENARIOS[name](django_client)


@pytest.fixture
def flask_client(sandbox: SandboxServer, tmp_path: Any) -> Stage:
    from .flask_adapter.sites import make

    channels = dict.fromkeys(("SMS", "FLASH_CALL", "INBOUND_CALL"), sandbox.dsn)
    config = {f"PHONE_VERIFY_{name}": value for name, value in channels.items()}
    config |= {f"PHONE_VERIFY_{name.upper()}": value for name, value in SETTINGS.items()}
    app = make(PHONE_VERIFY_STORE=f"sqlite:///{tmp_path}/store.sqlite3", **config).app
    return Stage(lambda: FlaskCarrier(app), sandbox)


@pytest.mark.parametrize("name", SCENARIOS)
def test_through_flasks_client(name: str, flask_client: Stage) -> None:
    SCENARIOS[name](flask_client)
