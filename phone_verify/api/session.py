"""`v1/session`: signing in by a proof. The signing in itself is the framework's."""

from __future__ import annotations

from ..model import Outcome, Reason
from ..web.texts import PAGE
from . import bodies
from .binding import HEADER, secrets_shown
from .call import Call, Reply, SessionUser, SignIn, SignOut
from .forgery import cross_site
from .problems import problem, refusal, told
from .site import Site

#: What a proof must have been earned for to sign somebody in.
SIGN_IN_PURPOSES = ("login", "signup")


def create(site: Site, call: Call) -> Reply | SignIn:
    """POST v1/session: burns the proof; the adapter goes on."""
    fields = bodies.read(call, ["proof"])
    if isinstance(fields, Reply):
        return fields
    if forged := cross_site(call, site.public_url):
        return forged
    header = call.headers.get(HEADER)
    secrets = [header] if header is not None else secrets_shown(call)
    redeemed = site.verifier.redeem(fields["proof"], secrets, SIGN_IN_PURPOSES)
    if redeemed is None:
        return refusal(Outcome(Reason.INVALID_PROOF))
    return SignIn(redeemed)


def show(site: Site, call: Call) -> Reply:
    """GET v1/session: who is signed in."""
    if call.user is None:
        return problem(401, "not_signed_in", "Nobody is signed in.")
    return Reply(200, {"user": _user(call.user)})


def delete(site: Site, call: Call) -> Reply | SignOut:
    """DELETE v1/session."""
    return cross_site(call, site.public_url) or SignOut()


def signed_in(user: SessionUser, *, created: bool) -> Reply:
    """The reply after the adapter has signed the user in."""
    return Reply(200, {"user": _user(user), "created": created})


def refused(call: Call) -> Reply:
    """The reply where the site lets this user not in: inactive, or sign-up closed."""
    return told(call, problem(403, "login_refused", PAGE["login_refused"]))


def signed_out() -> Reply:
    """The reply after the adapter has signed the user out."""
    return Reply(204)


def _user(user: SessionUser) -> dict[str, object]:
    return {"id": user.id, "phone": user.phone}
