"""The configured site. It is built once from the settings, and again after a test has changed them."""

from __future__ import annotations

import logging
import os
import threading
from asyncio import get_running_loop, to_thread
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar
from weakref import WeakSet

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, async_to_sync, sync_to_async
from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.translation import get_supported_language_variant, override

from phone_verify.config.site import SiteConfig
from phone_verify.errors import ConfigurationError, quoted
from phone_verify.http.site import Site
from phone_verify.sync import run_in_loop

from . import alarm_mail, app_settings, signals, tasks
from .app_settings import DEFAULT_STORE, REBUILD_ON
from .models import VerificationRow
from .primary import alias_of
from .services import opening
from .store import OrmStore, in_worker, is_worker
from .store.second_connection import Setup

log = logging.getLogger("phone_verify")

T = TypeVar("T")

_lock = threading.Lock()
_site: Site | None = None
#: Transport and clock of a test (`testing.override`).
_overrides: dict[str, Any] = {}
#: Whether the process started with DEBUG on. Django's test runner turns it off afterwards.
_started_in_debug = False


def current_site() -> Site:
    """Return the configured site, built at the first call.

    Raises `ImproperlyConfigured` for invalid settings.
    """
    global _site
    with _lock:
        if _site is None:
            _site = _built()
        return _site


def site_of(request: HttpRequest) -> Site:
    """Return the configured site under the host of this request, which its messages then name."""
    site = current_site()
    if not site.others:
        return site
    try:
        return site.at(request.get_host())
    except DisallowedHost:  # Django answers it where it matters
        return site


def validate() -> None:
    """Raise `ImproperlyConfigured` for invalid settings, except for commands that report them."""
    global _started_in_debug
    _started_in_debug = _started_in_debug or app_settings.debug()  # a test that changes INSTALLED_APPS calls this again
    if not app_settings.is_lenient():
        current_site()


def site_config() -> SiteConfig:
    """Return the unparsed settings. Raises `ConfigurationError` if `PHONE_VERIFY` is not a valid dict."""
    return SiteConfig(
        values=app_settings.core_values(),
        environ=os.environ,
        framework="Django",
        framework_keys=_framework_keys,
        framework_origins=app_settings.csrf_trusted_origins(),
        stores={"orm": _open_orm},
        service_rows={"orm": opening.open_services},
        key_stores={"orm": opening.open_keys},
        ledgers={"orm": lambda url, endpoints: opening.open_ledger(url, endpoints, _setup())},
        outboxes={"orm": opening.open_outbox},
        reports={"orm": lambda url: opening.open_aggregates(url, _setup())},
        works={"orm": lambda url: opening.open_work(url, _setup())},
        wakes={"django-tasks": tasks.waker},
        default_store=lambda: DEFAULT_STORE,
        webhook_path=webhook_path,
        production=not (app_settings.debug() or _started_in_debug),
        in_thread=_in_thread,
        run_async=_run_async,
        spell=app_settings.spell,
        own_names=app_settings.NAMES,
        detects_https=app_settings.detects_https,
    )


@cache
def can_await() -> bool:
    """Return whether the package for the async API is installed; log once if not."""
    installed = find_spec("aiohttp") is not None
    if not installed:
        log.warning(
            "the API uses one thread for each open request; for many concurrent requests install aiohttp: "
            "pip install 'phone-verify[async]'"
        )
    return installed


def webhook_path(driver: str, secret: str) -> str:
    """Return the path of a webhook. Raises `ConfigurationError` if our URLs are not included."""
    return api_path(f"webhooks/{driver}/{secret}")


def api_path(path: str) -> str:
    """Return the address of a path of the API: the one without a language, if the site has included `api_urls`.

    Within `i18n_patterns` it is the address in the site's own language, whichever is active now.
    """
    with override(_language_of_addresses()):
        for name in ("phone_verify_api:api", "phone_verify:api"):
            try:
                return reverse(name, kwargs={"path": path})
            except NoReverseMatch:
                continue
    raise ConfigurationError(
        "the site's URLs do not include ours: add path('phone/', include('phone_verify_django.urls')) in your "
        "root URLconf, outside of other namespaces"
    )


def api_mount() -> str | None:
    """Return the path under which the site has included `api_urls`, or None."""
    try:
        return reverse("phone_verify_api:api", kwargs={"path": "v1"}).removesuffix("v1")
    except NoReverseMatch:
        return None


def _language_of_addresses() -> str:
    """Return the language whose prefix LocaleMiddleware serves: LANGUAGE_CODE itself may not be in LANGUAGES."""
    used, prefixed = is_language_prefix_patterns_used(settings.ROOT_URLCONF)
    if not (used and prefixed and any(name.endswith(".LocaleMiddleware") for name in settings.MIDDLEWARE)):
        return settings.LANGUAGE_CODE
    try:
        return get_supported_language_variant(settings.LANGUAGE_CODE)
    except LookupError:
        return settings.LANGUAGE_CODE


