"""Calls with an access key, blocking and awaited: what it may do, what is left out, and each refusal."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from phone_verify.api import ApiRequest, ApiResponse, SessionUser, Site, ahandle, handle
from phone_verify.before_send import BeforeSend, ClientFacts, SendOrder
from phone_verify.events.record import EventBus, VerificationEvent
from phone_verify.http.cookies import with_pair
from phone_verify.http.proxies import Proxies
from phone_verify.keys.keys import AccessKeys
from phone_verify.keys.orders import NewKey, make_key, read_order
from phone_verify.model import Channel, Reason, Started
from phone_verify.phone import PhoneNumber
from phone_verify.policy import Fallback
from phone_verify.sync import run
from phone_verify.verifier.blocking import Verifier
from tests.core.harness import FLASH, PHONE, SMS, AsyncFace, Driver, Harness, awaited, flash, sms, wrong
from tests.keys.in_memory import KeysInMemory

pytestmark = pytest.mark.usefixtures("face")

NUMBER = PHONE.e164
ADDRESS = "203.0.113.7"


class Program:
    """Another program with a key of a site."""

    def __init__(self, *drivers: Driver, policy: Mapping[str, Any] | None = None, **fields: str) -> None:
        self.events: list[VerificationEvent] = []
        self.orders: list[tuple[SendOrder, ClientFacts]] = []
        self.harness = Harness(*drivers, **(policy or {}))
        self.store, self.clock = KeysInMemory(), self.harness.clock
        self.new = self.add(**fields)

        def record(order: SendOrder, client: ClientFacts) -> None:
            self.orders.append((order, client))

        parts = replace(
            self.harness.parts,
            keys=AccessKeys(self.store, self.clock),
            events=EventBus([self.events.append]),
            before_send=BeforeSend(lambda: record),
        )
        self.site = Site(
            Verifier(parts), make_async_verifier=lambda: AsyncFace(parts).flows, trusted_origins=["https://app.example"]
        )

    def add(self, **fields: str) -> NewKey:
        new = make_key(read_order(name="Shop", now=self.clock(), **fields), os.urandom, self.clock())
        self.store.rows[new.key.id] = new.key
        return new

    def call(
        self, method: str, path: str, fields: Any = None, *, key: object = None, secret: str = "", **more: Any
    ) -> Any:
        """Call with the key, or with other text in its place."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {key or self.new.text}"}
        if secret:
            headers["verification-secret"] = secret
        body = b"" if fields is None else json.dumps(fields).encode()
        call = ApiRequest(method, path, {**headers, **more.pop("headers", {})}, body=body, peer=ADDRESS, **more)
        result = handle(self.site, call) if Harness.face is Verifier else awaited(ahandle(self.site, call))
        assert isinstance(result, ApiResponse)
        assert (result.cookie, result.device_cookie, result.started) == (None, None, None)
        return result

    def on_device(self, method: str, path: str, fields: Any = None, *, secret: str, **headers: str) -> Any:
        """Call without the key, from the device of a user who was given the secret."""
        sent = {"content-type": "application/json", "verification-secret": secret, **headers}
        body = b"" if fields is None else json.dumps(fields).encode()
        call = ApiRequest(method, path, sent, body=body, peer="198.51.100.9")
        return handle(self.site, call) if Harness.face is Verifier else awaited(ahandle(self.site, call))

    def start(self, **fields: Any) -> ApiResponse:
        more = fields.pop("more", {})
        result: ApiResponse = self.call("POST", "v1/verifications", {"phone": NUMBER, **fields}, **more)
        return result

    def begun(self, **fields: Any) -> tuple[str, str]:
        reply = self.start(**fields)
        assert reply.status == 201, reply.document
        document = dict(reply.document or {})
        return str(document["id"]), str(document["secret"])


def problem(reply: ApiResponse) -> tuple[int, Any]:
    return reply.status, (reply.document or {}).get("code")


