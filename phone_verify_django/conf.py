"""Settings into the site: the one module here that reads them.

    PHONE_VERIFY = {"sms": "amoot://TOKEN@default", "region": "IR"}

The keys are those of the environment, lower case and without `PHONE_VERIFY_`; what is left out comes from there.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar
from urllib.parse import urlsplit

from asgiref.sync import SyncToAsync, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import close_old_connections, connections
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, reverse

from phone_verify.api import Site
from phone_verify.config import CHANNEL_NAMES, Given, Settings
from phone_verify.errors import ConfigurationError

from . import signals
from .account_settings import NAMES as ACCOUNT_NAMES
from .account_settings import AccountSettings, Mistake, load, mistakes

log = logging.getLogger("phone_verify")

T = TypeVar("T")

DEFAULT_STORE = "orm:"

_HOLD_CREDENTIALS = (*CHANNEL_NAMES, "store")
#: The commands that say what is wrong with settings, as they stand in `sys.argv`.
_LOOKING = (["check"], ["phone_verify_doctor"])
_REBUILD_ON = ("PHONE_VERIFY", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "DEBUG", "AUTH_USER_MODEL")

_lock = threading.Lock()
_site: Site | None = None
_account_settings: AccountSettings | None = None
#: What a test puts in the place of the network and of the time (`testing.override`).
_instead: dict[str, Any] = {}
#: Whether the process started with DEBUG on: Django's test runner turns it off afterwards.
_started_in_debug = False
_looked_at: ContextVar[bool] = ContextVar("phone_verify_django.conf.looked_at", default=False)


class Masked(str):
    """A text that does not show in its repr, so that error pages and `diffsettings` do not show it either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********************'"


def site() -> Site:
    """The site that the settings describe: built once, and anew after a test has changed them.

    Raises `ImproperlyConfigured` for settings that cannot work.
    """
    global _site
    with _lock:
        if _site is None:
            _site = _built()
        return _site


def at_start() -> None:
    """Refuse settings that cannot work, unless somebody is looking at them."""
    global _started_in_debug
    _started_in_debug = _started_in_debug or debug()  # a test that changes INSTALLED_APPS starts us again
    if not are_looked_at():
        site()
        for mistake in account_mistakes():
            raise ImproperlyConfigured(str(mistake))


def are_looked_at() -> bool:
    """Whether Django is to start with settings that cannot work, too: for who says what is wrong with them."""
    return _looked_at.get() or sys.argv[1:2] in _LOOKING


@contextmanager
def looked_at() -> Iterator[None]:
    """Within it Django starts with settings that cannot work, too: for who says what is wrong with them."""
    token = _looked_at.set(True)
    try:
        yield
    finally:
        _looked_at.reset(token)


def read() -> Settings:
    """The settings of `PHONE_VERIFY` and the environment. Raises `ImproperlyConfigured`."""
    try:
        return Settings.read(_values(), os.environ)
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from None


def given() -> Given:
    """What the settings say, unread. Raises `ConfigurationError` where `PHONE_VERIFY` has another form."""
    return Given(
        values=_values(),
        environ=os.environ,
        framework="Django",
        framework_keys=_framework_keys,
        stores={"orm": _open_orm},
        default_store=lambda: DEFAULT_STORE,
        webhook_path=webhook_path,
        production=not (debug() or _started_in_debug),
        in_thread=_in_thread,
    )


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


def orm_alias() -> str | None:
    """The database in which Django's own store keeps its rows; None where the site has another store."""
    scheme, _, alias = (read().store or DEFAULT_STORE).partition(":")
    return (alias or "default") if scheme == "orm" else None


@cache
def can_await() -> bool:
    """Whether what the API needs under ASGI is installed; the log says once if not."""
    found = find_spec("aiohttp") is not None
    if not found:
        log.warning(
            "the API runs in threads, one for each request under way: for many at once install aiohttp by "
            "pip install 'phone-verify[async]'"
        )
    return found


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


def forget(*, setting: str = "PHONE_VERIFY", **_: object) -> None:
    """Build the site anew on its next use, if this setting has a part in it."""
    global _site, _account_settings
    if setting in _REBUILD_ON:
        with _lock:
            _site = _account_settings = None


setting_changed.connect(forget)


def _built() -> Site:
    try:
        return given().site(listeners=[signals.hear], **_instead)
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from None


def _framework_keys() -> list[str]:
    try:
        return framework_keys()
    except ImproperlyConfigured as error:  # Django's word for an empty SECRET_KEY
        raise ConfigurationError(str(error)) from None


def _values() -> dict[str, object]:
    """What stands in `PHONE_VERIFY` for the core, the settings of accounts left aside."""
    return {name: value for name, value in _own_values().items() if name not in ACCOUNT_NAMES}


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


async def _in_thread(step: Callable[[], T]) -> T:
    """What a step of the store returns.

    Not in the thread that Django gives to each request: five hundred requests that wait for a provider would hold
    five hundred connections to the database. A few threads serve them all, and keep connections as CONN_MAX_AGE says.
    """
    if SyncToAsync.thread_sensitive_context.get(None) is None:
        # No server gave a thread, so that Django would use the main one: a test case's, which alone sees its block.
        return await sync_to_async(step)()
    from asyncio import to_thread

    return await to_thread(_like_a_request, step)


def _like_a_request(step: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return step()
    finally:
        close_old_connections()


def _open_orm(url: str) -> Any:
    from .store import OrmStore

    alias = url.partition(":")[2] or "default"
    if alias not in connections:
        raise ConfigurationError(
            f"PHONE_VERIFY_STORE: there is no database {alias!r} in DATABASES; write orm: or orm:alias"
        )
    return OrmStore(using=alias, connection_setup=load(account_settings().connection_setup))


def webhook_path(driver: str, secret: str) -> str:
    """The path of a webhook. Raises `ConfigurationError` where our URLs are not included."""
    try:
        return reverse("phone_verify:api", kwargs={"path": f"webhooks/{driver}/{secret}"})
    except NoReverseMatch:
        raise ConfigurationError(
            "the site's URLs do not include ours: write path('phone/', include('phone_verify_django.urls')) in your "
            "root URLconf, outside of other namespaces"
        ) from None
