"""docs/access_keys.md: a program that has only a key and the API's description verifies phones by every channel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phone_verify.sandbox import SandboxServer
from tests import forks
from tests.clients import Browser, HttpCarrier
from tests.django_adapter.projects import blocks
from tests.scenarios import SETTINGS, Stage, wrong
from tests.servers import FOLDERS, environment, gunicorn

from .conftest import ROOT, run
from .test_generated_clients import command_of, source_of

PAGE = blocks((ROOT / "docs" / "access_keys.md").read_text("utf-8"))
CHANNELS = ("sms", "flash_call", "inbound_call", "voice", "telegram", "whatsapp")
_SITES = {"django": ["--django", "settings"], "flask": ["--flask", "wsgi:application"]}
#: A program around `verify`: it asks for the code and shows the number to call on its output.
TERMINAL = """
import sys
from verify import verify

def ask(digits):
    print("code", digits, flush=True)
    return input()

def show(number):
    print("call", number, flush=True)

try:
    print(verify(*sys.argv[1:], ask, show))
except RuntimeError as error:
    print(error)
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """An example site with every channel: yields its URL and a key."""
    folder, framework = tmp_path_factory.mktemp(request.param), request.param
    settings = {**SETTINGS, **dict.fromkeys(CHANNELS, sandbox.dsn), "ledger": f"sqlite:///{folder / 'keys.sqlite3'}"}
    env = environment(framework, folder, sandbox.dsn, settings)
    words = [sys.executable, "-m", "phone_verify", "keys", "create", *_SITES[framework], "Generated client"]
    path = os.pathsep.join([str(FOLDERS[framework]), str(ROOT)])
    with gunicorn(framework, env) as url:
        assert Browser(HttpCarrier(url)).call("GET", "v1/health").status == 200
        made = forks.run(words, cwd=FOLDERS[framework], env={**env, "PYTHONPATH": path}, timeout=60)
        assert made.returncode == 0, made.stderr
        yield url, made.stdout.strip()


@pytest.fixture(scope="module")
def client(site: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page's program and of the client generated for it."""
    folder = tmp_path_factory.mktemp("client")
    # The generator formats its files with ruff, which it calls by name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    generate = command_of(PAGE, "openapi-python-client", site[0])
    assert "Warning" not in run([sys.executable, "-m", "openapi_python_client", *generate], folder, PATH=path)
    source_of([block for block in PAGE if block.name == "verify.py"], folder)
    (folder / "main.py").write_text(TERMINAL)
    return folder


def converse(client: Path, site: tuple[str, str], phone: str, channel: str, act: Callable[[str, str], str]) -> str:
    """Run the program; `act` receives each of its lines and returns the answer. Return the last line."""
    pipe, last = subprocess.PIPE, ""
    command = [sys.executable, "main.py", f"{site[0]}/phone", site[1], phone, channel]
    with subprocess.Popen(command, cwd=client, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for line in running.stdout:
            last = line.strip()
            word, _, rest = last.partition(" ")
            if word in ("code", "call") and (answer := act(word, rest)):
                running.stdin.write(f"{answer}\n")
                running.stdin.flush()
    return last


@pytest.fixture
def stage(sandbox: SandboxServer) -> Stage:
    return Stage(lambda: HttpCarrier("http://nobody.invalid"), sandbox)


@pytest.mark.parametrize("channel", CHANNELS)
def test_generated_client_verifies(client: Path, site: tuple[str, str], stage: Stage, channel: str) -> None:
    phone, asked = stage.phone(), 0

    def act(word: str, rest: str) -> str:
        nonlocal asked
        asked += 1
        if word == "call":
            stage.dial(phone, rest)
            return ""
        code = stage.code(phone)
        assert len(code) == int(rest)
        return code if asked == 2 else wrong(code)

    assert converse(client, site, phone, channel, act) == "True"
    assert asked == (1 if channel == "inbound_call" else 2)


def test_generated_client_reports_refusals(client: Path, site: tuple[str, str], stage: Stage) -> None:
    url, key = site
    phone = stage.phone()
    assert converse(client, site, phone, "sms", lambda *_: wrong(stage.code(phone))) == "False"
    assert converse(client, (url, f"{key[:-1]}!"), stage.phone(), "sms", lambda *_: "") == "invalid_key"
    assert converse(client, site, "12", "sms", lambda *_: "") == "invalid_phone"
