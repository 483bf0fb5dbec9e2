"""The setting `PHONE_VERIFY` and the Django settings in use. The only module of the adapter that reads settings.

    PHONE_VERIFY = {"sms": "amoot://TOKEN@default", "region": "IR"}

The keys are those of the environment, in lower case and without `PHONE_VERIFY_`; the environment
supplies missing ones. The account settings (who may sign up, who owns a number, what a new user
fills in) are read from `PHONE_VERIFY` only, since they name the site's code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import models
from django.dispatch import receiver
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils.module_loading import import_string

from phone_verify.config.settings import CHANNEL_NAMES, PREFIX, Settings
from phone_verify.config.site import SiteConfig
from phone_verify.errors import ConfigurationError, quoted

DEFAULT_STORE = "orm:"
DEFAULT_ACCOUNTS = "phone_verify_django.accounts.Accounts"

#: The primary number is stored in the first of these fields that the user model has.
PHONE_FIELDS = ("phone", "phone_number", "mobile", "mobile_number", "msisdn")
RECYCLED = ("keep", "newest")
NAMES = (
    "accounts",
    "shared_phones",
    "recycled_numbers",
    "signup_form",
    "phone_field",
    "connection_setup",
    "token",
    "user_for_token",
    "oauth_grants",
    "alarm_emails",
)
_HOLD_CREDENTIALS = (*CHANNEL_NAMES, "store", "ledger")
#: The commands that report invalid settings, as in `sys.argv`.
_LENIENT_COMMANDS = (["check"], ["phone_verify_config"], ["phone_verify_doctor"])
REBUILD_ON = ("PHONE_VERIFY", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "DEBUG", "AUTH_USER_MODEL", "CSRF_TRUSTED_ORIGINS")

_account_settings: AccountSettings | None = None
_lenient: ContextVar[bool] = ContextVar("phone_verify_django.lenient_startup", default=False)


class Masked(str):
    """A text whose repr is masked, so that error pages and `diffsettings` do not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********************'"


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """The account settings; dotted paths are not imported yet."""

    accounts: object = DEFAULT_ACCOUNTS
    shared_phones: bool = False
    #: Whether a number is transferred to the user who verified it last.
    moves: bool = False
    signup_form: object = None
    #: None: one of `PHONE_FIELDS`; an empty text: no field.
    phone_field: str | None = None
    #: A function that configures another database connection like that of the request.
    connection_setup: object = None
    #: A function that makes a token for the user of a proof.
    token: object = None
    #: A function that returns the user of a token.
    user_for_token: object = None
    #: The grants of `phone_verify_django.oauth_toolkit`, which checks them.
    oauth_grants: object = None
    #: Addresses that get the alarms of the ledger; None: ADMINS.
    alarm_emails: Any = None

    @classmethod
    def of(cls, values: Mapping[str, object]) -> AccountSettings:
        """Return the account settings in `values`, unchecked.

        `checks.refuse_mistakes` stops the start for invalid ones; only commands that report them
        run with them.
        """
        given = {name: values[name] for name in NAMES if values.get(name) is not None}
        moves = given.pop("recycled_numbers", "keep") == "newest"
        return cls(moves=moves, **given)  # type: ignore[arg-type]

    def phone_field_name(self) -> str | None:
        """Return the name of the user model's field for the primary number, or None."""
        if self.phone_field is not None:
            return self.phone_field or None
        return next((name for name in PHONE_FIELDS if is_text_field(name)), None)


def load(named: object) -> Any:
    """Return what a setting names: an object, or the object at a dotted path. Raises ImportError."""
    return import_string(named) if isinstance(named, str) else named


def user_field(name: str) -> Any:
    """Return this field of the user model."""
    return get_user_model()._meta.get_field(name)


def is_text_field(name: str) -> bool:
    """Return whether the user model has a text field of this name."""
    try:
        field = get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return isinstance(field, models.CharField)


def require_app() -> None:
    """Raise `ImproperlyConfigured` if INSTALLED_APPS does not contain the app."""
    if not apps.is_installed("phone_verify_django"):
        raise ImproperlyConfigured(app_is_missing())


def app_is_missing() -> str:
    """Return what to write in INSTALLED_APPS, for a site without the app."""
    if apps.is_installed("phone_verify"):
        return "'phone_verify' is not a Django app: write 'phone_verify_django' in INSTALLED_APPS instead"
    return "phone_verify is not installed: add 'phone_verify_django' to INSTALLED_APPS"


