"""The settings `prices`, `caps` and `terms`, and the ledger that they limit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from ..codes import Keyring
from ..errors import ConfigurationError, FieldFault, quoted
from ..events.record import EventBus, VerificationEvent
from ..events.signals import ALARM
from ..ledger.prices import Prices
from ..routing import Router
from .files import document_in

if TYPE_CHECKING:
    from ..ledger.base import Ledger
    from ..ledger.caps import Cap
    from ..ledger.service import ServiceLedger
    from ..ledger.values import Alarm, Terms
    from ..stores.threaded import InThread
    from ..webhooks_out.endpoints import Endpoints

T = TypeVar("T")

#: Opens the ledger at a URL, which writes its changes for these endpoints.
LedgerOpener: TypeAlias = "Callable[[str, Endpoints], Ledger]"

#: The verb of an event: the ledger could not do a step.
LEDGER_FAILED = "ledger_failed"
#: The settings of this module: mappings, or the path of a YAML or JSON file with one.
NAMES = ("prices", "caps", "terms")
_PREFIX = "PHONE_VERIFY_"
SQL_SCHEMES = ("sqlite", "postgresql", "mysql")


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """The prices, caps and terms of the site's own service."""

    prices: Prices = field(default_factory=Prices)
    caps: tuple[Cap, ...] = ()
    terms: Terms | None = None

    def currency_of(self, terms: Terms | None) -> str:
        """Return the currency of the caps and the account of a service with these terms."""
        return terms.currency if terms else self.prices.currency


def read_ledger(given: Mapping[str, object]) -> LedgerSettings:
    """Return the settings. Raises `ConfigurationError`."""
    if not any(given.get(name) for name in NAMES):
        return LedgerSettings()
    # A site without a ledger loads nothing of it.
    from ..ledger.reading import read_caps, read_prices, read_terms

    prices = _read("prices", given, read_prices) or Prices()
    return LedgerSettings(
        prices=prices,
        caps=_read("caps", given, read_caps) or (),
        terms=_read("terms", given, lambda value: read_terms(value, prices.currency)),
    )


def check_money(caps: tuple[Cap, ...], terms: Terms | None, prices: Prices) -> None:
    """Check that a price table exists for amounts of money. Raises `ConfigurationError`."""
    if (found := money_fault(caps, terms, prices)) is not None:
        name, fault = found
        raise ConfigurationError(f"{_PREFIX}{name}: {fault}")


def money_fault(caps: tuple[Cap, ...], terms: Terms | None, prices: Prices) -> tuple[str, FieldFault] | None:
    """Return the setting and the fault if the price table does not fit amounts of money."""
    by_name = {"CAPS": any(cap.money is not None for cap in caps), "TERMS": terms is not None}
    for name, used in by_name.items():
        if used and not prices.entries:
            return name, FieldFault(
                "without prices no amount of money is known; set PHONE_VERIFY_PRICES to the path of a price table"
            )
    if terms is not None and prices.convert(terms.trial, prices.currency, terms.currency, date.max) is None:
        return "TERMS", FieldFault(
            "there is no rate of {currency}; add it to rates in PHONE_VERIFY_PRICES", currency=terms.currency
        )
    return None


def check_ledger(url: str | None, settings: LedgerSettings) -> None:
    """Check the settings together. Raises `ConfigurationError`."""
    if url is None:
        given = {"PRICES": settings.prices.entries, "CAPS": settings.caps, "TERMS": settings.terms}
        if lonely := next((name for name, value in given.items() if value), None):
            advice = f"Set {_PREFIX}LEDGER to a database, like sqlite:////var/lib/site/ledger.sqlite3"
            raise ConfigurationError(f"{_PREFIX}{lonely} needs a ledger", advice)
    check_money(settings.caps, settings.terms, settings.prices)


def check_prices(settings: LedgerSettings, router: Router) -> None:
    """Check that every driver has a price if money is limited. Raises `ConfigurationError`.

    An order without a known price would not be sent.
    """
    limited = any(cap.enforced and cap.money is not None for cap in settings.caps)
    if not limited and not (settings.terms and settings.terms.enforced):
        return
    for name, driver in router.drivers().items():
        for channel in driver.abilities:
            if not any(
                price.channel in (None, channel) and price.driver in ("", name) for price in settings.prices.entries
            ):
                raise ConfigurationError(
                    f"{_PREFIX}PRICES: there is no price of {channel} by {name}, so its orders would not be sent",
                    "Add one, or '0' if the driver is free",
                )


def open_ledger(
    url: str | None,
    settings: LedgerSettings,
    own: Mapping[str, LedgerOpener],
    endpoints: Endpoints,
    keyring: Keyring,
    events: EventBus,
    clock: Callable[[], datetime] | None,
) -> ServiceLedger | None:
    """Return the ledger of the site's own service; None if the site has none. Raises `ConfigurationError`."""
    if url is None:
        return None
    from ..ledger.service import ServiceLedger

    def on_alarm(alarm: Alarm) -> None:
        events.emit(VerificationEvent(ALARM, str(alarm.level), driver=alarm.driver or None, alarm=alarm))

    def on_failure(step: str, driver: str) -> None:
        events.emit(VerificationEvent(LEDGER_FAILED, step, driver=driver or None))

    return ServiceLedger(
        ledger=ledger_at(url, own, endpoints),
        digest=lambda reference: keyring.bucket("ledger", reference).partition(":")[2],
        caps=settings.caps,
        terms=settings.terms,
        prices=settings.prices,
        on_alarm=on_alarm,
        on_failure=on_failure,
        now=clock or (lambda: datetime.now(UTC)),
        reference_key=keyring.reference_key,
    )


def ledger_in_threads(ledger: ServiceLedger | None, in_thread: InThread) -> ServiceLedger | None:
    """Return the same ledger for coroutines."""
    if ledger is None:
        return None
    from ..ledger.threaded import ThreadedLedger

    return replace(ledger, ledger=ThreadedLedger(ledger.ledger, in_thread))


def ledger_at(url: str, own: Mapping[str, LedgerOpener], endpoints: Endpoints = lambda service: ()) -> Ledger:
    """Return the blocking ledger for a URL: of one of the adapter's `own` schemes, or in an SQL database.

    Raises `ConfigurationError`.
    """
    scheme, colon, _ = url.partition(":")
    openers: dict[str, LedgerOpener] = {**dict.fromkeys(SQL_SCHEMES, _open_sql), **own}
    if not colon or scheme not in openers:
        schemes = ", ".join(f"{name}:" for name in openers)
        raise ConfigurationError(f"{_PREFIX}LEDGER: unknown database {quoted(scheme)}; known ones: {schemes}")
    return openers[scheme](url, endpoints)


def _open_sql(url: str, endpoints: Endpoints) -> Ledger:
    from ..database.connection import Database
    from ..database.ledger import SqlLedger

    return SqlLedger(Database.from_url(url), endpoints)


def _read(name: str, given: Mapping[str, object], read: Callable[[object], T]) -> T | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    setting = f"{_PREFIX}{name.upper()}"
    if isinstance(value, str | Path):
        value = _document(setting, str(value).strip())
    try:
        return read(value)
    except ValueError as error:
        raise ConfigurationError(f"{setting}: {error}") from None


def _document(setting: str, text: str) -> object:
    """Return what a file holds, or the text itself if it is a mapping in JSON."""
    if not text.startswith("{"):
        return document_in(Path(text), setting)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{setting}: it is not JSON; write the path of a file in its place") from None
