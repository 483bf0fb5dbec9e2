"""The flow of the pages, without a framework: submitted values in, what to show out.

An adapter reads its form into a mapping and calls one of these functions. A `show_` function returns
the page to render, with what the session's `Message` for it says, or a `Redirect`. A `submit_`
function never returns a page: the adapter follows its `Redirect` with 303 and keeps its message in
the session, signs in on a `SignIn`, or gives the signed-in user the number on a `SetPhone`. So no
reload, Back or restored tab sends a form again. The pages hold their binding in
the same cookie as the API, so that a script on the page can call the API for the verification that
the page shows. The cookie alone completes nothing here: anyone who can set cookies for the site
could plant a pair. Only verifications that the framework's own session started
(`ApiRequest.started`) are shown and completed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypeVar

from ..errors import InvalidPhoneError, StoreError
from ..http.call import ApiRequest
from ..http.client_facts import with_form
from ..http.cookies import last_channel, pairs, without_pair
from ..http.number_change import Change, current_numbers, may_have, read_number
from ..http.problems import unavailable
from ..http.session_notes import without_id
from ..http.site import Site
from ..model import Channel, Reason
from ..phone import PhoneNumber
from ..purposes import PHONE_PURPOSES, SIGN_IN_PURPOSES
from .code_page import show_code, submit_code
from .last_number import NumbersOf, described, last_channel_of, last_number
from .messages import Message
from .pages import (
    Choice,
    CodePage,
    LoginPage,
    LogoutPage,
    NumberHelp,
    Page,
    Redirect,
    SignOutOthers,
    VerifyPage,
    number_help,
)
from .steps import (
    REFUSALS,
    begin,
    choice_of,
    field_of,
    id_of,
    is_for_number,
    is_foreign_form,
    number_in_full,
    return_unprocessed,
    to_page,
)

__all__ = [
    "PURPOSE",
    "Choice",
    "CodePage",
    "LoginPage",
    "LogoutPage",
    "Message",
    "NumberHelp",
    "Page",
    "Redirect",
    "SignOutOthers",
    "VerifyPage",
    "id_of",
    "is_foreign_form",
    "refused_login",
    "refused_phone",
    "return_unprocessed",
    "show_code",
    "show_login",
    "show_logout",
    "show_verify",
    "signed_out",
    "signed_out_others",
    "submit_code",
    "submit_login",
    "submit_verify",
    "taken_phone",
]

log = logging.getLogger("phone_verify")

PURPOSE = "login"


P = TypeVar("P", LoginPage, VerifyPage)


def show_login(
    site: Site,
    call: ApiRequest,
    next: str = "",
    message: Message | None = None,
    *,
    again: bool = False,
    numbers_of: NumbersOf | None = None,
) -> LoginPage:
    """Return the login page, with the number of this session's newest verification if there is one.

    A signed-in visitor sees a notice, unless the site asks them to sign in `again`. With
    `numbers_of`, a trusted device offers to continue with the number of its last sign-in.
    """
    said = message or Message("login")
    page = _overlaid(_login(site, call, next=next, chosen=said.channel), said)
    if call.user is not None and not again and not said.error:
        own = current_numbers(call)
        return replace(page, state="signed_in", user_hint=own[0].hint if own else "")
    if not page.phone:
        page = replace(page, phone=_entered_number(site, call, SIGN_IN_PURPOSES))
    if not page.configured:
        return page
    last = described(site, call, last_number(site, call, numbers_of))
    return replace(page, last=last, another=bool(page.phone or said.error or call.not_entered))


def show_logout(call: ApiRequest, next: str = "", message: Message | None = None) -> LogoutPage:
    """Return the page that confirms signing out."""
    return LogoutPage(texts=call.texts, next=next, error=message.error if message is not None else "")


def signed_out(call: ApiRequest) -> Message:
    """Return the message of the login page after signing out."""
    return Message("login", notice=call.texts.page["signed_out"])


def submit_login(
    site: Site, call: ApiRequest, form: Mapping[str, str], *, numbers_of: NumbersOf | None = None
) -> Redirect:
    """Start a verification and redirect to its page; an open one is shown again instead of sending.

    Of the number in `phone`, or with `continue` of the one that `show_login` offers with the same
    `numbers_of`. `forget` removes that one from the device.
    """
    call = with_form(site, call, form)
    if "forget" in form:
        return _forgotten(site, call, field_of(form, "next"))
    if "continue" in form:
        return _continued(site, call, field_of(form, "next"), numbers_of)
    text, word, next = field_of(form, "phone"), field_of(form, "channel"), field_of(form, "next")
    page, back = _login(site, call, next=next), Message("login", phone=text, channel=word)
    phone = _typed(site, call, page, text)
    if isinstance(phone, str):
        return to_page(next, replace(back, error=phone, invalid=bool(phone)))
    return _start(site, call, page, phone, PURPOSE, word, back)


def _continued(site: Site, call: ApiRequest, next: str, numbers_of: NumbersOf | None) -> Redirect:
    """Start with the offered number, by the channel of its last sign-in."""
    page, back = _login(site, call, next=next), Message("login")
    phone = last_number(site, call, numbers_of) if page.configured else None
    if phone is None:
        return to_page(next, replace(back, notice=call.texts.page["no_last_number"] if page.configured else ""))
    return _start(site, call, page, phone, PURPOSE, last_channel_of(site, call), back, entered=False)


def _forgotten(site: Site, call: ApiRequest, next: str) -> Redirect:
    """Remove the number of the last sign-in from the device."""
    device_cookie = site.verifier.forget_device_user(call.device_cookie)
    message = Message("login", notice=call.texts.page["number_forgotten"])
    return Redirect("login", next, message=message, device_cookie=device_cookie)


def show_verify(site: Site, call: ApiRequest, next: str = "", message: Message | None = None) -> VerifyPage | Redirect:
    """Return the page on which a signed-in user confirms or changes the number."""
    if call.user is None:
        return Redirect("login", next, back="verify")
    said = message or Message("verify")
    page = _overlaid(_verify(site, call, next=next, chosen=said.channel), said)
    if not page.phone:
        page = replace(page, phone=_entered_number(site, call, PHONE_PURPOSES))
    try:
        # With `next`, the user is here to verify the number again.
        if not next and not said.error and (id := _just_confirmed(site, call)):
            cookie, started = without_pair(call.cookie, id), without_id(call.started, id)
            notice = page.text["number_confirmed"]
            return replace(page, state="verified", notice=notice, phone="", cookie=cookie, started=started)
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        return replace(page, error=page.text["unavailable"], status=503, headers=unavailable().headers)
    return page


def submit_verify(site: Site, call: ApiRequest, form: Mapping[str, str]) -> Redirect | SignOutOthers:
    """Send to the current number (`confirm`) or to the one in `phone`.

    The latter becomes the user's once it is verified. Or end all other sessions
    (`sign_out_others`).
    """
    next, text, word = field_of(form, "next"), field_of(form, "phone"), field_of(form, "channel")
    if call.user is None:
        return Redirect("login", next, back="verify")
    call = with_form(site, call, form)
    if "sign_out_others" in form:
        return SignOutOthers()
    own = current_numbers(call)
    page, back = _verify(site, call, next=next), Message("verify", channel=word)
    if "confirm" not in form or not own:
        back = replace(back, phone=text)
        phone = _typed(site, call, page, text)
        if isinstance(phone, str):
            return to_page(next, replace(back, error=phone, invalid=bool(phone)))
    else:
        phone = own[0]
    change = may_have(call, phone)
    if change in REFUSALS:
        return to_page(next, replace(back, error=page.text[REFUSALS[change]]))
    purpose = "confirm" if not own or phone in own else "change_phone"
    return _start(site, call, page, phone, purpose, word, back)


def signed_out_others(call: ApiRequest, next: str = "") -> Redirect:
    """Return to the page after all other sessions of the user were ended."""
    return to_page(next, Message("verify", notice=call.texts.page["signed_out_others"]))


def taken_phone(call: ApiRequest, next: str = "") -> Redirect:
    """Return to `verify` after verifying a number that belongs to another user."""
    return to_page(next, Message("verify", error=call.texts.page["phone_taken"]))


def refused_phone(call: ApiRequest, next: str = "") -> Redirect:
    """Return to `verify` after a proof that must not give a number to this user.

    This applies to a test number and a user with rights over others.
    """
    return to_page(next, Message("verify", error=call.texts.page["phone_refused"]))


def refused_login(call: ApiRequest, next: str = "") -> Redirect:
    """Return to the login page with a user that the site does not let sign in."""
    return to_page(next, Message("login", error=call.texts.page["login_refused"]))


def _overlaid(page: P, message: Message) -> P:
    return replace(
        page,
        error=message.error or page.error,
        notice=message.notice,
        invalid=message.invalid,
        phone=message.phone,
    )


def _typed(site: Site, call: ApiRequest, page: LoginPage, text: str) -> PhoneNumber | str:
    """Return the typed number, or the error; an empty one on a page that says itself what is missing."""
    if not page.configured:
        return ""
    try:
        return read_number(call, site.verifier.policy, text, prose=True)
    except InvalidPhoneError:
        return page.invalid_number(text)


def _entered_number(site: Site, call: ApiRequest, purposes: Collection[str]) -> str:
    """Return the number that this session entered last for these purposes, in full, until it is verified."""
    held = [pair for pair in pairs(call.cookie) if pair[0] in call.started]
    try:
        records = [site.verifier.get(*pair).verification for pair in held]
    except StoreError:
        return ""  # the field stays empty
    newest = next((record for record in records if record is not None and record.purpose in purposes), None)
    return "" if newest is None or newest.redeemed else number_in_full(call, newest)


def _start(
    site: Site,
    call: ApiRequest,
    page: LoginPage,
    phone: PhoneNumber,
    purpose: str,
    word: str,
    back: Message,
    *,
    entered: bool = True,
) -> Redirect:
    """Start a verification, or find the open one, and redirect to its page; or `back` with the error."""
    accepted = bool(site.verifier.flows.services.accepted([purpose]))
    if not accepted or (word and word not in [choice.value for choice in page.choices]):
        return to_page(page.next, replace(back, error=call.texts.reasons[Reason.CHANNEL_UNAVAILABLE]))
    if call.multiprocess:
        site.warn_multiprocess()
    try:
        channel = Channel(word) if word else None
        return begin(site, call, phone, purpose, channel, page.next, back, entered=entered)
    except StoreError as error:
        log.error("the store did not answer: %s", error)
        return to_page(page.next, replace(back, error=page.text["unavailable"]))


def _just_confirmed(site: Site, call: ApiRequest) -> str | None:
    """Return the newest verification's id if it gave or confirmed the user's number."""
    for id, secret in pairs(call.cookie)[:1]:
        record = site.verifier.get(id, secret).verification if id in call.started else None
        if record is not None and record.redeemed and is_for_number(record) and record.phone in current_numbers(call):
            return id
    return None


def _login(site: Site, call: ApiRequest, *, next: str, chosen: str = "") -> LoginPage:
    texts, choices = call.texts, _choices(site, call, chosen, PURPOSE)
    error = "" if choices else texts.reasons[Reason.NOT_CONFIGURED]
    number = number_help(site.verifier.policy, texts.language, site.regions)
    return LoginPage(choices, texts=texts, next=next, error=error, configured=bool(choices), number=number)


def _verify(site: Site, call: ApiRequest, *, next: str, chosen: str = "") -> VerifyPage:
    own, texts = current_numbers(call), call.texts
    choices = _choices(site, call, chosen, *PHONE_PURPOSES)
    change = may_have(call)
    sign_in = change is Change.SIGN_IN_AGAIN or bool(own and next and not call.present_counts)
    return VerifyPage(
        choices,
        texts=texts,
        next=next,
        error="" if choices else texts.page["checks_not_set_up"],
        configured=bool(choices),
        number=number_help(site.verifier.policy, texts.language, site.regions),
        phone_hint=own[0].hint if own else "",
        may_change=change not in REFUSALS,
        must_sign_in=sign_in,
        may_confirm=call.present_counts or not next,
    )


def _choices(site: Site, call: ApiRequest, chosen: str, *purposes: str) -> list[Choice]:
    verifier = site.verifier
    policy, accepted = verifier.policy, verifier.flows.services.accepted(purposes)
    channels = [channel for channel in verifier.channels if policy.accepts(channel, *accepted)]
    if not policy.offers_choice:
        channels = channels[:1]  # one choice is not shown, and not submitted
    wanted = chosen or last_channel(call)
    wanted = wanted if wanted in channels else (channels[0] if channels else "")
    return [choice_of(site, call.texts, c, chosen=c == wanted, recommended=c == channels[0]) for c in channels]
