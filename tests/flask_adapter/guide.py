"""The pages of the documentation for Flask as a folder and a terminal: their files, and their commands in order."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import BARE
from tests.servers import _await

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "flask.md").read_text("utf-8")
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
NAME = re.compile(r"(?:# |\{# )([\w/]+\.(?:py|html))(?: #\})?(, before `return app`)?\n")
BLOCKS: list[tuple[str, str]] = _BLOCK.findall(GUIDE)
COMMANDS = [text for language, text in BLOCKS if language == "sh"]
[GROWTH] = re.findall(r"^## From an empty folder to production\n(.*?)^## ", GUIDE, re.DOTALL | re.MULTILINE)
STEPS = GROWTH.split("\n### ")[1:]
#: Commands that the tests start and stop themselves, or whose work the environment of the tests has done.
NOT_TYPED = ("flask run", "phone-verify sandbox", "pip install", "python3 -m venv", ". .venv", "gunicorn")


def block(word: str) -> list[str]:
    """Return the commands that contain this word."""
    [found] = [text for text in COMMANDS if word in text]
    return found.splitlines()


def section(heading: str) -> str:
    """Return the section of the page with this heading."""
    return GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


class Folder:
    """The folder of the guide, and the environment of its terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        ours = ("PHONE_VERIFY_", "SECRET_KEY", "DATABASE_URL", "FLASK_", "PYTEST_", "COVERAGE_")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        # The commands are those of the environment in which the tests run.
        self.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.env['PATH']}"
        self.env |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(path)}
        self.env["PYTEST_ADDOPTS"] = " ".join(BARE)

    def follow(self, text: str, typed: bool = True) -> None:
        """Write the files of a part of the guide, and type its commands."""
        for language, body in _BLOCK.findall(text):
            if named := NAME.match(body):
                self._write(named[1], body, inserted=named[2] is not None)
            elif language == "sh" and typed:
                self.run([line for line in body.splitlines() if not line.startswith(NOT_TYPED)])

    def _write(self, name: str, text: str, *, inserted: bool) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if inserted:
            before, end = path.read_text().split("    return app")
            text = f"{before}{text.partition(chr(10))[2]}    return app{end}"
        path.write_text(text)

    def run(self, lines: list[str]) -> str:
        """Run lines as a shell does; exported variables are kept for the next ones."""
        script = "set -e\n" + "\n".join(lines) + "\nenv -0 > .environment\n"
        done = subprocess.run(["sh", "-c", script], cwd=self.path, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        written = (self.path / ".environment").read_bytes().decode().split("\0")
        self.env |= dict(line.split("=", 1) for line in written if line)
        return done.stdout + done.stderr

    @property
    def log(self) -> str:
        """What the server has printed."""
        return (self.path / "log").read_text()

    @contextmanager
    def serving(self, command: str, port: int) -> Iterator[str]:
        """Run a serving command of the guide on a free port; yield its URL."""
        words = shlex.split(re.sub(r":?\b(5000|8000)\b", lambda found: found[0].replace(found[1], str(port)), command))
        if words[0] == "gunicorn":
            words += ["--graceful-timeout", "1", "--log-level", "warning"]
        elif str(port) not in words:
            words += ["--port", str(port)]
        with (self.path / "log").open("w") as log:
            server = subprocess.Popen(words, cwd=self.path, env=self.env, stderr=log, text=True)
            try:
                _await(server, port)
                yield f"http://127.0.0.1:{port}"
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(timeout=20)
        sys.stderr.write(self.log)
