"""The protocol of Vonage's SMS API, as documented."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.protocols.vonage import PROVIDER, SIGNING_KEY, sign
from phone_verify.sandbox.webhooks import Hook
from tests.cases import in_one_test

from .conftest import Clock

PHONE, HOOK = "+447700900000", "http://127.0.0.1:8000/phone/webhooks/vonage/secret"
FIELDS = {"api_key": "KEY", "api_secret": "S", "from": "Example", "to": "447700900000", "text": "Your code is 048213"}


def ask(client: Client, **changes: str | None) -> list[dict[str, str]]:
    fields = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
    # Receipts are sent when the response is closed.
    with client.post("/sms/json", data=fields) as response:
        assert response.status_code == 200
        answer = response.get_json()
    assert answer["message-count"] == str(len(answer["messages"]))
    messages: list[dict[str, str]] = answer["messages"]
    return messages


def one(client: Client, **changes: str | None) -> dict[str, str]:
    (message,) = ask(client, **changes)
    return message


def codes(sandbox: Sandbox) -> list[str]:
    handset = sandbox.network.handset(PHONE)
    return [message.code for message in handset.messages] if handset else []


def vary(sandbox: Sandbox, **variants: str) -> None:
    sandbox.faults.put("vonage", None, Fault(variants=variants))


def receipt(hook: Hook) -> dict[str, str]:
    if hook.method == "GET":
        return dict(parse_qsl(urlsplit(hook.url).query))
    if hook.content_type == "application/json":
        read: dict[str, str] = json.loads(hook.body)
        return read
    return dict(parse_qsl(hook.body.decode()))


@pytest.fixture
def hooked(client: Client) -> Client:
    assert client.put("/api/webhooks", json={"provider": "vonage", "url": HOOK}).status_code == 200
    return client


def test_text_arrives_and_is_accepted(client: Client, sandbox: Sandbox) -> None:
    message = one(client)
    assert (message["status"], message["to"], len(message["message-id"])) == ("0", "447700900000", 16)
    assert all(isinstance(value, str) for value in message.values())
    assert codes(sandbox) == ["048213"]


def test_basic_credentials_and_json_are_accepted(client: Client, sandbox: Sandbox) -> None:
    body = {"from": "Example", "to": "447700900000", "text": "Your code is 0417"}
    answer = client.post("/sms/json", json=body, auth=("KEY", "S")).get_json()
    assert answer["messages"][0]["status"] == "0"
    assert codes(sandbox) == ["0417"]


@in_one_test
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"api_key": None}, "2"),
        ({"api_secret": None}, "2"),
        ({"api_key": "WRONG"}, "4"),
        ({"api_secret": "WRONG"}, "4"),
        ({"api_key": "EXPIRED"}, "11"),
        ({"api_secret": "INACTIVE"}, "8"),
        ({"api_secret": "NO-CREDIT"}, "9"),
        ({"to": None}, "2"),
        ({"from": ""}, "2"),
        ({"text": ""}, "2"),
        ({"to": "+447700900000"}, "3"),
        ({"to": "00447700900000"}, "3"),
        ({"to": "07700"}, "3"),
        ({"type": "binary"}, "3"),
        ({"ttl": "19999"}, "3"),
        ({"ttl": "604800001"}, "3"),
        ({"ttl": "5m"}, "3"),
        ({"client-ref": "r" * 101}, "3"),
        ({"from": "A name too long"}, "15"),
        ({"from": "+15005550006"}, "15"),
        ({"text": "1234 " * 700}, "12"),
        ({"callback": "site.example"}, "23"),
        ({"callback": "https://site.example/" + "x" * 100}, "23"),
    ],
)
def test_invalid_request_is_refused_with_status_200(
    client: Client, sandbox: Sandbox, changes: dict[str, str | None], status: str
) -> None:
    message = one(client, **changes)
    assert message.keys() == {"status", "error-text"}
    assert message["status"] == status
    assert sandbox.network.dispatches() == ()


@pytest.mark.parametrize("ttl", ["20000", "604800000"])
def test_ttl_of_the_documented_range_is_accepted(client: Client, ttl: str) -> None:
    assert one(client, ttl=ttl)["status"] == "0"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # Computed with `openssl dgst -hmac abcdef` over "&a=1_2&b=x_y&timestamp=1767225600", and for
        # `md5hash` with `md5sum` over the same text followed by "abcdef".
        ("md5hash", "8178ccc9ebf9cc82b5a6135325de3252"),
        ("md5", "2d4d5b222671fbf13f819ea7777e7b99"),
        ("sha1", "3e4c26aa07ab5ec6b4382a467dd7f78dbfef4b1a"),
        ("sha256", "afd7e66f0ff449ea52b4f1073abd2e136fe239c3326b21c278684ce97224e20b"),
        (
            "sha512",
            (
                "ea77fc95dcb4563733111b8bc350aedfaa624698249f50925b0496b4083b83d7"
                "79c146ddbd1d39c7cac1f0bb99c957d21415435c27bd016fb3421d88e44b7b63"
            ),
        ),
    ],
)
def test_signature_matches_vector(method: str, expected: str) -> None:
    params = {"timestamp": "1767225600", "b": "x&y", "a": "1=2", "sig": "ignored"}
    assert sign(params, method, "abcdef") == expected


@pytest.mark.parametrize("method", ["sha256", "sha512", "sha1", "md5", "md5hash"])
def test_signed_request_is_accepted(client: Client, clock: Clock, method: str) -> None:
    signed = {**FIELDS, "timestamp": str(int(clock().timestamp()))}
    del signed["api_secret"]
    sig = sign(signed, method)
    assert one(client, api_secret=None, timestamp=signed["timestamp"], sig=sig)["status"] == "0"
    assert one(client, api_secret=None, timestamp=signed["timestamp"], sig=sig, text="Other")["status"] == "14"
    assert one(client, timestamp=signed["timestamp"], sig=sig)["status"] == "32"
    clock.move(seconds=301)
    assert one(client, api_secret=None, timestamp=signed["timestamp"], sig=sig)["status"] == "14"


@pytest.mark.parametrize("stamp", [None, "", "now", "²", "9" * 40])
def test_signature_without_a_time_is_refused(client: Client, stamp: str | None) -> None:
    assert one(client, api_secret=None, timestamp=stamp, sig="0" * 64)["status"] == "14"


def test_long_text_has_an_id_for_each_part(client: Client, sandbox: Sandbox) -> None:
    parts = ask(client, text="Your code is 048213" + "." * 300)
    assert [part["status"] for part in parts] == ["0", "0", "0"]
    assert len({part["message-id"] for part in parts}) == 3
    assert codes(sandbox) == ["048213"]
    assert len(ask(client, text="Код 048213" + "." * 65, type="unicode")) == 2


def test_last_part_may_fail(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, parts="last_fails")
    assert [part["status"] for part in ask(client, text="Code 048213" + "." * 200)] == ["0", "1"]
    assert one(client)["status"] == "0"


def test_text_outside_the_alphabet_needs_unicode(client: Client, sandbox: Sandbox) -> None:
    one(client, text="Код 048213")
    one(client, text="Код 048213", type="unicode")
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert [message.text for message in handset.messages] == ["Код 048213", "??? 048213"]


def test_receipt_is_sent_to_the_account_and_signed(hooked: Client, hooks: list[Hook]) -> None:
    message = one(hooked, **{"client-ref": "r1"})
    (hook,) = hooks
    assert hook.url.startswith(f"{HOOK}?")
    fields = receipt(hook)
    assert fields["sig"] == sign(fields, "sha256", SIGNING_KEY)
    assert {name: fields[name] for name in ("msisdn", "to", "messageId", "status", "err-code", "api-key")} == {
        "msisdn": "447700900000",
        "to": "Example",
        "messageId": message["message-id"],
        "status": "delivered",
        "err-code": "0",
        "api-key": "KEY",
    }
    assert (fields["scts"], fields["message-timestamp"]) == ("2601021200", "2026-01-02 12:00:00")
    assert fields["client-ref"] == "r1"


def test_receipt_goes_to_the_callback_of_the_request(hooked: Client, hooks: list[Hook]) -> None:
    one(hooked, callback="http://127.0.0.1:8000/other?a=b")
    assert [hook.url.partition("&")[0] for hook in hooks] == ["http://127.0.0.1:8000/other?a=b"]
    fields = receipt(hooks[0])
    assert fields.pop("a") == "b"
    assert fields["sig"] == sign(fields, "sha256")


def test_receipt_may_be_refused_by_the_request(hooked: Client, hooks: list[Hook]) -> None:
    one(hooked, **{"status-report-req": "0"})
    assert hooks == []


@pytest.mark.parametrize("form", ["query", "form", "json"])
@pytest.mark.parametrize("method", ["sha256", "sha512", "sha1", "md5", "md5hash"])
def test_every_form_and_method_of_receipts(
    hooked: Client, sandbox: Sandbox, hooks: list[Hook], form: str, method: str
) -> None:
    vary(sandbox, webhook=form, signature=method)
    one(hooked)
    fields = receipt(hooks[0])
    assert fields["sig"] == sign(fields, method)
    assert hooks[0].method == ("GET" if form == "query" else "POST")


def test_each_part_has_a_receipt(hooked: Client, hooks: list[Hook]) -> None:
    parts = ask(hooked, text="Code 048213" + "." * 200)
    assert [receipt(hook)["messageId"] for hook in hooks] == [part["message-id"] for part in parts]


@pytest.mark.parametrize(
    ("variant", "lose", "expected"),
    [
        ("final", False, ["delivered"]),
        ("final", True, ["failed"]),
        ("stages", False, ["accepted", "buffered", "delivered"]),
        ("disordered", True, ["failed", "buffered", "accepted"]),
        ("expired", False, ["expired"]),
        ("rejected", False, ["rejected"]),
        ("unknown", False, ["unknown"]),
    ],
)
def test_receipts_report_the_state(
    hooked: Client, sandbox: Sandbox, hooks: list[Hook], variant: str, lose: bool, expected: list[str]
) -> None:
    sandbox.faults.put("vonage", None, Fault(lose=lose, variants={"receipt": variant}))
    one(hooked)
    assert [receipt(hook)["status"] for hook in hooks] == expected


def test_receipt_may_be_doubled_forged_old_or_unsigned(
    hooked: Client, sandbox: Sandbox, hooks: list[Hook], clock: Clock
) -> None:
    sandbox.faults.put("vonage", None, Fault(double=True))
    one(hooked)
    assert hooks[0] == hooks[1]
    sandbox.faults.put("vonage", None, Fault(webhook_signature="wrong_key"))
    one(hooked)
    assert receipt(hooks[2])["sig"] != sign(receipt(hooks[2]), "sha256")
    sandbox.faults.put("vonage", None, Fault(webhook_signature="stale"))
    one(hooked)
    fields = receipt(hooks[3])
    assert fields["sig"] == sign(fields, "sha256")
    assert int(fields["timestamp"]) < clock().timestamp() - 3600
    sandbox.faults.put("vonage", None, Fault(webhook_signature="unsigned"))
    one(hooked)
    assert "sig" not in receipt(hooks[4])


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_is_available(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("vonage", PHONE, Fault(refuse=name))
    assert one(client)["status"] != "0"
    assert codes(sandbox) == []


def test_error_statuses_are_the_published_ones(client: Client, sandbox: Sandbox) -> None:
    statuses = set()
    for name in PROVIDER.refusals:
        sandbox.faults.put("vonage", PHONE, Fault(refuse=name))
        statuses.add(int(one(client)["status"]))
    assert statuses == {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 22, 23, 29, 32, 33}


def test_balance_is_returned(client: Client) -> None:
    query = {"api_key": "KEY", "api_secret": "S"}
    assert client.get("/account/get-balance", query_string=query).get_json() == {"value": 15.5, "autoReload": False}
    refused = client.get("/account/get-balance", auth=("KEY", "WRONG"))
    assert (refused.status_code, refused.get_json()["error-code"]) == (401, "401")


def test_credentials_are_not_journaled(hooked: Client, sandbox: Sandbox, clock: Clock) -> None:
    one(hooked, api_secret="verysecret", callback="http://127.0.0.1:8000/hook/verysecret")
    hooked.post("/sms/json", data=FIELDS, auth=("KEY", "verysecret"))
    kept: list[Any] = [*sandbox.journal.newest_first(), *sandbox.journal.deliveries()]
    assert "verysecret" not in json.dumps([entry.as_json() for entry in kept])
