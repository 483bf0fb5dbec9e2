"""Access keys as values: their text, their orders, and whom they admit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest

from phone_verify.errors import StoreError
from phone_verify.keys.keys import AccessKeys
from phone_verify.keys.orders import KeyOrderError, NewKey, make_key, read_networks, read_order
from phone_verify.keys.rows import key_of, row_of
from phone_verify.keys.text import new_text, read_text
from phone_verify.model import Channel
from phone_verify.sync import run
from phone_verify.testing.clock import ManualClock
from tests.cases import in_one_test
from tests.keys.in_memory import KeysInMemory


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def made(clock: ManualClock, **fields: str) -> NewKey:
    return make_key(read_order(name="Shop", now=clock(), **fields), os.urandom, clock())


def test_text_is_read_back() -> None:
    text = new_text(os.urandom)
    assert read_text(str(text)) == text
    assert len(str(text)) == 3 + 12 + 1 + 43
    assert text.secret not in repr(text)


def test_texts_take_all_their_randomness_from_the_argument() -> None:
    given: list[int] = []

    def zeros(count: int) -> bytes:
        given.append(count)
        return bytes(count)

    assert str(new_text(zeros)) == f"pv_{'0' * 12}_{'A' * 43}"
    assert given == [32, 32]
    assert len({str(new_text(os.urandom)) for _ in range(100)}) == 100


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: f"{text}A", lambda text: f" {text}",
                                    lambda text: text.replace("_", "-"), lambda text: f"{text}\n",
                                    lambda text: text[:-1] + "é", lambda text: text[3:]])  # fmt: skip
def test_malformed_texts_are_no_keys(change: object) -> None:
    assert callable(change)
    assert read_text(change(str(new_text(os.urandom)))) is None


def test_order_is_read_as_people_write_it(clock: ManualClock) -> None:
    order = read_order(
        name="  Shop backend ",
        service="shop",
        networks="203.0.113.7, 2001:db8::/32\n203.0.113.7/32",
        channels="voice, sms",
        expires="90d",
        created_by="admin",
        now=clock(),
    )
    assert (order.name, order.service, order.created_by) == ("Shop backend", "shop", "admin")
    assert order.networks == (ip_network("203.0.113.7/32"), ip_network("2001:db8::/32"))
    assert order.channels == (Channel.SMS, Channel.VOICE)
    assert order.expires_at == clock() + timedelta(days=90)


def test_last_day_of_a_key_is_usable() -> None:
    now = datetime(2030, 1, 31, 23, 59, tzinfo=UTC)
    assert read_order(name="Shop", expires="2030-01-31", now=now).expires_at == datetime(2030, 2, 1, tzinfo=UTC)


@in_one_test
@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "a" * 65},
        {"name": "a\nb"},
        {"service": "Shop"},
        {"service": ""},
        {"service": "s" * 33},
        {"networks": "10.0.0.1/8"},
        {"networks": "example.com"},
        {"networks": "10.0.0.0/33"},
        {"networks": " ".join(f"10.0.{n}.0/24" for n in range(21))},
        {"channels": "smoke"},
        {"channels": "SMS"},
        {"expires": "yesterday"},
        {"expires": "2029-12-31"},
        {"expires": "0d"},
        {"expires": "99999d"},
        {"expires": "9999-12-31"},
    ],
    ids=str,
)
def test_orders_that_cannot_work_are_refused_at_the_field(clock: ManualClock, fields: Mapping[str, str]) -> None:
    with pytest.raises(KeyOrderError) as refusal:
        read_order(**{"name": "Shop", **fields}, now=clock())
    assert refusal.value.errors.keys() == fields.keys()


def test_every_wrong_field_is_reported(clock: ManualClock) -> None:
    with pytest.raises(KeyOrderError) as refusal:
        read_order(name="", service="!", networks="x", channels="y", expires="z", now=clock())
    assert list(refusal.value.errors) == ["service", "name", "networks", "channels", "expires"]


@pytest.mark.parametrize(
    ("written", "inside", "outside"),
    [
        ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
        ("203.0.113.7", "203.0.113.7", "203.0.113.8"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("::ffff:203.0.113.0/120", "203.0.113.9", "203.0.112.9"),
        ("64:ff9b::203.0.113.0/120", "203.0.113.9", "203.0.112.9"),
        ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ("::/0", "2001:db8::1", "203.0.113.9"),
    ],
)
def test_address_ranges_hold_their_addresses(clock: ManualClock, written: str, inside: str, outside: str) -> None:
    key = made(clock, networks=written).key
    assert key.admits(ip_address(inside))
    assert not key.admits(ip_address(outside))
    assert not key.admits(None), "an unknown address"
    assert made(clock).key.admits(None)
    assert read_networks(" ".join(map(str, key.networks))) == key.networks


def test_channels_restrict_a_key(clock: ManualClock) -> None:
    key = made(clock, channels="sms").key
    assert [key.may_use(channel) for channel in (Channel.SMS, Channel.VOICE)] == [True, False]
    assert made(clock).key.may_use(Channel.VOICE)


def test_right_text_is_admitted(clock: ManualClock) -> None:
    new = made(clock)
    keys = AccessKeys(KeysInMemory(new.key), clock)
    assert run(keys.admitted(str(new.text), None)) == new.key


def test_others_are_not_admitted(clock: ManualClock) -> None:
    new, other = made(clock), made(clock)
    store = KeysInMemory(new.key)
    keys = AccessKeys(store, clock)
    mixed = f"pv_{new.key.id}_{other.text.secret}"
    for text in (str(other.text), mixed, "pv_", "pv_x", str(new.text) + "x", ""):
        assert run(keys.admitted(text, None)) is None, text
    assert "note_use" not in store.steps


def test_expired_and_revoked_keys_are_not_admitted(clock: ManualClock) -> None:
    new = made(clock, expires="1d")
    store = KeysInMemory(new.key)
    keys = AccessKeys(store, clock)
    clock.move(86400 - 0.000001)
    assert run(keys.admitted(str(new.text), None))
    store.rows[new.key.id] = replace(new.key, revoked_at=clock())
    assert run(keys.admitted(str(new.text), None)) is None
    store.rows[new.key.id] = new.key
    clock.move(0.000001)
    assert run(keys.admitted(str(new.text), None)) is None


def test_key_is_read_on_every_request(clock: ManualClock) -> None:
    new = made(clock)
    store = KeysInMemory(new.key)
    keys = AccessKeys(store, clock)
    for _ in range(3):
        run(keys.admitted(str(new.text), None))
    assert store.steps == ["find", "note_use", "find", "find"]
    clock.move(300)
    run(keys.admitted(str(new.text), None))
    assert store.steps[-1] == "note_use"


def test_database_that_only_reads_admits(clock: ManualClock) -> None:
    new = made(clock)
    store = KeysInMemory(new.key)
    store.fails_at = ["note_use"]
    assert run(AccessKeys(store, clock).admitted(str(new.text), None)) == new.key


def test_unavailable_store_admits_nothing(clock: ManualClock) -> None:
    new = made(clock)
    store = KeysInMemory(new.key)
    store.fails_at = ["find"]
    with pytest.raises(StoreError):
        run(AccessKeys(store, clock).admitted(str(new.text), None))


def test_secret_is_in_no_repr(clock: ManualClock) -> None:
    new = made(clock)
    assert new.text.secret not in repr(new)
    assert repr(new.key.digest) not in repr(new)
    assert new.key.hint == f"pv_{new.key.id}_…"


@pytest.mark.parametrize("mistake", [{"channels": "telepathy"}, {"networks": "203.0.113.0/99"}])
def test_key_whose_row_has_a_mistake_is_refused(
    clock: ManualClock, mistake: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    new = made(clock, channels="sms", networks="203.0.113.0/24")
    found = key_of({**row_of(new.key), **mistake})
    keys = AccessKeys(KeysInMemory(found), clock)
    assert run(keys.admitted(str(new.text), ip_address("203.0.113.7"))) is None
    assert f"the access key {new.key.id} is refused" in caplog.text
    assert key_of(row_of(new.key)) == new.key


def test_site_without_keys_loads_nothing_of_them() -> None:
    program = """
import sys
from phone_verify import Settings, build_site
from phone_verify.api import ApiRequest, handle
key = "k" * 16 + "0123456789abcdef"
values = {"sms": "console://", "secret_keys": [key], "store": "memory:"}
site = build_site(Settings.from_mapping(values), production=False)
headers = {"content-type": "application/json", "authorization": "Bearer pv_x"}
body = b'{"phone": "+989120000000"}'
assert handle(site, ApiRequest("POST", "v1/verifications", headers, body=body)).status == 201
print([name for name in sys.modules if name.startswith(("phone_verify.keys", "phone_verify.database", "sqlalchemy"))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip().endswith("[]"), (done.stdout, done.stderr)
