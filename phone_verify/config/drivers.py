"""Drivers from DSNs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..drivers.base import Starts
from ..drivers.dsn import load_driver, parse_dsn
from ..drivers.options import Dsn, is_loopback
from ..errors import ConfigurationError
from ..model import Channel
from .settings import CHANNEL_NAMES, PREFIX

DEFAULT_SANDBOX_PORT = 8025
#: The scheme that `sandbox://` represents on each channel.
SANDBOX = {"sms": "amoot", "flash_call": "ferzz", "inbound_call": "telefon-ip", "telegram": "telefon-ip"}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z", re.ASCII)


def load_drivers(dsns: Mapping[str, Sequence[str]]) -> Mapping[Channel, Sequence[Starts]]:
    """Return the drivers of these DSNs by channel, in order of failover.

    Equal DSN texts are one driver, even on several channels; further ones of a scheme are
    `scheme-2`, `scheme-3` in order of appearance, unless the DSN names them.
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


def _expanded(dsn: Dsn, channel: str) -> Dsn:
    if dsn.scheme != "sandbox":
        return dsn
    if not is_loopback(dsn.host or "") or dsn.credentials or dsn.base_path:
        raise ConfigurationError(
            f"{dsn.setting}: use sandbox://127.0.0.1:{DEFAULT_SANDBOX_PORT}; it works on this machine only"
        )
    if unknown := [name for name in dsn.options if name not in ("timeout", "name")]:
        raise ConfigurationError(f"{dsn.setting}: sandbox:// accepts the options timeout and name, not {unknown[0]!r}")
    if channel not in SANDBOX:
        raise ConfigurationError(f"{dsn.setting}: sandbox:// does not carry {channel}; it carries {', '.join(SANDBOX)}")
    scheme = SANDBOX[channel]
    # The sandbox accepts any number, including countries that the provider does not serve.
    options = {**dsn.options, "tls": "off", "foreign": "digits"}
    if "name" in options:
        options["name"] = f"{options['name']}-{scheme}"
    return Dsn(scheme, ("SANDBOX",), dsn.host, dsn.port or DEFAULT_SANDBOX_PORT, "", options, dsn.setting)


def _driver_name(dsn: Dsn, taken: Mapping[str, object]) -> str:
    wanted = dsn.options.get("name")
    if wanted is not None:
        if not _NAME.match(wanted):
            raise ConfigurationError(f"{dsn.setting}: option 'name': use lower-case letters, digits and -")
        if wanted in taken:
            raise ConfigurationError(f"{dsn.setting}: two drivers are named {wanted!r}; give each a unique name")
        return wanted
    candidates = [dsn.scheme, *(f"{dsn.scheme}-{n}" for n in range(2, len(taken) + 3))]
    return next(name for name in candidates if name not in taken)
