"""Users' numbers: which one is primary, who is given one, and what becomes of the others when one goes.

Numbers are texts in E.164 here, as the tables have them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import DatabaseError, DataError, IntegrityError, models, router, transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from phone_verify import PhoneNumber
from phone_verify.http.notices import notify_old_number
from phone_verify.i18n.languages import ENGLISH
from phone_verify.i18n.texts import texts_in
from phone_verify.model import Redeemed

from . import app_settings, calls, rights, sessions, signals
from .app_settings import user_field
from .models import VerifiedPhone
from .site import current_site

log = logging.getLogger("phone_verify")

#: Whoever comes at the same moment may be first; a number that moves can have several at once who are.
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Change:
    """What it changed that a user was given a number."""

    #: The user's numbers whose owners should be told: those that went, or the primary one if another came beside it.
    old: Sequence[str] = field(default=(), repr=False)
    #: The users who had the number.
    previous_owners: Sequence[Any] = ()
    #: Whether every session of the user has ended by it.
    ends_sessions: bool = False


def phone_of(user: AbstractBaseUser) -> str | None:
    """The user's primary number, or None."""
    return next(iter(phones_of(user)), None)


def phones_of(user: AbstractBaseUser) -> list[str]:
    """All of the user's verified numbers, the primary one first, then the newest."""
    return _in_order(VerifiedPhone.objects.filter(user_id=user.pk))


def owner_of(phone: str) -> AbstractBaseUser | None:
    """The user whom this number signs in: of several who share it, the one who had it first. None if nobody has it."""
    held = VerifiedPhone.objects.select_related("user").filter(phone=phone)
    # It is at somebody nearly always; two who came at one moment can have left it empty.
    row = held.order_by(models.F("signs_in").desc(nulls_last=True), "pk").first()
    return None if row is None else row.user


def holders_of(phone: str) -> Sequence[Any]:
    """The primary keys of the users who have this number."""
    return list(_rows().filter(phone=phone).values_list("user_id", flat=True))


def touch_verified_at(user: AbstractBaseUser, redeemed: Redeemed) -> bool:
    """Record that the user has verified this number again; False if the user does not have it.

    Raises `StaffPhoneError` as `give` does.
    """
    rights.require(user, redeemed)
    held = VerifiedPhone.objects.filter(user_id=user.pk, phone=redeemed.phone.e164)
    return bool(held.update(verified_at=stored(redeemed.verified_at)))


def give(
    user: AbstractBaseUser,
    redeemed: Redeemed,
    *,
    replaces: bool = False,
    moves: bool = False,
    alone: bool = False,
) -> Change | None:
    """Give the user the verified number; None where another user has it, or the user's field refuses it.

    Raises `StaffPhoneError` for a test number's code and a user with rights over other users.

    `replaces` drops all others and makes this the primary one; else it is primary if it is the first. `moves` takes it
    from whoever has proven it before, where numbers are not shared; `alone` shares it with nobody even where they are.
    """
    rights.require(user, redeemed)
    phone, verified_at = redeemed.phone.e164, stored(redeemed.verified_at)
    for _ in range(_TRIES):
        try:
            with transaction.atomic(using=_database()):
                return _given(user, phone, verified_at, replaces, moves, alone)
        except IntegrityError:
            continue
        except DataError:
            return None
    return None


def release(phone: str, verified_at: datetime) -> list[Any]:
    """Take the number from whoever has proven it before this time; the users who had it. Nobody is told yet."""
    with transaction.atomic(using=_database()):
        return _taken_away(_rows().filter(phone=phone, verified_at__lt=stored(verified_at)))


def prefer(user: AbstractBaseUser, phone: str) -> str | None:
    """Make this number of the user's the primary one; the one that was it, or None if nothing changed.

    Nothing changes either where the user's field refuses the number, which another user may have in it.
    """
    try:
        with transaction.atomic(using=_database()):
            _hold(user)
            held = _in_order(_rows().filter(user_id=user.pk))
            if phone not in held[1:]:
                return None
            _make_primary(user, phone)
    except (IntegrityError, DataError):
        _log_refusal()
        return None
    return held[0]


def withdraw(request: HttpRequest | None, user: AbstractBaseUser, phone: str) -> bool:
    """Take this number from the user, and tell; False if it is not the user's."""
    with transaction.atomic(using=_database()):
        _hold(user)
        gone = bool(_rows().filter(user_id=user.pk, phone=phone).delete()[0])
    if gone:
        tell(request, user, Change([phone], ends_sessions=True), phone_of(user))
    return gone


def stored(time: datetime) -> datetime:
    """A time as the site's tables hold it: without a zone where the site knows none (`USE_TZ`)."""
    return time if settings.USE_TZ else timezone.make_naive(time)


def tell(request: HttpRequest | None, user: AbstractBaseUser, change: Change, new: str | None) -> None:
    """Send the signals that tell of a change. Where it ended the user's sessions, this request's goes on."""
    if change.ends_sessions:
        sessions.keep_this(request, user, ends=len(change.old))
    model = get_user_model()
    for old in change.old:
        told = partial(_notify, request, PhoneNumber(old))
        # The provider is called with no transaction open.
        transaction.on_commit(told, using=router.db_for_write(VerifiedPhone), robust=True)
        signals.phone_changed.send_robust(
            model, request=request, user=user, old=PhoneNumber(old), new=PhoneNumber(new) if new else None
        )
    for loser in change.previous_owners:
        signals.phone_lost.send_robust(model, request=request, user=loser, phone=PhoneNumber(new or ""))


