"""The verification operations (start, resend, check, poll, receive, cancel, redeem).

Each operation is written once, as a coroutine over a `Store` and a `Transport`. `AsyncVerifier`
exposes the coroutines; `Verifier` runs them to completion without an event loop, over a store and a
transport that never suspend. This module only orders the I/O: the rules are in `lifecycle.py` and
are applied inside the store's steps; `routing.py` selects the driver.
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
from .events.record import UNAVAILABLE, VerificationEvent, collect_provider_use, event_for
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

#: The cookie holds the last five secrets of a browser, the header one; further secrets are ignored.
MAX_SECRETS = 6

#: Retention of the count of a user's ended sessions: longer than any session or cookie lives.
SESSIONS_KEPT = timedelta(days=3650)
#: The largest number that the counter column of every store can hold.
_MOST_GENERATIONS = 2**31 - 1

P = ParamSpec("P")
T = TypeVar("T")
_Flow: TypeAlias = "Callable[Concatenate[AsyncVerifier, P], Coroutine[Any, Any, T]]"


def _operation(name: str) -> Callable[[_Flow[P, T]], _Flow[P, T]]:
    """Emit an event with the outcome, the duration and the time spent on providers."""

    def around(flow: _Flow[P, T]) -> _Flow[P, T]:
        @wraps(flow)
        async def wrapper(self: AsyncVerifier, /, *args: P.args, **kwargs: P.kwargs) -> T:
            events, ticks = self._parts.events, self._parts.ticks
            if not events.has_listeners:
                return await flow(self, *args, **kwargs)
            phone = args[0] if args and isinstance(args[0], PhoneNumber) else None
            with events.span(name), collect_provider_use() as use:
                began, record = ticks(), VerificationEvent(name, UNAVAILABLE, phone=phone.hint if phone else None)
                try:
                    result = await flow(self, *args, **kwargs)
                    record = event_for(name, result, phone, self.keyring.tag(phone) if phone else None)
                finally:
                    events.emit(use.added_to(replace(record, seconds=ticks() - began)))
                return result

        return wrapper

    return around


class AsyncVerifier:
    """Verifies phone numbers in async applications.

    Create one and reuse it across tasks and event loops. The store and the transport must not block
    the event loop. Cancelling a call has the same effect as a crash: the record remains until it
    expires. `Verifier` has the same methods without `await`.
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
        """The channels in use, in order of preference."""
        return self.router.channels

    @property
    def drivers(self) -> Mapping[str, Starts]:
        """All configured drivers by name."""
        return self.router.drivers()

    def tag(self, phone: PhoneNumber) -> str:
        """Return the keyed digest under which a phone is counted and looked up.

        Verification ids begin with it.
        """
        return self.keyring.tag(phone)

    def remember_device(self, trusted_device: str, phone: PhoneNumber) -> str:
        """Return the trusted-device token for a browser that has just signed in with this phone.

        The browser presents it with its next starts; it is valid for 180 days. `trusted_device` is
        the token that the browser presented before, or an empty string.
        """
        return self._trusted_devices.remember(trusted_device, self.keyring.tag(phone), self._now() or datetime.now(UTC))

    @_operation("start")
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
        options: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Send a code, place a call or assign a number to call.

        Return an outcome with the verification and its secret. Without `channel`, the first
        preferred channel that can serve this phone is used. `address` is the client's address, for
        the quotas per address. `shown` are the secrets that the same browser presented: its open
        verification for this phone and purpose is cancelled. `trusted_device` is the token that
        `remember_device` returned for this browser; its sends and wrong answers then count
        separately. `subject` is the id of the signed-in user, if any: only this user can redeem the
        proof, unless the purpose is a sign-in. `owned` means that the phone already belongs to this
        user: sends for `confirm` then have a separate quota, which other clients cannot exhaust.
        `by_client` means that a visitor triggered this start rather than your code: a reserved
        share of the quotas that span phones is then not available. `user_token` is the user's token
        at the provider, for a driver that sends with it (evand); other drivers do not receive it.
        `options` are for the driver that declares them (evand: `event_id`), in place of its DSN's.

        Refusals: destination not allowed, not configured, channel unavailable, too many requests,
        delivery failed. Raises `StoreError` if the store is unavailable and `ValueError` for a
        malformed `user_token` and for an unknown or malformed option.
        """
        _require_token(user_token)
        self._delivery.check_options(options or {})
        channel = None if channel is None else Channel(channel)
        if refusal := self._refused_destination(phone, channel):
            return Outcome(refusal)
        secret, tag = new_secret(self._parts.random_bytes), self.keyring.tag(phone)
        trusted = self._trusted_devices.recognizes(trusted_device, tag, self._now() or datetime.now(UTC))
        reserved = trusted or not by_client
        shared = self._shared_quotas(phone, tag, address, trusted=trusted, reserved=reserved)
        counted = await self._store.count(shared, self._now())
        if isinstance(counted, Denied):
            return _throttled(counted)
        bindings = [binding_digest(old) for old in list(shown)[:MAX_SECRETS]]
        apart = purpose if owned or not by_client else None
        quotas = self._phone_quotas(tag, apart, address, trusted=trusted)
        budget = self._budget(phone, purpose, subject)
        slowed = _Slowed.by(counted.tally, self._limits, budget, trusted=trusted)
        self._report_spraying(counted.tally)

        async def open_with(channel: Channel, driver: Starts, short: bool) -> Verification | Denied:
            opening = replace(
                self._opening(tag, phone, purpose, channel, driver, locale, secret, slowed.long),
                short=short,
                shown=bindings,
                trusted=trusted,
                budget=budget,
                subject=self.keyring.subject(subject),
            )
            return await self._store.open(opening, quotas, self._limits, self._now())

        channels = [channel] if channel else self.router.preferred
        admitted = await self._admit(phone, purpose, channels, open_with, slowed)
        if isinstance(admitted, Denied):
            await self._store.uncount(shared, counted.windows, self._now())
            return _throttled(admitted)
        carried = await self._delivery.carry(admitted, bindings, again=False, user_token=user_token, options=options)
        if isinstance(carried, Undelivered):
            await self._give_back(admitted.record, carried, shared, counted, quotas, address)
            await self._store.settle(admitted.record.id, Status.FAILED, self._now())
            return Outcome(Reason.DELIVERY_FAILED, cause=carried.cause)
        outcome = self._outcome_of(carried)
        return replace(outcome, secret=secret) if outcome.ok else outcome

    @_operation("resend")
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
        """Send again, on another channel if one is given.

        Never resets attempts, never extends `expires_at`. Refusals: not found, closed, channel
        unavailable, too many requests, delivery failed (the code sent before stays valid).
        """
        _require_token(user_token)
        channel = None if channel is None else Channel(channel)
        found = await self._bound(id, secret)
        if isinstance(found, Outcome):
            return found
        if not found.open:
            return self._outcome_for(found, Reason.CLOSED)
        others = (c for c in self.router.preferred if c is not found.channel)
        channels = [channel] if channel else [found.channel, *others]
        if not any(self._route(c, found.phone, found.purpose) for c in channels):
            return self._outcome_for(found, Reason.CHANNEL_UNAVAILABLE)
        trusted, reserved = found.trusted, found.trusted or not by_client
        shared = self._shared_quotas(found.phone, found.tag, address, trusted=trusted, reserved=reserved)
        counted = await self._store.count(shared, self._now())
        if isinstance(counted, Denied):
            return replace(_throttled(counted), verification=found)
        binding, quotas = (
            binding_digest(secret),
            self._phone_quotas(found.tag, found.purpose if owned or not by_client else None, address, trusted=trusted),
        )
        slowed = _Slowed.by(counted.tally, self._limits, found.counts_as, trusted=trusted)

        async def reopen_with(channel: Channel, driver: Starts, short: bool) -> Verification | Denied:
            return await self._store.reopen(
                id, binding, short, quotas, self._limits, self.policy.resend_after, self._now()
            )

        admitted = await self._admit(found.phone, found.purpose, channels, reopen_with, slowed, prefer=found.driver)
        if not isinstance(admitted, Denied):
            carried = await self._delivery.carry(admitted, [binding], again=True, user_token=user_token)
            if isinstance(carried, Undelivered):
                await self._give_back(admitted.record, carried, shared, counted, quotas, address)
                outcome = self._outcome_for(await self._store.get(id, self._now()), Reason.DELIVERY_FAILED)
                return replace(outcome, cause=carried.cause)
            return self._outcome_of(carried)
        await self._store.uncount(shared, counted.windows, self._now())
        if admitted.why is DenialReason.CLOSED:
            return self._outcome_for(admitted.record, Reason.CLOSED)
        if admitted.why is DenialReason.UNBOUND:
            return Outcome(Reason.NOT_FOUND)
        return replace(_throttled(admitted), verification=admitted.record)

    @_operation("check")
    async def check(self, id: str, secret: str, typed: str, *, address: str | None = None) -> Outcome:
        """Check a code as the user typed it; the outcome for a correct code holds the proof.

        `address` is the client's address, for the limit on its wrong answers over all phones.
        Consuming the attempt and comparing the code is one atomic step of the store. Refusals: not
        found, closed, malformed code (no attempt consumed), too many requests, wrong code, provider
        unavailable (the provider could not check its code; the attempt is consumed).
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
                    return self._outcome_for(spent.record, Reason.CLOSED)
                case DenialReason.NO_CODE | DenialReason.OTHER_LENGTH:
                    return self._outcome_for(spent.record, Reason.MALFORMED_CODE)
                case _:
                    return Outcome(Reason.TOO_MANY_REQUESTS, spent.record, spent.retry_after)
        if spent.answer is AttemptResult.TAKEN:
            return await self._check_remotely(spent, code, answering)
        if spent.answer is AttemptResult.RIGHT:
            self._rights.add(answering.rights)
        return self._outcome_for(spent.record, None if spent.answer is AttemptResult.RIGHT else Reason.WRONG_CODE)

    @_operation("poll")
    async def poll(self, id: str, secret: str) -> Outcome:
        """Return the current status; the outcome holds the proof once verified.

        For an open inbound call the provider is queried, every three seconds at most for one
        verification, over all processes. Without a change the outcome is the same as that of `get`.
        Refusal: not found. Raises `StoreError`.
        """
        found = await self._bound(id, secret)
        if isinstance(found, Outcome):
            return found
        binding = binding_digest(secret)
        if self._inbound.may_query(found) and await self._store.may_poll(id, binding, self._now()):
            await self._inbound.query(found)
            found = await self._store.get(id, self._now()) or found
        return self._outcome_for(found)

    async def get(self, id: str, secret: str) -> Outcome:
        """Return the current status without a request to a provider.

        The outcome holds the proof once verified, until it is redeemed or five minutes old.
        Refusal: not found, for an unknown id as for a secret that is not the verification's. Raises
        `StoreError`.
        """
        found = await self._bound(id, secret)
        return found if isinstance(found, Outcome) else self._outcome_for(found)

    @_operation("receive")
    async def receive(self, driver_name: str, request: WebhookRequest) -> bool:
        """Process a webhook for this driver; return True if it verified an inbound call.

        The caller must have checked the secret in the webhook's URL. If the provider can be
        queried, the event only triggers a query and the response decides; otherwise the event must
        match exactly one open claim. Delivery reports are only logged. Raises `StoreError`.
        """
        return await self._inbound.receive(driver_name, request)

    async def delivery(self, id: str) -> DeliveryReport | None:
        """Query the provider for the delivery status of the last order; None if it is unknown.

        It is unknown for inbound calls, for drivers without status queries, and if the query fails,
        which is logged. For server code: the secret is not required. The result proves nothing and
        changes nothing. Raises `StoreError`.
        """
        record = await self._store.get(id, self._now()) if is_id(id) else None
        if record is None or record.reference is None or record.code_source is CodeSource.NONE:
            return None  # an inbound call involves no message from us
        driver = self.router.drivers().get(record.driver)
        if not isinstance(driver, ReportsDelivery):
            return None
        try:
            return await self._delivery.converse(driver.delivery(record.reference), driver)
        except (ProviderError, UnclearError) as error:
            log.warning("%s could not report the delivery status of an order: %s", driver.name, error)
            return None

    @_operation("cancel")
    async def cancel(self, id: str, secret: str) -> Outcome:
        """Cancel an open verification.

        A closed one is left unchanged, and the outcome is a success too. Refusal: not found. Raises
        `StoreError`.
        """
        found = await self._bound(id, secret)
        if isinstance(found, Outcome):
            return found
        await self._store.settle(id, Status.CANCELLED, self._now())
        return Outcome()

    @_operation("redeem")
    async def redeem(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Consume a proof for one of these purposes.

        Return what it proves, or None if it is not valid. A proof is valid once, for five minutes,
        and only with the secret of its verification, which must be among `secrets`; at most six are
        tried. Unless the purpose is a sign-in, `subject` must equal the one given to `start`: the
        id of the signed-in user. Consuming is atomic: of concurrent calls one succeeds. Raises
        `StoreError`.
        """
        id = self._proofs.verify(proof, purposes, self._now() or datetime.now(UTC))
        if id is None:
            return None
        for secret in list(secrets)[:MAX_SECRETS]:
            record = await self._store.redeem(id, binding_digest(secret), self.keyring.subject(subject), self._now())
            if record is not None and record.closed_at is not None:
                return _redeemed(record, record.closed_at)
        return None

    @_operation("look")
    async def foresee(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Return what `redeem` would return now, without consuming the proof.

        The arguments are the same. Use it to decide before redeeming whether the proof may be used.
        Raises `StoreError`.
        """
        id = self._proofs.verify(proof, purposes, self._now() or datetime.now(UTC))
        if id is None:
            return None
        own = self.keyring.subject(subject)
        for secret in list(secrets)[:MAX_SECRETS]:
            found = await self._bound(id, secret)
            if isinstance(found, Verification) and found.closed_at is not None:
                due = proof_due(found, binding_digest(secret), own, found.read_at)
                return _redeemed(due, found.closed_at) if due is not None else None
        return None

    async def find_open(self, phone: PhoneNumber, purpose: str, held: Sequence[tuple[str, str]]) -> Verification | None:
        """Return the open verification for this phone and purpose, or None.

        `held` are the (id, secret) pairs to search, for example those in the cookie; at most six
        are read. Raises `StoreError`.
        """
        tag = self.keyring.tag(phone)
        for id, secret in held[:MAX_SECRETS]:
            if id.startswith(tag):
                found = await self._bound(id, secret)
                if isinstance(found, Verification) and found.open and found.purpose == purpose:
                    return found
        return None

    async def session_generation(self, subject: str) -> int:
        """Return how often `end_sessions` was called for this subject (a user, as text).

        Store the number in each new session, and pass it to `sessions_ended` on later requests.
        Raises `StoreError`.
        """
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
        """Return whether the sessions that started under this generation were ended.

        `generation` is what `session_generation` returned when the session started. Raises
        `StoreError`.
        """
        gate = Quota(self.keyring.bucket("sessions", subject), generation + 1, SESSIONS_KEPT, gate=True)
        return isinstance(await self._store.count([gate], self._now()), Denied)

    async def end_sessions(self, subject: str) -> None:
        """End all current sessions of this subject.

        `sessions_ended` returns True for their generations. Sessions started afterwards are not
        affected. Raises `StoreError`.
        """
        counter = Quota(self.keyring.bucket("sessions", subject), _MOST_GENERATIONS, SESSIONS_KEPT)
        await self._store.count([counter], self._now())

    async def cancel_by_id(self, id: str) -> bool:
        """Cancel an open verification by its id, without a secret; return whether it was open.

        For server code, like an admin action. Raises `StoreError`.
        """
        return is_id(id) and await self._store.settle(id, Status.CANCELLED, self._now())

    async def purge(self, limit: int = 1000) -> int:
        """Delete at most `limit` expired records and counters; return how many were deleted.

        Call it repeatedly, for example from a scheduled job, until it returns 0. Raises
        `StoreError`.
        """
        return await self._store.purge(limit, self._now())

    async def erase(self, phone: PhoneNumber) -> int:
        """Delete everything that the store keeps about a phone, counters included.

        Return the number of verifications deleted. Raises `StoreError`.
        """
        return await self._store.erase(self.keyring.tag(phone), self._now())

    async def notify(self, phone: PhoneNumber, text: str) -> bool:
        """Send a text without a code by SMS; return whether a provider accepted it.

        It counts towards the quotas of the number's prefix and of the site. Never raises: errors
        are logged.
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
        """Reset the failure counters of a phone and their lockouts, also those of trusted devices.

        Return whether there were any. For the site's staff and support, after they have identified
        the person who asks for it. Raises `StoreError`.
        """
        return await self._store.unlock(self.keyring.tag(phone), self._now())

    async def _admit(
        self,
        phone: PhoneNumber,
        purpose: str,
        channels: Sequence[Channel],
        step: Callable[[Channel, Starts, bool], Awaitable[Verification | Denied]],
        slowed: _Slowed,
        prefer: str | None = None,
    ) -> Admitted | Denied:
        """Find the first of these channels on which the store accepts the order.

        If short codes turn out to be closed for this phone, only drivers with longer codes are
        tried.
        """
        refused = Denied(DenialReason.SHORT_CODES_CLOSED)
        closed = slowed.short
        for channel in channels:
            # The driver of the last order comes first: only it can retry by its own reference.
            route = self._route(channel, phone, purpose, long=slowed.long)
            drivers = sorted(route, key=lambda driver: driver.name != prefer)
            longer = [driver for driver in drivers if not self._planner.plan(driver, channel, purpose).short]
            for able in (drivers, longer):
                if not able or (closed and able is drivers):
                    continue
                # This includes drivers reached only by failover: their code could not be used.
                short = len(longer) < len(able)
                record = await step(channel, able[0], short)
                if not isinstance(record, Denied):
                    return Admitted(record, channel, able, long=slowed.long)
                if record.why is not DenialReason.SHORT_CODES_CLOSED:
                    return record
                refused, closed = record, True
        return refused

    async def _give_back(
        self,
        record: Verification,
        undelivered: Undelivered,
        shared: Sequence[Quota],
        counted: Counted,
        quotas: Sequence[Quota],
        address: str | None,
    ) -> None:
        """Return sends that no provider accepted to their quotas, and count the refusal."""
        if not undelivered.refused:
            return
        await self._store.uncount(shared, counted.windows, self._now())
        await self._store.refund(record.id, quotas, record.read_at, self._now())
        refused = self._refused_quotas(record.tag, address, trusted=record.trusted, reserved=False)
        await self._store.count([replace(quota, gate=False) for quota in refused], self._now())

    def _outcome_of(self, attached: Verification | Denied) -> Outcome:
        """Return the outcome of an order that a provider accepted or may have accepted."""
        if not isinstance(attached, Denied):
            return self._outcome_for(attached)
        if attached.why is DenialReason.LINE_TAKEN:
            return Outcome(Reason.CHANNEL_UNAVAILABLE, attached.record)
        return self._outcome_for(attached.record, Reason.CLOSED)

    async def _check_remotely(self, spent: Spent, code: str, answering: Answering) -> Outcome:
        record = spent.record
        driver = self.router.drivers().get(record.driver)
        right: bool | None = None
        if isinstance(driver, ChecksRemotely):
            try:
                right = await self._delivery.converse(driver.check(record.phone, code, record.reference), driver)
            except (ProviderError, UnclearError) as error:
                log.warning("%s could not check a code: %s", driver.name, error)
        judged = await self._store.resolve_check(record.id, right, record.generation, answering, self._now())
        if judged is None:
            return Outcome(Reason.NOT_FOUND)
        if judged.proven:
            self._rights.add(answering.rights)
            return self._outcome_for(judged.record)
        if right is None:
            return self._outcome_for(judged.record, Reason.PROVIDER_UNAVAILABLE)
        # A correct answer for an open record was for a code that a resend has replaced.
        late = right and not judged.record.open
        return self._outcome_for(judged.record, Reason.CLOSED if late else Reason.WRONG_CODE)

    # Helpers of the operations.

    def _now(self) -> datetime | None:
        return self._parts.now()

    async def _bound(self, id: str, secret: str) -> Verification | Outcome:
        record = await self._store.get(id, self._now()) if is_id(id) else None
        if record is None or not hmac.compare_digest(record.binding, binding_digest(secret)):
            return Outcome(Reason.NOT_FOUND)
        return record

    def _report_spraying(self, tally: Tally) -> None:
        """Report that short codes are closed for the whole site, once an hour for each process."""
        if self._limits.closes_short(tally) and self._parts.ticks() - self._reported_at >= _SECONDS_PER_REPORT:
            self._reported_at = self._parts.ticks()
            log.warning(
                "short codes are closed for sign-in on browsers that are not trusted devices: %d wrong answers "
                "to short codes in the last 24 hours",
                tally.short,
            )
            self._parts.events.emit(VerificationEvent("short_codes_off", "spraying"))

    def _test_number(self, phone: PhoneNumber) -> TestNumber | None:
        """Return the test number's entry until its last day has ended; None for every other phone."""
        fixed = self._parts.test_numbers.get(phone) if self._parts.test_numbers else None
        if fixed is None or (self._now() or datetime.now(UTC)).date() > fixed.last_day:
            return None
        return fixed

    def _route(self, channel: Channel, phone: PhoneNumber, purpose: str, *, long: bool = False) -> Sequence[Starts]:
        """Return the drivers to try in order, or a test number in their place.

        A test number replaces them if codes on this channel come from us and have its length. On
        other channels it is treated like any number, so that responses do not reveal it.
        """
        drivers = self.router.route(channel, phone)
        fixed = self._test_number(phone)
        if fixed is None or not drivers:
            return drivers
        if not self._planner.plan(drivers[0], channel, purpose, long=long).fits(fixed.code):
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
        planned = self._planner.plan(driver, channel, purpose, long=long)
        key_id = self.keyring.key_id
        digest = None
        if planned.code_source is CodeSource.LOCAL and planned.code_length:
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

    def _phone_quotas(self, tag: str, purpose: str | None, address: str | None, *, trusted: bool) -> Sequence[Quota]:
        """Return the quotas of sends to this phone: the client's own, then that of all clients.

        With a `purpose` that only the phone's owner can start, these quotas are separate, so that
        other clients cannot exhaust them. A `purpose` of None means that any client may have
        started it, regardless of its actual purpose.
        """
        limit = self.policy.sends_per_hour
        if not limit:
            return []
        apart = f"{purpose}:" if purpose in _BUDGETS_OF_THEIR_OWN else ""
        key = f"sends:{apart}known:{tag}" if trusted else f"sends:{apart}{tag}"
        own = self.keyring.bucket("own", address or "")
        return [Quota(f"{key}:{own}", limit), Quota(key, limit, others=True)]

    def _shared_quotas(
        self, phone: PhoneNumber, tag: str, address: str | None, *, trusted: bool, reserved: bool
    ) -> Sequence[Quota]:
        """Return the quotas that span phones, with the gates of wrong answers and refusals.

        One in five sends is reserved for trusted devices and for server code: `reserved`.
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
        if wrong is not None and policy.wrong_per_hour_per_address and not trusted:
            quotas.append(Quota(wrong, policy.wrong_per_hour_per_address, gate=True))
        return [*quotas, *self._refused_quotas(tag, address, trusted=trusted, reserved=reserved)]

    def _refused_quotas(self, tag: str, address: str | None, *, trusted: bool, reserved: bool) -> Sequence[Quota]:
        """Return the gates of orders that every provider refused.

        The gates of other clients do not affect a trusted device. The site-wide gate does not apply
        to server code, but counts the orders of server code that were refused.
        """
        own = [Quota(self.keyring.bucket("refused", address), REFUSED_PER_ADDRESS, gate=True)] if address else []
        if around := _around(address):
            key = self.keyring.bucket("refused_site", around)
            own.append(Quota(key, REFUSED_PER_SITE_OF_ADDRESSES, others=True, gate=True))
        if trusted:
            return [*own, Quota(f"refused:known:{tag}", REFUSED_PER_PHONE, gate=True)]
        phone = Quota(f"refused:{tag}", REFUSED_PER_PHONE, others=True, gate=True)
        return [*own, phone, *([] if reserved else [Quota("refused", REFUSED_TOTAL, others=True, gate=True)])]

    def _wrong_key(self, address: str | None) -> str | None:
        """Return the key of an address's counter of wrong answers; None for an unknown address."""
        return self.keyring.bucket("wrong", address) if address else None

    def _budget(self, phone: PhoneNumber, purpose: str, subject: str) -> Budget:
        if self._test_number(phone) is not None:
            return Budget.TEST_NUMBER
        return budget_of(purpose, signed_in=bool(subject))

    def _outcome_for(self, record: Verification | None, reason: Reason | None = None) -> Outcome:
        """Return the outcome for a client that holds the secret."""
        if record is None:
            return Outcome(reason or Reason.NOT_FOUND)
        proof = None
        if has_proof(record) and record.closed_at is not None:
            proof = self._proofs.sign(record.id, record.purpose, record.closed_at)
        return Outcome(reason, record, proof=proof, channels=self._resendable(record))

    def _resendable(self, record: Verification) -> Sequence[Channel]:
        """Return the channels that a resend would accept, apart from the delay and the quotas."""
        if not record.open:
            return []
        lock = lockout(record.failures, self._limits, True, record.read_at)
        if lock is not None and lock.why is DenialReason.FAILURES:
            return []
        short_closed = lock is not None

        def serves(channel: Channel) -> bool:
            drivers = self._route(channel, record.phone, record.purpose)
            plans = [self._planner.plan(driver, channel, record.purpose) for driver in drivers]
            return any(not (short_closed and plan.short) for plan in plans)

        return [channel for channel in dict.fromkeys([*self.router.channels, record.channel]) if serves(channel)]


#: Sends for these purposes have separate quotas if the phone's owner starts them.
_BUDGETS_OF_THEIR_OWN = ("confirm", SECOND_FACTOR)


@dataclass(frozen=True, slots=True)
class _Slowed:
    """What the site-wide tally withholds from this client: short and six-digit codes."""

    short: bool
    long: bool

    @classmethod
    def by(cls, tally: Tally, limits: Limits, budget: Budget, *, trusted: bool) -> _Slowed:
        """Return what applies.

        Trusted devices are not affected, and short codes are withheld from sign-in only.
        """
        signs_in = budget is Budget.SIGN_IN
        return cls(
            short=not trusted and signs_in and limits.closes_short(tally),
            long=not trusted and limits.lengthens(tally),
        )


def _around(address: str | None) -> str | None:
    """Return the /48 network of an IPv6 address; None for other addresses."""
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
        raise ValueError("user_token: use 1 to 8000 printable ASCII characters without spaces, or None")


def _throttled(refused: Denied) -> Outcome:
    if refused.why is DenialReason.SHORT_CODES_CLOSED:
        return Outcome(Reason.CHANNEL_UNAVAILABLE)
    return Outcome(Reason.TOO_MANY_REQUESTS, retry_after=refused.retry_after)


class Verifier:
    """Verifies phone numbers in blocking applications, like Django and Flask under WSGI.

    Thread-safe; create one and reuse it. Every method that uses the store raises `StoreError` if
    the store is unavailable, unless stated otherwise. The longer descriptions are in
    `AsyncVerifier`.
    """

    def __init__(self, parts: Components) -> None:
        self._flows = AsyncVerifier(parts)

    @property
    def policy(self) -> Policy:
        """The rules in force."""
        return self._flows.policy

    @property
    def channels(self) -> Sequence[Channel]:
        """The channels in use, in order of preference."""
        return self._flows.channels

    @property
    def drivers(self) -> Mapping[str, Starts]:
        """All configured drivers by name."""
        return self._flows.drivers

    @property
    def flows(self) -> AsyncVerifier:
        """The `AsyncVerifier` behind this verifier, for callers that combine coroutines."""
        return self._flows

    def tag(self, phone: PhoneNumber) -> str:
        """Return the keyed digest under which a phone is counted and looked up.

        Verification ids begin with it.
        """
        return self._flows.tag(phone)

    def remember_device(self, trusted_device: str, phone: PhoneNumber) -> str:
        """Return the trusted-device token for a browser that has just signed in with this phone.

        It is valid for 180 days. `trusted_device` is the token that the browser presented before,
        or an empty string.
        """
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
        options: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Start a verification: send a code, place a call or assign a number to call.

        `phone`: the number to verify. `purpose`: what the proof can be redeemed for. `channel`: by
        default the first preferred one that can serve. `locale`: language of the message.
        `address`: the client's address, for quotas. `shown`: secrets that this browser presented;
        its open verification for the same phone and purpose is cancelled. `trusted_device`: token
        from `remember_device`. `subject`: id of the signed-in user, who alone can redeem the proof
        unless the purpose is a sign-in. `owned`: the phone already belongs to that user.
        `by_client`: a visitor triggered this start rather than your code. `user_token`: the user's
        token at the provider (evand). `options`: options of this order for the driver that declares
        them (evand: `event_id`).

        Return an outcome with `verification` and `secret`; keep the secret for `check` and
        `redeem`. The quotas of the phone are counted in the same atomic step that creates the
        record. Refusals: destination not allowed, not configured, channel unavailable, too many
        requests (with `retry_after`), delivery failed (with `cause`). Raises `StoreError`, and
        `ValueError` for a malformed `user_token` and for an unknown or malformed option.
        """
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
                options=options,
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
        """Send again for an open verification, on another `channel` if one is given.

        Takes the id and the secret that `start` returned; the other arguments as for `start`. Never
        resets attempts and never extends `expires_at`; each resend doubles the delay until the
        next, up to ten minutes. Refusals: not found, closed, channel unavailable, too many
        requests, delivery failed (the code sent before stays valid). Raises `StoreError`, and
        `ValueError` for a malformed `user_token`.
        """
        return run(
            self._flows.resend(
                id, secret, channel=channel, address=address, owned=owned, by_client=by_client, user_token=user_token
            )
        )

    def check(self, id: str, secret: str, typed: str, *, address: str | None = None) -> Outcome:
        """Check the code that the user typed.

        The outcome for a correct code holds `proof`, for `redeem`. `typed` may contain spaces,
        dashes and non-ASCII digits. `address` is the client's address, for the limit on its wrong
        answers. Consuming the attempt and comparing the code is one atomic step, so concurrent
        guesses cannot exceed the limit. Refusals: not found, closed, malformed code (no attempt
        consumed), too many requests, wrong code, provider unavailable (attempt consumed). Raises
        `StoreError`.
        """
        return run(self._flows.check(id, secret, typed, address=address))

    def poll(self, id: str, secret: str) -> Outcome:
        """Return the current status, with `proof` once verified.

        Refusal: not found. Raises `StoreError`. For an open inbound call the provider is queried,
        every three seconds at most.
        """
        return run(self._flows.poll(id, secret))

    def get(self, id: str, secret: str) -> Outcome:
        """Return the current status, with `proof` once verified, without a request to a provider.

        Refusal: not found. Raises `StoreError`.
        """
        return run(self._flows.get(id, secret))

    def receive(self, driver_name: str, request: WebhookRequest) -> bool:
        """Process a webhook for this driver; return True if it verified an inbound call.

        Check the secret in the webhook's URL first: this method does not. If the provider can be
        queried, the webhook only triggers a query. Delivery reports are only logged. Raises
        `StoreError`.
        """
        return run(self._flows.receive(driver_name, request))

    def delivery(self, id: str) -> DeliveryReport | None:
        """Query the provider for the delivery status of the last order; None if it is unknown.

        For server code: the secret is not required. The result proves nothing and changes nothing.
        Raises `StoreError`.
        """
        return run(self._flows.delivery(id))

    def cancel(self, id: str, secret: str) -> Outcome:
        """Cancel an open verification.

        A closed one is left unchanged. Refusal: not found. Raises `StoreError`.
        """
        return run(self._flows.cancel(id, secret))

    def redeem(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Consume a proof and return what it proves, or None if it is not valid.

        `secrets`: those that the browser presented; one must be the verification's. `purposes`:
        those you accept. `subject`: id of the signed-in user; it must equal the one given to
        `start` unless the purpose is a sign-in. A proof is valid once, for five minutes; consuming
        it is atomic, so of concurrent calls one succeeds. Raises `StoreError`.
        """
        return run(self._flows.redeem(proof, secrets, purposes, subject=subject))

    def foresee(
        self, proof: str, secrets: Collection[str], purposes: Collection[str], *, subject: str = ""
    ) -> Redeemed | None:
        """Return what `redeem` would return now, without consuming the proof.

        The arguments are those of `redeem`. Raises `StoreError`.
        """
        return run(self._flows.foresee(proof, secrets, purposes, subject=subject))

    def find_open(self, phone: PhoneNumber, purpose: str, held: Sequence[tuple[str, str]]) -> Verification | None:
        """Return the open verification for this phone and purpose, or None.

        `held` are the (id, secret) pairs to search, newest first; six at most are read. Raises
        `StoreError`.
        """
        return run(self._flows.find_open(phone, purpose, held))

    def notify(self, phone: PhoneNumber, text: str) -> bool:
        """Send `text`, which holds no code, by SMS; return whether a provider accepted it.

        It counts towards the quotas of the number's prefix and of the site. Never raises: errors
        are logged.
        """
        return run(self._flows.notify(phone, text))

    def unlock(self, phone: PhoneNumber) -> bool:
        """Reset the failure counters of a phone and their lockouts.

        Return whether there were any. Raises `StoreError`. For staff and support, after they have
        identified the person who asks for it.
        """
        return run(self._flows.unlock(phone))

    def session_generation(self, subject: str) -> int:
        """Return how often `end_sessions` was called for this subject (a user, as text).

        Store it in each new session and pass it to `sessions_ended`. Raises `StoreError`.
        """
        return run(self._flows.session_generation(subject))

    def sessions_ended(self, subject: str, generation: int) -> bool:
        """Return whether sessions that started under this generation were ended.

        Raises `StoreError`.
        """
        return run(self._flows.sessions_ended(subject, generation))

    def end_sessions(self, subject: str) -> None:
        """End all current sessions of this subject: `sessions_ended` returns True for them.

        Raises `StoreError`.
        """
        run(self._flows.end_sessions(subject))

    def cancel_by_id(self, id: str) -> bool:
        """Cancel an open verification without its secret.

        Return whether it was open. Raises `StoreError`. For server code, like an admin action.
        """
        return run(self._flows.cancel_by_id(id))

    def purge(self, limit: int = 1000) -> int:
        """Delete at most `limit` expired records and counters.

        Return how many. Raises `StoreError`.
        """
        return run(self._flows.purge(limit))

    def erase(self, phone: PhoneNumber) -> int:
        """Delete everything stored about a phone, counters included.

        Return the number of verifications deleted. Raises `StoreError`.
        """
        return run(self._flows.erase(phone))
