"""The last requests to providers and the last webhooks, with their secrets masked. Tests and the
page read it; nothing else depends on it.
"""

import json
import re
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from phone_verify.sandbox.webhooks import FORM, Hook

MAX_ENTRIES = 200
MASK = "***"
_MAX_PARAMS = 30
_MAX_VALUE = 500
_MAX_ANSWER = 4000
_MAX_DEPTH = 6
#: Longer values in a webhook's query may be a secret; numbers, ids and states are shorter.
_LONGEST_SHOWN = 15
#: Names of secrets in responses, for all providers.
_TOKENS = frozenset({"access_token", "refresh_token", "token"})
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
    #: The start of the response's body, None if no response was sent.
    answer: str | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, object]:
        """Return the entry for the test API. `status` is null if no response was sent."""
        return {**asdict(self), "at": self.at.isoformat()}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request to a site's webhook. `status` is None if there was no response."""

    at: datetime
    method: str
    url: str
    params: Mapping[str, str] = field(repr=False)
    status: int | None

    def as_json(self) -> dict[str, object]:
        """Return the delivery for the test API."""
        return {**asdict(self), "at": self.at.isoformat()}


class Journal:
    """Bounded lists of entries and deliveries. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._deliveries: deque[Delivery] = deque(maxlen=MAX_ENTRIES)

    def add_delivery(self, delivery: Delivery) -> None:
        """Add a webhook request, replacing the oldest if there are too many."""
        with self._lock:
            self._deliveries.append(delivery)

    def deliveries(self) -> tuple[Delivery, ...]:
        """Return the webhook requests, newest first."""
        with self._lock:
            return tuple(reversed(self._deliveries))

    def add(self, entry: Entry) -> None:
        """Add an entry, replacing the oldest if there are too many."""
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            self._entries.clear()
            self._deliveries.clear()

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


def masked_answer(text: str, content_type: str, secrets: frozenset[str]) -> str:
    """Return the start of a response's body, with the values of secret names masked if it is JSON."""
    if not content_type.startswith(("application/json", "application/problem+json", "text/")):
        return f"({content_type})"
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text[:_MAX_ANSWER]
    return json.dumps(_without(body, secrets | _TOKENS, _MAX_DEPTH), ensure_ascii=False)[:_MAX_ANSWER]


def delivery(at: datetime, hook: Hook, status: int | None) -> Delivery:
    """Return the record of a webhook request. The last segment of the path is the site's secret, and
    the site's own parameters may hold one.
    """
    parts = urlsplit(hook.url)
    head, slash, _ = parts.path.rstrip("/").rpartition("/")
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{head}{slash}{MASK if slash else ''}"
    params = (parse_qsl(parts.query, keep_blank_values=True) + _sent(hook))[:_MAX_PARAMS]
    short = {name[:40]: value if len(value) <= _LONGEST_SHOWN else MASK for name, value in params}
    return Delivery(at, hook.method, shown, short, status)


def _sent(hook: Hook) -> list[tuple[str, str]]:
    """Return the fields of a webhook's body; of JSON, the plain values at the top."""
    if hook.content_type.startswith(FORM):
        return parse_qsl(hook.body.decode(), keep_blank_values=True)
    try:
        value = json.loads(hook.body)
    except ValueError:
        return []
    if not isinstance(value, dict):
        return []
    return [(str(name), str(each)) for name, each in value.items() if not isinstance(each, dict | list)]


def _without(value: object, secrets: frozenset[str], depth: int) -> object:
    if isinstance(value, dict):
        if not depth:
            return MASK
        return {
            name: MASK if str(name).lower() in secrets else _without(each, secrets, depth - 1)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_without(each, secrets, depth - 1) for each in value] if depth else MASK
    return value


def _short(value: object) -> object:
    """Keep plain values, since tests depend on their type; replace the rest by the name of its
    type.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 10**18 else "a very large number"
    return value[:_MAX_VALUE] if isinstance(value, str) else f"({type(value).__name__})"
