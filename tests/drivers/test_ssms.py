"""SSMS: the shared suite, its error table and number plan, and claims verified by its webhook."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from phone_verify.api.routes import handle
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.ssms import Ssms
from phone_verify.errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from phone_verify.exchange import HttpRequest, HttpResponse, WebhookRequest
from phone_verify.http.call import ApiRequest, ApiResponse
from phone_verify.model import Channel, CodeSource, DeliveryReport, Order
from phone_verify.phone import HIDDEN_CALLER_DIGITS, PhoneNumber
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.drivers import DriverSuite, overhear
from phone_verify.testing.transport import FakeTransport
from tests.cases import in_one_test

PHONE, LINE = PhoneNumber("+79000000000"), "+78000000000"


class TestSsms(DriverSuite):
    driver = Ssms
    dsn = "ssms://fake%2Fkey%201@127.0.0.1:8025/base?tls=off"
    variants = ("foreign=digits", "format=xml", "call_protection=60&route=tg-sms", "webhook_caller=who&hook_url=on")
    samples = Path(__file__).parent / "samples" / "ssms"
    phone, abroad = "+79000000000", "+989120000000"


#: The union of the documented tables; the third column is the resulting failure kind.
TABLE = """
    1 transport_failure transient
    2 wrong_login_or_password configuration
    3 session_idle_or_api_switched_off configuration
    4 account_blocked configuration
    5 unknown_method configuration
    6 no_such_api_version configuration
    7 required_parameters_missing configuration
    10 partner_not_authorised configuration
    11 error_while_saving transient
    15 action_forbidden configuration
    16 wrong_password configuration
    18 session_expired configuration
    19 general_error transient
    22 account_does_not_exist configuration
    29 operator_not_connected bad_number
    35 text_encoding_differs unknown
    36 balance_too_low balance
    37 refused_as_spam unknown
    38 refused_as_spam unknown
    39 sender_name_not_allowed configuration
    40 cannot_be_delivered bad_number
    42 not_logged_in configuration
    43 domain_taken unknown
    44 no_preset_tariff configuration
    45 cabinet_base_settings_missing configuration
    47 no_preset_tariff configuration
    58 no_message_was_sent bad_number
    59 refused_as_spam unknown
    602 sms_does_not_exist unknown
    605 user_blocked configuration
    617 without_text unknown
    625 key_not_given configuration
    626 no_data_for_this_key configuration
    627 wrong_key configuration
    699 connection_could_not_be_made transient
    8 not_in_the_table unknown
    -1 not_in_the_table unknown
    123456 not_in_the_table unknown
    9999999 not_in_the_table unknown
