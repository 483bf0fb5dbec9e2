"""The flow of the pages over the memory store and small drivers, without a framework."""

from __future__ import annotations

from datetime import timedelta

import pytest

from phone_verify.api import Call, SignIn, Site
from phone_verify.api.binding import pairs, with_pair
from phone_verify.api.pages import CodePage, LoginPage, Redirect, show_code, submit_code, submit_login
from tests.core.bench import FLASH, PHONE, SMS, Bench, Driver, chat, flash, sms, wrong


class Visitor:
    """Submits the pages' forms and keeps the cookie."""

    def __init__(self, *drivers: Driver) -> None:
        self.bench = Bench(*drivers, resend_after=timedelta(0))
        self.site, self.cookie = Site(self.bench.verifier), ""

    @property
    def call(self) -> Call:
        return Call("POST", "", cookie=self.cookie)

    def login(self, channel: str = "") -> LoginPage | Redirect:
        answer = submit_login(self.site, self.call, {"phone": PHONE.e164, "channel": channel})
        self.cookie = answer.cookie if answer.cookie is not None else self.cookie
        return answer

    def code(self, **form: str) -> CodePage | Redirect | SignIn:
        return submit_code(self.site, self.call, form)

    def held(self, id: str, secret: str) -> None:
        self.cookie = with_pair(self.cookie, id, secret)


@pytest.mark.parametrize("channel", ["", "sms"])
def test_a_number_with_a_live_verification_shows_that_one(channel: str) -> None:
    written = sms()
    visitor = Visitor(written, flash("1234"))
    for word in ("sms", channel):
        assert isinstance(visitor.login(word), Redirect)
    assert len(written.orders) == len(pairs(visitor.cookie)) == 1


def test_a_number_with_a_live_verification_on_another_channel_starts_anew() -> None:
    written, ringing = sms(), flash("1234")
    visitor = Visitor(written, ringing)
    visitor.login("sms")
    [old] = pairs(visitor.cookie)
    assert isinstance(visitor.login("flash_call"), Redirect)
    assert (len(written.orders), len(ringing.orders)) == (1, 1)
    page = show_code(visitor.site, visitor.call)
    assert isinstance(page, CodePage)
    assert (page.kind, page.caller_hint) == ("flash_call", "099")
    assert visitor.bench.verifier.look(*old).verification.status == "cancelled"  # type: ignore[union-attr]
    assert isinstance(visitor.code(code="1234"), SignIn)


def test_the_live_verification_is_shown_before_newer_ones() -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.login()
    [mine] = pairs(visitor.cookie)
    visitor.held(*visitor.bench.begun(purpose="signup"))
    visitor.login()
    assert pairs(visitor.cookie)[0] == mine
    assert isinstance(visitor.code(code=written.codes[0]), SignIn)


@pytest.mark.parametrize("purpose", ["confirm", "change_phone", "second_factor"])
def test_a_proof_for_another_purpose_signs_nobody_in(purpose: str) -> None:
    written = sms()
    visitor = Visitor(written)
    id, secret = visitor.bench.begun(purpose=purpose)
    visitor.held(id, secret)
    code = written.codes[0]
    assert isinstance(visitor.code(code=code), Redirect)  # not even judged here
    proof = visitor.bench.verifier.check(id, secret, code).proof
    assert proof is not None
    for form in ({"code": code}, {"called": "1"}, {"resend": "1"}):
        assert isinstance(visitor.code(**form), Redirect)
    assert visitor.bench.verifier.redeem(proof, [secret], [purpose]) is not None  # and not burnt


def test_a_verification_for_another_purpose_does_not_stand_before_the_one_that_signs_in() -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.login()
    code = written.codes[0]
    visitor.held(*visitor.bench.begun(purpose="confirm"))
    answer = visitor.code(code=code)
    assert isinstance(answer, SignIn)
    assert answer.redeemed.purpose == "login"


def test_looking_at_a_proven_page_signs_nobody_in() -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.login()
    visitor.bench.verifier.check(*pairs(visitor.cookie)[0], written.codes[0])
    page = show_code(visitor.site, visitor.call)
    assert isinstance(page, CodePage)
    assert page.kind == "proven"
    assert isinstance(visitor.code(called="1"), SignIn)
    assert isinstance(visitor.code(called="1"), Redirect)  # once


def test_the_page_offers_the_channels_that_a_resend_would_accept() -> None:
    ringing, chatted = flash("1234"), chat()
    visitor = Visitor(sms(), ringing, chatted)
    visitor.login("sms")

    def offered() -> list[str]:
        page = show_code(visitor.site, visitor.call)
        assert isinstance(page, CodePage)
        return [choice.value for choice in page.choices]

    assert offered() == ["flash_call", "telegram"]
    visitor.bench.fail(10)
    assert offered() == ["telegram"]
    page = visitor.code(resend="1", channel="telegram")
    assert isinstance(page, CodePage)
    assert [choice.value for choice in page.choices] == ["sms"]
    assert (len(ringing.orders), len(chatted.orders)) == (0, 1)


def test_a_wrong_code_says_how_many_tries_are_left() -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.login()
    page = visitor.code(code=wrong(written.codes[0]))
    assert isinstance(page, CodePage)
    assert (page.status, page.kind) == (422, "code")
    assert "4" in page.error


def test_a_channel_that_is_not_in_use_is_refused_and_starts_nothing() -> None:
    written = sms()
    page = Visitor(written).login("voice")
    assert isinstance(page, LoginPage)
    assert page.status == 409
    assert written.orders == []


def test_short_codes_that_are_closed_leave_the_login_page_where_it_is() -> None:
    ringing = flash(*["1234"] * 4)
    visitor = Visitor(ringing, sms())
    visitor.bench.fail(10, FLASH)
    page = visitor.login("flash_call")
    assert isinstance(page, LoginPage)
    assert page.status == 409
    assert isinstance(visitor.login("sms"), Redirect)
    assert visitor.bench.verifier.look(*pairs(visitor.cookie)[0]).verification.channel is SMS  # type: ignore[union-attr]
