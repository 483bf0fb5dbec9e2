"""Continuing with the number of the last sign-in on a trusted device: who sees it, and what it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from phone_verify.api import ApiRequest, SessionUser, SignIn, Site, device_cookie
from phone_verify.http.session_notes import Notes
from phone_verify.i18n.texts import PAGE
from phone_verify.model import Receipt
from phone_verify.phone import PhoneNumber
from phone_verify.web.flow import CodePage, Redirect, show_code, show_login, submit_code, submit_login
from tests.core.harness import CALL as CALL_CHANNEL
from tests.core.harness import FLASH, LINE, OTHER_PHONE, PHONE, SMS, Caller, Driver, Harness, flash, sms

CALL = ApiRequest("GET", "")


class Users:
    """The users of a site, by id, and which of them were looked up."""

    def __init__(self, **numbers: Sequence[PhoneNumber]) -> None:
        self.numbers, self.asked = numbers, list[str]()

    def __call__(self, user_id: str) -> Sequence[str]:
        self.asked.append(user_id)
        return [phone.e164 for phone in self.numbers.get(user_id, ())]


def site_with(*drivers: Driver, **changes: Any) -> Site:
    return replace(Site(Harness(*drivers).verifier), **changes)


def follow(call: ApiRequest, result: object) -> ApiRequest:
    """Return the browser's next request after this redirect."""
    assert isinstance(result, Redirect)
    started = call.started if result.started is None else result.started
    not_entered = call.not_entered if result.not_entered is None else result.not_entered
    return replace(call, cookie=result.cookie or call.cookie, started=started, not_entered=not_entered)


def signed_in(site: Site, driver: Driver, user_id: str, phone: PhoneNumber = PHONE, before: str = "") -> ApiRequest:
    """Sign in by SMS; return the next request of the browser after it signed out."""
    call = replace(CALL, device_cookie=before)
    call = follow(call, submit_login(site, call, {"phone": phone.e164, "channel": "sms"}))
    done = submit_code(site, call, {"code": driver.codes[-1]})
    assert isinstance(done, SignIn)
    return replace(CALL, device_cookie=device_cookie(site, call, done.redeemed, user_id) or "")


def test_login_page_offers_the_number_of_the_last_sign_in() -> None:
    driver = sms()
    site, users = site_with(flash("1234"), driver), Users(u7=[OTHER_PHONE, PHONE])
    call = signed_in(site, driver, "u7")
    page = show_login(site, call, numbers_of=users)
    assert page.last is not None
    assert (page.last.hint, page.last.choice.value, page.another) == ("+98 ••• 00", "sms", False)
    assert PHONE.e164 not in repr(page)
    assert PHONE.national not in call.device_cookie
    assert "u7" not in call.device_cookie


def test_number_stored_in_a_former_plan_is_offered_as_todays() -> None:
    """Benin added 01: the user's stored number is the old one, and the code goes to the new one."""
    driver, new = sms(), PhoneNumber("+2290197000000")
    site, users = site_with(driver), Users(u7=[PhoneNumber("+22997000000")])
    call = signed_in(site, driver, "u7", new)
    assert show_login(site, call, numbers_of=users).last is not None
    submit_login(site, call, {"continue": "1"}, numbers_of=users)
    assert [order.phone for order in driver.orders] == [new, new]


def test_continue_starts_by_the_last_channel_and_shows_no_number() -> None:
    driver, ring = sms(), flash("1234")
    site, users = site_with(ring, driver), Users(u7=[PHONE])
    call = signed_in(site, driver, "u7")
    sent = len(driver.codes)
    begun = submit_login(site, call, {"continue": "1", "phone": OTHER_PHONE.e164}, numbers_of=users)
    call = follow(call, begun)
    assert (len(driver.codes), driver.orders[-1].phone) == (sent + 1, PHONE), "the form names no number"
    page = show_code(site, call)
    assert isinstance(page, CodePage)
    assert (page.phone, page.phone_hint) == ("", PHONE.hint)
    again = show_login(site, call, numbers_of=users)
    assert (again.phone, again.another) == ("", True)
    assert isinstance(submit_code(site, call, {"code": driver.codes[-1]}), SignIn)


