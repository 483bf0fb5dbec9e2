"""Whose number it is: finds the user of a verified phone, or makes one, and signs in."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth import authenticate, get_backends, get_user_model, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in
from django.db import DataError, IntegrityError, router, transaction
from django.dispatch import receiver
from django.http import HttpRequest

from phone_verify.api import SessionUser
from phone_verify.model import Redeemed

from .models import VerifiedPhone

log = logging.getLogger("phone_verify")

#: In the session: when its user signed in, in seconds since 1970.
SIGNED_IN_AT = "phone_verify_signed_in_at"

#: A user model that is known by one of these fields is known by the number itself, any other by a name of no meaning.
_PHONE_FIELDS = ("phone", "phone_number", "mobile", "mobile_number", "msisdn")


@dataclass(frozen=True, slots=True)
class Account:
    """A user who has just signed in."""

    user: SessionUser
    created: bool


def sign_in(request: HttpRequest, redeemed: Redeemed) -> Account | None:
    """Sign this phone's user in, a new one if nobody has the phone; None where Django's backends say no.

    By `authenticate` and `login`, so that the checks are those of every other login of the site, the session gets a
    new key, and `user_logged_in` is sent.
    """
    if backend_missing():
        log.error(
            "nobody can sign in by phone: add 'phone_verify_django.backends.PhoneBackend' to AUTHENTICATION_BACKENDS"
        )
        return None
    created = _ensure_user(redeemed)
    user = authenticate(request, redeemed=redeemed)
    if user is None:
        return None
    login(request, user)
    return Account(SessionUser(str(user.pk), redeemed.phone.e164), created)


def signed_in(request: HttpRequest) -> SessionUser | None:
    """Who is signed in, or None."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return SessionUser(str(user.pk), phone_of(user))


def phone_of(user: AbstractBaseUser) -> str | None:
    """The user's verified number in E.164, the newest if there are several, or None."""
    phones = VerifiedPhone.objects.filter(user_id=user.pk).order_by("-verified_at")
    return phones.values_list("phone", flat=True).first()


def signed_in_for(request: HttpRequest) -> timedelta | None:
    """How long ago this session's user signed in, in whatever way; None where nobody can tell."""
    since = request.session.get(SIGNED_IN_AT)
    return timedelta(seconds=time.time() - since) if isinstance(since, int) else None


def set_phone(request: HttpRequest, redeemed: Redeemed) -> SessionUser | None:
    """Give the signed-in user this number; None where it is somebody else's.

    `change_phone` drops the numbers that the user had, `confirm` keeps them. The session gets a new key.
    """
    id, phone, model = str(request.user.pk), redeemed.phone.e164, get_user_model()
    own, changes = VerifiedPhone.objects.filter(user_id=id), redeemed.purpose == "change_phone"
    try:
        with transaction.atomic(using=router.db_for_write(VerifiedPhone)):
            if changes:
                own.exclude(phone=phone).delete()
            if not own.filter(phone=phone).update(verified_at=redeemed.verified_at):
                VerifiedPhone.objects.create(user_id=id, phone=phone, verified_at=redeemed.verified_at)
            if changes and model.USERNAME_FIELD in _PHONE_FIELDS:
                model._default_manager.filter(pk=id).update(**{model.USERNAME_FIELD: phone})
    except (IntegrityError, DataError):
        return None
    request.session.cycle_key()
    return SessionUser(id, phone)


@receiver(user_logged_in, dispatch_uid="phone_verify_django.accounts")
def _remember_when(request: HttpRequest | None, **_: object) -> None:
    # Django keeps no such time of its own but `last_login`, which is of all sessions of the user.
    if hasattr(request, "session"):
        request.session[SIGNED_IN_AT] = int(time.time())  # type: ignore[union-attr]


def backend_missing() -> bool:
    """Whether Django has not been told of our backend."""
    from .backends import PhoneBackend

    return not any(isinstance(backend, PhoneBackend) for backend in get_backends())


def _ensure_user(redeemed: Redeemed) -> bool:
    """Make a user for a phone that nobody has; True if one was made. Two proofs at once make one user."""
    phone, verified_at = redeemed.phone.e164, redeemed.verified_at
    if _reverified(phone, verified_at):
        return False
    model = get_user_model()
    by_phone = model.USERNAME_FIELD in _PHONE_FIELDS
    user = model(**{model.USERNAME_FIELD: phone if by_phone else f"phone-{secrets.token_hex(8)}"})
    user.set_unusable_password()
    try:
        # One transaction of its own: whoever comes second leaves no user behind.
        with transaction.atomic(using=router.db_for_write(VerifiedPhone)):
            user.save()
            VerifiedPhone.objects.create(user=user, phone=phone, verified_at=verified_at)
    except (IntegrityError, DataError):
        if not _reverified(phone, verified_at):
            # Not the database's own words: they can hold the number.
            log.error("no user can be made for a verified number: %s refuses it", model._meta.label)
        return False
    return True


def _reverified(phone: str, verified_at: datetime) -> bool:
    return bool(VerifiedPhone.objects.filter(phone=phone).update(verified_at=verified_at))
