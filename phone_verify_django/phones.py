"""Users' numbers: assigning, removing and transferring them, and which one is primary.

Numbers are texts in E.164 here, as in the tables.
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
from django.db import DatabaseError, DataError, IntegrityError, models, transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from phone_verify import PhoneNumber
from phone_verify.http.notices import notify_old_number
from phone_verify.i18n.languages import ENGLISH
from phone_verify.i18n.texts import texts_in
from phone_verify.model import Redeemed

from . import app_settings, calls, primary, rights, sessions, signals, users
from .app_settings import user_field
from .models import VerifiedPhone
from .site import current_site

log = logging.getLogger("phone_verify")

#: Tries of a claim: a concurrent one can win each time, and a transferable number can have several.
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Change:
    """The effects of assigning a number to a user."""

    #: The user's numbers to notify: those that were removed, or the primary one if another was added.
    old: Sequence[str] = field(default=(), repr=False)
    #: The users from whom the number was taken.
    previous_owners: Sequence[Any] = ()
    #: Whether it ended every session of the user.
    ends_sessions: bool = False


def phone_of(user: AbstractBaseUser) -> str | None:
    """Return the user's primary number, or None."""
    return next(iter(phones_of(user)), None)


def phones_of(user: AbstractBaseUser) -> list[str]:
    """Return the user's verified numbers: the primary one first, then the newest."""
    return _in_order(VerifiedPhone.objects.filter(user_id=user.pk))


def owner_of(phone: str) -> AbstractBaseUser | None:
    """Return the user whom this number signs in, of several who share it the first.

    None if no user has it, or the default manager of the user model hides those who do.
    """
    held = users.visible().filter(verified_phones__in=rows_of(phone))
    # Nearly always set for one user; two concurrent claims can have left it empty.
    signs_in = models.F("verified_phones__login_phone").desc(nulls_last=True)
    owner: AbstractBaseUser | None = held.order_by(signs_in, "verified_phones__pk").first()
    return owner


def holders_of(phone: str) -> Sequence[Any]:
    """Return the primary keys of the users who have this number."""
    return list(rows_of(phone).values_list("user_id", flat=True))


def rows_of(phone: str) -> models.QuerySet[VerifiedPhone]:
    """Return the rows of this number, or else those of the same phone before or after a renumbering."""
    exact, forms = VerifiedPhone.objects.filter(phone=phone), PhoneNumber(phone).forms
    return VerifiedPhone.objects.filter(phone__in=forms) if len(forms) > 1 and not exact.exists() else exact


def renumber(old: str, new: str) -> bool:
    """Store `new` in place of `old`, which it was before a renumbering. Ends no session and sends no signal.

    Returns False and changes nothing if `new` is stored too.
    """
    try:
        with transaction.atomic(using=_database()):
            held = VerifiedPhone.objects.filter(phone=old)
            held.update(verified_at=models.F("verified_at"))  # write first, as in `_assign`
            if VerifiedPhone.objects.filter(phone=new).exists():
                return False
            users = [row.user for row in held.filter(is_primary=True).select_related("user")]
            held.filter(login_phone=None).update(phone=new)
            held.update(phone=new, login_phone=new)
            for user in users:
                _renumber_field(user, old, new)
    except IntegrityError:  # a concurrent request stored `new`
        return False
    return True


def touch_verified_at(user: AbstractBaseUser, redeemed: Redeemed) -> bool:
    """Record that the user has verified this number again; False if the user does not have it.

    Raises `StaffPhoneError` as `assign` does.
    """
    rights.require(user, redeemed)
    _follow_renumbering(redeemed.phone.e164)
    held = VerifiedPhone.objects.filter(user_id=user.pk, phone=redeemed.phone.e164)
    return bool(held.update(verified_at=stored(redeemed.verified_at)))


def assign(
    user: AbstractBaseUser,
    redeemed: Redeemed,
    *,
    replace_existing: bool = False,
    transfer: bool = False,
    exclusive: bool = False,
) -> Change | None:
    """Assign the verified number to the user; None if another user has it, or the user's field refuses it.

    Raises `StaffPhoneError` for a test number's code and a user with rights over other users.

    `replace_existing` removes the user's other numbers and makes this one primary; otherwise it is
    primary if it is the first. `transfer` takes it from users who verified it earlier, unless
    numbers are shared; `exclusive` allows no sharing even if the setting does.
    """
    rights.require(user, redeemed)
    phone, verified_at = redeemed.phone.e164, stored(redeemed.verified_at)
    for _ in range(_ATTEMPTS):
        try:
            with transaction.atomic(using=_database()):
                return _assign(user, phone, verified_at, replace_existing, transfer, exclusive)
        except IntegrityError:
            continue
        except DataError:
            return None
    return None


