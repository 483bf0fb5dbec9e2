"""The suite that every store of access keys must pass: the contract of `keys/base.py`.

class TestMyKeys(KeySuite):
    @pytest.fixture
    def keys(self):
        return MyKeyStore(…)
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..keys.access_key import USE_NOTED_EVERY, AccessKey
from ..keys.base import KeyStore
from ..keys.orders import make_key, read_order
from ..sync import run
from .clock import ManualClock

_NOW = ManualClock()()
_THREADS = 8


def new_key(service: str = "default", name: str = "Shop", **fields: Any) -> AccessKey:
    """Return a new key of this service."""
    order = read_order(name=name, service=service, now=_NOW, **fields)
    return make_key(order, os.urandom, _NOW).key


class KeySuite:
    """Subclasses define the fixture `keys`: an empty store."""

    def test_key_is_found_as_it_was_added(self, keys: KeyStore) -> None:
        full = new_key(
            name="Заказы и доставка",
            networks="203.0.113.7 2001:db8::/32",
            channels="voice,sms",
            expires="90d",
            created_by="Мария",
        )
        full = replace(full, expires_at=full.expires_at and full.expires_at + timedelta(microseconds=1))
        plain = new_key()
        assert run(keys.add(full))
        assert run(keys.add(plain))
        assert run(keys.find(full.id)) == full
        assert run(keys.find(plain.id)) == plain

    def test_unknown_ids_are_not_found(self, keys: KeyStore) -> None:
        key = new_key()
        assert run(keys.add(key))
        for id in (key.id.swapcase(), key.id[:-1], f"{key.id} ", f"{key.id[:-1]}\0", "", "é" * 12, "%" * 12):
            assert run(keys.find(id)) is None, id

    def test_id_is_added_once(self, keys: KeyStore) -> None:
        key = new_key()
        assert run(keys.add(key))
        assert not run(keys.add(replace(new_key(name="Another"), id=key.id)))
        assert run(keys.find(key.id)) == key

    def test_keys_of_a_service_are_listed_newest_first(self, keys: KeyStore) -> None:
        old, new = new_key("shop"), replace(new_key("shop"), created_at=_NOW + timedelta(seconds=1))
        other = replace(new_key("shop2"), created_at=_NOW + timedelta(seconds=2))
        for key in (old, other, new):
            assert run(keys.add(key))
        assert list(run(keys.listed("shop"))) == [new, old]
        assert list(run(keys.listed())) == [other, new, old]
        assert list(run(keys.listed("SHOP"))) == []

    def test_key_is_revoked_once(self, keys: KeyStore) -> None:
        key, other = new_key(), new_key()
        assert run(keys.add(key))
        assert run(keys.add(other))
        assert run(keys.revoke(key.id, _NOW))
        assert not run(keys.revoke(key.id, _NOW + timedelta(days=1)))
        assert not run(keys.revoke("unknown", _NOW))
        assert run(keys.find(key.id)) == replace(key, revoked_at=_NOW)
        assert run(keys.find(other.id)) == other

    def test_one_of_concurrent_revocations_counts(self, keys: KeyStore) -> None:
        key, results = new_key(), []
        assert run(keys.add(key))
        barrier = threading.Barrier(_THREADS)

        def revoke() -> None:
            barrier.wait()
            results.append(run(keys.revoke(key.id, _NOW)))
            self.end_thread()

        threads = [threading.Thread(target=revoke) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [False] * (_THREADS - 1) + [True]

    def test_use_is_noted_every_five_minutes(self, keys: KeyStore) -> None:
        key = new_key()
        assert run(keys.add(key))
        for seconds, noted in ((0, 0), (299, 0), (300, 300), (10, 300), (900, 900)):
            run(keys.note_use(key.id, _NOW + timedelta(seconds=seconds)))
            assert run(keys.find(key.id)) == replace(key, last_used_at=_NOW + timedelta(seconds=noted)), seconds
        run(keys.note_use("unknown", _NOW))
        assert timedelta(seconds=300) == USE_NOTED_EVERY

    def test_keys_of_a_service_are_erased(self, keys: KeyStore) -> None:
        kept, one, two = new_key("shop2"), new_key("shop"), new_key("shop")
        for key in (kept, one, two):
            assert run(keys.add(key))
        assert run(keys.erase("shop")) == 2
        assert run(keys.erase("shop")) == 0
        assert list(run(keys.listed())) == [kept]

    def end_thread(self) -> None:
        """Release what the store holds for a thread that ends."""
