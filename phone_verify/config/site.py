"""Builds a configured site from the settings and the framework's additions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ..before_send import BeforeSend, Hook
from ..codes import DRAW_KEY, Keyring, name_of_site
from ..errors import ConfigurationError
from ..events.opentelemetry import telemetry
from ..events.record import EventBus, Listener
from ..http.site import Site
from ..i18n.messages import message_writer
from ..parts import Components
from ..policy import Policy
from ..routing import Router
from ..stores.base import OfOneProcess, Store
from ..stores.threaded import InThread
from ..sync import TaskWaiting, run_in_loop, run_in_thread
from ..test_numbers import load_test_numbers
from ..transports.base import Transport
from ..transports.blocking import BlockingTransport
from ..verifier.blocking import Verifier
from ..verifier.operations import AsyncVerifier
from .drivers import load_drivers
from .origins import split_origins
from .proxies import load_proxies
from .settings import PREFIX, Settings, host_of, is_unset, missing_channel
from .stores import open_async_store, open_store
from .wording import Spell, as_variable, in_words

log = logging.getLogger("phone_verify")


def build_site(
    settings: Settings,
    *,
    framework_keys: Sequence[str] = (),
    framework_origins: Sequence[object] = (),
    stores: Mapping[str, Callable[[str], Store]] | None = None,
    default_store: str = "memory:",
    webhook_path: Callable[[str, str], str] | None = None,
    transport: Transport | None = None,
    clock: Callable[[], datetime] | None = None,
    ticks: Callable[[], float] = time.monotonic,
    production: bool = True,
    listeners: Sequence[Listener] = (),
    in_thread: InThread | None = None,
    hook: Callable[[], Hook | None] = lambda: None,
    run_async: Callable[[Coroutine[Any, Any, Any]], Any] = run_in_loop,
    words: Callable[[str], str] = str,
) -> Site:
    """Return the site for these settings.

    `framework_keys` sign if no secret keys are set, and identify the site if it has no public URL;
    of `framework_origins` those without a wildcard are trusted if no trusted origins are set;
    `stores` adds an adapter's own store schemes; `webhook_path(driver, secret)` returns the path
    under which the adapter receives webhooks. In `production` test numbers must be listed twice,
    and keys meant for development are refused. `listeners` receive every event, like the one that
    the settings name. `in_thread` runs the steps of a blocking store for the async verifier; by
    default, a thread for each. `hook` returns the framework's own `before_send`, for a site whose
    settings name none; `run_async` completes an async one in the blocking verifier.
    `words` rewrites log messages that name settings.
    """
    keys = settings.secret_keys or list(framework_keys)
    source = f"{PREFIX}SECRET_KEYS" if settings.secret_keys else "SECRET_KEY"
    keyring = Keyring(keys, settings.tag_key, production=production, source=source)
    router = Router(load_drivers(settings.dsns), settings.channels, ticks=ticks)
    _check_required_channels(settings.policy, router)
    secrets = list(settings.webhook_secret or keyring.webhook_secrets)

    def webhook_url(driver: str, secret: str) -> str | None:
        if settings.public_url is None or webhook_path is None:
            return None
        return settings.public_url + webhook_path(driver, secret or secrets[0])

    store_url = settings.store or default_store
    store = open_store(store_url, stores or {})

    def warn_multiprocess() -> None:
        if isinstance(store, OfOneProcess):
            store.refuse(
                words(
                    "the server runs several processes, and the memory store counts in each of them separately; "
                    f"set {PREFIX}STORE"
                )
            )

    test_numbers = load_test_numbers(
        settings.test_passcodes,
        settings.test_passcodes_in_production,
        production=production,
        today=(clock() if clock else datetime.now(UTC)).date(),
    )
    named_hook = _function("before_send", settings.before_send, "mysite.captcha.check")
    before_send = BeforeSend(hook if named_hook is None else lambda: named_hook, run=run_async)
    parts = Components(
        policy=settings.policy,
        keyring=keyring,
        store=store,
        transport=transport or BlockingTransport(),
        router=router,
        texts=message_writer(settings.site_name, host_of(settings.public_url), settings.wording),
        audiences=_audiences(settings, framework_keys),
        webhook_url=webhook_url,
        test_numbers=test_numbers,
        events=EventBus((*listeners, *_listeners(settings)), telemetry()),
        clock=clock,
        ticks=ticks,
        before_send=before_send,
    )

    @cache
    def async_parts() -> Components:
        from ..transports.aio import AsyncTransport

        async_store = open_async_store(store_url, store, in_thread)
        return replace(
            parts,
            store=async_store,
            transport=transport or AsyncTransport(),
            waiting=TaskWaiting(),
            before_send=replace(before_send, in_thread=in_thread or run_in_thread),
        )

    @cache
    def make_async_verifier() -> AsyncVerifier:
        return AsyncVerifier(async_parts())

    def at_host(site: Site, host: str) -> Site:
        """Return the site whose messages name this host. Store, drivers, keys and connections are the same."""
        texts = message_writer(settings.site_name, host, settings.wording)
        make = cache(lambda: AsyncVerifier(replace(async_parts(), texts=texts)))
        return replace(site, verifier=Verifier(replace(parts, texts=texts)), make_async_verifier=make)

    if settings.other_public_urls and settings.public_url is None:
        raise ConfigurationError(f"{PREFIX}OTHER_PUBLIC_URLS needs {PREFIX}PUBLIC_URL, the main address")
    site = Site(
        verifier=Verifier(parts),
        name=settings.site_name,
        public_url=settings.public_url,
        webhook_secrets=secrets,
        trusted_origins=frozenset(trusted_origins(settings, framework_origins)),
        proxies=load_proxies(settings),
        purposes=settings.purposes,
        staff_sign_in_by_phone=settings.staff_sign_in_by_phone,
        notify_old_number=settings.notify_old_number,
        staff_roles=settings.staff_roles,
        frame_ancestors=settings.frame_ancestors,
        captcha_sources=settings.captcha_sources,
        brand=settings.brand,
        next_channel_after=settings.next_channel_after,
        next_channel_sends_by_itself=settings.next_channel_sends_by_itself,
        offer_last_number=settings.offer_last_number,
        warn_multiprocess=warn_multiprocess,
        make_async_verifier=make_async_verifier,
    )
    hosts = {urlsplit(url).netloc: host_of(url) or "" for url in settings.other_public_urls}
    return replace(site, others={netloc: at_host(site, host) for netloc, host in hosts.items()})


def trusted_origins(settings: Settings, framework_origins: Sequence[object]) -> Sequence[str]:
    """Return the origins that may call the API: those of the settings, else those of the framework."""
    return split_origins(framework_origins)[0] if settings.trusted_origins is None else settings.trusted_origins


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """The unparsed settings of the site's owner and the framework's additions to them.

    The arguments of `build`; those that need the framework's own settings are functions, called
    when they are needed. Each of them may raise `ConfigurationError`. `framework` is its name, or
    empty. `spell` writes a setting as the framework's users do; `own_names` are settings that only
    the adapter reads; `unread` returns the problem of values where the framework does not read
    them, or None. `detects_https` returns whether the framework reads from a header that a visitor
    used https.
    """

    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    framework: str = ""
    framework_keys: Callable[[], Sequence[str]] = field(default=tuple, repr=False)
    #: Entries of the framework's own setting of trusted origins, which may contain wildcards.
    framework_origins: Sequence[object] = ()
    stores: Mapping[str, Callable[[str], Store]] = field(default_factory=dict)
    default_store: Callable[[], str] = lambda: "memory:"
    webhook_path: Callable[[str, str], str] | None = None
    production: bool = True
    in_thread: InThread | None = None
    hook: Callable[[], Hook | None] = lambda: None
    run_async: Callable[[Coroutine[Any, Any, Any]], Any] = run_in_loop
    spell: Spell = as_variable
    own_names: Collection[str] = ()
    unread: Callable[[], ConfigurationError | None] = lambda: None
    detects_https: Callable[[], bool] = lambda: False

    def in_words(self, text: str, about: str = "") -> str:
        """Return a message with settings as the owner writes them; `about` is that of `wording.in_words`."""
        return in_words(text, self.spell, [name for name in self.environ if self._is_variable(name)], about)

    def written(self, name: str) -> str:
        """Return the name of a setting as the owner writes it."""
        variable = as_variable(name)
        return variable if self._is_variable(variable) else self.spell(name, None)

    def settings(self) -> Settings:
        """Return the parsed settings. Raises `ConfigurationError` in the owner's words."""
        try:
            return Settings.from_mapping(self.values, self.environ, own_names=self.own_names)
        except ConfigurationError as error:
            raise self._in_words_of_owner(error) from error.__cause__

    def site(self, **for_tests: Any) -> Site:
        """Return the site.

        Raises `ConfigurationError`, in the owner's words; `for_tests` are the transport and the
        clock of `build`.
        """
        if (unread := self.unread()) is not None:
            raise self._in_words_of_owner(unread)
        settings = self.settings()
        try:
            return self._build(settings, for_tests)
        except ConfigurationError as error:
            raise self._in_words_of_owner(error) from error.__cause__

    def warn_without_channel(self) -> None:
        """Log a warning if the site has no channel."""
        if (problem := missing_channel(self.values, self.environ)) is not None:
            log.warning("%s", self.in_words(str(problem)))

    def _is_variable(self, variable: str) -> bool:
        """Return whether the setting of this variable comes from the environment."""
        name = variable.removeprefix(PREFIX).lower()
        return variable in self.environ and is_unset(name, self.values.get(name))

    def _in_words_of_owner(self, error: ConfigurationError) -> ConfigurationError:
        return ConfigurationError(self.in_words(error.problem), self.in_words(error.advice, error.problem))

    def _build(self, settings: Settings, for_tests: Mapping[str, Any]) -> Site:
        return build_site(
            settings,
            framework_keys=self._keys_of_framework(needed=not settings.secret_keys),
            framework_origins=self.framework_origins,
            stores=self.stores,
            default_store="" if settings.store else self.default_store(),
            webhook_path=self.webhook_path,
            production=self.production,
            in_thread=self.in_thread,
            hook=self.hook,
            run_async=self.run_async,
            words=self.in_words,
            **for_tests,
        )

    def _keys_of_framework(self, *, needed: bool) -> Sequence[str]:
        try:
            keys = self.framework_keys()
        except ConfigurationError:
            if needed:
                raise
            return ()
        if needed and not keys and self.framework:
            raise ConfigurationError(
                f"{self.framework}'s SECRET_KEY is not set", f"Set it to the output of: {DRAW_KEY}"
            )
        return keys


