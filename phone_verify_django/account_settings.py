"""The settings of accounts: who may sign up, whose a number is, and what a new user fills in.

They stand in `settings.PHONE_VERIFY` only, not in the environment: they name the site's own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.module_loading import import_string

DEFAULT_ACCOUNTS = "phone_verify_django.accounts.Accounts"

#: A user model with one of these fields keeps the primary number in it.
PHONE_FIELDS = ("phone", "phone_number", "mobile", "mobile_number", "msisdn")
RECYCLED = ("keep", "newest")
NAMES = ("accounts", "shared_phones", "recycled_numbers", "signup_form", "phone_field", "connection_setup")


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """The settings of accounts, unread dotted paths aside."""

    accounts: object = DEFAULT_ACCOUNTS
    shared_phones: bool = False
    #: Whether a proven number moves to whoever has proven it last.
    moves: bool = False
    signup_form: object = None
    #: None: look for one; an empty text: there is none.
    phone_field: str | None = None
    #: Sets on a second connection to the database what the site set on the first.
    connection_setup: object = None

    @classmethod
    def of(cls, values: Mapping[str, object]) -> AccountSettings:
        """Those that stand in `values`. What cannot be used stands as its default: `mistakes` says so."""
        sound = {name: values[name] for name in NAMES if values.get(name) is not None and not _refusal(name, values)}
        moves = sound.pop("recycled_numbers", "keep") == "newest"
        return cls(moves=moves, **sound)  # type: ignore[arg-type]

    def phone_field_name(self) -> str | None:
        """The field of the user model that holds the primary number, or None."""
        if self.phone_field is not None:
            return self.phone_field or None
        return next((name for name in PHONE_FIELDS if _is_text(name)), None)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A setting that cannot work: its name, what is wrong, and what to write."""

    name: str
    says: str
    advice: str

    def __str__(self) -> str:
        return f"PHONE_VERIFY[{self.name!r}]: {self.says} {self.advice}"


def mistakes(values: Mapping[str, object]) -> Iterator[Mistake]:
    """Everything in `values` that cannot work. Imports what they name; connects to nothing."""
    found = [refusal for name in NAMES if values.get(name) is not None for refusal in _refusal(name, values)]
    yield from found
    if not found:
        yield from _together(AccountSettings.of(values))


def near(name: str) -> str | None:
    """The setting of accounts that somebody may have meant by this name."""
    return next(iter(get_close_matches(name, NAMES, n=1)), None)


def load(named: object) -> Any:
    """What a setting names: a class, or the dotted path of one. Raises ImportError."""
    return import_string(named) if isinstance(named, str) else named


def _refusal(name: str, values: Mapping[str, object]) -> list[Mistake]:
    told = _RULES[name](values[name])
    return [Mistake(name, *told)] if told else []


def _accounts(value: object) -> tuple[str, str] | None:
    from .accounts import Accounts

    advice = "Write the dotted path of a subclass of phone_verify_django.accounts.Accounts, like 'shop.accounts.Own'."
    return _class(value, Accounts, advice)


def _signup_form(value: object) -> tuple[str, str] | None:
    from django.forms import BaseForm

    return _class(value, BaseForm, "Write the dotted path of a form class, like 'shop.forms.SignUpForm'.")


def _class(value: object, wanted: type, advice: str) -> tuple[str, str] | None:
    try:
        found = load(value)
    except ImportError as error:
        return f"There is no {value!r}: {error}.", advice
    if not (isinstance(found, type) and issubclass(found, wanted)):
        return f"{value!r} is no such class.", advice
    return None


def _shared_phones(value: object) -> tuple[str, str] | None:
    return None if isinstance(value, bool) else ("It is neither True nor False.", "Write True or False.")


def _recycled_numbers(value: object) -> tuple[str, str] | None:
    return None if value in RECYCLED else (f"There is no {value!r}.", "Write 'keep' or 'newest'.")


def _phone_field(value: object) -> tuple[str, str] | None:
    model = get_user_model()._meta.label
    if value == "" or (isinstance(value, str) and _is_text(value)):
        return None
    return f"{model} has no field {value!r} for texts.", f"Write the name of a CharField of {model}, or '' for none."


def _connection_setup(value: object) -> tuple[str, str] | None:
    advice = "Write the dotted path of a function that takes the connection, like 'shop.tenants.set_tenant'."
    try:
        found = load(value)
    except ImportError as error:
        return f"There is no {value!r}: {error}.", advice
    return None if callable(found) else (f"{value!r} is not a function.", advice)


_RULES: Mapping[str, Callable[[object], tuple[str, str] | None]] = {
    "accounts": _accounts,
    "shared_phones": _shared_phones,
    "recycled_numbers": _recycled_numbers,
    "signup_form": _signup_form,
    "phone_field": _phone_field,
    "connection_setup": _connection_setup,
}


def _together(chosen: AccountSettings) -> Iterator[Mistake]:
    model, field = get_user_model(), chosen.phone_field_name()
    if chosen.shared_phones and chosen.moves:
        yield Mistake("recycled_numbers", "Where numbers are shared, none moves.", "Leave it or shared_phones out.")
    if chosen.shared_phones and field and user_field(field).unique:
        yield Mistake(
            "shared_phones",
            f"No two users can have the same {model._meta.label}.{field}.",
            "Leave it out, or write '' into PHONE_VERIFY['phone_field'] and let the users have another name."
            if field == model.USERNAME_FIELD
            else "Leave it out, write '' into PHONE_VERIFY['phone_field'], or let the field not be unique.",
        )
    if chosen.moves and field and _stays(user_field(field)):
        yield Mistake(
            "recycled_numbers",
            f"A number cannot move while it stands in the {model._meta.label}.{field} of who had it.",
            "Write 'keep', or let the field be null.",
        )
    name = model.USERNAME_FIELD
    if chosen.phone_field is not None and name in PHONE_FIELDS and chosen.phone_field != name and _is_text(name):
        yield Mistake(
            "phone_field", f"Users are known by {model._meta.label}.{name}.", f"Write {name!r}, or leave it out."
        )


def user_field(name: str) -> Any:
    """This field of the user model, which has it."""
    return get_user_model()._meta.get_field(name)


def _stays(field: Any) -> bool:
    """Whether the number stays in this field though the user has it no more."""
    return bool(field.unique and (not field.null or field.name == get_user_model().USERNAME_FIELD))


def _is_text(name: str) -> bool:
    try:
        field = get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return isinstance(field, models.CharField)
