"""DSNs and their options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """A DSN option: its parser and its default. `read` raises ValueError saying what to write.

    A required option has an `example`, used in example DSNs.
    """

    default: Any
    read: Callable[[str], Any] = str
    example: str | None = None


def flag(text: str) -> bool:
    """Parse `on` or `off`; `true` and `false`, which some providers use in their own parameters,
    are accepted too.
    """
    if text not in ("on", "off", "true", "false"):
        raise ValueError("write on or off")
    return text in ("on", "true")


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that accepts one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"write one of: {', '.join(words)}")
        return text

    return read


def path(text: str) -> str:
    """Parse an absolute URL path."""
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", text):
        raise ValueError("write a path that begins with /, of letters, digits and . _ ~ / -")
    return text


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
