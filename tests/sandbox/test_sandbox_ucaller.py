"""uCaller's protocol, as documented."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.phones import PhoneCall
from phone_verify.sandbox.protocols.ucaller import PROVIDER
from phone_verify.sandbox.webhooks import Hook
from tests.cases import in_one_test

from .conftest import Clock

PHONE, OTHER = "+79990000001", "+79990000002"
HOOK = "http://127.0.0.1:8000/phone/webhooks/ucaller/SECRET"
AUTH = {"Authorization": f"Bearer {'s' * 32}.1"}
UNIQUE = "f32d7ab0-0000-44ee-a20c-a34262a06b90"


def ask(
    client: Client, name: str, /, status: int = 200, headers: dict[str, str] | None = None, **fields: object
) -> Any:
    # Buffered, so that the response is complete, as for a server.
    given = AUTH if headers is None else headers
    response = client.post(f"/v1.0/{name}", json=fields, headers=given, buffered=True)
    assert response.status_code == status, response.text
    return response.get_json()


def call(client: Client, /, **fields: object) -> Any:
    answer = ask(client, "initCall", **{"phone": PHONE[1:]} | fields)
    assert answer["status"] is True, answer
    return answer


def refusal(client: Client, name: str = "initCall", /, **fields: object) -> int:
    answer = ask(client, name, **{"phone": PHONE[1:]} | fields)
    assert set(answer) == {"status", "error", "code"}
    assert answer["status"] is False
    return int(answer["code"])


def calls(sandbox: Sandbox, phone: str = PHONE) -> tuple[PhoneCall, ...]:
    handset = sandbox.network.handset(phone)
    return handset.calls if handset else ()


def vary(sandbox: Sandbox, **variants: str) -> None:
    sandbox.faults.put("ucaller", None, Fault(variants=variants))


def test_given_code_ends_the_calling_number(client: Client, sandbox: Sandbox) -> None:
    answer = call(client, code="0482", client="nick")
    (ring,) = calls(sandbox)
    assert (ring.number[-4:], ring.code) == ("0482", "0482")
    assert answer.pop("ucaller_id") >= 103000
    assert answer == {"status": True, "phone": "7999***0001", "code": "0482", "client": "nick"}


def test_code_is_generated_when_none_is_given(client: Client, sandbox: Sandbox) -> None:
    assert call(client)["code"] == calls(sandbox)[0].code


def test_provider_may_choose_another_code(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, code="replaced", digits="leading_zero")
    code = call(client, code="9482")["code"]
    assert (code[0], calls(sandbox)[0].code) == ("0", code)


def test_code_may_be_a_number_without_its_zero(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, code="number")
    assert call(client, code="0482")["code"] == 482


def test_code_may_be_spoken(client: Client, sandbox: Sandbox) -> None:
    call(client, code="0482", voice=True)
    (ring,) = calls(sandbox)
    assert (ring.channel, ring.spoken, ring.code) == ("voice", "Your code is 0 4 8 2", "0482")


@pytest.mark.parametrize("phone", ["79990000001", "+79990000001", 79990000001])
def test_plus_sign_is_optional(client: Client, sandbox: Sandbox, phone: object) -> None:
    call(client, phone=phone)
    assert len(calls(sandbox)) == 1


def test_query_and_trailing_slash_are_accepted(client: Client, sandbox: Sandbox) -> None:
    fields = {"phone": PHONE[1:], "code": "0482", "voice": "false", "key": "s" * 32, "service_id": "1"}
    assert client.get("/v1.0/initCall/", query_string=fields).get_json()["status"] is True
    assert client.get("/ucaller/v1.0/initCall", query_string=fields).get_json()["status"] is True
    assert len(calls(sandbox)) == 2


@in_one_test
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 401),
        ({"Authorization": "Bearer SECRET"}, 401),
        ({"Authorization": "Bearer WRONG.1"}, 401),
        ({"Authorization": "Bearer SECRET.WRONG"}, 401),
        ({"Authorization": "Bearer SECRET."}, 401),
        ({"Authorization": "Bearer EXPIRED.1"}, 1004),
        ({"Authorization": "Bearer INACTIVE.1"}, 4),
        ({"Authorization": "Bearer NO-CREDIT.1"}, 1002),
    ],
)
@pytest.mark.parametrize(
    "name", ["initCall", "initRepeat", "getInfo", "inboundCallWaiting", "getBalance", "checkPhone"]
)
def test_every_method_needs_credentials(
    client: Client, sandbox: Sandbox, name: str, headers: dict[str, str], code: int
) -> None:
    answer = ask(client, name, headers=headers, phone=PHONE[1:], uid=103001)
    assert (answer["status"], answer["code"]) == (False, code)
    assert sandbox.network.handsets() == ()


@in_one_test
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"phone": ""}, 2),
        ({"phone": None}, 2),
        ({"phone": "12"}, 3),
        ({"phone": ["79990000001"]}, 3),
        ({"code": "123"}, 1),
        ({"code": "12345"}, 1),
        ({"code": "12a4"}, 1),
        ({"code": True}, 1),
        ({"client": "x" * 65}, 1),
        ({"unique": "x" * 65}, 1),
        ({"unique": {}}, 1),
        ({"voice": "perhaps"}, 1),
        ({"mix": 7}, 1),
    ],
)
def test_invalid_parameters_place_no_call(client: Client, sandbox: Sandbox, fields: dict[str, Any], code: int) -> None:
    assert refusal(client, **fields) == code
    assert calls(sandbox) == ()


def test_body_that_is_no_json_is_malformed(client: Client) -> None:
    answer = client.post("/v1.0/initCall", data="{", headers={"Content-Type": "application/json", **AUTH}).get_json()
    assert answer["code"] == 1


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_can_be_returned(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("ucaller", PHONE, Fault(refuse=name))
    assert refusal(client) == int(name)
    assert calls(sandbox) == ()


def test_errors_may_have_http_statuses(client: Client, sandbox: Sandbox) -> None:
    for name, status in (("401", 401), ("429", 429), ("500", 500), ("18", 200)):
        sandbox.faults.put("ucaller", None, Fault(refuse=name, variants={"errors": "http"}))
        assert ask(client, "initCall", status, phone=PHONE[1:])["code"] == int(name)


def test_known_unique_places_no_second_call(client: Client, sandbox: Sandbox) -> None:
    first = call(client, unique=UNIQUE, code="0482")
    again = call(client, unique=UNIQUE, code="9999")
    assert (first.pop("exists"), again.pop("exists")) == (False, True)
    assert first == again
    assert (first["unique_request_id"], first["code"]) == (UNIQUE, "0482")
    assert len(calls(sandbox)) == 1
    call(client, unique="another")
    assert len(calls(sandbox)) == 2


def test_concurrent_starts_with_one_unique_are_one_call(client: Client, sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: call(Client(sandbox), unique=UNIQUE), range(24)))
    assert len({answer["ucaller_id"] for answer in answers}) == 1
    assert [answer["exists"] for answer in answers].count(False) == 1
    assert len(calls(sandbox)) == 1


def test_unique_is_known_even_while_limits_apply(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, limits="on")
    call(client, unique=UNIQUE)
    assert call(client, unique=UNIQUE)["exists"] is True


def test_calls_to_a_number_are_fifteen_seconds_apart(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    vary(sandbox, limits="on")
    call(client)
    clock.move(seconds=14)
    assert refusal(client) == 19
    call(client, phone=OTHER)
    clock.move(seconds=1)
    call(client)


def test_fifth_call_in_a_minute_blocks_the_number(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    vary(sandbox, limits="on")
    for _ in range(4):
        call(client)
        clock.move(seconds=14.9 if len(calls(sandbox)) == 4 else 15)
    assert refusal(client) == 18
    clock.move(hours=10, seconds=-1)
    assert refusal(client) == 18
    clock.move(seconds=1)
    call(client)


def test_thirty_calls_a_day_are_the_limit(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    vary(sandbox, limits="on")
    for _ in range(30):
        call(client)
        clock.move(minutes=20)
    assert refusal(client) == 18
    sandbox.network.clear()
    call(client)


def test_limits_are_off_unless_switched_on(client: Client, sandbox: Sandbox) -> None:
    for _ in range(6):
        call(client)
    assert len(calls(sandbox)) == 6


def test_repeat_is_free_twice_with_the_same_code(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    uid = call(client, code="0482", unique=UNIQUE)["ucaller_id"]
    clock.move(seconds=59)
    assert refusal(client, "initRepeat", uid=uid) == 13
    clock.move(seconds=1)
    repeats = [ask(client, "initRepeat", uid=uid) for _ in range(2)]
    assert {repeat["code"] for repeat in repeats} == {"0482"}
    assert {repeat["free_repeated"] for repeat in repeats} == {True}
    assert refusal(client, "initRepeat", uid=uid) == 12
    clock.move(seconds=60)
    assert refusal(client, "initRepeat", uid=repeats[0]["ucaller_id"]) == 13
    clock.move(minutes=3)
    assert refusal(client, "initRepeat", uid=uid) == 11
    assert len(calls(sandbox)) == 3


def test_info_about_a_call(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    uid = call(client, code="0482")["ucaller_id"]
    info = ask(client, "getInfo", uid=uid)
    assert (info["ucaller_id"], info["call_status"], info["code"], info["country_code"]) == (uid, 1, "0482", "RU")
    assert info["init_time"] == int(clock().timestamp())
    assert set(info["phone_info"][0]) == {"operator", "region", "mnp"}
    sandbox.faults.put("ucaller", None, Fault(lose=True, times=1))
    lost = call(client)["ucaller_id"]
    assert ask(client, "getInfo", uid=str(lost))["call_status"] == 0
    vary(sandbox, call_status="under_way")
    assert ask(client, "getInfo", uid=uid)["call_status"] == -1


@pytest.mark.parametrize("name", ["getInfo", "initRepeat"])
def test_unknown_id_is_refused(client: Client, name: str) -> None:
    for uid in (1, 103999, "x", "9" * 60):
        assert refusal(client, name, uid=uid) == 10
    assert refusal(client, name) == 2


def wait(client: Client, **fields: object) -> Any:
    return ask(client, "inboundCallWaiting", **{"phone": PHONE[1:], "callback_url": HOOK} | fields)


def status_of(client: Client, uid: int) -> object:
    return ask(client, "getInfo", uid=uid)["call_status"]


def test_call_to_the_number_is_posted(client: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    answer = wait(client)
    number = answer["confirmation_number"]
    assert (answer["status"], answer["phone"]) == (True, "7999***0001")
    assert number.isdecimal()
    assert sandbox.dial(PHONE, f"+{number}").matched
    (hook,) = hooks
    assert (hook.url, hook.method, hook.content_type) == (HOOK, "POST", "application/json")
    assert json.loads(hook.body) == {
        "callId": answer["ucaller_id"],
        "callbackLink": HOOK,
        "clientNumber": PHONE[1:],
        "confirmationNumber": number,
        "isMnp": False,
        "operatorName": "Operator",
        "operatorNameMnp": "",
        "regionName": "Region",
    }


def test_other_callers_are_posted_too(client: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    answer = wait(client)
    sandbox.dial(OTHER, f"+{answer['confirmation_number']}")
    sandbox.dial(PHONE, f"+{answer['confirmation_number']}", hidden=True)
    assert [json.loads(hook.body)["clientNumber"] for hook in hooks] == [OTHER[1:], ""]
    assert status_of(client, answer["ucaller_id"]) == -1


@pytest.mark.parametrize(("variant", "name"), [("plus", "clientNumber"), ("text_id", "callId")])
def test_payload_has_variants(client: Client, sandbox: Sandbox, hooks: list[Hook], variant: str, name: str) -> None:
    vary(sandbox, callback=variant)
    answer = wait(client)
    sandbox.dial(PHONE, f"+{answer['confirmation_number']}")
    assert json.loads(hooks[0].body)[name] == (PHONE if variant == "plus" else str(answer["ucaller_id"]))


def test_wait_is_polled_and_expires(client: Client, sandbox: Sandbox, hooks: list[Hook], clock: Clock) -> None:
    answer, late = wait(client, callback_url=""), wait(client)
    assert status_of(client, answer["ucaller_id"]) == -1
    sandbox.dial(PHONE, f"+{answer['confirmation_number']}")
    assert (status_of(client, answer["ucaller_id"]), hooks) == (1, [])
    clock.move(minutes=5)
    assert not sandbox.dial(PHONE, f"+{late['confirmation_number']}").matched
    assert (status_of(client, late["ucaller_id"]), hooks) == (0, [])
    vary(sandbox, inbound_info="unknown")
    assert refusal(client, "getInfo", uid=answer["ucaller_id"]) == 10


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "hook", 7])
def test_callback_url_must_be_one(client: Client, url: object) -> None:
    assert refusal(client, "inboundCallWaiting", callback_url=url) == 1


@pytest.mark.parametrize("name", ["getService", "getBalance", "getAccount", "checkPhone", "health"])
def test_account_is_returned(client: Client, name: str) -> None:
    assert ask(client, name, phone=PHONE[1:])["status"] is True


def test_secrets_are_not_kept(client: Client, sandbox: Sandbox) -> None:
    wait(client, key="my-key", service_id="1")
    kept = json.dumps([entry.as_json() for entry in sandbox.journal.newest_first()])
    assert not [secret for secret in ("my-key", "s" * 32, "SECRET") if secret in kept]