def release(phone: str, verified_at: datetime) -> Sequence[Any]:
    """Take the number from users who verified it before this time, and return them. Sends no signals."""
    with transaction.atomic(using=_database()):
        _follow_renumbering(phone)
        return _taken_away(VerifiedPhone.objects.filter(phone=phone, verified_at__lt=stored(verified_at)))


def set_primary(user: AbstractBaseUser, phone: str) -> str | None:
    """Make this number of the user the primary one. Return the previous one, or None if nothing changed.

    Nothing changes either if the user's field refuses the number, because another user's field holds it.
    """
    try:
        with transaction.atomic(using=_database()):
            users.lock([user.pk])
            held = _in_order(VerifiedPhone.objects.filter(user_id=user.pk))
            if phone not in held[1:]:
                return None
            _make_primary(user, phone)
    except (IntegrityError, DataError):
        _log_refusal()
        return None
    return held[0]


def remove(request: HttpRequest | None, user: AbstractBaseUser, phone: str) -> bool:
    """Remove this number from the user and send the signals; False if the user does not have it."""
    with transaction.atomic(using=_database()):
        users.lock([user.pk])
        gone = bool(VerifiedPhone.objects.filter(user_id=user.pk, phone=phone).delete()[0])
    if gone:
        send_signals(request, user, Change([phone], ends_sessions=True), phone_of(user))
    return gone


def stored(time: datetime) -> datetime:
    """Return a time as the site's tables store it: naive if `USE_TZ` is off."""
    return time if settings.USE_TZ else timezone.make_naive(time)


def send_signals(request: HttpRequest | None, user: AbstractBaseUser, change: Change, new: str | None) -> None:
    """Send the signals of a change. If it ended the user's sessions, the session of this request continues."""
    if change.ends_sessions:
        sessions.keep_this(request, user, ends=len(change.old))
    model = get_user_model()
    for old in change.old:
        notify = partial(_notify, request, PhoneNumber(old))
        # The provider is called with no transaction open.
        transaction.on_commit(notify, using=_database(), robust=True)
        signals.phone_changed.send_robust(
            model, request=request, user=user, old=PhoneNumber(old), new=PhoneNumber(new) if new else None
        )
    for previous_owner in change.previous_owners:
        signals.phone_lost.send_robust(model, request=request, user=previous_owner, phone=PhoneNumber(new or ""))


def _notify(request: HttpRequest | None, old: PhoneNumber) -> None:
    # Without a request the user's language is unknown.
    texts = calls.read_call(request).texts if request is not None else texts_in(ENGLISH)
    notify_old_number(current_site(), old, texts)


def _assign(
    user: AbstractBaseUser, phone: str, verified_at: datetime, replace_existing: bool, transfer: bool, exclusive: bool
) -> Change | None:
    own = VerifiedPhone.objects.filter(user_id=user.pk)
    _follow_renumbering(phone)
    # Write first: SQLite refuses to upgrade a read to a write after another connection has written.
    has_it = bool(own.filter(phone=phone).update(verified_at=verified_at))
    users.lock([user.pk])
    before = _in_order(own)
    previous_owners: Sequence[Any] = ()
    if exclusive or not app_settings.account_settings().shared_phones:
        if transfer:
            previous_owners = _taken_away(
                VerifiedPhone.objects.filter(phone=phone, verified_at__lt=verified_at).exclude(user_id=user.pk)
            )
        held = VerifiedPhone.objects.filter(phone=phone)
        if not has_it and held.exists():
            if transfer and not held.filter(verified_at__gte=verified_at).exists():
                raise IntegrityError("a concurrent claim with an older proof came first: retry")
            return None
    if not has_it:
        VerifiedPhone.objects.create(
            user_id=user.pk, phone=phone, verified_at=verified_at, login_phone=phone if exclusive else None
        )
    if replace_existing or not before:
        _make_primary(user, phone)
    gone = [old for old in before if old != phone]
    if replace_existing:
        own.exclude(phone=phone).delete()
        return Change(gone, previous_owners, ends_sessions=bool(gone))
    return Change(before[:1] if not has_it else (), previous_owners)


