"""Passes an order to the drivers in turn, and attaches the result to the record.

The order of failover comes from `routing.py`; the effect of a refusal and of an unclear result for
each source of codes is decided here only.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from .before_send import ClientFacts
from .drivers.base import ClosesOrders, LeasesLines, ReportsDelivery, Retries, Starts, TakesOptions, TakesUserTokens
from .errors import FailureKind, ProviderError, StoreError, UnclearError, place_of
from .events.record import record_provider_time, record_receipt
from .exchange import Exchange, HttpResponse, RecallToken, Request, StoreToken
from .lifecycle import Attachment
from .limits import DenialReason, Denied, Quota
from .model import Cause, Channel, CodeSource, DeliveryReport, Order, Reason, Receipt, Status, Verification, value_class
from .parts import Components
from .phone import PhoneNumber
from .planning import Code, Planner, proves
from .routing.statistics import RouteStatistics
from .stores.leases import Leases
from .stores.references import References
from .transports.token_cache import TokenCache

if TYPE_CHECKING:
    from .ledger.values import Attempt

log = logging.getLogger("phone_verify")

#: Time limit of a whole start with failover (design, "time-outs").
WHOLE_START = 20.0
#: Time limit of the report that closes an order: the user waits for it, and nothing depends on it.
CLOSE_SECONDS = 3.0

T = TypeVar("T")


@value_class
class Admitted:
    """A record that the store accepted, and the drivers for its order, in turn."""

    record: Verification
    channel: Channel
    drivers: Sequence[Starts]
    #: Whether codes have eight digits if the driver carries them.
    long: bool = False
    #: The quota of orders of the client that may lease a line; None if the client is unknown.
    leases: Quota | None = None


@value_class
class Undelivered:
    """An order that no driver carried, and the cause.

    `refused` is whether every provider definitely refused it, so that nothing was sent. If none was
    asked, because no line was free, the reason is that the channel is unavailable.
    """

    cause: Cause | None
    refused: bool
    reason: Reason = Reason.DELIVERY_FAILED


#: The record with the receipt attached; the store's refusal to attach it (closed meanwhile, or the line is
#: taken); or why no driver carried the order.
Carried = Verification | Denied | Undelivered


class Delivery:
    """Carries orders to providers."""

    def __init__(self, parts: Components) -> None:
        self._parts = parts
        self.planner = Planner(parts.policy, parts.keyring)
        self.statistics = RouteStatistics(parts.store, parts.router, parts.now, parts.ticks)
        self._tokens = TokenCache(parts.ticks)
        self.references = References(parts.store, parts.keyring, parts.now)
        self._leases = Leases(parts.store, parts.keyring, parts.random_bytes, parts.now)

    def check_options(self, options: Mapping[str, str]) -> None:
        """Raise ValueError for an option that no configured driver declares, or for its value."""
        if not options:
            return
        takers = [driver for driver in self._parts.router.drivers().values() if isinstance(driver, TakesOptions)]
        known = {name: option for driver in takers for name, option in driver.order_options.items()}
        for name, value in options.items():
            if name not in known:
                raise ValueError(
                    f"options: no configured driver accepts {name!r}; accepted: {', '.join(known) or 'none'}"
                )
            try:
                known[name].read(value)
            except ValueError as error:
                raise ValueError(f"options: {name}: {error}") from None

    async def carry(
        self,
        admitted: Admitted,
        shown: Sequence[bytes],
        *,
        first_code: Code | None = None,
        again: bool,
        client: ClientFacts,
        user_token: str | None = None,
        options: Mapping[str, str] | None = None,
        access_key: str = "",
        before: Callable[[str], Awaitable[None]] | None = None,
    ) -> Carried:
        """Pass the order to the drivers in turn, until one accepts it or the result is unclear.

        `first_code` is the code of the first driver's order, if it is derived already. `again` marks a resend.
        `client` is the request, whose page the last line of an SMS names. `user_token` and `options` are for
        drivers that accept them; a resend through the same driver keeps the options of the last order.
        `access_key` is the id of the key that ordered it.
        `before`, for an order that waited, is called with the name of each driver before it is asked; what it
        raises ends the order.
        """
        record, channel = admitted.record, admitted.channel
        undelivered = Undelivered(None, refused=True, reason=Reason.CHANNEL_UNAVAILABLE)
        deadline = self._parts.ticks() + WHOLE_START
        drivers = list(admitted.drivers)
        refused_lines: list[PhoneNumber] = []
        may_lease: bool | None = None
        while drivers and self._parts.ticks() < deadline:
            driver = drivers.pop(0)
            code = first_code or self.planner.order_code(record, channel, driver, again=again, long=admitted.long)
            first_code = None  # that of the next driver may differ
            order = self._order(record, channel, driver, code, client, user_token)
            own = _options_for(driver, record, options or {}, again=again)
            if own != order.options:
                order = replace(order, options=own)
            if channel is Channel.INBOUND_CALL and isinstance(driver, LeasesLines):
                if may_lease is None:
                    may_lease = await self._may_lease(admitted.leases)
                if not may_lease:
                    log.warning("%s leased no line: the client has leased as many as it may", driver.name)
                    continue
                pool = [line for line in driver.pool if line not in refused_lines]
                line = await self._leases.take(pool, record, shown)
                if line is None:
                    log.warning("%s has no free line: all %d are leased", driver.name, len(driver.pool))
                    continue
                carried = await self._carry_on(
                    line, record, driver, order, code, shown, deadline, again=again, access_key=access_key
                )
                if isinstance(carried, Denied) and carried.why is DenialReason.LINE_TAKEN:
                    # The line rests for this phone, although it does not for others.
                    refused_lines.append(line)
                    drivers.insert(0, driver)
                    continue
            else:
                if before is not None:
                    await before(driver.name)
                carried = await self._carry_by(
                    record,
                    driver,
                    order,
                    code,
                    shown,
                    deadline,
                    again=again,
                    access_key=access_key,
                    waited=before is not None,
                )
            if not isinstance(carried, Undelivered):
                return carried
            undelivered = carried
            if not carried.refused or carried.cause is Cause.NUMBER or carried.reason is not Reason.DELIVERY_FAILED:
                # It may be sent, another provider would charge for the same wrong number, or no order may be sent.
                break
        return undelivered

    async def verified(self, record: Verification, networks: Sequence[str] = ()) -> None:
        """Count a verification by a client of these networks, and close its order at the provider; call it once."""
        await self.statistics.verified(record)
        if self._parts.fraud is not None:
            await self._parts.fraud.verified(record, networks, self._parts.store, self._parts.now())
        if self._parts.ledger is not None:
            await self._parts.ledger.verified(record)
        await self.close(record, verified=True)

    async def cancelled(self, record: Verification) -> None:
        """Settle what a cancelled verification cost, and close its order at the provider."""
        if self._parts.ledger is not None:
            await self._parts.ledger.cancelled(record)
        await self.close(record, verified=False)

    async def failed(self, record: Verification) -> None:
        """Write to the ledger that no provider accepted the first order of a verification."""
        if self._parts.ledger is not None:
            await self._parts.ledger.failed(record)

    async def reported(self, driver: str, report: DeliveryReport) -> None:
        """Write a provider's delivery report to the ledger."""
        if self._parts.ledger is not None:
            await self._parts.ledger.report(driver, report)

    async def close(self, record: Verification, *, verified: bool) -> None:
        """Report to the provider of the code's last order that the phone is verified, or the order
        cancelled, if its driver does so. A failure is logged and changes nothing.
        """
        driver = self._parts.router.drivers().get(record.driver)
        # The role last: finding out whether an object has one is slow.
        if not record.has_code or record.reference is None or not isinstance(driver, ClosesOrders):
            return
        exchange = driver.close(record.reference, verified=verified)
        try:
            await self.converse(exchange, driver, self._parts.ticks() + CLOSE_SECONDS)
        except (ProviderError, UnclearError) as error:
            log.info("%s could not close an order: %s", driver.name, error)

    async def _may_lease(self, quota: Quota | None) -> bool:
        """Count an order that may lease a line; return whether its client may.

        It stays counted if none is free, which limits how often a client makes us search for one.
        """
        return quota is None or not isinstance(await self._parts.store.count([quota], self._parts.now()), Denied)

    async def _carry_on(
        self,
        line: PhoneNumber,
        record: Verification,
        driver: Starts,
        order: Order,
        code: Code,
        shown: Sequence[bytes],
        deadline: float,
        *,
        again: bool,
        access_key: str,
    ) -> Carried:
        """Pass the order to one driver with a leased line, and end the lease unless the record got the line."""
        try:
            order = replace(order, line=line)
            carried = await self._carry_by(
                record, driver, order, code, shown, deadline, again=again, access_key=access_key
            )
        except StoreError:
            await self._leases.give_back(line, record)
            raise
        if not isinstance(carried, Verification) or line not in (carried.line, carried.claim_line):
            await self._leases.give_back(line, record)
        return carried

    async def _carry_by(
        self,
        record: Verification,
        driver: Starts,
        order: Order,
        code: Code,
        shown: Sequence[bytes],
        deadline: float,
        *,
        again: bool,
        access_key: str,
        waited: bool = False,
    ) -> Carried:
        """Pass the order to one driver, with its attempt in the ledger."""
        channel, ledger = order.channel, self._parts.ledger
        attempt: Attempt | None = None
        if ledger is not None:
            free = driver.name not in self._parts.router.drivers()  # a test number
            begun = await ledger.begin(
                record, channel, driver.name, text=order.text, access_key=access_key, free=free, waited=waited
            )
            if isinstance(begun, Reason):
                return Undelivered(None, refused=True, reason=begun)
            attempt = begun
        asked_at = self._parts.ticks()
        try:
            same_order = again and record.driver == driver.name and record.channel_of_code is channel
            if same_order and record.reference and isinstance(driver, Retries):
                receipt = await self.converse(driver.retry(order, record.reference), driver, deadline)
            else:
                receipt = await self.converse(driver.start(order), driver, deadline)
        except ProviderError as error:
            log.warning("%s did not accept an order by %s: %s", driver.name, channel.label, error)
            if ledger is not None and attempt is not None:
                await ledger.refused(attempt, error, self._parts.ticks() - asked_at)
            return Undelivered(Cause.NUMBER if error.trouble is FailureKind.BAD_NUMBER else Cause.SERVICE, refused=True)
        except UnclearError as error:
            log.warning("the result of an order to %s by %s is unclear: %s", driver.name, channel.label, error)
            if ledger is not None and attempt is not None:
                seconds, polled = self._parts.ticks() - asked_at, isinstance(driver, ReportsDelivery)
                await ledger.unclear(attempt, error.reference, seconds, polled=polled)
            return await self._unclear(record, channel, driver, code, error.reference, shown)
        record_receipt(receipt)
        if ledger is not None and attempt is not None:
            seconds, polled = self._parts.ticks() - asked_at, isinstance(driver, ReportsDelivery)
            await ledger.sent(attempt, receipt, seconds, polled=polled)
        if not proves(receipt, code.plan.code_source):
            log.warning("%s accepted an order by %s but returned nothing to verify it with", driver.name, channel.label)
            await self._count_sent(record, channel, driver)
            return Undelivered(Cause.SERVICE, refused=False)
        return await self._attach(record, channel, driver, code, receipt, Status.SENT, shown)

    def first_text(self, admitted: Admitted, client: ClientFacts, *, again: bool) -> str | None:
        """Return the text that the first driver would send; None without one."""
        driver, record, channel = admitted.drivers[0], admitted.record, admitted.channel
        code = self.planner.order_code(record, channel, driver, again=again, long=admitted.long)
        return self._order(record, channel, driver, code, client, None).text

    async def assume_asked(self, admitted: Admitted, driver: Starts, *, again: bool) -> Carried:
        """Return what `carry` returns after an unclear response of this driver, without asking it."""
        code = self.planner.order_code(admitted.record, admitted.channel, driver, again=again, long=admitted.long)
        return await self._unclear(admitted.record, admitted.channel, driver, code, None, ())

    async def _unclear(
        self,
        record: Verification,
        channel: Channel,
        driver: Starts,
        code: Code,
        reference: str | None,
        shown: Sequence[bytes],
    ) -> Carried:
        if code.plan.code_source in (CodeSource.PROVIDER, CodeSource.NONE):
            await self._count_sent(record, channel, driver)
            return Undelivered(Cause.SERVICE, refused=False)  # the order can no longer be verified
        return await self._attach(record, channel, driver, code, Receipt(reference=reference), Status.PENDING, shown)

    async def converse(self, exchange: Exchange[T], driver: Starts, deadline: float | None = None) -> T:
        """Run a driver's exchange over the transport.

        It ends within the driver's time-out and the `deadline`, in ticks.

        Errors of a request are thrown into the exchange: only the driver can decide whether that
        request may have sent anything.
        """
        answer_seconds = driver.timeout.total_seconds()
        if deadline is None:
            deadline = self._parts.ticks() + answer_seconds
        try:
            request = _step(driver, next, exchange)
            while True:
                seconds = min(answer_seconds, deadline - self._parts.ticks())
                try:
                    if seconds <= 0:
                        raise UnclearError("the time limit of the whole order has expired")
                    response = await self._sent(request, driver, seconds)
                except (ProviderError, UnclearError) as error:
                    request = _step(driver, exchange.throw, error)
                else:
                    request = _step(driver, exchange.send, response)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _sent(self, request: Request | RecallToken | StoreToken, driver: Starts, seconds: float) -> HttpResponse:
        if isinstance(request, RecallToken | StoreToken):
            return self._tokens.answer(driver.name, request)
        began = self._parts.ticks()
        try:
            response = await self._parts.transport.send(request, seconds)
        except (ProviderError, UnclearError):
            self._parts.router.unreachable(driver)
            raise
        finally:
            record_provider_time(self._parts.ticks() - began)
        self._parts.router.record_success(driver)
        return response

    async def _attach(
        self,
        record: Verification,
        channel: Channel,
        driver: Starts,
        code: Code,
        receipt: Receipt,
        status: Status,
        shown: Sequence[bytes],
    ) -> Verification | Denied:
        digest, length = code.digest, code.plan.code_length
        leased = channel is Channel.INBOUND_CALL and isinstance(driver, LeasesLines)
        # A provider that was given our code and reports another one has sent that one.
        if receipt.code is not None and code.plan.code_source in (CodeSource.PROVIDER, CodeSource.LOCAL):
            digest, length = self._parts.keyring.digest(record.id, receipt.code), len(receipt.code)
        attachment = Attachment(
            status=status,
            channel=channel,
            driver=driver.name,
            plan=code.plan,
            key_id=code.key_id,
            generation=code.generation,
            code_digest=digest,
            code_length=length,
            reference=receipt.reference,
            line=receipt.line,
            caller_hint=receipt.caller_hint,
            sends=record.sends,
            shown=shown,
            # The calls to a line of a pool are told apart by it.
            any_line=receipt.line is not None and receipt.reference is None and not leased,
            leased=leased,
        )
        try:
            attached = await self._parts.store.attach(record.id, attachment, self._parts.now())
        except StoreError as error:
            if not _verifiable_without(record, attachment):
                raise
            # The message is sent and paid for: its code can be used once the store is back.
            log.error("the store could not attach the receipt from %s: %s", driver.name, error)
            return record
        if not leased or not isinstance(attached, Denied):
            await self._count_sent(record, channel, driver)
        if driver.abilities[channel].by_reference and not isinstance(attached, Denied):
            await self._note_reference(attached, driver.name)
        return attached

    async def _count_sent(self, record: Verification, channel: Channel, driver: Starts) -> None:
        await self.statistics.sent(record, channel, driver.name)
        if self._parts.fraud is not None:
            await self._parts.fraud.sent(record, channel, self._parts.store, self._parts.now())

    async def _note_reference(self, record: Verification, driver_name: str) -> None:
        """Let webhooks find this claim by its reference. Without that a poll settles it."""
        try:
            await self.references.note(record)
        except StoreError as error:
            log.warning("the store could not note a reference of %s: %s", driver_name, error)

    def _order(
        self,
        record: Verification,
        channel: Channel,
        driver: Starts,
        code: Code,
        client: ClientFacts,
        user_token: str | None,
    ) -> Order:
        life = min(record.expires_at - record.read_at, code.plan.ttl)
        text = None
        if code.text:
            text = self._parts.texts(channel, code.text, life, record.locale, record.purpose, client)
        webhook_url = self._parts.webhook_url(driver.name, "") if driver.abilities[channel].webhook_url else None
        takes = user_token is not None and isinstance(driver, TakesUserTokens) and driver.takes_user_tokens
        token = user_token if takes else None
        return Order(
            record.phone, channel, life, code.text, text, webhook_url, token, key=f"{record.id}.{record.sends}"
        )


