"""The parts of a verifier: finished objects, made from settings by `config`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .codes import Keyring, RandomBytes
from .events.record import EventBus
from .model import Channel
from .phone import PhoneNumber
from .policy import Policy
from .routing import Router
from .spray_guard import RightAnswers
from .stores.base import Store
from .test_numbers import TestNumber
from .transports.base import Transport

#: WriteStatements the message that carries a code of ours: channel, code, life, locale.
Texts = Callable[[Channel, str, timedelta, str | None], str]


@dataclass(frozen=True, slots=True)
class Components:
    """What a verifier is made of. All are finished objects; `config.py` makes them from settings.

    `clock` is None in production, where the store decides the time; `webhook_url` gives a driver's public webhook
    URL, or None where the site has no public address; `rights` is for verifiers that count together.
    """

    policy: Policy
    keyring: Keyring
    store: Store
    transport: Transport
    router: Router
    texts: Texts
    #: The names of this site in what it signs, newest first.
    audiences: Sequence[str] = ("default",)
    webhook_url: Callable[[str], str | None] = field(default=lambda _: None)
    test_numbers: Mapping[PhoneNumber, TestNumber] = field(default_factory=dict)
    events: EventBus = field(default_factory=EventBus)
    clock: Callable[[], datetime] | None = None
    ticks: Callable[[], float] = time.monotonic
    random_bytes: RandomBytes = os.urandom
    rights: RightAnswers = field(default_factory=RightAnswers)

    def now(self) -> datetime | None:
        """The time that stores are given: None, so that theirs counts, unless a clock was set."""
        return self.clock() if self.clock else None
