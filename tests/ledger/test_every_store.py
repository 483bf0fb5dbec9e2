"""A cap holds to the cent under 200 simultaneous starts, whichever store keeps the verifications."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest

from phone_verify.config.stores import open_store
from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.ledger.caps import Cap, Window, name_at
from phone_verify.ledger.prices import Price, Prices
from phone_verify.ledger.values import DEFAULT_SERVICE, AttemptOutcome
from phone_verify.model import Outcome
from phone_verify.phone import PhoneNumber
from phone_verify.stores.base import Store
from phone_verify.sync import run
from phone_verify.testing.stores import together
from tests.core.harness import SMS, Harness, sms
from tests.ledger.conftest import Books
from tests.stores import servers
from tests.stores.redis_servers import RedisServer, cluster, running

pytestmark = pytest.mark.race
STARTS, PRICE, CAP, SENT = 200, Decimal("0.03"), Decimal("1.00"), 33
STORES = ["memory", "sqlite", *servers.KINDS, "redis", "redis-cluster"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with ExitStack() as stack:
        match request.param:
            case "memory":
                url = "memory:"
            case "sqlite":
                url = f"sqlite:///{tmp_path / 'store.sqlite3'}"
            case "redis":
                url = stack.enter_context(running(RedisServer(tmp_path / "redis"))).url
            case "redis-cluster":
                [first, *_] = stack.enter_context(cluster(tmp_path / "cluster"))
                url = f"redis+cluster://{first.host}"
            case kind:
                url = stack.enter_context(servers.database(kind))
        opened = open_store(url, {})
        yield opened
        close = getattr(opened, "close", None)
        if close is not None:
            close()


def test_no_simultaneous_start_passes_the_cap(store: Store, tmp_path: Path) -> None:
    prices = Prices("EUR", [Price(PRICE, "EUR")])
    day = Cap(Window.DAY, money=CAP)
    driver = sms()
    books = Books(
        SqlLedger(Database.from_url(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")),
        Harness(driver, store=store, sends_per_hour_per_prefix=0, sends_per_hour_total=0),
        prices=prices,
        caps=[day],
    )

    def start(number: int) -> Outcome:
        return books.harness.start(SMS, PhoneNumber(f"+9891200{number:05d}"))

    outcomes = together(STARTS, start)
    assert sum(outcome.ok for outcome in outcomes) == SENT
    assert len(driver.orders) == SENT
    [used] = run(books.ledger.usage([name_at(Window.DAY, DEFAULT_SERVICE, "", books.harness.clock())]))
    assert (used.count, used.spent) == (SENT, SENT * PRICE)
    rows = books.all_rows()
    assert [row.outcome for row in rows if row.counted] == [AttemptOutcome.SENT] * SENT