def _step(driver: Starts, step: Callable[..., T], *given: Any) -> T:
    """Run a driver up to its next request. Its own errors are unclear: the order may be sent."""
    try:
        return step(*given)
    except (StopIteration, ProviderError, UnclearError):
        raise
    except Exception as error:  # noqa: BLE001 - its message can contain the number or the code
        raise UnclearError(f"{driver.name} raised {type(error).__name__}{place_of(error)}") from None


def _verifiable_without(record: Verification, attachment: Attachment) -> bool:
    """Return whether the record without the receipt can verify what was sent."""
    same = (
        record.driver,
        record.channel_of_code,
        record.code_source,
        record.generation,
        record.code_digest,
        record.code_length,
    )
    # A remote check may need the reference that only the attachment has.
    complete = attachment.line is None and (
        not attachment.reference or record.code_source is not CodeSource.REMOTE_CHECK
    )
    return complete and same == (
        attachment.driver,
        attachment.channel,
        attachment.plan.code_source,
        attachment.generation,
        attachment.code_digest,
        attachment.code_length,
    )


def _options_for(driver: Starts, record: Verification, options: Mapping[str, str], *, again: bool) -> Mapping[str, Any]:
    # The role is asked last: that takes longer than the rest.
    if again:
        same_driver = record.driver == driver.name and record.reference
        return driver.kept_options(record.reference or "") if same_driver and isinstance(driver, TakesOptions) else {}
    if not options or not isinstance(driver, TakesOptions):
        return {}
    own = driver.order_options
    return {name: own[name].read(value) for name, value in options.items() if name in own}
