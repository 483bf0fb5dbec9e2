"""Passes an order to the drivers in turn, and attaches the result to the record.

The order of failover comes from `routing.py`; the effect of a refusal and of an unclear result for
each source of codes is decided here only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from .before_send import ClientFacts
from .drivers.base import Retries, Starts, TakesOptions, TakesUserTokens
from .errors import FailureKind, ProviderError, StoreError, UnclearError
from .events.record import record_provider_time, record_receipt
from .exchange import Exchange, HttpRequest, HttpResponse, Notice, RecallToken, StoreToken
from .lifecycle import Attachment
from .limits import Denied
from .model import Cause, Channel, CodeSource, Order, Receipt, Status, Verification
from .parts import Components
from .planning import Plan, Planner
from .transports.token_cache import TokenCache

log = logging.getLogger("phone_verify")

#: Time limit of a whole start with failover (design, "time-outs").
WHOLE_START = 20.0

#: Codes that providers generate and return have three to eight digits (fact sheet); other values
#: cannot be typed.
_RETURNED_CODE = re.compile(r"[0-9]{3,8}\Z", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A record that the store accepted, and the drivers for its order, in turn."""

    record: Verification
    channel: Channel
    drivers: Sequence[Starts]
    #: Whether codes have eight digits if the driver carries them.
    long: bool = False


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An order that no driver carried, and the cause.

    `refused` is whether every provider definitely refused it, so that nothing was sent.
    """

    cause: Cause
    refused: bool


@dataclass(frozen=True, slots=True)
class Code:
    """The code of one order: the previous one if it can be repeated, else of a new generation.

    Without `text` it is not ours.
    """

    plan: Plan
    key_id: str
    generation: int
    text: str | None = field(default=None, repr=False)
    digest: bytes | None = field(default=None, repr=False)


class Delivery:
    """Carries orders to providers."""

    def __init__(self, parts: Components) -> None:
        self._parts = parts
        self.planner = Planner(parts.policy, parts.keyring)
        self._tokens = TokenCache(parts.ticks)

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
        again: bool,
        client: ClientFacts,
        user_token: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verification | Denied | Undelivered:
        """Pass the order to the drivers in turn, until one accepts it or the result is unclear.

        Return the record with the receipt attached; the store's refusal to attach it (closed
        meanwhile, or the line is taken); or why no driver carried it. `again` marks a resend. `client` is
        the request, whose page the last line of an SMS names.
        `user_token` and `options` are for drivers that accept them; a resend through the same driver
        keeps the options of the last order.
        """
        record, channel = admitted.record, admitted.channel
        undelivered = Undelivered(Cause.SERVICE, refused=True)
        deadline = self._parts.ticks() + WHOLE_START
        for driver in admitted.drivers:
            if self._parts.ticks() >= deadline:
                break
            code = self._code(record, channel, driver, again=again, long=admitted.long)
            order = self._order(record, channel, driver, code, client, user_token)
            own = _options_for(driver, record, options or {}, again=again)
            if own != order.options:
                order = replace(order, options=own)
            try:
                same_order = again and record.driver == driver.name and record.channel_of_code is channel
                if same_order and record.reference and isinstance(driver, Retries):
                    receipt = await self.converse(driver.retry(order, record.reference), driver, deadline)
                else:
                    receipt = await self.converse(driver.start(order), driver, deadline)
            except ProviderError as error:
                log.warning("%s did not accept an order by %s: %s", driver.name, channel.label, error)
                if error.trouble is FailureKind.BAD_NUMBER:
                    undelivered = replace(undelivered, cause=Cause.NUMBER)
                    break  # another provider would charge for the same wrong number
                continue
            except UnclearError as error:
                log.warning("the result of an order to %s by %s is unclear: %s", driver.name, channel.label, error)
                if code.plan.code_source in (CodeSource.PROVIDER, CodeSource.NONE):
                    undelivered = replace(undelivered, refused=False)
                    break  # the order can no longer be verified
                receipt = Receipt(reference=error.reference)
                return await self._attach(record, channel, driver, code, receipt, Status.PENDING, shown)
            record_receipt(receipt)
            if not _proves(receipt, code.plan.code_source):
                label = channel.label
                log.warning("%s accepted an order by %s but returned nothing to verify it with", driver.name, label)
                undelivered = replace(undelivered, refused=False)
                break
            return await self._attach(record, channel, driver, code, receipt, Status.SENT, shown)
        return undelivered

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
            request = next(exchange)
            while True:
                seconds = min(answer_seconds, deadline - self._parts.ticks())
                try:
                    if seconds <= 0:
                        raise UnclearError("the time limit of the whole order has expired")
                    response = await self._sent(request, driver, seconds)
                except (ProviderError, UnclearError) as error:
                    request = exchange.throw(error)
                else:
                    request = exchange.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _sent(
        self, request: HttpRequest | Notice | RecallToken | StoreToken, driver: Starts, seconds: float
    ) -> HttpResponse:
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
        if receipt.code is not None and code.plan.code_source is CodeSource.PROVIDER:
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
        )
        try:
            return await self._parts.store.attach(record.id, attachment, self._parts.now())
        except StoreError as error:
            if not _verifiable_without(record, attachment):
                raise
            # The message is sent and paid for: its code can be used once the store is back.
            log.error("the store could not attach the receipt from %s: %s", driver.name, error)
            return record

    def _code(self, record: Verification, channel: Channel, driver: Starts, *, again: bool, long: bool) -> Code:
        planned, keyring = self.planner.plan(driver, channel, record.purpose, long=long), self._parts.keyring
        repeated = (
            planned.code_source is CodeSource.LOCAL
            and record.code_source is CodeSource.LOCAL
            and record.channel_of_code is channel
            and record.code_length == planned.code_length
            and keyring.has_key(record.key_id)
        )
        first = not again and planned.code_source is record.code_source and planned.code_source is not CodeSource.LOCAL
        key_id = record.key_id if repeated else keyring.key_id
        # By the number of the send: a concurrent order of another channel never gets the same one.
        generation = record.generation if repeated or first else record.sends + 1
        if planned.code_source is not CodeSource.LOCAL or planned.code_length is None:
            return Code(planned, key_id, generation)
        text = self.planner.code(
            driver, key_id, record.id, record.phone, record.purpose, generation, planned.code_length
        )
        # The digest on the record is kept, so that a key rotation in between changes nothing.
        digest = record.code_digest if repeated else keyring.digest(record.id, text)
        return Code(planned, key_id, generation, text, digest)

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


def _proves(receipt: Receipt, code_source: CodeSource) -> bool:
    if code_source is CodeSource.PROVIDER:
        return receipt.code is not None and _RETURNED_CODE.match(receipt.code) is not None
    return code_source is not CodeSource.NONE or receipt.line is not None
