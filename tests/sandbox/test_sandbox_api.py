"""The test API, its guard and its handling of hostile input."""

import json
from typing import Any

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Sandbox
from phone_verify.sandbox.journal import MAX_ENTRIES
from phone_verify.sandbox.protocols import PROVIDERS
from tests.cases import in_one_test

from .conftest import Clock

PHONE = "+989120000000"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


def send(client: Client, code: str = "482193") -> None:
    fields = {"Mobile": "9120000000", "CodeLength": str(len(code)), "OptionalCode": code}
    client.post("/rest/SendQuickOTP", data=fields, headers={"Authorization": "SECRET-TOKEN"})


def problem(response: Any, status: int) -> Any:
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    body = response.get_json()
    assert body["status"] == status
    return body


def test_handset_is_added_shown_and_cleared(client: Client) -> None:
    added = client.post("/api/handsets", json={"phone": "09120000000"})
    assert added.status_code == 201
    assert added.get_json() == client.get(f"/api/handsets/{PHONE}").get_json()
    assert [each["phone"] for each in client.get("/api/handsets").get_json()["handsets"]] == [PHONE]
    assert client.delete("/api/handsets").status_code == 204
    assert client.get("/api/handsets").get_json() == {"handsets": []}
    problem(client.get(f"/api/handsets/{PHONE}"), 404)


def test_handset_shows_messages_and_calls(client: Client) -> None:
    send(client)
    client.post("/services/call/call/", json={"destination": "09120000000", "token": "KEY"})
    handset = client.get("/api/handsets/989120000000").get_json()
    (message,), (call,) = handset["messages"], handset["calls"]
    assert (message["channel"], message["provider"], message["text"]) == ("sms", "amoot", "Your code is 482193")
    assert (call["direction"], call["provider"], call["hidden"]) == ("in", "ferzz", False)
    assert call["ringing_for"] > 0
    assert call["number"].endswith(call["code"])


@pytest.mark.parametrize("phone", [PHONE, "989120000000", "09120000000", "%2B98%20912%20000%200000"])
def test_newest_code_is_returned(client: Client, phone: str) -> None:
    send(client, "1111")
    send(client, "2222")
    answer = client.get(f"/api/handsets/{phone}/code").get_json()
    assert (answer["code"], answer["channel"], answer["provider"]) == ("2222", "sms", "amoot")
    problem(client.get(f"/api/handsets/{phone}/code?after={answer['id']}&wait=0.01"), 404)


def test_no_code_is_404(client: Client) -> None:
    problem(client.get(f"/api/handsets/{PHONE}/code"), 404)


@pytest.mark.parametrize(
    "query", ["wait=31", "wait=-1", "wait=x", "wait=nan", "wait=inf", "after=x", "wait=" + "1" * 99]
)
def test_bad_wait_is_refused(client: Client, query: str) -> None:
    problem(client.get(f"/api/handsets/{PHONE}/code?{query}"), 400)


def test_dialling_an_unknown_line_is_an_error(client: Client) -> None:
    answer = client.post(f"/api/handsets/{PHONE}/dial", json={"number": "+79000000099"}).get_json()
    assert answer == {"number": "+79000000099", "busy": False, "matched": False, "waits": []}
    (call,) = client.get(f"/api/handsets/{PHONE}").get_json()["calls"]
    assert (call["direction"], call["busy"], call["number"]) == ("out", False, "+79000000099")


@pytest.mark.parametrize(
    "body",
    [{}, {"number": 7}, {"number": "x"}, {"number": "79990000001", "hidden": 1},
     {"number": "79990000001", "caller": ""}, {"number": "79990000001", "loud": True}],
)  # fmt: skip
def test_bad_dial_names_the_field(client: Client, body: dict[str, object]) -> None:
    assert problem(client.post(f"/api/handsets/{PHONE}/dial", json=body), 400)["fields"]


