"""The measured verifiers: all quotas on, nothing sent, another phone for each of 2,000 cycles."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator, Mapping

from phone_verify import Started
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.exchange import HttpResponse, Notice, Request
from phone_verify.phone import PhoneNumber
from phone_verify.stores.base import Store
from phone_verify.verifier.blocking import Verifier

KEY = "a-key-for-benchmarks-0123456789abcdef"
#: High enough never to refuse; the cost is the counting.
QUOTAS = dict.fromkeys(
    ("sends_per_hour", "sends_per_hour_per_address", "sends_per_hour_per_prefix", "sends_per_hour_total"), 10**9
)
_CODE = re.compile(r"[0-9]{6}")


class Posted(threading.local):
    """A transport that sends nothing and keeps the last message of each thread."""

    text = ""

    async def send(self, request: Request, timeout: float) -> HttpResponse:
        """Keep the text of a notice."""
        assert isinstance(request, Notice)
        self.text = request.text
        return HttpResponse(200)


class Cycle:
    """Repeated start and check over one store. Threads may share it.

    With `parses` each start parses its number, as every site does.
    """

    def __init__(self, url: str, own: Mapping[str, Store] | None = None, *, parses: bool = True) -> None:
        self.transport = Posted()
        settings = Settings.from_mapping({"sms": "console://", "store": url, "secret_keys": [KEY], **QUOTAS})
        stores = {scheme: (lambda _, store=store: store) for scheme, store in (own or {}).items()}
        self.verifier: Verifier = build_site(settings, transport=self.transport, stores=stores).verifier
        self._phones: Iterator[PhoneNumber | str] = itertools.cycle(map(number, range(2000)) if parses else PHONES)

    def start(self, phone: PhoneNumber | str | None = None) -> tuple[str, str, str]:
        """Start a verification; return id, secret and code."""
        given = phone or next(self._phones)
        outcome = self.verifier.start(
            PhoneNumber.parse(given) if isinstance(given, str) else given, address="192.0.2.1"
        )
        assert isinstance(outcome, Started)
        found = _CODE.search(self.transport.text)
        assert found
        return outcome.verification.id, outcome.secret, found.group()

    def check(self, id: str, secret: str, code: str) -> None:
        """Check the right code."""
        assert self.verifier.check(id, secret, code).proof

    def __call__(self, times: int) -> None:
        for _ in range(times):
            self.check(*self.start())


def number(place: int) -> str:
    """Return a number, another for each place."""
    return f"+98912{place % 10_000_000:07d}"


def parsed(place: int) -> PhoneNumber:
    """Return a parsed number."""
    phone = PhoneNumber(number(place))
    _ = phone.kind, phone.region
    return phone


PHONES = [parsed(place) for place in range(2000)]
