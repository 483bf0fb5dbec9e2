"""A blocking store of keys for coroutines."""

from __future__ import annotations

from ..stores.threaded import Threaded, threaded
from .base import KeyStore


class ThreadedKeyStore(Threaded):
    """A blocking `KeyStore` whose steps run in worker threads."""

    add = threaded(KeyStore.add)
    find = threaded(KeyStore.find)
    listed = threaded(KeyStore.listed)
    revoke = threaded(KeyStore.revoke)
    note_use = threaded(KeyStore.note_use)
    erase = threaded(KeyStore.erase)
