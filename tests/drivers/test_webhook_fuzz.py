"""Any webhook parses to a complete event or to none; never to an error."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.drivers.base import Driver, ReadsWebhooks
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.reading import reference_of
from phone_verify.exchange import WebhookRequest
from phone_verify.model import IncomingCall
from phone_verify.phone import PhoneNumber

DRIVERS = [
    load_driver(parse_dsn(dsn, "DSN"))
    for dsn in (
        "ssms://FAKE-KEY@default",
        "ssms://FAKE-KEY@default?foreign=digits&webhook_caller=who",
        "telefon-ip://FAKE-TOKEN@default",
        "telefon-ip://FAKE-TOKEN@default?foreign=digits",
    )
]
NAMES = ("waiting_call_from", "phone", "from", "who", "call_to_number", "to", "id_call", "id", "success")
USUAL = ("79000000000", "89000000000", "+79000000000", "78000000000", "100001", "True", "", "anonymous")

_names = st.sampled_from(NAMES) | st.text(max_size=20)
_values = st.sampled_from(USUAL) | st.text(max_size=40) | st.from_regex(r"[+]?[0-9]{0,40}", fullmatch=True)
_parameters = st.lists(st.tuples(_names, _values), max_size=8)


def request(parameters: list[tuple[str, str]], body: bytes = b"") -> WebhookRequest:
    return WebhookRequest("GET", parameters, {}, body)


@pytest.mark.fuzz
@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: f"{driver.scheme}-{driver.foreign}")
@given(parameters=_parameters, body=st.binary(max_size=100))
def test_any_webhook_parses_to_a_complete_event_or_none(
    driver: Driver, parameters: list[tuple[str, str]], body: bytes
) -> None:
    assert isinstance(driver, ReadsWebhooks)
    event = driver.parse_webhook(request(parameters, body))
    if event is None:
        return
    assert isinstance(event, IncomingCall)
    assert event.caller is not None
    assert PhoneNumber.parse(event.caller.e164) == event.caller
    assert event.reference is None or reference_of(event.reference) == event.reference
    assert event.reference is not None or event.line is not None
    # The wire form gives the same result.
    wired = parse_qsl(urlencode(parameters, errors="replace"), keep_blank_values=True)
    if wired == parameters:
        assert driver.parse_webhook(request(wired)) == event
    # And a repeated parameter verifies nothing.
    callers = getattr(driver, "webhook_caller", ("phone",))
    told = next((name, value) for name, value in parameters if name in callers)
    assert driver.parse_webhook(request([*parameters, told])) is None
