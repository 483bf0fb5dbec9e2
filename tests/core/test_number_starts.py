"""Which numbers of a former or unknown plan a start accepts."""

from __future__ import annotations

import pytest

from phone_verify.errors import InvalidPhoneError
from phone_verify.external.forms import NO_VERIFICATION, send_code, verify_code
from phone_verify.http.call import ApiRequest, SessionUser
from phone_verify.http.notices import notify_old_number
from phone_verify.http.number_change import current_numbers, read_number
from phone_verify.i18n.languages import ENGLISH
from phone_verify.i18n.texts import texts_in
from phone_verify.model import Outcome, Reason, Redeemed
from phone_verify.phone import PhoneNumber
from phone_verify.policy import Policy
from phone_verify.testing.transport import FakeTransport

from .harness import Harness, flash, sms
from .test_notices import site

OLD, NEW, GONE = PhoneNumber("+22997000000"), PhoneNumber("+2290197000000"), PhoneNumber("+22510000000")


@pytest.mark.parametrize("by_client", [True, False])
def test_unknown_number_needs_its_owner(by_client: bool) -> None:
    harness = Harness(written := sms())
    outcome = harness.verifier.start(GONE, by_client=by_client)
    assert outcome.reason is Reason.DESTINATION_NOT_ALLOWED
    assert written.orders == []
    assert harness.verifier.start(GONE, owned=True, by_client=by_client).ok
    assert written.orders[0].phone == GONE


@pytest.mark.parametrize("number", ["+19005550123", "+447012345678", "+870773111632"])
def test_expensive_number_is_refused_to_its_owner_too(number: str) -> None:
    harness = Harness(sms())
    assert harness.verifier.start(PhoneNumber(number), owned=True).reason is Reason.DESTINATION_NOT_ALLOWED


@pytest.mark.parametrize(
    ("number", "allowed", "accepted"),
    [
        ("+22510000000", "CI", True),
        ("+22510000000", "BJ", False),
        ("+18760000000", "US", False),
        ("+10000000000", "US", True),
    ],
)
def test_unknown_number_obeys_the_allowed_regions(number: str, allowed: str, accepted: bool) -> None:
    harness = Harness(sms(), allowed_regions=frozenset({allowed}))
    assert harness.verifier.start(PhoneNumber(number), owned=True).ok is accepted


def test_old_number_is_sent_to_in_its_form_of_today() -> None:
    harness = Harness(written := sms())
    started = harness.verifier.start(OLD)
    assert started.ok
    assert written.orders[0].phone == NEW
    assert harness.verifier.start(NEW, shown=[started.secret]).ok  # type: ignore[union-attr]
    assert harness.verifier.erase(OLD) == 2


def test_notice_goes_to_the_form_of_today() -> None:
    transport = FakeTransport()
    notify_old_number(site(transport, notify_old_number="1"), OLD, texts_in(ENGLISH))
    assert [notice.phone for notice in transport.notices] == [NEW.e164]


@pytest.mark.parametrize("phone", [OLD, GONE])
def test_form_of_another_package_sends_to_a_stored_number(phone: PhoneNumber) -> None:
    harness = Harness(written := sms())
    outcome, begun = send_code(harness.verifier, phone, "second_factor", begun=NO_VERIFICATION)
    assert outcome.ok
    code = written.codes[0]
    redeemed = verify_code(harness.verifier, begun, phone, "second_factor", code)
    assert isinstance(redeemed, Redeemed)
    assert redeemed.phone == phone.current


def test_form_of_a_visitor_sends_to_no_unknown_number() -> None:
    harness = Harness(sms(), flash())
    outcome, _ = send_code(harness.verifier, GONE, "second_factor", begun=NO_VERIFICATION, by_client=True)
    assert isinstance(outcome, Outcome)
    assert outcome.reason is Reason.DESTINATION_NOT_ALLOWED


def test_trusted_device_of_the_old_number_is_known_for_the_new_one() -> None:
    harness = Harness(sms())
    token = harness.verifier.remember_device("", OLD)
    started = harness.verifier.start(NEW, trusted_device=token, by_client=True)
    assert started.verification is not None
    assert started.verification.trusted


def test_current_numbers_are_todays() -> None:
    call = ApiRequest("GET", "", user=SessionUser("7", OLD.e164, [OLD.e164, NEW.e164, GONE.e164, "0912"]))
    assert current_numbers(call) == [NEW, GONE]


@pytest.mark.parametrize(("typed", "read"), [(GONE.e164, GONE), ("+225 10 00 00 00", GONE), (OLD.e164, NEW)])
def test_only_its_user_may_write_an_old_number(typed: str, read: PhoneNumber) -> None:
    user = SessionUser("7", read.e164 if read == GONE else OLD.e164)
    call = ApiRequest("POST", "", user=user)
    assert read_number(call, Policy(), typed) == read
    for stranger in (ApiRequest("POST", ""), ApiRequest("POST", "", user=SessionUser("8", "+989120000000"))):
        with pytest.raises(InvalidPhoneError):
            read_number(stranger, Policy(), typed)


def test_visitor_types_the_national_form_of_any_allowed_region() -> None:
    policy, call = Policy(region="FR", allowed_regions=frozenset({"FR", "GP", "RE"})), ApiRequest("POST", "")
    assert read_number(call, policy, "0692 00 00 00").e164 == "+262692000000"
    assert read_number(call, policy, "0690 00 00 00", region="RE").e164 == "+590690000000"
    with pytest.raises(InvalidPhoneError):
        read_number(call, Policy(region="FR"), "0692 00 00 00")
    with pytest.raises(InvalidPhoneError):
        read_number(call, Policy(allowed_regions=frozenset({"FR"})), "06 12 00 00 00")
