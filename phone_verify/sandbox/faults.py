"""Simulated failures, per provider and optionally for one phone only.

A fault is a value parsed from JSON by `read_fault`, which rejects unknown fields, and kept in
`Faults`. The one set for a phone takes precedence over the one for its whole provider.
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Protocol

from phone_verify.sandbox.numbers import read_number
from phone_verify.sandbox.webhooks import FORGERIES, Forgery

MAX_FAULTS = 200
LONGEST_DELAY = 60.0
MOST_TIMES = 1000
WAYS_TO_SPOIL = ("cut", "empty", "html", "types")


@dataclass(frozen=True, slots=True)
class Fault:
    """A simulated failure. By default nothing fails."""

    #: Respond with this error of the provider; nothing is delivered.
    refuse: str | None = None
    #: Respond, and report calls, this many seconds late.
    delay: float = 0.0
    #: Do everything, but never respond.
    hang: bool = False
    #: Accept, but deliver nothing: no text, no ring, no report of a call.
    lose: bool = False
    #: Deliver, and report, twice.
    double: bool = False
    #: Respond with malformed JSON: true is `cut`, the others are in `spoilt`.
    malformed: bool | str = False
    #: Show and report this number in place of the actual caller, in either direction.
    foreign_caller: str | None = None
    #: Hide the calling number, in either direction.
    hidden_caller: bool = False
    #: Sign webhooks with another key or an old time, or do not sign them.
    webhook_signature: Forgery | None = None
    #: Send the webhooks of a request this many seconds after the response.
    webhook_delay: float = 0.0
    #: Send them before the response instead, when the site cannot know the order's id yet.
    webhook_first: bool = False
    #: Remove itself after this many requests.
    times: int | None = None
    #: The response format that the provider uses, one of its known variants.
    variants: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def copies(self) -> int:
        """Return how many times a message or call arrives."""
        return 0 if self.lose else 2 if self.double else 1

    def as_json(self) -> dict[str, object]:
        """Return every field, in the form that `read_fault` accepts."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**values, "variants": dict(self.variants)}


NO_FAULT = Fault()


class Breakable(Protocol):
    """What a fault needs of a provider: the errors it can return, and its response formats (the
    first is the default).
    """

    @property
    def refusals(self) -> Sequence[str]: ...

    @property
    def variants(self) -> Mapping[str, Sequence[str]]: ...


class FaultError(ValueError):
    """The fault can't be set; `fields` gives the allowed values for each bad field."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: write {what}" for name, what in fields.items()))
        self.fields = fields


def read_fault(wish: Mapping[str, object], provider: Breakable) -> Fault:
    """Parse a fault from JSON fields. Raises FaultError for any that is unknown, mistyped or out of
    range.
    """
    problems: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, value in wish.items():
        try:
            values[name] = _READERS.get(name, _read_unknown)(value, provider)
        except ValueError as error:
            problems[name] = str(error)
    if problems:
        raise FaultError(problems)
    return Fault(**values)


def spoilt(text: str, how: bool | str) -> str:
    """Return a response's text changed as `malformed` requires: cut off, empty, a web page, or
    every value of another type.
    """
    match how:
        case False:
            return text
        case "empty":
            return ""
        case "html":
            return "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>"
        case "types" if (value := _json_of(text)) is not None:
            return json.dumps(_of_another_type(value))
        case _:
            return text[: len(text) // 2]


class Faults:
    """The active faults. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set: dict[tuple[str, str | None], Fault] = {}

    def put(self, provider: str, phone: str | None, fault: Fault) -> None:
        """Set a fault, replacing an earlier one for the same provider and phone."""
        with self._lock:
            self._set.pop((provider, phone), None)
            self._set[provider, phone] = fault
            while len(self._set) > MAX_FAULTS:
                del self._set[next(iter(self._set))]

    def remove(self, provider: str, phone: str | None) -> None:
        """Remove one fault."""
        with self._lock:
            self._set.pop((provider, phone), None)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._set.clear()

    def all(self) -> tuple[tuple[str, str | None, Fault], ...]:
        """Return provider, phone and fault of all active ones."""
        with self._lock:
            return tuple((provider, phone, fault) for (provider, phone), fault in self._set.items())

    def find(self, provider: str, phone: str | None) -> Fault:
        """Return the fault for this phone at this provider, without using it up."""
        with self._lock:
            return self._set.get(self._key(provider, phone), NO_FAULT)

    def take(self, provider: str, phone: str | None) -> Fault:
        """Like `find`, for one request: a fault with `times` is used up by one."""
        with self._lock:
            key = self._key(provider, phone)
            fault = self._set.get(key, NO_FAULT)
            if fault.times == 1:
                del self._set[key]
            elif fault.times:
                self._set[key] = replace(fault, times=fault.times - 1)
            return fault

    def _key(self, provider: str, phone: str | None) -> tuple[str, str | None]:
        return (provider, phone) if (provider, phone) in self._set else (provider, None)


