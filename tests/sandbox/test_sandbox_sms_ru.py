"""SMS.ru's protocol, as documented."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.phones import Message
from phone_verify.sandbox.protocols.sms_ru import PROVIDER, sign
from phone_verify.sandbox.webhooks import FORM, Hook, Reply, sha256_hex
from tests.cases import in_one_test

from .conftest import Clock

Planned = list[tuple[float, Callable[[], object]]]
PHONE, OTHER = "+79990000001", "+74990000002"
NUMBER, OTHER_NUMBER = PHONE[1:], OTHER[1:]
HOOK = "http://127.0.0.1:8000/phone/webhooks/sms-ru/SECRET"
API_ID = "FAKE-API-ID"


@pytest.fixture(autouse=True)
def accepting(replies: list[Reply | None]) -> None:
    """A site that accepts every callback."""
    replies.extend([Reply(200, b"100")] * 20)


@pytest.fixture
def hooked(client: Client, sandbox: Sandbox) -> Client:
    sandbox.network.set_webhook("sms-ru", HOOK)
    return client


def ask(client: Client, path: str, status: int = 200, **fields: object) -> Any:
    # Buffered, so that the response is complete, as for a server.
    response = client.post(path, data={"api_id": API_ID, "json": "1", **fields}, buffered=True)
    assert response.status_code == status, response.text
    return response.get_json()


def send(client: Client, to: str = NUMBER, msg: str = "Code 0482", **fields: object) -> Any:
    answer = ask(client, "/sms/send", to=to, msg=msg, **fields)
    assert (answer["status"], answer["status_code"]) == ("OK", 100)
    return answer["sms"]


def refusal(client: Client, path: str, **fields: object) -> int:
    answer = ask(client, path, **fields)
    assert set(answer) == {"status", "status_code", "status_text"}
    assert answer["status"] == "ERROR"
    return int(answer["status_code"])


def messages(sandbox: Sandbox, phone: str = PHONE) -> tuple[Message, ...]:
    handset = sandbox.network.handset(phone)
    return handset.messages if handset else ()


def vary(sandbox: Sandbox, **variants: str) -> None:
    sandbox.faults.put("sms-ru", None, Fault(variants=variants))


def entries(hook: Hook) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(hook.body.decode()).items()}


def sms_entry(hook: Hook) -> list[str]:
    return entries(hook)["data[0]"].split("\n")


def test_text_arrives(client: Client, sandbox: Sandbox) -> None:
    message = send(client, **{"from": "MySite"})[NUMBER]
    assert (message["status"], message["status_code"], message["cost"]) == ("OK", 100, "3.50")
    (text,) = messages(sandbox)
    assert (text.channel, text.sender, text.text, text.code) == ("sms", "MySite", "Code 0482", "0482")


@pytest.mark.parametrize("to", ["9990000001", "89990000001", NUMBER])
def test_russian_numbers_may_be_short(client: Client, sandbox: Sandbox, to: str) -> None:
    assert set(send(client, to)) == {to}
    assert len(messages(sandbox)) == 1


@pytest.mark.parametrize("name", ["to", "multi"])
def test_each_number_may_have_its_text(client: Client, sandbox: Sandbox, name: str) -> None:
    fields = {f"{name}[{NUMBER}]": "Code 1111", f"{name}[{OTHER_NUMBER}]": "Code 2222"}
    assert set(ask(client, "/sms/send", **fields)["sms"]) == {NUMBER, OTHER_NUMBER}
    assert [messages(sandbox, phone)[0].code for phone in (PHONE, OTHER)] == ["1111", "2222"]


def test_failed_number_is_an_error_inside_a_success(client: Client, sandbox: Sandbox) -> None:
    sent = send(client, f"{NUMBER},12,{OTHER_NUMBER}")
    assert [sent[number]["status_code"] for number in (NUMBER, "12", OTHER_NUMBER)] == [100, 207, 100]
    assert (sent["12"]["status"], set(sent["12"])) == ("ERROR", {"status", "status_code", "status_text"})
    sandbox.faults.put("sms-ru", OTHER, Fault(refuse="209"))
    sent = send(client, f"{NUMBER},{OTHER_NUMBER}")
    assert [sent[number]["status_code"] for number in (NUMBER, OTHER_NUMBER)] == [100, 209]
    assert len(messages(sandbox, OTHER)) == 1


def test_error_of_a_number_may_be_outside(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("sms-ru", None, Fault(refuse="207", variants={"level": "outer"}))
    assert refusal(client, "/sms/send", to=NUMBER, msg="Code 0482") == 207


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"msg": ""}, 203),
        ({"msg": "x" * 1225}, 205),
        ({"msg": "я" * 537}, 205),
        ({"to": "+79990000001"}, 207),
        ({"to": ""}, 207),
    ],
)
def test_invalid_messages_are_errors_inside(
    client: Client, sandbox: Sandbox, fields: dict[str, str], code: int
) -> None:
    (message,) = send(client, **{"to": NUMBER, "msg": "Code 0482"} | fields).values()
    assert message["status_code"] == code
    assert messages(sandbox) == ()


def test_text_must_be_utf_8(client: Client) -> None:
    body = f"api_id=A&json=1&to={NUMBER}&msg=%CA%EE%E4".encode()
    answer = client.post("/sms/send", data=body, content_type=FORM).get_json()
    assert answer["status_code"] == 212


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"to": ",".join([NUMBER] * 101)}, 213),
        ({"ttl": "0"}, 208),
        ({"ttl": "1441"}, 208),
        ({"time": "tomorrow"}, 208),
    ],
)
def test_invalid_requests_send_nothing(client: Client, sandbox: Sandbox, fields: dict[str, str], code: int) -> None:
    assert refusal(client, "/sms/send", **{"to": NUMBER, "msg": "Code 0482"} | fields) == code
    assert messages(sandbox) == ()


def test_unapproved_sender_is_refused(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, sender="unapproved")
    assert send(client, **{"from": "MySite"})[NUMBER]["status_code"] == 204
    assert send(client)[NUMBER]["status_code"] == 100


def test_test_mode_sends_nothing(client: Client, sandbox: Sandbox) -> None:
    assert send(client, test="1")[NUMBER]["status_code"] == 100
    assert messages(sandbox) == ()


@in_one_test
@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        ({"api_id": ""}, 200),
        ({"api_id": "WRONG"}, 200),
        ({"api_id": "EXPIRED"}, 300),
        ({"api_id": "INACTIVE"}, 302),
        ({"api_id": "NO-CREDIT"}, 201),
        ({"login": "me", "password": "WRONG"}, 301),
        ({"login": "me"}, 301),
        ({"password": "SECRET"}, 301),
        ({"login": "INACTIVE", "password": "SECRET"}, 302),
    ],
)
@pytest.mark.parametrize(
    "path", ["/sms/send", "/sms/status", "/code/call", "/callcheck/add", "/callcheck/status", "/my/balance"]
)
def test_every_path_needs_credentials(
    client: Client, sandbox: Sandbox, path: str, credentials: dict[str, str], code: int
) -> None:
    fields = {"to": NUMBER, "phone": NUMBER, "msg": "Code 0482"}
    assert refusal(client, path, **fields | credentials) == code
    assert sandbox.network.handsets() == ()


def test_login_and_password_are_accepted(client: Client, sandbox: Sandbox) -> None:
    fields = {"login": "me", "password": "SECRET", "json": "1", "to": NUMBER, "msg": "Code 0482"}
    assert client.get("/sms/send", query_string=fields).get_json()["status"] == "OK"
    assert client.get("/sms-ru/sms/send", query_string=fields).get_json()["status"] == "OK"


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_can_be_returned(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("sms-ru", PHONE, Fault(refuse=name))
    assert refusal(client, "/code/call", phone=NUMBER) == int(name)
    assert sandbox.network.handset(PHONE) is None


def test_server_error_may_be_an_http_status(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("sms-ru", None, Fault(refuse="500", variants={"server_error": "500"}))
    assert ask(client, "/my/balance", 500)["status_code"] == 500


def test_responses_are_text_without_json(client: Client) -> None:
    fields = {"api_id": API_ID, "to": NUMBER, "msg": "Code 0482"}
    code, sms_id, balance = client.get("/sms/send", query_string=fields).text.split("\n")
    assert (code, balance) == ("100", "balance=4122.56")
    status = client.get("/sms/status", query_string={"api_id": API_ID, "sms_id": sms_id})
    assert (status.text, status.mimetype) == ("100\n103", "text/plain")
    assert client.get("/sms/send", query_string={**fields, "api_id": "WRONG"}).text == "200"


def test_status_of_messages(client: Client, sandbox: Sandbox) -> None:
    arrived = send(client)[NUMBER]["sms_id"]
    sandbox.faults.put("sms-ru", None, Fault(lose=True, times=1))
    lost = send(client)[NUMBER]["sms_id"]
    answer = ask(client, "/sms/status", sms_id=f"{arrived},{lost},000000-9")
    assert {id: each["status_code"] for id, each in answer["sms"].items()} == {arrived: 103, lost: 104, "000000-9": -1}
    assert answer["sms"][arrived] == {
        "status": "OK",
        "status_code": 103,
        "status_text": "delivered",
        "cost": "3.50",
        "send_time": "2026-01-02 15:00:00",
        "status_time": "2026-01-02 15:00:00",
    }
    vary(sandbox, delivered="102", lost="108", status="flat")
    assert ask(client, "/sms/status", sms_id=arrived)["status_code"] == 102
    assert ask(client, "/sms/status", sms_id=lost)["status_code"] == 108
    assert refusal(client, "/sms/status") == -1


def test_call_is_no_message(client: Client) -> None:
    call_id = ask(client, "/code/call", phone=NUMBER)["call_id"]
    assert ask(client, "/sms/status", sms_id=call_id)["sms"][call_id]["status_code"] == -1


def test_flash_call_ends_in_the_returned_code(client: Client, sandbox: Sandbox) -> None:
    answer = client.get("/code/call", query_string={"api_id": API_ID, "phone": NUMBER, "code": "9999"}).get_json()
    assert set(answer) == {"status", "code", "call_id", "cost", "balance"}
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    (call,) = handset.calls
    assert (call.number[-4:], call.code) == (answer["code"], answer["code"])


def test_code_may_be_a_number_without_its_zero(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, code="number", digits="leading_zero")
    code = ask(client, "/code/call", phone=NUMBER)["code"]
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert isinstance(code, int)
    assert handset.calls[0].code == f"{code:04}"


@pytest.mark.parametrize("phone", ["", "+79990000001", "abc", "12"])
def test_invalid_phone_is_refused(client: Client, phone: str) -> None:
    assert refusal(client, "/code/call", phone=phone) == 202
    assert refusal(client, "/callcheck/add", phone=phone) == 202


def check(client: Client, check_id: str) -> object:
    answer = ask(client, "/callcheck/status", check_id=check_id)
    assert (answer["status"], answer["status_code"]) == ("OK", 100)
    return answer["check_status"]


def test_call_confirms_the_number(client: Client, sandbox: Sandbox) -> None:
    answer = ask(client, "/callcheck/add", phone=NUMBER)
    line = answer["call_phone"]
    assert answer["call_phone_pretty"] == f"+7 ({line[1:4]}) {line[4:7]}-{line[7:]}"
    assert answer["call_phone_html"].startswith(f'<a href="callto:{line}">')
    assert check(client, answer["check_id"]) == "400"
    for caller, hidden in ((OTHER, False), (PHONE, True)):
        assert not sandbox.dial(caller, f"+{line}", hidden=hidden).matched
        assert check(client, answer["check_id"]) == "400"
    assert sandbox.dial(PHONE, f"+{line}").matched
    assert check(client, answer["check_id"]) == "401"
    vary(sandbox, check_status="number")
    assert check(client, answer["check_id"]) == 401


def test_call_after_five_minutes_confirms_nothing(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    answer = ask(client, "/callcheck/add", phone=NUMBER)
    clock.move(seconds=300)
    assert not sandbox.dial(PHONE, f"+{answer['call_phone']}").matched
    assert check(client, answer["check_id"]) == "402"
    assert check(client, "000000-1") == "402"
    assert check(client, "x") == "402"


def test_hash_follows_the_published_recipe() -> None:
    entry = "callcheck_status\n201737-542\n401\n1767225600"
    for data, digest in (
        ([entry], "b163182a3c2ae61789e82e97922f895d4b7bd0585ed0f6c99dc88652f9cab06d"),
        ([entry, "test"], "33c2a092d960237b4638d10c5a0cf7def9e078af5f240dc30264aada41df46f5"),
    ):
        hook = Hook.with_form(HOOK, {f"data[{n}]": each for n, each in enumerate(data)})
        assert entries(sign(hook, datetime(2026, 1, 1, tzinfo=UTC), API_ID))["hash"] == digest


def test_call_is_reported_and_signed(hooked: Client, sandbox: Sandbox, hooks: list[Hook], clock: Clock) -> None:
    answer = ask(hooked, "/callcheck/add", phone=NUMBER)
    sandbox.dial(OTHER, f"+{answer['call_phone']}")
    assert hooks == []
    sandbox.dial(PHONE, f"+{answer['call_phone']}")
    (hook,) = hooks
    entry = f"callcheck_status\n{answer['check_id']}\n401\n{int(clock().timestamp())}"
    assert entries(hook) == {"data[0]": entry, "hash": sha256_hex((API_ID + entry).encode())}
    assert (hook.url, hook.method, hook.content_type) == (HOOK, "POST", FORM)


@pytest.mark.parametrize("called", [False, True])
def test_expired_wait_is_reported(
    hooked: Client, sandbox: Sandbox, hooks: list[Hook], planned: Planned, clock: Clock, called: bool
) -> None:
    answer = ask(hooked, "/callcheck/add", phone=NUMBER)
    ((seconds, expire),) = planned
    assert seconds == 300
    if called:
        sandbox.dial(PHONE, f"+{answer['call_phone']}")
    clock.move(seconds=300)
    expire()
    assert [sms_entry(hook)[2] for hook in hooks] == (["401"] if called else ["402"])


def test_delivery_is_reported(hooked: Client, sandbox: Sandbox, hooks: list[Hook], clock: Clock) -> None:
    sms_id = send(hooked)[NUMBER]["sms_id"]
    sandbox.faults.put("sms-ru", None, Fault(lose=True))
    lost_id = send(hooked)[NUMBER]["sms_id"]
    now = str(int(clock().timestamp()))
    assert [sms_entry(hook) for hook in hooks] == [
        ["sms_status", sms_id, "103", now],
        ["sms_status", lost_id, "104", now],
    ]


def test_reports_may_come_in_a_batch(hooked: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    vary(sandbox, callback="batch")
    send(hooked)
    (sent,) = [entries(hook) for hook in hooks]
    assert list(sent) == ["data[0]", "data[1]", "hash"]
    assert sent["hash"] == sha256_hex((API_ID + sent["data[0]"] + sent["data[1]"]).encode())


@pytest.mark.parametrize(("reply", "repeated"), [(Reply(200, b"100"), False), (Reply(200, b"OK"), True), (None, True)])
def test_report_is_repeated_until_answered_by_100(
    hooked: Client, replies: list[Reply | None], planned: Planned, reply: Reply | None, repeated: bool
) -> None:
    replies[:] = [reply]
    send(hooked)
    assert bool(planned) is repeated


def test_report_may_be_forged(hooked: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    for forgery in ("unsigned", "wrong_key"):
        sandbox.faults.put("sms-ru", None, Fault(webhook_signature=forgery))  # type: ignore[arg-type]
        send(hooked)
    unsigned, other = (entries(hook) for hook in hooks)
    assert "hash" not in unsigned
    assert other["hash"] != sha256_hex((API_ID + other["data[0]"]).encode())


def test_callback_url_is_managed_by_the_api(client: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    assert ask(client, "/callback/get")["callback"] == []
    assert ask(client, "/callback/add", url=HOOK)["callback"] == [HOOK]
    assert [entries(hook)["data[0]"] for hook in hooks] == ["test"]
    assert ask(client, "/callback/get")["callback"] == [HOOK]
    assert refusal(client, "/callback/add", url="https://example.com/hook") == 901
    assert refusal(client, "/callback/del", url="http://127.0.0.1/other") == 902
    assert ask(client, "/callback/del", url=HOOK)["callback"] == []
    assert refusal(client, "/callback/del") == 902


@pytest.mark.parametrize("path", ["balance", "limit", "free", "senders"])
def test_account_is_returned(client: Client, path: str) -> None:
    assert ask(client, f"/my/{path}")["status"] == "OK"
    assert ask(client, "/auth/check") == {"status": "OK", "status_code": 100}


def test_balance_may_be_a_text(client: Client, sandbox: Sandbox) -> None:
    assert ask(client, "/my/balance")["balance"] == 4122.56
    vary(sandbox, balance="string")
    assert ask(client, "/my/balance")["balance"] == "4122.56"


def test_secrets_are_not_kept(client: Client, sandbox: Sandbox) -> None:
    ask(client, "/sms/send", to=NUMBER, msg="Code 0482", login="my-login", password="my-password")
    ask(client, "/callback/add", url=HOOK)
    kept = json.dumps([entry.as_json() for entry in sandbox.journal.newest_first()])
    assert not [secret for secret in (API_ID, "my-login", "my-password", "SECRET") if secret in kept]
