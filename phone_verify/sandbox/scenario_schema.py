"""The JSON Schema of a scenario, made from the providers and limits of the sandbox.

`description` says what to write there; it completes the error "write …".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from jsonschema import Draft202012Validator, FormatChecker

from .faults import LONGEST_DELAY, MAX_FAULTS
from .guard import local_site
from .network import MAX_HANDSETS, MAX_LINES
from .numbers import read_number
from .protocols import PROVIDERS

#: Providers whose account has a webhook URL.
WITH_WEBHOOK = tuple(provider.name for provider in PROVIDERS.values() if provider.webhook_in_cabinet)
#: Providers that give a number for users to call.
WITH_LINES = tuple(provider.name for provider in PROVIDERS.values() if provider.lines)

_PHONE = {
    "format": "phone",
    "description": 'a phone number with its country code, in quotes: "+989120000000"',
}
_URL = {"format": "local-url", "description": "plain http on this machine: http://127.0.0.1:8000/…"}
_SWITCH = {"type": "boolean", "description": "true or false"}


def _names(properties: Mapping[str, Any], *, required: str = "") -> dict[str, Any]:
    return {
        "type": ["object", "null"] if not required else "object",
        "properties": properties,
        "additionalProperties": False,
        "required": [required] if required else [],
        "description": "names with values: " + ", ".join(properties),
    }


def _list(items: Mapping[str, Any], most: int, **more: object) -> dict[str, Any]:
    return {
        "type": ["array", "null"],
        "items": items,
        "maxItems": most,
        "description": f"a list of at most {most}",
    } | more


_PHONE_OR_NULL = {"anyOf": [{"type": "null"}, _PHONE], "description": _PHONE["description"]}
_FAULT = _names(
    {
        "provider": {"enum": list(PROVIDERS), "description": "one of: " + ", ".join(PROVIDERS)},
        "phone": _PHONE_OR_NULL,
    },
    required="provider",
) | {"additionalProperties": True}  # those of `PUT /api/faults`, which `read_fault` checks
_HANDSET = _names(
    {
        "phone": _PHONE,
        "dials_after": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": LONGEST_DELAY,
            "format": "finite",
            "description": f"seconds, 0 to {LONGEST_DELAY:g}",
        },
        "caller": _PHONE_OR_NULL,
        "hidden": _SWITCH,
    },
    required="phone",
)
_LINES = _list(_PHONE, MAX_LINES, type="array", minItems=1, description=f"a list of 1 to {MAX_LINES} numbers")

SCHEMA: Mapping[str, Any] = _names(
    {
        "faults": _list(_FAULT, MAX_FAULTS),
        "handsets": _list(_HANDSET, MAX_HANDSETS),
        "webhooks": _names(dict.fromkeys(WITH_WEBHOOK, _URL)),
        "lines": _names(dict.fromkeys(WITH_LINES, _LINES)),
    }
)

_FORMATS = FormatChecker(())


@_FORMATS.checks("phone")
def _is_phone(value: object) -> bool:
    # A text only: YAML reads 07120000000 without quotes as an octal number, which is another phone's.
    return isinstance(value, str) and read_number(value) is not None


@_FORMATS.checks("local-url")
def _is_local(value: object) -> bool:
    return isinstance(value, str) and local_site(value) is not None


@_FORMATS.checks("finite")
def _is_finite(value: object) -> bool:
    return value == value  # NaN is not


VALIDATOR = Draft202012Validator(SCHEMA, format_checker=_FORMATS)


def problems_of(value: object) -> dict[str, str]:
    """Return what to write where the value does not fit the schema, by path, like `faults[0].phone`."""
    found: dict[str, str] = {}
    for error in VALIDATOR.iter_errors(value):
        path, schema = list(error.absolute_path), cast("Mapping[str, Any]", error.schema)
        match error.validator:
            case "additionalProperties":
                known = schema["properties"]
                for name in error.instance:
                    if name not in known:
                        found.setdefault(path_text([*path, name]), "unknown; known are: " + ", ".join(known))
            case "required":
                (name,) = schema["required"]
                found.setdefault(path_text([*path, name]), f"write {schema['properties'][name]['description']}")
            case _:
                found.setdefault(path_text(path), f"write {schema['description']}")
    return found


def path_text(path: Iterable[str | int]) -> str:
    """Return the path of a value as text: `faults[0].phone`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
