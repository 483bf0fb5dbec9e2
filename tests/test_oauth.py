"""An OAuth client signs users in on both example sites, over real HTTP: token, start, code, grant, resource."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
import urllib3

from phone_verify.testing.handsets import PhoneSandbox

from .oauth_journeys import CLIENT, GRANT, ME, SECRET, START, TOKEN
from .scenarios import SETTINGS
from .servers import environment, gunicorn, uvicorn, with_atomic_requests, with_quick_hashes
from .test_token_client import block

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
    with server(framework, _environment(framework, tmp_path_factory.mktemp(framework), sandbox)) as url:
        yield url


def _environment(framework: str, folder: Path, sandbox: PhoneSandbox) -> dict[str, str]:
    env = environment(framework, folder, sandbox.dsn, {**SETTINGS, "channels": "sms"})
    if framework == "django":  # which checks the secret of the client for each token
        env = with_quick_hashes(env, folder)
    return env | {"OAUTH_CLIENT": f"{CLIENT}:{SECRET}", "AUTHLIB_INSECURE_TRANSPORT": "1"}


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


def test_grant_works_inside_a_transaction_on_sqlite(sandbox: PhoneSandbox, tmp_path: Path) -> None:
    env = with_atomic_requests(_environment("django", tmp_path, sandbox), tmp_path)
    with gunicorn("django", env) as url:
        program, phone = Program(url), "+989121110006"
        code = _begun(program, sandbox, phone)
        wrong = "000000" if code != "000000" else "111111"
        for text, status in ((wrong, 400), (code, 200), (code, 400)):
            answer = program.token(grant_type=GRANT, mobile=phone, mobile_verification_code=text)
            assert answer[0] == status, answer


def test_expired_token_checks_nothing(url: str, sandbox: PhoneSandbox) -> None:
    """Both sites also accept tokens of users: one that is nobody's is refused, and uses no attempt."""
    program, phone = Program(url), "+989121110004"
    _, tokens = program.token(grant_type="client_credentials", scope="phone_verify")
    own, json_type = {"Authorization": f"Bearer {tokens['access_token']}"}, {"Content-Type": "application/json"}
    _, begun = program.send("POST", START, json.dumps({"phone": phone}).encode(), own | json_type)
    path, shown = f"{START}/{begun['id']}/check", json_type | {"Verification-Secret": begun["secret"]}
    guess = json.dumps({"code": sandbox.handset(phone).code()}).encode()
    for _ in range(6):
        status, problem = program.send("POST", path, guess, shown | {"Authorization": "Bearer no.token.of-anyone"})
        assert (status, problem["code"]) == (401, "not_signed_in")
    assert program.send("POST", path, guess, shown | own)[0] == 200


def test_user_of_an_expired_token_signs_in_again(url: str, sandbox: PhoneSandbox) -> None:
    client, phone = block("# client.py")["PhoneApi"](f"{url}/phone"), "+989121110005"
    user = client.sign_in(phone, lambda: sandbox.handset(phone).code())
    client.token = client.token[:-1]
    assert client.sign_in(phone, lambda: sandbox.handset(phone).code()) == user
    assert client.user() == user


@pytest.mark.race
def test_one_code_gives_one_token_to_twenty_requests(url: str, sandbox: PhoneSandbox) -> None:
    program, phone = Program(url), "+989121110002"
    code = _begun(program, sandbox, phone)

    def redeem(_: int) -> tuple[int, dict[str, str]]:
        return program.token(grant_type=GRANT, mobile=phone, mobile_verification_code=code)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(redeem, range(20)))
    assert [status for status, _ in answers].count(200) == 1
    assert {document["error"] for status, document in answers if status != 200} == {"invalid_grant"}


@pytest.mark.race
def test_guesses_in_parallel_do_not_exceed_the_attempts(url: str, sandbox: PhoneSandbox) -> None:
    program, phone = Program(url), "+989121110003"
    code = _begun(program, sandbox, phone)
    guesses = [f"{(int(code) + n) % 10 ** len(code):0{len(code)}}" for n in range(1, 21)]

    def guess(text: str) -> tuple[int, dict[str, str]]:
        return program.token(grant_type=GRANT, mobile=phone, mobile_verification_code=text)

    with ThreadPoolExecutor(20) as pool:
        assert {status for status, _ in pool.map(guess, guesses)} == {400}
    assert guess(code)[1]["error"] == "invalid_grant", "no attempt is left"
