"""The components of a verifier: finished objects, made from settings by `config`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .before_send import BeforeSend, ClientFacts
from .codes import Keyring, RandomBytes
from .events.record import EventBus
from .model import Channel
from .phone import PhoneNumber
from .policy import Policy
from .routing import Router
from .spray_guard import RightAnswers
from .stores.base import Store
from .sync import ThreadWaiting, Waiting
from .test_numbers import TestNumber
from .transports.base import Transport

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
    #: `TaskWaiting` for an `AsyncVerifier`.
    waiting: Waiting = field(default_factory=ThreadWaiting)

    def now(self) -> datetime | None:
        """Return the time for stores: None, so that they use their own, unless a clock was set."""
        return self.clock() if self.clock else None
