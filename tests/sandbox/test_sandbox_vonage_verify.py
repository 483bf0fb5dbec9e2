"""The protocol of Vonage Verify v2, as its official clients speak it."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.protocols.vonage import SIGNING_KEY
from phone_verify.sandbox.protocols.vonage_verify import PROVIDER, token
from phone_verify.sandbox.webhooks import Hook
from tests.cases import in_one_test

from .conftest import Clock

PHONE, TO = "+447700900000", "447700900000"
HOOK = "http://127.0.0.1:8000/phone/webhooks/vonage-verify/secret"
SMS, VOICE = {"channel": "sms", "to": TO}, {"channel": "voice", "to": TO}
WHATSAPP = {"channel": "whatsapp", "to": TO, "from": "447700900001"}


def ask(client: Client, method: str, path: str = "", body: object = None, **more: Any) -> Any:
    """Send a request; return status and body."""
    arguments: dict[str, Any] = {"auth": ("KEY", "S"), **more}
    with client.open(f"/v2/verify{path}", method=method, json=body, **arguments) as response:
        if response.status_code >= 400:
            assert response.mimetype == "application/problem+json"
            assert response.get_json(force=True).keys() >= {"type", "title", "detail", "instance"}
        return response.status_code, response.get_json(force=True, silent=True)


def start(client: Client, *steps: dict[str, str], **fields: object) -> str:
    status, answer = ask(client, "POST", body={"brand": "Example", "workflow": list(steps or (SMS,)), **fields})
    assert (status, answer.keys()) == (202, {"request_id"})
    request_id: str = answer["request_id"]
    return request_id


def check(client: Client, request_id: str, code: object) -> Any:
    return ask(client, "POST", f"/{request_id}", {"code": code})


def newest(sandbox: Sandbox) -> str:
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert handset.newest_code is not None
    return handset.newest_code.code


def wrong(sandbox: Sandbox) -> str:
    return "0000" if newest(sandbox) != "0000" else "0001"


def jwt_part(token: str, place: int) -> Any:
    part = token.split(".")[place]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def application_token(clock: Clock, *, alg: str = "RS256", **claims: object) -> str:
    now = int(clock().timestamp())
    body = {"application_id": "APP", "iat": now, "exp": now + 900, "jti": "j", **claims}
    parts = (urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": alg}, body))
    return f"{'.'.join(parts)}.c2ln"


@pytest.fixture
def hooked(client: Client) -> Client:
    assert client.put("/api/webhooks", json={"provider": "vonage-verify", "url": HOOK}).status_code == 200
    return client


@pytest.mark.parametrize("step", [SMS, VOICE, WHATSAPP], ids=["sms", "voice", "whatsapp"])
def test_code_arrives_and_is_right_once(client: Client, sandbox: Sandbox, step: dict[str, str]) -> None:
    request_id = start(client, step)
    assert [item.channel for item in sandbox.network.dispatches()] == [step["channel"]]
    assert check(client, request_id, newest(sandbox)) == (200, {"request_id": request_id, "status": "completed"})
    assert check(client, request_id, newest(sandbox))[0] == 404


def test_code_of_the_client_is_sent(client: Client, sandbox: Sandbox) -> None:
    request_id = start(client, code="04a7Z")
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert "04a7Z" in handset.messages[0].text
    assert check(client, request_id, "04a7z")[0] == 400
    assert check(client, request_id, "04a7Z")[0] == 200


def test_code_length_and_leading_zero(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("vonage-verify", None, Fault(variants={"digits": "leading_zero"}))
    start(client, code_length=8)
    assert (len(newest(sandbox)), newest(sandbox)[0]) == (8, "0")


def test_third_wrong_code_ends_the_request(client: Client, sandbox: Sandbox) -> None:
    request_id = start(client)
    for _ in range(2):
        status, answer = check(client, request_id, wrong(sandbox))
        assert (status, answer["title"]) == (400, "Invalid Code")
    assert check(client, request_id, wrong(sandbox))[0] == 410
    assert check(client, request_id, newest(sandbox))[0] == 404
    start(client)


@pytest.mark.parametrize("code", [None, 1234, "", "123", "12345678901", "12-34"])
def test_malformed_code_counts_no_check(client: Client, sandbox: Sandbox, code: object) -> None:
    request_id = start(client)
    for _ in range(5):
        assert check(client, request_id, code)[0] == 422
    assert check(client, request_id, newest(sandbox))[0] == 200


def test_request_expires_after_the_time_of_its_channels(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    request_id = start(client, SMS, VOICE, channel_timeout=60)
    clock.move(seconds=119)
    assert check(client, request_id, wrong(sandbox))[0] == 400
    clock.move(seconds=1)
    assert check(client, request_id, newest(sandbox))[0] == 404
    assert start(client) != request_id


def test_second_start_returns_the_request_in_progress(client: Client, sandbox: Sandbox) -> None:
    request_id = start(client)
    status, answer = ask(client, "POST", body={"brand": "Example", "workflow": [VOICE]})
    assert (status, answer["request_id"]) == (409, request_id)
    assert len(sandbox.network.dispatches()) == 1
    start(client, {"channel": "sms", "to": "447700900002"})
    assert check(client, request_id, newest(sandbox))[0] == 200
    assert start(client) != request_id


def test_conflict_may_have_no_id(client: Client, sandbox: Sandbox) -> None:
    start(client)
    sandbox.faults.put("vonage-verify", None, Fault(variants={"conflict": "without_id"}))
    status, answer = ask(client, "POST", body={"brand": "Example", "workflow": [SMS]})
    assert (status, "request_id" in answer) == (409, False)


def test_start_without_a_response_is_found_by_the_next(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("vonage-verify", None, Fault(hang=True, times=1))
    with pytest.raises(ConnectionAbortedError):
        start(client)
    status, answer = ask(client, "POST", body={"brand": "Example", "workflow": [SMS]})
    assert status == 409
    assert check(client, answer["request_id"], newest(sandbox))[0] == 200


def test_cancelled_request_is_over(client: Client, sandbox: Sandbox) -> None:
    request_id = start(client)
    assert ask(client, "DELETE", f"/{request_id}") == (204, None)
    assert check(client, request_id, newest(sandbox))[0] == 404
    assert ask(client, "DELETE", f"/{request_id}")[0] == 404
    assert start(client) != request_id


def test_next_step_sends_the_same_code(client: Client, sandbox: Sandbox) -> None:
    request_id = start(client, SMS, VOICE, WHATSAPP)
    for _ in range(2):
        assert ask(client, "POST", f"/{request_id}/next_workflow") == (200, {})
    assert [item.channel for item in sandbox.network.dispatches()] == ["whatsapp", "voice", "sms"]
    assert len({item.code for item in sandbox.network.dispatches()}) == 1
    status, answer = ask(client, "POST", f"/{request_id}/next_workflow")
    assert (status, answer["detail"]) == (409, "There are no more events left to trigger.")
    assert check(client, request_id, newest(sandbox))[0] == 200
    assert ask(client, "POST", f"/{request_id}/next_workflow")[0] == 404


@in_one_test
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"brand": None}, "brand"),
        ({"brand": ""}, "brand"),
        ({"brand": "x" * 17}, "brand"),
        ({"workflow": None}, "workflow"),
        ({"workflow": []}, "workflow"),
        ({"workflow": [SMS] * 4}, "workflow"),
        ({"workflow": ["sms"]}, "channel"),
        ({"workflow": [{**SMS, "channel": "fax"}]}, "channel"),
        ({"workflow": [{**SMS, "to": PHONE}]}, "to"),
        ({"workflow": [{**SMS, "to": f"00{TO}"}]}, "to"),
        ({"workflow": [{**SMS, "to": 447700900000}]}, "to"),
        ({"workflow": [SMS, {"channel": "whatsapp", "to": TO}]}, "from"),
        ({"workflow": [{**SMS, "app_hash": "short"}]}, "app_hash"),
        ({"client_ref": ""}, "client_ref"),
        ({"client_ref": "r" * 17}, "client_ref"),
        ({"locale": "en"}, "locale"),
        ({"locale": "en-US"}, "locale"),
        ({"channel_timeout": 14}, "channel_timeout"),
        ({"channel_timeout": 901}, "channel_timeout"),
        ({"channel_timeout": "60"}, "channel_timeout"),
        ({"code_length": 3}, "code_length"),
        ({"code_length": True}, "code_length"),
        ({"code": "123"}, "code"),
        ({"code": 1234}, "code"),
    ],
)
def test_invalid_parameter_is_named(client: Client, sandbox: Sandbox, changes: dict[str, object], name: str) -> None:
    body = {"brand": "Example", "workflow": [SMS], **changes}
    status, answer = ask(client, "POST", body=body)
    assert (status, [each["name"] for each in answer["invalid_parameters"]]) == (422, [name])
    assert sandbox.network.dispatches() == ()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"[" * 100_000])
def test_unreadable_body_is_400(client: Client, data: bytes) -> None:
    assert client.post("/v2/verify", data=data[:60_000], auth=("KEY", "S")).status_code == 400


@pytest.mark.parametrize(
    ("key", "secret", "status"),
    [
        ("", "", 401),
        ("KEY", "", 401),
        ("WRONG", "S", 401),
        ("KEY", "WRONG", 401),
        ("KEY", "EXPIRED", 401),
        ("KEY", "INACTIVE", 403),
        ("KEY", "NO-CREDIT", 402),
    ],
)
def test_invalid_credentials_are_refused_everywhere(client: Client, key: str, secret: str, status: int) -> None:
    request_id = start(client)
    auth = (key, secret)
    body = {"brand": "Example", "workflow": [SMS]}
    assert ask(client, "POST", body=body, auth=auth)[0] == status
    assert ask(client, "POST", f"/{request_id}", {"code": "1234"}, auth=auth)[0] == status
    assert ask(client, "DELETE", f"/{request_id}", auth=auth)[0] == status
    assert ask(client, "POST", f"/{request_id}/next_workflow", auth=auth)[0] == status


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 202),
        ({"exp": None}, 202),
        ({"alg": "HS256"}, 401),
        ({"alg": "none"}, 401),
        ({"application_id": None}, 401),
        ({"application_id": "WRONG"}, 401),
        ({"application_id": "INACTIVE"}, 403),
        ({"iat": None}, 401),
        ({"jti": None}, 401),
        ({"exp": 1}, 401),
        ({"exp": 10**11}, 401),
    ],
)
def test_token_of_an_application_is_read(client: Client, clock: Clock, changes: dict[str, Any], status: int) -> None:
    headers = {"Authorization": f"Bearer {application_token(clock, **changes)}"}
    body = {"brand": "Example", "workflow": [SMS]}
    assert ask(client, "POST", body=body, auth=None, headers=headers)[0] == status


@pytest.mark.parametrize("written", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Bearer e30.e30.", "Token x"])
def test_malformed_token_is_401(client: Client, written: str) -> None:
    assert ask(client, "DELETE", "/x", auth=None, headers={"Authorization": written})[0] == 401


@pytest.mark.parametrize("request_id", ["x", "00000000-0000-4000-8000-000000000000", "%FF"])
def test_unknown_request_is_404(client: Client, request_id: str) -> None:
    assert check(client, request_id, "1234")[0] == 404


def test_token_matches_vector() -> None:
    # Computed with
    # `openssl dgst -sha256 -hmac secret -binary | basenc --base64url`.
    head, body = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "eyJpc3MiOiJWb25hZ2UifQ"
    signature = "W32JR2r4_dVO20a14_nVgSNLgyTDsDEpfeK-ol_mNCE"
    assert token({"iss": "Vonage"}, "secret") == f"{head}.{body}.{signature}"


def test_result_is_reported_with_a_signed_token(hooked: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    request_id = start(hooked, SMS, VOICE, client_ref="r1")
    assert hooks == []
    check(hooked, request_id, newest(sandbox))
    event, summary = (json.loads(hook.body) for hook in hooks)
    assert {name: event[name] for name in ("type", "request_id", "channel", "status", "client_ref")} == {
        "type": "event",
        "request_id": request_id,
        "channel": "sms",
        "status": "completed",
        "client_ref": "r1",
    }
    assert (summary["type"], summary["status"], summary["channel_timeout"]) == ("summary", "completed", 300)
    assert [step["status"] for step in summary["workflow"]] == ["completed", "unused"]
    for hook in hooks:
        assert (hook.url, hook.method, hook.content_type) == (HOOK, "POST", "application/json")
        scheme, _, written = hook.headers["Authorization"].partition(" ")
        assert (scheme, jwt_part(written, 0)) == ("Bearer", {"alg": "HS256", "typ": "JWT"})
        claims = jwt_part(written, 1)
        assert (claims["iss"], claims["api_key"]) == ("Vonage", "KEY")
        assert claims["payload_hash"] == hashlib.sha256(hook.body).hexdigest()
        assert claims.keys() >= {"iat", "jti", "application_id"}
        signed, _, signature = written.rpartition(".")
        expected = hmac.new(SIGNING_KEY.encode(), signed.encode(), "sha256").digest()
        assert urlsafe_b64decode(signature + "=") == expected


def test_failure_and_cancellation_are_reported(hooked: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    request_id = start(hooked)
    for _ in range(3):
        check(hooked, request_id, wrong(sandbox))
    ask(hooked, "DELETE", f"/{start(hooked)}")
    assert [json.loads(hook.body)["status"] for hook in hooks] == ["failed", "failed", "cancelled", "cancelled"]


def test_expiry_is_reported_unless_the_request_has_ended(
    hooked: Client, sandbox: Sandbox, hooks: list[Hook], planned: list[tuple[float, Callable[[], object]]], clock: Clock
) -> None:
    start(hooked)
    clock.move(seconds=300)
    check(hooked, start(hooked), newest(sandbox))
    hooks.clear()
    assert [seconds for seconds, _ in planned] == [300, 300]
    for _, action in planned:
        action()
    assert [json.loads(hook.body)["status"] for hook in hooks] == ["expired"]


@pytest.mark.parametrize("event", ["blocked", "failed", "expired", "user_rejected"])
def test_request_may_fail_by_itself(hooked: Client, sandbox: Sandbox, hooks: list[Hook], event: str) -> None:
    sandbox.faults.put("vonage-verify", PHONE, Fault(lose=True, variants={"event": event}))
    request_id = start(hooked)
    assert {json.loads(hook.body)["status"] for hook in hooks} == {event}
    assert check(hooked, request_id, "1234")[0] == 404


@pytest.mark.parametrize(
    ("form", "types"),
    [
        ("both", ["event", "summary"]),
        ("swapped", ["summary", "event"]),
        ("event", ["event"]),
        ("summary", ["summary"]),
    ],
)
def test_reports_may_be_missing_or_disordered(
    hooked: Client, sandbox: Sandbox, hooks: list[Hook], form: str, types: list[str]
) -> None:
    sandbox.faults.put("vonage-verify", None, Fault(variants={"webhook": form}))
    check(hooked, start(hooked), newest(sandbox))
    assert [json.loads(hook.body)["type"] for hook in hooks] == types


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_is_available(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("vonage-verify", PHONE, Fault(refuse=name, times=1))
    status, answer = ask(client, "POST", body={"brand": "Example", "workflow": [SMS]})
    assert status >= 400
    assert ("request_id" in answer) is (name == "conflict")
    assert ("invalid_parameters" in answer) is (status == 422)
    assert sandbox.network.dispatches() == ()


def test_codes_and_credentials_are_not_journaled(hooked: Client, sandbox: Sandbox) -> None:
    request_id = start(hooked, code="verysecret")
    check(hooked, request_id, "verysecret")
    ask(hooked, "DELETE", f"/{request_id}", auth=("KEY", "verysecret"))
    kept: list[Any] = [*sandbox.journal.newest_first(), *sandbox.journal.deliveries()]
    assert "verysecret" not in json.dumps([entry.as_json() for entry in kept])
