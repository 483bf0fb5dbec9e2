"""Three hundred steps on both example sites, under WSGI and ASGI: the same responses to each, over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

import pytest

from phone_verify.api.openapi import openapi
from phone_verify.sandbox import SandboxServer

from .clients import HttpCarrier
from .servers import environment, gunicorn, uvicorn
from .transcript import Step, settings, told

pytestmark = pytest.mark.slow

TARGETS = {"django": gunicorn, "django-asgi": uvicorn, "flask": gunicorn, "flask-asgi": uvicorn}
_FIRST = "django"
#: Tested elsewhere: they need a store outage, an old session, a refused user, a second factor, a server of another
#: kind, a provider that signs, a key that names a request, or an access key.
_NOT_TOLD = {
    "unavailable",
    "internal_error",
    "reauthentication_required",
    "login_refused",
    "mfa_required",
    "send_refused",
    "not_acceptable",
    "invalid_signature",
    "idempotency_mismatch",
    "invalid_key",
    "service_suspended",
    "key_in_browser",
    "key_not_accepted",
    "wrong_service",
    "channel_not_allowed",
}


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Sequence[Step]]:
    """Return the responses of each site, by name. All run in parallel, each with its phone network and databases."""
    folders = {name: tmp_path_factory.mktemp(name) for name in TARGETS}
    with ThreadPoolExecutor(len(TARGETS)) as players:
        return dict(zip(folders, players.map(_played, folders, folders.values()), strict=True))


def _played(name: str, folder: Path) -> Sequence[Step]:
    framework = name.partition("-")[0]
    try:
        with SandboxServer() as network:
            env = environment(framework, folder, network.dsn, settings(network))
            with TARGETS[name](framework, env) as url:
                return told(lambda: HttpCarrier(url), network)
    except AssertionError as error:
        error.add_note(f"on {name}")
        raise


@pytest.mark.parametrize("name", [name for name in TARGETS if name != _FIRST])
def test_transcripts_match_on_every_target(transcripts: Mapping[str, Sequence[Step]], name: str) -> None:
    for one, other in zip_longest(transcripts[_FIRST], transcripts[name]):
        assert one == other, f"\n{_FIRST}: {one}\n\n{name}: {other}"


def test_transcript_covers_every_call_and_refusal(transcripts: Mapping[str, Sequence[Step]]) -> None:
    steps, description = transcripts[_FIRST], openapi()
    assert len(steps) >= 100
    for path, calls in description["paths"].items():
        if path.endswith(("/events", "/redeem", "/metrics")):
            # Depends on the server: tests/test_event_streams.py; on a key: tests/test_access_keys.py; on a token for
            # metrics: tests/test_prometheus.py.
            continue
        pattern = re.sub(r"\\\{\w+\\\}", "[^ /]+", re.escape(path.lstrip("/").removeprefix("phone/")))
        for method in calls.keys() & {"get", "post", "put", "delete"}:
            asked = re.compile(rf"\d+\. {method.upper()} {pattern}( |\Z)")
            answered = {step.status for step in steps if asked.match(step.asked)}
            assert answered & {200, 201, 204}, (method, path)
            assert path.endswith(("openapi.json", "health", "ready")) or any(status >= 400 for status in answered), (
                method,
                path,
            )
    codes = set(description["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    seen = {code for step in steps for code in re.findall(r'"code": "(\w+)"', step.body)}
    assert codes - seen == _NOT_TOLD
