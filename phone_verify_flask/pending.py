"""Which verification is under way for a form that is not ours: its id and binding, in the session.

What counts is in the store, so an old copy of the session gives no try back. No code and no number stands here.
"""

from __future__ import annotations

from flask import session

from phone_verify import Outcome, PhoneNumber, Reason, Verification
from phone_verify.external.forms import NO_VERIFICATION, PendingVerification, prove, send
from phone_verify.http.client_address import call_address
from phone_verify.model import Redeemed

from .calls import read_call
from .state import current_state

_SESSION_KEY = "_phone_verify_begun"
#: A browser is in the middle of no more than this many forms.
_MOST = 5


def sent(
    name: str,
    phone: PhoneNumber,
    purpose: str,
    before: PendingVerification = NO_VERIFICATION,
    *,
    subject: str = "",
    by_client: bool = False,
) -> Outcome:
    """Send a code for the form of this name, or the same once more while `before` is good.

    `subject` and `by_client` are those of `AsyncVerifier.start`.
    """
    here, call = current_state(), read_call("")
    outcome, begun = send(
        here.site.verifier,
        phone,
        purpose,
        begun=before,
        locale=call.texts.language.tag,
        address=call_address(here.site, call),
        subject=subject,
        by_client=by_client,
    )
    keep(name, begun)
    return outcome


def under_way(name: str, subject: str) -> Verification | None:
    """Return the verification of the form of this name, if it is open and this subject started it."""
    begun, verifier = kept(name) or NO_VERIFICATION, current_state().site.verifier
    record = verifier.get(begun.id, begun.secret).verification
    own = record is not None and record.subject == verifier.flows.keyring.subject(subject)
    return record if own and record is not None and record.open else None


def address() -> str | None:
    """Return the address of the client being served, or None where it is not known."""
    return call_address(current_state().site, read_call(""))


def proven(name: str, purpose: str, typed: str, *, subject: str = "") -> Redeemed | Outcome:
    """What a right code proves, which is then over; for any other the outcome that says why not."""
    verifier, begun = current_state().site.verifier, kept(name) or NO_VERIFICATION
    record = verifier.get(begun.id, begun.secret).verification
    if record is None:
        return Outcome(Reason.NOT_FOUND)
    result = prove(verifier, begun, record.phone, purpose, typed, address=address(), subject=subject)
    if isinstance(result, Redeemed):
        forget(name)
    return result


def kept(name: str) -> PendingVerification | None:
    """What is under way for this form; `NO_VERIFICATION` where it was said that nothing is, None where nobody knows."""
    found = _all().get(name)
    return None if found is None else PendingVerification(*found)


def keep(name: str, begun: PendingVerification) -> None:
    """Keep what is under way for this form."""
    others = [(other, value) for other, value in _all().items() if other != name]
    session[_SESSION_KEY] = dict([*others[1 - _MOST :], (name, [begun.id, begun.secret])])


def forget(name: str) -> None:
    """Keep nothing for this form."""
    session[_SESSION_KEY] = {other: value for other, value in _all().items() if other != name}


def _all() -> dict[str, list[str]]:
    found: dict[str, list[str]] = session.get(_SESSION_KEY, {})
    return found
