"""The number field with its list of countries, in a browser: rendered pages, metadata of a site without limits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from playwright.sync_api import expect

from phone_verify.http.site import Site
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import texts_in
from phone_verify.web.assets import REGIONS, site_asset
from phone_verify.web.pages import number_help
from tests.core.harness import Harness, sms
from tests.scenarios import Stage
from tests.test_templates import LOGIN, by_jinja

from . import test_every_page
from .conftest import Tabs
from .test_every_page import HOST, OPTIONS, RUN_AXE, SCREENS, serve

pytestmark = pytest.mark.browser
SOURCES = Path(__file__).parents[2] / "phone_verify" / "web" / "client"
axe = test_every_page.axe


#: Notes in `read` which metadata the number field has read, when it is in use.
NOTE_METADATA = """
window.read = [];
const json = Response.prototype.json;
Response.prototype.json = async function () {
    const value = await json.call(this);
    setTimeout(() => read.push(this.url.split("/static/").pop()));
    return value;
};
"""


def site_of(**policy: object) -> Site:
    return Site(Harness(sms(), **policy).verifier)


def login_page(site: Site, tag: str = "en", **fields: Any) -> str:
    language = LANGUAGES[tag]
    number = number_help(site.verifier.policy, language, site.regions)
    page = by_jinja("login.html", replace(LOGIN, texts=texts_in(language), number=number, **fields))
    return page.replace('<html lang="en" dir="ltr">', f'<html lang="{tag}" dir="{language.direction}">')


def open_login(tab: Any, site: Site, tag: str = "en", **fields: Any) -> Any:
    """Show the login page of this site, and wait for the list of countries; return the number field."""
    tab.unroute_all()
    serve(tab, {"/page": login_page(site, tag, **fields), "/phone/login/": "<title>x</title>"}, site)
    tab.goto(f"{HOST}/page")
    if tab.evaluate("matchMedia('(scripting: enabled)').matches"):
        wait_for_metadata(tab)
    return tab.locator("#pv-phone")


def wait_for_metadata(tab: Any) -> None:
    """Wait until the number field uses the metadata of its first country."""
    tab.wait_for_function("() => read.some((name) => name.startsWith('regions/'))")


@pytest.fixture(scope="module")
def tab(tabs: Tabs) -> Iterator[Any]:
    with tabs() as opened:
        opened.add_init_script(NOTE_METADATA)
        yield opened


def country(tab: Any) -> Any:
    return tab.get_by_role("combobox")


# The number as it is typed


@pytest.mark.parametrize(
    ("typed", "shown", "name"),
    [
        ("+989123456789", "+98 912 345 6789", "Iran"),
        ("+79123456789", "+7 912 345-67-89", "Russia"),
        ("+77712345678", "+7 771 234 5678", "Kazakhstan"),
        ("+12015550123", "+1 201-555-0123", "United States"),
        ("+14165550123", "+1 416-555-0123", "Canada"),
        ("+447624123456", "+44 7624 123456", "Isle of Man"),
        ("00989123456789", "+98 912 345 6789", "Iran"),
        ("+98912345678901", "+98 912345678901", "Iran"),
        ("+98(0)9123456789", "+98 912 345 6789", "Iran"),
        ("+۹۸۹۱۲", "+۹۸ ۹۱۲", "Iran"),
        ("+९८९१२", "+९८ ९१२", "Iran"),
        ("+999", "+999", ""),
    ],
)
def test_international_number_is_grouped_and_names_its_country(tab: Any, typed: str, shown: str, name: str) -> None:
    field = open_login(tab, site_of())
    field.press_sequentially(typed)
    expect(field).to_have_value(shown)
    expect(country(tab)).to_have_value(name)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("09123456789", "0912 345 6789"), ("9123456789", "912 345 6789"), ("۰۹۱۲۳۴۵", "۰۹۱۲ ۳۴۵"), ("0", "0")],
)
def test_national_number_is_grouped_in_the_sites_region(tab: Any, typed: str, shown: str) -> None:
    field = open_login(tab, site_of(region="IR"), "fa")
    field.press_sequentially(typed)
    assert field.input_value() == shown
    assert country(tab).input_value() == "ایران"


@pytest.mark.parametrize(
    ("pasted", "shown"),
    [
        ("tel:+79123456789", "+7 912 345-67-89"),
        ("00 98 (0)912-345-67-89", "+98 912 345 6789"),
        ("\u200e+98\u00a0912\u2011345\u20116789\u202c", "+98 912 345 6789"),
        ("＋98 912 345 6789", "+98 912 345 6789"),
        ("+98 912 345 6789 ext. 5", "+98 912 345 6789 ext. 5"),
        ("+98 912 345 6789 доб. 5", "+98 912 345 6789 доб. 5"),
        ("My number is +989120000000", "My number is +989120000000"),
    ],
)
@pytest.mark.parametrize("chosen", [False, True])
def test_pasted_number_is_read_and_other_text_is_left(tab: Any, pasted: str, shown: str, chosen: bool) -> None:
    field = open_login(tab, site_of(region="IR"))
    if chosen:
        choose(tab, "Russia")
        if any(character.isalpha() for character in shown):
            field.fill("")
    paste(tab, field, pasted)
    expect(field).to_have_value(shown)


@pytest.mark.parametrize(
    ("region", "typed"),
    [("AR", "91123456789"), ("AR", "091123456789"), ("BY", "8001234567"), ("BY", "808001234567")],
)
def test_grouping_keeps_the_digits_of_national_numbers(tab: Any, region: str, typed: str) -> None:
    field = open_login(tab, site_of(region=region))
    field.press_sequentially(typed)
    assert "".join(filter(str.isdigit, field.input_value())) == typed


def choose(tab: Any, query: str) -> None:
    country(tab).fill(query)
    country(tab).press("Enter")


def paste(tab: Any, field: Any, text: str) -> None:
    """Insert a whole text, as pasting does."""
    field.focus()
    field.press("End")
    tab.keyboard.insert_text(text)


@pytest.mark.parametrize("number", ["+7 912 345-67-89", "89123456789", "9123456789", "79123456789"])
def test_number_filled_in_by_the_browser_is_read(tab: Any, number: str) -> None:
    field = open_login(tab, site_of(allowed_regions=frozenset({"RU", "KZ", "IR"})), "ru")
    # Without a key, as autofill does: the field has no focus.
    field.evaluate(
        "(field, number) => { field.blur(); field.value = number; field.dispatchEvent(new Event('input')); }", number
    )
    expect(field).to_have_value("+7 912 345-67-89")


def test_national_number_of_a_chosen_country_gets_its_calling_code(tab: Any) -> None:
    field = open_login(tab, site_of())
    assert field.get_attribute("placeholder") == "+1 201-555-0123"
    choose(tab, "Germany")
    assert field.input_value() == "+49 "
    assert field.evaluate("field => document.activeElement === field && field.selectionStart") == 4
    expect(field).to_have_attribute("placeholder", "+49 1512 3456789")
    field.press_sequentially("015123456789")
    assert field.input_value() == "+49 1512 3456789"
    field.fill("")
    field.press_sequentially("0151")
    assert field.input_value() == "+49 151"


def test_chosen_country_replaces_the_calling_code(tab: Any) -> None:
    field = open_login(tab, site_of(region="IR"))
    field.press_sequentially("09123456789")
    choose(tab, "Russia")
    expect(field).to_have_value("+7 912 345-67-89")
    choose(tab, "Iran")
    assert field.input_value() == "+98 912 345 6789"
    field.fill("")
    field.press_sequentially("0912")
    assert (field.input_value(), country(tab).input_value()) == ("0912", "Iran")


def test_caret_stays_where_the_visitor_edits(tab: Any) -> None:
    field = open_login(tab, site_of(), phone="+98 912 345 6789")
    caret = "field => field.selectionStart"
    field.evaluate("field => field.setSelectionRange(5, 5)")
    field.press("Backspace")
    assert (field.input_value(), field.evaluate(caret)) == ("+98 12 3456 789", 3)
    field.press_sequentially("9")
    assert (field.input_value(), field.evaluate(caret)) == ("+98 912 345 6789", 5)
    field.press("Delete")
    assert (field.input_value(), field.evaluate(caret)) == ("+98 923 456 789", 5)


@pytest.mark.parametrize(("key", "at", "left"), [("Backspace", 8, "+98 913 456 789"), ("Delete", 7, "+98 912 456 789")])
def test_deleting_a_separator_deletes_a_digit(tab: Any, key: str, at: int, left: str) -> None:
    field = open_login(tab, site_of(), phone="+98 912 345 6789")
    field.evaluate("(field, at) => field.setSelectionRange(at, at)", at)
    field.press(key)
    assert field.input_value() == left


def test_field_can_be_emptied_key_by_key(tab: Any) -> None:
    for policy in ({}, {"region": "US"}):
        field = open_login(tab, site_of(**policy))
        field.press_sequentially("2015550123")
        for _ in range(16):
            field.press("Backspace")
        assert field.input_value() == ""


def test_undo_takes_back_what_was_typed(tab: Any) -> None:
    field = open_login(tab, site_of(region="IR"))
    field.press_sequentially("09123456789")
    seen = [field.input_value()]
    for _ in range(40):
        field.press("Control+z")
        seen.append(field.input_value())
    assert seen[-1] == ""
    digits = ["".join(filter(str.isdigit, text)) for text in seen]
    assert all(earlier.startswith(later) for earlier, later in pairwise(digits))


def test_composed_text_is_grouped_when_it_is_complete(tab: Any) -> None:
    field = open_login(tab, site_of(region="IR"))
    field.focus()
    session = tab.context.new_cdp_session(tab)
    session.send("Input.imeSetComposition", {"text": "0912345", "selectionStart": 7, "selectionEnd": 7})
    assert field.input_value() == "0912345"
    session.send("Input.insertText", {"text": "0912345"})
    assert field.input_value() == "0912 345"


def test_composed_text_is_kept_while_the_metadata_arrives(tab: Any) -> None:
    site = site_of(region="IR")
    held: list[Any] = []
    tab.unroute_all()
    serve(tab, {"/page": login_page(site)}, site)
    tab.route("**/regions.json", lambda route: held.append(route))
    with tab.expect_request("**/regions.json"):
        tab.goto(f"{HOST}/page")
    field = tab.locator("#pv-phone")
    field.focus()
    session = tab.context.new_cdp_session(tab)
    session.send("Input.imeSetComposition", {"text": "09123", "selectionStart": 5, "selectionEnd": 5})
    held[0].fallback()
    expect(country(tab)).to_have_value("Iran")
    wait_for_metadata(tab)
    session.send("Input.imeSetComposition", {"text": "0912345", "selectionStart": 7, "selectionEnd": 7})
    session.send("Input.insertText", {"text": "0912345"})
    expect(field).to_have_value("0912 345")


def test_every_example_is_written_as_phonenumbers_writes_it(tab: Any) -> None:
    """National forms of Argentina have digits that the number does not (15): they are left as typed."""
    site = site_of()
    sources = {f"/source/{path.name}": path.read_text("utf-8") for path in SOURCES.glob("*.js")}
    serve(tab, {"/page": "<title>x</title>", **sources}, site)
    tab.goto(f"{HOST}/page")
    metas = {region: metadata(site, f"regions/{region}.json") for region in site.regions}
    rows = []
    for region in site.regions:
        for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
                abroad = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
                own = phonenumbers.region_code_for_number(number)
                rows.append([region, str(number.country_code), phonenumbers.national_significant_number(number)])
                rows[-1] += [national, abroad, own]
    assert len(rows) > 450
    wrong = tab.evaluate(
        """async ([regions, metas, rows]) => {
            const { written, regionOf } = await import("/source/number_field.js");
            const digits = text => text.replace(/\\D/g, "");
            const wrong = [];
            for (const [region, code, number, national, abroad, own] of rows) {
                const meta = metas[region];
                const typed = digits(national);
                const found = [written(typed, "", meta), written(number, code, meta)];
                const named = regionOf(number, code, regions, "", meta.length);
                if (found[0] !== national || found[1] !== abroad || named !== own) {
                    wrong.push([region, found, named]);
                }
                // No digit is lost or added on the way.
                for (let length = 1; length <= typed.length; length += 1) {
                    if (digits(written(typed.slice(0, length), "", meta)) !== typed.slice(0, length)) {
                        wrong.push([region, typed.slice(0, length)]);
                    }
                }
            }
            return wrong;
        }""",
        [metadata(site, REGIONS), metas, rows],
    )
    assert [each[0] for each in wrong] == ["AR"]


def metadata(site: Site, name: str) -> Any:
    found = site_asset(name, site)
    assert found is not None
    return json.loads(found[0])


# The list of countries


def options(tab: Any) -> list[str]:
    found: list[str] = tab.get_by_role("option").all_inner_texts()
    return [" ".join(text.split()) for text in found]


def test_list_is_a_combobox_to_assistive_technology(tab: Any) -> None:
    field = open_login(tab, site_of(allowed_regions=frozenset({"IR", "RU", "KZ"}), region="IR"))
    box = country(tab)
    assert box.get_attribute("aria-expanded") == "false"
    node = accessible(tab, "combobox")
    assert (node["name"], node["value"], node["description"]) == ("Country", "Iran", "+98")
    box.press("ArrowDown")
    assert box.get_attribute("aria-expanded") == "true"
    assert options(tab) == ["Iran +98", "Kazakhstan +7", "Russia +7"]
    active = tab.get_by_role("option", selected=True)
    assert active.get_attribute("id") == box.get_attribute("aria-activedescendant")
    assert active.inner_text().startswith("Iran")
    listbox = accessible(tab, "listbox")
    assert listbox["name"] == "Country"
    assert tab.get_by_role("listbox").get_attribute("id") == box.get_attribute("aria-controls")
    assert accessible(tab, "textbox")["name"] == "Mobile number"
    assert field.get_attribute("dir") == "ltr"


def accessible(tab: Any, role: str) -> dict[str, Any]:
    """Return name, value and description of the one element with this role, from the browser's accessibility tree."""
    session = tab.context.new_cdp_session(tab)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    [node] = [each for each in nodes if each.get("role", {}).get("value") == role and not each["ignored"]]
    return {name: node.get(name, {}).get("value", "") for name in ("name", "value", "description")}


