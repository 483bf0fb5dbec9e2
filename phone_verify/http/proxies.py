"""Which proxies a site trusts to report the client's address, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

Network = IPv4Network | IPv6Network

#: The headers in which each proxy adds one entry at the end, in lower case.
FORWARDED_FOR, FORWARDED = "x-forwarded-for", "forwarded"
CHAINS = (FORWARDED_FOR, FORWARDED)


@dataclass(frozen=True, slots=True)
class Proxies:
    """The header with the client's address, and the proxies that may set it.

    `count` is the number of proxies in front of the site; 0 if `networks` decide instead. With
    `networks` or `unix_socket` the header counts only if the peer is in one of them, or connects
    by a Unix socket.
    """

    count: int = 0
    header: str = FORWARDED_FOR
    networks: Sequence[Network] = ()
    unix_socket: bool = False

    @property
    def is_chain(self) -> bool:
        """Whether each proxy adds an entry to the header; other headers hold one address."""
        return self.header in CHAINS

    @property
    def are_named(self) -> bool:
        """Whether the site names its proxies by address."""
        return bool(self.networks) or self.unix_socket

    @property
    def are_trusted(self) -> bool:
        """Whether any header counts at all."""
        return self.count > 0 or self.are_named
