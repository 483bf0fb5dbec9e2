"""The phone network alone, without HTTP."""

import threading
import time
from datetime import timedelta

from phone_verify.sandbox import network as network_module
from phone_verify.sandbox.network import Network

from .conftest import Clock

PHONE, OTHER = "+989120000000", "+79000000000"
LINES = ("+79990000001", "+79990000002", "+79990000003")


def send(network: Network, phone: str = PHONE, code: str = "1234", copies: int = 1) -> None:
    network.send_message(
        phone, provider="amoot", channel="sms", sender="Amoot", text=f"Your code is {code}", code=code, copies=copies
    )


def ring(network: Network, phone: str = PHONE, code: str = "0042", hidden: bool = False) -> None:
    network.place_call(phone, provider="ferzz", number=f"+98990000{code}", code=code, hidden=hidden)


def test_handset_appears_by_itself(network: Network) -> None:
    send(network)
    handset = network.handset(PHONE)
    assert handset is not None
    assert [message.code for message in handset.messages] == ["1234"]


def test_messages_come_newest_first(network: Network) -> None:
    send(network, code="1111")
    send(network, code="2222")
    handset = network.handset(PHONE)
    assert handset is not None
    assert [message.code for message in handset.messages] == ["2222", "1111"]


def test_handsets_are_sorted_newest_first(network: Network) -> None:
    send(network, PHONE)
    send(network, OTHER)
    send(network, PHONE)
    assert [handset.phone for handset in network.handsets()] == [OTHER, PHONE]


def test_lost_message_leaves_an_empty_handset_and_a_failure(network: Network, clock: Clock) -> None:
    send(network, copies=0)
    handset = network.handset(PHONE)
    assert handset is not None
    assert handset.messages == ()
    assert network.dispatches()[0].state(clock()) == "failed"


def test_doubled_message_arrives_twice(network: Network) -> None:
    send(network, copies=2)
    handset = network.handset(PHONE)
    assert handset is not None
    assert len(handset.messages) == 2
    assert len(network.dispatches()) == 1


def test_call_rings_for_a_while(network: Network, clock: Clock) -> None:
    ring(network)
    handset = network.handset(PHONE)
    assert handset is not None
    call = handset.calls[0]
    assert call.ringing_for(clock()) == network_module.RING.total_seconds()
    clock.move(seconds=60)
    assert call.ringing_for(clock()) == 0


def test_newest_code_is_from_a_message_or_a_call(network: Network) -> None:
    send(network, code="1111")
    ring(network, code="0042")
    handset = network.handset(PHONE)
    assert handset is not None
    newest = handset.newest_code
    assert newest is not None
    assert newest.code == "0042"


def test_hidden_call_shows_no_number_and_no_code(network: Network) -> None:
    ring(network, hidden=True)
    handset = network.handset(PHONE)
    assert handset is not None
    assert (handset.calls[0].number, handset.calls[0].code) == ("", "")
    assert handset.newest_code is None


def test_report_stays_open_until_it_is_settled(network: Network, clock: Clock) -> None:
    network.place_call(PHONE, provider="ferzz", number="+989900001234", code="1234", settles_after=timedelta(minutes=2))
    (dispatch,) = network.dispatches()
    assert dispatch.state(clock()) == "unknown"
    clock.move(minutes=2)
    assert dispatch.state(clock()) == "done"


def test_phone_gets_an_unused_line_if_available(network: Network) -> None:
    waits = [network.open_wait(PHONE, provider="telefon-ip", lines=LINES, ttl=timedelta(seconds=120)) for _ in LINES]
    assert {wait.line for wait in waits} == set(LINES)
    network.open_wait(PHONE, provider="telefon-ip", lines=LINES, ttl=timedelta(seconds=120))


def test_call_confirms_only_its_callers_wait(network: Network) -> None:
    mine, theirs = (
        network.open_wait(phone, provider="telefon-ip", lines=LINES[:1], ttl=timedelta(seconds=120))
        for phone in (PHONE, OTHER)
    )
    (told,) = network.call_line(LINES[0], shown=PHONE, dialled_by=PHONE)
    assert told.id == mine.id
    assert told.confirmed
    untouched = network.wait(theirs.id)
    assert untouched is not None
    assert untouched.caller is None


def test_foreign_call_is_reported_and_confirms_nothing(network: Network) -> None:
    wait = network.open_wait(PHONE, provider="telefon-ip", lines=LINES, ttl=timedelta(seconds=120))
    (told,) = network.call_line(wait.line, shown=OTHER, dialled_by=OTHER)
    assert told.caller == OTHER
    assert not told.confirmed