def _read_switch(value: object, provider: Breakable) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("true or false")


def _json_of(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _of_another_type(value: object) -> object:
    match value:
        case dict():
            return {name: _of_another_type(item) for name, item in value.items()}
        case list():
            return [_of_another_type(item) for item in value]
        case str():
            return [value]
        case None:
            return {}
        case _:
            return str(value)


def _read_malformed(value: object, provider: Breakable) -> bool | str:
    if isinstance(value, bool) or (isinstance(value, str) and value in WAYS_TO_SPOIL):
        return value
    raise ValueError("true, false or one of: " + ", ".join(WAYS_TO_SPOIL))


def _read_refusal(value: object, provider: Breakable) -> str | None:
    if value is None or (isinstance(value, str) and value in provider.refusals):
        return value
    raise ValueError("null or one of: " + ", ".join(provider.refusals))


def _read_delay(value: object, provider: Breakable) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_DELAY:
        return float(value)
    raise ValueError(f"seconds, 0 to {LONGEST_DELAY:g}")


def _read_signature(value: object, provider: Breakable) -> str | None:
    if value is None or (isinstance(value, str) and value in FORGERIES):
        return value
    raise ValueError("null or one of: " + ", ".join(FORGERIES))


def _read_times(value: object, provider: Breakable) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_TIMES):
        return value
    raise ValueError(f"null or a whole number, 1 to {MOST_TIMES}")


def _read_foreign_caller(value: object, provider: Breakable) -> str | None:
    phone = read_number(value)
    if value is None or phone is not None:
        return phone
    raise ValueError("null or a phone number with its country code")


def _read_variants(value: object, provider: Breakable) -> Mapping[str, str]:
    known = provider.variants
    if isinstance(value, dict):
        # Some choices are numbers, which authors of files often leave unquoted.
        choices = {name: str(choice) if type(choice) is int else choice for name, choice in value.items()}
        if all(choice in known.get(name, ()) for name, choice in choices.items()):
            return MappingProxyType(choices)
    raise ValueError("an object of: " + "; ".join(f"{name} = {' or '.join(known[name])}" for name in known))


def _read_unknown(value: object, provider: Breakable) -> None:
    raise ValueError("nothing; known fields are: " + ", ".join(_READERS))


_READERS: Mapping[str, Callable[[object, Breakable], object]] = {
    "refuse": _read_refusal,
    "delay": _read_delay,
    "hang": _read_switch,
    "lose": _read_switch,
    "double": _read_switch,
    "malformed": _read_malformed,
    "foreign_caller": _read_foreign_caller,
    "hidden_caller": _read_switch,
    "webhook_signature": _read_signature,
    "webhook_delay": _read_delay,
    "webhook_first": _read_switch,
    "times": _read_times,
    "variants": _read_variants,
}
