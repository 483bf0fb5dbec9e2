"""A binding that an attacker plants in a victim's browser, or that another user left there, gains nothing.

The site is `shop.localhost`. The attacker controls `blog.shop.localhost`, whose pages may set cookies for the site too.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.clients import Browser, HttpCarrier
from tests.scenarios import Stage, signed_in

from .conftest import Tabs
from .test_current_number import confirm
from .test_sign_in import begin, enter_code, is_signed_in

pytestmark = pytest.mark.browser

#: The scopes of a cookie that reaches the site's pages. The longest path comes first in a request.
PATHS = ("/", "/phone/", "/phone/login/", "/phone/code/", "/phone/verify/")
#: The requests by which a page polls an inbound call.
WAIT = 7000


class AttackersPage(BaseHTTPRequestHandler):
    """An empty page of a sibling host."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Blog</title>")

    def log_message(self, format: str, *args: object) -> None:
        """Send an empty response."""


@pytest.fixture(scope="module")
def blog() -> Iterator[str]:
    """The attacker's host, a sibling of the site's host."""
    with ThreadingHTTPServer(("127.0.0.1", 0), AttackersPage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://blog.shop.localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def shop(site: str) -> str:
    """The site under its host name."""
    return site.replace("127.0.0.1", "shop.localhost")


@pytest.fixture
def attacker(site: str) -> Browser:
    """The attacker's client of the site."""
    return Browser(HttpCarrier(site))


@pytest.fixture
def victim(tabs: Tabs) -> Iterator[Any]:
    """The victim's browser."""
    with tabs() as tab:
        yield tab


def plant(tab: Any, blog: str, begun: dict[str, Any]) -> None:
    """Let the victim open a page of the attacker, which sets the site's cookie."""
    tab.goto(blog)
    pair = f"{begun['id']}.{begun['secret']}"
    for path in PATHS:
        cookie = json.dumps(f"phone_verify={pair}; domain=shop.localhost; path={path}")
        tab.evaluate(f"document.cookie = {cookie}")
    assert any(cookie["value"] == pair for cookie in tab.context.cookies())


def begin_here(tab: Any, shop: str, phone: str) -> None:
    begin(tab, shop, phone, "sms")


def enter(tab: Any, shop: str, stage: Stage) -> str:
    """Sign the victim in."""
    phone = stage.phone()
    begin_here(tab, shop, phone)
    confirm(tab, stage, phone)
    is_signed_in(tab, shop, phone)
    return phone


def call_of(begun: dict[str, Any], stage: Stage, phone: str) -> None:
    assert stage.dial(phone, begun["dial"]["number"])


def user_of(stage: Stage, browser: Browser, phone: str) -> dict[str, Any]:
    """Return the user whom this number signs in."""
    begun = browser.call("POST", "v1/verifications", {"phone": phone, "channel": "sms"}).json()
    path, secret = f"v1/verifications/{begun['id']}", begun["secret"]
    proof = browser.call("POST", f"{path}/check", {"code": stage.code(phone)}, secret=secret).json()["proof"]
    user = browser.call("POST", "v1/session", {"proof": proof}, secret=secret).json()
    assert isinstance(user, dict)
    return user


def test_planted_confirmation_by_call_gives_no_number(
    victim: Any, shop: str, blog: str, attacker: Browser, stage: Stage
) -> None:
    own, theirs = enter(victim, shop, stage), stage.phone()
    fields = {"phone": theirs, "purpose": "confirm", "channel": "inbound_call"}
    assert attacker.call("POST", "v1/verifications", fields).status == 401
    signed_in(stage, attacker)  # the attacker needs a separate account
    begun = attacker.call("POST", "v1/verifications", fields).json()
    plant(victim, blog, begun)
    victim.goto(f"{shop}/phone/code/")
    call_of(begun, stage, theirs)
    victim.goto(f"{shop}/phone/code/")
    victim.wait_for_url(lambda url: "/phone/code/" not in url)
    victim.goto(f"{shop}/")
    assert own in victim.content()
    assert user_of(stage, attacker, theirs)["created"] is True, "the number is nobody's"


def test_planted_login_does_not_sign_in(victim: Any, shop: str, blog: str, attacker: Browser, stage: Stage) -> None:
    theirs = stage.phone()
    begun = attacker.call("POST", "v1/verifications", {"phone": theirs, "channel": "inbound_call"}).json()
    plant(victim, blog, begun)
    victim.goto(f"{shop}/phone/code/")
    call_of(begun, stage, theirs)
    victim.goto(f"{shop}/phone/code/")
    victim.wait_for_timeout(WAIT)
    victim.goto(f"{shop}/")
    assert theirs not in victim.content()


def test_planted_login_for_the_victims_phone_is_not_shown(
    victim: Any, shop: str, blog: str, attacker: Browser, stage: Stage
) -> None:
    phone = stage.phone()
    begun = attacker.call("POST", "v1/verifications", {"phone": phone, "channel": "sms"}).json()
    before = stage.arrived(phone)
    plant(victim, blog, begun)
    victim.goto(f"{shop}/phone/login/")
    victim.get_by_label("Mobile number").fill(phone)
    victim.locator("input[name=channel][value=sms]").check()
    with victim.expect_navigation():
        victim.get_by_role("button", name="Continue").click()
    assert stage.arrived(phone) == before + 1, "the victim's start sends a code of its own"
    if victim.locator("#pv-code").count():
        with victim.expect_navigation():
            enter_code(victim, stage.code(phone))
    seen = attacker.call("GET", f"v1/verifications/{begun['id']}", secret=begun["secret"]).json()
    assert (seen["status"], seen["proof"]) == ("cancelled", None)


def test_leftover_proof_gives_the_next_user_no_number(victim: Any, shop: str, stage: Stage) -> None:
    enter(victim, shop, stage)
    left = stage.phone()
    victim.goto(f"{shop}/phone/verify/")
    victim.locator("summary").click()
    victim.get_by_label("New mobile number").fill(left)
    victim.locator("details [value=inbound_call]").check()
    victim.locator("details button").click()
    victim.wait_for_url("**/phone/code/**")
    line = victim.locator('a[href^="tel:"]').get_attribute("href").removeprefix("tel:")
    assert victim.locator("#pv-ask").count() == 1, "the page asks"
    assert left in victim.content().replace(" ", "").replace("-", "")
    stage.dial(left, line)
    victim.get_by_role("button", name="Yes, use this number").wait_for()  # and no script responds
    victim.goto(f"{shop}/")
    with victim.expect_navigation():
        victim.get_by_role("button", name="Sign out").click()
    victim.goto(f"{shop}/phone/login/")
    victim.get_by_role("button", name="Forget this number").click()
    victim.get_by_text("This device has forgotten the number.").wait_for()
    own = enter(victim, shop, stage)
    victim.goto(f"{shop}/phone/code/")
    victim.wait_for_timeout(WAIT)
    assert victim.get_by_role("button", name="Yes, use this number").count() == 0
    victim.goto(f"{shop}/")
    assert own in victim.content()
    assert left not in victim.content()
