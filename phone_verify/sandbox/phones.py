"""What the network knows of phones: messages, calls, habits, orders and waits. Phones and lines are
E.164 strings, times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

Channel = Literal["sms", "telegram", "whatsapp", "flash_call", "voice"]


@dataclass(frozen=True, slots=True)
class Message:
    """A text message that arrived at a handset."""

    id: int
    at: datetime
    provider: str
    channel: Channel
    sender: str
    text: str = field(repr=False)
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PhoneCall:
    """A call that a handset received (`in`) or made (`out`). `number` is the other end, empty when
    hidden. A voice call speaks the text `spoken`, in `language` (BCP 47, empty if unknown).
    """

    id: int
    at: datetime
    provider: str
    direction: Literal["in", "out"]
    number: str = field(repr=False)
    code: str = field(repr=False)
    rings_until: datetime
    busy: bool = False
    spoken: str = field(default="", repr=False)
    language: str = ""

    @property
    def channel(self) -> Literal["flash_call", "voice", "inbound_call"]:
        """Return the channel of the call."""
        if self.direction == "out":
            return "inbound_call"
        return "voice" if self.spoken else "flash_call"

    def ringing_for(self, now: datetime) -> float:
        """Return how many seconds this call still rings, 0 when it has ended."""
        return max(0.0, (self.rings_until - now).total_seconds())


@dataclass(frozen=True, slots=True)
class Habit:
    """Automatic behaviour of a handset: it calls every line it is asked to call, this many seconds
    later.
    """

    dials_after: float
    #: The number shown in place of the handset's, or none.
    caller: str | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Handset:
    """A snapshot of a phone. Messages and calls are sorted newest first."""

    phone: str
    added_at: datetime
    messages: tuple[Message, ...]
    calls: tuple[PhoneCall, ...]
    habit: Habit | None = None

    @property
    def newest_code(self) -> Message | PhoneCall | None:
        """Return the newest item whose code the owner of this phone can read."""
        everything: tuple[Message | PhoneCall, ...] = (*self.messages, *self.calls)
        coded = [item for item in everything if item.code]
        return max(coded, key=lambda item: item.id, default=None)


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Something that a provider accepted for delivery, delivered or not, as in the provider's own
    records.
    """

    id: int
    provider: str
    phone: str
    channel: Channel
    at: datetime
    settled_at: datetime
    arrived: bool
    number: str = field(repr=False)
    code: str = field(repr=False)
    #: What the protocol needs for its reports: the sender, the client's reference and the like.
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def state(self, now: datetime) -> Literal["done", "failed", "unknown"]:
        """Return the state in a provider's report; `unknown` until it is settled."""
        if now < self.settled_at:
            return "unknown"
        return "done" if self.arrived else "failed"


@dataclass(frozen=True, slots=True)
class Held:
    """A text that is delivered after its phone has called."""

    sender: str
    text: str = field(repr=False)
    code: str = field(repr=False)
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Wait:
    """A provider waits for `phone` to call `line`, or one of the lines in `also`. `caller` is the
    actual caller: None before any call, empty when hidden. `webhook_key` signs the requests to
    `webhook`.
    """

    id: int
    provider: str
    phone: str
    line: str
    opened_at: datetime
    expires_at: datetime
    webhook: str | None = field(default=None, repr=False)
    caller: str | None = None
    held: Held | None = None
    webhook_key: str = field(default="", repr=False)
    also: tuple[str, ...] = ()

    @property
    def confirmed(self) -> bool:
        """Return whether the expected phone itself has called."""
        return self.caller == self.phone

    def is_open(self, now: datetime) -> bool:
        """Return whether a call would still count."""
        return now < self.expires_at and not self.confirmed
