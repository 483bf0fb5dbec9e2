"""Telnyx Verify's protocol, as documented."""

import base64
import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from werkzeug.test import Client, TestResponse

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.protocols.telnyx import PROVIDER, PUBLIC_KEY
from phone_verify.sandbox.webhooks import Hook
from tests.cases import in_one_test

from .conftest import Clock

PHONE, OTHER = "+15005550006", "+15005550007"
PROFILE = "12ade33a-0000-473b-b055-b3c836e1c292"
BASE = "/v2/verifications"
HOOK = "http://127.0.0.1:8000/phone/webhooks/telnyx/secret"


def ask(client: Client, method: str, place: str, body: object = None, key: str = "KEY") -> TestResponse:
    headers = {"Authorization": f"Bearer {key}"}
    more = {} if body is None else {"json": body}
    return client.open(f"{BASE}{place}", method=method, headers=headers, buffered=True, **more)


def start(client: Client, kind: str = "sms", phone: object = PHONE, **more: object) -> Any:
    response = ask(client, "POST", f"/{kind}", {"phone_number": phone, "verify_profile_id": PROFILE, **more})
    assert response.status_code == 200, response.text
    return response.get_json()["data"]


def check(client: Client, given: object, place: str = f"by_phone_number/{PHONE}") -> str:
    response = ask(client, "POST", f"/{place}/actions/verify", {"code": given, "verify_profile_id": PROFILE})
    assert response.status_code == 200, response.text
    data = response.get_json()["data"]
    assert data.keys() == {"phone_number", "response_code"}
    return str(data["response_code"])


def status(client: Client, verification: str) -> Any:
    return ask(client, "GET", f"/{verification}").get_json()["data"]["status"]


def code(sandbox: Sandbox) -> str:
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert handset.newest_code is not None
    return handset.newest_code.code


def wrong(right: str) -> str:
    return right[:-1] + ("1" if right[-1] != "1" else "2")


def vary(sandbox: Sandbox, **variants: str) -> None:
    sandbox.faults.put("telnyx", None, Fault(variants=variants))


def error(response: TestResponse) -> tuple[int, str]:
    (only,) = response.get_json()["errors"]
    assert only.keys() == {"code", "title", "detail"}
    return response.status_code, only["code"]


def events(hooks: Sequence[Hook]) -> list[Any]:
    return [json.loads(hook.body)["data"] for hook in hooks]


@pytest.fixture
def hooked(client: Client) -> Client:
    assert client.put("/api/webhooks", json={"provider": "telnyx", "url": HOOK}).status_code == 200
    return client


@pytest.mark.parametrize(
    ("kind", "channel", "length"),
    [("sms", "sms", 5), ("call", "voice", 5), ("flashcall", "flash_call", 4), ("whatsapp", "whatsapp", 5)],
)
def test_code_of_each_kind_arrives_and_verifies(
    client: Client, sandbox: Sandbox, kind: str, channel: str, length: int
) -> None:
    data = start(client, kind)
    assert data == {
        "id": data["id"],
        "type": kind,
        "record_type": "verification",
        "phone_number": PHONE,
        "verify_profile_id": PROFILE,
        "custom_code": None,
        "timeout_secs": 300,
        "status": "pending",
        "created_at": "2026-01-02T12:00:00.000000",
        "updated_at": "2026-01-02T12:00:00.000000",
    }
    (dispatch,) = sandbox.network.dispatches()
    assert (dispatch.channel, len(code(sandbox))) == (channel, length)
    assert dispatch.code not in str(data)
    assert check(client, code(sandbox)) == "accepted"
    assert status(client, data["id"]) == "accepted"
    assert check(client, code(sandbox)) == "rejected"


@pytest.mark.parametrize("kind", ["sms", "call"])
def test_client_may_supply_the_code(client: Client, sandbox: Sandbox, kind: str) -> None:
    data = start(client, kind, custom_code="0417", timeout_secs=60)
    assert (data["custom_code"], data["timeout_secs"], code(sandbox)) == ("0417", 60, "0417")
    assert check(client, "0417", data["id"]) == "accepted"


@pytest.mark.parametrize("kind", ["flashcall", "whatsapp"])
def test_other_kinds_ignore_the_client_s_code(client: Client, sandbox: Sandbox, kind: str) -> None:
    assert start(client, kind, custom_code="0417000")["custom_code"] is None
    assert code(sandbox) != "0417000"


def test_wrong_code_has_http_200(client: Client, sandbox: Sandbox) -> None:
    verification = start(client)["id"]
    right = code(sandbox)
    assert [check(client, wrong(right), verification) for _ in range(5)] == ["rejected"] * 5
    assert status(client, verification) == "pending"
    assert check(client, right, verification) == "rejected"
    assert status(client, verification) == "invalid"
    assert check(client, right, verification) == "rejected"


