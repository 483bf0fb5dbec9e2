"""The pending verification of a form that is not ours: its id and binding, kept in the session.

All counts are in the store, so an old copy of the session restores no attempt. No code and no number is kept here.
"""

from __future__ import annotations

from flask import request, session

from phone_verify import Outcome, PhoneNumber, Reason, Verification
from phone_verify.api import ApiRequest, Site
from phone_verify.before_send import ClientFacts
from phone_verify.external import forms
from phone_verify.external.forms import NO_VERIFICATION, PendingVerification
from phone_verify.http.client_address import call_address
from phone_verify.http.client_facts import client_facts, with_form
from phone_verify.model import Redeemed

from .calls import read_call
from .state import current_state

_SESSION_KEY = "_phone_verify_begun"
#: The largest number of forms with a pending verification in one session.
_MOST = 5


def send_code(
    name: str,
    phone: PhoneNumber,
    purpose: str,
    before: PendingVerification = NO_VERIFICATION,
    *,
    subject: str = "",
    by_client: bool = False,
) -> Outcome:
    """Send a code for the form of this name, or resend it while `before` is open.

    `subject` and `by_client` are those of `AsyncVerifier.start`.
    """
    here, call = current_state(), read_call("")
    outcome, begun = forms.send_code(
        here.site.verifier,
        phone,
        purpose,
        begun=before,
        locale=call.texts.language.tag,
        address=call_address(here.site, call),
        subject=subject,
        by_client=by_client,
        client=_facts(here.site, call),
    )
    save(name, begun)
    return outcome


def resend_code(name: str, *, subject: str) -> Outcome:
    """Resend the code of the form of this name, or start anew for its number if the verification has ended."""
    here, call = current_state(), read_call("")
    outcome, begun = forms.resend_code(
        here.site.verifier,
        load(name) or NO_VERIFICATION,
        locale=call.texts.language.tag,
        address=call_address(here.site, call),
        subject=subject,
        by_client=True,
        client=_facts(here.site, call),
    )
    if outcome.ok:
        save(name, begun)
    return outcome


def find_open(name: str, subject: str) -> Verification | None:
    """Return the open verification of the form of this name, if this subject started it, else None."""
    begun, verifier = load(name) or NO_VERIFICATION, current_state().site.verifier
    record = verifier.get(begun.id, begun.secret).verification
    own = record is not None and record.open and record.subject == verifier.flows.keyring.subject(subject)
    return record if own else None


def address() -> str | None:
    """Return the address of the client being served, or None where it is not known."""
    return call_address(current_state().site, read_call(""))


def verify_code(name: str, purpose: str, typed: str, *, subject: str = "") -> Redeemed | Outcome:
    """Return what a right code verifies, and drop the pending verification; else the failed outcome."""
    verifier, begun = current_state().site.verifier, load(name) or NO_VERIFICATION
    record = verifier.get(begun.id, begun.secret).verification
    if record is None:
        return Outcome(Reason.NOT_FOUND)
    result = forms.verify_code(verifier, begun, record.phone, purpose, typed, address=address(), subject=subject)
    if isinstance(result, Redeemed):
        drop(name)
    return result


def _facts(site: Site, call: ApiRequest) -> ClientFacts:
    return client_facts(site, with_form(site, call, request.form.to_dict()))


def load(name: str) -> PendingVerification | None:
    """Return the pending verification of this form: `NO_VERIFICATION` if saved as none, None if never saved."""
    found = _all().get(name)
    return None if found is None else PendingVerification(*found)


def save(name: str, begun: PendingVerification) -> None:
    """Save the pending verification of this form."""
    others = [(other, value) for other, value in _all().items() if other != name]
    session[_SESSION_KEY] = dict([*others[1 - _MOST :], (name, [begun.id, begun.secret])])


def drop(name: str) -> None:
    """Drop the pending verification of this form."""
    session[_SESSION_KEY] = {other: value for other, value in _all().items() if other != name}


def _all() -> dict[str, list[str]]:
    found: dict[str, list[str]] = session.get(_SESSION_KEY, {})
    return found
