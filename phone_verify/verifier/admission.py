"""Admits orders: the quotas that they count in, and the channel and the drivers that may carry them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from ..before_send import ClientFacts, HookError, SendOrder
from ..delivery import Admitted, Undelivered
from ..drivers.base import Starts
from ..events.record import VerificationEvent, record_route
from ..exchange import is_token
from ..lifecycle import Opening
from ..limits import Counted, DenialReason, Denied, Limits, Quota, Tally, lockout
from ..model import Channel, Outcome, Reason, Verification, value_class
from ..parts import Components
from ..phone import PhoneKind, PhoneNumber
from ..planning import Plan, Planner
from ..policy import VOICE_CHANNELS
from ..purposes import SIGN_IN_PURPOSES, Budget, budget_of
from ..routing import Route
from ..routing.choice import Why
from ..routing.statistics import RouteStatistics
from ..stores.base import CountsAndOpens, counts_and_opens
from ..test_numbers import TestNumber
from .guarding import Guarding
from .quotas import phone_quotas, quotas_of_all, quotas_of_service, refusal_gates, source_quotas
from .refunds import Refund
from .sources import Source

log = logging.getLogger("phone_verify")

_SECONDS_PER_REPORT = 3600.0


class Sends:
    """The sends of one order: counted, and given back if nothing was sent.

    `purpose` is None if any client may have started the order, regardless of its actual purpose:
    the quotas that only the phone's owner can use are then not available. `reserved` is whether the
    order may use the share of the quotas that is reserved for trusted devices and server code.
    """

    def __init__(
        self,
        parts: Components,
        phone: PhoneNumber,
        tag: str,
        purpose: str | None,
        source: Source,
        *,
        trusted: bool,
        reserved: bool,
    ) -> None:
        self._parts, self._tag, self.source, self.trusted = parts, tag, source, trusted
        self.of_phone = phone_quotas(parts, tag, purpose, source, trusted=trusted)
        refused = refusal_gates(parts, tag, source, trusted=trusted, reserved=reserved)
        self._own = source_quotas(parts, source, trusted=trusted, reserved=reserved)
        of_all = quotas_of_all(parts.policy, parts.keyring, phone, reserved=reserved)
        self._shared = [*of_all, *quotas_of_service(parts, phone, reserved=reserved), *refused]
        self._counted: tuple[Sequence[Quota], Counted] | None = None
        self._guarding: Guarding | None = None

    @property
    def leases(self) -> Quota | None:
        """The quota of the client's orders that may lease a line, or None if the client is unknown."""
        return self.source.leases(self._parts.keyring)

    async def count(self) -> Counted | Denied:
        """Count the order in the quotas that span phones, or return the denial."""
        return await self._count([*self._own, *self._shared])

    async def count_own(self) -> Denied | None:
        """Count the order in the quotas of its client, unless any quota that spans phones is full.

        `uncount` and `give_back` leave it counted there. `count_shared` counts it in the others.
        """
        gates = [replace(quota, gate=True) for quota in self._shared]
        counted = await self._parts.store.count([*self._own, *gates], self._parts.now())
        return counted if isinstance(counted, Denied) else None

    async def count_shared(self) -> Counted | Denied:
        """Count the order in the quotas that it shares with those of other clients, or return the denial."""
        return await self._count(self._shared)

    async def _count(self, quotas: Sequence[Quota]) -> Counted | Denied:
        counted = await self._parts.store.count(quotas, self._parts.now())
        if not isinstance(counted, Denied):
            self._counted = quotas, counted
        return counted

    async def open(self, opening: Opening, limits: Limits, at_once: CountsAndOpens | None) -> Verification | Denied:
        """Open the verification; if the order is not counted in the quotas that span phones, `at_once` does both."""
        if self._counted is not None or at_once is None:
            return await self._parts.store.open(opening, self.of_phone, limits, self._parts.now())
        quotas = [*self._own, *self._shared]
        opened = await at_once.count_and_open(quotas, opening, self.of_phone, limits, self._parts.now())
        if isinstance(opened, Denied):
            return opened
        counted, record = opened
        self._counted = quotas, counted
        return record

    async def leave(
        self,
        phone: PhoneNumber,
        channels: Sequence[Channel],
        serves: Callable[[Channel], bool],
        *,
        owned: bool,
        by_client: bool,
    ) -> Sequence[Channel]:
        """Return which of these channels the site's fraud guard leaves; none if it refuses the order."""
        if self._parts.fraud is None:
            return channels
        self._guarding = Guarding(self._parts, self._parts.fraud)
        return await self._guarding.leave(
            phone,
            channels,
            serves,
            networks=self.source.networks,
            is_owners=self.trusted or owned,
            by_client=by_client,
        )

    async def uncount(self) -> None:
        """Take the order out of the quotas in which the last count counted it, and of those of the fraud guard."""
        if self._guarding is not None:
            await self._guarding.take_back()
        if self._counted is not None:
            quotas, counted = self._counted
            await self._parts.store.uncount(quotas, counted.windows, self._parts.now())

    async def _uncount_shared(self) -> None:
        """Take the order out of the quotas that it shares with those of other clients, the last ones counted."""
        if self._counted is not None:
            windows = self._counted[1].windows[-len(self._shared) :]
            await self._parts.store.uncount(self._shared, windows, self._parts.now())

    def refund(self, record: Verification) -> Refund:
        """Return what the order is counted in, to be given back if nothing is sent."""
        counted = [] if self._counted is None else list(zip(self._counted[0], self._counted[1].windows, strict=True))
        guarded = [] if self._guarding is None else self._guarding.counted
        refused = refusal_gates(self._parts, self._tag, self.source, trusted=self.trusted, reserved=False)
        return Refund(
            record.read_at,
            self.of_phone,
            [(quota, window) for quota, window in (*counted, *guarded) if not quota.gate],
            [replace(quota, gate=False) for quota in refused],
        )

    async def give_back(self, record: Verification, undelivered: Undelivered) -> None:
        """Return an order that every provider refused to its quotas, as `uncount`, and count the refusal.

        One for which no line was free counts as no refusal, but stays counted for its client, or for its
        phone if no quota of the client applies: that limits how often a pool is searched.
        """
        if not undelivered.refused:
            return
        searched = undelivered.reason is Reason.CHANNEL_UNAVAILABLE
        if not searched:
            # If no provider was asked, nothing is counted: a suspended service must not close others.
            refused = undelivered.reason is Reason.DELIVERY_FAILED
            await self.refund(record).give_back(record.id, self._parts.store, self._parts.now(), refused=refused)
            return
        if not all(quota.gate for quota in self._own):
            await self._parts.store.refund(record.id, self.of_phone, record.read_at, self._parts.now())
        await self._uncount_shared()


