"""A sandbox whose clock, dice and patience are in the test's hands."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from werkzeug.test import Client

from phone_verify.sandbox import Network, Sandbox


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def network(clock: Clock) -> Network:
    return Network(now=clock, chance=random.Random(7))


@pytest.fixture
def pauses() -> list[float]:
    """How long the sandbox would have waited."""
    return []


@pytest.fixture
def asked() -> list[str]:
    """The webhook URLs that were asked."""
    return []


@pytest.fixture
def sandbox(network: Network, pauses: list[float], asked: list[str]) -> Iterator[Sandbox]:
    def ask_url(url: str) -> int:
        asked.append(url)
        return 200

    sandbox = Sandbox(network, pause=pauses.append, ask_url=ask_url)
    yield sandbox
    sandbox.close()


@pytest.fixture
def client(sandbox: Sandbox) -> Client:
    return Client(sandbox)
