"""Parses a driver's DSN and finds the driver that it names.

    driver://credential[:second]@host[:port][/base/path][?option=value]
    python:dotted.path.of.a.function[?option=value]

A driver of another package is found by its entry point in the group `phone_verify.drivers`, whose name
is the scheme. All parts between the delimiters are percent-encoded. No error repeats any part of the DSN except
the name of the driver: a credential may be in the wrong place.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from ipaddress import IPv6Address
from types import MappingProxyType
from urllib.parse import unquote

from .. import drivers
from ..errors import ConfigurationError, quoted
from .base import Driver
from .options import Dsn

#: The group of entry points of drivers in other packages.
ENTRY_POINTS = "phone_verify.drivers"

_FORM = "driver://credential@host[:port][/base/path][?option=value]"

_SHAPE = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9_-]*)(?:\+(?P<transport>https?))?://"
    r"(?:(?P<credentials>[^@/?]*)(?P<at>@))?"
    r"(?P<host>\[[^\[\]@/?]*\]|[^\[\]:@/?]*)(?::(?P<port>[^:@/?]*))?"
    r"(?P<path>/[^@?]*)?"
    r"(?:\?(?P<query>[^@]*))?"
)
_FUNCTION = re.compile(r"python:(?P<path>[\w.]+)(?:\?(?P<query>.*))?")
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


def load_driver(dsn: Dsn, named: Mapping[str, type[Driver]] = MappingProxyType({})) -> Driver:
    """Create the driver that a DSN names and describes. Raises `ConfigurationError`.

    `named` are the classes that the settings name, by scheme, besides the drivers of this library and
    of installed packages.
    """
    if dsn.scheme not in schemes():
        if dsn.scheme in named:
            return named[dsn.scheme].from_dsn(dsn)
        if dsn.scheme not in external_drivers():
            raise ConfigurationError(f"{dsn.setting}: {unknown_driver(dsn.scheme, named)}")
        return external_driver(dsn.scheme, dsn.setting).from_dsn(dsn)
    return driver_class(dsn.scheme).from_dsn(dsn)


def unknown_driver(scheme: str, named: Collection[str] = ()) -> str:
    """Say that no driver has this scheme, with the nearest one or the list of all."""
    # Only `load_drivers` expands `sandbox`.
    known = sorted({*schemes(), *external_drivers(), *named, "sandbox"} - {scheme})
    near = get_close_matches(scheme.replace("_", "-"), known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Drivers: {', '.join(known)}"
    return f"unknown driver {quoted(scheme)}. {hint}"


def driver_class(scheme: str) -> type[Driver]:
    """Return the driver class of one of the `schemes`."""
    driver: type[Driver] = import_module(f"{drivers.__name__}.{scheme.replace('-', '_')}").DRIVER
    return driver


@cache
def external_drivers() -> Mapping[str, EntryPoint]:
    """Return the entry points of the drivers in installed packages, by scheme."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def external_driver(scheme: str, setting: str) -> type[Driver]:
    """Return the class of one of the `external_drivers`. Raises `ConfigurationError` that names `setting`."""
    point = external_drivers()[scheme]
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        what = f"the driver {point.name!r} of another package cannot be imported ({type(error).__name__})"
        raise ConfigurationError(f"{setting}: {what}") from error
    if not isinstance(found, type) or not issubclass(found, Driver):
        raise ConfigurationError(f"{setting}: the entry point {point.name!r} must be a subclass of Driver")
    return found


def schemes() -> list[str]:
    """Return the schemes of this library's drivers, found by the names of their modules."""
    return list(_schemes())


@cache
def _schemes() -> tuple[str, ...]:
    names = {module.name for module in pkgutil.iter_modules(drivers.__path__)} - {
        "base",
        "dsn",
        "kinds",
        "options",
        "reading",
    }
    return tuple(sorted(name.replace("_", "-") for name in names))


def _parse(text: str, setting: str) -> Dsn:
    if (function := _FUNCTION.fullmatch(text)) is not None:
        options = {**_options(function["query"]), "function": function["path"]}
        return Dsn("python", options=options, setting=setting)
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
    options = _options(shape["query"])
    scheme, transport = shape["scheme"].lower(), shape["transport"]
    if scheme in ("http", "https"):
        raise ValueError(f"write webhook+{scheme}:// for a provider that a request file describes")
    if transport is not None and scheme != "webhook":
        raise ValueError(f"write {scheme}:// without +{transport}; the option tls decides")
    if transport == "http" and options.setdefault("tls", "off") != "off":
        raise ValueError("webhook+http:// is without TLS: leave the option tls out")
    path = shape["path"] or ""
    if not _PLAIN_PATH.fullmatch(path):
        raise ValueError("write the base path of letters, digits and . _ ~ - only, without empty, . or .. parts")
    return Dsn(
        scheme=scheme,
        credentials=credentials,
        host=None if host in ("", "default") else host,
        port=port,
        base_path=path.rstrip("/"),
        options=options,
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
