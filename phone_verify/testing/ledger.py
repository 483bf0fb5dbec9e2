"""The suite that every ledger must pass: the contract of `ledger/base.py`, and races with real threads.

    class TestMyLedger(LedgerSuite):
        @pytest.fixture
        def ledger(self):
            return MyLedger(…)

Time is passed in, so nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import pytest

from ..ledger.base import Ledger
from ..ledger.caps import Cap, Window, counter_name
from ..ledger.values import (
    CURRENCY,
    ZERO,
    Alarm,
    AttemptOutcome,
    ChargedFor,
    Held,
    OtherPaymentError,
    Payment,
    Suspended,
    Terms,
)
from ..model import Channel, DeliveryState
from .ledger_calls import (
    CENT,
    DELIVERED,
    NOW,
    ONE,
    PARALLEL,
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
from .ledger_waiting import WaitingPromises
from .stores import together

T = TypeVar("T")


class LedgerPromises(LedgerCalls):
    """What a ledger promises to one caller."""

    # Attempts.

    def test_attempt_is_written_unclear_and_then_sent(self, ledger: Ledger) -> None:
        held = self.begin(ledger)
        assert (held.outcome, held.reserved, held.open) == (AttemptOutcome.UNCLEAR, CENT, True)
        assert self.only(ledger) == held
        done = run(ledger.finish(held, SENT, later(1)))
        assert self.only(ledger) == done
        assert (done.outcome, done.sent_at, done.provider_ms, done.parts) == (AttemptOutcome.SENT, later(1), 120, 1)
        assert (done.charged, done.reserved, done.cost) == (CENT, ZERO, CENT)

    def test_every_field_survives(self, ledger: Ledger) -> None:
        given = attempt(3, access_key="k" * 12, operator="op", charged_for=ChargedFor.VERIFIED, parts=2)
        held = run(ledger.begin(given, [], None, NOW))
        assert isinstance(held, Held)
        assert self.only(ledger, 3) == replace(given, id=held.attempt.id, reserved=CENT)

    def test_repeated_begin_changes_nothing(self, ledger: Ledger) -> None:
        caps = [Cap(Window.HOUR, count=5)]
        self.pay(ledger, "1")
        first = self.begin(ledger, caps=caps, terms=PREPAID)
        again = run(ledger.begin(attempt(), caps, PREPAID, later(1)))
        assert isinstance(again, Held)
        assert (again.repeated, again.attempt) == (True, first)
        assert self.spent(ledger, Window.HOUR) == (1, CENT)
        assert self.account(ledger).reserved == CENT

    def test_drivers_of_one_send_are_separate_attempts(self, ledger: Ledger) -> None:
        run(ledger.finish(self.begin(ledger), REFUSED, later(1)))
        run(ledger.finish(self.begin(ledger, driver="other"), SENT, later(2)))
        found = run(ledger.attempts(attempt().verification))
        assert [each.outcome for each in found] == [AttemptOutcome.REFUSED, AttemptOutcome.SENT]

    def test_refused_attempt_costs_nothing(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        held = self.begin(ledger, caps=[Cap(Window.DAY, money=Decimal(1))], terms=PREPAID)
        done = run(ledger.finish(held, REFUSED, later(1)))
        assert (done.outcome, done.refusal, done.open, done.cost) == (AttemptOutcome.REFUSED, "balance", False, ZERO)
        assert self.account(ledger).available == 1
        assert self.spent(ledger, Window.DAY) == (1, ZERO)

    def test_finish_writes_an_attempt_that_was_lost(self, ledger: Ledger) -> None:
        done = run(ledger.finish(attempt(id=4711), SENT, later(1)))
        assert self.only(ledger) == done

    def test_repeated_finish_charges_once(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        held = self.begin(ledger, terms=PREPAID)
        for seconds in (1, 2):
            run(ledger.finish(held, SENT, later(seconds)))
        assert self.account(ledger).balance == Decimal("0.99")
        assert self.only(ledger).sent_at == later(1)

    # Outcomes only rise.

    def test_outcome_never_goes_back(self, ledger: Ledger) -> None:
        held = self.begin(ledger)
        run(ledger.finish(held, SENT, later(1)))
        assert run(ledger.verify(held.verification, Channel.SMS, "amoot", later(9))) == 1
        run(ledger.report("amoot", replace(DELIVERED, state=DeliveryState.UNDELIVERED), no_charge, later(10)))
        run(ledger.finish(held, UNCLEAR, later(11)))
        run(ledger.end(held.verification, later(12)))
        found = self.only(ledger)
        assert (found.outcome, found.verify_ms, found.closed_at) == (AttemptOutcome.VERIFIED, 8000, later(9))

    def test_delivery_report_is_kept_behind_a_later_outcome(self, ledger: Ledger) -> None:
        held = self.begin(ledger)
        run(ledger.finish(held, SENT, later(1)))
        assert run(ledger.report("other", DELIVERED, no_charge, later(2))) is None
        found = run(ledger.report("amoot", DELIVERED, no_charge, later(2)))
        assert found is not None
        assert found.outcome is AttemptOutcome.DELIVERED
        run(ledger.end(held.verification, later(700)))
        found = self.only(ledger)
        assert (found.outcome, found.delivery) == (AttemptOutcome.EXPIRED, "delivered")

    def test_success_counts_for_the_channel_that_proved(self, ledger: Ledger) -> None:
        for driver, channel in (("amoot", "sms"), ("lines", "inbound_call")):
            run(ledger.finish(self.begin(ledger, driver=driver, channel=channel), SENT, later(1)))
        assert run(ledger.verify(attempt().verification, Channel.INBOUND_CALL, "lines", later(5))) == 2
        found = run(ledger.attempts(attempt().verification))
        assert [each.outcome for each in found] == [AttemptOutcome.SENT, AttemptOutcome.VERIFIED]
        assert not any(each.open for each in found)

    def test_unclear_attempt_stays_unclear_and_is_charged(self, ledger: Ledger) -> None:
        held = self.begin(ledger)
        run(ledger.finish(held, UNCLEAR, later(10)))
        assert self.only(ledger).reserved == CENT
        run(ledger.end(held.verification, later(700)))
        found = self.only(ledger)
        assert (found.outcome, found.charged, found.open) == (AttemptOutcome.UNCLEAR, CENT, False)

    # What is charged.

    @pytest.mark.parametrize("charged_for", [ChargedFor.DELIVERED, ChargedFor.VERIFIED])
    def test_success_price_is_released_without_success(self, ledger: Ledger, charged_for: ChargedFor) -> None:
        self.pay(ledger, "1")
        held = self.begin(ledger, terms=PREPAID, charged_for=charged_for)
        run(ledger.finish(held, SENT, later(1)))
        assert (self.account(ledger).balance, self.account(ledger).reserved) == (ONE, CENT)
        run(ledger.end(held.verification, later(900)))
        assert (self.account(ledger).balance, self.account(ledger).reserved) == (ONE, ZERO)
        assert self.only(ledger).cost == 0
        # A late success is charged all the same.
        run(ledger.verify(held.verification, Channel.SMS, "amoot", later(901)))
        assert self.account(ledger).balance == Decimal("0.99")
        assert self.only(ledger).cost == CENT

    def test_price_of_the_provider_replaces_that_of_the_table(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        caps = [Cap(Window.DAY, money=Decimal(5))]
        held = self.begin(ledger, caps=caps, terms=PREPAID)
        receipt = replace(SENT.receipt, price=Decimal("900"), currency="IRR")
        done = run(ledger.finish(held, replace(SENT, receipt=receipt, charge=Decimal("0.02")), later(1)))
        assert (done.cost, done.currency, done.cost_source, done.charged) == (
            Decimal(900),
            "IRR",
            "provider",
            Decimal("0.02"),
        )
        assert self.account(ledger).balance == Decimal("0.98")
        assert self.spent(ledger, Window.DAY) == (1, Decimal("0.02"))
        late = replace(DELIVERED, price=Decimal("450"), currency="IRR")
        run(ledger.report("amoot", late, lambda currency: CENT if currency == "EUR" else None, later(2)))
        assert self.account(ledger).balance == Decimal("0.99")
        assert self.spent(ledger, Window.DAY) == (1, CENT)

    # Caps.

    @pytest.mark.parametrize("window", Window)
    def test_cap_of_each_window_suspends(self, ledger: Ledger, window: Window) -> None:
        cap = Cap(window, count=2, region="IR" if window is Window.REGION else "")
        for number in range(2):
            self.begin(ledger, number, [cap])
        denied = run(ledger.begin(attempt(2), [cap], None, NOW))
        assert isinstance(denied, Suspended)
        assert denied.limit == window.value
        assert run(ledger.attempts(attempt(2).verification)) == []
        other = {Window.HOUR: 3600, Window.DAY: 86400, Window.REGION: 86400}.get(window, 0)
        held = run(ledger.begin(attempt(3), [cap], None, later(other)))
        assert isinstance(held, Held) is (window is not Window.TOTAL)

    def test_region_cap_leaves_other_regions(self, ledger: Ledger) -> None:
        caps = [Cap(Window.REGION, count=1, region="IR"), Cap(Window.REGION, count=2, region="*")]
        self.begin(ledger, 0, caps)
        assert isinstance(run(ledger.begin(attempt(1), caps, None, NOW)), Suspended)
        for number in (2, 3):
            self.begin(ledger, number, caps, region="DE")
        assert isinstance(run(ledger.begin(attempt(4, region="DE"), caps, None, NOW)), Suspended)
        self.begin(ledger, 5, caps, region="RU")

    def test_refused_attempt_is_not_counted_in_other_caps(self, ledger: Ledger) -> None:
        caps = [Cap(Window.HOUR, count=9), Cap(Window.TOTAL, money=CENT)]
        self.begin(ledger, 0, caps)
        assert isinstance(run(ledger.begin(attempt(1), caps, None, NOW)), Suspended)
        assert self.spent(ledger, Window.HOUR) == (1, CENT)

    def test_record_only_cap_alarms_and_refuses_nothing(self, ledger: Ledger) -> None:
        cap = Cap(Window.HOUR, count=2, enforced=False)
        levels = []
        for number in range(4):
            held = run(ledger.begin(attempt(number), [cap], None, NOW))
            assert isinstance(held, Held)
            levels += [alarm.level for alarm in held.alarms]
        assert levels == [50, 100]

    def test_alarms_are_raised_once_a_window(self, ledger: Ledger) -> None:
        cap = Cap(Window.HOUR, money=Decimal("0.10"))
        seen: list[tuple[int, str]] = []
        for number in range(12):
            held = run(ledger.begin(attempt(number), [cap], None, NOW))
            seen += [(alarm.level, alarm.limit) for alarm in held.alarms]
        assert seen == [(50, "hour"), (80, "hour"), (100, "hour")]
        held = run(ledger.begin(attempt(20, price=Decimal("0.05")), [cap], None, later(3600)))
        assert [alarm.level for alarm in held.alarms] == [50]

    def test_cap_below_one_price_alarms_once(self, ledger: Ledger) -> None:
        cap = Cap(Window.DAY, money=Decimal("0.005"))
        denied = [run(ledger.begin(attempt(number), [cap], None, NOW)) for number in range(2)]
        assert all(isinstance(each, Suspended) for each in denied)
        assert [[alarm.level for alarm in each.alarms] for each in denied] == [[100], []]

    def test_cap_that_was_raised_alarms_again(self, ledger: Ledger) -> None:
        def levels(numbers: range, count: int) -> list[int]:
            cap = Cap(Window.TOTAL, count=count)
            held = [run(ledger.begin(attempt(number), [cap], None, NOW)) for number in numbers]
            return [alarm.level for each in held for alarm in each.alarms]

        assert levels(range(3), 2) == [50, 100]
        assert levels(range(10, 29), 20) == [50, 80, 100]

    @pytest.mark.parametrize("window", [Window.DAY, Window.TOTAL])
    def test_refused_attempts_do_not_repeat_an_alarm(self, ledger: Ledger, window: Window) -> None:
        cap, seen = Cap(window, count=20), []
        for number in range(9):
            run(ledger.begin(attempt(number), [cap], None, NOW))
        for number in range(10, 14):
            held = run(ledger.begin(attempt(number), [cap], None, NOW))
            assert isinstance(held, Held)
            seen += [alarm.level for alarm in held.alarms]
            run(ledger.finish(held.attempt, REFUSED, later(1)))
        assert seen == [50]

    # Accounts.

    def test_account_without_a_payment_alarms_once(self, ledger: Ledger) -> None:
        denied = [run(ledger.begin(attempt(number), [], PREPAID, NOW)) for number in range(2)]
        assert all(isinstance(each, Suspended) for each in denied)
        assert [[(alarm.limit, alarm.level) for alarm in each.alarms] for each in denied] == [[("balance", 100)], []]

    def test_balance_suspends_and_top_up_restores(self, ledger: Ledger) -> None:
        self.pay(ledger, "0.02")
        for number in range(2):
            self.begin(ledger, number, terms=PREPAID)
        denied = run(ledger.begin(attempt(2), [], PREPAID, NOW))
        assert isinstance(denied, Suspended)
        assert denied.limit == "balance"
        self.pay(ledger, "0.01")
        self.begin(ledger, 3, terms=PREPAID)

    def test_credit_limit_is_reached_to_the_cent(self, ledger: Ledger) -> None:
        terms = Terms("EUR", credit_limit=Decimal("0.03"))
        for number in range(3):
            run(ledger.finish(self.begin(ledger, number, terms=terms), SENT, later(1)))
        assert isinstance(run(ledger.begin(attempt(3), [], terms, NOW)), Suspended)
        assert self.account(ledger).balance == Decimal("-0.03")

    def test_trial_is_the_first_payment(self, ledger: Ledger) -> None:
        terms = Terms("EUR", trial=CENT)
        self.begin(ledger, 0, terms=terms)
        assert isinstance(run(ledger.begin(attempt(1), [], terms, NOW)), Suspended)
        ((at, trial),) = run(ledger.payments("default"))
        assert (at, trial.kind, trial.amount) == (NOW, "trial", CENT)

    def test_payment_key_is_used_once(self, ledger: Ledger) -> None:
        payment = Payment("default", Decimal(5), "EUR", "invoice-7", note="Überweisung", by="anna")
        assert run(ledger.pay(payment, PREPAID, NOW)) is not None
        assert run(ledger.pay(payment, PREPAID, later(1))) is None
        assert self.account(ledger).balance == 5
        assert run(ledger.payments("default")) == [(NOW, payment)]

    def test_no_payment_has_the_key_of_the_trial(self, ledger: Ledger) -> None:
        terms = Terms("EUR", trial=CENT)
        for key in ("", " "):
            with pytest.raises(ValueError, match="key"):
                run(ledger.pay(Payment("default", ONE, "EUR", key), terms, NOW))
        assert run(ledger.account("default")) is None
        assert run(ledger.pay(Payment("default", ONE, "EUR", "trial"), terms, NOW)) is not None
        assert self.account(ledger).balance == ONE + CENT

    @pytest.mark.parametrize("other", [{"amount": Decimal(6)}, {"currency": "USD"}], ids=["amount", "currency"])
    def test_payment_key_of_another_payment_is_refused(self, ledger: Ledger, other: dict[str, Any]) -> None:
        payment = Payment("default", Decimal(5), "EUR", "invoice-7")
        assert run(ledger.pay(payment, PREPAID, NOW)) is not None
        with pytest.raises(OtherPaymentError, match="invoice-7 was made before, of 5"):
            run(ledger.pay(replace(payment, **other), PREPAID, later(1)))
        assert run(ledger.payments("default")) == [(NOW, payment)]
        assert self.account(ledger).balance == 5

    def test_payment_of_another_currency_is_refused(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        with pytest.raises(ValueError, match="EUR"):
            run(ledger.pay(Payment("default", CENT, "USD", "x"), Terms("USD"), NOW))
        assert len(run(ledger.payments("default"))) == 1

    def test_balance_alarms_once_until_a_top_up(self, ledger: Ledger) -> None:
        levels = []
        for amount in ("0.10", "0.20"):
            self.pay(ledger, amount)
            for number in range(20):
                result = run(ledger.begin(attempt(int(Decimal(amount) * 1000) + number), [], PREPAID, NOW))
                levels += [alarm.level for alarm in result.alarms]
        assert levels == [50, 80, 100] * 2

    def test_record_only_terms_refuse_nothing(self, ledger: Ledger) -> None:
        terms = replace(PREPAID, enforced=False)
        for number in range(3):
            run(ledger.finish(self.begin(ledger, number, terms=terms), SENT, later(1)))
        assert self.account(ledger).balance == Decimal("-0.03")

    def test_account_of_another_currency_is_left_alone(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        other = Terms("USD")
        refused = run(ledger.begin(attempt(1), [], other, NOW))
        assert isinstance(refused, Suspended)
        assert refused.limit == CURRENCY
        held = run(ledger.begin(attempt(2), [], replace(other, enforced=False), NOW))
        assert isinstance(held, Held)
        run(ledger.finish(held.attempt, SENT, later(1)))
        assert (self.account(ledger).balance, self.account(ledger).reserved) == (ONE, ZERO)

    def test_levels_of_a_name_are_raised_once(self, ledger: Ledger) -> None:
        alarms = [Alarm("default", "provider", level, "1", "2", driver="amoot") for level in (50, 50, 100, 80, 0, 50)]
        raised = [run(ledger.raise_level("provider:amoot", alarm, NOW)) for alarm in alarms]
        assert raised == [alarms[0], None, alarms[2], None, None, alarms[5]]

    # The end of a row.

    def test_unsettled_attempts_are_found(self, ledger: Ledger) -> None:
        for number in range(3):
            self.begin(ledger, number, now=later(number))
        run(ledger.finish(self.begin(ledger, 3), REFUSED, later(1)))
        found = run(ledger.unsettled(later(2), 10))
        assert [each.verification[-1] for each in found] == ["0", "1"]
        assert len(run(ledger.unsettled(later(99), 1))) == 1

    def test_erase_keeps_what_it_cost(self, ledger: Ledger) -> None:
        held = self.begin(ledger)
        run(ledger.finish(held, SENT, later(1)))
        self.begin(ledger, 1, tag="o" * 22)
        assert run(ledger.erase(TAG)) == 1
        assert run(ledger.attempts(held.verification)) == []
        (found,) = [each for each in run(ledger.unsettled(later(99), 10)) if each.id == held.id]
        assert (found.tag, found.hint, found.reference, found.charged) == ("", "", None, CENT)
        # A response that arrives after it brings nothing back.
        run(ledger.finish(held, SENT, later(2)))
        assert run(ledger.attempts(held.verification)) == []
        assert len(run(ledger.attempts(attempt(1).verification))) == 1

    def test_purge_removes_the_phone_of_old_attempts(self, ledger: Ledger) -> None:
        self.begin(ledger, 0, caps=[Cap(Window.HOUR, count=9)])
        self.begin(ledger, 1, now=later(500))
        assert run(ledger.purge(later(100), 100)) == 1
        assert run(ledger.attempts(attempt(0).verification)) == []
        assert len(run(ledger.attempts(attempt(1).verification))) == 1
        assert run(ledger.purge(later(7200), 100)) == 1
        assert run(ledger.usage([counter_name(Window.HOUR, attempt())])) == []
        assert run(ledger.purge(later(7200), 100)) == 0


class LedgerRaces(LedgerPromises):
    """What a ledger promises to concurrent callers."""

    #: Threads that begin simultaneously.
    threads: ClassVar[int] = PARALLEL

    def race(self, step: Callable[[int], T]) -> list[T]:
        """Return the results of 200 simultaneous calls."""
        return together(PARALLEL, step, self.leave)

    def leave(self) -> None:
        """Release what a thread of a race holds."""

    def held_of(self, ledger: Ledger, caps: Sequence[Cap], terms: Terms | None = None) -> int:
        """Return how many of 200 simultaneous attempts are held, and check that each alarm was raised once."""
        results = self.race(lambda number: run(ledger.begin(attempt(number), caps, terms, NOW)))
        alarms = [(alarm.limit, alarm.level) for each in results for alarm in each.alarms]
        assert len(alarms) == len(set(alarms))
        return sum(isinstance(each, Held) for each in results)

    @pytest.mark.parametrize("window", Window)
    def test_parallel_starts_do_not_pass_a_cap(self, ledger: Ledger, window: Window) -> None:
        region = "IR" if window is Window.REGION else ""
        assert self.held_of(ledger, [Cap(window, money=Decimal("0.375"), region=region)]) == 37
        assert self.spent(ledger, window) == (37, Decimal("0.37"))

    def test_parallel_starts_do_not_pass_several_caps(self, ledger: Ledger) -> None:
        caps = [Cap(Window.TOTAL, money=Decimal("0.90")), Cap(Window.HOUR, count=41), Cap(Window.DAY, count=55)]
        assert self.held_of(ledger, caps) == 41
        assert {self.spent(ledger, cap.window) for cap in caps} == {(41, Decimal("0.41"))}

    def test_parallel_starts_do_not_pass_the_balance(self, ledger: Ledger) -> None:
        self.pay(ledger, "0.505")
        assert self.held_of(ledger, [], PREPAID) == 50
        assert self.account(ledger).available == Decimal("0.005")

    def test_parallel_starts_do_not_pass_the_credit_limit(self, ledger: Ledger) -> None:
        terms = Terms("EUR", credit_limit=Decimal("0.25"), trial=Decimal("0.10"))
        results = self.race(
            lambda number: (
                run(ledger.finish(held.attempt, SENT, NOW))
                if isinstance(held := run(ledger.begin(attempt(number), [], terms, NOW)), Held)
                else None
            )
        )
        assert sum(each is not None for each in results) == 35
        assert (self.account(ledger).balance, self.account(ledger).reserved) == (Decimal("-0.25"), ZERO)
        assert len(run(ledger.payments("default"))) == 1

    def test_parallel_repetitions_are_one_attempt(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        caps = [Cap(Window.DAY, count=5)]
        results = self.race(lambda _: run(ledger.begin(attempt(), caps, PREPAID, NOW)))
        held = [each for each in results if isinstance(each, Held)]
        assert len(held) == PARALLEL
        assert sum(not each.repeated for each in held) == 1
        assert (self.account(ledger).reserved, self.spent(ledger, Window.DAY)) == (CENT, (1, CENT))

    def test_parallel_drivers_take_over_one_reservation(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        caps = [Cap(Window.DAY, count=PARALLEL)]
        reserved = self.begin(ledger, caps=caps, terms=PREPAID, outcome=AttemptOutcome.UNSENT)

        def step(number: int) -> object:
            if number % 4 == 0:
                return run(ledger.release(reserved.verification, 1, later(1)))
            asked = attempt(driver=f"driver-{number % 4}", price=CENT * (number % 4))
            return run(ledger.begin(asked, caps, PREPAID, later(1), waited=True))

        self.race(step)
        found = run(ledger.attempts(reserved.verification))
        assert not any(each.outcome is AttemptOutcome.UNSENT and each.open for each in found)
        counted = max(1, sum(each.outcome is AttemptOutcome.UNCLEAR for each in found))
        assert self.spent(ledger, Window.DAY) == (counted, sum((each.reserved for each in found), ZERO))
        assert self.account(ledger).reserved == sum((each.reserved for each in found), ZERO)

    def test_parallel_closings_charge_once(self, ledger: Ledger) -> None:
        self.pay(ledger, "1")
        held = self.begin(ledger, terms=PREPAID, caps=[Cap(Window.DAY, count=5)], charged_for=ChargedFor.VERIFIED)

        def step(number: int) -> object:
            if number % 3 == 0:
                return run(ledger.finish(held, SENT, later(1)))
            if number % 3 == 1:
                return run(ledger.verify(held.verification, Channel.SMS, "amoot", later(2)))
            return run(ledger.end(held.verification, later(3)))

        self.race(step)
        assert self.only(ledger).outcome is AttemptOutcome.VERIFIED
        assert (self.account(ledger).balance, self.account(ledger).reserved) == (Decimal("0.99"), ZERO)
        assert self.spent(ledger, Window.DAY) == (1, CENT)

    def test_parallel_payments_are_all_counted(self, ledger: Ledger) -> None:
        payments = [Payment("default", CENT, "EUR", f"pay:{number % 100}") for number in range(PARALLEL)]
        made = self.race(lambda number: run(ledger.pay(payments[number], PREPAID, NOW)))
        assert sum(each is not None for each in made) == 100
        assert self.account(ledger).balance == 1


class LedgerSuite(LedgerRaces, WaitingPromises):
    """All promises of a ledger."""