def test_late_code_is_rejected(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    verification = start(client, timeout_secs=60)["id"]
    clock.move(seconds=60)
    assert check(client, code(sandbox), verification) == "rejected"
    assert status(client, verification) == "expired"


def test_own_result_is_taken_over_only_with_an_own_code(client: Client) -> None:
    for wish, expected in (("accepted", "accepted"), ("rejected", "invalid")):
        verification = start(client, custom_code="0417")["id"]
        response = ask(client, "POST", f"/{verification}/actions/verify", {"status": wish})
        assert response.get_json()["data"] == {"phone_number": PHONE, "response_code": wish}
        assert status(client, verification) == expected
    assert error(ask(client, "POST", f"/{verification}/actions/verify", {"status": "maybe"})) == (400, "10015")
    verification = start(client)["id"]
    assert error(ask(client, "POST", f"/{verification}/actions/verify", {"status": "accepted"})) == (400, "10015")
    assert error(ask(client, "POST", "/1/actions/verify", {"status": "accepted"})) == (404, "10005")


def test_numbers_check_their_newest_verification(client: Client, sandbox: Sandbox) -> None:
    first = start(client)["id"]
    old = code(sandbox)
    second = start(client)["id"]
    assert check(client, wrong(code(sandbox))) == "rejected"
    assert (check(client, old, first), check(client, code(sandbox))) == ("accepted", "accepted")
    found = ask(client, "GET", f"/by_phone_number/{PHONE}").get_json()
    assert [each["id"] for each in found["data"]] == [second, first]
    assert found["meta"]["total_results"] == 2
    assert ask(client, "GET", f"/by_phone_number/{OTHER}").get_json()["data"] == []


def test_unknown_verifications_are_not_found(client: Client, sandbox: Sandbox) -> None:
    body = {"code": "0417", "verify_profile_id": PROFILE}
    for place in ("1", f"by_phone_number/{PHONE}"):
        assert error(ask(client, "POST", f"/{place}/actions/verify", body)) == (404, "10005")
    assert error(ask(client, "GET", "/1")) == (404, "10005")
    start(client)
    other = {"code": code(sandbox), "verify_profile_id": "12ade33a-0000-473b-b055-b3c836e1c293"}
    assert error(ask(client, "POST", f"/by_phone_number/{PHONE}/actions/verify", other)) == (404, "10005")
    assert error(ask(client, "POST", "/pigeon", {"phone_number": PHONE, "verify_profile_id": PROFILE})) == (
        404,
        "10005",
    )


@in_one_test
@pytest.mark.parametrize(
    ("fields", "status", "number"),
    [
        ({"phone_number": None}, 422, "10004"),
        ({"phone_number": ""}, 422, "10004"),
        ({"phone_number": "15005550006"}, 422, "10016"),
        ({"phone_number": 15005550006}, 422, "10016"),
        ({"phone_number": "+0"}, 422, "10002"),
        ({"phone_number": "+15005550006\n"}, 422, "10002"),
        ({"verify_profile_id": None}, 422, "10004"),
        ({"verify_profile_id": "profile"}, 400, "10015"),
        ({"verify_profile_id": 7}, 400, "10015"),
        ({"verify_profile_id": "00000000-0000-0000-0000-000000000000"}, 404, "10005"),
        ({"timeout_secs": "300"}, 400, "10015"),
        ({"timeout_secs": 0}, 400, "10015"),
        ({"timeout_secs": True}, 400, "10015"),
        ({"custom_code": "12a4"}, 400, "10015"),
        ({"custom_code": 1234}, 400, "10015"),
        ({"custom_code": "123"}, 400, "10015"),
        ({"extension": "12#w5;"}, 400, "10015"),
    ],
)
def test_malformed_starts_are_refused(
    client: Client, sandbox: Sandbox, fields: dict[str, object], status: int, number: str
) -> None:
    body = {"phone_number": PHONE, "verify_profile_id": PROFILE, **fields}
    assert error(ask(client, "POST", "/call", body)) == (status, number)
    assert sandbox.network.handsets() == ()


@pytest.mark.parametrize(
    ("body", "status", "number"),
    [
        ({"verify_profile_id": PROFILE}, 422, "10004"),
        ({"verify_profile_id": PROFILE, "code": 417}, 400, "10015"),
        ({"code": "0417"}, 422, "10004"),
        ([], 400, "10015"),
    ],
)
def test_malformed_checks_are_refused(client: Client, body: object, status: int, number: str) -> None:
    start(client)
    assert error(ask(client, "POST", f"/by_phone_number/{PHONE}/actions/verify", body)) == (status, number)


def test_validation_errors_may_have_http_400(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("telnyx", None, Fault(refuse="invalid_number", variants={"invalid": "400"}))
    response = ask(client, "POST", "/sms", {"phone_number": PHONE, "verify_profile_id": PROFILE})
    assert error(response) == (400, "10002")


@pytest.mark.parametrize(
    ("key", "status", "number"),
    [
        ("WRONG", 401, "10009"),
        ("EXPIRED", 401, "10009"),
        ("INACTIVE", 403, "10010"),
        ("NO-CREDIT", 402, "20100"),
        ("", 401, "10009"),
    ],
)
def test_credentials_are_checked_everywhere(client: Client, key: str, status: int, number: str) -> None:
    for method, place in (("POST", "/sms"), ("POST", "/1/actions/verify"), ("GET", "/1"),
                          ("POST", f"/by_phone_number/{PHONE}/actions/verify"), ("GET", f"/by_phone_number/{PHONE}"),
                          ("GET", "/../balance")):  # fmt: skip
        if place == "/../balance":
            response = client.get("/v2/balance", headers={"Authorization": f"Bearer {key}"})
        else:
            response = ask(client, method, place, {}, key)
        assert error(response) == (status, number)
    assert error(client.post(f"{BASE}/sms", json={}, headers={"Authorization": "Basic S0VZOg=="})) == (401, "10009")


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_is_available(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("telnyx", None, Fault(refuse=name, variants={"retry_after": "present"}))
    response = ask(client, "POST", "/sms", {"phone_number": PHONE, "verify_profile_id": PROFILE})
    error(response)
    assert ("Retry-After" in response.headers) is (name == "too_many")
    assert sandbox.network.handsets() == ()


def test_balance_is_a_string(client: Client) -> None:
    data = client.get("/v2/balance", headers={"Authorization": "Bearer KEY"}).get_json()["data"]
    assert (data["balance"], data["currency"]) == ("50.00", "USD")


@pytest.mark.parametrize(
    ("lose", "variants", "expected"),
    [
        (False, {}, [("verify.sent", "sent"), ("verify.delivered", "delivered")]),
        (True, {}, [("verify.sent", "sent"), ("verify.failed", "delivery_failed")]),
        (True, {"failure": "sending_failed"}, [("verify.sent", "sent"), ("verify.failed", "sending_failed")]),
        (False, {"webhooks": "out_of_order"}, [("verify.delivered", "delivered"), ("verify.sent", "sent")]),
    ],
)  # fmt: skip
def test_deliveries_are_reported(
    hooked: Client, sandbox: Sandbox, hooks: list[Hook], lose: bool, variants: dict[str, str], expected: list[Any]
) -> None:
    sandbox.faults.put("telnyx", PHONE, Fault(lose=lose, variants=variants))
    data = start(hooked, custom_code="0417")
    assert [(event["event_type"], event["payload"]["delivery_status"]) for event in events(hooks)] == expected
    for event in events(hooks):
        payload = event["payload"]
        assert (event["record_type"], payload["id"], payload["profile_id"]) == ("event", data["id"], PROFILE)
        assert (payload["custom_code"], payload["failed_attempts"]) == ("0417", 0)
        assert "verify_profile_id" not in payload
    assert json.loads(hooks[0].body)["meta"] == {"attempt": 1, "delivered_to": HOOK}


def is_signed(hook: Hook) -> bool:
    stamp = hook.headers.get("telnyx-timestamp", "")
    signature = base64.b64decode(hook.headers.get("telnyx-signature-ed25519", ""))
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(PUBLIC_KEY))
    try:
        key.verify(signature, f"{stamp}|".encode() + hook.body)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize(
    ("forgery", "good", "stamp"),
    [
        (None, True, "1767355200"),
        ("stale", True, "1767268800"),
        ("wrong_key", False, "1767355200"),
        ("unsigned", False, None),
    ],
)
def test_webhooks_are_signed_by_the_account_s_key(
    hooked: Client, sandbox: Sandbox, hooks: list[Hook], forgery: Any, good: bool, stamp: str | None
) -> None:
    assert hooked.get("/api/webhooks").get_json()["keys"]["telnyx"] == {"public_key": PUBLIC_KEY}
    sandbox.faults.put("telnyx", None, Fault(webhook_signature=forgery))
    start(hooked)
    assert [is_signed(hook) for hook in hooks] == [good, good]
    assert {hook.headers.get("telnyx-timestamp") for hook in hooks} == {stamp}


def test_webhooks_are_unsigned_without_the_package(
    hooked: Client, hooks: list[Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.ed25519", None)
    start(hooked)
    assert [dict(hook.headers) for hook in hooks] == [{}, {}]


def test_journal_holds_no_code(hooked: Client) -> None:
    start(hooked, custom_code="0417000")
    check(hooked, "0417000")
    shown = hooked.get("/api/requests").text + hooked.get("/api/webhooks/deliveries").text
    assert PHONE in shown
    for secret in ("0417000", "Bearer", "/secret"):
        assert secret not in shown