def _follow_renumbering(phone: str) -> None:
    """Store this number in place of the ones that became it by a renumbering."""
    for old in PhoneNumber(phone).forms[1:]:
        with transaction.atomic(using=_database()):
            # Write first, as in `_assign`.
            if VerifiedPhone.objects.filter(phone=old).update(verified_at=models.F("verified_at")):
                renumber(old, phone)


def _taken_away(rows: models.QuerySet[VerifiedPhone]) -> Sequence[Any]:
    """Delete these rows and return their users, without hidden ones."""
    rows.update(login_phone=models.F("login_phone"))  # write first, as in `_assign`
    gone = list(rows.select_related("user"))
    for row in gone:
        row.delete()
    return users.load_all(row.user_id for row in gone)


def _make_primary(user: AbstractBaseUser, phone: str) -> None:
    own = VerifiedPhone.objects.filter(user_id=user.pk)
    own.exclude(phone=phone).filter(is_primary=True).update(is_primary=None)
    own.filter(phone=phone).update(is_primary=True)
    keep_in_step(user, phone)


def keep_in_step(user: AbstractBaseUser, phone: str | None) -> None:
    """Write the primary number into the user's own field, if there is one that can hold it."""
    name = app_settings.account_settings().phone_field_name()
    if name is None:
        return
    own, value = user_field(name), phone
    if phone is None:
        if name == get_user_model().USERNAME_FIELD or not (own.null or (own.blank and not own.unique)):
            return  # a username, or a field that must not be empty, keeps its value
        value = None if own.null else ""
    before = getattr(user, name)
    setattr(user, name, value)
    try:
        user.save(update_fields=[name])
    except DatabaseError:
        setattr(user, name, before)  # so that a later save of this object does not fail again
        raise


def _renumber_field(user: AbstractBaseUser, old: str, new: str) -> None:
    """Write the new number into the user's own field if it holds the old one and accepts the new one."""
    name = app_settings.account_settings().phone_field_name()
    if name is None or str(getattr(user, name)) != old:
        return
    try:
        with transaction.atomic(using=_database()):
            keep_in_step(user, new)
    except (IntegrityError, DataError):
        _log_refusal()


def _follow(user: AbstractBaseUser, phone: str | None, using: str) -> None:
    """Write the new primary number after another was removed; empty a field that refuses it.

    Raises nothing, so that the removal succeeds even if another user's field holds the number.
    """
    try:
        with transaction.atomic(using=using):
            keep_in_step(user, phone)
    except (IntegrityError, DataError):
        _log_refusal()
        keep_in_step(user, None)


def _log_refusal() -> None:
    # Not the text of the database error: it can hold the number.
    name = app_settings.account_settings().phone_field_name()
    log.error("a primary number cannot be written: %s.%s refuses it", get_user_model()._meta.label, name)


def _in_order(rows: models.QuerySet[VerifiedPhone]) -> list[str]:
    return list(_primary_first(rows).values_list("phone", flat=True))


def _primary_first(rows: models.QuerySet[VerifiedPhone]) -> models.QuerySet[VerifiedPhone]:
    return rows.order_by(models.F("is_primary").desc(nulls_last=True), "-verified_at", "-pk")


def _database() -> str:
    return primary.alias_of(VerifiedPhone)


@receiver(post_delete, sender=VerifiedPhone, dispatch_uid="phone_verify_django.phones")
@primary.reads()
def _pass_on_roles(instance: VerifiedPhone, origin: Any, using: str, **_: object) -> None:
    """End the sessions of a user who loses a number, and pass on the roles of the row.

    After a primary number the user's newest one becomes primary; after the row that signs in, the next row does.
    """
    rows = VerifiedPhone.objects.using(using)
    # With any other origin the row is deleted together with its user.
    user_remains = getattr(origin, "model", type(origin)) is VerifiedPhone
    if user_remains:
        sessions.end_all(instance.user_id)
    if instance.is_primary and user_remains:
        left = _primary_first(rows.filter(user_id=instance.user_id)).first()
        if left is not None:
            rows.filter(pk=left.pk).update(is_primary=True)
        _follow(instance.user, left.phone if left else None, using)
    if instance.login_phone is not None:
        following = rows.filter(phone=instance.phone).order_by("pk").first()
        if following is not None:
            rows.filter(pk=following.pk).update(login_phone=instance.phone)
