"""Twilio's messages: every request, status, error and signature."""

from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import pytest
from werkzeug.test import Client, TestResponse

from phone_verify.sandbox import Fault, Network, Sandbox
from phone_verify.sandbox.protocols.twilio import PROVIDER
from phone_verify.sandbox.protocols.twilio_common import SIGNATURE, SIGNING_KEY, sign, signature
from phone_verify.sandbox.webhooks import Hook
from tests.cases import in_one_test

from .conftest import Clock

PHONE, FROM = "+14155550100", "+15005550001"
BASE = "/2010-04-01/Accounts/AC1"
HOOK = "http://127.0.0.1:8000/hook/SECRET"
SMS = {"To": PHONE, "From": FROM, "Body": "Your code is 048213"}
WHATSAPP = {
    "To": f"whatsapp:{PHONE}", "From": f"whatsapp:{FROM}", "ContentSid": "HX1", "ContentVariables": '{"1": "048213"}',
}  # fmt: skip


def send(client: Client, auth: tuple[str, str] | None = ("AC1", "TOKEN"), **changes: str | None) -> TestResponse:
    form = {name: value for name, value in {**SMS, **changes}.items() if value is not None}
    return client.post(f"{BASE}/Messages.json", data=form, auth=auth, buffered=True)


def fetch(client: Client, sid: str, account: str = "AC1") -> TestResponse:
    return client.get(f"/2010-04-01/Accounts/{account}/Messages/{sid}.json", auth=(account, "TOKEN"))


def arrived(network: Network, phone: str = PHONE) -> list[tuple[str, str, str, str]]:
    handset = network.handset(phone)
    return [(each.channel, each.sender, each.text, each.code) for each in handset.messages] if handset else []


def test_message_is_accepted_and_delivered(client: Client, network: Network) -> None:
    response = send(client)
    body: Any = response.get_json()
    assert response.status_code == 201
    shown = {name: body[name] for name in ("status", "to", "from", "body", "error_code", "price", "num_segments")}
    assert shown == {
        "status": "queued", "to": PHONE, "from": FROM, "body": SMS["Body"], "error_code": None, "price": None,
        "num_segments": "1",
    }  # fmt: skip
    assert (len(body["sid"]), body["sid"][:2]) == (34, "SM")
    assert arrived(network) == [("sms", FROM, SMS["Body"], "048213")]
    later: Any = fetch(client, body["sid"]).get_json()
    assert (later["status"], later["error_code"], later["price"]) == ("delivered", None, "-0.00750")
    assert later["sid"] == body["sid"]


def test_messaging_service_selects_the_sender(client: Client, network: Network) -> None:
    body: Any = send(client, From=None, MessagingServiceSid="MG1").get_json()
    assert (body["status"], body["from"], body["messaging_service_sid"]) == ("accepted", None, "MG1")
    assert arrived(network)[0][1] == "Twilio"


def test_whatsapp_carries_a_template(client: Client, network: Network) -> None:
    body: Any = send(client, **WHATSAPP, Body=None).get_json()
    assert (body["to"], body["from"]) == (WHATSAPP["To"], WHATSAPP["From"])
    assert arrived(network) == [("whatsapp", FROM, "048213 is your verification code.", "048213")]


def test_whatsapp_text_without_a_template_fails_later(client: Client, network: Network) -> None:
    body: Any = send(client, To=WHATSAPP["To"], From=WHATSAPP["From"]).get_json()
    later: Any = fetch(client, body["sid"]).get_json()
    assert (body["error_code"], later["status"], later["error_code"]) == (None, "undelivered", 63016)
    assert arrived(network) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": None}, 21604),
        ({"To": "4155550100"}, 21211),
        ({"To": "whatsapp:4155550100"}, 21211),
        ({"From": None}, 21603),
        ({"From": "+0"}, 21659),
        ({"From": "A sender too long"}, 21659),
        ({"From": f"whatsapp:{FROM}"}, 21606),
        ({"To": WHATSAPP["To"]}, 21606),
        ({"MessagingServiceSid": "XX1"}, 20422),
        ({"Body": None}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"StatusCallback": "ftp://site.example"}, 21609),
        ({"ValidityPeriod": "0"}, 20422),
        ({"ValidityPeriod": "36001"}, 20422),
        ({"ValidityPeriod": "ten"}, 20422),
        ({"ContentSid": "XX1"}, 20422),
        ({"ContentSid": "HX1", "ContentVariables": "{"}, 20422),
        ({"ContentSid": "HX1", "ContentVariables": "[]"}, 20422),
        ({"ContentSid": "HX1", "ContentVariables": '{"1": 48213}'}, 20422),
        ({"ContentSid": "HX1"}, 20422),
    ],
)
def test_invalid_field_is_refused(client: Client, network: Network, changes: dict[str, str | None], code: int) -> None:
    response = send(client, **changes)
    assert (response.status_code, response.get_json()["code"]) == (400, code)
    assert network.dispatches() == ()


