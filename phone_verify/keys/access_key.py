"""An access key: what it may do, without its secret."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from ..model import Channel

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

#: How far `last_used_at` may lag behind: a key that is used a thousand times a second is written once in this time.
USE_NOTED_EVERY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key of one service.

    `digest` is that of its secret, which is not kept. Without `networks` it works from every address,
    without `channels` on every channel of its service, without `expires_at` until it is revoked.
    `created_by` names the user or the command that made it. `last_used_at` is exact to
    `USE_NOTED_EVERY`.
    """

    id: str
    digest: bytes = field(repr=False)
    service: str
    name: str
    created_at: datetime
    created_by: str = ""
    networks: Sequence[Network] = ()
    channels: Sequence[Channel] = ()
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    @property
    def hint(self) -> str:
        """The part of the key's text that may be shown, followed by dots."""
        return f"pv_{self.id}_…"

    def matches(self, digest: bytes) -> bool:
        """Return whether a secret with this digest is the key's, in constant time."""
        return hmac.compare_digest(self.digest, digest)

    def is_usable(self, now: datetime) -> bool:
        """Return whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def admits(self, address: Address | None) -> bool:
        """Return whether it may be used from this address; None is an unknown one."""
        if not self.networks:
            return True
        return address is not None and any(address in network for network in self.networks)

    def may_use(self, channel: Channel) -> bool:
        """Return whether its orders may be sent on this channel."""
        return not self.channels or channel in self.channels

    def use_is_noted(self, now: datetime) -> bool:
        """Return whether `last_used_at` is recent enough that a use now need not be written."""
        return self.last_used_at is not None and now < self.last_used_at + USE_NOTED_EVERY
