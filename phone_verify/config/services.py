"""The setting `services`: the services of the site by name, in the settings or in a YAML or JSON file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, quoted
from ..purposes import DEFAULT_SERVICE
from .files import document_in

_SETTING = "PHONE_VERIFY_SERVICES"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_EXAMPLE = "Example: {'shop': {'title': 'Example Shop', 'channels': ['sms'], 'public': True}}"


def is_service_name(name: object) -> bool:
    """Return whether this may be the name of a service."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def read_services(value: object) -> Mapping[str, Mapping[str, Any]]:
    """Return the fields of each service of the setting, or of the file that it names, not yet checked.

    Raises `ConfigurationError`.
    """
    if isinstance(value, str | Path) and str(value).strip():
        value = document_in(Path(value), _SETTING)
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"{_SETTING} must map names to services, or be the path of a YAML file that does", _EXAMPLE
        )
    for name, fields in value.items():
        if not is_service_name(name):
            raise ConfigurationError(
                f"{_SETTING}: {quoted(name)} is not a name; use up to 32 lower-case letters, digits and _"
            )
        if not isinstance(fields, Mapping):
            raise ConfigurationError(f"{_SETTING}: {name} must map fields to values", _EXAMPLE)
    return dict(value)


def read_service_name(value: object) -> str:
    """Return the service of the site's own pages. Raises `ConfigurationError`."""
    if value is None or value == "":
        return DEFAULT_SERVICE
    if not is_service_name(value):
        raise ConfigurationError("PHONE_VERIFY_SERVICE must be the name of a service, like shop")
    return str(value)
