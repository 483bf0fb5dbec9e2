"""FlashCall's protocol, as documented."""

from itertools import pairwise
from typing import Any

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Fault, Sandbox
from phone_verify.sandbox.phones import PhoneCall
from phone_verify.sandbox.protocols.ferzz import PROVIDER
from tests.cases import in_one_test

from .conftest import Clock

PHONE = "+989120000000"
CALL, RETRY = "/services/call/call/", "/services/call/retry/"
BODY = {"destination": "09120000000", "token": "ACCESS-KEY"}


def ask(client: Client, path: str = CALL, status: int = 200, **fields: object) -> Any:
    response = client.post(path, json={**BODY, **fields})
    assert response.status_code == status
    return response.get_json()


def calls(sandbox: Sandbox) -> tuple[PhoneCall, ...]:
    handset = sandbox.network.handset(PHONE)
    return handset.calls if handset else ()


def test_caller_number_ends_with_the_code(client: Client, sandbox: Sandbox) -> None:
    answer = ask(client)
    assert answer["message"] == "درخواست با موفقیت انجام شد"
    assert len(answer["code"]) == 4
    assert answer["tracking_code"].startswith("TRK-")
    (call,) = calls(sandbox)
    assert call.number == "+98" + answer["head_number"][1:] + answer["code"]


def test_every_call_comes_from_a_new_number(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("ferzz", None, Fault(variants={"length": "3", "digits": "leading_zero"}))
    codes = [ask(client)["code"] for _ in range(300)]
    assert all(earlier != later for earlier, later in pairwise(codes))


def test_code_may_begin_with_zero(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("ferzz", None, Fault(variants={"digits": "leading_zero"}))
    code = ask(client)["code"]
    assert isinstance(code, str)
    assert code.startswith("0")
    assert calls(sandbox)[0].number.endswith(code)


@in_one_test
@pytest.mark.parametrize("length", ["3", "4", "5", "6", "7", "8"])
@pytest.mark.parametrize(("head", "begin"), [("national", "0990"), ("international", "+98990"), ("bare", "990")])
def test_code_lengths_and_prefixes_are_honoured(
    client: Client, sandbox: Sandbox, length: str, head: str, begin: str
) -> None:
    sandbox.faults.put("ferzz", None, Fault(variants={"length": length, "head": head}))
    answer = ask(client)
    assert len(answer["code"]) == int(length)
    assert begin.startswith(answer["head_number"]) or answer["head_number"].startswith(begin)
    assert len(calls(sandbox)[0].number) == len("+989900000000")


def test_success_may_lack_a_code(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("ferzz", None, Fault(variants={"code": "empty"}))
    assert ask(client)["code"] == ""


def test_older_message_form_is_available(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("ferzz", None, Fault(variants={"message": "done"}))
    assert ask(client)["message"] == "done"


def test_retry_calls_from_another_number(client: Client, sandbox: Sandbox) -> None:
    first = ask(client)
    second = ask(client, RETRY, tracking_code=first["tracking_code"])
    assert second["code"] != first["code"]
    assert second["tracking_code"] != first["tracking_code"]
    assert len(calls(sandbox)) == 2


@pytest.mark.parametrize("tracking_code", [None, "", "TRK-0000009999", 7, []])
def test_retry_needs_a_tracking_code_of_an_earlier_call(client: Client, tracking_code: object) -> None:
    ask(client)
    assert ask(client, RETRY, 400, tracking_code=tracking_code)["code"] == ""


@pytest.mark.parametrize(
    ("token", "status"),
    [("WRONG", 401), ("EXPIRED", 403), ("INACTIVE", 403), ("NO-CREDIT", 402), ("", 400), (None, 400), (7, 400)],
)
def test_special_keys_trigger_errors(client: Client, sandbox: Sandbox, token: object, status: int) -> None:
    answer = ask(client, status=status, token=token)
    assert answer["message"]
    assert answer["code"] == answer["tracking_code"] == answer["head_number"] == ""
    assert calls(sandbox) == ()


def test_each_key_error_has_its_own_text(client: Client) -> None:
    texts = {ask(client, status=status, token=token)["message"] for token, status in
             (("WRONG", 401), ("EXPIRED", 403), ("INACTIVE", 403), ("NO-CREDIT", 402))}  # fmt: skip
    assert len(texts) == 4


@pytest.mark.parametrize("destination", ["", "12", "x", None, 9120000000, True, [], {}, "0912000000" * 50])
def test_bad_destination_is_refused(client: Client, sandbox: Sandbox, destination: object) -> None:
    ask(client, status=400, destination=destination)
    assert calls(sandbox) == ()


@pytest.mark.parametrize("name", PROVIDER.refusals)
def test_every_error_is_available(client: Client, sandbox: Sandbox, name: str) -> None:
    sandbox.faults.put("ferzz", PHONE, Fault(refuse=name))
    response = client.post(CALL, json=BODY)
    assert response.get_json()["code"] == ""
    assert (response.status_code == 200) is (name == "error_with_200")
    assert calls(sandbox) == ()


def test_trailing_slash_is_required(client: Client) -> None:
    assert client.post(CALL.rstrip("/"), json=BODY).status_code == 404


def test_only_post_is_answered(client: Client) -> None:
    response = client.get(CALL)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


def test_hidden_caller_rings_without_number_and_code(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.put("ferzz", None, Fault(hidden_caller=True))
    assert ask(client)["code"]
    assert (calls(sandbox)[0].number, calls(sandbox)[0].code) == ("", "")


def test_report_has_three_outcomes(client: Client, sandbox: Sandbox, clock: Clock) -> None:
    def states() -> list[str]:
        return [item["state"] for item in client.get("/api/dispatches").get_json()["dispatches"]]

    ask(client)
    sandbox.faults.put("ferzz", None, Fault(lose=True))
    ask(client)
    assert states() == ["unknown", "unknown"]
    clock.move(minutes=2)
    assert states() == ["failed", "done"]


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 60_000])
def test_unreadable_bodies_are_bad_requests(client: Client, body: bytes) -> None:
    response = client.post(CALL, data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.get_json()["code"] == ""