def test_after_a_foreign_call_the_right_one_still_counts(network: Network) -> None:
    wait = network.open_wait(PHONE, provider="telefon-ip", lines=LINES, ttl=timedelta(seconds=120))
    network.call_line(wait.line, shown=OTHER, dialled_by=OTHER)
    (told,) = network.call_line(wait.line, shown=PHONE, dialled_by=PHONE)
    assert told.confirmed


def test_foreign_number_of_a_waiting_phone_is_reported(network: Network) -> None:
    mine = network.open_wait(PHONE, provider="telefon-ip", lines=LINES[:1], ttl=timedelta(seconds=120))
    network.open_wait(OTHER, provider="telefon-ip", lines=LINES[:1], ttl=timedelta(seconds=120))
    (told,) = network.call_line(LINES[0], shown="+79000000013", dialled_by=PHONE)
    assert told.id == mine.id


def test_late_call_confirms_nothing(network: Network, clock: Clock) -> None:
    wait = network.open_wait(PHONE, provider="telefon-ip", lines=LINES, ttl=timedelta(seconds=120))
    clock.move(seconds=120)
    assert network.call_line(wait.line, shown=PHONE, dialled_by=PHONE) == ()


def test_confirmed_wait_gets_no_second_call(network: Network) -> None:
    wait = network.open_wait(PHONE, provider="telefon-ip", lines=LINES, ttl=timedelta(seconds=120))
    network.call_line(wait.line, shown=PHONE, dialled_by=PHONE)
    assert network.call_line(wait.line, shown=OTHER, dialled_by=OTHER) == ()


def test_every_collection_is_bounded(network: Network) -> None:
    for number in range(network_module.MAX_HANDSETS + 10):
        send(network, f"+98912000{number:04}")
    for _ in range(network_module.MAX_ITEMS_PER_HANDSET + 10):
        send(network)
        ring(network)
    assert len(network.handsets()) == network_module.MAX_HANDSETS
    handset = network.handset(PHONE)
    assert handset is not None
    assert len(handset.messages) == len(handset.calls) == network_module.MAX_ITEMS_PER_HANDSET


def test_least_used_handset_is_evicted_first(network: Network) -> None:
    network.add_handset(PHONE)
    network.add_handset(OTHER)
    for number in range(network_module.MAX_HANDSETS - 1):
        send(network, f"+98935000{number:04}")
        send(network, PHONE)
    assert network.handset(PHONE) is not None
    assert network.handset(OTHER) is None


def test_clear_removes_everything(network: Network) -> None:
    send(network)
    wait = network.open_wait(PHONE, provider="telefon-ip", lines=LINES, ttl=timedelta(seconds=120))
    network.clear()
    assert network.handsets() == ()
    assert network.dispatches() == ()
    assert network.wait(wait.id) is None


def test_changed_wakes_on_a_change(network: Network) -> None:
    version = network.version
    threading.Timer(0.02, send, [network]).start()
    assert network.changed(version, 5) > version


def test_changed_returns_after_its_timeout(network: Network) -> None:
    assert network.changed(network.version, 0.01) == network.version


def test_await_code_waits_for_a_newer_one(network: Network) -> None:
    send(network, code="1111")
    first = network.await_code(PHONE, after=0, timeout=0)
    assert first is not None
    threading.Timer(0.02, send, [network, PHONE, "2222"]).start()
    second = network.await_code(PHONE, after=first.id, timeout=30)
    assert second is not None
    assert second.code == "2222"


def test_close_wakes_every_waiter(network: Network) -> None:
    threading.Timer(0.02, network.close).start()
    began = time.monotonic()
    assert network.await_code(PHONE, after=0, timeout=60) is None
    assert time.monotonic() - began < 30


def test_no_repr_shows_a_code_or_a_text(network: Network) -> None:
    send(network, code="482193")
    ring(network, code="7531")
    assert "482193" not in repr((network.handsets(), network.dispatches()))
    assert "7531" not in repr((network.handsets(), network.dispatches()))


def test_flash_call_may_show_another_number(network: Network) -> None:
    network.place_call(PHONE, provider="ferzz", number="+989900000042", code="0042", caller=OTHER)
    handset = network.handset(PHONE)
    assert handset is not None
    assert (handset.calls[0].number, handset.calls[0].code) == (OTHER, "0000")
    assert network.dispatches()[0].code == "0042"


def test_habits_are_removed_with_their_handset(network: Network) -> None:
    network.set_habit(PHONE, network_module.Habit(1.0))
    assert [handset.habit for handset in network.handsets()] == [network_module.Habit(1.0)]
    network.clear()
    send(network)
    assert [handset.habit for handset in network.handsets()] == [None]
