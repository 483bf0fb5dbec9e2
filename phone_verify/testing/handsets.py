"""A sandbox for tests: handsets whose codes can be read and which can call, and fault injection."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

from ..phone import PhoneNumber
from ..sandbox import Habit, SandboxServer, load, read_scenario
from ..sandbox.calls import Dialled
from ..sandbox.faults import Fault, Faults, read_fault
from ..sandbox.journal import Entry
from ..sandbox.numbers import read_number
from ..sandbox.phones import Message, PhoneCall
from ..sandbox.protocols import PROVIDERS

#: How many seconds a test waits for a code that is still on its way.
PATIENCE = 5.0


class PhoneSandbox:
    """A phone network for one test, on its own port, from `with` to its end.

    Give the site `dsn` for any of its channels, or the address `url` to the DSNs of real drivers.
    """

    def __init__(self) -> None:
        self._server = SandboxServer()

    @property
    def dsn(self) -> str:
        """Return the sandbox as a driver's DSN: `sandbox://127.0.0.1:PORT`, for `sms`, `flash_call`
        and the others.
        """
        return self._server.dsn

    @property
    def url(self) -> str:
        """Return the URL of its page and its test API."""
        return self._server.url

    @property
    def faults(self) -> Faults:
        """Return the active faults; `fault` adds one."""
        return self._server.sandbox.faults

    @property
    def requests(self) -> Sequence[Entry]:
        """Return the requests to its providers, the oldest first, with their secrets masked."""
        return tuple(reversed(self._server.sandbox.journal.newest_first()))

    def handset(self, phone: str | PhoneNumber) -> Handset:
        """Return the handset of this phone; it need not have received anything yet."""
        return Handset(self._server, phone if isinstance(phone, PhoneNumber) else PhoneNumber.parse(phone))

    def fault(self, provider: str, phone: str | PhoneNumber | None = None, **what: object) -> Fault:
        """Inject a fault at a provider, for every phone or this one: `fault("amoot", lose=True,
        times=1)`.

        The fields are those of the test API. Raises ValueError for unknown ones.
        """
        if provider not in PROVIDERS:
            raise ValueError(f"unknown provider {provider!r}; known are: {', '.join(PROVIDERS)}")
        number = None if phone is None else self.handset(phone).phone.e164
        fault = read_fault(what, PROVIDERS[provider])
        self.faults.put(provider, number, fault)
        return fault

    def play(self, scenario: str | PathLike[str]) -> None:
        """Apply the behaviour described by a scenario file. Raises ScenarioError, a ValueError."""
        load(self._server.sandbox, read_scenario(Path(scenario).read_text("utf-8")))

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()


class Handset:
    """One phone of a sandbox."""

    def __init__(self, server: SandboxServer, phone: PhoneNumber) -> None:
        self.phone = phone
        self._sandbox = server.sandbox

    @property
    def messages(self) -> Sequence[Message]:
        """Return the received messages, the oldest first."""
        handset = self._sandbox.network.handset(self.phone.e164)
        return tuple(reversed(handset.messages)) if handset else ()

    @property
    def calls(self) -> Sequence[PhoneCall]:
        """Return the received and placed calls, the oldest first."""
        handset = self._sandbox.network.handset(self.phone.e164)
        return tuple(reversed(handset.calls)) if handset else ()

    def code(self, wait: float = PATIENCE) -> str:
        """Return the code that arrived last: in a message, spoken in a call, or as the end of a
        calling number.

        Waits up to `wait` seconds for a first one. Raises AssertionError if none arrives.
        """
        found = self._sandbox.network.await_code(self.phone.e164, after=0, timeout=wait)
        if found is None:
            asked = len(self._sandbox.journal.newest_first())
            raise AssertionError(
                f"no code arrived at {self.phone.hint} in {wait:g} s; providers received {asked} requests"
                + ("" if asked else ": does the site have the sandbox's DSN?")
            )
        return found.code

    def call(self, number: str, *, caller: str | None = None, hidden: bool = False) -> Dialled:
        """Call a line that the site shows; webhooks are requested before this returns. `matched` is
        true if the call counted.

        `caller` is another number to show, `hidden` shows none.
        """
        line = read_number(number.removeprefix("tel:"))
        if line is None:
            raise ValueError("write the number to call with its country code, or as in the page's tel: link")
        return self._sandbox.dial(self.phone.e164, line, caller=caller, hidden=hidden)

    def calls_back(self, after: float = 0.0, *, caller: str | None = None, hidden: bool = False) -> None:
        """From now on call every line that a site asks this phone to call, `after` that many
        seconds.
        """
        self._sandbox.network.set_habit(self.phone.e164, Habit(after, caller, hidden))

    def __repr__(self) -> str:
        return f"<Handset {self.phone.hint}>"
