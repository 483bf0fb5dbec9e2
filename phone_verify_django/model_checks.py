"""System checks of the user model and its rows, with their ids; `checks` has those of the settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from phone_verify.adoption.spellings import read_stored
from phone_verify.errors import ConfigurationError

from . import account_policy, app_settings, model_rules, users
from .account_policy import Accounts
from .checks import mistakes
from .models import VerifiedPhone
from .site import orm_alias
from .store import functions

#: Users who are looked at: the check runs with every `migrate`, and must not scan the table.
_SAMPLE = 500


@checks.register("phone_verify")
def check_model(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """Return the fields with which no user can be created for a verified number."""
    return list(_model()) if _is_readable() else []


@checks.register(checks.Tags.database)
def check_rows(
    app_configs: Any = None, databases: Collection[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Return whether users have numbers that nothing proves. As Django's own checks, only with `--database`."""
    if not databases or not _is_readable() or users.database() not in databases:
        return []
    return unverified_rows()


@checks.register(checks.Tags.database)
def check_functions(
    app_configs: Any = None, databases: Collection[str] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Return whether the store runs without functions since it may not create them; only with `--database`."""
    alias = orm_alias() if databases and _is_readable() else None
    try:
        if alias is None or alias not in (databases or ()) or not functions.cannot_be_made(alias):
            return []
    except DatabaseError:  # reported by Django
        return []
    return [
        checks.Info(
            f"The database {alias!r} lacks functions of phone_verify_django, and its user may not create them.",
            hint=functions.HINT,
            id="phone_verify.I057",
        )
    ]


def unverified_rows() -> list[checks.CheckMessage]:
    """Return a warning if users have numbers in their own field and no policy says what they are."""
    site, name = type(account_policy.policy()), app_settings.account_settings().phone_field_name()
    says_nothing = site.find is Accounts.find and site.may_ignore_unverified is Accounts.may_ignore_unverified
    if name is None or not says_nothing:
        return []
    try:
        sample: Sequence[Any] = _with_number(name)
        held = VerifiedPhone.objects.using(users.database()).filter(user_id__in=sample) if sample else ()
        if len({row.user_id for row in held}) == len(sample):
            return []
    except DatabaseError:  # before the first migrate
        return []
    label = f"{get_user_model()._meta.label}.{name}"
    return [
        checks.Warning(
            f"Users have a number in {label} that they have not verified, so they cannot sign in with it, and no "
            "one else can sign up with it.",
            hint="If you trust these numbers, run manage.py phone_verify_adopt --trust, or override Accounts.find "
            "(find_by_field); if not, override Accounts.may_ignore_unverified. See docs/django.md, You already have "
            "users with numbers.",
            id="phone_verify.W044",
        )
    ]


def _with_number(name: str) -> Sequence[Any]:
    """Return the primary keys of users with a number in this field, among the oldest with a text in it.

    Other texts, like the name of an administrator, match no visitor's number, and adoption leaves them.
    """
    # Not `exclude(…="")`: Oracle stores it as NULL, and a field of another class may convert it.
    rows = users.visible().filter(**{f"{name}__gt": ""}).order_by("pk").values_list("pk", name)
    regions = users.site_regions()
    return [pk for pk, value in rows[:_SAMPLE] if _may_be_number(users.text_of(value), regions)]


def _may_be_number(text: str, regions: Sequence[str | None]) -> bool:
    if read_stored(text, regions) is not None:
        return True
    # Without a region no national form can be read.
    return not any(regions) and any(map(str.isdigit, text))


def _model() -> Iterator[checks.CheckMessage]:
    for problem in model_rules.problems():
        yield checks.Warning(
            problem.says,
            hint=f"{problem.advice} A site on which nobody signs up silences this check.",
            id="phone_verify.W045",
        )


def _is_readable() -> bool:
    """Return whether the settings can be used; `checks` reports those that cannot."""
    try:
        app_settings.read()
        return not list(mistakes(app_settings.account_values()))
    except (ConfigurationError, ImproperlyConfigured):
        return False
