"""The client's address: forms of an address in proxy headers, and which peers may report one."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.config.proxies import load_proxies
from phone_verify.config.settings import Settings
from phone_verify.errors import ConfigurationError
from phone_verify.http import client_address as module
from phone_verify.http.client_address import client_address
from phone_verify.http.proxies import FORWARDED, FORWARDED_FOR, Proxies
from tests.cases import in_one_test

PROXY = "192.0.2.1"
INSIDE = (ip_network("192.0.2.0/24"), ip_network("2001:db8:ffff::/48"))


@pytest.fixture(autouse=True)
def _first_warning() -> Iterator[None]:
    module._warn_of.cache_clear()
    yield
    module._warn_of.cache_clear()


def address(value: str | None, *, peer: str | None = PROXY, **proxies: Any) -> str | None:
    """Return the client's address of a request with this value in the configured header."""
    chosen = Proxies(**proxies)
    return client_address(peer, {} if value is None else {chosen.header: value}, chosen)


@in_one_test
@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "expected"),
    [
        (PROXY, "198.51.100.1", 0, PROXY),
        (PROXY, "198.51.100.1", 1, "198.51.100.1"),
        (PROXY, "203.0.113.9, 198.51.100.1", 1, "198.51.100.1"),
        (PROXY, "203.0.113.9, 198.51.100.1", 2, "203.0.113.9"),
        (PROXY, "203.0.113.9, 198.51.100.1", 3, PROXY),
        (PROXY, "nonsense", 1, PROXY),
        (PROXY, "nonsense, 198.51.100.1", 1, "198.51.100.1"),
        (PROXY, "203.0.113.9, nonsense", 2, "203.0.113.9"),
        (PROXY, "198.51.100.1,", 1, PROXY),
        (PROXY, "", 1, PROXY),
        (PROXY, None, 1, PROXY),
        ("2001:db8:1:2:3:4:5:6", None, 0, "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", None, 0, "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", None, 0, PROXY),
        ("192.0.2.7:5120", None, 0, "192.0.2.7"),
        (PROXY, "2001:db8::1", 1, "2001:db8::/64"),
        ("", None, 0, None),
        (None, None, 0, None),
        (None, "198.51.100.1", 1, "198.51.100.1"),
    ],
)
def test_counted_proxies_choose_the_entry(
    peer: str | None, forwarded: str | None, proxies: int, expected: str | None
) -> None:
    assert address(forwarded, peer=peer, count=proxies) == expected


@in_one_test
@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("198.51.100.1:1001", "198.51.100.1"),
        ("[2001:db8::1]:443", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("[::ffff:198.51.100.1]:8", "198.51.100.1"),
        ("64:ff9b::198.51.100.1", "198.51.100.1"),
        ("64:ff9b:1::198.51.100.1", "64:ff9b:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("198.51.100.1:_port", "198.51.100.1"),
        ("\t198.51.100.1 ", "198.51.100.1"),
        ("198.51.100.1:", PROXY),
        ("198.51.100.1:http", PROXY),
        ("198.51.100.1:123456", PROXY),
        ("[198.51.100.1]:80", "198.51.100.1"),
        ("[2001:db8::1", PROXY),
        ("198.51.100.01", PROXY),
        ("١٩٨.51.100.1", PROXY),
        ("unknown", PROXY),
        ("_hidden", PROXY),
        ("localhost", PROXY),
        ("1" * 5000, PROXY),
    ],
)
def test_forms_of_an_address_are_read(entry: str, expected: str) -> None:
    assert address(entry, count=1) == expected


