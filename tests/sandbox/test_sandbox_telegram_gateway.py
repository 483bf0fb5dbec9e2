"""Telegram Gateway's protocol, as documented."""

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.phones import Message
from phone_verify.sandbox.protocols.telegram_gateway import PROVIDER, sign
from phone_verify.sandbox.webhooks import STALE, Hook, Reply
from tests.cases import in_one_test

from .conftest import Clock

Planned = list[tuple[float, Callable[[], object]]]
PHONE, OTHER = "+79990000001", "+79990000002"
CALLBACK = "http://127.0.0.1:8000/phone/webhooks/telegram-gateway/SECRET"
TOKEN = "FAKE-GATEWAY-TOKEN"


@pytest.fixture(autouse=True)
def accepting(replies: list[Reply | None]) -> None:
    """A site that accepts every callback."""
    replies.extend([Reply(200)] * 20)


def ask(client: Client, method: str, status: int = 200, token: str = TOKEN, **fields: object) -> Any:
    # Buffered, so that the response is complete, as for a server.
    headers = {"Authorization": f"Bearer {token}"}
    response = client.post(f"/{method}", json=fields, headers=headers, buffered=True)
    assert response.status_code == status, response.text
    return response.get_json()


def send(client: Client, **fields: object) -> Any:
    answer = ask(client, "sendVerificationMessage", phone_number=PHONE, **({"code": "1234"} | fields))
    assert answer["ok"], answer
    return answer["result"]


def error(client: Client, method: str, **fields: object) -> str:
    answer = ask(client, method, **fields)
    assert set(answer) == {"ok", "error"}
    assert answer["ok"] is False
    return str(answer["error"])


def check(client: Client, request_id: str, **fields: object) -> Any:
    return ask(client, "checkVerificationStatus", request_id=request_id, **fields)["result"]


def verification(client: Client, request_id: str, code: str) -> str:
    return str(check(client, request_id, code=code)["verification_status"]["status"])


def messages(sandbox: Sandbox, phone: str = PHONE) -> tuple[Message, ...]:
    handset = sandbox.network.handset(phone)
    return handset.messages if handset else ()


def vary(sandbox: Sandbox, **variants: str) -> None:
    sandbox.faults.put("telegram-gateway", None, Fault(variants=variants))


def statuses(hooks: list[Hook]) -> list[tuple[str | None, str | None]]:
    """Return the statuses of delivery and verification of each callback."""
    bodies = [json.loads(hook.body) for hook in hooks]
    return [
        tuple(body.get(f"{kind}_status", {}).get("status") for kind in ("delivery", "verification")) for body in bodies
    ]  # type: ignore[misc]


def test_clients_code_arrives_in_telegram(client: Client, sandbox: Sandbox) -> None:
    result = send(client, payload="ver-1", sender_username="@mysite", ttl=60)
    (message,) = messages(sandbox)
    assert (message.provider, message.channel, message.sender) == ("telegram-gateway", "telegram", "mysite")
    assert (message.code, "1234" in message.text) == ("1234", True)
    assert (result["phone_number"], result["payload"], result["request_cost"]) == ("79990000001", "ver-1", 0.01)
    assert (result["is_refunded"], result["remaining_balance"]) == (False, 99.99)
    assert result["delivery_status"]["status"] == "sent"
    assert "verification_status" not in result
    assert isinstance(result["request_id"], str)


@pytest.mark.parametrize("length", [4, 8, "6"])
def test_code_is_generated_and_never_returned(client: Client, sandbox: Sandbox, length: object) -> None:
    result = send(client, code="", code_length=length)
    (message,) = messages(sandbox)
    assert len(message.code) == int(str(length))
    assert message.code not in json.dumps(result)
    assert verification(client, result["request_id"], message.code) == "code_valid"