def _notify(request: HttpRequest | None, old: PhoneNumber) -> None:
    # Without a request nobody's language is known.
    texts = calls.page_call(request).texts if request is not None else texts_in(ENGLISH)
    notify_old_number(current_site(), old, texts)


def _given(
    user: AbstractBaseUser, phone: str, verified_at: datetime, replaces: bool, moves: bool, alone: bool
) -> Change | None:
    own = _rows().filter(user_id=user.pk)
    # A write comes first: SQLite does not let whoever has read before write after somebody else has.
    has = bool(own.filter(phone=phone).update(verified_at=verified_at))
    _hold(user)
    before, previous_owners = _in_order(own), []
    if alone or not app_settings.account_settings().shared_phones:
        if moves:
            previous_owners = _taken_away(
                _rows().filter(phone=phone, verified_at__lt=verified_at).exclude(user_id=user.pk)
            )
        held = _rows().filter(phone=phone)
        if not has and held.exists():
            if moves and not held.filter(verified_at__gte=verified_at).exists():
                raise IntegrityError("somebody with an older proof came between: once more")
            return None
    if not has:
        _rows().create(user_id=user.pk, phone=phone, verified_at=verified_at, signs_in=phone if alone else None)
    if replaces or not before:
        _make_primary(user, phone)
    gone = [old for old in before if old != phone]
    if replaces:
        own.exclude(phone=phone).delete()
        return Change(gone, previous_owners, ends_sessions=bool(gone))
    return Change(before[:1] if not has else (), previous_owners)


def _taken_away(rows: models.QuerySet[VerifiedPhone]) -> list[Any]:
    """The users who had these."""
    rows.update(signs_in=models.F("signs_in"))  # a write comes first, as in `_given`
    gone = list(rows.select_related("user"))
    for row in gone:
        row.delete()
    return [row.user for row in gone]


def _make_primary(user: AbstractBaseUser, phone: str) -> None:
    own = _rows().filter(user_id=user.pk)
    own.exclude(phone=phone).filter(is_primary=True).update(is_primary=None)
    own.filter(phone=phone).update(is_primary=True)
    _keep_in_step(user, phone)


def _keep_in_step(user: AbstractBaseUser, phone: str | None) -> None:
    """Write the primary number into the user's own field, if there is one and it can hold it."""
    name = app_settings.account_settings().phone_field_name()
    if name is None:
        return
    own, value = user_field(name), phone
    if phone is None:
        if name == get_user_model().USERNAME_FIELD or not (own.null or (own.blank and not own.unique)):
            return  # a name, or a field that must have something: it stays as it was
        value = None if own.null else ""
    before = getattr(user, name)
    setattr(user, name, value)
    try:
        user.save(update_fields=[name])
    except DatabaseError:
        setattr(user, name, before)  # whoever saves this user later does not try again
        raise


def _follow(user: AbstractBaseUser, phone: str | None, using: str) -> None:
    """Write the number that is primary after another was taken away; a field that refuses it is emptied.

    Not raised: a number must go whatever another user has in the field.
    """
    try:
        with transaction.atomic(using=using):
            _keep_in_step(user, phone)
    except (IntegrityError, DataError):
        _log_refusal()
        _keep_in_step(user, None)


def _log_refusal() -> None:
    # Not the database's own words: they can hold the number.
    log.error("a primary number cannot be written into its user's field: %s refuses it", get_user_model()._meta.label)


def _hold(user: AbstractBaseUser) -> None:
    """Let nobody else change this user's numbers until the transaction ends, where the database can."""
    list(get_user_model()._base_manager.using(_database()).select_for_update().filter(pk=user.pk).values_list("pk"))


def _in_order(rows: models.QuerySet[VerifiedPhone]) -> list[str]:
    return list(_primary_first(rows).values_list("phone", flat=True))


def _primary_first(rows: models.QuerySet[VerifiedPhone]) -> models.QuerySet[VerifiedPhone]:
    return rows.order_by(models.F("is_primary").desc(nulls_last=True), "-verified_at", "-pk")


def _rows() -> models.QuerySet[VerifiedPhone]:
    return VerifiedPhone.objects.using(_database())


def _database() -> str:
    return router.db_for_write(VerifiedPhone)


@receiver(post_delete, sender=VerifiedPhone, dispatch_uid="phone_verify_django.phones")
def _hand_over(instance: VerifiedPhone, origin: Any, using: str, **_: object) -> None:
    """End the sessions of a user who loses a number, and hand over what the row stood for.

    When a primary number goes, the user's newest is primary; when the row that signs in goes, the next one does.
    """
    rows = VerifiedPhone.objects.using(using)
    # Where the row goes with its user, as it does from any other origin, no user is left.
    stays = getattr(origin, "model", type(origin)) is VerifiedPhone
    if stays:
        sessions.end_all(instance.user_id)
    if instance.is_primary and stays:
        left = _primary_first(rows.filter(user_id=instance.user_id)).first()
        if left is not None:
            rows.filter(pk=left.pk).update(is_primary=True)
        _follow(instance.user, left.phone if left else None, using)
    if instance.signs_in is not None:
        following = rows.filter(phone=instance.phone).order_by("pk").first()
        if following is not None:
            rows.filter(pk=following.pk).update(signs_in=instance.phone)