def test_keyboard_alone_chooses_a_country_and_sends_the_form(tab: Any) -> None:
    field = open_login(tab, site_of(region="IR"))
    sent: list[str] = []
    tab.on("request", lambda request: sent.append(request.post_data or "") if request.method == "POST" else None)
    field.focus()
    tab.keyboard.press("Shift+Tab")
    assert country(tab).evaluate("field => document.activeElement === field")
    tab.keyboard.type("kaz")
    assert options(tab) == ["Kazakhstan +7"]
    assert live(tab) == "Countries found: 1"
    tab.keyboard.press("Escape")
    assert (country(tab).input_value(), options(tab)) == ("Iran", [])
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowDown")
    assert tab.get_by_role("option", selected=True).inner_text().startswith("Iran")
    tab.keyboard.type("kazakh")
    tab.keyboard.press("Enter")
    assert sent == []
    assert field.evaluate("field => document.activeElement === field")
    assert (country(tab).input_value(), field.input_value()) == ("Kazakhstan", "+7 ")
    tab.keyboard.type("7712345678")
    expect(field).to_have_value("+7 771 234 5678")
    with tab.expect_navigation():
        tab.keyboard.press("Enter")
    assert "phone=%2B7+771+234+5678" in sent[0]
    assert "country" not in sent[0]


