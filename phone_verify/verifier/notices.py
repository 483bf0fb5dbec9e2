"""Texts without a code: sent by SMS, counted in the quotas, and accounted for in the ledger."""

from __future__ import annotations

import logging

from ..codes import new_id
from ..delivery import Delivery
from ..drivers.base import SendsNotices, Starts
from ..errors import ProviderError, StoreError, UnclearError
from ..exchange import Exchange
from ..ledger.values import Attempt
from ..limits import Denied
from ..model import Channel, Receipt
from ..parts import Components
from ..phone import PhoneNumber
from .quotas import notice_quotas

log = logging.getLogger("phone_verify")


class Notices:
    """Sends notices by the first SMS driver that carries texts without a code."""

    def __init__(self, parts: Components, delivery: Delivery) -> None:
        self._parts, self._delivery = parts, delivery

    async def send(self, phone: PhoneNumber, text: str) -> bool:
        """See `AsyncVerifier.notify`."""
        parts = self._parts
        driver = next((d for d in parts.router.route(Channel.SMS, phone) if isinstance(d, SendsNotices)), None)
        if driver is None:
            log.warning("a notice was not sent: no SMS driver carries texts without a code to this number")
            return False
        try:
            quotas = notice_quotas(parts.policy, parts.keyring, phone)
            if isinstance(await parts.store.count(quotas, parts.now()), Denied):
                log.warning("a notice was not sent: the quota of sends is used up")
                return False
        except StoreError as error:
            log.warning("a notice was not sent: %s", error)
            return False
        attempt: Attempt | None = None
        if parts.ledger is not None:
            tag = parts.keyring.tag(phone)
            begun = await parts.ledger.begin_notice(new_id(tag, parts.random_bytes), tag, phone, driver.name, text)
            if not isinstance(begun, Attempt):
                return False  # which is logged
            attempt = begun
        return await self._sent(driver.notice(phone, text), driver, attempt)

    async def _sent(self, notice: Exchange[None], driver: Starts, attempt: Attempt | None) -> bool:
        ledger, asked_at = self._parts.ledger, self._parts.ticks()
        failure: ProviderError | UnclearError | None = None
        try:
            await self._delivery.converse(notice, driver)
        except (ProviderError, UnclearError) as error:
            log.warning("%s did not send a notice: %s", driver.name, error)
            failure = error
        if ledger is None or attempt is None:
            return failure is None
        seconds = self._parts.ticks() - asked_at
        if failure is None:
            await ledger.sent(attempt, Receipt(), seconds)
        elif isinstance(failure, ProviderError):
            await ledger.refused(attempt, failure, seconds)
        else:
            await ledger.unclear(attempt, failure.reference, seconds)
        await ledger.notice_ended(attempt)
        return failure is None
