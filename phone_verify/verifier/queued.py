"""Orders that a worker sends: accepted by a request, kept in a queue, and sent without a code in the queue."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ..before_send import ClientFacts
from ..delivery import Admitted, Undelivered
from ..drivers.base import Starts
from ..errors import UnusableServiceError
from ..limits import Denied
from ..model import Cause, Channel, Outcome, Reason, Status, Verification, with_changes
from ..planning import Code
from ..work.sends import SEND_LEASE, LeaseLostError, QueuedSend, SendQueue, SendState, TakenSend
from .admission import Sends
from .refunds import Refund
from .reporting import operation
from .server_code import ServerOperations

log = logging.getLogger("phone_verify")

#: An order that waited is not sent if its verification has less left: a message takes a few seconds to arrive, and
#: reading and entering its code a few more.
_LEAST_LEFT = timedelta(seconds=10)


class QueuedOperations(ServerOperations):
    """Sends orders, in the request or by a worker."""

    async def _carry(
        self,
        admitted: Admitted,
        shown: Sequence[bytes],
        client: ClientFacts,
        counted: Sends,
        *,
        first_code: Code | None = None,
        again: bool = False,
        user_token: str | None = None,
        options: Mapping[str, str] | None = None,
        access_key: str = "",
        waits: bool = True,
    ) -> Verification | Denied | Undelivered:
        """Send an order, or leave it to a worker if it may wait, and return the record as it is.

        A line to call is part of the response, and a user's token and options of the order must not be
        kept: these orders, and those to test numbers, do not wait. Nor does an order that uses up a proof: a
        refused one must not. What an order that waits may cost is reserved before it is accepted, so that the
        worker sends it without asking for caps and balances.
        """
        record, sends, drivers = admitted.record, self._parts.sends, self.router.drivers()
        known = all(drivers.get(driver.name) is driver for driver in admitted.drivers)
        carried: Verification | Denied | Undelivered = record
        if sends is None or not waits or admitted.channel is Channel.INBOUND_CALL or user_token or options or not known:
            carried = await self._delivery.carry(
                admitted,
                shown,
                first_code=first_code,
                again=again,
                client=client,
                user_token=user_token,
                options=options,
                access_key=access_key,
            )
            if sends is None or not again or isinstance(carried, Verification):
                return carried
        elif refusal := await self._reserve(admitted, client, access_key, again=again):
            carried = Undelivered(None, refused=True, reason=refusal)
            if not again:
                return carried
        order = QueuedSend(
            record.id,
            record.sends,
            record.service,
            admitted.channel,
            [driver.name for driver in admitted.drivers],
            long=admitted.long,
            access_key=access_key,
            page_host=client.page_host,
            top_host=client.top_host,
            counted=counted.refund(record).written(),
        )
        if not isinstance(carried, Verification):
            # A worker may still be sending an earlier order: the last one to fail ends the verification.
            cause = carried.cause if isinstance(carried, Undelivered) else None
            await sends.put(order, self._time(), cause or Cause.SERVICE)
            await self._fail_unless_verifiable(record.id, record.sends)
            return carried
        for superseded in await sends.put(order, self._time()):
            await self._unsent(record.id, superseded, record)
        return record

    async def _reserve(self, admitted: Admitted, client: ClientFacts, access_key: str, *, again: bool) -> Reason | None:
        """Write the attempt by the first driver to the ledger, unsent; return why the order must not be sent."""
        ledger = self._parts.ledger
        if ledger is None:
            return None
        text = self._delivery.first_text(admitted, client, again=again)
        begun = await ledger.begin(
            admitted.record, admitted.channel, admitted.drivers[0].name, text=text, access_key=access_key, waits=True
        )
        return begun if isinstance(begun, Reason) else None

    async def _unsent(self, id: str, send: int, record: Verification | None) -> None:
        if self._parts.ledger is not None:
            await self._parts.ledger.unsent(id, send, record)

    async def send_queued(self, only: tuple[str, int] | None = None) -> bool:
        """Send the order that waits longest, or this one of a verification and send number, for a worker.

        Return whether one was due. Several workers may call it at the same time: no order is sent twice, and
        that of a worker that died is sent after a minute, unless a provider may have been asked that has
        no idempotency key. An order whose service has mistakes is due again after a minute. One whose verification
        ends in less than ten seconds is due again then, and dropped. Raises `StoreError`; the order is then due
        again after a minute.
        """
        sends = self._parts.sends
        taken = await sends.take(SEND_LEASE, self._time(), only) if sends is not None else None
        if sends is None or taken is None:
            return False
        order = taken.order
        record = await self._store.get(order.verification, self._now())
        wanted = record is not None and await _wants(record, order.send, sends)
        if record is not None and wanted and not taken.asked and (left := _left(record)) < _LEAST_LEFT:
            # Not dropped now: the end that is then reported would be too early.
            await sends.postpone(taken, self._time() + left)
            return True
        try:
            flows = await self.services.find(record.service) if record is not None else None
        except UnusableServiceError as error:
            log.warning("an order waits: %s", error)
            if wanted:
                await sends.postpone(taken, self._time() + SEND_LEASE)
            else:
                # Its attempt stays open: the job `settle` reports its end.
                await sends.finish(taken, SendState.DROPPED, None)
            return True
        with suppress(LeaseLostError):  # the worker that has the order now writes what became of it
            # Without its service, which was deleted, it would be sent in the name and at the cost of this one.
            if record is None or flows is None or not wanted:
                attached = record is not None and record.open and record.acked_send == order.send
                if not attached:
                    await (flows or self)._unsent(order.verification, order.send, record)
                await sends.finish(taken, SendState.DONE if attached else SendState.DROPPED, None)
                return True
            await flows._sent(record, sends, taken, access_key=order.access_key)
        return True

    async def _keys_are_usable(self, *access_keys: str) -> bool:
        """Return whether orders may be sent for these access keys; the empty id stands for none."""
        keys, needed = self._parts.keys, {key for key in access_keys if key}
        return not needed or (keys is not None and all([await keys.is_usable(key) for key in needed]))

    @operation("send")
    async def _sent(self, record: Verification, sends: SendQueue, taken: TakenSend, *, access_key: str = "") -> Outcome:
        """Send an order of the queue, and write what became of it."""
        record = with_changes(record, sends=taken.order.send)
        known = self.router.drivers()
        if not taken.asked:
            taken = self._responding_first(taken)
        order = taken.order
        drivers = [known.get(name) for name in order.drivers]
        again, asked = order.send > 1, taken.asked
        last = drivers[asked - 1] if asked else None
        admitted = Admitted(record, order.channel, [], long=order.long)
        carried: Verification | Denied | Undelivered
        usable = await self._keys_are_usable(record.request.access_key, access_key)
        if asked and not _carries(last, order.channel):
            # It was asked before the settings changed, and its message may be on its way.
            carried = Undelivered(Cause.SERVICE, refused=False)
        elif last is not None and not (usable and last.abilities[order.channel].once_by_key):
            carried = await self._delivery.assume_asked(admitted, last, again=again)
        elif not usable:
            carried = Undelivered(None, refused=True, reason=Reason.SEND_REFUSED)
        else:
            left = [driver for driver in drivers[max(asked - 1, 0) :] if _carries(driver, order.channel)]

            async def before(name: str) -> None:
                await sends.mark(taken, order.drivers.index(name) + 1, self._time() + SEND_LEASE)

            carried = await self._delivery.carry(
                replace(admitted, drivers=[driver for driver in left if driver is not None]),
                (),
                again=again,
                client=ClientFacts(page_host=order.page_host, top_host=order.top_host),
                access_key=access_key,
                before=before,
            )
        if isinstance(carried, Undelivered) and carried.reason is Reason.CLOSED:
            await sends.finish(taken, SendState.DROPPED, None)
            return Outcome(Reason.CLOSED, record)
        if isinstance(carried, Undelivered):
            return await self._failed(record, sends, taken, carried)
        await sends.finish(taken, SendState.DONE, None)
        if isinstance(carried, Denied):
            return Outcome(Reason.CLOSED, carried.record)
        return Outcome(verification=carried)

    def _responding_first(self, taken: TakenSend) -> TakenSend:
        """Return an order of which no driver was asked, with the drivers of providers that do not respond last.

        Only the processes that send know which those are.
        """
        order, known = taken.order, self.router.drivers()
        able = [known[name] for name in order.drivers if _carries(known.get(name), order.channel)]
        names = [driver.name for driver in self.router.responding_first(able)]
        names += [name for name in order.drivers if name not in names]
        return replace(taken, order=replace(order, drivers=names))

    async def _failed(
        self, record: Verification, sends: SendQueue, taken: TakenSend, undelivered: Undelivered
    ) -> Outcome:
        """Write that no provider accepted an order of the queue, and give it back to its quotas."""
        order = taken.order
        ends = await self._fail_unless_verifiable(record.id, order.send)
        await self._unsent(record.id, order.send, record)
        # Only the worker that finishes it, and only once: if it dies then, the order stays counted.
        if await sends.finish(taken, SendState.FAILED, undelivered.cause or Cause.SERVICE):
            if not ends:
                # Another worker may have been sending another order of it: the last one to finish ends it.
                await self._fail_unless_verifiable(record.id, order.send)
            if undelivered.refused and order.counted:
                refused = undelivered.reason is Reason.DELIVERY_FAILED
                refund = Refund.read(order.counted)
                await refund.give_back(record.id, self._store, self._now(), refused=refused)
        now = await self._store.get(record.id, self._now()) or record
        return Outcome(undelivered.reason, now, cause=undelivered.cause)

    async def _fail_unless_verifiable(self, id: str, send: int) -> bool:
        """End a verification after this send of it has failed, if no other can verify it; return whether it ended.

        Orders that are sent in the request end theirs themselves.
        """
        sends = self._parts.sends
        if sends is None:
            return False
        # Before the record, which then has the receipt of an order that another worker finishes meanwhile.
        others = set(await sends.waiting_of(id)) - {send}
        record = await self._store.get(id, self._now())
        if record is None or record.state is not Status.PENDING or record.acked_send or record.claim_send or others:
            return False
        if record.sends != send and await sends.outcome(id, record.sends) is None:
            return False  # a request is about to send the latest order, or to leave it to a worker
        if await self._store.settle(id, Status.FAILED, self._now()):
            await self._delivery.failed(record)
        return True

    async def _with_cause(self, outcome: Outcome) -> Outcome:
        """Add why the last order was not sent, if a worker could not."""
        record, sends = outcome.verification, self._parts.sends
        if sends is None or record is None or record.acked_send >= record.sends:
            return outcome
        if record.status is not Status.FAILED and not record.open:
            return outcome
        found = await sends.outcome(record.id, record.sends)
        return replace(outcome, cause=found[1]) if found is not None and found[0] is SendState.FAILED else outcome

    def _time(self) -> datetime:
        return self._now() or datetime.now(UTC)


async def _wants(record: Verification, send: int, sends: SendQueue) -> bool:
    """Return whether this order is still to be sent: nothing is attached since, and no later order waits."""
    if not record.open or max(record.acked_send, record.claim_send) >= send:
        return False
    return record.sends == send or max(await sends.waiting_of(record.id), default=send) <= send


def _left(record: Verification) -> timedelta:
    return record.expires_at - record.read_at


def _carries(driver: Starts | None, channel: Channel) -> bool:
    return driver is not None and channel in driver.abilities
