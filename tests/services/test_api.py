"""The JSON API with services: who may name one, and that calls by id use the verification's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from phone_verify import PhoneNumber
from phone_verify.api import ApiRequest, ApiResponse, SignIn, handle
from phone_verify.background.jobs import JOBS, Ran, run_job
from phone_verify.keys.orders import make_key, read_order
from phone_verify.services.catalog import FRESH
from phone_verify.services.service import InvalidServiceError
from phone_verify.sync import run
from phone_verify.work.sends import SEND_LEASE
from tests.services.sites import Bench, MemoryRows

PHONE = "+989120000000"
SERVICES = {
    "shop": {"public": True, "title": "Example Shop", "code_length": 8, "purposes": ["login"]},
    "bank": {"code_length": 5},
}


def document(answer: ApiResponse) -> dict[str, Any]:
    assert isinstance(answer.document, dict)
    return dict(answer.document)


def begun(bench: Bench, **fields: str) -> dict[str, Any]:
    answer = bench.post("v1/verifications", {"phone": PHONE, **fields})
    assert answer.status == 201, answer
    return document(answer)


def test_public_service_is_used_by_the_calls_that_follow() -> None:
    bench = Bench(services=SERVICES)
    made = begun(bench, service="shop")
    assert len(bench.code) == 8
    assert "Example Shop" in bench.transport.notices[-1].text
    path, secret = f"v1/verifications/{made['id']}", made["secret"]
    assert document(bench.get(path, secret))["status"] == "sent"
    assert bench.post(f"{path}/resend", {}, secret).status == 200
    assert len(bench.code) == 8
    checked = bench.post(f"{path}/check", {"code": bench.code}, secret)
    assert document(checked)["status"] == "verified"
    assert bench.site.verifier.for_service("shop").redeem(document(checked)["proof"], [secret], ["login"])


def test_proof_of_another_service_signs_no_one_in() -> None:
    bench = Bench(services=SERVICES)
    for fields, signs_in in (({"service": "shop"}, False), ({"service": "default"}, True), ({}, True)):
        made = begun(bench, **fields)
        checked = bench.post(f"v1/verifications/{made['id']}/check", {"code": bench.code}, made["secret"])
        headers = {"content-type": "application/json", "verification-secret": made["secret"]}
        body = b'{"proof": "%s"}' % document(checked)["proof"].encode()
        result = handle(bench.site, ApiRequest("POST", "v1/session", headers=headers, body=body))
        assert isinstance(result, SignIn) == signs_in
        if isinstance(result, ApiResponse):
            assert document(result)["code"] == "invalid_proof"


@pytest.mark.parametrize("service", ["bank", "unknown"])
@pytest.mark.parametrize("rows", [False, True])
def test_other_services_need_a_key_whether_or_not_they_exist(service: str, rows: bool) -> None:
    kept = MemoryRows()
    for name, fields in SERVICES.items() if rows else ():
        kept.put(name, **fields)
    bench = Bench(kept) if rows else Bench(services=SERVICES)
    refused = [bench.post("v1/verifications", {"phone": PHONE, "service": name}) for name in (service, "no_such")]
    assert [(answer.status, answer.document, answer.headers["WWW-Authenticate"]) for answer in refused] == [
        (401, refused[0].document, "Bearer")
    ] * 2
    assert document(refused[0])["code"] == "invalid_key"
    assert bench.transport.notices == []


def test_site_without_services_knows_its_own_only() -> None:
    bench = Bench()
    answer = bench.post("v1/verifications", {"phone": PHONE, "service": "shop"})
    assert (answer.status, document(answer)["code"]) == (400, "invalid_request")
    assert begun(bench, service="default")


@pytest.mark.parametrize("name", ["Shop", "", "x" * 33, "a-b", "../x", "é"])
def test_malformed_name_is_a_bad_request(name: str) -> None:
    answer = Bench(services=SERVICES).post("v1/verifications", {"phone": PHONE, "service": name})
    assert (answer.status, document(answer)["fields"]) == (400, ["service"])


def test_purposes_are_those_of_the_service() -> None:
    bench = Bench(services=SERVICES, purposes=["checkout:open"])
    answer = bench.post("v1/verifications", {"phone": PHONE, "service": "shop", "purpose": "checkout"})
    assert (answer.status, document(answer)["fields"]) == (400, ["purpose"])
    assert "Allowed: login." in document(answer)["detail"]
    assert begun(bench, purpose="checkout")


def test_service_of_the_site_serves_pages_and_calls_that_name_none() -> None:
    bench = Bench(services=SERVICES, service="bank")
    made = begun(bench)
    assert len(bench.code) == 5
    assert begun(bench, service="bank")
    assert document(bench.get(f"v1/verifications/{made['id']}", made["secret"]))["status"] == "sent"
    assert bench.site.verifier.policy.code_length == 5
    assert bench.site.async_verifier.service == "bank"
    assert len(begun(bench, service="default")["id"]) == 44
    assert len(bench.code) == 6


def test_service_of_the_site_that_is_missing_closes_it() -> None:
    rows = MemoryRows()
    bench = Bench(rows, service="shop")
    assert bench.post("v1/verifications", {"phone": PHONE}).status == 503
    assert list(bench.site.verifier.channels) == [], "pages say that there is no channel"
    rows.put("shop")
    bench.now += FRESH
    assert begun(bench)


def test_call_by_id_reads_no_verification_without_services(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    for bench in (Bench(), Bench(services=SERVICES)):
        made = begun(bench)
        store = bench.site.verifier.flows._store
        count, read = [], store.get

        async def get(*args: Any, read: Any = read, count: Any = count) -> Any:
            count.append(1)
            return await read(*args)

        monkeypatch.setattr(store, "get", get)
        assert bench.get(f"v1/verifications/{made['id']}", made["secret"]).status == 200
        reads.append(len(count))
    assert reads == [1, 2]


def test_verification_of_a_deleted_service_is_unknown() -> None:
    rows = MemoryRows()
    rows.put("shop", public=True)
    bench = Bench(rows)
    made = begun(bench, service="shop")
    del rows.rows["shop"]
    rows.last += 1
    bench.now += FRESH
    assert bench.get(f"v1/verifications/{made['id']}", made["secret"]).status == 404


def test_waiting_order_of_a_deleted_service_is_not_sent() -> None:
    rows = MemoryRows()
    rows.put("shop", public=True)
    bench = Bench(rows, background="worker")
    begun(bench, service="shop")
    begun(bench, phone="+989120000001")
    del rows.rows["shop"]
    rows.last += 1
    bench.now += FRESH
    assert [bench.site.verifier.send_queued() for _ in range(3)] == [True, True, False]
    assert [notice.text[:22] for notice in bench.transport.notices] == ["SMS to +98 ••••••••01:"]


def test_private_service_that_was_never_valid_is_refused_like_others() -> None:
    rows = MemoryRows()
    rows.put("broken", code_length=99)
    rows.put("public", code_length=99, public=True)
    rows.put("private")
    bench = Bench(rows)
    order = {"phone": PHONE}
    refused = [bench.post("v1/verifications", {**order, "service": name}) for name in ("no_such", *rows.rows)]
    assert {(answer.status, json.dumps(answer.document)) for answer in refused} == {
        (401, json.dumps(refused[0].document))
    }
    headers = {"content-type": "application/json", "authorization": f"Bearer {key_of(bench, 'broken')}"}
    keyed = handle(bench.site, ApiRequest("POST", "v1/verifications", headers=headers, body=json.dumps(order).encode()))
    assert isinstance(keyed, ApiResponse)
    assert keyed.status == 503, "its program knows that it exists"
    rows.put("broken", code_length=8)
    bench.now += FRESH
    assert bench.post("v1/verifications", {**order, "service": "broken"}).status == 401


def test_names_are_alike_while_the_rows_cannot_be_read() -> None:
    rows = MemoryRows()
    for name in ("known", "unknown_yet"):
        rows.put(name)
    rows.put("shop", public=True)
    bench = Bench(rows)
    assert bench.post("v1/verifications", {"phone": PHONE, "service": "known"}).status == 401
    begun(bench, service="shop")
    rows.is_down = True
    bench.now += FRESH
    names = ("no_such", "known", "unknown_yet", "shop", "default")
    found = [bench.post("v1/verifications", {"phone": PHONE, "service": name}).status for name in names]
    assert found == [503, 503, 503, 201, 201], "what was public stays in force"


def test_order_of_a_service_with_mistakes_holds_up_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = {name: f"sqlite:///{tmp_path}/{name}.sqlite3" for name in ("store", "ledger")}
    rows = MemoryRows()
    for name in ("shop", "bank"):
        rows.put(name, public=True)
    bench = Bench(rows, background="worker", **places)
    waiting = [begun(bench, phone=f"+98912000000{n}", service="shop") for n in range(3)]
    begun(bench, phone="+989120000009", service="bank")
    rows.put("shop", public=True, code_length=99)
    restarted = Bench(rows, background="worker", **places)
    ran = run_job(restarted.site, JOBS[0])
    assert ran == Ran(4)
    assert [notice.text[:22] for notice in restarted.transport.notices] == ["SMS to +98 ••••••••09:"]
    assert "an order waits: The service shop has mistakes" in caplog.text
    rows.put("shop", public=True)
    restarted.now += FRESH
    restarted.clock.move(SEND_LEASE.total_seconds())
    assert run_job(restarted.site, JOBS[0]) == Ran(3), "each was due again"
    assert len(restarted.transport.notices) == 1 + len(waiting)


def key_of(bench: Bench, service: str) -> str:
    keys = bench.site.verifier.flows.keys
    assert keys is not None
    new = make_key(read_order(name="Program", service=service, now=bench.clock()), os.urandom, bench.clock())
    assert run(keys.store.add(new.key))
    return str(new.text)


def test_key_of_a_deleted_service_is_not_of_a_later_one() -> None:
    rows = MemoryRows()
    rows.put("shop")
    rows.put("default", title="Example Shop")
    bench = Bench(rows)
    services = bench.site.services
    assert services is not None
    keys = {name: key_of(bench, name) for name in ("shop", "bank", "default")}

    def status(name: str, phone: str) -> int:
        headers = {"content-type": "application/json", "authorization": f"Bearer {keys[name]}"}
        body = json.dumps({"phone": phone}).encode()
        answer = handle(bench.site, ApiRequest("POST", "v1/verifications", headers=headers, body=body))
        assert isinstance(answer, ApiResponse)
        return answer.status

    assert status("shop", PHONE) == 201
    for name in ("shop", "default"):
        assert not run(services.delete(name, 99)), "someone else changed it"
        assert run(services.delete(name, rows.rows[name].version))
    rows.put("shop", title="Shop of someone else")
    rows.put("bank")
    bench.now += FRESH
    assert [status(name, f"+98912000000{n}") for n, name in enumerate(keys, 1)] == [401, 201, 201]


def test_name_of_a_deleted_service_is_not_used_again() -> None:
    rows = MemoryRows()
    rows.put("shop", public=True)
    rows.put("default", title="Example Shop")
    bench = Bench(rows)
    made = begun(bench, service="shop")
    services = bench.site.services
    assert services is not None
    for name in ("shop", "default"):
        assert run(services.delete(name, rows.rows[name].version))
    with pytest.raises(InvalidServiceError, match="was the name of a service that was deleted") as refused:
        run(services.save("shop", {"public": True}, 0))
    assert list(refused.value.fields) == ["name"]
    assert bench.get(f"v1/verifications/{made['id']}", made["secret"]).status == 404
    assert run(services.save("default", {"title": "Shop"}, 0)), "its row only sets fields of the site's own service"


def test_edit_that_makes_a_service_private_is_noticed() -> None:
    rows = MemoryRows()
    rows.put("shop", public=True)
    bench = Bench(rows)
    begun(bench, service="shop")
    rows.put("shop", public=False)
    bench.now += FRESH
    assert bench.post("v1/verifications", {"phone": PHONE, "service": "shop"}).status == 401


def test_webhook_serves_the_verifications_of_all_services() -> None:
    bench = Bench(services={"shop": {"channels": ["sms"]}}, inbound_call="sandbox://127.0.0.1:8025", service="shop")
    flows = bench.site.verifier.flows
    names = [name for name in flows.drivers if name not in {d.name for d in flows.router.carriers(flows.channels[0])}]
    assert names, "a driver that only another service uses"
    path = f"webhooks/{names[0]}/{bench.site.webhook_secrets[0]}"
    assert handle(bench.site, ApiRequest("POST", path, body=b"")).status == 200  # type: ignore[union-attr]


def test_message_uses_a_language_of_the_service() -> None:
    bench = Bench(services={"shop": {"public": True, "languages": ["fa"]}})
    begun(bench, service="shop", locale="ru")
    assert any("\u0600" <= character <= "\u06ff" for character in bench.transport.notices[-1].text)
    begun(bench, locale="ru")
    assert any("\u0400" <= character <= "\u04ff" for character in bench.transport.notices[-1].text)


def test_numbers_of_other_regions_are_refused_by_the_service() -> None:
    bench = Bench(services={"shop": {"public": True, "allowed_regions": ["RU"]}})
    answer = bench.post("v1/verifications", {"phone": PHONE, "service": "shop"})
    assert document(answer)["code"] == "destination_not_allowed"
    assert PhoneNumber(PHONE).region == "IR"
    assert begun(bench)
