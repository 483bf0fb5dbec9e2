"""Telefon-IP's protocol, as documented."""

import csv
import io
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import segno
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.protocols.telefon_ip import PROVIDER
from tests.cases import in_one_test

from .conftest import Clock

PHONE, OTHER = "+79000000000", "+79000000001"
BASE = "/api/v1/authcalls/TOKEN"


def get(client: Client, path: str, status: int = 200, **query: str) -> Any:
    response = client.get(f"{BASE}/{path}", query_string=query)
    assert response.status_code == status
    return response.get_json()


def start(client: Client, phone: str = "89000000000") -> Any:
    return get(client, "reverse_auth_phone_get", phone=phone)["data"]


def check(client: Client, wait_id: object, status: int = 200) -> Any:
    return get(client, f"reverse_auth_phone_check/{wait_id}", status)


def dial(client: Client, number: str, phone: str = PHONE, **fields: object) -> Any:
    response = client.post(f"/api/handsets/{phone}/dial", json={"number": number, **fields})
    assert response.status_code == 200
    return response.get_json()


def vary(sandbox: Sandbox, **variants: str) -> None:
    sandbox.faults.put("telefon-ip", None, Fault(variants=variants))


def test_start_names_a_line(client: Client, sandbox: Sandbox) -> None:
    answer = get(client, "reverse_auth_phone_get", phone="89000000000")
    assert (answer["success"], answer["error"]) == (True, "")
    data = answer["data"]
    assert data["auth_phone"].startswith("7999000")
    assert isinstance(data["id"], int)
    assert str(data["id"]) not in data["url_image"]
    assert data["url_link"].startswith("<a href='tel:8")
    assert data["auth_phone"][1:] not in data["url_link"]
    assert sandbox.network.handset(PHONE) is not None


@pytest.mark.parametrize("phone", ["89000000000", "79000000000", "+79000000000", "9000000000"])
def test_usual_spellings_of_the_phone_are_accepted(client: Client, sandbox: Sandbox, phone: str) -> None:
    start(client, phone)
    assert [handset.phone for handset in sandbox.network.handsets()] == [PHONE]


def test_number_of_another_country_keeps_its_code(client: Client) -> None:
    data = start(client, "989120000000")
    dial(client, data["auth_phone"], "+989120000000")
    assert check(client, data["id"])["data"]["phone"] == "989120000000"


def test_call_confirms_the_wait(client: Client) -> None:
    data = start(client)
    assert check(client, data["id"])["data"] == {"id": data["id"], "status": "pending"}
    answer = dial(client, data["auth_phone"])
    assert (answer["busy"], answer["matched"]) == (True, True)
    assert check(client, data["id"])["data"] == {"id": data["id"], "status": "ok", "phone": "89000000000"}


def test_line_may_be_dialled_in_usual_spellings(client: Client) -> None:
    for write in (str, lambda line: f"+{line}", lambda line: f"8{line[1:]}"):
        data = start(client)
        assert dial(client, write(data["auth_phone"]))["matched"]


def test_line_stops_waiting_after_120_seconds(client: Client, clock: Clock) -> None:
    data = start(client)
    clock.move(seconds=120)
    assert check(client, data["id"])["data"]["status"] == "expired"
    answer = dial(client, data["auth_phone"])
    assert (answer["busy"], answer["matched"], answer["waits"]) == (True, False, [])
    assert check(client, data["id"])["data"]["status"] == "expired"


def test_confirmation_is_reported_after_expiry(client: Client, clock: Clock) -> None:
    data = start(client)
    dial(client, data["auth_phone"])
    clock.move(seconds=300)
    assert check(client, data["id"])["data"]["status"] == "ok"


def test_foreign_caller_is_reported_with_ok(client: Client) -> None:
    data = start(client)
    assert not dial(client, data["auth_phone"], OTHER)["matched"]
    assert check(client, data["id"])["data"] == {"id": data["id"], "status": "ok", "phone": "89000000001"}
    assert not dial(client, data["auth_phone"], caller="+79000000099")["matched"]
    assert check(client, data["id"])["data"]["phone"] == "89000000099"


def test_hidden_caller_is_reported_as_anonymous(client: Client) -> None:
    data = start(client)
    assert not dial(client, data["auth_phone"], hidden=True)["matched"]
    assert check(client, data["id"])["data"]["phone"] == "anonymous"


