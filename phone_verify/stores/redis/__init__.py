"""Verifications in Redis or Valkey: one server, behind Sentinel, or a Cluster.

Each verb is one Lua script that decides on the server, in one round trip: `scripts/` has a file for each. A phone
has one key, a hash with the phone's tag as hash tag; shared counters have one hash tag of their own. Every key has a
time to live, so nothing needs sweeping.

A server that loses its memory loses counters with it: `docs/stores.md` says what that means.
"""

from __future__ import annotations

from ...errors import ConfigurationError

try:
    import redis as _  # noqa: F401 - asked for once, here
except ImportError:
    raise ConfigurationError("A Redis store needs redis-py: pip install 'phone-verify[redis]'") from None

from .store import AsyncRedisStore, RedisStore

__all__ = ["AsyncRedisStore", "RedisStore"]
