"""Every page in every state, in a browser: no axe violations and no violations of the strictest policy.

The pages are rendered from the templates, since some states (store outage) are slow to reach on a site.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from phone_verify.http.brand import Brand
from phone_verify.http.site import Site
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import Texts, texts_in
from phone_verify.model import Channel
from phone_verify.web.assets import site_asset
from phone_verify.web.pages import Choice, channel_choice
from tests.conftest import missing
from tests.core.harness import Harness, sms
from tests.test_templates import PAGES, URLS, by_jinja

from .conftest import DESKTOP_SIZE, PHONE_SIZE, Tabs, keep_picture
from .signup_site import sign_up_page
from .strict_csp_site import POLICY

pytestmark = pytest.mark.browser

HOST = "http://pages.invalid"
RUN_AXE = """async options => (await axe.run(document, options)).violations.map(
    found => [found.id, ...found.nodes.map(node => node.html)].join("\\n"))"""
OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
#: What can differ between screens: the other rules are checked on the first and the last one.
OF_SCREENS = {**OPTIONS, "runOnly": ["color-contrast", "target-size", "scrollable-region-focusable"]}
#: Screens: of a phone and of a desktop, each light and dark. In dark mode everything is unfolded.
SCREENS = [(size, scheme) for size in (PHONE_SIZE, DESKTOP_SIZE) for scheme in ("light", "dark")]


def translated(choice: Choice, texts: Texts) -> Choice:
    """Return this channel with its texts in this language."""
    return channel_choice(texts, Channel(choice.value), chosen=choice.chosen, recommended=choice.recommended)


def in_language(kind: str, tag: str) -> str:
    """Return the page of this state, with its fixed texts in this language."""
    name, page = PAGES[kind]
    texts = texts_in(LANGUAGES[tag])
    spoken = {field.name for field in fields(page)} & {"error", "notice", "lead", "dial_help"}
    said = {field: texts.translated(getattr(page, field)) for field in spoken}
    if getattr(page, "kind", "") == "flash_call":
        lead, _, said["lead_end"] = texts.page["lead_flash_call"].partition("{number}")
        said["lead"] = lead.rstrip()
    if hasattr(page, "choices"):
        page = replace(page, choices=[translated(choice, texts) for choice in page.choices])
    if last := getattr(page, "last", None):
        page = replace(page, last=replace(last, choice=translated(last.choice, texts)))
    if next_channel := getattr(page, "next_channel", None):
        page = replace(page, next_channel=translated(next_channel, texts))
    shown = by_jinja(name, replace(page, texts=texts, **said))
    return shown.replace('<html lang="en" dir="ltr">', f'<html lang="{tag}" dir="{LANGUAGES[tag].direction}">')


def serve(tab: Any, contents: dict[str, str], site: Site | None = None) -> None:
    """Answer the tab's requests: the page by language and state, and our files, all with the policy."""
    site = site or Site(Harness(sms()).verifier)

    def answer(route: Any) -> None:
        path = route.request.url.removeprefix(HOST).partition("?")[0]
        kind = {".css": "text/css", ".js": "text/javascript"}.get(Path(path).suffix, "text/html; charset=utf-8")
        body = contents.get(path, "").encode()
        if not body:
            body, kind = site_asset(path.removeprefix("/phone/static/"), site) or (
                b'{"status": "sent"}',
                "application/json",
            )
        route.fulfill(body=body, headers={"Content-Type": kind, "Content-Security-Policy": POLICY})

    tab.route("**/*", answer)


@pytest.fixture(scope="module")
def tab(tabs: Tabs) -> Iterator[Any]:
    with tabs() as opened:
        yield opened


@pytest.fixture(scope="module")
def axe() -> Any:
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("axe-playwright-python")
    return Axe()


@pytest.mark.parametrize("kind", PAGES)
def test_no_axe_or_csp_violations_in_any_state_and_language(tab: Any, axe: Any, kind: str) -> None:
    for tag in LANGUAGES:
        is_fine(tab, axe, in_language(kind, tag), f"{kind}, {tag}")


