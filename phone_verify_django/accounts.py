"""Signing in, signing up and changing numbers, for the pages and for views of the site."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth import authenticate, get_user_model, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError, router, transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse

from phone_verify import PhoneNumber
from phone_verify.api import ApiRequest, SessionUser
from phone_verify.model import Redeemed

from . import app_settings, backends, login_stages, phones, second_factor, sessions, signals
from . import pending_login as pending_login  # its receiver comes before those that are connected later
from .account_policy import Accounts, lets_in, policy
from .models import VerifiedPhone
from .phones import phone_of, phones_of
from .recent import note_check, note_sign_in
from .rights import StaffPhoneError

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

#: In the session: when its user signed in, in seconds since 1970.
SIGNED_IN_AT = "phone_verify_signed_in_at"


class LastPhoneError(PermissionDenied):
    """The number is the only way in that its user has: another one is confirmed first."""


class MfaRequiredError(PermissionDenied):
    """Sign-in needs a further step, like a second factor; nobody is signed in. Django answers 403.

    `response` leads to that step where it has a page, otherwise it is None.
    """

    def __init__(self, response: HttpResponse | None = None) -> None:
        super().__init__("Sign-in needs a further step.")
        self.response = response


@dataclass(frozen=True, slots=True)
class Account:
    """A user who has just signed in."""

    user: SessionUser
    created: bool


def sign_in(
    request: HttpRequest,
    redeemed: Redeemed,
    *,
    session: bool = True,
    remember: bool | None = None,
    next_url: str = "",
) -> Account | None:
    """Sign this phone's user in, a new one if nobody has the phone; None where the site says no.

    By `authenticate` and `login`, so that the checks are those of every other login of the site, the session gets a
    new key, and `user_logged_in` is sent. Nobody is made where new users fill in a form first: `sign_up`. Without a
    `session` it stays as it is: for who gets a token instead.

    Where `allauth.account` is installed, a session is opened through its login stages. `next_url`, an
    address of this site, is where they lead in the end. `remember` keeps the session beyond the
    browser's, or ends it with the browser; None leaves that to Django.

    Raises `MfaRequiredError` where a further step is required: a stage of allauth that waits, or for
    a token a second factor (`Accounts.may_skip_second_factor`).
    """
    if backends.backend_path() is None:
        log.error(
            "nobody can sign in by phone: add 'phone_verify_django.backends.PhoneBackend' to AUTHENTICATION_BACKENDS"
        )
        return None
    how = _How(session, remember, next_url)
    if not is_new(redeemed):
        return _enter(request, redeemed, how, created=False)
    if app_settings.account_settings().signup_form is not None:
        return None
    account = sign_up(request, redeemed, session=session, remember=remember, next_url=next_url)
    if account is None and not is_new(redeemed):  # another proof of this phone was first
        return _enter(request, redeemed, how, created=False)
    return account


def sign_up(
    request: HttpRequest,
    redeemed: Redeemed,
    extra: Mapping[str, Any] | None = None,
    *,
    session: bool = True,
    remember: bool | None = None,
    next_url: str = "",
) -> Account | None:
    """Make a user for a phone that nobody has, and sign in; None where somebody has it, or the site says no.

    Two proofs at once make one user. Nobody who is there already is signed in: the proof may have waited for a form.
    Raises `ValidationError` where `extra` has to be filled in otherwise, and `MfaRequiredError` as `sign_in` does; the
    user is made then.
    """
    site = policy()
    if not is_new(redeemed) or not site.may_sign_up(redeemed, request):
        return None
    phone = redeemed.phone.e164
    try:
        # One transaction of its own: whoever comes second leaves no user behind.
        with transaction.atomic(using=router.db_for_write(VerifiedPhone)):
            # First of all, since a field of the user model may hold the number too.
            previous_owners = phones.release(phone, redeemed.verified_at) if _moves(redeemed) else []
            user = site.make(redeemed, request, extra or {})
            change = phones.give(user, redeemed, moves=_moves(redeemed), alone=True)
            if change is None:
                raise IntegrityError("taken")
    except StaffPhoneError:
        log.error("no user is made: Accounts.make returned a staff user for a test number")
        return None
    except (IntegrityError, DataError):
        if is_new(redeemed):
            # Not the database's own words: they can hold the number.
            log.error("no user can be made for a verified number: %s refuses it", get_user_model()._meta.label)
        return None
    phones.tell(request, user, phones.Change(previous_owners=[*previous_owners, *change.previous_owners]), phone)
    return _enter(request, redeemed, _How(session, remember, next_url), created=True)


def complete_sign_in(
    request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, *, adds: bool, remember: bool | None
) -> bool:
    """Complete a sign-in by this proof whose login stages have ended: the user is in the session.

    `adds`: the user did not have the number when the sign-in began, and is given it. Returns False,
    and changes nothing, where the number belongs to another user, or was removed meanwhile, and where
    this verification no longer signs the user in.
    """
    if not lets_in(user, redeemed) or not _hold(request, user, redeemed, adds=adds):
        return False
    _signed_in_by(request, user, redeemed, remember)
    return True


def is_new(redeemed: Redeemed) -> bool:
    """Whether this proof makes a user: nobody has the phone, or who signs up takes it over from an older proof."""
    if redeemed.purpose == "signup" and _moves(redeemed):
        held = VerifiedPhone.objects.filter(phone=redeemed.phone.e164)
        return not held.filter(verified_at__gte=phones.stored(redeemed.verified_at)).exists()
    return policy().find(redeemed) is None


def signed_in(request: HttpRequest) -> SessionUser | None:
    """Who is signed in, or None."""
    user = sessions.user_of(request)
    return None if user is None else _session_user(user)


def signed_in_for(request: HttpRequest) -> timedelta | None:
    """How long ago this session's user signed in, by any method; None if unknown."""
    return sessions.notes(request).signed_in_for


