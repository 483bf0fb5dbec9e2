"""The suite that every implementation of aggregates must pass: the contract of `reports/base.py`.

class TestMyAggregates(AggregatesSuite):
    @pytest.fixture
    def ledger(self):
        return MyLedger(…)

    @pytest.fixture
    def aggregates(self, ledger):
        return MyAggregates(…)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, ClassVar, TypeVar
from zoneinfo import ZoneInfo

import pytest

from ..ledger.base import Ledger
from ..ledger.values import ZERO, Attempt, AttemptOutcome, Held, Payment
from ..model import Channel, DeliveryReport, DeliveryState
from ..reports import rows as reading
from ..reports.base import Aggregates, Selection
from ..reports.figures import DIMENSIONS, Figures, measures_of
from ..reports.folding import Part
from ..reports.periods import Periods, Span, Unit
from .ledger_calls import CENT, NOW, ONE, PREPAID, REFUSED, SENT, UNCLEAR, attempt, later, no_charge, run
from .stores import together

T = TypeVar("T")

WEEK = Span(datetime(2029, 12, 29, tzinfo=UTC), datetime(2030, 1, 5, tzinfo=UTC))
ALL = Selection(WEEK)
TEHRAN = timezone(timedelta(hours=3, minutes=30))
BERLIN = ZoneInfo("Europe/Berlin")
THREADS = 24


class AggregatesPromises:
    """What aggregates promise to one caller."""

    def begin(self, ledger: Ledger, number: int = 0, now: datetime = NOW, **changes: Any) -> Attempt:
        """Begin an attempt."""
        held = run(ledger.begin(attempt(number, **changes), [], None, now))
        assert isinstance(held, Held)
        return held.attempt

    def sums(
        self, aggregates: Aggregates, *dimensions: str, periods: Periods | None = None, **values: Any
    ) -> Mapping[tuple[int, tuple[str, ...]], Figures]:
        """Return the sums of all attempts with these values."""
        return run(aggregates.sums(Selection(WEEK, values), dimensions, periods))

    def total(self, aggregates: Aggregates, **values: str) -> Figures:
        """Return the sum of all attempts."""
        return sum(self.sums(aggregates, periods=None, **values).values(), Figures())

    def assert_exact(self, aggregates: Aggregates) -> None:
        """Check that the sums are those of the rows, by everything that attempts are kept apart by."""
        rows = run(aggregates.attempts(ALL, None, 100_000))
        expected: dict[tuple[int, tuple[str, ...]], tuple[int, ...]] = {}
        for each in rows:
            key = (0, Part.of(each).dimensions)
            before = expected.get(key, (0,) * len(measures_of(each)))
            expected[key] = tuple(a + b for a, b in zip(before, measures_of(each), strict=True))
        assert {key: found.counts for key, found in self.sums(aggregates, *DIMENSIONS).items()} == expected

    def fold_all(self, aggregates: Aggregates, limit: int = 400) -> int:
        """Fold until nothing is left."""
        count = 0
        while folded := run(aggregates.fold(limit)):
            count += folded
        return count

    def test_nothing_adds_up_to_nothing(self, ledger: Ledger, aggregates: Aggregates) -> None:
        assert self.fold_all(aggregates) == 0
        assert self.sums(aggregates, "driver") == {}

    def test_sums_are_exact_before_and_after_folding(self, ledger: Ledger, aggregates: Aggregates) -> None:
        for number in range(5):
            self.begin(ledger, number, later(number * 1000), driver="amoot" if number % 2 else "ssms")
        self.assert_exact(aggregates)
        assert run(aggregates.fold(2)) == 2
        self.assert_exact(aggregates)
        assert self.fold_all(aggregates) == 3
        self.assert_exact(aggregates)
        assert {key[1]: found.count("attempts") for key, found in self.sums(aggregates, "driver").items()} == {
            ("amoot",): 2,
            ("ssms",): 3,
        }

    def test_each_change_is_counted_once(self, ledger: Ledger, aggregates: Aggregates) -> None:
        held = self.begin(ledger)
        steps: list[Callable[[], object]] = [
            lambda: run(ledger.finish(held, SENT, later(1))),
            lambda: run(ledger.report("amoot", DeliveryReport("r" * 22, DeliveryState.DELIVERED), no_charge, later(5))),
            lambda: run(ledger.verify(held.verification, Channel.SMS, "amoot", later(9))),
        ]
        for step in steps:
            self.fold_all(aggregates)
            step()
            self.assert_exact(aggregates)
        for _ in range(2):
            found = self.total(aggregates)
            assert [found.count(name) for name in ("attempts", "sent", "delivered", "verified", "unclear")] == [
                1, 1, 1, 1, 0,
            ]  # fmt: skip
            assert (found.cost, found.charged) == ({"EUR": CENT}, {"EUR": CENT})
            assert found.count("verify_ms") == 8000
            assert self.fold_all(aggregates) in (0, 1)

    def test_attempt_moves_to_the_driver_that_takes_it_over(self, ledger: Ledger, aggregates: Aggregates) -> None:
        self.begin(ledger, outcome=AttemptOutcome.UNSENT)
        self.fold_all(aggregates)
        assert isinstance(run(ledger.begin(attempt(driver="other"), [], None, later(5), waited=True)), Held)
        for _ in range(2):
            self.assert_exact(aggregates)
            assert {key[1]: found.count("attempts") for key, found in self.sums(aggregates, "driver").items()} == {
                ("other",): 1
            }
            self.fold_all(aggregates)

    def test_refused_attempt_moves_to_its_reason(self, ledger: Ledger, aggregates: Aggregates) -> None:
        held = self.begin(ledger)
        self.fold_all(aggregates)
        run(ledger.finish(held, REFUSED, later(1)))
        for _ in range(2):
            (((_, reason), found),) = self.sums(aggregates, "refusal").items()
            assert (reason, found.count("refused"), found.count("unclear")) == (("balance",), 1, 0)
            self.fold_all(aggregates)

    def test_unclear_attempt_is_counted(self, ledger: Ledger, aggregates: Aggregates) -> None:
        held = self.begin(ledger)
        run(ledger.finish(held, UNCLEAR, later(1)))
        assert self.total(aggregates).count("unclear") == 1

    def test_attempt_without_price_is_counted(self, ledger: Ledger, aggregates: Aggregates) -> None:
        held = self.begin(ledger, list_price=None, price=None, currency="")
        run(ledger.finish(held, SENT, later(1)))
        assert self.total(aggregates).count("unpriced") == 1

    def test_money_of_two_currencies_stays_apart(self, ledger: Ledger, aggregates: Aggregates) -> None:
        for number, currency in enumerate(("EUR", "USD", "USD")):
            held = self.begin(ledger, number, currency=currency)
            run(ledger.finish(held, SENT, later(1)))
        self.fold_all(aggregates)
        found = self.total(aggregates)
        assert found.cost == {"EUR": CENT, "USD": 2 * CENT}
        assert found.charged == {"EUR": 3 * CENT}

    @pytest.mark.parametrize("folded", [False, True], ids=["dirty", "folded"])
    @pytest.mark.parametrize("name", ["service", "access_key", "channel", "driver", "region", "purpose"])
    def test_sums_are_filtered(self, ledger: Ledger, aggregates: Aggregates, name: str, folded: bool) -> None:
        self.begin(ledger, 0, NOW, **{name: "xx"})
        self.begin(ledger, 1, NOW, **{name: "yy"})
        self.begin(ledger, 2, NOW, **{name: "xx"})
        if folded:
            self.fold_all(aggregates)
        assert self.total(aggregates, **{name: "xx"}).count("attempts") == 2
        assert self.total(aggregates, **{name: "zz"}).count("attempts") == 0

    @pytest.mark.parametrize("folded", [False, True], ids=["dirty", "folded"])
    def test_values_of_filters_are_listed(self, ledger: Ledger, aggregates: Aggregates, folded: bool) -> None:
        for number, driver in enumerate(("amoot", "ssms", "ssms")):
            self.begin(ledger, number, driver=driver)
        self.begin(ledger, 9, later(-(10**7)), driver="old")
        if folded:
            self.fold_all(aggregates)
        found = run(aggregates.values(WEEK))
        assert sorted(found) == [("default", "", "sms", name, "IR", "login") for name in ("amoot", "ssms")]

    @pytest.mark.parametrize("folded", [False, True], ids=["dirty", "folded"])
    def test_range_excludes_its_end(self, ledger: Ledger, aggregates: Aggregates, folded: bool) -> None:
        span = Span(NOW, later(1800))
        for number, seconds in enumerate((-0.000001, 0, 1799.999999, 1800)):
            self.begin(ledger, number, later(seconds))
        if folded:
            self.fold_all(aggregates)
        sums = run(aggregates.sums(Selection(span), ()))
        assert [found.count("attempts") for found in sums.values()] == [2]

    @pytest.mark.parametrize("folded", [False, True], ids=["dirty", "folded"])
    @pytest.mark.parametrize("unit", Unit)
    @pytest.mark.parametrize("zone", [UTC, TEHRAN, BERLIN, ZoneInfo("America/New_York")], ids=str)
    def test_periods_are_those_of_the_time_zone(
        self, ledger: Ledger, aggregates: Aggregates, zone: Any, unit: Unit, folded: bool
    ) -> None:
        times = [datetime(2029, 12, 31, 20, 15, tzinfo=UTC) + timedelta(minutes=14 * n) for n in range(24)]
        for number, at in enumerate(times):
            self.begin(ledger, number, at)
        if folded:
            self.fold_all(aggregates)
        periods = Periods.within(unit, WEEK, zone)
        found = {
            (start.date(), start.hour): figures.count("attempts")
            for (number, _), figures in self.sums(aggregates, periods=periods).items()
            for start in (periods.start(number),)
        }
        expected: dict[tuple[date, int], int] = {}
        for at in times:
            local = at.astimezone(zone)
            key = (local.date(), local.hour if unit is Unit.HOUR else 0)
            expected[key] = expected.get(key, 0) + 1
        assert found == expected

    @pytest.mark.parametrize("folded", [False, True], ids=["dirty", "folded"])
    def test_hour_that_is_repeated_has_two_rows(self, ledger: Ledger, aggregates: Aggregates, folded: bool) -> None:
        """Clocks in Berlin are set back from 3:00 to 2:00 on 28 October 2029."""
        span = Span.of_days(date(2029, 10, 28), date(2029, 10, 28), BERLIN)
        for number in range(25):
            self.begin(ledger, number, span.since + timedelta(hours=number, minutes=20))
        if folded:
            self.fold_all(aggregates)
        hours, days = (Periods.within(unit, span, BERLIN) for unit in Unit)
        by_hour = run(aggregates.sums(Selection(span), (), hours))
        assert [periods_start.hour for periods_start in map(hours.start, sorted(n for n, _ in by_hour))] == [
            0, 1, 2, *range(2, 24),
        ]  # fmt: skip
        by_day = run(aggregates.sums(Selection(span), (), days))
        assert [(days.start(n).day, found.count("attempts")) for (n, _), found in by_day.items()] == [(28, 25)]

    def test_attempts_are_listed_page_by_page(self, ledger: Ledger, aggregates: Aggregates) -> None:
        for number in range(7):
            self.begin(ledger, number, later(number // 3), service="a" if number < 6 else "b")
        listed: list[Attempt] = []
        after = None
        while page := run(aggregates.attempts(Selection(WEEK, {"service": "a"}), after, 2)):
            assert len(page) <= 2
            listed += page
            after = (page[-1].started_at, page[-1].id)
        assert [int(each.verification) for each in listed] == [5, 4, 3, 2, 1, 0]

    @pytest.mark.parametrize("scanned", [1, 2, 3, 7, 8])
    def test_filtered_list_is_complete_however_little_is_scanned(
        self, ledger: Ledger, aggregates: Aggregates, monkeypatch: pytest.MonkeyPatch, scanned: int
    ) -> None:
        monkeypatch.setattr(reading, "SCANNED_AT_ONCE", scanned)
        for number in range(8):
            self.begin(ledger, number, later(number // 3), service="a" if number % 4 == 1 else "b")
        listed = run(aggregates.attempts(Selection(WEEK, {"service": "a"}), None, 9))
        assert [int(each.verification) for each in listed] == [5, 1]
        [first] = run(aggregates.attempts(Selection(WEEK, {"service": "a"}), None, 1))
        [second] = run(aggregates.attempts(Selection(WEEK, {"service": "a"}), (first.started_at, first.id), 9))
        assert int(second.verification) == 1

    @pytest.mark.parametrize("folded", [False, True])
    def test_sums_of_months_are_those_of_their_parts(
        self, ledger: Ledger, aggregates: Aggregates, monkeypatch: pytest.MonkeyPatch, folded: bool
    ) -> None:
        for number in range(30):
            self.begin(ledger, number, later(number * 4 * 3600), service="ab"[number % 2])
        if folded:
            self.fold_all(aggregates)
        span = Span(WEEK.since, WEEK.since + timedelta(days=9))
        days = Periods.within(Unit.DAY, span, ZoneInfo("Asia/Tehran"))
        whole = run(aggregates.sums(Selection(span), ("service",), days))
        monkeypatch.setattr(reading, "DAYS_AT_ONCE", 1)
        assert run(aggregates.sums(Selection(span), ("service",), days)) == whole
        assert sum(found.count("attempts") for found in whole.values()) == 30
        assert len(run(aggregates.values(span))) == 2

    def test_attempts_are_filtered_by_outcome(self, ledger: Ledger, aggregates: Aggregates) -> None:
        for number, result in enumerate((SENT, REFUSED, SENT)):
            run(ledger.finish(self.begin(ledger, number), result, later(1)))
        listed = run(aggregates.attempts(ALL, None, 9, outcome="refused"))
        assert [(each.outcome, each.refusal) for each in listed] == [(AttemptOutcome.REFUSED, "balance")]
        assert len(run(aggregates.attempts(ALL, None, 9, refusal="balance"))) == 1

    def test_deleted_attempts_stay_in_the_sums(self, ledger: Ledger, aggregates: Aggregates) -> None:
        for number in range(3):
            sent = run(ledger.finish(self.begin(ledger, number), SENT, later(1)))
            run(ledger.end(sent.verification, later(2), expired=False))
        self.fold_all(aggregates)
        assert run(ledger.purge(later(500), 100)) == 3
        assert run(aggregates.attempts(ALL, None, 9)) == []
        found = self.total(aggregates)
        assert (found.count("sent"), found.cost) == (3, {"EUR": Decimal("0.03")})

    def test_purged_open_attempt_still_releases_its_price(self, ledger: Ledger, aggregates: Aggregates) -> None:
        run(ledger.pay(Payment("default", ONE, "EUR", "k"), PREPAID, NOW))
        run(ledger.begin(attempt(), [], PREPAID, NOW))
        self.fold_all(aggregates)
        assert [run(ledger.purge(later(500), 100)) for _ in range(2)] == [1, 0]
        [left] = run(ledger.unsettled(later(500), 9))
        assert (left.tag, left.hint, left.reserved) == ("", "", CENT)
        run(ledger.finish(left, REFUSED, later(501)))
        account = run(ledger.account("default"))
        assert account is not None
        assert (account.balance, account.reserved) == (ONE, ZERO)
        self.fold_all(aggregates)
        assert run(ledger.purge(later(600), 100)) == 1
        assert run(aggregates.attempts(ALL, None, 9)) == []


class AggregatesRaces(AggregatesPromises):
    """What aggregates promise to concurrent callers."""

    #: How many threads write and fold.
    threads: ClassVar[int] = THREADS

    def leave(self) -> None:
        """Release what a thread of a race holds."""

    def test_sums_are_exact_among_writers_and_folders(self, ledger: Ledger, aggregates: Aggregates) -> None:
        seen: list[int] = []

        def write(number: int) -> None:
            for each in range(4):
                held = self.begin(
                    ledger, number * 10 + each, later(each), driver=f"d{number % 3}", verification=f"{number:0>44}",
                    send=each + 1,
                )  # fmt: skip
                run(ledger.finish(held, REFUSED if each == 1 else SENT, later(each + 1)))
            run(ledger.verify(f"{number:0>44}", Channel.SMS, f"d{number % 3}", later(20)))

        def step(number: int) -> None:
            if number % 4 == 0:
                for _ in range(6):
                    run(aggregates.fold(30))
            elif number % 4 == 1:
                for _ in range(3):
                    found = self.total(aggregates)
                    seen.append(found.count("attempts"))
                    outcomes = ("sent", "refused", "unclear")
                    assert found.count("attempts") == sum(found.count(name) for name in outcomes)
            else:
                write(number)

        together(self.threads, step, self.leave)
        writers = sum(number % 4 > 1 for number in range(self.threads))
        self.assert_exact(aggregates)
        self.fold_all(aggregates)
        self.assert_exact(aggregates)
        found = self.total(aggregates)
        assert [found.count(name) for name in ("attempts", "refused", "verified")] == [writers * 4, writers, writers]
        assert max(seen) <= writers * 4

    def test_parallel_folders_fold_each_attempt_once(self, ledger: Ledger, aggregates: Aggregates) -> None:
        for number in range(60):
            self.begin(ledger, number)
        folded: Sequence[int] = together(8, lambda _: run(aggregates.fold(25)), self.leave)
        assert sum(folded) + self.fold_all(aggregates) == 60
        self.assert_exact(aggregates)
        assert self.total(aggregates).count("attempts") == 60


class AggregatesSuite(AggregatesRaces):
    """All promises of aggregates."""
