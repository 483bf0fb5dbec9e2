"""Admits orders: the quotas that they count in, and the channel and the drivers that may carry them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ..before_send import ClientFacts, HookError, SendOrder
from ..codes import Keyring
from ..delivery import Admitted
from ..drivers.base import Starts
from ..events.record import VerificationEvent
from ..limits import Counted, DenialReason, Denied, Limits, Quota, Tally, lockout
from ..model import Channel, Outcome, Reason, Verification
from ..parts import Components
from ..phone import PhoneNumber
from ..planning import Plan, Planner
from ..policy import (
    REFUSED_PER_PHONE,
    REFUSED_PER_SITE_OF_ADDRESSES,
    REFUSED_TOTAL,
    RESERVED_SHARE,
    SITE_OF_ADDRESSES,
    Policy,
)
from ..purposes import SECOND_FACTOR, SIGN_IN_PURPOSES, Budget, budget_of
from ..test_numbers import TestNumber
from .sources import Source

log = logging.getLogger("phone_verify")

_SECONDS_PER_REPORT = 3600.0
#: Sends for these purposes have separate quotas if the phone's owner starts them.
_BUDGETS_OF_THEIR_OWN = ("confirm", SECOND_FACTOR)


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
        self._parts, self._tag, self._source, self.trusted = parts, tag, source, trusted
        self.of_phone = _phone_quotas(parts, tag, purpose, source, trusted=trusted)
        refused = _refusal_gates(parts.keyring, tag, source, trusted=trusted, reserved=reserved)
        own = _source_quotas(parts, source, trusted=trusted, reserved=reserved)
        self._of_source = len(own)
        self._shared = [*own, *_of_all(parts.policy, parts.keyring, phone, reserved=reserved), *refused]
        self._counted: Counted | None = None

    async def count(self) -> Counted | Denied:
        """Count the order in the quotas that span phones, or return the denial."""
        counted = await self._parts.store.count(self._shared, self._parts.now())
        if not isinstance(counted, Denied):
            self._counted = counted
        return counted

    async def uncount(self, *, keep_source: bool = False) -> None:
        """Take the order out of the quotas that span phones, or only out of those of other clients."""
        if self._counted is not None:
            kept = self._of_source if keep_source else 0
            await self._parts.store.uncount(self._shared[kept:], self._counted.windows[kept:], self._parts.now())

    async def give_back(self, record: Verification) -> None:
        """Return an order that every provider refused to its quotas, and count the refusal."""
        await self.uncount()
        await self._parts.store.refund(record.id, self.of_phone, record.read_at, self._parts.now())
        refused = _refusal_gates(self._parts.keyring, self._tag, self._source, trusted=self.trusted, reserved=False)
        await self._parts.store.count([replace(quota, gate=False) for quota in refused], self._parts.now())


@dataclass(frozen=True, slots=True)
class Asked:
    """What the site's hook is asked about an order, apart from its phone, purpose and channel."""

    client: ClientFacts
    locale: str | None = None
    signed_in: bool = False
    by_client: bool = False


@dataclass(frozen=True, slots=True)
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

    def __init__(self, parts: Components, planner: Planner) -> None:
        self._parts, self._planner = parts, planner
        self.limits = Limits.of(parts.policy)
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

        The site's hook decides after these quotas, and before those of the phone. An outcome is its
        refusal, and counts only for the client's address; so does every order that it was asked
        about and that was denied later, since each call of the hook can cost the site money.
        """
        counted = await sends.count()
        if isinstance(counted, Denied):
            return replace(counted, record=found)
        if found is None:
            self._report_spraying(counted.tally)
        hooked = self._parts.before_send.is_set
        if hooked and (refusal := await self._refusal(phone, purpose, channels, sends, asked, found)) is not None:
            await sends.uncount(keep_source=True)
            return refusal
        # Trusted devices are not affected, and short codes are withheld from sign-in only.
        closed = not sends.trusted and budget.is_of_sign_in and self.limits.closes_short(counted.tally)
        long = not sends.trusted and self.limits.lengthens(counted.tally)
        admitted = await self._first(phone, purpose, channels, step, found, closed=closed, long=long)
        if isinstance(admitted, Denied):
            await sends.uncount(keep_source=hooked)
        return admitted

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
        return Outcome(Reason.SEND_REFUSED, found, text=str(refusal.text), at_fault=refusal.field)

    def route(self, channel: Channel, phone: PhoneNumber, purpose: str, *, long: bool = False) -> Sequence[Starts]:
        """Return the drivers to try in order, or a test number in their place.

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
            plans = [self._planner.plan(driver, channel, record.purpose) for driver in drivers]
            return any(not (short_closed and plan.short) for plan in plans)

        usable = self.usable(record.purpose, record.proved_channels)
        channels = self._parts.router.channels if usable is None else usable
        return [channel for channel in dict.fromkeys([*channels, record.channel]) if serves(channel)]

    def usable(self, purpose: str, proved: str) -> Sequence[Channel] | None:
        """Return the channels of a purpose that requires several, the preferred ones first.

        None for every other purpose. Those that are `proved` already are left out.
        """
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
        if not all(self._parts.router.serves(each, phone) for each in usable):
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
            route = self.route(channel, phone, purpose, long=long)
            drivers = sorted(route, key=lambda driver: found is not None and driver.name != found.driver)
            longer = [driver for driver in drivers if not self._planner.plan(driver, channel, purpose).short]
            for able in (drivers, longer):
                if not able or (closed and able is drivers):
                    continue
                plan = self._planner.plan(able[0], channel, purpose, long=long)
                record = await step(Candidate(channel, able[0], plan, short=len(longer) < len(able)))
                if not isinstance(record, Denied):
                    return Admitted(record, channel, able, long=long)
                if record.why is not DenialReason.SHORT_CODES_CLOSED:
                    return record
                denied, closed = record, True
        return denied

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


