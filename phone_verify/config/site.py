"""Builds a configured site from the settings and the framework's additions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..before_send import BeforeSend, Hook
from ..codes import DRAW_KEY, Keyring, name_of_site
from ..drivers.options import function_at
from ..errors import ConfigurationError
from ..events.opentelemetry import telemetry
from ..events.prometheus import prometheus
from ..events.record import EventBus, Listener
from ..http.site import Site
from ..i18n.messages import message_writer
from ..model import Channel
from ..parts import Components
from ..policy import FALLBACK_AFTER, Policy
from ..purposes import DEFAULT_SERVICE
from ..routing import Router
from ..stores.base import OfOneProcess, Store
from ..stores.threaded import InThread
from ..sync import TaskWaiting, run_in_loop, run_in_thread
from ..test_numbers import load_test_numbers
from ..transports.base import Transport
from ..transports.blocking import BlockingTransport
from ..verifier.blocking import Verifier
from ..verifier.operations import AsyncVerifier
from .addresses import host_of
from .background import OpenWake, OpenWork, open_background, sends_in_threads
from .drivers import load_drivers
from .endpoints import endpoints_of
from .ledger import LedgerOpener, check_ledger, check_prices, ledger_in_threads, open_ledger
from .origins import split_origins
from .proxies import load_proxies
from .routes import check_routes
from .settings import PREFIX, Settings, is_unset, missing_channel
from .stores import open_async_store, open_store
from .wording import Spell, as_variable, in_words

if TYPE_CHECKING:
    from ..fraud.guard import FraudGuard
    from ..keys.base import KeyStore
    from ..keys.keys import AccessKeys
    from ..reports.base import Aggregates
    from ..services.base import ServiceRows
    from ..services.catalog import Services
    from ..webhooks_out.base import Outbox
    from ..webhooks_out.delivery import Deliverer
    from ..webhooks_out.endpoints import Endpoints

log = logging.getLogger("phone_verify")


def build_site(
    settings: Settings,
    *,
    framework_keys: Sequence[str] = (),
    framework_origins: Sequence[object] = (),
    stores: Mapping[str, Callable[[str], Store]] | None = None,
    service_rows: Mapping[str, Callable[[str], ServiceRows]] | None = None,
    key_stores: Mapping[str, Callable[[str], KeyStore]] | None = None,
    default_store: str = "memory:",
    ledgers: Mapping[str, LedgerOpener] | None = None,
    outboxes: Mapping[str, Callable[[str], Outbox]] | None = None,
    works: Mapping[str, OpenWork] | None = None,
    wakes: Mapping[str, OpenWake] | None = None,
    aggregates: Callable[[], Aggregates] | None = None,
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
    `stores` adds an adapter's own store schemes, `service_rows`, `key_stores`, `ledgers`, `outboxes` and
    `works` those of services that are rows, of access keys, of the ledger, of outgoing webhooks and of work
    that waits; `aggregates` opens those of reports, and `wakes` starts a task that sends an order, by mode of
    background work.
    `webhook_path(driver, secret)` returns the path under which the adapter receives webhooks. In
    `production` test numbers must be listed twice, and keys meant for development are refused.
    `listeners` receive every event, like the one that
    the settings name. `in_thread` runs the steps of a blocking store for the async verifier; by
    default, a thread for each. `hook` returns the framework's own `before_send`, for a site whose
    settings name none; `run_async` completes an async one in the blocking verifier.
    `words` rewrites log messages that name settings.
    """
    keys = settings.secret_keys or list(framework_keys)
    source = f"{PREFIX}SECRET_KEYS" if settings.secret_keys else "SECRET_KEY"
    keyring = Keyring(keys, settings.tag_key, production=production, source=source)
    drivers = load_drivers(settings.dsns, settings.drivers)
    check_routes(settings.routes, {channel: [each.name for each in drivers[channel]] for channel in drivers})
    router = Router(drivers, settings.channels, ticks=ticks, rules=settings.routes)
    _check_channels(settings.policy, router)
    check_ledger(settings.ledger, settings.accounting)
    check_prices(settings.accounting, router)
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
    events = EventBus((*listeners, *_listeners(settings)), telemetry())
    access_keys = _keys(settings, key_stores or {}, clock)
    services = _services(
        settings, router, ticks=ticks, own_rows=service_rows or {}, in_thread=in_thread, keys=access_keys
    )
    find_endpoints = endpoints_of(services)
    background = open_background(settings.ledger, settings.background, router, works or {}, wakes or {}, aggregates)
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
        events=events,
        clock=clock,
        ticks=ticks,
        before_send=before_send,
        keys=access_keys,
        fraud=_fraud_guard(settings, keyring),
        ledger=open_ledger(settings.ledger, settings.accounting, ledgers or {}, find_endpoints, keyring, events, clock),
        sends=background.sends if background.mode != "off" else None,
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
            keys=_in_threads(parts.keys, in_thread or run_in_thread),
            ledger=ledger_in_threads(parts.ledger, in_thread or run_in_thread),
            sends=sends_in_threads(parts.sends, in_thread or run_in_thread),
        )

    def verifiers(host: str | None) -> tuple[Verifier, Callable[[], AsyncVerifier]]:
        """Return the verifiers whose messages name this host. Store, drivers, keys and connections are the same."""
        if services is not None:
            from .service_site import verifiers_of

            return verifiers_of(services, settings, host, parts, async_parts)
        texts = message_writer(settings.site_name, host, settings.wording)
        make = cache(lambda: AsyncVerifier(replace(async_parts(), texts=texts)))
        return Verifier(replace(parts, texts=texts)), make

    def at_host(site: Site, host: str) -> Site:
        verifier, make = verifiers(host)
        return replace(site, verifier=verifier, make_async_verifier=make)

    if settings.other_public_urls and settings.public_url is None:
        raise ConfigurationError(f"{PREFIX}OTHER_PUBLIC_URLS needs {PREFIX}PUBLIC_URL, the main address")
    verifier, make_async_verifier = verifiers(host_of(settings.public_url))
    site = Site(
        verifier=verifier,
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
        metrics_token=settings.metrics_token,
        services=services,
        service=settings.service,
        deliverer=_deliverer(settings, outboxes or {}, find_endpoints),
        background=background,
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
    service_rows: Mapping[str, Callable[[str], ServiceRows]] = field(default_factory=dict)
    key_stores: Mapping[str, Callable[[str], KeyStore]] = field(default_factory=dict)
    ledgers: Mapping[str, LedgerOpener] = field(default_factory=dict)
    outboxes: Mapping[str, Callable[[str], Outbox]] = field(default_factory=dict)
    reports: Mapping[str, Callable[[str], Aggregates]] = field(default_factory=dict)
    works: Mapping[str, OpenWork] = field(default_factory=dict)
    wakes: Mapping[str, OpenWake] = field(default_factory=dict)
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

    def key_store(self) -> KeyStore:
        """Return the store of access keys. Raises `ConfigurationError`, also if the site has none."""
        settings = self.settings()
        keys = _keys(settings, self.key_stores, None)
        if keys is None:
            raise self._in_words_of_owner(
                ConfigurationError(
                    f"{PREFIX}LEDGER is not set, so this site has no access keys",
                    "Set it to a database, like sqlite:////var/lib/site/services.sqlite3",
                )
            )
        return keys.store

    def aggregates(self) -> Aggregates:
        """Return what reports are made from. Raises `ConfigurationError`, also if the site has no ledger."""
        # A site without reports loads nothing of them.
        from .reports import open_aggregates

        settings = self.settings()
        try:
            return open_aggregates(settings.ledger, self.reports)
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
            service_rows=self.service_rows,
            key_stores=self.key_stores,
            ledgers=self.ledgers,
            outboxes=self.outboxes,
            works=self.works,
            wakes=self.wakes,
            aggregates=self.aggregates,
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


def _services(
    settings: Settings,
    router: Router,
    *,
    ticks: Callable[[], float],
    own_rows: Mapping[str, Callable[[str], ServiceRows]],
    in_thread: InThread | None,
    keys: AccessKeys | None,
) -> Services | None:
    if not (settings.services or settings.ledger or settings.service != DEFAULT_SERVICE):
        return None
    # A site without services loads nothing of them.
    from .service_site import make_services, open_rows

    rows = open_rows(settings.ledger, own_rows) if settings.ledger else None
    return make_services(
        settings,
        router,
        ticks=ticks,
        rows=rows,
        in_thread=in_thread or run_in_thread,
        revoke_keys=keys.revoke_all if keys is not None else None,
    )


def _fraud_guard(settings: Settings, keyring: Keyring) -> FraudGuard | None:
    if settings.fraud is None:
        return None
    # A site without a guard loads nothing of it.
    from ..fraud.guard import FraudGuard

    return FraudGuard(settings.fraud, keyring)


def _keys(
    settings: Settings, own: Mapping[str, Callable[[str], KeyStore]], clock: Callable[[], datetime] | None
) -> AccessKeys | None:
    if settings.ledger is None:
        return None
    # A site without keys loads nothing of them.
    from .keys import open_keys

    return open_keys(settings.ledger, own, clock)


def _deliverer(
    settings: Settings, own: Mapping[str, Callable[[str], Outbox]], endpoints: Endpoints
) -> Deliverer | None:
    if settings.ledger is None:
        return None
    # A site without outgoing webhooks loads nothing of their delivery.
    from .webhooks_out import open_deliverer

    return open_deliverer(settings.ledger, own, endpoints)


def _in_threads(keys: AccessKeys | None, in_thread: InThread) -> AccessKeys | None:
    if keys is None:
        return None
    from .keys import in_threads

    return in_threads(keys, in_thread)


def _check_channels(policy: Policy, router: Router) -> None:
    for channel, fallback in policy.fallbacks.items():
        for needed in (channel, fallback.channel):
            if needed not in router.channels:
                raise ConfigurationError(
                    f"{PREFIX}FALLBACKS names {needed}, but no driver carries it: "
                    f"set {PREFIX}{needed.upper()} or leave it out"
                )
    # Without a wait, processes that move an order at the same moment would each send it.
    if policy.fallbacks and policy.resend_after < FALLBACK_AFTER[0]:
        raise ConfigurationError(
            f"{PREFIX}RESEND_AFTER is too short for {PREFIX}FALLBACKS: set it to "
            f"{FALLBACK_AFTER[0].seconds} seconds or more"
        )
    for carrier in router.carriers(Channel.INBOUND_CALL) if policy.caller_attestation else ():
        if not carrier.abilities[Channel.INBOUND_CALL].attests:
            raise ConfigurationError(
                f"{PREFIX}CALLER_ATTESTATION: {carrier.name} reports calls without their attestation, so none would "
                f"verify: leave it out of {PREFIX}INBOUND_CALL, or write {PREFIX}CALLER_ATTESTATION=any"
            )
    for purpose, channels in policy.required_channels.items():
        for channel in channels:
            if channel not in router.channels:
                raise ConfigurationError(
                    f"{PREFIX}PURPOSES: {purpose} requires {channel}, but no driver carries it: "
                    f"set {PREFIX}{channel.upper()} or leave {channel} out"
                )


def _listeners(settings: Settings) -> Sequence[Listener]:
    listener = _function("on_event", settings.on_event, "mysite.metrics.count")
    counted = (prometheus().count,) if settings.metrics_token else ()
    return counted if listener is None else (listener, *counted)


def _function(name: str, named: object, example: str) -> Callable[..., Any] | None:
    """Return the function that a setting names: itself, or by its dotted path; None if it is not set."""
    if named is None:
        return None
    if callable(named):
        return named
    setting, advice = f"{PREFIX}{name.upper()}", f"Use the dotted path of a function, like {example}"
    if not isinstance(named, str):
        raise ConfigurationError(f"{setting}: Not the dotted path of a function", advice)
    try:
        return function_at(named)
    except ValueError as error:
        raise ConfigurationError(f"{setting}: {error}", advice) from error


def _audiences(settings: Settings, framework_keys: Sequence[str]) -> Sequence[str]:
    """Return the names of this site in signed values: the first is written, all are accepted.

    Without a public URL, the framework's own keys distinguish sites that share secret keys and a
    store. There are as many names as keys, so that a key can be rotated like any other.
    """
    if settings.public_url is not None:
        return (settings.public_url,)
    names = [name_of_site(key) for key in framework_keys] or ["default"]
    return [f"{name}\0{settings.site_name}" for name in names]
