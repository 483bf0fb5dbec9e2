"""The setting `PHONE_VERIFY`, and what is read of Django's own settings. The only module here that reads them.

    PHONE_VERIFY = {"sms": "amoot://TOKEN@default", "region": "IR"}

The keys are those of the environment, lower case and without `PHONE_VERIFY_`; the environment supplies what is left
out. The settings of accounts (who may sign up, who owns a number, what a new user fills in) are read from
`PHONE_VERIFY` only: they name the site's own code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import models
from django.dispatch import receiver
from django.forms import BaseForm
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils.module_loading import import_string

from phone_verify.config.settings import CHANNEL_NAMES, Settings
from phone_verify.errors import ConfigurationError

DEFAULT_STORE = "orm:"
DEFAULT_ACCOUNTS = "phone_verify_django.accounts.Accounts"

#: A user model with one of these fields keeps the primary number in it.
PHONE_FIELDS = ("phone", "phone_number", "mobile", "mobile_number", "msisdn")
RECYCLED = ("keep", "newest")
NAMES = ("accounts", "shared_phones", "recycled_numbers", "signup_form", "phone_field", "connection_setup")
_HOLD_CREDENTIALS = (*CHANNEL_NAMES, "store")
#: The commands that say what is wrong with settings, as they stand in `sys.argv`.
_LOOKING = (["check"], ["phone_verify_doctor"])
REBUILD_ON = ("PHONE_VERIFY", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "DEBUG", "AUTH_USER_MODEL")

_account_settings: AccountSettings | None = None
_looked_at: ContextVar[bool] = ContextVar("phone_verify_django.lenient_startup", default=False)


class Masked(str):
    """A text that does not show in its repr, so that error pages and `diffsettings` do not show it either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********************'"


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
    advice = "Write the dotted path of a subclass of phone_verify_django.accounts.Accounts, like 'shop.accounts.Own'."
    return _class(value, load(DEFAULT_ACCOUNTS), advice)


def _signup_form(value: object) -> tuple[str, str] | None:
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


@contextmanager
def lenient_startup() -> Iterator[None]:
    """Within it Django starts with settings that cannot work, too: for who says what is wrong with them."""
    token = _looked_at.set(True)
    try:
        yield
    finally:
        _looked_at.reset(token)


def is_lenient() -> bool:
    """Whether Django is to start with settings that cannot work, too: for who says what is wrong with them."""
    return _looked_at.get() or sys.argv[1:2] in _LOOKING


def read() -> Settings:
    """The settings of `PHONE_VERIFY` and the environment. Raises `ImproperlyConfigured`."""
    try:
        return Settings.read(core_values(), os.environ)
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from None


def orm_alias() -> str | None:
    """The database in which Django's own store keeps its rows; None where the site has another store."""
    scheme, _, alias = (read().store or DEFAULT_STORE).partition(":")
    return (alias or "default") if scheme == "orm" else None


def account_settings() -> AccountSettings:
    """The settings of accounts: read once, and anew after a test has changed them."""
    global _account_settings
    found = _account_settings
    if found is None:
        found = _account_settings = AccountSettings.of(_own_values())
    return found


def account_mistakes() -> list[Mistake]:
    """What is wrong with the settings of accounts. Raises `ConfigurationError` as `given` does."""
    return list(mistakes(_own_values()))


def framework_keys() -> list[str]:
    """Django's own keys, newest first: they sign where no keys of ours are set."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [key.decode("latin-1") if isinstance(key, bytes) else key for key in keys]


def debug() -> bool:
    """Whether this is a developer's site."""
    return bool(settings.DEBUG)


def after_login() -> str:
    """Where somebody goes who has signed in and wanted nowhere else."""
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def sign_in_url() -> str:
    """Where visitors sign in: `LOGIN_URL` where the site sets it, else our own page."""
    own = settings.is_overridden("LOGIN_URL")  # type: ignore[misc]  # the plugin knows names of settings only
    return resolve_url(settings.LOGIN_URL if own else "phone_verify:login")


def after_logout() -> str:
    """Where somebody goes who has signed out and wanted nowhere else; an empty text where the site does not say."""
    return resolve_url(settings.LOGOUT_REDIRECT_URL) if settings.LOGOUT_REDIRECT_URL else ""


def session_same_site() -> object:
    """Return the `SameSite` that Django gives to its session cookie; ours follow it."""
    return settings.SESSION_COOKIE_SAMESITE


def other_origins(*addresses: object) -> Iterator[str]:
    """Return the origins of those addresses, and of those that settings lead to, that are on another host."""
    for address in (settings.LOGIN_URL, settings.LOGIN_REDIRECT_URL, settings.LOGOUT_REDIRECT_URL, *addresses):
        if isinstance(address, str) and address.startswith(("http://", "https://")):
            parts = urlsplit(address)
            yield f"{parts.scheme}://{parts.netloc}"


def site_has_policy(request: HttpRequest) -> bool:
    """Whether a middleware of the site writes a Content-Security-Policy: Django 6's own, or that of django-csp."""
    django_writes = hasattr(request, "_csp_nonce") and bool(getattr(settings, "SECURE_CSP", None))
    return django_writes or hasattr(request, "csp_nonce")


def core_values() -> dict[str, object]:
    """Return what `PHONE_VERIFY` holds for the core, without the settings of accounts."""
    return {name: value for name, value in _own_values().items() if name not in NAMES}


def _own_values() -> dict[str, object]:
    values = getattr(settings, "PHONE_VERIFY", None)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigurationError("PHONE_VERIFY must be a dict, like {'sms': 'console://'}")
    for name in values:
        if not isinstance(name, str) or name != name.lower():
            raise ConfigurationError(f"PHONE_VERIFY: write its keys in lower case and without prefix, not {name!r}")
    for name in _HOLD_CREDENTIALS:
        if name in values:
            values[name] = _masked(values[name])
    return values


def _masked(value: object) -> object:
    if isinstance(value, str):
        return Masked(value)
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return tuple(_masked(item) for item in value) if isinstance(value, tuple) else value


@receiver(setting_changed)
def _forget(*, setting: str, **_: object) -> None:
    global _account_settings
    if setting in REBUILD_ON:
        _account_settings = None
