"""The flow of the pages over the memory store and small drivers, without a framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from phone_verify.api import ApiRequest, AskSite, SessionUser, SetPhone, SignIn, Site
from phone_verify.drivers.dsn import load_driver, parse_dsn
from phone_verify.errors import FailureKind, ProviderError, StoreError
from phone_verify.http.cookies import pairs, with_pair
from phone_verify.http.session_notes import with_id
from phone_verify.model import Channel, Reason, Receipt
from phone_verify.phone import PhoneNumber
from phone_verify.stores.memory import MemoryStore
from phone_verify.web.flow import (
    CodePage,
    LoginPage,
    NumberHelp,
    Redirect,
    VerifyPage,
    refused_phone,
    show_code,
    show_login,
    show_verify,
    submit_code,
    submit_login,
    submit_verify,
    taken_phone,
)
from phone_verify.web.pages import Page
from tests.core.harness import FLASH, OTHER_PHONE, PHONE, SMS, Caller, Driver, Harness, chat, flash, sms, wrong


class Visitor:
    """Submit the pages' forms and keep the cookie."""

    def __init__(self, *drivers: Driver) -> None:
        self.harness = Harness(*drivers, resend_after=timedelta(0))
        self.site, self.cookie = Site(self.harness.verifier), ""
        self.started: Sequence[str] = ()
        self.peer: str | None = None

    @property
    def call(self) -> ApiRequest:
        return ApiRequest("POST", "", cookie=self.cookie, started=self.started, peer=self.peer)

    def login(self, channel: str = "") -> Redirect:
        answer = submit_login(self.site, self.call, {"phone": PHONE.e164, "channel": channel})
        self.keep(answer)
        return answer

    def code(self, **form: str) -> Redirect | SignIn | SetPhone | AskSite:
        return submit_code(self.site, self.call, form)

    def followed(self, answer: object) -> Page:
        """Return the page to which this redirect leads, with its message."""
        assert isinstance(answer, Redirect)
        self.keep(answer)
        message = answer.message
        assert message is None or (message.page, message.id) == (answer.to, answer.id)
        page: Page | Redirect
        if answer.to == "code":
            page = show_code(self.site, self.call, answer.next, answer.id, message)
        else:
            page = {"login": show_login, "verify": show_verify}[answer.to](self.site, self.call, answer.next, message)
        assert isinstance(page, Page)
        return page

    def keep(self, answer: Page | Redirect) -> None:
        self.cookie = answer.cookie if answer.cookie is not None else self.cookie
        self.started = answer.started if answer.started is not None else self.started

    def planted(self, id: str, secret: str) -> None:
        self.cookie = with_pair(self.cookie, id, secret)

    def held(self, id: str, secret: str) -> None:
        self.planted(id, secret)
        self.started = with_id(self.started, id)


@pytest.mark.parametrize("channel", ["", "sms"])
def test_login_shows_the_open_verification_of_a_number(channel: str) -> None:
    written = sms()
    visitor = Visitor(written, flash("1234"))
    for word in ("sms", channel):
        assert isinstance(visitor.login(word), Redirect)
    assert len(written.orders) == len(pairs(visitor.cookie)) == 1


def test_login_on_another_channel_starts_a_new_verification() -> None:
    written, ringing = sms(), flash("1234")
    visitor = Visitor(written, ringing)
    visitor.login("sms")
    [old] = pairs(visitor.cookie)
    assert isinstance(visitor.login("flash_call"), Redirect)
    assert (len(written.orders), len(ringing.orders)) == (1, 1)
    page = show_code(visitor.site, visitor.call)
    assert isinstance(page, CodePage)
    assert (page.kind, page.caller_hint) == ("flash_call", "+98 99")
    assert visitor.harness.verifier.get(*old).verification.status == "cancelled"  # type: ignore[union-attr]
    assert isinstance(visitor.code(code="1234"), SignIn)


def test_open_verification_is_shown_before_newer_ended_ones() -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.login()
    [mine] = pairs(visitor.cookie)
    visitor.held(*visitor.harness.begun(purpose="signup"))
    visitor.login()
    assert pairs(visitor.cookie)[0] == mine
    assert isinstance(visitor.code(code=written.codes[0]), SignIn)