@in_one_test
@pytest.mark.parametrize(
    ("value", "count", "expected"),
    [
        ("for=198.51.100.1;proto=https;by=203.0.113.43", 1, "198.51.100.1"),
        ('For="198.51.100.1:8080"', 1, "198.51.100.1"),
        ('for="[2001:db8::1]:4711"', 1, "2001:db8::/64"),
        ("for=[2001:db8::1]:4711", 1, "2001:db8::/64"),
        ("for=198.51.100.1:8080", 1, "198.51.100.1"),
        (r'for="198\.51.100.1"', 1, "198.51.100.1"),
        ("by=203.0.113.43; for=198.51.100.1 ;", 1, "198.51.100.1"),
        ("for=203.0.113.9, for=198.51.100.1", 1, "198.51.100.1"),
        ("for=203.0.113.9,for=198.51.100.1", 2, "203.0.113.9"),
        ('for=203.0.113.9;host="a,b", for=198.51.100.1', 2, "203.0.113.9"),
        ('for="203.0.113.9, for=198.51.100.1', 1, "198.51.100.1"),
        ('for="203.0.113.9, for="[2001:db8::1]:1"', 1, "2001:db8::/64"),
        ('host="x, for=203.0.113.9"', 1, PROXY),
        ("for=unknown", 1, PROXY),
        ("for=_SEVKISEK", 1, PROXY),
        ('for="_gazonk"', 1, PROXY),
        ("for=203.0.113.9;for=198.51.100.1", 1, PROXY),
        ("proto=https", 1, PROXY),
        ("198.51.100.1", 1, PROXY),
        ("for=", 1, PROXY),
        ("for=198.51.100.1", 2, PROXY),
        ("", 1, PROXY),
    ],
)
def test_forwarded_is_read_as_in_rfc_7239(value: str, count: int, expected: str) -> None:
    assert address(value, count=count, header=FORWARDED) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("198.51.100.1, 192.0.2.9, [2001:db8:ffff::3]:80", "198.51.100.1"),
        ("198.51.100.1, nonsense, 192.0.2.9", PROXY),
        ("192.0.2.8, 192.0.2.9", "192.0.2.8"),
        ("", PROXY),
    ],
)
def test_last_address_outside_the_networks_is_the_client(value: str, expected: str) -> None:
    assert address(value, networks=INSIDE) == expected


@in_one_test
@pytest.mark.parametrize("peer", ["203.0.113.5", "2001:db8:fffe::1", None, "", "nonsense"])
@pytest.mark.parametrize(
    ("header", "value", "count"),
    [
        (FORWARDED_FOR, "198.51.100.1", 0),
        (FORWARDED_FOR, "198.51.100.1", 1),
        (FORWARDED, "for=198.51.100.1", 0),
        ("cf-connecting-ip", "198.51.100.1", 0),
    ],
)
def test_header_of_another_peer_does_not_count(peer: str | None, header: str, value: str, count: int) -> None:
    assert address(value, peer=peer, header=header, count=count, networks=INSIDE) == client_address(peer, {}, Proxies())


def test_named_header_holds_one_address() -> None:
    named = {"header": "cf-connecting-ip", "networks": INSIDE}
    assert address("198.51.100.1", **named) == "198.51.100.1"
    assert address("2001:db8::1", **named) == "2001:db8::/64"
    assert address("198.51.100.1, 203.0.113.9", **named) == PROXY
    assert address(None, **named) == PROXY


def test_unix_socket_is_a_peer_that_can_be_trusted() -> None:
    assert address("198.51.100.1", peer="", unix_socket=True) == "198.51.100.1"
    assert address("198.51.100.1", peer="203.0.113.5", unix_socket=True) == "203.0.113.5"


def test_unreadable_entry_is_logged_once_without_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "phone_verify"):
        for n in range(3):
            address(f"nonsense-{n}", count=1)
            address("198.51.100.1", count=2)
            address("198.51.100.1", count=1)
    [unreadable, too_few] = [record.getMessage() for record in caplog.records]
    assert "x-forwarded-for has an entry that cannot be read" in unreadable
    assert "fewer entries" in too_few
    assert "nonsense" not in caplog.text
    assert "198.51" not in caplog.text


#: Texts near the headers' grammar, and any others.
_WORDS = st.sampled_from(
    [
        "for=",
        "by=",
        '"',
        ",",
        ";",
        "\\",
        "[",
        "]",
        ":",
        "192.0.2.7",
        "198.51.100.1",
        "2001:db8::1",
        "_x",
        "unknown",
        "%",
    ]
)
_VALUES = st.one_of(st.lists(st.one_of(_WORDS, st.text(max_size=3)), max_size=40).map("".join), st.text(max_size=200))
_HEADERS = st.sampled_from([FORWARDED_FOR, FORWARDED, "cf-connecting-ip"])


