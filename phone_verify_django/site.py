"""The configured site: built once from the settings, again after a test has changed them."""

from __future__ import annotations

import logging
import os
import threading
from asyncio import to_thread
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar

from asgiref.sync import SyncToAsync, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import close_old_connections, connections
from django.urls import NoReverseMatch, reverse

from phone_verify.config.site import SiteConfig
from phone_verify.errors import ConfigurationError
from phone_verify.http.site import Site

from . import app_settings, signals
from .app_settings import DEFAULT_STORE, REBUILD_ON
from .store import OrmStore

log = logging.getLogger("phone_verify")

T = TypeVar("T")

_lock = threading.Lock()
_site: Site | None = None
#: What a test puts in the place of the network and of the time (`testing.override`).
_instead: dict[str, Any] = {}
#: Whether the process started with DEBUG on: Django's test runner turns it off afterwards.
_started_in_debug = False


def current_site() -> Site:
    """The site that the settings describe: built once, and anew after a test has changed them.

    Raises `ImproperlyConfigured` for settings that cannot work.
    """
    global _site
    with _lock:
        if _site is None:
            _site = _built()
        return _site


def validate() -> None:
    """Refuse settings that cannot work, unless somebody is looking at them."""
    global _started_in_debug
    _started_in_debug = _started_in_debug or app_settings.debug()  # a test that changes INSTALLED_APPS starts us again
    if not app_settings.is_lenient():
        current_site()
        for mistake in app_settings.account_mistakes():
            raise ImproperlyConfigured(str(mistake))


def site_config() -> SiteConfig:
    """What the settings say, unread. Raises `ConfigurationError` where `PHONE_VERIFY` has another form."""
    return SiteConfig(
        values=app_settings.core_values(),
        environ=os.environ,
        framework="Django",
        framework_keys=_framework_keys,
        stores={"orm": _open_orm},
        default_store=lambda: DEFAULT_STORE,
        webhook_path=webhook_path,
        production=not (app_settings.debug() or _started_in_debug),
        in_thread=_in_thread,
    )


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


def webhook_path(driver: str, secret: str) -> str:
    """The path of a webhook. Raises `ConfigurationError` where our URLs are not included."""
    try:
        return reverse("phone_verify:api", kwargs={"path": f"webhooks/{driver}/{secret}"})
    except NoReverseMatch:
        raise ConfigurationError(
            "the site's URLs do not include ours: write path('phone/', include('phone_verify_django.urls')) in your "
            "root URLconf, outside of other namespaces"
        ) from None


def forget(*, setting: str = "PHONE_VERIFY", **_: object) -> None:
    """Build the site anew on its next use, if this setting has a part in it."""
    global _site
    if setting in REBUILD_ON:
        with _lock:
            _site = None


setting_changed.connect(forget)


def _built() -> Site:
    try:
        return site_config().site(listeners=[signals.hear], **_instead)
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from None


def _framework_keys() -> list[str]:
    try:
        return app_settings.framework_keys()
    except ImproperlyConfigured as error:  # Django's word for an empty SECRET_KEY
        raise ConfigurationError(str(error)) from None


async def _in_thread(step: Callable[[], T]) -> T:
    """What a step of the store returns.

    Not in the thread that Django gives to each request: five hundred requests that wait for a provider would hold
    five hundred connections to the database. A few threads serve them all, and keep connections as CONN_MAX_AGE says.
    """
    if SyncToAsync.thread_sensitive_context.get(None) is None:
        # No server gave a thread, so that Django would use the main one: a test case's, which alone sees its block.
        return await sync_to_async(step)()
    return await to_thread(_like_a_request, step)


def _like_a_request(step: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return step()
    finally:
        close_old_connections()


def _open_orm(url: str) -> Any:
    alias = url.partition(":")[2] or "default"
    if alias not in connections:
        raise ConfigurationError(
            f"PHONE_VERIFY_STORE: there is no database {alias!r} in DATABASES; write orm: or orm:alias"
        )
    return OrmStore(using=alias, connection_setup=app_settings.load(app_settings.account_settings().connection_setup))
