"""The client's address, as far as the configured proxies report it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from .call import ApiRequest
from .proxies import FORWARDED, Proxies
from .site import Site

log = logging.getLogger("phone_verify")

Address = IPv4Address | IPv6Address

#: An address with or without a port. A port can be a name that hides it (RFC 7239, section 6).
_PORT = r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]{1,32}))?"
_WITH_PORT = re.compile(rf"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\]){_PORT}", re.ASCII)
#: An element of `Forwarded` (RFC 7239, section 4). Some proxies forget the quotation marks.
_PAIR = r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([^\s",;\\]+|"(?:[^"\\]|\\.)*")"""
_ELEMENT = re.compile(rf"[ \t;]*{_PAIR}(?:[ \t]*;[ \t;]*{_PAIR})*[ \t;]*", re.ASCII | re.DOTALL)
_EACH_PAIR = re.compile(_PAIR, re.ASCII | re.DOTALL)
#: The IPv4 clients of a site in an IPv6 network, behind a translator (RFC 6052, section 2.1; RFC 7755).
_TRANSLATED = IPv6Network("64:ff9b::/96")
#: Longer elements of `Forwarded` are not read.
_LONGEST_ELEMENT = 500


def call_address(site: Site, call: ApiRequest) -> str | None:
    """Return the address under which a call's sends are counted."""
    return client_address(call.peer, call.headers, site.proxies)


def whole_address(site: Site, call: ApiRequest) -> str | None:
    """Return the client's address, IPv6 whole as well; None if it is unknown."""
    address = client_of(site, call)
    return None if address is None else str(address)


def client_of(site: Site, call: ApiRequest) -> Address | None:
    """Return the client's address as a value; None if it is unknown: a Unix socket, or a trusted header without it.

    The proxy's own address then would let clients in that only the proxy may be.
    """
    return _known(_read(call.peer or ""), call.headers, site.proxies)


def client_address(peer: str | None, headers: Mapping[str, str], proxies: Proxies) -> str | None:
    """Return the address for counting sends: IPv4 whole, IPv6 by its /64.

    None without an address (Unix socket). Header names are lower case. With a `count` of n, the n-th
    entry from the right of the header is used; with `networks` only, the first one from the right
    that is not in them. A header of a peer that is not trusted does not count. If the header has
    too few entries or an unreadable one, the peer's address is used.
    """
    connected = _read(peer or "")
    return _bucket(_known(connected, headers, proxies) or connected)


def _known(peer: Address | None, headers: Mapping[str, str], proxies: Proxies) -> Address | None:
    return _reported(headers.get(proxies.header, ""), proxies) if _may_report(peer, proxies) else peer


def _may_report(peer: Address | None, proxies: Proxies) -> bool:
    if not proxies.are_named:
        return proxies.count > 0
    return proxies.unix_socket if peer is None else _is_in_networks(peer, proxies)


def _is_in_networks(address: Address, proxies: Proxies) -> bool:
    return any(address in network for network in proxies.networks)


def _reported(value: str, proxies: Proxies) -> Address | None:
    """Return the client's address in this header, or None, which is logged once for each cause."""
    if not proxies.is_chain:
        return _read(value) or _warn_of(proxies.header, "no readable address")
    entries = _forwarded(value) if proxies.header == FORWARDED else _entries(value)
    address = None
    for position, entry in enumerate(entries, 1):
        if position < proxies.count:
            continue
        address = _read(entry)
        if address is None:
            return _warn_of(proxies.header, "an entry that cannot be read as an address")
        if proxies.count or not _is_in_networks(address, proxies):
            return address
    if address is None:
        return _warn_of(proxies.header, "fewer entries than the trusted proxies add")
    return address  # the client itself is in the trusted networks


@cache
def _warn_of(header: str, problem: str) -> None:
    # Without the entry: a client may have written it. Once: every request could repeat it.
    log.warning(
        "the header %s has %s; such clients share the limits of the proxy's address (logged once)", header, problem
    )


def _entries(value: str) -> Iterator[str]:
    """Yield the entries of `X-Forwarded-For`, from the right."""
    return reversed(value.split(",")) if value else iter(())


def _forwarded(value: str) -> Iterator[str]:
    """Yield the `for` of each element of `Forwarded`, from the right; empty where there is none.

    From the right, and the shortest text that is an element, so that an open quotation mark in the
    client's own part cannot hide what a proxy has added. Ends at the first unreadable element.
    """
    end = len(value)
    while end > 0:
        start = _start_of_element(value, end)
        if start is None:
            yield ""
            return
        named = [word for name, word in _EACH_PAIR.findall(value, start, end) if name.lower() == "for"]
        yield _unquoted(named[0]) if len(named) == 1 else ""
        end = start - 1


def _start_of_element(value: str, end: int) -> int | None:
    start = end
    while start > 0:
        start = value.rfind(",", max(0, end - _LONGEST_ELEMENT), start - 1) + 1
        if start == 0 and end > _LONGEST_ELEMENT:
            return None
        if _ELEMENT.fullmatch(value, start, end):
            return start
    return None


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL) if word.startswith('"') else word


@lru_cache(maxsize=128)  # the proxy's, and those of visitors who start a verification and then check it
def _read(text: str) -> Address | None:
    """Return the address in this text, without a port; None for anything else, like `unknown` or `_hidden`."""
    text = text.strip()
    if shape := _WITH_PORT.fullmatch(text):
        text = shape[1] or shape[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # Without the zone of a link-local address.
    return address if isinstance(address, IPv4Address) else _plain(address)


def _plain(address: IPv6Address) -> Address:
    if address in _TRANSLATED:  # all of the IPv4 internet is in one /64 there
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or IPv6Address(int(address))


def _bucket(address: Address | None) -> str | None:
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), 64), strict=False))
    return None if address is None else str(address)