def test_continue_leads_through_required_channels_and_shows_no_number() -> None:
    driver, caller = sms(), Caller([Receipt("1", line=LINE)])
    before, users = site_with(flash("1234"), driver), Users(u7=[PHONE])
    call = signed_in(before, driver, "u7")
    required = {"login": (CALL_CHANNEL, SMS)}
    site = Site(Harness(flash("1234"), caller, driver, required_channels=required).verifier)
    call = follow(call, submit_login(site, call, {"continue": "1"}, numbers_of=users))
    call = follow(call, submit_code(site, call, {"code": driver.codes[-1]}))
    call = follow(call, submit_code(site, call, {"resend": "1", "channel": "inbound_call"}))
    page = show_code(site, call)
    assert isinstance(page, CodePage)
    assert (page.kind, page.phone, page.phone_hint) == ("inbound_call", "", PHONE.hint)


def test_continue_takes_a_channel_that_signs_in() -> None:
    driver, ring = sms(), flash("1234", "1234")
    before, users = site_with(ring, driver), Users(u7=[PHONE])
    call = signed_in(before, driver, "u7")
    caller = Caller([Receipt("1", line=LINE)])
    site = Site(Harness(ring, caller, driver, required_channels={"login": (CALL_CHANNEL, FLASH)}).verifier)
    page = show_login(site, call, numbers_of=users)
    assert page.last is not None
    assert page.last.choice.value == "flash_call"
    follow(call, submit_login(site, call, {"continue": "1"}, numbers_of=users))
    assert ring.orders


def test_number_stays_masked_after_it_was_forgotten() -> None:
    driver = sms()
    site, users = site_with(driver), Users(u7=[PHONE])
    call = signed_in(site, driver, "u7")
    call = follow(call, submit_login(site, call, {"continue": "1"}, numbers_of=users))
    forgotten = submit_login(site, call, {"forget": "1"}, numbers_of=users)
    assert isinstance(forgotten, Redirect)
    assert forgotten.message is not None
    assert (forgotten.device_cookie, forgotten.message.notice) == ("", PAGE["number_forgotten"])
    call = replace(call, device_cookie=forgotten.device_cookie or "")
    page = show_code(site, call)
    assert isinstance(page, CodePage)
    assert page.phone == ""
    assert show_login(site, call, numbers_of=users).last is None


def test_number_stays_masked_when_its_verification_starts_anew() -> None:
    harness = Harness(driver := sms())
    site, users = Site(harness.verifier), Users(u7=[PHONE])
    call = signed_in(site, driver, "u7")
    call = follow(call, submit_login(site, call, {"continue": "1"}, numbers_of=users))
    harness.clock.move(601)
    page = show_code(site, call)
    assert isinstance(page, CodePage)
    assert (page.kind, page.phone) == ("over", "")
    call = follow(call, submit_code(site, call, {"resend": "1", "verification": page.id}))
    renewed = show_code(site, call)
    assert isinstance(renewed, CodePage)
    assert (renewed.kind, renewed.phone) == ("code", "")
    assert renewed.id != page.id


def test_entering_the_number_itself_shows_it_in_full() -> None:
    driver = sms()
    site, users = site_with(driver), Users(u7=[PHONE])
    call = signed_in(site, driver, "u7")
    call = follow(call, submit_login(site, call, {"continue": "1"}, numbers_of=users))
    call = follow(call, submit_login(site, call, {"phone": PHONE.e164}, numbers_of=users))
    page = show_code(site, call)
    assert isinstance(page, CodePage)
    assert page.phone == "+98 912 000 0000"


@pytest.mark.parametrize("numbers", [[], [OTHER_PHONE]], ids=["deleted or inactive", "changed"])
def test_nothing_is_offered_unless_the_user_has_the_number(numbers: Sequence[PhoneNumber]) -> None:
    driver = sms()
    site, users = site_with(driver), Users(u7=numbers)
    call = signed_in(site, driver, "u7")
    sent = len(driver.codes)
    assert show_login(site, call, numbers_of=users).last is None
    begun = submit_login(site, call, {"continue": "1"}, numbers_of=users)
    assert (begun.to, begun.cookie, len(driver.codes)) == ("login", None, sent)
    assert begun.message is not None
    assert begun.message.notice == PAGE["no_last_number"]