def live(tab: Any) -> str:
    text: str = tab.locator("[data-pv-country]").text_content()
    return text


def test_switched_country_is_announced(tab: Any) -> None:
    field = open_login(tab, site_of(region="IR"))
    assert live(tab) == ""
    field.press_sequentially("+7912")
    assert live(tab) == "Russia +7"


@pytest.mark.parametrize(
    ("tag", "query", "first"),
    [
        ("en", "ger", "Germany +49"),
        ("en", "kingdom", "United Kingdom +44"),
        ("en", "cote", "Côte d’Ivoire +225"),
        ("en", "deutsch", "Germany +49"),
        ("en", "ایران", "Iran +98"),
        ("en", "ايران", "Iran +98"),
        ("en", "ru", "Russia +7"),
        ("en", "+44", "United Kingdom +44"),
        ("en", "98", "Iran +98"),
        ("en", "۹۸", "Iran +98"),
        ("fa", "كويت", "کویت +965"),
        ("fa", "germany", "آلمان +49"),
        ("ru", "германия", "Германия +49"),
        ("ar", "ایران", "إيران +98"),
        ("ar", "امارات", "الإمارات العربية المتحدة +971"),
    ],
)
def test_countries_are_found_by_name_and_calling_code(tab: Any, tag: str, query: str, first: str) -> None:
    open_login(tab, site_of(), tag)
    country(tab).fill(query)
    assert options(tab)[0] == first


