"""Sign in, sign up and change numbers, for our pages and for a site's own views."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import authenticate, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError, transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from phone_verify import PhoneNumber
from phone_verify.api import ApiRequest, SessionUser
from phone_verify.model import Redeemed

from . import (
    account_policy,
    app_settings,
    backends,
    login_stages,
    model_rules,
    phones,
    primary,
    second_factor,
    sessions,
    signals,
    users,
)
from . import pending_login as pending_login  # its receiver runs before those connected later
from .access import note_check, note_sign_in
from .account_policy import Accounts, lets_in, policy
from .models import VerifiedPhone
from .phones import phone_of, phones_of
from .rights import StaffPhoneError
from .site import current_site

__all__ = [
    "Account",
    "Accounts",
    "LastPhoneError",
    "MfaRequiredError",
    "StaffPhoneError",
    "make_primary",
    "phone_of",
    "phones_of",
    "remove_phone",
    "set_phone",
    "sign_in",
    "sign_up",
    "signed_in",
    "signed_in_for",
]

log = logging.getLogger("phone_verify")

#: Session key: when its user signed in, in seconds since 1970.
SIGNED_IN_AT = "phone_verify_signed_in_at"


class LastPhoneError(PermissionDenied):
    """The number is its user's only way to sign in: another one must be verified first."""


class MfaRequiredError(PermissionDenied):
    """Sign-in needs a further step, like a second factor; no user is signed in. Django responds with 403.

    `response` redirects to the page of that step; None if it has no page.
    """

    def __init__(self, response: HttpResponse | None = None) -> None:
        super().__init__("Sign-in needs a further step.")
        self.response = response


@dataclass(frozen=True, slots=True)
class Account:
    """The result of a sign-in: its user."""

    user: SessionUser
    created: bool


@primary.reads()
def sign_in(
    request: HttpRequest,
    redeemed: Redeemed,
    *,
    session: bool = True,
    remember: bool | None = None,
    next_url: str = "",
) -> Account | None:
    """Sign in the user of this number, or a new user for an unclaimed number. Return None if refused.

    Uses `authenticate` and `login`, so the checks of every other login of the site apply, the session
    gets a new key, and `user_logged_in` is sent. Creates no user if new users fill in a form first
    (`sign_up`). `session=False` leaves the session unchanged, for users who get a token instead.

    If `allauth.account` is installed, the session is opened through its login stages. `next_url`, an
    address of this site, is where they lead in the end. `remember` keeps the session beyond the
    browser's, or ends it with the browser; None leaves that to Django.

    Raises `MfaRequiredError` if a further step is required: a pending stage of allauth, or for a
    token a second factor (`Accounts.may_skip_second_factor`).
    """
    if backends.backend_path() is None:
        log.error(
            "sign-in by phone is refused: add 'phone_verify_django.backends.PhoneBackend' to AUTHENTICATION_BACKENDS"
        )
        return None
    options = _SignInOptions(session, remember, next_url)
    if not is_new(redeemed):
        return _enter(request, redeemed, options, created=False)
    if app_settings.account_settings().signup_form is not None:
        return None
    account = sign_up(request, redeemed, session=session, remember=remember, next_url=next_url)
    if account is None and not is_new(redeemed):  # a concurrent proof of this number came first
        return _enter(request, redeemed, options, created=False)
    return account


@primary.reads()
def sign_up(
    request: HttpRequest,
    redeemed: Redeemed,
    extra: Mapping[str, Any] | None = None,
    *,
    session: bool = True,
    remember: bool | None = None,
    next_url: str = "",
) -> Account | None:
    """Create a user for an unclaimed number and log them in. Return None if it is taken or sign-up is refused.

    Two concurrent proofs create one user. An existing user is never signed in, since the proof may
    have been kept while a form was filled in. Raises `ValidationError` for invalid `extra`, and
    `MfaRequiredError` as `sign_in` does; the user exists then.
    """
    if not may_create(redeemed, request):
        return None
    site, phone = policy(), redeemed.phone.e164
    try:
        # One transaction, so that a concurrent sign-up that loses leaves no user behind.
        with transaction.atomic(using=primary.alias_of(VerifiedPhone)):
            # First, since a field of the user model may hold the number too.
            previous_owners = phones.release(phone, redeemed.verified_at) if _may_transfer(redeemed) else []
            user = account_policy.checked(site.make(redeemed, request, extra or {}), "make")
            change = phones.assign(user, redeemed, transfer=_may_transfer(redeemed), exclusive=True)
            if change is None:
                raise IntegrityError("taken")
    except StaffPhoneError:
        log.error("no user is created: Accounts.make returned a staff user for a test number")
        return None
    except (IntegrityError, DataError) as error:
        if is_new(redeemed):
            # Not the text of the database error: it can hold the number.
            log.error("no user can be created for a verified number: %s", model_rules.refusal(error))
        return None
    phones.send_signals(
        request, user, phones.Change(previous_owners=[*previous_owners, *change.previous_owners]), phone
    )
    return _enter(request, redeemed, _SignInOptions(session, remember, next_url), created=True)


