"""Every page in every state, in a browser: no axe violations and no violations of the strictest policy.

The pages are rendered from the templates, since some states (store outage) are slow to reach on a site.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from phone_verify.http.brand import Brand
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import texts_in
from phone_verify.model import Channel
from phone_verify.web.assets import asset
from phone_verify.web.pages import channel_choice
from tests.conftest import missing
from tests.test_templates import PAGES, URLS, by_jinja

from .conftest import DESKTOP_SIZE, PHONE_SIZE, Tabs, keep_picture
from .signup_site import sign_up_page
from .strict_csp_site import POLICY

pytestmark = pytest.mark.browser

HOST = "http://pages.invalid"
OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
#: A browser displays these like others of the list.
ALIKE = {
    "login, one way",
    "over, call",
    "over, cancelled",
    "over, failed",
    "code, to change",
    "over, to change",
    "no answer",
    "flash call, number unknown",
    "verify, taken",
    "verify, not configured",
    "verify, not configured, no number",
    "verify, no number, refused",
    "verify, no number, must sign in",
}
#: One of each kind for RTL, colours and size.
TURNED = [
    "login",
    "code, wrong",
    "flash call",
    "inbound call",
    "code, number in full",
    "code, held back",
    "login, in a region",
    "over",
    "over, number in full",
    "verify",
    "verify, refused",
    "verify, signed in long ago",
    "logout",
]


def in_language(kind: str, tag: str) -> str:
    """Return the page of this state, with its fixed texts in this language."""
    name, page = PAGES[kind]
    texts = texts_in(LANGUAGES[tag])
    if not is_dataclass(page):
        return by_jinja(name, {**page, "text": texts.page}).replace('lang="en"', f'lang="{tag}"')  # type: ignore[dict-item]
    spoken = {field.name for field in fields(page)} & {"error", "notice", "lead", "dial_help"}
    said = {field: texts.translated(getattr(page, field)) for field in spoken}
    if hasattr(page, "choices"):
        choices = [
            channel_choice(texts, Channel(choice.value), chosen=choice.chosen, recommended=choice.recommended)
            for choice in page.choices
        ]
        page = replace(page, choices=choices)
    shown = by_jinja(name, replace(page, texts=texts, **said))
    return shown.replace('<html lang="en" dir="ltr">', f'<html lang="{tag}" dir="{LANGUAGES[tag].direction}">')


def serve(tab: Any, contents: dict[str, str]) -> None:
    """Answer the tab's requests: the page by language and state, and our two files, all with the policy."""

    def answer(route: Any) -> None:
        path = route.request.url.removeprefix(HOST).partition("?")[0]
        kind = "text/css" if path.endswith(".css") else "text/html; charset=utf-8"
        body = contents.get(path, "").encode()
        if not body:
            body, kind = asset(path.rpartition("/")[2]) or (b'{"status": "sent"}', "application/json")
        route.fulfill(body=body, headers={"Content-Type": kind, "Content-Security-Policy": POLICY})

    tab.route("**/*", answer)


@pytest.fixture(scope="module")
def tab(tabs: Tabs) -> Iterator[Any]:
    with tabs(viewport=PHONE_SIZE, color_scheme="light") as opened:
        yield opened


@pytest.fixture(scope="module")
def wide_dark_tab(tabs: Tabs) -> Iterator[Any]:
    with tabs(viewport=DESKTOP_SIZE, color_scheme="dark") as opened:
        yield opened


@pytest.fixture(scope="module")
def axe() -> Any:
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("axe-playwright-python")
    return Axe()


@pytest.mark.parametrize("kind", [kind for kind in PAGES if kind not in ALIKE])
def test_no_axe_or_csp_violations_on_any_page(tab: Any, axe: Any, kind: str) -> None:
    is_fine(tab, axe, in_language(kind, "en"))


@pytest.mark.parametrize("kind", TURNED)
def test_no_axe_violations_in_rtl_and_dark_mode(wide_dark_tab: Any, axe: Any, kind: str) -> None:
    is_fine(wide_dark_tab, axe, in_language(kind, "fa"))


@pytest.mark.parametrize("kind", ["login, in a region", "code, number in full", "inbound call", "over"])
@pytest.mark.parametrize("tag", LANGUAGES)
def test_every_language_fits_with_everything_unfolded(tab: Any, axe: Any, kind: str, tag: str) -> None:
    is_fine(tab, axe, in_language(kind, tag).replace("<details ", "<details open "))


def test_no_axe_violations_with_a_brand(tab: Any, wide_dark_tab: Any, axe: Any) -> None:
    brand = Brand(url="/", color="#ffee00", terms_url="/t/", privacy_url="/p/", help_url="/h/", cost_notice=True)
    for name, page in (PAGES["login"], PAGES["code, number in full"]):
        shown = by_jinja(name, page, brand).replace("<details ", "<details open ")
        is_fine(tab, axe, shown, brand.style_sheet())
        is_fine(wide_dark_tab, axe, shown, brand.style_sheet())


@pytest.mark.parametrize("posted", [None, {"email": "x"}], ids=["empty", "refused"])
def test_no_axe_violations_on_the_signup_form(
    tab: Any, wide_dark_tab: Any, axe: Any, posted: dict[str, str] | None
) -> None:
    is_fine(tab, axe, sign_up_page("en", posted))
    is_fine(wide_dark_tab, axe, sign_up_page("fa", posted))


def is_fine(tab: Any, axe: Any, page: str, style: str = "") -> None:
    serve(tab, {"/page": page, **({URLS["brand_style"]: style} if style else {})})
    complaints: list[str] = []

    def hear(message: Any) -> None:
        complaints.append(message.text)

    tab.on("console", hear)
    tab.goto(f"{HOST}/page")
    found = axe.run(tab, options=OPTIONS)
    tab.remove_listener("console", hear)
    keep_picture(tab)
    assert complaints == []
    assert found.violations_count == 0, found.generate_report()
    # Nothing is cut off, and the page does not scroll sideways.
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_script_keeps_a_cleared_checkbox_on_resend(tab: Any) -> None:
    serve(tab, {"/page": in_language("code", "en"), "/phone/code/": in_language("code", "en")})
    tab.goto(f"{HOST}/page")
    for ticked in (True, False):
        tab.locator("[name=remember]").set_checked(ticked)
        with tab.expect_request("**/phone/code/") as posted:
            tab.get_by_role("button", name="Resend code").click()
        sent = posted.value.post_data
        assert "asks_remember=1" in sent
        assert ("&remember=1" in sent) == ticked
        assert "resend=1" in sent


def test_csp_violation_is_detected(tabs: Tabs) -> None:
    """The tests above depend on these functions."""
    opened = tabs()
    tab = opened.__enter__()
    serve(tab, {"/page": "<title>x</title><script>1</script>"})
    tab.goto(f"{HOST}/page")
    with pytest.raises(AssertionError, match="Content Security Policy"):
        opened.__exit__(None, None, None)