def forget(*, setting: str = "PHONE_VERIFY", **_: object) -> None:
    """Rebuild the site at its next use, if it depends on this setting."""
    global _site
    if setting in REBUILD_ON:
        with _lock:
            _site = None


setting_changed.connect(forget)


def _built() -> Site:
    try:
        given = site_config()
        site = given.site(listeners=[signals.listener, alarm_mail.listener], **_overrides)
    except ConfigurationError as error:
        raise ImproperlyConfigured(str(error)) from error.__cause__
    given.warn_without_channel()
    return site


def _framework_keys() -> list[str]:
    try:
        return app_settings.framework_keys()
    except ImproperlyConfigured as error:  # raised by Django for an empty SECRET_KEY
        raise ConfigurationError(str(error)) from None


async def _in_thread(step: Callable[[], T]) -> T:
    """Run a step of the store in a thread, and return its result.

    In the thread of the request if that has a connection: the site may have set a schema or a role on
    it. Otherwise in one of a few worker threads, which keep their connections for CONN_MAX_AGE: five
    hundred requests that wait for a provider would hold five hundred connections.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None:
        # Outside of a server asgiref uses the main thread: a test case's, whose transaction is visible only there.
        return await sync_to_async(step)()
    # A request without a thread has no connection; neither has an event stream, which gave its thread back.
    has_thread = context in SyncToAsync.context_to_thread_executor
    results = await _in_request_thread(step) if has_thread and context in _connected else ()
    return results[0] if results else await to_thread(_in_request_cycle, step)


#: The requests that have opened a connection in their own thread. To look for one in that thread costs a thread switch,
#: which most requests need not pay for each of their steps.
_connected: WeakSet[ThreadSensitiveContext] = WeakSet()


@receiver(connection_created)
def _note_connection(**_: object) -> None:
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is not None and not is_worker():
        _connected.add(context)


async def _in_request_thread(step: Callable[[], T]) -> Sequence[T]:
    """Run the step in the request's thread, if that has a connection, and return its result; otherwise nothing."""
    has_begun = False

    def begin() -> Sequence[T]:
        nonlocal has_begun
        has_begun = True
        return _if_connected(step)

    try:
        return await sync_to_async(begin)()
    except RuntimeError:
        if has_begun:
            raise
        return ()  # the client has left, and with it the thread in which blocking middleware ran the view


async def release_thread() -> None:
    """Close the connections of the current request, and end its thread.

    For a response that takes minutes: hundreds of them would hold as many threads and connections.
    """
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None or context not in SyncToAsync.context_to_thread_executor:
        return
    await sync_to_async(connections.close_all)()
    executor = SyncToAsync.context_to_thread_executor.pop(context, None)
    if isinstance(executor, ThreadPoolExecutor):
        executor.shutdown(wait=False)


def _run_async(flow: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end. What it runs in threads uses the connection of this thread."""
    try:
        get_running_loop()
    except RuntimeError:
        return async_to_sync(_await)(flow)
    return run_in_loop(flow)


async def _await(flow: Coroutine[Any, Any, Any]) -> Any:
    return await flow


def _if_connected(step: Callable[[], T]) -> Sequence[T]:
    """Run the step if this thread has a connection, and return its result; otherwise nothing."""
    if all(connection.connection is None for connection in connections.all(initialized_only=True)):
        return ()
    return (step(),)


def _in_request_cycle(step: Callable[[], T]) -> T:
    close_old_connections()
    try:
        with in_worker():
            return step()
    finally:
        close_old_connections()


def orm_alias() -> str | None:
    """Return the alias of the database that holds Django's own store; None for another store.

    `orm:` follows the site's routers. Raises `ImproperlyConfigured` for invalid settings.
    """
    store = app_settings.read().store or DEFAULT_STORE
    return _alias_in(store) if store.partition(":")[0] == "orm" else None


def _alias_in(url: str) -> str:
    return url.partition(":")[2] or alias_of(VerificationRow)


def _open_orm(url: str) -> Any:
    alias = _alias_in(url)
    if alias not in connections:
        raise ConfigurationError(
            f"PHONE_VERIFY_STORE: no database {quoted(alias)} in DATABASES",
            "Set PHONE_VERIFY_STORE=orm: for the database of the site's routers, or orm: and an alias of DATABASES.",
        )
    # A site without any database is left to Django, which names the setting at the first query.
    if len(connections.settings) > 1 and connections.settings[alias]["ENGINE"] == "django.db.backends.dummy":
        raise ConfigurationError(
            f"PHONE_VERIFY_STORE: DATABASES[{alias!r}] is empty, and no router in DATABASE_ROUTERS sends our models to "
            "another database; set orm:alias, or return its alias in the router's db_for_write"
        )
    return OrmStore(using=alias, connection_setup=_setup())


def _setup() -> Setup | None:
    return None if app_settings.account_settings().connection_setup is None else _set_up_connection


def _set_up_connection(connection: BaseDatabaseWrapper) -> None:
    # Imported at use, so that commands that report settings run with one that cannot be imported.
    app_settings.load(app_settings.account_settings().connection_setup)(connection)
