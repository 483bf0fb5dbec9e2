"""docs/tokens.md, "A client": the block runs against both example sites over real HTTP, without cookies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phone_verify.sandbox import SandboxServer

from .clients import HttpCarrier
from .conftest import FENCED
from .scenarios import SETTINGS, Stage
from .servers import FOLDERS, environment, gunicorn

PAGE = (Path(__file__).parents[1] / "docs" / "tokens.md").read_text("utf-8")
#: Prints a token of user 1 for another audience, signed with the site's own key.
FOREIGN = {
    "django": ["manage.py", "shell", "-v", "0", "-c"],
    "flask": ["-c"],
}
SIGN = {
    "django": (
        "import tokens\nfrom django.core import signing\n"
        "print(signing.dumps({'sub': '1', 'aud': 'another', 'auth_time': 1}, salt=tokens.AUDIENCE))"
    ),
    "flask": (
        "import tokens, wsgi\nwith wsgi.application.app_context():\n"
        " print(tokens.serializer().dumps({'sub': '1', 'aud': 'another', 'auth_time': 1}))"
    ),
}


def block(first_line: str) -> dict[str, Any]:
    """Run the code block that begins with this line, and return its names."""
    [text] = [text for text in FENCED.findall(PAGE) if text.startswith(first_line)]
    names: dict[str, Any] = {}
    exec(compile(text, first_line, "exec"), names)
    return names


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stage, str, str]]:
    """The stage, the URL, and a token for another audience."""
    env = environment(request.param, tmp_path_factory.mktemp(request.param), sandbox.dsn, SETTINGS)
    with gunicorn(request.param, env) as url:
        command = [sys.executable, *FOREIGN[request.param], SIGN[request.param]]
        done = subprocess.run(
            command, cwd=FOLDERS[request.param], env=env, capture_output=True, text=True, timeout=60, check=True
        )
        yield Stage(lambda: HttpCarrier(url), sandbox), url, done.stdout.split()[-1]


def code_of(stage: Stage, phone: str) -> Callable[[], str]:
    return lambda: stage.code(phone)


@pytest.mark.parametrize(
    "token", ["a.b", {"access": "a.b", "refresh": "c.d"}, {"access_token": "a.b", "expires_in": 60}]
)
def test_client_of_the_guide_reads_each_form_of_token(token: object) -> None:
    assert block("# client.py")["text_of"](token) == "a.b"


@pytest.mark.slow
def test_client_of_the_guide_signs_in_and_changes_the_number(site: tuple[Stage, str, str]) -> None:
    stage, url, foreign = site
    names = block("# client.py")
    client, error = names["PhoneApi"](f"{url}/phone"), names["ApiError"]
    phone, new = stage.phone(), stage.phone()
    with pytest.raises(error) as caught:
        client.user()
    assert caught.value.code == "not_signed_in"
    user = client.sign_in(phone, code_of(stage, phone))
    assert user["phone"] == phone
    assert client.user() == user
    assert client.set_number(phone, code_of(stage, phone), "confirm") == user
    assert client.set_number(new, code_of(stage, new)) == {**user, "phone": new}
    assert client.user()["phone"] == new
    for token in (foreign, client.token[:-1], client.token.swapcase()):
        client.token = token
        with pytest.raises(error) as caught:
            client.user()
        assert caught.value.code == "not_signed_in"
    other = names["PhoneApi"](f"{url}/phone")
    assert other.sign_in(new, code_of(stage, new))["id"] == user["id"]
