"""Completes what the core has decided: signs in or assigns a number, and returns the reply of pages or API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from phone_verify.api import ApiRequest, SessionUser, SetPhone, SignIn
from phone_verify.model import Redeemed

from . import session_length
from .login import set_phone, sign_in
from .recent import note_check, note_sign_in
from .rights import StaffPhoneError
from .state import AppState

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class Replies(Generic[Reply]):
    """The replies in which the API and the pages differ."""

    login_refused: Callable[[], Reply]
    session_created: Callable[[Redeemed, SessionUser, bool, bool], Reply]
    phone_refused: Callable[[], Reply]
    phone_conflict: Callable[[], Reply]
    phone_updated: Callable[[SessionUser], Reply]


def complete(
    here: AppState,
    call: ApiRequest,
    action: SignIn | SetPhone,
    replies: Replies[Reply],
    *,
    remember: bool | None = None,
) -> Reply:
    """Sign in or assign the number, record the check in the session, and return the reply.

    `remember` is the visitor's choice about staying signed in; None if there was none.
    """
    redeemed = action.redeemed
    if isinstance(action, SignIn):
        permanent = session_length.is_permanent()
        login = sign_in(here.site, here.accounts, redeemed, remember=bool(remember))
        if login is None:
            return replies.login_refused()
        lasting = session_length.begin(permanent=permanent, remember=remember)
        note_sign_in(redeemed.phone, redeemed.verification_id)
        return replies.session_created(redeemed, *login, lasting)
    try:
        user = set_phone(here.site, here.accounts, redeemed, call)
    except StaffPhoneError:
        return replies.phone_refused()
    if user is None:
        return replies.phone_conflict()
    if call.token is None:
        note_check(redeemed.phone)
    return replies.phone_updated(user)
