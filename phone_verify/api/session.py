"""`v1/session`: sign-in with a proof. The sign-in itself is done by the framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from ..http.call import ApiRequest, ApiResponse, AskSite, SessionUser, SetPhone, SignIn, SignOut
from ..http.cookies import HEADER, device_cookie, only_pair, presented_secrets
from ..http.csrf import cross_site
from ..http.number_change import Change, current_numbers, may_have
from ..http.problems import localized, problem, refusal
from ..http.site import Site
from ..i18n.texts import PAGE
from ..model import Outcome, Reason, Redeemed
from ..purposes import PHONE_PURPOSES, SIGN_IN_PURPOSES
from ..verifier.operations import AsyncVerifier
from . import bodies

#: The `detail` of `reauthentication_required`, by what is missing.
_MISSING = {
    Change.SIGN_IN_AGAIN: "Recent sign-in required. Sign in again, then add or change the number.",
    Change.VERIFY_PRESENT: "Verify your current number first (purpose confirm), then change it.",
}


async def create(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse | SignIn:
    """POST v1/session: redeems the proof; the adapter continues."""
    fields = bodies.parse_body(call, ["proof"])
    if isinstance(fields, ApiResponse):
        return fields
    if forged := cross_site(call, site):
        return forged
    redeemed = await flows.redeem(fields["proof"], presented(call), SIGN_IN_PURPOSES)
    return invalid_proof() if redeemed is None else SignIn(redeemed)


async def set_phone(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse | SetPhone | AskSite:
    """PUT v1/session/phone: redeems the proof if the user may be given its number.

    The adapter continues.
    """
    fields = bodies.parse_body(call, ["proof"])
    if isinstance(fields, ApiResponse):
        return fields
    if forged := cross_site(call, site):
        return forged
    if call.user is None:
        return not_signed_in(call)
    proof, secrets, subject = fields["proof"], presented(call), call.user.id
    foreseen = await flows.foresee(proof, secrets, PHONE_PURPOSES, subject=subject)
    if foreseen is None:
        return invalid_proof()
    change = may_have(await _with_token_check(flows, call), foreseen.phone)
    if change is Change.ASK_SITE:
        return AskSite(foreseen)
    if change is not Change.ALLOWED:
        return problem(403, "reauthentication_required", _MISSING[change])
    redeemed = await flows.redeem(proof, secrets, PHONE_PURPOSES, subject=subject)
    return invalid_proof() if redeemed is None else SetPhone(redeemed)


async def show(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse:
    """GET v1/session: the signed-in user."""
    return not_signed_in(call) if call.user is None else ApiResponse(200, {"user": user_document(call.user)})


async def delete(site: Site, flows: AsyncVerifier, call: ApiRequest) -> ApiResponse | SignOut:
    """DELETE v1/session."""
    return cross_site(call, site) or SignOut()


def session_created(
    site: Site, call: ApiRequest, redeemed: Redeemed, user: SessionUser, *, created: bool, lasting: bool = False
) -> ApiResponse:
    """Return the response after the adapter has signed the user in.

    The browser is a trusted device from now on. Of the verifications in its cookie only the one
    that was used is kept. `lasting` is whether the sign-in outlives the browser.
    """
    document = {"user": user_document(user), "created": created}
    cookie = only_pair(call.cookie, redeemed.verification_id) if call.cookie else None
    device = device_cookie(site, call, redeemed, user.id if lasting else "")
    return ApiResponse(200, document, cookie=cookie, device_cookie=device)


def login_refused(call: ApiRequest) -> ApiResponse:
    """Return the response if the site does not let this user sign in: inactive, or sign-up closed."""
    return localized(call, problem(403, "login_refused", PAGE["login_refused"]))


def mfa_required(call: ApiRequest, continue_at: str | None = None) -> ApiResponse:
    """Return the response if sign-in needs a further step, like a second factor.

    The proof is consumed. `continue_at` is the page of that step, for the browser whose session
    holds the pending sign-in.
    """
    more = {} if continue_at is None else {"continue_at": continue_at}
    return localized(call, problem(403, "mfa_required", PAGE["mfa_required"], more=more))


def signup_required(call: ApiRequest) -> ApiResponse:
    """Return the response if a new user must fill in a form of the site before there is an account."""
    return localized(call, problem(403, "login_refused", PAGE["signup_first"]))


def phone_updated(user: SessionUser) -> ApiResponse:
    """Return the response after the user was given the number."""
    return ApiResponse(200, {"user": user_document(user)})


def phone_conflict() -> ApiResponse:
    """Return the response if the number belongs to another user."""
    return problem(409, "phone_taken", PAGE["phone_taken"])


def invalid_proof() -> ApiResponse:
    """Return the response to a proof that is not valid, or not for this call."""
    return refusal(Outcome(Reason.INVALID_PROOF))


def not_signed_in(call: ApiRequest) -> ApiResponse:
    """Return the response to a call that needs a signed-in user, also if it presents a token that is not valid."""
    if call.token is None:
        return problem(401, "not_signed_in", "Not signed in.")
    reply = problem(401, "not_signed_in", "This token is not valid. Sign in again.")
    return replace(reply, headers={**reply.headers, "WWW-Authenticate": "Bearer"})


def client_refused() -> ApiResponse:
    """Return the response to a token of an OAuth client that is not valid for this call."""
    reply = problem(401, "not_signed_in", "This token is not valid here.")
    return replace(reply, headers={**reply.headers, "WWW-Authenticate": 'Bearer error="invalid_token"'})


def signed_out(call: ApiRequest) -> ApiResponse:
    """Return the response after the adapter has signed the user out.

    No verification is left in the browser's cookie.
    """
    return ApiResponse(204, cookie="" if call.cookie else None)


async def _with_token_check(flows: AsyncVerifier, call: ApiRequest) -> ApiRequest:
    """Return the call with the recent verification of a client that presents a token."""
    if call.token is None or call.user is None:
        return call
    recent = await flows.has_token_check(call.token, call.user.id, current_numbers(call))
    return replace(call, proved_for=timedelta(0) if recent else None)


def presented(call: ApiRequest) -> Sequence[str]:
    """Return the secrets with which a proof is redeemed: that of the header, else those of the cookie."""
    header = call.headers.get(HEADER)
    return [header] if header is not None else presented_secrets(call)


def user_document(user: SessionUser) -> dict[str, object]:
    """Return the user as responses represent one."""
    return {"id": user.id, "phone": user.phone}
