"""What a ledger promises about what waits: orders for a worker, look-ups of deliveries, and alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ..ledger.base import Ledger
from ..ledger.caps import Cap, Window
from ..ledger.values import RELEASED, ZERO, Alarm, AttemptOutcome, ChargedFor, Held, Suspended
from ..model import Channel, Receipt
from .ledger_calls import (
    CENT,
    DELIVERED,
    NOW,
    ONE,
    PREPAID,
    REFUSED,
    SENT,
    TAG,
    UNCLEAR,
    LedgerCalls,
    attempt,
    later,
    no_charge,
    run,
)


class WaitingPromises(LedgerCalls):
    """Promises about orders that wait, look-ups and alarms, as a part of `LedgerSuite`."""

    def test_waiting_attempt_reserves_and_becomes_unclear(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        caps = [Cap(Window.HOUR, count=1)]
        held = self.begin(ledger, caps=caps, terms=PREPAID, outcome=AttemptOutcome.UNSENT)
        assert (self.only(ledger).outcome, self.account(ledger).reserved) == (AttemptOutcome.UNSENT, CENT)
        again = self.begin(ledger, caps=caps, terms=PREPAID, now=later(5))
        assert self.only(ledger) == again == replace(held, outcome=AttemptOutcome.UNCLEAR)
        assert (self.spent(ledger, Window.HOUR), self.account(ledger).reserved) == ((1, CENT), CENT)
        assert run(ledger.release(held.verification, 1, later(6))) == [again]
        run(ledger.finish(again, SENT, later(7)))
        assert self.account(ledger).balance == Decimal("0.99")

    def test_order_that_is_not_sent_costs_nothing(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        caps = [Cap(Window.DAY, money=ONE)]
        for send in (1, 2):
            self.begin(ledger, caps=caps, terms=PREPAID, send=send, outcome=AttemptOutcome.UNSENT)
        first, second = run(ledger.release(attempt().verification, 1, later(5)))
        assert (first.open, first.cost, second.open) == (False, ZERO, True)
        assert self.account(ledger).reserved == CENT
        run(ledger.end(attempt().verification, later(9)))
        assert (self.account(ledger).available, self.spent(ledger, Window.DAY)) == (ONE, (2, ZERO))
        assert {each.outcome for each in run(ledger.attempts(attempt().verification))} == {AttemptOutcome.UNSENT}

    def test_order_that_was_released_is_not_begun_again(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        held = self.begin(ledger, terms=PREPAID, outcome=AttemptOutcome.UNSENT)
        run(ledger.release(held.verification, 1, later(5)))
        refused = run(ledger.begin(attempt(), [], PREPAID, later(6)))
        assert isinstance(refused, Suspended)
        assert refused.limit == RELEASED
        assert (self.only(ledger).outcome, self.account(ledger).reserved) == (AttemptOutcome.UNSENT, ZERO)

    def take_over(self, ledger: Ledger, caps: Sequence[Cap] = (), **changes: Any) -> Held | Suspended:
        """Ask a driver other than the one for which the order was reserved."""
        given = attempt(**{"driver": "other", **changes})
        return run(ledger.begin(given, caps, PREPAID, later(3600), waited=True))

    def test_driver_that_is_asked_takes_over_the_reservation(self, ledger: Ledger) -> None:
        self.pay(ledger, "0.01")
        caps = [Cap(Window.HOUR, count=1), Cap(Window.DAY, money=CENT)]
        self.begin(ledger, caps=caps, terms=PREPAID, outcome=AttemptOutcome.UNSENT)
        held = self.take_over(ledger, caps)
        assert isinstance(held, Held)
        assert (held.attempt.driver, held.attempt.outcome, held.attempt.open) == ("other", AttemptOutcome.UNCLEAR, True)
        assert self.only(ledger) == held.attempt
        assert [self.spent(ledger, window) for window in (Window.HOUR, Window.DAY)] == [(1, CENT)] * 2
        assert self.account(ledger).reserved == CENT
        assert self.take_over(ledger, caps) == replace(held, repeated=True)
        # The driver of the reservation is asked after the other one refused: it is an order of its own.
        run(ledger.finish(held.attempt, REFUSED, later(3601)))
        assert isinstance(self.take_over(ledger, [Cap(Window.DAY, count=2)], driver="amoot"), Held)
        assert (self.spent(ledger, Window.DAY), self.account(ledger).reserved) == ((2, CENT), CENT)

    @pytest.mark.parametrize(("price", "held"), [("0.005", True), ("0.02", True), ("0.03", False)])
    @pytest.mark.parametrize("limit", ["cap", "balance"])
    def test_reservation_becomes_the_price_of_the_driver_that_is_asked(
        self, ledger: Ledger, limit: str, price: str, held: bool
    ) -> None:
        caps = [Cap(Window.DAY, money=Decimal("0.02") if limit == "cap" else ONE)]
        self.pay(ledger, "0.02" if limit == "balance" else "1")
        first = self.begin(ledger, caps=caps, terms=PREPAID, outcome=AttemptOutcome.UNSENT)
        found = self.take_over(ledger, caps, price=Decimal(price), charged_for=ChargedFor.DELIVERED)
        assert isinstance(found, Held) is held
        assert self.only(ledger) == (found.attempt if isinstance(found, Held) else first)
        assert self.only(ledger).reserved == (Decimal(price) if held else CENT)
        assert self.account(ledger).reserved == self.only(ledger).reserved
        assert self.spent(ledger, Window.DAY) == (1, self.only(ledger).reserved)
        run(ledger.finish(self.only(ledger), SENT, later(3601)))
        run(ledger.verify(first.verification, Channel.SMS, self.only(ledger).driver, later(3602)))
        assert self.account(ledger).reserved == ZERO

    def test_cheaper_driver_takes_over_under_a_cap_that_was_lowered(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        self.begin(ledger, caps=[Cap(Window.DAY, money=ONE)], terms=PREPAID, outcome=AttemptOutcome.UNSENT)
        lower = [Cap(Window.DAY, money=Decimal("0.001"))]
        assert isinstance(self.take_over(ledger, lower, price=Decimal("0.005")), Held)
        assert self.spent(ledger, Window.DAY) == (1, Decimal("0.005"))

    def test_reservation_that_was_released_is_not_taken_over(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        held = self.begin(ledger, terms=PREPAID, outcome=AttemptOutcome.UNSENT)
        run(ledger.release(held.verification, 1, later(5)))
        refused = self.take_over(ledger)
        assert isinstance(refused, Suspended)
        assert refused.limit == RELEASED
        assert (self.only(ledger).driver, self.account(ledger).reserved) == ("amoot", ZERO)

    def test_order_of_another_send_is_not_taken_over(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        self.begin(ledger, terms=PREPAID, outcome=AttemptOutcome.UNSENT)
        assert isinstance(self.take_over(ledger, send=2), Held)
        assert self.account(ledger).reserved == 2 * CENT

    @pytest.mark.parametrize("charged_for", ChargedFor)
    def test_unsent_attempt_is_not_verified(self, ledger: Ledger, charged_for: ChargedFor) -> None:
        run(ledger.finish(self.begin(ledger), SENT, later(1)))
        self.begin(ledger, send=2, outcome=AttemptOutcome.UNSENT, charged_for=charged_for)
        run(ledger.verify(attempt().verification, Channel.SMS, "amoot", later(9)))
        first, second = run(ledger.attempts(attempt().verification))
        assert (first.outcome, second.outcome) == (AttemptOutcome.VERIFIED, AttemptOutcome.UNSENT)
        assert (second.open, second.charged, second.reserved) == (False, ZERO, ZERO)

    def test_delivery_is_looked_up_until_it_is_known(self, ledger: Ledger) -> None:
        kept = replace(SENT, sealed="sealed")
        for send, reference in ((1, "r" * 22), (2, "s" * 22)):
            held = self.begin(ledger, send=send, charged_for=ChargedFor.DELIVERED)
            run(ledger.finish(held, replace(kept, receipt=Receipt(reference=reference)), later(1)))
        assert run(ledger.look_ups(9, later(59))) == []
        assert [each.sealed for each in run(ledger.look_ups(9, later(60)))] == ["sealed"] * 2
        assert run(ledger.look_ups(9, later(179))) == []
        # Also after the verification has ended: it may still be charged.
        run(ledger.verify(attempt().verification, Channel.SMS, "amoot", later(170)))
        (first,) = run(ledger.look_ups(9, later(180)))
        assert first.send == 1
        run(ledger.report("amoot", DELIVERED, no_charge, later(181)))
        found = run(ledger.attempts(attempt().verification))
        assert [(each.sealed, each.look_up_at, each.charged) for each in found] == [(None, None, CENT)] * 2
        assert run(ledger.look_ups(9, later(9999))) == []

    def test_look_ups_end_after_the_last(self, ledger: Ledger) -> None:
        held = self.begin(ledger)
        run(ledger.finish(held, replace(UNCLEAR, sealed="sealed"), later(1)))
        asked = [minute for minute in range(30) if run(ledger.look_ups(9, later(60 * minute)))]
        assert asked == [1, 3, 8, 14]
        assert self.only(ledger).sealed == "sealed"
        run(ledger.end(held.verification, later(1800)))
        assert self.only(ledger).sealed is None

    def test_erased_phone_is_not_looked_up(self, ledger: Ledger) -> None:
        run(ledger.finish(self.begin(ledger), replace(SENT, sealed="sealed"), later(1)))
        run(ledger.erase(TAG))
        assert run(ledger.look_ups(9, later(60))) == []

    def test_alarm_is_kept_until_it_was_told(self, ledger: Ledger) -> None:
        caps = [Cap(Window.HOUR, count=2), Cap(Window.REGION, money=CENT, region="IR", enforced=False)]
        alarms: list[Alarm] = []
        for number in range(3):
            alarms += run(ledger.begin(attempt(number), caps, None, later(number))).alarms
        raised = run(ledger.raise_level("provider:amoot", Alarm("default", "provider", 80, "1", "2"), later(3)))
        assert [alarm.level for alarm in alarms] == [50, 100, 100]
        assert raised is not None
        kept = run(ledger.alarms(later(4), 9))
        # The first two were raised in one step, so their order is not defined.
        assert (sorted(kept[:2], key=str), kept[2:]) == (sorted(alarms[:2], key=str), [alarms[2], raised])
        assert len({alarm.key for alarm in kept}) == 4
        assert sorted(map(str, run(ledger.alarms(later(3), 2)))) == sorted(map(str, alarms[:2]))
        for alarm in alarms:
            run(ledger.told(alarm))
        assert run(ledger.alarms(later(4), 9)) == [raised]

    def filled(self, ledger: Ledger, cap: Cap, numbers: range, *, given_back: bool = True) -> list[int]:
        """Begin these attempts under a total cap; return the levels of the alarms. They are then given back."""
        seen: list[int] = []
        for number in numbers:
            found = run(ledger.begin(attempt(number, charged_for=ChargedFor.VERIFIED), [cap], None, NOW))
            seen += [alarm.level for alarm in found.alarms]
        for number in numbers if given_back else ():
            run(ledger.end(attempt(number).verification, NOW))
        return seen

    def test_orders_given_back_do_not_repeat_an_alarm(self, ledger: Ledger) -> None:
        cap = Cap(Window.TOTAL, money=CENT * 20)
        rounds = [self.filled(ledger, cap, range(start, start + 18)) for start in (0, 20, 40)]
        assert rounds == [[50, 80], [], []]
        assert self.spent(ledger, Window.TOTAL) == (54, ZERO)

    def test_alarm_is_repeated_once_for_each_raise_of_a_cap(self, ledger: Ledger) -> None:
        caps = [Cap(Window.TOTAL, money=CENT * cents) for cents in (20, 21, 21, 20, 21)]
        rounds = [self.filled(ledger, cap, range(20 * n, 20 * n + 18)) for n, cap in enumerate(caps)]
        assert rounds == [[50, 80], [50, 80], [], [], []]

    def test_raise_that_leaves_a_level_reached_is_over_then(self, ledger: Ledger) -> None:
        cap, higher = (Cap(Window.TOTAL, money=CENT * cents) for cents in (20, 21))
        assert self.filled(ledger, cap, range(17), given_back=False) == [50, 80]
        assert self.filled(ledger, higher, range(17, 18)) == []
        for number in range(17):
            run(ledger.end(attempt(number).verification, NOW))
        assert self.filled(ledger, higher, range(20, 38)) == []

    def test_cap_that_was_used_up_alarms_again_after_a_raise(self, ledger: Ledger) -> None:
        low, higher = Cap(Window.TOTAL, money=Decimal("0.005")), Cap(Window.TOTAL, money=CENT * 4)
        assert [self.filled(ledger, cap, range(2)) for cap in (low, low)] == [[100], []]
        assert self.filled(ledger, higher, range(3)) == [50]

    @pytest.mark.parametrize(("cents", "more"), [(11, [100]), (20, [80, 100])])
    def test_order_that_reaches_a_raised_cap_alarms(self, ledger: Ledger, cents: int, more: list[int]) -> None:
        low, higher = (Cap(Window.TOTAL, money=CENT * each) for each in (10, cents))
        assert self.filled(ledger, low, range(11), given_back=False) == [50, 80, 100]
        assert self.filled(ledger, higher, range(11, 13 + cents - 10), given_back=False) == more

    def test_order_that_a_raised_cap_refuses_alarms(self, ledger: Ledger) -> None:
        low, higher = (Cap(Window.TOTAL, money=each) for each in (CENT * 10, CENT * 10 + CENT / 2))
        assert self.filled(ledger, low, range(11), given_back=False) == [50, 80, 100]
        assert self.filled(ledger, higher, range(11, 14), given_back=False) == [100]

    @pytest.mark.parametrize(
        ("other", "repeats"),
        [
            (Cap(Window.TOTAL, count=100, money=CENT * 20), False),
            (Cap(Window.TOTAL, count=100, money=CENT * 21), True),
            (Cap(Window.TOTAL, count=101, money=CENT * 20), True),
            (Cap(Window.TOTAL, money=CENT * 20), True),
            (Cap(Window.TOTAL, count=99, money=CENT * 20), False),
        ],
        ids=["same", "more money", "more attempts", "no limit of attempts", "fewer attempts"],
    )
    def test_each_limit_of_a_cap_can_be_raised(self, ledger: Ledger, other: Cap, repeats: bool) -> None:
        assert self.filled(ledger, Cap(Window.TOTAL, count=100, money=CENT * 20), range(12)) == [50]
        assert self.filled(ledger, other, range(20, 32)) == [50] * repeats