@pytest.mark.parametrize("purpose", ["confirm", "change_phone", "second_factor"])
def test_proof_for_another_purpose_does_not_sign_in(purpose: str) -> None:
    written = sms()
    visitor = Visitor(written)
    id, secret = visitor.harness.begun(purpose=purpose)
    visitor.held(id, secret)
    code = written.codes[0]
    assert isinstance(visitor.code(code=code), Redirect)  # not even compared here
    proof = visitor.harness.verifier.check(id, secret, code).proof
    assert proof is not None
    for form in ({"code": code}, {"called": "1"}, {"resend": "1"}):
        assert isinstance(visitor.code(**form), Redirect)
    assert visitor.harness.verifier.redeem(proof, [secret], [purpose]) is not None  # and not consumed


def test_code_page_prefers_login_over_other_purposes() -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.login()
    code = written.codes[0]
    visitor.held(*visitor.harness.begun(purpose="confirm"))
    answer = visitor.code(code=code)
    assert isinstance(answer, SignIn)
    assert answer.redeemed.purpose == "login"


def test_get_of_a_verified_page_does_not_sign_in() -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.login()
    visitor.harness.verifier.check(*pairs(visitor.cookie)[0], written.codes[0])
    page = show_code(visitor.site, visitor.call)
    assert isinstance(page, CodePage)
    assert page.kind == "proven"
    assert isinstance(visitor.code(called="1"), SignIn)
    assert isinstance(visitor.code(called="1"), Redirect)  # once


def test_page_offers_the_channels_a_resend_accepts() -> None:
    ringing, chatted = flash("1234"), chat()
    visitor = Visitor(sms(), ringing, chatted)
    visitor.login("sms")

    def offered() -> list[str]:
        page = show_code(visitor.site, visitor.call)
        assert isinstance(page, CodePage)
        return [choice.value for choice in page.choices]

    assert offered() == ["flash_call", "telegram"]
    visitor.harness.fail(10)
    assert offered() == ["telegram"]
    page = visitor.followed(visitor.code(resend="1", channel="telegram"))
    assert isinstance(page, CodePage)
    assert [choice.value for choice in page.choices] == ["sms"]
    assert (len(ringing.orders), len(chatted.orders)) == (0, 1)


def test_wrong_code_shows_the_attempts_left() -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.login()
    page = visitor.followed(visitor.code(code=wrong(written.codes[0])))
    assert isinstance(page, CodePage)
    assert (page.status, page.kind, page.invalid) == (200, "code", True)
    assert "4" in page.error


def test_unconfigured_channel_is_refused_and_starts_nothing() -> None:
    written = sms()
    visitor = Visitor(written)
    page = visitor.followed(visitor.login("voice"))
    assert isinstance(page, LoginPage)
    assert page.error == page.texts.reasons[Reason.CHANNEL_UNAVAILABLE]
    assert (page.invalid, page.phone) == (False, PHONE.e164)
    assert written.orders == []


def test_locked_short_codes_stay_on_the_login_page() -> None:
    ringing = flash(*["1234"] * 4)
    visitor = Visitor(ringing, sms())
    visitor.harness.fail(10, FLASH)
    page = visitor.followed(visitor.login("flash_call"))
    assert isinstance(page, LoginPage)
    assert page.error == page.texts.reasons[Reason.CHANNEL_UNAVAILABLE]
    assert [choice.value for choice in page.choices if choice.chosen] == ["flash_call"]
    assert visitor.login("sms").to == "code"
    assert visitor.harness.verifier.get(*pairs(visitor.cookie)[0]).verification.channel is SMS  # type: ignore[union-attr]


@pytest.mark.parametrize("purpose", ["login", "signup", "confirm", "change_phone"])
def test_planted_verification_is_neither_shown_nor_finished(purpose: str) -> None:
    written = sms()
    user = User(written)
    harness = Harness(written, resend_after=timedelta(0))
    user.site = replace(user.site, verifier=harness.verifier)
    id, secret = harness.begun(phone=OTHER_PHONE, purpose=purpose)
    user.planted(id, secret)
    proof = harness.verifier.check(id, secret, written.codes[0]).proof
    assert proof is not None
    for form in ({}, {"submitted": "1", "called": "1"}, {"submitted": "1", "code": written.codes[0]}):
        assert isinstance(user.code(**form), Redirect)
    assert harness.verifier.redeem(proof, [secret], [purpose]) is not None, "nothing has used it up"