def test_faults_are_set_shown_and_cleared(client: Client) -> None:
    answer = client.put("/api/faults", json={"provider": "amoot", "phone": "09120000000", "lose": True})
    assert (answer.get_json()["phone"], answer.get_json()["lose"]) == (PHONE, True)
    client.put("/api/faults", json={"provider": "ferzz", "variants": {"code": "empty"}})
    shown = client.get("/api/faults").get_json()
    assert [(fault["provider"], fault["phone"]) for fault in shown["faults"]] == [("amoot", PHONE), ("ferzz", None)]
    assert set(shown["known"]) == set(PROVIDERS)
    client.delete("/api/faults", query_string={"provider": "amoot", "phone": PHONE})
    assert [fault["provider"] for fault in client.get("/api/faults").get_json()["faults"]] == ["ferzz"]
    client.delete("/api/faults")
    assert client.get("/api/faults").get_json()["faults"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "provider"),
        ({"provider": "nobody"}, "provider"),
        ({"provider": ["amoot"]}, "provider"),
        ({"provider": "amoot", "phone": "x"}, "phone"),
        ({"provider": "amoot", "delay": "long"}, "delay"),
        ({"provider": "amoot", "explode": True}, "explode"),
    ],
)
def test_bad_fault_names_the_field(client: Client, body: dict[str, object], field: str) -> None:
    assert field in problem(client.put("/api/faults", json=body), 400)["fields"]


def test_phone_without_provider_removes_no_fault(client: Client) -> None:
    problem(client.delete(f"/api/faults?phone={PHONE}"), 400)


def test_requests_are_kept_without_secrets(client: Client) -> None:
    send(client)
    client.get("/rest/AccountStatus?TOKEN=SECRET-TOKEN")
    client.post("/services/call/call/", json={"destination": "09120000000", "token": "SECRET-TOKEN"})
    client.get("/api/v1/authcalls/SECRET-TOKEN/get_sms_code/89000000000/?code=0417")
    # JSON sent as a form is one field whose name is the whole body.
    client.post(
        "/rest/SendQuickOTP", data='{"Token": "SECRET-TOKEN"}', content_type="application/x-www-form-urlencoded"
    )
    response = client.get("/api/requests")
    assert "SECRET-TOKEN" not in response.text
    odd, telefon, ferzz, query, header = response.get_json()["requests"]
    assert telefon["path"] == "/api/v1/authcalls/***/get_sms_code/89000000000/"
    assert telefon["params"] == {"code": "0417"}
    assert ferzz["params"] == {"destination": "09120000000", "token": "***"}
    assert query["params"] == {"TOKEN": "***"}
    assert header["headers"]["Authorization"] == "***"
    assert header["params"]["Mobile"] == "9120000000"
    assert odd["params"] == {}


def test_unanswered_request_has_no_status(client: Client) -> None:
    client.put("/api/faults", json={"provider": "amoot", "hang": True, "times": 1})
    with pytest.raises(ConnectionAbortedError):
        send(client)
    send(client)
    assert [entry["status"] for entry in client.get("/api/requests").get_json()["requests"]] == [200, None]


def test_requests_are_bounded(client: Client) -> None:
    for _ in range(MAX_ENTRIES + 5):
        client.get("/rest/AccountStatus")
    assert len(client.get("/api/requests").get_json()["requests"]) == MAX_ENTRIES


def test_log_holds_neither_token_nor_number(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "phone_verify.sandbox"):
        send(client)
        client.get("/api/v1/authcalls/SECRET-TOKEN/get_code/89000000000/")
    assert "telefon-ip GET /api/v1/authcalls/<token>/get_code/<phone>/ -> 200" in caplog.text
    assert "SECRET-TOKEN" not in caplog.text
    assert "9000000000" not in caplog.text
    assert "482193" not in caplog.text


def test_events_report_changes(client: Client, sandbox: Sandbox) -> None:
    response = client.get("/api/events")
    assert response.mimetype == "text/event-stream"
    stream = iter(response.response)
    assert "event: change" in str(next(stream))
    send(client)
    assert "event: change" in str(next(stream))
    sandbox.close()
    next(stream, None)
    response.close()


def test_too_many_streams_are_refused(client: Client) -> None:
    open_ones = []
    while (response := client.get("/api/events")).status_code == 200:
        open_ones.append(response)
    problem(response, 503)
    for each in open_ones:
        each.close()
    again = client.get("/api/events")
    assert again.status_code == 200
    again.close()


@in_one_test
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "8.8.8.8", "",
                                  "a b", "localhost@evil.example", "[::2]", "0.0.0.0", "127.0.0.1:999999"])  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/api/handsets", "/rest/AccountStatus"])
def test_foreign_host_names_are_refused(client: Client, host: str, path: str) -> None:
    problem(client.get(path, headers={"Host": host}), 403)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8025", "127.0.0.1:8025", "127.1.2.3", "[::1]:8025", "a.localhost"]
)
def test_loopback_names_are_allowed(client: Client, host: str) -> None:
    assert client.get("/api/handsets", headers={"Host": host}).status_code == 200


