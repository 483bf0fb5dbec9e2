"""Numbers of the site's own: the shared suite for each vendor, settings, attestations, and calls from end to end."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha1
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from phone_verify.api.routes import handle
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.drivers.kinds import signed_token
from phone_verify.drivers.lines import Lines
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.exchange import FORM, HttpResponse
from phone_verify.http.call import ApiRequest, ApiResponse
from phone_verify.lifecycle import Attachment
from phone_verify.lines import LINE_REST, PAIR_REST
from phone_verify.model import Assurance, Channel, CodeSource, Status, Verification
from phone_verify.phone import Attestation, PhoneNumber
from phone_verify.stores.memory import MemoryStore
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.drivers import DriverSuite
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier.sources import Source
from phone_verify_django.kept_proof import as_values, from_values
from tests.cases import in_one_test

SAMPLES = Path(__file__).parent / "samples" / "lines"
KEY = "FAKE_AUTH%2FTOKEN%2B1"
PUBLIC_KEY = "A6EHv%2FPOEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg%3D"
SECRET = "FAKE-SIGNATURE%2FSECRET-OF-32-CHARACTERS"
POOL = "pool=%2B15005550001,%2B15005550002"
PHONE, OTHER, THIRD = (PhoneNumber(f"+1201555012{n}") for n in (3, 4, 5))


class TestTwilio(DriverSuite):
    driver = Lines
    dsn = f"lines://{KEY}@127.0.0.1:8025/base?tls=off&by=twilio&{POOL}"
    variants = ("lease=60", "attestation=StirVerstat2", "name=lines-2&timeout=5")
    samples = SAMPLES / "twilio"
    phone = "+15005550006"


class TestTelnyx(DriverSuite):
    driver = Lines
    dsn = f"lines://{PUBLIC_KEY}@127.0.0.1:8025/base?tls=off&by=telnyx&{POOL}"
    samples = SAMPLES / "telnyx"
    phone = "+15005550006"


class TestVonage(DriverSuite):
    driver = Lines
    dsn = f"lines://{SECRET}@127.0.0.1:8025/base?tls=off&by=vonage&{POOL}"
    samples = SAMPLES / "vonage"
    phone = "+15005550006"


class TestPlivo(DriverSuite):
    driver = Lines
    dsn = f"lines://{KEY}@127.0.0.1:8025/base?tls=off&by=plivo&{POOL}"
    samples = SAMPLES / "plivo"
    phone = "+15005550006"


def load(by: str = "twilio", key: str = KEY, options: str = POOL) -> Lines:
    driver = load_driver(parse_dsn(f"lines://{key}@default?by={by}&{options}", "PHONE_VERIFY_INBOUND_CALL"))
    assert isinstance(driver, Lines)
    return driver


@pytest.mark.parametrize(
    ("by", "key", "attests", "answer"),
    [
        ("twilio", KEY, True, '<Response><Reject reason="busy"/></Response>'),
        ("telnyx", PUBLIC_KEY, True, '<Response><Reject reason="busy"/></Response>'),
        ("plivo", KEY, True, '<Response><Hangup reason="busy"/></Response>'),
        ("vonage", SECRET, False, "[]"),
    ],
)
def test_every_vendor_rejects_the_call_unanswered(by: str, key: str, attests: bool, answer: str) -> None:
    driver = load(by, key)
    ability = driver.abilities[Channel.INBOUND_CALL]
    assert (ability.code_source, ability.announced, ability.attests) == (CodeSource.NONE, False, attests)
    reply = driver.webhook_answer
    assert reply.text.endswith(answer)
    assert reply.content_type.startswith("application/json" if by == "vonage" else "text/xml")
    assert not driver.is_local


def test_named_field_may_attest_with_any_vendor() -> None:
    assert load("vonage", SECRET, f"{POOL}&attestation=stir").abilities[Channel.INBOUND_CALL].attests


def test_pool_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "pool.txt"
    file.write_text("+15005550001\n\n 15005550002 \n")
    assert (
        load(options=f"pool={file}").pool == load().pool == (PhoneNumber("+15005550001"), PhoneNumber("+15005550002"))
    )


@in_one_test
@pytest.mark.parametrize(
    "options",
    [
        "pool=",
        "pool=,",
        "pool=soon",
        "pool=%2B15005550001,soon",
        "pool=%2B15005550001,15005550001",
        "pool=/no/such/file",
        "pool=" + ",".join(f"1500555{n:04}" for n in range(101)),
        f"{POOL}&lease=59",
        f"{POOL}&lease=601",
        f"{POOL}&lease=-60",
        f"{POOL}&attestation=a%20b",
        f"{POOL}&attestation=",
        "lease=60",
    ],
)
def test_unusable_settings_are_refused(options: str) -> None:
    with pytest.raises(ConfigurationError, match="PHONE_VERIFY_INBOUND_CALL") as raised:
        load(options=options)
    assert "FAKE" not in str(raised.value)
    assert "soon" not in str(raised.value)


@pytest.mark.parametrize("key", ["FAKE-KEY", "A6EHv%2FPO"])
def test_telnyx_needs_its_public_key(key: str) -> None:
    with pytest.raises(ConfigurationError, match="public key") as raised:
        load("telnyx", key)
    assert key not in str(raised.value)


@pytest.mark.parametrize(("by", "key"), [("telnyx", PUBLIC_KEY), ("vonage", SECRET)])
def test_missing_package_is_reported_at_the_start(by: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_token, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="webhooks"):
        load(by, key)
    assert load().by == "twilio"


class Harness:
    """A site with two lines at Twilio."""

    def __init__(self, pool: str = POOL, **settings: str) -> None:
        self.clock = ManualClock()
        self.transport = FakeTransport([])
        self.events: list[tuple[str, str]] = []
        values = {
            "store": "memory:",
            "secret_keys": "k-key-for-tests-0123456789abcdef",
            "webhook_secret": "hook-secret-0123456789abcdef",
            "public_url": "https://site.example",
            "inbound_call": f"lines://{KEY}@default?by=twilio&{pool}",
            **settings,
        }

        def webhook_path(driver: str, secret: str) -> str:
            return f"/phone/webhooks/{driver}/{secret}"

        self.site = build_site(
            Settings.from_mapping(values),
            transport=self.transport,
            webhook_path=webhook_path,
            clock=self.clock,
            listeners=[lambda event: self.events.append((event.verb, event.outcome))],
        )

    def begin(
        self, phone: PhoneNumber = PHONE, channel: str = "inbound_call", address: str | None = "192.0.2.1"
    ) -> dict[str, Any]:
        headers = {"content-type": "application/json", "sec-fetch-site": "same-origin"}
        order = json.dumps({"phone": phone.e164, "channel": channel}).encode()
        return self._document(ApiRequest("POST", "v1/verifications", headers, body=order, peer=address))

    def resend(self, begun: Mapping[str, Any], channel: str = "inbound_call") -> dict[str, Any]:
        self.wait(60)
        headers = {
            "content-type": "application/json",
            "sec-fetch-site": "same-origin",
            "verification-secret": begun["secret"],
        }
        path, body = f"v1/verifications/{begun['id']}/resend", json.dumps({"channel": channel}).encode()
        return self._document(ApiRequest("POST", path, headers, body=body, peer="192.0.2.1"))

    def verify(self, phone: PhoneNumber = PHONE) -> str:
        """Return the line by which this phone was verified."""
        line = str(self.begin(phone)["dial"]["number"])
        self.call(line, phone)
        return line

    def status(self, begun: Mapping[str, Any]) -> str:
        return str(self.document(begun)["status"])

    def webhook(self, line: str, caller: PhoneNumber = PHONE, verstat: str | None = None, key: str = "") -> ApiRequest:
        fields = {"CallSid": "CA1", "CallStatus": "ringing", "Direction": "inbound", "From": caller.e164, "To": line}
        if verstat is not None:
            fields["StirVerstat"] = verstat
        path = "webhooks/lines/hook-secret-0123456789abcdef"
        text = f"https://site.example/phone/{path}" + "".join(name + fields[name] for name in sorted(fields))
        signature = base64.b64encode(hmac.digest((key or "FAKE_AUTH/TOKEN+1").encode(), text.encode(), sha1)).decode()
        headers = {"content-type": FORM, "x-twilio-signature": signature}
        return ApiRequest("POST", path, headers, body=urlencode(fields).encode())

    def call(self, line: str, caller: PhoneNumber = PHONE, verstat: str | None = None, key: str = "") -> ApiResponse:
        reply = handle(self.site, self.webhook(line, caller, verstat, key))
        assert isinstance(reply, ApiResponse)
        return reply

    def document(self, begun: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"verification-secret": begun["secret"]}
        return self._document(ApiRequest("GET", f"v1/verifications/{begun['id']}", headers))

    def assurance(self, begun: Mapping[str, Any]) -> Assurance:
        outcome = self.site.verifier.get(begun["id"], begun["secret"])
        assert outcome.proof is not None
        redeemed = self.site.verifier.redeem(outcome.proof, [begun["secret"]], ["login"])
        assert redeemed is not None
        assert from_values(as_values(redeemed)) == redeemed, "the session of a sign-up keeps it"
        return redeemed.assurance

    def wait(self, seconds: float) -> None:
        self.clock.move(seconds)

    def _document(self, request: ApiRequest) -> dict[str, Any]:
        reply = handle(self.site, request)
        assert isinstance(reply, ApiResponse)
        assert reply.document is not None
        return dict(reply.document)


@pytest.fixture
def site() -> Harness:
    return Harness()


def test_call_verifies_the_claim_and_is_rejected(site: Harness) -> None:
    begun = site.begin()
    line = begun["dial"]["number"]
    assert line in ("+15005550001", "+15005550002")
    reply = site.call(line)
    assert (reply.status, reply.content_type) == (200, "text/xml; charset=utf-8")
    assert reply.text is not None
    assert "<Reject" in reply.text
    assert site.status(begun) == "verified"
    assert site.transport.requests == []


def test_call_without_a_claim_is_rejected_too(site: Harness) -> None:
    assert site.call("+15005550001").text == site.call("+15005550002", OTHER).text
    forged = site.call("+15005550001", key="OTHER")
    assert forged.status == 403
    assert forged.text is None


def test_second_claim_gets_the_other_line(site: Harness) -> None:
    lines = {site.begin(phone)["dial"]["number"] for phone in (PHONE, OTHER)}
    assert lines == {"+15005550001", "+15005550002"}


def test_exhausted_pool_refuses_the_order(site: Harness, caplog: pytest.LogCaptureFixture) -> None:
    for phone in (PHONE, OTHER):
        site.begin(phone)
    with caplog.at_level(logging.WARNING, "phone_verify"):
        refused = site.begin(THIRD)
    assert (refused["code"], refused["status"]) == ("channel_unavailable", 409)
    assert "lines has no free line: all 2 are leased" in caplog.text
    site.wait(180 + LINE_REST.total_seconds())
    assert "dial" in site.begin(THIRD)


def test_exhausted_pool_costs_the_phone_no_send(site: Harness) -> None:
    for phone in (PHONE, OTHER):
        site.begin(phone)
    for _ in range(20):
        assert site.begin(THIRD)["code"] == "channel_unavailable", "no gate of refused orders closes"
    site.wait(180 + LINE_REST.total_seconds())
    assert "dial" in site.begin(THIRD)


def test_exhausted_pool_fills_only_the_quotas_of_the_client() -> None:
    site = Harness(sends_per_hour_per_prefix="5", sends_per_hour_total="5", sends_per_hour_per_address="5")
    for phone in (PHONE, OTHER):
        site.begin(phone, address="192.0.2.2")
    refused = [site.begin(THIRD)["code"] for _ in range(6)]
    assert refused == ["channel_unavailable"] * 4 + ["too_many_requests"] * 2, "four of five are for visitors"
    site.wait(180 + LINE_REST.total_seconds())
    assert "dial" in site.begin(THIRD, address="192.0.2.3")


def test_client_leases_ten_lines_in_four_minutes(caplog: pytest.LogCaptureFixture) -> None:
    site = Harness("pool=" + ",".join(f"%2B150055500{n:02}" for n in range(25)))
    phones = [PhoneNumber(f"+120155501{n:02}") for n in range(10, 26)]
    begun = [site.begin(phone) for phone in phones[:10]]
    assert all("dial" in each for each in begun)
    assert site.begin(phones[10])["code"] == "channel_unavailable"
    assert "as many as it may" in caplog.text
    assert site.begin(phones[11], address="192.0.2.2")["dial"], "another client"
    refused = site.resend(begun[0])
    assert refused["code"] == "channel_unavailable"
    assert site.document(begun[0])["dial"] == begun[0]["dial"], "it keeps its line"
    site.wait(180)
    assert "dial" in site.begin(phones[10])


@pytest.mark.parametrize("program", [{"client": "app"}, {"key": "3kTMd9aQz0Lw"}])
def test_program_leases_more_lines(program: dict[str, str]) -> None:
    keyring = Harness().site.verifier.flows.keyring
    of_address, of_client = (Source("192.0.2.1", **by).leases(keyring) for by in ({}, program))
    assert of_address is not None
    assert of_client is not None
    assert (of_address.limit, of_client.limit) == (10, 100)
    assert of_address.key != of_client.key
    assert Source().leases(keyring) is None


@pytest.mark.parametrize("limit", ["5", "0"])
def test_exhausted_pool_is_limited_per_phone_without_an_address(limit: str) -> None:
    site = Harness(sends_per_hour_per_address=limit)
    for phone in (PHONE, OTHER):
        site.begin(phone, address="192.0.2.2")
    address = None if limit == "5" else "192.0.2.1"
    refused = [site.begin(THIRD, address=address)["code"] for _ in range(6)]
    assert refused == ["channel_unavailable"] * 5 + ["too_many_requests"]


def test_start_is_given_a_line_that_does_not_rest_for_its_phone() -> None:
    site = Harness("pool=" + ",".join(f"%2B1500555000{n}" for n in range(4)))
    rest = {site.verify() for _ in range(3)}
    assert len(rest) == 3
    site.wait(180 + LINE_REST.total_seconds())
    begun = site.begin()
    assert begun["dial"]["number"] not in rest
    assert site.status(begun) == "sent"
    assert {site.begin(phone)["dial"]["number"] for phone in (OTHER, THIRD)} < rest, "for others they are free"


def test_line_that_rests_for_the_phone_moves_to_the_next_driver() -> None:
    one = f"lines://{KEY}@default?by=twilio&pool=%2B15005550001"
    two = f"lines://{KEY}@default?by=twilio&pool=%2B15005550002&name=second"
    site = Harness(inbound_call=f"{one} {two}")
    assert site.verify() == "+15005550001"
    site.wait(180 + LINE_REST.total_seconds())
    assert site.begin()["dial"]["number"] == "+15005550002"
    assert site.begin(OTHER)["dial"]["number"] == "+15005550001", "given back"


def test_line_that_rests_for_the_phone_costs_it_no_send() -> None:
    site = Harness("pool=%2B15005550001")
    site.verify()
    site.wait(180 + LINE_REST.total_seconds())
    for _ in range(9):
        assert site.begin()["code"] == "channel_unavailable"
    assert site.begin(OTHER)["dial"]["number"] == "+15005550001", "given back"


def test_resend_keeps_its_line_if_the_others_rest_for_the_phone(site: Harness) -> None:
    other = site.verify()
    site.wait(180 + LINE_REST.total_seconds())
    begun = site.begin()
    line = begun["dial"]["number"]
    assert line != other
    assert site.resend(begun)["dial"]["number"] == line
    assert site.status(begun) == "sent"
    site.call(line)
    assert site.status(begun) == "verified"


class Interfering:
    """Replaces the next `attach` of the store in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._attach, self.interfere = MemoryStore.attach, None
        monkeypatch.setattr(MemoryStore, "attach", lambda *arguments: self._next(*arguments))

    async def _next(self, store: MemoryStore, *arguments: Any) -> Any:
        interfere, self.interfere = self.interfere, None
        if interfere is not None:
            await interfere(store, *arguments)
        return await self._attach(store, *arguments)