def test_unknown_country_is_announced_and_changes_nothing(tab: Any) -> None:
    field = open_login(tab, site_of(region="IR"))
    country(tab).press_sequentially("zzz")
    assert (live(tab), options(tab)) == ("No country found", [])
    assert country(tab).get_attribute("aria-expanded") == "false"
    country(tab).press("Tab")
    assert (country(tab).input_value(), field.input_value()) == ("Iran", "")


def test_list_has_only_regions_that_the_site_serves(tab: Any) -> None:
    open_login(tab, site_of(allowed_regions=frozenset({"RU", "IR"})), "ru")
    country(tab).click()
    assert options(tab) == ["Иран +98", "Россия +7"]


def test_list_is_chosen_from_by_touch(tabs: Tabs) -> None:
    with tabs(has_touch=True, is_mobile=True) as tab:
        tab.add_init_script(NOTE_METADATA)
        field = open_login(tab, site_of(region="IR"))
        country(tab).tap()
        tab.get_by_role("option", name="Iraq").tap()
        assert (country(tab).input_value(), field.input_value()) == ("Iraq", "+964 ")
        assert tab.get_by_role("listbox").count() == 0


def test_site_of_one_country_has_no_list(tab: Any) -> None:
    field = open_login(tab, site_of(region="IR", allowed_regions=frozenset({"IR"})))
    assert country(tab).count() == 0
    field.press_sequentially("09123456789")
    assert field.input_value() == "0912 345 6789"


