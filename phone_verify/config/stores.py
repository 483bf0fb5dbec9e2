"""Stores from URLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import ConfigurationError, quoted
from ..stores.base import Store
from ..stores.memory import MemoryStore
from ..stores.threaded import InThread, ThreadedStore
from ..sync import run_in_thread
from .settings import PREFIX


def open_store(url: str, own: Mapping[str, Callable[[str], Store]]) -> Store:
    """Return the store for a URL: one of the adapter's `own` schemes, or a built-in one."""
    scheme, colon, _ = url.partition(":")
    openers = {**_STORES, **own}
    if not colon or scheme not in openers:
        schemes = ", ".join(f"{name}:" for name in openers)
        raise ConfigurationError(f"{PREFIX}STORE: unknown store {quoted(scheme)}; known stores: {schemes}")
    return openers[scheme](url)


def open_async_store(url: str, store: Store, in_thread: InThread | None = None) -> Store:
    """Return the same store for coroutines: `store` is the blocking one for this URL."""
    scheme = url.partition(":")[0]
    if scheme in _ASYNC_STORES:
        return _ASYNC_STORES[scheme](url, store)
    return ThreadedStore(store, in_thread or run_in_thread)


def _open_memory(url: str) -> Store:
    return MemoryStore()


def _open_sql(url: str) -> Store:
    from ..stores.sql import SqlStore

    return SqlStore.from_url(url)


def _open_redis(url: str) -> Store:
    from ..stores.redis import RedisStore

    return RedisStore.from_url(url)


_STORES: Mapping[str, Callable[[str], Store]] = {
    "memory": _open_memory,
    "sqlite": _open_sql,
    "postgresql": _open_sql,
    "mysql": _open_sql,
    "redis": _open_redis,
    "rediss": _open_redis,
    "redis+sentinel": _open_redis,
    "rediss+sentinel": _open_redis,
    "redis+cluster": _open_redis,
    "rediss+cluster": _open_redis,
}


def _open_async_redis(url: str, _: Store) -> Store:
    from ..stores.redis import AsyncRedisStore

    return AsyncRedisStore.from_url(url)


#: The stores that coroutines use without worker threads.
_ASYNC_STORES: Mapping[str, Callable[[str, Store], Store]] = {
    # a step takes microseconds, and there can be only one instance
    "memory": lambda _, store: store,
    **{scheme: _open_async_redis for scheme, opened in _STORES.items() if opened is _open_redis},
}
