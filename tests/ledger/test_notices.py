"""Notices in the ledger: each is a row, costs what an SMS costs, and belongs to no verification."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from phone_verify.database.connection import Database
from phone_verify.database.ledger import SqlLedger
from phone_verify.database.outbox import SqlOutbox
from phone_verify.errors import StoreError
from phone_verify.exchange import Exchange, HttpRequest
from phone_verify.ledger.caps import Cap, Window
from phone_verify.ledger.sweeping import sweep
from phone_verify.ledger.values import NOTICE, Attempt
from phone_verify.phone import PhoneNumber
from phone_verify.sync import run
from phone_verify.testing.outbox_suite import endpoint
from phone_verify.webhooks_out.base import Wanted
from tests.core.harness import PHONE, REFUSED, SMS, UNCLEAR, Driver, Harness, sms
from tests.ledger.conftest import SMS_PRICE, Books
from tests.ledger_files import with_tables

LONG = "x" * 161  # two segments


class Noticing(Driver):
    """A driver that sends notices; an error is what its provider answers."""

    def __init__(self, error: Exception | None = None, on_notice: Callable[[], object] = lambda: None) -> None:
        super().__init__("sms-1", SMS, sms().ability, [])
        self.error, self.on_notice, self.sent = error, on_notice, 0

    def notice(self, phone: PhoneNumber, text: str) -> Exchange[None]:
        self.sent += 1
        self.on_notice()
        if self.error is not None:
            raise self.error
        return
        yield HttpRequest.get("http://nobody")


class Died(BaseException):
    """The process is killed here."""


def die() -> None:
    raise Died


@pytest.fixture
def made(face: None, tmp_path: Path) -> Iterator[Callable[..., Books]]:
    ledger = SqlLedger(Database.from_url(with_tables(tmp_path / "ledger.sqlite3")), lambda service: [endpoint()])
    yield lambda driver, **own: Books(ledger, Harness(driver), **own)
    ledger.database.engine.dispose()


def rows(books: Books) -> Sequence[Attempt]:
    """Return all attempts."""
    with books.ledger.database.engine.connect() as connection:
        ids = connection.exec_driver_sql("SELECT verification FROM phone_verify_attempt").scalars().all()
    return [row for id in dict.fromkeys(ids) for row in books.rows(id)]


def messages(books: Books) -> Sequence[Any]:
    return run(SqlOutbox(books.ledger.database).deliveries(Wanted()))


def test_notice_is_a_row_with_its_price(made: Callable[..., Books]) -> None:
    books = made(Noticing())
    assert books.harness.verifier.notify(PHONE, LONG)
    (row,) = rows(books)
    assert (row.purpose, row.channel, row.driver, row.outcome, row.open) == (NOTICE, "sms", "sms-1", "sent", False)
    assert (row.charged, row.parts, row.hint, row.region) == (2 * SMS_PRICE, 2, PHONE.hint, "IR")
    assert messages(books) == []


@pytest.mark.parametrize(("error", "outcome", "charged"), [(REFUSED, "refused", 0), (UNCLEAR, "unclear", SMS_PRICE)])
def test_notice_without_success_is_a_closed_row(
    made: Callable[..., Books], error: Exception, outcome: str, charged: Any
) -> None:
    books = made(Noticing(error))
    assert not books.harness.verifier.notify(PHONE, "a text")
    assert [(row.outcome, row.charged, row.open) for row in rows(books)] == [(outcome, charged, False)]


def test_cap_holds_for_notices(made: Callable[..., Books], caplog: pytest.LogCaptureFixture) -> None:
    driver = Noticing()
    books = made(driver, caps=[Cap(Window.HOUR, count=1)])
    assert [books.harness.verifier.notify(PHONE, "a text") for _ in range(2)] == [True, False]
    assert driver.sent == 1
    assert "is used up" in caplog.text


def test_notice_of_a_killed_process_is_settled_and_not_told(made: Callable[..., Books]) -> None:
    books = made(Noticing(on_notice=die))
    with pytest.raises(Died):
        books.harness.verifier.notify(PHONE, "a text")

    async def look_up(id: str) -> None:
        return None

    run(sweep(books.ledger, look_up, books.harness.clock() + timedelta(minutes=20)))
    assert [(row.outcome, row.charged, row.open) for row in rows(books)] == [("unclear", SMS_PRICE, False)]
    assert messages(books) == []


def test_ledger_that_fails_stops_a_notice_only_under_a_cap(
    made: Callable[..., Books], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise StoreError("no ledger")

    monkeypatch.setattr(SqlLedger, "begin", fail)
    monkeypatch.setattr(SqlLedger, "finish", fail)
    monkeypatch.setattr(SqlLedger, "end", fail)
    assert made(Noticing()).harness.verifier.notify(PHONE, "a text")
    assert not made(Noticing(), caps=[Cap(Window.HOUR, count=9)]).harness.verifier.notify(PHONE, "a text")