def test_program_verifies_by_code() -> None:
    driver = sms()
    program = Program(driver)
    id, secret = program.begun()
    path = f"v1/verifications/{id}"
    [code] = driver.codes
    wrong_reply = program.call("POST", f"{path}/check", {"code": wrong(code)}, secret=secret)
    assert problem(wrong_reply) == (422, "wrong_code")
    checked = program.call("POST", f"{path}/check", {"code": code}, secret=secret)
    assert (checked.status, checked.document["status"]) == (200, "verified")
    assert program.call("GET", path, secret=secret).document["proof"]


def test_program_cancels_and_resends() -> None:
    program = Program(sms())
    id, secret = program.begun()
    program.harness.clock.move(61)
    resent = program.call("POST", f"v1/verifications/{id}/resend", {}, secret=secret)
    assert resent.status == 200, resent.document
    assert program.call("DELETE", f"v1/verifications/{id}", secret=secret).status == 204
    assert program.call("GET", f"v1/verifications/{id}", secret=secret).document["status"] == "cancelled"


@pytest.mark.parametrize("ends", ["unknown", "revoked", "expired", "elsewhere", "malformed", "of another service"])
def test_keys_that_are_not_valid_get_one_answer(ends: str) -> None:
    program = Program(sms(), expires="1d")
    plain = program.start()
    other: object = None
    if ends == "unknown":
        program.store.rows.clear()
    elif ends == "revoked":
        program.store.rows[program.new.key.id] = replace(program.new.key, revoked_at=program.clock())
    elif ends == "expired":
        program.harness.clock.move(86400)
    elif ends == "elsewhere":
        other = program.add(networks="198.51.100.0/24").text
    elif ends == "malformed":
        other = "pv_x"
    else:
        other = program.add(service="shop").text
    assert plain.status == 201
    replies = [program.start(more={"key": other}), program.call("GET", f"v1/verifications/{'A' * 44}", key=other)]
    replies.append(program.call("GET", "v1/session", key=other))
    for reply in replies:
        assert problem(reply) == (401, "invalid_key")
        assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert reply.document == replies[0].document
    assert len(program.harness.parts.router.drivers()["sms-1"].codes) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("203.0.113.8, 10.0.0.4", 201),
        ("198.51.100.9, 10.0.0.4", 401),
        ("203.0.113.8", 401),
        ("unknown, 10.0.0.4", 401),
        (None, 401),
    ],
)
def test_key_with_ranges_needs_an_address_that_the_proxies_report(header: str | None, status: int) -> None:
    # The address that connects is the proxy's, and in the ranges.
    program = Program(sms(), networks="203.0.113.0/24")
    program.site = replace(program.site, proxies=Proxies(count=2))
    headers = {} if header is None else {"x-forwarded-for": header}
    assert program.start(more={"headers": headers}).status == status


def test_before_send_gets_no_address_that_the_proxies_do_not_report() -> None:
    program = Program(sms())
    assert program.start().status == 201
    program.site = replace(program.site, proxies=Proxies(count=1))
    assert program.start(phone="+989120000002").status == 201
    assert [client.address for _, client in program.orders] == [ADDRESS, None]


def test_revoked_key_is_refused_in_the_middle_of_a_verification() -> None:
    driver = sms()
    program = Program(driver)
    id, secret = program.begun()
    program.store.rows[program.new.key.id] = replace(program.new.key, revoked_at=program.clock())
    reply = program.call("POST", f"v1/verifications/{id}/check", {"code": driver.codes[0]}, secret=secret)
    assert problem(reply) == (401, "invalid_key")