def test_forged_and_foreign_cookies_look_up_no_user() -> None:
    driver = sms()
    site, other = site_with(driver), site_with(sms())
    users = Users(u7=[PHONE], u8=[OTHER_PHONE])
    mine = signed_in(site, driver, "u7").device_cookie
    theirs = signed_in(site, driver, "u8", OTHER_PHONE).device_cookie
    (entry, sealed, _), (_, foreign, _) = mine.split("~"), theirs.split("~")
    forged = ["", "u7", f"{entry}~u7~sms", f"{entry}~{foreign}~sms", f"~{sealed}~sms", f"{entry}~{sealed[:-4]}AAAA~sms"]
    for cookie in forged:
        page = show_login(site, replace(CALL, device_cookie=cookie), numbers_of=users)
        assert page.last is None, cookie
    assert users.asked == []
    assert show_login(site, replace(CALL, device_cookie=mine), numbers_of=users).last is not None
    assert show_login(other, CALL, numbers_of=users).last is None


def test_two_users_on_a_device_see_the_last_one_only() -> None:
    driver = sms()
    site, users = site_with(driver), Users(u7=[PHONE], u8=[OTHER_PHONE])
    first = signed_in(site, driver, "u7")
    both = signed_in(site, driver, "u8", OTHER_PHONE, first.device_cookie)
    page = show_login(site, both, numbers_of=users)
    assert page.last is not None
    assert page.last.hint.endswith(OTHER_PHONE.e164[-2:])
    assert users.asked == ["u8"]
    # The next sign-in did not ask to be remembered: the device shows no number.
    silent = signed_in(site, driver, "", PHONE, both.device_cookie)
    assert show_login(site, silent, numbers_of=users).last is None


def test_forgetting_keeps_the_trust_of_other_users() -> None:
    driver = sms()
    site, users = site_with(driver), Users(u8=[OTHER_PHONE])
    first = signed_in(site, driver, "u7")
    both = signed_in(site, driver, "u8", OTHER_PHONE, first.device_cookie)
    forgotten = submit_login(site, both, {"forget": "1"}, numbers_of=users)
    assert forgotten.device_cookie == first.device_cookie.partition("~")[0], "its signed tag alone"


def test_signed_in_visitors_see_no_number_of_others() -> None:
    driver = sms()
    site, users = site_with(driver), Users(u7=[PHONE])
    call = signed_in(site, driver, "u7")
    for id, offered in (("u7", True), ("u9", False)):
        there = replace(call, user=SessionUser(id, PHONE.e164))
        assert (show_login(site, there, again=True, numbers_of=users).last is not None) == offered
        assert show_login(site, there, numbers_of=users).last is None, "there is nothing to do"


def test_setting_switches_the_offer_off() -> None:
    driver = sms()
    site, users = site_with(driver), Users(u7=[PHONE])
    cookie = signed_in(site, driver, "u7").device_cookie
    closed = replace(site, offer_last_number=False)
    there = replace(CALL, device_cookie=cookie)
    assert show_login(closed, there, numbers_of=users).last is None
    assert submit_login(closed, there, {"continue": "1"}, numbers_of=users).to == "login"
    assert signed_in(closed, driver, "u7", OTHER_PHONE).device_cookie.count("~") == 1, "nothing is kept either"
    assert users.asked == []


def test_refused_start_returns_to_the_offer_with_the_reason() -> None:
    driver = sms()
    site, users = Site(Harness(driver, sends_per_hour=1).verifier), Users(u7=[PHONE])
    call = signed_in(site, driver, "u7")
    for _ in range(2):
        begun = submit_login(site, call, {"continue": "1"}, numbers_of=users)
    assert begun.to == "login"
    assert begun.message is not None
    assert not begun.message.invalid, "no field is at fault"
    page = show_login(site, call, message=begun.message, numbers_of=users)
    assert page.last is not None
    assert page.error


def test_notes_keep_the_mark_as_long_as_the_verification() -> None:
    session: dict[str, Any] = {}
    notes, ids = Notes(session), [f"{letter * 44}" for letter in "abc"]
    notes.keep_started(ids[:1], ids[:1])
    assert notes.not_entered == ids[:1]
    notes.keep_started(ids[1::-1])
    assert (notes.started, notes.not_entered) == (ids[1::-1], ids[:1])
    notes.keep_started(None)
    assert notes.not_entered == ids[:1]
    notes.keep_started(ids[1:2])
    assert (notes.not_entered, len(session)) == ([], 1)
    notes.keep_started(ids[2:], ids[2:])
    notes.sign_out()
    assert session == {}
