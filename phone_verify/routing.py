"""Selects the drivers of an order: the configured failover, unreachable providers last.

The circuit breaker is advisory and per process: it only reorders and never excludes, so that
connection problems of one process cannot close a channel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from .drivers.base import Starts
from .errors import ConfigurationError
from .model import Channel
from .phone import PhoneKind, PhoneNumber
from .phone.formats import calling_codes
from .policy import VOICE_CHANNELS

#: Consecutive time-outs and connection failures. Refusals do not count: they arrive quickly and
#: block no request.
_SILENCES_TO_TRIP = 20
_TRIPPED_SECONDS = 30.0
#: Numbers that receive no text.
_NO_TEXT = (PhoneKind.FIXED, PhoneKind.REFUSED)


class Router:
    """The configured drivers by channel, in order of preference and of failover."""

    def __init__(
        self,
        drivers: Mapping[Channel, Sequence[Starts]],
        preference: Sequence[Channel] = (),
        *,
        ticks: Callable[[], float],
    ) -> None:
        self._drivers = {channel: tuple(carriers) for channel, carriers in drivers.items() if carriers}
        for channel in preference:
            if channel not in self._drivers:
                raise ConfigurationError(
                    f"PHONE_VERIFY_CHANNELS names {channel}, but no driver carries it: "
                    f"set PHONE_VERIFY_{channel.upper()} or leave {channel} out"
                )
        #: The channels to use, in this order, when none is named.
        self.preferred: Sequence[Channel] = tuple(dict.fromkeys(preference or self._drivers))
        #: Every channel in use, the preferred ones first.
        self.channels: Sequence[Channel] = tuple(dict.fromkeys([*self.preferred, *self._drivers]))
        self._by_name = {driver.name: driver for carriers in self._drivers.values() for driver in carriers}
        self._ticks = ticks
        self._silences: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def drivers(self) -> Mapping[str, Starts]:
        """Return all drivers by name."""
        return self._by_name

    @cached_property
    def calling_codes(self) -> frozenset[str]:
        """The calling codes of which a driver reaches numbers."""
        samples = {code: PhoneNumber(f"+{code}0000000") for code in calling_codes()}
        drivers = self._by_name.values()
        return frozenset(code for code, sample in samples.items() if any(each.reaches(sample) for each in drivers))

    def carriers(self, channel: Channel) -> Sequence[Starts]:
        """Return the drivers configured for this channel, in order of failover."""
        return self._drivers.get(channel, ())

    def announces(self, driver_name: str) -> bool:
        """Return whether an announcement answers the calls to this driver's lines."""
        driver = self._by_name.get(driver_name)
        ability = driver.abilities.get(Channel.INBOUND_CALL) if driver is not None else None
        return ability is not None and ability.announced

    def serves(self, channel: Channel, phone: PhoneNumber) -> bool:
        """Return whether a driver of this channel can reach this phone."""
        return bool(self.route(channel, phone))

    def route(self, channel: Channel, phone: PhoneNumber) -> Sequence[Starts]:
        """Return the drivers to try in turn for this phone.

        None if the channel is not in use or cannot reach it.
        """
        if channel not in self.channels or (phone.kind in _NO_TEXT and channel not in VOICE_CHANNELS):
            return ()
        able = [driver for driver in self._drivers[channel] if driver.reaches(phone)]
        return sorted(able, key=self._tripped) if len(able) > 1 else able

    def unreachable(self, driver: Starts) -> None:
        """Record that this driver's provider could not be reached, or did not respond in time."""
        with self._lock:
            count, _ = self._silences.get(driver.name, (0, 0.0))
            self._silences[driver.name] = (count + 1, self._ticks())

    def record_success(self, driver: Starts) -> None:
        """Reset the count of time-outs: this driver's provider responds, even if it refuses."""
        with self._lock:
            self._silences.pop(driver.name, None)

    def _tripped(self, driver: Starts) -> bool:
        count, last = self._silences.get(driver.name, (0, 0.0))
        return count >= _SILENCES_TO_TRIP and self._ticks() - last < _TRIPPED_SECONDS
