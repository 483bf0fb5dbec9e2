"""OAuth clients: their limits, the verifications that they started, and the grant over the verifier."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from phone_verify.codes import Keyring
from phone_verify.errors import ConfigurationError, StoreError
from phone_verify.model import Reason, Started
from phone_verify.oauth.grant import (
    INVALID_GRANT,
    UNAVAILABLE,
    Grant,
    Refusal,
    TokenRequest,
    has_credentials_of_no_client,
    parse,
    redeem,
)
from phone_verify.phone import PhoneNumber
from phone_verify.purposes import Purposes, read_purposes
from tests.django_adapter.projects import blocks, section

from .harness import OTHER_PHONE, PHONE, REFUSED, Driver, Harness, flash, sms

A, B = "client-a", "client-b"
GRANT = Grant()


def phones(count: int) -> list[PhoneNumber]:
    return [PhoneNumber(f"+98912{n:07}") for n in range(1, count + 1)]


def last_code(harness: Harness) -> str:
    (driver,) = harness.verifier.drivers.values()
    assert isinstance(driver, Driver)
    return driver.codes[-1]


def wrong(code: str) -> str:
    return ("0" if code[0] != "0" else "1") + code[1:]


# Limits


def test_sends_count_for_the_client_not_for_the_address() -> None:
    harness = Harness(sms(), sends_per_hour_per_address=1, sends_per_hour_per_client=3, sends_per_hour_per_prefix=0)
    made = [harness.start(phone=phone, address="192.0.2.1", oauth_client=A).ok for phone in phones(4)]
    assert made == [True] * 3 + [False]
    assert harness.start(phone=phones(5)[4], address="192.0.2.9", oauth_client=A).reason is Reason.TOO_MANY_REQUESTS
    assert harness.start(phone=phones(5)[4], address="192.0.2.1", oauth_client=B).ok
    assert harness.start(phone=phones(5)[4], address="192.0.2.1").ok, "none was counted for the address"


def test_a_fifth_of_a_clients_sends_is_kept_for_your_code() -> None:
    harness = Harness(sms(), sends_per_hour_per_client=5, sends_per_hour_per_prefix=0)
    assert [harness.start(phone=phone, oauth_client=A, by_client=True).ok for phone in phones(5)] == [True] * 4 + [
        False
    ]


def test_sends_to_one_phone_stay_limited_for_all_clients() -> None:
    harness = Harness(sms(), sends_per_hour=2)
    assert [harness.start(oauth_client=client).ok for client in (A, B, A)] == [True, True, False]
    assert harness.start(address="192.0.2.1").reason is Reason.TOO_MANY_REQUESTS


def test_resends_count_for_the_client() -> None:
    harness = Harness(sms(), sends_per_hour_per_client=2, resend_after=timedelta(0))
    id, secret = harness.begun(oauth_client=A)
    assert harness.verifier.resend(id, secret, oauth_client=A).ok
    assert harness.verifier.resend(id, secret, oauth_client=A).reason is Reason.TOO_MANY_REQUESTS


def test_wrong_answers_count_for_the_client() -> None:
    harness = Harness(sms(), wrong_per_hour_per_client=3, wrong_per_hour_per_address=1, sends_per_hour_per_prefix=0)
    begun = [(*harness.begun(phone=phone, oauth_client=A), wrong(last_code(harness))) for phone in phones(4)]
    answers = [harness.verifier.check(*each, address="192.0.2.1", oauth_client=A).reason for each in begun]
    assert answers == [*[Reason.WRONG_CODE] * 3, Reason.TOO_MANY_REQUESTS]
    assert harness.start(phone=phones(5)[4], oauth_client=A).reason is Reason.TOO_MANY_REQUESTS
    assert harness.start(phone=phones(5)[4], oauth_client=B, address="192.0.2.1").ok


def test_refused_orders_of_a_client_have_a_larger_quota_than_an_address() -> None:
    harness = Harness(sms(*[REFUSED] * 200), sends_per_hour_per_prefix=0, sends_per_hour_per_client=0)
    reasons = [harness.start(phone=phone, oauth_client=A).reason for phone in phones(101)]
    assert reasons == [*[Reason.DELIVERY_FAILED] * 100, Reason.TOO_MANY_REQUESTS]
    assert harness.start(phone=phones(102)[101], oauth_client=B).reason is Reason.DELIVERY_FAILED


def test_client_that_looks_like_an_address_is_no_address() -> None:
    harness = Harness(sms(), sends_per_hour_per_address=1, sends_per_hour_per_client=0, sends_per_hour_per_prefix=0)
    assert all(harness.start(phone=phone, oauth_client="2001:db8::1").ok for phone in phones(3))
    assert harness.start(phone=phones(4)[3], address="2001:db8::1").ok


# Which verification is a client's


def test_newest_of_the_client_and_the_purposes_is_found() -> None:
    harness = Harness(sms(), sends_per_hour=0)
    verifier = harness.verifier
    assert verifier.held_by(A, PHONE, ["login"]) is None
    older = harness.begun(oauth_client=A)
    harness.clock.move(1)
    newer = harness.begun(oauth_client=A)
    harness.clock.move(1)
    harness.begun(oauth_client=B)
    harness.begun()
    harness.begun(oauth_client=A, purpose="guest")
    assert verifier.held_by(A, PHONE, ["login", "signup"]) == newer != older
    assert verifier.held_by(A, OTHER_PHONE, ["login"]) is None
    assert verifier.held_by("", PHONE, ["login"]) is None


def test_ended_verification_is_not_replaced_by_an_earlier_one() -> None:
    """The attempts of an earlier one would be further guesses."""
    harness = Harness(sms(), sends_per_hour=0)
    harness.begun(oauth_client=A)
    code = last_code(harness)
    harness.clock.move(1)
    newer = harness.begun(oauth_client=A)
    harness.verifier.cancel(*newer)
    assert harness.verifier.held_by(A, PHONE, ["login"]) == newer
    assert redeem(harness.verifier, GRANT, A, TokenRequest(PHONE, code)) == INVALID_GRANT


def test_secrets_differ_by_client_and_verification_and_survive_rotation() -> None:
    old, new = "a" + "0123456789abcdef" * 3, "b" + "0123456789abcdef" * 3
    before, after = Keyring([old], tag_key=old), Keyring([new, old], tag_key=old)
    ids = ["i" * 44, "j" * 44]
    secrets = {before.client_secrets(client, id)[0] for client in (A, B, "") for id in ids}
    assert len(secrets) == 6
    assert all(len(secret) == 22 for secret in secrets)
    assert before.client_secrets(A, ids[0])[0] in after.client_secrets(A, ids[0])[1:]


# The grant


def test_right_code_is_redeemed_once() -> None:
    harness = Harness(sms())
    harness.begun(oauth_client=A)
    wanted = TokenRequest(PHONE, last_code(harness))
    redeemed = redeem(harness.verifier, GRANT, A, wanted)
    assert not isinstance(redeemed, Refusal)
    assert (redeemed.phone, redeemed.purpose) == (PHONE, "login")
    assert redeem(harness.verifier, GRANT, A, wanted) == INVALID_GRANT


def test_locked_phone_gets_429_with_a_wait() -> None:
    harness = Harness(sms(), max_failures=3, max_attempts=5)
    harness.begun(oauth_client=A)
    code = last_code(harness)
    for _ in range(3):
        assert redeem(harness.verifier, GRANT, A, TokenRequest(PHONE, wrong(code))) == INVALID_GRANT
    refused = redeem(harness.verifier, GRANT, A, TokenRequest(PHONE, code))
    assert isinstance(refused, Refusal)
    assert (refused.error, refused.status) == ("temporarily_unavailable", 429)
    assert refused.headers == {"Retry-After": "3600"}


def test_wrong_codes_of_the_grant_count_for_the_client() -> None:
    harness = Harness(sms(), wrong_per_hour_per_client=2, sends_per_hour_per_prefix=0)
    wanted = []
    for phone in phones(3):
        harness.begun(phone=phone, oauth_client=A)
        wanted.append(TokenRequest(phone, wrong(last_code(harness))))
    answers = [redeem(harness.verifier, GRANT, A, each) for each in wanted]
    assert [answer.status for answer in answers if isinstance(answer, Refusal)] == [400, 400, 429]


def test_other_purpose_is_no_attempt() -> None:
    harness = Harness(sms())
    id, secret = harness.begun(oauth_client=A, purpose="guest")
    code = last_code(harness)
    held = TokenRequest(PHONE, code, id=id, secret=secret)
    assert redeem(harness.verifier, GRANT, A, held) == INVALID_GRANT
    guest = Grant(purposes=("guest",))
    redeemed = redeem(harness.verifier, guest, A, TokenRequest(PHONE, code))
    assert not isinstance(redeemed, Refusal)
    assert redeemed.purpose == "guest"


def test_short_code_has_three_attempts() -> None:
    harness = Harness(flash("1234"))
    harness.begun(oauth_client=A)
    code = "1234"
    for _ in range(3):
        assert redeem(harness.verifier, GRANT, A, TokenRequest(PHONE, wrong(code))) == INVALID_GRANT
    assert redeem(harness.verifier, GRANT, A, TokenRequest(PHONE, code)) == INVALID_GRANT


def test_store_down_is_unavailable(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(sms())
    harness.begun(oauth_client=A)

    async def fail(*_: Any, **__: Any) -> Any:
        raise StoreError("down")

    monkeypatch.setattr(harness.verifier.flows._store, "spend", fail)
    assert redeem(harness.verifier, GRANT, A, TokenRequest(PHONE, last_code(harness))) == UNAVAILABLE
    assert "the store did not answer" in caplog.text


@pytest.mark.parametrize(
    "parameters",
    [
        [],
        [("mobile", "")],
        [("mobile", PHONE.e164)],
        [("mobile", PHONE.e164), ("mobile_verification_code", "")],
        [("mobile", PHONE.e164), ("mobile", PHONE.e164), ("mobile_verification_code", "123456")],
        [("mobile", PHONE.e164), ("mobile_verification_code", "123456"), ("proof", "x")],
        [("mobile", PHONE.e164), ("proof", "x")],
        [("mobile", PHONE.e164), ("mobile_verification_code", "123456"), ("verification_id", "x")],
        [("mobile", "09121234567x"), ("mobile_verification_code", "123456")],
        [("mobile", PHONE.e164), ("mobile_verification_code", "1" * 1001)],
    ],
)
def test_malformed_parameters_are_refused(parameters: list[tuple[str, str]]) -> None:
    refused = parse(Harness(sms()).verifier.flows.policy, parameters)
    assert isinstance(refused, Refusal)
    assert (refused.error, refused.status) == ("invalid_request", 400)
    assert '"' not in refused.description


def test_further_parameters_are_the_sites() -> None:
    policy = replace(Harness(sms()).verifier.flows.policy, region="IR")
    parameters = {"mobile": "09120000000", "mobile_verification_code": "1", "event_id": "7", "client_secret": "s"}
    wanted = parse(policy, list(parameters.items()))
    assert isinstance(wanted, TokenRequest)
    assert (wanted.phone, wanted.extra) == (PhoneNumber("+989120000000"), {"event_id": "7"})
    assert "7" not in repr(wanted)


@pytest.mark.parametrize(
    ("grant", "says"),
    [
        (Grant(""), "is not a name"),
        (Grant("client_credentials"), "which OAuth itself does not define"),
        (Grant("a b"), "is not a name"),
        (Grant(purposes=("confirm",)), "no OAuth client can start"),
        (Grant(purposes=("second_factor",)), "a purpose of your own"),
        (Grant(purposes=("payout",)), "payout:open"),
        (Grant(purposes=("unknown",)), "unknown:open"),
    ],
)
def test_mistake_in_a_grant_says_what_to_write(grant: Grant, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        grant.validate(read_purposes(["payout", "guest:open"]))


def test_names_and_purposes_of_the_site_are_accepted() -> None:
    known = read_purposes(["guest:open"])
    for grant in (Grant(), Grant("event_mobile_verification"), Grant("urn:shop:mobile", ("guest",))):
        grant.validate(known)
    Grant().validate(Purposes())


def test_start_of_a_client_is_an_ordinary_one() -> None:
    harness = Harness(sms())
    outcome = harness.start(oauth_client=A)
    assert isinstance(outcome, Started)
    assert harness.verifier.check(outcome.verification.id, outcome.secret, last_code(harness)).ok
    assert (outcome.verification.subject, outcome.verification.request.budget) == ("", "sign_in")


def test_code_in_another_resource_as_documented() -> None:
    """docs/oauth.md, "The code in another resource"."""
    [block] = [block for block in blocks(section("oauth.md", "The code in another resource")) if block.name is None]
    names: dict[str, Any] = {}
    exec(block.text, names)
    harness = Harness(sms())
    harness.begun(oauth_client=A, purpose="tickets")
    code = last_code(harness)
    assert names["book"](harness.verifier, A, PHONE, wrong(code)) is None
    assert names["book"](harness.verifier, B, PHONE, code) is None
    assert names["book"](harness.verifier, A, PHONE, code) == harness.clock()
    assert names["book"](harness.verifier, A, PHONE, code) is None


@pytest.mark.parametrize(
    ("authorization", "parameters", "expected"),
    [
        (None, {}, False),
        ("", {"client_id": "shop-app", "client_secret": "a b~!"}, False),
        ("Basic c2hvcC1hcHA6c2VjcmV0", {"mobile": "\u0660\0"}, False),
        ("Basic", {}, False),
        ("Basic \u00e9", {}, False),
        ("Basic A", {}, False),
        ("Bearer AAAA", {}, False),
        ("Basic AAAA", {}, True),
        ("basic\tAAAA AAAA", {}, True),
        ("Basic JTAwOng=", {}, True),
        ("Basic /w==", {}, True),
        (None, {"client_id": "a\0"}, True),
        (None, {"client_secret": "\u00e9"}, True),
        (None, {"client_secret": "\ud800"}, True),
    ],
)
def test_credentials_of_no_client_are_found(
    authorization: str | None, parameters: dict[str, str], expected: bool
) -> None:
    assert has_credentials_of_no_client(authorization, parameters) is expected
