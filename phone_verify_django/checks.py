"""System checks for `manage.py check`: the findings of the doctor, with Django's setting names, and our own.

Without `--deploy` they report what cannot work or works differently than intended; with it also what
a production site should have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.forms import BaseForm

from phone_verify.config.site import SiteConfig
from phone_verify.doctor import Finding, Level, examine
from phone_verify.errors import ConfigurationError, is_name, quoted

from . import app_settings, database_checks, site_requirements
from .app_settings import DEFAULT_ACCOUNTS, NAMES, PHONE_FIELDS, RECYCLED, is_text_field, load, user_field
from .site import orm_alias, site_config
from .site_requirements import AUTHENTICATION

#: The doctor's rules, with the numbers of their check ids (for `SILENCED_SYSTEM_CHECKS`).
ALWAYS = {
    "settings": 3,
    "refused": 4,
    "misspelt": 10,
    "channels": 11,
    "practice": 12,
    "store": 13,
    "keys": 14,
    "ledger": 15,
    "staff": 19,
    "notices": 18,
    "services": 57,
}
DEPLOYED = {
    "short_codes": 20,
    "public_url": 21,
    "webhooks": 22,
    "regions": 23,
    "limits": 24,
    "test_numbers": 25,
    "messages": 26,
    "one_account": 27,
    "origins": 28,
}

SESSIONS = "phone_verify_django.middleware.PhoneSessionMiddleware"


@checks.register("phone_verify")
def check_settings(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """Return problems in Django's own settings."""
    return list(_complaints())