def test_store_outage_sends_nothing() -> None:
    driver = sms()
    program = Program(driver)
    program.store.fails_at = ["find"]
    reply = program.start()
    assert problem(reply) == (503, "unavailable")
    assert reply.headers["Retry-After"]
    assert driver.codes == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://app.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "same-origin"},
    ],
)
def test_key_in_a_browser_is_refused_before_it_is_read(headers: Mapping[str, str]) -> None:
    driver = sms()
    program = Program(driver)
    reply = program.start(more={"headers": headers})
    assert problem(reply) == (403, "key_in_browser")
    assert "Revoke" in str((reply.document or {})["detail"])
    assert program.store.steps == []
    assert driver.codes == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "v1/session"),
        ("POST", "v1/session"),
        ("DELETE", "v1/session"),
        ("PUT", "v1/session/phone"),
        ("POST", "v1/token"),
    ],
)
def test_key_signs_no_one_in_or_out(method: str, path: str) -> None:
    program = Program(sms())
    fields = {"proof": "x"} if method in ("POST", "PUT") else None
    user = SessionUser("7", NUMBER)
    assert problem(program.call(method, path, fields, user=user, has_session=True)) == (403, "key_not_accepted")


@pytest.mark.parametrize("path", ["v1/health", "v1/openapi.json"])
def test_calls_for_everyone_need_no_valid_key(path: str) -> None:
    program = Program(sms())
    assert program.call("GET", path, key="pv_x").status == 200
    assert program.store.steps == []


def test_what_a_browser_sends_is_left_out() -> None:
    driver = sms()
    program = Program(driver)
    id, secret = program.begun()
    shown: dict[str, Any] = {"cookie": with_pair("", id, secret), "headers": {"cookie": "session=1"}}
    assert problem(program.call("GET", f"v1/verifications/{id}", **shown)) == (404, "not_found")
    user: dict[str, Any] = {"user": SessionUser("7", NUMBER), "has_session": True, "client": "app", "token": "t"}
    other, other_secret = program.begun(more={**shown, **user, "device_cookie": "x"})
    assert other != id
    assert program.call("GET", f"v1/verifications/{id}", secret=secret).document["status"] == "sent", "not replaced"
    assert program.orders[-1][0].signed_in is False
    assert program.call("GET", f"v1/verifications/{other}", secret=other_secret).status == 200


def test_user_of_another_program_needs_no_session() -> None:
    program = Program(sms())
    assert program.start(purpose="confirm").status == 201


def test_another_service_is_refused() -> None:
    driver = sms()
    program = Program(driver)
    for name in ("shop", "Shop!", ""):
        reply = program.start(service=name)
        assert problem(reply) == (403, "wrong_service")
        assert (reply.document or {})["fields"] == ["service"]
    assert driver.codes == []
    assert program.start(service="default").status == 201


def test_channels_of_a_key() -> None:
    first, second = sms(), flash("1234")
    program = Program(first, second, policy={"preference": (SMS, FLASH)}, channels="flash_call")
    reply = program.start(channel="sms")
    assert problem(reply) == (403, "channel_not_allowed")
    assert (reply.document or {})["fields"] == ["channel"]
    started = program.start()
    assert started.status == 201
    document = dict(started.document or {})
    assert (document["channel"], document["channels"]) == ("flash_call", ["flash_call"])
    resent = program.call(
        "POST", f"v1/verifications/{document['id']}/resend", {"channel": "sms"}, secret=str(document["secret"])
    )
    assert problem(resent) == (403, "channel_not_allowed")
    assert first.codes == []


def test_key_without_a_channel_of_the_site_sends_nothing() -> None:
    driver = sms()
    program = Program(driver, channels="voice")
    assert problem(program.start()) == (403, "channel_not_allowed")
    assert problem(program.start(channel="smoke")) in ((403, "channel_not_allowed"), (400, "invalid_request"))
    assert driver.codes == []


RESENDING: Mapping[str, Any] = {"resend_after": timedelta(0)}
BOTH: Mapping[str, Any] = {**RESENDING, "preference": (SMS, FLASH)}


