"""Start, resend, check, poll, receive, cancel, redeem: the order of I/O, and nothing else.

The flows are written once, as coroutines over a `Store` and a `Transport`. `Verifier` runs them to their end
without an event loop, over roles that never suspend; `AsyncVerifier` is there to be awaited. What is allowed is
decided in `lifecycle.py` inside the store's steps; which driver carries an order, in `routing.py`.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from ipaddress import IPv6Network
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from .codes import binding_digest, new_id, new_secret, normalise
from .delivery import Admitted, Delivery, Undelivered
from .drivers.base import ChecksRemotely, ReportsDelivery, SendsNotices, Starts
from .errors import ProviderError, StoreError, UnclearError
from .events.record import UNAVAILABLE, VerificationEvent, event_for, waiting
from .inbound import InboundCalls
from .lifecycle import AttemptResult, Opening, Spent, has_proof, proof_due
from .limits import Answering, Counted, DenialReason, Denied, Limits, Quota, Tally, lockout
from .model import (
    Channel,
    CodeSource,
    DeliveryReport,
    Outcome,
    Reason,
    Redeemed,
    Status,
    Verification,
    WebhookRequest,
    is_id,
    is_token,
)
from .parts import Components
from .phone import PhoneKind, PhoneNumber
from .policy import (
    REFUSED_PER_ADDRESS,
    REFUSED_PER_PHONE,
    REFUSED_PER_SITE_OF_ADDRESSES,
    REFUSED_TOTAL,
    RESERVED_SHARE,
    SITE_OF_ADDRESSES,
    VOICE_CHANNELS,
    Policy,
)
from .purposes import SECOND_FACTOR, Budget, budget_of
from .sync import run
from .test_numbers import BY_TEST_NUMBER, TestNumber
from .tokens.proof import Proofs
from .tokens.trusted_device import TrustedDevices

log = logging.getLogger("phone_verify")

_SECONDS_PER_REPORT = 3600.0

#: A browser shows the last five secrets in its cookie, and one in the header; more are not looked at.
MOST_SHOWN = 6

#: How long the store counts the ended sessions of a user: longer than any session or cookie lives.
SESSIONS_KEPT = timedelta(days=3650)
#: The largest number that every store's column of counts can hold.
_MOST_GENERATIONS = 2**31 - 1

P = ParamSpec("P")
T = TypeVar("T")
_Flow: TypeAlias = "Callable[Concatenate[AsyncVerifier, P], Coroutine[Any, Any, T]]"


def _verb(name: str) -> Callable[[_Flow[P, T]], _Flow[P, T]]:
    """Tell the events how this verb ended, and how long it and its providers took."""

    def around(flow: _Flow[P, T]) -> _Flow[P, T]:
        @wraps(flow)
        async def told(self: AsyncVerifier, /, *args: P.args, **kwargs: P.kwargs) -> T:
            events, ticks = self._parts.events, self._parts.ticks
            if not events.has_listeners:
                return await flow(self, *args, **kwargs)
            phone = args[0] if args and isinstance(args[0], PhoneNumber) else None
            with events.span(name), waiting() as waits:
                began, record = ticks(), VerificationEvent(name, UNAVAILABLE, phone=phone.hint if phone else None)
                try:
                    result = await flow(self, *args, **kwargs)
                    record = event_for(name, result, phone, self.keyring.tag(phone) if phone else None)
                finally:
                    events.tell(replace(record, seconds=ticks() - began, provider_seconds=sum(waits)))
                return result

        return told

    return around


class AsyncVerifier:
    """Verifies phones, for async sites. Make one and keep it; event loops and tasks may share it.

    Its store and transport must not block the event loop. A cancelled call leaves what a crash would leave: a record
    that expires. `Verifier` has the same methods without `await`.
    """

    def __init__(self, parts: Components) -> None:
        self.policy, self.keyring, self.router = parts.policy, parts.keyring, parts.router
        self._store, self._parts, self._delivery = parts.store, parts, Delivery(parts)
        self._planner, self._inbound = self._delivery.planner, InboundCalls(parts, self._delivery)
        self._proofs = Proofs(parts.keyring, *parts.audiences)
        self._trusted_devices = TrustedDevices(parts.keyring, *parts.audiences)
        self._limits = Limits.of(parts.policy)
        self._rights = parts.rights
        self._reported_at = float("-inf")

    @property
    def channels(self) -> Sequence[Channel]:
        """The channels in use, the preferred one first."""
        return self.router.channels

    @property
    def drivers(self) -> Mapping[str, Starts]:
        """Every driver by its name."""
        return self.router.drivers()

    def tag(self, phone: PhoneNumber) -> str:
        """The keyed digest by which a phone is counted and found; it begins the id of every verification of it."""
        return self.keyring.tag(phone)

    def remember_device(self, trusted_device: str, phone: PhoneNumber) -> str:
        """What a browser that has just signed in by this phone is given to show with its next starts, for 180 days.

        `trusted_device` is what it showed until now, or an empty text.
        """
        return self._trusted_devices.signed(trusted_device, self.keyring.tag(phone), self._now() or datetime.now(UTC))

    @_verb("start")
    async def start(
        self,
        phone: PhoneNumber,
        *,
        purpose: str = "login",
        channel: Channel | None = None,
        locale: str | None = None,
        address: str | None = None,
        shown: Collection[str] = (),
        trusted_device: str = "",
        subject: str = "",
        owned: bool = False,
        by_client: bool = False,
        user_token: str | None = None,
    ) -> Outcome:
        """Send a code, place a call or name a line; the outcome holds the verification and its secret.

        With no `channel` the first of the preferred ones that can serve. `address` is the client's, for the quota
        of senders; `shown` are secrets of the same browser: its live verification of this phone and purpose ends.
        `trusted_device` is what `remember_device` gave this browser: its sends and wrong answers then count apart.
        `subject` is the id of the signed-in user, if any: only that user redeems the proof, unless it signs in.
        `owned` says that the phone is that user's already: sends for `confirm` then have a quota of their own, which
        other clients cannot use up. `by_client` says that a visitor decides about this start, and not the site's own
        code: then a part of the quotas that span phones is out of reach. `user_token` is what the user holds at the
        provider, for a driver that sends with it (evand); no other sees it.
        Refusals: destination not allowed, not configured, channel unavailable, too many requests, delivery failed.
        """
        _require_token(user_token)
        channel = None if channel is None else Channel(channel)
        if refusal := self._refused_destination(phone, channel):
            return Outcome(refusal)
        secret, tag = new_secret(self._parts.random_bytes), self.keyring.tag(phone)
        known = self._trusted_devices.knows(trusted_device, tag, self._now() or datetime.now(UTC))
        reserved = known or not by_client
        shared = self._shared_quotas(phone, tag, address, known=known, reserved=reserved)
        counted = await self._store.count(shared, self._now())
        if isinstance(counted, Denied):
            return _throttled(counted)
        bindings = [binding_digest(old) for old in list(shown)[:MOST_SHOWN]]
        apart = purpose if owned or not by_client else None
        quotas = self._phone_quotas(tag, apart, address, known=known)
        budget = self._budget(phone, purpose, subject)
        slowed = _Slowed.by(counted.tally, self._limits, budget, known=known)
        self._report_spraying(counted.tally)

        async def open_with(channel: Channel, driver: Starts, short: bool) -> Verification | Denied:
            opening = replace(
                self._opening(tag, phone, purpose, channel, driver, locale, secret, slowed.long),
                short=short,
                shown=bindings,
                known=known,
                budget=budget,
                subject=self.keyring.subject(subject),
            )
            return await self._store.open(opening, quotas, self._limits, self._now())

        channels = [channel] if channel else self.router.preferred
        way = await self._let_in(phone, channels, open_with, slowed)
        if isinstance(way, Denied):
            await self._store.uncount(shared, counted.windows, self._now())
            return _throttled(way)
        carried = await self._delivery.carry(way, bindings, again=False, user_token=user_token)
        if isinstance(carried, Undelivered):
            await self._undelivered(way.record, carried, shared, counted, quotas, address)
            await self._store.settle(way.record.id, Status.FAILED, self._now())
            return Outcome(Reason.DELIVERY_FAILED, cause=carried.cause)
        outcome = self._carried(carried)
        return replace(outcome, secret=secret) if outcome.ok else outcome

    @_verb("resend")
    async def resend(
        self,
        id: str,
        secret: str,
        *,
        channel: Channel | None = None,
        address: str | None = None,
        owned: bool = False,
        by_client: bool = False,
        user_token: str | None = None,
    ) -> Outcome:
        """Send once more, on another channel if one is named. Never refills attempts, never lengthens a life.

        Refusals: not found, closed, channel unavailable, too many requests, delivery failed (the code sent before
        stays good).
        """
        _require_token(user_token)
        channel = None if channel is None else Channel(channel)
        found = await self._bound(id, secret)
        if isinstance(found, Outcome):
            return found
        if not found.open:
            return self._told(found, Reason.CLOSED)
        others = (c for c in self.router.preferred if c is not found.channel)
        channels = [channel] if channel else [found.channel, *others]
        if not any(self._route(c, found.phone) for c in channels):
            return self._told(found, Reason.CHANNEL_UNAVAILABLE)
        known, reserved = found.known, found.known or not by_client
        shared = self._shared_quotas(found.phone, found.tag, address, known=known, reserved=reserved)
        counted = await self._store.count(shared, self._now())
        if isinstance(counted, Denied):
            return replace(_throttled(counted), verification=found)
        binding, quotas = (
            binding_digest(secret),
            self._phone_quotas(found.tag, found.purpose if owned or not by_client else None, address, known=known),
        )
        slowed = _Slowed.by(counted.tally, self._limits, found.counts_as, known=known)

        async def reopen_with(channel: Channel, driver: Starts, short: bool) -> Verification | Denied:
            return await self._store.reopen(
                id, binding, short, quotas, self._limits, self.policy.resend_after, self._now()
            )

        way = await self._let_in(found.phone, channels, reopen_with, slowed, known=found.driver)
        if not isinstance(way, Denied):
            carried = await self._delivery.carry(way, [binding], again=True, user_token=user_token)
            if isinstance(carried, Undelivered):
                await self._undelivered(way.record, carried, shared, counted, quotas, address)
                told = self._told(await self._store.get(id, self._now()), Reason.DELIVERY_FAILED)
                return replace(told, cause=carried.cause)
            return self._carried(carried)
        await self._store.uncount(shared, counted.windows, self._now())
        if way.why is DenialReason.CLOSED:
            return self._told(way.record, Reason.CLOSED)
        if way.why is DenialReason.UNBOUND:
            return Outcome(Reason.NOT_FOUND)
        return replace(_throttled(way), verification=way.record)

    @_verb("check")
    async def check(self, id: str, secret: str, typed: str, *, address: str | None = None) -> Outcome:
        """Judge a code as typed; the outcome of a right one holds the proof.

        `address` is the client's: its wrong answers over all phones are limited.
        Refusals: not found, closed, malformed code (no attempt spent), too many requests, wrong code, provider
        unavailable (a remote code that nobody can judge now; the attempt is spent).
        """
        if not is_id(id):
            return Outcome(Reason.NOT_FOUND)
        code = normalise(typed) or ""
        digests = self.keyring.digests(id, code)
        answering = Answering(self._wrong_key(address), self._rights.due())
        spent = await self._store.spend(
            id, binding_digest(secret), digests, len(code), self._limits, answering, self._now()
        )
        if isinstance(spent, Denied):
            match spent.why:
                case DenialReason.UNBOUND:
                    return Outcome(Reason.NOT_FOUND)
                case DenialReason.CLOSED:
                    return self._told(spent.record, Reason.CLOSED)
                case DenialReason.NO_CODE | DenialReason.OTHER_LENGTH:
                    return self._told(spent.record, Reason.MALFORMED_CODE)
                case _:
                    return Outcome(Reason.TOO_MANY_REQUESTS, spent.record, spent.retry_after)
        if spent.answer is AttemptResult.TAKEN:
            return await self._check_remotely(spent, code, answering)
        if spent.answer is AttemptResult.RIGHT:
            self._rights.add(answering.rights)
        return self._told(spent.record, None if spent.answer is AttemptResult.RIGHT else Reason.WRONG_CODE)

    @_verb("poll")
    async def poll(self, id: str, secret: str) -> Outcome:
        """Return how a verification stands; an open inbound call is asked after, every three seconds at most."""
        found = await self._bound(id, secret)
        if isinstance(found, Outcome):
            return found
        binding = binding_digest(secret)
        if self._inbound.may_ask(found) and await self._store.may_poll(id, binding, self._now()):
            await self._inbound.ask(found)
            found = await self._store.get(id, self._now()) or found
        return self._told(found)

    async def get(self, id: str, secret: str) -> Outcome:
        """Return how a verification stands, without asking a provider."""
        found = await self._bound(id, secret)
        return found if isinstance(found, Outcome) else self._told(found)

    @_verb("receive")
    async def receive(self, driver_name: str, request: WebhookRequest) -> bool:
        """Take a webhook that showed its secret; True if it proved a claim.

        Where the provider can be asked, the event only makes us ask, and the answer decides. How a message fared is
        only logged.
        """
        return await self._inbound.receive(driver_name, request)

    async def delivery(self, id: str) -> DeliveryReport | None:
        """Ask the provider how far the last order of a verification came; None where it cannot be asked or cannot say.

        For the site's own code: nobody shows a secret here. What comes back proves nothing and changes nothing.
        """
        record = await self._store.get(id, self._now()) if is_id(id) else None
        if record is None or record.reference is None or record.holder is CodeSource.NONE:
            return None  # of an awaited call nothing was sent
        driver = self.router.drivers().get(record.driver)
        if not isinstance(driver, ReportsDelivery):
            return None
        try:
            return await self._delivery.converse(driver.delivery(record.reference), driver)
        except (ProviderError, UnclearError) as error:
            log.warning("%s could not say how an order fared: %s", driver.name, error)
            return None

    @_verb("cancel")
    async def cancel(self, id: str, secret: str) -> Outcome:
        """End a verification that is still open; one that is over stays as it is."""
        found = await self._bound(id, secret)
        if isinstance(found, Outcome):
            return found
        await self._store.settle(id, Status.CANCELLED, self._now())
        return Outcome()

    @_verb("redeem")
    async def redeem(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Burn a proof for one of these purposes: what it proved, or None for any that is not good.

        Good once, within five minutes, and only together with the secret of its verification. Unless the purpose
        signs in, `subject` must be the one that the start was given: the id of the signed-in user.
        """
        id = self._proofs.read(proof, purposes, self._now() or datetime.now(UTC))
        if id is None:
            return None
        for secret in list(secrets)[:MOST_SHOWN]:
            record = await self._store.redeem(id, binding_digest(secret), self.keyring.subject(subject), self._now())
            if record is not None and record.closed_at is not None:
                return _redeemed(record, record.closed_at)
        return None

    @_verb("look")
    async def foresee(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Return what `redeem` would return now, without consuming the proof."""
        id = self._proofs.read(proof, purposes, self._now() or datetime.now(UTC))
        if id is None:
            return None
        own = self.keyring.subject(subject)
        for secret in list(secrets)[:MOST_SHOWN]:
            found = await self._bound(id, secret)
            if isinstance(found, Verification) and found.closed_at is not None:
                due = proof_due(found, binding_digest(secret), own, found.read_at)
                return _redeemed(due, found.closed_at) if due is not None else None
        return None

    async def find_open(self, phone: PhoneNumber, purpose: str, held: Sequence[tuple[str, str]]) -> Verification | None:
        """Return the open verification of this phone and purpose among the (id, secret) pairs held, if any."""
        tag = self.keyring.tag(phone)
        for id, secret in held[:MOST_SHOWN]:
            if id.startswith(tag):
                found = await self._bound(id, secret)
                if isinstance(found, Verification) and found.open and found.purpose == purpose:
                    return found
        return None

    async def session_generation(self, subject: str) -> int:
        """Return how often `end_sessions` was called for this subject, a text that names a user."""
        low = high = 0
        while await self.sessions_ended(subject, high):
            low, high = high + 1, 2 * high + 1
        while low < high:
            middle = (low + high) // 2
            if await self.sessions_ended(subject, middle):
                low = middle + 1
            else:
                high = middle
        return low

    async def sessions_ended(self, subject: str, generation: int) -> bool:
        """Return whether the sessions that began under this generation were ended."""
        gate = Quota(self.keyring.bucket("sessions", subject), generation + 1, SESSIONS_KEPT, gate=True)
        return isinstance(await self._store.count([gate], self._now()), Denied)

    async def end_sessions(self, subject: str) -> None:
        """End every session of this subject that has begun until now."""
        counter = Quota(self.keyring.bucket("sessions", subject), _MOST_GENERATIONS, SESSIONS_KEPT)
        await self._store.count([counter], self._now())

    async def cancel_by_id(self, id: str) -> bool:
        """End an open verification for the site's owner, who shows no secret; whether it was open."""
        return is_id(id) and await self._store.settle(id, Status.CANCELLED, self._now())

    async def purge(self, limit: int = 1000) -> int:
        """Drop at most `limit` records and counters that are over; how many went."""
        return await self._store.purge(limit, self._now())

    async def erase(self, phone: PhoneNumber) -> int:
        """Drop all that the store keeps of a phone, counters too; how many verifications went."""
        return await self._store.erase(self.keyring.tag(phone), self._now())

    async def notify(self, phone: PhoneNumber, text: str) -> bool:
        """Send a text without a code by SMS; whether a provider took it.

        Counts in the quotas of the number's prefix and of the site. Raises nothing: what goes wrong is logged.
        """
        driver = next((d for d in self.router.route(Channel.SMS, phone) if isinstance(d, SendsNotices)), None)
        if driver is None:
            log.warning("a notice was not sent: no SMS driver carries texts without a code to this number")
            return False
        wanted = [
            (self.keyring.bucket("prefix", phone.prefix), self.policy.sends_per_hour_per_prefix),
            ("total", self.policy.sends_per_hour_total),
        ]
        try:
            if isinstance(await self._store.count([Quota(k, n) for k, n in wanted if n], self._now()), Denied):
                log.warning("a notice was not sent: the quota of sends is used up")
                return False
            await self._delivery.converse(driver.notice(phone, text), driver)
        except (ProviderError, UnclearError, StoreError) as error:
            log.warning("%s did not send a notice: %s", driver.name, error)
            return False
        return True

    async def unlock(self, phone: PhoneNumber) -> bool:
        """Forget the wrong answers counted for a phone, with every lock they caused; whether there were any.

        For the site's staff and support, who know who asks: trusted devices keep their own count, which goes too.
        """
        return await self._store.unlock(self.keyring.tag(phone), self._now())

    async def _let_in(
        self,
        phone: PhoneNumber,
        channels: Sequence[Channel],
        step: Callable[[Channel, Starts, bool], Awaitable[Verification | Denied]],
        slowed: _Slowed,
        known: str | None = None,
    ) -> Admitted | Denied:
        """Find the first of these channels on which the store lets the order in.

        Once short codes turn out to be closed for this phone, only drivers of longer codes are tried.
        """
        refused = Denied(DenialReason.SHORT_CODES_CLOSED)
        closed = slowed.short
        for channel in channels:
            # The one that carried the last order knows it best: only it can retry by its own reference.
            route = self._route(channel, phone, long=slowed.long)
            drivers = sorted(route, key=lambda driver: driver.name != known)
            longer = [driver for driver in drivers if not self._planner.plan(driver, channel).short]
            for able in (drivers, longer):
                if not able or (closed and able is drivers):
                    continue
                # Also of a driver that only failover would reach: its code could not be used.
                short = len(longer) < len(able)
                record = await step(channel, able[0], short)
                if not isinstance(record, Denied):
                    return Admitted(record, channel, able, long=slowed.long)
                if record.why is not DenialReason.SHORT_CODES_CLOSED:
                    return record
                refused, closed = record, True
        return refused

    async def _undelivered(
        self,
        record: Verification,
        undelivered: Undelivered,
        shared: Sequence[Quota],
        counted: Counted,
        quotas: Sequence[Quota],
        address: str | None,
    ) -> None:
        """Give the sends back that no provider took, and count the refusal: it is not for free either."""
        if not undelivered.refused:
            return
        await self._store.uncount(shared, counted.windows, self._now())
        await self._store.refund(record.id, quotas, record.read_at, self._now())
        refused = self._refused_quotas(record.tag, address, known=record.known, reserved=False)
        await self._store.count([replace(quota, gate=False) for quota in refused], self._now())

    def _carried(self, attached: Verification | Denied) -> Outcome:
        """The outcome of an order that a provider took, or may have taken."""
        if not isinstance(attached, Denied):
            return self._told(attached)
        if attached.why is DenialReason.LINE_TAKEN:
            return Outcome(Reason.CHANNEL_UNAVAILABLE, attached.record)
        return self._told(attached.record, Reason.CLOSED)

    async def _check_remotely(self, spent: Spent, code: str, answering: Answering) -> Outcome:
        record = spent.record
        driver = self.router.drivers().get(record.driver)
        right: bool | None = None
        if isinstance(driver, ChecksRemotely):
            try:
                right = await self._delivery.converse(driver.check(record.phone, code), driver)
            except (ProviderError, UnclearError) as error:
                log.warning("%s could not check a code: %s", driver.name, error)
        judged = await self._store.resolve_check(record.id, right, record.generation, answering, self._now())
        if judged is None:
            return Outcome(Reason.NOT_FOUND)
        if judged.proven:
            self._rights.add(answering.rights)
            return self._told(judged.record)
        if right is None:
            return self._told(judged.record, Reason.PROVIDER_UNAVAILABLE)
        # Right, and still open after a resend: that was the code before, which died with it.
        late = right and not judged.record.open
        return self._told(judged.record, Reason.CLOSED if late else Reason.WRONG_CODE)

    # Small parts of the flows.

    def _now(self) -> datetime | None:
        return self._parts.now()

    async def _bound(self, id: str, secret: str) -> Verification | Outcome:
        record = await self._store.get(id, self._now()) if is_id(id) else None
        if record is None or not hmac.compare_digest(record.binding, binding_digest(secret)):
            return Outcome(Reason.NOT_FOUND)
        return record

    def _report_spraying(self, tally: Tally) -> None:
        """Report when short codes are closed for the whole site: each process what it sees, once an hour."""
        if self._limits.closes_short(tally) and self._parts.ticks() - self._reported_at >= _SECONDS_PER_REPORT:
            self._reported_at = self._parts.ticks()
            log.warning(
                "short codes are closed for sign-in on browsers that are no trusted devices: %d wrong answers "
                "to short codes in the last 24 hours",
                tally.short,
            )
            self._parts.events.tell(VerificationEvent("short_codes_off", "spraying"))

    def _test_number(self, phone: PhoneNumber) -> TestNumber | None:
        """The fixed code of a test number until its last day is over; None for every other phone."""
        fixed = self._parts.test_numbers.get(phone) if self._parts.test_numbers else None
        if fixed is None or (self._now() or datetime.now(UTC)).date() > fixed.last_day:
            return None
        return fixed

    def _route(self, channel: Channel, phone: PhoneNumber, *, long: bool = False) -> Sequence[Starts]:
        """The drivers to try in turn; a test number's code stands in for codes of ours of the same length.

        On every other channel a test number is a number like others: its answers must not reveal it.
        """
        drivers = self.router.route(channel, phone)
        fixed = self._test_number(phone)
        if fixed is None or not drivers:
            return drivers
        if not self._planner.plan(drivers[0], channel, long=long).fits(fixed.code):
            return drivers
        return [fixed.standing_for(drivers[0])]

    def _refused_destination(self, phone: PhoneNumber, channel: Channel | None) -> Reason | None:
        allowed = self.policy.allowed_regions
        if phone.kind is PhoneKind.REFUSED or (allowed is not None and phone.region not in allowed):
            return Reason.DESTINATION_NOT_ALLOWED
        if phone.kind is PhoneKind.FIXED and channel is not None and channel not in VOICE_CHANNELS:
            return Reason.DESTINATION_NOT_ALLOWED
        if not self.router.channels:
            return Reason.NOT_CONFIGURED
        if channel is not None and channel not in self.router.channels:
            return Reason.CHANNEL_UNAVAILABLE
        if not any(self.router.serves(c, phone) for c in ([channel] if channel else self.router.preferred)):
            return Reason.DESTINATION_NOT_ALLOWED
        return None

    def _opening(
        self,
        tag: str,
        phone: PhoneNumber,
        purpose: str,
        channel: Channel,
        driver: Starts,
        locale: str | None,
        secret: str,
        long: bool,
    ) -> Opening:
        id = new_id(tag, self._parts.random_bytes)
        planned = self._planner.plan(driver, channel, long=long)
        key_id = self.keyring.key_id
        digest = None
        if planned.holder is CodeSource.LOCAL and planned.code_length:
            code = self._planner.code(driver, key_id, id, phone, purpose, 1, planned.code_length)
            digest = self.keyring.digest(id, code)
        return Opening(
            id=id,
            tag=tag,
            phone=phone,
            purpose=purpose,
            service="default",
            binding=binding_digest(secret),
            channel=channel,
            driver=driver.name,
            plan=planned,
            key_id=key_id,
            code_digest=digest,
            locale=locale,
            resend_after=self.policy.resend_after,
        )

    def _phone_quotas(self, tag: str, purpose: str | None, address: str | None, *, known: bool) -> Sequence[Quota]:
        """The quotas of a phone's own sends: the client's own, then those of all clients together.

        With a `purpose` that its owner alone starts for this phone they are apart: others cannot use them up. It is
        None where anybody may have started it, whatever its purpose.
        """
        limit = self.policy.sends_per_hour
        if not limit:
            return []
        apart = f"{purpose}:" if purpose in _BUDGETS_OF_THEIR_OWN else ""
        key = f"sends:{apart}known:{tag}" if known else f"sends:{apart}{tag}"
        own = self.keyring.bucket("own", address or "")
        return [Quota(f"{key}:{own}", limit), Quota(key, limit, others=True)]

    def _shared_quotas(
        self, phone: PhoneNumber, tag: str, address: str | None, *, known: bool, reserved: bool
    ) -> Sequence[Quota]:
        """The quotas that span phones, with the gates of wrong answers and of refused orders.

        One in five sends is kept for trusted devices and for the site's own code: `reserved`.
        """
        policy, bucket = self.policy, self.keyring.bucket
        per_address = policy.sends_per_hour_per_address
        around = _around(address)
        wanted = [
            (bucket("address", address) if address else None, per_address, False),
            (bucket("site", around) if around else None, per_address * SITE_OF_ADDRESSES, True),
            (bucket("prefix", phone.prefix), policy.sends_per_hour_per_prefix, True),
            ("total", policy.sends_per_hour_total, True),
        ]
        quotas = [
            Quota(key, limit if reserved else limit - limit // RESERVED_SHARE, others=others)
            for key, limit, others in wanted
            if key is not None and limit
        ]
        wrong = self._wrong_key(address)
        if wrong is not None and policy.wrong_per_hour_per_address and not known:
            quotas.append(Quota(wrong, policy.wrong_per_hour_per_address, gate=True))
        return [*quotas, *self._refused_quotas(tag, address, known=known, reserved=reserved)]

    def _refused_quotas(self, tag: str, address: str | None, *, known: bool, reserved: bool) -> Sequence[Quota]:
        """The gates of orders that every provider refused; those of others do not close a trusted device's.

        The site's own is no gate for the site's own code, but counts what that code had refused.
        """
        own = [Quota(self.keyring.bucket("refused", address), REFUSED_PER_ADDRESS, gate=True)] if address else []
        if around := _around(address):
            key = self.keyring.bucket("refused_site", around)
            own.append(Quota(key, REFUSED_PER_SITE_OF_ADDRESSES, others=True, gate=True))
        if known:
            return [*own, Quota(f"refused:known:{tag}", REFUSED_PER_PHONE, gate=True)]
        phone = Quota(f"refused:{tag}", REFUSED_PER_PHONE, others=True, gate=True)
        return [*own, phone, *([] if reserved else [Quota("refused", REFUSED_TOTAL, others=True, gate=True)])]

    def _wrong_key(self, address: str | None) -> str | None:
        """The counter of an address's wrong answers; None where the address is not known."""
        return self.keyring.bucket("wrong", address) if address else None

    def _budget(self, phone: PhoneNumber, purpose: str, subject: str) -> Budget:
        if self._test_number(phone) is not None:
            return Budget.TEST_NUMBER
        return budget_of(purpose, signed_in=bool(subject))

    def _told(self, record: Verification | None, reason: Reason | None = None) -> Outcome:
        """The outcome for the holder of the binding."""
        if record is None:
            return Outcome(reason or Reason.NOT_FOUND)
        proof = None
        if has_proof(record) and record.closed_at is not None:
            proof = self._proofs.sign(record.id, record.purpose, record.closed_at)
        return Outcome(reason, record, proof=proof, channels=self._resendable(record))

    def _resendable(self, record: Verification) -> Sequence[Channel]:
        """The channels that a resend would accept, delay and quotas left aside."""
        if not record.open:
            return []
        lock = lockout(record.failures, self._limits, True, record.read_at)
        if lock is not None and lock.why is DenialReason.FAILURES:
            return []
        short_closed = lock is not None

        def serves(channel: Channel) -> bool:
            drivers = self._route(channel, record.phone)
            return any(not (short_closed and self._planner.plan(driver, channel).short) for driver in drivers)

        return [channel for channel in dict.fromkeys([*self.router.channels, record.channel]) if serves(channel)]


#: Sends for these purposes are counted apart where the phone's owner starts them.
_BUDGETS_OF_THEIR_OWN = ("confirm", SECOND_FACTOR)


@dataclass(frozen=True, slots=True)
class _Slowed:
    """What the site-wide tally of wrong answers takes from this client: short codes, and codes of six digits."""

    short: bool
    long: bool

    @classmethod
    def by(cls, tally: Tally, limits: Limits, budget: Budget, *, known: bool) -> _Slowed:
        """Return what applies: nothing to trusted devices, and only sign-in loses short codes."""
        signs_in = budget is Budget.SIGN_IN
        return cls(
            short=not known and signs_in and limits.closes_short(tally),
            long=not known and limits.lengthens(tally),
        )


def _around(address: str | None) -> str | None:
    """The /48 around an IPv6 address; None for others."""
    if address is None or ":" not in address:
        return None
    try:
        return str(IPv6Network((IPv6Network(address, strict=False).network_address, 48), strict=False))
    except ValueError:
        return None


def _redeemed(record: Verification, verified_at: datetime) -> Redeemed:
    return Redeemed(
        phone=record.phone,
        purpose=record.purpose,
        service=record.service,
        channel=record.channel,
        assurance=record.assurance,
        verification_id=record.id,
        verified_at=verified_at,
        by_test_number=record.counts_as is Budget.TEST_NUMBER or record.driver == BY_TEST_NUMBER,
        short=record.short,
    )


def _require_token(user_token: str | None) -> None:
    if user_token is not None and not is_token(user_token):
        raise ValueError("user_token: give 1 to 8000 printable ASCII characters without spaces, or None")


def _throttled(refused: Denied) -> Outcome:
    if refused.why is DenialReason.SHORT_CODES_CLOSED:
        return Outcome(Reason.CHANNEL_UNAVAILABLE)
    return Outcome(Reason.TOO_MANY_REQUESTS, retry_after=refused.retry_after)


class Verifier:
    """The flows, blocking: what Django and Flask use under WSGI. Thread-safe; make one and keep it.

    The contract of each method is the one of `AsyncVerifier`.
    """

    def __init__(self, parts: Components) -> None:
        self._flows = AsyncVerifier(parts)

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self._flows.policy

    @property
    def channels(self) -> Sequence[Channel]:
        """See `AsyncVerifier.channels`."""
        return self._flows.channels

    @property
    def drivers(self) -> Mapping[str, Starts]:
        """See `AsyncVerifier.drivers`."""
        return self._flows.drivers

    @property
    def flows(self) -> AsyncVerifier:
        """The flows that this verifier runs, for a caller that runs them together with coroutines of its own."""
        return self._flows

    def tag(self, phone: PhoneNumber) -> str:
        """See `AsyncVerifier.tag`."""
        return self._flows.tag(phone)

    def remember_device(self, trusted_device: str, phone: PhoneNumber) -> str:
        """See `AsyncVerifier.remember_device`."""
        return self._flows.remember_device(trusted_device, phone)

    def start(
        self,
        phone: PhoneNumber,
        *,
        purpose: str = "login",
        channel: Channel | None = None,
        locale: str | None = None,
        address: str | None = None,
        shown: Collection[str] = (),
        trusted_device: str = "",
        subject: str = "",
        owned: bool = False,
        by_client: bool = False,
        user_token: str | None = None,
    ) -> Outcome:
        """See `AsyncVerifier.start`."""
        return run(
            self._flows.start(
                phone,
                purpose=purpose,
                channel=channel,
                locale=locale,
                address=address,
                shown=shown,
                trusted_device=trusted_device,
                subject=subject,
                owned=owned,
                by_client=by_client,
                user_token=user_token,
            )
        )

    def resend(
        self,
        id: str,
        secret: str,
        *,
        channel: Channel | None = None,
        address: str | None = None,
        owned: bool = False,
        by_client: bool = False,
        user_token: str | None = None,
    ) -> Outcome:
        """See `AsyncVerifier.resend`."""
        return run(
            self._flows.resend(
                id, secret, channel=channel, address=address, owned=owned, by_client=by_client, user_token=user_token
            )
        )

    def check(self, id: str, secret: str, typed: str, *, address: str | None = None) -> Outcome:
        """See `AsyncVerifier.check`."""
        return run(self._flows.check(id, secret, typed, address=address))

    def poll(self, id: str, secret: str) -> Outcome:
        """See `AsyncVerifier.poll`."""
        return run(self._flows.poll(id, secret))

    def get(self, id: str, secret: str) -> Outcome:
        """See `AsyncVerifier.get`."""
        return run(self._flows.get(id, secret))

    def receive(self, driver_name: str, request: WebhookRequest) -> bool:
        """See `AsyncVerifier.receive`."""
        return run(self._flows.receive(driver_name, request))

    def delivery(self, id: str) -> DeliveryReport | None:
        """See `AsyncVerifier.delivery`."""
        return run(self._flows.delivery(id))

    def cancel(self, id: str, secret: str) -> Outcome:
        """See `AsyncVerifier.cancel`."""
        return run(self._flows.cancel(id, secret))

    def redeem(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """See `AsyncVerifier.redeem`."""
        return run(self._flows.redeem(proof, secrets, purposes, subject=subject))

    def foresee(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """See `AsyncVerifier.foresee`."""
        return run(self._flows.foresee(proof, secrets, purposes, subject=subject))

    def find_open(self, phone: PhoneNumber, purpose: str, held: Sequence[tuple[str, str]]) -> Verification | None:
        """See `AsyncVerifier.find_open`."""
        return run(self._flows.find_open(phone, purpose, held))

    def notify(self, phone: PhoneNumber, text: str) -> bool:
        """See `AsyncVerifier.notify`."""
        return run(self._flows.notify(phone, text))

    def unlock(self, phone: PhoneNumber) -> bool:
        """See `AsyncVerifier.unlock`."""
        return run(self._flows.unlock(phone))

    def session_generation(self, subject: str) -> int:
        """See `AsyncVerifier.session_generation`."""
        return run(self._flows.session_generation(subject))

    def sessions_ended(self, subject: str, generation: int) -> bool:
        """See `AsyncVerifier.sessions_ended`."""
        return run(self._flows.sessions_ended(subject, generation))

    def end_sessions(self, subject: str) -> None:
        """See `AsyncVerifier.end_sessions`."""
        run(self._flows.end_sessions(subject))

    def cancel_by_id(self, id: str) -> bool:
        """See `AsyncVerifier.cancel_by_id`."""
        return run(self._flows.cancel_by_id(id))

    def purge(self, limit: int = 1000) -> int:
        """See `Store.purge`."""
        return run(self._flows.purge(limit))

    def erase(self, phone: PhoneNumber) -> int:
        """See `AsyncVerifier.erase`."""
        return run(self._flows.erase(phone))