def test_json_body_has_no_fields(client: Client) -> None:
    response = client.post(f"{BASE}/Messages.json", json=SMS, auth=("AC1", "TOKEN"))
    assert response.get_json()["code"] == 21604


@pytest.mark.parametrize(
    "auth", [None, ("AC1", ""), ("AC1", "WRONG"), ("AC1", "EXPIRED"), ("AC2", "TOKEN"), ("user", "TOKEN")]
)
def test_wrong_credentials_are_refused(client: Client, network: Network, auth: tuple[str, str] | None) -> None:
    for response in (send(client, auth), client.get(f"{BASE}/Balance.json", auth=auth)):
        assert response.status_code == 401
        assert response.get_json() == {
            "code": 20003, "message": "Authenticate", "more_info": "https://www.twilio.com/docs/errors/20003",
            "status": 401,
        }  # fmt: skip
    assert network.dispatches() == ()


def test_api_key_is_accepted(client: Client) -> None:
    assert send(client, ("SK1", "KEY-SECRET")).status_code == 201


@pytest.mark.parametrize("token", ["NO-CREDIT", "INACTIVE"])
def test_message_of_a_suspended_account_fails(client: Client, network: Network, token: str) -> None:
    body: Any = send(client, ("AC1", token)).get_json()
    later: Any = fetch(client, body["sid"]).get_json()
    assert (later["status"], later["error_code"]) == ("undelivered", 30002)
    assert arrived(network) == []
    assert client.get(f"{BASE}/Balance.json", auth=("AC1", token)).status_code == 200


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_is_returned(client: Client, sandbox: Sandbox, network: Network, name: str) -> None:
    sandbox.faults.put("twilio", PHONE, Fault(refuse=name))
    response = send(client)
    body: Any = response.get_json()
    if int(name) < 30000:
        assert (body["code"], body["status"]) == (int(name), response.status_code)
        assert response.status_code >= 400
    else:
        sandbox.faults.clear()
        assert (response.status_code, body["status"]) == (201, "queued")
        later: Any = fetch(client, body["sid"]).get_json()
        assert (later["status"], later["error_code"]) == ("undelivered", int(name))
        assert later["error_message"]
    assert arrived(network) == []