def test_planted_verification_does_not_count_as_open() -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.planted(*visitor.harness.begun(purpose="login"))
    visitor.login()
    assert len(written.orders) == 2
    assert len(visitor.started) == 1


# The current number


class User(Visitor):
    """A signed-in user, with or without a number."""

    def __init__(self, *drivers: Driver, phone: str | None = PHONE.e164, minutes: float | None = 1, **policy: object):
        super().__init__(*drivers)
        self.site = replace(self.site, verifier=Harness(*drivers, resend_after=timedelta(0), **policy).verifier)
        self.user: SessionUser | None = SessionUser("1", phone)
        self.signed_in_for = None if minutes is None else timedelta(minutes=minutes)

    @property
    def call(self) -> ApiRequest:
        return ApiRequest(
            "POST",
            "",
            cookie=self.cookie,
            started=self.started,
            user=self.user,
            signed_in_for=self.signed_in_for,
            proved_for=self.signed_in_for,
            present_counts=True,
        )

    def verify(self, **form: str) -> Redirect:
        answer = submit_verify(self.site, self.call, form)
        assert isinstance(answer, Redirect)
        self.keep(answer)
        return answer

    def shown(self, next: str = "") -> VerifyPage:
        page = show_verify(self.site, self.call, next)
        assert isinstance(page, VerifyPage)
        return page


def test_current_number_is_masked_and_confirmed_by_a_button() -> None:
    written = sms()
    user = User(written)
    page = user.shown()
    assert page.phone_hint == PHONE.hint
    assert PHONE.e164 not in repr(page)
    assert user.verify(confirm="1", next="/there") == Redirect(
        "code", "/there", user.cookie, started=user.started, id=user.started[0]
    )
    assert [order.phone for order in written.orders] == [PHONE]
    answer = user.code(code=written.codes[0], next="/there")
    assert isinstance(answer, SetPhone)
    assert (answer.redeemed.phone, answer.redeemed.purpose) == (PHONE, "confirm")


@pytest.mark.parametrize(("form", "invalid"), [({"confirm": "1"}, False), ({"phone": OTHER_PHONE.e164}, True)])
def test_field_of_another_number_is_not_at_fault(form: dict[str, str], invalid: bool) -> None:
    """The provider refuses the number: the user's current one is not in the field."""
    written = sms()
    written.results.append(ProviderError(FailureKind.BAD_NUMBER, "refused"))
    user = User(written)
    page = user.followed(user.verify(**form))
    assert "send a code to this number" in page.error
    assert page.invalid is invalid


@pytest.mark.parametrize(
    ("own", "typed", "purpose"),
    [
        (PHONE.e164, OTHER_PHONE.e164, "change_phone"),
        (PHONE.e164, " ۰۹۱۲ ۰۰۰ ۰۰۰۱", "change_phone"),
        (PHONE.e164, PHONE.e164, "confirm"),  # entered, but the current one
        (None, OTHER_PHONE.e164, "confirm"),
        ("no number", OTHER_PHONE.e164, "confirm"),
    ],
)
def test_another_number_is_entered(own: str | None, typed: str, purpose: str) -> None:
    written = sms()
    user = User(written, phone=own, region="IR")
    assert isinstance(user.verify(phone=typed), Redirect)
    page = show_code(user.site, user.call)
    assert isinstance(page, CodePage)
    assert (page.begun_at, page.asks_remember) == ("verify", False)
    answer = user.code(code=written.codes[0])
    assert isinstance(answer, SetPhone)
    assert (answer.redeemed.phone, answer.redeemed.purpose) == (written.orders[0].phone, purpose)


@pytest.mark.parametrize("stored", ["+10000000000", "09120000000", "0912 000 0000 (home)"])
def test_unreadable_current_number_blocks_a_change(stored: str) -> None:
    """Numbering plans change, and sites store numbers in national form: both are still the user's number."""
    written = sms()
    user = User(written, phone=stored)
    answer = submit_verify(user.site, replace(user.call, proved_for=None), {"phone": OTHER_PHONE.e164})
    page = user.followed(answer)
    assert isinstance(page, VerifyPage)
    assert page.error == page.text["verify_first"]
    assert written.orders == []


