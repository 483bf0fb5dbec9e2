"""An OAuth client signs users in on both example sites, over real HTTP: token, start, code, grant, resource."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
import urllib3

from phone_verify.testing.handsets import PhoneSandbox

from .oauth_journeys import CLIENT, GRANT, ME, SECRET, START, TOKEN
from .scenarios import SETTINGS
from .servers import environment, gunicorn, uvicorn

TARGETS = [
    pytest.param(("django", gunicorn), id="django"),
    pytest.param(("flask", gunicorn), id="flask"),
    pytest.param(("django", uvicorn), id="django-asgi"),
]
pytestmark = pytest.mark.timeout(240)
pytest.importorskip("oauth2_provider")
pytest.importorskip("authlib")


class Program:
    """A client without cookies, which knows only the URL and its credentials."""

    def __init__(self, url: str) -> None:
        self._url, self._pool = url, urllib3.PoolManager(maxsize=30)

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str]]:
        answer = self._pool.request(method, self._url + path, body=body, headers=headers, timeout=60, retries=False)
        return answer.status, json.loads(answer.data)

    def token(self, **form: str) -> tuple[int, dict[str, str]]:
        headers = {
            "Authorization": f"Basic {b64encode(f'{CLIENT}:{SECRET}'.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return self.send("POST", TOKEN, urlencode(form).encode(), headers)

    def start(self, phone: str, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self.send("POST", START, json.dumps({"phone": phone}).encode(), headers)[0]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[PhoneSandbox]:
    with PhoneSandbox() as phones:
        yield phones


@pytest.fixture(scope="module", params=TARGETS)
def url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sandbox: PhoneSandbox
) -> Iterator[str]:
    framework, server = request.param
    env = environment(framework, tmp_path_factory.mktemp(framework), sandbox.dsn, {**SETTINGS, "channels": "sms"})
    env |= {"OAUTH_CLIENT": f"{CLIENT}:{SECRET}", "AUTHLIB_INSECURE_TRANSPORT": "1"}
    with server(framework, env) as url:
        yield url


def _begun(program: Program, sandbox: PhoneSandbox, phone: str) -> str:
    """Start a verification with the client's own token; return the code that the handset receives."""
    status, tokens = program.token(grant_type="client_credentials", scope="phone_verify")
    assert status == 200, tokens
    assert program.start(phone, tokens["access_token"]) == 201
    return sandbox.handset(phone).code()


def test_oauth_client_signs_a_user_in(url: str, sandbox: PhoneSandbox) -> None:
    program, phone = Program(url), "+989121110001"
    code = _begun(program, sandbox, phone)
    status, tokens = program.token(grant_type=GRANT, mobile=phone, mobile_verification_code=code, scope="profile")
    assert status == 200, tokens
    me = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert program.send("GET", ME, headers=me) == (200, {"phone": phone})
    assert program.start(phone, tokens["access_token"]) == 401, "a user's token starts nothing"
    assert program.start(phone, "no token of anyone") == 401


def test_one_code_gives_one_token_to_twenty_requests(url: str, sandbox: PhoneSandbox) -> None:
    program, phone = Program(url), "+989121110002"
    code = _begun(program, sandbox, phone)

    def redeem(_: int) -> tuple[int, dict[str, str]]:
        return program.token(grant_type=GRANT, mobile=phone, mobile_verification_code=code)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(redeem, range(20)))
    assert [status for status, _ in answers].count(200) == 1
    assert {document["error"] for status, document in answers if status != 200} == {"invalid_grant"}


def test_guesses_in_parallel_do_not_exceed_the_attempts(url: str, sandbox: PhoneSandbox) -> None:
    program, phone = Program(url), "+989121110003"
    code = _begun(program, sandbox, phone)
    guesses = [f"{(int(code) + n) % 10 ** len(code):0{len(code)}}" for n in range(1, 21)]

    def guess(text: str) -> tuple[int, dict[str, str]]:
        return program.token(grant_type=GRANT, mobile=phone, mobile_verification_code=text)

    with ThreadPoolExecutor(20) as pool:
        assert {status for status, _ in pool.map(guess, guesses)} == {400}
    assert guess(code)[1]["error"] == "invalid_grant", "no attempt is left"
