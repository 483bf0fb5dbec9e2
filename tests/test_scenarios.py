"""Every scenario over real HTTP, on both example sites as they run in production: under gunicorn with two workers.

`django_adapter/test_scenarios.py` and `flask_adapter/test_scenarios.py` run the same ones through the frameworks' test
clients.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phone_verify.sandbox import SandboxServer

from .clients import HttpCarrier
from .scenarios import SCENARIOS, SETTINGS, Stage
from .servers import environment, gunicorn


@pytest.fixture(scope="module", params=["django", "flask"])
def stage(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    data = tmp_path_factory.mktemp(request.param)
    with gunicorn(request.param, environment(request.param, data, sandbox.dsn, SETTINGS)) as url:
        yield Stage(lambda: HttpCarrier(url), sandbox)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str, stage: Stage) -> None:
    SCENARIOS[name](stage)
