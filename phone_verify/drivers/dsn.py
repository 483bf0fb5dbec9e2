"""Parses a driver's DSN and finds the driver that it names.

    driver://credential[:second]@host[:port][/base/path][?option=value]

All parts between the delimiters are percent-encoded. No error repeats any part of the DSN except
the name of the driver: a credential may be in the wrong place.
"""

from __future__ import annotations

import pkgutil
import re
from difflib import get_close_matches
from importlib import import_module
from ipaddress import IPv6Address
from urllib.parse import unquote

from .. import drivers
from ..errors import ConfigurationError, quoted
from .base import Driver
from .options import Dsn

_FORM = "driver://credential@host[:port][/base/path][?option=value]"

_SHAPE = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9_-]*)://"
    r"(?:(?P<credentials>[^@/?]*)(?P<at>@))?"
    r"(?P<host>\[[^\[\]@/?]*\]|[^\[\]:@/?]*)(?::(?P<port>[^:@/?]*))?"
    r"(?P<path>/[^@?]*)?"
    r"(?:\?(?P<query>[^@]*))?"
)
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?")
_PORT = re.compile(r"[0-9]{1,5}")
_PLAIN_PATH = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._~-]+)*/?")
_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def parse_dsn(text: str, setting: str) -> Dsn:
    """Parse a DSN. Raises `ConfigurationError` that names `setting` and how to fix it."""
    try:
        return _parse(text, setting)
    except ValueError as error:
        raise ConfigurationError(f"{setting}: {error}") from None


def load_driver(dsn: Dsn) -> Driver:
    """Create the driver that a DSN names and describes. Raises `ConfigurationError`."""
    if dsn.scheme not in schemes():
        raise ConfigurationError(f"{dsn.setting}: {unknown_driver(dsn.scheme)}")
    return driver_class(dsn.scheme).from_dsn(dsn)


def unknown_driver(scheme: str) -> str:
    """Say that no driver has this scheme, with the nearest one or the list of all."""
    known = sorted({*schemes(), "sandbox"} - {scheme})  # only `load_drivers` expands it
    near = get_close_matches(scheme.replace("_", "-"), known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Drivers: {', '.join(known)}"
    return f"unknown driver {quoted(scheme)}. {hint}"


def driver_class(scheme: str) -> type[Driver]:
    """Return the driver class of one of the `schemes`."""
    driver: type[Driver] = import_module(f"{drivers.__name__}.{scheme.replace('-', '_')}").DRIVER
    return driver


def schemes() -> list[str]:
    """Return the schemes of all drivers, found by the names of their modules."""
    names = {module.name for module in pkgutil.iter_modules(drivers.__path__)} - {
        "base",
        "dsn",
        "kinds",
        "options",
        "reading",
    }
    return sorted(name.replace("_", "-") for name in names)


def _parse(text: str, setting: str) -> Dsn:
    if not text.isprintable() or " " in text:
        raise ValueError("write it without spaces and control characters; percent-encode those of a credential")
    if "#" in text:
        raise ValueError("write %23 for a # in a credential; a DSN has no fragment")
    if text.count("@") > 1:
        raise ValueError("write %40 for an @ in a credential or option; a bare one only ends the credentials")
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise ValueError(f"write {_FORM}; percent-encode / ? : @ [ ] in a credential")
    credentials = tuple(map(_decoded, shape["credentials"].split(":"))) if shape["at"] else ()
    if len(credentials) > 2:
        raise ValueError("write at most two credentials, and %3A for a : in one")
    host, port = _host(shape["host"]), _port(shape["port"])
    if host == "" and (credentials or port):
        raise ValueError("write a host, or default for the provider's")
    path = shape["path"] or ""
    if not _PLAIN_PATH.fullmatch(path):
        raise ValueError("write the base path of letters, digits and . _ ~ - only, without empty, . or .. parts")
    return Dsn(
        scheme=shape["scheme"].lower(),
        credentials=credentials,
        host=None if host in ("", "default") else host,
        port=port,
        base_path=path.rstrip("/"),
        options=_options(shape["query"]),
        setting=setting,
    )


def _host(text: str) -> str:
    if text.startswith("["):
        address = IPv6Address(text[1:-1]) if "%" not in text else None
        if address is None:
            raise ValueError("write an IPv6 host without a zone")
        return str(address)
    host = text.lower()
    if host and not _HOST.fullmatch(host):
        raise ValueError("write the host as a name of ASCII letters, an IPv4 address, or an IPv6 address in [ ]")
    return host


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65536:
        raise ValueError("write a port from 1 to 65535")
    return int(text)


def _options(query: str | None) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query is not None else ():
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise ValueError("write options as ?name=value&name=value")
        if _decoded(name) in options:
            raise ValueError("write each option once")
        options[_decoded(name)] = _decoded(value)
    return options


def _decoded(text: str) -> str:
    if _BROKEN_PERCENT.search(text):
        raise ValueError("write %25 for a % in a credential or option")
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("percent-encode the UTF-8 bytes of a credential or option") from None
    if not plain.isprintable():
        raise ValueError("a credential or option cannot hold control characters")
    return plain
