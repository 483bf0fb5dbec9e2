"""Lenient loading of a site's settings: each is read separately, so that one mistake does not hide
the next.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_urlsafe

from ..codes import DRAW_KEY, Keyring, weakness_of_key
from ..config.drivers import load_drivers
from ..config.settings import CHANNEL_NAMES, KNOWN, PREFIX, Settings, advice_on_unknown, merge_environ
from ..config.site import SiteConfig
from ..delivery import Delivery
from ..drivers.base import Driver
from ..errors import ConfigurationError, is_name, quoted
from ..model import Channel
from ..parts import Components
from ..planning import Planner
from ..routing import Router
from ..stores.memory import MemoryStore
from ..transports.base import Transport
from ..transports.blocking import BlockingTransport
from .finding import Finding, Level

WRITE_A_KEY = f"Set it to the output of: {DRAW_KEY}"

_SCHEME = re.compile(r"[a-z0-9_-]+://")


@dataclass(frozen=True)
class Reading:
    """The settings that could be read, and findings for the others."""

    given: SiteConfig
    settings: Settings
    #: The names of the settings that were given, valid or not.
    written: frozenset[str]
    drivers: Mapping[Channel, Sequence[Driver]]
    #: The signing keys, ours or the framework's; and the keyring, if all are valid.
    keys: Sequence[str]
    keyring: Keyring | None
    faults: Sequence[Finding]
    show_webhook_urls: bool = False

    @classmethod
    def of(cls, given: SiteConfig, *, show_webhook_urls: bool = False) -> Reading:
        """Read everything."""
        faults: list[Finding] = []
        written = merge_environ(given.values, given.environ)
        settings = _sound(given, written, faults)
        if (unread := given.unread()) is not None:
            faults.append(Finding(Level.ERROR, "", sentence(unread.problem), unread.advice, id="PV106"))
        settings = _with_sound_drivers(settings, faults)
        made = load_drivers(_sound_dsns(settings, faults), settings.drivers)
        drivers = {channel: [each for each in made[channel] if isinstance(each, Driver)] for channel in made}
        keys = _keys(given, settings, faults)
        keyring = _keyring(given, settings, keys, faults)
        return cls(given, settings, frozenset(written), drivers, keys, keyring, faults, show_webhook_urls)

    @property
    def by_name(self) -> Mapping[str, Driver]:
        """Return every driver by its name."""
        return {driver.name: driver for carriers in self.drivers.values() for driver in carriers}

    @property
    def offered(self) -> Sequence[Channel]:
        """Return the channels that are offered by default."""
        return [channel for channel in self.settings.channels if channel in self.drivers] or list(self.drivers)

    @property
    def router(self) -> Router:
        """Return the router over these drivers."""
        return Router(self.drivers, ticks=time.monotonic)

    def settings_of(self, driver: Driver) -> str:
        """Return the settings that name this driver."""
        return " and ".join(setting(channel) for channel, carriers in self.drivers.items() if driver in carriers)

    @property
    def planner(self) -> Planner:
        """Return the planner of codes under these settings; with a random key if none is set."""
        return Planner(self.settings.policy, self.keyring or Keyring([token_urlsafe(32)]))

    def delivery(self, transport: Transport | None = None) -> Delivery:
        """Return a delivery to providers under these settings; nothing is stored."""
        return Delivery(
            Components(
                policy=self.settings.policy,
                keyring=self.keyring or Keyring([token_urlsafe(32)]),
                store=MemoryStore(),
                transport=transport or BlockingTransport(),
                router=self.router,
                texts=lambda *_: "",
            )
        )


def setting(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def fault(name: str, error: ConfigurationError, *, which: str = "", id: str = "PV102") -> Finding:
    """Return a finding for a setting's error, which says how to fix it; `which` distinguishes one
    part of the setting.
    """
    says = which + error.problem.removeprefix(setting(name)).lstrip(": ")
    return Finding(Level.ERROR, setting(name), sentence(says), error.advice, id=id)


def sentence(text: str) -> str:
    """Return the text with a capital letter at its beginning, unless it begins with a DSN."""
    return text if _SCHEME.match(text) else text[:1].upper() + text[1:]


def unknown(name: str, level: Level, own_names: Collection[str] = ()) -> Finding:
    """Return a finding for an unknown setting."""
    title = setting(name) if is_name(name) else quoted(name)
    return Finding(level, title, "Unknown setting.", advice_on_unknown(name, own_names), id="PV101")


def _sound(given: SiteConfig, written: Mapping[str, object], faults: list[Finding]) -> Settings:
    sound = {}
    for name, value in written.items():
        if name not in KNOWN:
            faults.append(unknown(name, Level.ERROR, given.own_names))
            continue
        try:
            Settings.from_mapping({name: value})
        except ConfigurationError as error:
            faults.append(fault(name, error))
        else:
            sound[name] = value
    return Settings.from_mapping(sound)


def _with_sound_drivers(settings: Settings, faults: list[Finding]) -> Settings:
    """Return the settings without the site's own drivers if one of them cannot be imported."""
    try:
        load_drivers({}, settings.drivers)
    except ConfigurationError as error:
        faults.append(fault("drivers", error))
        return replace(settings, drivers=())
    return settings


def _sound_dsns(settings: Settings, faults: list[Finding]) -> Mapping[str, Sequence[str]]:
    """Return the DSNs that load, each tested together with those before it."""
    sound: dict[str, list[str]] = {}
    for name in CHANNEL_NAMES:
        texts = settings.dsns.get(name, ())
        for n, text in enumerate(texts, 1):
            more = {**sound, name: [*sound.get(name, ()), text]}
            try:
                load_drivers(more, settings.drivers)
            except ConfigurationError as error:
                which = f"DSN {n} of {len(texts)}: " if len(texts) > 1 else ""
                faults.append(fault(name, error, which=which, id="PV103"))
            else:
                sound = more
    return sound


def _keys(given: SiteConfig, settings: Settings, faults: list[Finding]) -> Sequence[str]:
    if settings.secret_keys:
        return settings.secret_keys
    try:
        keys = given.framework_keys()
    except ConfigurationError as error:
        faults.append(Finding(Level.ERROR, "SECRET_KEY", str(error), WRITE_A_KEY, id="PV301"))
        return ()
    if not keys and given.framework:
        says = f"{given.framework}'s SECRET_KEY is not set: there is no key to sign with."
        faults.append(Finding(Level.ERROR, "SECRET_KEY", says, WRITE_A_KEY, id="PV301"))
    return keys


def _keyring(given: SiteConfig, settings: Settings, keys: Sequence[str], faults: list[Finding]) -> Keyring | None:
    source = setting("secret_keys") if settings.secret_keys else "SECRET_KEY"
    named = [(source, f"Key {n} of {len(keys)}: " if len(keys) > 1 else "", key) for n, key in enumerate(keys, 1)]
    if settings.tag_key is not None:
        named.append((setting("tag_key"), "", settings.tag_key))
    good = True
    for name, which, key in named:
        if weakness := weakness_of_key(key, production=given.production):
            good = False
            says = which + weakness
            faults.append(Finding(Level.ERROR, name, says[:1].upper() + says[1:] + ".", WRITE_A_KEY, id="PV302"))
    return Keyring(keys, settings.tag_key, production=given.production) if keys and good else None
