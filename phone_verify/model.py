"""The values that travel between caller, verifier, store and driver."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Any

from .phone import PhoneNumber
from .purposes import Budget, budget_of, failure_key

#: How far the clocks of two workers may be apart. A time further ahead than this is one from before the clock was put
#: back: nobody knows how long ago that was, so it counts as over.
CLOCK_SLACK = timedelta(seconds=5)

_ID = re.compile(r"[A-Za-z0-9_-]{44}\Z", re.ASCII)
_TOKEN = re.compile(r"[!-~]{1,8000}")


def is_id(text: str) -> bool:
    """Whether `text` has the form of a verification id: the phone's tag, and 128 random bits."""
    return bool(_ID.match(text))


def is_token(text: str) -> bool:
    """Whether `text` has the form of an access token: it fits into a header as it stands."""
    return bool(_TOKEN.fullmatch(text))


class Channel(StrEnum):
    """The way a proof travels."""

    SMS = "sms"
    FLASH_CALL = "flash_call"
    INBOUND_CALL = "inbound_call"
    VOICE = "voice"
    TELEGRAM = "telegram"
    WHATSAPP = "whatsapp"


@dataclass(frozen=True, slots=True)
class Failures:
    """Wrong answers under one budget of a phone since its last success.

    `count` is reset when a lock ends; `total` is not. `forgets_at` is when all of it is dropped if no other follows.
    """

    count: int
    last_at: datetime
    forgets_at: datetime
    total: int = 0
    locks: int = 0
    locked_until: datetime | None = None


class CodeSource(StrEnum):
    """Who holds the code."""

    LOCAL = "ours"  #: we make it, the provider carries it
    PROVIDER = "told"  #: the provider makes it and tells us in its answer
    REMOTE_CHECK = "remote"  #: the provider makes and checks it
    NONE = "nobody"  #: there is none: the incoming call is the proof


