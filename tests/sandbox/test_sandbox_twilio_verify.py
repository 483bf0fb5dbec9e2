"""Twilio Verify: starts on every channel, checks, limits, errors and events."""

import json
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from phone_verify.sandbox import Fault, Network, Sandbox
from phone_verify.sandbox.protocols.twilio_common import SIGNATURE, signature
from phone_verify.sandbox.protocols.twilio_verify import PROVIDER
from phone_verify.sandbox.webhooks import Hook, sha256_hex
from tests.cases import in_one_test

from .conftest import Clock

PHONE = "+14155550100"
BASE = "/v2/Services/VA1"
AUTH = ("AC1", "TOKEN")


def start(client: Client, channel: str = "sms", *, base: str = BASE, **changes: str) -> TestResponse:
    data = {"To": PHONE, "Channel": channel, **changes}
    return client.post(f"{base}/Verifications", data=data, auth=AUTH, buffered=True)


def check(client: Client, code: str, **changes: str) -> TestResponse:
    data = {"Code": code, **(changes or {"To": PHONE})}
    return client.post(f"{BASE}/VerificationCheck", data=data, auth=AUTH, buffered=True)


def code_at(network: Network) -> str:
    handset = network.handset(PHONE)
    assert handset is not None
    assert handset.newest_code is not None
    return handset.newest_code.code


def wrong(code: str) -> str:
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def outcome(response: TestResponse) -> tuple[int, Any]:
    body: Any = response.get_json()
    return response.status_code, body.get("code", body.get("status"))


@pytest.mark.parametrize(("channel", "arrives"), [("sms", "sms"), ("call", "voice"), ("whatsapp", "whatsapp")])
def test_code_arrives_and_is_approved(client: Client, network: Network, channel: str, arrives: str) -> None:
    response = start(client, channel)
    body: Any = response.get_json()
    assert response.status_code == 201
    assert (body["status"], body["valid"], body["to"], body["channel"]) == ("pending", False, PHONE, channel)
    assert (body["sid"][:2], len(body["sid"]), body["service_sid"]) == ("VE", 34, "VA1")
    assert [attempt["channel"] for attempt in body["send_code_attempts"]] == [channel.upper()]
    found: Any = client.get(f"/api/handsets/{PHONE}/code").get_json()
    assert found["channel"] == arrives
    assert len(found["code"]) == 6
    assert found["code"] not in response.text
    assert outcome(check(client, wrong(found["code"]))) == (200, "pending")
    right = check(client, found["code"])
    assert (outcome(right), right.get_json()["valid"]) == ((200, "approved"), True)
    assert outcome(check(client, found["code"])) == (404, 20404)


def test_voice_call_speaks_the_digits(client: Client, network: Network) -> None:
    start(client, "call", CustomFriendlyName="Example", CustomCode="048213")
    handset = network.handset(PHONE)
    assert handset is not None
    (call,) = handset.calls
    assert call.spoken.startswith("Your Example verification code is: 0, 4, 8, 2, 1, 3.")
    assert (call.code, call.number, call.language) == ("048213", "+15005550010", "en-US")


def test_start_continues_an_open_verification(client: Client, network: Network) -> None:
    first: Any = start(client).get_json()
    code = code_at(network)
    again: Any = start(client, "call").get_json()
    assert (again["sid"], len(again["send_code_attempts"])) == (first["sid"], 2)
    assert code_at(network) == code
    other: Any = start(client, base="/v2/Services/VA2").get_json()
    assert other["sid"] != first["sid"]


def test_sixth_send_is_refused_until_the_verification_expires(client: Client, clock: Clock) -> None:
    sids = {start(client).get_json()["sid"] for _ in range(5)}
    assert len(sids) == 1
    assert outcome(start(client)) == (429, 60203)
    clock.move(minutes=10)
    assert start(client).get_json()["sid"] not in sids


