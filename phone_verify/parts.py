"""The parts of a verifier: finished objects, made from settings by `config`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .codes import Keyring, RandomBytes
from .events.record import Events
from .model import Channel
from .phone import PhoneNumber
from .policy import Policy
from .routing import Router
from .spray_guard import RightAnswers
from .stores.base import Store
from .test_numbers import FixedCode
from .transports.base import Transport

#: Writes the message that carries a code of ours: channel, code, life, locale.
Texts = Callable[[Channel, str, timedelta, str | None], str]


@dataclass(frozen=True, slots=True)
class Parts:
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
    fixed_codes: Mapping[PhoneNumber, FixedCode] = field(default_factory=dict)
    events: Events = field(default_factory=Events)
    clock: Callable[[], datetime] | None = None
    ticks: Callable[[], float] = time.monotonic
    random_bytes: RandomBytes = os.urandom
    rights: RightAnswers = field(default_factory=RightAnswers)

    def now(self) -> datetime | None:
        """The time that stores are given: None, so that theirs counts, unless a clock was set."""
        return self.clock() if self.clock else None