def test_field_is_a_plain_one_without_script_or_metadata(tabs: Tabs) -> None:
    with tabs(java_script_enabled=False) as tab:
        field = open_login(tab, site_of(region="IR"))
        assert country(tab).count() == 0
        assert "start with +" in tab.locator("#pv-phone-help").inner_text()
        field.fill("00 98 912")
        assert field.input_value() == "00 98 912"


@pytest.mark.parametrize("tag", LANGUAGES)
def test_open_list_has_no_axe_violations_and_fits_the_screen(tabs: Tabs, axe: Any, tag: str) -> None:
    for size, scheme in SCREENS:
        with tabs(viewport=size, color_scheme=scheme) as tab:
            tab.add_init_script(NOTE_METADATA)
            open_login(tab, site_of(region="IR"), tag)
            tab.evaluate(axe.axe_script)
            country(tab).click()
            assert tab.evaluate(RUN_AXE, OPTIONS) == []
            assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
            name, code = country(tab).bounding_box(), tab.locator(".pv-country-code").bounding_box()
            assert name["x"] < code["x"] < name["x"] + name["width"] - code["width"]


def test_element_has_the_same_list_in_its_shadow_root(tab: Any) -> None:
    page = """<!doctype html><html lang="en"><title>x</title><phone-verify></phone-verify>
        <script type="module" src="/phone/static/phone-verify-client.js"></script>"""
    tab.unroute_all()
    serve(tab, {"/page": page}, site_of(region="IR"))
    tab.goto(f"{HOST}/page")
    field = tab.get_by_label("Mobile number")
    expect(country(tab)).to_have_value("Iran")
    country(tab).fill("germ")
    expect(tab.get_by_role("option")).to_have_text("Germany+49")
    country(tab).press("Enter")
    field.press_sequentially("0151 2345678")
    expect(field).to_have_value("+49 1512 345678")
    for _ in range(20):
        field.press("Control+z")
    assert field.input_value() == ""


# The example sites


def test_visitor_of_another_country_signs_in_with_a_chosen_one(tabs: Tabs, site: str, stage: Stage) -> None:
    with tabs() as page:
        loaded: list[str] = []
        page.on("response", lambda answer: loaded.append(answer.url.rpartition("/phone/static/")[2]))
        page.add_init_script(NOTE_METADATA)
        page.goto(f"{site}/phone/login/")
        wait_for_metadata(page)
        phone = stage.phone()
        country(page).fill("98")
        page.get_by_role("option", name="Iran").click()
        field = page.locator("#pv-phone")
        field.press_sequentially(f"0{phone.removeprefix('+98')}")
        expect(field).to_have_value(re.compile(r"\+98 \d{3} \d{3} \d{4}"))
        page.locator("input[name=channel][value=sms]").check()
        page.locator("button[type=submit]").click()
        page.wait_for_url("**/phone/code/**")
        assert stage.code(phone)
        # Only regions that were met are loaded: that of the browser's language, and the chosen one.
        assert {name for name in loaded if name.startswith("regions/")} == {"regions/US.json", "regions/IR.json"}
