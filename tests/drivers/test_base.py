"""The DSN options of every driver, and the scrubbing of provider text for logs."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote, quote_plus

import pytest

from phone_verify.drivers.base import Driver, NationalDriver
from phone_verify.drivers.dsn import driver_class, load_driver, parse_dsn, schemes
from phone_verify.drivers.ferzz import Ferzz
from phone_verify.drivers.options import Dsn
from phone_verify.drivers.reading import amount_of, reference_of, scrubbed, trouble_of_status
from phone_verify.errors import ConfigurationError, FailureKind
from phone_verify.exchange import HttpResponse, WebhookRequest, is_token
from phone_verify.phone import PhoneNumber
from tests.cases import in_one_test

SETTING = "PHONE_VERIFY_SMS"


def load(dsn: str) -> Driver:
    return load_driver(parse_dsn(dsn, SETTING))


def told(dsn: str) -> str:
    """Return the error message of this DSN."""
    with pytest.raises(ConfigurationError) as raised:
        load(dsn)
    assert SETTING in str(raised.value)
    assert "FAKE" not in str(raised.value)
    return str(raised.value)


@in_one_test
@pytest.mark.parametrize(
    ("place", "base_url"),
    [
        ("default", "https://portal.amootsms.com"),
        ("default:8443", "https://portal.amootsms.com:8443"),
        ("default/x", "https://portal.amootsms.com/x"),
        ("default/x/", "https://portal.amootsms.com/x"),
        ("sms.example", "https://sms.example"),
        ("SMS.example/a/b", "https://sms.example/a/b"),
        ("127.0.0.1:8025?tls=off", "http://127.0.0.1:8025"),
        ("127.9.8.7?tls=off", "http://127.9.8.7"),
        ("localhost:80/x?tls=off", "http://localhost:80/x"),
        ("[::1]:8025?tls=off", "http://[::1]:8025"),
        ("[0:0:0:0:0:0:0:1]?tls=off", "http://[::1]"),
        ("[2001:db8::1]", "https://[2001:db8::1]"),
        ("127.0.0.1?tls=on", "https://127.0.0.1"),
    ],
)
def test_dsn_host_sets_the_base_url(place: str, base_url: str) -> None:
    assert load(f"amoot://FAKE-TOKEN@{place}").base_url == base_url


@pytest.mark.parametrize(
    "host",
    [
        "default",
        "sms.example",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[2001:db8::1]",
        "localhost.example",
        "127.0.0.1.example",
    ],
)
def test_plain_http_is_for_loopback_hosts_only(host: str) -> None:
    assert "loopback" in told(f"amoot://FAKE-TOKEN@{host}?tls=off")


@pytest.mark.parametrize("value", ["", "no", "0", "OFF"])
def test_tls_option_is_on_or_off(value: str) -> None:
    assert "write on or off" in told(f"amoot://FAKE-TOKEN@127.0.0.1?tls={value}")


@pytest.mark.parametrize(("text", "seconds"), [("3", 3), ("0.5", 0.5), ("60", 60), ("07.125", 7.125)])
def test_timeout_option_is_in_seconds(text: str, seconds: float) -> None:
    assert load(f"amoot://FAKE-TOKEN@default?timeout={text}").timeout == timedelta(seconds=seconds)


def test_timeout_defaults_to_ten_seconds() -> None:
    assert load("amoot://FAKE-TOKEN@default").timeout == timedelta(seconds=10)


@in_one_test
@pytest.mark.parametrize("text", ["", "0", "0.0", "60.001", "61", "-1", "1e1", "nan", "%D9%A3", "5s", "1.2345", "inf"])
def test_invalid_timeout_is_refused(text: str) -> None:
    assert "'timeout'" in told(f"amoot://FAKE-TOKEN@default?timeout={text}")


@pytest.mark.parametrize("name", ["amoot-2", "sms_backup", "1", "a" * 32])
def test_name_option_names_the_driver(name: str) -> None:
    assert load(f"amoot://FAKE-TOKEN@default?name={name}").name == name


@pytest.mark.parametrize("name", ["", "Amoot", "a/b", "a%2Fb", "..", "-a", "a" * 33, "a%20b", "%D8%A2"])
def test_name_unfit_for_a_webhook_url_is_refused(name: str) -> None:
    assert "'name'" in told(f"amoot://FAKE-TOKEN@default?name={name}")


def test_driver_is_named_by_its_scheme() -> None:
    assert [load(f"{scheme}://FAKE@default").name for scheme in ("ferzz", "telefon-ip")] == ["ferzz", "telefon-ip"]


@pytest.mark.parametrize("option", ["Tls=off", "tsl=off", "token=1", "retrypath=/x"])
def test_unknown_option_names_the_known_ones(option: str) -> None:
    message = told(f"ferzz://FAKE-KEY@127.0.0.1?{option}")
    assert option.partition("=")[0] in message
    for known in ("retry_path", "foreign", "tls", "timeout", "name"):
        assert known in message


@pytest.mark.parametrize("dsn", ["ferzz://default", "ferzz://@default", "ferzz://FAKE:FAKE@default", "ferzz://"])
def test_malformed_credentials_are_refused(dsn: str) -> None:
    assert "ACCESS_KEY@" in told(dsn)


def test_credentials_are_percent_decoded() -> None:
    driver = load("ferzz://a%2Fb%3Ac%40d%25+e@default")
    assert isinstance(driver, Ferzz)
    assert driver.access_key == "a/b:c@d%+e"


def test_driver_without_a_default_host_requires_one() -> None:
    class Homeless(Driver):
        scheme = "homeless"

    with pytest.raises(ConfigurationError, match="write a host"):
        Homeless.from_dsn(Dsn("homeless", setting=SETTING))


def test_example_dsn_names_the_example_host() -> None:
    class PerAccount(Driver):
        scheme = "per-account"
        example_host = "account.example"
        credential_forms = (("key",),)

    assert PerAccount.example_dsns() == ["per-account://KEY@account.example"]


def test_combination_refused_by_a_driver_names_the_setting() -> None:
    @dataclass(frozen=True)
    class Strict(Driver):
        scheme = "strict"
        default_host = "strict.example"

        def __post_init__(self) -> None:
            raise ValueError("write something else")

    with pytest.raises(ConfigurationError, match=rf"{SETTING} \(strict://…\): write something else"):
        Strict.from_dsn(Dsn("strict", setting=SETTING))


@in_one_test
@pytest.mark.parametrize("scheme", [one for one in schemes() if issubclass(driver_class(one), NationalDriver)])
def test_national_provider_refuses_foreign_numbers_by_default(scheme: str) -> None:
    dsn = driver_class(scheme).example_dsns()[0]
    calling_codes = driver_class(scheme).calling_codes
    assert calling_codes
    for number in ("+989120000000", "+79000000000", "+4915100000000"):
        phone = PhoneNumber(number)
        assert load(dsn).reaches(phone) == (phone.calling_code in calling_codes)
        assert load(f"{dsn}{'&' if '?' in dsn else '?'}foreign=digits").reaches(phone)


# Provider text


@pytest.mark.parametrize(
    "text",
    ["code 4821", "989120000000", "+98 912 000 0000", "8 (900) 000-00-00", "91 20 00 00 00", "۴۸۲۱", "a4821b"],
)
def test_detail_holds_no_run_of_digits(text: str) -> None:
    assert sum(map(str.isdigit, scrubbed(text))) < 3


def test_detail_is_one_short_printable_line() -> None:
    detail = scrubbed("bad\r\nX-Header: \x1b[31m\u202e\ud800" + "long " * 100)
    assert detail.isprintable()
    assert len(detail) <= 200
    detail.encode()


@pytest.mark.parametrize("spell", [str, str.upper, lambda key: quote(key, safe=""), quote_plus, lambda key: b64(key)])
def test_detail_repeats_no_credential(spell: Callable[[str], str]) -> None:
    driver = load("ferzz://FAKE.key%2F1+x%20y@default")
    said = driver.redact(f"key <{spell('FAKE.key/1+x y')}> is wrong")
    assert said.startswith("key")
    assert said.endswith("is wrong")
    assert "fake" not in said.lower()
    assert b64("FAKE.key/1+x y") not in said


@pytest.mark.parametrize("user", ["AC" + "1" * length for length in range(1, 7)])
def test_detail_repeats_no_header_of_basic_auth(user: str) -> None:
    driver = load(f"plivo://{user}:FAKE-AUTH-TOKEN@default?sender=Example")
    said = driver.redact(f"not accepted: Basic {b64(f'{user}:FAKE-AUTH-TOKEN')}")
    assert said.startswith("not accepted: Basic")
    for before in range(3):
        assert b64("x" * before + "FAKE-AUTH-TOKEN")[4:-4] not in said


@pytest.mark.parametrize("words", [None, 1, True, [], {}, ["text"]])
def test_non_text_detail_is_empty(words: object) -> None:
    assert load("ferzz://FAKE@default").redact(words) == ""


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (301, FailureKind.UNKNOWN),
        (400, FailureKind.UNKNOWN),
        (401, FailureKind.CONFIGURATION),
        (402, FailureKind.BALANCE),
        (403, FailureKind.CONFIGURATION),
        (404, FailureKind.UNKNOWN),
        (429, FailureKind.RATE),
        (500, FailureKind.TRANSIENT),
        (503, FailureKind.TRANSIENT),
    ],
)
def test_http_status_maps_to_a_failure_kind(status: int, trouble: FailureKind) -> None:
    error = trouble_of_status(HttpResponse(status), "words")
    assert (error.trouble, error.detail) == (trouble, f"HTTP {status}: words")
    assert trouble_of_status(HttpResponse(status)).detail == f"HTTP {status}"


@pytest.mark.parametrize(
    ("value", "reference"),
    [(122760, "122760"), ("TRK-1", "TRK-1"), ("0012", "0012"), ("a" * 64, "a" * 64), (0, "0")],
)
def test_reference_is_kept_as_text(value: object, reference: str) -> None:
    assert reference_of(value) == reference


@in_one_test
@pytest.mark.parametrize("value", [None, "", " ", "a b", "a" * 65, "\x00", "\ud800", "é", True, 1.5, [], {}, 10**70])
def test_unstorable_reference_is_dropped(value: object) -> None:
    assert reference_of(value) is None


@pytest.mark.parametrize(
    ("value", "amount"),
    [(25000, "25000"), (0, "0"), (5.0, "5.0"), (-0.4, "-0.4"), ("50.00", "50.00"), (" -3 ", "-3"), ("0.2", "0.2")],
)
def test_amount_of_money_is_parsed(value: object, amount: str) -> None:
    assert amount_of(value) == Decimal(amount)


@in_one_test
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "-",
        "1e9",
        1e300,
        1e-9,
        "NaN",
        float("nan"),
        float("inf"),
        "1,5",
        "٥",
        "5.",
        ".5",
        "+5",
        10**15,
        [5],
    ],
)
def test_invalid_amount_is_none(value: object) -> None:
    assert amount_of(value) is None


def test_further_secrets_are_scrubbed_from_provider_text() -> None:
    driver = load("ferzz://FAKE@default")
    assert driver.redact("a b+c d b%2Bc e", "b+c") == "a … d … e"
    assert driver.redact("a b+c d") == "a b c d"


def test_scrubbing_twice_changes_nothing() -> None:
    for text in ("+98 912 000 0000 is off", "a\nb…c", "x" * 199 + " y" + "z" * 300, "…\u202e 12 345 6"):
        once = scrubbed(text)
        assert scrubbed(once) == once


@pytest.mark.parametrize("token", ["", " ", "a b", "a\n", "a\x00", "é", "a" * 8001])
def test_text_unfit_for_a_header_is_no_token(token: str) -> None:
    assert not is_token(token)
    assert is_token("FAKE.TOKEN/+=~!")
    assert is_token("a" * 8000)


def test_parameter_counts_if_it_comes_once() -> None:
    request = WebhookRequest("GET", [("a", "1"), ("b", "1"), ("b", "1"), ("c", ""), ("d", "1"), ("D", "2")], {}, b"")
    assert request.once("a") == "1"
    assert request.once("b") is None
    assert request.once("c") is None
    assert request.once("e") is None
    assert request.once("d", "D") is None
    assert "1" not in repr(request)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
