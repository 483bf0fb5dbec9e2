"""The Redis stores: each method is one script, run on the server that holds the phone."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from redis.exceptions import NoPermissionError, NoScriptError, ReadOnlyError

from ...codes import TAG_LENGTH
from ...conversions import Conversion
from ...errors import StoreError
from ...lifecycle import Attachment, AttemptResult, Opening, ResolvedCheck, Spent
from ...limits import Answering, Counted, Denied, Limits, Quota
from ...lines import MOST_CLAIMANTS, claimant
from ...model import Channel, CodeSource, IncomingCall, Status, Verification
from ...phone import PhoneNumber
from ..base import RETENTION, Place, Reservation, checked_keep
from .address import Address, Kind, read_address
from .clients import ERRORS, Blocking, OfLoops, blocking, explained
from .records import (
    VALUES,
    digest,
    failures_of,
    flag,
    micros,
    microseconds,
    number,
    opening_values,
    optional,
    phone_quotas,
    plain,
    receipt_values,
    record_of,
    shared_quotas,
    time_of,
    was_plain,
)
from .replies import CHANGES, Reply
from .scripts import Script, scripts

log = logging.getLogger("phone_verify")

#: Distinguishes each call of this process from every other.
_calls = count()

#: The key that holds the site-wide tally.
_TALLY = "tally"
_ANSWERS = {answer.value: answer for answer in AttemptResult}

_NO_INFO = (
    "The Redis user may not run INFO, so whether Redis drops counters when its memory is full is unknown.",
    "Give that user +info, or make sure that redis.conf has: maxmemory-policy noeviction",
)


class _Verbs:
    """The methods, over any client that sends commands."""

    def __init__(self, address: Address, keep: timedelta) -> None:
        self._address = address
        self._keep = str(microseconds(checked_keep(keep)))
        self._scripts = scripts()
        self._examined = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._address.kind.value}>"

    async def examine(self) -> Sequence[tuple[str, str]]:
        """Return what is wrong with the server's configuration, and how to fix it; the first step
        logs it unless this was called.
        """
        try:
            servers = await self._memory()
        except NoPermissionError:
            self._examined = True
            return [_NO_INFO]
        except ERRORS as error:
            raise StoreError(explained(error)) from None
        self._examined = True
        policies = {str(server["maxmemory_policy"]) for server in servers if server.get("maxmemory")}
        return [
            (
                f"Redis may drop counters when its memory is full (maxmemory-policy {policy}), which resets limits.",
                "Set in redis.conf, and now by CONFIG SET: maxmemory-policy noeviction",
            )
            for policy in sorted(policies - {"noeviction"})
        ]

    async def count(self, quotas: Sequence[Quota], now: datetime | None) -> Counted | Denied:
        reply = await self._step("count", self._counted_keys(quotas), "shared", now, *shared_quotas(quotas))
        return reply.counted() if reply.done else reply.refused()

    async def uncount(self, quotas: Sequence[Quota], windows: Sequence[datetime], now: datetime | None) -> None:
        counted = [(quota.key, end) for quota, end in zip(quotas, windows, strict=True) if not quota.gate]
        if counted:
            keys = [self._shared_key(key) for key, _ in counted]
            await self._step("uncount", keys, "shared", now, *(str(micros(end)) for _, end in counted))

    async def refund(self, id: str, quotas: Sequence[Quota], at: datetime, now: datetime | None) -> None:
        if quotas:
            keys = [self._phone_key(id[:TAG_LENGTH])]
            await self._step("refund", keys, id, now, str(micros(at)), *phone_quotas(quotas))

    async def open(
        self, opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> Verification | Denied:
        reply = await self._open([], opening, quotas, limits, now)
        return opening.record(reply.read_at, reply.failures) if reply.done else reply.refused()

    @property
    def counts_and_opens(self) -> bool:
        """Whether the phone and the shared quotas are on one server: not in a Cluster."""
        return self._address.kind is not Kind.CLUSTER

    async def count_and_open(
        self, shared: Sequence[Quota], opening: Opening, quotas: Sequence[Quota], limits: Limits, now: datetime | None
    ) -> tuple[Counted, Verification] | Denied:
        numbers = (*shared_quotas(shared), str(limits.short_per_day), str(limits.long_per_day))
        reply = await self._open(self._counted_keys(shared), opening, quotas, limits, now, *numbers)
        if not reply.done:
            return reply.refused()
        return reply.counted(), opening.record(reply.read_at, reply.failures)

    async def attach(self, id: str, attachment: Attachment, now: datetime | None) -> Verification | Denied:
        shown = (binding.hex() for binding in attachment.shown)
        by_call, keys = attachment.plan.code_source is CodeSource.NONE, [self._phone_key(id[:TAG_LENGTH])]
        lines = [self._line_key(attachment.driver, attachment.line)] if attachment.line is not None and by_call else []
        apart = self._address.kind is Kind.CLUSTER
        keys += [] if apart else lines
        reply = await self._step("attach", keys, id, now, plain(id), *receipt_values(attachment), *shown)
        if not reply.done:
            return reply.refused()
        record = reply.found()
        if lines and apart:
            with suppress(StoreError):  # the index only serves `claimant`, and the line is assigned already
                await self._step("index_line", lines, "shared", now, plain(id), str(micros(record.expires_at)))
        return record

    async def spend(
        self,
        id: str,
        binding: bytes,
        digests: Sequence[bytes],
        length: int,
        limits: Limits,
        answering: Answering,
        now: datetime | None,
    ) -> Spent | Denied:
        numbers = (limits.failures, limits.short_failures, limits.ceiling, limits.per_address, limits.short_per_day)
        reply = await self._answer(
            "spend", id, now, answering, binding.hex(), str(length), *map(str, numbers), last=[d.hex() for d in digests]
        )
        if (answer := _ANSWERS.get(reply.word)) is None:
            return reply.refused()
        return Spent(answer, reply.found(), reply.failures, reply.tally())

    async def reopen(
        self,
        id: str,
        binding: bytes,
        channel: Channel,
        short: bool,
        quotas: Sequence[Quota],
        limits: Limits,
        resend_after: timedelta,
        now: datetime | None,
    ) -> Verification | Denied:
        values = (binding.hex(), channel.value, flag(short), str(limits.failures), str(limits.short_failures))
        delay = str(microseconds(resend_after))
        reply = await self._on_record("reopen", id, now, *values, delay, *phone_quotas(quotas))
        return reply.found() if reply.done else reply.refused()

    async def settle(self, id: str, status: Status, now: datetime | None, generation: int | None = None) -> bool:
        return (await self._on_record("settle", id, now, status.value, number(generation))).done

    async def resolve_check(
        self, id: str, right: bool | None, generation: int, answering: Answering, now: datetime | None
    ) -> ResolvedCheck | None:
        word = "unknown" if right is None else "right" if right else "wrong"
        reply = await self._answer("resolve_check", id, now, answering, word, str(generation))
        record = reply.read()
        if record is None:
            return None
        return ResolvedCheck(record, verified=reply.word == "proven", failures=reply.failures, tally=reply.tally())

    async def claim(self, driver: str, tag: str, event: IncomingCall, now: datetime | None) -> Verification | None:
        told = (
            event.caller.e164 if event.caller is not None else "",
            optional(event.reference),
            optional(event.line.e164 if event.line is not None else None),
            event.attestation or "",
        )
        return (await self._step("claim", [self._phone_key(tag)], tag, now, plain(driver), *told)).read()

    async def find(self, driver: str, tag: str, reference: str, now: datetime | None) -> Verification | None:
        told = (plain(driver), optional(reference))
        return (await self._step("find", [self._phone_key(tag)], tag, now, *told)).read()

    async def recent(self, tag: str, now: datetime | None) -> Sequence[Verification]:
        reply = await self._step("recent", [self._phone_key(tag)], tag, now)
        last = len(reply.values) - len(reply.values) % VALUES
        return [record_of([*reply.values[at : at + VALUES], ""], reply.read_at, None) for at in range(0, last, VALUES)]

    async def claimant(self, driver: str, line: PhoneNumber, now: datetime | None) -> Verification | None:
        ids = (await self._step("line_ids", [self._line_key(driver, line)], "shared", now)).values[:-1]
        if len(ids) > MOST_CLAIMANTS:
            return None
        found = [await self.get(id, now) for id in ids]
        return claimant([record for record in found if record is not None], driver, line)

    async def note_other_caller(self, id: str, now: datetime | None) -> bool:
        return (await self._on_record("note_other_caller", id, now)).done

    async def get(self, id: str, now: datetime | None) -> Verification | None:
        return (await self._on_record("get", id, now)).read()

    async def may_poll(self, id: str, binding: bytes | None, now: datetime | None) -> bool:
        return (await self._on_record("may_poll", id, now, digest(binding))).done

    async def redeem(self, id: str, binding: bytes, subject: str, now: datetime | None) -> Verification | None:
        return (await self._on_record("redeem", id, now, binding.hex(), plain(subject))).read()

    async def unlock(self, tag: str, now: datetime | None) -> bool:
        return (await self._step("unlock", [self._phone_key(tag)], tag, now)).done

    async def reserve(self, reservation: Reservation, now: datetime | None) -> Place:
        keys = [self._place_key(name) for name in reservation.names]
        values = (reservation.holder, reservation.request, str(microseconds(reservation.lasts)))
        reply = await self._step("reserve", keys, reservation.holder, now, *values)
        holder, request, response, _ = reply.values
        return Place(holder, request, response or None, reply.read_at)

    async def places(self, names: Sequence[str], now: datetime | None) -> Sequence[Place | None]:
        reply = await self._step("look_at_places", [self._place_key(name) for name in names], "shared", now)
        found = [reply.values[at : at + 3] for at in range(0, 3 * len(names), 3)]
        return [
            Place(holder, request, response or None, reply.read_at) if holder else None
            for holder, request, response in found
        ]

    async def keep_response(
        self, reservation: Reservation, response: str, also: str | None, now: datetime | None
    ) -> bool:
        names = [reservation.names[0], *([also] if also is not None else [])]
        # First, so that no response is kept that `erase` cannot find.
        await self._step("index_places", [self._places_key(reservation.tag)], reservation.holder, now, *names)
        keys = [self._place_key(name) for name in names]
        return (await self._step("keep_response", keys, reservation.holder, now, reservation.holder, response)).done

    async def release(self, reservation: Reservation, now: datetime | None) -> None:
        keys = [self._place_key(reservation.names[0])]
        await self._step("release", keys, reservation.holder, now, reservation.holder)

    async def add_conversion(self, route: str, sent: int, verified: int, now: datetime | None) -> None:
        await self._step("add_conversion", [self._conversion_key(route)], "shared", now, str(sent), str(verified))

    async def conversions(self, routes: Sequence[str], now: datetime | None) -> Sequence[Conversion]:
        if not routes:
            return []
        reply = await self._step("conversions", [self._conversion_key(route) for route in routes], "shared", now)
        counts = (text.split(" ") for text in reply.values[:-1])
        return [Conversion(float(sent), float(verified), reply.read_at) for sent, verified in counts]

    async def purge(self, limit: int, now: datetime | None) -> int:
        """Do nothing: every key has a time to live on the server."""
        return 0

    async def erase(self, tag: str, now: datetime | None) -> int:
        reply = await self._step("erase", [self._phone_key(tag), self._places_key(tag)], tag, now)
        records, *names, _ = reply.values
        for name in names:
            await self._step("drop_place", [self._place_key(name)], tag, now)
        return int(records)

    # The parts of a step.

    async def _open(
        self,
        shared_keys: Sequence[bytes],
        opening: Opening,
        quotas: Sequence[Quota],
        limits: Limits,
        now: datetime | None,
        *shared: str,
    ) -> Reply:
        keys = [self._phone_key(opening.tag), *shared_keys]
        counted = (str(limits.failures), str(limits.short_failures), str(len(quotas)), *phone_quotas(quotas))
        shown = (binding.hex() for binding in opening.shown)
        return await self._step("open", keys, opening.id, now, *opening_values(opening), *counted, *shared, *shown)

    async def _answer(
        self, verb: str, id: str, now: datetime | None, answering: Answering, *values: str, last: Sequence[str] = ()
    ) -> Reply:
        """Run a method that evaluates an answer, with the tally and the address's counter.

        In a Cluster those are on another server: they are read before the step and written after it.
        """
        shared = [self._shared_key(_TALLY)]
        shared += [self._shared_key(answering.address)] if answering.address else []
        values = (plain(id), *values, flag(answering.address is not None), str(answering.rights))
        phone_key = self._phone_key(id[:TAG_LENGTH])
        if self._address.kind is not Kind.CLUSTER:
            return await self._step(verb, [phone_key, *shared], id, now, *values, "", "", "", "", *last)
        seen = await self._step("look", shared, "shared", now)
        reply = await self._step(verb, [phone_key], id, now, *values, *seen.values[:-1], *last)
        change = reply.values[VALUES : VALUES + CHANGES]
        if len(change) == CHANGES and any(number != "0" for number in change):
            await self._step("change", shared, "shared", now, *change)
        return reply

    async def _on_record(self, verb: str, id: str, now: datetime | None, *values: str) -> Reply:
        return await self._step(verb, [self._phone_key(id[:TAG_LENGTH])], id, now, plain(id), *values)

    async def _step(self, verb: str, keys: Sequence[bytes], subject: str, now: datetime | None, *values: str) -> Reply:
        if not self._examined:
            await self._report()
        mark = f"{plain(subject)} {next(_calls)}"
        time = "" if now is None else str(micros(now))
        asked = "\0".join((mark, time, self._keep, *values, "")).encode("utf-8", "surrogatepass")
        count = len(values) + 3
        answer = await self._evaluated(self._scripts[verb], b"%d" % len(keys), *keys, b"%d" % count, asked)
        text = answer.decode("utf-8", "surrogatepass") if isinstance(answer, bytes) else ""
        # A cancelled call may leave a connection out of sync, which would give one caller the reply to another.
        if not text.startswith(f"{mark}\0"):
            await self._forget()
            raise StoreError("The Redis store received the reply to another call and dropped its connections")
        _, word, read_at, failures, retry_after, *told = text.split("\0")
        if "\\" in text:
            told = [was_plain(value) for value in told]
        return Reply(word, time_of(read_at), failures_of(failures), int(retry_after), told)

    async def _evaluated(self, script: Script, *arguments: bytes) -> Any:
        try:
            try:
                return await self._run(script, *arguments)
            except ReadOnlyError:
                # Denied at its first write. A primary that was demoted to a replica keeps its
                # connections open; new ones may lead to the new primary.
                await self._forget()
                return await self._run(script, *arguments)
        except ERRORS as error:
            raise StoreError(explained(error)) from None

    async def _run(self, script: Script, *arguments: bytes) -> Any:
        try:
            return await self._ask(b"EVALSHA", script.sha, *arguments)
        except NoScriptError:
            # A server loses its scripts when it restarts, and each node of a Cluster has its own.
            return await self._ask(b"EVAL", script.text, *arguments)

    async def _report(self) -> None:
        self._examined = True  # before the reply, so that concurrent first steps do not all run it
        try:
            faults = await self.examine()
        except StoreError:
            self._examined = False
            raise
        for says, advice in faults:
            log.warning("%s %s", says, advice)

    def _phone_key(self, tag: str) -> bytes:
        return f"{self._address.prefix}:{{{tag}}}".encode("utf-8", "surrogatepass")

    def _shared_key(self, name: str) -> bytes:
        return f"{self._address.prefix}:{{shared}}:{name}".encode("utf-8", "surrogatepass")

    def _counted_keys(self, quotas: Sequence[Quota]) -> Sequence[bytes]:
        return [*(self._shared_key(quota.key) for quota in quotas), self._shared_key(_TALLY)]

    def _place_key(self, name: str) -> bytes:
        # The first part is the same for every place of one idempotency key: their slot in a Cluster.
        of_key, of_client = name[:TAG_LENGTH], name[TAG_LENGTH:]
        return f"{self._address.prefix}:{{{of_key}}}:{of_client}".encode()

    def _places_key(self, tag: str) -> bytes:
        return f"{self._address.prefix}:{{{tag}}}:places".encode("utf-8", "surrogatepass")

    def _conversion_key(self, route: str) -> bytes:
        # In a Cluster these keys share one slot, so that one script reads all of them.
        return self._shared_key(f"conversion:{route}")

    def _line_key(self, driver: str, line: PhoneNumber) -> bytes:
        return self._shared_key(f"line:{plain(driver)}:{line.e164}")

    async def _ask(self, *command: bytes) -> Any:
        """Send a command and return its answer, or raise one of `ERRORS`. Never sends it twice."""
        raise NotImplementedError

    async def _memory(self) -> list[dict[str, Any]]:
        """Return the INFO output on memory of each server."""
        raise NotImplementedError

    async def _forget(self) -> None:
        """Drop the connections: the next command opens new ones."""
        raise NotImplementedError


class RedisStore(_Verbs):
    """A store in a Redis that other processes use as well, for blocking sites. Create it with `from_url`.

    Threads may share it, and a forked process opens new connections. Records are kept for `keep` after they expire.
    """

    def __init__(self, address: Address, *, keep: timedelta = RETENTION) -> None:
        super().__init__(address, keep)
        self._servers: Blocking | None = None
        self._begin()

    @classmethod
    def from_url(cls, url: str, *, keep: timedelta = RETENTION) -> RedisStore:
        """Return a store for `redis://…`, `redis+sentinel://…/service` or `redis+cluster://…`; with TLS, `rediss…`.

        Raises `ConfigurationError` for any other URL. Connects at the first step.
        """
        return cls(read_address(url), keep=keep)

    async def _ask(self, *command: bytes) -> Any:
        return self._connected().ask(*command)

    async def _memory(self) -> list[dict[str, Any]]:
        return self._connected().memory()

    async def _forget(self) -> None:
        self._servers = None

    def _begin(self) -> None:
        # The process last: with it another thread would use the parent's connections.
        self._servers, self._lock, self._pid = None, threading.Lock(), os.getpid()

    def _connected(self) -> Blocking:
        if self._pid != os.getpid():
            self._begin()  # the parent keeps its connections, and one of its threads may have held the lock
        servers = self._servers
        if servers is None:
            with self._lock:
                servers = self._servers = self._servers or blocking(self._address)
        return servers


class AsyncRedisStore(_Verbs):
    """The same store for async sites: each event loop has separate connections, which end with it."""

    def __init__(self, address: Address, *, keep: timedelta = RETENTION) -> None:
        super().__init__(address, keep)
        self._servers = OfLoops(address)

    @classmethod
    def from_url(cls, url: str, *, keep: timedelta = RETENTION) -> AsyncRedisStore:
        """Like `RedisStore.from_url`."""
        return cls(read_address(url), keep=keep)

    async def aclose(self) -> None:
        """Close the connections of the running event loop, before it ends."""
        await self._servers.aclose()

    async def _ask(self, *command: bytes) -> Any:
        return await (await self._servers.here()).ask(*command)

    async def _memory(self) -> list[dict[str, Any]]:
        return await (await self._servers.here()).memory()

    async def _forget(self) -> None:
        await self._servers.aclose()
