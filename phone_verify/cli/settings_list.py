"""The settings in force, each with its origin. Credentials and keys are masked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..config.background import NAMES as BACKGROUND_NAMES
from ..config.drivers import load_drivers
from ..config.ledger import NAMES as LEDGER_NAMES
from ..config.settings import BRAND_FIELDS, CHANNEL_NAMES, FUNCTIONS, KNOWN, PREFIX, Settings, merge_environ
from ..config.site import SiteConfig
from ..errors import ConfigurationError
from .output import console, say, table

MASK = "***"
#: Settings of which only the number of entries is shown.
_SECRET = frozenset({"secret_keys", "tag_key", "webhook_secret", "test_passcodes", "test_passcodes_in_production",
                     "metrics_token"})  # fmt: skip
#: To the last @: an unencoded / or @ in a password must not end it.
_CREDENTIALS = re.compile(r"(?<=://).*@")
_QUERY = re.compile(r"\?.*")


@dataclass(frozen=True, slots=True)
class Value:
    """One setting: its value as it would be written, and where that comes from."""

    name: str
    value: object
    origin: str
    valid: bool = True

    @property
    def variable(self) -> str:
        """The environment variable of the setting."""
        return PREFIX + self.name.upper()

    def document(self) -> Mapping[str, object]:
        """Return the setting for JSON."""
        return {"setting": self.variable, "value": self.value, "origin": self.origin, "valid": self.valid}


def in_force(given: SiteConfig) -> Sequence[Value]:
    """Return every setting. An invalid one has no value: nothing in it is known not to be a secret."""
    written = merge_environ(given.values, given.environ)
    found = []
    for name in KNOWN:
        origin = "default"
        if name in written:
            named = given.values.get(name) is not None
            origin = (given.framework or "settings") if named else "environment"
        try:
            settings = Settings.from_mapping({name: written[name]} if name in written else {})
            found.append(Value(name, *_shown(name, written, settings, given, origin)))
        except ConfigurationError:
            found.append(Value(name, None, origin, valid=False))
    return found


def show(values: Sequence[Value]) -> None:
    """Print the settings as a table: those that were set first."""
    rows = table(f"{PREFIX}…", "VALUE", "FROM")
    for row in as_rows(values):
        rows.add_row(*row)
    console().print(rows)
    if not all(value.valid for value in values):
        say("\nFor what is invalid: phone-verify doctor")


def as_rows(values: Sequence[Value]) -> Sequence[tuple[str, str, str]]:
    """Return the name, value and origin of each setting as texts: those that were set first."""
    ordered = sorted(values, key=lambda each: each.origin == "default")
    return [(value.name.upper(), _text(value), value.origin) for value in ordered]


def _text(value: Value) -> str:
    if not value.valid:
        return "(invalid)"
    if isinstance(value.value, list):
        return "\n".join(map(str, value.value)) or "-"
    if isinstance(value.value, bool):
        return "on" if value.value else "off"
    return "-" if value.value in (None, "") else str(value.value)


def _shown(
    name: str, written: Mapping[str, object], settings: Settings, given: SiteConfig, origin: str
) -> tuple[object, str]:
    """Return the value as written, and its origin. Raises `ConfigurationError` for an invalid one."""
    if name == "secret_keys" and name not in written:
        keys = given.framework_keys()
        return _masked(keys), f"{given.framework}'s SECRET_KEY" if keys else origin
    if name in _SECRET:
        value = getattr(settings, name)
        return _masked([value] if isinstance(value, str) else value or ()), origin
    if name in CHANNEL_NAMES:
        dsns = settings.dsns.get(name, ())
        load_drivers({name: dsns}, settings.drivers)
        return [_CREDENTIALS.sub(f"{MASK}@", dsn) for dsn in dsns], origin
    if name == "store":
        return _without_credentials(settings.store or given.default_store()), origin
    if name == "ledger":
        return settings.ledger and _without_credentials(settings.ledger), origin
    if name in (*LEDGER_NAMES, *BACKGROUND_NAMES):
        return _plain(written.get(name)), origin
    if name == "services":
        return list(settings.services), origin  # their fields hold the secrets of endpoints
    if name == "channels" and name not in written:
        return [channel for channel in CHANNEL_NAMES if channel in written], origin
    if name == "purposes":
        value = written.get(name, ())
        return [word.strip() for word in value.split(",")] if isinstance(value, str) else _plain(value), origin
    if name in FUNCTIONS:
        value = getattr(settings, name)
        return value if value is None or isinstance(value, str) else getattr(value, "__qualname__", repr(value)), origin
    if name == "site_name" and name not in written:
        return Settings.from_mapping({"public_url": written.get("public_url")}).site_name, origin
    if name == "texts":
        return [f"{purpose} ({', '.join(texts)})" for purpose, texts in settings.wording.texts.items()], origin
    if name == "android_hash":
        return [f"{purpose}={word}" for purpose, word in settings.wording.android_hashes.items()], origin
    if name in BRAND_FIELDS:
        return getattr(settings.brand, BRAND_FIELDS[name]), origin
    return _plain(getattr(settings.policy if hasattr(settings.policy, name) else settings, name)), origin


def _without_credentials(url: str) -> str:
    scheme, colon, rest = url.partition(":")
    if rest and not rest.startswith("//"):
        return f"{scheme}:{MASK}"
    return _QUERY.sub(f"?{MASK}", _CREDENTIALS.sub(f"{MASK}@", url)) if colon else MASK


def _masked(values: Sequence[str]) -> list[str]:
    return [MASK] * len(values)


def _plain(value: Any) -> object:
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    if isinstance(value, list | tuple | frozenset | set):
        return [str(each) for each in (sorted(value) if isinstance(value, frozenset | set) else value)]
    return value
