"""Amoot: the shared suite, and the provider's whole table of statuses."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phone_verify.drivers.amoot import Amoot
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.reading import scrubbed
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError
from phone_verify.exchange import HttpResponse, WebhookRequest
from phone_verify.model import Channel, CodeSource, DeliveryState, Order
from phone_verify.phone import PhoneNumber
from phone_verify.testing.drivers import DriverSuite, overhear
from tests.cases import in_one_test


class TestAmoot(DriverSuite):
    driver = Amoot
    dsn = "amoot://FAKE%2FToken%2B1@127.0.0.1:8025/base?tls=off"
    variants = ("auth=form", "foreign=digits", "name=amoot-2&timeout=5")
    samples = Path(__file__).parent / "samples" / "amoot"
    phone, abroad = "+989120000000", "+79000000000"


#: The provider's table from its docs; the third column is the resulting failure kind.
TABLE = """
    0 Failed configuration
    2 AccountIsDemo balance
    4 CreditNotEnough balance
    5 LineNumber_NotExist configuration
    6 BackupLineNumber_NotExist unknown
    7 Avanak_NotAvailable unknown
    10 UserName_Empty unknown
    11 Password_Empty unknown
    12 LineNumber_Empty configuration
    13 BackupLineNumber_Empty unknown
    14 SMSMessageText_Empty unknown
    15 AvanakMessageText_Empty unknown
    16 Mobile_Empty bad_number
    17 Mobiles_Empty unknown
    18 Title_Empty unknown
    19 FirstNameOrLastName_Empty unknown
    20 URLAddress_Empty unknown
    100 UserNameOrPassword_Invalid configuration
    101 Mobile_Invalid bad_number
    102 Mobiles_Invalid unknown
    103 Count_Invalid unknown
    104 FromRow_Invalid unknown
    105 FromDate_Invalid unknown
    106 FromDateTime_Invalid unknown
    107 ToDate_Invalid unknown
    108 ToDateTime_Invalid unknown
    109 FromDateIsAfterThanToDate unknown
    110 FromDateTimeIsAfterThanToDateTime unknown
    111 MessageID_Invalid unknown
    112 BulkID_Invalid unknown
    113 ContactID_Invalid unknown
    114 ContactGroupID_Invalid unknown
    115 CourseID_Invalid unknown
    116 CourseGroupID_Invalid unknown
    117 URLAddress_Duplicate unknown
    118 RelayMessageDeliveryID_Invalid unknown
    119 RelayRecieveMessageID_Invalid unknown
    120 Length_Invalid configuration
    121 Length_Exceeded configuration
    500 ServerError transient
    -1 User_NotExists configuration
    -102 User_MobileNotVerified configuration
    -103 User_Disabled configuration
    -104 User_Expired configuration
    -105 User_WebServiceBanned configuration
    -106 User_NotAllowWebService configuration
    -107 User_NotAllowIP configuration
    -108 User_NotAllowMethod configuration
    -109 User_NotAllowHttp configuration
    -201 Token_NotExists configuration
    -202 Token_Invalid configuration
    -203 Token_Disabled configuration
    -204 Token_Expired configuration
    -207 Token_NotAllowIP configuration
    -208 Token_NotAllowMethod configuration
    -300 System_Disabled transient
"""
STATUSES = [tuple(line.split()) for line in TABLE.strip().splitlines()]

OTHER_NAMES = (
    "Line_Not_Active",
    "Insufficient_Credit",
    "DailyLimit_Exceeded",
    "success",
    "Success ",
    "Token_Something",
)

ORDER = Order(PhoneNumber("+989120000000"), Channel.SMS, timedelta(seconds=300), "482193")


def load() -> Amoot:
    driver = load_driver(parse_dsn("amoot://FAKE-TOKEN@default", "PHONE_VERIFY_SMS"))
    assert isinstance(driver, Amoot)
    return driver


def refusal(status: str) -> ProviderError:
    """Return the error that the driver raises for a Status, given as JSON."""
    driver = load()
    body = f'{{"Status": {status}, "Data": null}}'.encode()
    result, _ = overhear(driver.start(ORDER), [HttpResponse(200, {}, body)])
    assert isinstance(result, ProviderError)
    return result


@in_one_test
@pytest.mark.parametrize(("number", "name", "trouble"), STATUSES, ids=[name for _, name, _ in STATUSES])
def test_every_documented_status_is_mapped(number: str, name: str, trouble: str) -> None:
    """By name, by number and by number in a string, with the name for the log."""
    for status in (f'"{name}"', number, f'"{number}"'):
        error = refusal(status)
        assert error.trouble is FailureKind(trouble)
        assert error.detail == name


@in_one_test
@pytest.mark.parametrize("status", [*(f'"{name}"' for name in OTHER_NAMES), "3", "-999", "12345678", '" "', '"0001"'])
def test_undocumented_status_is_a_plain_refusal(status: str) -> None:
    assert refusal(status).trouble is FailureKind.UNKNOWN


def test_unknown_status_is_shown_unless_it_may_be_a_code() -> None:
    assert "-999" in refusal("-999").detail
    assert "999" in refusal("999").detail
    for status in ("482193", "1000"):
        assert refusal(status).detail == "unknown status"


_VALUES = st.text(max_size=30) | st.text('"1Delivered 0', max_size=14) | st.sampled_from(["1", "600000001", '"1"'])


@settings(max_examples=300, deadline=None, database=None)
@given(st.lists(st.tuples(st.sampled_from(["MessageID", "DeliveryType", "Cost", "messageid"]), _VALUES), max_size=6))
def test_webhook_reports_no_more_than_it_says(parameters: list[tuple[str, str]]) -> None:
    event = load().parse_webhook(WebhookRequest("GET", parameters, {}, b""))
    if event is None:
        return
    said = {name: value.strip().strip('"').strip() for name, value in parameters}
    assert [name for name, _ in parameters].count("MessageID") == 1
    assert [name for name, _ in parameters].count("DeliveryType") == 1
    assert event.reference == said["MessageID"]
    assert event.state is not DeliveryState.DELIVERED or said["DeliveryType"] in ("1", "Delivered")
    assert event.state is not DeliveryState.UNDELIVERED
    assert event.said == scrubbed(event.said)


def test_webhook_repeating_the_token_keeps_it_out_of_the_log() -> None:
    event = load().parse_webhook(
        WebhookRequest("GET", [("MessageID", "7"), ("DeliveryType", "bad FAKE-TOKEN")], {}, b"")
    )
    assert event is not None
    assert event.said == "other (bad …)"


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://portal.amootsms.com"


def test_local_codes_have_four_to_eight_digits() -> None:
    ability = load().abilities[Channel.SMS]
    assert (ability.code_source, ability.shortest, ability.longest) == (CodeSource.LOCAL, 4, 8)


def test_token_unfit_for_a_header_is_refused_at_startup() -> None:
    with pytest.raises(ConfigurationError, match=r"PHONE_VERIFY_SMS.*auth=form") as raised:
        load_driver(parse_dsn("amoot://%D8%B1%D9%85%D8%B2@default", "PHONE_VERIFY_SMS"))
    assert "رمز" not in str(raised.value)
    assert load_driver(parse_dsn("amoot://%D8%B1%D9%85%D8%B2@default?auth=form", "PHONE_VERIFY_SMS"))
    with pytest.raises(ValueError, match="auth=form"):
        replace(load(), token="FAKE\x7fTOKEN")


def test_order_without_a_code_raises_an_error() -> None:
    with pytest.raises(ValueError, match="our code"):
        next(load().start(Order(ORDER.phone, Channel.SMS, ORDER.ttl)))
