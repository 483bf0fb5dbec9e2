"""Caps: how many attempts, and how much money, a service may use in a window of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from .values import Alarm, Attempt

#: Percentages of a cap or a balance at which an alarm is raised, each once in a window.
LEVELS = (50, 80, 100)
#: The name of the cap for all regions without a separate one.
EVERY_REGION = "*"


class Window(StrEnum):
    """What a cap adds up: a clock hour or a day (UTC), a day of one region, or everything."""

    HOUR = "hour"
    DAY = "day"
    REGION = "region"
    TOTAL = "total"

    @property
    def bit(self) -> int:
        """The bit for it in `Attempt.counted`."""
        return 1 << list(Window).index(self)


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that may be used in a window. A limit that is None does not apply.

    Without `enforced` it is only recorded: alarms are raised, and nothing is refused.
    """

    window: Window
    count: int | None = None
    money: Decimal | None = None
    enforced: bool = True
    region: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one counter holds. `alarmed` is the highest level whose alarm was raised, with a cap of these limits."""

    name: str
    count: int
    spent: Decimal
    alarmed: int
    alarm_count: int | None = None
    alarm_money: Decimal | None = None


def caps_for(caps: Sequence[Cap], region: str) -> list[Cap]:
    """Return the caps of an attempt to this region, one for each window at most."""
    own = [cap for cap in caps if cap.window is Window.REGION and cap.region == region]
    every = [cap for cap in caps if cap.window is Window.REGION and cap.region == EVERY_REGION]
    return [*(cap for cap in caps if cap.window is not Window.REGION), *(own or every)[:1]]


def counter_name(window: Window, attempt: Attempt) -> str:
    """Return the name of the counter of this window for an attempt."""
    return name_at(window, attempt.service, attempt.region, attempt.started_at)


def name_at(window: Window, service: str, region: str, at: datetime) -> str:
    """Return the name of the counter of this window at that time."""
    start = {Window.HOUR: f"{at:%Y%m%d%H}", Window.TOTAL: ""}.get(window, f"{at:%Y%m%d}")
    return f"{service}:{window}:{start}:{region if window is Window.REGION else ''}"


def window_end(window: Window, at: datetime) -> datetime:
    """Return when a window ends; the total never does."""
    if window is Window.TOTAL:
        return datetime(9999, 1, 1, tzinfo=UTC)
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour + timedelta(hours=1) if window is Window.HOUR else hour.replace(hour=0) + timedelta(days=1)


def names_of(attempt: Attempt) -> list[str]:
    """Return the names of the counters in which an attempt was counted, in the order in which they are locked."""
    return sorted(counter_name(window, attempt) for window in Window if attempt.counted & window.bit)


def passes(cap: Cap, used: Usage) -> bool:
    """Return whether a counter is beyond its cap."""
    return (cap.count is not None and used.count > cap.count) or (cap.money is not None and used.spent > cap.money)


def alarm_of(cap: Cap, used: Usage, attempt: Attempt, currency: str, *, refused: bool = False) -> Alarm | None:
    """Return the alarm that a counter calls for, or None if it was raised before.

    An attempt that was refused has reached the cap, even if a smaller one would still fit.
    """
    parts = _parts(cap, used, currency)
    if not parts:
        return None
    share, now_used, allowed, unit = max(parts, key=lambda part: part[0])
    level = 100 if refused else level_of(share)
    if level <= used.alarmed:
        return None
    region = attempt.region if cap.window is Window.REGION else ""
    return Alarm(attempt.service, cap.window.value, level, now_used, allowed, unit, region, enforced=cap.enforced)


def was_raised(cap: Cap, used: Usage) -> bool:
    """Return whether a total cap allows more than at its last alarm, so that its alarms are raised again.

    Use that fell has no such effect: a client whose orders are cancelled or refused, and given back, could raise
    the same alarm again and again. Other windows end, and with them their alarms.
    """
    limits = [(cap.count, used.alarm_count), (cap.money, used.alarm_money)]
    more = any(before is not None and (now is None or now > before) for now, before in limits)
    return cap.window is Window.TOTAL and more


def level_left(cap: Cap, used: Usage) -> int:
    """Return the level whose alarm counts as raised after a cap was raised."""
    share = max((part[0] for part in _parts(cap, used, "")), default=Decimal(0))
    return min(used.alarmed, level_of(share))


def _parts(cap: Cap, used: Usage, currency: str) -> list[tuple[Decimal, str, str, str]]:
    """Return the used share of each limit of a cap; what is used, and what is allowed, as text; and the unit."""
    parts = []
    if cap.count is not None:
        parts.append((_share(Decimal(used.count), Decimal(cap.count)), f"{used.count}", f"{cap.count}", ""))
    if cap.money is not None:
        parts.append((_share(used.spent, cap.money), f"{used.spent:f}", f"{cap.money:f}", currency))
    return parts


def level_of(share: Decimal) -> int:
    """Return the highest level that this share (1 is all) has reached, or 0."""
    return max((level for level in LEVELS if share * 100 >= level), default=0)


def _share(used: Decimal, allowed: Decimal) -> Decimal:
    return used / allowed if allowed else Decimal(2)
