"""The sandbox's state: network, faults, journal and timers."""

import threading
from collections.abc import Callable, Iterable

from phone_verify.sandbox.calls import Dialled, dial
from phone_verify.sandbox.faults import Faults
from phone_verify.sandbox.journal import Journal, delivery
from phone_verify.sandbox.network import Network
from phone_verify.sandbox.protocols import PROVIDERS
from phone_verify.sandbox.timers import Later, Timers
from phone_verify.sandbox.webhooks import AskUrl, asker

MAX_STREAMS = 32


class SandboxState:
    """A phone network, the faults of its providers, and the requests they received.

    `hosts` are names other than loopback ones under which the sandbox may be reached, and whose
    webhooks it may call. `pause` waits when a fault delays a response, and `later` schedules the
    automatic calls of handsets; by default both wait in real time, and end at `close`. `/demo`
    redirects to the path `demo`.
    """

    def __init__(
        self,
        network: Network | None = None,
        *,
        hosts: Iterable[str] = (),
        pause: Callable[[float], object] | None = None,
        ask_url: AskUrl | None = None,
        later: Later | None = None,
        demo: str = "",
    ) -> None:
        self.network = network or Network()
        self.faults = Faults()
        self.journal = Journal()
        self.streams = threading.BoundedSemaphore(MAX_STREAMS)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._closing = threading.Event()
        self._pause = pause or self._closing.wait
        self._timers = Timers()
        self._later = later or self._timers.after
        self._request_url = ask_url or asker(self._hosts)
        self.demo = demo

    def close(self) -> None:
        """End all waits, so that a server can stop."""
        self._closing.set()
        self._timers.stop()
        self.network.close()

    def _ask_url(self, url: str) -> int | None:
        status = self._request_url(url)
        self.journal.add_delivery(delivery(self.network.now(), url, status))
        self.network.touch()
        return status

    def dial(self, phone: str, number: str, *, caller: str | None = None, hidden: bool = False) -> Dialled:
        """Call `number` from the handset `phone`, showing `caller` in place of the handset's number,
        or none.
        """
        return dial(
            phone,
            number,
            network=self.network,
            faults=self.faults,
            providers=PROVIDERS,
            ask_url=self._ask_url,
            pause=self._pause,
            caller=caller,
            hidden=hidden,
        )
