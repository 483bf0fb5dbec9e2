"""What the pages show: numbers, channels, states and the texts next to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from phone_verify.api import ApiRequest, SessionUser, SignIn, Site, device_cookie
from phone_verify.http.cookies import last_channel
from phone_verify.http.number_change import current_numbers
from phone_verify.i18n.languages import LANGUAGES
from phone_verify.i18n.texts import PAGE, caller_prefix, texts_in
from phone_verify.phone.formats import calling_codes, served_regions
from phone_verify.policy import Policy
from phone_verify.web.flow import (
    CodePage,
    LoginPage,
    Redirect,
    VerifyPage,
    show_code,
    show_login,
    show_verify,
    submit_code,
    submit_login,
    submit_verify,
)
from phone_verify.web.pages import NumberHelp, number_help
from tests.core.harness import PHONE, Driver, Harness, flash, sms

IN_FULL = "+98 912 000 0000"
ENGLISH = texts_in(LANGUAGES["en"])


def begin(site: Site, call: ApiRequest, **form: str) -> ApiRequest:
    """Start at the login page; return the browser's next request."""
    begun = submit_login(site, call, {"phone": PHONE.e164, **form})
    assert isinstance(begun, Redirect)
    return replace(call, cookie=begun.cookie or "", started=begun.started or ())


def code_page(site: Site, call: ApiRequest) -> CodePage:
    page = show_code(site, call)
    assert isinstance(page, CodePage)
    return page


def sites(*drivers: Driver, **policy: object) -> Site:
    return Site(Harness(*drivers, **policy).verifier)


CALL = ApiRequest("GET", "")


def test_session_sees_the_number_it_entered_in_full() -> None:
    site = sites(sms())
    call = begin(site, CALL)
    assert code_page(site, call).phone == IN_FULL
    assert show_login(site, call).phone == IN_FULL
    another = replace(call, started=())
    assert show_login(site, another).phone == ""
    assert IN_FULL not in repr(code_page(site, call))


def test_own_number_stays_masked_on_its_code_page() -> None:
    site = sites(sms())
    call = replace(CALL, user=SessionUser("7", PHONE.e164), has_session=True, present_counts=True)
    assert current_numbers(call) == [PHONE]
    begun = submit_verify(site, call, {"confirm": "1"})
    assert isinstance(begun, Redirect)
    call = replace(call, cookie=begun.cookie or "", started=begun.started or ())
    page = code_page(site, call)
    assert (page.phone, page.phone_hint) == ("", PHONE.hint)
    shown = show_verify(site, call)
    assert isinstance(shown, VerifyPage)
    assert shown.phone == ""


def test_pasted_message_counts_as_its_code() -> None:
    driver = sms()
    site = sites(driver)
    call = begin(site, CALL)
    answer = submit_code(site, call, {"code": "Your code is 12345678"})
    assert isinstance(answer, Redirect)
    assert answer.message is not None
    assert answer.message.invalid
    message = f"{driver.codes[0]} is your code. It expires in 5 minutes.\n\n@shop.example #{driver.codes[0]}"
    assert isinstance(submit_code(site, call, {"code": message}), SignIn)


def test_refused_check_shows_the_blocked_state() -> None:
    driver = sms()
    harness = Harness(driver, max_failures=1)
    site = Site(harness.verifier)
    call = begin(site, CALL)
    typed = str((int(driver.codes[0]) + 1) % 10**6).zfill(6)
    submit_code(site, call, {"code": typed})
    answer = submit_code(site, call, {"code": driver.codes[0]})
    assert isinstance(answer, Redirect)
    page = show_code(site, call, id=answer.id, message=answer.message)
    assert isinstance(page, CodePage)
    assert (page.kind, page.state, page.title) == ("over", "blocked", PAGE["title_blocked"])


def test_each_state_has_its_own_heading_and_button() -> None:
    over = CodePage("over", PHONE.hint, "Shop")
    states = ["expired", "exhausted", "verified", "cancelled", "failed", "blocked", "unavailable"]
    pages = {state: replace(over, state=state) for state in states}
    pages["expired call"] = replace(over, state="expired", is_call=True)
    pages["sent"] = replace(over, kind="code")
    titles = [page.title for page in pages.values()]
    assert len(set(titles)) == len(titles)
    assert pages["expired"].restart == PAGE["new_code"]
    assert pages["expired call"].restart == PAGE["new_call"]
    assert pages["unavailable"].restart == PAGE["try_again"]
    assert pages["blocked"].restart == PAGE["other_number"]
    assert pages["cancelled"].restart == PAGE["new_code"]


