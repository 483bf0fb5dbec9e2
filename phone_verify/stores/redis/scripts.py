"""The Lua scripts, by the names of the verbs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files

from ... import lifecycle, model, policy
from ..base import SWEPT_PER_START

#: The numbers of the Python rules, under the names that the scripts use; durations in microseconds.
_NUMBERS = {
    "CLOCK_SLACK": model.CLOCK_SLACK,
    "FAILURE_MEMORY": policy.FAILURE_MEMORY,
    "HARD_LIFE": policy.HARD_LIFE,
    "HARD_RESEND_DELAY": policy.HARD_RESEND_DELAY,
    "LINE_REST": lifecycle.LINE_REST,
    "MOST_FREED": lifecycle._MOST_FREED,
    "POLL_INTERVAL": lifecycle.POLL_INTERVAL,
    "PROOF_LIFE": lifecycle.PROOF_LIFE,
    "SWEPT_PER_START": SWEPT_PER_START,
}


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name under which a server that has seen it knows it again."""

    text: bytes
    sha: bytes


@cache
def scripts() -> Mapping[str, Script]:
    """Every script by its verb; read once."""
    folder = files(__package__) / "scripts"
    lua = {file.name.removesuffix(".lua"): file.read_text("utf-8") for file in folder.iterdir()}
    numbers = {
        name: number // timedelta(microseconds=1) if isinstance(number, timedelta) else number
        for name, number in _NUMBERS.items()
    }
    head = "".join(f"local {name} = {number}\n" for name, number in numbers.items())
    return {verb: _script(head, *_parts(lua, text), text) for verb, text in lua.items()}


def _parts(lua: Mapping[str, str], text: str) -> list[str]:
    """What stands before a verb: the common part, and those that its first line says it needs."""
    needs = text.partition("\n")[0].removeprefix("-- needs ") if text.startswith("-- needs ") else ""
    return [lua[name] for name in ("common", *needs.split())]


def _script(*parts: str) -> Script:
    text = "\n".join(parts).encode()
    # The server's name for a script, no safeguard.
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())
