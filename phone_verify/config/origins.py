"""Reads an origin as a setting names it, in the form in which browsers send it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from ..errors import quoted

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
#: The beginning of an address of the web, which no credential has.
_WEB_ORIGIN = re.compile(r"https?://[^/?#\\@\s]+", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Their documents have the origin `null`.
_OPAQUE_SCHEMES = ("about", "blob", "data", "file", "javascript")
_LONGEST_HOST = 253


def read_origin(text: str) -> str:
    """Return this origin as browsers send it: the scheme in lower case, without its default port.

    The schemes of apps, like `capacitor`, have hosts whose case counts. Raises `ValueError` with
    the reason, which is fit for an error message: it contains no user name and no password.
    """
    text = text.strip()
    if reason := _reason(text):
        raise ValueError(reason)
    shape = _ORIGIN.fullmatch(text)
    if shape is None:
        raise ValueError(_unreadable())
    scheme, host, port = shape[1].lower(), shape[2], int(shape[3][1:]) if shape[3] else None
    if scheme in _OPAQUE_SCHEMES:
        raise ValueError(f"{scheme}: is not a scheme of origins")
    if scheme in _DEFAULT_PORTS or host.startswith("["):
        host = _host(host.lower())
    if port is not None and not 0 < port < 1 << 16:
        raise ValueError(_unreadable())
    return f"{scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS.get(scheme)) else f":{port}")


def split_origins(entries: Sequence[object]) -> tuple[list[str], list[str]]:
    """Return the origins among these entries of another setting, and the entries that are not origins."""
    origins, others = [], []
    for entry in entries:
        try:
            origins.append(read_origin(entry if isinstance(entry, str) else ""))
        except ValueError:
            others.append(str(entry))
    return list(dict.fromkeys(origins)), others


def _reason(text: str) -> str:
    """Return the reason why this is a common mistake, or an empty text."""
    if "*" in text:
        return "wildcards are not possible, because every listed origin acts for signed-in visitors; list each origin"
    if text.lower() == "null":
        return "null is the origin of sandboxed frames and local files of every site; list origins with scheme and host"
    _, separator, rest = text.partition("://")
    if "@" in text:
        return "an origin has no user name and no password; use scheme and host, like https://app.example"
    if len(text.split()) > 1:
        return "separate origins by commas"
    if not separator:
        return f"{_shown(text)} has no scheme; use scheme and host, like https://app.example"
    if any(mark in rest for mark in "/?#\\"):
        return f"an origin has no path; use {_shown(text)}" if _WEB_ORIGIN.match(text) else _unreadable()
    if not rest.isascii():
        return f"{_shown(text)} is not in ASCII; use the host as browsers send it, like https://xn--e1afmkfd.example"
    if rest.partition(":")[0].endswith("."):
        return f"{_shown(text)} ends in a dot; remove it"
    return ""


def _shown(text: str) -> str:
    """Quote what may be shown: a DSN or a key may be in the wrong setting."""
    origin = _WEB_ORIGIN.match(text)
    return repr(origin[0]) if origin and len(origin[0]) <= _LONGEST_HOST else quoted(text)


def _unreadable() -> str:
    return "use scheme, host and port if it is not the default, like https://app.example or capacitor://localhost"


def _host(host: str) -> str:
    try:
        if host.startswith("["):
            return f"[{IPv6Address(host[1:-1]).compressed}]"
        labels = host.split(".")
        if labels[-1].isdigit() or labels[-1].startswith("0x"):  # browsers read it as an IPv4 address
            return str(IPv4Address(host))
    except AddressValueError:
        raise ValueError(_unreadable()) from None
    if len(host) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(_unreadable())
    return host