@value_class
class Asked:
    """What the site's hook is asked about an order, apart from its phone, purpose and channel."""

    client: ClientFacts
    locale: str | None = None
    signed_in: bool = False
    by_client: bool = False
    owned: bool = False


@value_class
class Candidate:
    """The first driver that may carry an order on a channel, and the limits of its codes.

    `short` is whether any driver that may carry the order has short codes, including those reached
    only by failover: their code could not be used while short codes are closed.
    """

    channel: Channel
    driver: Starts
    plan: Plan
    short: bool


class Admission:
    """Decides whether, on which channel and by which drivers an order may be sent."""

    def __init__(self, parts: Components, planner: Planner, statistics: RouteStatistics) -> None:
        self._parts, self._planner, self._statistics = parts, planner, statistics
        self.limits = Limits.of(parts.policy)
        #: The store, if it can count and open a start in one step.
        self.at_once = counts_and_opens(parts.store)
        self._reported_at = float("-inf")

    async def admit(
        self,
        sends: Sends,
        phone: PhoneNumber,
        purpose: str,
        channels: Sequence[Channel],
        step: Callable[[Candidate], Awaitable[Verification | Denied]],
        budget: Budget,
        asked: Asked,
        found: Verification | None = None,
    ) -> Admitted | Denied | Outcome:
        """Count the order and find the first of these channels on which the store accepts it.

        `step` is the store's operation. `found` is the record of a resend: its driver comes first,
        because only that driver can retry by its own reference. If the tally withholds short codes
        from this client, or they turn out to be closed for this phone, only drivers with longer
        codes are tried. After a denial, the quotas that span phones have not counted the order.

        The fraud guard and then the site's hook decide before the order counts for anyone but its
        client: a caller that disappears meanwhile, or a process that dies, leaves nothing in the quotas
        of others. An outcome is a refusal of theirs. Every order that they were asked about stays counted
        for the client's address, since each call of the hook can cost the site money.
        """
        if self._parts.before_send.is_set or self._parts.fraud is not None:
            if (denied := await sends.count_own()) is not None:
                return replace(denied, record=found)
            if budget is not Budget.TEST_NUMBER:

                def serves(channel: Channel) -> bool:
                    return bool(self.route(channel, phone, purpose))

                channels = await sends.leave(phone, channels, serves, owned=asked.owned, by_client=asked.by_client)
                if not channels:
                    return Outcome(Reason.SEND_REFUSED, found)
            if (refusal := await self._refusal(phone, purpose, channels, sends, asked, found)) is not None:
                await sends.uncount()
                return refusal
            counted = await sends.count_shared()
        else:
            if found is None and self.at_once is not None:
                opened = await self._first(phone, purpose, channels, step, found, closed=False, long=False)
                if not isinstance(opened, Denied) or opened.why is not DenialReason.TWO_STEPS:
                    return _with_leases(opened, sends)
            counted = await sends.count()
        if isinstance(counted, Denied):
            await sends.uncount()
            return replace(counted, record=found)
        if found is None:
            self._report_spraying(counted.tally)
        # Trusted devices are not affected, and short codes are withheld from sign-in only.
        closed = not sends.trusted and budget.is_of_sign_in and self.limits.closes_short(counted.tally)
        long = not sends.trusted and self.limits.lengthens(counted.tally)
        admitted = await self._first(phone, purpose, channels, step, found, closed=closed, long=long)
        if isinstance(admitted, Denied):
            await sends.uncount()
        return _with_leases(admitted, sends)

    async def _refusal(
        self,
        phone: PhoneNumber,
        purpose: str,
        channels: Sequence[Channel],
        sends: Sends,
        asked: Asked,
        found: Verification | None,
    ) -> Outcome | None:
        """Return the outcome if the site's hook refuses the order or fails."""
        channel = next((channel for channel in channels if self.route(channel, phone, purpose)), channels[0])
        order = SendOrder(
            phone,
            purpose,
            channel,
            is_resend=found is not None,
            locale=asked.locale,
            signed_in=asked.signed_in,
            trusted_device=sends.trusted,
            by_client=asked.by_client,
        )
        try:
            refusal = await self._parts.before_send.refusal(order, asked.client)
        except HookError:
            return Outcome(Reason.HOOK_FAILED, found)
        if refusal is None:
            return None
        return Outcome(Reason.SEND_REFUSED, found, text=refusal.text, at_fault=refusal.field)

    def route(self, channel: Channel, phone: PhoneNumber, purpose: str, *, long: bool = False) -> Sequence[Starts]:
        """Return the drivers that may carry an order, or a test number in their place.

        A test number replaces them if codes on this channel come from us and have its length. On
        other channels it is treated like any number, so that responses do not reveal it.
        """
        drivers = self._parts.router.route(channel, phone)
        fixed = self._test_number(phone)
        if fixed is None or not drivers:
            return drivers
        if not self._planner.plan(drivers[0], channel, purpose, long=long).fits(fixed.code):
            return drivers
        return [fixed.standing_for(drivers[0])]

    def refused_destination(self, phone: PhoneNumber, channel: Channel | None, *, owned: bool) -> Reason | None:
        """Return why a start to this phone is refused, on this channel if one is named; None if it is not.

        `owned` is whether the phone belongs to the user already.
        """
        allowed = self._parts.policy.allowed_regions
        if phone.kind is PhoneKind.UNKNOWN and not owned:
            return Reason.DESTINATION_NOT_ALLOWED
        if phone.kind is PhoneKind.REFUSED or (allowed is not None and phone.region not in allowed):
            return Reason.DESTINATION_NOT_ALLOWED
        if phone.kind is PhoneKind.FIXED and channel is not None and channel not in VOICE_CHANNELS:
            return Reason.DESTINATION_NOT_ALLOWED
        if not self._parts.router.channels:
            return Reason.NOT_CONFIGURED
        if channel is not None and channel not in self._parts.router.channels:
            return Reason.CHANNEL_UNAVAILABLE
        if not any(
            self._parts.router.serves(c, phone) for c in ([channel] if channel else self._parts.router.preferred)
        ):
            return Reason.DESTINATION_NOT_ALLOWED
        return None

    def resendable(self, record: Verification) -> Sequence[Channel]:
        """Return the channels that a resend would accept, apart from the delay and the quotas."""
        if not record.open:
            return []
        lock = lockout(record.failures, self.limits, True, record.read_at)
        if lock is not None and lock.why is DenialReason.FAILURES:
            return []
        short_closed = lock is not None

        def serves(channel: Channel) -> bool:
            drivers = self.route(channel, record.phone, record.purpose)
            if not short_closed:
                return bool(drivers)
            return any(not self._planner.plan(driver, channel, record.purpose).short for driver in drivers)

        usable = self.usable(record.purpose, record.proved_channels)
        channels = self._parts.router.channels if usable is None else usable
        return [channel for channel in allowed(record, dict.fromkeys([*channels, record.channel])) if serves(channel)]

    def usable(self, purpose: str, proved: str) -> Sequence[Channel] | None:
        """Return the channels of a purpose that requires several, the preferred ones first.

        None for every other purpose. Those that are `proved` already are left out, and those that the
        policy opens only after a call.
        """
        left = self._left(purpose, proved)
        if left is not None and self._parts.policy.call_first and Channel.INBOUND_CALL in left:
            return [Channel.INBOUND_CALL]
        return left

    def _left(self, purpose: str, proved: str) -> Sequence[Channel] | None:
        wanted = self._parts.policy.required_for(purpose)
        if wanted is None:
            return None
        done = proved.split()
        return [c for c in self._parts.router.channels if c in wanted and c.value not in done]

    def startable(
        self, phone: PhoneNumber, purpose: str, proved: str, channel: Channel | None
    ) -> Sequence[Channel] | Reason:
        """Return the channels to try in turn for a start, only `channel` if it is named; or the refusal.

        A purpose that requires several channels starts only for a phone that all of them reach.
        """
        usable = self.usable(purpose, proved)
        if usable is None:
            return [channel] if channel else self._parts.router.preferred
        if channel is not None and channel not in usable:
            return Reason.CHANNEL_UNAVAILABLE
        if not all(self._parts.router.serves(each, phone) for each in self._left(purpose, proved) or ()):
            return Reason.DESTINATION_NOT_ALLOWED
        return [channel] if channel else usable

    def budget(self, phone: PhoneNumber, purpose: str, subject: str, proved: str) -> Budget:
        """Return the budget under which wrong answers of a verification are counted."""
        if self._test_number(phone) is not None:
            return Budget.TEST_NUMBER
        budget = budget_of(purpose, signed_in=bool(subject))
        return budget if self._parts.policy.required_for(purpose) is None else self._combined(budget, purpose, proved)

    def _combined(self, budget: Budget, purpose: str, proved: str) -> Budget:
        """Return the budget of a purpose that requires several channels.

        A success clears it only if it proves every channel that a purpose with this budget requires.
        """
        policy = self._parts.policy
        if budget is Budget.SIGN_IN:
            others, last, part = ["login"], Budget.SIGN_IN_ALL, Budget.SIGN_IN_PART
        else:
            others = [name for name in policy.required_channels if name not in SIGN_IN_PURPOSES]
            last, part = Budget.SIGNED_IN_ALL, Budget.SIGNED_IN_PART
        wanted = {channel.value for name in (purpose, *others) for channel in policy.required_for(name) or ()}
        return last if len(wanted - set(proved.split())) <= 1 else part

    async def _first(
        self,
        phone: PhoneNumber,
        purpose: str,
        channels: Sequence[Channel],
        step: Callable[[Candidate], Awaitable[Verification | Denied]],
        found: Verification | None,
        *,
        closed: bool,
        long: bool,
    ) -> Admitted | Denied:
        denied = Denied(DenialReason.SHORT_CODES_CLOSED)
        for channel in channels:
            route = await self._drawn(channel, phone, purpose, found, long=long)
            drivers = route.drivers
            longer = [driver for driver in drivers if not self._planner.plan(driver, channel, purpose).short]
            for able in (drivers, longer):
                if not able or (closed and able is drivers):
                    continue
                plan = self._planner.plan(able[0], channel, purpose, long=long)
                record = await step(Candidate(channel, able[0], plan, short=len(longer) < len(able)))
                if not isinstance(record, Denied):
                    if route.rule is not None:
                        why = route.why if able[0] is drivers[0] else Why.FAILOVER
                        record_route(f"{route.rule.number}:{why}")
                    return Admitted(record, channel, able, long=long)
                if record.why is not DenialReason.SHORT_CODES_CLOSED:
                    return record
                denied, closed = record, True
        return denied

    async def _drawn(
        self, channel: Channel, phone: PhoneNumber, purpose: str, found: Verification | None, *, long: bool
    ) -> Route:
        """Draw the order of the drivers for one order; a resend stays with its driver while that one responds."""
        drivers = self.route(channel, phone, purpose, long=long)
        if not drivers or isinstance(drivers[0], TestNumber):
            return Route(drivers)
        names = [driver.name for driver in drivers]
        route = self._parts.router.drawn(channel, phone, drivers, await self._statistics.of(channel, phone, names))
        if found is None or found.driver not in names:
            return route
        same_first = sorted(route.drivers, key=lambda driver: driver.name != found.driver)
        ready = self._parts.router.responding_first(same_first)
        return replace(route, drivers=ready, why=Why.RESEND if ready[0] is same_first[0] else Why.FAILOVER)

    def _test_number(self, phone: PhoneNumber) -> TestNumber | None:
        """Return the test number's entry until its last day has ended; None for every other phone."""
        fixed = self._parts.test_numbers.get(phone) if self._parts.test_numbers else None
        if fixed is None or (self._parts.now() or datetime.now(UTC)).date() > fixed.last_day:
            return None
        return fixed

    def _report_spraying(self, tally: Tally) -> None:
        """Report that short codes are closed for the whole site, once an hour for each process."""
        if self.limits.closes_short(tally) and self._parts.ticks() - self._reported_at >= _SECONDS_PER_REPORT:
            self._reported_at = self._parts.ticks()
            log.warning(
                "short codes are closed for sign-in on browsers that are not trusted devices: %d wrong answers "
                "to short codes in the last 24 hours",
                tally.short,
            )
            self._parts.events.emit(VerificationEvent("short_codes_off", "spraying"))


def _with_leases(admitted: Admitted | Denied, sends: Sends) -> Admitted | Denied:
    if isinstance(admitted, Denied) or admitted.channel is not Channel.INBOUND_CALL:
        return admitted
    return replace(admitted, leases=sends.leases)


def allowed(record: Verification, channels: Iterable[Channel]) -> Sequence[Channel]:
    """Return those of these channels that the record may be sent on: a key can be limited to some."""
    only = record.request.channels.split()
    return [channel for channel in channels if not only or channel.value in only]


def throttled(refused: Denied) -> Outcome:
    """Return the outcome of an order that the store denied for a limit."""
    if refused.why is DenialReason.SHORT_CODES_CLOSED:
        return Outcome(Reason.CHANNEL_UNAVAILABLE)
    return Outcome(Reason.TOO_MANY_REQUESTS, retry_after=refused.retry_after, sends=True)


def require_token(user_token: str | None) -> None:
    """Raise ValueError for a malformed token of a user at the provider."""
    if user_token is not None and not is_token(user_token):
        raise ValueError("user_token: use 1 to 8000 printable ASCII characters without spaces, or None")