def test_line_of_a_superseded_resend_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    site, attach = Harness("pool=" + ",".join(f"%2B1500555000{n}" for n in range(3))), Interfering(monkeypatch)
    begun = site.begin()

    async def supersede(store: MemoryStore, id: str, attachment: Attachment, now: datetime | None) -> None:
        later = replace(attachment, line=PhoneNumber(begun["dial"]["number"]), sends=attachment.sends + 1)
        assert isinstance(await store.attach(id, later, now), Verification)

    attach.interfere = supersede
    assert site.resend(begun)["dial"] == begun["dial"]
    assert all("dial" in site.begin(phone) for phone in (OTHER, THIRD))


def test_line_of_a_failed_receipt_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    site, attach = Harness("pool=%2B15005550001"), Interfering(monkeypatch)

    async def fail(*_: Any) -> None:
        raise StoreError("gone")

    attach.interfere = fail
    assert site.begin()["code"] == "unavailable"
    assert "dial" in site.begin(OTHER)


def test_line_of_a_claim_that_ends_during_its_resend_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    site, attach = Harness("pool=%2B15005550001"), Interfering(monkeypatch)
    begun = site.begin()

    async def end(store: MemoryStore, id: str, _: Attachment, now: datetime | None) -> None:
        assert await store.settle(id, Status.VERIFIED, now)

    attach.interfere = end
    assert site.resend(begun)["code"] == "closed"
    assert site.begin(OTHER)["code"] == "channel_unavailable", "its user still sees the line"
    site.wait(LINE_REST.total_seconds())
    assert "dial" in site.begin(OTHER)


