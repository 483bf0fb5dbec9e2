"""Moves stored numbers to the form that they have today, in all our tables and the user's own field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DataError, IntegrityError, models, router, transaction

from phone_verify import PhoneNumber
from phone_verify.adoption.user_names import shown_key

from . import app_settings, phones
from .models import VerifiedPhone

_BATCH = 1000


@dataclass(slots=True)
class Column:
    """A column with numbers, and what happened to them."""

    name: str
    rows: models.QuerySet[Any]
    attribute: str
    #: Returns whether this number can be stored in the row with this key.
    may_move: Callable[[Any, str], bool]
    #: Stores the second number in place of the first there; returns False if it cannot.
    move: Callable[[Any, str, str], bool]
    moved: int = 0
    #: The keys of rows whose number was not moved, with the masked number.
    conflicts: list[tuple[str, str]] = field(default_factory=list)

    def renumber(self, *, dry_run: bool) -> Iterator[int]:
        """Move the numbers; yield the count of numbers read after each batch. Each number is its own transaction."""
        prefixes = PhoneNumber.renumbered_prefixes
        changed = reduce(or_, (models.Q(**{f"{self.attribute}__startswith": prefix}) for prefix in prefixes))
        rows, last, read = self.rows.filter(changed).order_by("pk"), None, 0
        while True:
            after = rows if last is None else rows.filter(pk__gt=last)
            batch = list(after.values_list("pk", self.attribute)[:_BATCH])
            if not batch:
                return
            for key, value in batch:
                # A field of django-phonenumber-field has its own class of values.
                self._renumber_row(key, str(getattr(value, "as_e164", value)), dry_run=dry_run)
            last, read = batch[-1][0], read + len(batch)
            yield read

    def _renumber_row(self, key: Any, old: str, *, dry_run: bool) -> None:
        new = PhoneNumber(old).current.e164
        if new == old:
            return
        if self.may_move(key, new) and (dry_run or self.move(key, old, new)):
            self.moved += 1
        else:
            self.conflicts.append((shown_key(key, PhoneNumber(old)), PhoneNumber(old).hint))


def columns() -> list[Column]:
    """Return all our columns with numbers, and the user's own field."""
    found = [Column("verified numbers", _verified(), "phone", _is_unverified, _move_verified)]
    name = app_settings.account_settings().phone_field_name()
    if name is not None:
        found.append(_plain("the user's own field", get_user_model(), name, _is_nobody_elses))
    if apps.is_installed("phone_verify_django.otp"):
        found.append(_plain("devices", apps.get_model("phone_verify_otp", "PhoneDevice"), "phone"))
    if apps.is_installed("phone_verify_django.allauth"):
        claims = apps.get_app_config("phone_verify_allauth").get_model("ClaimedPhone")
        found.append(_plain("numbers entered and not verified", claims, "phone"))
    return found


def _verified() -> models.QuerySet[VerifiedPhone]:
    return VerifiedPhone.objects.using(router.db_for_write(VerifiedPhone))


def _is_unverified(key: Any, new: str) -> bool:
    # One row is enough for all that share a number: the others are found to have moved.
    return _verified().filter(pk=key, phone=new).exists() or not _verified().filter(phone=new).exists()


def _move_verified(key: Any, old: str, new: str) -> bool:
    return phones.renumber(old, new) or not _verified().filter(pk=key, phone=old).exists()


def _is_nobody_elses(key: Any, new: str) -> bool:
    """Return whether no other user has this number, in the own field or verified."""
    model, name = get_user_model(), app_settings.account_settings().phone_field_name()
    others = model._base_manager.using(router.db_for_write(model)).exclude(pk=key)
    verified = _verified().filter(phone=new).exclude(user_id=key)
    return not others.filter(**{name or "": new}).exists() and not verified.exists()


def _plain(
    name: str, model: type[models.Model], field: str, may_move: Callable[[Any, str], bool] = lambda key, new: True
) -> Column:
    rows = model._base_manager.using(router.db_for_write(model))

    def move(key: Any, old: str, new: str) -> bool:
        try:
            with transaction.atomic(using=rows.db):
                rows.filter(pk=key, **{field: old}).update(**{field: new})
        except (IntegrityError, DataError):
            return False
        return True

    return Column(name, rows, field, may_move, move)
