"""Completes what the core has decided: signs in or assigns a number, and returns the reply of pages or API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from phone_verify.api import ApiRequest, SessionUser, SetPhone, SignIn
from phone_verify.model import Redeemed

from .last_number import outlives_browser
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
    here: AppState, call: ApiRequest, action: SignIn | SetPhone, replies: Replies[Reply], *, remember: bool = False
) -> Reply:
    """Sign in or assign the number, record the check in the session, and return the reply."""
    redeemed = action.redeemed
    if isinstance(action, SignIn):
        lasting = outlives_browser(remember=remember)  # signing in clears the session
        login = sign_in(here.site, here.accounts, redeemed, remember=remember)
        if login is None:
            return replies.login_refused()
        note_sign_in(redeemed.phone, redeemed.verification_id)
        return replies.session_created(redeemed, *login, lasting)
    try:
        user = set_phone(here.site, here.accounts, redeemed, call.texts)
    except StaffPhoneError:
        return replies.phone_refused()
    if user is None:
        return replies.phone_conflict()
    note_check(redeemed.phone)
    return replies.phone_updated(user)
