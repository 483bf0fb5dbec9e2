"""New-Tel: the shared suite, the signed requests, the two levels of errors, and the states of a call."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.new_tel import NewTel, signature_of
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, CodeSource, DeliveryReport, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test

PHONE = PhoneNumber("+79990000001")


class TestNewTel(DriverSuite):
    driver = NewTel
    dsn = "new-tel://FAKE%2Fauth%2B1:FAKE%2Fsign%2B1@127.0.0.1:8025/base?tls=off"
    variants = ("foreign=digits&ring=20", "name=new-tel-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "new_tel"
    phone, abroad = PHONE.e164, "+989120000000"


#: The HTTP status, the level of the error, its text, and the resulting failure kind.
TABLE = """
    200 outer Invalid-token configuration
    400 outer Invalid-token configuration
    401 outer Invalid-token configuration
    403 outer Invalid-token configuration
    200 outer Wrong-number-format configuration
    200 outer Low-balance configuration
    429 outer Too-many-requests rate
    500 outer Internal-error transient
    200 inner Wrong-number bad_number
    400 inner Wrong-number bad_number
    200 inner Low-balance balance
    400 inner Low-balance balance
    200 inner Other unknown
    400 inner Other unknown
    429 inner Other rate
    429 inner Too-many-calls-to-this-number rate
    503 inner Number-service-is-down transient
    503 inner Other transient
"""
ERRORS = [tuple(line.split()) for line in TABLE.strip().splitlines()]
#: The words of published clients.
STATES = {
    "answered": "delivered",
    "busy": "delivered",
    "no answer": "delivered",
    "no such number": "undelivered",
    "not available": "undelivered",
    "cancel": "open",
    "BUSY": "open",
}


def load(options: str = "", credentials: str = "FAKE-AUTH:FAKE-SIGN") -> NewTel:
    driver = load_driver(parse_dsn(f"new-tel://{credentials}@default{options}", "PHONE_VERIFY_FLASH_CALL"))
    assert isinstance(driver, NewTel)
    return driver


def order(code: str = "1234") -> Order:
    return Order(PHONE, Channel.FLASH_CALL, timedelta(minutes=2), code)


@in_one_test
@pytest.mark.parametrize(("status", "level", "text", "trouble"), ERRORS)
def test_every_error_is_mapped(status: str, level: str, text: str, trouble: str) -> None:
    said = text.replace("-", " ") + " 79990000001"
    inner = {"status": "success", "data": {"result": "error", "message": said}}
    document = inner if level == "inner" else {"status": "error", "message": said}
    result, _ = overhear(load().start(order()), [HttpResponse(int(status), {}, json.dumps(document).encode())])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind(trouble)
    assert text.replace("-", " ") in result.detail
    assert "999000" not in result.detail


@pytest.mark.parametrize(("status", "state"), STATES.items())
def test_every_state_is_mapped(status: str, state: str) -> None:
    document = {"status": "success", "data": {"result": "success", "callDetails": {"callId": "1", "status": status}}}
    report, _ = overhear(load().delivery("1"), [HttpResponse(200, {}, json.dumps(document).encode())])
    assert isinstance(report, DeliveryReport)
    assert report.state == state


def test_signature_is_that_of_the_published_clients() -> None:
    body = b'{"dstNumber":"79990000001","pin":"1234"}'
    made = signature_of("call-password/start-password-call", "1767225600", "a" * 48, body, "b" * 48)
    assert made == "a73f96075cc923cfc3802cb0ab0fd4505d713ad65270b4ce1dd5ff1660015259"


def test_bytes_that_are_sent_are_signed_at_the_time_of_sending() -> None:
    request = next(load().start(order()))
    assert isinstance(request, HttpRequest)
    assert "Authorization" not in request.headers
    for second in (1767225600, 1767225601):
        sent = request.signed(datetime.fromtimestamp(second, UTC) + timedelta(milliseconds=900))
        text = f"call-password/start-password-call\n{second}\nFAKE-AUTH\n{(sent.body or b'').decode()}\nFAKE-SIGN"
        assert sent.body == request.body
        assert sent.headers["Authorization"] == f"Bearer FAKE-AUTH{second}{sha256(text.encode()).hexdigest()}"


def test_base_path_is_not_signed() -> None:
    driver = load_driver(parse_dsn("new-tel://FAKE-AUTH:FAKE-SIGN@site.example/base", "PHONE_VERIFY_FLASH_CALL"))
    assert isinstance(driver, NewTel)
    time = datetime.fromtimestamp(1767225600, UTC)
    requests = [next(sender.start(order())) for sender in (driver, load())]
    headers = [request.signed(time).headers for request in requests if isinstance(request, HttpRequest)]
    assert headers[0] == headers[1]


def test_code_has_four_digits() -> None:
    ability = load().abilities[Channel.FLASH_CALL]
    assert (ability.code_source, ability.shortest, ability.longest) == (CodeSource.LOCAL, 4, 4)


@pytest.mark.parametrize(
    ("options", "credentials"),
    [
        ("?ring=19", "FAKE-AUTH:FAKE-SIGN"),
        ("?ring=46", "FAKE-AUTH:FAKE-SIGN"),
        ("?ring=half", "FAKE-AUTH:FAKE-SIGN"),
        ("", "FAKE%20AUTH:FAKE-SIGN"),
        ("", "FAKE-AUTH:FAKE%0ASIGN"),
        ("", "FAKE-AUTH"),
    ],
)
def test_unusable_settings_are_refused(options: str, credentials: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_FLASH_CALL") as raised:
        load(options, credentials)
    assert "FAKE" not in str(raised.value)


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://api.new-tel.net"