def test_user_without_a_number_enters_one() -> None:
    written = sms()
    user = User(written, phone=None)
    page = user.followed(user.verify(confirm="1"))
    assert isinstance(page, VerifyPage)
    assert (page.invalid, page.phone_hint) == (True, "")
    assert written.orders == []


def test_anonymous_visitor_is_sent_to_login_and_back() -> None:
    user = User(sms())
    user.user = None
    for answer in (show_verify(user.site, user.call, "/there?a=b"), user.verify(confirm="1", next="/there?a=b")):
        assert isinstance(answer, Redirect)
        urls = {"login": "/p/login/", "verify": "/p/verify/", "code": "/p/code/"}
        assert answer.address(urls) == "/p/login/?next=%2Fp%2Fverify%2F%3Fnext%3D%252Fthere%253Fa%253Db"
        own = answer.address({**urls, "sign_in": "/accounts/login/?by=phone"})
        assert own.startswith("/accounts/login/?by=phone&next=%2Fp%2Fverify%2F%3Fnext")


@pytest.mark.parametrize("minutes", [15.1, None])
@pytest.mark.parametrize("own", [PHONE.e164, None])
def test_stale_session_cannot_change_the_number(minutes: float | None, own: str | None) -> None:
    written = sms()
    user = User(written, phone=own, minutes=minutes)
    assert not user.shown().may_change
    page = user.followed(user.verify(phone=OTHER_PHONE.e164))
    assert isinstance(page, VerifyPage)
    assert page.error == page.text["verify_first" if own else "sign_in_again"]
    assert written.orders == []


def test_stale_session_confirms_the_current_number() -> None:
    written = sms()
    user = User(written, minutes=None)
    assert isinstance(user.verify(confirm="1"), Redirect)
    assert isinstance(user.code(code=written.codes[0]), SetPhone)


@pytest.mark.parametrize("purpose", ["confirm", "change_phone"])
def test_stale_session_cannot_finish_a_change_started_by_api(purpose: str) -> None:
    """A visitor of an unattended session must not change the user's number to theirs."""
    written = sms()
    user = User(written, minutes=16)
    harness = Harness(written, resend_after=timedelta(0))
    user.site = replace(user.site, verifier=harness.verifier)
    id, secret = harness.begun(phone=OTHER_PHONE, purpose=purpose)
    user.held(id, secret)
    code = written.codes[0]
    for form in ({"code": code}, {"called": "1"}, {"resend": "1"}):
        answer = user.code(**form)
        assert isinstance(answer, Redirect)
        assert answer.to == "verify"
    assert isinstance(show_code(user.site, user.call), Redirect)
    proof = harness.verifier.check(id, secret, code).proof  # neither compared nor consumed above
    assert proof is not None
    assert isinstance(user.code(called="1"), Redirect)
    assert harness.verifier.redeem(proof, [secret], [purpose]) is not None


@pytest.mark.parametrize("purpose", ["confirm", "change_phone"])
def test_anonymous_visitor_gets_no_number(purpose: str) -> None:
    written = sms()
    user = User(written, phone=None)
    user.verify(phone=PHONE.e164)
    user.user = None
    answer = user.code(code=written.codes[0])
    assert isinstance(answer, Redirect)
    assert answer.to == "login"


def test_open_verification_of_current_number_is_not_resent() -> None:
    written = sms()
    user = User(written)
    for _ in range(2):
        assert isinstance(user.verify(confirm="1"), Redirect)
    assert len(written.orders) == len(pairs(user.cookie)) == 1
    user.verify(phone=OTHER_PHONE.e164)
    assert len(written.orders) == 2
    user.verify(phone=OTHER_PHONE.e164)
    assert len(written.orders) == 2


def test_success_is_shown_where_there_is_no_next_page() -> None:
    written = sms()
    user = User(written)
    assert user.shown().notice == ""
    user.verify(confirm="1")
    assert user.shown().notice == ""
    assert isinstance(user.code(code=written.codes[0]), SetPhone)
    assert user.shown().notice == user.shown().text["number_confirmed"]
    assert user.shown("/there").notice == ""
    answer = show_code(user.site, user.call)
    assert isinstance(answer, Redirect)
    assert (answer.to, answer.started) == ("verify", [])
    user.user = SessionUser("2", OTHER_PHONE.e164)
    assert user.shown().notice == ""


