"""Where an order or an answer comes from: a client's address, or another program's server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv6Network

from ..codes import Keyring
from ..limits import Limits, Quota
from ..model import value_class
from ..policy import (
    LEASE_WINDOW,
    LEASES_PER_ADDRESS,
    LEASES_PER_CLIENT,
    REFUSED_PER_ADDRESS,
    REFUSED_PER_CLIENT,
    Policy,
)


@value_class
class Source:
    """An address, None if unknown; or an OAuth client or an access key, whose users share one server's address.

    Of these the address is not counted: one user could close it for all others. `starter` is the access key
    that started the verification, if another client sends it again.
    """

    address: str | None = None
    client: str = ""
    key: str = ""
    starter: str = ""

    def bucket(self, keyring: Keyring, kind: str) -> str | None:
        """Return the name of a counter of this source, or None if the source is unknown."""
        if self.key:
            return keyring.bucket(f"{kind}_of_key", self.key)
        if self.client:
            return keyring.bucket(f"{kind}_of_client", self.client)
        return keyring.bucket(kind, self.address) if self.address else None

    @property
    def is_program(self) -> bool:
        """Whether another program's server orders for its users."""
        return bool(self.client or self.key)

    @property
    def around(self) -> str | None:
        """The /48 network of an IPv6 address; None for other addresses and for programs."""
        if self.is_program or self.address is None or ":" not in self.address:
            return None
        try:
            return str(IPv6Network((IPv6Network(self.address, strict=False).network_address, 48), strict=False))
        except ValueError:
            return None

    @property
    def networks(self) -> Sequence[str]:
        """The address, and the /48 network around it if there is one; none for programs."""
        if self.is_program or not self.address:
            return ()
        return (self.address, self.around) if self.around else (self.address,)

    @property
    def refusals(self) -> int:
        """How many of its orders per hour every provider may refuse."""
        return REFUSED_PER_CLIENT if self.is_program else REFUSED_PER_ADDRESS

    def leases(self, keyring: Keyring) -> Quota | None:
        """Return the quota of its orders that may lease a line, or None if the source is unknown."""
        key = self.bucket(keyring, "leases")
        limit = LEASES_PER_CLIENT if self.is_program else LEASES_PER_ADDRESS
        return Quota(key, limit, LEASE_WINDOW) if key is not None else None

    def sends(self, policy: Policy) -> int:
        """Return how many sends per hour it may start; 0: unlimited."""
        return policy.sends_per_hour_per_client if self.is_program else policy.sends_per_hour_per_address

    def wrong_answers(self, policy: Policy) -> int:
        """Return how many wrong answers per hour it may give; 0: unlimited."""
        return policy.wrong_per_hour_per_client if self.is_program else policy.wrong_per_hour_per_address

    def limits(self, limits: Limits, policy: Policy) -> Limits:
        """Return the limits of an answer with those of this source."""
        return replace(limits, per_address=policy.wrong_per_hour_per_client) if self.is_program else limits
