"""Users as the site's model returns them, and the numbers in the model's own field.

All users are read here, by the model's default manager: a user whom it hides, like a deleted one,
does not exist for a sign-in. Only locks, and rows that must be found in any case, go past it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Value

from phone_verify import PhoneNumber
from phone_verify.adoption.spellings import read_stored, regions_of, spellings
from phone_verify.adoption.user_names import user_name

from . import app_settings, primary

log = logging.getLogger("phone_verify")

#: Users with one number in their field who are named in the log.
_MOST_NAMED = 5


def visible() -> models.QuerySet[Any]:
    """Return the users that the default manager returns."""
    return get_user_model()._default_manager.using(database())


def everyone() -> models.QuerySet[Any]:
    """Return all users, hidden ones too: for locks, unique values and erasure."""
    return get_user_model()._base_manager.using(database())


def may_be_user(found: object) -> bool:
    """Return whether this object has the key of a user: a user, or an object that stands for one.

    The key of another model's record, like a device of the site, is not that of a user.
    """
    is_other_record = isinstance(found, models.Model) and not isinstance(found, get_user_model())
    return getattr(found, "pk", None) is not None and not is_other_record


def load(user_id: Any) -> AbstractBaseUser | None:
    """Return this user; None if there is none, or the default manager hides the user."""
    found: AbstractBaseUser | None = visible().filter(pk=user_id).first()
    return found


def load_all(user_ids: Iterable[Any]) -> Sequence[Any]:
    """Return these users, without those whom the default manager hides."""
    ids = list(user_ids)
    return list(visible().filter(pk__in=ids)) if ids else []


def lock(user_ids: Iterable[Any]) -> None:
    """Lock the rows of these users until the transaction ends, on databases that can, hidden ones too."""
    rows = everyone().select_for_update()
    list(rows.filter(pk__in=list(user_ids)).order_by("pk").values_list("pk"))


def is_visible(user: AbstractBaseUser) -> bool:
    """Return whether the default manager returns this user."""
    return visible().filter(pk=user.pk).exists()


def database() -> str:
    """Return the alias of the database in which users are written: a replica may not have the newest."""
    return primary.alias_of(get_user_model())


def site_regions() -> Sequence[str | None]:
    """Return the regions whose national form the site's own field may contain."""
    limits = app_settings.read().policy
    return regions_of(limits.region, limits.allowed_regions)


def text_of(value: Any) -> str:
    """Return a field's value as text. A value of django-phonenumber-field is a number in E.164, if valid."""
    if value is None or isinstance(value, str):
        return value or ""
    return str(value.as_e164 if hasattr(value, "as_e164") and value.is_valid() else value)


def ids_by_field(phone: PhoneNumber) -> Sequence[Any]:
    """Return the primary keys of users whose own field may hold this number in a usual spelling, verified or not.

    Also of hidden users, whose rows count for unique constraints; and of users whose text is the
    national form of this number, if the site's settings name no region at all.
    """
    return [pk for pk, _ in _held(phone)]


def by_field(phone: PhoneNumber) -> AbstractBaseUser | None:
    """Return the only user whose own field holds this number; None if several users may have it."""
    held = _held(phone)
    return load(held[0][0]) if len(held) == 1 and held[0][1] == phone else None


def _held(phone: PhoneNumber) -> Sequence[tuple[Any, PhoneNumber | None]]:
    """Return primary keys, and the number that the site's settings read in the user's field: this one or None."""
    name = app_settings.account_settings().phone_field_name()
    if name is None:
        return []
    regions = site_regions()
    meant = (phone,) if any(regions) else (phone, None)
    # Only texts that mean this number here, so that users with another one do not fill up the rows.
    # As expressions, so that a custom field does not convert the texts.
    texts = [Value(text) for text in spellings(phone) if read_stored(text, regions) in meant]
    rows = everyone().filter(**{f"{name}__in": texts})
    held = rows.order_by("pk").values_list("pk", name)[: 2 * _MOST_NAMED]
    read = [(pk, read_stored(text_of(value), regions)) for pk, value in held]
    return [(pk, number) for pk, number in read if number in meant]


def log_unverified(phone: PhoneNumber, ids: Sequence[Any], what: str) -> None:
    """Log that users hold this number in the model's own field, where nothing proves it."""
    model, name = get_user_model(), app_settings.account_settings().phone_field_name()
    log.error(
        "%s for %s: it is in %s.%s of %s, not verified. If you trust the numbers in this field, override Accounts.find "
        "(find_by_field) or run manage.py phone_verify_adopt --trust; if not, override "
        "Accounts.may_ignore_unverified. See docs/django.md, You already have users with numbers",
        what,
        phone.hint,
        model._meta.label,
        name,
        _named(ids, phone),
    )


def log_hidden(ids: Sequence[Any], phone: PhoneNumber) -> None:
    """Log if the default manager hides all of these users, who have the number of a refused sign-in."""
    if ids and not load_all(ids):
        manager = f"{get_user_model()._meta.label}.{get_user_model()._default_manager.name}"
        log.warning("sign-in by phone is refused: %s hides %s, who has the number", manager, _named(ids, phone))


def _named(ids: Sequence[Any], phone: PhoneNumber) -> str:
    # Primary keys, not names, which may be the number.
    return ", ".join(user_name(pk, phone) for pk in ids[:_MOST_NAMED])
