"""DSNs and their options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from ipaddress import ip_address
from typing import Any

from ..errors import is_name, quoted


@dataclass(frozen=True, slots=True)
class Option:
    """A DSN option: its parser and its default. `read` raises ValueError saying what to write.

    `meaning` is for the documentation: a clause that says what the option does. `required` is whether
    every DSN needs it, and `needed_for` lists the channels that work only with it; both have an
    `example`, percent-encoded, for the example DSNs.
    """

    default: Any
    read: Callable[[str], Any] = str
    example: str | None = None
    meaning: str = ""
    required: bool = False
    needed_for: Sequence[str] = ()

    @property
    def type(self) -> str:
        """The type of its value: `flag`, `choice` or `text`."""
        if self.read is flag:
            return "flag"
        return "choice" if isinstance(self.read, one_of) else "text"

    @property
    def choices(self) -> Sequence[str]:
        """The values that it accepts; empty for text."""
        if self.read is flag:
            return ("on", "off")
        return self.read.words if isinstance(self.read, one_of) else ()


def flag(text: str) -> bool:
    """Parse `on` or `off`; `true` and `false`, which some providers use in their own parameters,
    are accepted too.
    """
    if text not in ("on", "off", "true", "false"):
        raise ValueError("write on or off")
    return text in ("on", "true")


class one_of:  # noqa: N801  # a parser, like the functions below, whose words the documentation lists
    """A parser that accepts one of these words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, text: str) -> str:
        """Return the word. Raises ValueError for any other."""
        if text not in self.words:
            raise ValueError(f"write one of: {', '.join(self.words)}")
        return text


def matching(pattern: str, what: str) -> Callable[[str], str]:
    """Return a parser that accepts a text of this pattern; its error says to write `what`."""
    compiled = re.compile(pattern)

    def read(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"write {what}")
        return text

    return read


#: For providers that report prices in the currency of the account, without naming it.
CURRENCY = Option(
    None, matching("[A-Z]{3}", "a code like EUR"), meaning="the account's currency, like `EUR`; reported prices have it"
)


def secret(text: str) -> str:
    """Parse a secret: it may not be empty."""
    if not text:
        raise ValueError("write the secret, or leave the option out")
    return text


def path(text: str) -> str:
    """Parse an absolute URL path."""
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", text):
        raise ValueError("write a path that begins with /, of letters, digits and . _ ~ / -")
    return text


def object_at(path: str, what: str = "an object") -> Any:
    """Return what a dotted path names. Raises ValueError if it does not name `what`; the error repeats
    the path only if it looks like one, since a credential may be in the wrong place.
    """
    path = path.strip()
    module, dot, name = path.rpartition(".")
    if not dot or not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"Not the dotted path of {what}")  # before the import, whose error repeats the value
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        reason = f": {error}" if is_name(path) else ""
        raise ValueError(f"Cannot import {quoted(path)}{reason}") from error


def function_at(path: str) -> Callable[..., Any]:
    """Return the function at a dotted path. Raises ValueError like `object_at`."""
    found = object_at(path, "a function")
    if not callable(found):
        raise ValueError("Not the dotted path of a function")
    function: Callable[..., Any] = found
    return function


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_private(host: str) -> bool:
    """Return whether a host is an address of a private network or of this machine; a name is not."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_private and not address.is_unspecified


@dataclass(frozen=True, slots=True)
class Dsn:
    """A parsed DSN. `host` is None for the provider's default."""

    scheme: str
    credentials: Sequence[str] = field(default=(), repr=False)
    # A key written without its "@" ends up as host and path.
    host: str | None = field(default=None, repr=False)
    port: int | None = None
    base_path: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    setting: str = "DSN"


#: The options of every driver.
COMMON_OPTIONS = ("tls", "timeout", "name")
