"""`v1/session`: signing in by a proof. The signing in itself is the framework's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ..model import Outcome, Reason, Redeemed
from ..verifier import Flows
from ..web.texts import PAGE
from . import bodies
from .binding import HEADER, secrets_shown
from .call import Call, Reply, SessionUser, SetPhone, SignIn, SignOut
from .forgery import cross_site
from .known import known_cookie
from .problems import problem, refusal, told
from .site import Site

#: What a proof must have been earned for to sign somebody in, and to give a user a number.
SIGN_IN_PURPOSES = ("login", "signup")
PHONE_PURPOSES = ("change_phone", "confirm")

#: Who signed in longer ago signs in again before the number changes (threat model, "Web").
RECENT = timedelta(minutes=15)


async def create(site: Site, flows: Flows, call: Call) -> Reply | SignIn:
    """POST v1/session: burns the proof; the adapter goes on."""
    fields = bodies.read(call, ["proof"])
    if isinstance(fields, Reply):
        return fields
    if forged := cross_site(call, site.public_url):
        return forged
    redeemed = await _redeemed(flows, call, fields["proof"], SIGN_IN_PURPOSES)
    return invalid_proof() if redeemed is None else SignIn(redeemed)


async def set_phone(site: Site, flows: Flows, call: Call) -> Reply | SetPhone:
    """PUT v1/session/phone: burns the proof of somebody who signed in lately; the adapter goes on."""
    fields = bodies.read(call, ["proof"])
    if isinstance(fields, Reply):
        return fields
    if forged := cross_site(call, site.public_url):
        return forged
    if call.user is None:
        return problem(401, "not_signed_in", "Nobody is signed in.")
    if call.signed_in_for is None or call.signed_in_for > RECENT:
        return problem(403, "reauthentication_required", "Sign in again, then change the number.")
    redeemed = await _redeemed(flows, call, fields["proof"], PHONE_PURPOSES)
    return invalid_proof() if redeemed is None else SetPhone(redeemed)


async def show(site: Site, flows: Flows, call: Call) -> Reply:
    """GET v1/session: who is signed in."""
    if call.user is None:
        return problem(401, "not_signed_in", "Nobody is signed in.")
    return Reply(200, {"user": _user(call.user)})


async def delete(site: Site, flows: Flows, call: Call) -> Reply | SignOut:
    """DELETE v1/session."""
    return cross_site(call, site.public_url) or SignOut()


def signed_in(site: Site, call: Call, redeemed: Redeemed, user: SessionUser, *, created: bool) -> Reply:
    """The reply after the adapter has signed the user in. From now on it knows this browser."""
    document = {"user": _user(user), "created": created}
    return Reply(200, document, known_cookie=known_cookie(site, call, redeemed))


def refused(call: Call) -> Reply:
    """The reply where the site lets this user not in: inactive, or sign-up closed."""
    return told(call, problem(403, "login_refused", PAGE["login_refused"]))


def mfa_required(call: Call, continue_at: str | None = None) -> Reply:
    """Return the reply where sign-in needs a further step, like a second factor; the proof is spent.

    `continue_at` is the page of that step, for the browser whose session holds the pending sign-in.
    """
    more = {} if continue_at is None else {"continue_at": continue_at}
    return told(call, problem(403, "mfa_required", PAGE["mfa_required"], more=more))


def newcomer(call: Call) -> Reply:
    """The reply where a new user fills in a form of the site's before there is an account."""
    return told(call, problem(403, "login_refused", PAGE["signup_first"]))


def phone_set(user: SessionUser) -> Reply:
    """The reply after the user has the number."""
    return Reply(200, {"user": _user(user)})


def phone_taken() -> Reply:
    """The reply where the number is somebody else's."""
    return problem(409, "phone_taken", "Somebody else has this number.")


def invalid_proof() -> Reply:
    """The reply to a proof that is not good, or not for this."""
    return refusal(Outcome(Reason.INVALID_PROOF))


def signed_out() -> Reply:
    """The reply after the adapter has signed the user out."""
    return Reply(204)


async def _redeemed(flows: Flows, call: Call, proof: str, purposes: Sequence[str]) -> Redeemed | None:
    header = call.headers.get(HEADER)
    return await flows.redeem(proof, [header] if header is not None else secrets_shown(call), purposes)


def _user(user: SessionUser) -> dict[str, object]:
    return {"id": user.id, "phone": user.phone}