def test_refused_number_change_shows_the_reason() -> None:
    user = User(sms())
    for answer, text in (
        (taken_phone(user.call, "/a"), "phone_taken"),
        (refused_phone(user.call, "/a"), "phone_refused"),
    ):
        page = user.followed(answer)
        assert (page.next, page.error) == ("/a", page.text[text])


def test_unreachable_number_stays_on_the_page() -> None:
    written = sms()
    user = User(written)
    for typed in ("", "x" * 5000, "\x00", "+870772000000"):
        page = user.followed(user.verify(phone=typed))
        assert isinstance(page, VerifyPage)
        assert (bool(page.error), page.refused) == (True, True)
    page = user.followed(user.verify(confirm="1", channel="voice"))
    assert isinstance(page, VerifyPage)
    assert page.error == page.texts.reasons[Reason.CHANNEL_UNAVAILABLE]
    assert not page.refused
    user = User()
    page = user.followed(user.verify(confirm="1"))
    assert isinstance(page, VerifyPage)
    assert not page.configured
    assert written.orders == []


class DownStore(MemoryStore):
    """A store that is unavailable."""

    async def get(self, *args: object) -> None:  # type: ignore[override]
        raise StoreError("down")

    async def count(self, *args: object) -> None:  # type: ignore[override]
        raise StoreError("down")


def test_unavailable_store_is_shown_on_the_verify_page() -> None:
    user = User(sms(), store=DownStore())
    user.held("A" * 44, "A" * 22)
    page = show_verify(user.site, user.call)
    assert isinstance(page, VerifyPage)
    assert page.status == 503
    assert page.headers["Retry-After"]
    page = user.followed(user.verify(confirm="1"))
    assert page.error == page.text["unavailable"]


# The remember choice


@pytest.mark.parametrize(
    ("form", "wish"),
    [({}, None), ({"asks_remember": "1"}, False), ({"asks_remember": "1", "remember": "1"}, True)],
)
def test_remember_choice_is_carried_to_the_code_page(form: dict[str, str], wish: bool | None) -> None:
    written = sms()
    visitor = Visitor(written)
    visitor.login()
    page = visitor.followed(visitor.code(code=wrong(written.codes[0]), **form))
    assert isinstance(page, CodePage)
    assert (page.asks_remember, page.remember) == (True, wish is not False)
    answer = visitor.code(code=written.codes[0], **form)
    assert isinstance(answer, SignIn)
    assert answer.remember is wish


# How a number is written


@pytest.mark.parametrize(
    ("policy", "help"),
    [
        ({}, NumberHelp("+1 201-555-0123", country="US", calling_code="1")),
        ({"region": "IR"}, NumberHelp("0912 345 6789", local=True, region="IR", country="IR", calling_code="98")),
        (
            {"region": "RU", "allowed_regions": frozenset({"RU"})},
            NumberHelp("8 (912) 345-67-89", True, False, "RU", "RU", "7"),
        ),
        (
            {"region": "RU", "allowed_regions": frozenset({"RU", "KZ"})},
            NumberHelp("8 (912) 345-67-89", True, True, "RU", "RU", "7"),
        ),
    ],
)
def test_number_field_shows_the_national_format(policy: dict[str, object], help: NumberHelp) -> None:
    user = User(sms(), **policy)
    assert show_login(user.site, user.call).number == user.shown().number == help
    assert isinstance(user.verify(phone=help.example), Redirect)


TOLL_FREE, MOBILE_LINE = PhoneNumber("+78000000000"), PhoneNumber("+79990000001")


@pytest.mark.parametrize(
    ("announced", "line", "says"),
    [
        (False, MOBILE_LINE, "You'll hear a busy tone or the call will end by itself. It's free."),
        (False, TOLL_FREE, "You'll hear a busy tone or the call will end by itself. It's free."),
        (True, MOBILE_LINE, "The call is answered by an announcement. Wait for it."),
        (True, TOLL_FREE, "The call is answered by an announcement. Wait for it. It's free."),
    ],
)
def test_page_says_what_the_caller_hears(announced: bool, line: PhoneNumber, says: str) -> None:
    caller = Caller([Receipt("1", line=line)])
    caller.ability = replace(caller.ability, announced=announced)
    visitor = Visitor(caller)
    before = show_login(visitor.site, visitor.call)
    assert isinstance(before, LoginPage)
    promised = "Call our number and wait for the announcement." if announced else "Free call; it hangs up by itself."
    assert [choice.help for choice in before.choices] == [promised]
    visitor.login()
    page = show_code(visitor.site, visitor.call)
    assert isinstance(page, CodePage)
    assert page.dial_help == says