@contextmanager
def lenient_startup() -> Iterator[None]:
    """Let Django start with invalid settings within the block, for a command that reports them."""
    token = _lenient.set(True)
    try:
        yield
    finally:
        _lenient.reset(token)


def is_lenient() -> bool:
    """Return whether Django starts with invalid settings, for a command that reports them."""
    return _lenient.get() or sys.argv[1:2] in _LENIENT_COMMANDS


def spell(name: str, value: object) -> str:
    """Return a setting as it is written in Django's settings."""
    return f"PHONE_VERIFY[{name!r}]" + ("" if value is None else f" = {value!r}")


def read() -> Settings:
    """Return the settings from `PHONE_VERIFY` and the environment. Raises `ImproperlyConfigured`."""
    try:
        return SiteConfig(core_values(), os.environ, spell=spell, own_names=NAMES).settings()
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from error.__cause__


def detects_https() -> bool:
    """Return whether Django reads from a header of the proxy that the visitor used https."""
    return settings.SECURE_PROXY_SSL_HEADER is not None


def names_outside() -> list[str]:
    """Return the names `PHONE_VERIFY_…` in Django's settings: they are not read there.

    Without those that `PHONE_VERIFY` repeats: a site may use them to make its dict.
    """
    inside = {PREFIX + name.upper() for name in _values()}
    return [name for name in dir(settings) if name.startswith(PREFIX) and name not in inside]


def account_settings() -> AccountSettings:
    """Return the account settings. They are read once, and again after a test has changed them."""
    global _account_settings
    chosen = _account_settings
    if chosen is None:
        chosen = _account_settings = AccountSettings.of(_values())
    return chosen


def framework_keys() -> list[str]:
    """Return Django's keys, newest first. They sign if `secret_keys` is not set."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [key.decode("latin-1") if isinstance(key, bytes) else key for key in keys]


def csrf_trusted_origins() -> list[object]:
    """Return Django's own list, which may contain wildcards."""
    return list(settings.CSRF_TRUSTED_ORIGINS)


def debug() -> bool:
    """Return whether this is a development site."""
    return bool(settings.DEBUG)


def after_login() -> str:
    """Return where to go after sign-in without `next`."""
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def sign_in_url() -> str:
    """Return where visitors sign in: `LOGIN_URL` if the site sets it, otherwise our own page."""
    own = settings.is_overridden("LOGIN_URL")  # type: ignore[misc]  # the plugin knows names of settings only
    return resolve_url(settings.LOGIN_URL if own else "phone_verify:login")


def after_logout() -> str:
    """Return where to go after sign-out without `next`; empty if the site does not set it."""
    return resolve_url(settings.LOGOUT_REDIRECT_URL) if settings.LOGOUT_REDIRECT_URL else ""


def session_same_site() -> object:
    """Return the `SameSite` that Django gives to its session cookie; ours follow it."""
    return settings.SESSION_COOKIE_SAMESITE


def other_origins(*addresses: object) -> Iterator[str]:
    """Yield the origins of the absolute addresses among these and those in the settings."""
    for address in (settings.LOGIN_URL, settings.LOGIN_REDIRECT_URL, settings.LOGOUT_REDIRECT_URL, *addresses):
        if isinstance(address, str) and address.startswith(("http://", "https://")):
            parts = urlsplit(address)
            yield f"{parts.scheme}://{parts.netloc}"


def site_has_policy(request: HttpRequest) -> bool:
    """Return whether a middleware (Django 6's or django-csp's) sets a Content-Security-Policy."""
    django_writes = hasattr(request, "_csp_nonce") and bool(getattr(settings, "SECURE_CSP", None))
    return django_writes or hasattr(request, "csp_nonce")


def account_values() -> dict[str, object]:
    """Return the account settings in `PHONE_VERIFY` as given. Raises `ConfigurationError` for an invalid dict."""
    return {name: value for name, value in _values().items() if name in NAMES}


def core_values() -> dict[str, object]:
    """Return the settings in `PHONE_VERIFY` for the core, without the account settings."""
    return {name: value for name, value in _values().items() if name not in NAMES}


def _values() -> dict[str, object]:
    values = getattr(settings, "PHONE_VERIFY", None)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigurationError("PHONE_VERIFY must be a dict, like {'sms': 'console://'}")
    for name in values:
        if not isinstance(name, str) or name != name.lower():
            right = str(name).lower().removeprefix(PREFIX.lower())
            raise ConfigurationError(
                f"PHONE_VERIFY: keys are in lower case and without prefix, not {quoted(name)}",
                f"Write {quoted(right)}.",
            )
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