def test_query_form_and_token_parameter_are_accepted(client: Client, sandbox: Sandbox) -> None:
    fields = {"phone_number": PHONE, "code": "1234", "ttl": "60", "access_token": TOKEN}
    assert client.get("/sendVerificationMessage", query_string=fields).get_json()["ok"]
    assert client.post("/sendVerificationMessage", data=fields).get_json()["ok"]
    assert client.post("/telegram-gateway/sendVerificationMessage", json=fields).get_json()["ok"]
    assert len(messages(sandbox)) == 3


@in_one_test
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"phone_number": "79990000001"}, "PHONE_NUMBER_INVALID"),
        ({"phone_number": "+0999"}, "PHONE_NUMBER_INVALID"),
        ({"phone_number": 79990000001}, "PHONE_NUMBER_INVALID"),
        ({"code": "123"}, "CODE_INVALID"),
        ({"code": "123456789"}, "CODE_INVALID"),
        ({"code": "12a4"}, "CODE_INVALID"),
        ({"code": "۱۲۳۴"}, "CODE_INVALID"),
        ({"code": 1234}, "CODE_INVALID"),
        ({"code": ""}, "CODE_LENGTH_INVALID"),
        ({"code": "", "code_length": 3}, "CODE_LENGTH_INVALID"),
        ({"code": "", "code_length": True}, "CODE_LENGTH_INVALID"),
        ({"ttl": 29}, "TTL_INVALID"),
        ({"ttl": 3601}, "TTL_INVALID"),
        ({"ttl": "soon"}, "TTL_INVALID"),
        ({"payload": "x" * 129}, "PAYLOAD_INVALID"),
        ({"payload": "я" * 65}, "PAYLOAD_INVALID"),
        ({"sender_username": "no name"}, "SENDER_USERNAME_INVALID"),
        ({"callback_url": "http://example.com/hook"}, "CALLBACK_URL_INVALID"),
        ({"callback_url": "https://example.com/" + "x" * 240}, "CALLBACK_URL_INVALID"),
        ({"callback_url": "ftp://127.0.0.1/"}, "CALLBACK_URL_INVALID"),
        ({"request_id": "1234567890"}, "REQUEST_ID_INVALID"),
        ({"request_id": 1234567890}, "REQUEST_ID_INVALID"),
    ],
)
def test_invalid_parameters_send_nothing(
    client: Client, sandbox: Sandbox, fields: dict[str, object], expected: str
) -> None:
    assert error(client, "sendVerificationMessage", **{"phone_number": PHONE, "code": "1234"} | fields) == expected
    assert messages(sandbox) == ()


def test_body_that_is_no_json_is_refused(client: Client) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    answer = client.post("/sendVerificationMessage", data="{", headers=headers).get_json()
    assert answer == {"ok": False, "error": "BAD_REQUEST"}


@in_one_test
@pytest.mark.parametrize("token", ["", "WRONG", "EXPIRED", "INACTIVE"])
@pytest.mark.parametrize(
    "method", ["checkSendAbility", "sendVerificationMessage", "checkVerificationStatus", "revokeVerificationMessage"]
)
def test_every_method_needs_a_token(client: Client, sandbox: Sandbox, method: str, token: str) -> None:
    fields = {"phone_number": PHONE, "code": "1234", "request_id": "1"}
    assert error(client, method, token=token, **fields) == "ACCESS_TOKEN_INVALID"
    assert client.post(f"/{method}", json=fields).get_json()["error"] == "ACCESS_TOKEN_INVALID"
    assert messages(sandbox) == ()


