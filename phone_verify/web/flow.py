"""The flow of the pages, without a framework: submitted values in, what to show out.

An adapter reads its form into a mapping and calls one of these functions. It renders a `LoginPage`,
`CodePage` or `VerifyPage` with the template of that name, follows a `Redirect`, signs in on a
`SignIn`, or gives the signed-in user the number on a `SetPhone`. The pages hold their binding in
the same cookie as the API, so that a script on the page can call the API for the verification that
the page shows. The cookie alone completes nothing here: anyone who can set cookies for the site
could plant a pair. Only verifications that the framework's own session started
(`ApiRequest.started`) are shown and completed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from ..api import representation
from ..errors import InvalidPhoneError, StoreError
from ..http.call import ApiRequest, AskSite, SetPhone, SignIn
from ..http.client_address import call_address
from ..http.cookies import Pairs, last_channel, pairs, presented_secrets, with_pair, without_pair
from ..http.number_change import Change, current_numbers, may_have
from ..http.problems import refusal, unavailable
from ..http.session_notes import with_id, without_id
from ..http.site import Site
from ..i18n.texts import Texts, caller_prefix, dial_help, end_text, spoken
from ..model import Channel, CodeSource, Outcome, Reason, Started, Status, Verification
from ..phone import PhoneNumber
from ..purposes import PHONE_PURPOSES, SIGN_IN_PURPOSES
from .forms import code_in
from .pages import (
    Choice,
    CodePage,
    LoginPage,
    LogoutPage,
    NumberHelp,
    Page,
    PageName,
    Redirect,
    SignOutOthers,
    VerifyPage,
    channel_choice,
    number_help,
)

__all__ = [
    "PURPOSE",
    "Choice",
    "CodePage",
    "LoginPage",
    "LogoutPage",
    "NumberHelp",
    "Page",
    "Redirect",
    "SignOutOthers",
    "VerifyPage",
    "refused_login",
    "refused_phone",
    "show_code",
    "show_login",
    "show_logout",
    "show_verify",
    "signed_out_others",
    "submit_code",
    "submit_login",
    "submit_verify",
    "taken_phone",
]

log = logging.getLogger("phone_verify")

PURPOSE = "login"
#: The texts of a page if the user may not be given another number.
_REFUSALS = {Change.SIGN_IN_AGAIN: "sign_in_again", Change.VERIFY_PRESENT: "verify_first"}
_LONGEST_FIELD = 1024

P = TypeVar("P", LoginPage, VerifyPage)


def show_login(site: Site, call: ApiRequest, next: str = "") -> LoginPage:
    """Return the login page, with the number of this session's newest verification if there is one."""
    return replace(_login(site, call, next=next), phone=_entered_number(site, call, SIGN_IN_PURPOSES))


def show_logout(call: ApiRequest, next: str = "") -> LogoutPage:
    """Return the page that confirms signing out."""
    return LogoutPage(texts=call.texts, next=next)


def submit_login(site: Site, call: ApiRequest, form: Mapping[str, str]) -> LoginPage | Redirect:
    """Start a verification and redirect to its page; an open one is shown again instead of sending."""
    phone_text, word = _field(form, "phone"), _field(form, "channel")
    page = replace(_login(site, call, next=_field(form, "next"), chosen=word), phone=phone_text)
    phone = _typed(site, page, phone_text)
    return _start(site, call, page, phone, PURPOSE, word) if isinstance(phone, PhoneNumber) else phone


def show_verify(site: Site, call: ApiRequest, next: str = "") -> VerifyPage | Redirect:
    """Return the page on which a signed-in user confirms or changes the number."""
    if call.user is None:
        return Redirect("login", next, back="verify")
    page = replace(_verify(site, call, next=next), phone=_entered_number(site, call, PHONE_PURPOSES))
    try:
        # With `next`, the user is here to verify the number again.
        if not next and (id := _just_confirmed(site, call)):
            cookie, started = without_pair(call.cookie, id), without_id(call.started, id)
            return replace(page, notice=page.text["number_confirmed"], phone="", cookie=cookie, started=started)
    except StoreError as error:
        return _store_unavailable(page, error)
    return page


def submit_verify(site: Site, call: ApiRequest, form: Mapping[str, str]) -> VerifyPage | Redirect | SignOutOthers:
    """Send to the current number (`confirm`) or to the one in `phone`.

    The latter becomes the user's once it is verified. Or end all other sessions
    (`sign_out_others`).
    """
    next, phone_text, word = _field(form, "next"), _field(form, "phone"), _field(form, "channel")
    if call.user is None:
        return Redirect("login", next, back="verify")
    if "sign_out_others" in form:
        return SignOutOthers()
    own = current_numbers(call)
    page = _verify(site, call, next=next, chosen=word)
    if "confirm" not in form or not own:
        page = replace(page, phone=phone_text)
        phone = _typed(site, page, phone_text)
        if not isinstance(phone, PhoneNumber):
            return phone
    else:
        phone = own[0]
    change = may_have(call, phone)
    if change in _REFUSALS:
        return replace(page, error=page.text[_REFUSALS[change]], status=403)
    return _start(site, call, page, phone, "confirm" if not own or phone in own else "change_phone", word)


