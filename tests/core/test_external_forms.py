"""Codes for forms of other packages: the state between two requests verifies its phone and purpose only."""

from __future__ import annotations

import re
from typing import Any

import pytest

from phone_verify import PhoneNumber, Settings, Verifier, build_site
from phone_verify.external.forms import NO_VERIFICATION, PendingVerification, resend_code, send_code, verify_code
from phone_verify.model import Channel, Outcome, Reason, Redeemed
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport

PHONE, OTHER = PhoneNumber("+989120000000"), PhoneNumber("+989120000007")


class Site:
    """A verifier whose messages are discarded."""

    def __init__(self, **settings: object) -> None:
        self.transport, self.clock = FakeTransport(), ManualClock()
        values = {
            "sms": "console://",
            "store": "memory:",
            "secret_keys": "k-key-for-tests-0123456789abcdef",
            **settings,
        }
        site = build_site(Settings.from_mapping(values), transport=self.transport, clock=self.clock)
        self.verifier: Verifier = site.verifier

    @property
    def code(self) -> str:
        (found,) = re.findall(r"\b[0-9]{6}\b", self.transport.notices[-1].text)
        return str(found)


@pytest.fixture
def site() -> Site:
    return Site()


def begin(
    site: Site, phone: PhoneNumber = PHONE, purpose: str = "login", begun: PendingVerification = NO_VERIFICATION
) -> PendingVerification:
    outcome, begun = send_code(site.verifier, phone, purpose, begun=begun)
    assert outcome.ok
    return begun


def reason(told: Redeemed | Outcome) -> Reason | None:
    assert isinstance(told, Outcome)
    return told.reason


def test_right_code_works_once(site: Site) -> None:
    begun = begin(site)
    wrong = "000000" if site.code != "000000" else "000001"
    assert reason(verify_code(site.verifier, begun, PHONE, "login", wrong)) is Reason.WRONG_CODE
    redeemed = verify_code(site.verifier, begun, PHONE, "login", site.code)
    assert isinstance(redeemed, Redeemed)
    assert (redeemed.phone, redeemed.purpose) == (PHONE, "login")
    assert reason(verify_code(site.verifier, begun, PHONE, "login", site.code)) is Reason.CLOSED


@pytest.mark.parametrize(("phone", "purpose"), [(OTHER, "login"), (PHONE, "change_phone")])
def test_code_verifies_its_phone_and_purpose_only(site: Site, phone: PhoneNumber, purpose: str) -> None:
    begun = begin(site)
    assert reason(verify_code(site.verifier, begun, phone, purpose, site.code)) is Reason.WRONG_CODE
    for typed in (site.code, "000000"):
        assert reason(verify_code(site.verifier, begun, PHONE, "login", typed)) is Reason.CLOSED


def test_code_verifies_nothing_for_another_user(site: Site) -> None:
    outcome, begun = send_code(site.verifier, PHONE, "confirm", begun=NO_VERIFICATION, subject="1")
    assert outcome.ok
    assert reason(verify_code(site.verifier, begun, PHONE, "confirm", site.code, subject="2")) is Reason.WRONG_CODE
    outcome, begun = send_code(site.verifier, PHONE, "confirm", begun=NO_VERIFICATION, subject="1")
    assert isinstance(verify_code(site.verifier, begun, PHONE, "confirm", site.code, subject="1"), Redeemed)


def test_another_user_gets_a_separate_verification(site: Site) -> None:
    _, first = send_code(site.verifier, PHONE, "confirm", begun=NO_VERIFICATION, subject="1")
    outcome, second = send_code(site.verifier, PHONE, "confirm", begun=first, subject="2")
    assert outcome.ok
    assert first.id != second.id
    assert site.verifier.get(first.id, first.secret).verification is not None
    assert isinstance(verify_code(site.verifier, second, PHONE, "confirm", site.code, subject="2"), Redeemed)


def test_wrong_answers_count_for_the_address() -> None:
    site = Site(wrong_per_hour_per_address=1)
    begun, other = begin(site), begin(site, OTHER)
    code, address = site.code, "192.0.2.1"
    assert reason(verify_code(site.verifier, begun, PHONE, "login", "000000", address=address)) is Reason.WRONG_CODE
    refused = verify_code(site.verifier, other, OTHER, "login", code, address=address)
    assert reason(refused) is Reason.TOO_MANY_REQUESTS
    assert isinstance(verify_code(site.verifier, other, OTHER, "login", code, address="192.0.2.2"), Redeemed)