def test_account_without_money_sends_nothing(client: Client) -> None:
    assert error(client, "sendVerificationMessage", token="NO-CREDIT", phone_number=PHONE) == "BALANCE_NOT_ENOUGH"


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_can_be_returned(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("telegram-gateway", PHONE, Fault(refuse=name))
    status = 500 if name == "INTERNAL_ERROR" else 200
    answer = ask(client, "sendVerificationMessage", status, phone_number=PHONE, code="1234")
    assert answer == {"ok": False, "error": name}
    assert messages(sandbox) == ()


def test_errors_may_have_http_statuses(client: Client, sandbox: Sandbox) -> None:
    for name, status in (("ACCESS_TOKEN_INVALID", 401), ("FLOOD_WAIT_30", 429), ("PHONE_NUMBER_NOT_AVAILABLE", 400)):
        sandbox.faults.put("telegram-gateway", None, Fault(refuse=name, variants={"errors": "4xx"}))
        assert ask(client, "checkSendAbility", status, phone_number=PHONE)["error"] == name


def test_billed_check_makes_one_send_free(client: Client, sandbox: Sandbox) -> None:
    checked = ask(client, "checkSendAbility", phone_number=PHONE)["result"]
    assert checked["request_cost"] == 0.01
    assert "delivery_status" not in checked
    assert messages(sandbox) == ()
    assert send(client, request_id=checked["request_id"])["request_id"] == checked["request_id"]
    again = {"phone_number": PHONE, "code": "1234", "request_id": checked["request_id"]}
    assert error(client, "sendVerificationMessage", **again) == "REQUEST_ID_INVALID"
    assert len(messages(sandbox)) == 1


def test_check_of_another_number_is_refused(client: Client) -> None:
    request_id = ask(client, "checkSendAbility", phone_number=OTHER)["result"]["request_id"]
    fields = {"phone_number": PHONE, "code": "1234", "request_id": request_id}
    assert error(client, "sendVerificationMessage", **fields) == "REQUEST_ID_INVALID"
    assert error(client, "checkVerificationStatus", request_id=request_id) == "REQUEST_ID_INVALID"


def test_two_sends_are_two_requests(client: Client, sandbox: Sandbox) -> None:
    assert send(client)["request_id"] != send(client)["request_id"]
    assert len(messages(sandbox)) == 2


def test_right_code_is_valid_more_than_once(client: Client) -> None:
    request_id = send(client)["request_id"]
    assert verification(client, request_id, "9999") == "code_invalid"
    assert verification(client, request_id, "1234") == "code_valid"
    assert verification(client, request_id, "1234") == "code_valid"
    assert verification(client, request_id, "9999") == "code_invalid"
    assert check(client, request_id)["verification_status"]["code_entered"] == "9999"


def test_too_many_wrong_codes_end_the_request(client: Client) -> None:
    request_id = send(client)["request_id"]
    assert {verification(client, request_id, "9999") for _ in range(5)} == {"code_invalid"}
    assert verification(client, request_id, "9999") == "code_max_attempts_exceeded"
    assert verification(client, request_id, "1234") == "code_max_attempts_exceeded"


@pytest.mark.parametrize("code", ["12", 1234, "abcd"])
def test_entered_code_has_four_to_eight_digits(client: Client, code: object) -> None:
    request_id = send(client)["request_id"]
    assert error(client, "checkVerificationStatus", request_id=request_id, code=code) == "CODE_INVALID"


@pytest.mark.parametrize("method", ["checkVerificationStatus", "revokeVerificationMessage"])
def test_unknown_request_is_refused(client: Client, method: str) -> None:
    assert error(client, method, request_id="7") == "REQUEST_ID_INVALID"
    assert error(client, method) == "REQUEST_ID_INVALID"


def test_code_expires_although_the_message_arrived(client: Client, clock: Clock) -> None:
    request_id = send(client, ttl=60)["request_id"]
    clock.move(seconds=60)
    result = check(client, request_id, code="1234")
    assert result["verification_status"]["status"] == "expired"
    assert result["delivery_status"]["status"] == "delivered"
    assert result["is_refunded"] is False


def test_message_that_never_arrives_is_refunded(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    sandbox.faults.put("telegram-gateway", PHONE, Fault(lose=True))
    request_id = send(client, ttl=60)["request_id"]
    assert check(client, request_id)["delivery_status"]["status"] == "sent"
    clock.move(seconds=60)
    result = check(client, request_id)
    assert result["delivery_status"] == {"status": "expired", "updated_at": int(clock().timestamp())}
    assert result["is_refunded"] is True


def test_code_without_ttl_lasts_an_hour(client: Client, clock: Clock) -> None:
    request_id = send(client)["request_id"]
    clock.move(seconds=3599)
    assert verification(client, request_id, "1234") == "code_valid"


@pytest.mark.parametrize("step", ["read", "sent"])
def test_delivery_has_other_ends(client: Client, sandbox: Sandbox, step: str) -> None:
    vary(sandbox, delivery=step)
    assert check(client, send(client)["request_id"])["delivery_status"]["status"] == step


def test_optional_fields_may_be_absent(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, fields="sparse")
    assert set(send(client, payload="x")) == {"request_id", "phone_number", "request_cost", "delivery_status"}


def test_send_may_report_no_balance_and_no_price(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, balance="zero", price="free")
    result = send(client)
    assert (result["remaining_balance"], result["request_cost"]) == (0, 0.0)


def test_revoked_message_disappears(client: Client, sandbox: Sandbox) -> None:
    request_id = send(client)["request_id"]
    assert ask(client, "revokeVerificationMessage", request_id=request_id) == {"ok": True, "result": True}
    assert messages(sandbox) == ()
    result = check(client, request_id, code="1234")
    assert (result["delivery_status"]["status"], result["verification_status"]["status"]) == ("revoked", "expired")


@pytest.mark.parametrize("variants", [{"revoke": "ignored"}, {"delivery": "read"}])
def test_revocation_may_have_no_effect(client: Client, sandbox: Sandbox, variants: dict[str, str]) -> None:
    vary(sandbox, **variants)
    request_id = send(client)["request_id"]
    assert ask(client, "revokeVerificationMessage", request_id=request_id) == {"ok": True, "result": True}
    assert len(messages(sandbox)) == 1
    assert verification(client, request_id, "1234") == "code_valid"


def test_signature_follows_the_published_recipe() -> None:
    body = (
        '{"request_id":"1","phone_number":"79990000001","request_cost":0.01,'
        '"delivery_status":{"status":"delivered","updated_at":1767225600}}'
    )
    signed = sign(Hook(CALLBACK, "POST", "application/json", body.encode()), datetime(2026, 1, 1, tzinfo=UTC), TOKEN)
    assert signed.headers == {
        "X-Request-Timestamp": "1767225600",
        "X-Request-Signature": "c514ea9de65020a8b118968ec8b9231e2be0430971a235c39a56eaa8c8371f7d",
    }


def test_status_is_posted_and_signed(client: Client, hooks: list[Hook], clock: Clock) -> None:
    result = send(client, callback_url=CALLBACK, payload="ver-1")
    (hook,) = hooks
    assert (hook.url, hook.method, hook.content_type) == (CALLBACK, "POST", "application/json")
    now = int(clock().timestamp())
    assert json.loads(hook.body) == {
        "request_id": result["request_id"],
        "phone_number": "79990000001",
        "request_cost": 0.01,
        "delivery_status": {"status": "delivered", "updated_at": now},
        "payload": "ver-1",
    }
    message = f"{now}\n".encode() + hook.body
    expected = hmac.new(hashlib.sha256(TOKEN.encode()).digest(), message, "sha256").hexdigest()
    assert hook.headers["X-Request-Signature"] == expected


def test_each_change_is_posted(client: Client, hooks: list[Hook], planned: Planned, clock: Clock) -> None:
    request_id = send(client, callback_url=CALLBACK, ttl=60)["request_id"]
    check(client, request_id)
    check(client, request_id, code="9999")
    ((seconds, expire),) = planned
    assert seconds == 60
    clock.move(seconds=60)
    expire()
    assert statuses(hooks) == [("delivered", None), ("delivered", "code_invalid"), ("delivered", "expired")]


def test_expired_delivery_is_posted(
    client: Client, sandbox: Sandbox, hooks: list[Hook], planned: Planned, clock: Clock
) -> None:
    sandbox.faults.put("telegram-gateway", None, Fault(lose=True))
    send(client, callback_url=CALLBACK, ttl=60)
    assert hooks == []
    clock.move(seconds=60)
    planned[0][1]()
    assert statuses(hooks) == [("expired", "expired")]


@pytest.mark.parametrize("step", ["valid", "revoked", "cleared"])
def test_no_expiry_is_posted_after_an_end(
    client: Client, sandbox: Sandbox, hooks: list[Hook], planned: Planned, clock: Clock, step: str
) -> None:
    request_id = send(client, callback_url=CALLBACK, ttl=60)["request_id"]
    if step == "valid":
        check(client, request_id, code="1234")
    elif step == "revoked":
        ask(client, "revokeVerificationMessage", request_id=request_id)
        assert statuses(hooks)[-1] == ("revoked", "expired")
    else:
        sandbox.network.clear()
    before = len(hooks)
    clock.move(seconds=60)
    planned[0][1]()
    assert len(hooks) == before


def test_callbacks_may_be_doubled_and_reversed(client: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    variants = {"delivery": "read", "callbacks": "reversed"}
    sandbox.faults.put("telegram-gateway", None, Fault(double=True, variants=variants))
    send(client, callback_url=CALLBACK)
    assert [status for status, _ in statuses(hooks)] == ["read", "read", "delivered", "delivered"]


def test_callback_may_precede_the_response(client: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    fields = {"phone_number": PHONE, "code": "1234", "callback_url": CALLBACK, "access_token": TOKEN}
    for first in (False, True):
        sandbox.faults.put("telegram-gateway", None, Fault(webhook_first=first))
        response = client.post("/sendVerificationMessage", json=fields)
        assert len(hooks) == (1 if first else 0)
        response.close()
        assert len(hooks) == 1
        hooks.clear()


def test_callback_may_be_forged(client: Client, sandbox: Sandbox, hooks: list[Hook], clock: Clock) -> None:
    for forgery in ("unsigned", "wrong_key", "stale"):
        sandbox.faults.put("telegram-gateway", None, Fault(webhook_signature=forgery))  # type: ignore[arg-type]
        send(client, callback_url=CALLBACK)
    unsigned, other, stale = (hook.headers for hook in hooks)
    assert "X-Request-Signature" not in unsigned
    assert other["X-Request-Signature"] != sign(hooks[1], clock(), TOKEN).headers["X-Request-Signature"]
    assert stale["X-Request-Timestamp"] == str(int((clock() - STALE).timestamp()))


def test_no_callback_is_sent_without_a_url(client: Client, hooks: list[Hook], planned: Planned) -> None:
    check(client, send(client)["request_id"], code="1234")
    assert (hooks, planned) == ([], [])


def test_callback_is_repeated_until_it_is_accepted(
    sandbox: Sandbox, client: Client, hooks: list[Hook], planned: Planned, replies: list[Reply | None]
) -> None:
    replies[:] = [Reply(500), None, Reply(200)]
    send(client, callback_url=CALLBACK, ttl=3600)
    for _ in range(2):
        planned.pop()[1]()
    assert len(hooks) == 3
    assert len(planned) == 1


def test_secrets_are_not_kept(client: Client, sandbox: Sandbox) -> None:
    request_id = send(client, callback_url=CALLBACK, access_token=TOKEN)["request_id"]
    check(client, request_id, code="9999")
    kept = json.dumps([entry.as_json() for entry in sandbox.journal.newest_first()])
    assert TOKEN not in kept
    assert "webhooks/telegram-gateway/SECRET" not in kept
