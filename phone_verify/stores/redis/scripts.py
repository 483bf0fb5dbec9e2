"""The Lua scripts, by method name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files

from ... import conversions, lifecycle, limits, lines, model, policy
from ..base import KEPT_FOR, PURGE_PER_START, RESERVED_FOR

#: The constants of the Python rules, under the names that the scripts use; durations in microseconds.
_NUMBERS = {
    "CLOCK_SLACK": model.CLOCK_SLACK,
    "CONVERSIONS_KEPT": conversions.CONVERSIONS_KEPT,
    "DECAY": conversions.DECAY,
    "FAILURE_MEMORY": policy.FAILURE_MEMORY,
    "FIRST_LOCK": policy.FIRST_LOCK,
    "FOREVER": limits.FOREVER - datetime(1970, 1, 1, tzinfo=UTC),
    "HARD_LIFE": policy.HARD_LIFE,
    "HARD_RESEND_DELAY": policy.HARD_RESEND_DELAY,
    "HOUR": timedelta(hours=1),
    "KEPT_FOR": KEPT_FOR,
    "LINE_REST": lines.LINE_REST,
    "LONGEST_LOCK": policy.LONGEST_LOCK,
    "LONG_CODE": policy.LONG_CODE,
    "MEMORY": conversions.MEMORY,
    "MOST_COUNTED": conversions.MOST_COUNTED,
    "MOST_CLAIMANTS": lines.MOST_CLAIMANTS,
    "MOST_FIELDS": 40,
    "MOST_RELEASED": lines.MOST_RELEASED,
    "OTHER_CALLER_EVERY": lines.OTHER_CALLER_EVERY,
    "PAIR_REST": lines.PAIR_REST,
    "POLL_INTERVAL": lifecycle.POLL_INTERVAL,
    "PROOF_LIFE": lifecycle.PROOF_LIFE,
    "RESERVED_FOR": RESERVED_FOR,
    "SEND_WINDOW": policy.SEND_WINDOW,
    "SHORTEST_MEMORY": conversions.SHORTEST_MEMORY,
    "SHORT_REST": policy.SHORT_REST,
    "SWEPT_PER_START": PURGE_PER_START,
    "TALLIED_PER_ADDRESS": policy.TALLIED_PER_ADDRESS,
    "TALLY_HOURS": policy.TALLY_HOURS,
    "TALLY_SHARE": policy.TALLY_SHARE,
    "TEST_NUMBER_MEMORY": policy.TEST_NUMBER_MEMORY,
}


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the hash by which a server that has loaded it identifies it."""

    text: bytes
    sha: bytes


@cache
def scripts() -> Mapping[str, Script]:
    """Return every script by its method; loaded once."""
    folder = files(__package__) / "scripts"
    lua = {file.name.removesuffix(".lua"): file.read_text("utf-8") for file in folder.iterdir()}
    numbers = {
        name: number // timedelta(microseconds=1) if isinstance(number, timedelta) else number
        for name, number in _NUMBERS.items()
    }
    head = "".join(f"local {name} = {number}\n" for name, number in numbers.items())
    return {verb: _script(head, *_parts(lua, text), text) for verb, text in lua.items()}


def _parts(lua: Mapping[str, str], text: str) -> list[str]:
    """Return what precedes a script: the common part, and the parts named in its first line."""
    needs = text.partition("\n")[0].removeprefix("-- needs ") if text.startswith("-- needs ") else ""
    return [lua[name] for name in ("common", *needs.split())]


def _script(*parts: str) -> Script:
    text = "\n".join(parts).encode()
    # The server's identifier of a script, not a security measure.
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())
