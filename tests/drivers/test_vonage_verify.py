"""Vonage Verify: the shared suite, the table of errors, and the verification that is under way."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.base import Retries
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.kinds import signed_token
from phone_verify.drivers.vonage_verify import VonageVerify
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

PHONE = PhoneNumber("+15005550006")
ID = "2c59e3f4-0000-499f-a14f-819cd1989d2e"


class TestVonageVerify(DriverSuite):
    driver = VonageVerify
    dsn = (
        "vonage-verify://FAKE%2Bkey:FAKE%2Fsecret@127.0.0.1:8025/base?tls=off&brand=Example&whatsapp_sender=15005550002"
    )
    variants = (
        "code_length=4&locale=en-us&sender=Example",
        "signature_secret=FAKE-SIGNATURE-SECRET-OF-32-CHARACTERS",
        "name=vonage-2&timeout=5",
    )
    samples = Path(__file__).parent / "samples" / "vonage_verify"
    phone = "+15005550006"


#: The HTTP statuses of the fact sheet and the vendor's titles, with the resulting failure kind.
TABLE = """
    400 Bad-Request unknown
    401 Unauthorized configuration
    402 Low-Balance balance
    403 Forbidden configuration
    404 Not-Found unknown
    409 Conflict unknown
    422 Invalid-params configuration
    429 Rate-Limit-Hit rate
    500 Internal-Error transient
    503 Unavailable transient
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]


def load(options: str = "brand=Example", credentials: str = "FAKE-KEY:FAKE-SECRET") -> VonageVerify:
    driver = load_driver(parse_dsn(f"vonage-verify://{credentials}@default?{options}", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, VonageVerify)
    return driver


def order(seconds: int = 120, channel: Channel = Channel.SMS) -> Order:
    return Order(PHONE, channel, timedelta(seconds=seconds))


def answer(status: int, document: object) -> HttpResponse:
    return HttpResponse(status, {}, json.dumps(document).encode())


def conflict(id: object = ID) -> HttpResponse:
    return answer(409, {"title": "Conflict", "detail": "Concurrent verifications …", "request_id": id})


@in_one_test
@pytest.mark.parametrize(("status", "title", "trouble"), ERRORS, ids=[error[0] for error in ERRORS])
def test_every_error_is_mapped(status: str, title: str, trouble: str) -> None:
    problem = {"title": title.replace("-", " "), "type": "https://v.example/e#other", "detail": "m"}
    result, _ = overhear(load().start(order()), [answer(int(status), problem)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)


@pytest.mark.parametrize(("seconds", "timeout"), [(5, 15), (15, 15), (300, 300), (1800, 900)])
def test_lifetime_is_within_the_limits_of_the_provider(seconds: int, timeout: int) -> None:
    _, asked = overhear(load().start(order(seconds)), [HttpResponse(202)])
    assert isinstance(asked[0], HttpRequest)
    assert json.loads(asked[0].body or b"")["channel_timeout"] == timeout


def test_lost_cancellation_is_a_refusal() -> None:
    result, asked = overhear(load().start(order()), [conflict(), UnclearError("late")])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind.TRANSIENT
    assert [request.method for request in asked if isinstance(request, HttpRequest)] == ["POST", "DELETE"]


def test_lost_start_after_a_cancellation_is_unclear() -> None:
    result, _ = overhear(load().start(order()), [conflict(), HttpResponse(204), UnclearError("late")])
    assert isinstance(result, UnclearError)


@pytest.mark.parametrize("id", [None, True, 1.5, "", "a b", "x" * 65])
def test_only_a_readable_verification_is_cancelled(id: object) -> None:
    result, asked = overhear(load().start(order()), [conflict(id)])
    assert isinstance(result, ProviderError)
    assert len(asked) == 1


def test_id_stays_inside_of_the_path() -> None:
    _, asked = overhear(load().start(order()), [conflict("../x?y#z"), HttpResponse(500)])
    assert isinstance(asked[1], HttpRequest)
    assert asked[1].url == "https://api.nexmo.com/v2/verify/..%2Fx%3Fy%23z"


def test_resend_is_a_new_verification() -> None:
    assert not isinstance(load(), Retries)


def test_whatsapp_needs_its_sender() -> None:
    assert load().abilities.keys() == {Channel.SMS, Channel.VOICE}
    assert Channel.WHATSAPP in load("brand=Example&whatsapp_sender=15005550002").abilities


def test_code_length_is_that_of_the_option() -> None:
    assert load().abilities[Channel.SMS].fixed_length == 6
    assert load("brand=Example&code_length=10").abilities[Channel.VOICE].fixed_length == 10


def test_signature_secret_is_hidden() -> None:
    driver = load("brand=Example&signature_secret=FAKE-SIGNATURE-SECRET")
    assert "FAKE" not in repr(driver)
    assert driver.redact("it is FAKE-SIGNATURE-SECRET") == "it is …"


def test_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_token, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"phone-verify\[webhooks\]"):
        load("brand=Example&signature_secret=FAKE-SIGNATURE-SECRET")


@pytest.mark.parametrize(
    "options",
    [
        "locale=en-us",
        "brand=",
        "brand=Seventeen%20letters",
        "brand=Example&code_length=3",
        "brand=Example&code_length=11",
        "brand=Example&locale=English",
        "brand=Example&whatsapp_sender=%2B15005550002",
        "brand=Example&signature_secret=",
    ],
)
def test_unusable_settings_are_reported(options: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS") as raised:
        load(options)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.nexmo.com"