@pytest.mark.parametrize(
    ("dsn", "announced"),
    [
        ("ssms://K@default", True),
        ("ssms://K@default?line_answer=none", False),
        ("telefon-ip://T@default", False),
        ("telefon-ip://T@default?line_answer=announcement", True),
    ],
)
def test_driver_declares_how_its_line_answers(dsn: str, announced: bool) -> None:
    driver = load_driver(parse_dsn(dsn, "DSN"))
    assert driver.abilities[Channel.INBOUND_CALL].announced is announced


# Waiting, and starting again


@pytest.mark.parametrize(
    ("channel", "text"),
    [("sms", "wait_code"), ("flash_call", "wait_flash_call")],
)
def test_early_resend_names_one_reason_and_one_time(channel: str, text: str) -> None:
    visitor = Visitor()
    harness = Harness(sms(), flash("1234"), resend_after=timedelta(seconds=60))
    visitor.site = Site(harness.verifier)
    visitor.keep(visitor.login(channel))
    page = visitor.followed(visitor.code(resend="1"))
    assert isinstance(page, CodePage)
    assert page.error == page.texts.wait_until(text, timedelta(seconds=60))
    assert page.choices, "the other channels stay"
    assert not page.invalid


@pytest.mark.parametrize("channel", ["", "flash_call"])
def test_expired_page_starts_anew_for_the_same_number(channel: str) -> None:
    written, ringing = sms(), flash("1234")
    visitor = Visitor(written, ringing)
    visitor.login("sms")
    [(old, _)] = pairs(visitor.cookie)
    visitor.harness.clock.move(600)
    page = show_code(visitor.site, visitor.call)
    assert isinstance(page, CodePage)
    assert (page.state, page.renewable, [choice.value for choice in page.choices]) == ("expired", True, ["flash_call"])
    page = visitor.followed(visitor.code(resend="1", channel=channel, verification=old))
    assert isinstance(page, CodePage)
    assert (page.state, page.kind, page.phone_hint) == ("sent", channel or "code", PHONE.hint)
    assert page.notice == page.text[f"sent_again_{page.kind}"]
    assert [id for id, _ in pairs(visitor.cookie)] == list(visitor.started) == [page.id] != [old]
    assert (len(written.orders), len(ringing.orders)) == ((2, 0) if not channel else (1, 1))


def test_anew_start_obeys_the_quota_of_the_number() -> None:
    written = sms()
    visitor = Visitor(written)
    harness = Harness(written, resend_after=timedelta(0), sends_per_hour=1)
    visitor.harness, visitor.site = harness, Site(harness.verifier)
    visitor.login()
    [(old, _)] = pairs(visitor.cookie)
    harness.clock.move(600)
    page = visitor.followed(visitor.code(resend="1"))
    assert isinstance(page, CodePage)
    assert (page.id, page.state) == (old, "expired")
    assert page.error == "You can't get another code yet. Try again in 50 minutes."
    assert len(written.orders) == 1


@pytest.mark.parametrize("limits", [{"max_failures": 4}, {"sends_per_hour": 1}])
def test_refused_start_hides_what_others_did(limits: dict[str, int]) -> None:
    """Whether they asked for too many codes or typed too many wrong ones is not revealed."""
    written = sms()
    other, visitor = Visitor(written), Visitor(written)
    harness = Harness(written, resend_after=timedelta(0), **limits)
    for each in (other, visitor):
        each.harness, each.site = harness, Site(harness.verifier)
    other.login()
    for _ in range(4):
        other.followed(other.code(code=wrong(written.codes[0])))
    answer = other.followed(other.code(code=wrong(written.codes[0])))
    visitor.peer = "192.0.2.1"
    page = visitor.followed(visitor.login())
    assert page.error == "You can't get another code yet. Try again in 60 minutes."
    assert not page.invalid
    if "max_failures" in limits:
        assert answer.error == "Too many attempts. Try again in 60 minutes."


