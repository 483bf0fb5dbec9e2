"""Inbound calls: webhooks that report a call, and status queries to the provider."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from .delivery import Delivery
from .drivers.base import AnswersWebhooks, Event, NamesParameters, OrderQuestion, Polls, ReadsWebhooks, Starts
from .drivers.reading import scrubbed
from .errors import ProviderError, StoreError, UnclearError, UnusableServiceError, place_of
from .events.record import record_receipt
from .exchange import Rejected, WebhookReply, WebhookRequest, WebhookResult
from .lines import claim_of, proven_by
from .model import CallState, Channel, DeliveryReport, IncomingCall, Receipt, Status, Verification, is_id
from .parts import Components
from .phone import Attestation

log = logging.getLogger("phone_verify")

#: A misconfigured webhook repeats with every call.
_SECONDS_PER_WARNING = 3600.0
_MOST_NAMES, _LONGEST_NAME = 20, 40


class InboundCalls:
    """Settles verifications by calls that the user makes."""

    def __init__(self, parts: Components, delivery: Delivery) -> None:
        self._parts, self._delivery = parts, delivery
        self._warned_at: dict[tuple[str, str], float] = {}

    async def receive(self, driver_name: str, request: WebhookRequest) -> WebhookResult:
        """Process a webhook whose secret was valid; see `AsyncVerifier.receive`."""
        driver = self._parts.router.drivers().get(driver_name)
        if not isinstance(driver, ReadsWebhooks):
            return WebhookResult()
        answer = driver.webhook_answer if isinstance(driver, AnswersWebhooks) else "OK"
        done = WebhookResult(text=answer) if isinstance(answer, str) else _answered(answer)
        received_at = self._parts.now() or datetime.now(UTC)
        try:
            parsed = driver.parse_webhook(replace(request, received_at=received_at))
        except Exception as error:  # noqa: BLE001 - its message can contain the number
            log.error("%s could not parse a webhook: %s%s", driver_name, type(error).__name__, place_of(error))
            return done
        match parsed:
            case Rejected():
                if self._may_warn(driver_name, "signature"):
                    log.warning("a webhook for %s was rejected: %s", driver_name, parsed.reason)
                return replace(done, rejected=True)
            case OrderQuestion():
                return replace(done, reply=await self._reply(driver_name, parsed))
            case WebhookReply():
                return _answered(parsed)
            case None:
                if isinstance(driver, NamesParameters):
                    self._warn_of_parameters(driver, request)
                return done
        events = parsed if isinstance(parsed, tuple) else (parsed,)
        try:
            unattested = [
                event
                for event in events
                if isinstance(event, IncomingCall) and not await self._may_prove(driver, event)
            ]
            if unattested and self._may_warn(driver.name, "attestation"):
                attested = unattested[0].attestation or "none"
                log.warning("%s reported a call whose attestation (%s) is not sufficient", driver.name, attested)
            settled = [await self._settles(driver, event, request) for event in events if event not in unattested]
        except StoreError as error:
            if not isinstance(answer, WebhookReply):
                raise
            # The text rejects the call. An error makes the provider answer it, which costs.
            log.error("the store did not answer; a call that %s reported verifies nothing: %s", driver_name, error)
            return replace(done, unavailable=True)
        return replace(done, verified=any(settled), unattested=bool(unattested))

    async def _settles(self, driver: Starts, event: Event, request: WebhookRequest) -> bool:
        """Return whether this event of a webhook verifies a call; a delivery report goes to log and ledger."""
        if isinstance(event, DeliveryReport):
            record_receipt(Receipt(parts=event.parts, price=event.price, currency=event.currency))
            # The reference is left out: it may be a phone number.
            said = f"{event.state} {scrubbed(event.said)}".rstrip()
            log.info("%s reported the delivery status of an order: %s", driver.name, said)
            await self._delivery.reported(driver.name, event)
            return False
        if request.repeats_a_name:
            return False
        if event.caller is None:
            return await self._confirms(driver, event)
        return await self._proves(driver, event, self._parts.keyring.tag(event.caller))

    async def _reply(self, driver_name: str, question: OrderQuestion) -> Mapping[str, object]:
        """Allow an order that this library is sending by this driver, and deny any other."""
        id, _, send = question.key.rpartition(".")
        record = await self._parts.store.get(id, self._parts.now()) if is_id(id) else None
        if record is None or not record.open or record.phone != question.phone or str(record.sends) != send:
            log.warning("%s asked about an order that is not one of this site, or is over", driver_name)
            return question.deny
        return question.allow

    async def _proves(self, driver: Starts, event: IncomingCall, tag: str) -> bool:
        """Settle the claim that this call proves, after a query if the provider can be queried."""
        if not isinstance(driver, Polls):
            if await self._claims(driver, tag, event):
                return True
            await self._warn_of_driver(driver, tag, event)
            await self._note_other_caller(driver, event)
            return False
        if event.reference is None:
            return False
        record = await self._parts.store.find(driver.name, tag, event.reference, self._parts.now())
        if record is None:
            await self._warn_of_driver(driver, tag, event)
            return False
        if not await self._parts.store.may_poll(record.id, None, self._parts.now()):
            return False
        return await self.query(record)

    async def _confirms(self, driver: Starts, event: IncomingCall) -> bool:
        """Settle the claim that has the reference of a call without a caller, if the provider confirms it."""
        ability = driver.abilities.get(Channel.INBOUND_CALL)
        if ability is None or not ability.by_reference or event.reference is None:
            return False
        record = await self._delivery.references.find(driver.name, event.reference)
        if record is None or not await self._parts.store.may_poll(record.id, None, self._parts.now()):
            return False
        return await self.query(record)

    async def _may_prove(self, driver: Starts, event: IncomingCall) -> bool:
        """Return whether the attestation of a call is sufficient for the claims that it would verify."""
        if self._parts.find_service is None:
            return _meets(event, self._parts.policy.caller_attestation)
        if event.caller is None:
            return True  # it proves nothing
        # No other claim takes the place of one of these until the store compares: a line rests between two.
        recent = await self._parts.store.recent(self._parts.keyring.tag(event.caller), self._parts.now())
        claims = [record for record in recent if _is_claim_of(record, driver, event)]
        return all([await self._is_attested(record, event) for record in claims])

    async def _is_attested(self, record: Verification, event: IncomingCall) -> bool:
        """Return whether a call has the attestation that the record's service requires, or a stronger one."""
        if self._parts.find_service is None or record.service == self._parts.service:
            return _meets(event, self._parts.policy.caller_attestation)
        try:
            verifier = await self._parts.find_service(record.service)
        except UnusableServiceError:
            return False  # what it requires is not known, and other events of the webhook do not wait for it
        return verifier is not None and _meets(event, verifier.policy.caller_attestation)

    async def _claims(self, driver: Starts, tag: str, event: IncomingCall) -> bool:
        """Verify the open claim that this call proves; return whether there was one."""
        claimed = await self._parts.store.claim(driver.name, tag, event, self._parts.now())
        if claimed is not None:
            await self._delivery.verified(claimed)
        return claimed is not None

    async def _note_other_caller(self, driver: Starts, event: IncomingCall) -> None:
        """Note on the one claim of this line that another phone called.

        Of several claims it is unknown which one the caller meant, so none gets the note.
        """
        if event.line is None:
            return
        record = await self._parts.store.claimant(driver.name, event.line, self._parts.now())
        if record is not None and record.phone != event.caller:
            await self._parts.store.note_other_caller(record.id, self._parts.now())

    def _warn_of_parameters(self, driver: NamesParameters, request: WebhookRequest) -> None:
        """Warn if a webhook lacks a required parameter. Values are never logged."""
        present = dict.fromkeys(name for name, _ in request.parameters)
        lacking = [names for names in driver.webhook_parameters if present.keys().isdisjoint(names)]
        if lacking and self._may_warn(driver.name, "parameters"):
            found = ", ".join(scrubbed(name)[:_LONGEST_NAME] for name in list(present)[:_MOST_NAMES]) or "none"
            log.warning(
                "a webhook for %s was ignored: it has no parameter %s; parameters: %s",
                driver.name,
                " and none of ".join(" or ".join(names) for names in lacking),
                found,
            )

    async def _warn_of_driver(self, driver: Starts, tag: str, event: IncomingCall) -> None:
        """Warn if a call that matched no claim was reported to the wrong driver of its scheme."""
        carriers = self._parts.router.carriers(Channel.INBOUND_CALL)
        others = [other for other in carriers if type(other) is type(driver) and other is not driver]
        if driver in carriers:
            # Both receive calls, so only a claim of the other shows that this one is its call.
            others = [other for other in others if await self._awaits(other, tag, event)]
        if others and self._may_warn(driver.name, "driver"):
            log.warning(
                "a call was reported to %s, but %s carries incoming calls: if both are one account, use one DSN text "
                "for both, or set the webhook URL of %s in the provider's account",
                driver.name,
                others[0].name,
                others[0].name,
            )

    async def _awaits(self, driver: Starts, tag: str, event: IncomingCall) -> bool:
        if event.reference is None:
            return False
        return await self._parts.store.find(driver.name, tag, event.reference, self._parts.now()) is not None

    def _may_warn(self, driver_name: str, kind: str) -> bool:
        """Return whether a warning of this kind is due: once an hour for each driver and process."""
        key, now = (driver_name, kind), self._parts.ticks()
        if now - self._warned_at.get(key, float("-inf")) < _SECONDS_PER_WARNING:
            return False
        self._warned_at[key] = now
        return True

    def may_query(self, record: Verification) -> bool:
        """Return whether the provider of this open claim can be queried about the call."""
        claim = claim_of(record)
        if claim is None or not record.open or not claim.reference:
            return False
        return isinstance(self._parts.router.drivers().get(claim.driver), Polls)

    async def query(self, record: Verification) -> bool:
        """Query the provider about an open claim and settle it by the response.

        Return True if the call has arrived.
        """
        claim = claim_of(record)
        driver = self._parts.router.drivers().get(claim.driver) if claim is not None else None
        if claim is None or claim.reference is None or not isinstance(driver, Polls):
            return False
        try:
            sighting = await self._delivery.converse(driver.poll(claim.reference), driver)
        except (ProviderError, UnclearError) as error:
            log.warning("%s could not report whether a call arrived: %s", driver.name, error)
            return False
        called = sighting.state is CallState.CALLED and sighting.caller == record.phone
        if called or sighting.state is CallState.CONFIRMED:
            # By `claim`, not `settle`: a resend may have moved the claim to another line meanwhile.
            event = IncomingCall(claim.reference, None, record.phone)
            return await self._is_attested(record, event) and await self._claims(driver, record.tag, event)
        if sighting.state is CallState.CALLED and sighting.caller is not None:
            await self._parts.store.note_other_caller(record.id, self._parts.now())
        if sighting.state is CallState.EXPIRED:
            # Closes nothing if the claim was replaced or a code is live.
            await self._parts.store.settle(record.id, Status.EXPIRED, self._parts.now(), record.generation)
        return False


def _meets(event: IncomingCall, least: Attestation | None) -> bool:
    return least is None or (event.attestation is not None and event.attestation.meets(least))


def _is_claim_of(record: Verification, driver: Starts, event: IncomingCall) -> bool:
    """Return whether this call would verify the record, directly or after a query of the provider."""
    if not isinstance(driver, Polls):
        return proven_by(record, driver.name, event)
    claim = claim_of(record)
    return claim is not None and (claim.driver, claim.reference) == (driver.name, event.reference)


def _answered(reply: WebhookReply) -> WebhookResult:
    return WebhookResult(text=reply.text, content_type=reply.content_type)
