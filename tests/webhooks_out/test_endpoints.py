"""Endpoints, addresses and messages: what is accepted, and the field that an error names."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from phone_verify.phone import PhoneNumber
from phone_verify.testing.outbox_suite import SECRET, change
from phone_verify.webhooks_out.addresses import is_public
from phone_verify.webhooks_out.endpoints import Endpoint, EndpointError, new_secret, read_endpoints
from phone_verify.webhooks_out.messages import EVENTS, WebhookEvent
from phone_verify.webhooks_out.signing import signed_headers
from tests.cases import in_one_test

OTHER = "whsec_" + "enl4d3Z1dHNycXBvbm1sa2ppaGdmZWRj"
LOCAL = "unencrypted_on_this_machine_for_development"


def test_scheme_in_capitals_is_encrypted() -> None:
    found = Endpoint("HTTPS://example.com:8443/a", [SECRET])
    assert (found.is_encrypted, found.port, found.authority) == (True, 8443, "example.com:8443")


def test_endpoint_has_the_parts_of_its_url() -> None:
    endpoint = Endpoint("https://Hooks.Example.com:8443/in?a=b", [SECRET])
    assert (endpoint.host, endpoint.port, endpoint.target) == ("hooks.example.com", 8443, "/in?a=b")
    assert (endpoint.authority, endpoint.is_encrypted, endpoint.name) == ("hooks.example.com:8443", True, "main")
    assert endpoint.events == EVENTS
    assert Endpoint("https://example.com", [SECRET]).target == "/"
    assert Endpoint("https://example.com:443/", [SECRET]).authority == "example.com"
    assert Endpoint("https://[2606:4700::1111]/", [SECRET]).authority == "[2606:4700::1111]"


def test_repr_shows_neither_url_nor_secrets() -> None:
    endpoint = Endpoint("https://example.com/private?token=private", [SECRET])
    assert "private" not in repr(endpoint)
    assert "whsec" not in repr(endpoint)


def test_international_host_is_written_in_ascii() -> None:
    assert Endpoint("https://bücher.example/", [SECRET]).host == "xn--bcher-kva.example"
    assert Endpoint("https://xn--bcher-kva.example/", [SECRET]).host == "xn--bcher-kva.example"


@in_one_test
@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "http://example.com/", "ftp://example.com/", "https://", "https:///path", "https://host/",
        "https://user:pass@example.com/", "https://user@example.com/", "https://example.com/#part",
        "https://example.com\\@10.0.0.1/", "https://example.com/a b", "https://example.com/\r\nHost: x",
        "https://example.com:25/", "https://example.com:0/", "https://example.com:99999/", "https://example.com:x/",
        "https://localhost/", "https://localhost./", "https://127.0.0.1/", "https://[::1]/", "http://127.0.0.1/",
        "https://10.0.0.1/", "https://[fd00::1]/", "https://[fe80::1%25eth0]/", "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest", "https://2130706433/", "https://0x7f.1/", "https://127.1/",
        "https://example.0x7f/", "https://straße.example/", "https://ex_ample.com/", "https://-example.com/",
        "https://example..com/", "https://[oops/", "https://example.com/ä", "https://" + "a" * 64 + ".com/",
        "https://example.com/" + "a" * 1000, "https://１２７.0.0.1/", "https://ⓔxample.com:25/",
    ],
)  # fmt: skip
def test_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(EndpointError) as raised:
        Endpoint(url, [SECRET])
    assert raised.value.field == "url"
    assert "user" not in str(raised.value).replace("user name", "")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://localhost/x", "https://[::1]:1/"])
def test_this_machine_is_for_development(url: str) -> None:
    assert Endpoint(url, [SECRET], unencrypted_on_this_machine_for_development=True).is_on_this_machine
    with pytest.raises(EndpointError, match=LOCAL):
        Endpoint(url, [SECRET])


@pytest.mark.parametrize("url", ["http://example.com/", "http://10.0.0.1/", "https://192.168.1.1/"])
def test_development_option_allows_no_other_machine(url: str) -> None:
    with pytest.raises(EndpointError):
        Endpoint(url, [SECRET], unencrypted_on_this_machine_for_development=True)


@in_one_test
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ("text", "webhooks"),
        ({"url": "https://example.com"}, "webhooks"),
        (["https://example.com"], "0.url"),
        ([{}], "0.url"),
        ([{"url": 5, "secrets": [SECRET]}], "0.url"),
        ([{"url": "https://example.com"}], "0.secrets"),
        ([{"url": "https://example.com", "secrets": SECRET}], "0.secrets"),
        ([{"url": "https://example.com", "secrets": [5]}], "0.secrets"),
        ([{"url": "https://example.com", "secrets": {SECRET: 1}}], "0.secrets"),
        ([{"url": "https://example.com", "secrets": ["short"]}], "0.secrets"),
        ([{"url": "https://example.com", "secrets": ["whsec_c2hvcnQ="]}], "0.secrets"),
        ([{"url": "https://example.com", "secrets": ["whsec_!!!!"]}], "0.secrets"),
        ([{"url": "https://example.com", "secrets": [SECRET, SECRET]}], "0.secrets"),
        ([{"url": "https://example.com", "secrets": [SECRET] * 5}], "0.secrets"),
        ([{"url": "https://example.com", "secrets": [SECRET], "events": []}], "0.events"),
        ([{"url": "https://example.com", "secrets": [SECRET], "events": ["verification.lost"]}], "0.events"),
        ([{"url": "https://example.com", "secrets": [SECRET], "name": "Main"}], "0.name"),
        ([{"url": "https://example.com", "secrets": [SECRET], "name": None}], "0.name"),
        ([{"url": "https://example.com", "secrets": [SECRET], "colour": "red"}], "0.name"),
        ([{"url": "https://example.com", "secrets": [SECRET], LOCAL: "yes"}], f"0.{LOCAL}"),
        ([{"url": "https://example.com", "secrets": [SECRET]}] * 2, "1.name"),
    ],
)
def test_error_names_the_field(values: Any, field: str) -> None:
    with pytest.raises(EndpointError) as raised:
        read_endpoints(values)
    assert raised.value.field == field
    assert SECRET not in str(raised.value)


def test_endpoints_are_read() -> None:
    values = [
        {"url": "https://example.com/a", "secrets": [SECRET, OTHER], "events": ["verification.verified"]},
        {"url": "https://example.com/b", "secrets": [OTHER], "name": "second"},
    ]
    first, second = read_endpoints(values)
    assert (first.secrets, first.events) == ((SECRET, OTHER), {WebhookEvent.VERIFIED})
    assert (second.name, second.events) == ("second", EVENTS)
    assert read_endpoints([]) == ()


def test_changed_url_has_another_place() -> None:
    first = Endpoint("https://example.com/a", [SECRET])
    assert first.place == Endpoint("https://example.com/a", [OTHER]).place
    assert first.place != Endpoint("https://example.com/b", [SECRET]).place


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@in_one_test
@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "168.63.129.16", "169.254.169.254",
        "172.16.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "203.0.113.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:808:808::1",
        "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1111%1", "fec0::1",
        "2a00:1450::5efe:10.0.0.1", "2a00:1450::200:5efe:8.8.8.8", "2a00:1450:1:1:300:5efe:7f00:1",
        "ff02::1", "ff0e::1", "localhost", "8.8.8.8.", "08.8.8.8", "",
    ],
)  # fmt: skip
def test_other_addresses(address: str) -> None:
    assert not is_public(address)


def test_message_is_signed_with_each_secret_during_rotation() -> None:
    now = datetime.now(timezone(timedelta(hours=3, minutes=30)))
    body = change(hint="+98 ••••••••13").body
    headers = signed_headers(Endpoint("https://example.com", [SECRET, OTHER]), "msg_1", body, now)
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret(os.urandom)).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, {**headers, "webhook-id": "msg_2"})


def test_new_secret_is_accepted() -> None:
    secret = new_secret(os.urandom)
    assert secret != new_secret(os.urandom)
    assert Endpoint("https://example.com", [secret]).secrets == [secret]


def test_message_has_no_full_number() -> None:
    phone = PhoneNumber("+989120000013")
    told = change(hint=phone.hint, at=datetime(2030, 1, 1, 12, tzinfo=UTC))
    assert json.loads(told.body) == {
        "type": "verification.sent",
        "timestamp": "2030-01-01T12:00:00.000Z",
        "data": {
            "verification_id": told.verification,
            "status": "sent",
            "service": "shop",
            "purpose": "login",
            "channel": "sms",
            "phone_hint": phone.hint,
            "send": 1,
        },
    }
    assert phone.e164 not in told.body
    assert told.body.isascii()


def test_id_follows_from_the_change() -> None:
    sent = change()
    assert sent.id == change(status="other", at=datetime(2031, 1, 1, tzinfo=UTC)).id
    others = [change(1), change(send=2), change(event=WebhookEvent.DELIVERED), change(event=WebhookEvent.VERIFIED)]
    assert len({sent.id, *(other.id for other in others)}) == 5
    assert change(event=WebhookEvent.VERIFIED, send=2).id == others[-1].id
    assert sent.id.startswith("msg_")
    assert "." not in sent.id
