"""What the cookbook's pages need: an example site on each framework, and the packages of `package.json`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from phone_verify.sandbox import SandboxServer
from tests.clients import HttpCarrier
from tests.conftest import missing
from tests.scenarios import SETTINGS, Stage
from tests.servers import environment, gunicorn

ROOT = Path(__file__).parents[2]
PACKAGES = Path(__file__).parent / "package.json"


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An example site with four channels: yields its URL."""
    settings = {**SETTINGS, "telegram": sandbox.dsn, "sends_per_hour_per_prefix": "0"}
    env = environment(request.param, tmp_path_factory.mktemp(request.param), sandbox.dsn, settings)
    with gunicorn(request.param, env) as url:
        yield url


@pytest.fixture
def stage(sandbox: SandboxServer) -> Stage:
    """Numbers of this test, and the display of their handsets."""
    return Stage(lambda: HttpCarrier("http://nobody.invalid"), sandbox)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The packages of `package.json`, installed once for each of its versions."""
    npm = program("npm")
    key = hashlib.sha256(PACKAGES.read_bytes()).hexdigest()[:12]
    kept = ROOT / "build" / f"npm-{key}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        # In a folder of this process, then renamed: of several workers one is first, and none sees half of it.
        folder = Path(tempfile.mkdtemp(dir=kept.parent, prefix="npm-"))
        shutil.copy(PACKAGES, folder)
        command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150)
        if done.returncode:
            shutil.rmtree(folder)
            missing("a package of tests/cookbook/package.json")
        try:
            folder.rename(kept)
        except OSError:
            shutil.rmtree(folder)
    return kept / "node_modules"


def program(name: str) -> str:
    """Return the path of a program of the system."""
    found = shutil.which(name)
    if found is None:
        missing(name)
    return found or ""


def run(command: list[str], folder: Path, **more: str) -> str:
    """Run a command in this folder with these additions to the environment; return what it printed."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=150, env={**os.environ, **more}, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
