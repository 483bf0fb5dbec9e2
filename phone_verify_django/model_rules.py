"""Whether the user model lets `Accounts.make` create users: rules about its fields, from the model alone.

The database refuses a user whom the model does not allow only when it is created, sometimes only the
second one, and on PostgreSQL more than on SQLite. `manage.py check` and the log name the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import models

from phone_verify.adoption.spellings import longest_number

from . import account_policy, app_settings
from .account_policy import Accounts

#: The length of a username that `Accounts.make` draws: `phone-` and sixteen hexadecimal digits.
_NAME_LENGTH = 22


class Problem(NamedTuple):
    """A field, or several that are unique together, with what is wrong and how to fix it."""

    fields: Sequence[str]
    says: str
    advice: str


def problems() -> Iterator[Problem]:
    """Yield the fields with which no user, or only one, can be created for a verified number.

    Only lengths if the site's subclass replaces `make`, which may fill in the other fields.
    """
    yield from _too_short()
    if type(account_policy.policy()).make is Accounts.make:
        yield from _required()
        yield from _unique()


def refusal(error: Exception) -> str:
    """Return why the database refused a new user, without values: the text of its error can hold the number."""
    model = get_user_model()._meta
    names = [field.name for field in model.concrete_fields if not field.primary_key and _names(error, field)]
    if names:
        return f"{model.label} refuses it because of {', '.join(names)}: {_advice_for(names)}"
    found = list(problems())
    if found:
        return f"{model.label} refuses it: {'; '.join(f'{problem.says} {problem.advice}' for problem in found)}"
    return f"{model.label} refuses it: {type(error).__name__}"


def _advice_for(names: Sequence[str]) -> str:
    advice = [problem.advice for problem in problems() if set(names) & set(problem.fields)]
    return " ".join(advice) or "fill in the field in PHONE_VERIFY['signup_form'] or in Accounts.make"


def _names(error: Exception, field: Any) -> bool:
    return re.search(rf"(?<!\w){re.escape(field.column)}(?!\w)", str(error)) is not None


def _required() -> Iterator[Problem]:
    for field in _left_empty():
        if not field.null and not field.empty_strings_allowed:
            yield Problem(
                [field.name],
                f"{_label(field)} is required and has no default, so no user can be created for a verified number.",
                _cure(field, "Give it a default or null=True"),
            )


def _unique() -> Iterator[Problem]:
    model = get_user_model()._meta
    constant = {field.name: field for field in [*_left_empty(), *_with_one_default()]}
    together = [[field.name] for field in model.concrete_fields if field.unique]
    together += [list(names) for names in model.unique_together]
    together += [list(rule.fields) for rule in model.total_unique_constraints]
    for names in dict.fromkeys(map(tuple, together)):
        fields = [constant[name] for name in names if name in constant]
        if len(fields) == len(names) and not any(field.null and not field.has_default() for field in fields):
            label = ", ".join(map(_label, fields))
            yield Problem(
                names,
                f"{label} is unique and has the same value for every new user, so only one user can be created for a "
                "verified number.",
                _cure(fields[0], "Give it null=True, and let it be empty"),
            )


def _too_short() -> Iterator[Problem]:
    name = app_settings.account_settings().phone_field_name()
    user_field, needs = get_user_model().USERNAME_FIELD, longest_number(app_settings.read().policy.allowed_regions)
    if name is not None:
        field = app_settings.user_field(name)
        if field.max_length is not None and field.max_length < needs:
            yield Problem(
                [name],
                f"{_label(field)} has {field.max_length} characters, and a number in E.164 needs {needs}: PostgreSQL "
                "and MariaDB refuse it.",
                f"Set max_length={max(needs, 16)}, and run makemigrations and migrate.",
            )
    field = app_settings.user_field(user_field)
    if user_field != name and field.max_length is not None and field.max_length < _NAME_LENGTH:
        yield Problem(
            [user_field],
            f"{_label(field)} has {field.max_length} characters, and the name of a new user needs {_NAME_LENGTH}.",
            f"Set max_length={_NAME_LENGTH} or more, or set the name in Accounts.make.",
        )


def _left_empty() -> Iterator[models.Field[Any, Any]]:
    """Yield the fields for which neither `Accounts.make`, the sign-up form nor a default has a value."""
    yield from (field for field in _not_filled_in() if not field.has_default() and not field.has_db_default())


def _with_one_default() -> Iterator[models.Field[Any, Any]]:
    """Yield the fields whose default is the same for every user, and not None."""
    for field in _not_filled_in():
        if field.has_default() and not callable(field.default) and field.default is not None:
            yield field


def _not_filled_in() -> Iterator[Any]:
    model, phone_field = get_user_model(), app_settings.account_settings().phone_field_name()
    form = app_settings.load(app_settings.account_settings().signup_form)
    filled = {phone_field, model.USERNAME_FIELD, "password", *getattr(form, "base_fields", ())}
    for field in model._meta.concrete_fields:
        sets_itself = field.primary_key or field.generated or getattr(field, "auto_now", False)
        sets_itself = sets_itself or getattr(field, "auto_now_add", False)
        # A subclass that computes its value, like a slug.
        computes = type(field).pre_save not in _PLAIN
        if field.name not in filled and not sets_itself and not computes:
            yield field


#: Those of Django, which take the value of the attribute.
_PLAIN = [
    field.pre_save
    for field in (models.Field, models.FileField, models.DateField, models.DateTimeField, models.TimeField)
]


def _label(field: Any) -> str:
    return f"{field.model._meta.label}.{field.name}"


def _cure(field: Any, first: str) -> str:
    return f"{first}, or ask for {field.name} in PHONE_VERIFY['signup_form'], or set it in Accounts.make."