def test_channels_of_the_key_hold_without_it() -> None:
    first, second = sms(), flash("1234")
    program = Program(first, second, policy=BOTH, channels="sms")
    started = dict(program.start().document or {})
    path, secret = f"v1/verifications/{started['id']}", str(started["secret"])
    seen = program.on_device("GET", path, secret=secret)
    assert (seen.document or {})["channels"] == ["sms"]
    refused = program.on_device("POST", f"{path}/resend", {"channel": "flash_call"}, secret=secret)
    assert problem(refused) == (409, "channel_unavailable")
    assert program.on_device("POST", f"{path}/resend", {}, secret=secret).status == 200
    other = program.add(channels="sms,flash_call")
    refused = program.call("POST", f"{path}/resend", {"channel": "flash_call"}, secret=secret, key=other.text)
    assert problem(refused) == (409, "channel_unavailable")
    assert program.site.verifier.resend(str(started["id"]), secret, channel=FLASH).reason is Reason.CHANNEL_UNAVAILABLE
    assert (len(first.codes), second.orders) == (2, [])


def test_key_for_all_channels_of_the_site_is_limited_too() -> None:
    program = Program(sms(), flash("1234"), policy=BOTH, channels="sms,flash_call")
    id, _ = program.begun()
    record = run(program.harness.store.get(id, program.clock()))
    assert record is not None
    assert record.request.channels == "sms flash_call", "the site may get a channel while this is open"


@pytest.mark.parametrize("ends", ["revoked_at", "expires_at", "erased"])
def test_key_that_ended_sends_no_more_on_devices(ends: str) -> None:
    driver = sms()
    program = Program(driver, policy=RESENDING)
    id, secret = program.begun()
    if ends == "erased":
        program.store.rows.clear()
    else:
        program.store.rows[program.new.key.id] = replace(program.new.key, **{ends: program.clock()})
    path = f"v1/verifications/{id}"
    assert problem(program.on_device("POST", f"{path}/resend", {}, secret=secret)) == (403, "send_refused")
    assert len(driver.codes) == 1
    checked = program.on_device("POST", f"{path}/check", {"code": driver.codes[0]}, secret=secret)
    assert checked.status == 200


def test_resend_on_a_device_fails_closed_without_the_keys() -> None:
    driver = sms()
    program = Program(driver, policy=RESENDING)
    id, secret = program.begun()
    program.store.fails_at = ["find"]
    refused = program.on_device("POST", f"v1/verifications/{id}/resend", {}, secret=secret)
    assert problem(refused) == (503, "unavailable")
    assert program.on_device("GET", f"v1/verifications/{id}", secret=secret).status == 200
    without = Verifier(replace(program.harness.parts, keys=None))
    assert without.resend(id, secret).reason is Reason.SEND_REFUSED
    assert len(driver.codes) == 1


def test_resends_on_devices_count_for_the_key() -> None:
    program = Program(sms(), policy={**RESENDING, "sends_per_hour_per_client": 3})
    other = program.add()
    id, secret = program.begun()
    path = f"v1/verifications/{id}/resend"
    assert [program.on_device("POST", path, {}, secret=secret).status for _ in range(3)] == [200, 200, 429]
    assert program.start(phone="+989120000007").status == 429
    assert program.start(phone="+989120000007", more={"key": other.text}).status == 201, "another key"


def test_order_moves_to_no_channel_that_the_key_may_not_use() -> None:
    written, rung = sms(), flash("1234")
    after = {SMS: Fallback(FLASH, timedelta(seconds=30))}
    program = Program(written, rung, policy={**BOTH, "fallbacks": after}, channels="sms")
    id, secret = program.begun()
    visitor = program.site.verifier.start(PhoneNumber("+989120000007"), channel=SMS)
    assert isinstance(visitor, Started)
    program.clock.move(31)
    other = program.add(channels="voice")
    assert program.on_device("GET", f"v1/verifications/{id}", secret=secret).status == 200
    path = f"v1/verifications/{visitor.verification.id}"
    assert program.call("GET", path, secret=visitor.secret, key=other.text).status == 200
    assert rung.orders == []
    assert program.on_device("GET", path, secret=visitor.secret).status == 200
    assert len(rung.orders) == 1, "a visitor's own order moves"