@pytest.mark.parametrize(("by_client", "sends"), [(True, 4), (False, 5)])
def test_visitor_leaves_a_fifth_of_the_quota(by_client: bool, sends: int) -> None:
    site = Site(sends_per_hour_total=5)
    phones = [PhoneNumber(f"+98912000000{n}") for n in range(6)]
    outcomes = [
        send_code(site.verifier, phone, "login", begun=NO_VERIFICATION, by_client=by_client)[0] for phone in phones
    ]
    assert sum(outcome.ok for outcome in outcomes) == sends


def test_missing_verification_verifies_nothing(site: Site) -> None:
    assert reason(verify_code(site.verifier, NO_VERIFICATION, PHONE, "login", "123456")) is Reason.NOT_FOUND


def test_second_send_resends_the_same_code(site: Site) -> None:
    begun, code = begin(site), site.code
    outcome, kept = send_code(site.verifier, PHONE, "login", begun=begun)
    assert (outcome.reason, kept) == (Reason.TOO_MANY_REQUESTS, begun)
    site.clock.move(60)
    assert begin(site, begun=begun) == begun
    assert site.code == code
    assert len(site.transport.notices) == 2


@pytest.mark.parametrize(("phone", "purpose"), [(OTHER, "login"), (PHONE, "change_phone")])
def test_another_phone_or_purpose_starts_a_verification(site: Site, phone: PhoneNumber, purpose: str) -> None:
    begun = begin(site)
    assert begin(site, phone, purpose, begun) != begun


def test_ended_verification_is_replaced_by_a_new_one(site: Site) -> None:
    begun = begin(site)
    site.clock.move(301)
    again = begin(site, begun=begun)
    assert again != begun
    site.verifier.cancel(again.id, again.secret)
    assert begin(site, begun=again) != again


def test_code_is_requested_again_without_the_number(site: Site) -> None:
    begun = begin(site)
    site.clock.move(60)
    outcome, same = resend_code(site.verifier, begun)
    assert (outcome.ok, same) == (True, begun)
    site.clock.move(301)
    outcome, new = resend_code(site.verifier, begun)
    assert outcome.ok
    assert new != begun
    assert resend_code(site.verifier, new, subject="2")[0].reason is Reason.NOT_FOUND
    assert isinstance(verify_code(site.verifier, new, PHONE, "login", site.code), Redeemed)
    for ended in (new, NO_VERIFICATION):
        assert resend_code(site.verifier, ended)[0].reason is Reason.NOT_FOUND


def test_refused_send_is_reported_and_keeps_the_state(site: Site) -> None:
    begun = begin(site)
    outcome, kept = send_code(site.verifier, PhoneNumber("+982122334455"), "login", begun=begun)
    assert (outcome.reason, kept) == (Reason.DESTINATION_NOT_ALLOWED, begun)
    none, kept = send_code(Site(sms="").verifier, PHONE, "login", begun=NO_VERIFICATION)
    assert (none.reason, kept) == (Reason.NOT_CONFIGURED, NO_VERIFICATION)


def test_inbound_call_is_not_used(phone_sandbox: Any) -> None:
    dsn = phone_sandbox.dsn
    verifier = build_site(
        Settings.from_mapping(
            {
                "inbound_call": dsn,
                "flash_call": dsn,
                "store": "memory:",
                "secret_keys": "k-key-for-tests-0123456789abcdef",
            }
        )
    ).verifier
    assert verifier.channels == (Channel.FLASH_CALL, Channel.INBOUND_CALL)
    outcome, _ = send_code(verifier, PHONE, "login", begun=NO_VERIFICATION)
    assert outcome.verification is not None
    assert outcome.verification.channel is Channel.FLASH_CALL
    only = build_site(
        Settings.from_mapping(
            {"inbound_call": dsn, "store": "memory:", "secret_keys": "k-key-for-tests-0123456789abcdef"}
        )
    ).verifier
    assert send_code(only, PHONE, "login", begun=NO_VERIFICATION)[0].reason is Reason.NOT_CONFIGURED


def test_pending_verification_repr_shows_no_secret(site: Site) -> None:
    begun = begin(site)
    assert begun.secret not in repr(begun)
