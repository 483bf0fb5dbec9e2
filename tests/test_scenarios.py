"""Every scenario over real HTTP, on both example sites in their production setup.

Under gunicorn with two workers, and under uvicorn: Django's own ASGI, Flask by asgiref's adapter.

`django_adapter/test_scenarios.py` and `flask_adapter/test_scenarios.py` run the same ones through the frameworks' test
clients.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phone_verify.sandbox import SandboxServer

from .clients import HttpCarrier
from .scenarios import SCENARIOS, SETTINGS, Stage
from .servers import environment, gunicorn, uvicorn
from .token_scenarios import TOKEN_SCENARIOS

ALL = {**SCENARIOS, **TOKEN_SCENARIOS}

TARGETS = [
    pytest.param(("django", gunicorn), id="django"),
    pytest.param(("flask", gunicorn), id="flask"),
    pytest.param(("django", uvicorn), id="django-asgi"),
    pytest.param(("flask", uvicorn), id="flask-asgi"),
]


@pytest.fixture(scope="module", params=TARGETS)
def stage(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    framework, server = request.param
    data = tmp_path_factory.mktemp(framework)
    with server(framework, environment(framework, data, sandbox.dsn, SETTINGS)) as url:
        yield Stage(lambda: HttpCarrier(url), sandbox)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_scenario(name: str, stage: Stage) -> None:
    ALL[name](stage)
