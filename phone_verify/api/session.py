"""`v1/session`: signing in by a proof. The signing in itself is the framework's."""

from __future__ import annotations

from collections.abc import Sequence

from ..http.call import ApiRequest, ApiResponse, AskSite, SessionUser, SetPhone, SignIn, SignOut
from ..http.cookies import HEADER, device_cookie, only_pair, secrets_shown
from ..http.csrf import cross_site
from ..http.number_change import Change, may_have
from ..http.problems import problem, refusal, told
from ..http.site import Site
from ..i18n.texts import PAGE
from ..model import Outcome, Reason, Redeemed
from ..purposes import PHONE_PURPOSES, SIGN_IN_PURPOSES
from ..verifier import AsyncVerifier
from . import bodies

#: What `reauthentication_required` says of what is missing.
_MISSING = {
    Change.SIGN_IN_AGAIN: "Sign in again, then add or change the number.",
    Change.VERIFY_PRESENT: "Verify your current number first (purpose confirm), then change it.",
}


async def create(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse | SignIn:
    """POST v1/session: burns the proof; the adapter goes on."""
    fields = bodies.read(call, ["proof"])
    if isinstance(fields, ApiResponse):
        return fields
    if forged := cross_site(call, site.public_url):
        return forged
    redeemed = await flows.redeem(fields["proof"], _secrets(call), SIGN_IN_PURPOSES)
    return invalid_proof() if redeemed is None else SignIn(redeemed)


async def set_phone(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse | SetPhone | AskSite:
    """PUT v1/session/phone: redeems the proof if the user may be given its number; the adapter continues."""
    fields = bodies.read(call, ["proof"])
    if isinstance(fields, ApiResponse):
        return fields
    if forged := cross_site(call, site.public_url):
        return forged
    if call.user is None:
        return not_signed_in()
    proof, secrets, subject = fields["proof"], _secrets(call), call.user.id
    foreseen = await flows.foresee(proof, secrets, PHONE_PURPOSES, subject=subject)
    if foreseen is None:
        return invalid_proof()
    change = may_have(call, foreseen.phone)
    if change is Change.ASK_SITE:
        return AskSite(foreseen)
    if change is not Change.ALLOWED:
        return problem(403, "reauthentication_required", _MISSING[change])
    redeemed = await flows.redeem(proof, secrets, PHONE_PURPOSES, subject=subject)
    return invalid_proof() if redeemed is None else SetPhone(redeemed)


async def show(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse:
    """GET v1/session: who is signed in."""
    return not_signed_in() if call.user is None else ApiResponse(200, {"user": _user(call.user)})


async def delete(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse | SignOut:
    """DELETE v1/session."""
    return cross_site(call, site.public_url) or SignOut()


def signed_in(site: Site, call: ApiRequest, redeemed: Redeemed, user: SessionUser, *, created: bool) -> ApiResponse:
    """The reply after the adapter has signed the user in. The browser is a trusted device from now on.

    Of the verifications in its cookie only the one that was used is left.
    """
    document = {"user": _user(user), "created": created}
    cookie = only_pair(call.cookie, redeemed.verification_id) if call.cookie else None
    return ApiResponse(200, document, cookie=cookie, device_cookie=device_cookie(site, call, redeemed))


def refused(call: ApiRequest) -> ApiResponse:
    """The reply where the site lets this user not in: inactive, or sign-up closed."""
    return told(call, problem(403, "login_refused", PAGE["login_refused"]))


def mfa_required(call: ApiRequest, continue_at: str | None = None) -> ApiResponse:
    """Return the reply where sign-in needs a further step, like a second factor; the proof is spent.

    `continue_at` is the page of that step, for the browser whose session holds the pending sign-in.
    """
    more = {} if continue_at is None else {"continue_at": continue_at}
    return told(call, problem(403, "mfa_required", PAGE["mfa_required"], more=more))


def signup_required(call: ApiRequest) -> ApiResponse:
    """The reply where a new user fills in a form of the site's before there is an account."""
    return told(call, problem(403, "login_refused", PAGE["signup_first"]))


def phone_updated(user: SessionUser) -> ApiResponse:
    """The reply after the user has the number."""
    return ApiResponse(200, {"user": _user(user)})


def phone_conflict() -> ApiResponse:
    """The reply where the number is somebody else's."""
    return problem(409, "phone_taken", "Somebody else has this number.")


def invalid_proof() -> ApiResponse:
    """The reply to a proof that is not good, or not for this."""
    return refusal(Outcome(Reason.INVALID_PROOF))


def not_signed_in() -> ApiResponse:
    """The reply to a call that needs a signed-in user."""
    return problem(401, "not_signed_in", "Nobody is signed in.")


def signed_out(call: ApiRequest) -> ApiResponse:
    """The reply after the adapter has signed the user out. No verification is left in the browser's cookie."""
    return ApiResponse(204, cookie="" if call.cookie else None)


def _secrets(call: ApiRequest) -> Sequence[str]:
    header = call.headers.get(HEADER)
    return [header] if header is not None else secrets_shown(call)


def _user(user: SessionUser) -> dict[str, object]:
    return {"id": user.id, "phone": user.phone}