def test_expired_page_says_so_and_keeps_the_number() -> None:
    harness = Harness(sms())
    site = Site(harness.verifier)
    call = begin(site, CALL)
    harness.clock.move(360)
    page = code_page(site, call)
    assert (page.state, page.title, page.phone) == ("expired", PAGE["title_expired"], IN_FULL)
    assert show_login(site, call).phone == IN_FULL


def test_number_without_plus_gets_its_own_error() -> None:
    page = LoginPage([])
    assert page.invalid_number("09120000000") == ENGLISH.start_with_plus(page.number.example)
    assert "\u2066+" in page.invalid_number("09120000000")  # isolated from right-to-left text
    for typed in ("+98912", "12", ""):
        assert page.invalid_number(typed) == PAGE["invalid_phone"]
    local = replace(page, number=NumberHelp("0912 345 6789", local=True, region="IR"))
    assert local.invalid_number("09120000000") == PAGE["invalid_phone"]


@pytest.mark.parametrize(
    ("region", "allowed", "tag", "beginning"),
    [
        ("IR", None, "ru", "0912"),
        (None, {"IR", "TR"}, "en", "+98"),
        (None, {"IR", "RU"}, "ru", "+7"),
        (None, None, "ru", "+7"),
        (None, None, "fa", "+98"),
        (None, None, "en", "+1"),
    ],
)
def test_example_number_suits_the_site_or_the_language(
    region: str | None, allowed: set[str] | None, tag: str, beginning: str
) -> None:
    policy = Policy(region=region, allowed_regions=frozenset(allowed) if allowed else None)
    regions = served_regions(policy.allowed_regions, frozenset(calling_codes()))
    shown = number_help(policy, LANGUAGES[tag], regions)
    assert shown.example.startswith(beginning)
    assert shown.country in regions
    assert shown.local or shown.example.startswith(f"+{shown.calling_code} ")
    assert shown.local == (region is not None)


def test_first_channel_is_recommended_and_the_last_used_chosen() -> None:
    driver = sms()
    site = sites(flash("1234"), driver)
    choices = show_login(site, CALL).choices
    assert [(c.recommended, c.chosen) for c in choices] == [(True, True), (False, False)]
    assert all(choice.time for choice in choices)
    call = begin(site, CALL, channel="sms")
    done = submit_code(site, call, {"code": driver.codes[0]})
    assert isinstance(done, SignIn)
    trusted = replace(CALL, device_cookie=device_cookie(site, CALL, done.redeemed) or "")
    assert last_channel(trusted) == "sms"
    assert [(c.recommended, c.chosen) for c in show_login(site, trusted).choices] == [(True, False), (False, True)]
    # It is still a trusted device's cookie, and one more sign-in keeps it.
    again = replace(trusted, device_cookie=device_cookie(site, trusted, done.redeemed) or "")
    assert again.device_cookie.count("~") == 1
    assert last_channel(replace(CALL, device_cookie="x~not-a-channel")) == ""


@pytest.mark.parametrize(
    ("hint", "missing", "shown"),
    [
        ("0990000", 4, "+98 990 000"),
        ("+98990000", 4, "+98 990 000"),
        ("+7495000", 4, "+7 495 000"),
        ("0990000", None, "0990000"),
        ("099", 1, "099"),
    ],
)
def test_caller_is_written_as_the_phone_displays_it(hint: str, missing: int | None, shown: str) -> None:
    assert caller_prefix(hint, PHONE, missing) == shown


def test_code_label_says_how_many_digits() -> None:
    page = CodePage("code", "", "", code_length=6)
    assert page.code_label == "6-digit code"
    assert replace(page, code_length=None).code_label == "Code"
    assert replace(page, texts=texts_in(LANGUAGES["fa"])).code_label == "کد ۶ رقمی"
