"""The last requests to providers, with their secrets masked. Tests read it; nothing else depends on
it.
"""

import re
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

MAX_ENTRIES = 200
MASK = "***"
_MAX_PARAMS = 30
_MAX_VALUE = 500
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. `path` and `params` show a mask in place of a credential."""

    at: datetime
    provider: str
    method: str
    path: str
    status: int | None
    headers: Mapping[str, str] = field(repr=False)
    params: Mapping[str, object] = field(repr=False)

    def as_json(self) -> dict[str, object]:
        """Return the entry for the test API. `status` is null if no response was sent."""
        return {**asdict(self), "at": self.at.isoformat()}


class Journal:
    """A bounded list of entries. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)

    def add(self, entry: Entry) -> None:
        """Add an entry, replacing the oldest if there are too many."""
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            self._entries.clear()

    def newest_first(self) -> tuple[Entry, ...]:
        """Return the entries."""
        with self._lock:
            return tuple(reversed(self._entries))


def masked(params: Mapping[str, object], secrets: frozenset[str]) -> dict[str, object]:
    """Return a short copy of `params` in which the values of secret names are masked.

    Anything that doesn't look like a name is left out: JSON sent as a form is one long name that
    contains the secrets.
    """
    named = [(name, value) for name, value in params.items() if _NAME.fullmatch(name)]
    return {name: MASK if name.lower() in secrets else _short(value) for name, value in named[:_MAX_PARAMS]}


def _short(value: object) -> object:
    """Keep plain values, since tests depend on their type; replace the rest by the name of its
    type.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**18 else "a very large number"
    return value[:_MAX_VALUE] if isinstance(value, str) else f"({type(value).__name__})"