"""
ROWS = [(int(code), trouble) for code, _, trouble in map(str.split, TABLE.strip().splitlines())]


def load(options: str = "", credentials: str = "FAKE-KEY") -> Ssms:
    driver = load_driver(parse_dsn(f"ssms://{credentials}@default{options}", "PHONE_VERIFY_INBOUND_CALL"))
    assert isinstance(driver, Ssms)
    return driver


def order(channel: Channel = Channel.SMS, seconds: float = 120) -> Order:
    code = None if channel is Channel.INBOUND_CALL else "0821"
    return Order(PHONE, channel, timedelta(seconds=seconds), code, code and f"Code {code}")


def answer(err_code: object, data: object = None) -> HttpResponse:
    message = {"err_code": err_code, "text": "OK", "type": "message"}
    return HttpResponse(200, {}, json.dumps({"response": {"msg": message, "data": data}}).encode())


def asked(driver: Ssms, order: Order, data: object = None) -> dict[str, str]:
    _, (request,) = overhear(driver.start(order), [answer("0", data)])
    assert isinstance(request, HttpRequest)
    return dict(parse_qsl((request.body or b"").decode()))


@in_one_test
@pytest.mark.parametrize(("code", "trouble"), ROWS)
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.FLASH_CALL, Channel.INBOUND_CALL])
def test_every_documented_error_is_mapped(code: int, trouble: str, channel: Channel) -> None:
    for written in (code, str(code), f" {code} "):
        result, _ = overhear(load().start(order(channel)), [answer(written)])
        assert isinstance(result, ProviderError)
        assert result.trouble is FailureKind(trouble)
        assert str(code) in str(result) or abs(code) > 999


@in_one_test
@pytest.mark.parametrize("err_code", ["", "x", "0x0", "0.0", 0.0, False, [], {}, "٠", "0 0", 10**400, "1" * 5000])
def test_non_numeric_value_is_not_zero(err_code: object) -> None:
    result, _ = overhear(load().start(order()), [answer(err_code)])
    assert isinstance(result, ProviderError)
    assert result.trouble is FailureKind.UNKNOWN


@pytest.mark.parametrize(
    "body",
    [
        b"<response>" * 900 + b"</response>" * 900,
        b"<response><msg><err_code>0</err_code></msg></response>" + b" " * 65_536,
        '<?xml version="1.0"?><!DOCTYPE r><response><msg><err_code>0</err_code></msg></response>'.encode("utf-16"),
        b'<!DOCTYPE response SYSTEM "http://127.0.0.1/x"><response><msg><err_code>0</err_code></msg></response>',
        b"<response><msg><err_code><b>0</b></err_code></msg></response>",
        b"<response>0</response>",
    ],
    ids=["deep", "long", "utf-16", "external", "nested", "bare"],
)
def test_malformed_xml_is_unclear(body: bytes) -> None:
    result, _ = overhear(load("?format=xml").start(order()), [HttpResponse(200, {}, body)])
    assert isinstance(result, UnclearError)


def test_email_and_password_are_valid_credentials() -> None:
    fields = asked(load(credentials="user%40site.example:pass%3Aword"), order())
    assert (fields["email"], fields["password"]) == ("user@site.example", "pass:word")
    assert "key" not in fields
    fields = asked(load(), order())
    assert fields["key"] == "FAKE-KEY"
    assert not {"email", "password"} & fields.keys()


@pytest.mark.parametrize(
    ("seconds", "sent"), [(300, "300"), (180, "180"), (60, "60"), (30, "60"), (119.2, "120"), (0.1, "60")]
)
def test_call_wait_is_our_ttl_within_provider_limits(seconds: float, sent: str) -> None:
    data = {"call_to_number": "78000000000", "id_call": "1"}
    assert asked(load(), order(Channel.INBOUND_CALL, seconds), data)["call_protection"] == sent


@in_one_test
@pytest.mark.parametrize("state", [*range(128), 1025, 999_999])
def test_every_report_state_is_mapped(state: int) -> None:
    """The table's single states, and combined bits of the first generation; as number and text."""
    failed = any(state & bit for bit in (2, 16, 32))
    expected = "undelivered" if failed else "delivered" if state in (1, 5, 9, 13) else "open"
    for written in (state, str(state)):
        result, _ = overhear(load().delivery("7"), [answer("0", {"id": 7, "state": written})])
        assert isinstance(result, DeliveryReport)
        assert result.state == expected


def test_limits_of_every_channel_are_declared() -> None:
    abilities = load().abilities
    assert {channel: (a.code_source, a.shortest, a.longest, a.cap) for channel, a in abilities.items()} == {
        Channel.SMS: (CodeSource.LOCAL, None, None, None),
        Channel.FLASH_CALL: (CodeSource.LOCAL, 4, 4, None),
        Channel.INBOUND_CALL: (CodeSource.NONE, None, None, timedelta(seconds=300)),
    }


def test_default_host_is_the_providers() -> None:
    assert load().base_url == "https://ssl.bs00.ru"


def test_unsupported_channel_raises_an_error() -> None:
    with pytest.raises(ValueError, match="telegram"):
        next(load().start(order(Channel.TELEGRAM)))


def test_missing_text_is_replaced_by_the_code() -> None:
    bare = Order(PHONE, Channel.SMS, timedelta(seconds=60), "082164")
    assert asked(load(), bare)["text"] == "082164"


@in_one_test
@pytest.mark.parametrize(
    "option",
    [
        "call_protection=59",
        "call_protection=301",
        "call_protection=on",
        "call_protection=0060",
        "call_protection=%2060",
        "call_protection=%D9%A6%D9%A0",
        "sender=",
        "sender=TwelveLetter",
        "route=pc",
        "route=sms-sms",
        "route=",
        "format=html",
        "priority=5",
        "external_id=",
        "external_id=" + 65 * "x",
        "hook_url=1",
        "webhook_caller=",
        "webhook_id=a%20b",
        "webhook_caller=id",
        "webhook_id=a&webhook_called=a",
        "foreign=all",
    ],
)
def test_unreadable_option_is_reported(option: str) -> None:
    with pytest.raises(ConfigurationError, match=option.partition("=")[0]):
        load("?" + option)


@pytest.mark.parametrize("route", ["sms", "tg", "vb", "wp", "vk", "tg-sms", "vb-wp-vk-sms"])
def test_every_route_is_sent_as_written(route: str) -> None:
    assert asked(load(f"?route={route}"), order())["route"] == route


