"""The scenarios of both adapters, through Django's test clients and against the sandbox."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer
from tests.clients import AsyncDjangoCarrier, DjangoCarrier
from tests.scenarios import SCENARIOS, SETTINGS, Stage
from tests.token_scenarios import TOKEN_SCENARIOS

ALL = {**SCENARIOS, **TOKEN_SCENARIOS}


@pytest.fixture(
    params=[
        pytest.param(DjangoCarrier, id="wsgi"),
        pytest.param(AsyncDjangoCarrier, id="asgi", marks=pytest.mark.slow),
    ]
)
def stage(
    request: pytest.FixtureRequest,
    sandbox: SandboxServer,
    settings: Any,
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    # tests/test_scenarios.py waits for the second poll, as a visitor does.
    monkeypatch.setattr("phone_verify.lifecycle.POLL_INTERVAL", timedelta(0))
    channels = dict.fromkeys(("sms", "flash_call", "inbound_call"), sandbox.dsn)
    tokens = {"token": "tests.site_tokens.make", "user_for_token": "tests.site_tokens.django_user"}
    settings.PHONE_VERIFY = {**channels, **SETTINGS, **tokens}
    return Stage(request.param, sandbox)


@pytest.mark.parametrize("name", ALL)
def test_scenario(name: str, stage: Stage) -> None:
    ALL[name](stage)
