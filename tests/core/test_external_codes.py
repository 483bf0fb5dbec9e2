"""Codes that another package generates and delivers: nothing is sent, and all attempt and failure limits hold."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phone_verify import PhoneNumber, Settings, Verifier, build_site
from phone_verify.errors import InvalidPhoneError
from phone_verify.external.codes import account, check_code, count_check, may_check, register_code
from phone_verify.external.forms import PendingVerification, verify_code
from phone_verify.model import Outcome, Reason, Redeemed, Verification
from phone_verify.phone import PhoneKind
from phone_verify.testing.clock import ManualClock
from phone_verify.testing.transport import FakeTransport

PHONE = PhoneNumber("+989120000000")
CODE, WRONG, PURPOSE = "048213", "048214", "second_factor"
LIFE = timedelta(seconds=120)


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
        site = build_site(Settings.from_mapping(values), transport=self.transport, clock=self.clock, production=False)
        self.verifier: Verifier = site.verifier

    def register_code(self, subject: PhoneNumber = PHONE, **rest: Any) -> PendingVerification:
        outcome, begun = register_code(self.verifier, subject, PURPOSE, CODE, ttl=LIFE, **rest)
        assert outcome.ok, outcome
        assert begun is not None
        return begun

    def verify_code(self, begun: PendingVerification, typed: str, subject: PhoneNumber = PHONE) -> Reason | None:
        told = verify_code(self.verifier, begun, subject, PURPOSE, typed)
        return None if isinstance(told, Redeemed) else told.reason

    def check_code(self, typed: str, is_right: Any = lambda code: code == CODE) -> Reason | None:
        told = check_code(self.verifier, PHONE, PURPOSE, typed, is_right)
        return None if isinstance(told, Verification) else told.reason


@pytest.fixture(params=["memory", "sqlite"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(store="memory:" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.sqlite3'}")


def test_held_code_works_once(site: Site) -> None:
    begun = site.register_code()
    assert site.verify_code(begun, WRONG) is Reason.WRONG_CODE
    assert site.verify_code(begun, CODE) is None
    assert site.verify_code(begun, CODE) is Reason.CLOSED
    assert site.transport.notices == []


def test_held_code_ends_by_expiry_or_a_newer_code(site: Site) -> None:
    late, replaced = site.register_code(), site.register_code()
    site.register_code(shown=[replaced.secret])
    assert site.verify_code(replaced, CODE) is Reason.CLOSED
    site.clock.move(LIFE.total_seconds())
    assert site.verify_code(late, CODE) is Reason.CLOSED


def test_holding_again_resets_no_failures(site: Site) -> None:
    reasons = [site.verify_code(begun, WRONG) for _ in range(4) for begun in [site.register_code()] for _ in range(5)]
    assert reasons == [Reason.WRONG_CODE] * 20
    outcome, begun = register_code(site.verifier, PHONE, PURPOSE, CODE, ttl=LIFE)
    assert (outcome.reason, begun) == (Reason.TOO_MANY_REQUESTS, None)
    assert site.check_code(CODE) is Reason.TOO_MANY_REQUESTS
    assert site.verifier.start(PHONE, purpose=PURPOSE).reason is Reason.TOO_MANY_REQUESTS


def test_right_code_clears_the_failures(site: Site) -> None:
    for _ in range(3):
        assert [site.check_code(WRONG) for _ in range(15)] == [Reason.WRONG_CODE] * 15
        assert site.check_code(CODE) is None


def test_nothing_is_compared_during_a_lockout(site: Site) -> None:
    compared: list[str] = []

    def is_right(code: str) -> bool:
        compared.append(code)
        return False

    assert [site.check_code(WRONG, is_right) for _ in range(30)].count(Reason.WRONG_CODE) == 20
    assert len(compared) == 20


def test_code_of_another_length_is_not_compared(site: Site) -> None:
    assert site.check_code("04821", lambda code: True) is Reason.MALFORMED_CODE
    assert site.check_code("a password", lambda code: True) is Reason.MALFORMED_CODE


@pytest.mark.race
def test_burst_compares_no_more_than_the_limit(site: Site) -> None:
    compared: list[str] = []
    gate = threading.Barrier(30)

    def is_right(code: str) -> bool:
        compared.append(code)
        return False

    def guess() -> None:
        gate.wait(10)
        site.check_code(WRONG, is_right)

    threads = [threading.Thread(target=guess) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(compared) == 20


def test_send_limits_and_regions_do_not_apply() -> None:
    site = Site(sends_per_hour=1, sends_per_hour_total=1, allowed_regions="RU")
    assert [site.verify_code(site.register_code(), CODE) for _ in range(3)] == [None] * 3
    assert site.verifier.start(PhoneNumber("+79990000021"), purpose=PURPOSE).ok


def test_test_number_code_is_not_accepted() -> None:
    site = Site(test_passcodes=f"{PHONE.e164}=482193@2030-12-31")
    begun = site.register_code()
    assert site.verify_code(begun, "482193") is Reason.WRONG_CODE
    assert site.verify_code(begun, CODE) is None
    assert site.check_code("482193") is Reason.WRONG_CODE


def test_account_name_is_not_a_phone(site: Site) -> None:
    subject = account(site.verifier, "user-1")
    assert subject == account(site.verifier, "user-1") != account(site.verifier, "user-2")
    assert subject.kind is PhoneKind.REFUSED
    with pytest.raises(InvalidPhoneError):
        PhoneNumber.parse(subject.e164)
    assert site.verifier.start(subject).reason is Reason.DESTINATION_NOT_ALLOWED
    assert site.verify_code(site.register_code(subject), CODE, subject) is None
    found = site.verifier.get(*_pair(site.register_code(subject))).verification
    assert found is not None
    assert found.phone.e164 == subject.e164


def test_held_code_never_appears_in_text(site: Site) -> None:
    outcome, begun = register_code(site.verifier, PHONE, PURPOSE, CODE, ttl=LIFE)
    assert isinstance(outcome, Outcome)
    assert CODE not in repr((outcome, begun))


def _pair(begun: PendingVerification) -> tuple[str, str]:
    return begun.id, begun.secret


def test_held_code_works_for_its_user_only(site: Site) -> None:
    for user, expected in (("2", Reason.WRONG_CODE), ("1", None)):
        told = verify_code(site.verifier, site.register_code(user_id="1"), PHONE, PURPOSE, CODE, subject=user)
        assert (None if isinstance(told, Redeemed) else told.reason) is expected


def test_wrong_answers_to_another_package_count_for_the_address() -> None:
    verifier = Site(store="memory:", wrong_per_hour_per_address=1).verifier

    def answered(typed: str, address: str) -> Reason | None:
        told = check_code(verifier, PHONE, PURPOSE, typed, lambda code: code == CODE, address=address)
        return None if isinstance(told, Verification) else told.reason

    assert answered(WRONG, "192.0.2.1") is Reason.WRONG_CODE
    assert answered(CODE, "192.0.2.1") is Reason.TOO_MANY_REQUESTS
    assert answered(CODE, "192.0.2.2") is None


@pytest.mark.parametrize(("right", "failures"), [(True, 0), (None, 0), (False, 1)])
def test_rechecked_code_counts_its_failure(site: Site, right: bool | None, failures: int) -> None:
    subject = account(site.verifier, "1")
    assert count_check(site.verifier, subject, PURPOSE, lambda: right, user_id="1") is (right is True)
    begun = site.register_code(subject)
    found = site.verifier.get(*_pair(begun)).verification
    assert found is not None
    assert (found.failures.total if found.failures else 0) == failures


def test_locked_account_has_no_code_rechecked(site: Site) -> None:
    subject, compared = account(site.verifier, "1"), []

    def is_right() -> bool:
        compared.append(1)
        return len(compared) > 20

    assert may_check(site.verifier, subject, PURPOSE, user_id="1").ok
    assert not any(count_check(site.verifier, subject, PURPOSE, is_right, user_id="1") for _ in range(25))
    assert len(compared) == 20
    assert may_check(site.verifier, subject, PURPOSE, user_id="1").reason is Reason.TOO_MANY_REQUESTS


def test_rechecked_code_is_tallied_once() -> None:
    """Above the daily limit codes would get eight digits."""
    site = Site(failures_per_day=3, code_length=6)
    for user in map(str, range(5)):
        count_check(site.verifier, account(site.verifier, user), PURPOSE, lambda: False, user_id=user)
    started = site.verifier.start(PHONE).verification
    assert started is not None
    assert started.code_length == 6
