"""The operations for server code: unlike those of a client, they require no secret."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self, cast

from ..delivery import Delivery
from ..drivers.base import ReportsDelivery, Starts
from ..errors import ProviderError, UnclearError
from ..limits import Denied, Quota
from ..model import Channel, DeliveryReport, Status, is_id
from ..parts import Components
from ..phone import PhoneNumber
from ..routing.explanation import ChannelRoute, explain
from .accounting import LedgerOperations
from .devices import DeviceOperations
from .notices import Notices
from .repeats import Repeats
from .services import ServiceAccess
from .token_checks import TokenChecks

if TYPE_CHECKING:
    from ..fraud.guard import FraudExplanation

log = logging.getLogger("phone_verify")

#: Retention of the count of a user's ended sessions: longer than any session or cookie lives.
SESSIONS_KEPT = timedelta(days=3650)
#: The largest number that the counter column of every store can hold.
_MOST_GENERATIONS = 2**31 - 1


class ServerOperations(DeviceOperations, LedgerOperations):
    """Looks up, notifies, unlocks, cancels and deletes, on behalf of the site."""

    def __init__(self, parts: Components) -> None:
        super().__init__(parts)
        self.policy, self.keyring, self.router = parts.policy, parts.keyring, parts.router
        self._store, self._parts, self._delivery = parts.store, parts, Delivery(parts)
        #: Requests with an idempotency key.
        self.repeats = Repeats(parts)
        self._token_checks, self._notices = TokenChecks(parts), Notices(parts, self._delivery)
        self.events, self.ticks = parts.events, parts.ticks
        #: The access keys of other programs; None if the site has none.
        self.keys = parts.keys
        #: The services of the site.
        self.services: ServiceAccess[Self] = ServiceAccess(cast("Self", self), parts)

    @property
    def channels(self) -> Sequence[Channel]:
        """The channels in use, in order of preference."""
        return self.router.channels

    @property
    def drivers(self) -> Mapping[str, Starts]:
        """All configured drivers by name."""
        return self.router.drivers()

    @property
    def service(self) -> str:
        """The name of the service whose verifications these are."""
        return self._parts.service

    async def for_service(self, name: str) -> Self:
        """Return the verifier of the service with this name as it is now; do not keep it: services change.

        Raises `LookupError` if the site has no such service, `StoreError` if they cannot be read.
        """
        return await self.services.named(name)

    @property
    def has_before_send(self) -> bool:
        """Whether the site decides about each order before anything is sent."""
        return self._parts.before_send.is_set

    def webhook_url(self, driver_name: str, secret: str) -> str | None:
        """Return the public URL of this driver's webhooks with this secret; None if the site has no public URL."""
        return self._parts.webhook_url(driver_name, secret)

    def tag(self, phone: PhoneNumber) -> str:
        """Return the keyed digest under which a phone is counted and looked up.

        Verification ids begin with it.
        """
        return self.keyring.tag(phone)

    async def delivery(self, id: str) -> DeliveryReport | None:
        """Query the provider for the delivery status of the code's last order; None if it is unknown.

        It is unknown for inbound calls, for drivers without status queries, and if the query fails,
        which is logged. For server code: the secret is not required. The result proves nothing and
        changes nothing. Raises `StoreError`.
        """
        record = await self._store.get(id, self._now()) if is_id(id) else None
        if record is None or record.reference is None or not record.has_code:
            return None  # an inbound call involves no message from us
        driver = self.router.drivers().get(record.driver)
        if not isinstance(driver, ReportsDelivery):
            return None
        try:
            report = await self._delivery.converse(driver.delivery(record.reference), driver)
        except (ProviderError, UnclearError) as error:
            log.warning("%s could not report the delivery status of an order: %s", driver.name, error)
            return None
        await self._delivery.reported(driver.name, replace(report, reference=record.reference))
        return report

    async def held_by(self, client: str, phone: PhoneNumber, purposes: Collection[str]) -> tuple[str, str] | None:
        """Return id and secret of the newest verification that an OAuth client started for this phone.

        Only one of these purposes that has not expired counts, also if it has ended otherwise: an
        earlier one would give further attempts. None without one. Raises `StoreError`.
        """
        tag = self.keyring.tag(phone)
        found = [record for record in await self._store.recent(tag, self._now()) if record.purpose in purposes]
        for record in sorted(found, key=lambda record: record.created_at, reverse=True):
            for secret in self.keyring.client_secrets(client, record.id):
                if hmac.compare_digest(record.binding, self._parts.binding(secret)):
                    return record.id, secret
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

    async def note_token_check(self, token: str, user_id: str, phone: PhoneNumber) -> None:
        """Note that the user who presents this token of the site has just verified this number.

        It counts for 15 minutes, and for this token only. Raises `StoreError`.
        """
        await self._token_checks.note(token, user_id, phone)

    async def has_token_check(self, token: str, user_id: str, phones: Collection[PhoneNumber]) -> bool:
        """Return whether `note_token_check` was called for one of these numbers within 15 minutes.

        Raises `StoreError`.
        """
        return await self._token_checks.has(token, user_id, phones)

    async def cancel_by_id(self, id: str) -> bool:
        """Cancel an open verification by its id, without a secret; return whether it was open.

        For server code, like an admin action. Raises `StoreError`.
        """
        found = await self._store.get(id, self._now()) if is_id(id) else None
        if found is None or not await self._store.settle(id, Status.CANCELLED, self._now()):
            return False
        await self._delivery.cancelled(found)
        return True

    async def purge(self, limit: int = 1000) -> int:
        """Delete at most `limit` expired records and counters; return how many were deleted.

        Call it repeatedly, for example from a scheduled job, until it returns 0. Raises
        `StoreError`.
        """
        return await self._store.purge(limit, self._now())

    async def erase(self, phone: PhoneNumber) -> int:
        """Delete everything that the store keeps about a phone, counters included.

        In the ledger the amounts stay, without the phone. Return the number of verifications deleted.
        Raises `StoreError`.
        """
        tag = self.keyring.tag(phone)
        erased = await self._store.erase(tag, self._now())
        if self._parts.ledger is not None:
            await self._parts.ledger.ledger.erase(tag)
        if self._parts.sends is not None:
            await self._parts.sends.erase(tag)
        return erased

    async def notify(self, phone: PhoneNumber, text: str) -> bool:
        """Send a text without a code by SMS; return whether a provider accepted it.

        It counts towards the quotas of the number's prefix and of the site, and towards the caps and the
        balance of the service. Never raises: errors are logged.
        """
        return await self._notices.send(phone.current, text)

    async def explain_routes(self, phone: PhoneNumber) -> Sequence[ChannelRoute]:
        """Return by channel which drivers may carry orders to this phone, in which shares, and why.

        Nothing is sent. Reads the conversions of rules that use them. Raises `StoreError`.
        """
        return await explain(self.router, self._store, phone, self._now())

    async def explain_fraud(self, phone: PhoneNumber) -> FraudExplanation | None:
        """Return how the fraud guard weighs a visitor's order to this phone now; None if the site has no guard.

        Nothing is sent, and nothing counted. Raises `StoreError`.
        """
        guard = self._parts.fraud
        return None if guard is None else await guard.explain(phone, self._store, self._now())

    async def unlock(self, phone: PhoneNumber) -> bool:
        """Reset the failure counters of a phone and their lockouts, also those of trusted devices.

        Return whether there were any. For the site's staff and support, after they have identified
        the person who asks for it. Raises `StoreError`.
        """
        return await self._store.unlock(self.keyring.tag(phone), self._now())

    def _now(self) -> datetime | None:
        return self._parts.now()
