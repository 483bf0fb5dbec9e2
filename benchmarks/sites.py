"""The measured verifiers: all quotas on, nothing sent, another phone for each cycle."""

from __future__ import annotations

import itertools
import re

from phone_verify import Started
from phone_verify.config.settings import Settings
from phone_verify.config.site import build_site
from phone_verify.phone import PhoneNumber
from phone_verify.stores.base import Store
from phone_verify.testing.transport import FakeTransport
from phone_verify.verifier.blocking import Verifier

KEY = "a-key-for-benchmarks-0123456789abcdef"
#: High enough never to refuse; the cost is the counting.
QUOTAS = dict.fromkeys(
    ("sends_per_hour", "sends_per_hour_per_address", "sends_per_hour_per_prefix", "sends_per_hour_total"), 10**9
)
_CODE = re.compile(r"[0-9]{6}")


class Cycle:
    """Repeated start and check over one store."""

    def __init__(self, url: str, own: dict[str, Store] | None = None) -> None:
        self.transport = FakeTransport()
        settings = Settings.from_mapping({"sms": "console://", "store": url, "secret_keys": [KEY], **QUOTAS})
        stores = {scheme: (lambda _, store=store: store) for scheme, store in (own or {}).items()}
        self.verifier: Verifier = build_site(settings, transport=self.transport, stores=stores).verifier
        self._phones = itertools.cycle(PHONES)

    def start(self, phone: PhoneNumber | None = None) -> tuple[str, str, str]:
        """Start a verification; return id, secret and code."""
        outcome = self.verifier.start(phone or next(self._phones), address="192.0.2.1")
        assert isinstance(outcome, Started)
        found = _CODE.search(self.transport.notices.pop().text)
        assert found
        return outcome.verification.id, outcome.secret, found.group()

    def check(self, id: str, secret: str, code: str) -> None:
        """Check the right code."""
        assert self.verifier.check(id, secret, code).proof

    def __call__(self, times: int) -> None:
        for _ in range(times):
            self.check(*self.start())


def parsed(number: int) -> PhoneNumber:
    """Return a parsed phone: parsing numbers costs the same with every library."""
    phone = PhoneNumber(f"+98912{number % 10_000_000:07d}")
    _ = phone.kind, phone.region
    return phone


PHONES = [parsed(number) for number in range(2000)]
