"""Stores from URLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import ConfigurationError
from ..stores.base import Store
from ..stores.memory import MemoryStore
from ..stores.threaded import InThread, ThreadedStore
from .settings import PREFIX


def open_store(url: str, own: Mapping[str, Callable[[str], Store]]) -> Store:
    """The store that a URL names: one of the adapter's `own` schemes, or one of ours."""
    scheme, colon, _ = url.partition(":")
    openers = {**_STORES, **own}
    if not colon or scheme not in openers:
        known = ", ".join(f"{name}:" for name in openers)
        raise ConfigurationError(f"{PREFIX}STORE: there is no store {scheme!r} here; known are {known}")
    return openers[scheme](url)


def open_async_store(url: str, store: Store, in_thread: InThread | None = None) -> Store:
    """The same store for coroutines: `store` is the blocking one that this URL names."""
    scheme = url.partition(":")[0]
    if scheme in _ASYNC_STORES:
        return _ASYNC_STORES[scheme](url, store)
    from asyncio import to_thread

    return ThreadedStore(store, in_thread or to_thread)


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


#: The stores that coroutines use in another way than through worker threads.
_ASYNC_STORES: Mapping[str, Callable[[str, Store], Store]] = {
    "memory": lambda _, store: store,  # a step takes microseconds, and there can be one of it only
    **{scheme: _open_async_redis for scheme, opened in _STORES.items() if opened is _open_redis},
}