def signed_out_others(site: Site, call: ApiRequest, next: str = "") -> VerifyPage | Redirect:
    """Return the page after all other sessions of the user were ended."""
    if call.user is None:
        return Redirect("login", next, back="verify")
    page = _verify(site, call, next=next)
    return replace(page, notice=page.text["signed_out_others"])


def taken_phone(site: Site, call: ApiRequest, next: str = "") -> VerifyPage | Redirect:
    """Return the page after verifying a number that belongs to another user."""
    return _refused_number(site, call, next, "phone_taken", 409)


def refused_phone(site: Site, call: ApiRequest, next: str = "") -> VerifyPage | Redirect:
    """Return the page for a proof that must not give a number to this user.

    This applies to a test number and a user with rights over others.
    """
    return _refused_number(site, call, next, "phone_refused", 400)


def show_code(site: Site, call: ApiRequest, next: str = "") -> CodePage | Redirect | SignIn | SetPhone | AskSite:
    """Return the page of the newest sign-in or number verification of this session."""
    return _submit_code(site, call, {"next": next[:_LONGEST_FIELD]})


def submit_code(
    site: Site, call: ApiRequest, form: Mapping[str, str]
) -> CodePage | Redirect | SignIn | SetPhone | AskSite:
    """Check the `code`.

    Or resend (`resend`, on the given `channel`); or check whether the call has arrived (`called`).
    A form with a box for staying signed in sends `asks_remember`, and the state of the box as
    `remember`.
    """
    return _submit_code(site, call, {**form, "submitted": "1"})


def refused_login(site: Site, call: ApiRequest, next: str = "") -> LoginPage:
    """Return the login page for a user that the site does not let sign in."""
    return replace(_login(site, call, next=next), error=call.texts.page["login_refused"], status=403)


def _typed(site: Site, page: P, text: str) -> PhoneNumber | P:
    """Return the typed number, or the page with the error."""
    if not page.configured:
        return replace(page, status=503)
    try:
        return PhoneNumber.read(text, site.verifier.policy.region, prose=True)
    except InvalidPhoneError:
        return replace(page, error=page.invalid_number(text), status=400)


def _entered_number(site: Site, call: ApiRequest, purposes: Collection[str]) -> str:
    """Return the number that this session entered last for these purposes, in full, until it is verified."""
    held = [pair for pair in pairs(call.cookie) if pair[0] in call.started]
    try:
        records = [site.verifier.get(*pair).verification for pair in held]
    except StoreError:
        return ""  # the field stays empty
    newest = next((record for record in records if record is not None and record.purpose in purposes), None)
    return "" if newest is None or newest.redeemed else _number_in_full(call, newest)


def _number_in_full(call: ApiRequest, record: Verification) -> str:
    """Return the number for the session that entered it; a user's own number was not entered, and stays masked."""
    return "" if _is_for_number(record) and record.phone in current_numbers(call) else spoken(record.phone)


def _start(site: Site, call: ApiRequest, page: P, phone: PhoneNumber, purpose: str, word: str) -> P | Redirect:
    """Start a verification, or find the open one, and redirect to its page."""
    texts = call.texts
    if not page.configured:
        return replace(page, status=503)
    if word and word not in [choice.value for choice in page.choices]:
        return replace(page, error=texts.reasons[Reason.CHANNEL_UNAVAILABLE], status=409)
    channel = Channel(word) if word else None
    if call.multiprocess:
        site.warn_multiprocess()
    try:
        held = [pair for pair in pairs(call.cookie) if pair[0] in call.started]
        live = site.verifier.find_open(phone, purpose, held)
        if live is not None and channel in (None, live.channel):
            return _to_code(call, page.next, live.id, dict(held)[live.id])
        outcome = site.verifier.start(
            phone,
            purpose=purpose,
            channel=channel,
            locale=texts.language.tag,
            address=call_address(site, call),
            shown=presented_secrets(call),
            trusted_device=call.device_cookie,
            subject=call.user.id if call.user is not None else "",
            owned=phone in current_numbers(call),
            by_client=True,
        )
    except StoreError as error:
        return _store_unavailable(page, error)
    if not isinstance(outcome, Started):
        reply = refusal(outcome)
        return replace(page, error=texts.refusal(outcome), status=reply.status, headers=reply.headers)
    return _to_code(call, page.next, outcome.verification.id, outcome.secret)