@pytest.mark.parametrize("seconds", [60, 61, 300])
def test_message_is_held_back_as_long_as_the_option_says(seconds: int) -> None:
    assert asked(load(f"?call_protection={seconds}"), order())["call_protection"] == str(seconds)


@pytest.mark.parametrize("format", ["json", "xml"])
def test_both_formats_may_be_named(format: str) -> None:
    assert asked(load(f"?format={format}"), order())["format"] == format


def test_notice_is_not_held_back_until_the_phone_calls() -> None:
    exchange = load("?call_protection=60&sender=Shop").notice(PHONE, "Your number was changed.")
    _, (request,) = overhear(exchange, [answer("0", {"id": 7})])
    assert isinstance(request, HttpRequest)
    sent = dict(parse_qsl((request.body or b"").decode()))
    assert (sent["text"], sent["sender_name"]) == ("Your number was changed.", "Shop")
    assert "call_protection" not in sent


def test_call_protection_can_be_switched_off() -> None:
    assert load("?call_protection=off").call_protection is None


def caller(reported: str) -> PhoneNumber | None:
    event = load().parse_webhook(WebhookRequest("GET", [("id_call", "7"), ("phone", reported)], {}, b""))
    return event.caller if event else None


@in_one_test
@pytest.mark.parametrize(
    ("reported", "e164"),
    [
        ("79000000000", "+79000000000"),
        ("+79000000000", "+79000000000"),
        (" 79000000000 ", "+79000000000"),
        ("89000000000", "+79000000000"),
        ("9000000000", "+79000000000"),
        ("77010000000", "+77010000000"),
        ("83430000000", "+73430000000"),
        ("989120000000", "+989120000000"),
        ("84912345678", "+84912345678"),  # Vietnam, in the provider's own form; not +7 491 234 56 78
        ("9613123456", "+9613123456"),  # Lebanon; not +7 961 312 34 56
    ],
)
def test_reported_caller_is_parsed(reported: str, e164: str) -> None:
    assert caller(reported) == PhoneNumber(e164)


@in_one_test
@pytest.mark.parametrize(
    "reported",
    [
        "anonymous",
        "-",
        "0",
        "",
        "890000000",
        "790000000000",
        "7900000000O",
        "7 900 000 00 00",
        "٧٩٠٠٠٠٠٠٠٠٠",
        "²9000000000",
        "+9000000000",
        "++79000000000",
        "79000000000;ext=1",
        *(number[1:] for number in sorted(HIDDEN_CALLER_DIGITS)),
        *sorted(HIDDEN_CALLER_DIGITS),
    ],
)
def test_non_numeric_caller_matches_nothing(reported: str) -> None:
    assert caller(reported) is None


class Harness:
    """A site with the real driver; each start returns a line, with ids counted from 100001."""

    def __init__(self, **dsns: str) -> None:
        self.clock, self.started = ManualClock(), 0
        self.transport = FakeTransport()
        settings = Settings.from_mapping(
            {
                "store": "memory:",
                "secret_keys": "k-key-for-tests-0123456789abcdef",
                "webhook_secret": "hook-secret-0123456789abcdef",
                **dsns,
            }
        )
        self.ticks = 0.0
        self.site = build_site(settings, transport=self.transport, clock=self.clock, ticks=lambda: self.ticks)

    def start(self, channel: str = "inbound_call", phone: str = PHONE.e164, line: str = LINE[1:]) -> ApiResponse:
        self.started += 1
        id = 100_000 + self.started
        data: dict[str, Any] = {"id": id, "call_to_number": line, "id_call": str(id), "waiting_call_from": phone[1:]}
        self.transport.answers.append(answer("0", data))
        body = json.dumps({"phone": phone, "channel": channel}).encode()
        headers = {"content-type": "application/json", "sec-fetch-site": "same-origin"}
        reply = handle(self.site, ApiRequest("POST", "v1/verifications", headers, body=body))
        assert isinstance(reply, ApiResponse)
        return reply

    def begun(self, channel: str = "inbound_call", **fields: str) -> dict[str, Any]:
        reply = self.start(channel, **fields)
        assert reply.status == 201
        return dict(reply.document or {})

    def hook(self, query: str, path: str = "webhooks/ssms/hook-secret-0123456789abcdef") -> ApiResponse:
        reply = handle(self.site, ApiRequest("GET", path, query=query))
        assert isinstance(reply, ApiResponse)
        return reply

    def look(self, begun: dict[str, Any]) -> dict[str, Any]:
        call = ApiRequest("GET", f"v1/verifications/{begun['id']}", {"verification-secret": begun["secret"]})
        reply = handle(self.site, call)
        assert isinstance(reply, ApiResponse)
        return dict(reply.document or {})


