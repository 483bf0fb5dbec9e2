"""Settings into finished objects: the one place that knows the names `PHONE_VERIFY_…`.

`Settings.read` takes a mapping (an adapter's settings, lower-case names without the prefix) and the environment,
which fills what the mapping leaves out. `build` makes the site. Everything that cannot work is refused here, at
start-up, by a `ConfigurationError` that names the setting and says what to write.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from .api.site import Site
from .codes import DRAW_WEBHOOK_SECRET, Keyring, name_of_site, weakness_of_webhook_secret
from .delivery import Parts
from .drivers.base import Dsn, Starts, is_loopback
from .drivers.dsn import load_driver, parse_dsn
from .errors import ConfigurationError
from .events import Events, Listener
from .fixed_codes import read_fixed_codes
from .model import Channel
from .policy import Policy
from .purposes import Purposes, read_purposes
from .routing import Router
from .stores.base import OfOneProcess, Store
from .telemetry import telemetry
from .threads import InThread, ThreadedStore
from .transport import BlockingTransport, Transport
from .verifier import AsyncVerifier, Verifier
from .web.texts import message_writer

PREFIX = "PHONE_VERIFY_"
DEFAULT_SANDBOX_PORT = 8025

#: The variables that hold DSNs, in the order in which drivers are named and channels preferred.
CHANNEL_NAMES = ("sms", "flash_call", "inbound_call", "voice", "telegram", "whatsapp")
_NUMBERS = (
    "code_length",
    "max_attempts",
    "max_failures",
    "sends_per_hour",
    "sends_per_hour_per_address",
    "sends_per_hour_per_prefix",
    "sends_per_hour_total",
    "failures_ceiling",
    "short_failures_per_day",
    "failures_per_day",
    "wrong_per_hour_per_address",
    "trusted_proxies",
)
_SECONDS = ("ttl", "resend_after")
_LISTS = (
    "channels",
    "secret_keys",
    "webhook_secret",
    "allowed_regions",
    "purposes",
    "frame_ancestors",
    "test_passcodes",
    "test_passcodes_in_production",
    "staff_roles",
)
_FLAGS = ("staff_sign_in_by_phone", "notify_old_number")
_TEXTS = ("store", "tag_key", "region", "public_url", "site_name")
KNOWN = (*CHANNEL_NAMES, *_LISTS, *_TEXTS, *_NUMBERS, *_SECONDS, *_FLAGS, "on_event")

#: The roles of staff where the site names none: the same words as the flags that mark staff on a user.
STAFF_ROLES = ("admin", "staff", "superuser")
_FLAG_WORDS = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}

#: What `sandbox://` stands for on each channel.
SANDBOX = {"sms": "amoot", "flash_call": "ferzz", "inbound_call": "telefon-ip", "telegram": "telefon-ip"}

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z", re.ASCII)
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]+\Z", re.ASCII)
_ANCESTOR = re.compile(r"(https?)://((?:\*\.)?[a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", re.ASCII)
_HOST = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:]+\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, read and typed. DSNs and keys do not show in the repr."""

    dsns: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    policy: Policy = field(default_factory=Policy)
    channels: Sequence[Channel] = ()
    store: str | None = field(default=None, repr=False)
    secret_keys: Sequence[str] = field(default=(), repr=False)
    tag_key: str | None = field(default=None, repr=False)
    #: The newest first; a list while providers are moved from one to the next.
    webhook_secret: Sequence[str] = field(default=(), repr=False)
    public_url: str | None = None
    site_name: str = ""
    trusted_proxies: int = 0
    purposes: Purposes = field(default_factory=Purposes)
    #: Sources of the pages' Content-Security-Policy.
    frame_ancestors: Sequence[str] = ()
    test_passcodes: Sequence[str] = field(default=(), repr=False)
    test_passcodes_in_production: Sequence[str] = field(default=(), repr=False)
    #: Whether a code sent to the phone alone signs in users with rights over other users.
    staff_sign_in_by_phone: bool = False
    notify_old_number: bool = False
    #: Names of the roles that give such rights, where the framework's users have roles.
    staff_roles: Sequence[str] = STAFF_ROLES
    on_event: object = None

    @classmethod
    def read(cls, values: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of `values`, with the environment's where `values` has none. Refuses unknown names."""
        values = values or {}
        if unknown := [name for name in values if name not in KNOWN]:
            raise ConfigurationError(
                f"unknown setting {PREFIX}{unknown[0].upper()}; known are: "
                + ", ".join(f"{PREFIX}{name.upper()}" for name in KNOWN)
            )
        given = merged(values, environ or {})
        numbers: dict[str, Any] = {name: _number(name, given[name]) for name in _NUMBERS if name in given}
        trusted_proxies = numbers.pop("trusted_proxies", 0)
        if trusted_proxies < 0:
            raise ConfigurationError(f"{PREFIX}TRUSTED_PROXIES must be 0 or more")
        seconds: dict[str, Any] = {name: _seconds(name, given[name]) for name in _SECONDS if name in given}
        allowed = _list("allowed_regions", given)
        policy = Policy(
            region=_text("region", given),
            allowed_regions=frozenset(allowed) if allowed else None,
            **{**numbers, **seconds},
        )
        public_url = _public_url(_text("public_url", given))
        webhook_secret = _list("webhook_secret", given)
        if not all(map(_URL_SAFE.match, webhook_secret)):
            raise ConfigurationError(f"{PREFIX}WEBHOOK_SECRET stands in URLs: use letters, digits, - and _ only")
        if weakness := next(filter(None, map(weakness_of_webhook_secret, webhook_secret)), None):
            raise ConfigurationError(f"{PREFIX}WEBHOOK_SECRET: {weakness}; write the output of: {DRAW_WEBHOOK_SECRET}")
        return cls(
            dsns={name: _dsns(name, given[name]) for name in CHANNEL_NAMES if name in given},
            policy=policy,
            channels=[_channel(word) for word in _list("channels", given)],
            store=_text("store", given),
            secret_keys=_list("secret_keys", given),
            tag_key=_text("tag_key", given),
            webhook_secret=webhook_secret,
            public_url=public_url,
            site_name=_text("site_name", given) or (_host_of(public_url) or ""),
            trusted_proxies=trusted_proxies,
            purposes=read_purposes(_list("purposes", given)),
            frame_ancestors=[_frame_ancestor(word) for word in _list("frame_ancestors", given)],
            test_passcodes=_list("test_passcodes", given),
            test_passcodes_in_production=_list("test_passcodes_in_production", given),
            staff_sign_in_by_phone=_flag("staff_sign_in_by_phone", given),
            notify_old_number=_flag("notify_old_number", given),
            staff_roles=_list("staff_roles", given) if "staff_roles" in given else STAFF_ROLES,
            on_event=given.get("on_event"),
        )


def merged(values: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    """What is set, unread: `values`, and the environment's where `values` has none."""
    given = {name: value for name, value in values.items() if value is not None}
    for name in KNOWN:
        text = environ.get(PREFIX + name.upper(), "")
        if name not in given and text.strip():
            given[name] = text
    return given


def build(
    settings: Settings,
    *,
    framework_keys: Sequence[str] = (),
    stores: Mapping[str, Callable[[str], Store]] | None = None,
    default_store: str = "memory:",
    webhook_path: Callable[[str, str], str] | None = None,
    transport: Transport | None = None,
    clock: Callable[[], datetime] | None = None,
    production: bool = True,
    listeners: Sequence[Listener] = (),
    in_thread: InThread | None = None,
) -> Site:
    """The site that these settings describe.

    `framework_keys` sign where no secret keys are set, and name the site where it has no public URL; `stores` adds
    an adapter's own store schemes;
    `webhook_path(driver, secret)` is the path under which the adapter receives webhooks. In `production` test numbers
    need to be named twice, and keys meant for development are refused.
    `listeners` hear of every verb, as the one that the settings name does. `in_thread` runs
    the steps of a blocking store for the async verifier; without it, `asyncio.to_thread`.
    """
    keys = settings.secret_keys or list(framework_keys)
    source = f"{PREFIX}SECRET_KEYS" if settings.secret_keys else "SECRET_KEY"
    keyring = Keyring(keys, settings.tag_key, production=production, source=source)
    ticks = time.monotonic
    router = Router(load_drivers(settings.dsns), settings.channels, ticks=ticks)
    secrets = list(settings.webhook_secret or keyring.webhook_secrets)

    def webhook_url(driver: str) -> str | None:
        if settings.public_url is None or webhook_path is None:
            return None
        return settings.public_url + webhook_path(driver, secrets[0])

    store_url = settings.store or default_store
    store = open_store(store_url, stores or {})

    def many_processes() -> None:
        if isinstance(store, OfOneProcess):
            store.refuse(
                f"the server runs several processes, and memory counts for each of them alone; set {PREFIX}STORE"
            )

    fixed_codes = read_fixed_codes(
        settings.test_passcodes,
        settings.test_passcodes_in_production,
        production=production,
        today=(clock() if clock else datetime.now(UTC)).date(),
    )
    parts = Parts(
        policy=settings.policy,
        keyring=keyring,
        store=store,
        transport=transport or BlockingTransport(),
        router=router,
        texts=message_writer(settings.site_name, _host_of(settings.public_url)),
        audiences=_audiences(settings, framework_keys),
        webhook_url=webhook_url,
        fixed_codes=fixed_codes,
        events=Events((*listeners, *_listeners(settings.on_event)), telemetry()),
        clock=clock,
        ticks=ticks,
    )

    @cache
    def awaiting() -> AsyncVerifier:
        from .async_transport import AsyncTransport

        async_store = open_async_store(store_url, store, in_thread)
        return AsyncVerifier(replace(parts, store=async_store, transport=transport or AsyncTransport()))

    return Site(
        verifier=Verifier(parts),
        name=settings.site_name,
        public_url=settings.public_url,
        webhook_secrets=secrets,
        trusted_proxies=settings.trusted_proxies,
        purposes=settings.purposes,
        staff_sign_in_by_phone=settings.staff_sign_in_by_phone,
        notify_old_number=settings.notify_old_number,
        staff_roles=settings.staff_roles,
        frame_ancestors=settings.frame_ancestors,
        many_processes=many_processes,
        awaiting=awaiting,
    )


@dataclass(frozen=True, slots=True)
class Given:
    """What a site's owner wrote, unread, and what the framework adds to it: all that a site is built from.

    The arguments of `build`; those that need the framework's own settings are functions, called where they are
    needed. Each of them may raise `ConfigurationError`. `framework` is its name, empty where there is none.
    """

    values: Mapping[str, object] = field(default_factory=dict, repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    framework: str = ""
    framework_keys: Callable[[], Sequence[str]] = field(default=tuple, repr=False)
    stores: Mapping[str, Callable[[str], Store]] = field(default_factory=dict)
    default_store: Callable[[], str] = lambda: "memory:"
    webhook_path: Callable[[str, str], str] | None = None
    production: bool = True
    in_thread: InThread | None = None

    def site(self, **for_tests: Any) -> Site:
        """The site. Raises `ConfigurationError`; `for_tests` are the transport and the clock of `build`."""
        settings = Settings.read(self.values, self.environ)
        return build(
            settings,
            framework_keys=self._keys_of_framework(needed=not settings.secret_keys),
            stores=self.stores,
            default_store="" if settings.store else self.default_store(),
            webhook_path=self.webhook_path,
            production=self.production,
            in_thread=self.in_thread,
            **for_tests,
        )

    def _keys_of_framework(self, *, needed: bool) -> Sequence[str]:
        try:
            return self.framework_keys()
        except ConfigurationError:
            if needed:
                raise
            return ()


def load_drivers(dsns: Mapping[str, Sequence[str]]) -> Mapping[Channel, Sequence[Starts]]:
    """The drivers of these DSNs by channel, in order of failover.

    One DSN text is one driver, however many channels it serves; further ones of a scheme are `scheme-2`,
    `scheme-3` in order of appearance, unless the DSN names them.
    """
    made: dict[tuple[str, str], Starts] = {}
    named: dict[str, Starts] = {}
    by_channel: dict[Channel, list[Starts]] = {}
    for name in CHANNEL_NAMES:
        channel, setting = Channel(name), PREFIX + name.upper()
        for text in dsns.get(name, ()):
            dsn = _expanded(parse_dsn(text, setting), name)
            key = (text, dsn.scheme)
            if key not in made:
                driver_name = _driver_name(dsn, named)
                made[key] = named[driver_name] = load_driver(replace(dsn, options={**dsn.options, "name": driver_name}))
            driver = made[key]
            if channel not in driver.abilities:
                able = ", ".join(driver.abilities)
                raise ConfigurationError(f"{setting}: {dsn.scheme}:// does not carry {channel}; it carries {able}")
            if driver not in by_channel.setdefault(channel, []):
                by_channel[channel].append(driver)
    return by_channel


def open_store(url: str, own: Mapping[str, Callable[[str], Store]]) -> Store:
    """The store that a URL names: one of the adapter's `own` schemes, or one of ours."""
    scheme, colon, _ = url.partition(":")
    openers = {**_STORES, **own}
    if not colon or scheme not in openers:
        known = ", ".join(f"{name}:" for name in openers)
        raise ConfigurationError(f"{PREFIX}STORE: there is no store {scheme!r} here; known are {known}")
    return openers[scheme](url)


def open_async_store(url: str, store: Store, in_thread: InThread | None = None) -> Store:
    """The same store for coroutines: `store` is the blocking one that this URL names."""
    scheme = url.partition(":")[0]
    if scheme in _ASYNC_STORES:
        return _ASYNC_STORES[scheme](url, store)
    from asyncio import to_thread

    return ThreadedStore(store, in_thread or to_thread)


def _open_memory(url: str) -> Store:
    from .stores.memory import MemoryStore

    return MemoryStore()


def _open_sql(url: str) -> Store:
    from .stores.sql import SqlStore

    return SqlStore.from_url(url)


def _open_redis(url: str) -> Store:
    from .stores.redis import RedisStore

    return RedisStore.from_url(url)


_STORES: Mapping[str, Callable[[str], Store]] = {
    "memory": _open_memory,
    "sqlite": _open_sql,
    "postgresql": _open_sql,
    "mysql": _open_sql,
    "redis": _open_redis,
    "rediss": _open_redis,
    "redis+sentinel": _open_redis,
    "rediss+sentinel": _open_redis,
    "redis+cluster": _open_redis,
    "rediss+cluster": _open_redis,
}


def _open_async_redis(url: str, _: Store) -> Store:
    from .stores.redis import AsyncRedisStore

    return AsyncRedisStore.from_url(url)


#: The stores that coroutines use in another way than through worker threads.
_ASYNC_STORES: Mapping[str, Callable[[str, Store], Store]] = {
    "memory": lambda _, store: store,  # a step takes microseconds, and there can be one of it only
    **{scheme: _open_async_redis for scheme, opened in _STORES.items() if opened is _open_redis},
}


def _expanded(dsn: Dsn, channel: str) -> Dsn:
    if dsn.scheme != "sandbox":
        return dsn
    if not is_loopback(dsn.host or "") or dsn.credentials or dsn.base_path:
        raise ConfigurationError(
            f"{dsn.setting}: write sandbox://127.0.0.1:{DEFAULT_SANDBOX_PORT}; it is for this machine"
        )
    if unknown := [name for name in dsn.options if name not in ("timeout", "name")]:
        raise ConfigurationError(f"{dsn.setting}: sandbox:// knows the options timeout and name, not {unknown[0]!r}")
    if channel not in SANDBOX:
        raise ConfigurationError(f"{dsn.setting}: sandbox:// does not carry {channel}; it carries {', '.join(SANDBOX)}")
    scheme = SANDBOX[channel]
    # Any number may be tried at the sandbox, also those of countries that the provider does not serve.
    options = {**dsn.options, "tls": "off", "foreign": "digits"}
    if "name" in options:
        options["name"] = f"{options['name']}-{scheme}"
    return Dsn(scheme, ("SANDBOX",), dsn.host, dsn.port or DEFAULT_SANDBOX_PORT, "", options, dsn.setting)


def _driver_name(dsn: Dsn, taken: Mapping[str, object]) -> str:
    wanted = dsn.options.get("name")
    if wanted is not None:
        if not _NAME.match(wanted):
            raise ConfigurationError(f"{dsn.setting}: option 'name': write small letters, digits and -")
        if wanted in taken:
            raise ConfigurationError(f"{dsn.setting}: two drivers are named {wanted!r}; give each its own name")
        return wanted
    candidates = [dsn.scheme, *(f"{dsn.scheme}-{n}" for n in range(2, len(taken) + 3))]
    return next(name for name in candidates if name not in taken)


def _listeners(named: object) -> Sequence[Listener]:
    """The listener that a setting names: a function, or the dotted path of one."""
    if named is None:
        return ()
    if callable(named):
        return (named,)
    refusal = ConfigurationError(f"{PREFIX}ON_EVENT: write the dotted path of a function, like mysite.metrics.count")
    module, dot, name = named.strip().rpartition(".") if isinstance(named, str) else ("", "", "")
    if not dot:
        raise refusal
    try:
        listener = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise refusal from error
    if not callable(listener):
        raise refusal
    return (listener,)


def _text(name: str, given: Mapping[str, object]) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f"{PREFIX}{name.upper()} must be a text")
    return value.strip() or None


def _list(name: str, given: Mapping[str, object]) -> list[str]:
    value = given.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(word, str) for word in value):
        return list(value)
    raise ConfigurationError(f"{PREFIX}{name.upper()} must be a list of texts, or one text with commas")


def _dsns(name: str, value: object) -> list[str]:
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list | tuple) and all(isinstance(text, str) for text in value):
        return [text.strip() for text in value if text.strip()]
    raise ConfigurationError(f"{PREFIX}{name.upper()} must be DSNs, separated by white space, or a list of them")


