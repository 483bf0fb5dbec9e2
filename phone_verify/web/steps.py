"""Steps that several pages share: starting a verification, and returning to the page of a form."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..http.call import ApiRequest
from ..http.client_address import call_address
from ..http.client_facts import client_facts
from ..http.cookies import Pairs, pairs, presented_secrets, with_pair
from ..http.csrf import is_same_origin
from ..http.number_change import Change, current_numbers
from ..http.session_notes import with_id, without_id
from ..http.site import Site
from ..i18n.texts import Texts, spoken
from ..model import Cause, Channel, Reason, Started, Verification, is_id
from ..phone import PhoneNumber
from ..purposes import PHONE_PURPOSES
from .messages import Message, PageName
from .pages import Choice, Redirect, channel_choice

log = logging.getLogger("phone_verify")

#: The texts of a page if the user may not be given another number.
REFUSALS = {Change.SIGN_IN_AGAIN: "sign_in_again", Change.VERIFY_PRESENT: "verify_first"}
LONGEST_FIELD = 1024
#: The reasons that concern the number or the code as it was typed.
ABOUT_FIELD = frozenset({Reason.DESTINATION_NOT_ALLOWED, Reason.WRONG_CODE, Reason.MALFORMED_CODE})


def is_foreign_form(site: Site, call: ApiRequest, *, has_token: bool) -> bool:
    """Return whether a form that is not processed cannot come from our pages.

    Then it is refused: another site can post any form. `has_token` is whether it has a CSRF token
    as our own have, valid or not.
    """
    ours = is_same_origin(call, site.public_url)
    return not (has_token if ours is None else ours)


def return_unprocessed(
    site: Site, call: ApiRequest, page: PageName, form: Mapping[str, str], error: str, *, again: bool = False
) -> Redirect:
    """Return to the page of a form that is not processed: it was not read, or its token is not valid.

    Nothing is sent, counted, or signed in or out. The page shows the `error`; the typed number is
    kept if the browser reports that the form is ours. Visitors who are signed in by now need no
    login page. `again` is that of `show_login`.

    No session is started for a request whose origin is unknown: a form of another site comes without
    the session's cookie, and a new session would replace the visitor's.
    """
    redirect = show_again(call, page, form, error, again=again)
    if is_same_origin(call, site.public_url) or redirect.message is None:
        return redirect
    return replace(redirect, message=replace(redirect.message, phone="") if call.has_session else None)


def show_again(
    call: ApiRequest, page: PageName, form: Mapping[str, str], error: str, *, again: bool = False
) -> Redirect:
    """Return to the page of a form that was not processed, or where its visitor has gone by now."""
    next = field_of(form, "next")
    held = held_pairs(call, field_of(form, "verification")) if page == "code" else []
    if held:
        return to_page(next, Message("code", held[0][0], error=error))
    if call.user is not None and page != "logout" and page != "verify" and not again:
        return Redirect("onward", next)
    if page == "verify" and call.user is None:
        return Redirect("login", next, back="verify")
    message = Message("login" if page == "code" else page, error=error)
    return to_page(next, replace(message, phone=field_of(form, "phone"), channel=field_of(form, "channel")))


def to_page(next: str, message: Message) -> Redirect:
    """Return to the page of this message. One that says nothing is not kept."""
    said = message if message.error or message.notice else None
    return Redirect(message.page, next, id=message.id, message=said)


def number_in_full(call: ApiRequest, record: Verification) -> str:
    """Return the number for the session that entered it; one that was not entered stays masked.

    Those are the user's current number, and one that the login page offered.
    """
    is_own = is_for_number(record) and record.phone in current_numbers(call)
    return "" if is_own or record.id in call.not_entered else spoken(record.phone)


def begin(
    site: Site,
    call: ApiRequest,
    phone: PhoneNumber,
    purpose: str,
    channel: Channel | None,
    next: str,
    back: Message,
    *,
    proof: str | None = None,
    entered: bool = True,
) -> Redirect:
    """Start a verification and lead to its page; one of this session that is open for the number is kept.

    A refused start leads to the page of `back`, with the reason. `proof` is that of the verification
    that this one continues, which one without a proof cannot replace. `entered` is whether the
    visitor entered the number. Raises `StoreError`.
    """
    texts, held = call.texts, held_pairs(call)
    live = site.verifier.find_open(phone, purpose, held)
    continues = live is not None and (proof is None or bool(live.proved_channels))
    if live is not None and continues and channel in (None, live.channel):
        hidden = without_id(call.not_entered, live.id) if entered and live.id in call.not_entered else None
        return _to_code(call, next, live.id, dict(held)[live.id], hidden)
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
        proof=proof,
        client=client_facts(site, call),
    )
    if not isinstance(outcome, Started):
        # The user's current number was not typed: a page that sends to it has no field at fault.
        at_fault = outcome.reason in ABOUT_FIELD or outcome.cause is Cause.NUMBER or outcome.at_fault == "phone"
        invalid = bool(back.phone) and at_fault
        return to_page(next, replace(back, error=texts.refusal(outcome), invalid=invalid))
    id = outcome.verification.id
    return _to_code(call, next, id, outcome.secret, None if entered else [id, *call.not_entered])


def _to_code(call: ApiRequest, next: str, id: str, secret: str, not_entered: Sequence[str] | None) -> Redirect:
    cookie = with_pair(call.cookie, id, secret)
    return Redirect("code", next, cookie, started=with_id(call.started, id), id=id, not_entered=not_entered)


def is_for_number(record: Verification) -> bool:
    return record.purpose in PHONE_PURPOSES


def held_pairs(call: ApiRequest, id: str = "") -> Pairs:
    """Return the pairs of the verifications that this session started; only that with this id if one is given."""
    return [pair for pair in pairs(call.cookie) if pair[0] in call.started and id in ("", pair[0])]


def field_of(form: Mapping[str, str], name: str) -> str:
    return form.get(name, "")[:LONGEST_FIELD].strip()


def id_of(form: Mapping[str, str]) -> str:
    """Return the id of the verification whose page sent this form, or an empty text."""
    id = field_of(form, "verification")
    return id if is_id(id) else ""


def choice_of(site: Site, texts: Texts, channel: Channel, *, chosen: bool = False, recommended: bool = False) -> Choice:
    """Return a channel of the site as visitors choose it."""
    carriers = site.verifier.flows.router.carriers(channel)
    announced = any(driver.abilities[channel].announced for driver in carriers)
    return channel_choice(texts, channel, announced=announced, chosen=chosen, recommended=recommended)