@pytest.mark.parametrize(("kind", "invalid"), [(FailureKind.BAD_NUMBER, True), (FailureKind.BALANCE, False)])
def test_field_is_at_fault_only_for_a_refused_number(kind: FailureKind, invalid: bool) -> None:
    written = sms()
    written.results.append(ProviderError(kind, "refused"))
    visitor = Visitor(written)
    page = visitor.followed(visitor.login())
    assert (page.invalid, bool(page.error)) == (invalid, True)


def offering(visitor: Visitor, *drivers: Driver, by_itself: bool = False, **settings: object) -> Visitor:
    """Let the visitor's site offer the next channel after 30 seconds."""
    visitor.harness = Harness(*drivers, **{"resend_after": timedelta(seconds=60), **settings})
    visitor.site = Site(
        visitor.harness.verifier,
        next_channel_after=timedelta(seconds=30),
        next_channel_sends_by_itself=by_itself,
    )
    return visitor


def offered(visitor: Visitor) -> tuple[str, int] | None:
    page = show_code(visitor.site, visitor.call)
    assert isinstance(page, CodePage)
    return None if page.next_channel is None else (page.next_channel.value, page.next_channel_in)


def test_next_unused_channel_is_offered_after_the_last_order() -> None:
    visitor = offering(Visitor(), sms(), flash("1234"), chat())
    visitor.login("flash_call")
    assert offered(visitor) == ("sms", 30)
    visitor.harness.clock.move(29)
    assert offered(visitor) == ("sms", 1)
    visitor.harness.clock.move(61)
    assert offered(visitor) == ("sms", 0)
    visitor.keep(visitor.followed(visitor.code(resend="1")))
    assert offered(visitor) == ("sms", 30)
    visitor.harness.clock.move(10)
    visitor.keep(visitor.followed(visitor.code(resend="1", channel="sms")))
    assert offered(visitor) == ("telegram", 30)
    visitor.keep(visitor.followed(visitor.code(resend="1", channel="telegram")))
    assert offered(visitor) is None


def test_next_channel_is_a_preferred_one_that_serves_the_phone() -> None:
    visitor = offering(Visitor(), sms(), flash("1234"), chat(), preference=[SMS, Channel.TELEGRAM])
    visitor.login("sms")
    assert offered(visitor) == ("telegram", 30)
    visitor.keep(visitor.followed(visitor.code(resend="1", channel="telegram")))
    assert offered(visitor) is None
    visitor = offering(Visitor(), sms(), flash("1234"), chat())
    visitor.login("sms")
    assert offered(visitor) == ("flash_call", 30)
    visitor.harness.fail(10)  # short codes of this phone are closed
    assert offered(visitor) == ("telegram", 30)


def test_no_next_channel_is_offered_without_the_setting() -> None:
    visitor = Visitor(sms(), chat())
    visitor.login("sms")
    assert offered(visitor) is None


def test_script_sends_on_a_channel_once() -> None:
    written, ringing, chatted = sms(), flash("1234"), chat()
    visitor = offering(Visitor(), written, ringing, chatted, by_itself=True, resend_after=timedelta(0))
    visitor.login("sms")
    page = show_code(visitor.site, visitor.call)
    assert isinstance(page, CodePage)
    assert page.next_channel_by_itself
    for _ in range(2):
        visitor.keep(visitor.followed(visitor.code(resend="1", channel="telegram", by_itself="1")))
    assert len(chatted.orders) == 1
    visitor.keep(visitor.followed(visitor.code(resend="1", channel="telegram")))
    assert len(chatted.orders) == 2
    visitor.harness.clock.move(600)
    visitor.keep(visitor.followed(visitor.code(resend="1", channel="flash_call", by_itself="1")))
    assert (len(written.orders), len(ringing.orders), len(chatted.orders)) == (1, 0, 2)


def test_refused_send_of_the_next_channel_shows_its_message() -> None:
    chatted = chat()
    visitor = offering(Visitor(), sms(), chatted, by_itself=True, sends_per_hour=1)
    visitor.login("sms")
    page = visitor.followed(visitor.code(resend="1", channel="telegram", by_itself="1"))
    assert isinstance(page, CodePage)
    assert page.text["too_many_sends"] in page.error
    assert len(chatted.orders) == 0