@given(_VALUES, _HEADERS, st.integers(0, 4), st.booleans())
def test_any_header_gives_an_address(value: str, header: str, count: int, named: bool) -> None:
    found = address(value, header=header, count=count, networks=INSIDE if named else ())
    assert found is not None
    ip_address(found.partition("/")[0])


@given(_VALUES, _HEADERS, st.integers(0, 4), st.one_of(st.ip_addresses().map(str), st.text(max_size=20)))
def test_untrusted_peer_never_chooses_the_address(value: str, header: str, count: int, peer: str) -> None:
    own = client_address(peer, {}, Proxies())
    outside = (ip_network("192.0.2.0/24"),)
    if own is None or ip_address(own.partition("/")[0]) not in outside[0]:
        assert address(value, peer=peer, header=header, count=count, networks=outside) == own


@given(_VALUES, st.sampled_from([FORWARDED_FOR, FORWARDED]))
def test_client_cannot_hide_what_its_proxy_adds(value: str, header: str) -> None:
    added = "198.51.100.77" if header == FORWARDED_FOR else "for=198.51.100.77"
    assert address(f"{value}, {added}", header=header, count=1) == "198.51.100.77"
    assert address(f"{value}, {added}", header=header, networks=INSIDE) == "198.51.100.77"


@pytest.mark.parametrize("part", [",", '"', "\\", ';,"', "for=192.0.2.7,", 'for="a,', " ", ";", "a=b;"])
def test_long_hostile_header_is_read_quickly(part: str) -> None:
    value = part * (16_000 // len(part))
    begun = time.thread_time()
    for header in (FORWARDED_FOR, FORWARDED):
        address(value, header=header, count=1)
        address(value, header=header, networks=INSIDE)
    assert time.thread_time() - begun < 2


@in_one_test
@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"trusted_networks": "10.0.0.0/33"}, "TRUSTED_NETWORKS: use networks like"),
        ({"trusted_networks": "10.0.0.1/8"}, "TRUSTED_NETWORKS: use networks like"),
        ({"trusted_networks": "0.0.0.0/0"}, "TRUSTED_NETWORKS: 0.0.0.0/0 contains every client"),
        ({"trusted_networks": "::ffff:0:0/96"}, "TRUSTED_NETWORKS: 0.0.0.0/0 contains every client"),
        ({"trusted_networks": "::/0"}, "TRUSTED_NETWORKS: ::/0 contains every client"),
        ({"client_address_header": "CF Connecting"}, "CLIENT_ADDRESS_HEADER: use the name of a header"),
        ({"client_address_header": "Forwarded"}, "CLIENT_ADDRESS_HEADER is not read without"),
        ({"client_address_header": "CF-Connecting-IP"}, "CLIENT_ADDRESS_HEADER needs PHONE_VERIFY_TRUSTED_NETWORKS"),
        ({"client_address_header": "CF-Connecting-IP", "trusted_proxies": 1}, "needs PHONE_VERIFY_TRUSTED_NETWORKS"),
        (
            {"client_address_header": "X-Real-IP", "trusted_proxies": 1, "trusted_networks": "10.0.0.0/8"},
            "TRUSTED_PROXIES counts the entries",
        ),
    ],
)
def test_forgeable_settings_are_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_") as refused:
        load_proxies(Settings.from_mapping(values))
    assert says in str(refused.value)


def test_mapped_network_is_its_ipv4_network() -> None:
    found = load_proxies(Settings.from_mapping({"trusted_networks": ["::ffff:10.0.0.0/104", "::ffff:192.0.2.1"]}))
    assert found.networks == [ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32")]


def test_settings_become_trusted_proxies() -> None:
    found = load_proxies(
        Settings.from_mapping(
            {"trusted_networks": ["10.0.0.0/8", "2001:db8::/32", "unix"], "client_address_header": "CF-Connecting-IP"}
        )
    )
    networks = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]
    assert found == Proxies(header="cf-connecting-ip", networks=networks, unix_socket=True)
    assert load_proxies(Settings()) == Proxies(networks=[])