def test_no_axe_violations_with_a_brand(tab: Any, axe: Any) -> None:
    brand = Brand(url="/", color="#ffee00", terms_url="/t/", privacy_url="/p/", help_url="/h/", cost_notice=True)
    for kind in ("login", "code, number in full"):
        is_fine(tab, axe, by_jinja(*PAGES[kind], brand), f"{kind}, brand", brand.style_sheet())


@pytest.mark.parametrize("tag", LANGUAGES)
def test_no_axe_violations_on_the_signup_form(tab: Any, axe: Any, tag: str) -> None:
    for posted in (None, {"email": "x"}):
        is_fine(tab, axe, sign_up_page(tag, posted), f"signup, {tag}, {'refused' if posted else 'empty'}")


def is_fine(tab: Any, axe: Any, page: str, name: str, style: str = "") -> None:
    """Assert on every screen that axe and the policy find nothing, and that nothing is cut off at the side."""
    serve(tab, {"/page": page, **({URLS["brand_style"]: style} if style else {})})
    complaints: list[str] = []

    def hear(message: Any) -> None:
        complaints.append(message.text)

    tab.on("console", hear)
    show_in(tab, "light")
    tab.goto(f"{HOST}/page")
    tab.evaluate(axe.axe_script)
    for size, scheme in SCREENS:
        tab.set_viewport_size(size)
        show_in(tab, scheme)
        tab.evaluate(
            "open => document.querySelectorAll('details').forEach(part => { part.open = open; })", scheme == "dark"
        )
        screen = f"{name}, {size['width']}, {scheme}"
        keep_picture(tab, screen)
        options = OPTIONS if (size, scheme) in (SCREENS[0], SCREENS[-1]) else OF_SCREENS
        assert tab.evaluate(RUN_AXE, options) == [], screen
        assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), screen
    tab.remove_listener("console", hear)
    assert complaints == [], name


def show_in(tab: Any, scheme: str) -> None:
    # The colors of a button change slowly, unless motion is reduced.
    tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")


def test_script_keeps_a_cleared_checkbox_on_resend(tab: Any) -> None:
    serve(tab, {"/page": in_language("code", "en"), "/phone/code/": in_language("code", "en")})
    tab.goto(f"{HOST}/page")
    for ticked in (True, False):
        tab.locator("[name=remember]").set_checked(ticked)
        with tab.expect_navigation(), tab.expect_request("**/phone/code/") as posted:
            tab.get_by_role("button", name="Resend code").click()
        sent = posted.value.post_data
        assert "asks_remember=1" in sent
        assert ("&remember=1" in sent) == ticked
        assert "resend=1" in sent


@pytest.mark.parametrize("has_element", [True, False])
def test_forms_are_enhanced_with_and_without_the_element(tab: Any, has_element: bool) -> None:
    """A site's own `base.html` may have no element and load `urls.script` alone."""
    page = in_language("code", "en")
    if not has_element:
        page = re.sub(r'</?phone-verify>|<script type="module"[^>]*></script>| data-pv-client="[^"]*"', "", page)
        assert "phone-verify-client" not in page
    serve(tab, {"/page": page, "/phone/code/": page})
    tab.goto(f"{HOST}/page")
    tab.locator("[data-pv-life]", has_text="2:5").wait_for()  # the countdown runs
    with tab.expect_request("**/phone/code/") as posted:
        tab.locator("#pv-code").fill("123456")
    assert "code=123456" in posted.value.post_data
    tab.wait_for_url("**/phone/code/")  # else the next page would interrupt it


def test_csp_violation_is_detected(tabs: Tabs) -> None:
    """The tests above depend on these functions."""
    opened = tabs()
    tab = opened.__enter__()
    serve(tab, {"/page": "<title>x</title><script>1</script>"})
    tab.goto(f"{HOST}/page")
    with pytest.raises(AssertionError, match="Content Security Policy"):
        opened.__exit__(None, None, None)
