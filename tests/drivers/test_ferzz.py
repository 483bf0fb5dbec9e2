"""Ferzz: the shared suite, and the meaning of its statuses and texts."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.ferzz import Ferzz
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpRequest, HttpResponse
from phone_verify.model import Channel, CodeSource, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestFerzz(DriverSuite):
    driver = Ferzz
    dsn = "ferzz://FAKE.key%2F1@127.0.0.1:8025/base?tls=off"
    variants = ("foreign=digits", "retry_path=/services/call/retry/")
    samples = Path(__file__).parent / "samples" / "ferzz"
    phone, abroad = "+989120000000", "+79000000000"


def load() -> Ferzz:
    driver = load_driver(parse_dsn("ferzz://FAKE-KEY@default", "PHONE_VERIFY_FLASH_CALL"))
    assert isinstance(driver, Ferzz)
    return driver


def answered(status: int, message: str | None) -> object:
    driver = load()
    body = b"" if message is None else json.dumps({"message": message}).encode()
    order = Order(PhoneNumber("+989120000000"), Channel.FLASH_CALL, timedelta(seconds=180))
    return overhear(driver.start(order), [HttpResponse(status, {}, body)])[0]


STATUSES = [
    (400, "unknown"),
    (401, "configuration"),
    (402, "balance"),
    (403, "configuration"),
    (404, "unknown"),
    (429, "rate"),
    (500, "transient"),
    (502, "transient"),
    (503, "transient"),
]


@in_one_test
@pytest.mark.parametrize(("status", "trouble"), STATUSES)
@pytest.mark.parametrize("message", [None, "", "درخواست دچار خطا شد", "متن دیگر"])
def test_every_http_error(status: int, trouble: str, message: str | None) -> None:
    error = answered(status, message)
    assert isinstance(error, ProviderError)
    assert error.trouble is FailureKind(trouble)
    assert error.detail.startswith(f"HTTP {status}")
    assert (message or "") in error.detail


@pytest.mark.parametrize(
    ("message", "trouble"),
    [
        ("شماره مقصد نامعتبر است", "bad_number"),
        ("شماره تلفن اشتباه است", "bad_number"),
        ("destination is invalid", "bad_number"),
        ("Invalid phone", "bad_number"),
        ("invalid token", "unknown"),
        ("phone field is required", "unknown"),
        ("telephone exchange", "unknown"),
    ],
)
def test_bad_request_blames_the_number_only_if_it_says_so(message: str, trouble: str) -> None:
    error = answered(400, message)
    assert isinstance(error, ProviderError)
    assert error.trouble is FailureKind(trouble)


@pytest.mark.parametrize(("status", "trouble"), [(401, "configuration"), (422, "unknown"), (500, "transient")])
def test_any_other_error_does_not_blame_the_number(status: int, trouble: str) -> None:
    error = answered(status, "شماره مقصد نامعتبر است")
    assert isinstance(error, ProviderError)
    assert error.trouble is FailureKind(trouble)


@pytest.mark.parametrize("message", [None, 7, ["درخواست دچار خطا شد"], {"a": "b"}, "درخواست دچار خطا شد "])
def test_call_without_a_code_is_refused_for_any_message(message: object) -> None:
    body = json.dumps({"message": message, "code": ""}).encode()
    order = Order(PhoneNumber("+989120000000"), Channel.FLASH_CALL, timedelta(seconds=180))
    error, _ = overhear(load().start(order), [HttpResponse(200, {}, body)])
    assert isinstance(error, ProviderError)
    assert error.trouble is (FailureKind.TRANSIENT if isinstance(message, str) else FailureKind.UNKNOWN)


def test_provider_code_has_unknown_length() -> None:
    driver = load()
    assert driver.base_url == "https://flashcall-service.ferzz.ir"
    ability = driver.abilities[Channel.FLASH_CALL]
    assert (ability.code_source, ability.fixed_length) == (CodeSource.PROVIDER, None)


HOSTS = ("flashcall-service.ferzz.ir", "flash-call2.liara.run", "flash-call.liara.run", "api.ferzz.ir")


@in_one_test
@pytest.mark.parametrize("host", ["default", *HOSTS])
@pytest.mark.parametrize("retry_path", [None, "/services/call/retry/"])
def test_every_known_host_has_the_same_paths(host: str, retry_path: str | None) -> None:
    """The vendor moved twice, and a public client uses a fourth host: changing the DSN's host is enough."""
    options = f"?retry_path={retry_path}" if retry_path else ""
    driver = load_driver(parse_dsn(f"ferzz://FAKE-KEY@{host}{options}", "PHONE_VERIFY_FLASH_CALL"))
    assert isinstance(driver, Ferzz)
    real = HOSTS[0] if host == "default" else host
    answer = HttpResponse(200, {}, json.dumps({"code": "3563", "tracking_code": "TRK-1"}).encode())
    order = Order(PhoneNumber("+989120000000"), Channel.FLASH_CALL, timedelta(seconds=180))
    _, (call,) = overhear(driver.start(order), [answer])
    _, (again,) = overhear(driver.retry(order, "TRK-1"), [answer])
    assert isinstance(call, HttpRequest)
    assert isinstance(again, HttpRequest)
    assert call.url == f"https://{real}/services/call/call/"
    assert again.url == f"https://{real}{retry_path or '/services/call/call/'}"


@pytest.mark.parametrize("path", ["", "services/call/retry/", "/a b", "/a?b=c", "https://other.example/"])
def test_retry_path_option_must_be_a_path(path: str) -> None:
    with pytest.raises(ConfigurationError, match="retry_path"):
        load_driver(parse_dsn("ferzz://FAKE-KEY@default?retry_path=" + path.replace(" ", "%20"), "PHONE_VERIFY_SMS"))
