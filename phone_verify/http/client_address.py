"""The client's address, as far as the configured proxies report it."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address

from .call import ApiRequest
from .site import Site


def call_address(site: Site, call: ApiRequest) -> str | None:
    """Return the address under which a call's sends are counted."""
    return client_address(call.peer, call.headers.get("x-forwarded-for"), site.trusted_proxies)


def client_address(peer: str | None, forwarded_for: str | None, trusted_proxies: int) -> str | None:
    """Return the address for counting sends: IPv4 whole, IPv6 by its /64.

    None without an address (Unix socket). With n trusted proxies, the n-th address from the right
    of `X-Forwarded-For` is used; with fewer entries, or an unreadable one, the peer's.
    """
    if trusted_proxies > 0 and forwarded_for:
        entries = forwarded_for.split(",")
        if len(entries) >= trusted_proxies:
            named = _bucket(entries[-trusted_proxies].strip())
            if named is not None:
                return named
    return _bucket(peer or "")


def _bucket(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Network((int(address), 64), strict=False))
    return str(address)
