"""A visitor signs in by Twilio's protocols: a voice call that is answered on the handset's page, and WhatsApp."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from phone_verify.sandbox import Fault, SandboxServer
from tests.scenarios import Stage, wrong

from .conftest import DESKTOP_SIZE, Tabs, example_site
from .test_sign_in import begin, enter_code, is_signed_in

pytestmark = pytest.mark.browser

WHATSAPP = "whatsapp_sender=%2B15005550001&content_sid=HX00000000000000000000000000000001"
SERVICE = "service=VA00000000000000000000000000000001&code_length=6"
#: Keeps what the page has spoken, in place of a synthesizer.
RECORD_SPEECH = """
    window.spoken = [];
    Object.defineProperty(window, "speechSynthesis", {
        value: { cancel() {}, speak(said) { window.spoken.push([said.text, said.lang]); } },
    });
"""


@pytest.fixture(scope="module", params=["django", "flask"])
def site(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An example site with the DSNs of Twilio's drivers."""
    place = f"ACEXAMPLE:TOKEN@{urlsplit(sandbox.dsn).netloc}?tls=off"
    settings = {"voice": f"twilio-verify://{place}&{SERVICE}", "whatsapp": f"twilio://{place}&{WHATSAPP}"}
    with example_site(request.param, sandbox, tmp_path_factory.mktemp(request.param), **settings) as url:
        yield url


def test_visitor_answers_a_voice_call(page: Any, tabs: Tabs, site: str, sandbox: SandboxServer, stage: Stage) -> None:
    phone = stage.phone()
    begin(page, site, phone, "voice")
    assert "Answer to hear the code." in page.inner_text("#pv-lead, .lead")
    with tabs(viewport=DESKTOP_SIZE, reduced_motion="reduce") as handsets:
        handsets.add_init_script(RECORD_SPEECH)
        handsets.goto(sandbox.url)
        handset = handsets.get_by_role("article", name=re.compile(f"{phone[-4:]}$"))
        handset.get_by_role("button", name="Answer").click()
        text = handset.locator(".ringing .bubble").inner_text()
        assert handsets.evaluate("window.spoken") == []
        handset.locator(".ringing").get_by_role("button", name="Read aloud").click()
        assert handsets.evaluate("window.spoken") == [[text, "en-US"]]
        handset.get_by_role("button", name="Hang up").click()
        assert handset.locator(".inbox .bubble").inner_text() == text
    code = "".join(re.findall(r"\d", text))[:6]
    enter_code(page, wrong(code))
    page.get_by_text("Incorrect code").wait_for()
    enter_code(page, code)
    is_signed_in(page, site, phone)


def test_visitor_signs_in_by_whatsapp(page: Any, site: str, stage: Stage) -> None:
    phone = stage.phone()
    begin(page, site, phone, "whatsapp")
    enter_code(page, stage.code(phone))
    is_signed_in(page, site, phone)


def test_visitor_whose_call_is_refused_chooses_another_channel(
    page: Any, site: str, sandbox: SandboxServer, stage: Stage
) -> None:
    phone = stage.phone()
    sandbox.sandbox.faults.put("twilio-verify", phone, Fault(refuse="60410", times=1))
    page.goto(f"{site}/")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Mobile number").fill(phone)
    page.locator("input[name=channel][value=voice]").check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("alert").wait_for()
    assert stage.arrived(phone) == 0
    begin(page, site, phone, "whatsapp")
    enter_code(page, stage.code(phone))
    is_signed_in(page, site, phone)
