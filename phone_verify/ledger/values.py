"""Values of the ledger: attempts and what became of them, accounts, payments and alarms."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from ..model import Receipt

ZERO = Decimal(0)

#: The service of a site that defines none.
DEFAULT_SERVICE = "default"


#: The purpose of notices, which verify nothing. No purpose of a site can have this name.
NOTICE = "(notice)"


class AttemptOutcome(StrEnum):
    """What became of an attempt; the order is that of `rules.RANK`, and an attempt never goes back in it."""

    UNSENT = "unsent"  #: it waits for a worker, or its verification ended while it waited
    UNCLEAR = "unclear"  #: the provider was asked, and its response is not known
    SENT = "sent"
    REFUSED = "refused"
    UNDELIVERED = "undelivered"
    DELIVERED = "delivered"
    EXPIRED = "expired"  #: sent, and the verification ended without it
    VERIFIED = "verified"


class ChargedFor(StrEnum):
    """What a provider charges for."""

    SENT = "sent"
    DELIVERED = "delivered"
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send or call: a verification, the number of its send, and a driver.

    `tag` is the keyed digest of the phone and `hint` its masked text. `delivery` keeps `delivered` or
    `undelivered` once the outcome has moved on. `list_price` is what the provider asks for, in `currency`,
    and `price` the same in `account_currency`, that of the service; `cost` and `charged` are these two once what the
    provider charges for has happened, and `reserved` is `price` until that is known. `counted` says where
    it was counted (`caps.Window.bit`, `ACCOUNT_BIT`). `reference` is a digest: a provider's own may be a
    phone number. `sealed` is the provider's own, encrypted, while its delivery is looked up, next at
    `look_up_at`.
    """

    verification: str
    send: int
    driver: str
    service: str
    purpose: str
    channel: str
    started_at: datetime
    access_key: str = ""
    region: str = ""
    operator: str = ""
    tag: str = field(default="", repr=False)
    hint: str = ""
    sent_at: datetime | None = None
    outcome: AttemptOutcome = AttemptOutcome.UNCLEAR
    delivery: str = ""
    refusal: str = ""
    provider_ms: int | None = None
    closed_at: datetime | None = None
    verify_ms: int | None = None
    parts: int | None = None
    list_price: Decimal | None = None
    price: Decimal | None = None
    cost: Decimal | None = None
    currency: str = ""
    cost_source: str = ""
    charged: Decimal = ZERO
    reserved: Decimal = ZERO
    account_currency: str = ""
    charged_for: ChargedFor = ChargedFor.SENT
    counted: int = 0
    reference: str | None = field(default=None, repr=False)
    sealed: str | None = field(default=None, repr=False)
    look_up_at: datetime | None = None
    id: int = 0

    @property
    def open(self) -> bool:
        """Whether the verification may still be verified by it."""
        return self.closed_at is None


#: In `Attempt.counted`: it is paid from the service's account.
ACCOUNT_BIT = 16
#: The limit of an order whose account was made in another currency than that of its terms.
CURRENCY = "currency"
#: That of an order that waited and is not to be sent any more: what it could have cost was released.
RELEASED = "released"

BY_PROVIDER, BY_TABLE = "provider", "table"


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How a provider responded: a receipt, a refusal, or nothing that is clear.

    `charge` is the receipt's price in the currency of the service, if the provider reported one; `sealed` the
    receipt's own reference, encrypted, if its delivery can be looked up.
    """

    outcome: AttemptOutcome
    provider_time: timedelta | None = None
    receipt: Receipt = field(default_factory=Receipt)
    refusal: str = ""
    charge: Decimal | None = None
    sealed: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a service pays: from a balance that covers each order, or later up to a credit limit.

    `trial` is the balance that its account begins with. Without `enforced` only alarms are raised.
    """

    currency: str
    credit_limit: Decimal = ZERO
    trial: Decimal = ZERO
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a service. `reserved` is what open attempts may cost."""

    service: str
    currency: str
    balance: Decimal
    reserved: Decimal
    created_at: datetime

    @property
    def available(self) -> Decimal:
        """The balance without what open attempts may cost."""
        return self.balance - self.reserved


class OtherPaymentError(ValueError):
    """A payment with the same key was made before, of another amount or in another currency."""

    def __init__(self, payment: Payment, amount: Decimal, currency: str) -> None:
        super().__init__(f"a payment with the key {payment.key} was made before, of {amount:f} {currency}")


#: The key of the first payment of an account. No other payment can have it, since they need a key.
TRIAL_KEY = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """An amount that was added to an account, or taken from it. Payments are never changed.

    `key` makes a repetition have no effect; `note` and `by` are for people.
    """

    service: str
    amount: Decimal
    currency: str
    key: str
    kind: str = "top-up"
    note: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A cap or a balance has reached a level: 50, 80 or 100 percent of what it allows.

    `limit` is `hour`, `day`, `region`, `total`, `balance`, or `provider` for an account at a provider.
    `used` and `allowed` are amounts of money in `currency`; without one numbers of attempts, or of the
    provider's own units. `key` names its row in the ledger until it was told.
    """

    service: str
    limit: str
    level: int
    used: str
    allowed: str
    currency: str = ""
    region: str = ""
    driver: str = ""
    enforced: bool = True
    key: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        where = "".join(f" {word}" for word in (self.region, self.driver) if word)
        counted = "" if self.limit == "provider" else " attempts"
        unit = f" {self.currency}" if self.currency else counted
        mode = "" if self.enforced else " (record only)"
        return f"{self.service}: {self.limit}{where} at {self.level} %: {self.used} of {self.allowed}{unit}{mode}"


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that was written, with what it may cost reserved.

    `repeated` is whether it was there before, so that nothing was counted or reserved again.
    """

    attempt: Attempt
    alarms: tuple[Alarm, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Suspended:
    """An attempt that a cap or the balance does not allow. Nothing was written.

    `limit` is the window of the cap, `balance`, `CURRENCY` or `RELEASED`.
    """

    limit: str
    alarms: tuple[Alarm, ...] = ()
