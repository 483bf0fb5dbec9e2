"""The fraud guard in a verifier: what it refuses, learns and leaves, and what an attacker can do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from phone_verify.before_send import BeforeSend, ClientFacts, Refusal, SendOrder
from phone_verify.errors import StoreError
from phone_verify.events.record import VerificationEvent
from phone_verify.fraud import traffic
from phone_verify.fraud.guard import FraudGuard
from phone_verify.fraud.lists import Lists, NumberList
from phone_verify.fraud.rules import FraudRules
from phone_verify.model import CallState, Reason, Receipt, Sighting, Started
from phone_verify.phone import PhoneNumber
from phone_verify.stores.memory import MemoryStore
from phone_verify.test_numbers import TestNumber
from phone_verify.verifier.blocking import Verifier
from tests.core.harness import CALL, LINE, REFUSED, SMS, Caller, Driver, Harness, sms

REFUSING = FraudRules(record_only=False)
ATTACKER, VISITOR, HOME = "203.0.113.1", "198.51.100.7", "192.0.2.5"
HOUR, DAY = 3600, 86_400


class Guarded:
    """A verifier with a guard, its events, and clients that answer or do not."""

    def __init__(self, *drivers: Driver, rules: FraudRules = REFUSING, **more: Any) -> None:
        self.events: list[VerificationEvent] = []
        self.driver = sms()
        # Without the quotas, which end an attack too.
        unlimited = dict.fromkeys(
            ("sends_per_hour_total", "sends_per_hour_per_prefix", "sends_per_hour_per_address"), 0
        )
        self.harness = Harness(*(drivers or (self.driver,)), listeners=[self.events.append], **{**unlimited, **more})
        self.guard = FraudGuard(rules, self.harness.parts.keyring)
        self.harness.parts = replace(self.harness.parts, fraud=self.guard)
        self.verifier = Verifier(self.harness.parts)
        self._drawn = 0

    def phone(self, start: str = "+98912") -> PhoneNumber:
        """Return another number of this range, far from those before."""
        self._drawn += 1
        return PhoneNumber(f"{start}{2_000_000 + self._drawn * 7_654_321 % 7_900_000:07}")

    def order(self, address: str | None = VISITOR, phone: PhoneNumber | None = None, **more: Any) -> Any:
        return self.verifier.start(phone or self.phone(), **{"address": address, "by_client": True, **more})

    def answer(self, started: Any, address: str = VISITOR) -> bool:
        assert isinstance(started, Started), started
        return self.verifier.check(started.verification.id, started.secret, self.driver.codes[-1], address=address).ok

    def pump(self, count: int, addresses: int = 1, start: str = "+98912") -> int:
        """Return how many of these orders from so many addresses were sent."""
        results = [self.order(f"203.0.113.{n % addresses}", self.phone(start)) for n in range(count)]
        return sum(isinstance(result, Started) for result in results)

    @property
    def last(self) -> str | None:
        return self.events[-1].fraud


def test_denied_number_is_refused_with_a_neutral_outcome() -> None:
    rules = replace(REFUSING, lists=Lists(deny=NumberList(prefixes=frozenset({"+98912"}))))
    guarded = Guarded(rules=rules)
    outcome = guarded.order()
    assert (outcome.reason, outcome.text, outcome.at_fault) == (Reason.SEND_REFUSED, "", None)
    assert guarded.driver.orders == []
    assert guarded.last == "100:refused:denied_prefix"
    assert guarded.order(phone=PhoneNumber("+79160000000")).ok


def test_guard_only_records_until_told_otherwise() -> None:
    rules = FraudRules(lists=Lists(deny=NumberList(regions=frozenset({"IR"}))))
    guarded = Guarded(rules=rules)
    assert guarded.order().ok
    assert guarded.last == "100:noted:denied_region"


def test_event_has_the_score_and_no_number() -> None:
    guarded = Guarded()
    guarded.order(phone=PhoneNumber("+989120001234"))
    assert guarded.last == "0:passed"
    assert "0001234" not in str(guarded.events)
    assert "fraud=0:passed" in str(guarded.events[-1])


def test_site_without_a_guard_records_nothing() -> None:
    events: list[VerificationEvent] = []
    Harness(sms(), listeners=[events.append]).begun()
    assert events[-1].fraud is None
    assert "fraud" not in str(events[-1])


def test_network_without_verified_users_closes_after_five_orders() -> None:
    guarded = Guarded()
    sent = [guarded.order(ATTACKER, guarded.phone(f"+1{n}")) for n in (212, 310, 415, 646, 713, 202, 305, 312)]
    assert [isinstance(each, Started) for each in sent] == [True] * 6 + [False] * 2, "the sixth is the week's order"
    assert guarded.last == "60:refused:network"
    assert guarded.order(VISITOR).ok, "another network"


def test_closed_network_gets_one_order_a_week_that_opens_it() -> None:
    guarded = Guarded()
    for _ in range(20):
        guarded.order(HOME)
    assert guarded.order(HOME).reason is Reason.SEND_REFUSED
    guarded.harness.clock.move(7 * DAY + 1)
    starts = [guarded.order(HOME), guarded.order(HOME)]
    assert [each.reason for each in starts] == [None, Reason.SEND_REFUSED]
    for _ in range(2):
        guarded.harness.clock.move(7 * DAY + 1)
        assert guarded.answer(guarded.order(HOME), HOME)
    assert all(guarded.answer(guarded.order(HOME), HOME) for _ in range(5))


def test_honest_network_never_closes() -> None:
    guarded = Guarded()
    for n in range(60):
        started = guarded.order(HOME)
        if n % 2:
            assert guarded.answer(started, HOME)


def test_pumped_range_closes_to_suspect_networks_only() -> None:
    guarded = Guarded()
    assert guarded.pump(400, addresses=50) < 200
    assert guarded.order(VISITOR).ok
    assert guarded.last is not None
    assert ":passed:conversion" in guarded.last


def test_honest_users_of_a_pumped_range_are_verified() -> None:
    guarded = Guarded()
    guarded.pump(200, addresses=50)
    for n in range(40):
        guarded.harness.clock.move(600)
        guarded.pump(10, addresses=50)
        address = f"198.51.100.{n}"
        assert guarded.answer(guarded.order(address), address)


def test_unknown_networks_share_an_allowance_that_starts_again() -> None:
    guarded = Guarded()
    block = iter(range(1_000_000))

    def order(address: str) -> Any:
        return guarded.order(address, PhoneNumber(f"+989123{next(block) * 7919 % 1_000_000:06}"))

    sent = sum(isinstance(order(f"2001:db8:{n:x}::/64"), Started) for n in range(300))
    assert sent < 20 + traffic.ALLOWANCE
    refused = order("198.51.100.9")
    assert refused.reason is Reason.SEND_REFUSED
    assert guarded.last is not None
    assert ":refused:conversion" in guarded.last
    guarded.harness.clock.move(HOUR + 1)
    assert order("198.51.100.9").ok


def test_known_network_needs_no_allowance() -> None:
    guarded = Guarded()
    assert guarded.answer(guarded.order(HOME, guarded.phone("+1212")), HOME)
    for n in range(200):
        guarded.order(f"2001:db8:{n:x}::/64")
    assert guarded.order(HOME).ok


def test_attacker_cannot_close_a_network_with_verified_users() -> None:
    guarded = Guarded()
    for n in range(120):
        guarded.harness.clock.move(90)
        guarded.pump(2, addresses=1)
        if n % 8 == 0:
            started = guarded.order("203.0.113.0", guarded.phone("+1212"))
            assert guarded.answer(started, "203.0.113.0"), "a user of the same address, to another range"


def test_refused_orders_leave_nothing_in_the_range() -> None:
    guarded = Guarded()
    guarded.pump(100, addresses=5)
    phone = guarded.phone()
    before = guarded.verifier.explain_fraud(phone)
    assert guarded.pump(100, addresses=5) == 0
    after = guarded.verifier.explain_fraud(phone)
    assert before == after
    assert before is not None
    assert before.block.verified == 0


@pytest.mark.parametrize("more", [{"owned": True}, {"trusted_device": True}, {"by_client": False}])
def test_honest_orders_pass_from_a_closed_network(more: dict[str, bool]) -> None:
    guarded = Guarded()
    guarded.pump(30)
    phone = guarded.phone()
    assert guarded.order("203.0.113.0", phone).reason is Reason.SEND_REFUSED
    if more.pop("trusted_device", False):
        more |= {"trusted_device": guarded.verifier.remember_device("", phone)}  # type: ignore[dict-item]
    assert guarded.order("203.0.113.0", phone, **more).ok


def test_server_code_is_refused_if_all_speaks_against_it() -> None:
    guarded = Guarded()
    results = [guarded.order(ATTACKER, by_client=False) for _ in range(200)]
    assert results[-1].reason is Reason.SEND_REFUSED


def test_lists_hold_for_trusted_devices_too() -> None:
    guarded = Guarded(rules=replace(REFUSING, lists=Lists(deny=NumberList(regions=frozenset({"IR"})))))
    phone = guarded.phone()
    device = guarded.verifier.remember_device("", phone)
    assert guarded.order(phone=phone, trusted_device=device, owned=True).reason is Reason.SEND_REFUSED


def test_allowed_number_passes_a_closed_network() -> None:
    allow = NumberList(prefixes=frozenset({"+7916"}))
    guarded = Guarded(rules=replace(REFUSING, lists=Lists(allow=allow)))
    guarded.pump(30)
    assert guarded.order("203.0.113.0", guarded.phone("+7916")).ok
    assert guarded.last == "0:passed"


def test_network_around_addresses_of_ipv6_closes_too() -> None:
    guarded = Guarded()
    sent = [guarded.order(f"2001:db8:0:{n:x}::/64", guarded.phone(f"+1{200 + n % 700}")) for n in range(150)]
    assert sum(isinstance(each, Started) for each in sent) < 90
    assert guarded.order("2001:db8:1::/64", guarded.phone("+7916")).ok


def test_neighbouring_numbers_are_noticed_at_the_sixth() -> None:
    guarded = Guarded(rules=FraudRules())
    for n in range(6):
        guarded.order(f"198.51.100.{n}", PhoneNumber(f"+7916000000{n}"))
        found = guarded.last or ""
        assert ("neighbours" in found) is (n >= traffic.HUNDRED_LIMIT), found


def test_blocks_of_a_thousand_are_noticed_at_the_sixteenth() -> None:
    guarded = Guarded(rules=FraudRules())
    for n in range(16):
        guarded.order(f"198.51.100.{n}", PhoneNumber(f"+79160000{n // 2}{n % 2}0"))
    assert "neighbours" in (guarded.last or "")


def test_company_that_registers_its_staff_passes() -> None:
    guarded = Guarded()
    for n in range(60):
        guarded.harness.clock.move(45)
        assert guarded.answer(guarded.order(HOME, PhoneNumber(f"+791600001{n:02}")), HOME)


def test_speed_of_a_range_is_noticed_above_its_usual() -> None:
    guarded = Guarded(rules=FraudRules())
    for n in range(21):
        guarded.order(f"198.51.100.{n}", PhoneNumber(f"+7916000{n:03}0"))
        assert ("speed" in (guarded.last or "")) is (n >= 20)


def test_window_starts_again_after_an_hour() -> None:
    guarded = Guarded(rules=FraudRules())
    for n in range(8):
        guarded.order(f"198.51.100.{n}", PhoneNumber(f"+7916000000{n}"))
    guarded.harness.clock.move(HOUR + 1)
    guarded.order(phone=PhoneNumber("+79160000009"))
    assert "neighbours" not in (guarded.last or "")


def test_unsent_order_is_taken_out_of_the_windows() -> None:
    guarded = Guarded(sms(*[REFUSED] * 50), rules=FraudRules())
    for n in range(12):
        guarded.order(f"198.51.100.{n}", PhoneNumber(f"+7916000000{n % 10}"))
    assert "neighbours" not in (guarded.last or "")
    found = guarded.verifier.explain_fraud(PhoneNumber("+79160000000"))
    assert found is not None
    assert found.prefix.sent == 0


def test_order_over_a_quota_is_taken_out_of_the_windows() -> None:
    guarded = Guarded(rules=FraudRules(), sends_per_hour=1)
    phone = PhoneNumber("+79160000001")
    for n in range(12):
        guarded.order(f"198.51.100.{n}", phone)
    guarded.order("198.51.100.99", PhoneNumber("+79160000002"))
    assert "neighbours" not in (guarded.last or "")


def caller() -> Caller:
    return Caller([Receipt("r", line=LINE)] * 90, [Sighting(CallState.WAITING)])


def test_refused_order_keeps_the_channel_that_costs_nothing() -> None:
    texts = sms()
    guarded = Guarded(texts, caller())
    guarded.driver = texts
    guarded.pump(30)
    sent = len(texts.orders)
    started = guarded.order("203.0.113.0")
    assert isinstance(started, Started)
    assert started.verification.channel is CALL
    assert len(texts.orders) == sent
    assert ":refused:" in (guarded.last or "")
    assert guarded.order("203.0.113.0", channel=SMS).reason is Reason.SEND_REFUSED


def test_free_channel_is_not_weighed_but_lists_hold() -> None:
    rules = replace(REFUSING, lists=Lists(deny=NumberList(prefixes=frozenset({"+7916"}))))
    guarded = Guarded(caller(), rules=rules)
    assert all(guarded.order(ATTACKER).ok for _ in range(30))
    assert guarded.order(ATTACKER, guarded.phone("+7916")).reason is Reason.SEND_REFUSED
    found = guarded.verifier.explain_fraud(guarded.phone())
    assert found is not None
    assert found.block.sent == 0


def test_resend_is_weighed_and_the_sent_code_stays_valid() -> None:
    guarded = Guarded()
    started = guarded.order("203.0.113.0")
    code = guarded.driver.codes[-1]
    guarded.pump(30)
    guarded.harness.clock.move(61)
    record = started.verification
    again = guarded.verifier.resend(record.id, started.secret, address="203.0.113.0", by_client=True)
    assert again.reason is Reason.SEND_REFUSED
    assert guarded.events[-1].verb == "resend"
    assert guarded.verifier.check(record.id, started.secret, code, address="203.0.113.0").ok


def test_test_number_is_neither_weighed_nor_learned() -> None:
    phone = PhoneNumber("+989120000000")
    fixed = {phone: TestNumber(phone, "482193", Harness(sms()).clock().date())}
    guarded = Guarded(test_numbers=fixed)
    for _ in range(10):
        assert guarded.order(ATTACKER, phone).ok
    found = guarded.verifier.explain_fraud(phone)
    assert found is not None
    assert found.prefix.sent == 0
    assert guarded.last is None


def test_guard_decides_before_the_sites_hook() -> None:
    asked: list[Any] = []

    def hook(order: SendOrder, client: ClientFacts) -> Refusal | None:
        asked.append(order)
        return Refusal("Captcha.") if len(asked) > 1 else None

    guarded = Guarded(rules=replace(REFUSING, lists=Lists(deny=NumberList(prefixes=frozenset({"+7916"})))))
    parts = replace(guarded.harness.parts, before_send=BeforeSend(lambda: hook))
    guarded.verifier = Verifier(parts)
    assert guarded.order(phone=guarded.phone("+7916")).text == ""
    assert asked == []
    assert guarded.order().ok
    assert guarded.order().text == "Captcha."


class Failing:
    """A memory store that fails in some of its methods."""

    def __init__(self, *names: str) -> None:
        self._store, self.names = MemoryStore(), set(names)

    def __getattr__(self, name: str) -> Any:
        if name in self.names:
            raise StoreError("down")
        return getattr(self._store, name)


@pytest.mark.parametrize("verb", ["conversions", "add_conversion"])
def test_order_fails_closed_if_the_guard_cannot_read(verb: str) -> None:
    guarded = Guarded(store=Failing(verb))
    with pytest.raises(StoreError):
        guarded.order()
    assert guarded.driver.orders == []


def test_sent_and_verified_orders_survive_a_store_that_cannot_learn() -> None:
    store = Failing()
    guarded = Guarded(store=store)
    guarded.driver.on_start = lambda: store.names.add("add_conversion")
    started = guarded.order()
    assert guarded.answer(started)


def test_guard_without_traffic_rules_asks_the_store_nothing() -> None:
    rules = replace(REFUSING, traffic=False, lists=Lists(deny=NumberList(prefixes=frozenset({"+7916"}))))
    guarded = Guarded(rules=rules, store=Failing("conversions", "add_conversion"))
    assert all(guarded.order(ATTACKER).ok for _ in range(20))


def test_programs_have_no_network() -> None:
    guarded = Guarded()
    starts: Sequence[Any] = [
        guarded.order(ATTACKER, guarded.phone(f"+1{n}"), oauth_client="shop") for n in (212, 310, 415, 646) * 3
    ]
    assert all(isinstance(each, Started) for each in starts)


def test_explanation_counts_nothing() -> None:
    guarded = Guarded()
    phone = guarded.phone()
    first = guarded.verifier.explain_fraud(phone)
    assert all(guarded.verifier.explain_fraud(phone) == first for _ in range(40))
    assert Verifier(Harness(sms()).parts).explain_fraud(phone) is None
    assert first is not None
    assert first.verdict == "passed"