@primary.reads()
def complete_sign_in(
    request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, *, adds: bool, remember: bool | None
) -> bool:
    """Complete a sign-in by this proof after its login stages: the user is in the session.

    `adds`: the user did not have the number when the sign-in started, and gets it now. Returns False
    and changes nothing if the number belongs to another user or was removed meanwhile, or if this
    verification no longer signs the user in.
    """
    if not lets_in(user, redeemed) or not _record_phone(request, user, redeemed, adds=adds):
        return False
    _signed_in_by(request, user, redeemed, remember)
    return True


@primary.reads()
def is_new(redeemed: Redeemed) -> bool:
    """Return whether this proof creates a user: the number is unclaimed, or a sign-up may take it over."""
    if redeemed.purpose == "signup" and _may_transfer(redeemed):
        held = phones.rows_of(redeemed.phone.e164)
        return not held.filter(verified_at__gte=phones.stored(redeemed.verified_at)).exists()
    # A user whom the default manager hides is not found, and has the number all the same.
    return account_policy.find(redeemed) is None and not phones.holders_of(redeemed.phone.e164)


def may_create(redeemed: Redeemed, request: HttpRequest) -> bool:
    """Return whether a user is created for this number. If the site's table has it already, the log says so."""
    return is_new(redeemed) and policy().may_sign_up(redeemed, request) and not is_stored(redeemed)


def is_stored(redeemed: Redeemed, *, besides: AbstractBaseUser | None = None) -> bool:
    """Return whether another user's own field holds this number unverified, so that no account is created for it.

    The log says so. `besides` is the user of the new account, if it exists already.
    """
    own = [] if besides is None else [besides.pk]
    verified = [*phones.holders_of(redeemed.phone.e164), *own]
    ids = [pk for pk in users.ids_by_field(redeemed.phone) if pk not in verified]
    if not ids or policy().may_ignore_unverified(redeemed):
        return False
    users.log_unverified(redeemed.phone, ids, "no user is created")
    return True


def signed_in(request: HttpRequest) -> SessionUser | None:
    """Return the signed-in user, or None."""
    user = sessions.user_of(request)
    return None if user is None else session_user(user)


def signed_in_for(request: HttpRequest) -> timedelta | None:
    """Return how long ago this session's user signed in, by any method; None if unknown."""
    return sessions.notes(request).signed_in_for


@primary.reads()
def described(request: HttpRequest, call: ApiRequest) -> ApiRequest:
    """Return the call with the signed-in user and the notes of the session."""
    return sessions.described(request, call, signed_in(request), asks_without_old=account_policy.asks_without_old())


@primary.reads()
def may_change_without_old(request: HttpRequest, redeemed: Redeemed) -> bool:
    """Return whether the site lets the signed-in user have this number without verifying the current one."""
    return policy().may_change_without_old(request.user, redeemed)  # type: ignore[arg-type]


@primary.reads()
def set_phone(request: HttpRequest, redeemed: Redeemed) -> SessionUser | None:
    """Give the signed-in user this number and return the user with it; None if it belongs to another user.

    The purpose `change_phone` removes the user's other numbers; `confirm` keeps them and the primary
    one. The session gets a new key, unless a token identifies the user. Raises `StaffPhoneError`,
    which Django turns into a 403, for a test number's code and a user with rights over other users.
    """
    user: Any = request.user
    phone = redeemed.phone.e164
    had_it = current_site().verifier.tag(redeemed.phone) in sessions.tags(phones_of(user))
    replace_existing = redeemed.purpose == "change_phone"
    change = phones.assign(user, redeemed, replace_existing=replace_existing, transfer=_may_transfer(redeemed))
    if change is None:
        if not phones.holders_of(phone) and (ids := users.ids_by_field(redeemed.phone)):
            users.log_unverified(redeemed.phone, ids, "a number was refused")
        return None
    if (token := sessions.token_of(request)) is None:
        request.session.cycle_key()
        note_check(request, redeemed.phone)
    elif had_it:
        current_site().verifier.note_token_check(token, str(user.pk), redeemed.phone)
    phones.send_signals(request, user, change, phone)
    signals.send_verified(request, user, redeemed)
    return SessionUser(str(user.pk), phone, phones_of(user))


