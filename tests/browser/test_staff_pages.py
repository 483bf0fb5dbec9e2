"""The pages of staff on both example sites: every language and screen, without a script, and no axe violations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.staff_texts import STAFF
from phone_verify.sandbox import SandboxServer
from tests.scenarios import Stage

from .conftest import DESKTOP_SIZE, PHONE_SIZE, Tabs, example_site, keep_picture
from .test_every_page import OF_SCREENS, RUN_AXE
from .test_every_page import axe as axe

pytestmark = pytest.mark.browser

PASSWORD = "a password of the tests"
PRICES = '{"currency": "EUR", "prices": [{"price": "0.06"}]}'
CAPS = '{"hour": {"count": 500, "money": "20"}, "regions": {"IR": {"money": "150"}}}'
PAGES = (
    *("", "services/add/", "services/default/", "balance/default/", "keys/", "deliveries/", "test/"),
    *("reports/", "reports/attempts/", "reports/downloads/"),
)
MOUNTS = {"django": "/admin/phone_verify_services/servicerow/", "flask": "/staff/"}
ENDPOINTS = '[{"url": "https://hooks.example.com/a", "secrets": ["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"]}]'


@pytest.fixture(scope="module", params=["django", "flask"])
def staffed(
    request: pytest.FixtureRequest, sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """An example site with services: yields its framework and its URL."""
    data = tmp_path_factory.mktemp(request.param)
    ledger = "orm:" if request.param == "django" else f"sqlite:///{data}/ledger.sqlite3"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAFF_PASSWORD", PASSWORD)
        with example_site(request.param, sandbox, data, ledger=ledger, prices=PRICES, caps=CAPS) as url:
            yield request.param, url


def sign_in(page: Any, framework: str, url: str) -> str:
    """Sign in as staff; return the address of the pages."""
    if framework == "django":
        page.goto(f"{url}/admin/")
        page.locator("#id_username").fill("staff")
        page.locator("#id_password").fill(PASSWORD)
        page.locator("#login-form input[type=submit]").click()
        page.wait_for_url(lambda address: urlsplit(address).path == "/admin/")
    return f"{url}{MOUNTS[framework]}"


def options(framework: str, **more: Any) -> dict[str, Any]:
    return {
        **more,
        **({"http_credentials": {"username": "staff", "password": PASSWORD}} if framework == "flask" else {}),
    }


def submit(page: Any) -> None:
    page.locator("#content-main input.default, main input.default").click()


def test_staff_make_a_service_test_it_and_top_up(staffed: tuple[str, str], tabs: Tabs, stage: Stage) -> None:
    framework, url = staffed
    phone = stage.phone()
    with tabs(**options(framework, viewport=DESKTOP_SIZE, java_script_enabled=False)) as page:
        home = sign_in(page, framework, url)
        page.goto(home)
        page.get_by_role("link", name="Add a service").click()
        page.locator("#id_name").fill("shop")
        page.locator("#id_title").fill("Example Shop")
        page.locator("#id_channels").fill("pigeon")
        submit(page)
        expect(page.locator("#id_channels_error")).to_contain_text("Unknown channel")
        page.locator("#id_channels").fill("sms")
        page.locator("#id_endpoints").fill(ENDPOINTS)
        submit(page)
        page.wait_for_url("**/services/shop/")
        page.goto(f"{home}balance/shop/")
        page.locator("#id_amount").fill("99.90")
        page.locator("#id_note").fill("invoice 7")
        submit(page)
        expect(page.get_by_text("99.90 EUR").first).to_be_visible()
        page.goto(f"{home}test/")
        page.locator("#id_service").select_option("shop")
        page.locator("#id_number").fill(phone)
        submit(page)
        code = stage.code(phone)
        assert code not in page.content()
        keep_picture(page, f"{framework} test sent")
        page.locator("#id_code").fill(code)
        page.get_by_role("button", name="Check code").click()
        expect(page.get_by_text(STAFF["status_verified"])).to_be_visible()
        keep_picture(page, f"{framework} test verified")


@pytest.mark.parametrize("tag", LANGUAGES)
def test_no_axe_violations_on_any_page_and_screen(
    staffed: tuple[str, str],
    tabs: Tabs,
    axe: Any,
    tag: str,
) -> None:
    framework, url = staffed
    for size, scheme in ((PHONE_SIZE, "dark"), (DESKTOP_SIZE, "light")):
        with tabs(**options(framework, viewport=size, color_scheme=scheme, locale=tag)) as page:
            home = sign_in(page, framework, url)
            for path in PAGES:
                # In the admin, access keys and reports have their own lists, to which these addresses lead.
                page.goto(f"{home}{path}")
                name = f"{framework} {path} {tag} {scheme}"
                assert page.locator("html").get_attribute("lang").startswith(tag), name
                page.evaluate(axe.axe_script)
                found = page.evaluate(RUN_AXE, OF_SCREENS)
                own = [
                    each
                    for each in found
                    if framework == "flask" or re.search("staff|form-row|results|button|pvr", each)
                ]
                assert own == [], name
                width = page.evaluate("document.documentElement.scrollWidth")
                assert framework == "django" or width <= size["width"], f"{name} is {width} wide"
                keep_picture(page, name)