def _to_code(call: ApiRequest, next: str, id: str, secret: str) -> Redirect:
    cookie = with_pair(call.cookie, id, secret)
    return Redirect("code", next, cookie, started=with_id(call.started, id))


def _store_unavailable(page: P, error: StoreError) -> P:
    log.error("the store did not answer: %s", error)
    return replace(page, error=page.text["unavailable"], status=503, headers=unavailable().headers)


def _just_confirmed(site: Site, call: ApiRequest) -> str | None:
    """Return the newest verification's id if it gave or confirmed the user's number."""
    for id, secret in pairs(call.cookie)[:1]:
        record = site.verifier.get(id, secret).verification if id in call.started else None
        if record is not None and record.redeemed and _is_for_number(record) and record.phone in current_numbers(call):
            return id
    return None


def _is_for_number(record: Verification) -> bool:
    return record.purpose in PHONE_PURPOSES


def _refused_number(site: Site, call: ApiRequest, next: str, text: str, status: int) -> VerifyPage | Redirect:
    if call.user is None:
        return Redirect("login", next, back="verify")
    page = _verify(site, call, next=next)
    return replace(page, error=page.text[text], status=status)


def _submit_code(
    site: Site, call: ApiRequest, form: Mapping[str, str]
) -> CodePage | Redirect | SignIn | SetPhone | AskSite:
    next = _field(form, "next")
    held = [pair for pair in pairs(call.cookie) if pair[0] in call.started]
    if not held:
        return Redirect("login", next)
    if call.multiprocess:
        site.warn_multiprocess()
    try:
        return _process_code(site, call, held, form, next)
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        texts, reply = call.texts, unavailable()
        return CodePage(
            "over",
            "",
            site.name,
            "unavailable",
            texts=texts,
            next=next,
            error=texts.page["unavailable"],
            status=reply.status,
            headers=reply.headers,
        )


def _process_code(
    site: Site, call: ApiRequest, held: Pairs, form: Mapping[str, str], next: str
) -> CodePage | Redirect | SignIn | SetPhone | AskSite:
    current, cookie = _current(site, call, held)
    if current is None:
        return Redirect("login", next, cookie)
    id, secret, record = current
    purposes = (record.purpose,)
    changes = _is_for_number(record)
    subject = call.user.id if changes and call.user is not None else ""
    change = may_have(call, record.phone) if changes else Change.ALLOWED
    if change in _REFUSALS:
        return Redirect("verify", next, cookie)  # that page states what is missing
    if "submitted" not in form or "called" in form:
        outcome = site.verifier.poll(id, secret)
    elif "resend" in form:
        word = _field(form, "channel")
        channel = Channel(word) if word in set(Channel) else None
        owned = record.phone in current_numbers(call)
        address = call_address(site, call)
        outcome = site.verifier.resend(id, secret, channel=channel, address=address, owned=owned, by_client=True)
    else:
        typed = code_in(_field(form, "code"), record.code_length)
        outcome = site.verifier.check(id, secret, typed, address=call_address(site, call))
    remember = bool(_field(form, "remember")) if _field(form, "asks_remember") else None
    # viewing a page must not sign the user in
    if outcome.proof is not None and "submitted" in form:
        if change is Change.ASK_SITE:
            foreseen = site.verifier.foresee(outcome.proof, [secret], purposes, subject=subject)
            return AskSite(foreseen) if foreseen is not None else Redirect("verify", next, cookie)
        redeemed = site.verifier.redeem(outcome.proof, [secret], purposes, subject=subject)
        if redeemed is not None:
            return SetPhone(redeemed) if changes else SignIn(redeemed, remember)
    begun_at: PageName = "verify" if changes else "login"
    standing = outcome if outcome.verification is not None else site.verifier.get(id, secret)
    if standing.verification is None:
        return Redirect(begun_at, next, without_pair(call.cookie, id), started=without_id(call.started, id))
    record = standing.verification
    if record.state is Status.VERIFIED and outcome.proof is None and outcome.ok:
        # Its proof was redeemed, and this is the repeated response.
        return Redirect(begun_at, next, without_pair(call.cookie, id), started=without_id(call.started, id))
    outcome = replace(outcome, verification=record, channels=standing.channels)
    page = _code(site, call.texts, record, outcome, sent="resend" in form, called="called" in form)
    number = spoken(record.phone) if changes and record.phone not in current_numbers(call) else ""
    return replace(
        page,
        next=next,
        begun_at=begun_at,
        number=number,
        phone=_number_in_full(call, record),
        asks_remember=not changes,
        remember=remember is not False,
    )


