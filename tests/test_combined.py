"""A code and a call for one sign-in, over real HTTP on both example sites in their production setup."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from phone_verify.api.verifications import OTHER_CALLER
from phone_verify.sandbox import SandboxServer

from .clients import Answer, Browser, HttpCarrier
from .scenarios import SETTINGS, Stage, conforms, refused, start
from .servers import environment, free_port, gunicorn

PURPOSES = "login:require=sms+inbound_call,change_phone:require=inbound_call+sms,wire:open;require=sms+inbound_call"
SECRET = "a-secret-of-webhooks-0123456789"


@pytest.fixture(scope="module", params=["django", pytest.param("flask", marks=pytest.mark.slow)])
def stage(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    settings = {**SETTINGS, "purposes": PURPOSES}
    env = environment(request.param, tmp_path_factory.mktemp(request.param), sandbox.dsn, settings)
    with gunicorn(request.param, env) as url:
        yield Stage(lambda: HttpCarrier(url), sandbox)


def checked(stage: Stage, browser: Browser, phone: str, **fields: str) -> dict[str, Any]:
    """Verify a code by SMS, and return the verification."""
    begun = start(browser, phone, channel="sms", **fields)
    assert begun["channels_left"] == ["sms", "inbound_call"] or begun["channels_left"] == ["inbound_call", "sms"]
    answer = browser.call("POST", f"v1/verifications/{begun['id']}/check", {"code": stage.code(phone)})
    conforms(answer, 200, "Verification")
    document = answer.json()
    assert isinstance(document, dict)
    return document


def polled(browser: Browser, id: str) -> dict[str, Any]:
    """Follow a verification until its call has arrived."""
    for _ in range(60):
        answer = browser.call("GET", f"v1/verifications/{id}")
        conforms(answer, 200, "Verification")
        document = answer.json()
        if document["status"] == "verified":
            break
        time.sleep(0.5)
    assert isinstance(document, dict)
    return document


def test_api_signs_in_by_both_only(stage: Stage) -> None:
    browser, phone = stage.browser(), stage.phone()
    first = checked(stage, browser, phone)
    assert first["channels_left"] == ["inbound_call"]
    half = {"proof": first["proof"]}
    for _ in range(2):
        refused(browser.call("POST", "v1/session", half), 400, "invalid_proof")
    refused(browser.call("GET", "v1/session"), 401, "not_signed_in")
    second = start(browser, phone, **half)
    assert (second["channel"], second["channels"]) == ("inbound_call", ["inbound_call"])
    refused(browser.call("POST", "v1/session", half), 400, "invalid_proof")
    stage.dial(phone, second["dial"]["number"])
    done = polled(browser, second["id"])
    assert done["channels_left"] == []
    answer = browser.call("POST", "v1/session", {"proof": done["proof"]})
    assert (answer.status, answer.json()["user"]["phone"]) == (200, phone)


def test_purposes_with_the_same_effect_require_the_same_channels(stage: Stage) -> None:
    browser, phone = stage.browser(), stage.phone()
    first = checked(stage, browser, phone, purpose="signup")
    refused(browser.call("POST", "v1/session", {"proof": first["proof"]}), 400, "invalid_proof")
    refused(browser.call("GET", "v1/session"), 401, "not_signed_in")
    _sign_in_by_pages(stage, browser, phone)
    new = stage.phone()
    first = checked(stage, browser, new, purpose="confirm")
    refused(browser.call("PUT", "v1/session/phone", {"proof": first["proof"]}), 400, "invalid_proof")
    assert browser.call("GET", "v1/session").json()["user"]["phone"] == phone


def test_api_refuses_what_does_not_continue_the_first_step(stage: Stage) -> None:
    browser, stranger, phone, other = stage.browser(), stage.browser(), stage.phone(), stage.phone()
    first = checked(stage, browser, phone)
    for who, fields in (
        (stranger, {"phone": phone}),
        (browser, {"phone": other}),
        (browser, {"phone": phone, "purpose": "wire"}),
        (browser, {"phone": phone, "proof": "no proof"}),
    ):
        answer = who.call("POST", "v1/verifications", {"proof": first["proof"], **fields})
        refused(answer, 400, "invalid_proof")
    same = {"phone": phone, "proof": first["proof"], "channel": "sms"}
    refused(browser.call("POST", "v1/verifications", same), 409, "channel_unavailable")
    refused(
        browser.call("POST", "v1/verifications", {"phone": phone, "channel": "flash_call"}), 409, "channel_unavailable"
    )
    wrongly_typed = {"phone": phone, "proof": None}
    refused(browser.call("POST", "v1/verifications", wrongly_typed), 400, "invalid_request", fields=["proof"])
    assert start(browser, phone, proof=first["proof"])["channel"] == "inbound_call"
    answer = browser.call("POST", "v1/verifications", {"phone": phone, "proof": first["proof"]})
    refused(answer, 400, "invalid_proof")


def test_pages_lead_from_the_code_to_the_call(stage: Stage) -> None:
    browser, phone = stage.browser(), stage.phone()
    _sign_in_by_pages(stage, browser, phone)
    assert phone in browser.get("/").text
    new = stage.phone()
    answer = browser.post_form("/phone/verify/", phone=new, channel="sms")
    assert answer.location.startswith("/phone/code/")
    answer = browser.post_form(answer.location, code=stage.code(new))
    assert new not in browser.get("/").text
    answer = browser.post_form(answer.location, resend="1", channel="inbound_call")
    assert _after_the_call(stage, browser, new, answer.location).status == 303
    assert new in browser.get("/").text


def _sign_in_by_pages(stage: Stage, browser: Browser, phone: str) -> None:
    page = browser.get("/phone/login/").text
    assert 'value="flash_call"' not in page
    answer = browser.post_form("/phone/login/", phone=phone, channel="sms", next="/?hello")
    first = answer.target
    answer = browser.post_form(first, code=stage.code(phone), next="/?hello")
    assert answer.status == 303
    assert answer.target == first
    page = browser.get(answer.target).text
    assert "One more step" in page
    assert page.count('name="code"') == 0
    assert phone not in browser.get("/").text, "nobody is signed in yet"
    answer = browser.post_form(answer.location, resend="1", channel="inbound_call", next="/?hello")
    assert answer.location.startswith("/phone/code/")
    assert answer.target != first
    assert _after_the_call(stage, browser, phone, answer.location).location == "/?hello"


def _after_the_call(stage: Stage, browser: Browser, phone: str, path: str) -> Answer:
    number = browser.get(path).text.partition('href="tel:')[2].partition('"')[0]
    stage.dial(phone, number)
    for _ in range(60):
        answer = browser.post_form(path, called="1", next="/?hello")
        if not answer.location.startswith("/phone/code/"):
            break
        time.sleep(0.5)
    return answer


def test_pages_name_the_number_to_call_from_after_another_phone_called(stage: Stage) -> None:
    browser, phone, other = stage.browser(), stage.phone(), stage.phone()
    answer = browser.post_form("/phone/login/", phone=phone, channel="inbound_call")
    path = answer.target
    page = browser.get(path).text
    assert "data-pv-other-caller hidden" in page
    number = page.partition('href="tel:')[2].partition('"')[0]
    id = path.partition("verification=")[2].partition("&")[0]
    stage.dial(phone, number, caller=other)
    for _ in range(60):
        said = browser.call("GET", f"v1/verifications/{id}")
        if said.headers.get("phone-verify-other-caller"):
            break
        time.sleep(0.5)
    assert said.headers.get("phone-verify-other-caller") == "1"
    assert said.json()["status"] == "sent"
    assert other[-4:] not in said.text
    page = browser.get(path).text
    assert "data-pv-other-caller hidden" not in page
    assert "Another phone called. Call from" in page


@pytest.fixture(scope="module", params=["django", pytest.param("flask", marks=pytest.mark.slow)])
def ssms_site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A site whose provider of calls reports by webhook only."""
    port, address = free_port(), sandbox.url.removeprefix("http://")
    settings = {**SETTINGS, "inbound_call": f"ssms://KEY@{address}?tls=off", "webhook_secret": SECRET}
    settings["public_url"] = f"http://127.0.0.1:{port}"
    env = environment(request.param, tmp_path_factory.mktemp(request.param), sandbox.dsn, settings)
    with gunicorn(request.param, env, port=port) as url:
        yield url


def test_webhook_of_another_phone_is_noted_on_the_only_claim(ssms_site: str) -> None:
    browser = Browser(HttpCarrier(ssms_site))
    begun = start(browser, "+79000000101", channel="inbound_call")
    path = f"v1/verifications/{begun['id']}"

    def reported(caller: str) -> bool:
        parameters = {"waiting_call_from": caller, "call_to_number": begun["dial"]["number"][1:], "id_call": "1"}
        url = f"{ssms_site}/phone/webhooks/ssms/{SECRET}?{urlencode(parameters)}"
        assert urllib3.request("GET", url, retries=False, timeout=60).status == 200
        return OTHER_CALLER.lower() in browser.call("GET", path).headers

    assert not reported("anonymous")
    assert reported("79000000199")
    assert browser.call("GET", path).json()["status"] == "sent"
