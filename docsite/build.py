"""The strict build: stage, render, check."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from . import links
from .blocks import ROOT, stale
from .staging import stage

TARGET = ROOT / "build" / "docs"


def build() -> int:
    """Build the site; return the exit status. A stale table, a warning or a broken link fails the build."""
    begin = time.monotonic()
    if pages := stale():
        return _failed([f"{page}: a table differs from the code; run: python -m docsite tables" for page in pages])
    stage(TARGET / "pages")
    environment = {
        **os.environ,
        "NO_MKDOCS_2_WARNING": "1",  # docs/decisions says why this version stays
    }
    # Not `--quiet`: it drops warnings before `--strict` counts them.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(TARGET / "site")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return _failed([done.stdout + done.stderr])
    if found := links.problems(TARGET / "site"):
        return _failed(found)
    count = len(list((TARGET / "site").rglob("*.html")))
    _say(f"{count} pages in {time.monotonic() - begin:.0f} s: {_shown(TARGET / 'site')}/index.html")
    return 0


def _failed(lines: list[str]) -> int:
    _say("\n".join(lines))
    return 1


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
