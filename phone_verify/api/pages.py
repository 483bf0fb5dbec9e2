"""The flow of the pages, without a framework: what was submitted in, what to show out.

An adapter reads its form into a mapping, calls one of these, and renders a `LoginPage` or `CodePage` by the
template of that name, follows a `Redirect`, or signs in on a `SignIn`. The pages hold their binding in the same
cookie as the API, so that a script on the page can ask the API about what the page shows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from ..errors import InvalidPhoneError, StoreError
from ..model import Channel, Holder, Outcome, Reason, Status, Verification
from ..phone import PhoneNumber
from ..web.languages import ENGLISH, Language
from ..web.texts import Texts, spoken, texts_in
from . import views
from .address import call_address
from .binding import Pairs, pairs, secrets_shown, with_pair, without_pair
from .call import Call, SignIn
from .problems import refusal, unavailable
from .session import SIGN_IN_PURPOSES
from .site import Site

log = logging.getLogger("phone_verify")

PURPOSE = "login"
_LONGEST_FIELD = 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """A channel to choose."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What every page has: `status`, `headers` and `cookie` are the response's."""

    texts: Texts = field(default_factory=lambda: texts_in(ENGLISH), repr=False)
    next: str = ""
    error: str = ""
    notice: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cookie: str | None = field(default=None, repr=False)

    @property
    def text(self) -> Mapping[str, str]:
        """The texts that templates name."""
        return self.texts.page

    @property
    def language(self) -> Language:
        """The language of the page."""
        return self.texts.language


@dataclass(frozen=True, slots=True)
class LogoutPage(Page):
    """Where signing out is confirmed."""


@dataclass(frozen=True, slots=True)
class LoginPage(Page):
    """Where the number is typed."""

    choices: Sequence[Choice]
    phone: str = field(default="", repr=False)
    configured: bool = True

    @property
    def several(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.choices) > 1


