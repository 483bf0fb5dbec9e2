"""Sign in, set the number or sign out, for the API, the pages and Django REST framework alike."""

from __future__ import annotations

from typing import Protocol, TypeVar

from django.contrib.auth import logout
from django.http import HttpRequest

from phone_verify.api import IssueToken, SessionUser, SetPhone, SignIn, SignOut
from phone_verify.model import Redeemed

from . import accounts, pending_signup
from .rights import StaffPhoneError

R_co = TypeVar("R_co", covariant=True)


class Replies(Protocol[R_co]):
    """The reply to each result of `perform`."""

    def session_created(self, account: accounts.Account, redeemed: Redeemed) -> R_co:
        """Reply that the user is signed in, or for `IssueToken` with a token."""
        ...

    def signup_required(self) -> R_co:
        """Reply that the number is new and its user fills in the site's form first."""
        ...

    def further_step(self, error: accounts.MfaRequiredError) -> R_co:
        """Reply that sign-in needs a further step."""
        ...

    def login_refused(self) -> R_co:
        """Reply that this number cannot sign in."""
        ...

    def phone_updated(self, user: SessionUser) -> R_co:
        """Reply that the user has the number."""
        ...

    def phone_conflict(self) -> R_co:
        """Reply that the number belongs to another user."""
        ...

    def phone_refused(self) -> R_co:
        """Reply that this proof gives the user no number."""
        ...

    def signed_out(self) -> R_co:
        """Reply that the user is signed out."""
        ...


def perform(
    request: HttpRequest,
    action: SignIn | IssueToken | SetPhone | SignOut,
    replies: Replies[R_co],
    *,
    next_url: str = "",
) -> R_co:
    """Perform what the core has decided, and return the reply. The proof is already redeemed.

    `next_url` is that of `accounts.sign_in`. For a token no session is opened and no sign-up form is
    offered, since the session would have to keep the number for it.
    """
    if isinstance(action, SignOut):
        logout(request)
        return replies.signed_out()
    if isinstance(action, SetPhone):
        return _set_phone(request, action.redeemed, replies)
    redeemed = action.redeemed
    session, remember = (True, action.remember) if isinstance(action, SignIn) else (False, None)
    try:
        account = accounts.sign_in(request, redeemed, session=session, remember=remember, next_url=next_url)
    except accounts.MfaRequiredError as error:
        return replies.further_step(error)
    if account is not None:
        return replies.session_created(account, redeemed)
    if session and pending_signup.save(request, redeemed, remember):
        return replies.signup_required()
    return replies.login_refused()


def _set_phone(request: HttpRequest, redeemed: Redeemed, replies: Replies[R_co]) -> R_co:
    try:
        user = accounts.set_phone(request, redeemed)
    except StaffPhoneError:
        return replies.phone_refused()
    return replies.phone_conflict() if user is None else replies.phone_updated(user)
