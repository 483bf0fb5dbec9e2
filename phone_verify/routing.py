"""Which driver carries an order: the configured order of failover, with what cannot be reached put last.

The breaker is advisory and per process: it only reorders, never forbids, so that one process's bad luck cannot
close a channel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from .drivers.base import Starts
from .errors import ConfigurationError
from .model import Channel
from .phone import PhoneKind, PhoneNumber
from .policy import VOICE_CHANNELS

#: Silences in a row. Refusals do not count: they come at once, and keep nobody waiting.
_SILENCES_TO_TRIP = 20
_TRIPPED_SECONDS = 30.0


class Router:
    """The configured drivers, channel by channel, in order of preference and of failover."""

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
        #: What serves where no channel is named, in this order.
        self.preferred: Sequence[Channel] = tuple(dict.fromkeys(preference or self._drivers))
        #: Every channel in use, the preferred ones first.
        self.channels: Sequence[Channel] = tuple(dict.fromkeys([*self.preferred, *self._drivers]))
        self._by_name = {driver.name: driver for carriers in self._drivers.values() for driver in carriers}
        self._ticks = ticks
        self._silences: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def drivers(self) -> Mapping[str, Starts]:
        """Every driver by its name."""
        return self._by_name

    def serves(self, channel: Channel, phone: PhoneNumber) -> bool:
        """Whether some driver of a channel in use can reach this phone by it."""
        return bool(self.route(channel, phone))

    def route(self, channel: Channel, phone: PhoneNumber) -> Sequence[Starts]:
        """The drivers to try in turn for this phone: none if the channel is not in use or cannot reach it."""
        if channel not in self.channels or (phone.kind is not PhoneKind.MOBILE and channel not in VOICE_CHANNELS):
            return ()
        able = [driver for driver in self._drivers[channel] if driver.reaches(phone)]
        return sorted(able, key=self._tripped) if len(able) > 1 else able

    def unreachable(self, driver: Starts) -> None:
        """Remember that this driver's provider could not be reached, or did not answer in time."""
        with self._lock:
            count, _ = self._silences.get(driver.name, (0, 0.0))
            self._silences[driver.name] = (count + 1, self._ticks())

    def answered(self, driver: Starts) -> None:
        """Forget the silences: this driver's provider answers, whatever it says."""
        with self._lock:
            self._silences.pop(driver.name, None)

    def _tripped(self, driver: Starts) -> bool:
        count, last = self._silences.get(driver.name, (0, 0.0))
        return count >= _SILENCES_TO_TRIP and self._ticks() - last < _TRIPPED_SECONDS
