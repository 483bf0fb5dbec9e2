"""The components of a verifier: finished objects, made from settings by `config`."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .before_send import BeforeSend, ClientFacts
from .codes import Keyring, RandomBytes, binding_digest
from .events.record import EventBus
from .model import Channel
from .phone import PhoneNumber
from .policy import Policy, SendQuotas
from .purposes import DEFAULT_SERVICE
from .routing import Router
from .spray_guard import RightAnswers
from .stores.base import Store
from .sync import ThreadWaiting, Waiting
from .test_numbers import TestNumber
from .transports.base import Transport

if TYPE_CHECKING:
    from .fraud.guard import FraudGuard
    from .keys.keys import AccessKeys
    from .ledger.service import ServiceLedger
    from .work.sends import SendQueue

#: Formats the message that carries our code: channel, code, lifetime, locale, purpose, client.
Texts = Callable[[Channel, str, timedelta, str | None, str, ClientFacts], str]


@dataclass(frozen=True, slots=True)
class Components:
    """The components of a verifier. All are finished objects, made from settings by `config`.

    Without a `clock`, as in production, the store provides the time; `webhook_url` returns a
    driver's public webhook URL with this secret, by default the current one, or None if the site
    has no public URL; `rights` is shared by
    verifiers that count together.
    """

    policy: Policy
    keyring: Keyring
    store: Store
    transport: Transport
    router: Router
    texts: Texts
    #: The names of this site in signed values, newest first.
    audiences: Sequence[str] = ("default",)
    webhook_url: Callable[[str, str], str | None] = field(default=lambda _driver, _secret: None)
    test_numbers: Mapping[PhoneNumber, TestNumber] = field(default_factory=dict)
    events: EventBus = field(default_factory=EventBus)
    clock: Callable[[], datetime] | None = None
    ticks: Callable[[], float] = time.monotonic
    random_bytes: RandomBytes = os.urandom
    rights: RightAnswers = field(default_factory=RightAnswers)
    #: The site's own decision about each order.
    before_send: BeforeSend = field(default_factory=BeforeSend)
    #: Weighs each order before the site's own decision; None if the site has no fraud guard.
    fraud: FraudGuard | None = None
    #: `TaskWaiting` for an `AsyncVerifier`.
    waiting: Waiting = field(default_factory=ThreadWaiting)
    #: The service whose verifications these are. The store treats those of others as unknown.
    service: str = DEFAULT_SERVICE
    #: The sends of this service, counted besides those of the whole site, which the policy limits.
    quotas: SendQuotas = field(default_factory=SendQuotas)
    #: The channels that the verifications which it starts stay on; empty: all of the service.
    only: Sequence[Channel] = ()
    #: The purposes for which it may be used; empty: all.
    purposes: Sequence[str] = ()
    #: Returns the `AsyncVerifier` of a service over the same store, or None; unset if the site has no services.
    find_service: Callable[[str], Awaitable[Any]] | None = None
    #: The keys of other programs; None if the site has none.
    keys: AccessKeys | None = None

    #: Accounts for every order; None without a ledger.
    ledger: ServiceLedger | None = None
    #: Keeps orders that a worker sends; None if the request itself sends them.
    sends: SendQueue | None = None

    def now(self) -> datetime | None:
        """Return the time for stores: None, so that they use their own, unless a clock was set."""
        return self.clock() if self.clock else None

    def binding(self, secret: str) -> bytes:
        """Return the digest of this secret in records of this service."""
        return binding_digest(secret, self.service)
