"""Verifications in Redis or Valkey: a single server, Sentinel or Cluster.

Each method is one Lua script that decides on the server in one round trip: `scripts/` has a file
for each. A phone has one key, a hash with the phone's tag as hash tag; shared counters share
another hash tag. Every key has a time to live, so nothing needs purging.

A server that loses its memory also loses the counters: see `docs/stores.md`.
"""

from __future__ import annotations

from ...errors import missing_extra

try:
    import redis as _  # noqa: F401 - imported here so that a missing package is reported early
except ImportError as error:
    raise missing_extra("The Redis store", "redis", error) from error

from .store import AsyncRedisStore, RedisStore

__all__ = ["AsyncRedisStore", "RedisStore"]
