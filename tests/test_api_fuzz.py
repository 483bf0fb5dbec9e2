"""Fuzzing of the API: requests generated from its description, valid and invalid, at both example sites over real HTTP.

Every response must be documented: no 5xx, no undocumented refusal, no body of another form. An existing id and secret
are mixed into the generated values, so that the requests get past the first refusal. `PHONE_VERIFY_ROUNDS` generates
more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings

from phone_verify.api.openapi import openapi
from phone_verify.sandbox import SandboxServer

from .clients import Browser, HttpCarrier
from .scenarios import SETTINGS, Stage, start
from .servers import environment, gunicorn

EXAMPLES = 15 * int(os.environ.get("PHONE_VERIFY_ROUNDS", "1"))
#: What holds for every answer.
CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
#: The operations as Schemathesis names them.
LABELS = [
    f"{method.upper()} {path}"
    for path, calls in openapi()["paths"].items()
    for method in calls
    if method != "parameters"
]
FIRE = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # each request costs a round trip: the failing one is shown as generated
    suppress_health_check=list(HealthCheck),
)

pytestmark = pytest.mark.fuzz


@pytest.fixture(scope="module", params=["django", "flask"])
def stage(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    more = {
        "sends_per_hour": "0",
        "max_attempts": "10",
        "max_failures": "100",
        "webhook_secret": "a-secret-of-webhooks-0123456789",
    }
    data = tmp_path_factory.mktemp(request.param)
    more["ledger"] = f"sqlite:///{data / 'services.sqlite3'}"
    with gunicorn(request.param, environment(request.param, data, sandbox.dsn, {**SETTINGS, **more})) as url:
        yield Stage(lambda: HttpCarrier(url), sandbox)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@cache
def operations() -> dict[str, Any]:
    """What the description allows, by its label."""
    # Not above: a run that leaves these tests out collects them too, and this import takes seconds.
    import schemathesis

    found = schemathesis.openapi.from_dict(openapi()).get_all_operations()
    return {operation.ok().label: operation.ok() for operation in found}


def drawn(label: str, mode: str) -> Any:
    """Requests for one operation, by the description or against it."""
    from schemathesis.generation import GenerationMode

    return operations()[label].as_strategy(GenerationMode(mode))


def fire(case: Any, stage: Stage, session: requests.Session, *more: str) -> int:
    """The status of the answer to this request, which must be as described."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    carrier = stage.carrier()
    assert isinstance(carrier, HttpCarrier)
    answer = case.call(base_url=f"{carrier.base_url}/phone", session=session)
    named = [getattr(checks, name) for name in (*CHECKS, *more)]
    case.validate_response(answer, checks=[not_a_server_error, *named])
    return int(answer.status_code)


@pytest.mark.parametrize("label", LABELS)
def test_valid_requests_get_documented_responses(label: str, stage: Stage, session: requests.Session) -> None:
    @FIRE
    @given(case=drawn(label, "positive"))
    def run(case: Any) -> None:
        fire(case, stage, session)

    run()


@pytest.mark.parametrize("label", [label for label in LABELS if label.startswith("POST /v1")])
def test_invalid_requests_get_documented_refusals(label: str, stage: Stage, session: requests.Session) -> None:
    @FIRE
    @given(case=drawn(label, "negative"))
    def run(case: Any) -> None:
        fire(case, stage, session, "negative_data_rejection")

    run()


@pytest.mark.parametrize("channel", ["sms", "flash_call", "inbound_call"])
@pytest.mark.parametrize(
    ("label", "mode"),
    [(label, "positive") for label in LABELS if "{id}" in label]
    + [(label, "negative") for label in LABELS if label.startswith("POST") and "{id}/" in label],
)
def test_existing_verification_survives_fuzzing(
    label: str, channel: str, mode: str, stage: Stage, session: requests.Session
) -> None:
    """No generated request verifies it or gets an undocumented response."""
    browser: Browser = stage.browser()
    begun = start(browser, stage.phone(), channel=channel)

    @FIRE
    @given(case=drawn(label, mode))
    def run(case: Any) -> None:
        case.path_parameters = {"id": begun["id"]}
        case.headers = {**(case.headers or {}), "Verification-Secret": begun["secret"]}
        assert fire(case, stage, session) != 404

    run()
    answer = browser.call("GET", f"v1/verifications/{begun['id']}")
    assert answer.json()["proof"] is None