def _flag(name: str, given: Mapping[str, object]) -> bool:
    value = given.get(name, False)
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _FLAG_WORDS:
        raise ConfigurationError(f"{PREFIX}{name.upper()} must be True or False (in the environment 1 or 0)")
    return _FLAG_WORDS[word]


def _number(name: str, value: object) -> int:
    if isinstance(value, str) and re.match(r"-?[0-9]{1,9}\Z", value.strip(), re.ASCII):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ConfigurationError(f"{PREFIX}{name.upper()} must be a whole number")


def _seconds(name: str, value: object) -> timedelta:
    return value if isinstance(value, timedelta) else timedelta(seconds=_number(name, value))


def _channel(word: str) -> Channel:
    try:
        return Channel(word)
    except ValueError:
        raise ConfigurationError(
            f"{PREFIX}CHANNELS: there is no channel {word!r}; known are {', '.join(Channel)}"
        ) from None


def _frame_ancestor(word: str) -> str:
    """Return the source of a Content-Security-Policy that this word of the settings names."""
    word = word.lower().rstrip("/")
    if word in ("self", "'self'"):
        return "'self'"
    shape = _ANCESTOR.fullmatch(word)
    if shape is None or (shape[1] == "http" and not is_loopback(shape[2])):
        raise ConfigurationError(
            f"{PREFIX}FRAME_ANCESTORS: write self, or the origins that may show the pages in a frame, "
            "like https://partner.example,https://*.partner.example"
        )
    return word


def _audiences(settings: Settings, framework_keys: Sequence[str]) -> Sequence[str]:
    """Return the names of this site in what it signs: the first is written, every one is read.

    Without a public URL the framework's own keys tell sites apart that share secret keys and a store. As many names
    as keys are listed, so that a key is replaced without loss, like any other.
    """
    if settings.public_url is not None:
        return (settings.public_url,)
    names = [name_of_site(key) for key in framework_keys] or ["default"]
    return [f"{name}\0{settings.site_name}" for name in names]


def _public_url(text: str | None) -> str | None:
    if text is None:
        return None
    refusal = ConfigurationError(f"{PREFIX}PUBLIC_URL: write scheme and host only, like https://site.example")
    try:
        url = urlsplit(text.lower())
        port = url.port
    except ValueError:
        raise refusal from None
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(url.netloc.removesuffix(f":{port}")):
        raise refusal
    if url.path not in ("", "/") or url.query or url.fragment:
        raise refusal
    return f"{url.scheme}://{url.netloc}"


def _host_of(public_url: str | None) -> str | None:
    return urlsplit(public_url).hostname if public_url else None