def test_configured_host_is_allowed() -> None:
    client = Client(Sandbox(hosts=["Sandbox"]))
    assert client.get("/api/handsets", headers={"Host": "sandbox:8025"}).status_code == 200
    assert client.get("/api/handsets", headers={"Host": "other:8025"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8000"},
        {"Origin": "https://localhost"},
    ],
)
def test_cross_site_pages_change_nothing(client: Client, sandbox: Sandbox, headers: dict[str, str]) -> None:
    problem(client.post("/api/handsets", json={"phone": PHONE}, headers=headers), 403)
    problem(client.delete("/api/handsets", headers=headers), 403)
    problem(client.put("/api/faults", json={"provider": "amoot"}, headers=headers), 403)
    problem(client.post(f"/api/handsets/{PHONE}/dial", json={"number": "79990000001"}, headers=headers), 403)
    problem(client.get("/api/v1/authcalls/T/get_code/89000000000/", headers=headers), 403)
    assert sandbox.network.handsets() == ()


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"},
                                     {"Origin": "http://localhost"}])  # fmt: skip
def test_own_page_and_programs_are_allowed(client: Client, headers: dict[str, str]) -> None:
    assert client.post("/api/handsets", json={"phone": PHONE}, headers=headers).status_code == 201


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff\xfe", b"[" * 60_000, b'{"phone": "\\ud800"}'])
def test_unreadable_bodies_are_400(client: Client, body: bytes) -> None:
    problem(client.post("/api/handsets", data=body, content_type="application/json"), 400)


def test_another_media_type_is_415(client: Client) -> None:
    problem(client.post("/api/handsets", data='{"phone": "+989120000000"}', content_type="text/plain"), 415)


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/api/handsets", JSON),
        ("/rest/SendQuickOTP", JSON),
        ("/rest/SendQuickOTP", FORM),
        ("/services/call/call/", JSON),
        ("/services/call/call/", FORM),
        ("/api/v1/authcalls/T/reverse_auth_phone_post", JSON),
        ("/api/v1/authcalls/T/reverse_auth_phone_post", FORM),
    ],
)
def test_huge_body_is_413(client: Client, path: str, content_type: str) -> None:
    problem(client.post(path, data=b'{"phone": "' + b"9" * 70_000 + b'"}', content_type=content_type), 413)


@pytest.mark.parametrize("path", ["/nothing", "/rest/Other", "/api/v1/authcalls/T/", "//rest//AccountStatus", "/%00"])
def test_unknown_path_is_404(client: Client, path: str) -> None:
    problem(client.get(path), 404)


def test_wrong_method_is_405_and_names_the_right_ones(client: Client) -> None:
    response = client.patch("/api/handsets")
    problem(response, 405)
    assert response.headers["Allow"] == "DELETE, GET, POST"


VALUES: list[object] = [
    None,
    True,
    0,
    -1,
    1e308,
    10**40,
    "",
    "x" * 1000,
    "\u0000",
    "\ud800",
    "۹",
    [],
    [[]],
    {},
    {"a": {}},
]


@in_one_test
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("POST", "/rest/SendQuickOTP", ["Token", "Mobile", "CodeLength", "OptionalCode"]),
        ("POST", "/rest/GetDelivery", ["Token", "MessageID"]),
        ("POST", "/services/call/call/", ["token", "destination"]),
        ("POST", "/services/call/retry/", ["token", "destination", "tracking_code"]),
        ("POST", "/api/v1/authcalls/T/reverse_auth_phone_post", ["phone", "webhook"]),
        ("POST", "/api/v1/authcalls/T/post_billing_data", ["start_date", "end_date"]),
        ("POST", "/api/handsets", ["phone"]),
        ("POST", f"/api/handsets/{PHONE}/dial", ["number", "caller", "hidden"]),
        ("PUT", "/api/faults", ["provider", "phone", "refuse", "delay", "times", "foreign_caller", "variants", "hang"]),
        ("PUT", "/api/scenario", ["faults", "handsets", "webhooks", "lines"]),
    ],
)
def test_no_value_of_any_type_is_a_server_error(
    client: Client, method: str, path: str, names: list[str], value: object
) -> None:
    good: dict[str, object] = {
        "Token": "T", "Mobile": "9120000000", "CodeLength": 6, "token": "T", "destination": "09120000000",
        "number": "79990000001", "provider": "amoot", "webhook": "http://127.0.0.1/", "phone": "89000000000",
    }  # fmt: skip
    for name in names:
        body = {key: good[key] for key in names if key in good} | {name: value}
        response = client.open(path, method=method, data=json.dumps(body), content_type="application/json")
        assert response.status_code < 500
    assert client.get("/api/requests").status_code == 200
    assert client.get("/api/handsets").status_code == 200


