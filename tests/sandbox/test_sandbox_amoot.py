"""Amoot's protocol, as documented."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.protocols.amoot import PROVIDER
from tests.cases import in_one_test

PHONE = "+989120000000"
SEND = "/rest/SendQuickOTP"
TOKEN = {"Authorization": "TOKEN"}
HOOK = "http://127.0.0.1:8000/phone/webhooks/amoot/secret"


def form(client: Client, path: str = SEND, headers: dict[str, str] | None = None, **fields: object) -> Any:
    # Buffered, so that the response is complete, as for a server.
    response = client.post(path, data=fields, headers=TOKEN if headers is None else headers, buffered=True)
    assert response.status_code == 200
    return response.get_json()


def send(client: Client, **fields: object) -> Any:
    return form(client, **{"Mobile": "9120000000", "CodeLength": "6", "OptionalCode": "482193", **fields})  # type: ignore[arg-type]


def arrived(sandbox: Sandbox, phone: str = PHONE) -> list[str]:
    handset = sandbox.network.handset(phone)
    return [message.text for message in handset.messages] if handset else []


def test_given_code_arrives(client: Client, sandbox: Sandbox) -> None:
    assert send(client) == {
        "Status": "Success",
        "Data": {"Status": "Success", "MessageID": 600000001, "Mobile": 9120000000, "Code": "482193"},
    }
    assert arrived(sandbox) == ["Your code is 482193"]


@pytest.mark.parametrize("length", range(4, 9))
def test_code_is_generated_when_none_is_given(client: Client, sandbox: Sandbox, length: int) -> None:
    code = send(client, CodeLength=str(length), OptionalCode="")["Data"]["Code"]
    assert len(code) == length
    assert code.isdecimal()
    assert arrived(sandbox) == [f"Your code is {code}"]


def test_generated_code_may_begin_with_zero(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("amoot", None, Fault(variants={"digits": "leading_zero"}))
    assert send(client, OptionalCode="")["Data"]["Code"].startswith("0")


@pytest.mark.parametrize("mobile", ["9120000000", "09120000000", "989120000000", "+989120000000", "0098 912 000 0000"])
def test_usual_spellings_of_the_mobile_are_accepted(client: Client, sandbox: Sandbox, mobile: str) -> None:
    assert send(client, Mobile=mobile)["Data"]["Mobile"] == 9120000000
    assert len(arrived(sandbox)) == 1


def test_all_parameters_may_be_in_the_query(client: Client, sandbox: Sandbox) -> None:
    query = {"Token": "TOKEN", "Mobile": "9120000000", "CodeLength": "4", "OptionalCode": ""}
    assert client.get(SEND, query_string=query).get_json()["Status"] == "Success"
    assert len(arrived(sandbox)) == 1


def test_json_types_are_read(client: Client) -> None:
    body = {"Token": "TOKEN", "Mobile": 9120000000, "CodeLength": 4, "OptionalCode": "0417"}
    assert client.post(SEND, json=body).get_json()["Data"]["Code"] == "0417"


def test_names_are_not_case_sensitive(client: Client) -> None:
    fields = {"token": "TOKEN", "MOBILE": "9120000000", "codelength": "4", "optionalCode": "0417"}
    assert form(client, headers={}, **fields)["Status"] == "Success"


def test_path_works_under_provider_name_and_with_slash(client: Client) -> None:
    for path in ("/amoot/rest/SendQuickOTP", "/rest/SendQuickOTP/"):
        assert form(client, path, Mobile="9120000000", CodeLength="4")["Status"] == "Success"


@in_one_test
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Mobile": ""}, "Mobile_Empty"),
        ({"Mobile": "12"}, "Mobile_Invalid"),
        ({"Mobile": "abc"}, "Mobile_Invalid"),
        ({"CodeLength": ""}, "Length_Invalid"),
        ({"CodeLength": "3"}, "Length_Invalid"),
        ({"CodeLength": "9"}, "Length_Exceeded"),
        ({"CodeLength": "six"}, "Length_Invalid"),
        ({"CodeLength": "-5"}, "Length_Invalid"),
        ({"CodeLength": "9" * 5000}, "Length_Invalid"),
        ({"OptionalCode": "12345"}, "Length_Invalid"),
        ({"OptionalCode": "12 456"}, "Failed"),
        ({"OptionalCode": "۱۲۳۴۵۶"}, "Failed"),
    ],
)
def test_each_bad_parameter_has_its_status(
    client: Client, sandbox: Sandbox, fields: dict[str, object], status: str
) -> None:
    assert send(client, **fields) == {"Status": status, "Data": None}
    assert arrived(sandbox) == []


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("WRONG", "Token_Invalid"),
        ("EXPIRED", "Token_Expired"),
        ("INACTIVE", "Token_Disabled"),
        ("NO-CREDIT", "CreditNotEnough"),
        ("", "Token_NotExists"),
    ],
)
def test_special_tokens_trigger_errors(client: Client, sandbox: Sandbox, token: str, status: str) -> None:
    assert send(client, headers={"Authorization": token})["Status"] == status
    assert send(client, headers={}, Token=token)["Status"] == status
    assert arrived(sandbox) == []


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_status_is_available_by_name_and_number(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("amoot", None, Fault(refuse=name))
    assert send(client) == {"Status": name, "Data": None}
    sandbox.faults.put("amoot", None, Fault(refuse=name, variants={"status": "number", "data": "list"}))
    answer = send(client)
    assert answer["Data"] == []
    unlisted = ("DailyLimit_Exceeded", "FilterMessage_Reject", "Insufficient_Credit", "Line_Not_Active")
    assert answer["Status"] == name if name in unlisted else isinstance(answer["Status"], int)


def test_status_may_be_a_number(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("amoot", None, Fault(variants={"status": "number"}))
    answer = send(client)
    assert (answer["Status"], answer["Data"]["Status"]) == (1, 1)


def test_data_may_be_a_list(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("amoot", None, Fault(variants={"data": "list"}))
    assert [item["Code"] for item in send(client)["Data"]] == ["482193"]


def test_data_may_be_at_the_top_level(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("amoot", None, Fault(variants={"data": "top"}))
    answer = send(client)
    assert (answer["Status"], answer["Code"]) == ("Success", "482193")
    assert "Data" not in answer


def test_code_as_a_number_loses_its_leading_zero(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("amoot", None, Fault(variants={"code": "number"}))
    assert send(client, OptionalCode="048219")["Data"]["Code"] == 48219
    assert arrived(sandbox) == ["Your code is 048219"]


def test_panel_may_replace_the_given_code(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("amoot", None, Fault(variants={"code": "replaced"}))
    code = send(client)["Data"]["Code"]
    assert code != "482193"
    assert arrived(sandbox) == [f"Your code is {code}"]


@pytest.mark.parametrize(("variant", "options"), [("otp", [True]), ("no_otp", [False]), ("none", [])])
def test_send_needs_a_template_with_the_otp_option(
    client: Client, sandbox: Sandbox, variant: str, options: list[bool]
) -> None:
    sandbox.faults.put("amoot", None, Fault(variants={"templates": variant}))
    assert [template["IsOTP"] for template in form(client, "/rest/PatternCodeList")["Data"]] == options
    assert send(client)["Status"] == ("Success" if variant == "otp" else "Failed")
    assert len(arrived(sandbox)) == (variant == "otp")


def test_account_status_is_returned(client: Client, sandbox: Sandbox) -> None:
    answer = form(client, "/rest/AccountStatus")
    assert (answer["Status"], answer["RemaindCredit"]) == ("Success", 25000)
    sandbox.faults.put("amoot", None, Fault(refuse="User_Disabled"))
    answer = form(client, "/rest/AccountStatus")
    assert (answer["Status"], answer["RemaindCredit"], answer["AccountName"]) == ("User_Disabled", 0, None)


def test_delivery_reports_what_arrived(client: Client, sandbox: Sandbox) -> None:
    arrived_id = send(client)["Data"]["MessageID"]
    sandbox.faults.put("amoot", PHONE, Fault(lose=True))
    lost_id = send(client)["Data"]["MessageID"]
    answer = form(client, "/rest/GetDelivery", MessageID=str(arrived_id))
    assert answer == {
        "Status": "Success",
        "Data": {
            "MessageID": arrived_id,
            "DeliveryType": 1,
            "Cost": 0,
            "RegDateTime": "2026-01-02T15:30:00.000",
            "SendDateTime": "2026-01-02T15:30:00.000",
        },
    }
    assert form(client, "/rest/GetDelivery", MessageID=str(lost_id))["Data"]["DeliveryType"] == 2
    sandbox.faults.put("amoot", PHONE, Fault(variants={"delivery": "underway", "status": "number"}))
    answer = form(client, "/rest/GetDelivery", MessageID=str(arrived_id))
    assert (answer["Status"], answer["Data"]["DeliveryType"]) == (1, 35)


@pytest.mark.parametrize("message_id", ["", "0", "600000009", "x", "-1", "9" * 100])
def test_delivery_of_an_unknown_message_fails(client: Client, message_id: str) -> None:
    assert form(client, "/rest/GetDelivery", MessageID=message_id) == {"Status": "Failed", "Data": None}


def hook(client: Client, url: str | None = HOOK) -> None:
    assert client.put("/api/webhooks", json={"provider": "amoot", "url": url}).status_code == 200


def told(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def test_delivery_webhook_quotes_its_values(client: Client, asked: list[str]) -> None:
    hook(client)
    id = send(client)["Data"]["MessageID"]
    (url,) = asked
    assert url.startswith(f"{HOOK}?MessageID=")
    assert told(url) == {
        "MessageID": f'"{id}"',
        "DeliveryType": '"1"',
        "Cost": '"0"',
        "RegDateTime": '"2026-01-02T15:30:00.000"',
        "SendDateTime": '"2026-01-02T15:30:00.000"',
    }


@pytest.mark.parametrize(
    ("form", "lose", "type"),
    [
        ("quoted", True, '"2"'),
        ("bare", False, "1"),
        ("bare", True, "2"),
        ("word", False, '"Delivered"'),
        ("word", True, '"2"'),
    ],
)
def test_webhook_forms_report_the_delivery(
    client: Client, sandbox: Sandbox, asked: list[str], form: str, lose: bool, type: str
) -> None:
    hook(client, f"{HOOK}?a=b")
    sandbox.faults.put("amoot", None, Fault(lose=lose, variants={"webhook": form}))
    send(client)
    assert [(told(url)["a"], told(url)["DeliveryType"]) for url in asked] == [("b", type)]


def test_doubled_message_is_reported_twice(client: Client, sandbox: Sandbox, asked: list[str]) -> None:
    hook(client)
    sandbox.faults.put("amoot", PHONE, Fault(double=True))
    send(client)
    assert len(asked) == 2
    assert asked[0] == asked[1]


def test_refusal_or_missing_url_sends_no_webhook(client: Client, asked: list[str]) -> None:
    send(client)
    hook(client)
    send(client, Mobile="12")
    form(client, "/rest/AccountStatus")
    hook(client, None)
    send(client)
    assert asked == []


def test_webhook_follows_the_response(sandbox: Sandbox, asked: list[str]) -> None:
    client = Client(sandbox)
    hook(client)
    fields = {"Mobile": "9120000000", "CodeLength": "6", "OptionalCode": "482193"}
    response = client.post(SEND, data=fields, headers=TOKEN)
    assert response.get_json()["Status"] == "Success"
    assert asked == []
    response.close()
    assert len(asked) == 1


def test_messages_can_be_lost_or_doubled(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("amoot", PHONE, Fault(lose=True))
    assert send(client)["Status"] == "Success"
    assert arrived(sandbox) == []
    sandbox.faults.put("amoot", PHONE, Fault(double=True))
    send(client)
    assert arrived(sandbox) == ["Your code is 482193"] * 2


def test_delay_comes_after_delivery(client: Client, sandbox: Sandbox, pauses: list[float]) -> None:
    sandbox.faults.put("amoot", None, Fault(delay=11))
    send(client)
    assert pauses == [11]
    assert len(arrived(sandbox)) == 1


def test_hanging_request_is_delivered_and_never_answered(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("amoot", None, Fault(hang=True))
    with pytest.raises(ConnectionAbortedError):
        send(client)
    assert len(arrived(sandbox)) == 1


def test_broken_json(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("amoot", None, Fault(malformed=True))
    response = client.post(SEND, data={"Mobile": "9120000000", "CodeLength": "4"}, headers=TOKEN)
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"delimiter|Unterminated|Expecting"):
        json.loads(response.data)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"nonsense", b"\xff\xfe", b"[" * 60_000, b'{"Mobile": ' + b"9" * 5000 + b"}"]
)
def test_unreadable_json_gets_an_error_status(client: Client, body: bytes) -> None:
    response = client.post(SEND, data=body, content_type="application/json", headers=TOKEN)
    assert (response.status_code, response.get_json()["Status"]) == (200, "Failed")
