"""The sandbox's state: network, faults, journal and timers."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from phone_verify.sandbox.calls import Dialled, dial
from phone_verify.sandbox.faults import Faults
from phone_verify.sandbox.journal import Journal, delivery
from phone_verify.sandbox.network import Network
from phone_verify.sandbox.protocols import PROVIDERS
from phone_verify.sandbox.timers import Later, Timers
from phone_verify.sandbox.webhooks import AskSite, AskUrl, Forgery, Hook, Reply, asker, site_asker

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
        ask_site: AskSite | None = None,
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
        self._question_site = ask_site or site_asker(self._hosts)
        self.demo = demo

    def close(self) -> None:
        """End all waits, so that a server can stop."""
        self._closing.set()
        self._timers.stop()
        self.network.close()

    def _send_hook(self, hook: Hook, forgery: Forgery | None = None) -> int | None:
        if hook.repeats:
            return self._send_until_accepted(hook, forgery)
        now = self.network.now()
        sent = hook.at(now, forgery)
        status = self._request_url(sent)
        self.journal.add_delivery(delivery(now, sent, status))
        self.network.touch()
        return status

    def _ask_site(self, hook: Hook, forgery: Forgery | None) -> Reply | None:
        now = self.network.now()
        sent = hook.at(now, forgery)
        reply = self._question_site(sent)
        self.journal.add_delivery(delivery(now, sent, reply.status if reply else None))
        self.network.touch()
        return reply

    def _send_until_accepted(self, hook: Hook, forgery: Forgery | None) -> int | None:
        """Send a webhook, and plan its repetition if the site does not accept it."""
        reply = self._ask_site(hook, forgery)
        if not hook.is_accepted(reply):
            seconds, *later = hook.repeats
            self._later(seconds, partial(self._send_hook, replace(hook, repeats=tuple(later)), forgery))
        return reply.status if reply else None

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
            send_hook=self._send_hook,
            pause=self._pause,
            caller=caller,
            hidden=hidden,
        )
