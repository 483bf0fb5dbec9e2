"""DSNs and their options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """A DSN option: how its text is read, and the value without it. `read` raises ValueError saying what to write.

    `example` is there for an option that no DSN can do without: what a DSN that shows the form has for it.
    """

    default: Any
    read: Callable[[str], Any] = str
    example: str | None = None


def flag(text: str) -> bool:
    """Read `on` or `off`; `true` and `false`, which some providers' own parameters say, are the same."""
    if text not in ("on", "off", "true", "false"):
        raise ValueError("write on or off")
    return text in ("on", "true")


def one_of(*words: str) -> Callable[[str], str]:
    """Read one of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"write one of: {', '.join(words)}")
        return text

    return read


def path(text: str) -> str:
    """Read an absolute path of a URL."""
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", text):
        raise ValueError("write a path that begins with /, of letters, digits and . _ ~ / -")
    return text


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Dsn:
    """A driver's DSN, taken apart. `host` is None for the provider's own."""

    scheme: str
    credentials: Sequence[str] = field(default=(), repr=False)
    # A key written without its "@" stands where host and path should.
    host: str | None = field(default=None, repr=False)
    port: int | None = None
    base_path: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    setting: str = "DSN"


#: The options that every driver knows.
COMMON_OPTIONS = ("tls", "timeout", "name")
