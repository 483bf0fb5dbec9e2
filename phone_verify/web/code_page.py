"""The flow of the page `code`: enter the code, or call the number that it shows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from ..api import representation
from ..errors import StoreError
from ..http.call import ApiRequest, AskSite, SetPhone, SignIn
from ..http.client_address import call_address
from ..http.client_facts import client_facts, with_form
from ..http.cookies import Pairs, pairs, without_pair
from ..http.csrf import cross_site, is_same_origin
from ..http.number_change import Change, current_numbers, may_have
from ..http.problems import unavailable
from ..http.session_notes import without_id
from ..http.site import Site
from ..i18n.texts import Texts, caller_prefix, dial_help, end_text, spoken
from ..limits import last_send, used_channels
from ..lines import claim_of, number_to_call, other_phone_called
from ..model import Channel, Outcome, Reason, Status, Verification
from ..purposes import PHONE_PURPOSES, SIGN_IN_PURPOSES
from .forms import code_in
from .messages import Message, PageName
from .pages import CodePage, Redirect
from .steps import (
    ABOUT_FIELD,
    LONGEST_FIELD,
    REFUSALS,
    begin,
    choice_of,
    field_of,
    held_pairs,
    is_for_number,
    number_in_full,
    show_again,
    to_page,
)

log = logging.getLogger("phone_verify")

_COOLDOWNS = {"code": "wait_code", "flash_call": "wait_flash_call", "inbound_call": "wait_inbound_call"}


def show_code(
    site: Site,
    call: ApiRequest,
    next: str = "",
    id: str = "",
    message: Message | None = None,
    *,
    sets_phone: bool = True,
) -> CodePage | Redirect:
    """Return the page of the verification with this id, or of the newest one, of this session.

    Without `sets_phone` the site has no pages for the user's number.
    """
    next = next[:LONGEST_FIELD]
    held = held_pairs(call, id)
    if not held:
        return _carrying(message, _nothing_held(site, call, next))
    if call.multiprocess:
        site.warn_multiprocess()
    try:
        found = _found(site, call, held, next, sets_phone)
        if isinstance(found, Redirect):
            return _carrying(message, found)
        page = _shown(site, call, found, next, _polled(site, call, found.id, found.secret))
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        texts, reply = call.texts, unavailable()
        return CodePage(
            "over",
            "",
            site.name,
            "unavailable",
            id,
            texts=texts,
            next=next,
            error=texts.page["unavailable"],
            status=reply.status,
            headers=reply.headers,
        )
    if isinstance(page, Redirect):
        return _carrying(message, page)
    if message is None:
        return page
    if message.blocked:
        page = replace(page, kind="over", state="blocked")
    return replace(
        page,
        error=message.error or page.error,
        notice=message.notice,
        invalid=message.invalid,
        remember=message.remember,
    )


def _carrying(message: Message | None, redirect: Redirect) -> Redirect:
    """Return the redirect with a message of the page `code` for the page to which that now leads."""
    if message is None or redirect.to == "onward":
        return redirect
    return replace(redirect, message=replace(message, page=redirect.to, id="", blocked=False, form=None))


def submit_code(
    site: Site, call: ApiRequest, form: Mapping[str, str], *, sets_phone: bool = True
) -> Redirect | SignIn | SetPhone | AskSite:
    """Check the `code`.

    Or resend (`resend`, on the given `channel`), which starts a new one if the verification has ended; or
    check whether the call has arrived (`called`). `verification` is the id of the form's page: no
    other verification is meant. A form without it means the newest. A form with a box for staying
    signed in sends `asks_remember`, and the state of the box as `remember`. `sets_phone` is that of
    `show_code`.
    """
    next, id, call = field_of(form, "next"), field_of(form, "verification"), with_form(site, call, form)
    held = held_pairs(call, id)
    if not held and id:
        return show_again(call, "code", form, call.texts.page["page_stale"])
    if not held:
        return _nothing_held(site, call, next)
    if call.multiprocess:
        site.warn_multiprocess()
    try:
        found = _found(site, call, held, next, sets_phone)
        return found if isinstance(found, Redirect) else _submit_code(site, call, found, form, next)
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        return to_page(next, Message("code", held[0][0], error=call.texts.page["unavailable"]))


def _nothing_held(site: Site, call: ApiRequest, next: str, cookie: str | None = None) -> Redirect:
    """Redirect from the page `code` without a verification to where the visitor continues.

    A link on another site begins no session: its request comes without a session's cookie that is
    `SameSite=Strict`, and a new session would replace the visitor's.
    """
    if call.user is not None:
        return Redirect("onward", next, cookie)
    if not call.has_session and is_same_origin(call, site.public_url) is False:
        return Redirect("login", next, cookie)
    message = Message("login", notice=call.texts.page["nothing_to_verify"])
    return Redirect("login", next, cookie, message=message)


@dataclass(frozen=True, slots=True)
class _Found:
    """The verification of the page `code`; `cookie` is without deleted ones."""

    id: str
    secret: str = field(repr=False)
    record: Verification
    cookie: str = field(repr=False)
    change: Change

    @property
    def begun_at(self) -> PageName:
        return "verify" if is_for_number(self.record) else "login"


def _found(site: Site, call: ApiRequest, held: Pairs, next: str, sets_phone: bool) -> _Found | Redirect:
    """Return the newest held verification of the pages.

    The pages handle sign-in, and for a signed-in user also confirming or changing the number.
    Others are left alone.
    """
    cookie = call.cookie
    purposes = SIGN_IN_PURPOSES + (PHONE_PURPOSES if call.user is not None and sets_phone else ())
    for id, secret in held:
        record = site.verifier.get(id, secret).verification
        if record is None:
            cookie = without_pair(cookie, id)
        elif record.purpose in purposes:
            change = may_have(call, record.phone) if is_for_number(record) else Change.ALLOWED
            if change in REFUSALS:
                return Redirect("verify", next, cookie)  # that page states what is missing
            return _Found(id, secret, record, cookie, change)
    return _nothing_held(site, call, next, cookie)


def _polled(site: Site, call: ApiRequest, id: str, secret: str) -> Outcome:
    address, client = call_address(site, call), client_facts(site, call)
    may_send = cross_site(call, site) is None
    return site.verifier.poll(id, secret, may_send=may_send, address=address, client=client)


def _submit_code(
    site: Site, call: ApiRequest, found: _Found, form: Mapping[str, str], next: str
) -> Redirect | SignIn | SetPhone | AskSite:
    id, secret, record = found.id, found.secret, found.record
    if "called" in form:
        outcome = _polled(site, call, id, secret)
    elif "resend" in form:
        word = field_of(form, "channel")
        if "by_itself" in form and (not record.open or word in used_channels(record)):
            # The script of another tab, or of a page that is out of date: it must not send twice.
            return to_page(next, Message("code", id))
        channel = Channel(word) if word in set(Channel) else None
        if not record.open and record.state is not Status.VERIFIED:
            return _renewed(site, call, found, channel, next)
        if record.state is Status.VERIFIED:
            verified = site.verifier.get(id, secret)
            if verified.proof is not None and verified.channels_left:
                return _continued(site, call, found, verified, channel, next)
        owned = record.phone in current_numbers(call)
        address, client = call_address(site, call), client_facts(site, call)
        outcome = site.verifier.resend(
            id, secret, channel=channel, address=address, owned=owned, by_client=True, client=client
        )
    else:
        typed = code_in(field_of(form, "code"), record.code_length)
        outcome = site.verifier.check(id, secret, typed, address=call_address(site, call))
    remember = bool(field_of(form, "remember")) if field_of(form, "asks_remember") else None
    if outcome.proof is not None and outcome.channels_left and site.next_channel_sends_by_itself:
        return _continued(site, call, found, outcome, None, next)
    if outcome.proof is not None and not outcome.channels_left:
        subject = call.user.id if is_for_number(record) and call.user is not None else ""
        if found.change is Change.ASK_SITE:
            foreseen = site.verifier.foresee(outcome.proof, [secret], (record.purpose,), subject=subject)
            return AskSite(foreseen) if foreseen is not None else Redirect("verify", next, found.cookie)
        redeemed = site.verifier.redeem(outcome.proof, [secret], (record.purpose,), subject=subject)
        if redeemed is not None:
            return SetPhone(redeemed) if is_for_number(record) else SignIn(redeemed, remember)
    page = _shown(site, call, found, next, outcome)
    if isinstance(page, Redirect):
        return page
    message = Message("code", id, remember=remember is not False)
    if page.kind in ("over", "proven", "more"):
        return to_page(next, message)
    if outcome.reason is not None:
        error = _refusal(call.texts, outcome, page, sends="resend" in form)
        blocked = outcome.reason is Reason.TOO_MANY_REQUESTS and "resend" not in form
        about_field = outcome.reason in ABOUT_FIELD
        return to_page(next, replace(message, error=error, invalid=about_field, blocked=blocked))
    notice = "no_call_yet" if "called" in form else f"sent_again_{page.kind}"
    return to_page(next, replace(message, notice=page.text[notice]))


def _renewed(site: Site, call: ApiRequest, found: _Found, channel: Channel | None, next: str) -> Redirect:
    """Start a new verification for the number of one that has ended, on this channel or the same as before."""
    record, back = found.record, Message("code", found.id)
    if channel is None and record.channel in site.verifier.channels:
        channel = record.channel
    call = replace(call, cookie=found.cookie)
    entered = record.id not in call.not_entered
    redirect = begin(site, call, record.phone, record.purpose, channel, next, back, entered=entered)
    if redirect.cookie is None:
        return redirect
    cookie = without_pair(redirect.cookie, record.id)
    started = without_id(redirect.started or (), record.id)
    begun = site.verifier.get(redirect.id, dict(pairs(cookie))[redirect.id]).verification
    # One that another tab has started is shown again: nothing was sent.
    sent = begun is not None and begun.id not in call.started
    notice = call.texts.page[f"sent_again_{_kind(begun)}"] if begun is not None and sent else ""
    return replace(redirect, cookie=cookie, started=started, message=Message("code", redirect.id, notice=notice))


def _continued(
    site: Site, call: ApiRequest, found: _Found, verified: Outcome, channel: Channel | None, next: str
) -> Redirect:
    """Start the next verification of a purpose that requires several channels.

    A refused start leads back to the page of the verified one, which offers it again.
    """
    record, back = found.record, Message("code", found.id)
    call = replace(call, cookie=found.cookie)
    entered = record.id not in call.not_entered
    proof = verified.proof
    return begin(site, call, record.phone, record.purpose, channel, next, back, proof=proof, entered=entered)


def _refusal(texts: Texts, outcome: Outcome, page: CodePage, *, sends: bool) -> str:
    """Return why the outcome was refused. Of a resend that is too early, when the next one is possible."""
    wait = outcome.retry_after if sends and outcome.reason is Reason.TOO_MANY_REQUESTS else None
    if wait is not None and wait <= timedelta(seconds=page.resend_in):
        return texts.wait_until(_COOLDOWNS[page.kind], wait)
    return texts.refusal(outcome)


def _shown(site: Site, call: ApiRequest, found: _Found, next: str, outcome: Outcome) -> CodePage | Redirect:
    """Return the page of the verification after this outcome, or the redirect if it has none."""
    standing = outcome if outcome.ok else site.verifier.get(found.id, found.secret)
    record, changes = standing.verification, is_for_number(found.record)
    cookie, started = without_pair(call.cookie, found.id), without_id(call.started, found.id)
    if record is None:
        message = Message(found.begun_at, error=call.texts.reasons[Reason.NOT_FOUND])
        return Redirect(found.begun_at, next, cookie, started=started, message=message)
    if record.state is Status.VERIFIED and standing.proof is None:
        # Its proof was redeemed, and the response is repeated.
        signed_in = call.user is not None and not changes
        return Redirect("onward" if signed_in else found.begun_at, next, cookie, started=started)
    page = _code(site, call.texts, record, standing)
    return replace(
        page,
        next=next,
        begun_at=found.begun_at,
        number=spoken(record.phone) if changes and record.phone not in current_numbers(call) else "",
        phone=number_in_full(call, record),
        asks_remember=not changes,
    )


def _code(site: Site, texts: Texts, record: Verification, outcome: Outcome) -> CodePage:
    kind = _kind(record)
    bare = CodePage(
        "over",
        record.phone.hint,
        site.name,
        record.state.value,
        record.id,
        texts=texts,
        is_call=kind == "inbound_call",
        is_flash_call=kind == "flash_call",
    )
    if outcome.proof is not None and outcome.channels_left:
        left = [choice_of(site, texts, c) for c in outcome.channels_left]
        return replace(bare, kind="more", state="verified", lead=texts.page["lead_more"], choices=left)
    if outcome.proof is not None:
        return replace(bare, kind="proven", state="verified", lead=texts.page["lead_proven"])
    if not record.open:
        accepted = [c for c in site.verifier.channels if site.verifier.policy.accepts(c, record.purpose)]
        others = [choice_of(site, texts, c) for c in accepted if c is not record.channel]
        return replace(bare, error=texts.translated(end_text(record)), choices=others)
    expires_in = representation.seconds_left(record, record.expires_at)
    moves_at = site.verifier.flows.fallbacks.due_at(record)
    resend_in = representation.seconds_left(record, record.resend_at)
    dial, router = representation.dial(record), site.verifier.flows.router
    speaks = kind == "code" and record.channel_of_code is Channel.VOICE
    lead, _, lead_end = texts.page["lead_voice" if speaks else f"lead_{kind}"].partition("{number}")
    choices = [choice_of(site, texts, c) for c in outcome.channels if c is not record.channel]
    hint = record.caller_hint if _code_kind(record) == "flash_call" else None
    line, claim = number_to_call(record), claim_of(record)
    announced = router.announces(claim.driver if claim is not None and claim.line is not None else record.driver)
    return replace(
        bare,
        kind=kind,
        state="sent",
        lead=lead.rstrip(),
        lead_end=lead_end,
        code_length=record.code_length,
        caller_hint=caller_prefix(hint, record.phone, record.code_length) if hint else None,
        dial=dial,
        dial_spoken=spoken(line) if dial and line else "",
        dial_help=texts.page[dial_help(line, announced=announced)] if line else "",
        expires_in=expires_in,
        expires_text=texts.duration(timedelta(seconds=expires_in)),
        resend_in=resend_in,
        resend_text=texts.duration(timedelta(seconds=resend_in)),
        moves_in=representation.seconds_left(record, moves_at) if moves_at else 0,
        choices=choices,
        poll_path=f"v1/verifications/{record.id}",
        second_kind=_second_kind(record),
        other_caller=other_phone_called(record),
        **_next_channel(site, texts, record, outcome),
    )


def _next_channel(site: Site, texts: Texts, record: Verification, outcome: Outcome) -> dict[str, Any]:
    """Return the fields of the page for the channel to offer first; none without one.

    It is the first preferred one that a resend accepts and that this verification has not used.
    """
    used = used_channels(record)
    preferred = site.verifier.flows.router.preferred
    channel = next((each for each in preferred if each in outcome.channels and each not in used), None)
    # Of a purpose that requires several channels, the next one follows the code; it does not replace it.
    if channel is None or not site.next_channel_after or len(outcome.channels_left) > 1:
        return {}
    due_at = last_send(record, site.verifier.policy.resend_after) + site.next_channel_after
    return {
        "next_channel": choice_of(site, texts, channel),
        "next_channel_in": representation.seconds_left(record, due_at),
        "next_channel_by_itself": site.next_channel_sends_by_itself,
    }


def _kind(record: Verification) -> str:
    by_call = record.channel is Channel.INBOUND_CALL or not record.has_code
    return "inbound_call" if by_call else _code_kind(record)


def _code_kind(record: Verification) -> str:
    return "flash_call" if record.channel_of_code is Channel.FLASH_CALL else "code"


def _second_kind(record: Verification) -> str:
    """Return the kind of the other method that can verify this record as well; empty without one."""
    claim = claim_of(record)
    if not record.has_code or claim is None or claim.line is None:
        return ""
    return _code_kind(record) if _kind(record) == "inbound_call" else "inbound_call"
