"""The pages of a site whose own service restricts what they offer."""

from __future__ import annotations

from dataclasses import replace

from phone_verify.api import SignIn, Site
from phone_verify.i18n.texts import PAGE
from phone_verify.model import CallState, Channel, Reason, Receipt, Sighting
from phone_verify.verifier.blocking import Verifier
from phone_verify.web.flow import CodePage, LoginPage, Redirect
from tests.api.test_pages import Visitor
from tests.core.harness import CALL, LINE, PHONE, SMS, Caller, Driver, Harness, flash, sms

CALLED = Sighting(CallState.CALLED, PHONE)


class Guest(Visitor):
    """A visitor of a site whose service has these rules."""

    def __init__(self, *drivers: Driver, purposes: tuple[str, ...] = (), **policy: object) -> None:
        super().__init__(*drivers)
        self.harness = Harness(*drivers, **policy)
        parts = replace(self.harness.parts, service="shop", purposes=purposes)
        self.site = Site(Verifier(parts), service="shop")

    def first_page(self) -> LoginPage:
        page = self.followed(Redirect("login"))
        assert isinstance(page, LoginPage)
        return page


def test_any_shows_no_choice_and_uses_the_first_that_reaches() -> None:
    rung, written = flash("1234"), sms()
    rung.reachable = False
    guest = Guest(rung, written, offers_choice=False)
    assert not guest.first_page().several
    page = guest.followed(guest.login(""))
    assert isinstance(page, CodePage)
    assert page.kind == "code"
    assert len(written.orders) == 1


def test_call_first_offers_the_call_and_then_the_message() -> None:
    written = sms()
    caller = Caller([Receipt(str(n), line=LINE) for n in range(3)], [Sighting(CallState.WAITING), CALLED])
    guest = Guest(written, caller, combined=(CALL, SMS), call_first=True)
    assert [choice.value for choice in guest.first_page().choices] == [Channel.INBOUND_CALL]
    refused = guest.followed(guest.login("sms"))
    assert refused.error == refused.texts.reasons[Reason.CHANNEL_UNAVAILABLE]
    assert written.orders == []
    page = guest.followed(guest.login("inbound_call"))
    assert isinstance(page, CodePage)
    assert [choice.value for choice in page.choices] == [], "no message is offered before the call"
    guest.harness.clock.move(3)
    page = guest.followed(guest.code(called="1", verification=page.id))
    assert isinstance(page, CodePage)
    assert (page.title, [choice.value for choice in page.choices]) == (PAGE["more_title"], [Channel.SMS])
    page = guest.followed(guest.code(resend="1", channel="sms", verification=page.id))
    assert isinstance(page, CodePage)
    assert isinstance(guest.code(code=written.codes[-1], verification=page.id), SignIn)


def test_service_without_the_purpose_of_the_page_shows_that_it_is_not_set_up() -> None:
    written = sms()
    guest = Guest(written, purposes=("checkout",))
    page = guest.first_page()
    assert (page.configured, page.error) == (False, page.texts.reasons[Reason.NOT_CONFIGURED])
    refused = guest.followed(guest.login("sms"))
    assert refused.error
    assert written.orders == []
