"""Selects the drivers of an order: by a rule or as configured, unreachable providers last.

The circuit breaker is advisory and per process: it only reorders and never excludes, so that
connection problems of one process cannot close a channel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cached_property
from random import SystemRandom

from ..conversions import Conversion
from ..drivers.base import Starts
from ..errors import ConfigurationError
from ..model import Channel, value_class
from ..phone import PhoneKind, PhoneNumber
from ..phone.formats import calling_codes
from ..policy import VOICE_CHANNELS
from .choice import Draw, Why, drawn
from .rules import Rule, matching

#: Consecutive time-outs and connection failures. Refusals do not count: they arrive quickly and
#: block no request.
_SILENCES_TO_TRIP = 20
_TRIPPED_SECONDS = 30.0
#: Numbers that receive no text.
_NO_TEXT = (PhoneKind.FIXED, PhoneKind.REFUSED)


@value_class
class Route:
    """The drivers of one order in turn, and how the first was chosen.

    `rule` is None if no rule is for this order: then the configured order applies.
    """

    drivers: Sequence[Starts]
    rule: Rule | None = None
    why: Why = Why.ORDER


class Router:
    """The configured drivers by channel, in order of preference and of failover.

    `draw` returns the next random number from 0 up to 1; by default the system's.
    """

    def __init__(
        self,
        drivers: Mapping[Channel, Sequence[Starts]],
        preference: Sequence[Channel] = (),
        *,
        ticks: Callable[[], float],
        rules: Sequence[Rule] = (),
        draw: Draw | None = None,
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
        self._ticks, self._rules, self._draw = ticks, rules, draw or SystemRandom().random
        self._silences: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def limited_to(self, channels: Sequence[Channel], drivers: Sequence[str]) -> Router:
        """Return a router that orders only by these channels and drivers, in this order; empty: by all of this one.

        It still knows the other drivers by name, for orders that they have carried, and shares what is
        known of unreachable providers. Raises `ValueError` if no driver is left for a channel.
        """
        router = copy(self)
        chosen = channels or self.channels
        rank = {name: place for place, name in enumerate(drivers)}
        router._drivers = {
            channel: tuple(
                sorted(
                    (driver for driver in self.carriers(channel) if not drivers or driver.name in rank),
                    key=lambda driver: rank.get(driver.name, 0),
                )
            )
            for channel in chosen
        }
        if empty := [channel for channel, carriers in router._drivers.items() if not carriers]:
            raise ValueError(empty[0].value)
        router.preferred = tuple(channels or self.preferred)
        router.channels = tuple(chosen)
        vars(router).pop("calling_codes", None)
        return router

    def closed(self) -> Router:
        """Return a router that knows the same drivers, but orders by none of them."""
        router = copy(self)
        router._drivers, router.preferred, router.channels = {}, (), ()
        vars(router).pop("calling_codes", None)
        return router

    def drivers(self) -> Mapping[str, Starts]:
        """Return all drivers by name, also those that only other services use."""
        return self._by_name

    @cached_property
    def calling_codes(self) -> frozenset[str]:
        """The calling codes of which a driver reaches numbers."""
        samples = {code: PhoneNumber(f"+{code}0000000") for code in calling_codes()}
        drivers = [driver for carriers in self._drivers.values() for driver in carriers]
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
        """Return the drivers that may carry an order to this phone, in the order of its rule.

        None if the channel is not in use or cannot reach it.
        """
        able = self._able(channel, phone)
        rule = self.rule(channel, phone) if able else None
        able = rule.selected(able) if rule is not None else able
        return self.responding_first(able) if len(able) > 1 else able

    def rule(self, channel: Channel, phone: PhoneNumber) -> Rule | None:
        """Return the rule for this phone on this channel, or None."""
        if not self._rules:
            return None
        return matching(self._rules, channel, phone, [driver.name for driver in self._drivers.get(channel, ())])

    def left_out(self, channel: Channel, phone: PhoneNumber) -> Mapping[str, str]:
        """Return the drivers of this channel that `route` leaves out for this phone, and why."""
        able, rule = self._able(channel, phone), self.rule(channel, phone)
        unable = {driver.name: "does not reach the number" for driver in self.carriers(channel) if driver not in able}
        by_rule = {driver.name: rule.why_left_out(driver.name) for driver in able} if rule is not None else {}
        return unable | {name: why for name, why in by_rule.items() if why}

    def drawn(
        self,
        channel: Channel,
        phone: PhoneNumber,
        drivers: Sequence[Starts],
        conversions: Mapping[str, Conversion] | None,
    ) -> Route:
        """Return the route of one order over these drivers, which `route` returned for it.

        Drivers that did not respond recently stay last.
        """
        rule = self.rule(channel, phone)
        if rule is None:
            return Route(drivers)
        order = drawn(rule, [driver.name for driver in drivers], conversions, self._draw)
        by_name = {driver.name: driver for driver in drivers}
        ready = self.responding_first([by_name[name] for name in order.names])
        return Route(ready, rule, order.why if ready[0].name == order.names[0] else Why.FAILOVER)

    def _able(self, channel: Channel, phone: PhoneNumber) -> Sequence[Starts]:
        if channel not in self.channels or (phone.kind in _NO_TEXT and channel not in VOICE_CHANNELS):
            return ()
        return [driver for driver in self._drivers[channel] if driver.reaches(phone)]

    def responding_first(self, drivers: Sequence[Starts]) -> Sequence[Starts]:
        """Return these drivers in the same order, but those that did not respond recently last."""
        return sorted(drivers, key=self._tripped)

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
