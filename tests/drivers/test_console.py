"""The console driver: prints instead of sending."""

from datetime import timedelta
from pathlib import Path

import pytest

from phone_verify.drivers.console import Console
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.errors import ConfigurationError
from phone_verify.exchange import Notice
from phone_verify.model import Channel, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear


class TestConsole(DriverSuite):
    driver = Console
    dsn = "console://"
    samples = Path(__file__).parent / "samples" / "console"
    phone = "+989120000000"


@pytest.mark.parametrize(("text", "shown"), [("482193 is your code", "482193 is your code"), (None, "482193")])
def test_notice_shows_the_message_and_a_masked_number(text: str | None, shown: str) -> None:
    order = Order(PhoneNumber("+989120000000"), Channel.SMS, timedelta(seconds=300), "482193", text)
    driver = load_driver(parse_dsn("console://", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Console)
    _, asked = overhear(driver.start(order), ())
    (notice,) = asked
    assert isinstance(notice, Notice)
    assert shown in notice.text
    assert order.phone.hint in notice.text
    assert "9120000000" not in notice.text
    assert "482193" not in repr(notice)


@pytest.mark.parametrize(
    "dsn", ["console://127.0.0.1", "console://default:8025", "console:///x", "console://KEY@default"]
)
def test_console_has_no_host_and_no_credential(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_SMS"):
        load_driver(parse_dsn(dsn, "PHONE_VERIFY_SMS"))


def test_console_may_be_named() -> None:
    assert load_driver(parse_dsn("console://?name=screen", "PHONE_VERIFY_SMS")).name == "screen"
