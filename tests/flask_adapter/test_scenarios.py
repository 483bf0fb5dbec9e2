"""The scenarios of both adapters, against Flask and the sandbox, over the default store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask_login import LoginManager, current_user

from phone_verify.sandbox import SandboxServer
from phone_verify_flask import PhoneVerify
from tests import site_tokens
from tests.clients import FlaskCarrier
from tests.flask_adapter.sites import KEY, Made
from tests.scenarios import SCENARIOS, SETTINGS, Stage
from tests.token_scenarios import TOKEN_SCENARIOS

ALL = {**SCENARIOS, **TOKEN_SCENARIOS}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture(scope="module")
def stage(sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    folder: Path = tmp_path_factory.mktemp("instance")
    app = Flask("site", instance_path=str(folder / "made by us"))
    app.config["SECRET_KEY"] = KEY
    for name, value in SETTINGS.items():
        app.config[f"PHONE_VERIFY_{name.upper()}"] = value
    for channel in ("SMS", "FLASH_CALL", "INBOUND_CALL"):
        app.config[f"PHONE_VERIFY_{channel}"] = sandbox.dsn
    made = Made(app)
    LoginManager(app).user_loader(made.load)
    phone_verify = PhoneVerify(app)
    phone_verify.user_for_phone(made.find_or_make)
    phone_verify.set_phone_for_user(made.set_phone)
    phone_verify.token_for_user(site_tokens.make)
    phone_verify.user_for_token(made.user_for_token)

    @app.get("/")
    def home() -> str:
        return str(current_user.phone) if current_user.is_authenticated else "nobody"

    return Stage(lambda: FlaskCarrier(app), sandbox)


@pytest.mark.parametrize("scenario", ALL.values(), ids=ALL.keys())
def test_scenario(scenario: Callable[[Stage], None], stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # tests/test_scenarios.py waits for the second poll, as a visitor does.
    monkeypatch.setattr("phone_verify.lifecycle.POLL_INTERVAL", timedelta(0))
    scenario(stage)
