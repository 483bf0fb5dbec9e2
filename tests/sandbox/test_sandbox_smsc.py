"""SMSC's protocol, as documented."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.protocols.smsc import CALLBACK_KEY, PROVIDER, digest
from phone_verify.sandbox.webhooks import Hook
from tests.cases import in_one_test

from .conftest import Clock

PHONE, OTHER = "+79990000001", "+79990000002"
HOOK = "http://127.0.0.1:8000/phone/webhooks/smsc/secret"


def ask(client: Client, script: str = "send", **changes: str | None) -> Any:
    fields = {"login": "L", "psw": "P", "fmt": "3", "charset": "utf-8", **changes}
    given = {name: value for name, value in fields.items() if value is not None}
    # Callbacks are sent when the response is closed.
    with client.post(f"/sys/{script}.php", data=given) as response:
        assert response.status_code == 200
        return response.get_json()


def send(client: Client, **changes: str | None) -> Any:
    return ask(client, **{"phones": "79990000001", "mes": "Ваш код 048213", **changes})


def call(client: Client, **changes: str | None) -> Any:
    return send(client, mes="code", call="1", **changes)


def wait(client: Client, phone: str = "79990000001") -> Any:
    return ask(client, "wait_call", phone=phone)


def dial(client: Client, number: str, phone: str = PHONE, **fields: object) -> Any:
    response = client.post(f"/api/handsets/{phone}/dial", json={"number": f"+{number}", **fields})
    assert response.status_code == 200
    return response.get_json()


def vary(sandbox: Sandbox, **variants: str) -> None:
    sandbox.faults.put("smsc", None, Fault(variants=variants))


def set_hook(client: Client, query: str = "") -> None:
    assert client.put("/api/webhooks", json={"provider": "smsc", "url": HOOK + query}).status_code == 200


def told(hook: Hook) -> dict[str, str]:
    if hook.method == "GET":
        return dict(parse_qsl(urlsplit(hook.url).query, keep_blank_values=True))
    if hook.content_type == "application/json":
        read: dict[str, str] = json.loads(hook.body)
        return read
    return dict(parse_qsl(hook.body.decode()))


def newest(sandbox: Sandbox) -> Any:
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert handset.newest_code is not None
    return handset.newest_code


def test_text_arrives(client: Client, sandbox: Sandbox) -> None:
    answer = send(client, sender="Example")
    assert answer == {"id": answer["id"], "cnt": 1}
    message = newest(sandbox)
    assert (message.text, message.code, message.sender) == ("Ваш код 048213", "048213", "Example")


def test_text_without_charset_is_garbled(client: Client, sandbox: Sandbox) -> None:
    send(client, charset=None)
    assert (newest(sandbox).text[:4], newest(sandbox).code) == ("Р’Р°", "048213")


def test_query_and_json_are_accepted(client: Client, sandbox: Sandbox) -> None:
    fields = {"apikey": "K", "phones": PHONE, "mes": "Ваш код 0417", "fmt": "3", "charset": "utf-8"}
    assert client.get("/sys/send.php", query_string=fields).get_json()["cnt"] == 1
    body = {"login": "L", "psw": "P", "phones": PHONE, "mes": "Ваш код 0418", "cost": 3}
    assert client.post("/rest/send/", json=body).get_json()["balance"] == "100.0"
    assert newest(sandbox).text == "Ваш код 0418"


@pytest.mark.parametrize(
    ("script", "fields", "text"),
    [
        ("send", {"phones": PHONE, "mes": "0417"}, "OK - 1 SMS, ID - "),
        ("send", {"phones": PHONE, "mes": "0417", "cost": "1"}, "1.2 (1 SMS)"),
        ("send", {"phones": "x", "mes": "0417"}, "ERROR = 7 (invalid number)"),
        ("balance", {}, "100.0"),
        ("status", {"phone": PHONE, "id": "1"}, "Status = -3"),
        ("wait_call", {"phone": PHONE}, "7495000"),
    ],
)
def test_answer_without_fmt_is_text(client: Client, script: str, fields: dict[str, str], text: str) -> None:
    response = client.post(f"/sys/{script}.php", data={"apikey": "K", **fields})
    assert response.mimetype == "text/plain"
    assert response.text.startswith(text)


@pytest.mark.parametrize("phone", ["79990000001", "+79990000001", "89990000001", "9990000001"])
def test_usual_spellings_of_the_phone_are_accepted(client: Client, sandbox: Sandbox, phone: str) -> None:
    send(client, phones=phone)
    wait(client, phone)
    assert [handset.phone for handset in sandbox.network.handsets()] == [PHONE]


@in_one_test
@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"login": None}, 1),
        ({"psw": None}, 1),
        ({"login": "WRONG"}, 2),
        ({"psw": "WRONG"}, 2),
        ({"psw": hashlib.md5(b"WRONG").hexdigest()}, 2),
        ({"psw": "EXPIRED"}, 2),
        ({"psw": "INACTIVE"}, 2),
        ({"psw": "NO-CREDIT"}, 3),
        ({"apikey": "WRONG"}, 2),
        ({"apikey": ""}, 1),
        ({"phones": None}, 1),
        ({"phones": "123"}, 7),
        ({"phones": "number"}, 7),
        ({"mes": None}, 1),
        ({"mes": ""}, 1),
        ({"id": "0"}, 1),
        ({"id": "x"}, 1),
        ({"id": "2147483648"}, 1),
        ({"cost": "4"}, 1),
        ({"valid": "25"}, 5),
        ({"valid": "1:60"}, 5),
        ({"valid": "soon"}, 5),
        ({"sender": "A name that is too long"}, 6),
    ],
)
def test_invalid_request_is_refused(
    client: Client, sandbox: Sandbox, changes: dict[str, str | None], number: int
) -> None:
    answer = send(client, **changes)
    assert (answer.keys(), answer["error_code"]) == ({"error", "error_code"}, number)
    assert sandbox.network.dispatches() == ()


def test_price_and_balance_come_on_request(client: Client, sandbox: Sandbox) -> None:
    assert send(client, cost="1") == {"cost": "1.2", "cnt": 1}
    assert sandbox.network.dispatches() == ()
    assert send(client, cost="2").keys() == {"id", "cnt", "cost"}
    assert send(client, cost="3").keys() == {"id", "cnt", "cost", "balance"}
    assert send(client, op="1")["phones"][0]["phone"] == "79990000001"
    assert ask(client, "balance") == {"balance": "100.0"}
    assert ask(client, "balance", cur="1") == {"balance": "100.0", "currency": "RUB"}
    assert ask(client, "balance", psw="WRONG")["error_code"] == 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [("a" * 160, 1), ("a" * 161, 2), ("€" * 80, 1), ("€" * 81, 2), ("я" * 70, 1), ("я" * 71, 2), ("😀" * 36, 2)],
)
def test_long_text_counts_its_parts(client: Client, text: str, parts: int) -> None:
    assert send(client, mes=text)["cnt"] == send(client, mes=text, cost="1")["cnt"] == parts


def test_client_may_choose_the_id(client: Client) -> None:
    assert send(client, id="77", valid="1:30")["id"] == 77
    assert ask(client, "status", phone="79990000001", id="77")["status"] == 1


@pytest.mark.parametrize(("length", "digits"), [("4", "random"), ("6", "leading_zero")])
def test_code_call_rings_from_a_number_with_the_code(
    client: Client, sandbox: Sandbox, length: str, digits: str
) -> None:
    vary(sandbox, length=length, digits=digits)
    answer = call(client, cost="3")
    assert answer.keys() == {"id", "cnt", "cost", "balance", "code"}
    ring = newest(sandbox)
    assert (ring.channel, ring.code, len(ring.code)) == ("flash_call", answer["code"], int(length))
    assert (len(ring.number), ring.number[-int(length) :]) == (12, answer["code"])
    assert (answer["code"][0] == "0") or digits == "random"


def test_code_call_may_speak_and_its_code_be_a_number(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, code_call="spoken", code="number", digits="leading_zero")
    answer = call(client)
    assert (newest(sandbox).channel, newest(sandbox).code) == ("voice", f"{answer['code']:04}")


def test_voice_call_speaks_the_text(client: Client, sandbox: Sandbox) -> None:
    answer = send(client, mes="Ваш код: 4. 8. 2. 1", call="1")
    assert "code" not in answer
    ring = newest(sandbox)
    assert (ring.channel, ring.spoken, ring.code) == ("voice", "Ваш код: 4. 8. 2. 1", "4821")


def test_text_named_code_is_no_call(client: Client, sandbox: Sandbox) -> None:
    assert "code" not in send(client, mes="code")
    assert [item.channel for item in sandbox.network.dispatches()] == ["sms"]


def test_repeat_within_a_minute_may_be_refused(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    vary(sandbox, repeat="refused")
    assert "id" in send(client)
    assert send(client)["error_code"] == 9
    assert "id" in send(client, mes="Ваш код 048214")
    assert "id" in send(client, phones=OTHER)
    clock.move(seconds=60)
    assert "id" in send(client)


@pytest.mark.parametrize(
    ("variant", "lose", "status", "err"),
    [
        ("final", False, 1, 0),
        ("final", True, 20, 6),
        ("waiting", False, -1, 0),
        ("passed", False, 0, 0),
        ("read", False, 2, 0),
        ("expired", False, 3, 6),
        ("unreachable", False, 25, 6),
    ],
)
def test_status_is_returned_and_reported(
    client: Client, sandbox: Sandbox, hooks: list[Hook], variant: str, lose: bool, status: int, err: int
) -> None:
    set_hook(client)
    sandbox.faults.put("smsc", None, Fault(lose=lose, variants={"status": variant}))
    id = send(client)["id"]
    answer = ask(client, "status", phone="79990000001", id=str(id))
    assert answer == {
        "status": status,
        "last_date": "02.01.2026 15:00:00",
        "last_timestamp": 1767355200,
        "err": err,
    }
    fields = told(hooks[0])
    assert (fields["id"], fields["phone"], fields["status"]) == (str(id), "79990000001", str(status))
    assert (fields["err"], fields["time"]) == (str(err), answer["last_date"])


def test_status_of_another_phone_or_id_is_not_found(client: Client) -> None:
    id = str(send(client)["id"])
    assert ask(client, "status", phone=OTHER, id=id)["status"] == -3
    assert ask(client, "status", phone="79990000001", id="1")["status"] == -3
    assert ask(client, "status", phone="79990000001")["error_code"] == 1
    assert ask(client, "status", id=id)["error_code"] == 1


def test_call_to_a_line_is_reported_with_its_caller(client: Client, hooks: list[Hook]) -> None:
    set_hook(client)
    answer = wait(client)
    assert answer.keys() == {"phone", "all_phones"}
    assert answer["phone"] in answer["all_phones"]
    assert hooks == []
    assert dial(client, answer["phone"])["matched"]
    fields = told(hooks[0])
    assert (fields["phone"], fields["waitcall"]) == ("79990000001", "1")
    assert "id" not in fields


def test_any_of_the_lines_may_be_called(client: Client, hooks: list[Hook]) -> None:
    set_hook(client)
    answer = wait(client)
    other = next(line for line in answer["all_phones"] if line != answer["phone"])
    assert dial(client, other)["matched"]
    assert told(hooks[0])["phone"] == "79990000001"


def test_two_phones_on_one_line_are_distinguished(client: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    set_hook(client)
    vary(sandbox, line="same")
    assert wait(client)["phone"] == wait(client, "79990000002")["phone"]
    dial(client, wait(client)["phone"], OTHER)
    assert [told(hook)["phone"] for hook in hooks] == ["79990000002"]


def test_line_waits_ten_minutes(client: Client, hooks: list[Hook], clock: Clock) -> None:
    set_hook(client)
    line = wait(client)["phone"]
    clock.move(minutes=10)
    assert not dial(client, line)["matched"]
    assert hooks == []


def test_foreign_and_hidden_callers_are_reported(client: Client, hooks: list[Hook]) -> None:
    set_hook(client)
    line = wait(client)["phone"]
    assert not dial(client, line, caller="+79000000099")["matched"]
    assert not dial(client, line, hidden=True)["matched"]
    assert [told(hook)["phone"] for hook in hooks] == ["79000000099", "anonymous"]


def test_list_of_lines_may_be_short_or_absent(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, all_phones="one")
    answer = wait(client)
    assert answer["all_phones"] == [answer["phone"]]
    vary(sandbox, all_phones="absent")
    assert wait(client).keys() == {"phone"}


@pytest.mark.parametrize(("phone", "number"), [("", 1), ("x", 5), ("123", 5)])
def test_wait_for_an_invalid_number_is_refused(client: Client, phone: str, number: int) -> None:
    assert wait(client, phone)["error_code"] == number


def test_digest_matches_vector() -> None:
    # Computed with `printf 1234:79990000001:1:password | md5sum`, `sha1sum` and `gzip -c | tail -c8`.
    values = ("1234", "79990000001", "1")
    assert digest("md5", *values, key="password") == "16f4847576b098e91de61fd30887b9df"
    assert digest("sha1", *values, key="password") == "35b2101a0494baf9dbb087c74f1e33581720d27b"
    assert digest("crc32", *values, key="password") == "1145504333"


@pytest.mark.parametrize("kind", ["md5", "sha1", "crc32"])
@pytest.mark.parametrize(
    ("query", "variant", "method"),
    [("", "get", "GET"), ("", "post", "POST"), ("&fmt=3", "get", "POST")],
)
def test_callback_follows_its_url(
    client: Client, sandbox: Sandbox, hooks: list[Hook], kind: str, query: str, variant: str, method: str
) -> None:
    set_hook(client, f"?charset=utf-8{query}&{kind}")
    vary(sandbox, webhook=variant)
    id = send(client)["id"]
    dial(client, wait(client)["phone"])
    sent, called = (told(hook) for hook in hooks)
    assert [hook.method for hook in hooks] == [method, method]
    assert sent[kind] == digest(kind, str(id), "79990000001", "1")
    assert called[kind] == digest(kind, "79990000001", called["time"])


def test_call_digest_may_cover_the_marker(client: Client, sandbox: Sandbox, hooks: list[Hook]) -> None:
    set_hook(client, "?sha1")
    vary(sandbox, call_digest="marker")
    dial(client, wait(client)["phone"])
    text = f"79990000001:1:{CALLBACK_KEY}".encode()
    assert told(hooks[0])["sha1"] == hashlib.sha1(text).hexdigest()
    assert zlib.crc32(text) == int(digest("crc32", "79990000001", "1"))


@pytest.mark.parametrize("forgery", ["wrong_key", "unsigned"])
def test_digest_may_be_wrong_or_absent(client: Client, sandbox: Sandbox, hooks: list[Hook], forgery: Any) -> None:
    set_hook(client, "?md5")
    sandbox.faults.put("smsc", None, Fault(webhook_signature=forgery))
    id = send(client)["id"]
    assert told(hooks[0]).get("md5") != digest("md5", str(id), "79990000001", "1")


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_is_available(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("smsc", PHONE, Fault(refuse=name))
    numbers = {send(client)["error_code"], wait(client)["error_code"]}
    assert len(numbers) == 1
    assert numbers < {*range(1, 10)}
    assert sandbox.network.dispatches() == ()


def test_credentials_and_codes_are_not_journaled(client: Client, sandbox: Sandbox) -> None:
    set_hook(client)
    code = call(client, psw="verysecret")["code"]
    send(client, apikey="verysecret")
    kept: list[Any] = [*sandbox.journal.newest_first(), *sandbox.journal.deliveries()]
    assert "verysecret" not in json.dumps([entry.as_json() for entry in kept])
    assert f'"{code}"' not in json.dumps([entry.as_json() for entry in kept])
