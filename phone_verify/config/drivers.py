"""Drivers from DSNs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..drivers.base import Driver, Starts
from ..drivers.dsn import driver_class, load_driver, parse_dsn, schemes
from ..drivers.options import Dsn, is_loopback, object_at
from ..errors import ConfigurationError, quoted
from ..model import Channel
from .settings import CHANNEL_NAMES, PREFIX

DEFAULT_SANDBOX_PORT = 8025
#: The sandbox accepts any number, including countries that the provider does not serve.
_ANY_NUMBER = {"foreign": "digits"}
_TWILIO = ("ACSANDBOX", "SANDBOX")
#: The scheme, credentials and options that `sandbox://` represents on each channel.
SANDBOX: Mapping[str, tuple[str, Sequence[str], Mapping[str, str]]] = {
    "sms": ("amoot", ("SANDBOX",), _ANY_NUMBER),
    "flash_call": ("ferzz", ("SANDBOX",), _ANY_NUMBER),
    "inbound_call": ("telefon-ip", ("SANDBOX",), _ANY_NUMBER),
    "voice": ("twilio-verify", _TWILIO, {"service": "VASANDBOX", "code_length": "6"}),
    "telegram": ("telefon-ip", ("SANDBOX",), _ANY_NUMBER),
    "whatsapp": ("twilio", _TWILIO, {"whatsapp_sender": "+15005550001", "content_sid": "HXSANDBOX"}),
}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z", re.ASCII)


def load_drivers(
    dsns: Mapping[str, Sequence[str]], classes: Sequence[object] = ()
) -> Mapping[Channel, Sequence[Starts]]:
    """Return the drivers of these DSNs by channel, in order of failover.

    `classes` are the site's own drivers: subclasses of `Driver`, or their dotted paths.

    Equal DSN texts are one driver, even on several channels; further ones of a scheme are
    `scheme-2`, `scheme-3` in order of appearance, unless the DSN names them. Raises
    `ConfigurationError` with an example of the DSN to write.
    """
    made: dict[tuple[str, str], Driver] = {}
    named: dict[str, Driver] = {}
    own = _by_scheme(classes)
    by_channel: dict[Channel, list[Starts]] = {}
    for name in CHANNEL_NAMES:
        for text in dsns.get(name, ()):
            try:
                driver = _load(name, text, made, named, own)
            except ConfigurationError as error:
                raise ConfigurationError(error.problem, error.advice or _example(name, text)) from error.__cause__
            if driver not in by_channel.setdefault(Channel(name), []):
                by_channel[Channel(name)].append(driver)
    return by_channel


def _by_scheme(classes: Sequence[object]) -> Mapping[str, type[Driver]]:
    """Return the site's own drivers by scheme."""
    setting = f"{PREFIX}DRIVERS"
    found: dict[str, type[Driver]] = {}
    for n, named in enumerate(classes, 1):
        try:
            driver = object_at(named, "a driver") if isinstance(named, str) else named
        except ValueError as error:
            raise ConfigurationError(f"{setting}: path {n}: {error}") from error
        if not isinstance(driver, type) or not issubclass(driver, Driver):
            raise ConfigurationError(f"{setting}: path {n} must name a subclass of phone_verify.drivers.base.Driver")
        if driver.scheme in {*schemes(), "sandbox", *found}:
            raise ConfigurationError(f"{setting}: the scheme {driver.scheme!r} exists already; choose another")
        found[driver.scheme] = driver
    return found


def _load(
    name: str,
    text: str,
    made: dict[tuple[str, str], Driver],
    named: dict[str, Driver],
    own: Mapping[str, type[Driver]],
) -> Driver:
    """Return the driver of this DSN on the channel `name`, and add it to `made` and `named`."""
    channel, setting = Channel(name), PREFIX + name.upper()
    dsn = _expanded(parse_dsn(text, setting), name)
    key = (text, dsn.scheme)
    driver = made.get(key)
    if driver is None:
        driver_name = _driver_name(dsn, named)
        driver = load_driver(replace(dsn, options={**dsn.options, "name": driver_name}), own)
    if channel not in driver.abilities:
        able = list(driver.abilities)
        needed = [option for option, each in driver.options.items() if channel in each.needed_for]
        if needed:
            what = "the option" if len(needed) == 1 else "the options"
            raise ConfigurationError(
                f"{setting}: {dsn.scheme}:// carries {channel} only with {what} {' and '.join(needed)}",
                f"Example: {setting}={driver.example_dsns(channel)[0]}",
            )
        raise ConfigurationError(
            f"{setting}: {dsn.scheme}:// does not carry {channel}; it carries {', '.join(able)}",
            f"Set {PREFIX}{able[0].upper()}={driver.example_dsns()[0]}",
        )
    made[key] = named[driver.name] = driver
    return driver


def _example(name: str, text: str) -> str:
    scheme = text.partition(":")[0].partition("+")[0].lower()
    if scheme in schemes():
        return f"Example: {PREFIX}{name.upper()}={driver_class(scheme).example_dsns()[0]}"
    return "Run `phone-verify drivers` for the format of each driver's DSN."


def _expanded(dsn: Dsn, channel: str) -> Dsn:
    if dsn.scheme != "sandbox":
        return dsn
    if not is_loopback(dsn.host or "") or dsn.credentials or dsn.base_path:
        raise ConfigurationError(
            f"{dsn.setting}: use sandbox://127.0.0.1:{DEFAULT_SANDBOX_PORT}; it works on this machine only"
        )
    if unknown := [name for name in dsn.options if name not in ("timeout", "name")]:
        raise ConfigurationError(
            f"{dsn.setting}: sandbox:// accepts the options timeout and name, not {quoted(unknown[0])}"
        )
    scheme, credentials, settings = SANDBOX[channel]
    options = {**dsn.options, **settings, "tls": "off"}
    if "name" in options:
        options["name"] = f"{options['name']}-{scheme}"
    return Dsn(scheme, tuple(credentials), dsn.host, dsn.port or DEFAULT_SANDBOX_PORT, "", options, dsn.setting)


def _driver_name(dsn: Dsn, taken: Mapping[str, object]) -> str:
    wanted = dsn.options.get("name")
    if wanted is not None:
        if not _NAME.match(wanted):
            raise ConfigurationError(f"{dsn.setting}: option 'name': use lower-case letters, digits and -")
        if wanted in taken:
            free = next(name for name in _names(wanted, taken) if name not in taken)
            raise ConfigurationError(
                f"{dsn.setting}: two drivers are named {wanted!r}",
                f"Name this one differently: {dsn.scheme}://…?name={free}",
            )
        return wanted
    return next(name for name in _names(dsn.scheme, taken) if name not in taken)


def _names(name: str, taken: Mapping[str, object]) -> list[str]:
    return [name, *(f"{name}-{n}" for n in range(2, len(taken) + 3))]