@pytest.mark.parametrize("starter", ["key", "another key", "visitor"])
def test_revoked_key_sends_no_more_in_a_stream_that_it_opened(starter: str) -> None:
    """The stream polls with the key that opened it, which is not read again."""
    written, rung = sms(), flash("1234")
    program = Program(written, rung, policy={**BOTH, "fallbacks": {SMS: Fallback(FLASH, timedelta(seconds=30))}})
    verifier, key = program.site.verifier, program.new.key
    id_of = {"key": key.id, "another key": program.add().key.id, "visitor": ""}[starter]
    started = verifier.start(PHONE, channel=SMS, access_key=id_of)
    assert isinstance(started, Started)
    held = started.verification.id, started.secret
    run(program.store.revoke(key.id, program.clock()))
    program.clock.move(31)
    assert verifier.resend(*held, access_key=key.id).reason is Reason.SEND_REFUSED
    assert verifier.poll(*held, may_send=True, access_key=key.id).ok
    assert (len(written.orders), rung.orders) == (1, [])


def test_limits_are_those_of_the_key() -> None:
    program = Program(sms(), policy={"sends_per_hour_per_client": 2, "sends_per_hour_per_address": 1})
    other = program.add()
    numbers = [f"+98912000000{n}" for n in range(4)]
    # A fifth of each limit is for trusted devices and server code; of 2 nothing is taken off.
    replies = [program.start(phone=number) for number in numbers[:3]]
    assert [reply.status for reply in replies] == [201, 201, 429]
    assert program.start(phone=numbers[3], more={"key": other.text}).status == 201, "another key"


def test_wrong_answers_count_for_the_key() -> None:
    driver = sms()
    policy = {"wrong_per_hour_per_client": 2, "wrong_per_hour_per_address": 1}
    program = Program(driver, policy=policy)
    other = program.add()
    id, secret = program.begun()
    code = wrong(driver.codes[0])
    path = f"v1/verifications/{id}/check"
    replies = [program.call("POST", path, {"code": code}, secret=secret) for _ in range(3)]
    assert [reply.status for reply in replies] == [422, 422, 429]
    assert program.call("POST", path, {"code": code}, secret=secret, key=other.text).status == 422


def test_idempotency_keys_are_apart_for_each_key() -> None:
    driver = sms()
    program = Program(driver)
    other = program.add()
    headers = {"idempotency-key": "order-1"}
    first, again = (program.start(more={"headers": headers}) for _ in range(2))
    assert (first.document or {})["id"] == (again.document or {})["id"]
    theirs = program.start(more={"headers": headers, "key": other.text})
    assert (theirs.document or {})["id"] != (first.document or {})["id"]
    assert len(driver.codes) == 2


def test_kept_responses_are_of_the_key_that_sent() -> None:
    """Others can have the secret: another program of the service, and the user's device."""
    driver = sms()
    program = Program(driver, policy={"resend_after": timedelta(0)})
    other = program.add()
    headers = {"idempotency-key": "order-1"}
    started = dict(program.start(more={"headers": headers}).document or {})
    secret = str(started["secret"])
    path, again = f"v1/verifications/{started['id']}/resend", {"idempotency-key": "order-2"}
    for _ in range(2):
        assert program.call("POST", path, {}, secret=secret, headers=again).status == 200
    assert len(driver.codes) == 2
    assert program.call("POST", path, {}, secret=secret, headers=again, key=other.text).status == 200
    assert program.on_device("POST", path, {}, secret=secret, **again).status == 200
    assert len(driver.codes) == 4
    theirs = program.start(more={"headers": headers, "key": other.text, "secret": secret})
    assert (theirs.document or {})["id"] != started["id"]


def test_events_and_the_hook_know_the_key() -> None:
    driver = sms()
    program = Program(driver)
    id, secret = program.begun()
    program.call("POST", f"v1/verifications/{id}/check", {"code": driver.codes[0]}, secret=secret)
    known = {(event.verb, event.service, event.access_key) for event in program.events}
    assert known == {("start", "default", program.new.key.id), ("check", "default", program.new.key.id)}
    [(order, client)] = program.orders
    assert order.by_client
    assert client.access_key == program.new.key.id
    assert "authorization" not in client.headers
    everything = repr([program.events, program.orders])
    assert program.new.text.secret not in everything


