"""Vonage SMS: the shared suite, the table of statuses, and the signature of delivery receipts."""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.vonage import Vonage
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestVonage(DriverSuite):
    driver = Vonage
    dsn = "vonage://FAKE%2Bkey:FAKE%2Fsecret@127.0.0.1:8025/base?tls=off&sender=Example"
    variants = ("signature_secret=FAKE-SIGNATURE-SECRET&signature_method=md5hash", "name=vonage-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "vonage"
    phone = "+15005550006"


#: The statuses of Vonage's docs and clients, with the resulting failure kind.
TABLE = """
    1 rate
    2 configuration
    3 configuration
    4 configuration
    5 transient
    6 bad_number
    7 bad_number
    8 configuration
    9 balance
    10 rate
    11 configuration
    12 configuration
    14 configuration
    15 configuration
    22 configuration
    23 configuration
    29 configuration
    32 configuration
    33 bad_number
    99 unknown
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]


def load(options: str = "sender=Example", credentials: str = "FAKE-KEY:FAKE-SECRET") -> Vonage:
    driver = load_driver(parse_dsn(f"vonage://{credentials}@default?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Vonage)
    return driver


def order(seconds: float = 120) -> Order:
    return Order(PhoneNumber("+15005550006"), Channel.SMS, timedelta(seconds=seconds), "482193")


@in_one_test
@pytest.mark.parametrize(("status", "trouble"), ERRORS, ids=[status for status, _ in ERRORS])
def test_every_status_is_mapped(status: str, trouble: str) -> None:
    body = {"message-count": "1", "messages": [{"status": status, "error-text": "m"}]}
    result, _ = overhear(load().start(order()), [HttpResponse(200, {}, json.dumps(body).encode())])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


@pytest.mark.parametrize(("seconds", "ttl"), [(5, "20000"), (20, "20000"), (90.5, "90500"), (600, "600000")])
def test_lifetime_is_that_of_the_code(seconds: float, ttl: str) -> None:
    _, asked = overhear(load().start(order(seconds)), [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    assert dict(parse_qsl((asked[0].body or b"").decode()))["ttl"] == ttl


def test_notice_sends_the_text_alone() -> None:
    accepted = json.dumps({"message-count": "1", "messages": [{"status": "0"}]}).encode()
    result, asked = overhear(load().notice(PhoneNumber("+15005550006"), "Hello"), [HttpResponse(200, {}, accepted)])
    assert result is None
    assert isinstance(asked[0], HttpRequest)
    fields = dict(parse_qsl((asked[0].body or b"").decode()))
    assert fields.keys() == {"api_key", "api_secret", "from", "to", "text", "type"}
    assert fields["text"] == "Hello"


#: Computed by OpenSSL over `&a=1&b=x_y_z&timestamp=1767225600` with the secret `FAKE-SIGNATURE-SECRET`.
SIGNATURES = {
    "md5": "1e5d4d2329d52d0c8552933e071907d7",
    "sha1": "86de9ff5d9d6bbb391de4f6e947184ffabcafc57",
    "sha256": "0f22353186b999bdc2d017363d6fe4a2593c51661e728be7456fc346cd22a5e3",
    "sha512": "b57d074f591b44bc91b17aa6e8e453aece6d3322fc86643e3e798a46a83612a9ca6793a3649835e30c56817f3f7c4ec64350781356f03a57f61831187092a4ae",  # noqa: E501
}


@pytest.mark.parametrize("method", SIGNATURES)
def test_known_signature_is_computed(method: str) -> None:
    driver = load(f"sender=Example&signature_secret=FAKE-SIGNATURE-SECRET&signature_method={method}")
    fields = {"timestamp": "1767225600", "b": "x&y=z", "sig": "ignored", "a": "1"}
    assert driver.signature(fields) == SIGNATURES[method]


def test_md5_hash_ends_in_the_secret() -> None:
    driver = load("sender=Example&signature_secret=FAKE-SIGNATURE-SECRET&signature_method=md5hash")
    digest = hashlib.md5(b"&a=1&b=2FAKE-SIGNATURE-SECRET", usedforsecurity=False).hexdigest()
    assert driver.signature({"b": "2", "a": "1"}) == digest


def test_receipt_is_requested_only_if_it_can_be_checked() -> None:
    assert not load().abilities[Channel.SMS].webhook_url
    assert load("sender=Example&signature_secret=FAKE").abilities[Channel.SMS].webhook_url


@pytest.mark.parametrize(("length", "sent"), [(100, True), (101, False)])
def test_callback_is_sent_up_to_its_longest(length: int, sent: bool) -> None:
    url = "https://site.example/".ljust(length, "x")
    asking = load("sender=Example&signature_secret=FAKE").start(replace(order(), webhook_url=url))
    _, asked = overhear(asking, [HttpResponse(200)])
    assert isinstance(asked[0], HttpRequest)
    assert dict(parse_qsl((asked[0].body or b"").decode())).get("callback") == (url if sent else None)


def test_signature_secret_is_hidden() -> None:
    driver = load("sender=Example&signature_secret=FAKE-SIGNATURE-SECRET")
    assert "FAKE" not in repr(driver)
    assert driver.redact("it is FAKE-SIGNATURE-SECRET") == "it is …"


@pytest.mark.parametrize(
    "options",
    [
        "signature_method=sha256",
        "sender=",
        "sender=%2B15005550006",
        "sender=Example&signature_secret=",
        "sender=Example&signature_method=sha3",
        "sender=Example&currency=euro",
    ],
)
def test_unusable_settings_are_reported(options: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS") as raised:
        load(options)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://rest.nexmo.com"