def test_closed_verification_makes_room_for_another(client: Client, network: Network) -> None:
    for _ in range(5):
        sid = start(client, CustomCode="4821").get_json()["sid"]
    response = client.post(f"{BASE}/Verifications/{sid}", data={"Status": "approved"}, auth=AUTH)
    assert outcome(response) == (200, "approved")
    assert start(client).get_json()["sid"] != sid


def test_sixth_check_is_refused_and_blocks_a_start(client: Client, network: Network, clock: Clock) -> None:
    start(client)
    code = code_at(network)
    for _ in range(5):
        assert outcome(check(client, wrong(code))) == (200, "pending")
    assert outcome(start(client)) == (429, 60202)
    for _ in range(2):
        assert outcome(check(client, code)) == (429, 60202)
    clock.move(minutes=10)
    assert outcome(check(client, code)) == (404, 20404)
    assert start(client).status_code == 201


def test_start_after_too_many_checks_may_be_new(client: Client, sandbox: Sandbox, network: Network) -> None:
    sid = start(client).get_json()["sid"]
    for _ in range(5):
        check(client, wrong(code_at(network)))
    sandbox.faults.put("twilio-verify", None, Fault(variants={"after_checks": "new"}))
    assert start(client).get_json()["sid"] != sid


def test_embargoed_country_may_be_refused(client: Client, sandbox: Sandbox) -> None:
    assert start(client, To="+989120000000").status_code == 201
    sandbox.faults.put("twilio-verify", None, Fault(variants={"embargo": "on"}))
    assert start(client, To="+989120000000").get_json()["code"] == 60238
    assert start(client).status_code == 201


def test_code_expires_after_ten_minutes(client: Client, network: Network, clock: Clock) -> None:
    sid = start(client).get_json()["sid"]
    code = code_at(network)
    clock.move(minutes=10)
    assert outcome(check(client, code)) == (404, 20404)
    assert outcome(client.get(f"{BASE}/Verifications/{sid}", auth=AUTH)) == (404, 20404)


def test_check_accepts_the_sid_of_its_service_only(client: Client, network: Network) -> None:
    sid = start(client).get_json()["sid"]
    code = code_at(network)
    data = {"Code": code, "VerificationSid": sid}
    foreign = client.post("/v2/Services/VA2/VerificationCheck", data=data, auth=AUTH)
    assert outcome(foreign) == (404, 20404)
    assert outcome(check(client, code, VerificationSid="VE1")) == (404, 20404)
    assert outcome(check(client, code, VerificationSid=sid)) == (200, "approved")


def test_status_is_fetched(client: Client, sandbox: Sandbox, network: Network) -> None:
    sid = start(client).get_json()["sid"]
    path = f"{BASE}/Verifications/{sid}"
    assert outcome(client.get(path, auth=AUTH)) == (200, "pending")
    assert outcome(client.post(path, data={"Status": "maybe"}, auth=AUTH)) == (400, 60200)
    assert outcome(client.post(path, data={"Status": "canceled"}, auth=AUTH)) == (200, "canceled")
    assert outcome(client.post(path, data={"Status": "canceled"}, auth=AUTH)) == (404, 20404)
    assert outcome(client.get(path, auth=AUTH)) == (404, 20404)
    sandbox.faults.put("twilio-verify", None, Fault(variants={"closed": "shown"}))
    assert outcome(client.get(path, auth=AUTH)) == (200, "canceled")
    assert outcome(check(client, code_at(network))) == (404, 20404)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": ""}, 60200),
        ({"To": "4155550100"}, 60200),
        ({"Channel": ""}, 60200),
        ({"Channel": "pigeon"}, 60200),
        ({"Channel": "email"}, 60204),
        ({"Locale": "english!"}, 60200),
        ({"CustomCode": "123"}, 60200),
        ({"CustomCode": "12345678901"}, 60200),
        ({"RateLimits": "{"}, 60200),
        ({"RateLimits": "[]"}, 60200),
        ({"TemplateCustomSubstitutions": "1"}, 60200),
    ],
)
def test_invalid_field_is_refused(client: Client, network: Network, changes: dict[str, str], code: int) -> None:
    assert start(client, **changes).get_json()["code"] == code
    assert network.dispatches() == ()


