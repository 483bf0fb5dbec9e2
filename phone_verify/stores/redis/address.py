"""Redis URLs: their meaning and their restrictions."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, unquote

from ...errors import ConfigurationError, quoted

#: Connect and response time-outs, in seconds.
WAIT = 3.0
PREFIX = "phone_verify"

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?\Z", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z", re.ASCII)
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_LOGIN = ("sentinel_username", "sentinel_password")


class Kind(Enum):
    """The topology of the servers."""

    SINGLE = "redis"
    SENTINEL = "redis+sentinel"
    CLUSTER = "redis+cluster"


_FORMS = {
    Kind.SINGLE: "redis://host:6379/0",
    Kind.SENTINEL: "redis+sentinel://host1:26379,host2:26379/service",
    Kind.CLUSTER: "redis+cluster://host1:6379,host2:6379",
}
_PORTS = {Kind.SINGLE: 6379, Kind.SENTINEL: 26379, Kind.CLUSTER: 6379}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is and how to authenticate. Its repr shows neither."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = field(repr=False)
    login: dict[str, str] = field(repr=False)
    db: int = field(repr=False)
    service: str = field(repr=False)
    tls: dict[str, Any] = field(repr=False)
    sentinel_login: dict[str, str] = field(repr=False)
    prefix: str = field(repr=False)
    wait: float = field(repr=False)


def read_address(url: str) -> Address:
    """Parse a store URL. Raises `ConfigurationError`, which shows only the names of its options."""
    scheme, _, rest = url.partition("://")
    tls = scheme.startswith("rediss")
    try:
        kind = Kind(scheme.replace("rediss", "redis", 1))
    except ValueError:
        raise _refusal("is not a Redis URL", *Kind) from None
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    credentials, _, places = authority.rpartition("@")
    service, db = _service_and_db(kind, unquote(path))
    options = _options(kind, tls, query)
    return Address(
        kind=kind,
        hosts=_hosts(kind, places),
        login=_login(*credentials.partition(":")[::2]),
        db=db,
        service=service,
        tls=_tls(options) if tls else {},
        sentinel_login=_login(options.get("sentinel_username", ""), options.get("sentinel_password", "")),
        prefix=_prefix(options.get("prefix", PREFIX)),
        wait=_wait(options.get("timeout")),
    )


def _refusal(what: str, *kinds: Kind) -> ConfigurationError:
    return ConfigurationError(f"PHONE_VERIFY_STORE {what}: write " + " or ".join(_FORMS[kind] for kind in kinds))


def _hosts(kind: Kind, places: str) -> tuple[tuple[str, int], ...]:
    hosts = []
    for place in places.split(","):
        match = _HOST.match(place)
        port = int(match["port"] or _PORTS[kind]) if match else 0
        if match is None or not 0 < port < 65536:
            raise _refusal("names an invalid host", kind)
        hosts.append((match["v6"] or match["name"], port))
    if kind is Kind.SINGLE and len(hosts) > 1:
        raise _refusal("names several hosts", Kind.SENTINEL, Kind.CLUSTER)
    return tuple(hosts)


def _service_and_db(kind: Kind, path: str) -> tuple[str, int]:
    service, db = "", path
    if kind is Kind.SENTINEL:
        service, _, db = path.partition("/")
        if not service:
            raise _refusal("does not name the Sentinel service", kind)
    if not re.match(r"[0-9]{0,4}\Z", db, re.ASCII):
        raise _refusal("has a database that is not a number", kind)
    number = int(db or 0)
    if kind is Kind.CLUSTER and number:
        raise _refusal("names a database, but a Cluster has only one", kind)
    return service, number


def _login(username: str, password: str) -> dict[str, str]:
    given = {"username": unquote(username), "password": unquote(password)}
    return {name: value for name, value in given.items() if value}


def _options(kind: Kind, tls: bool, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = ["prefix", "timeout"]
    known += _TLS_FILES if tls else ()
    known += _SENTINEL_LOGIN if kind is Kind.SENTINEL else ()
    if unknown := [name for name in options if name not in known]:
        scheme = kind.value.replace("redis", "rediss", 1) if tls else kind.value
        raise ConfigurationError(
            f"PHONE_VERIFY_STORE: {scheme}:// has the options {', '.join(known)}, not {quoted(unknown[0])}"
        )
    return options


def _tls(options: dict[str, str]) -> dict[str, Any]:
    files = {name: options[name] for name in _TLS_FILES if name in options}
    for name, path in files.items():
        if not os.path.isfile(path):
            raise ConfigurationError(f"PHONE_VERIFY_STORE: option {name!r}: file not found")
    return {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True, **files}


def _prefix(text: str) -> str:
    if not _PREFIX.match(text):
        raise ConfigurationError("PHONE_VERIFY_STORE: option 'prefix': write letters, digits and _ . : - only")
    return text


def _wait(text: str | None) -> float:
    if text is None:
        return WAIT
    if not re.match(r"[0-9]{1,2}(\.[0-9]{1,3})?\Z", text, re.ASCII) or not float(text):
        raise ConfigurationError("PHONE_VERIFY_STORE: option 'timeout': write seconds, e.g. 3")
    return float(text)
