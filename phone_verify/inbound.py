"""Inbound calls: webhooks that report a call, and status queries to the provider."""

from __future__ import annotations

import logging

from .delivery import Delivery
from .drivers.base import Polls, ReadsWebhooks
from .drivers.reading import scrubbed
from .errors import ProviderError, UnclearError
from .model import CallState, CodeSource, DeliveryReport, IncomingCall, Status, Verification, WebhookRequest
from .parts import Components

log = logging.getLogger("phone_verify")


class InboundCalls:
    """Settles verifications by calls that the user makes."""

    def __init__(self, parts: Components, delivery: Delivery) -> None:
        self._parts, self._delivery = parts, delivery

    async def receive(self, driver_name: str, request: WebhookRequest) -> bool:
        """Process a webhook that showed its secret; see `AsyncVerifier.receive`."""
        driver = self._parts.router.drivers().get(driver_name)
        event = driver.read(request) if isinstance(driver, ReadsWebhooks) else None
        if isinstance(event, DeliveryReport):
            # Without its reference, which may be a number as well as a phone's is.
            log.info("%s told how an order fared: %s", driver_name, f"{event.state} {scrubbed(event.said)}".rstrip())
            return False
        if driver is None or event is None or event.caller is None or _repeats(request):
            return False
        tag = self._parts.keyring.tag(event.caller)
        if not isinstance(driver, Polls):
            return await self._parts.store.claim(driver_name, tag, event, self._parts.now()) is not None
        if event.reference is None:
            return False
        record = await self._parts.store.find(driver_name, tag, event.reference, self._parts.now())
        if record is None or not await self._parts.store.may_poll(record.id, None, self._parts.now()):
            return False
        return await self.ask(record)

    def may_ask(self, record: Verification) -> bool:
        driver = self._parts.router.drivers().get(record.driver)
        return record.open and record.holder is CodeSource.NONE and bool(record.reference) and isinstance(driver, Polls)

    async def ask(self, record: Verification) -> bool:
        """Ask the provider about an open claim and settle what it says; True if the call has come."""
        driver = self._parts.router.drivers().get(record.driver)
        if not isinstance(driver, Polls) or record.reference is None:
            return False
        try:
            sighting = await self._delivery.converse(driver.poll(record.reference), driver)
        except (ProviderError, UnclearError) as error:
            log.warning("%s could not say whether a call came: %s", driver.name, error)
            return False
        if sighting.state is CallState.CALLED and sighting.caller == record.phone:
            # By `claim`, not `settle`: a resend may have moved the claim to another line meanwhile.
            event = IncomingCall(record.reference, None, sighting.caller)
            return await self._parts.store.claim(driver.name, record.tag, event, self._parts.now()) is not None
        if sighting.state is CallState.EXPIRED:
            await self._parts.store.settle(record.id, Status.EXPIRED, self._parts.now(), record.generation)
        return False


def _repeats(request: WebhookRequest) -> bool:
    """Whether a webhook says something twice, even what its driver does not read: nobody knows what was meant."""
    names = [name for name, _ in request.parameters]
    return len(set(names)) < len(names)
