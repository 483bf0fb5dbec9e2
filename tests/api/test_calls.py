"""The JSON API, blocking and awaited, over the memory store and small drivers, without a framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from phone_verify.api import ApiRequest, ApiResponse, SignIn, Site, ahandle, handle, routes
from phone_verify.api.representation import dial, seconds_left, verification
from phone_verify.http.cookies import with_pair
from phone_verify.model import Receipt, Status
from phone_verify.testing.clock import ManualClock
from phone_verify.verifier.blocking import Verifier
from tests.cases import in_one_test
from tests.core.harness import (
    CALL,
    FLASH,
    LINE,
    PHONE,
    SMS,
    AsyncFace,
    Caller,
    DeafCaller,
    Driver,
    Harness,
    awaited,
    flash,
    sms,
)
from tests.core.test_signed_webhooks import Signing, signed

OLD, NEW = "old-secret", "new-secret"

pytestmark = pytest.mark.usefixtures("face")


def site(harness: Harness) -> Site:
    return Site(
        harness.verifier, webhook_secrets=(NEW, OLD), make_async_verifier=lambda: AsyncFace(harness.parts).flows
    )


def handled(site: Site, call: ApiRequest) -> Any:
    return handle(site, call) if Harness.face is Verifier else awaited(ahandle(site, call))


def ask(site: Site, method: str, path: str, fields: Any = None, **more: Any) -> ApiResponse | SignIn:
    headers = {"content-type": "application/json", **more.pop("headers", {})}
    body = b"" if fields is None else json.dumps(fields).encode()
    call = ApiRequest(method, path, headers, body=body, **more)
    answer = handled(site, call)
    assert isinstance(answer, ApiResponse | SignIn)
    return answer


def document(answer: ApiResponse | SignIn) -> Mapping[str, Any]:
    assert isinstance(answer, ApiResponse)
    assert answer.document is not None
    return answer.document


def problem(answer: ApiResponse | SignIn) -> tuple[int, Any]:
    assert isinstance(answer, ApiResponse)
    assert answer.document is not None
    return answer.status, answer.document["code"]


# Signing in by a proof


def proven(purpose: str = "login") -> tuple[Site, str, str, str]:
    """A site, and id, secret and proof of a verification."""
    driver = sms()
    harness = Harness(driver)
    id, secret = harness.begun(purpose=purpose)
    proof = harness.verifier.check(id, secret, driver.codes[0]).proof
    assert proof is not None
    return site(harness), id, secret, proof


@pytest.mark.parametrize("header", ["x" * 22, ""])
def test_wrong_header_secret_is_refused_despite_valid_cookie(header: str) -> None:
    target, id, secret, proof = proven()
    shown: dict[str, Any] = {"cookie": with_pair("", id, secret)}
    wrong = {"headers": {"verification-secret": header}}
    assert problem(ask(target, "POST", "v1/session", {"proof": proof}, **shown, **wrong)) == (400, "invalid_proof")
    assert problem(ask(target, "GET", f"v1/verifications/{id}", **shown, **wrong)) == (404, "not_found")
    answer = ask(target, "POST", "v1/session", {"proof": proof}, **shown)  # nothing was consumed
    assert isinstance(answer, SignIn)
    assert answer.redeemed.phone == PHONE
    assert problem(ask(target, "POST", "v1/session", {"proof": proof}, **shown)) == (400, "invalid_proof")


def test_header_secret_alone_is_enough() -> None:
    target, _, secret, proof = proven()
    right = {"verification-secret": secret}
    assert isinstance(ask(target, "POST", "v1/session", {"proof": proof}, headers=right), SignIn)


@in_one_test
@pytest.mark.parametrize(
    ("purpose", "signs_in"),
    [("login", True), ("signup", True), ("confirm", False), ("change_phone", False), ("second_factor", False)],
)
def test_proof_signs_in_only_for_sign_in_purposes(purpose: str, signs_in: bool) -> None:
    target, id, secret, proof = proven(purpose)
    answer = ask(target, "POST", "v1/session", {"proof": proof}, cookie=with_pair("", id, secret))
    assert isinstance(answer, SignIn) is signs_in
    assert signs_in or problem(answer) == (400, "invalid_proof")
    assert signs_in or target.verifier.redeem(proof, [secret], [purpose]) is not None


def test_resends_of_an_oauth_client_count_for_it_alone() -> None:
    harness = Harness(
        sms(), sends_per_hour_per_address=1, sends_per_hour_per_client=3, resend_after=timedelta(0), max_attempts=3
    )
    target = site(harness)
    begun = ask(target, "POST", "v1/verifications", {"phone": PHONE.e164}, client="shop", peer="203.0.113.1")
    assert isinstance(begun, ApiResponse)
    assert begun.document is not None
    headers = {"verification-secret": str(begun.document["secret"])}
    path = f"v1/verifications/{begun.document['id']}/resend"
    for status in (200, 200, 429):
        again = ask(target, "POST", path, {}, client="shop", peer="203.0.113.1", headers=headers)
        assert isinstance(again, ApiResponse)
        assert again.status == status


# Webhooks


def rung(secret: str = NEW, driver: str = "deaf", method: str = "GET", parameters: int = 2, form: bool = False) -> Any:
    """Return the status and the state of the claim after this webhook about it."""
    harness = Harness(DeafCaller(Receipt("7", line=LINE)), sms())
    id, holder = harness.begun(CALL)
    fields = [("id", "7"), ("caller", PHONE.e164), *((f"x{n}", "") for n in range(parameters - 2))]
    where: dict[str, Any] = {"query": urlencode(fields)}
    if form:
        where = {"body": urlencode(fields).encode(), "headers": {"content-type": "application/x-www-form-urlencoded"}}
    answer = handled(site(harness), ApiRequest(method, f"webhooks/{driver}/{secret}", **where))
    assert isinstance(answer, ApiResponse)
    record = harness.verifier.get(id, holder).verification
    assert record is not None
    if answer.status == 200:
        assert answer.text == "OK"
    return answer, record.state


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_webhook_secret_of_any_listed_key_is_accepted(secret: str) -> None:
    answer, state = rung(secret)
    assert (answer.status, state) == (200, Status.VERIFIED)


@in_one_test
@pytest.mark.parametrize(
    ("secret", "driver"),
    [
        *[(secret, "deaf") for secret in ("wrong", NEW[:-1], f"{NEW}x", f"{NEW},{OLD}", "\udc80")],
        *[(NEW, "other"), (OLD, "other"), (NEW, "DEAF")],
    ],
    ids=ascii,
)
def test_webhook_with_wrong_secret_or_driver_is_404(secret: str, driver: str) -> None:
    answer, state = rung(secret, driver)
    assert problem(answer) == (404, "not_found")
    assert state is Status.SENT


def test_webhook_of_a_driver_without_webhooks_has_no_effect() -> None:
    answer, state = rung(driver="sms-1")
    assert (answer.status, state) == (200, Status.SENT)


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize(("parameters", "state"), [(128, Status.VERIFIED), (129, Status.SENT)])
def test_webhook_with_too_many_parameters_has_no_effect(form: bool, parameters: int, state: Status) -> None:
    answer, standing = rung(method="POST" if form else "GET", parameters=parameters, form=form)
    assert (answer.status, standing) == (200, state)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_get_and_post_report_a_call(method: str) -> None:
    answer, state = rung(method=method)
    assert problem(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST"
    assert state is Status.SENT


def test_head_is_allowed_where_get_has_no_effect() -> None:
    harness = Harness(sms())
    id, secret = harness.begun()
    answer = handled(site(harness), ApiRequest("HEAD", f"v1/verifications/{id}", cookie=with_pair("", id, secret)))
    assert isinstance(answer, ApiResponse)
    assert answer.status == 200


# The verification


@in_one_test
@pytest.mark.parametrize(
    ("left", "seconds"), [(300, 300), (299.001, 300), (1, 1), (0.2, 1), (0.000001, 1), (0, 0), (-5, 0)]
)
def test_seconds_left_are_rounded_up(left: float, seconds: int) -> None:
    record = Harness(sms()).start().verification
    assert record is not None
    assert seconds_left(record, record.read_at + timedelta(seconds=left)) == seconds


def test_ended_verification_has_no_seconds_left() -> None:
    harness = Harness(sms())
    id, secret = harness.begun()
    harness.verifier.cancel(id, secret)
    told = verification(harness.verifier.get(id, secret))
    assert (told["status"], told["expires_in"], told["resend_in"], told["channels"]) == ("cancelled", 0, 0, [])


def test_number_to_call_is_returned_while_the_claim_is_open() -> None:
    harness = Harness(Caller([Receipt("1", line=LINE)]), sms(), resend_after=timedelta(0))
    id, secret = harness.begun(CALL)
    told = verification(harness.verifier.get(id, secret))
    assert isinstance(told["dial"], dict)
    assert (told["dial"]["number"], told["dial"]["uri"]) == (LINE.e164, f"tel:{LINE.e164}")
    assert (told["code_length"], told["attempts_left"], told["caller_hint"]) == (None, None, None)
    harness.verifier.cancel(id, secret)
    assert verification(harness.verifier.get(id, secret))["dial"] is None


def test_number_to_call_stays_when_a_code_is_sent() -> None:
    harness = Harness(Caller([Receipt("1", line=LINE)]), sms(), resend_after=timedelta(0))
    id, secret = harness.begun(CALL)
    told = verification(harness.verifier.resend(id, secret, channel=SMS))
    assert (told["channel"], told["dial"]["number"], told["code_length"]) == ("sms", LINE.e164, 6)


def test_expired_claim_has_no_number_to_call() -> None:
    record = Harness(Caller([Receipt("1", line=LINE)])).start().verification
    assert record is not None
    assert dial(record) is not None
    assert dial(replace(record, read_at=record.expires_at)) is None


def hint(driver: Driver) -> object:
    outcome = Harness(driver).start()
    return verification(outcome)["caller_hint"]


def test_caller_prefix_is_returned_for_flash_calls_only() -> None:
    assert hint(flash("1234")) == "099"
    assert hint(sms(Receipt("r", caller_hint="099"))) is None
    assert hint(Caller([Receipt("r", line=LINE, caller_hint="099")])) is None
    harness = Harness(flash("1234"), sms(), resend_after=timedelta(0))
    id, secret = harness.begun(FLASH)
    assert verification(harness.verifier.resend(id, secret, channel=SMS))["caller_hint"] is None


def signed_webhook(secret: str, body: bytes, headers: dict[str, str]) -> ApiResponse:
    call = ApiRequest("POST", f"webhooks/signing/{secret}", headers, "a=1", body)
    answer = handled(site(Harness(Signing())), call)
    assert isinstance(answer, ApiResponse)
    return answer


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_driver_gets_the_public_url_that_the_provider_called(secret: str) -> None:
    url = f"https://site.example/signing/{secret}?a=1"
    told = signed(b'{"key": "x.1", "phone": "+989120000000"}', ManualClock()(), url)
    answer = signed_webhook(secret, told.body, dict(told.headers))
    assert (answer.status, answer.document, answer.content_type) == (200, {"ok": False}, "application/json")


def test_webhook_without_its_signature_is_403() -> None:
    assert problem(signed_webhook(NEW, b"{}", {})) == (403, "invalid_signature")


def test_early_resend_is_not_reported_as_too_many_attempts() -> None:
    target = site(Harness(sms()))
    begun = document(ask(target, "POST", "v1/verifications", {"phone": PHONE.e164}))
    path, header = f"v1/verifications/{begun['id']}/resend", {"verification-secret": begun["secret"]}
    answer = ask(target, "POST", path, {}, headers=header)
    assert problem(answer) == (429, "too_many_requests")
    assert document(answer)["detail"] == "You can't get another code yet."


def test_route_of_a_call_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    find = routes._found

    def record(path: str) -> Any:
        found.append(path)
        return find(path)

    monkeypatch.setattr(routes, "_found", record)
    ask(site(Harness(sms())), "POST", "v1/verifications", {"phone": PHONE.e164})
    assert found == ["v1/verifications"]


def test_unknown_purpose_names_the_allowed_ones() -> None:
    answer = ask(site(Harness(sms())), "POST", "v1/verifications", {"phone": PHONE.e164, "purpose": "sign-in"})
    assert document(answer)["detail"] == "Unknown purpose. Allowed: login, signup, change_phone, confirm."


def test_token_that_is_not_valid_is_named() -> None:
    answer = ask(site(Harness(sms())), "GET", "v1/session", token="stale")
    assert problem(answer) == (401, "not_signed_in")
    assert document(answer)["detail"] == "This token is not valid. Sign in again."