def test_handset_lists_the_lines_it_may_call(client: Client, clock: Clock) -> None:
    line = client.get("/api/v1/authcalls/T/reverse_auth_phone_get?phone=89000000000").get_json()["data"]["auth_phone"]
    clock.move(seconds=20)
    (wait,) = client.get("/api/handsets/+79000000000").get_json()["waits"]
    assert (wait["provider"], wait["number"], wait["expires_in"]) == ("telefon-ip", f"+{line}", 100.0)
    assert client.get("/api/handsets").get_json()["handsets"][0]["waits"] == [wait]
    client.post("/api/handsets/+79000000000/dial", json={"number": line})
    assert client.get("/api/handsets/+79000000000").get_json()["waits"] == []


def test_expired_wait_is_not_listed(client: Client, clock: Clock) -> None:
    client.get("/api/v1/authcalls/T/reverse_auth_phone_get?phone=89000000000")
    clock.move(seconds=121)
    assert client.get("/api/handsets/+79000000000").get_json()["waits"] == []


def test_one_handset_is_deleted_with_its_waits(client: Client) -> None:
    client.get("/api/v1/authcalls/T/reverse_auth_phone_get?phone=89000000000")
    client.post("/api/handsets", json={"phone": PHONE})
    assert client.delete("/api/handsets/+79000000000").status_code == 204
    assert client.delete("/api/handsets/+79000000000").status_code == 404
    assert [handset["phone"] for handset in client.get("/api/handsets").get_json()["handsets"]] == [PHONE]
    assert client.post("/api/handsets", json={"phone": "+79000000000"}).get_json()["waits"] == []


def test_one_message_is_deleted(client: Client) -> None:
    for _ in range(2):
        send(client)
    newest, oldest = client.get(f"/api/handsets/{PHONE}").get_json()["messages"]
    assert client.delete(f"/api/handsets/{PHONE}/{newest['id']}").status_code == 204
    assert client.delete(f"/api/handsets/{PHONE}/{newest['id']}").status_code == 404
    assert client.delete(f"/api/handsets/{PHONE}/x").status_code == 404
    assert client.get(f"/api/handsets/{PHONE}").get_json()["messages"] == [oldest]


def test_deletion_is_refused_across_sites(client: Client) -> None:
    client.post("/api/handsets", json={"phone": PHONE})
    assert client.delete(f"/api/handsets/{PHONE}", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_requests_show_answers_without_tokens(client: Client) -> None:
    body = {"grant_type": "client_credentials", "client_id": "1", "client_secret": "SECRET-TOKEN"}
    token = client.post("/api/oauth2/token", json=body).get_json()["access_token"]
    client.put("/api/faults", json={"provider": "telefon-ip", "malformed": "html", "times": 1})
    client.get("/api/v1/authcalls/T/get_balance/")
    balance, issued = client.get("/api/requests").get_json()["requests"]
    assert "502 Bad Gateway" in balance["answer"]
    assert json.loads(issued["answer"])["access_token"] == "***"
    assert token not in str(issued)


def test_webhook_requests_are_listed_without_secrets(client: Client, asked: list[str]) -> None:
    hook = "http://127.0.0.1:8000/phone/webhooks/telefon-ip/SECRET-PATH?key=A-SECRET-OF-THE-SITE"
    body = {"phone": "89000000000", "webhook": hook}
    line = client.post("/api/v1/authcalls/T/reverse_auth_phone_post", json=body).get_json()["data"]["auth_phone"]
    client.post("/api/handsets/+79000000000/dial", json={"number": line})
    assert len(asked) == 1
    response = client.get("/api/webhooks/deliveries")
    (delivery,) = response.get_json()["deliveries"]
    assert delivery["url"] == "http://127.0.0.1:8000/phone/webhooks/telefon-ip/***"
    assert delivery["params"]["phone"] == "89000000000"
    assert delivery["status"] == 200
    assert "SECRET" not in response.text
    client.delete("/api/handsets")
    assert client.get("/api/webhooks/deliveries").get_json() == {"deliveries": []}