def test_failure_may_be_in_the_first_response(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("twilio", PHONE, Fault(refuse="30006", variants={"failure": "immediate"}))
    response = send(client)
    assert (response.status_code, response.get_json()["status"]) == (201, "failed")
    assert response.get_json()["error_code"] == 30006


def test_lost_message_is_undelivered(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("twilio", None, Fault(lose=True))
    later: Any = fetch(client, send(client).get_json()["sid"]).get_json()
    assert (later["status"], later["error_code"]) == ("undelivered", 30003)


@pytest.mark.parametrize("status", ["queued", "sending", "sent", "read", "canceled", "failed"])
def test_status_may_be_any_other(client: Client, sandbox: Sandbox, status: str) -> None:
    sid = send(client).get_json()["sid"]
    sandbox.faults.put("twilio", None, Fault(variants={"status": status, "price": "absent"}))
    body: Any = fetch(client, sid).get_json()
    assert (body["status"], body["price"]) == (status, None)


def test_unknown_message_is_not_found(client: Client) -> None:
    sid = send(client).get_json()["sid"]
    for wanted, account in (("SM" + "0" * 32, "AC1"), ("SM1", "AC1"), (sid, "AC2")):
        response = fetch(client, wanted, account)
        assert (response.status_code, response.get_json()["code"]) == (404, 20404)


def test_balance_is_returned(client: Client) -> None:
    body = client.get(f"{BASE}/Balance.json", auth=("AC1", "TOKEN")).get_json()
    assert body == {"account_sid": "AC1", "balance": "10.50", "currency": "USD"}


def test_embargoed_country_may_be_refused(client: Client, sandbox: Sandbox) -> None:
    assert send(client, To="+989120000000").status_code == 201
    sandbox.faults.put("twilio", None, Fault(variants={"embargo": "on"}))
    assert send(client, To="+989120000000").get_json()["code"] == 21408
    assert send(client).status_code == 201


def test_trial_account_prefixes_the_text(client: Client, sandbox: Sandbox, network: Network) -> None:
    sandbox.faults.put("twilio", None, Fault(variants={"account": "trial"}))
    send(client)
    assert arrived(network)[0][2:] == (f"Sent from your Twilio trial account - {SMS['Body']}", "048213")


@pytest.mark.parametrize(
    ("token", "url", "fields", "expected"),
    [
        (
            "12345",
            "https://mycompany.com/myapp.php?foo=1&bar=2",
            {
                "CallSid": ["CA1234567890ABCDE"], "Caller": ["+14158675309"], "Digits": ["1234"],
                "From": ["+14158675309"], "To": ["+18005551212"],
            },
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
        (
            "FAKE_AUTH_TOKEN",
            "https://example.com/hooks/twilio",
            {
                "MessageSid": ["SM00000000000000000000000000000001"], "MessageStatus": ["delivered"],
                "To": ["+15005550006"],
            },
            "s10iHaj1S45HyM6fqYqSoCln2RI=",
        ),
    ],
    ids=["vendor", "sheet"],
)  # fmt: skip
def test_signature_follows_the_vectors(token: str, url: str, fields: dict[str, list[str]], expected: str) -> None:
    assert signature(url, fields, token) == expected
    assert signature(url, {name: values * 2 for name, values in fields.items()}, token) == expected
    pairs = [(name, value) for name, values in reversed(fields.items()) for value in values]
    assert sign(Hook.with_form(url, pairs), Clock()(), token).headers[SIGNATURE] == expected


def test_json_webhook_is_signed_by_its_digest(clock: Clock) -> None:
    hook = sign(Hook.with_json("https://site.example/hook?a=b", [{"c": 1}]), clock(), "TOKEN")
    assert hook.url == f"https://site.example/hook?a=b&bodySHA256={sha256(hook.body).hexdigest()}"
    assert hook.headers[SIGNATURE] == signature(hook.url, {}, "TOKEN")


def told(hook: Hook) -> dict[str, str]:
    return dict(parse_qsl(hook.body.decode(), keep_blank_values=True))


def test_each_step_is_reported_with_a_signature(client: Client, hooks: list[Hook]) -> None:
    sid = send(client, StatusCallback=HOOK).get_json()["sid"]
    assert [told(hook)["MessageStatus"] for hook in hooks] == ["sent", "delivered"]
    assert told(hooks[1]) == {
        "AccountSid": "AC1", "ApiVersion": "2010-04-01", "From": FROM, "MessageSid": sid,
        "MessageStatus": "delivered", "SmsSid": sid, "SmsStatus": "delivered", "To": PHONE,
    }  # fmt: skip
    for hook in hooks:
        assert (hook.method, hook.url) == ("POST", HOOK)
        assert hook.headers[SIGNATURE] == signature(HOOK, {n: [v] for n, v in told(hook).items()}, "TOKEN")


@pytest.mark.parametrize(
    ("fault", "steps"),
    [
        (Fault(lose=True), ["sent", "undelivered"]),
        (Fault(double=True), ["sent", "sent", "delivered", "delivered"]),
        (Fault(variants={"reports": "reversed"}), ["delivered", "sent"]),
        (Fault(variants={"reports": "final"}), ["delivered"]),
        (Fault(variants={"reports": "read"}), ["sent", "delivered", "read"]),
        (Fault(refuse="30007"), ["sent", "undelivered"]),
        (Fault(refuse="21610"), []),
    ],
)
def test_reports_follow_faults(
    client: Client, sandbox: Sandbox, hooks: list[Hook], fault: Fault, steps: list[str]
) -> None:
    sandbox.faults.put("twilio", None, fault)
    send(client, StatusCallback=HOOK)
    assert [told(hook)["MessageStatus"] for hook in hooks] == steps
    if "undelivered" in steps:
        assert told(hooks[-1])["ErrorCode"] == (fault.refuse or "30003")


def test_report_of_an_api_key_is_signed_with_the_known_token(client: Client, hooks: list[Hook]) -> None:
    send(client, ("SK1", "KEY-SECRET"), StatusCallback=HOOK)
    assert hooks[0].headers[SIGNATURE] == signature(HOOK, {n: [v] for n, v in told(hooks[0]).items()}, SIGNING_KEY)


def test_forged_report_has_another_signature(client: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    sandbox.faults.put("twilio", None, Fault(webhook_signature="wrong_key"))
    send(client, StatusCallback=HOOK)
    assert hooks[0].headers[SIGNATURE] != signature(HOOK, {n: [v] for n, v in told(hooks[0]).items()}, "TOKEN")


def test_journal_has_no_secrets(client: Client) -> None:
    send(client, ("AC1", "THE-AUTH-TOKEN"), StatusCallback=HOOK)
    shown = client.get("/api/requests").text + client.get("/api/webhooks/deliveries").text
    assert "THE-AUTH-TOKEN" not in shown
    assert "SECRET" not in shown