def verified(program: Program, driver: Driver) -> tuple[str, str, str]:
    id, secret = program.begun()
    reply = program.call("POST", f"v1/verifications/{id}/check", {"code": driver.codes[-1]}, secret=secret)
    return id, secret, reply.document["proof"]


def test_proof_is_redeemed_once() -> None:
    driver = sms()
    program = Program(driver)
    id, secret, proof = verified(program, driver)
    path, fields = f"v1/verifications/{id}/redeem", {"proof": proof, "phone": NUMBER}
    redeemed = program.call("POST", path, fields, secret=secret)
    assert redeemed.status == 200
    found = {name: value for name, value in redeemed.document.items() if name != "verified_at"}
    assert found == {"id": id, "purpose": "login", "channel": "sms", "assurance": "code"}
    assert NUMBER not in json.dumps(redeemed.document)
    assert problem(program.call("POST", path, fields, secret=secret)) == (400, "invalid_proof")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"phone": "+989120000009"}, (400, "invalid_proof")),
        ({"phone": "12"}, (400, "invalid_phone")),
        ({"proof": "x"}, (400, "invalid_proof")),
        ({"purpose": "signup"}, (400, "invalid_proof")),
        ({"purpose": "\ud800"}, (400, "invalid_proof")),
        ({"purpose": "login\0"}, (400, "invalid_proof")),
        ({"purpose": 1}, (400, "invalid_request")),
        ({"other": "x"}, (400, "invalid_request")),
    ],
)
def test_proof_of_something_else_is_kept(changes: Mapping[str, Any], refusal: tuple[int, str]) -> None:
    driver = sms()
    program = Program(driver)
    id, secret, proof = verified(program, driver)
    path, fields = f"v1/verifications/{id}/redeem", {"proof": proof, "phone": NUMBER}
    assert problem(program.call("POST", path, {**fields, **changes}, secret=secret)) == refusal
    assert problem(program.call("POST", path, fields, secret="x" * 22)) == (400, "invalid_proof")
    other = f"v1/verifications/{id[:-1]}{'A' if id[-1] != 'A' else 'B'}/redeem"
    assert problem(program.call("POST", other, fields, secret=secret)) == (400, "invalid_proof")
    assert program.call("POST", path, fields, secret=secret).status == 200, "it was kept"


def test_redemption_is_for_keys_only() -> None:
    program = Program(sms())
    path, headers = f"v1/verifications/{'A' * 44}/redeem", {"authorization": "Bearer of-the-site"}
    assert problem(program.call("POST", path, {"proof": "x", "phone": NUMBER}, headers=headers)) == (
        401,
        "invalid_key",
    )


def test_sites_without_keys_take_the_text_as_a_token_of_theirs() -> None:
    driver = sms()
    harness = Harness(driver)
    site = Site(harness.verifier, make_async_verifier=lambda: AsyncFace(harness.parts).flows)

    def call(path: str, fields: Mapping[str, str]) -> ApiResponse:
        headers = {"content-type": "application/json", "authorization": "Bearer pv_x"}
        request = ApiRequest("POST", path, headers, body=json.dumps(fields).encode())
        result = handle(site, request) if Harness.face is Verifier else awaited(ahandle(site, request))
        assert isinstance(result, ApiResponse)
        return result

    assert call("v1/verifications", {"phone": NUMBER}).status == 201
    assert problem(call(f"v1/verifications/{'A' * 44}/redeem", {"proof": "x"})) == (404, "not_found")


def test_channels_are_those_of_the_site() -> None:
    """A key that may use every channel of the site gets the site's own verifier."""
    program = Program(sms(), channels=",".join(Channel))
    assert program.start().status == 201
