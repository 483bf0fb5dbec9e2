"""New Django projects from a page of the documentation: its code blocks are their files."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tests import forks

ROOT = Path(__file__).parents[2]
#: The package of every project's settings and root URLconf.
NAME = "shop"
#: Blocks of these files are appended to the files that `startproject` creates.
GROWN = (f"{NAME}/settings.py", f"{NAME}/urls.py")

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"(?:# |<!-- )(\S+\.\w+)(?: -->)?\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block; `name` is the file named in its first line, or None."""

    language: str
    name: str | None
    text: str


def section(page: str, heading: str) -> str:
    """One section of a page of the documentation."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def blocks(text: str) -> list[Block]:
    """Return the code blocks, in order."""
    found = []
    for language, body in _BLOCK.findall(text):
        named = _NAMED.fullmatch(body)
        found.append(Block(language, named[1], named[2]) if named else Block(language, None, body))
    return found


def files(text: str) -> list[tuple[str, str]]:
    """Return the code blocks that are files: names and texts, in order."""
    return [(block.name, block.text) for block in blocks(text) if block.name is not None]


def start(folder: Path) -> None:
    """What `django-admin startproject shop .` makes in an empty folder; hashing passwords takes no time there."""
    command = [sys.executable, "-m", "django", "startproject", NAME, str(folder)]
    forks.run(command, timeout=60).check_returncode()
    write(folder, GROWN[0], '\nPASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]\n')


def write(folder: Path, name: str, text: str) -> None:
    """Write a file; append to settings and URLs."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if name in GROWN else "w", encoding="utf-8") as file:
        file.write(text)