def described(request: HttpRequest, call: ApiRequest) -> ApiRequest:
    """Return the call with the signed-in user and what the session knows."""
    asks = type(policy()).may_change_without_old is not Accounts.may_change_without_old
    return sessions.described(request, call, signed_in(request), asks_without_old=asks)


def may_change_without_old(request: HttpRequest, redeemed: Redeemed) -> bool:
    """Ask the site whether the signed-in user may have this number without verifying the present one."""
    return policy().may_change_without_old(request.user, redeemed)  # type: ignore[arg-type]


def set_phone(request: HttpRequest, redeemed: Redeemed) -> SessionUser | None:
    """Give the signed-in user this number; None where it is somebody else's.

    `change_phone` drops the numbers that the user had, `confirm` keeps them, and the primary one stays what it was. The
    session gets a new key. Returns the user with the number that was given. Raises `StaffPhoneError`, which Django
    answers with 403, for a test number's code and a user with rights over other users.
    """
    user: Any = request.user
    phone = redeemed.phone.e164
    replaces = redeemed.purpose == "change_phone"
    change = phones.give(user, redeemed, replaces=replaces, moves=_moves(redeemed))
    if change is None:
        return None
    request.session.cycle_key()
    note_check(request, redeemed.phone)
    phones.tell(request, user, change, phone)
    signals.tell_verified(request, user, redeemed)
    return SessionUser(str(user.pk), phone, phones_of(user))


def make_primary(user: AbstractBaseUser, phone: PhoneNumber | str, request: HttpRequest | None = None) -> bool:
    """Make one of the user's numbers the primary one; False if it is not the user's, or was primary already.

    False also where the user's own field refuses it, because another user has the number there.

    Sends `phone_changed` with the number that was primary.
    """
    e164 = _text(phone)
    before = phones.prefer(user, e164)
    if before is not None:
        phones.tell(request, user, phones.Change([before]), e164)
    return before is not None


