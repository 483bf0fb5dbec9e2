"""Sinch Verification's protocol, as documented."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.protocols.sinch import PROVIDER
from phone_verify.sandbox.protocols.sinch_signatures import SECRET, signature
from phone_verify.sandbox.webhooks import Hook, Reply
from tests.cases import in_one_test

from .conftest import Clock

PHONE, OTHER = "+15005550006", "+15005550007"
BASE = "/verification/v1/verifications"
HOOK = "http://127.0.0.1:8000/phone/webhooks/sinch/secret"
BASIC = {"Authorization": "Basic " + base64.b64encode(b"KEY:c2VjcmV0").decode()}
NOW = "2026-01-02T12:00:00Z"
SECTIONS = {"sms": ("sms", "code"), "flashCall": ("flashCall", "cli"), "callout": ("callout", "code"),
            "whatsapp": ("whatsapp", "code")}  # fmt: skip


def signed(method: str, path: str, body: bytes, *, stamp: str = NOW, secret: str = SECRET) -> dict[str, str]:
    """Sign a request by the recipe."""
    kind = "application/json; charset=utf-8" if body else ""
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() if body else ""
    text = "\n".join([method, digest, kind, f"x-timestamp:{stamp}", path])
    made = base64.b64encode(hmac.digest(base64.b64decode(secret), text.encode(), "sha256")).decode()
    return {"Authorization": f"Application KEY:{made}", "x-timestamp": stamp} | ({"Content-Type": kind} if kind else {})


def ask(client: Client, method: str, path: str, body: object = None, **how: str) -> TestResponse:
    data = b"" if body is None else json.dumps(body).encode()
    target = f"{BASE}{path}"
    return client.open(target, method=method, data=data, headers=signed(method, target, data, **how), buffered=True)


def start(client: Client, status: int = 200, *, method: str = "sms", phone: object = PHONE, **more: object) -> Any:
    identity = {"type": "number", "endpoint": phone}
    response = ask(client, "POST", "", {"identity": identity, "method": method, **more})
    assert response.status_code == status, response.text
    return response.get_json()


def report(client: Client, place: str, given: str, *, method: str = "sms") -> tuple[int, Any]:
    section, name = SECTIONS[method]
    response = ask(client, "PUT", place, {"method": method, section: {name: given}})
    return response.status_code, response.get_json()


def status(client: Client, place: str) -> Any:
    response = ask(client, "GET", place)
    assert response.status_code == 200, response.text
    return response.get_json()


def code(sandbox: Sandbox, phone: str = PHONE) -> str:
    handset = sandbox.network.handset(phone)
    assert handset is not None
    assert handset.newest_code is not None
    return handset.newest_code.code


def wrong(right: str) -> str:
    return right[:-1] + ("1" if right[-1] != "1" else "2")


def vary(sandbox: Sandbox, **variants: str) -> None:
    sandbox.faults.put("sinch", None, Fault(variants=variants))


def error(answer: TestResponse) -> tuple[int, int]:
    assert set(answer.get_json()) == {"errorCode", "message", "reference"}
    return answer.status_code, answer.get_json()["errorCode"]


def events(hooks: Sequence[Hook]) -> list[Any]:
    return [json.loads(hook.body) for hook in hooks]


@pytest.fixture
def hooked(client: Client) -> Client:
    assert client.put("/api/webhooks", json={"provider": "sinch", "url": HOOK}).status_code == 200
    return client


@pytest.fixture
def allowed(hooked: Client, replies: list[Reply | None]) -> Client:
    """A client of an account whose site allows one verification."""
    replies.append(Reply(200, b'{"action":"allow"}'))
    return hooked


def test_signature_matches_the_vector() -> None:
    body = b'{"event":"VerificationResultEvent","id":"v1","method":"sms","status":"SUCCESSFUL"}'
    made = signature(
        "MDEyMzQ1Njc4OWFiY2RlZg==", "POST", body, "application/json", "2026-01-01T00:00:00Z", "/hooks/sinch"
    )
    assert made == "N/LzHc9KPIL7/Nto2pFND8td+B+rG2AuvjKK6Ubap5g="


def test_sms_arrives_and_verifies(client: Client, sandbox: Sandbox) -> None:
    answer = start(client, reference="ver-0001", smsOptions={"expiry": "00:05:00", "codeType": "Numeric"})
    assert (answer["method"], answer["sms"]["template"]) == ("sms", "Your code is {{CODE}}")
    assert {link["rel"]: link["method"] for link in answer["_links"]} == {"status": "GET", "report": "PUT"}
    place = f"/id/{answer['id']}"
    pending = status(client, place)
    assert (pending["status"], pending["reference"]) == ("PENDING", "ver-0001")
    assert pending["identity"] == {"type": "number", "endpoint": PHONE}
    assert pending["verificationTimestamp"] == "2026-01-02T12:00:00.000"
    assert pending["price"]["terminationPrice"] == {"currencyId": "USD", "amount": 0.0127}
    assert len(code(sandbox)) == 4
    result, done = report(client, place, code(sandbox))
    assert (result, done["status"], done["source"]) == (200, "SUCCESSFUL", "manual")
    assert status(client, "/reference/ver-0001")["status"] == "SUCCESSFUL"
    assert status(client, f"/sms/number/{PHONE}")["id"] == answer["id"]


@pytest.mark.parametrize(("method", "channel"), [("sms", "sms"), ("whatsapp", "whatsapp"), ("callout", "voice")])
def test_each_method_reaches_its_channel(client: Client, sandbox: Sandbox, method: str, channel: str) -> None:
    start(client, method=method)
    (dispatch,) = sandbox.network.dispatches()
    assert dispatch.channel == channel
    assert report(client, f"/number/{PHONE}", code(sandbox), method=method)[1]["status"] == "SUCCESSFUL"


def test_flash_call_verifies_by_the_whole_number(client: Client, sandbox: Sandbox) -> None:
    answer = start(client, method="flashCall", flashCallOptions={"dialTimeout": 10})
    assert answer["method"] == "flashcall"
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    number = handset.calls[0].number
    details = answer["flashCall"]
    assert (details["cliFilter"], details["reportTimeout"]) == (f"(.*){number[2:6]}(.*)", 75)
    assert code(sandbox) == number[-4:]
    place = f"/id/{answer['id']}"
    assert status(client, place)["callResult"] == "NO_ANSWER"
    assert report(client, place, number[-4:], method="flashCall")[1]["errorCode"] == 40003
    assert report(client, place, number, method="flashCall")[1]["status"] == "SUCCESSFUL"


def test_last_digits_verify_where_the_pool_allows_it(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, cli="last_digits")
    start(client, method="flashCall")
    place = f"/number/{PHONE}"
    assert report(client, place, code(sandbox)[-3:], method="flashCall")[0] == 400
    assert report(client, place, code(sandbox), method="flashCall")[1]["status"] == "SUCCESSFUL"


def test_wrong_code_is_an_error_until_there_were_too_many(client: Client, sandbox: Sandbox) -> None:
    start(client)
    right, place = code(sandbox), f"/number/{PHONE}"
    for _ in range(5):
        assert error(ask(client, "PUT", place, {"method": "sms", "sms": {"code": wrong(right)}})) == (400, 40003)
    for _ in range(2):
        result, ended = report(client, place, right)
        assert (result, ended["status"], ended["reason"]) == (200, "FAIL", "Invalid code")


def test_wrong_code_may_end_the_verification(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, wrong_code="fail")
    start(client)
    assert report(client, f"/number/{PHONE}", wrong(code(sandbox)))[1]["reason"] == "Invalid code"
    assert report(client, f"/number/{PHONE}", code(sandbox))[1]["status"] == "FAIL"


@pytest.mark.parametrize(
    ("method", "options", "life"),
    [
        ("sms", {"smsOptions": {"expiry": "00:01:30"}}, 90),
        ("sms", {}, 600),
        ("flashCall", {}, 75),
        ("callout", {}, 600),
    ],
)
def test_late_report_is_a_fail_with_http_200(
    client: Client, sandbox: Sandbox, clock: Clock, method: str, options: dict[str, object], life: int
) -> None:
    answer = start(client, method=method, **options)
    clock.move(seconds=life)
    place = f"/id/{answer['id']}"
    late = ask_late(client, clock, place, method, code(sandbox))
    assert (late["status"], late["reason"]) == ("FAIL", "Expired")


def ask_late(client: Client, clock: Clock, place: str, method: str, given: str) -> Any:
    section, name = SECTIONS[method]
    body = {"method": method, section: {name: given}}
    return ask(client, "PUT", place, body, stamp=clock.at.isoformat()).get_json()


def test_new_verification_aborts_the_one_under_way(client: Client, sandbox: Sandbox) -> None:
    first = start(client)["id"]
    old = code(sandbox)
    second = start(client, method="whatsapp")["id"]
    assert status(client, f"/id/{first}")["status"] == "ABORTED"
    assert report(client, f"/id/{first}", old)[1]["status"] == "ABORTED"
    assert report(client, f"/id/{second}", code(sandbox), method="whatsapp")[1]["status"] == "SUCCESSFUL"
    third = start(client)["id"]
    assert status(client, f"/id/{second}")["status"] == "SUCCESSFUL"
    start(client, phone=OTHER)
    assert status(client, f"/id/{third}")["status"] == "PENDING"


def test_right_code_verifies_once(client: Client, sandbox: Sandbox) -> None:
    start(client)
    place = f"/number/{PHONE}"
    assert report(client, place, code(sandbox))[0] == 200
    assert report(client, place, code(sandbox))[1]["errorCode"] == 40400
    vary(sandbox, verified_again="status")
    assert report(client, place, code(sandbox))[1]["status"] == "SUCCESSFUL"
    assert report(client, place, wrong(code(sandbox)))[1]["errorCode"] == 40003
    vary(sandbox, verified_again="status_for_any_code")
    assert report(client, place, wrong(code(sandbox)))[1]["status"] == "SUCCESSFUL"


def test_reference_is_unique(client: Client, sandbox: Sandbox) -> None:
    start(client, reference="ver-0001")
    assert start(client, 409, reference="ver-0001", phone=OTHER)["errorCode"] == 40900
    assert len(sandbox.network.dispatches()) == 1
    start(client, phone=OTHER)
    start(client)


@in_one_test
@pytest.mark.parametrize(
    "body",
    [
        {"method": "sms"},
        {"identity": PHONE, "method": "sms"},
        {"identity": {"type": "username", "endpoint": PHONE}, "method": "sms"},
        {"identity": {"type": "number"}, "method": "sms"},
        {"identity": {"type": "number", "endpoint": PHONE}},
        {"identity": {"type": "number", "endpoint": PHONE}, "method": 7},
        {"identity": {"type": "number", "endpoint": PHONE}, "method": "pigeon"},
        *(
            {"identity": {"type": "number", "endpoint": phone}, "method": "sms"}
            for phone in ("15005550006", "0912", "", "+", "+1500555000600000", "+15005550006\n", 15005550006, None)
        ),
        *(
            {"identity": {"type": "number", "endpoint": PHONE}, "method": "sms", **more}
            for more in (
                {"reference": 7},
                {"reference": "r" * 129},
                {"custom": {}},
                {"smsOptions": []},
                {"smsOptions": {"expiry": "300"}},
                {"smsOptions": {"expiry": "00:00:00"}},
                {"smsOptions": {"expiry": 300}},
                {"smsOptions": {"codeType": "Emoji"}},
                {"smsOptions": {"codeType": 7}},
            )
        ),
        {"identity": {"type": "number", "endpoint": PHONE}, "method": "flashCall",
         "flashCallOptions": {"dialTimeout": 0}},
        {"identity": {"type": "number", "endpoint": PHONE}, "method": "flashCall",
         "flashCallOptions": {"interceptionTimeout": "45"}},
        [],
    ],
)  # fmt: skip
def test_malformed_starts_are_refused(client: Client, sandbox: Sandbox, body: object) -> None:
    assert error(ask(client, "POST", "", body)) == (400, 40001)
    assert sandbox.network.handsets() == ()


def test_seamless_is_not_enabled(client: Client) -> None:
    assert start(client, 422, method="seamless")["errorCode"] == 42200


@pytest.mark.parametrize(
    "body",
    [
        {"method": "sms"},
        {"method": "sms", "sms": "0417"},
        {"method": "sms", "sms": {"code": 417}},
        {"method": "sms", "sms": {"code": ""}},
        {"method": "sms", "flashCall": {"cli": "0417"}},
        {"sms": {"code": "0417"}},
    ],
)
def test_malformed_reports_are_refused(client: Client, body: object) -> None:
    start(client)
    assert error(ask(client, "PUT", f"/number/{PHONE}", body)) == (400, 40001)


def test_unknown_verifications_are_not_found(client: Client, sandbox: Sandbox) -> None:
    answer = start(client)
    for place in ("/id/1ce0ffee-0000-5eed-d22d-f00dfeed1337", f"/number/{OTHER}"):
        assert report(client, place, "0417")[1]["errorCode"] == 40400
    assert report(client, f"/id/{answer['id']}", "0417", method="callout")[1]["errorCode"] == 40400
    for place in ("/id/1", "/reference/x", f"/sms/number/{OTHER}", f"/callout/number/{PHONE}"):
        assert error(ask(client, "GET", place)) == (404, 40400)
    sandbox.network.clear()
    assert error(ask(client, "GET", f"/id/{answer['id']}")) == (404, 40400)


def test_requests_may_be_signed_with_either_stamp(client: Client) -> None:
    body = {"identity": {"type": "number", "endpoint": PHONE}, "method": "sms"}
    for stamp in (NOW, "2026-01-02T12:00:00.123456+00:00", "2026-01-02T15:30:00+03:30", "2026-01-02T12:14:59Z"):
        assert ask(client, "POST", "", body, stamp=stamp).status_code == 200
    for stamp in ("", "now", "1767225600", "2026-01-02T12:00:00", "2026-01-02T12:15:01Z", "2026-01-02T11:44:00Z"):
        assert error(ask(client, "POST", "", body, stamp=stamp)) == (401, 40101)


def test_wrong_signatures_are_refused(client: Client, sandbox: Sandbox) -> None:
    body = {"identity": {"type": "number", "endpoint": PHONE}, "method": "sms"}
    other = base64.b64encode(b"another secret").decode()
    assert error(ask(client, "POST", "", body, secret=other)) == (401, 40102)
    data = json.dumps(body).encode()
    headers = signed("POST", BASE, data)
    for spoilt in ({"Content-Type": "application/json"}, {"x-timestamp": "2026-01-02T12:00:01Z"}):
        assert error(client.post(BASE, data=data, headers=headers | spoilt)) == (401, 40102)
    assert error(client.post(BASE, data=data + b" ", headers=headers)) == (401, 40102)
    assert error(client.post(f"/sinch{BASE}", data=data, headers=headers)) == (401, 40102)
    assert sandbox.network.handsets() == ()
    data_path = f"/sinch{BASE}"
    assert client.post(data_path, data=data, headers=signed("POST", data_path, data)).status_code == 200


def test_signature_covers_the_path_as_sent(client: Client, sandbox: Sandbox) -> None:
    start(client)
    assert report(client, f"/number/{PHONE.replace('+', '%2B')}", code(sandbox))[1]["status"] == "SUCCESSFUL"


@in_one_test
@pytest.mark.parametrize(
    ("header", "number"),
    [
        (None, 40104),
        ("Bearer KEY", 40100),
        ("Application", 40100),
        ("Application WRONG:x", 40107),
        ("Application EXPIRED:x", 40107),
        ("Application INACTIVE:x", 40107),
        ("Application NO-CREDIT:x", 40200),
        ("Application KEY", 40303),
        ("Basic " + base64.b64encode(b"WRONG:x").decode(), 40107),
        ("Basic " + base64.b64encode(b"KEY:WRONG").decode(), 40107),
        ("Basic " + base64.b64encode(b"KEY:").decode(), 40107),
        ("Basic " + base64.b64encode(b"NO-CREDIT:x").decode(), 40200),
    ],
)
def test_credentials_are_checked_everywhere(client: Client, header: str | None, number: int) -> None:
    headers = {"Authorization": header, "x-timestamp": NOW} if header else {}
    places = [("POST", ""), ("PUT", "/id/1"), ("PUT", f"/number/{PHONE}"), ("GET", "/id/1"), ("GET", "/reference/1"),
              ("GET", f"/sms/number/{PHONE}")]  # fmt: skip
    for method, place in places:
        response = client.open(f"{BASE}{place}", method=method, json={}, headers=headers)
        assert error(response) == (number // 100, number)


def test_basic_authentication_is_accepted(client: Client, sandbox: Sandbox) -> None:
    body = {"identity": {"type": "number", "endpoint": PHONE}, "method": "sms"}
    assert client.post(BASE, json=body, headers=BASIC).status_code == 200
    answer = client.put(f"{BASE}/number/{PHONE}", json={"method": "sms", "sms": {"code": code(sandbox)}}, headers=BASIC)
    assert answer.get_json()["status"] == "SUCCESSFUL"


def test_device_needs_the_consent_of_the_site(allowed: Client, sandbox: Sandbox) -> None:
    body = {"identity": {"type": "number", "endpoint": PHONE}, "method": "sms"}
    public = {"Authorization": "Application KEY"}
    assert allowed.post(BASE, json=body, headers=public).status_code == 200
    answer = allowed.put(
        f"{BASE}/number/{PHONE}", json={"method": "sms", "sms": {"code": code(sandbox)}}, headers=public
    )
    assert answer.get_json()["status"] == "SUCCESSFUL"


def test_site_is_asked_before_anything_is_sent(hooked: Client, sandbox: Sandbox, replies: list[Reply | None],
                                               hooks: list[Hook]) -> None:  # fmt: skip
    replies.append(Reply(200, b'{"action":"deny"}'))
    assert start(hooked, 403, reference="ver-0001", custom="c")["errorCode"] == 40303
    assert sandbox.network.handsets() == ()
    (question,) = events(hooks)
    assert question["event"] == "VerificationRequestEvent"
    assert (question["method"], question["reference"], question["custom"]) == ("sms", "ver-0001", "c")
    assert question["identity"] == {"type": "number", "endpoint": PHONE}
    replies.append(Reply(200, b'{"action":"allow"}'))
    start(hooked, reference="ver-0001")


@in_one_test
@pytest.mark.parametrize(
    "reply",
    [
        None,
        Reply(403, b'{"action":"allow"}'),
        Reply(200, b""),
        Reply(200, b"OK"),
        Reply(200, b"[]"),
        Reply(200, b'{"action":"maybe"}'),
        Reply(200, b'{"action":["allow"]}'),
        Reply(200, b'{"action":"allow","sms":"0417"}'),
        Reply(200, b'{"action":"allow","sms":{"code":417}}'),
        Reply(200, b'{"action":"allow","sms":{"code":"1"}}'),
        Reply(200, b'{"action":"allow","sms":{"expiry":"soon"}}'),
        Reply(200, b'{"action":"allow","sms":{"codeType":"Emoji"}}'),
    ],
)
def test_invalid_consent_is_a_denial(
    hooked: Client, sandbox: Sandbox, replies: list[Reply | None], reply: Reply | None
) -> None:
    replies.append(reply)
    assert start(hooked, 403)["errorCode"] == 40303
    assert sandbox.network.handsets() == ()


@pytest.mark.parametrize(
    ("method", "section"),
    [("sms", {"code": "0417", "expiry": "00:01:00"}), ("callout", {"code": "0417"}),
     ("flashCall", {"cli": "15005550417"})],
)  # fmt: skip
def test_site_may_choose_the_code(
    hooked: Client, sandbox: Sandbox, replies: list[Reply | None], method: str, section: dict[str, str]
) -> None:
    replies.append(Reply(200, json.dumps({"action": "allow", method: section}).encode()))
    start(hooked, method=method)
    assert code(sandbox) == "0417"
    assert report(hooked, f"/number/{PHONE}", section.get("cli", "0417"), method=method)[1]["status"] == "SUCCESSFUL"


@pytest.mark.parametrize(("kind", "characters"), [("Alpha", str.isalpha), ("Alphanumeric", str.isalnum)])
def test_code_type_is_used(client: Client, sandbox: Sandbox, kind: str, characters: Any) -> None:
    start(client, smsOptions={"codeType": kind})
    assert characters(code(sandbox))


def test_results_and_deliveries_are_reported(allowed: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    answer = start(allowed, reference="ver-0001")
    report(allowed, f"/id/{answer['id']}", wrong(code(sandbox)))
    report(allowed, f"/id/{answer['id']}", code(sandbox))
    assert [event["event"] for event in events(hooks)] == [
        "VerificationRequestEvent", "VerificationSmsDeliveredEvent", "VerificationResultEvent",
    ]  # fmt: skip
    assert {(event["id"], event["reference"]) for event in events(hooks)} == {(answer["id"], "ver-0001")}
    _, delivered, result = events(hooks)
    assert delivered["smsResult"] == "Successful"
    assert (result["status"], result["source"]) == ("SUCCESSFUL", "manual")
    assert code(sandbox) not in "".join(hook.body.decode() for hook in hooks)


def test_lost_sms_is_reported_as_failed(allowed: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    sandbox.faults.put("sinch", PHONE, Fault(lose=True))
    start(allowed)
    assert events(hooks)[1]["smsResult"] == "Failed"


def test_aborted_verification_is_reported(hooked: Client, replies: list[Reply | None], hooks: list[Hook]) -> None:
    for _ in range(2):
        replies[:] = [Reply(200, b'{"action":"allow"}')]
        start(hooked, method="whatsapp")
    assert [event.get("status") for event in events(hooks)] == [None, None, "ABORTED"]


@pytest.mark.parametrize(("time", "stamp"), [("z", "2026-01-02T12:00:00Z"), ("offset", "2026-01-02T12:00:00+00:00")])
def test_webhooks_are_signed(allowed: Client, sandbox: Sandbox, hooks: list[Hook], time: str, stamp: str) -> None:
    vary(sandbox, webhook_time=time)
    start(allowed)
    for hook in hooks:
        assert (hook.url, hook.content_type, hook.headers["x-timestamp"]) == (HOOK, "application/json", stamp)
        digest = base64.b64encode(hashlib.md5(hook.body, usedforsecurity=False).digest()).decode()
        text = f"POST\n{digest}\napplication/json\nx-timestamp:{stamp}\n/phone/webhooks/sinch/secret"
        made = base64.b64encode(hmac.digest(base64.b64decode(SECRET), text.encode(), "sha256")).decode()
        assert hook.headers["Authorization"] == f"Application KEY:{made}"


@pytest.mark.parametrize("forgery", ["wrong_key", "stale", "unsigned"])
def test_webhook_signatures_can_be_forged(allowed: Client, sandbox: Sandbox, hooks: list[Hook], forgery: Any) -> None:
    sandbox.faults.put("sinch", None, Fault(webhook_signature=forgery))
    start(allowed)
    for hook in hooks:
        stamp, given = hook.headers.get("x-timestamp", ""), hook.headers.get("Authorization", "")
        right = signature(SECRET, "POST", hook.body, "application/json", stamp, "/phone/webhooks/sinch/secret")
        assert (given == f"Application KEY:{right}") is (forgery == "stale")
        assert stamp == {"wrong_key": NOW, "stale": "2026-01-01T12:00:00Z", "unsigned": ""}[forgery]


def test_webhooks_may_use_basic_authentication(allowed: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    vary(sandbox, webhook_auth="basic")
    start(allowed)
    expected = base64.b64encode(f"KEY:{SECRET}".encode()).decode()
    assert {hook.headers["Authorization"] for hook in hooks} == {f"Basic {expected}"}


def test_doubled_webhooks_come_twice_but_the_question_once(
    allowed: Client, sandbox: Sandbox, hooks: list[Hook]
) -> None:
    sandbox.faults.put("sinch", None, Fault(double=True))
    start(allowed)
    assert [event["event"] for event in events(hooks)] == [
        "VerificationRequestEvent", "VerificationSmsDeliveredEvent", "VerificationSmsDeliveredEvent",
    ]  # fmt: skip


@in_one_test
@pytest.mark.parametrize(
    ("result", "shown", "reason"),
    [
        ("no_credit", "ERROR", "Not enough credit"),
        ("internal", "ERROR", "Internal error"),
        ("destination_denied", "FAIL", "Destination denied"),
        ("unreachable", "FAIL", "Network error or number unreachable"),
        ("sms_failure", "FAIL", "SMS delivery failure"),
        ("blocked", "DENIED", "Blocked"),
        ("fraud", "DENIED", "Fraud"),
        ("denied_by_callback", "DENIED", "Denied by callback"),
        ("invalid_callback", "DENIED", "Invalid callback"),
        ("expired", "FAIL", "Expired"),
        ("failed_pending", "FAIL", "Failed pending"),
        ("hung_up", "FAIL", "Hung up without entering valid code"),
    ],
)
def test_every_reason_is_available(client: Client, sandbox: Sandbox, result: str, shown: str, reason: str) -> None:
    start(client)
    vary(sandbox, result=result)
    answer = status(client, f"/sms/number/{PHONE}")
    assert (answer["status"], answer["reason"]) == (shown, reason)
    answer = report(client, f"/number/{PHONE}", code(sandbox))[1]
    assert (answer["status"], answer["reason"]) == (shown, reason)


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_is_available(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("sinch", None, Fault(refuse=name))
    response = ask(client, "POST", "", {"identity": {"type": "number", "endpoint": PHONE}, "method": "sms"})
    http, number = error(response)
    assert number // 100 == http
    assert sandbox.network.handsets() == ()
    sandbox.faults.put("sinch", None, Fault(refuse=name, variants={"retry_after": "present"}))
    assert ("Retry-After" in ask(client, "GET", f"/sms/number/{PHONE}").headers) is (http == 429)


def test_links_may_be_on_a_regional_host(client: Client, sandbox: Sandbox) -> None:
    answer = start(client)
    assert answer["_links"][0]["href"] == f"http://localhost{BASE}/id/{answer['id']}"
    vary(sandbox, links="regional")
    assert start(client)["_links"][0]["href"].startswith("https://dc-euc1-std.verification.api.sinch.com/")


def test_journal_holds_no_secret(allowed: Client, sandbox: Sandbox) -> None:
    start(allowed)
    report(allowed, f"/number/{PHONE}", code(sandbox))
    shown = allowed.get("/api/requests").text + allowed.get("/api/webhooks/deliveries").text
    for secret in (code(sandbox), SECRET, "KEY:", "/secret"):
        assert secret not in shown


def test_account_shows_the_secret(client: Client) -> None:
    assert client.get("/api/webhooks").get_json()["keys"]["sinch"] == {"application_secret": SECRET}


def test_details_expire_with_the_network(client: Client, clock: Clock) -> None:
    answer = start(client)
    clock.at += timedelta(minutes=10)
    late = ask(client, "GET", f"/id/{answer['id']}", stamp=clock.at.isoformat()).get_json()
    assert (late["status"], late["reason"]) == ("FAIL", "Expired")
