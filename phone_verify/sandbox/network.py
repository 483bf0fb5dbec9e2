"""The phone network in memory: handsets, what arrives at them, and calls that providers wait for.

This module is independent of HTTP and of the providers' protocols. Phones and lines are E.164
strings, times are aware UTC, and everything is bounded: the oldest item is dropped when a limit is
reached. One lock guards all state; `Network.changed` lets a reader sleep until something has
happened.
"""

import random
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

from phone_verify.sandbox.phones import Channel, Dispatch, Habit, Handset, Held, Message, PhoneCall, Wait
from phone_verify.sandbox.remote_codes import RemoteCodes

MAX_HANDSETS = 50
MAX_ITEMS_PER_HANDSET = 50
MAX_WAITS = 500
MAX_DISPATCHES = 1000
MAX_LINES = 100

#: How long a handset rings: a flash call is dropped before anyone would answer.
RING = timedelta(seconds=10)
#: How long it rings for a voice call, which is to be answered.
VOICE_RING = timedelta(seconds=30)
_NO_DETAILS: Mapping[str, str] = MappingProxyType({})

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Memory:
    """The mutable state of a handset; read and written under the network's lock only."""

    def __init__(self, order: int, added_at: datetime) -> None:
        self.order = order
        self.added_at = added_at
        self.habit: Habit | None = None
        self.messages: deque[Message] = deque(maxlen=MAX_ITEMS_PER_HANDSET)
        self.calls: deque[PhoneCall] = deque(maxlen=MAX_ITEMS_PER_HANDSET)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Network:
    """All handsets, dispatches and waits of one sandbox. Thread-safe."""

    def __init__(self, *, now: Callable[[], datetime] = _utc_now, chance: random.Random | None = None) -> None:
        self.now = now
        self.chance = chance or random.SystemRandom()
        self._happened = threading.Condition()
        self._version = 0
        self._closed = False
        self._last_id = 0
        self._memories: OrderedDict[str, _Memory] = OrderedDict()
        self._dispatches: OrderedDict[int, Dispatch] = OrderedDict()
        self._waits: OrderedDict[int, Wait] = OrderedDict()
        self._webhooks: dict[str, str] = {}
        self._application_webhooks: dict[tuple[str, str], str] = {}
        self._lines: dict[str, tuple[str, ...]] = {}
        #: The codes that providers check themselves.
        self.codes = RemoteCodes(now)

    def set_webhook(self, provider: str, url: str | None) -> None:
        """Set the webhook URL in a provider's account; None removes it."""
        with self._happened:
            self._webhooks.pop(provider, None)
            if url is not None:
                self._webhooks[provider] = url
            self._changed()

    def set_application_webhook(self, provider: str, application: str, url: str) -> None:
        """Set the webhook URL of one application of the account, in place of the account's."""
        with self._happened:
            self._application_webhooks[provider, application] = url
            self._changed()

    def application_webhook(self, provider: str, application: str) -> str | None:
        """Return the webhook URL of this application, or else that of its account; None without one."""
        with self._happened:
            return self._application_webhooks.get((provider, application)) or self._webhooks.get(provider)

    def webhooks(self) -> dict[str, str]:
        """Return the webhook URLs in the providers' accounts, by provider."""
        with self._happened:
            return dict(self._webhooks)

    def set_lines(self, provider: str, lines: Sequence[str]) -> None:
        """Replace the numbers that a provider asks users to call; an empty list restores its own."""
        with self._happened:
            self._lines.pop(provider, None)
            if lines:
                self._lines[provider] = tuple(lines)
            self._changed()

    def lines(self) -> dict[str, tuple[str, ...]]:
        """Return the numbers of the providers whose own were replaced."""
        with self._happened:
            return dict(self._lines)

    def add_handset(self, phone: str) -> Handset:
        """Return the handset of `phone`, adding it if missing."""
        with self._happened:
            memory = self._memory(phone)
            self._changed()
            return _snapshot(phone, memory)

    def set_habit(self, phone: str, habit: Habit | None) -> None:
        """Set the automatic behaviour of the handset of `phone`; None removes it."""
        with self._happened:
            self._memory(phone).habit = habit
            self._changed()

    def handset(self, phone: str) -> Handset | None:
        """Return a snapshot of the handset of `phone`, or None."""
        with self._happened:
            memory = self._memories.get(phone)
            return _snapshot(phone, memory) if memory else None

    def handsets(self) -> tuple[Handset, ...]:
        """Return every handset, the most recently added first."""
        with self._happened:
            newest_first = sorted(self._memories.items(), key=lambda item: item[1].order, reverse=True)
            return tuple(_snapshot(phone, memory) for phone, memory in newest_first)

    def remove_handset(self, phone: str) -> bool:
        """Delete a handset with its waits and codes; return whether it existed."""
        self.codes.remove(phone)
        with self._happened:
            existed = self._memories.pop(phone, None) is not None
            for wait in [wait for wait in self._waits.values() if wait.phone == phone]:
                del self._waits[wait.id]
            self._changed()
            return existed

    def remove_item(self, phone: str, item_id: int) -> bool:
        """Delete a message or call from a handset; return whether it existed."""
        with self._happened:
            memory = self._memories.get(phone)
            if memory is None:
                return False
            before = len(memory.messages) + len(memory.calls)
            memory.messages = deque((each for each in memory.messages if each.id != item_id), MAX_ITEMS_PER_HANDSET)
            memory.calls = deque((each for each in memory.calls if each.id != item_id), MAX_ITEMS_PER_HANDSET)
            self._changed()
            return len(memory.messages) + len(memory.calls) < before

    def open_waits(self, phone: str) -> tuple[Wait, ...]:
        """Return the waits that a call of this phone would confirm, newest first."""
        with self._happened:
            now = self.now()
            waits = tuple(wait for wait in reversed(self._waits.values()) if wait.phone == phone)
        return tuple(wait for wait in waits if wait.is_open(now))

    def clear(self) -> None:
        """Delete all handsets, dispatches, waits and codes."""
        self.codes.clear()
        with self._happened:
            self._memories.clear()
            self._dispatches.clear()
            self._waits.clear()
            self._changed()

    def send_message(
        self,
        phone: str,
        *,
        provider: str,
        channel: Channel,
        sender: str,
        text: str,
        code: str,
        copies: int = 1,
        details: Mapping[str, str] = _NO_DETAILS,
    ) -> Dispatch:
        """Deliver a text `copies` times; 0 means that it was lost in transit."""
        with self._happened:
            dispatch = self._dispatch(
                phone, provider, channel, arrived=copies > 0, number="", code=code, details=details
            )
            for _ in range(copies):
                message = Message(self._next_id(), dispatch.at, provider, channel, sender, text, code)
                self._memory(phone).messages.appendleft(message)
            self._changed()
            return dispatch

    def place_call(
        self,
        phone: str,
        *,
        provider: str,
        number: str,
        code: str,
        copies: int = 1,
        hidden: bool = False,
        caller: str | None = None,
        settles_after: timedelta = timedelta(0),
        spoken: str = "",
        language: str = "",
        details: Mapping[str, str] = _NO_DETAILS,
    ) -> Dispatch:
        """Ring `phone` from `number`. With a `spoken` text it is a voice call, whose text contains
        `code`; otherwise a flash call: `code` is the last digits of the number, and a hidden number
        shows neither.

        `caller` is another number that is shown in its place; the owner then reads the end of that
        number.
        """
        with self._happened:
            dispatch = self._dispatch(
                phone,
                provider,
                "voice" if spoken else "flash_call",
                arrived=copies > 0,
                number=number,
                code=code,
                settles_after=settles_after,
                details=details,
            )
            shown = "" if hidden else caller or number
            readable = code if spoken else shown[len(shown) - len(code) :] if shown else ""
            until = dispatch.at + (VOICE_RING if spoken else RING)
            for _ in range(copies):
                call = PhoneCall(
                    self._next_id(),
                    dispatch.at,
                    provider,
                    "in",
                    shown,
                    readable,
                    until,
                    spoken=spoken,
                    language=language,
                )
                self._memory(phone).calls.appendleft(call)
            self._changed()
            return dispatch

    def note_dialled(self, phone: str, number: str, *, provider: str, busy: bool) -> None:
        """Add a call that `phone` made to its list of calls."""
        with self._happened:
            now = self.now()
            call = PhoneCall(self._next_id(), now, provider, "out", number, "", now, busy)
            self._memory(phone).calls.appendleft(call)
            self._changed()

    def open_wait(
        self,
        phone: str,
        *,
        provider: str,
        lines: Sequence[str],
        ttl: timedelta,
        webhook: str | None = None,
        held: Held | None = None,
        webhook_key: str = "",
        also: Sequence[str] = (),
    ) -> Wait:
        """Wait for `phone` to call one of `lines`, drawn at random; then deliver the text `held`
        back for it. A call to one of the lines in `also` counts too.

        A line that this phone was given recently is drawn only if all were: providers with a large
        pool rarely repeat a number to the same person.
        """
        with self._happened:
            now = self.now()
            taken = {wait.line for wait in self._waits.values() if wait.phone == phone}
            fresh = [line for line in lines if line not in taken]
            line = self.chance.choice(fresh or lines)
            wait = Wait(
                self._next_id(),
                provider,
                phone,
                line,
                now,
                now + ttl,
                webhook,
                held=held,
                webhook_key=webhook_key,
                also=tuple(also),
            )
            self._waits[wait.id] = wait
            _trim(self._waits, MAX_WAITS)
            self._memory(phone)
            self._changed()
            return wait

    def wait(self, wait_id: int) -> Wait | None:
        """Return a wait by its id, open or closed."""
        with self._happened:
            return self._waits.get(wait_id)

    def waiting_for(self, phone: str) -> Wait | None:
        """Return the newest wait for a call of this phone."""
        with self._happened:
            return next((wait for wait in reversed(self._waits.values()) if wait.phone == phone), None)

    def call_line(self, line: str, *, shown: str, dialled_by: str) -> tuple[Wait, ...]:
        """Process a call to `line` that shows the number `shown` (empty: hidden). Return the waits
        it was reported to.

        The waits for exactly this caller receive it. Without any, one other wait on the line does
        (preferably the calling phone's own): providers do report unexpected callers.
        """
        with self._happened:
            now = self.now()
            on_line = [wait for wait in self._waits.values() if line in (wait.line, *wait.also) and wait.is_open(now)]
            reached = (
                [wait for wait in on_line if wait.phone == shown]
                or [wait for wait in on_line if wait.phone == dialled_by][-1:]
                or on_line[-1:]
            )
            reported = tuple(replace(wait, caller=shown) for wait in reached)
            self._waits.update((wait.id, wait) for wait in reported)
            for wait in reported:
                if wait.held and wait.confirmed:
                    self._release(wait, wait.held)
            self._changed()
            return reported

    def dispatch(self, dispatch_id: int) -> Dispatch | None:
        """Return the dispatch with this id."""
        with self._happened:
            return self._dispatches.get(dispatch_id)

    def dispatches(self, provider: str | None = None) -> tuple[Dispatch, ...]:
        """Return all dispatches, or one provider's, newest first."""
        with self._happened:
            kept = tuple(reversed(self._dispatches.values()))
        return tuple(dispatch for dispatch in kept if provider in (None, dispatch.provider))

    @property
    def version(self) -> int:
        """Return a number that grows with every change."""
        with self._happened:
            return self._version

    @property
    def closed(self) -> bool:
        """Return whether `close` was called."""
        with self._happened:
            return self._closed

    def changed(self, since: int, timeout: float) -> int:
        """Sleep until the version differs from `since`, at most `timeout` seconds; return the
        version.
        """
        with self._happened:
            self._happened.wait_for(lambda: self._closed or self._version != since, timeout)
            return self._version

    def await_code(self, phone: str, *, after: int, timeout: float) -> Message | PhoneCall | None:
        """Return the newest readable code of `phone` whose id is above `after`; wait up to
        `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            version = self.version
            handset = self.handset(phone)
            newest = handset.newest_code if handset else None
            if newest and newest.id > after:
                return newest
            left = deadline - time.monotonic()
            if left <= 0 or self.closed:
                return None
            self.changed(version, left)

    def touch(self) -> None:
        """Wake the readers in `changed` after a change outside the network."""
        with self._happened:
            self._changed()

    def close(self) -> None:
        """Wake all sleeping readers; the network stays readable."""
        with self._happened:
            self._closed = True
            self._happened.notify_all()

    def _memory(self, phone: str) -> _Memory:
        memory = self._memories.get(phone)
        if memory is None:
            memory = self._memories[phone] = _Memory(self._next_id(), self.now())
        self._memories.move_to_end(phone)
        _trim(self._memories, MAX_HANDSETS)
        return memory

    def _dispatch(
        self,
        phone: str,
        provider: str,
        channel: Channel,
        *,
        arrived: bool,
        number: str,
        code: str,
        settles_after: timedelta = timedelta(0),
        details: Mapping[str, str] = _NO_DETAILS,
    ) -> Dispatch:
        now = self.now()
        dispatch = Dispatch(
            self._next_id(), provider, phone, channel, now, now + settles_after, arrived, number, code, details
        )
        self._dispatches[dispatch.id] = dispatch
        _trim(self._dispatches, MAX_DISPATCHES)
        # A handset appears even if nothing reaches it, so that a lost message is visible.
        self._memory(phone)
        return dispatch

    def _release(self, wait: Wait, held: Held) -> None:
        self.send_message(
            wait.phone,
            provider=wait.provider,
            channel="sms",
            sender=held.sender,
            text=held.text,
            code=held.code,
            copies=held.copies,
        )

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _changed(self) -> None:
        self._version += 1
        self._happened.notify_all()


def _snapshot(phone: str, memory: _Memory) -> Handset:
    return Handset(phone, memory.added_at, tuple(memory.messages), tuple(memory.calls), memory.habit)


def _trim(kept: OrderedDict[_Key, _Value], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