def remove_phone(user: AbstractBaseUser, phone: PhoneNumber | str, request: HttpRequest | None = None) -> bool:
    """Take a number from the user; False if it is not the user's. The newest of the others becomes the primary one.

    Sends `phone_changed` with the number that went. Raises `LastPhoneError`, which Django answers with 403, for the
    only way in that the user has (`Accounts.may_remove`).
    """
    e164 = _text(phone)
    if e164 not in phones_of(user):
        return False
    if not policy().may_remove(user, e164):
        raise LastPhoneError("This is the only way in: confirm another number, or set a password, before it goes.")
    return phones.withdraw(request, user, e164)


@receiver(user_logged_in, dispatch_uid="phone_verify_django.accounts")
def _note_sign_in(request: HttpRequest | None, user: AbstractBaseUser, **_: object) -> None:
    # Django keeps no such time of its own but `last_login`, which is of all sessions of the user.
    if request is not None and hasattr(request, "session"):
        numbers = sessions.tags(phones_of(user))
        sessions.notes(request).sign_in(str(user.pk), numbers)
        sessions.notes(request).keep_generation(sessions.generation_of(user.pk))


@dataclass(frozen=True, slots=True)
class _How:
    session: bool
    remember: bool | None
    next_url: str


def _enter(request: HttpRequest, redeemed: Redeemed, how: _How, *, created: bool) -> Account | None:
    holders = phones.holders_of(redeemed.phone.e164)
    user = authenticate(request, redeemed=redeemed)
    if user is None:
        return None
    # Found by this number, which may be taken from the user meanwhile: then it is not given back.
    adds = user.pk not in holders
    if not how.session:
        if not _may_have_token(request, user, redeemed, created=created):
            raise MfaRequiredError
        if not _hold(request, user, redeemed, adds=adds):
            return None
        signals.tell_verified(request, user, redeemed)
    elif stages := login_stages.current():
        adds = adds and redeemed.phone.e164 not in phones_of(user)  # the site's own `find` found the user
        if not stages.sign_in(
            request, user, redeemed, created=created, adds=adds, remember=how.remember, next_url=how.next_url
        ):
            return None
    else:
        # Read before the number is looked at: a change that comes later ends this session as well.
        generation = sessions.generation_of(user.pk)
        if not _hold(request, user, redeemed, adds=adds):
            return None
        login(request, user)
        sessions.notes(request).keep_generation(generation)
        _signed_in_by(request, user, redeemed, how.remember)
    return Account(_session_user(user), created)


def _signed_in_by(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, remember: bool | None) -> None:
    """Note in the session, and send, what follows from a sign-in that has ended."""
    note_sign_in(request, redeemed.phone, started=[redeemed.verification_id])
    if remember is not None:
        request.session.set_expiry(request.session.get_session_cookie_age() if remember else 0)
    signals.tell_verified(request, user, redeemed)


def _may_have_token(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, *, created: bool) -> bool:
    if policy().may_skip_second_factor(user, redeemed):
        return True
    if second_factor.is_set_up(user):
        return False
    stages = login_stages.current()
    return stages is None or stages.is_complete(request, user, redeemed, created=created)


def _hold(request: HttpRequest, user: AbstractBaseUser, redeemed: Redeemed, *, adds: bool) -> bool:
    """Note that the user has proven the number again, or give it; False where it is not the user's."""
    if phones.touch_verified_at(user, redeemed):
        return True
    change = phones.give(user, redeemed, moves=_moves(redeemed)) if adds else None
    if change is None:
        return False
    phones.tell(request, user, change, redeemed.phone.e164)
    return True


def _session_user(user: AbstractBaseUser) -> SessionUser:
    held = phones_of(user)
    return SessionUser(str(user.pk), next(iter(held), None), held)


def _moves(redeemed: Redeemed) -> bool:
    # The fixed code of a test number is known to strangers: it takes nothing from anybody.
    return app_settings.account_settings().moves and not redeemed.by_test_number


def _text(phone: PhoneNumber | str) -> str:
    return phone if isinstance(phone, str) else phone.e164
