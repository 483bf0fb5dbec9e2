"""The JSON API, blocking and awaited, over the memory store and small drivers, without a framework."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from phone_verify.api import ApiRequest, ApiResponse, SignIn, Site, ahandle, handle
from phone_verify.api.representation import dial, seconds_left, verification
from phone_verify.http.cookies import with_pair
from phone_verify.model import Receipt, Status
from phone_verify.verifier import Verifier
from tests.core.bench import (
    CALL,
    FLASH,
    LINE,
    PHONE,
    SMS,
    AsyncFace,
    Bench,
    Caller,
    DeafCaller,
    Driver,
    awaited,
    flash,
    sms,
)

OLD, NEW = "old-secret", "new-secret"

pytestmark = pytest.mark.usefixtures("face")


def site(bench: Bench) -> Site:
    return Site(bench.verifier, webhook_secrets=(NEW, OLD), make_async_verifier=lambda: AsyncFace(bench.parts).flows)


def handled(site: Site, call: ApiRequest) -> Any:
    return handle(site, call) if Bench.face is Verifier else awaited(ahandle(site, call))


def ask(site: Site, method: str, path: str, fields: Any = None, **more: Any) -> ApiResponse | SignIn:
    headers = {"content-type": "application/json", **more.pop("headers", {})}
    body = b"" if fields is None else json.dumps(fields).encode()
    call = ApiRequest(method, path, headers, body=body, **more)
    answer = handled(site, call)
    assert isinstance(answer, ApiResponse | SignIn)
    return answer


def problem(answer: ApiResponse | SignIn) -> tuple[int, Any]:
    assert isinstance(answer, ApiResponse)
    assert answer.document is not None
    return answer.status, answer.document["code"]


# Signing in by a proof


def proven(purpose: str = "login") -> tuple[Site, str, str, str]:
    """A site, and id, secret and proof of a verification."""
    driver = sms()
    bench = Bench(driver)
    id, secret = bench.begun(purpose=purpose)
    proof = bench.verifier.check(id, secret, driver.codes[0]).proof
    assert proof is not None
    return site(bench), id, secret, proof


@pytest.mark.parametrize("header", ["x" * 22, ""])
def test_a_wrong_secret_in_the_header_is_not_helped_by_the_cookie(header: str) -> None:
    target, id, secret, proof = proven()
    shown: dict[str, Any] = {"cookie": with_pair("", id, secret)}
    wrong = {"headers": {"verification-secret": header}}
    assert problem(ask(target, "POST", "v1/session", {"proof": proof}, **shown, **wrong)) == (400, "invalid_proof")
    assert problem(ask(target, "GET", f"v1/verifications/{id}", **shown, **wrong)) == (404, "not_found")
    answer = ask(target, "POST", "v1/session", {"proof": proof}, **shown)  # nothing was burnt
    assert isinstance(answer, SignIn)
    assert answer.redeemed.phone == PHONE
    assert problem(ask(target, "POST", "v1/session", {"proof": proof}, **shown)) == (400, "invalid_proof")


def test_the_right_secret_in_the_header_is_enough() -> None:
    target, _, secret, proof = proven()
    right = {"verification-secret": secret}
    assert isinstance(ask(target, "POST", "v1/session", {"proof": proof}, headers=right), SignIn)


@pytest.mark.parametrize(
    ("purpose", "signs_in"),
    [("login", True), ("signup", True), ("confirm", False), ("change_phone", False), ("second_factor", False)],
)
def test_what_a_proof_was_earned_for_decides_whether_it_signs_in(purpose: str, signs_in: bool) -> None:
    target, id, secret, proof = proven(purpose)
    answer = ask(target, "POST", "v1/session", {"proof": proof}, cookie=with_pair("", id, secret))
    assert isinstance(answer, SignIn) is signs_in
    assert signs_in or problem(answer) == (400, "invalid_proof")
    assert signs_in or target.verifier.redeem(proof, [secret], [purpose]) is not None


# Webhooks


def rung(secret: str = NEW, driver: str = "deaf", method: str = "GET", parameters: int = 2, form: bool = False) -> Any:
    """Status, and where the claim stands after this webhook about it."""
    bench = Bench(DeafCaller(Receipt("7", line=LINE)), sms())
    id, holder = bench.begun(CALL)
    fields = [("id", "7"), ("caller", PHONE.e164), *((f"x{n}", "") for n in range(parameters - 2))]
    where: dict[str, Any] = {"query": urlencode(fields)}
    if form:
        where = {"body": urlencode(fields).encode(), "headers": {"content-type": "application/x-www-form-urlencoded"}}
    answer = handled(site(bench), ApiRequest(method, f"webhooks/{driver}/{secret}", **where))
    assert isinstance(answer, ApiResponse)
    record = bench.verifier.get(id, holder).verification
    assert record is not None
    if answer.status == 200:
        assert answer.text == "OK"
    return answer, record.state


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_a_webhook_may_show_the_secret_of_any_listed_key(secret: str) -> None:
    answer, state = rung(secret)
    assert (answer.status, state) == (200, Status.VERIFIED)


@pytest.mark.parametrize(
    ("secret", "driver"),
    [
        *[(secret, "deaf") for secret in ("wrong", NEW[:-1], f"{NEW}x", f"{NEW},{OLD}", "\udc80")],
        *[(NEW, "other"), (OLD, "other"), (NEW, "DEAF")],
    ],
    ids=ascii,
)
def test_a_webhook_with_a_wrong_secret_or_of_an_unknown_driver_is_not_found(secret: str, driver: str) -> None:
    answer, state = rung(secret, driver)
    assert problem(answer) == (404, "not_found")
    assert state is Status.SENT


def test_a_webhook_of_a_driver_that_takes_none_is_taken_and_does_nothing() -> None:
    answer, state = rung(driver="sms-1")
    assert (answer.status, state) == (200, Status.SENT)


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize(("parameters", "state"), [(100, Status.VERIFIED), (101, Status.SENT)])
def test_a_webhook_of_more_than_a_hundred_parameters_does_nothing(form: bool, parameters: int, state: Status) -> None:
    answer, standing = rung(method="POST" if form else "GET", parameters=parameters, form=form)
    assert (answer.status, standing) == (200, state)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_get_and_post_report_a_call(method: str) -> None:
    answer, state = rung(method=method)
    assert problem(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST"
    assert state is Status.SENT


def test_head_is_allowed_where_get_has_no_effect() -> None:
    bench = Bench(sms())
    id, secret = bench.begun()
    answer = handled(site(bench), ApiRequest("HEAD", f"v1/verifications/{id}", cookie=with_pair("", id, secret)))
    assert isinstance(answer, ApiResponse)
    assert answer.status == 200


# The verification


@pytest.mark.parametrize(
    ("left", "seconds"), [(300, 300), (299.001, 300), (1, 1), (0.2, 1), (0.000001, 1), (0, 0), (-5, 0)]
)
def test_seconds_left_are_rounded_up(left: float, seconds: int) -> None:
    record = Bench(sms()).start().verification
    assert record is not None
    assert seconds_left(record, record.read_at + timedelta(seconds=left)) == seconds


def test_no_seconds_are_left_of_what_is_over() -> None:
    bench = Bench(sms())
    id, secret = bench.begun()
    bench.verifier.cancel(id, secret)
    told = verification(bench.verifier.get(id, secret))
    assert (told["status"], told["expires_in"], told["resend_in"], told["channels"]) == ("cancelled", 0, 0, [])


def test_the_number_to_call_is_told_while_the_claim_is_open() -> None:
    bench = Bench(Caller([Receipt("1", line=LINE)]), sms(), resend_after=timedelta(0))
    id, secret = bench.begun(CALL)
    told = verification(bench.verifier.get(id, secret))
    assert isinstance(told["dial"], dict)
    assert (told["dial"]["number"], told["dial"]["uri"]) == (LINE.e164, f"tel:{LINE.e164}")
    assert (told["code_length"], told["attempts_left"], told["caller_hint"]) == (None, None, None)
    bench.verifier.cancel(id, secret)
    assert verification(bench.verifier.get(id, secret))["dial"] is None


def test_the_number_to_call_goes_when_a_code_is_sent_instead() -> None:
    bench = Bench(Caller([Receipt("1", line=LINE)]), sms(), resend_after=timedelta(0))
    id, secret = bench.begun(CALL)
    told = verification(bench.verifier.resend(id, secret, channel=SMS))
    assert (told["channel"], told["dial"], told["code_length"]) == ("sms", None, 6)


def test_a_claim_past_its_end_names_no_number() -> None:
    record = Bench(Caller([Receipt("1", line=LINE)])).start().verification
    assert record is not None
    assert dial(record) is not None
    assert dial(replace(record, read_at=record.expires_at)) is None


def hint(driver: Driver) -> object:
    outcome = Bench(driver).start()
    return verification(outcome)["caller_hint"]


def test_the_calling_numbers_first_digits_are_told_of_flash_calls_only() -> None:
    assert hint(flash("1234")) == "099"
    assert hint(sms(Receipt("r", caller_hint="099"))) is None
    assert hint(Caller([Receipt("r", line=LINE, caller_hint="099")])) is None
    bench = Bench(flash("1234"), sms(), resend_after=timedelta(0))
    id, secret = bench.begun(FLASH)
    assert verification(bench.verifier.resend(id, secret, channel=SMS))["caller_hint"] is None
