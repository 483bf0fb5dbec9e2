"""The settings of background work, and the queue and leases of a site."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from ..errors import ConfigurationError, quoted
from ..routing import Router
from ..work.background import Background, Folds, Mode
from .ledger import SQL_SCHEMES

if TYPE_CHECKING:
    from ..stores.threaded import InThread
    from ..work.leases import JobLeases
    from ..work.sends import SendQueue
    from ..work.waking import Wake

#: The settings of this module.
NAMES = ("background", "provider_balances", "ledger_days")
_PREFIX = "PHONE_VERIFY_"
_MODES: tuple[Mode, ...] = get_args(Mode)

#: Opens the queue and the leases in the database of a URL.
OpenWork: TypeAlias = "Callable[[str], tuple[SendQueue, JobLeases]]"
#: Returns what starts a task that sends an order. Raises `ConfigurationError`.
OpenWake: TypeAlias = "Callable[[], Wake]"


@dataclass(frozen=True, slots=True)
class BackgroundSettings:
    """The settings as values."""

    mode: Mode = "off"
    balances: Mapping[str, Decimal] = field(default_factory=dict)
    keep_ledger: timedelta | None = None


def read_background(given: Mapping[str, object]) -> BackgroundSettings:
    """Return the settings. Raises `ConfigurationError`."""
    mode = _mode(given.get("background") or "off")
    settings = BackgroundSettings(mode, _balances(given.get("provider_balances")), _days(given.get("ledger_days")))
    if given.get("ledger") is None and settings != BackgroundSettings():
        lonely = next(name for name in NAMES if given.get(name))
        raise ConfigurationError(
            f"{_PREFIX}{lonely.upper()} needs a ledger",
            f"Set {_PREFIX}LEDGER to a database, like sqlite:////var/lib/site/ledger.sqlite3",
        )
    return settings


def open_background(
    url: str | None,
    settings: BackgroundSettings,
    router: Router,
    own: Mapping[str, OpenWork],
    wakes: Mapping[str, OpenWake],
    open_aggregates: Callable[[], Folds] | None = None,
) -> Background:
    """Return what works in the background; `wakes` returns what starts a task, by mode. Raises `ConfigurationError`."""
    if url is None:
        return Background()
    if unknown := next((name for name in settings.balances if name not in router.drivers()), None):
        raise ConfigurationError(f"{_PREFIX}PROVIDER_BALANCES: no driver is named {quoted(unknown)}")
    scheme = url.partition(":")[0]
    openers: dict[str, OpenWork] = {**dict.fromkeys(SQL_SCHEMES, _open_sql), **own}
    if scheme not in openers:
        raise ConfigurationError(f"{_PREFIX}LEDGER: unknown database {quoted(scheme)}")
    sends, leases = openers[scheme](url)
    from ..work.fair import FairSends

    sends = fair = FairSends(sends)
    if settings.mode in ("celery", "django-tasks"):
        from ..work.waking import WakingSends

        sends = WakingSends(sends, _wake(settings.mode, wakes))
    aggregates = cache(open_aggregates) if open_aggregates is not None else None
    return Background(settings.mode, leases, sends, fair.divide, aggregates, settings.balances, settings.keep_ledger)


def sends_in_threads(sends: SendQueue | None, in_thread: InThread) -> SendQueue | None:
    """Return the same queue for coroutines."""
    if sends is None:
        return None
    from ..work.threaded import ThreadedSends

    return ThreadedSends(sends, in_thread)


def _open_sql(url: str) -> tuple[SendQueue, JobLeases]:
    from ..database.connection import Database
    from ..database.work import work_in

    return work_in(Database.from_url(url))


def _wake(mode: str, wakes: Mapping[str, OpenWake]) -> Wake:
    if mode == "celery":
        try:
            from ..background import celery as tasks
        except ModuleNotFoundError as error:
            if error.name != "celery":
                raise
            raise ConfigurationError(
                f"{_PREFIX}BACKGROUND is celery, but Celery is not installed", "pip install 'phone-verify[celery]'"
            ) from None
        return tasks.wake
    if mode not in wakes:
        raise ConfigurationError(
            f"{_PREFIX}BACKGROUND: {mode} is for Django only", f"Set {_PREFIX}BACKGROUND=worker or celery"
        )
    return wakes[mode]()


def _mode(value: object) -> Mode:
    for mode in _MODES:
        if value == mode:
            return mode
    raise ConfigurationError(f"{_PREFIX}BACKGROUND must be one of: {', '.join(_MODES)}")


def _balances(value: object) -> dict[str, Decimal]:
    if value is None or value == "":
        return {}
    found: Any = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            f"{_PREFIX}PROVIDER_BALANCES must be a dict of drivers and amounts, in the environment as JSON"
        )
    from ..ledger.amounts import read_amount

    amounts = {str(name): read_amount(amount) for name, amount in found.items()}
    if None in amounts.values():
        raise ConfigurationError(f"{_PREFIX}PROVIDER_BALANCES: write amounts as text, like '500' or '99.90'")
    return {name: amount for name, amount in amounts.items() if amount is not None}


def _days(value: object) -> timedelta | None:
    if value is None or value == "":
        return None
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 36500):
        raise ConfigurationError(f"{_PREFIX}LEDGER_DAYS must be a whole number of days, 1 or more")
    return timedelta(days=int(text))
