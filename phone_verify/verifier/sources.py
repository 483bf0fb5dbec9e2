"""Where an order or an answer comes from: a client's address, or an OAuth client with a server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv6Network

from ..codes import Keyring
from ..limits import Limits
from ..policy import REFUSED_PER_ADDRESS, REFUSED_PER_CLIENT, Policy


@dataclass(frozen=True, slots=True)
class Source:
    """An address, None if unknown; or an OAuth client, whose users share the address of its server.

    Of a client the address is not counted: one user could close it for all others.
    """

    address: str | None = None
    client: str = ""

    def bucket(self, keyring: Keyring, kind: str) -> str | None:
        """Return the name of a counter of this source, or None if the source is unknown."""
        if self.client:
            return keyring.bucket(f"{kind}_of_client", self.client)
        return keyring.bucket(kind, self.address) if self.address else None

    @property
    def around(self) -> str | None:
        """The /48 network of an IPv6 address; None for other addresses and for clients."""
        if self.client or self.address is None or ":" not in self.address:
            return None
        try:
            return str(IPv6Network((IPv6Network(self.address, strict=False).network_address, 48), strict=False))
        except ValueError:
            return None

    @property
    def refusals(self) -> int:
        """How many of its orders per hour every provider may refuse."""
        return REFUSED_PER_CLIENT if self.client else REFUSED_PER_ADDRESS

    def sends(self, policy: Policy) -> int:
        """Return how many sends per hour it may start; 0: unlimited."""
        return policy.sends_per_hour_per_client if self.client else policy.sends_per_hour_per_address

    def wrong_answers(self, policy: Policy) -> int:
        """Return how many wrong answers per hour it may give; 0: unlimited."""
        return policy.wrong_per_hour_per_client if self.client else policy.wrong_per_hour_per_address

    def limits(self, limits: Limits, policy: Policy) -> Limits:
        """Return the limits of an answer with those of this source."""
        return replace(limits, per_address=policy.wrong_per_hour_per_client) if self.client else limits