@checks.register("phone_verify")
def check_configuration(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """Return what cannot work, or works differently than intended."""
    return list(_examined())


@checks.register("phone_verify", deploy=True)
def check_deployment(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """Return what a production site should have."""
    return [*_examined(deployed=True), *_sessions(), *_database()]


def examined_by_us() -> tuple[SiteConfig, list[checks.CheckMessage]]:
    """Return the settings for the doctor, and our own findings. Raises `ConfigurationError`."""
    given = site_config()
    complaints = check_settings()
    if any(message.id == "phone_verify.E002" for message in complaints):
        given = replace(given, webhook_path=None)
    return given, complaints


def as_finding(message: checks.CheckMessage) -> Finding:
    """Return a message of the system checks as a finding of the doctor, with the check's id."""
    level = Level.ERROR if message.is_serious() else Level.WARNING
    return Finding(level, "", message.msg, message.hint or "", id=message.id or "PV105")


def _complaints() -> Iterator[checks.CheckMessage]:
    yield from site_requirements.complaints()
    if AUTHENTICATION in settings.MIDDLEWARE and SESSIONS not in settings.MIDDLEWARE:
        yield checks.Warning(
            "A user's other sessions stay valid in your own views after the number was changed, removed or lost: "
            "MIDDLEWARE does not contain PhoneSessionMiddleware. (Our pages, API, decorators and mixins end them.)",
            hint=f"Add {SESSIONS!r} to MIDDLEWARE, after {AUTHENTICATION!r}.",
            id="phone_verify.W006",
        )
    yield from _accounts()
    yield from _tenants()
    yield from database_checks.complaints()
    if apps.is_installed("allauth.account"):
        from .allauth import requirements

        yield from requirements.complaints()
    if apps.is_installed("phone_verify_django.otp"):
        from .otp.apps import complaints

        yield from complaints()


#: Packages that set a schema on the connection of each request.
_TENANT_PACKAGES = ("django_tenants", "tenant_schemas", "django_pgschemas")


def _tenants() -> Iterator[checks.CheckMessage]:
    try:
        alias = orm_alias()
        setup = app_settings.account_settings().connection_setup
    except (ConfigurationError, ImproperlyConfigured):  # reported already
        return
    engine = str(settings.DATABASES.get(alias or "", {}).get("ENGINE"))
    package = engine.partition(".")[0]
    if package in _TENANT_PACKAGES and setup is None:
        yield checks.Warning(
            f"{package} sets a schema on the connection of each request, but a verification inside "
            "transaction.atomic() uses a second connection with another schema, so it is refused there.",
            hint="Write a function that sets the schema on the connection passed to it, and set "
            "PHONE_VERIFY['connection_setup'] to its dotted path, like 'shop.tenants.set_tenant'; see docs/stores.md.",
            id="phone_verify.W033",
        )


def _accounts() -> Iterator[checks.CheckMessage]:
    try:
        found = list(mistakes(app_settings.account_values()))
    except ConfigurationError:  # the doctor reports it
        return
    for mistake in found:
        says = f"PHONE_VERIFY[{mistake.name!r}]: {mistake.says}"
        yield checks.Error(says, hint=mistake.advice, id="phone_verify.E005")


def _examined(*, deployed: bool = False) -> Iterator[checks.CheckMessage]:
    """Yield the doctor's errors and warnings: every error, and the warnings of the rules that hold always.

    `deployed` yields what `--deploy` adds: the other warnings, and as errors what a site starts with.
    """
    try:
        given, _ = examined_by_us()
        findings: Collection[Finding] = examine(given)
    except ConfigurationError as error:
        given = SiteConfig()
        findings = [Finding(Level.ERROR, "", error.problem, error.advice, id="PV105", rule="settings")]
    starts = _starts(given)
    for finding in findings:
        if finding.level not in (Level.ERROR, Level.WARNING):
            continue
        # An error stops `migrate` and `runserver`, so a site that starts gets errors only with --deploy.
        is_error = finding.level is Level.ERROR and (deployed or not starts)
        if deployed and (finding.rule in ALWAYS or (is_error and not starts)):
            continue
        if not deployed and finding.rule in DEPLOYED and finding.level is not Level.ERROR:
            continue
        kind, letter = (checks.Error, "E") if is_error else (checks.Warning, "W")
        yield kind(
            f"{finding.title}: {finding.says}" if finding.title else finding.says,
            hint=finding.advice or None,
            id=f"phone_verify.{letter}{(ALWAYS | DEPLOYED)[finding.rule]:03}",
        )


def _starts(given: SiteConfig) -> bool:
    try:
        given.site()
    except ConfigurationError:
        return False
    return True


#: Timeouts by database engine: the names required in OPTIONS, and the value to set.
_TIMEOUTS: dict[str, tuple[tuple[str, ...], str]] = {
    "django.db.backends.postgresql": (
        ("connect_timeout", "lock_timeout", "statement_timeout"),
        "{'connect_timeout': 5, 'tcp_user_timeout': 5000, 'options': '-c lock_timeout=5s -c statement_timeout=5s'}",
    ),
    "django.db.backends.mysql": (
        ("connect_timeout", "read_timeout", "write_timeout", "innodb_lock_wait_timeout"),
        (
            "{'connect_timeout': 5, 'read_timeout': 5, 'write_timeout': 5, "
            "'init_command': 'SET innodb_lock_wait_timeout = 5'}"
        ),
    ),
}


def _database() -> Iterable[checks.CheckMessage]:
    try:
        alias = orm_alias()
    except (ConfigurationError, ImproperlyConfigured):  # reported already
        return
    database = settings.DATABASES.get(alias or "", {})
    wanted, advice = _TIMEOUTS.get(str(database.get("ENGINE")), ((), ""))
    options = str(database.get("OPTIONS", {}))
    missing = [name for name in wanted if name not in options]
    if missing:
        yield checks.Warning(
            f"DATABASES[{alias!r}] sets no timeout ({', '.join(missing)}): while the database hangs, requests "
            "block until the site has no free thread.",
            hint=f"Set in DATABASES[{alias!r}], if five seconds are enough for your own pages too: 'OPTIONS': {advice}",
            id="phone_verify.W032",
        )


def _sessions() -> Iterable[checks.CheckMessage]:
    engine = settings.SESSION_ENGINE
    if engine == "django.contrib.sessions.backends.signed_cookies":
        yield checks.Warning(
            "Sessions are kept in cookies: anyone who has a copy can read it, and can use it again after sign-out, "
            "with its recent phone verifications.",
            hint="Set SESSION_ENGINE = 'django.contrib.sessions.backends.db', or 'cached_db'.",
            id="phone_verify.W030",
        )
    cache = settings.CACHES.get(settings.SESSION_CACHE_ALIAS, {}).get("BACKEND", "")
    says = None
    if engine == "django.contrib.sessions.backends.cache" and cache.endswith((".LocMemCache", ".DummyCache")):
        says = "Sessions are kept in the memory of one process: with several workers, a user signed in at one is "
        says += "anonymous at the next."
    elif engine == "django.contrib.sessions.backends.cached_db" and cache.endswith(".LocMemCache"):
        says = "Sessions are cached in each process: with several workers, a user signed out at one is still "
        says += "signed in at the next."
    if says:
        yield checks.Warning(
            says,
            hint="Set SESSION_ENGINE = 'django.contrib.sessions.backends.db', or a cache shared by all workers in "
            f"CACHES[{settings.SESSION_CACHE_ALIAS!r}].",
            id="phone_verify.W031",
        )


@dataclass(frozen=True, slots=True)
class Mistake:
    """An invalid setting: its name, what is wrong, and how to fix it."""

    name: str
    says: str
    advice: str

    def __str__(self) -> str:
        return f"PHONE_VERIFY[{self.name!r}]: {self.says} {self.advice}"


def refuse_mistakes() -> None:
    """Raise `ImproperlyConfigured` for invalid account settings, except for commands that report them."""
    if not app_settings.is_lenient():
        for mistake in mistakes(app_settings.account_values()):
            raise ImproperlyConfigured(str(mistake))


def mistakes(values: Mapping[str, object]) -> Iterator[Mistake]:
    """Yield everything invalid in these account settings. Imports what they name; opens no connection."""
    found = [mistake for name in NAMES if values.get(name) is not None for mistake in _check(name, values)]
    yield from found
    if not found:
        yield from _together(app_settings.AccountSettings.of(values))


def _check(name: str, values: Mapping[str, object]) -> list[Mistake]:
    problem = _RULES[name](values[name])
    return [Mistake(name, *problem)] if problem else []


def _problem_of_accounts(value: object) -> tuple[str, str] | None:
    advice = "Set the dotted path of a subclass of phone_verify_django.accounts.Accounts, like 'shop.accounts.Own'."
    return _problem_of_class(value, load(DEFAULT_ACCOUNTS), advice)


def _problem_of_signup_form(value: object) -> tuple[str, str] | None:
    return _problem_of_class(value, BaseForm, "Set the dotted path of a form class, like 'shop.forms.SignUpForm'.")


def _problem_of_class(value: object, wanted: type, advice: str) -> tuple[str, str] | None:
    try:
        found = load(value)
    except ImportError as error:
        return _not_imported(value, error), advice
    if not (isinstance(found, type) and issubclass(found, wanted)):
        return f"{quoted(value)} is not such a class.", advice
    return None


def _not_imported(value: object, error: ImportError) -> str:
    # The text of the error repeats the value.
    return f"Cannot import {quoted(value)}{f': {error}' if is_name(str(value)) else ''}."


def _problem_of_shared_phones(value: object) -> tuple[str, str] | None:
    return None if isinstance(value, bool) else ("The value is neither True nor False.", "Set True or False.")


def _problem_of_recycled_numbers(value: object) -> tuple[str, str] | None:
    return None if value in RECYCLED else (f"Invalid value {quoted(value)}.", "Set 'keep' or 'newest'.")


def _problem_of_phone_field(value: object) -> tuple[str, str] | None:
    model = get_user_model()._meta.label
    if value == "" or (isinstance(value, str) and is_text_field(value)):
        return None
    return f"{model} has no text field {quoted(value)}.", f"Set the name of a CharField of {model}, or '' for none."


def _problem_of_connection_setup(value: object) -> tuple[str, str] | None:
    return _problem_of_function(
        value, "Set the dotted path of a function that takes the connection, like 'shop.tenants.set_tenant'."
    )


def _problem_of_token(value: object) -> tuple[str, str] | None:
    return _problem_of_function(
        value, "Set the dotted path of a function that takes a user and a Redeemed, like 'shop.tokens.make'."
    )


def _problem_of_user_for_token(value: object) -> tuple[str, str] | None:
    return _problem_of_function(
        value, "Set the dotted path of a function that takes a request and a token, like 'shop.tokens.user'."
    )


def _problem_of_function(value: object, advice: str) -> tuple[str, str] | None:
    try:
        found = load(value)
    except ImportError as error:
        return _not_imported(value, error), advice
    return None if callable(found) else (f"{quoted(value)} is not a function.", advice)


def _problem_of_alarm_emails(value: object) -> tuple[str, str] | None:
    if isinstance(value, list | tuple) and all(isinstance(address, str) and "@" in address for address in value):
        return None
    return "Not a list of e-mail addresses.", "Set a list like ['ops@site.example'], or leave it out for ADMINS."


def _problem_of_oauth_grants(value: object) -> tuple[str, str] | None:
    """The bridge checks the rest."""
    if apps.is_installed("phone_verify_django.oauth_toolkit"):
        return None
    return "No app reads it.", "Add 'phone_verify_django.oauth_toolkit' to INSTALLED_APPS."


_RULES: Mapping[str, Callable[[object], tuple[str, str] | None]] = {
    "accounts": _problem_of_accounts,
    "shared_phones": _problem_of_shared_phones,
    "recycled_numbers": _problem_of_recycled_numbers,
    "signup_form": _problem_of_signup_form,
    "phone_field": _problem_of_phone_field,
    "connection_setup": _problem_of_connection_setup,
    "token": _problem_of_token,
    "user_for_token": _problem_of_user_for_token,
    "oauth_grants": _problem_of_oauth_grants,
    "alarm_emails": _problem_of_alarm_emails,
}


def _together(chosen: app_settings.AccountSettings) -> Iterator[Mistake]:
    model, field = get_user_model(), chosen.phone_field_name()
    if chosen.shared_phones and chosen.moves:
        yield Mistake("recycled_numbers", "Shared numbers cannot be transferred.", "Remove it or shared_phones.")
    if chosen.shared_phones and field and user_field(field).unique:
        yield Mistake(
            "shared_phones",
            f"{model._meta.label}.{field} is unique, so two users cannot share a number.",
            "Remove it, or set PHONE_VERIFY['phone_field'] to '' and use another username field."
            if field == model.USERNAME_FIELD
            else "Remove it, set PHONE_VERIFY['phone_field'] to '', or make the field not unique.",
        )
    if chosen.moves and field and _keeps_number(user_field(field)):
        yield Mistake(
            "recycled_numbers",
            f"{model._meta.label}.{field} of the previous owner keeps the number, so it cannot be transferred.",
            "Set 'keep', or make the field nullable.",
        )
    name = model.USERNAME_FIELD
    if chosen.phone_field is not None and name in PHONE_FIELDS and chosen.phone_field != name and is_text_field(name):
        yield Mistake(
            "phone_field", f"The username field is {model._meta.label}.{name}.", f"Set {name!r}, or remove it."
        )


def _keeps_number(field: Any) -> bool:
    """Return whether the field cannot be emptied when the user loses the number."""
    return bool(field.unique and (not field.null or field.name == get_user_model().USERNAME_FIELD))
