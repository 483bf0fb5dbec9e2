"""The chaos switch over real HTTP: every fault, at each provider, for all phones and for one. A further provider
is a module in `senders`.

The tables of errors follow the providers' documents, independently of the sandbox's tables.
"""

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from phone_verify.sandbox import Sandbox, SandboxServer
from phone_verify.sandbox.protocols import PROVIDERS
from tests.cases import in_one_test
from tests.sandbox.caller import ApiResponse, Caller, found_senders

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
STRANGER = "+79000000013"

AMOOT = {
    "Failed": 0, "AccountIsDemo": 2, "CreditNotEnough": 4, "LineNumber_NotExist": 5, "BackupLineNumber_NotExist": 6,
    "Avanak_NotAvailable": 7, "UserName_Empty": 10, "Password_Empty": 11, "LineNumber_Empty": 12,
    "BackupLineNumber_Empty": 13, "SMSMessageText_Empty": 14, "AvanakMessageText_Empty": 15, "Mobile_Empty": 16,
    "Mobiles_Empty": 17, "Title_Empty": 18, "FirstNameOrLastName_Empty": 19, "URLAddress_Empty": 20,
    "UserNameOrPassword_Invalid": 100, "Mobile_Invalid": 101, "Mobiles_Invalid": 102, "Count_Invalid": 103,
    "FromRow_Invalid": 104, "FromDate_Invalid": 105, "FromDateTime_Invalid": 106, "ToDate_Invalid": 107,
    "ToDateTime_Invalid": 108, "FromDateIsAfterThanToDate": 109, "FromDateTimeIsAfterThanToDateTime": 110,
    "MessageID_Invalid": 111, "BulkID_Invalid": 112, "ContactID_Invalid": 113, "ContactGroupID_Invalid": 114,
    "CourseID_Invalid": 115, "CourseGroupID_Invalid": 116, "URLAddress_Duplicate": 117,
    "RelayMessageDeliveryID_Invalid": 118, "RelayRecieveMessageID_Invalid": 119, "Length_Invalid": 120,
    "Length_Exceeded": 121, "ServerError": 500, "User_NotExists": -1, "User_MobileNotVerified": -102,
    "User_Disabled": -103, "User_Expired": -104, "User_WebServiceBanned": -105, "User_NotAllowWebService": -106,
    "User_NotAllowIP": -107, "User_NotAllowMethod": -108, "User_NotAllowHttp": -109, "Token_NotExists": -201,
    "Token_Invalid": -202, "Token_Disabled": -203, "Token_Expired": -204, "Token_NotAllowIP": -207,
    "Token_NotAllowMethod": -208, "System_Disabled": -300,
}  # fmt: skip
#: Names that are in no table, so that they have no number.
AMOOT_UNLISTED = ("Line_Not_Active", "Insufficient_Credit", "DailyLimit_Exceeded", "FilterMessage_Reject")
SSMS = {
    "wrong_login": 2, "api_switched_off": 3, "blocked": 4, "unknown_method": 5, "unknown_version": 6,
    "missing_parameters": 7, "no_partner": 10, "not_saved": 11, "forbidden": 15, "wrong_password": 16,
    "session_over": 18, "general_error": 19, "no_account": 22, "no_route": 29, "wrong_encoding": 35, "no_money": 36,
    "spam": 37, "spam_38": 38, "bad_sender": 39, "undeliverable": 40, "not_logged_in": 42, "domain_taken": 43,
    "no_tariff": 44, "no_settings": 45, "no_tariff_47": 47, "nothing_sent": 58, "spam_59": 59, "unknown_message": 602,
    "user_blocked": 605, "undeliverable_617": 617, "no_key": 625, "no_data": 626, "wrong_key": 627,
    "no_connection": 699,
}  # fmt: skip
EVAND = {
    "wrong_client": 401, "expired_client": 401, "inactive_client": 401, "unknown_grant": 400, "wrong_code": 400,
    "not_in_event": 400, "bad_token": 401, "bad_mobile": 422, "missing_field": 422, "too_many": 429,
    "server_error": 500,
}  # fmt: skip
TELEFON_IP = {
    "bad_token": 401, "expired_token": 401, "inactive_token": 401, "no_money": 400, "bad_phone": 400,
    "bad_request": 400, "daily_limit": 400, "unknown_id": 400, "server_error": 500, "error_with_200": 200,
}  # fmt: skip
FERZZ = {
    "bad_request": 400, "wrong_key": 401, "expired_key": 403, "inactive_key": 403, "no_credit": 402, "too_many": 429,
    "server_error": 500, "error_with_200": 200,
}  # fmt: skip


