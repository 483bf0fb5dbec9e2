"""Pages that lead a visitor through a code and a call, without a framework."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from phone_verify.api import SignIn, Site
from phone_verify.errors import FailureKind, ProviderError
from phone_verify.i18n.texts import PAGE
from phone_verify.model import CallState, Channel, Reason, Receipt, Sighting
from phone_verify.web.flow import CodePage, LoginPage, Redirect, show_code, submit_code
from tests.core.harness import CALL, LINE, PHONE, SMS, Caller, Driver, Harness, chat, flash, sms, wrong

from .test_pages import Visitor

#: Each page queries the provider when it is shown.
LATER = (Sighting(CallState.WAITING), Sighting(CallState.CALLED, PHONE))


class Both(Visitor):
    """A visitor of a site on which signing in needs a code and a call."""

    def __init__(self, *drivers: Driver, by_itself: bool = False) -> None:
        super().__init__(*drivers)
        required = {"login": (SMS, CALL)}
        self.harness = Harness(*drivers, resend_after=timedelta(0), required_channels=required)
        self.site = Site(
            self.harness.verifier,
            next_channel_after=timedelta(seconds=30),
            next_channel_sends_by_itself=by_itself,
        )

    def called(self, id: str = "") -> object:
        """Press the button after the call, three seconds after the page was shown."""
        self.harness.clock.move(3)
        return self.code(called="1", verification=id)

    def page(self, answer: object) -> CodePage:
        page = self.followed(answer)
        assert isinstance(page, CodePage)
        return page


def lines(*sightings: Sighting) -> Caller:
    return Caller([Receipt(str(n), line=LINE) for n in range(5)], sightings)


def test_code_is_followed_by_the_call() -> None:
    written, caller = sms(), lines(*LATER)
    visitor = Both(written, caller)
    first = visitor.page(visitor.login("sms"))
    assert not first.next_channel, "the call follows; it does not replace the code"
    page = visitor.page(visitor.code(code=written.codes[0], verification=first.id))
    assert (page.kind, page.title, page.id) == ("more", PAGE["more_title"], first.id)
    assert [choice.value for choice in page.choices] == ["inbound_call"]
    assert caller.orders == [], "only the visitor's press begins the call"
    page = visitor.page(visitor.code(resend="1", channel="inbound_call", verification=first.id))
    assert (page.kind, page.id != first.id) == ("inbound_call", True)
    answer = visitor.called(page.id)
    assert isinstance(answer, SignIn)
    assert answer.redeemed.channel is Channel.INBOUND_CALL


def test_call_is_followed_by_the_code() -> None:
    written, caller = sms(), lines(*LATER)
    visitor = Both(written, caller)
    visitor.page(visitor.login("inbound_call"))
    page = visitor.page(visitor.called())
    assert page.kind == "more"
    page = visitor.page(visitor.code(resend="1", channel="sms", verification=page.id))
    assert not isinstance(visitor.code(code=wrong(written.codes[0])), SignIn)
    assert isinstance(visitor.code(code=written.codes[0], verification=page.id), SignIn)


def test_site_may_begin_the_next_step_by_itself() -> None:
    written, caller = sms(), lines(*LATER)
    visitor = Both(written, caller, by_itself=True)
    visitor.login("sms")
    page = visitor.page(visitor.code(code=written.codes[0]))
    assert (page.kind, len(caller.orders)) == ("inbound_call", 1)
    assert isinstance(visitor.called(), SignIn)


def test_refused_step_can_be_tried_again() -> None:
    written = sms()
    caller = Caller([ProviderError(FailureKind.BALANCE, "no credit"), Receipt("1", line=LINE)], LATER)
    visitor = Both(written, caller)
    visitor.login("sms")
    page = visitor.page(visitor.code(code=written.codes[0]))
    again = visitor.page(visitor.code(resend="1", channel="inbound_call", verification=page.id))
    assert (again.kind, again.error) == ("more", PAGE["cannot_send"])
    assert visitor.page(visitor.code(resend="1", channel="inbound_call", verification=page.id)).kind == "inbound_call"


@pytest.mark.parametrize("form", [{"code": "000000"}, {"called": "1"}, {"resend": "1", "channel": "sms"}], ids=str)
def test_no_form_of_the_first_step_signs_in(form: dict[str, str]) -> None:
    written, caller = sms(), lines()
    visitor = Both(written, caller)
    first = visitor.page(visitor.login("sms"))
    visitor.keep(visitor.code(code=written.codes[0]))  # type: ignore[arg-type]
    for _ in range(2):
        page = visitor.page(visitor.code(**form, verification=first.id))
        assert page.kind == "more"
    assert caller.orders == []


def test_first_step_is_used_for_one_second_step() -> None:
    written, caller = sms(), lines()
    visitor = Both(written, caller)
    first = visitor.page(visitor.login("sms"))
    visitor.keep(visitor.code(code=written.codes[0]))  # type: ignore[arg-type]
    before = visitor.cookie, visitor.started
    page = visitor.page(visitor.code(resend="1", channel="inbound_call", verification=first.id))
    # The button of the first page again, as in a restored tab: the step that it began is open.
    visitor.cookie, visitor.started = before
    other = visitor.code(resend="1", channel="inbound_call", verification=first.id)
    assert isinstance(other, Redirect)
    assert other.to == "login", "the proof was used; nothing is left to continue"
    assert len(caller.orders) == 1
    assert page.kind == "inbound_call"


def test_open_first_step_does_not_replace_the_second() -> None:
    written, caller = sms(), lines(*LATER)
    visitor = Both(written, caller)
    first = visitor.page(visitor.login("sms"))
    visitor.keep(visitor.code(code=written.codes[0]))  # type: ignore[arg-type]
    other = visitor.page(visitor.login("inbound_call"))  # another tab, from the beginning
    page = visitor.page(visitor.code(resend="1", channel="inbound_call", verification=first.id))
    assert page.id != other.id
    assert isinstance(visitor.called(page.id), SignIn)


def test_pages_offer_required_channels_only() -> None:
    visitor = Both(sms(), flash("1234"), lines(), chat())
    page = visitor.followed(Redirect("login"))
    assert isinstance(page, LoginPage)
    assert [choice.value for choice in page.choices] == ["sms", "inbound_call"]
    refused = visitor.followed(visitor.login("flash_call"))
    assert refused.error == page.texts.reasons[Reason.CHANNEL_UNAVAILABLE]
    code = visitor.page(visitor.login("sms"))
    assert [choice.value for choice in code.choices] == ["inbound_call"]
    visitor.harness.clock.move(600)
    over = visitor.page(Redirect("code", id=code.id))
    assert [choice.value for choice in over.choices] == ["inbound_call"]


def test_expired_second_step_starts_over() -> None:
    written, caller = sms(), lines(LATER[0], *LATER)
    visitor = Both(written, caller)
    visitor.login("sms")
    page = visitor.page(visitor.code(code=written.codes[0]))
    page = visitor.page(visitor.code(resend="1", channel="inbound_call", verification=page.id))
    visitor.harness.clock.move(600)
    page = visitor.page(visitor.code(resend="1", verification=page.id))
    assert page.kind == "inbound_call"
    page = visitor.page(visitor.called())
    assert (page.kind, [choice.value for choice in page.choices]) == ("more", ["sms"]), "the code is too old by now"


def test_planted_first_step_continues_nothing() -> None:
    """A cookie that another client has set does not count as a verification of this session."""
    written, caller = sms(), lines()
    thief, victim = Both(written, caller), Both(written, caller)
    victim.harness, victim.site = thief.harness, thief.site
    first = thief.page(thief.login("sms"))
    thief.keep(thief.code(code=written.codes[0]))  # type: ignore[arg-type]
    victim.cookie = thief.cookie
    answer = submit_code(victim.site, victim.call, {"resend": "1", "channel": "inbound_call", "verification": first.id})
    assert isinstance(answer, Redirect)
    assert (answer.to, caller.orders) == ("login", [])


def test_page_says_that_another_phone_called() -> None:
    caller = lines(Sighting(CallState.CALLED, replace(PHONE, e164="+989120000009")), LATER[1])
    visitor = Both(sms(), caller)
    page = visitor.page(visitor.login("inbound_call"))
    assert page.other_caller, "the first poll has seen the other phone"
    visitor.harness.clock.move(3)
    again = show_code(visitor.site, visitor.call, id=page.id)
    assert isinstance(again, CodePage)
    assert again.kind == "more"
