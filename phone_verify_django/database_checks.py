"""System checks of several databases: routers that part tables which belong together, and replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, router

from phone_verify.errors import ConfigurationError

from .models import ConversionRow, CounterRow, PhoneRow, ResponseRow, VerificationRow
from .primary import alias_of
from .site import orm_alias

_STORE = (VerificationRow, PhoneRow, CounterRow, ResponseRow, ConversionRow)
#: The session engines that read Django's table at each request, or when the cache has lost a session.
_SESSIONS_IN_DATABASE = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")


def complaints() -> Iterator[checks.CheckMessage]:
    """Yield what the site's routers break. Opens no connection."""
    if not router.routers:
        return
    yield from _users()
    try:
        store = orm_alias()
    except (ConfigurationError, ImproperlyConfigured):  # reported already
        store = None
    if store is not None and store in connections:
        yield from _store(store)
    yield from _sessions()


def _users() -> Iterator[checks.CheckMessage]:
    user = get_user_model()
    users = alias_of(user)
    for model in _models_of_users():
        if not _is_same(alias_of(model), users):
            yield checks.Error(
                f"{model._meta.label} is in the database {alias_of(model)!r} and {user._meta.label} in {users!r}: they "
                "are joined, and changed in one transaction.",
                hint=f"Return {users!r} for {model._meta.label} in db_for_read, db_for_write and allow_migrate of the "
                "routers in DATABASE_ROUTERS; only the store's tables may be in another database.",
                id="phone_verify.E040",
            )
        elif not router.allow_migrate_model(alias_of(model), model):
            yield _unmade(model, alias_of(model))


def _store(store: str) -> Iterator[checks.CheckMessage]:
    for model in _STORE:
        if not router.allow_migrate_model(store, model):
            yield _unmade(model, store)
    users = alias_of(get_user_model())
    if not _is_same(store, users):
        yield checks.Info(
            f"Verifications are in the database {store!r} and users in {users!r}: each is committed separately. If a "
            "sign-in or a change of number fails after its proof was redeemed, the proof is used up and the visitor "
            "verifies the number again; a restored backup of one database does not match the other.",
            hint="Nothing needs to be done if this is intended; SILENCED_SYSTEM_CHECKS = ['phone_verify.I042'].",
            id="phone_verify.I042",
        )


def _sessions() -> Iterator[checks.CheckMessage]:
    if settings.SESSION_ENGINE not in _SESSIONS_IN_DATABASE or not apps.is_installed("django.contrib.sessions"):
        return
    session = apps.get_model("sessions", "Session")
    read, written = router.db_for_read(session), alias_of(session)
    if not _is_same(read, written):
        yield checks.Warning(
            f"Sessions are written to {written!r} and read from {read!r}: a request that comes before the copy finds "
            "no session, and the visitor who has just signed in is anonymous again.",
            hint=f"Return {written!r} for the app label 'sessions' in the router's db_for_read.",
            id="phone_verify.W043",
        )


def _unmade(model: type[models.Model], alias: str) -> checks.CheckMessage:
    return checks.Error(
        f"{model._meta.label} is used in the database {alias!r}, but the routers let no migration create its table "
        "there.",
        hint=f"Return True for the app label {model._meta.app_label!r} and {alias!r} in allow_migrate, or name the "
        "database with its tables in db_for_write (for the store also: PHONE_VERIFY['store'] = 'orm:alias').",
        id="phone_verify.E041",
    )


def _models_of_users() -> Iterator[type[models.Model]]:
    """Yield our models that belong to a user."""
    for config in apps.get_app_configs():
        if config.name.partition(".")[0] == __package__:
            for model in config.get_models():
                if any(field.related_model is get_user_model() for field in model._meta.fields):
                    yield model


def _is_same(one: str, other: str) -> bool:
    """Return whether two aliases name one database."""
    return one == other or _place(one) == _place(other)


def _place(alias: str) -> Mapping[str, object] | str:
    database = settings.DATABASES.get(alias, {})
    return {name: database.get(name) for name in ("ENGINE", "NAME", "HOST", "PORT")} if database.get("NAME") else alias
