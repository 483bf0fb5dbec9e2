"""Evand's protocol, as documented."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.network import Network
from phone_verify.sandbox.phones import Message
from phone_verify.sandbox.protocols.evand import PROVIDER
from tests.cases import in_one_test

from .conftest import Clock

PHONE, OTHER = "+989140000000", "+989140000001"
TOKEN, SEND = "/api/oauth2/token", "/mobile/verification-codes"
CLIENT = {"client_id": "CLIENT", "client_secret": "SECRET"}


def ask(client: Client, path: str, body: dict[str, object], status: int = 200, auth: str | None = None) -> Any:
    response = client.post(path, json=body, headers={} if auth is None else {"Authorization": auth})
    assert response.status_code == status, response.text
    return response.get_json() if response.is_json and response.data else response.text


def client_token(client: Client) -> str:
    token = ask(client, TOKEN, {"grant_type": "client_credentials", **CLIENT})["access_token"]
    assert isinstance(token, str)
    return token


def send(client: Client, mobile: object = "9140000000", status: int = 200) -> Any:
    return ask(client, SEND, {"mobile": mobile}, status, f"Bearer {client_token(client)}")


def grant(client: Client, code: object, status: int = 200, **fields: object) -> Any:
    body = {"grant_type": "event_mobile_verification", **CLIENT, "mobile": "9140000000", "event_id": "1001"}
    return ask(client, TOKEN, {**body, "mobile_verification_code": code, **fields}, status)


def messages(sandbox: Sandbox, phone: str = PHONE) -> tuple[Message, ...]:
    handset = sandbox.network.handset(phone)
    return handset.messages if handset else ()


def sent_code(client: Client, sandbox: Sandbox) -> str:
    send(client)
    return messages(sandbox)[0].code


def other_than(code: str) -> str:
    return "00000" if code != "00000" else "00001"


def test_site_gets_a_token(client: Client) -> None:
    answer = ask(client, TOKEN, {"grant_type": "client_credentials", **CLIENT})
    assert set(answer) == {"access_token", "token_type", "expires_in"}
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    assert answer["access_token"] != client_token(client)


def test_token_may_lack_type_and_expiry(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("evand", None, Fault(variants={"token": "bare"}))
    assert set(ask(client, TOKEN, {"grant_type": "client_credentials", **CLIENT})) == {"access_token"}


def test_five_digit_code_arrives_by_sms(client: Client, sandbox: Sandbox) -> None:
    answer = send(client)
    (message,) = messages(sandbox)
    assert (message.provider, message.channel) == ("evand", "sms")
    assert len(message.code) == 5
    assert message.code.isdecimal()
    assert message.code in message.text
    assert message.code not in str(answer)
    assert set(answer) == {"data", "meta"}


@pytest.mark.parametrize(("sent", "status", "text"), [("empty", 204, ""), ("text", 201, "OK")])
def test_send_has_variant_replies(client: Client, sandbox: Sandbox, sent: str, status: int, text: str) -> None:
    sandbox.faults.put("evand", PHONE, Fault(variants={"sent": sent}))
    assert send(client, status=status) == text
    assert len(messages(sandbox)) == 1


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer ", "", "JWT "])
def test_any_scheme_may_precede_the_token(client: Client, prefix: str) -> None:
    ask(client, SEND, {"mobile": "9140000000"}, auth=prefix + client_token(client))


@pytest.mark.parametrize(
    "auth",
    [None, "", "Bearer", "Bearer FAKE", "SANDBOX.CLIENT.x.1", "SANDBOX.CLIENT.99999999999999.1", "SANDBOX.REFRESH.1"],
)
def test_send_needs_a_token(client: Client, sandbox: Sandbox, auth: str | None) -> None:
    assert set(ask(client, SEND, {"mobile": "9140000000"}, 401, auth)) == {"message"}
    assert messages(sandbox) == ()


def test_site_token_expires_after_an_hour(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    auth = f"Bearer {client_token(client)}"
    clock.move(seconds=3599)
    ask(client, SEND, {"mobile": "9140000000"}, auth=auth)
    clock.move(seconds=1)
    ask(client, SEND, {"mobile": "9140000000"}, 401, auth)
    assert len(messages(sandbox)) == 1


def test_token_may_be_issued_expired(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("evand", None, Fault(variants={"client_token": "expired"}, times=1))
    send(client, status=401)
    send(client)
    assert len(messages(sandbox)) == 1


def test_token_may_fail_once_on_a_send(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("evand", PHONE, Fault(refuse="bad_token", times=1))
    send(client, status=401)
    send(client)


def test_user_token_may_send(client: Client, sandbox: Sandbox) -> None:
    user_token = grant(client, sent_code(client, sandbox))["access_token"]
    ask(client, SEND, {"mobile": "9140000000"}, auth=f"Bearer {user_token}")


def test_right_code_gives_a_token_once(client: Client, sandbox: Sandbox) -> None:
    code = sent_code(client, sandbox)
    answer = grant(client, code)
    assert answer["access_token"]
    assert answer["refresh_token"]
    assert grant(client, code, 400)["error"] == "invalid_grant"


def test_wrong_code_leaves_the_right_one_valid(client: Client, sandbox: Sandbox) -> None:
    code = sent_code(client, sandbox)
    answer = grant(client, other_than(code), 400)
    assert answer["error"] == "invalid_grant"
    assert "access_token" not in answer
    grant(client, code)


def test_wrong_codes_can_be_a_422(client: Client, sandbox: Sandbox) -> None:
    code = sent_code(client, sandbox)
    sandbox.faults.put("evand", None, Fault(variants={"wrong_code": "422"}))
    assert grant(client, other_than(code), 422)["error"] == "invalid_grant"


def test_code_expires_after_two_minutes(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    code = sent_code(client, sandbox)
    clock.move(seconds=120)
    assert grant(client, code, 400)["error"] == "invalid_grant"
    code = sent_code(client, sandbox)
    clock.move(seconds=119)
    grant(client, code)


def test_new_code_voids_the_old_one(client: Client, sandbox: Sandbox) -> None:
    first, second = sent_code(client, sandbox), sent_code(client, sandbox)
    assert first != second
    grant(client, first, 400)
    grant(client, second)
    grant(client, first, 400)


def test_code_is_bound_to_its_mobile(client: Client, sandbox: Sandbox) -> None:
    code = sent_code(client, sandbox)
    grant(client, code, 400, mobile="9140000001")
    grant(client, code)


def test_concurrent_exchanges_give_one_token(client: Client, sandbox: Sandbox) -> None:
    code = sent_code(client, sandbox)
    body = {"grant_type": "event_mobile_verification", **CLIENT, "mobile": "9140000000", "event_id": "1001"}
    with ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(
                lambda _: Client(sandbox).post(TOKEN, json={**body, "mobile_verification_code": code}).status_code,
                range(32),
            )
        )
    assert sorted(statuses) == [200] + [400] * 31


def test_codes_are_separate_for_each_network(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    code = sent_code(client, sandbox)
    grant(Client(Sandbox(Network(now=clock))), code, 400)
    sandbox.network.clear()
    grant(client, code, 400)


def test_code_may_be_a_number_and_begin_with_zero(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("evand", None, Fault(variants={"digits": "leading_zero"}))
    code = sent_code(client, sandbox)
    assert code.startswith("0")
    grant(client, int(code))


def test_lost_code_is_still_valid(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("evand", PHONE, Fault(lose=True, times=1))
    send(client)
    assert messages(sandbox) == ()
    grant(client, sandbox.network.dispatches("evand")[0].code)


def test_mobile_outside_the_event_is_refused(client: Client, sandbox: Sandbox) -> None:
    code = sent_code(client, sandbox)
    sandbox.faults.put("evand", PHONE, Fault(variants={"mobile": "not_in_event"}))
    assert grant(client, code, 400)["error"] == "invalid_grant"
    sandbox.faults.put("evand", PHONE, Fault(variants={"mobile": "not_in_event", "wrong_code": "422"}))
    assert grant(client, code, 422)["error"] == "invalid_grant"
    sandbox.faults.clear()
    grant(client, code)


def test_exchange_may_return_no_token(client: Client, sandbox: Sandbox) -> None:
    code = sent_code(client, sandbox)
    sandbox.faults.put("evand", PHONE, Fault(variants={"exchange": "without_token"}))
    assert "access_token" not in grant(client, code)


@in_one_test
@pytest.mark.parametrize("name", ["client_id", "client_secret"])
@pytest.mark.parametrize("value", ["WRONG", "EXPIRED", "INACTIVE", "", None, 7])
def test_special_client_ids_trigger_errors(client: Client, sandbox: Sandbox, name: str, value: object) -> None:
    code = sent_code(client, sandbox)
    refused = ask(client, TOKEN, {"grant_type": "client_credentials", **CLIENT, name: value}, 401)
    assert refused["error"] == "invalid_client"
    assert grant(client, code, 401, **{name: value})["error"] == "invalid_client"
    grant(client, code)


@pytest.mark.parametrize("grant_type", [None, "", "password", " client_credentials ", 7, []])
def test_other_grants_are_not_supported(client: Client, grant_type: object) -> None:
    assert ask(client, TOKEN, {"grant_type": grant_type, **CLIENT}, 400)["error"] == "unsupported_grant_type"


@pytest.mark.parametrize("mobile", ["", None, "12", "x", True, [], {}, "9140000000" * 50])
def test_bad_mobile_is_refused(client: Client, sandbox: Sandbox, mobile: object) -> None:
    assert set(send(client, mobile, 422)) == {"message"}
    assert sandbox.network.dispatches() == ()
    assert set(grant(client, "12345", 422, mobile=mobile)) == {"message"}


@pytest.mark.parametrize("mobile", ["9140000000", "09140000000", "+989140000000", 9140000000])
def test_usual_spellings_of_a_mobile_are_read(client: Client, sandbox: Sandbox, mobile: object) -> None:
    send(client, mobile)
    assert len(messages(sandbox)) == 1


@pytest.mark.parametrize("name", ["mobile", "mobile_verification_code", "event_id"])
@pytest.mark.parametrize("value", ["", None])
def test_missing_exchange_field_is_an_error(client: Client, name: str, value: object) -> None:
    fields = {"code": "12345", name: value}
    code = fields.pop("mobile_verification_code", fields["code"])
    fields.pop("code")
    assert set(grant(client, code, 422, **fields)) == {"message"}


@pytest.mark.parametrize("code", [True, -1, 100000, 1.5, [], {}])
def test_non_numeric_code_is_a_missing_field(client: Client, code: object) -> None:
    assert set(grant(client, code, 422)) == {"message"}


@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_is_available_at_every_request(client: Client, sandbox: Sandbox, name: str) -> None:
    code = sent_code(client, sandbox)
    auth = f"Bearer {client_token(client)}"
    sandbox.faults.put("evand", None, Fault(refuse=name))
    grants = {"grant_type": "event_mobile_verification", "mobile": "9140000000", "event_id": "1001"}
    for path, body in (
        (TOKEN, {"grant_type": "client_credentials", **CLIENT}),
        (SEND, {"mobile": "9140000000"}),
        (TOKEN, {**grants, **CLIENT, "mobile_verification_code": code}),
    ):
        response = client.post(path, json=body, headers={"Authorization": auth})
        assert response.status_code >= 400
        assert response.get_json()["message"]
    assert len(messages(sandbox)) == 1


@pytest.mark.parametrize("path", [TOKEN, SEND])
def test_only_post_is_answered(client: Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


@in_one_test
@pytest.mark.parametrize("path", [TOKEN, SEND])
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 60_000])
def test_unreadable_bodies_are_missing_fields(client: Client, path: str, body: bytes) -> None:
    response = client.post(path, data=body, content_type="application/json")
    assert response.status_code == 422


def test_journal_masks_secrets(client: Client, sandbox: Sandbox) -> None:
    code = sent_code(client, sandbox)
    grant(client, code)
    shown = str(client.get("/api/requests").get_json())
    assert TOKEN in shown
    for secret in ("SECRET", code, "SANDBOX.CLIENT"):
        assert secret not in shown
