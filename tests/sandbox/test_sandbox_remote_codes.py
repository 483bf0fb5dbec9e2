"""Codes that a provider checks itself."""

from datetime import timedelta

import pytest

from phone_verify.sandbox import Network
from phone_verify.sandbox.remote_codes import MAX_CODES, RemoteCode

from .conftest import Clock

PHONE, OTHER = "+14155550100", "+14155550101"


def opened(network: Network, phone: str = PHONE, **details: str) -> RemoteCode:
    return network.codes.open(
        phone, provider="amoot", channel="sms", code="4821", ttl=timedelta(minutes=10), details=details
    )


def test_right_code_closes_the_verification(network: Network) -> None:
    record = opened(network)
    assert network.codes.check(record.id, "0000", most_wrong=5)[0] == "wrong"
    result, after = network.codes.check(record.id, "4821", most_wrong=5)
    assert (result, after.state, after.wrong) == ("right", "verified", 1)
    assert network.codes.check(record.id, "4821", most_wrong=5)[0] == "closed"


def test_right_code_is_refused_after_too_many_wrong_ones(network: Network) -> None:
    record = opened(network)
    for _ in range(2):
        assert network.codes.check(record.id, "0000", most_wrong=2)[0] == "wrong"
    for _ in range(2):
        result, after = network.codes.check(record.id, "4821", most_wrong=2)
        assert (result, after.state) == ("too_many", "failed")


def test_code_expires_and_a_resend_may_prolong_it(network: Network, clock: Clock) -> None:
    record = opened(network)
    clock.move(minutes=9)
    network.codes.resend(record.id, channel="voice", ttl=timedelta(minutes=5))
    clock.move(minutes=4)
    again = network.codes.resend(record.id, channel="voice", code="1111")
    assert (again.sends, again.channel, again.is_open(clock())) == (3, "voice", True)
    assert network.codes.check(record.id, "4821", most_wrong=5)[0] == "wrong"
    clock.move(minutes=1)
    assert network.codes.check(record.id, "1111", most_wrong=5)[0] == "expired"


def test_verification_is_found_by_phone_and_details(network: Network) -> None:
    first, second = opened(network, service="a"), opened(network, service="b")
    foreign = opened(network, OTHER, service="a")
    codes = network.codes
    assert codes.newest("amoot", PHONE) == second
    assert codes.newest("amoot", PHONE, service="a") == first
    assert codes.newest("amoot", service="a") == foreign
    assert codes.newest("ferzz", PHONE) is None
    assert codes.find("amoot", first.id) == first
    assert codes.find("ferzz", first.id) is None
    codes.update(first.id, state="cancelled", details={"reason": "x"})
    found = codes.newest("amoot", reason="x")
    assert found is not None
    assert (found.state, found.details) == ("cancelled", {"service": "a", "reason": "x"})
    network.remove_handset(PHONE)
    assert codes.newest("amoot", PHONE) is None
    network.clear()
    assert codes.newest("amoot") is None


def test_oldest_verification_is_dropped_and_no_code_is_in_a_repr(network: Network) -> None:
    first = opened(network)
    for _ in range(MAX_CODES):
        last = opened(network)
    assert network.codes.find("amoot", first.id) is None
    assert "4821" not in repr(last)
    with pytest.raises(KeyError):
        network.codes.check(first.id, "4821", most_wrong=1)