def _check_required_channels(policy: Policy, router: Router) -> None:
    for purpose, channels in policy.required_channels.items():
        for channel in channels:
            if channel not in router.channels:
                raise ConfigurationError(
                    f"{PREFIX}PURPOSES: {purpose} requires {channel}, but no driver carries it: "
                    f"set {PREFIX}{channel.upper()} or leave {channel} out"
                )


def _listeners(settings: Settings) -> Sequence[Listener]:
    listener = _function("on_event", settings.on_event, "mysite.metrics.count")
    return () if listener is None else (listener,)


def _function(name: str, named: object, example: str) -> Callable[..., Any] | None:
    """Return the function that a setting names: itself, or by its dotted path; None if it is not set."""
    if named is None:
        return None
    if callable(named):
        return named
    refusal = ConfigurationError(f"{PREFIX}{name.upper()}: use the dotted path of a function, like {example}")
    module, dot, function = named.strip().rpartition(".") if isinstance(named, str) else ("", "", "")
    if not dot or not all(part.isidentifier() for part in (*module.split("."), function)):
        raise refusal  # before the import, whose error repeats the value
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise refusal from error
    if not callable(found):
        raise refusal
    checked: Callable[..., Any] = found
    return checked


def _audiences(settings: Settings, framework_keys: Sequence[str]) -> Sequence[str]:
    """Return the names of this site in signed values: the first is written, all are accepted.

    Without a public URL, the framework's own keys distinguish sites that share secret keys and a
    store. There are as many names as keys, so that a key can be rotated like any other.
    """
    if settings.public_url is not None:
        return (settings.public_url,)
    names = [name_of_site(key) for key in framework_keys] or ["default"]
    return [f"{name}\0{settings.site_name}" for name in names]
