"""What each driver can do, read from the drivers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from ..config.drivers import DEFAULT_SANDBOX_PORT, SANDBOX, load_drivers
from ..drivers.base import (
    Ability,
    ChecksRemotely,
    Polls,
    ReadsWebhooks,
    ReportsAccount,
    ReportsDelivery,
    Retries,
    TakesUserTokens,
)
from ..drivers.dsn import driver_class, load_driver, parse_dsn, schemes
from ..drivers.options import COMMON_OPTIONS
from ..model import Channel, CodeSource

#: The roles beside carrying an order: the word of the table, the role, and what it means to the reader.
ROLES: Sequence[tuple[str, type, str]] = (
    ("account", ReportsAccount, "can be asked whether the credential works, without sending anything"),
    ("delivery", ReportsDelivery, "can be asked how far a message came"),
    ("poll", Polls, "can be asked whether the call has come"),
    ("webhook", ReadsWebhooks, "tells of calls or deliveries itself"),
    ("retry", Retries, "has a request of its own for sending again"),
    ("check", ChecksRemotely, "checks the code itself"),
    ("user token", TakesUserTokens, "can send with what the user holds there"),
)

_HOLDERS = {
    CodeSource.LOCAL: "ours",
    CodeSource.PROVIDER: "told",
    CodeSource.REMOTE_CHECK: "remote",
    CodeSource.NONE: "none",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One driver: how its DSN is written, and what it carries to whom."""

    scheme: str
    dsns: Sequence[str]
    abilities: Mapping[Channel, Ability]
    #: Regions whose numbers it serves, None for all; and whether the option `foreign` lets the others through.
    regions: Sequence[str] | None
    foreign: bool
    #: Its own options, with the texts that stand for their defaults; None where there is no default.
    options: Mapping[str, str | None]
    required: Sequence[str]
    roles: Sequence[str]

    def document(self) -> Mapping[str, Any]:
        """The same for JSON: lengths in digits, lives in seconds, null for what has no bound."""
        return {
            "driver": self.scheme,
            "dsns": list(self.dsns),
            "channels": {
                channel.value: {
                    "code": _HOLDERS[ability.holder],
                    "shortest": ability.shortest if ability.known is None else ability.known,
                    "longest": ability.longest if ability.known is None else ability.known,
                    "life_seconds": ability.cap.total_seconds() if ability.cap else None,
                }
                for channel, ability in self.abilities.items()
            },
            "regions": None if self.regions is None else list(self.regions),
            "foreign": self.foreign,
            "options": dict(self.options),
            "required": list(self.required),
            "roles": list(self.roles),
        }


def entries() -> Sequence[Entry]:
    """Every driver, and the sandbox, which stands for several."""
    return [*(_entry(scheme) for scheme in schemes()), _sandbox()]


def table(found: Sequence[Entry]) -> str:
    """The entries as text, 100 columns wide at most."""
    rows = [("DRIVER", "CHANNEL", "CODE", "DIGITS", "LIFE", "NUMBERS", "ROLES")]
    for entry in found:
        for n, (channel, ability) in enumerate(entry.abilities.items()):
            cap = f"{ability.cap.total_seconds():.0f} s" if ability.cap else "-"
            facts = (channel.value, _HOLDERS[ability.holder], _digits(ability), cap)
            first = (entry.scheme, *facts, _numbers(entry), ", ".join(entry.roles) or "-")
            rows.append(first if n == 0 else ("", *facts, "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", "CODE    ours: we make it; told: the provider makes it and tells us; remote: the provider makes and"]
    lines += ["        checks it; none: the call is the proof. DIGITS: what it carries; ?: set at the provider."]
    lines += ["LIFE    the provider's own; ours may be shorter. NUMBERS +: more with the option foreign=digits."]
    lines += ["", *(f"{word:<11} {meaning}" for word, _, meaning in ROLES)]
    lines += ["", "DSNS, and the options with their defaults (where only the name stands there is none)"]
    width = max(len(entry.scheme) for entry in found)
    for entry in found:
        options = [f"{name} (required)" for name in entry.required]
        options += [name if default is None else f"{name}={default}" for name, default in entry.options.items()]
        lines += _filled(f"{entry.scheme:<{width}}  ", "  or  ".join(entry.dsns))
        lines += _filled(" " * (width + 4), " ".join(options)) if options else []
    return "\n".join(
        [*lines, "", f"Options of all: {', '.join(COMMON_OPTIONS)}. There is a page for each in docs/providers."]
    )


def _entry(scheme: str) -> Entry:
    made = driver_class(scheme)
    dsns = made.example_dsns()
    driver = load_driver(parse_dsn(dsns[0], "DSN"))
    return Entry(
        scheme=scheme,
        dsns=dsns,
        abilities=driver.abilities,
        regions=_regions(made.calling_codes),
        foreign="foreign" in made.options,
        options={name: _written(option.default) for name, option in made.options.items() if option.example is None},
        required=[name for name, option in made.options.items() if option.example is not None],
        roles=_roles(driver),
    )


def _sandbox() -> Entry:
    dsn = f"sandbox://127.0.0.1:{DEFAULT_SANDBOX_PORT}"
    by_channel = load_drivers({name: [dsn] for name in SANDBOX})
    roles = {role for drivers in by_channel.values() for driver in drivers for role in _roles(driver)}
    return Entry(
        scheme="sandbox",
        dsns=[dsn],
        abilities={channel: drivers[0].abilities[channel] for channel, drivers in by_channel.items()},
        regions=None,
        foreign=False,
        options={},
        required=(),
        roles=[word for word, _, _ in ROLES if word in roles],
    )


def _roles(driver: object) -> Sequence[str]:
    return [word for word, role, _ in ROLES if isinstance(driver, role)]


def _regions(calling_codes: frozenset[str] | None) -> Sequence[str] | None:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    if calling_codes is None:
        return None
    return sorted(region for code in calling_codes for region in COUNTRY_CODE_TO_REGION_CODE[int(code)])


def _written(default: object) -> str | None:
    """A default as it would stand in a DSN."""
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple):
        return "|".join(default)
    return None if default is None else str(default)


def _digits(ability: Ability) -> str:
    if ability.holder is CodeSource.NONE:
        return "-"
    if ability.holder is not CodeSource.LOCAL:
        return "?" if ability.known is None else str(ability.known)
    if ability.shortest is None or ability.longest is None:
        return "any"
    return str(ability.longest) if ability.shortest == ability.longest else f"{ability.shortest}-{ability.longest}"


def _numbers(entry: Entry) -> str:
    return "all" if entry.regions is None else " ".join(entry.regions) + ("+" if entry.foreign else "")


def _filled(head: str, text: str) -> list[str]:
    return wrap(
        text,
        100,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
        break_long_words=False,
    )