class Status(StrEnum):
    """Where a verification stands; `lifecycle.py` has the moves."""

    PENDING = "pending"
    SENT = "sent"
    VERIFIED = "verified"
    FAILED = "failed"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why an outcome is not what the caller hoped for."""

    DESTINATION_NOT_ALLOWED = "destination_not_allowed"
    NOT_CONFIGURED = "not_configured"  #: no channel at all, or none that works without more settings
    CHANNEL_UNAVAILABLE = "channel_unavailable"  #: known, but not configured, or closed for this phone now
    TOO_MANY_REQUESTS = "too_many_requests"
    DELIVERY_FAILED = "delivery_failed"
    NOT_FOUND = "not_found"  #: unknown, or shown without the secret that began it
    CLOSED = "closed"
    MALFORMED_CODE = "malformed_code"
    WRONG_CODE = "wrong_code"
    INVALID_PROOF = "invalid_proof"
    PROVIDER_UNAVAILABLE = "provider_unavailable"  #: a remote code that the provider cannot check now


class Cause(StrEnum):
    """Why a message was not delivered."""

    NUMBER = "number"  #: the provider says that the number is bad
    SERVICE = "service"  #: everything else: the provider, the account there, or the network


class Assurance(StrEnum):
    """What a finished verification honestly claims."""

    CODE = "code"  #: somebody read a code that was sent to this phone
    CALLER_ID = "caller_id"  #: a network said that this phone called


@dataclass(frozen=True, slots=True)
class Order:
    """What a driver is asked to carry: one phone, one channel, and our code or text where they are ours."""

    phone: PhoneNumber
    channel: Channel
    life: timedelta
    code: str | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)
    webhook_url: str | None = field(default=None, repr=False)
    #: What the user holds at the provider itself, where the provider takes that in place of the site's own credential.
    user_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the provider said when it took an order.

    `code` is there for told codes only; `line` is the E.164 number the user must call, `caller_hint` the leading
    digits of the number that rings a flash call, as far as the provider names them.
    """

    reference: str | None = None
    code: str | None = field(default=None, repr=False)
    line: PhoneNumber | None = None
    caller_hint: str | None = None


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A call that arrived: who called (in E.164), which line, under which reference of the provider."""

    reference: str | None
    line: PhoneNumber | None
    caller: PhoneNumber | None


class DeliveryState(StrEnum):
    """How far a message or a call of ours came. Information for the site's owner: it proves nothing."""

    OPEN = "open"  #: on its way, or the provider does not know yet
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What a provider says of an order it took, asked or by itself: how far it came, in words fit for a log."""

    reference: str | None
    state: DeliveryState
    said: str = ""


@dataclass(frozen=True, slots=True)
class ProviderAccount:
    """What a provider says of the site's account there: its credential works, and what is left in which currency."""

    balance: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook as it came in: every parameter of query and form in order, and the raw bytes."""

    method: str
    parameters: Sequence[tuple[str, str]] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def once(self, *names: str) -> str | None:
        """The value of the parameter known under these names, or None if it is absent, empty or repeated."""
        values = [value for name, value in self.parameters if name in names]
        return values[0] if len(values) == 1 and values[0] else None


class CallState(StrEnum):
    """What a provider says of an incoming call when asked."""

    WAITING = "waiting"
    CALLED = "called"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Sighting:
    """The answer to a poll: whether a call came, and from whom."""

    state: CallState
    caller: PhoneNumber | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The record of one verification, as a store keeps it.

    `read_at` is the store's own time of reading; everything that depends on the time is told against it, so that
    one clock decides. `status` is what is stored; `state` is what holds at `read_at`.
    """

    id: str
    tag: str
    phone: PhoneNumber
    purpose: str
    service: str
    binding: bytes = field(repr=False)
    channel: Channel
    driver: str
    holder: CodeSource
    status: Status
    key_id: str
    generation: int
    code_digest: bytes | None = field(repr=False)
    code_length: int | None
    short: bool
    attempts_left: int
    sends: int
    locale: str | None
    created_at: datetime
    expires_at: datetime
    resend_at: datetime
    read_at: datetime
    reference: str | None = None
    line: PhoneNumber | None = None
    caller_hint: str | None = None
    closed_at: datetime | None = None
    redeemed: bool = False
    polled_at: datetime | None = None
    answered: int = 0  #: which of its sends the receipt on it belongs to
    freed: str = ""  #: lines it held before, and when it gave them up; for `lifecycle` to read
    known: bool = False  #: begun by a browser that has signed in by this phone before
    unjudged: int = 0  #: answers to a remote code that were taken, and of which the provider has said nothing yet
    subject: str = ""  #: keyed digest of the user who was signed in at the start; empty for none
    budget: str = ""  #: empty in records of before the column; read `counts_as`
    mistakes: int = 0  #: its wrong answers, where it was not started on a trusted device
    tallied_short: int = 0  #: how many of them the site-wide tally counts as answers to short codes
    tallied_long: int = 0  #: how many of them it counts as answers to longer codes
    by_pair: bool = False  #: verified by a call that carried no reference, only line and caller
    failures: Failures | None = None  #: wrong answers under `failure_key`; not part of what is stored

    @property
    def counts_as(self) -> Budget:
        """The budget of its phone that its wrong answers are counted under."""
        return Budget(self.budget) if self.budget else budget_of(self.purpose, signed_in=bool(self.subject))

    @property
    def failure_key(self) -> str:
        """The name under which a store counts its wrong answers."""
        return failure_key(self.counts_as, trusted=self.known)

    @property
    def open(self) -> bool:
        """Whether it can still be proven at `read_at`."""
        return self.open_at(self.read_at)

    def open_at(self, time: datetime) -> bool:
        """Whether it can still be proven at that time."""
        return self.status in (Status.PENDING, Status.SENT) and self._in_time(time)

    @property
    def state(self) -> Status:
        """The status at `read_at`: an open one past its end has expired, whoever noticed."""
        if self.status in (Status.PENDING, Status.SENT) and not self._in_time(self.read_at):
            return Status.EXPIRED
        return self.status

    def _in_time(self, time: datetime) -> bool:
        return self.created_at - CLOCK_SLACK <= time < self.expires_at

    @property
    def ended_at(self) -> datetime | None:
        """When it stopped being open, or None while it is."""
        if self.closed_at is not None:
            return self.closed_at
        return None if self.open else self.expires_at

    @property
    def assurance(self) -> Assurance:
        """What the proof honestly claims."""
        return Assurance.CALLER_ID if self.holder is CodeSource.NONE else Assurance.CODE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the caller is told: a verification, or the reason why not, or both.

    `secret` is there once, after a successful start. `proof` is the signed token of a finished verification, as
    long as it can be redeemed. `channels` are those that a resend would accept.
    """

    reason: Reason | None = None
    verification: Verification | None = None
    retry_after: timedelta | None = None
    cause: Cause | None = None  #: of `DELIVERY_FAILED`
    secret: str | None = field(default=None, repr=False)
    proof: str | None = field(default=None, repr=False)
    channels: Sequence[Channel] = ()

    @property
    def ok(self) -> bool:
        """Whether the caller got what was asked for."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A proof that was accepted, once: this phone was verified for this purpose, with this assurance."""

    phone: PhoneNumber
    purpose: str
    service: str
    channel: Channel
    assurance: Assurance
    verification_id: str
    verified_at: datetime
    by_test_number: bool = False  #: a test number: never let it stand for somebody with rights over others
    short: bool = False  #: a code of fewer than six digits, or one whose length only the provider knew

    @property
    def counts_for_staff(self) -> bool:
        """Whether this verification may count at all for staff, users with rights over other users.

        A test number's code is fixed and known to reviewers. It gives a staff user no number and is no second factor.
        """
        return not self.by_test_number

    def signs_in_staff(self, *, opened: bool) -> bool:
        """Return whether this verification alone, without a password, may sign a staff user in.

        `opened` is the site's setting `staff_sign_in_by_phone`. Even then a caller id, which networks can forge, and a
        code of fewer than six digits do not suffice.
        """
        return opened and self.counts_for_staff and self.assurance is Assurance.CODE and not self.short


_NAMES = tuple(field.name for field in fields(Verification))
_PLACES = {name: place for place, name in enumerate(_NAMES)}
_VALUES = attrgetter(*_NAMES)


def with_changes(record: Verification, **changes: Any) -> Verification:
    """Return a copy of the record with these fields changed."""
    # `dataclasses.replace` costs three times as much on a record of this size, and a check makes several copies.
    values = list(_VALUES(record))
    for name, value in changes.items():
        values[_PLACES[name]] = value
    return Verification(*values)