def amoot(caller: Caller, phone: str) -> ApiResponse:
    form = {"Mobile": phone.removeprefix("+98"), "CodeLength": "6", "OptionalCode": "048213"}
    return caller.ask("POST", "/rest/SendQuickOTP", urlencode(form), {**FORM, "Authorization": "TOKEN"})


def evand(caller: Caller, phone: str) -> ApiResponse:
    client = {"grant_type": "client_credentials", "client_id": "ID", "client_secret": "SECRET"}
    granted = caller.ask("POST", "/api/oauth2/token", json.dumps(client), JSON)
    try:
        token = granted.json["access_token"]
    except (ValueError, LookupError, TypeError):
        return granted
    mobile = json.dumps({"mobile": phone.removeprefix("+98")})
    return caller.ask("POST", "/mobile/verification-codes", mobile, {**JSON, "Authorization": f"Bearer {token}"})


def ferzz(caller: Caller, phone: str) -> ApiResponse:
    destination = phone.replace("+98", "0", 1)
    return caller.ask("POST", "/services/call/call/", json.dumps({"token": "KEY", "destination": destination}), JSON)


def ssms(caller: Caller, phone: str, **fields: str) -> ApiResponse:
    form = {"method": "push_msg", "key": "KEY", "format": "json", "phone": phone[1:], "text": "Code 048213", **fields}
    return caller.ask("POST", "/", urlencode(form), FORM)


def telefon_ip(caller: Caller, phone: str) -> ApiResponse:
    return caller.ask("GET", f"/api/v1/authcalls/TOKEN/get_code/{phone.replace('+7', '8', 1)}/")


FOUND = found_senders()

#: The send request of each provider, and two phones of its country.
SENDERS: dict[str, tuple[Callable[[Caller, str], ApiResponse], str, str]] = {
    "amoot": (amoot, "+989120000000", "+989120000001"),
    "evand": (evand, "+989140000000", "+989140000001"),
    "ferzz": (ferzz, "+989120000000", "+989120000001"),
    "ssms": (ssms, "+79000000000", "+79000000001"),
    "telefon-ip": (telefon_ip, "+79000000000", "+79000000001"),
    **{name: (sender.send, *sender.phones) for name, sender in FOUND.items()},
}
CALLERS = ("ferzz", "ssms", "telefon-ip")


@pytest.fixture(scope="module")
def one_server() -> Iterator[Caller]:
    pauses: list[float] = []
    with SandboxServer(Sandbox(pause=pauses.append)) as server:
        yield Caller(server, pauses)


@pytest.fixture
def caller(one_server: Caller) -> Caller:
    one_server.pauses.clear()
    one_server.ask("DELETE", "/api/faults")
    one_server.ask("DELETE", "/api/handsets")
    return one_server


@pytest.fixture(params=[(name, only) for name in SENDERS for only in (False, True)],
                ids=lambda param: f"{param[0]}{' one phone' if param[1] else ''}")  # fmt: skip
def target(
    request: pytest.FixtureRequest, caller: Caller
) -> tuple[str, str | None, Callable[[], ApiResponse], str, str]:
    """A provider, the phone of its faults, and the function that sends to that phone."""
    name, only = request.param
    send, phone, other = SENDERS[name]
    return name, phone if only else None, lambda: send(caller, phone), phone, other


Target = tuple[str, str | None, Callable[[], ApiResponse], str, str]


def test_every_provider_has_a_target() -> None:
    assert set(SENDERS) == set(PROVIDERS)


def test_message_arrives_once_without_a_fault(caller: Caller, target: Target) -> None:
    _, _, send, phone, _ = target
    assert send().ok
    assert len(caller.arrived(phone)) == 1