@dataclass(frozen=True, slots=True)
class CodePage(Page):
    """Where the code is typed, or the number to call is shown.

    `kind` is `code`, `flash_call`, `inbound_call`, `proven` (only a button is left to press) or `over`. `poll_path` is
    the API call, under the mount, that tells how the verification stands.
    """

    kind: str
    phone_hint: str
    site_name: str
    lead: str = ""
    code_length: int | None = None
    caller_hint: str | None = None
    dial: Mapping[str, str] | None = None
    dial_spoken: str = ""
    expires_in: int = 0
    expires_text: str = ""
    resend_in: int = 0
    resend_text: str = ""
    choices: Sequence[Choice] = ()
    poll_path: str = ""

    @property
    def code_places(self) -> range:
        """One item for each digit that is asked for: templates can repeat, but not count."""
        return range(self.code_length or 0)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go to the page of this name (`login`, `code`), with the new cookie and `next` kept."""

    to: str
    next: str = ""
    cookie: str | None = field(default=None, repr=False)


def show_login(site: Site, call: Call, next: str = "") -> LoginPage:
    """The empty login page."""
    return _login(site, call.texts, next=next)


def show_logout(call: Call, next: str = "") -> LogoutPage:
    """The page that asks whether to sign out."""
    return LogoutPage(texts=call.texts, next=next)


def submit_login(site: Site, call: Call, form: Mapping[str, str]) -> LoginPage | Redirect:
    """Start a verification and go to its page; one that is live already is shown again instead of sending."""
    phone_text, next, word = _field(form, "phone"), _field(form, "next"), _field(form, "channel")
    texts = call.texts
    page = replace(_login(site, texts, next=next, chosen=word), phone=phone_text)
    if call.multiprocess:
        site.many_processes()
    if not page.configured:
        return replace(page, status=503)
    try:
        phone = PhoneNumber.parse(phone_text, site.verifier.policy.region)
    except InvalidPhoneError:
        return replace(page, error=texts.page["invalid_phone"], status=400)
    if word and word not in [choice.value for choice in page.choices]:
        return replace(page, error=texts.reasons[Reason.CHANNEL_UNAVAILABLE], status=409)
    channel = Channel(word) if word else None
    try:
        live = site.verifier.live(phone, PURPOSE, pairs(call.cookie))
        if live is not None and channel in (None, live.channel):
            return Redirect("code", next, with_pair(call.cookie, live.id, dict(pairs(call.cookie))[live.id]))
        outcome = site.verifier.start(
            phone,
            purpose=PURPOSE,
            channel=channel,
            locale=texts.language.tag,
            address=call_address(site, call),
            shown=secrets_shown(call),
            known_browser=call.known_cookie,
        )
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        return replace(page, error=texts.page["unavailable"], status=503, headers=unavailable().headers)
    if outcome.verification is None or outcome.secret is None:
        reply = refusal(outcome)
        return replace(page, error=_told(texts, outcome), status=reply.status, headers=reply.headers)
    return Redirect("code", next, with_pair(call.cookie, outcome.verification.id, outcome.secret))


def show_code(site: Site, call: Call, next: str = "") -> CodePage | Redirect | SignIn:
    """The page of the newest verification that this browser holds."""
    return _submit_code(site, call, {"next": next[:_LONGEST_FIELD]})


def submit_code(site: Site, call: Call, form: Mapping[str, str]) -> CodePage | Redirect | SignIn:
    """Check the `code`; or send again (`resend`, on the named `channel`); or look whether the call came (`called`)."""
    return _submit_code(site, call, {**form, "submitted": "1"})


def refused_login(site: Site, call: Call, next: str = "") -> LoginPage:
    """The login page for somebody whom the site does not let in."""
    texts = call.texts
    return replace(_login(site, texts, next=next), error=texts.page["login_refused"], status=403)


def _submit_code(site: Site, call: Call, form: Mapping[str, str]) -> CodePage | Redirect | SignIn:
    next, held = _field(form, "next"), pairs(call.cookie)
    if not held:
        return Redirect("login", next)
    if call.multiprocess:
        site.many_processes()
    try:
        return _answered(site, call, held, form, next)
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        texts, reply = call.texts, unavailable()
        return CodePage(
            "over",
            "",
            site.name,
            texts=texts,
            next=next,
            error=texts.page["unavailable"],
            status=reply.status,
            headers=reply.headers,
        )


def _answered(site: Site, call: Call, held: Pairs, form: Mapping[str, str], next: str) -> CodePage | Redirect | SignIn:
    current, cookie = _current(site, call.cookie, held)
    if current is None:
        return Redirect("login", next, cookie)
    id, secret = current
    if "submitted" not in form or "called" in form:
        outcome = site.verifier.poll(id, secret)
    elif "resend" in form:
        word = _field(form, "channel")
        channel = Channel(word) if word in set(Channel) else None
        outcome = site.verifier.resend(id, secret, channel=channel, address=call_address(site, call))
    else:
        outcome = site.verifier.check(id, secret, _field(form, "code"))
    if outcome.proof is not None and "submitted" in form:  # looking at a page signs nobody in
        redeemed = site.verifier.redeem(outcome.proof, [secret], SIGN_IN_PURPOSES)
        if redeemed is not None:
            return SignIn(redeemed)
    standing = outcome if outcome.verification is not None else site.verifier.look(id, secret)
    record = standing.verification
    if record is None:
        return Redirect("login", next, without_pair(call.cookie, id))
    if record.state is Status.VERIFIED and outcome.proof is None and outcome.ok:
        return Redirect("login", next)  # its proof has been used
    outcome = replace(outcome, verification=record, channels=standing.channels)
    page = _code(site, call.texts, record, outcome, sent="resend" in form, called="called" in form)
    return replace(page, next=next)


def _current(site: Site, cookie: str, held: Pairs) -> tuple[tuple[str, str] | None, str]:
    """The newest of the held verifications that is for signing in, and the cookie without those that are gone.

    Others, begun through the API to confirm or change a number, are none of this page's business.
    """
    for id, secret in held:
        record = site.verifier.look(id, secret).verification
        if record is None:
            cookie = without_pair(cookie, id)
        elif record.purpose in SIGN_IN_PURPOSES:
            return (id, secret), cookie
    return None, cookie


def _login(site: Site, texts: Texts, *, next: str, chosen: str = "") -> LoginPage:
    channels = site.verifier.channels
    wanted = chosen if chosen in channels else (channels[0] if channels else "")
    choices = [Choice(c.value, texts.channels[c], c == wanted) for c in channels]
    error = "" if choices else texts.reasons[Reason.NOT_CONFIGURED]
    return LoginPage(choices, texts=texts, next=next, error=error, configured=bool(choices))


def _code(site: Site, texts: Texts, record: Verification, outcome: Outcome, *, sent: bool, called: bool) -> CodePage:
    bare = CodePage("over", record.phone.hint, site.name, texts=texts)
    status, headers = 200, {}
    if outcome.reason is not None:
        reply = refusal(outcome)
        status, headers = reply.status, dict(reply.headers)
    if outcome.proof is not None:
        return replace(bare, kind="proven", lead=texts.page["lead_proven"])
    if not record.open:
        error = texts.page["exhausted" if record.state is Status.EXHAUSTED else "over"]
        return replace(bare, error=error, status=status, headers=headers)
    kind = "inbound_call" if record.holder is Holder.NOBODY else "code"
    if record.channel is Channel.FLASH_CALL:
        kind = "flash_call"
    notice = ""
    if outcome.ok and sent:
        notice = texts.page[f"sent_again_{kind}"]
    elif outcome.ok and called:
        notice = texts.page["no_call_yet"]
    expires_in = views.seconds_left(record, record.expires_at)
    resend_in = views.seconds_left(record, record.resend_at)
    dial = views.dial(record)
    choices = [Choice(c.value, texts.channels[c], False) for c in outcome.channels if c is not record.channel]
    return replace(
        bare,
        kind=kind,
        lead=texts.page[f"lead_{kind}"],
        code_length=record.code_length,
        caller_hint=record.caller_hint if kind == "flash_call" else None,
        dial=dial,
        dial_spoken=spoken(record.line) if dial and record.line else "",
        expires_in=expires_in,
        expires_text=texts.duration(timedelta(seconds=expires_in)),
        resend_in=resend_in,
        resend_text=texts.duration(timedelta(seconds=resend_in)),
        choices=choices,
        poll_path=f"v1/verifications/{record.id}",
        error=_told(texts, outcome),
        notice=notice,
        status=status,
        headers=headers,
    )


def _told(texts: Texts, outcome: Outcome) -> str:
    if outcome.reason is None:
        return ""
    text = texts.reasons[outcome.reason]
    if outcome.reason is Reason.WRONG_CODE and outcome.verification is not None:
        text = f"{text} {texts.attempts_left(outcome.verification.attempts_left)}"
    if outcome.reason is Reason.TOO_MANY_REQUESTS and outcome.retry_after is not None:
        text = f"{text} {texts.wait(outcome.retry_after)}"
    return text


def _field(form: Mapping[str, str], name: str) -> str:
    return form.get(name, "")[:_LONGEST_FIELD].strip()