def notice_quotas(policy: Policy, keyring: Keyring, phone: PhoneNumber) -> Sequence[Quota]:
    """Return the quotas of a text without a code."""
    return [replace(quota, others=False) for quota in _of_all(policy, keyring, phone, reserved=True)]


def _phone_quotas(
    parts: Components, tag: str, purpose: str | None, source: Source, *, trusted: bool
) -> Sequence[Quota]:
    """Return the quotas of sends to this phone: the client's own, then that of all clients."""
    limit = parts.policy.sends_per_hour
    if not limit:
        return []
    apart = f"{purpose}:" if purpose in _BUDGETS_OF_THEIR_OWN else ""
    key = f"sends:{apart}known:{tag}" if trusted else f"sends:{apart}{tag}"
    own = source.bucket(parts.keyring, "own") or parts.keyring.bucket("own", "")
    return [Quota(f"{key}:{own}", limit), Quota(key, limit, others=True)]


def _source_quotas(parts: Components, source: Source, *, trusted: bool, reserved: bool) -> Sequence[Quota]:
    """Return the quotas of the client's address, or of an OAuth client, with the gate of its wrong answers."""
    policy, bucket = parts.policy, parts.keyring.bucket
    limit_of_source, around = source.sends(policy), source.around
    wanted = [
        (source.bucket(parts.keyring, "address"), limit_of_source, False),
        (bucket("site", around) if around else None, limit_of_source * SITE_OF_ADDRESSES, True),
    ]
    quotas = _with_reserve(wanted, reserved=reserved)
    wrong, most_wrong = source.bucket(parts.keyring, "wrong"), source.wrong_answers(policy)
    if wrong is not None and most_wrong and not trusted:
        quotas.append(Quota(wrong, most_wrong, gate=True))
    return quotas


def _of_all(policy: Policy, keyring: Keyring, phone: PhoneNumber, *, reserved: bool) -> list[Quota]:
    """Return the quotas of the number's prefix and of the whole site."""
    prefix = keyring.bucket("prefix", phone.prefix)
    wanted = [(prefix, policy.sends_per_hour_per_prefix, True), ("total", policy.sends_per_hour_total, True)]
    return _with_reserve(wanted, reserved=reserved)


def _with_reserve(wanted: Sequence[tuple[str | None, int, bool]], *, reserved: bool) -> list[Quota]:
    """Return quotas of key, limit and `others`. One send in five is for trusted devices and server code: `reserved`."""
    return [
        Quota(key, limit if reserved else limit - limit // RESERVED_SHARE, others=others)
        for key, limit, others in wanted
        if key is not None and limit
    ]


def _refusal_gates(keyring: Keyring, tag: str, source: Source, *, trusted: bool, reserved: bool) -> Sequence[Quota]:
    """Return the gates of orders that every provider refused.

    The gates of other clients do not affect a trusted device. The site-wide gate does not apply to
    server code, but counts the orders of server code that were refused.
    """
    refused = source.bucket(keyring, "refused")
    own = [Quota(refused, source.refusals, gate=True)] if refused is not None else []
    if around := source.around:
        key = keyring.bucket("refused_site", around)
        own.append(Quota(key, REFUSED_PER_SITE_OF_ADDRESSES, others=True, gate=True))
    if trusted:
        return [*own, Quota(f"refused:known:{tag}", REFUSED_PER_PHONE, gate=True)]
    phone = Quota(f"refused:{tag}", REFUSED_PER_PHONE, others=True, gate=True)
    return [*own, phone, *([] if reserved else [Quota("refused", REFUSED_TOTAL, others=True, gate=True)])]