def test_call_is_rejected_while_the_store_is_unavailable(
    site: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = site.begin()

    async def fail(*_: Any) -> None:
        raise StoreError("gone")

    monkeypatch.setattr(MemoryStore, "claim", fail)
    reply = site.call(begun["dial"]["number"])
    assert (reply.status, reply.content_type) == (200, "text/xml; charset=utf-8")
    assert reply.text == load().webhook_answer.text
    assert "verifies nothing" in caplog.text
    assert ("receive", "unavailable") in site.events
    assert site.status(begun) == "sent"


def test_refusal_after_an_exhausted_pool_is_counted_as_one() -> None:
    dsn = f"lines://{KEY}@default?by=twilio&pool=%2B15005550001"
    site = Harness(inbound_call=f"{dsn} telefon-ip://T@default")
    site.transport.answers.append(HttpResponse(401))
    assert "dial" in site.begin(PhoneNumber("+79990000001"))
    assert site.begin(PhoneNumber("+79990000002"))["code"] == "delivery_failed"


def test_exhausted_pool_moves_to_the_next_driver() -> None:
    two = f"lines://{KEY}@default?by=twilio&pool=%2B15005550001"
    three = f"lines://{KEY}@default?by=twilio&pool=%2B15005550002&name=second"
    site = Harness(inbound_call=f"{two} {three}")
    assert [site.begin(phone)["dial"]["number"][-1] for phone in (PHONE, OTHER)] == ["1", "2"]


def test_verified_line_serves_another_phone_after_its_rest() -> None:
    site = Harness("pool=%2B15005550001")
    begun = site.begin()
    site.call("+15005550001")
    assert "dial" not in site.begin(OTHER)
    site.wait(LINE_REST.total_seconds())
    other = site.begin(OTHER)
    assert other["dial"]["number"] == "+15005550001"
    site.call("+15005550001")  # repeated, by the first phone
    assert (site.status(begun), site.status(other)) == ("verified", "sent")


def test_repeated_webhook_verifies_nothing_new() -> None:
    site = Harness("pool=%2B15005550001")
    first = site.begin()
    assert site.call("+15005550001").status == 200
    site.wait(LINE_REST.total_seconds())
    refused = site.begin()
    assert refused["code"] == "channel_unavailable", "the line rests longer for the phone that it verified"
    assert site.call("+15005550001").status == 200
    assert site.status(first) == "verified"
    site.wait(PAIR_REST.total_seconds())
    assert site.begin()["dial"]["number"] == "+15005550001"


def test_other_caller_verifies_nothing(site: Harness) -> None:
    begun = site.begin()
    site.call(begun["dial"]["number"], OTHER)
    assert site.status(begun) == "sent"


#: What each StirVerstat proves, and whether it suffices for the settings `any`, `B` and `A`.
ATTESTED = [
    ("TN-Validation-Passed-A", Assurance.CALLER_ID_ATTESTED, "any B A"),
    ("TN-Validation-Passed-B", Assurance.CALLER_ID, "any B"),
    ("TN-Validation-Passed-C", Assurance.CALLER_ID, "any"),
    ("TN-Validation-Failed-A", Assurance.CALLER_ID, "any"),
    ("No-TN-Validation", Assurance.CALLER_ID, "any"),
    (None, Assurance.CALLER_ID, "any"),
]


@pytest.mark.parametrize("least", ["any", "B", "A"])
@pytest.mark.parametrize(("verstat", "assurance", "suffices"), ATTESTED)
def test_attestation_decides_assurance_and_verification(
    verstat: str | None, assurance: Assurance, suffices: str, least: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = Harness(caller_attestation=least)
    begun = site.begin()
    with caplog.at_level(logging.WARNING, "phone_verify"):
        reply = site.call(begun["dial"]["number"], verstat=verstat)
    assert reply.text is not None
    assert "<Reject" in reply.text
    if least in suffices.split():
        assert site.status(begun) == "verified"
        # Bodies without an attestation have the fields that they always had.
        attested = assurance is Assurance.CALLER_ID_ATTESTED
        assert site.document(begun).get("assurance") == (assurance.value if attested else None)
        assert site.assurance(begun) is assurance
    else:
        assert "assurance" not in site.document(begun)
        assert ("receive", "not_attested") in site.events
        assert site.status(begun) == "sent"
        assert "attestation" in caplog.text
        assert PHONE.e164[1:] not in caplog.text


def test_attested_caller_is_no_code_for_staff() -> None:
    site = Harness()
    begun = site.begin()
    site.call(begun["dial"]["number"], verstat="TN-Validation-Passed-A")
    outcome = site.site.verifier.get(begun["id"], begun["secret"])
    redeemed = site.site.verifier.redeem(outcome.proof or "", [begun["secret"]], ["login"])
    assert redeemed is not None
    assert not redeemed.signs_in_staff(opened=True)


@pytest.mark.parametrize(
    "dsn",
    [
        f"lines://{SECRET}@default?by=vonage&{POOL}",
        "unibell://FAKE-TOKEN@default?line=%2B74950000000",
        f"lines://{KEY}@default?by=twilio&{POOL} unibell://FAKE-TOKEN@default?line=%2B74950000000",
    ],
)
def test_required_attestation_needs_drivers_that_report_it(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="CALLER_ATTESTATION") as raised:
        Harness(inbound_call=dsn, caller_attestation="B")
    assert "FAKE" not in str(raised.value)
    assert Harness(inbound_call=dsn).site


@pytest.mark.parametrize("word", ["C", "a", "full"])
def test_unknown_attestation_is_refused(word: str) -> None:
    with pytest.raises(ConfigurationError, match="must be any, B or A"):
        Harness(caller_attestation=word)


def test_attestations_are_ordered() -> None:
    a, b, c = Attestation
    assert [one.meets(least) for one in (a, b, c) for least in (a, b, c)] == [
        *(True, True, True),
        *(False, True, True),
        *(False, False, True),
    ]


def test_async_site_leases_from_the_same_pool(site: Harness) -> None:
    first = site.begin()["dial"]["number"]
    flows = site.site.make_async_verifier()
    started = asyncio.run(flows.start(OTHER, channel=Channel.INBOUND_CALL))
    assert started.verification is not None
    assert started.verification.line is not None
    assert {first, started.verification.line.e164} == {"+15005550001", "+15005550002"}
