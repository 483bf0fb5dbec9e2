"""Count the numbers in the user model's own field as verified: for sites that trust them.

Users are read in pages by primary key, not by one long query: no page holds a transaction or a
cursor while others write, and the memory is that of one page on every database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, models, transaction

from phone_verify import PhoneNumber
from phone_verify.adoption.duplicates import Duplicates
from phone_verify.adoption.report import Result
from phone_verify.adoption.spellings import read_stored

from . import app_settings, phones, users
from .models import VerifiedPhone

#: Users in one transaction.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """A user's primary key, the text in the field, and the number that it means, if any."""

    user_id: Any
    text: str
    phone: PhoneNumber | None


def count(field: str) -> int:
    """Return how many users have a text in this field."""
    return _with_text(field).count()


def entries(field: str, regions: Sequence[str | None]) -> Iterator[Sequence[Entry]]:
    """Yield the users who have a text in this field, in pages."""
    last: Any = None
    while True:
        rows = _with_text(field).order_by("pk")
        if last is not None:
            rows = rows.filter(pk__gt=last)
        page = [(pk, users.text_of(value)) for pk, value in rows.values_list("pk", field)[:PAGE]]
        if not page:
            return
        last = page[-1][0]
        yield [Entry(pk, text, read_stored(text, regions)) for pk, text in page]


def decide(page: Sequence[Entry], duplicates: Duplicates) -> Iterator[tuple[Entry, Result]]:
    """Yield what `adopt` would do with each of these users. Changes nothing."""
    forms = [form for entry in page if entry.phone for form in entry.phone.forms]
    held = _rows().filter(phone__in=forms).values_list("phone", "user_id")
    owners: dict[str, set[Any]] = {}
    for phone, user_id in held:
        owners.setdefault(PhoneNumber(phone).current.e164, set()).add(user_id)
    for entry in page:
        if entry.phone is None:
            yield entry, Result.UNREADABLE
        elif entry.user_id in (having := owners.get(entry.phone.e164, set())):
            yield entry, Result.VERIFIED
        elif having:
            yield entry, Result.TAKEN
        else:
            yield entry, duplicates.problem(entry.user_id, entry.phone) or Result.ADOPTED


def adopt(field: str, page: Sequence[Entry], duplicates: Duplicates) -> Iterator[tuple[Entry, Result]]:
    """Count the numbers of these users as verified now, and write them into the user model's field in E.164.

    Several users are one transaction; if the database refuses one of them, each is its own. A number
    that is verified by another user at the same time stays with that user.
    """
    decided = list(decide(page, duplicates))
    chosen = [entry for entry, result in decided if result is Result.ADOPTED]
    results = dict(_adopted(field, chosen)) if chosen else {}
    for entry, result in decided:
        yield entry, results.get(entry.user_id, result)


def _adopted(field: str, chosen: Sequence[Entry]) -> Iterator[tuple[Any, Result]]:
    try:
        with transaction.atomic(using=users.database()):
            results = _adopt_now(field, chosen)
    except (IntegrityError, DataError, ValidationError) as error:
        if len(chosen) == 1:
            yield chosen[0].user_id, Result.TAKEN if isinstance(error, IntegrityError) else Result.REFUSED
        else:
            for entry in chosen:
                yield from _adopted(field, [entry])
        return
    yield from results.items()


def _adopt_now(field: str, chosen: Sequence[Entry]) -> dict[Any, Result]:
    # Write first: SQLite refuses to upgrade a read to a write after another connection has written.
    _rows().filter(pk=0).update(login_phone=models.F("login_phone"))
    ids = [entry.user_id for entry in chosen]
    # Locked before the rows are written, in the order of every other change of a user's numbers.
    users.lock(ids)
    now = {user.pk: user for user in users.load_all(ids)}
    # Others have changed or removed the number since it was read.
    kept = [entry for entry in chosen if entry.user_id in now and _text(now[entry.user_id], field) == entry.text]
    results = dict.fromkeys(ids, Result.CHANGED) | {entry.user_id: Result.ADOPTED for entry in kept}
    have_primary = set(_rows().filter(user_id__in=ids, is_primary=True).values_list("user_id", flat=True))
    at = phones.stored(datetime.now(UTC))
    _rows().bulk_create(
        VerifiedPhone(
            user_id=entry.user_id,
            phone=entry.phone.e164,
            verified_at=at,
            login_phone=entry.phone.e164,
            is_primary=None if entry.user_id in have_primary else True,
        )
        for entry in kept
        if entry.phone is not None
    )
    for entry in kept:
        if entry.phone is not None and entry.user_id not in have_primary:
            _write(field, now[entry.user_id], entry.phone)
    return results


def _write(field: str, user: Any, phone: PhoneNumber) -> None:
    """Write the primary number into the user's own field in E.164, unless that is another field with a number."""
    name = app_settings.account_settings().phone_field_name()
    if name is not None and _text(user, name) != phone.e164 and (name == field or not _text(user, name)):
        phones.keep_in_step(user, phone.e164)


def _text(user: Any, field: str) -> str:
    return users.text_of(getattr(user, field))


def _with_text(field: str) -> models.QuerySet[Any]:
    return users.visible().filter(**{f"{field}__gt": ""})


def _rows() -> models.QuerySet[VerifiedPhone]:
    return VerifiedPhone.objects.using(users.database())