def test_refused_order_is_lost_and_other_phones_are_served(caller: Caller, target: Target) -> None:
    name, only, send, phone, other = target
    caller.fault(name, only, refuse=PROVIDERS[name].refusals[0])
    send()
    assert caller.arrived(phone) == []
    SENDERS[name][0](caller, other)
    assert len(caller.arrived(other)) == (1 if only else 0)


def test_delay_fault_delays_the_response(caller: Caller, target: Target) -> None:
    name, only, send, phone, _ = target
    caller.fault(name, only, delay=7.5)
    assert send().ok
    assert set(caller.pauses) == {7.5}
    assert len(caller.arrived(phone)) == 1


def test_hang_fault_never_responds(caller: Caller, target: Target) -> None:
    name, only, send, phone, _ = target
    caller.fault(name, only, hang=True)
    with pytest.raises((http.client.HTTPException, OSError)):
        send()
    assert caller.pauses == [120.0]
    # Evand's token request names no phone, so that one hangs first.
    assert len(caller.arrived(phone)) == (0 if name == "evand" and only is None else 1)


def test_lose_fault_drops_the_message(caller: Caller, target: Target) -> None:
    name, only, send, phone, _ = target
    caller.fault(name, only, lose=True)
    assert send().ok
    assert caller.arrived(phone) == []


def test_double_fault_delivers_twice(caller: Caller, target: Target) -> None:
    name, only, send, phone, _ = target
    caller.fault(name, only, double=True)
    assert send().ok
    assert len(caller.arrived(phone)) == 2


@in_one_test
@pytest.mark.parametrize("how", [True, "cut", "empty", "html"])
def test_malformed_fault_breaks_the_json(caller: Caller, target: Target, how: object) -> None:
    name, only, send, _, _ = target
    caller.fault(name, only, malformed=how)
    reply = send()
    assert reply.ok
    assert reply.type.startswith("text/html" if how == "html" else "application/json")
    with pytest.raises(json.JSONDecodeError):
        _ = reply.json


def test_types_fault_changes_the_json_types(caller: Caller, target: Target) -> None:
    name, only, send, _, _ = target
    usual = send().json
    caller.ask("DELETE", "/api/handsets")
    caller.fault(name, only, malformed="types")
    odd = send().json

    def differ(one: Any, other: Any) -> bool:
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(differ(each, other[name]) for name, each in one.items())
        if isinstance(one, list):
            return all(differ(each, changed) for each, changed in zip(one, other, strict=True))
        return type(one) is not type(other)

    assert isinstance(odd, dict)
    if name != "evand" or only:  # a token of another type is refused, so no request uses it
        assert differ(usual, odd)


def test_times_fault_lasts_that_many_requests(caller: Caller, target: Target) -> None:
    name, only, send, phone, _ = target
    caller.fault(name, only, refuse=PROVIDERS[name].refusals[0], times=2)
    for _ in range(2):
        send()
        assert caller.arrived(phone) == []
    send()
    assert len(caller.arrived(phone)) == 1


@in_one_test
@pytest.mark.parametrize("name", AMOOT)
@pytest.mark.parametrize("written", ["name", "number"])
def test_sandbox_returns_every_error_of_amoot(caller: Caller, name: str, written: str) -> None:
    caller.fault("amoot", refuse=name, variants={"status": written})
    reply = amoot(caller, "+989120000000")
    assert (reply.status, reply.json) == (200, {"Status": name if written == "name" else AMOOT[name], "Data": None})


@pytest.mark.parametrize("name", AMOOT_UNLISTED)
def test_sandbox_returns_an_unlisted_error_of_amoot(caller: Caller, name: str) -> None:
    caller.fault("amoot", refuse=name, variants={"status": "number", "data": "list"})
    assert amoot(caller, "+989120000000").json == {"Status": name, "Data": []}


@in_one_test
@pytest.mark.parametrize("name", SSMS)
@pytest.mark.parametrize("written", ["string", "number"])
def test_sandbox_returns_every_error_of_ssms(caller: Caller, name: str, written: str) -> None:
    caller.fault("ssms", "+79000000000", refuse=name, variants={"err_code": written})
    answer = ssms(caller, "+79000000000").json["response"]
    assert answer["msg"]["err_code"] == (SSMS[name] if written == "number" else str(SSMS[name]))
    assert (answer["msg"]["type"], answer["data"]) == ("error", None)
    xml = ssms(caller, "+79000000000", format="xml")
    assert f"<err_code>{SSMS[name]}</err_code>".encode() in xml.body


