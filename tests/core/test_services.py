"""Verifications of services: what one has counted, sent or proved is not another's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from phone_verify.codes import Keyring
from phone_verify.drivers.base import Ability
from phone_verify.errors import UnusableServiceError
from phone_verify.exchange import WebhookRequest
from phone_verify.model import CallState, Channel, CodeSource, IncomingCall, Reason, Receipt, Sighting, Started
from phone_verify.phone import Attestation, PhoneNumber
from phone_verify.policy import (
    REFUSED_PER_ADDRESS,
    REFUSED_PER_PHONE,
    REFUSED_PER_SITE_OF_ADDRESSES,
    REFUSED_TOTAL,
    SendQuotas,
)
from phone_verify.sync import run
from phone_verify.verifier.blocking import Verifier
from phone_verify.verifier.operations import AsyncVerifier

from .harness import (
    CALL,
    FLASH,
    LINE,
    OTHER_PHONE,
    PHONE,
    REFUSED,
    SMS,
    Caller,
    Driver,
    Harness,
    event_of,
    flash,
    sms,
    webhook,
    wrong,
)

CALLED = Sighting(CallState.CALLED, PHONE)


def of_service(harness: Harness, name: str = "shop", *, quotas: SendQuotas | None = None, **policy: Any) -> Verifier:
    """Return the verifier of a service over the same store, clock and drivers."""
    changed = replace(harness.parts.policy, **policy)
    parts = replace(harness.parts, policy=changed, service=name, quotas=quotas or SendQuotas())
    made: Verifier = Harness.face(parts)
    return made


def begun(verifier: Verifier, **more: Any) -> tuple[str, str]:
    outcome = verifier.start(more.pop("phone", PHONE), **more)
    assert isinstance(outcome, Started)
    return outcome.verification.id, outcome.secret


class TestApart:
    """Every step of another service treats a verification as unknown."""

    pytestmark = pytest.mark.usefixtures("face")

    def test_every_step_of_another_service_knows_nothing(self) -> None:
        driver = sms()
        harness = Harness(driver, resend_after=timedelta(0))
        shop, bank = of_service(harness), of_service(harness, "bank")
        id, secret = begun(shop)
        code = driver.codes[-1]
        for other in (bank, harness.verifier):
            for outcome in (
                other.get(id, secret),
                other.poll(id, secret),
                other.check(id, secret, code),
                other.resend(id, secret),
                other.cancel(id, secret),
            ):
                assert (outcome.reason, outcome.verification) == (Reason.NOT_FOUND, None)
            assert other.find_open(PHONE, "login", [(id, secret)]) is None
        record = shop.get(id, secret).verification
        assert record is not None
        assert (record.service, record.attempts_left, record.sends) == ("shop", 5, 1)

    def test_proof_of_one_service_is_not_redeemed_by_another(self) -> None:
        driver = sms()
        harness = Harness(driver)
        shop, bank = of_service(harness), of_service(harness, "bank")
        id, secret = begun(shop)
        proof = shop.check(id, secret, driver.codes[-1]).proof
        assert proof is not None
        for other in (bank, harness.verifier):
            assert other.redeem(proof, [secret], ["login"]) is None
            assert other.foresee(proof, [secret], ["login"]) is None
            refused = other.start(PHONE, proof=proof, shown=[secret])
            assert refused.reason is Reason.INVALID_PROOF
        redeemed = shop.redeem(proof, [secret], ["login"])
        assert redeemed is not None
        assert redeemed.service == "shop"

    def test_start_of_one_service_ends_no_verification_of_another(self) -> None:
        harness = Harness(sms())
        shop = of_service(harness)
        id, secret = begun(shop)
        begun(harness.verifier, shown=[secret])
        record = shop.get(id, secret).verification
        assert record is not None
        assert record.open
        begun(shop, shown=[secret])
        record = shop.get(id, secret).verification
        assert record is not None
        assert not record.open

    def test_wrong_answers_at_one_lock_no_other(self) -> None:
        driver = sms()
        harness = Harness(driver, max_failures=3)
        shop, bank = of_service(harness), of_service(harness, "bank")
        id, secret = begun(shop)
        for _ in range(3):
            shop.check(id, secret, wrong(driver.codes[-1]))
        assert shop.start(PHONE).reason is Reason.TOO_MANY_REQUESTS
        for other in (bank, harness.verifier):
            id, secret = begun(other)
            assert other.check(id, secret, driver.codes[-1]).ok
        assert shop.start(PHONE).reason is Reason.TOO_MANY_REQUESTS, "a success elsewhere opens nothing"

    def test_spraying_over_services_closes_short_codes_of_all(self) -> None:
        driver = flash(*["1234"] * 9)
        harness = Harness(driver, short_failures_per_day=2)
        for name in ("shop", "bank"):
            verifier = of_service(harness, name)
            id, secret = begun(verifier)
            verifier.check(id, secret, "0000")
        assert harness.start(FLASH, OTHER_PHONE).reason is Reason.CHANNEL_UNAVAILABLE


class TestQuotas:
    """Sends count for the service and for the site."""

    pytestmark = pytest.mark.usefixtures("face")

    def test_phone_has_a_quota_at_each_service_and_one_over_all(self) -> None:
        harness = Harness(sms(), sends_per_hour=5)
        shop = of_service(harness, quotas=SendQuotas(per_phone=2))
        bank = of_service(harness, "bank", quotas=SendQuotas(per_phone=4))
        assert [shop.start(PHONE).ok for _ in range(3)] == [True, True, False]
        assert [bank.start(PHONE).ok for _ in range(4)] == [True, True, True, False], "five at the site"
        assert not harness.start().ok

    def test_refused_start_counts_for_neither(self) -> None:
        harness = Harness(sms(), sends_per_hour_total=100)
        shop = of_service(harness, quotas=SendQuotas(total=5))
        phones = [PHONE] * 4
        assert all(shop.start(phone).ok for phone in phones), "a fifth is reserved for trusted devices"
        shop.start(OTHER_PHONE, by_client=True)
        full = [shop.start(OTHER_PHONE, by_client=True).ok for _ in range(3)]
        assert full == [False] * 3
        assert all(harness.start(phone=OTHER_PHONE, by_client=True).ok for _ in range(5))

    @pytest.mark.parametrize("quotas", [SendQuotas(per_address=2), SendQuotas(per_prefix=2), SendQuotas(total=2)])
    def test_quota_of_a_service_is_only_its_own(self, quotas: SendQuotas) -> None:
        harness = Harness(sms())
        shop, bank = of_service(harness, quotas=quotas), of_service(harness, "bank", quotas=quotas)
        assert [shop.start(PHONE, address="192.0.2.1").ok for _ in range(3)] == [True, True, False]
        assert bank.start(PHONE, address="192.0.2.1").ok
        assert harness.start(address="192.0.2.1").ok
        assert shop.start(PHONE, address="192.0.2.2").ok == bool(quotas.per_address)

    @pytest.mark.parametrize("program", [{"oauth_client": "app"}, {"access_key": "3kTMd9aQz0Lw"}])
    def test_program_has_no_quota_of_an_address(self, program: dict[str, str]) -> None:
        harness = Harness(sms())
        shop = of_service(harness, quotas=SendQuotas(per_address=1))
        assert all(shop.start(PHONE, address="192.0.2.1", **program).ok for _ in range(3))

    def test_refused_orders_of_a_service_close_no_other(self) -> None:
        harness = Harness(sms(*[REFUSED] * REFUSED_TOTAL), sends_per_hour_per_prefix=0)
        shop, bank = of_service(harness), of_service(harness, "bank")
        for n in range(REFUSED_TOTAL):
            outcome = shop.start(PhoneNumber(f"+98912{1000000 + n}"), access_key=f"key {n % 2}", by_client=True)
            assert outcome.reason is Reason.DELIVERY_FAILED
        assert shop.start(PHONE, by_client=True).reason is Reason.TOO_MANY_REQUESTS
        assert bank.start(PHONE, by_client=True).ok
        assert harness.start(phone=OTHER_PHONE, by_client=True).ok

    @pytest.mark.parametrize(
        ("gate", "count", "address", "closed"),
        [
            ("phone", REFUSED_PER_PHONE, "", "198.51.100.1"),
            ("address", REFUSED_PER_ADDRESS, "192.0.2.1", "192.0.2.1"),
            ("network", REFUSED_PER_SITE_OF_ADDRESSES, "2001:db8:1:{n}::1", "2001:db8:1:ffff::1"),
        ],
    )
    def test_gates_of_refused_orders_are_of_one_service(self, gate: str, count: int, address: str, closed: str) -> None:
        harness = Harness(sms(*[REFUSED] * count), sends_per_hour_per_prefix=0, sends_per_hour=0)
        shop, bank = of_service(harness), of_service(harness, "bank")
        for n in range(count):
            phone = PHONE if gate == "phone" else PhoneNumber(f"+98912{1000000 + n}")
            outcome = shop.start(phone, address=address.format(n=n) or f"192.0.2.{n}", by_client=True)
            assert outcome.reason is Reason.DELIVERY_FAILED, n
        assert shop.start(PHONE, address=closed, by_client=True).reason is Reason.TOO_MANY_REQUESTS
        assert bank.start(PHONE, address=closed, by_client=True).ok
        assert harness.start(address=closed, by_client=True).ok

    def test_gate_of_a_trusted_device_is_of_one_service(self) -> None:
        harness = Harness(sms(*[REFUSED] * REFUSED_PER_PHONE), sends_per_hour=0)
        shop, bank = of_service(harness), of_service(harness, "bank")
        token = shop.remember_device("", PHONE)
        for _ in range(REFUSED_PER_PHONE):
            assert shop.start(PHONE, trusted_device=token).reason is Reason.DELIVERY_FAILED
        assert shop.start(PHONE, trusted_device=token).reason is Reason.TOO_MANY_REQUESTS
        assert bank.start(PHONE, trusted_device=token).ok


class TestCombined:
    """Services whose channels are all needed."""

    pytestmark = pytest.mark.usefixtures("face")

    def test_all_channels_are_needed_for_every_purpose(self) -> None:
        written, rung = sms(), flash("1234")
        harness = Harness(written, rung, combined=(SMS, FLASH))
        id, secret = harness.begun(SMS, purpose="checkout")
        outcome = harness.verifier.check(id, secret, written.codes[-1])
        assert list(outcome.channels_left) == [FLASH]
        assert outcome.proof is not None
        assert harness.verifier.redeem(outcome.proof, [secret], ["checkout"]) is None
        more = {"purpose": "checkout", "proof": outcome.proof, "shown": [secret]}
        assert harness.start(SMS, **more).reason is Reason.CHANNEL_UNAVAILABLE
        id, secret = harness.begun(FLASH, **more)
        outcome = harness.verifier.check(id, secret, "1234")
        assert outcome.proof is not None
        assert harness.verifier.redeem(outcome.proof, [secret], ["checkout"]) is not None

    def test_second_factor_stays_one_code(self) -> None:
        written = sms()
        harness = Harness(written, flash("1234"), combined=(SMS, FLASH))
        id, secret = harness.begun(SMS, purpose="second_factor")
        outcome = harness.verifier.check(id, secret, written.codes[-1])
        assert outcome.proof is not None
        assert harness.verifier.redeem(outcome.proof, [secret], ["second_factor"]) is not None

    def test_call_comes_first(self) -> None:
        written, caller = sms(), Caller([Receipt(str(n), line=LINE) for n in range(3)], [CALLED])
        harness = Harness(written, caller, combined=(CALL, SMS), call_first=True)
        assert harness.start(SMS).reason is Reason.CHANNEL_UNAVAILABLE
        assert written.orders == []
        id, secret = harness.begun()
        waiting = harness.verifier.get(id, secret)
        assert list(waiting.channels) == [CALL], "nor is it offered while the call is awaited"
        assert harness.verifier.resend(id, secret, channel=SMS).reason is Reason.CHANNEL_UNAVAILABLE
        assert written.orders == []
        called = harness.verifier.poll(id, secret)
        assert list(called.channels_left) == [SMS]
        id, secret = harness.begun(SMS, proof=called.proof, shown=[secret])
        done = harness.verifier.check(id, secret, written.codes[-1])
        assert done.proof is not None
        assert harness.verifier.redeem(done.proof, [secret], ["login"]) is not None

    def test_call_of_another_service_opens_no_sms(self) -> None:
        written, caller = sms(), Caller([Receipt(str(n), line=LINE) for n in range(3)], [CALLED])
        harness = Harness(written, caller)
        id, secret = harness.begun(CALL)
        proof = harness.verifier.poll(id, secret).proof
        protected = of_service(harness, combined=(CALL, SMS), call_first=True)
        assert protected.start(PHONE, channel=SMS, proof=proof, shown=[secret]).reason is Reason.INVALID_PROOF
        assert written.orders == []


class Attesting(Driver):
    """A driver of calls that reports their attestation by webhook."""

    def __init__(self) -> None:
        receipts = [Receipt(line=LINE) for _ in range(3)]
        super().__init__("attesting", CALL, Ability(CodeSource.NONE, attests=True), receipts)

    def parse_webhook(self, request: WebhookRequest) -> IncomingCall | None:
        event, word = event_of(request), request.once("attestation")
        return event and replace(event, attestation=Attestation(word) if word else None)


class TestAttestation:
    """A call is judged by the service of the verification that it would verify."""

    @pytest.mark.parametrize(("attested", "verifies"), [("A", True), ("B", False), (None, False)])
    def test_service_of_the_record_decides(self, attested: str | None, verifies: bool) -> None:
        harness = Harness(Attesting())
        verifiers: dict[str, AsyncVerifier] = {}

        async def find(name: str) -> AsyncVerifier | None:
            return verifiers.get(name)

        parts = replace(harness.parts, find_service=find)
        least = replace(parts.policy, caller_attestation=Attestation.A)
        verifiers["default"] = AsyncVerifier(parts)
        verifiers["strict"] = AsyncVerifier(replace(parts, service="strict", policy=least))
        started = run(verifiers["strict"].start(PHONE))
        other = run(verifiers["default"].start(OTHER_PHONE))
        assert isinstance(started, Started)
        assert isinstance(other, Started)
        given = {"attestation": attested} if attested else {}
        result = run(verifiers["default"].receive("attesting", webhook(caller=PHONE.e164, line=LINE.e164, **given)))
        assert (result.verified, result.unattested) == (verifies, not verifies)
        event = webhook(caller=OTHER_PHONE.e164, line=LINE.e164, **given)
        assert run(verifiers["default"].receive("attesting", event)).verified, "the site's own asks for none"

    def test_call_for_a_deleted_service_verifies_nothing(self) -> None:
        harness = Harness(Attesting())

        async def find(_: str) -> None:
            return None

        parts = replace(harness.parts, find_service=find)
        gone = AsyncVerifier(replace(parts, service="gone"))
        assert isinstance(run(gone.start(PHONE)), Started)
        event = webhook(caller=PHONE.e164, line=LINE.e164, attestation="A")
        assert not run(AsyncVerifier(parts).receive("attesting", event)).verified

    def test_call_for_a_service_with_mistakes_holds_up_no_other(self) -> None:
        harness = Harness(Attesting())

        async def find(name: str) -> AsyncVerifier:
            if name == "broken":
                raise UnusableServiceError("The service broken has mistakes")
            return own

        parts = replace(harness.parts, find_service=find)
        own = AsyncVerifier(parts)
        assert isinstance(run(AsyncVerifier(replace(parts, service="broken")).start(PHONE)), Started)
        assert isinstance(run(own.start(OTHER_PHONE)), Started)
        calls = [webhook(caller=phone.e164, line=LINE.e164, attestation="A") for phone in (PHONE, OTHER_PHONE)]
        assert [run(own.receive("attesting", call)).verified for call in calls] == [False, True]


def test_purpose_that_the_service_does_not_have_is_refused() -> None:
    harness = Harness(sms())
    shop = Verifier(replace(harness.parts, service="shop", purposes=("checkout",)))
    with pytest.raises(ValueError, match="the service shop is for checkout, not 'login'"):
        shop.start(PHONE)
    assert shop.start(PHONE, purpose="checkout").ok


def test_limited_router_knows_the_other_drivers() -> None:
    first, second, rung = sms(), sms(name="sms-2"), flash("1234")
    router = Harness(first, second, rung).parts.router
    limited = router.limited_to([SMS], ["sms-2"])
    assert (limited.channels, [driver.name for driver in limited.route(SMS, PHONE)]) == ((SMS,), ["sms-2"])
    assert list(limited.route(FLASH, PHONE)) == []
    assert limited.drivers() == router.drivers(), "orders that they carried are still theirs"
    assert router.channels == (SMS, FLASH)
    assert [driver.name for driver in router.limited_to([], ["sms-2", "flash-1", "sms-1"]).carriers(SMS)] == [
        "sms-2",
        "sms-1",
    ]
    with pytest.raises(ValueError, match="flash_call"):
        router.limited_to([SMS, FLASH], ["sms-1"])
    for _ in range(20):
        router.unreachable(first)
    assert [driver.name for driver in router.limited_to([SMS], []).route(SMS, PHONE)] == ["sms-2", "sms-1"]
    assert router.closed().channels == ()


def test_site_without_services_has_its_own_only() -> None:
    verifier = Harness(sms()).verifier
    assert verifier.for_service("default").service == "default"
    with pytest.raises(LookupError, match="no service is named 'shop'"):
        verifier.for_service("shop")


def test_channels_of_the_limited_router_are_what_pages_offer() -> None:
    harness = Harness(sms(), flash("1234"))
    router = harness.parts.router.limited_to([FLASH], [])
    shop = Verifier(replace(harness.parts, router=router, service="shop"))
    assert list(shop.channels) == [Channel.FLASH_CALL]
    assert shop.start(PHONE, channel=SMS).reason is Reason.CHANNEL_UNAVAILABLE


def test_no_key_is_derived_for_a_quota_that_cannot_count(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[str] = []
    bucket = Keyring.bucket

    def record(keyring: Keyring, kind: str, value: str) -> str:
        derived.append(kind)
        return bucket(keyring, kind, value)

    monkeypatch.setattr(Keyring, "bucket", record)
    harness = Harness(sms(), Caller([Receipt("1", line=LINE)]), sends_per_hour=5)
    harness.begun(address="192.0.2.1")
    assert sorted(derived) == ["address", "own", "prefix", "service:default:refused", "wrong"]
    harness.begun(CALL, phone=OTHER_PHONE, address="192.0.2.1")
    assert derived.count("leases") == 1
    derived.clear()
    begun(of_service(harness, quotas=SendQuotas(per_address=9, per_prefix=9)), phone=OTHER_PHONE, address="192.0.2.1")
    assert {"service:shop:address", "service:shop:prefix"} <= set(derived)