@pytest.mark.parametrize("changes", [{"Code": ""}, {"To": "1"}, {"To": ""}])
def test_check_without_code_or_number_is_refused(client: Client, changes: dict[str, str]) -> None:
    data = {"Code": "482193", "To": PHONE, **changes}
    assert outcome(client.post(f"{BASE}/VerificationCheck", data=data, auth=AUTH)) == (400, 60200)


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "Verifications"), ("POST", "VerificationCheck"), ("GET", f"Verifications/VE{'0' * 32}"),
    ("POST", f"Verifications/VE{'0' * 32}"),
])  # fmt: skip
def test_every_call_requires_credentials_and_a_service(client: Client, method: str, path: str) -> None:
    data = {"To": PHONE, "Channel": "sms", "Code": "1234", "Status": "canceled"}
    for auth in (None, ("AC1", "WRONG"), ("AC1", "EXPIRED"), ("user", "TOKEN")):
        response = client.open(f"{BASE}/{path}", method=method, data=data, auth=auth)
        assert outcome(response) == (401, 20003)
    response = client.open(f"/v2/Services/XX1/{path}", method=method, data=data, auth=AUTH)
    assert outcome(response) == (404, 20404)


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
@pytest.mark.parametrize("step", ["start", "check"])
def test_every_error_is_returned(client: Client, sandbox: Sandbox, name: str, step: str) -> None:
    start(client)
    sandbox.faults.put("twilio-verify", PHONE, Fault(refuse=name))
    response = start(client) if step == "start" else check(client, "482193")
    assert response.status_code >= 400
    if name == "503":
        assert response.mimetype == "text/html"
    else:
        body: Any = response.get_json()
        assert (body["code"], body["status"]) == (int(name), response.status_code)
        assert body["more_info"] == f"https://www.twilio.com/docs/errors/{name}"


def test_undocumented_status_of_a_block_varies(client: Client, sandbox: Sandbox) -> None:
    for status in ("403", "400", "429"):
        fault = Fault(refuse="60410", variants={"block_status": status})
        sandbox.faults.put("twilio-verify", None, fault)
        assert outcome(start(client)) == (int(status), 60410)


def test_service_settings_are_variants(client: Client, sandbox: Sandbox, network: Network) -> None:
    variants = {"length": "4", "digits": "leading_zero", "check_status": "201", "custom_code": "disabled"}
    sandbox.faults.put("twilio-verify", None, Fault(variants=variants))
    assert start(client, CustomCode="4821").get_json()["code"] == 60204
    start(client)
    code = code_at(network)
    assert (len(code), code[0]) == (4, "0")
    assert outcome(check(client, code)) == (201, "approved")


def test_events_are_signed_and_sent_to_the_account(client: Client, network: Network, hooks: list[Hook]) -> None:
    url = "http://127.0.0.1:8000/hook/SECRET"
    network.set_webhook("twilio-verify", url)
    start(client)
    check(client, code_at(network))
    for hook, event in zip(hooks, ("pending", "approved"), strict=True):
        ((cloud),) = json.loads(hook.body)
        assert cloud["type"] == f"com.twilio.accountsecurity.verify.verification.{event}"
        assert hook.url == f"{url}?bodySHA256={sha256_hex(hook.body)}"
        assert hook.headers[SIGNATURE] == signature(hook.url, {}, "TOKEN")


def test_app_hash_frames_the_message(client: Client, network: Network) -> None:
    start(client, AppHash="FA+9qCX9VSu")
    handset = network.handset(PHONE)
    assert handset is not None
    assert handset.messages[0].text.startswith("<#> Your Sandbox")
    assert handset.messages[0].text.endswith("\nFA+9qCX9VSu")


def test_journal_has_no_secrets(client: Client) -> None:
    client.post(f"{BASE}/Verifications", data={"To": PHONE, "Channel": "sms"}, auth=("AC1", "THE-AUTH-TOKEN"))
    assert "THE-AUTH-TOKEN" not in client.get("/api/requests").text