@in_one_test
@pytest.mark.parametrize("name", EVAND)
def test_sandbox_returns_every_error_of_evand(caller: Caller, name: str) -> None:
    caller.fault("evand", "+989140000000", refuse=name)
    reply = evand(caller, "+989140000000")
    assert reply.status == EVAND[name]
    assert reply.json["message"]


@in_one_test
@pytest.mark.parametrize("name", TELEFON_IP)
def test_sandbox_returns_every_error_of_telefon_ip(caller: Caller, name: str) -> None:
    caller.fault("telefon-ip", "+79000000000", refuse=name)
    reply = telefon_ip(caller, "+79000000000")
    assert (reply.status, reply.json["success"], reply.json["data"]) == (TELEFON_IP[name], False, {})
    assert ("token" in reply.json["error"]) == (reply.status == 401)


@pytest.mark.parametrize("name", FERZZ)
def test_sandbox_returns_every_error_of_ferzz(caller: Caller, name: str) -> None:
    caller.fault("ferzz", "+989120000000", refuse=name)
    reply = ferzz(caller, "+989120000000")
    assert reply.status == FERZZ[name]
    assert reply.json["message"]
    assert reply.json["code"] == ""


def test_error_tables_are_complete() -> None:
    tables = {
        "amoot": {*AMOOT, *AMOOT_UNLISTED}, "ssms": {*SSMS}, "evand": {*EVAND}, "telefon-ip": {*TELEFON_IP},
        "ferzz": {*FERZZ}, **{name: sender.errors for name, sender in FOUND.items()},
    }  # fmt: skip
    assert {name: set(provider.refusals) for name, provider in PROVIDERS.items()} == tables


@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("only", [False, True])
def test_flash_call_may_show_a_foreign_or_hidden_number(caller: Caller, name: str, only: bool) -> None:
    send, phone, _ = SENDERS[name]

    def rung() -> Any:
        reply = ssms(caller, phone, route="pc", text="0482") if name == "ssms" else send(caller, phone)
        assert reply.ok
        return caller.arrived(phone)[0]

    caller.fault(name, phone if only else None, foreign_caller=STRANGER)
    call = rung()
    # The user enters the last digits of the caller's number, and they are not the code.
    assert (call["number"], call["code"], call["hidden"]) == (STRANGER, "0013", False)
    caller.fault(name, phone if only else None, hidden_caller=True)
    call = rung()
    assert (call["number"], call["code"], call["hidden"]) == ("", "", True)


@pytest.mark.parametrize("name", ["ssms", "telefon-ip"])
@pytest.mark.parametrize("only", [False, True])
def test_reported_call_follows_every_fault(caller: Caller, name: str, only: bool, site: tuple[str, list[str]]) -> None:
    """On time, late, twice, never, from a foreign or a hidden number: as the site's webhook receives it."""
    url, heard = site
    phone = "+79000000000"

    def reported(**fault: object) -> list[str]:
        heard.clear()
        caller.ask("DELETE", "/api/handsets")
        caller.fault(name, phone if only else None, **fault)
        if name == "ssms":
            asked = ssms(caller, phone, method="wait_call", call_protection="60", hook_url=f"{url}/hook").json
            line = asked["response"]["data"]["call_to_number"]
        else:
            start = {"phone": "89000000000", "webhook": f"{url}/hook"}
            asked = caller.ask("POST", "/api/v1/authcalls/TOKEN/reverse_auth_phone_post", json.dumps(start), JSON).json
            line = asked["data"]["auth_phone"]
        assert caller.dial(phone, line)["busy"]
        return heard

    assert len(reported()) == 1
    assert "9000000000" in heard[0]
    assert len(reported(delay=9)) == 1
    assert caller.pauses == [9.0, 9.0]  # the response, and the report
    assert len(reported(double=True)) == 2
    assert reported(lose=True) == []
    assert "9000000013" in reported(foreign_caller=STRANGER)[0]
    assert "anonymous" in reported(hidden_caller=True)[0]