CALLED = "id_call=100001&waiting_call_from=79000000000&call_to_number=78000000000"


@pytest.fixture
def harness() -> Harness:
    return Harness(inbound_call="ssms://FAKE-KEY@default")


def test_timely_call_verifies_the_claim_once(harness: Harness) -> None:
    begun = harness.begun()
    assert (begun["dial"]["number"], begun["expires_in"], begun["code_length"]) == (LINE, 300, None)
    assert harness.look(begun)["proof"] is None
    harness.clock.move(299)
    for _ in range(2):
        assert (harness.hook(CALLED).status, harness.hook(CALLED).text) == (200, "OK")
        assert harness.look(begun)["status"] == "verified"
    assert harness.look(begun)["proof"]
    assert len(harness.transport.requests) == 1  # the provider cannot be polled


@pytest.mark.parametrize(
    "query",
    [
        CALLED,
        "id_call=100001&waiting_call_from=79000000000",
        "waiting_call_from=79000000000&call_to_number=78000000000",
        "id=100001&phone=%2B79000000000",
    ],
)
def test_matching_report_verifies_the_claim(harness: Harness, query: str) -> None:
    begun = harness.begun()
    assert harness.hook(query).status == 200
    assert harness.look(begun)["status"] == "verified"


@pytest.mark.parametrize(
    "query",
    [
        CALLED.replace("79000000000", "79000000009"),
        CALLED.replace("79000000000", "anonymous"),
        CALLED.replace("100001", "100099"),
        CALLED.replace("waiting_call_from=79000000000&", ""),
        "waiting_call_from=79000000000",
        "waiting_call_from=79000000000&call_to_number=78000000001",
        f"{CALLED}&id_call=100001",
        f"{CALLED}&waiting_call_from=79000000000",
        f"{CALLED}&from=79000000000",
        f"{CALLED}&call_to_number=78000000000",
        "",
    ],
    ids=["stranger", "hidden", "unknown id", "no caller", "caller alone", "other line", "id twice", "caller twice",
         "two names", "line twice", "empty"],
)  # fmt: skip
def test_other_report_leaves_the_claim_open(harness: Harness, query: str) -> None:
    begun = harness.begun()
    assert (harness.hook(query).status, harness.hook(query).text) == (200, "OK")
    assert harness.look(begun)["status"] == "sent"
    harness.hook(CALLED)
    assert harness.look(begun)["status"] == "verified"


def test_late_call_verifies_nothing(harness: Harness) -> None:
    begun = harness.begun()
    harness.clock.move(300)
    assert harness.hook(CALLED).status == 200
    assert harness.look(begun)["status"] == "expired"


@pytest.mark.parametrize(
    "path", ["webhooks/ssms/other-secret", "webhooks/ssms/", "webhooks/ssms-2/hook-secret-0123456789abcdef"]
)
def test_webhook_without_the_secret_is_ignored(harness: Harness, path: str) -> None:
    begun = harness.begun()
    assert harness.hook(CALLED, path).status == 404
    assert harness.look(begun)["status"] == "sent"


@pytest.mark.parametrize(("option", "sent"), [("60", "60"), ("200", "200"), ("300", "300"), ("off", "300")])
def test_call_protection_caps_the_wait_for_a_call(option: str, sent: str) -> None:
    harness = Harness(inbound_call=f"ssms://FAKE-KEY@default?call_protection={option}")
    assert harness.begun()["expires_in"] == int(sent)
    assert dict(parse_qsl((harness.transport.requests[0].body or b"").decode()))["call_protection"] == sent


def test_two_phones_on_one_line_are_distinguished(harness: Harness) -> None:
    first, second = harness.begun(), harness.begun(phone="+79000000001")
    harness.hook("waiting_call_from=79000000001&call_to_number=78000000000")
    assert [harness.look(each)["status"] for each in (first, second)] == ["sent", "verified"]


