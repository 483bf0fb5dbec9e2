"""The SSMS platform's protocol, as documented."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.protocols.ssms import PROVIDER
from tests.cases import in_one_test

from .conftest import Clock

PHONE, OTHER = "+79000000000", "+79000000001"
HOOK = "http://127.0.0.1:8000/phone/webhooks/ssms/secret"


def ask(client: Client, method: str, **fields: object) -> Any:
    form = {"method": method, "key": "KEY", "format": "json", "phone": "79000000000"} | fields
    response = client.post("/", data={name: value for name, value in form.items() if value is not None})
    assert response.status_code == 200
    return response.get_json()["response"]


def error(answer: Any) -> object:
    assert (answer["msg"]["type"], answer["data"]) == ("error", None)
    return answer["msg"]["err_code"]


def push(client: Client, **fields: object) -> Any:
    return ask(client, "push_msg", **{"text": "Code 048213", **fields})["data"]


def wait(client: Client, **fields: object) -> Any:
    return ask(client, "wait_call", **{"call_protection": 200, **fields})["data"]


def dial(client: Client, number: str, phone: str = PHONE, **fields: object) -> Any:
    response = client.post(f"/api/handsets/{phone}/dial", json={"number": number, **fields})
    assert response.status_code == 200
    return response.get_json()


def vary(sandbox: Sandbox, **variants: str) -> None:
    sandbox.faults.put("ssms", None, Fault(variants=variants))


def set_hook(client: Client, url: object = HOOK) -> int:
    return client.put("/api/webhooks", json={"provider": "ssms", "url": url}).status_code


def texts(sandbox: Sandbox) -> list[str]:
    handset = sandbox.network.handset(PHONE)
    return [message.code for message in handset.messages] if handset else []


@pytest.fixture
def hooked(client: Client) -> Client:
    assert set_hook(client) == 200
    return client


def test_message_arrives(client: Client, sandbox: Sandbox) -> None:
    answer = ask(client, "push_msg", text="Code 048213", sender_name="Site", priority=1, route="tg-sms")
    assert answer["msg"] == {"err_code": "0", "text": "OK", "type": "message"}
    assert answer["data"]["credits"] == "1.29"
    assert (answer["data"]["n_raw_sms"], answer["data"]["sender_name"]) == (1, "Site")
    assert "call_to_number" not in answer["data"]
    assert texts(sandbox) == ["048213"]


@pytest.mark.parametrize("phone", ["79000000000", "89000000000", "+7 (900) 000-00-00"])
def test_usual_spellings_of_the_phone_are_accepted(client: Client, sandbox: Sandbox, phone: str) -> None:
    push(client, phone=phone)
    assert texts(sandbox) == ["048213"]


def test_numbers_may_be_strings_or_numbers(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, err_code="number", credits="number")
    answer = ask(client, "push_msg", text="Code 048213")
    assert (answer["msg"]["err_code"], answer["data"]["credits"]) == (0, 1.29)
    assert error(ask(client, "push_msg", key="WRONG")) == 627
    assert ask(client, "get_profile")["data"]["credits"] == 50.0


def test_without_format_the_answer_is_xml(client: Client) -> None:
    fields = {"method": "wait_call", "key": "KEY", "phone": "79000000000", "call_protection": "60"}
    response = client.post("/", data=fields)
    assert response.mimetype == "text/xml"
    root = ET.fromstring(response.text)
    assert (root.tag, root.findtext("msg/err_code"), root.findtext("msg/type")) == ("response", "0", "message")
    assert root.findtext("data/waiting_call_from") == "79000000000"
    root = ET.fromstring(client.post("/", data={**fields, "key": "NO-CREDIT", "format": "xml"}).text)
    assert (root.findtext("msg/err_code"), root.findtext("data")) == ("36", "")


def test_get_is_answered_under_the_provider_s_name(client: Client, sandbox: Sandbox) -> None:
    query = {"method": "push_msg", "key": "KEY", "format": "json", "phone": "79000000000", "text": "0417"}
    assert client.get("/ssms/", query_string=query).get_json()["response"]["msg"]["err_code"] == "0"
    assert client.post("/ssms/", data=query).get_json()["response"]["msg"]["err_code"] == "0"
    assert texts(sandbox) == ["0417", "0417"]
    page = client.get("/", query_string=query)
    assert page.mimetype == "text/html"
    assert len(texts(sandbox)) == 2


@in_one_test
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"key": None}, "625"),
        ({"key": ""}, "625"),
        ({"key": "WRONG"}, "627"),
        ({"key": "EXPIRED"}, "3"),
        ({"key": "INACTIVE"}, "4"),
        ({"key": "NO-CREDIT"}, "36"),
        ({"key": None, "email": "user@site.example", "password": "WRONG"}, "2"),
        ({"key": None, "email": "user@site.example"}, "2"),
        ({"key": None, "email": "", "password": "secret"}, "2"),
        ({"key": None, "email": "user@site.example", "password": "NO-CREDIT"}, "36"),
        ({"key": None, "email": "user@site.example", "password": "secret"}, "0"),
    ],
)
def test_credentials_are_checked(client: Client, fields: dict[str, object], code: str) -> None:
    assert ask(client, "get_profile", **fields)["msg"]["err_code"] == code


@in_one_test
@pytest.mark.parametrize(
    ("method", "fields", "code"),
    [
        ("push_voice", {}, "5"),
        ("", {}, "5"),
        ("push_msg", {"text": None}, "7"),
        ("push_msg", {"phone": None}, "7"),
        ("push_msg", {"phone": "x"}, "7"),
        ("push_msg", {"route": "pigeon"}, "7"),
        ("push_msg", {"priority": "5"}, "7"),
        ("push_msg", {"route": "pc", "text": "no code"}, "7"),
        ("push_msg", {"call_protection": "59"}, "7"),
        ("push_msg", {"sender_name": "TwelveLetter"}, "39"),
        ("wait_call", {"call_protection": None}, "7"),
        ("wait_call", {"call_protection": "301"}, "7"),
        ("wait_call", {"call_protection": "²00"}, "7"),
        ("wait_call", {"hook_url": "ftp://127.0.0.1/"}, "7"),
        ("get_msg_report", {"id": "1"}, "602"),
        ("get_msg_report", {}, "602"),
    ],
)
def test_unsupported_requests_are_refused(
    client: Client, sandbox: Sandbox, method: str, fields: dict[str, object], code: str
) -> None:
    good = {"text": "Code 048213", "call_protection": 200} if method != "push_msg" else {"text": "Code 048213"}
    assert error(ask(client, method, **{**good, **fields})) == code
    assert texts(sandbox) == []


@pytest.mark.parametrize(
    ("refusal", "code"), [("no_route", "29"), ("no_money", "36"), ("wrong_key", "627"), ("missing_parameters", "7")]
)
def test_every_error_can_be_enabled(client: Client, sandbox: Sandbox, refusal: str, code: str) -> None:
    sandbox.faults.put("ssms", PHONE, Fault(refuse=refusal))
    assert error(ask(client, "push_msg", text="0417")) == code
    assert error(ask(client, "wait_call", call_protection=60)) == code
    assert texts(sandbox) == []


@pytest.mark.parametrize("text", ["0417", "Code: 0417.", "417"])
def test_flash_call_carries_the_code_in_its_number(client: Client, sandbox: Sandbox, text: str) -> None:
    push(client, text=text, route="pc")
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    (call,) = handset.calls
    assert call.code in text
    assert call.number.endswith(call.code)
    assert len(call.number) == 12


def test_message_waits_until_its_phone_has_called(hooked: Client, sandbox: Sandbox, asked: list[str]) -> None:
    data = push(hooked, call_protection=60)
    assert data["call_to_number"].startswith("7800")
    assert texts(sandbox) == []
    assert not dial(hooked, data["call_to_number"], OTHER)["matched"]
    assert not dial(hooked, data["call_to_number"], hidden=True)["matched"]
    assert texts(sandbox) == []
    assert ask(hooked, "get_msg_report", id=data["id"])["data"]["state"] == 0
    assert dial(hooked, data["call_to_number"])["matched"]
    assert texts(sandbox) == ["048213"]
    assert not dial(hooked, data["call_to_number"])["matched"]
    assert texts(sandbox) == ["048213"]
    assert ask(hooked, "get_msg_report", id=data["id"])["data"]["state"] == 1
    assert asked == []


def test_held_back_message_never_arrives_without_a_call(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    data = push(client, call_protection=60)
    clock.move(seconds=60)
    dial(client, data["call_to_number"])
    assert texts(sandbox) == []
    assert ask(client, "get_msg_report", id=data["id"])["data"]["state_text"] == "not delivered, expired"


def test_held_back_message_may_be_released_immediately(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, call_protection="at_once")
    data = push(client, call_protection=60)
    assert data["call_to_number"].startswith("7800")
    assert texts(sandbox) == ["048213"]
    dial(client, data["call_to_number"])
    assert texts(sandbox) == ["048213"]


def test_report_has_the_message_state(client: Client, sandbox: Sandbox) -> None:
    arrived = push(client)
    report = ask(client, "get_msg_report", id=arrived["id"])["data"]
    assert (report["state"], report["phone"], report["start_time"]) == (1, "79000000000", "2026-01-02 12:00:00")
    vary(sandbox, report="texts")
    assert ask(client, "get_msg_report", id=arrived["id"])["data"] == {
        name: str(value) for name, value in report.items()
    }
    sandbox.faults.put("ssms", PHONE, Fault(lose=True))
    assert ask(client, "get_msg_report", id=push(client)["id"])["data"]["state"] == 2
    assert texts(sandbox) == ["048213"]


def test_report_follows_a_held_back_message(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("ssms", None, Fault(lose=True))
    data = push(client, call_protection=60)
    sandbox.faults.clear()
    assert dial(client, data["call_to_number"])["matched"]
    assert texts(sandbox) == []
    assert ask(client, "get_msg_report", id=data["id"])["data"]["state"] == 2
    sandbox.faults.put("ssms", None, Fault(lose=True, variants={"call_protection": "at_once"}))
    assert ask(client, "get_msg_report", id=push(client, call_protection=60)["id"])["data"]["state"] == 2


def test_awaited_call_is_no_message(client: Client) -> None:
    assert error(ask(client, "get_msg_report", id=wait(client)["id_call"])) == "602"


def test_call_on_time_is_reported(hooked: Client, asked: list[str]) -> None:
    data = wait(hooked)
    assert data["waiting_call_from"] == "79000000000"
    assert isinstance(data["id_call"], str)
    answer = dial(hooked, data["call_to_number"])
    assert (answer["busy"], answer["matched"], answer["waits"][0]["webhooks"]) == (True, True, [200])
    line = data["call_to_number"]
    assert asked == [f"{HOOK}?id_call={data['id_call']}&waiting_call_from=79000000000&call_to_number={line}"]


def test_call_may_be_doubled_foreign_hidden_or_lost(hooked: Client, sandbox: Sandbox, asked: list[str]) -> None:
    line = wait(hooked)["call_to_number"]
    sandbox.faults.put("ssms", PHONE, Fault(lose=True))
    dial(hooked, line)
    assert asked == []
    sandbox.faults.put("ssms", PHONE, Fault(foreign_caller=OTHER))
    dial(hooked, line)
    sandbox.faults.put("ssms", PHONE, Fault(hidden_caller=True))
    dial(hooked, line)
    assert [dict(parse_qsl(urlsplit(url).query))["waiting_call_from"] for url in asked] == ["79000000001", "anonymous"]
    sandbox.faults.put("ssms", PHONE, Fault(double=True))
    dial(hooked, line)
    assert asked[2] == asked[3]


def test_late_call_is_reported_only_if_configured(
    hooked: Client, sandbox: Sandbox, clock: Clock, asked: list[str]
) -> None:
    data = wait(hooked, call_protection=60)
    clock.move(seconds=60)
    assert dial(hooked, data["call_to_number"])["waits"] == []
    vary(sandbox, late_calls="reported")
    data = wait(hooked, call_protection=60)
    clock.move(seconds=90)
    dial(hooked, data["call_to_number"])
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        ("usual", ["id_call", "waiting_call_from", "call_to_number"]),
        ("other_names", ["id", "phone", "to"]),
        ("no_id", ["waiting_call_from", "call_to_number"]),
        ("caller_alone", ["waiting_call_from"]),
        ("repeated", ["id_call", "waiting_call_from", "call_to_number", "waiting_call_from"]),
    ],
)
def test_webhook_parameter_names_follow_the_variant(
    hooked: Client, sandbox: Sandbox, asked: list[str], variant: str, names: list[str]
) -> None:
    vary(sandbox, webhook=variant)
    dial(hooked, wait(hooked)["call_to_number"])
    assert [name for name, _ in parse_qsl(urlsplit(asked[0]).query)] == names


def test_unknown_id_is_an_error(hooked: Client, sandbox: Sandbox, asked: list[str]) -> None:
    vary(sandbox, webhook="unknown_id")
    data = wait(hooked)
    dial(hooked, data["call_to_number"])
    assert "id_call=999999&" in asked[0]
    assert data["id_call"] != "999999"


def test_response_may_lack_a_line(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, reply="no_line")
    assert wait(client)["call_to_number"] == ""


def test_no_webhook_is_sent_without_a_url(client: Client, asked: list[str]) -> None:
    assert dial(client, wait(client)["call_to_number"])["matched"]
    assert asked == []


def test_url_of_a_wait_precedes_the_account_url(hooked: Client, asked: list[str]) -> None:
    dial(hooked, wait(hooked, hook_url="http://127.0.0.1:9000/own?a=b")["call_to_number"])
    assert asked[0].startswith("http://127.0.0.1:9000/own?a=b&id_call=")


def test_account_url_is_shown_and_removed(client: Client) -> None:
    assert client.get("/api/webhooks").get_json()["webhooks"]["ssms"] is None
    assert set_hook(client) == 200
    assert client.get("/api/webhooks").get_json()["webhooks"]["ssms"] == HOOK
    client.delete("/api/handsets")
    assert client.get("/api/webhooks").get_json()["webhooks"]["ssms"] == HOOK
    assert set_hook(client, None) == 200
    assert client.get("/api/webhooks").get_json()["webhooks"]["ssms"] is None


@pytest.mark.parametrize(
    "url", ["http://site.example/", "https://127.0.0.1/", "http://127.0.0.1@site.example/", "x", "", 7, []]
)
def test_non_loopback_url_is_refused(client: Client, url: object) -> None:
    assert set_hook(client, url) == 400
    assert client.get("/api/webhooks").get_json()["webhooks"]["ssms"] is None


@pytest.mark.parametrize("provider", ["ferzz", "nobody", None, ["ssms"]])
def test_only_providers_with_an_account_url_accept_one(client: Client, provider: object) -> None:
    response = client.put("/api/webhooks", json={"provider": provider, "url": HOOK})
    assert (response.status_code, list(response.get_json()["fields"])) == (400, ["provider"])


def test_cross_site_page_sets_no_url(client: Client) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    body = {"provider": "ssms", "url": HOOK}
    assert client.put("/api/webhooks", json=body, headers=headers).status_code == 403


def test_no_credential_is_kept(client: Client) -> None:
    push(client, key="SECRET-KEY")
    ask(client, "get_profile", key=None, email="user@site.example", password="SECRET-PASS")
    wait(client, hook_url="http://127.0.0.1/hook/SECRET-HOOK")
    assert "SECRET" not in client.get("/api/requests").text


@in_one_test
@pytest.mark.parametrize("value", [None, True, 0, -1, 10**40, "", "x" * 1000, "\u0000", "۹", [], {}])
@pytest.mark.parametrize(
    "name", ["method", "key", "email", "phone", "text", "route", "priority", "call_protection", "id", "hook_url"]
)
@pytest.mark.parametrize("method", ["push_msg", "wait_call", "get_msg_report", "get_profile"])
def test_no_value_of_any_type_is_a_server_error(client: Client, method: str, name: str, value: object) -> None:
    body = {"method": method, "key": "KEY", "phone": "79000000000", "text": "0417", "call_protection": 60, name: value}
    assert client.post("/", json=body).status_code == 200
    assert client.post("/", json={**body, "format": "json"}).status_code == 200


def test_every_error_has_a_response() -> None:
    assert {"wrong_login", "missing_parameters", "no_money", "no_route", "wrong_key"} <= set(PROVIDER.refusals)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Your 127.0.0.1 code is 789517. It expires in 5 minutes.\n\n@127.0.0.1 #789517", "789517"),
        ("Your 127.0.0.1 code is 789517. It expires in 5 minutes.", "789517"),
        ("Your shop12345678.example code is 4071.", "4071"),
        ("Taxi 1313: code 789517", "789517"),
        ("Use 111111, not 222222\n@site.example #0417", "0417"),
        ("Open http://127.0.0.1:80001/ now", ""),
        ("4071 is your code 2026.", "4071"),
    ],
)
def test_code_is_found_beside_digits_of_the_site(client: Client, sandbox: Sandbox, text: str, code: str) -> None:
    push(client, text=text)
    assert texts(sandbox) == [code]