def test_faults_change_the_caller(client: Client, sandbox: Sandbox) -> None:
    data = start(client)
    sandbox.faults.put("telefon-ip", PHONE, Fault(foreign_caller="+79000000099"))
    dial(client, data["auth_phone"])
    assert check(client, data["id"])["data"]["phone"] == "89000000099"
    sandbox.faults.put("telefon-ip", PHONE, Fault(hidden_caller=True))
    dial(client, data["auth_phone"])
    assert check(client, data["id"])["data"]["phone"] == "anonymous"


def test_lost_call_is_never_reported(client: Client, sandbox: Sandbox) -> None:
    data = start(client)
    sandbox.faults.put("telefon-ip", PHONE, Fault(lose=True))
    answer = dial(client, data["auth_phone"])
    assert (answer["busy"], answer["matched"]) == (True, False)
    assert check(client, data["id"])["data"]["status"] == "pending"


def test_two_phones_on_one_line_are_distinguished(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, line="same")
    first, second = start(client), start(client, "89000000001")
    assert first["auth_phone"] == second["auth_phone"]
    dial(client, first["auth_phone"], OTHER)
    assert check(client, first["id"])["data"]["status"] == "pending"
    assert check(client, second["id"])["data"]["status"] == "ok"


def test_not_found_variant_hides_the_wait(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    data = start(client)
    vary(sandbox, check="not_found")
    pending = check(client, data["id"], 400)
    assert pending == {"success": False, "error": "id record not found", "data": {}}
    dial(client, data["auth_phone"])
    assert check(client, data["id"])["data"]["phone"] == "89000000000"


def test_bare_variant_returns_id_and_phone_only(client: Client, sandbox: Sandbox) -> None:
    data = start(client)
    vary(sandbox, check="bare")
    assert check(client, data["id"])["data"] == {"id": data["id"], "phone": ""}
    dial(client, data["auth_phone"])
    assert check(client, data["id"])["data"] == {"id": data["id"], "phone": "89000000000"}


def test_wrong_caller_variant_reports_another_number(client: Client, sandbox: Sandbox) -> None:
    data = start(client)
    vary(sandbox, check="wrong_caller")
    assert check(client, data["id"])["data"] == {"id": data["id"], "status": "ok", "phone": "89000000013"}


def test_unsuccessful_variant_reports_failure(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    data = start(client)
    vary(sandbox, check="unsuccessful")
    assert check(client, data["id"]) == {"success": False, "error": "call not received", "data": {}}
    clock.move(seconds=120)
    assert check(client, data["id"]) == {"success": False, "error": "timeout", "data": {}}


@pytest.mark.parametrize("wait_id", ["1", "999999", "x", "-1", "1e3", "9" * 50, "%FF", "²"])
def test_unknown_id_is_400(client: Client, wait_id: str) -> None:
    assert check(client, wait_id, 400)["error"] == "id record not found"


def test_links_may_be_missing_null_or_broken(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, links="absent")
    assert set(start(client)) == {"auth_phone", "id"}
    vary(sandbox, links="null")
    data = start(client)
    assert data["url_image"] is data["url_link"] is None
    vary(sandbox, links="no_comma")
    response = client.get(f"{BASE}/reverse_auth_phone_get?phone=89000000000")
    with pytest.raises(ValueError, match="',' delimiter"):
        json.loads(response.data)


def test_id_may_be_a_string(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, id="string")
    data = start(client)
    assert isinstance(data["id"], str)
    assert check(client, data["id"])["success"]


def post_start(client: Client, status: int = 200, **body: object) -> Any:
    response = client.post(f"{BASE}/reverse_auth_phone_post", json=body)
    assert response.status_code == status
    return response.get_json()["data"]


def test_webhook_is_sent_when_the_call_arrives(client: Client, asked: list[str]) -> None:
    data = post_start(client, phone="89000000000", webhook="http://127.0.0.1:8000/hook/secret")
    assert asked == []
    answer = dial(client, data["auth_phone"])
    assert asked == [f"http://127.0.0.1:8000/hook/secret?success=True&phone=89000000000&id={data['id']}"]
    assert answer["waits"][0]["webhooks"] == [200]


def test_post_start_may_come_as_a_form(client: Client) -> None:
    fields = {"phone": "89000000000", "webhook": "http://127.0.0.1:8000/hook"}
    assert client.post(f"{BASE}/reverse_auth_phone_post", data=fields).get_json()["success"]


def test_webhook_with_a_query_keeps_it(client: Client, asked: list[str]) -> None:
    data = post_start(client, phone="89000000000", webhook="http://127.0.0.1:8000/hook?a=b")
    dial(client, data["auth_phone"])
    assert asked[0].startswith("http://127.0.0.1:8000/hook?a=b&success=True&")


def test_webhook_may_be_doubled_foreign_or_lost(client: Client, sandbox: Sandbox, asked: list[str]) -> None:
    data = post_start(client, phone="89000000000", webhook="http://127.0.0.1:8000/hook")
    sandbox.faults.put("telefon-ip", PHONE, Fault(lose=True))
    dial(client, data["auth_phone"])
    assert asked == []
    sandbox.faults.put("telefon-ip", PHONE, Fault(foreign_caller=OTHER))
    dial(client, data["auth_phone"])
    assert "phone=89000000001" in asked[0]
    sandbox.faults.put("telefon-ip", PHONE, Fault(double=True))
    dial(client, data["auth_phone"])
    assert asked[1] == asked[2]
    assert "phone=89000000000" in asked[1]


@pytest.mark.parametrize(
    "body",
    [
        {"phone": "89000000000"},
        {"phone": "89000000000", "webhook": ""},
        {"phone": "89000000000", "webhook": "ftp://127.0.0.1/"},
        {"phone": "89000000000", "webhook": 7},
        {"phone": 89000000000, "webhook": "http://127.0.0.1/"},
        {"webhook": "http://127.0.0.1/"},
    ],
)
def test_post_start_needs_phone_and_webhook(client: Client, body: dict[str, object]) -> None:
    assert post_start(client, 400, **body) == {}


def test_flash_call_shows_the_code(client: Client, sandbox: Sandbox) -> None:
    data = get(client, "get_code/89000000000/")["data"]
    assert (data["phone"], len(data["code"])) == ("89000000000", 4)
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert handset.calls[0].number == f"+7999100{data['code']}"


def test_trailing_slash_is_optional(client: Client) -> None:
    for path in ("get_code/89000000000", "get_sms_code/89000000000", "get_tg_code/89000000000", "get_balance"):
        assert get(client, path)["success"]
        assert get(client, f"{path}/")["success"]
    assert get(client, "reverse_auth_phone_get/", phone="89000000000")["success"]


def test_unreachable_flash_call_may_fall_back_to_sms(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, call="unreachable")
    lost = get(client, "get_code/89000000000/")["data"]
    sent = get(client, "get_code/89000000000/", sms="true")["data"]
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert handset.calls == ()
    assert [message.code for message in handset.messages] == [sent["code"]]
    assert get(client, f"get_status/{lost['id']}/")["data"]["status"] == 0
    assert get(client, f"get_status/{sent['id']}/")["data"]["status"] == 1


def test_daily_limit_is_enforced(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    vary(sandbox, daily_limit="on")
    for _ in range(3):
        get(client, "get_code/89000000000/")
    assert get(client, "get_code/89000000000/", 400)["data"] == {}
    assert get(client, "get_code/89000000001/")["success"]
    clock.move(days=1)
    assert get(client, "get_code/89000000000/")["success"]


def test_sms_has_a_given_or_generated_code(client: Client, sandbox: Sandbox) -> None:
    assert get(client, "get_sms_code/89000000000/", code="0417")["data"]["code"] == "0417"
    assert len(get(client, "get_sms_code/89000000000/")["data"]["code"]) == 4
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert handset.messages[1].text == "Your code is 0417"


def test_telegram_code_arrives(client: Client, sandbox: Sandbox) -> None:
    data = get(client, "get_tg_code/79000000000/", code="0417")["data"]
    assert (data["code"], data["channel"], data["status"], data["status_info"]) == ("0417", "telegram", True, "Ok")
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert handset.messages[0].channel == "telegram"


def test_phone_without_telegram_is_an_error(client: Client, sandbox: Sandbox) -> None:
    vary(sandbox, telegram="unknown")
    assert get(client, "get_tg_code/79000000000/")["data"]["status"] is False
    handset = sandbox.network.handset(PHONE)
    assert handset is not None
    assert handset.messages == ()


@pytest.mark.parametrize(
    ("action", "code"),
    [("get_sms_code", "12345"), ("get_sms_code", ""), ("get_tg_code", "123"), ("get_tg_code", "12345"),
     ("get_sms_code", "12<>"), ("get_tg_code", "۱۲۳۴")],
)  # fmt: skip
def test_malformed_codes_are_refused(client: Client, action: str, code: str) -> None:
    assert get(client, f"{action}/89000000000/", 400, code=code)["data"] == {}


@in_one_test
@pytest.mark.parametrize("phone", ["12", "x", "8900000000000000000", "%00", "%FF%FE", "89000000000%0A"])
@pytest.mark.parametrize("action", ["get_code", "get_sms_code", "get_tg_code"])
def test_bad_phones_are_refused(client: Client, sandbox: Sandbox, action: str, phone: str) -> None:
    assert get(client, f"{action}/{phone}/", 400) == {"success": False, "error": "phone is not valid", "data": {}}
    assert sandbox.network.handsets() == ()


def test_status_is_a_number_or_a_boolean(client: Client, sandbox: Sandbox) -> None:
    sent = get(client, "get_code/89000000000/")["data"]
    assert get(client, f"get_status/{sent['id']}/")["data"] == {
        "id": sent["id"],
        "created_at": "2026-01-02T15:00:00",
        "phone": "89000000000",
        "status": 1,
        "status_info": "Ok: SIP 200 OK",
        "price": 0.2,
    }
    vary(sandbox, status="boolean")
    assert get(client, f"get_status/{sent['id']}/")["data"]["status"] is True
    assert get(client, "get_status/999999/", 400)["error"] == "id record not found"


def test_balance_has_three_variants(client: Client, sandbox: Sandbox) -> None:
    assert get(client, "get_balance/")["data"] == {"balance": 5.0, "price": 0.2, "balance_limit": 0.0}
    vary(sandbox, balance="string")
    assert get(client, "get_balance/")["data"]["balance"] == "5.0"
    vary(sandbox, balance="short")
    assert get(client, "get_balance/")["data"] == {"balance": 5.0}


def test_billing_has_three_variants(client: Client) -> None:
    get(client, "get_code/89000000000/")
    get(client, "get_sms_code/89000000001/", code="0417")
    assert [row["code_auth"] for row in get(client, "get_billing_record/1/")["data"]] == ["0417"]
    days = {"start_date": "2026-01-01", "end_date": "2026-01-02"}
    rows = client.post(f"{BASE}/post_billing_data/", json=days).get_json()["data"]
    assert [row["phone"] for row in rows] == ["89000000001", "89000000000"]
    file = client.get(f"{BASE}/get_billing_csv/2026-01-02/")
    assert file.mimetype == "text/csv"
    assert [row["phone"] for row in csv.DictReader(file.text.splitlines())] == ["89000000001", "89000000000"]
    later = client.get(f"{BASE}/get_billing_csv/2026-01-03/")
    assert list(csv.DictReader(later.text.splitlines())) == []


@pytest.mark.parametrize("path", ["get_billing_record/0/", "get_billing_record/101/", "get_billing_record/x/",
                                  "get_billing_csv/today/", "get_billing_csv/2026-02-30/"])  # fmt: skip
def test_billing_refuses_nonsense(client: Client, path: str) -> None:
    get(client, path, 400)


@pytest.mark.parametrize(("token", "status"), [("WRONG", 401), ("EXPIRED", 401), ("INACTIVE", 401), ("NO-CREDIT", 400)])
def test_special_tokens_trigger_errors(client: Client, token: str, status: int) -> None:
    for path in ("get_balance/", "get_code/89000000000/", "reverse_auth_phone_get?phone=89000000000",
                 "reverse_auth_phone_check/1"):  # fmt: skip
        response = client.get(f"/api/v1/authcalls/{token}/{path}")
        answer = response.get_json()
        assert (response.status_code, answer["success"], answer["data"]) == (status, False, {})
        assert ("token" in answer["error"]) is (status == 401)


@in_one_test
@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_is_available(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("telefon-ip", None, Fault(refuse=name))
    response = client.get(f"{BASE}/reverse_auth_phone_get?phone=89000000000")
    answer = response.get_json()
    assert (answer["success"], answer["data"]) == (False, {})
    assert answer["error"]
    assert (response.status_code == 200) is (name == "error_with_200")


def test_head_does_not_ring(client: Client, sandbox: Sandbox) -> None:
    assert client.head(f"{BASE}/get_code/89000000000/").status_code == 405
    assert sandbox.network.handsets() == ()


def test_path_works_under_the_provider_name(client: Client) -> None:
    assert client.get("/telefon-ip/api/v1/authcalls/TOKEN/get_balance/").get_json()["success"]


def test_picture_of_a_line_is_its_qr_code(client: Client) -> None:
    data = start(client)
    response = client.get(urlsplit(data["url_image"]).path)
    assert (response.status_code, response.mimetype) == (200, "image/svg+xml")
    expected = io.BytesIO()
    segno.make(f"tel:+{data['auth_phone']}", error="m", micro=False).save(expected, kind="svg", scale=8, light="#fff")
    assert response.data == expected.getvalue()
    unknown = client.get("/api/v1/authcalls/get_qr_image/1/")
    assert (unknown.status_code, unknown.get_json()["error"]) == (400, "id record not found")