@primary.reads()
def make_primary(user: AbstractBaseUser, phone: PhoneNumber | str, request: HttpRequest | None = None) -> bool:
    """Make one of the user's numbers the primary one and send `phone_changed` with the previous one.

    Returns False if the user does not have the number, if it was primary already, or if the user's
    own field refuses it because another user's field holds it.
    """
    e164 = _text(phone)
    before = phones.set_primary(user, e164)
    if before is not None:
        phones.send_signals(request, user, phones.Change([before]), e164)
    return before is not None


@primary.reads()
def remove_phone(user: AbstractBaseUser, phone: PhoneNumber | str, request: HttpRequest | None = None) -> bool:
    """Remove a number of the user; False if the user does not have it.

    After a primary number the newest of the others becomes primary. Sends `phone_changed` with the
    removed number. Raises `LastPhoneError`, which Django turns into a 403, for the user's only way
    to sign in (`Accounts.may_remove`).
    """
    e164 = _text(phone)
    if e164 not in phones_of(user):
        return False
    if not policy().may_remove(user, e164):
        raise LastPhoneError("The user's only way to sign in: verify another number or set a password first.")
    return phones.remove(request, user, e164)


@receiver(user_logged_in, dispatch_uid="phone_verify_django.accounts")
def _note_sign_in(request: HttpRequest | None, user: AbstractBaseUser, **_: object) -> None:
    # Django keeps only `last_login`, which is shared by all sessions of the user.
    if request is not None and hasattr(request, "session"):
        numbers = sessions.tags(phones_of(user))
        sessions.notes(request).sign_in(str(user.pk), numbers)
        sessions.notes(request).keep_generation(sessions.generation_of(user.pk))


@dataclass(frozen=True, slots=True)
class _SignInOptions:
    session: bool
    remember: bool | None
    next_url: str


def _enter(request: HttpRequest, redeemed: Redeemed, options: _SignInOptions, *, created: bool) -> Account | None:
    holders = phones.holders_of(redeemed.phone.e164)
    user = authenticate(request, redeemed=redeemed)
    if user is None:
        users.log_hidden(holders, redeemed.phone)
        return None
    # If the user had the number now and loses it meanwhile, it is not given back.
    adds = user.pk not in holders
    if not options.session:
        if not _may_have_token(request, user, redeemed, created=created):
            raise MfaRequiredError
        if not _record_phone(request, user, redeemed, adds=adds):
            return None
        signals.send_verified(request, user, redeemed)
    elif stages := login_stages.current():
        adds = adds and redeemed.phone.e164 not in phones_of(user)  # found by the site's own `find`
        if not stages.sign_in(
            request, user, redeemed, created=created, adds=adds, remember=options.remember, next_url=options.next_url
        ):
            return None
    else:
        # Read before the number: a later change of it ends this session as well.
        generation = sessions.generation_of(user.pk)
        if not _record_phone(request, user, redeemed, adds=adds):
            return None
        login(request, user)
        sessions.notes(request).keep_generation(generation)
        _signed_in_by(request, user, redeemed, options.remember)
    return Account(session_user(user), created)


def _signed_in_by(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, remember: bool | None) -> None:
    """Record the completed sign-in in the session and send `phone_verified`."""
    note_sign_in(request, redeemed.phone, started=[redeemed.verification_id])
    if remember is not None:
        request.session.set_expiry(request.session.get_session_cookie_age() if remember else 0)
    signals.send_verified(request, user, redeemed)


def _may_have_token(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, *, created: bool) -> bool:
    if policy().may_skip_second_factor(user, redeemed):
        return True
    if second_factor.is_set_up(user):
        return False
    stages = login_stages.current()
    return stages is None or stages.is_complete(request, user, redeemed, created=created)


def _record_phone(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, *, adds: bool) -> bool:
    """Record the verification for the user's number, or assign the number; False if neither is allowed."""
    if phones.touch_verified_at(user, redeemed):
        return True
    change = phones.assign(user, redeemed, transfer=_may_transfer(redeemed)) if adds else None
    if change is None:
        return False
    phones.send_signals(request, user, change, redeemed.phone.e164)
    return True


def session_user(user: AbstractBaseUser) -> SessionUser:
    """Return the user as the API represents one."""
    held = phones_of(user)
    return SessionUser(str(user.pk), next(iter(held), None), held)


def _may_transfer(redeemed: Redeemed) -> bool:
    # A test number's code is public, so it never takes a number from another user.
    return app_settings.account_settings().moves and not redeemed.by_test_number


def _text(phone: PhoneNumber | str) -> str:
    return phone if isinstance(phone, str) else phone.e164