def _current(site: Site, call: ApiRequest, held: Pairs) -> tuple[tuple[str, str, Verification] | None, str]:
    """Return the newest held verification of the pages, and the cookie without deleted ones.

    The pages handle sign-in, and for a signed-in user also confirming or changing the number.
    Others are left alone.
    """
    cookie = call.cookie
    purposes = SIGN_IN_PURPOSES + (PHONE_PURPOSES if call.user is not None else ())
    for id, secret in held:
        record = site.verifier.get(id, secret).verification
        if record is None:
            cookie = without_pair(cookie, id)
        elif record.purpose in purposes:
            return (id, secret, record), cookie
    return None, cookie


def _login(site: Site, call: ApiRequest, *, next: str, chosen: str = "") -> LoginPage:
    texts, choices = call.texts, _choices(site, call, chosen)
    error = "" if choices else texts.reasons[Reason.NOT_CONFIGURED]
    number = number_help(site.verifier.policy, texts.language)
    return LoginPage(choices, texts=texts, next=next, error=error, configured=bool(choices), number=number)


def _verify(site: Site, call: ApiRequest, *, next: str, chosen: str = "") -> VerifyPage:
    own, texts = current_numbers(call), call.texts
    choices = _choices(site, call, chosen)
    change = may_have(call)
    sign_in = change is Change.SIGN_IN_AGAIN or bool(own and next and not call.present_counts)
    return VerifyPage(
        choices,
        texts=texts,
        next=next,
        error="" if choices else texts.page["checks_not_set_up"],
        configured=bool(choices),
        number=number_help(site.verifier.policy, texts.language),
        phone_hint=own[0].hint if own else "",
        may_change=change not in _REFUSALS,
        must_sign_in=sign_in,
        may_confirm=call.present_counts or not next,
    )


def _choices(site: Site, call: ApiRequest, chosen: str) -> list[Choice]:
    channels = site.verifier.channels
    wanted = chosen or last_channel(call)
    wanted = wanted if wanted in channels else (channels[0] if channels else "")
    return [_choice(site, call.texts, c, chosen=c == wanted, recommended=c == channels[0]) for c in channels]


def _choice(site: Site, texts: Texts, channel: Channel, *, chosen: bool = False, recommended: bool = False) -> Choice:
    carriers = site.verifier.flows.router.carriers(channel)
    announced = any(driver.abilities[channel].announced for driver in carriers)
    return channel_choice(texts, channel, announced=announced, chosen=chosen, recommended=recommended)


def _code(site: Site, texts: Texts, record: Verification, outcome: Outcome, *, sent: bool, called: bool) -> CodePage:
    is_call = record.code_source is CodeSource.NONE
    bare = CodePage("over", record.phone.hint, site.name, record.state.value, texts=texts, is_call=is_call)
    status, headers = 200, {}
    if outcome.reason is not None:
        reply = refusal(outcome)
        status, headers = reply.status, dict(reply.headers)
    if outcome.proof is not None:
        return replace(bare, kind="proven", state="verified", lead=texts.page["lead_proven"])
    if not record.open:
        return replace(bare, error=texts.translated(end_text(record)), status=status, headers=headers)
    if outcome.reason is Reason.TOO_MANY_REQUESTS and not sent:
        error = texts.refusal(outcome)
        return replace(bare, state="blocked", error=error, status=status, headers=headers)
    kind = "inbound_call" if is_call else "code"
    if record.channel is Channel.FLASH_CALL:
        kind = "flash_call"
    notice = ""
    if outcome.ok and sent:
        notice = texts.page[f"sent_again_{kind}"]
    elif outcome.ok and called:
        notice = texts.page["no_call_yet"]
    expires_in = representation.seconds_left(record, record.expires_at)
    resend_in = representation.seconds_left(record, record.resend_at)
    dial, router = representation.dial(record), site.verifier.flows.router
    lead, _, lead_end = texts.page[f"lead_{kind}"].partition("{number}")
    choices = [_choice(site, texts, c) for c in outcome.channels if c is not record.channel]
    hint = record.caller_hint if kind == "flash_call" else None
    return replace(
        bare,
        kind=kind,
        state="sent",
        lead=lead.rstrip(),
        lead_end=lead_end,
        code_length=record.code_length,
        caller_hint=caller_prefix(hint, record.phone, record.code_length) if hint else None,
        dial=dial,
        dial_spoken=spoken(record.line) if dial and record.line else "",
        dial_help=texts.page[dial_help(record.line, announced=router.announces(record.driver))] if record.line else "",
        expires_in=expires_in,
        expires_text=texts.duration(timedelta(seconds=expires_in)),
        resend_in=resend_in,
        resend_text=texts.duration(timedelta(seconds=resend_in)),
        choices=choices,
        poll_path=f"v1/verifications/{record.id}",
        error=texts.refusal(outcome),
        notice=notice,
        status=status,
        headers=headers,
    )


def _field(form: Mapping[str, str], name: str) -> str:
    return form.get(name, "")[:_LONGEST_FIELD].strip()