TWO_TEXTS = {"sms": "ssms://user:pass@default", "inbound_call": "ssms://FAKE-KEY@default"}
TWO_ACCOUNTS = {"inbound_call": "ssms://FAKE-KEY@default ssms://OTHER-KEY@default"}
ID_CALLED = "waiting_call_from=79000000000&id_call=100001"
PAIR_CALLED = "waiting_call_from=79000000000&call_to_number=78000000000"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("dsns", "query", "hooked", "awaiting"),
    [
        (TWO_TEXTS, ID_CALLED, "ssms", "ssms-2"),
        (TWO_TEXTS, PAIR_CALLED, "ssms", "ssms-2"),
        (TWO_ACCOUNTS, ID_CALLED, "ssms-2", "ssms"),
    ],
)
def test_call_reported_to_the_wrong_driver_gives_one_warning(
    caplog: pytest.LogCaptureFixture, dsns: dict[str, str], query: str, hooked: str, awaiting: str
) -> None:
    harness = Harness(**dsns)
    begun = harness.begun()
    for _ in range(2):
        assert harness.hook(query, f"webhooks/{hooked}/hook-secret-0123456789abcdef").status == 200
    assert harness.look(begun)["status"] == "sent"
    (said,) = warnings(caplog)
    assert said.startswith(f"a call was reported to {hooked}, but {awaiting} carries incoming calls")
    assert "9000000000" not in said
    assert "hook-secret" not in said


@pytest.mark.parametrize(
    ("dsns", "query", "hooked"),
    [
        (TWO_TEXTS, ID_CALLED, "ssms-2"),
        (TWO_ACCOUNTS, "waiting_call_from=79000000013&id_call=100001", "ssms-2"),
        (TWO_ACCOUNTS, PAIR_CALLED, "ssms-2"),
        (
            {"sms": "ssms://FAKE-KEY@default?call_protection=60", "inbound_call": "telefon-ip://T@default"},
            ID_CALLED,
            "ssms",
        ),
    ],
)
def test_call_of_its_own_account_gives_no_warning(
    caplog: pytest.LogCaptureFixture, dsns: dict[str, str], query: str, hooked: str
) -> None:
    harness = Harness(**dsns)
    harness.start()
    harness.hook(query, f"webhooks/{hooked}/hook-secret-0123456789abcdef")
    assert [said for said in warnings(caplog) if "reported" in said] == []


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("abonent=79000000000&num=78000000000&uid=5&79000000000=1", "parameters: abonent, num, uid, …"),
        ("waiting_call_from=79000000000&uid=5", "no parameter call_to_number or to or"),
        ("", "parameters: none"),
    ],
)
def test_unknown_parameters_give_one_warning_an_hour(
    caplog: pytest.LogCaptureFixture, harness: Harness, query: str, says: str
) -> None:
    begun = harness.begun()
    for _ in range(2):
        harness.hook(query)
    harness.ticks += 3600
    harness.hook(query)
    assert harness.look(begun)["status"] == "sent"
    assert len(warnings(caplog)) == 2
    for said in warnings(caplog):
        assert "a webhook for ssms was ignored" in said
        assert says in said
        assert "9000000000" not in said


@pytest.mark.parametrize("query", ["waiting_call_from=anonymous&id_call=100001", "phone=79000000013&id=7"])
def test_hidden_or_unknown_caller_gives_no_warning(
    caplog: pytest.LogCaptureFixture, harness: Harness, query: str
) -> None:
    harness.begun()
    harness.hook(query)
    assert warnings(caplog) == []


@pytest.fixture
def held() -> Harness:
    dsn = "ssms://FAKE-KEY@default?call_protection=120"
    return Harness(sms=dsn, inbound_call=dsn)


def test_held_back_sms_shows_its_line_and_verifies_by_code(held: Harness) -> None:
    begun = held.begun("sms")
    assert (begun["dial"]["number"], begun["code_length"], begun["attempts_left"]) == (LINE, 6, 5)
    held.hook(CALLED)
    held.hook("waiting_call_from=79000000000&call_to_number=78000000000")
    assert held.look(begun)["status"] == "sent"
    text = dict(parse_qsl((held.transport.requests[0].body or b"").decode()))["text"]
    code = next(word for word in text.replace(".", " ").split() if word.isdecimal() and len(word) == 6)
    body = json.dumps({"code": code}).encode()
    headers = {"content-type": "application/json", "verification-secret": begun["secret"]}
    reply = handle(held.site, ApiRequest("POST", f"v1/verifications/{begun['id']}/check", headers, body=body))
    assert isinstance(reply, ApiResponse)
    assert reply.status == 200


@pytest.mark.parametrize(
    ("channels", "status"),
    [
        (("sms", "sms"), 201),  # a line that only releases messages is not a claim
        (("sms", "inbound_call"), 409),  # a caller who requests the message would verify another client's claim
        (("inbound_call", "sms"), 409),
    ],
)
def test_call_never_verifies_another_browsers_claim(held: Harness, channels: Sequence[str], status: int) -> None:
    first, second = channels
    held.begun(first)
    assert held.start(second).status == status
    assert held.start(second, line="78000000001").status == 201
